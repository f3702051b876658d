//! Frames built by hand after the schema, read back; grown, cut and random ones as well.

use super::*;
use crate::venue::binance::sbe_frames::{Bytes, best, depth, trades};
use proptest::prelude::*;

const TIME: i64 = 1_767_225_600_000_001;
const SCALE: Scale = Scale { price_exponent: -2, size_exponent: -5 };

fn trades_frame(grown: usize) -> Vec<u8> {
    trades("BTCUSDT", TIME, &[(901, 6_421_051, 150, true), (902, 6_421_052, 78_213, false)], grown)
}

fn best_frame(grown: usize) -> Vec<u8> {
    best("BTCUSDT", TIME, 400_900_217, (6_421_051, 78_213), (6_421_052, 310_020), grown)
}

fn snapshot_frame(grown: usize) -> Vec<u8> {
    depth("ETHUSDT", TIME, &[77], &[(100, 5), (99, 6)], &[(101, 7)], grown)
}

fn diff_frame(grown: usize) -> Vec<u8> {
    depth("ETHUSDT", TIME, &[157, 160], &[(100, 0)], &[], grown)
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
    let root = Bytes::default().i64(TIME).i64(TIME).exponents();
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
