//! Made days rebuilt exactly, real sessions read without a remainder, and damage survived.

use super::generate::{Day, Settings, Tally};
use super::message::{KINDS, MAX_BYTES};
use super::*;
use crate::adapter::{FaultKind, Output};
use crate::engine::testkit::shared;
use crate::orders::Limits;
use proptest::prelude::*;
use std::collections::HashSet;
use wire::event::{Batch, Cause, Channel, Event, EventBody, FeedState, Flags, Level, Quote, Side, TradingState};

const DATE: &str = "2023-08-22";

fn options() -> Options {
    Options {
        date: SessionDate::parse(DATE).unwrap(),
        market: b'Q',
        stocks: HashSet::new(),
        quotes: true,
        trades: true,
        books: true,
        limits: Limits { orders: 100_000 },
    }
}

/// What a consumer of the events knows of one stock.
#[derive(Default)]
struct Follower {
    symbol: String,
    book: [std::collections::BTreeMap<i64, i64>; 2],
    quote: Quote,
    tally: Tally,
    gaps: u64,
    trading: Vec<TradingState>,
    flags: Flags,
}

impl Follower {
    fn levels(&self, side: Side) -> Vec<Level> {
        let level = |(price, size): (&i64, &i64)| Level { price: *price, size: *size };
        match side {
            Side::Bid => self.book[0].iter().rev().map(level).collect(),
            Side::Ask => self.book[1].iter().map(level).collect(),
        }
    }

    fn best(&self) -> Quote {
        let [bid, ask] = [Side::Bid, Side::Ask].map(|side| self.levels(side).first().copied());
        Quote {
            bid_price: bid.map(|level| level.price),
            bid_size: bid.map(|level| level.size),
            ask_price: ask.map(|level| level.price),
            ask_size: ask.map(|level| level.size),
        }
    }
}

#[derive(Default)]
struct Consumer(Vec<Follower>);

impl Consumer {
    fn take(&mut self, batch: &Batch) {
        batch.events.iter().for_each(|event| self.event(batch, event));
    }

    fn event(&mut self, batch: &Batch, event: &Event) {
        if let EventBody::Instrument(instrument) = &event.body {
            assert_eq!(event.instrument as usize, self.0.len(), "announced once, densely");
            return self.0.push(Follower { symbol: instrument.symbol.clone(), ..Follower::default() });
        }
        let follower = &mut self.0[event.instrument as usize];
        follower.flags = follower.flags.with(event.flags);
        match &event.body {
            EventBody::Book { bids, asks, snapshot } => {
                for (side, range) in follower.book.iter_mut().zip([bids, asks]) {
                    if *snapshot {
                        side.clear();
                    }
                    side.extend(batch.levels(range).iter().map(|level| (level.price, level.size)));
                    side.retain(|_, size| *size != 0);
                }
            }
            EventBody::Quote(quote) => {
                assert_ne!(*quote, follower.quote, "told again without a change");
                follower.quote = *quote;
            }
            EventBody::Trade(trade) => {
                follower.tally.trades += 1;
                follower.tally.shares += trade.size.unsigned_abs();
            }
            EventBody::Gap { channel: Channel::Trade, missing: Some(0), cause: Cause::BadData } => follower.tally.broken += 1,
            EventBody::Gap { channel: Channel::Trade, .. } => follower.gaps += 1,
            EventBody::Trading(trading) => follower.trading.push(*trading),
            EventBody::State { state, .. } => assert_eq!(*state, FeedState::Replay),
            other => panic!("{other:?}"),
        }
    }
}

fn rebuild(settings: Settings) -> Counts {
    let mut day = Day::new(settings);
    let mut market = Market::new(options(), FeedState::Replay);
    let (mut out, mut consumer) = (Output::default(), Consumer::default());
    let mut bytes = [0; MAX_BYTES];
    let mut handed_out = 0u64;
    while let Some(message) = day.next() {
        out.clear();
        market.on_message(0, message.encode(&mut bytes), &mut out);
        assert!(out.faults.is_empty(), "{:?}", out.faults);
        consumer.take(&out.batch);
        handed_out += 1;
        if handed_out.is_multiple_of(5_000) && day.is_settled() {
            compare(&day, &market, &consumer);
        }
    }
    compare(&day, &market, &consumer);
    assert_eq!(market.counts().messages(), handed_out);
    market.counts().clone()
}

fn compare(day: &Day, market: &Market, consumer: &Consumer) {
    assert_eq!(consumer.0.len(), day.stocks() as usize);
    for (at, follower) in (0..).zip(&consumer.0) {
        for side in [Side::Bid, Side::Ask] {
            let expected = day.levels(at, side);
            assert_eq!(follower.levels(side), expected, "{}", follower.symbol);
            let own = market.books().book(at).unwrap().side(side).best_first().copied();
            assert_eq!(own.collect::<Vec<_>>(), expected, "{}", follower.symbol);
        }
        assert_eq!(follower.quote, follower.best(), "{}", follower.symbol);
        assert_eq!((follower.tally, follower.gaps), (day.tally(at), 0), "{}", follower.symbol);
        assert_eq!(follower.flags, Flags::default());
    }
}

#[test]
fn a_made_day_is_rebuilt_exactly() {
    for seed in 1..=5 {
        let counts = rebuild(Settings { seed, stocks: 40, messages: 60_000 });
        for (kind, name, _) in KINDS {
            assert!(counts.of(*kind) > 0, "no {name} in the day of seed {seed}");
        }
        let wrong: Vec<_> = counts.by_name().into_iter().skip_while(|(name, _)| name != "messages").skip(1).collect();
        assert!(wrong.len() > 8 && wrong.iter().all(|(_, count)| *count == 0), "{wrong:?}");
    }
    rebuild(Settings { seed: 6, stocks: 1, messages: 0 });
    rebuild(Settings { seed: 7, stocks: 3_000, messages: 20_000 });
}

#[test]
fn the_same_seed_is_the_same_day() {
    let file = |seed| {
        let mut file = Vec::new();
        let messages = Day::new(Settings { seed, stocks: 5, messages: 2_000 }).write(&mut file).unwrap();
        assert!(messages > 2_000);
        file
    };
    assert_eq!(file(1), file(1));
    assert_ne!(file(1), file(2));
    // Times ascend.
    let times: Vec<u64> = messages(&file(3)).map(|message| Message::decode(message).unwrap().header.time_ns).collect();
    assert!(times.is_sorted() && times.last() <= Some(&(20 * 3_600 * 1_000_000_000)));
}

/// The messages of a BinaryFILE, as far as they are whole.
fn messages(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = file;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk()?;
        let (message, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = behind;
        (!message.is_empty()).then_some(message)
    })
}

#[test]
fn only_the_wanted_stocks_are_followed() {
    let stocks = HashSet::from([*b"AAAB    "]);
    let mut market = Market::new(Options { stocks, books: false, ..options() }, FeedState::Replay);
    let (mut out, mut consumer) = (Output::default(), Consumer::default());
    let mut day = Day::new(Settings { seed: 1, stocks: 3, messages: 5_000 });
    let mut bytes = [0; MAX_BYTES];
    for message in day.by_ref() {
        out.clear();
        market.on_message(0, message.encode(&mut bytes), &mut out);
        assert!(out.faults.is_empty() && out.batch.levels.is_empty());
        consumer.take(&out.batch);
    }
    assert_eq!((consumer.0.len(), consumer.0[0].symbol.as_str()), (1, "AAAB"));
    assert_eq!(consumer.0[0].tally, day.tally(1));
    let best = day.levels(1, Side::Bid).first().map(|level| level.price);
    assert_eq!(consumer.0[0].quote.bid_price, best);
}

/// Messages that a test writes by hand.
struct Session {
    market: Market,
    out: Output,
    consumer: Consumer,
}

impl Session {
    fn new() -> Self {
        Self { market: Market::new(options(), FeedState::Replay), out: Output::default(), consumer: Consumer::default() }
    }

    fn say(&mut self, locate: u16, body: message::Body) -> &Output {
        self.out.clear();
        let header = message::Header { locate, tracking: 0, time_ns: 34_200_000_000_001 };
        let mut bytes = [0; MAX_BYTES];
        self.market.on_message(0, Message { header, body }.encode(&mut bytes), &mut self.out);
        self.consumer.take(&self.out.batch);
        &self.out
    }

    fn add(&mut self, order: u64, side: u8, shares: u32, price: u32) -> &Output {
        self.say(1, message::Body::Add(message::Add { order, side, shares, stock: *b"BRK.B   ", price }))
    }

    fn faults(&self) -> Vec<FaultKind> {
        self.out.faults.iter().map(|fault| fault.kind).collect()
    }
}

#[test]
fn an_order_that_cannot_be_makes_its_book_doubtful() {
    use message::{Body, Cancel, Delete, Replace};
    let mut session = Session::new();
    let event = session.add(7, b'B', 100, 1_234_500).batch.events.last().cloned().unwrap();
    // 2023-08-22 09:30:00.000000001 in New York is 13:30 in UTC.
    assert_eq!((event.event_time, event.received), (1_692_711_000_000_000_001, 1_692_711_000_000_000_001));
    assert_eq!((event.instrument, event.flags), (0, Flags::default()));
    session.say(1, Body::Delete(Delete { order: 8 }));
    assert_eq!(session.faults(), [FaultKind::UnknownOrder]);
    assert_eq!(session.out.faults[0].detail, "BRK.B: order 8: no such order");
    let flags = session.add(9, b'S', 1, 1_234_600).batch.events[0].flags;
    assert_eq!(flags, Flags::MAYBE_BAD_BOOK);
    session.add(9, b'S', 1, 1_234_600);
    session.say(1, Body::Replace(Replace { order: 7, new_order: 9, shares: 5, price: 1 }));
    assert_eq!(session.faults(), [FaultKind::UnknownOrder]);
    assert_eq!(session.consumer.0[0].quote.bid_price, None, "the replaced order is gone all the same");
    session.say(1, Body::Cancel(Cancel { order: 9, shares: 3 }));
    assert_eq!(session.faults(), [FaultKind::UnknownOrder]);
    assert_eq!(session.consumer.0[0].quote, Quote::default());
    session.add(10, b'X', 1, 1);
    assert_eq!(session.faults(), [FaultKind::BadMessage]);
    session.say(2, Body::Delete(Delete { order: 8 }));
    assert_eq!(session.faults(), [FaultKind::UnknownInstrument]);
    let counts = session.market.counts();
    assert_eq!((counts.unknown_orders, counts.duplicate_orders, counts.excess, counts.unknown_stock), (1, 2, 1, 1));
}

#[test]
fn a_session_heard_from_its_middle_says_so() {
    use message::{Body, Executed, ExecutedAtPrice};
    let mut session = Session::new();
    session.market.begin_in_the_middle();
    session.add(1, b'B', 1, 4);
    // A trade at the price of an order that is not known is missing; one with its own price is not.
    session.say(1, Body::Executed(Executed { order: 7, shares: 5, match_number: 1 }));
    let gap = EventBody::Gap { channel: Channel::Trade, missing: Some(1), cause: Cause::SequenceGap };
    assert_eq!((session.out.batch.events.len(), &session.out.batch.events[0].body), (1, &gap));
    let done = |printable| Body::ExecutedAtPrice(ExecutedAtPrice { order: 7, shares: 5, match_number: 1, printable, price: 3 });
    session.say(1, done(b'N'));
    assert!(session.out.batch.is_empty());
    session.say(1, done(b'Y'));
    assert_eq!((session.out.batch.events.len(), session.consumer.0[0].tally.shares), (1, 5));
    session.say(1, message::Body::Delete(message::Delete { order: 8 }));
    assert!(session.out.faults.is_empty(), "nothing is known of what was before");
    assert_eq!(session.add(9, b'S', 1, 5).batch.events.last().unwrap().flags, Flags::MAYBE_BAD_BOOK);
    session.say(1, message::Body::Delete(message::Delete { order: 8 }));
    assert!(session.out.faults.is_empty());
    // The next day is heard whole.
    session.out.clear();
    session.market.begin_session(5, SessionDate::parse("2023-08-23").unwrap(), &mut session.out);
    session.consumer.take(&session.out.batch);
    assert_eq!(session.consumer.0[0].quote, Quote::default());
    assert!(session.consumer.0[0].levels(Side::Ask).is_empty());
    let event = session.add(9, b'S', 1, 6).batch.events[0].clone();
    assert_eq!((event.instrument, event.flags), (0, Flags::default()));
}

#[test]
fn a_loss_is_told_to_every_stock() {
    let mut session = Session::new();
    session.add(1, b'B', 1, 5);
    session.out.clear();
    session.market.lost(77, 12, &mut session.out);
    let bodies: Vec<_> = session.out.batch.events.iter().map(|event| event.body.clone()).collect();
    let expected = [
        EventBody::Gap { channel: Channel::Trade, missing: None, cause: Cause::SequenceGap },
        EventBody::State { channel: None, state: FeedState::Replay, cause: Cause::SequenceGap },
    ];
    assert_eq!(bodies, expected);
    assert_eq!((session.faults(), session.market.counts().lost), (vec![FaultKind::SequenceGap], 12));
    assert_eq!(session.add(2, b'B', 1, 6).batch.events[0].flags, Flags::MAYBE_BAD_BOOK);
}

#[test]
fn phases_of_trading() {
    use TradingState::{Auction, Closed, Halted, Open};
    use message::{Body, OperationalHalt, SystemEvent, TradingAction};
    let mut session = Session::new();
    let stock = *b"A       ";
    let action = |state| Body::TradingAction(TradingAction { stock, state, reserved: b' ', reason: *b"    " });
    let halt = |market, action| Body::OperationalHalt(OperationalHalt { stock, market, action });
    let system = |event| Body::SystemEvent(SystemEvent { event });
    for (locate, body) in [
        (0, system(b'O')),
        (1, action(b'T')),
        (0, system(b'S')),
        (0, system(b'Q')),
        (1, action(b'H')),
        (1, action(b'P')),
        (1, action(b'Q')),
        (1, action(b'T')),
        (1, halt(b'B', b'H')),
        (1, halt(b'Q', b'H')),
        (1, halt(b'Q', b'T')),
        (0, system(b'M')),
        (0, system(b'E')),
        (0, system(b'C')),
    ] {
        session.say(locate, body);
    }
    assert_eq!(session.consumer.0[0].trading, [Closed, Open, Halted, Auction, Open, Halted, Open, Closed]);
}

#[test]
fn the_first_thousand_messages_of_a_real_day() {
    let Some(path) = shared("nasdaq-itch/bbekele_first1000.itch") else { return };
    let mut file = BinaryFile::new(std::fs::File::open(path).unwrap());
    let mut market = Market::new(options(), FeedState::Replay);
    let mut out = Output::default();
    let mut last = 0;
    loop {
        match file.read().unwrap() {
            Framing::Message(message) => {
                let time = market.on_message(0, message, &mut out).unwrap();
                assert!(time >= last);
                last = time;
            }
            Framing::EndOfFile => break,
            other => panic!("{other:?}"),
        }
    }
    let counts = market.counts();
    assert_eq!([b'R', b'H', b'Y', b'S'].map(|kind| counts.of(kind)), [993, 3, 3, 1]);
    assert_eq!((counts.messages(), counts.unknown_types, counts.length_errors), (1_000, 0, 0));
    assert!(out.faults.is_empty());
    let midnight = SessionDate::parse(DATE).unwrap().midnight();
    assert_eq!(last - midnight, 11_354_360_581_000 + (last - midnight) % 1_000);
    let mut consumer = Consumer::default();
    consumer.take(&out.batch);
    let symbols: Vec<_> = consumer.0.iter().map(|follower| follower.symbol.as_str()).collect();
    assert_eq!((symbols.len(), &symbols[..3]), (993, &["A", "AA", "AAAU"][..]));
}

proptest! {
    /// Any bytes as messages: counted, never a panic.
    #[test]
    fn any_bytes_are_survived(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..200)) {
        let mut market = Market::new(Options { limits: Limits { orders: 10 }, ..options() }, FeedState::Live);
        let mut out = Output::default();
        for message in &messages {
            market.on_message(1, message, &mut out);
        }
        let counts = market.counts();
        prop_assert_eq!(counts.messages() + counts.unknown_types + counts.length_errors, messages.len() as u64);
    }

    /// A day in which bytes were changed, lost and doubled.
    #[test]
    fn a_damaged_day_is_survived(seed in 0..1_000u64, wounds in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..40)) {
        let mut file = Vec::new();
        Day::new(Settings { seed, stocks: 3, messages: 300 }).write(&mut file).unwrap();
        for (at, byte, how) in wounds {
            let at = at.index(file.len());
            match how {
                0 => file[at] = byte,
                1 => drop(file.remove(at)),
                _ => file.insert(at, byte),
            }
        }
        let mut market = Market::new(Options { limits: Limits { orders: 50 }, ..options() }, FeedState::Live);
        let mut out = Output::default();
        let mut reader = BinaryFile::new(&file[..]);
        let mut read = 0u64;
        loop {
            match reader.read().unwrap() {
                Framing::Message(message) => {
                    market.on_message(1, message, &mut out);
                    read += 1;
                }
                Framing::EndOfSession => {}
                Framing::EndOfFile | Framing::Torn(_) => break,
            }
        }
        let counts = market.counts();
        prop_assert_eq!(counts.messages() + counts.unknown_types + counts.length_errors, read);
        let wrong = counts.unknown_types + counts.length_errors + counts.unknown_orders + counts.duplicate_orders + counts.empty_orders
            + counts.refused_orders + counts.excess + counts.unknown_stock;
        prop_assert!(out.faults.len() as u64 >= wrong, "each is a fault");
    }
}
