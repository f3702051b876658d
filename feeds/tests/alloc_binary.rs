//! Nothing is allocated for a message of a binary feed. In: messages of symbols that are known. Out: the number of allocations, which
//! must be none. Bounded: an allocator that counts, in a program of its own.

use dbn::{BidAskPair, FlagSet, MboMsg, Mbp1Msg, Mbp10Msg, RecordHeader, RecordRef, TradeMsg, rtype};
use feeds::adapter::Output;
use feeds::settings::FeedSettings;
use feeds::venue::binance::sbe::{self, Frame};
use feeds::venue::{databento, iex};
use std::hint::black_box;

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

#[test]
fn sbe_allocates_nothing() {
    let root = [&[26, 0, 0x13, 0x27, 1, 0, 0, 0][..], &[0; 8], &[1; 16], &[0xfe, 0xfb]].concat();
    let group = |levels: u8| [vec![16, 0, levels, 0], vec![1; 16 * usize::from(levels)]].concat();
    let frame = [root, group(20), group(20), b"\x07BTCUSDT".to_vec()].concat();
    none("a depth frame", |_| {
        let Ok(Frame::DepthDiff(depth)) = sbe::parse(black_box(&frame)) else { panic!("{:?}", sbe::parse(&frame)) };
        let sizes: i64 = depth.bids().chain(depth.asks()).flatten().map(|level| level.size >> 8).sum();
        assert!(sizes > 0 && depth.symbol == "BTCUSDT");
    });
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
