//! Frames built by hand after the schema, read back; grown, cut and random ones as well.

use super::*;
use proptest::prelude::*;

/// Fields after one another, as the schema has them.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn exponents(self, price: i8, size: i8) -> Self {
        self.u8(price.cast_unsigned()).u8(size.cast_unsigned())
    }

    fn with(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }

    fn symbol(mut self, symbol: &str) -> Self {
        self.0.push(symbol.len() as u8);
        self.0.extend(symbol.bytes());
        self
    }

    /// A message: header, root block, and what follows it. `grown`: bytes that a later version of the schema put behind the root.
    fn message(template: u16, root: &Self, grown: usize, rest: &Self) -> Vec<u8> {
        let mut bytes = Self::default().u16((root.0.len() + grown) as u16).u16(template).u16(1).u16(0).with(root).0;
        bytes.extend(vec![0xee; grown]);
        bytes.extend(&rest.0);
        bytes
    }

    /// A group of levels, each entry `grown` bytes longer than is known.
    fn levels(self, levels: &[(i64, i64)], grown: usize) -> Self {
        let mut bytes = self.u16(16 + grown as u16).u16(levels.len() as u16);
        for (price, size) in levels {
            bytes = bytes.i64(*price).i64(*size);
            bytes.0.extend(vec![0xee; grown]);
        }
        bytes
    }
}

const TIME: i64 = 1_767_225_600_000_001;
const SCALE: Scale = Scale { price_exponent: -2, size_exponent: -5 };

fn trades_frame(grown: usize) -> Vec<u8> {
    let root = Bytes::default().i64(TIME).i64(TIME - 7).exponents(-2, -5);
    let mut group = Bytes::default().u16(25 + grown as u16).u32(2);
    for (id, price, size, maker) in [(901, 6_421_051, 150, 1), (902, 6_421_052, 78_213, 0)] {
        group = group.i64(id).i64(price).i64(size).u8(maker);
        group.0.extend(vec![0xee; grown]);
    }
    Bytes::message(10_000, &root, grown, &group.symbol("BTCUSDT"))
}

fn best_frame(grown: usize) -> Vec<u8> {
    let root =
        Bytes::default().i64(TIME).i64(400_900_217).exponents(-2, -5).i64(6_421_051).i64(78_213).i64(6_421_052).i64(310_020);
    Bytes::message(10_001, &root, grown, &Bytes::default().symbol("BTCUSDT"))
}

fn snapshot_frame(grown: usize) -> Vec<u8> {
    let root = Bytes::default().i64(TIME).i64(77).exponents(-2, -5);
    let rest = Bytes::default().levels(&[(100, 5), (99, 6)], grown).levels(&[(101, 7)], grown).symbol("ETHUSDT");
    Bytes::message(10_002, &root, grown, &rest)
}

fn diff_frame(grown: usize) -> Vec<u8> {
    let root = Bytes::default().i64(TIME).i64(157).i64(160).exponents(-2, -5);
    let rest = Bytes::default().levels(&[(100, 0)], grown).levels(&[], grown).symbol("ETHUSDT");
    Bytes::message(10_003, &root, grown, &rest)
}

#[test]
fn frames_are_read_as_the_schema_has_them() {
    // The lengths that the schema gives: 8 + root + rest.
    assert_eq!((trades_frame(0).len(), best_frame(0).len()), (8 + 18 + 6 + 2 * 25 + 8, 8 + 50 + 8));
    assert_eq!((snapshot_frame(0).len(), diff_frame(0).len()), (8 + 18 + 4 + 32 + 4 + 16 + 8, 8 + 26 + 4 + 16 + 4 + 8));
    // Grown: what a later version puts behind the known fields is skipped.
    for grown in [0, 1, 9] {
        let frame = trades_frame(grown);
        let Ok(Frame::Trades(trades)) = parse(&frame) else { panic!("{:?}", parse(&frame)) };
        assert_eq!((trades.symbol, trades.event_time, trades.transact_time), ("BTCUSDT", TIME * 1_000, (TIME - 7) * 1_000));
        assert_eq!((trades.scale, trades.len(), trades.is_empty()), (SCALE, 2, false));
        let entry = |id, price, size, buyer_is_maker| Ok(SbeTrade { id, level: Level { price, size }, buyer_is_maker });
        assert_eq!(
            trades.entries().collect::<Vec<_>>(),
            [entry(901, 6_421_051, 150, true), entry(902, 6_421_052, 78_213, false)]
        );

        let frame = best_frame(grown);
        let expected = BestBidAsk {
            symbol: "BTCUSDT",
            event_time: TIME * 1_000,
            update_id: 400_900_217,
            scale: SCALE,
            bid: Level { price: 6_421_051, size: 78_213 },
            ask: Level { price: 6_421_052, size: 310_020 },
        };
        assert_eq!(parse(&frame), Ok(Frame::BestBidAsk(expected)));

        let frame = snapshot_frame(grown);
        let Ok(Frame::DepthSnapshot(depth)) = parse(&frame) else { panic!("{:?}", parse(&frame)) };
        assert_eq!((depth.symbol, depth.first, depth.last), ("ETHUSDT", 77, 77));
        assert_eq!(depth.bids().collect::<Vec<_>>(), [Ok(Level { price: 100, size: 5 }), Ok(Level { price: 99, size: 6 })]);
        assert_eq!(depth.asks().collect::<Vec<_>>(), [Ok(Level { price: 101, size: 7 })]);

        let frame = diff_frame(grown);
        let Ok(Frame::DepthDiff(depth)) = parse(&frame) else { panic!("{:?}", parse(&frame)) };
        assert_eq!((depth.first, depth.last, depth.bids().len(), depth.asks().len()), (157, 160, 1, 0));
    }
}

#[test]
fn what_is_not_ours_is_told() {
    let unknown = Bytes::message(10_004, &Bytes::default(), 3, &Bytes::default());
    assert_eq!(parse(&unknown), Ok(Frame::Unknown { template: 10_004 }));
    let other = Bytes::default().u16(0).u16(10_000).u16(3).u16(0).0;
    assert_eq!(parse(&other), Err(SbeError::Schema(3)));
    for frame in [trades_frame(0), best_frame(0), snapshot_frame(0), diff_frame(0)] {
        for length in 0..frame.len() {
            assert_eq!(parse(&frame[..length]), Err(SbeError::Short), "{length}");
        }
    }
    let with = |change: fn(&mut [u8])| {
        let mut frame = best_frame(0);
        change(&mut frame);
        parse(&frame).err()
    };
    assert_eq!(with(|frame| frame[15] = 0x80), Some(SbeError::Value), "a time before 1970");
    assert_eq!(with(|frame| frame[24] = 100), Some(SbeError::Value), "an exponent of 100");
    assert_eq!(with(|frame| frame[33] = 0x80), Some(SbeError::Value), "a negative price");
    assert_eq!(with(|frame| frame[59] = 0xff), Some(SbeError::Symbol));
    // Entries shorter than their fields: refused before any is read.
    let root = Bytes::default().i64(TIME).i64(TIME).exponents(-2, -5);
    let short = Bytes::message(10_000, &root, 0, &Bytes::default().u16(24).u32(1).i64(1).i64(1).i64(1).symbol("A"));
    assert_eq!(parse(&short), Err(SbeError::Short));
    let huge = Bytes::message(10_000, &root, 0, &Bytes::default().u16(u16::MAX).u32(u32::MAX).symbol("A"));
    assert_eq!(parse(&huge), Err(SbeError::Short));
    let empty = Bytes::message(10_000, &root, 0, &Bytes::default().u16(0).u32(0).symbol("A"));
    assert!(matches!(parse(&empty), Ok(Frame::Trades(trades)) if trades.is_empty() && trades.entries().count() == 0));
}

/// Reads everything there is in a frame.
fn walk(frame: &[u8]) {
    match parse(frame) {
        Ok(Frame::Trades(trades)) => assert!(trades.entries().count() == trades.len() && trades.len() < frame.len()),
        Ok(Frame::DepthSnapshot(depth) | Frame::DepthDiff(depth)) => {
            assert!(depth.bids().chain(depth.asks()).flatten().all(|level| level.price >= 0 && level.size >= 0));
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn damaged_frames_are_survived(which in 0usize..4, changes in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..8), tail in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut frame = [trades_frame, best_frame, snapshot_frame, diff_frame][which](0);
        for (at, to) in changes {
            let at = usize::from(at) % frame.len();
            frame[at] = to;
        }
        walk(&frame);
        frame.extend(&tail);
        walk(&frame);
        walk(&tail);
    }
}
