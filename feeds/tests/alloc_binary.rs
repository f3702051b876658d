//! Nothing is allocated for a message of a binary feed. In: messages of symbols that are known. Out: the number of allocations, which
//! must be none. Bounded: an allocator that counts, in a program of its own.

#[path = "support/sbe_frames.rs"]
mod sbe_frames;

use dbn::{BidAskPair, FlagSet, MboMsg, Mbp1Msg, Mbp10Msg, RecordHeader, RecordRef, TradeMsg, rtype};
use feeds::adapter::{Action, Adapter, Line, Now, Output};
use feeds::registry;
use feeds::settings::FeedSettings;
use feeds::venue::{databento, iex};
use std::hint::black_box;
use wire::event::EventBody;

const WARM_UP: u64 = 3_000;
const COUNTED: u64 = 1_000;
const NOW: u64 = 1_767_225_600_000_000_000;

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(black_box(Box::new(1)))).count_total, 1);
}

/// Runs `step` until it is warm; then it must not allocate.
#[track_caller]
fn none(what: &str, mut step: impl FnMut(u64)) {
    (0..WARM_UP).for_each(&mut step);
    let counted = allocation_counter::measure(|| (WARM_UP..WARM_UP + COUNTED).for_each(&mut step));
    assert_eq!(counted.count_total, 0, "allocations of {what} in {COUNTED} messages, {} bytes", counted.bytes_total);
}

fn head(kind: u8, second: u8) -> Vec<u8> {
    [&[kind, second][..], &NOW.to_le_bytes(), b"AAPL    "].concat()
}

/// A segment of IEX-TP whose numbers are set by `Stream::step`.
struct Segment {
    bytes: Vec<u8>,
    count: u64,
}

impl Segment {
    fn new(protocol: u16, messages: &[Vec<u8>]) -> Self {
        let body: Vec<u8> =
            messages.iter().flat_map(|message| [&(message.len() as u16).to_le_bytes()[..], message].concat()).collect();
        let mut bytes = vec![0; 40];
        bytes[0] = 1;
        bytes[2..4].copy_from_slice(&protocol.to_le_bytes());
        bytes[12..14].copy_from_slice(&(body.len() as u16).to_le_bytes());
        bytes[14..16].copy_from_slice(&(messages.len() as u16).to_le_bytes());
        bytes.extend(body);
        Self { bytes, count: messages.len() as u64 }
    }

    fn number(&mut self, step: u64) {
        let offset = step * (self.bytes.len() as u64 - 40);
        self.bytes[16..24].copy_from_slice(&offset.to_le_bytes());
        self.bytes[24..32].copy_from_slice(&(1 + step * self.count).to_le_bytes());
        self.bytes[32..40].copy_from_slice(&(NOW + step).to_le_bytes());
    }
}

#[test]
fn iex_allocates_nothing() {
    let numbers = |size: u32, price: i64| [&size.to_le_bytes()[..], &price.to_le_bytes()].concat();
    let trade = [head(b'T', 0), numbers(5, 1_435_000), 9i64.to_le_bytes().to_vec()].concat();
    let level = |kind: u8, complete: u8| [head(kind, complete), numbers(5, 1_435_000)].concat();
    let quote = [head(b'Q', 0), numbers(5, 1_435_000), 1_435_100i64.to_le_bytes().to_vec(), 7u32.to_le_bytes().to_vec()].concat();
    let status = [head(b'H', b'T'), b"    ".to_vec()].concat();
    for (what, protocol, messages) in [
        ("DEEP", 0x8004, vec![trade.clone(), level(b'8', 0), level(b'5', 0), level(b'8', 1), status.clone()]),
        ("TOPS", 0x8003, vec![quote, trade, status]),
    ] {
        let mut market = iex::market(&FeedSettings::of_venue("iex")).unwrap();
        let mut segment = Segment::new(protocol, &messages);
        let mut out = Output::default();
        none(what, |step| {
            segment.number(step);
            out.clear();
            market.on_payload(NOW as i64, &segment.bytes, &mut out);
            assert!(step == 0 || out.batch.events.len() == 2, "{:?}", out.batch.events);
            assert!(out.faults.is_empty());
        });
    }
}

/// An adapter of Binance's binary streams whose BTCUSDT has its book as of id 0.
fn binance() -> Box<dyn Adapter> {
    let settings = FeedSettings { symbols: vec!["BTC-USDT".to_owned()], ..FeedSettings::of_venue("binance-sbe") };
    let mut adapter = registry::adapter("binance-sbe", &settings).unwrap();
    let dialect = registry::dialect("binance-sbe").unwrap();
    adapter.replayed(dialect.instruments(&[("BTCUSDT".to_owned(), (-2, -5))].into()), false);
    let (now, mut out) = (Now { wall: NOW as i64, mono: 0 }, Output::default());
    adapter.start(now, &mut out);
    while !out.actions.is_empty() {
        for action in std::mem::take(&mut out.actions) {
            match action {
                Action::Open { line, .. } => adapter.on_open(now, line, &mut out),
                Action::Send { line, text } => {
                    for grant in dialect.grants(&text) {
                        adapter.on_message(now, line, &mut grant.into_bytes(), &mut out);
                    }
                }
                Action::Fetch { fetch, .. } => {
                    let body = br#"{"lastUpdateId":0,"bids":[["10.00","1"]],"asks":[["20.00","2"]]}"#.to_vec();
                    adapter.on_response(now, fetch, Ok(body), &mut out);
                }
                Action::Close { .. } | Action::Reconnect { .. } => panic!("{action:?}"),
            }
        }
    }
    adapter
}

#[test]
fn sbe_allocates_nothing() {
    let (now, line) = (Now { wall: NOW as i64, mono: 1 }, Line(0));
    let (mut adapter, mut out) = (binance(), Output::default());
    let mut events = 0;
    // Made before they are counted.
    let frames: Vec<_> = (1..=(WARM_UP + COUNTED) as i64)
        .map(|id| {
            let levels = |from: i64| (0..20).map(|at| (from + at, (id + at) % 4)).collect::<Vec<_>>();
            let time = NOW as i64 / 1_000 + id;
            let depth = sbe_frames::depth("BTCUSDT", time, &[id, id], &levels(980), &levels(2_000), 0);
            let trades = sbe_frames::trades("BTCUSDT", time, &[(2 * id, 1_000, 5, true), (2 * id + 1, 1_001, 5, false)], 0);
            [sbe_frames::best("BTCUSDT", time, id, (999, 1 + id % 7), (2_000, 3), 0), trades, depth]
        })
        .collect();
    let mut frames = frames.into_iter();
    none("quotes, trades and levels of Binance", |_| {
        for mut frame in frames.next().unwrap() {
            out.clear();
            adapter.on_message(now, line, &mut frame, &mut out);
            assert!(out.faults.is_empty() && out.actions.is_empty(), "{:?} {:?}", out.faults, out.actions);
            events += out.batch.events.iter().filter(|event| !matches!(event.body, EventBody::State { .. })).count() as u64;
        }
    });
    assert!(events >= 4 * (WARM_UP + COUNTED) - 1, "{events}");
}

#[test]
fn dbn_allocates_nothing() {
    let header = |kind, step| RecordHeader::new::<MboMsg>(kind, 1, 7, NOW + step);
    let pair = |step: u64| BidAskPair {
        bid_px: 100_000_000_000 - (step % 5) as i64 * 10_000_000,
        ask_px: 101_000_000_000,
        bid_sz: 1 + (step % 3) as u32,
        ask_sz: 4,
        ..BidAskPair::default()
    };
    let mut market = databento::market(&FeedSettings::of_venue("databento")).unwrap();
    let mut out = Output::default();
    none("trades, quotes, levels and orders", |step| {
        out.clear();
        let trade = TradeMsg {
            hd: RecordHeader::new::<TradeMsg>(rtype::MBP_0, 1, 7, NOW),
            price: 100_000_000_000,
            size: 1,
            ..TradeMsg::default()
        };
        let quote =
            Mbp1Msg { hd: RecordHeader::new::<Mbp1Msg>(rtype::MBP_1, 1, 7, NOW), levels: [pair(step)], ..Mbp1Msg::default() };
        let mut ten = Mbp10Msg { hd: RecordHeader::new::<Mbp10Msg>(rtype::MBP_10, 1, 8, NOW), ..Mbp10Msg::default() };
        ten.levels[0] = pair(step);
        let order = MboMsg {
            hd: header(rtype::MBO, step),
            order_id: step % 2,
            price: 99_000_000_000 + (step % 8) as i64 * 10_000_000,
            size: 3,
            flags: FlagSet::new(0x80),
            // An order comes, and goes with the next record but one.
            action: if step % 4 < 2 { b'A' } else { b'C' }.cast_signed(),
            side: b'B'.cast_signed(),
            ..MboMsg::default()
        };
        for record in [RecordRef::from(&trade), RecordRef::from(&quote), RecordRef::from(&ten), RecordRef::from(&order)] {
            market.on_record(record, None, &mut out);
        }
        assert!(out.batch.events.len() >= 4 && out.faults.is_empty(), "{:?} {:?}", out.batch.events, out.faults);
    });
}
