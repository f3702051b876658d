//! Segments written here, against what the market makes of them: order, loss, restarts, damage.

use super::*;
use crate::adapter::{FaultKind, Output};
use crate::settings::FeedSettings;
use proptest::prelude::*;
use wire::event::{Cause, Channel, EventBody, FeedState, Flags, Level, Nanos, Quote, TradingState};

const DEEP: u16 = 0x8004;
const TOPS: u16 = 0x8003;
const NOW: Nanos = 1_493_133_549_692_527_798;

#[derive(Clone)]
struct Segment {
    protocol: u16,
    session: u32,
    first: i64,
    offset: i64,
    sent: Nanos,
    messages: Vec<Vec<u8>>,
}

impl Segment {
    fn bytes(&self) -> Vec<u8> {
        let body: Vec<u8> =
            self.messages.iter().flat_map(|message| [&(message.len() as u16).to_le_bytes()[..], message].concat()).collect();
        let mut bytes = vec![1, 0];
        bytes.extend(self.protocol.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(self.session.to_le_bytes());
        bytes.extend((body.len() as u16).to_le_bytes());
        bytes.extend((self.messages.len() as u16).to_le_bytes());
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.first.to_le_bytes());
        bytes.extend(self.sent.to_le_bytes());
        bytes.extend(body);
        bytes
    }
}

/// A sender that numbers as IEX does.
struct Sender {
    next: Segment,
}

impl Sender {
    fn new(protocol: u16) -> Self {
        Self { next: Segment { protocol, session: 7, first: 1, offset: 0, sent: NOW, messages: Vec::new() } }
    }

    fn segment(&mut self, messages: &[Vec<u8>]) -> Segment {
        let segment = Segment { messages: messages.to_vec(), ..self.next.clone() };
        self.next.first += messages.len() as i64;
        self.next.offset += messages.iter().map(|message| message.len() as i64 + 2).sum::<i64>();
        self.next.sent += 1_000;
        segment
    }

    /// As after a restart within the session.
    fn restart(&mut self) {
        (self.next.first, self.next.offset) = (1, 0);
    }
}

fn head(kind: u8, second: u8, symbol: &str) -> Vec<u8> {
    [&[kind, second][..], &NOW.to_le_bytes(), &Symbol::parse(symbol).unwrap().0].concat()
}

fn level(kind: u8, symbol: &str, complete: bool, size: u32, price: i64) -> Vec<u8> {
    [&head(kind, u8::from(complete), symbol)[..], &size.to_le_bytes(), &price.to_le_bytes()].concat()
}

fn trade(symbol: &str, size: u32, price: i64, id: i64) -> Vec<u8> {
    [&head(b'T', 0, symbol)[..], &size.to_le_bytes(), &price.to_le_bytes(), &id.to_le_bytes()].concat()
}

fn quote(symbol: &str, flags: u8, bid: (i64, u32), ask: (i64, u32)) -> Vec<u8> {
    let fields = [&bid.1.to_le_bytes()[..], &bid.0.to_le_bytes(), &ask.0.to_le_bytes(), &ask.1.to_le_bytes()].concat();
    [head(b'Q', flags, symbol), fields].concat()
}

struct Rig {
    market: Market,
    out: Output,
}

impl Rig {
    fn new() -> Self {
        Self { market: market(&FeedSettings::of_venue("iex")).unwrap(), out: Output::default() }
    }

    /// What one segment led to.
    fn take(&mut self, segment: &Segment) -> Vec<EventBody> {
        self.out.clear();
        self.market.on_payload(NOW + 5, &segment.bytes(), &mut self.out);
        self.out.batch.events.iter().map(|event| event.body.clone()).collect()
    }

    fn told(&self, symbol: &str) -> [Option<FeedState>; 3] {
        self.market.told(symbol)
    }

    fn faults(&self) -> Vec<FaultKind> {
        self.out.faults.iter().map(|fault| fault.kind).collect()
    }
}

const GAP: EventBody = EventBody::Gap { channel: Channel::Trade, missing: None, cause: Cause::SequenceGap };

#[test]
fn an_event_is_one_book_update() {
    let mut sender = Sender::new(DEEP);
    let mut rig = Rig::new();
    rig.take(&sender.segment(&[]));
    let events = rig.take(&sender.segment(&[
        level(b'8', "AAPL", false, 100, 1_435_000),
        level(b'8', "ZIEXT", true, 5, 10_000),
        trade("AAPL", 50, 1_435_100, 9),
        level(b'5', "AAPL", true, 0, 1_435_100),
    ]));
    let books: Vec<_> = rig.out.batch.events.iter().filter(|event| matches!(event.body, EventBody::Book { .. })).collect();
    assert_eq!(books.len(), 2, "{events:?}");
    let EventBody::Book { bids, asks, snapshot: false } = &books[1].body else { panic!("{books:?}") };
    assert_eq!(rig.out.batch.levels(bids), [Level { price: 1_435_000, size: 100 }]);
    assert_eq!(rig.out.batch.levels(asks), [Level { price: 1_435_100, size: 0 }]);
    assert_eq!((books[1].event_time, books[1].received), (NOW, NOW + 5));
    // From the first message on nothing is missing.
    assert_eq!(books[1].flags, Flags::LAST);
    assert_eq!(rig.told("AAPL"), [None, Some(FeedState::Live), Some(FeedState::Live)]);
    // The trade stands where it happened: before the book it led to.
    let at = |is: fn(&EventBody) -> bool| events.iter().rposition(is).unwrap();
    assert!(at(|body| matches!(body, EventBody::Trade(_))) < at(|body| matches!(body, EventBody::Book { .. })));
}

#[test]
fn a_gap_leaves_books_in_doubt_until_the_stream_begins_anew() {
    let mut sender = Sender::new(DEEP);
    let mut rig = Rig::new();
    rig.take(&sender.segment(&[level(b'8', "AAPL", true, 100, 1_435_000), trade("AAPL", 50, 1_435_100, 9)]));
    sender.segment(&[trade("AAPL", 50, 1_435_100, 10), trade("AAPL", 50, 1_435_100, 11)]);
    let events = rig.take(&sender.segment(&[level(b'8', "AAPL", true, 200, 1_435_000), level(b'8', "MSFT", true, 1, 1)]));
    let resyncing = EventBody::State { channel: Some(Channel::Book), state: FeedState::Resyncing, cause: Cause::SequenceGap };
    assert_eq!(events[..2], [GAP, resyncing.clone()]);
    assert!(events[4..].contains(&resyncing), "a symbol that turns up later is no better: {events:?}");
    assert_eq!(rig.faults(), [FaultKind::SequenceGap]);
    let flags: Vec<_> =
        rig.out.batch.events.iter().filter(|event| matches!(event.body, EventBody::Book { .. })).map(|e| e.flags).collect();
    assert_eq!(flags, [Flags::LAST.with(Flags::MAYBE_BAD_BOOK); 2]);
    assert_eq!((rig.market.counts().gaps, rig.market.counts().missing_messages, rig.market.doubtful_books()), (1, 2, 2));
    // A second hole before the next trade is no second gap in the tape.
    sender.segment(&[trade("AAPL", 50, 1_435_100, 12)]);
    assert_eq!(rig.take(&sender.segment(&[])), [GAP], "only MSFT has not been told yet");
    sender.restart();
    let events = rig.take(&sender.segment(&[]));
    let live = EventBody::State { channel: Some(Channel::Book), state: FeedState::Live, cause: Cause::None };
    let empty = EventBody::Book { bids: 0..0, asks: 0..0, snapshot: true };
    assert_eq!(events, [empty.clone(), live.clone(), empty, live]);
    assert_eq!((rig.market.counts().restarts, rig.market.doubtful_books()), (1, 0));
}

#[test]
fn a_capture_from_the_middle_says_so() {
    let mut sender = Sender::new(DEEP);
    sender.segment(&[trade("AAPL", 50, 1_435_100, 9)]);
    let mut rig = Rig::new();
    rig.take(&sender.segment(&[level(b'8', "AAPL", true, 100, 1_435_000)]));
    assert_eq!(rig.told("AAPL"), [None, Some(FeedState::Live), Some(FeedState::Resyncing)]);
    assert!(rig.out.batch.events.last().unwrap().flags.has(Flags::MAYBE_BAD_BOOK));
    assert!(rig.faults().is_empty());
}

#[test]
fn a_quote_is_good_again_with_the_next_one() {
    let mut sender = Sender::new(TOPS);
    let mut rig = Rig::new();
    let symbols = ["AAPL", "MSFT"];
    rig.take(&sender.segment(&symbols.map(|symbol| quote(symbol, 0, (10_000, 1), (10_100, 2)))));
    sender.segment(&[trade("AAPL", 1, 10_000, 1)]);
    rig.take(&sender.segment(&[quote("AAPL", 0, (0, 0), (10_100, 2))]));
    let EventBody::Quote(seen) = rig.out.batch.events.last().unwrap().body.clone() else { panic!("{:?}", rig.out) };
    assert_eq!(seen, Quote { bid_price: None, bid_size: None, ask_price: Some(10_100), ask_size: Some(2) });
    assert_eq!(rig.told("AAPL"), [Some(FeedState::Live), Some(FeedState::Live), None]);
    assert_eq!(rig.told("MSFT"), [Some(FeedState::Resyncing), Some(FeedState::Live), None]);
    let events = rig.take(&sender.segment(&[quote("AAPL", 0x80, (10_000, 1), (10_100, 2))]));
    assert_eq!(events, [EventBody::Quote(Quote::default())], "a halted symbol has no quote");
}

#[test]
fn what_comes_twice_counts_once() {
    let mut sender = Sender::new(TOPS);
    let mut rig = Rig::new();
    let trades =
        |rig: &mut Rig, segment: &Segment| rig.take(segment).iter().filter(|body| matches!(body, EventBody::Trade(_))).count();
    let first = sender.segment(&[trade("AAPL", 1, 1, 1), trade("AAPL", 1, 1, 2)]);
    let second = sender.segment(&[trade("AAPL", 1, 1, 3)]);
    assert_eq!(trades(&mut rig, &first), 2);
    assert_eq!(trades(&mut rig, &first), 0);
    // Sent again with what follows in one segment, as gap fill does.
    let both = Segment { messages: [first.messages.clone(), second.messages.clone()].concat(), ..first.clone() };
    assert_eq!(trades(&mut rig, &both), 1);
    assert_eq!(trades(&mut rig, &second), 0);
    assert_eq!(trades(&mut rig, &sender.segment(&[trade("AAPL", 1, 1, 4)])), 1);
    assert_eq!((rig.market.counts().duplicates, rig.market.counts().gaps), (2, 0));
    // Another session is another stream, whatever its numbers.
    let other = Segment { session: 8, first: 1, ..sender.segment(&[trade("AAPL", 1, 1, 1)]) };
    assert_eq!(trades(&mut rig, &other), 1);
    assert_eq!(rig.market.counts().restarts, 1);
    let jump = Segment { session: 8, first: 2, offset: other.offset + 7, ..sender.segment(&[]) };
    rig.take(&jump);
    assert_eq!(rig.faults(), [FaultKind::SequenceGap], "bytes are missing though the numbers go on");
}

#[test]
fn trading_states_are_those_of_all_markets_and_of_iex() {
    let mut sender = Sender::new(TOPS);
    let mut rig = Rig::new();
    let status = |status: u8| [head(b'H', status, "AAPL"), b"T1  ".to_vec()].concat();
    let steps = [
        (status(b'T'), Some(TradingState::Open)),
        (status(b'T'), None),
        (head(b'O', b'O', "AAPL"), Some(TradingState::Halted)),
        (status(b'P'), None),
        (head(b'O', b'N', "AAPL"), Some(TradingState::Auction)),
        (status(b'H'), Some(TradingState::Halted)),
        ([&[b'S', b'E'][..], &NOW.to_le_bytes()].concat(), Some(TradingState::Closed)),
    ];
    for (message, expected) in steps {
        let events = rig.take(&sender.segment(std::slice::from_ref(&message)));
        let seen = events.iter().find_map(|body| if let EventBody::Trading(state) = body { Some(*state) } else { None });
        assert_eq!(seen, expected, "{message:?}");
    }
}

#[test]
fn longer_messages_are_read_shorter_ones_are_told() {
    let mut sender = Sender::new(TOPS);
    let mut rig = Rig::new();
    let whole = trade("AAPL", 50, 1_435_100, 9);
    let grown = [whole.clone(), vec![1, 2, 3]].concat();
    assert!(rig.take(&sender.segment(&[grown, head(b'z', 0, "AAPL")])).iter().any(|body| matches!(body, EventBody::Trade(_))));
    assert!(rig.faults().is_empty());
    for length in 0..whole.len() {
        rig.take(&sender.segment(&[whole[..length].to_vec()]));
        assert_eq!(rig.faults(), [FaultKind::BadMessage], "{length}");
    }
    let counts = rig.market.counts();
    assert_eq!((counts.unknown, counts.short, counts.of(b'T')), (1, whole.len() as u64, whole.len() as u64));
    // Cut in the middle: what is whole counts, the rest is a loss.
    let bytes = sender.segment(&[whole.clone(), whole]).bytes();
    rig.out.clear();
    rig.market.on_payload(NOW, &bytes[..bytes.len() - 1], &mut rig.out);
    assert_eq!(rig.faults(), [FaultKind::BadMessage]);
    assert_eq!((rig.market.counts().cut, rig.out.batch.events.len()), (1, 3), "a trade, a gap, and quotes to be made good");
}

#[test]
fn settings_are_checked() {
    let settings = |symbol: &str| FeedSettings { symbols: vec![symbol.to_owned()], ..FeedSettings::of_venue("iex") };
    assert!(market(&settings("BRK.B")).is_ok() && market(&settings("!ABC+")).is_ok());
    for bad in ["", "!", "NINELETTR", "A B"] {
        assert!(market(&settings(bad)).is_err(), "{bad:?}");
    }
}

/// Every message there is, some of them in several parts of a segment.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let symbol = prop_oneof![Just("AAPL"), Just("MSFT"), Just("A")];
    let known = (symbol, any::<u8>(), any::<u32>(), any::<i64>(), any::<u8>()).prop_map(|(symbol, flags, size, price, kind)| {
        let kinds = b"SDHOPEIQTB85XA";
        let kind = kinds[usize::from(kind) % kinds.len()];
        let mut message = [&head(kind, flags, symbol)[..], &size.to_le_bytes(), &price.to_le_bytes()].concat();
        message.resize(80, flags);
        message
    });
    prop_oneof![4 => known, 1 => proptest::collection::vec(any::<u8>(), 0..50)]
}

proptest! {
    #[test]
    fn random_payloads_are_survived(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let mut rig = Rig::new();
        for payload in &payloads {
            rig.market.on_payload(0, payload, &mut rig.out);
        }
        let counts = rig.market.counts();
        prop_assert_eq!(counts.segments + counts.not_segments, payloads.len() as u64);
    }

    /// Segments with any numbers, and with bytes changed.
    #[test]
    fn damaged_streams_are_survived(
        segments in proptest::collection::vec(
            (any::<bool>(), 0i64..6, any::<Option<i64>>(), any::<u8>(), proptest::collection::vec(anything(), 0..4), any::<(u16, u8)>()),
            1..30,
        )
    ) {
        let mut rig = Rig::new();
        for (deep, first, wild, session, messages, (at, change)) in segments {
            let segment = Segment {
                protocol: if deep { DEEP } else { TOPS },
                session: u32::from(session % 2),
                first: wild.unwrap_or(first),
                offset: wild.unwrap_or(first * 32),
                sent: wild.unwrap_or(NOW),
                messages,
            };
            let mut bytes = segment.bytes();
            let length = bytes.len();
            bytes[usize::from(at) % length] ^= change % 4;
            rig.out.clear();
            rig.market.on_payload(NOW, &bytes, &mut rig.out);
            let batch = &rig.out.batch;
            for event in &batch.events {
                prop_assert!((event.instrument as usize) < rig.market.instruments());
                if let EventBody::Book { bids, asks, .. } = &event.body {
                    prop_assert!(batch.levels(bids).iter().chain(batch.levels(asks)).all(|level| level.price > 0 && level.size >= 0));
                }
            }
        }
    }
}
