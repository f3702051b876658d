//! Views under records: sequences, snapshots, gaps, checks.

use super::*;
use crate::event::{Aggressor, Level};
use crate::record::{Clock, TradeRecord, TradeSummary};

fn meta(kind: Kind) -> Meta {
    Meta {
        topic: 1,
        name: format!("{kind}/sim:A"),
        kind,
        epoch: 7,
        price_exponent: -2,
        size_exponent: -5,
        tick: 1,
        lot: 1,
        base: 0,
        clock: Clock::Event,
        time_exponent: -6,
    }
}

fn record(flags: Flags, sequence: u64, body: RecordBody<'_>) -> Record<'_> {
    Record { topic: 1, flags, sequence, time: 5, body }
}

fn trade(price: i64, size: i64) -> RecordBody<'static> {
    let aggressor = Aggressor::Buy;
    RecordBody::Trade(TradeRecord { price, size, aggressor, id: None, previous_id: None, aggregated: false })
}

const DELTA: Flags = Flags(0);

#[test]
fn deltas_need_a_snapshot_and_move_the_sequence() {
    let mut view = View::new(&meta(Kind::Quote));
    let quote = Quote { bid_price: Some(10), bid_size: Some(1), ask_price: None, ask_size: None };
    let change = RecordBody::Quote(QuoteChange { ask_price: Some(Some(12)), ..QuoteChange::default() });
    assert_eq!(view.apply(&record(DELTA, 1, change)), Err(ViewError::NoSnapshot));
    let full = RecordBody::Quote(QuoteChange::full(&quote));
    assert_eq!(view.apply(&record(Flags::SNAPSHOT, 40, full)), Ok(Applied::Snapshot));
    assert_eq!(view.apply(&record(DELTA, 3, change)), Ok(Applied::Delta { updates: 3 }));
    assert_eq!(view.sequence, Some(43));
    let now = Quote { ask_price: Some(12), ..quote };
    assert_eq!(view.quote(), Some(&now));
    assert_eq!(view.apply(&record(DELTA, 0, RecordBody::Check { hash: quote_hash(&now) })), Ok(Applied::Checked));
    let wrong = view.apply(&record(DELTA, 0, RecordBody::Check { hash: quote_hash(&quote) }));
    assert!(matches!(wrong, Err(ViewError::CheckMismatch { .. })));
    assert_eq!(view.apply(&record(DELTA, 1, trade(1, 1))), Err(ViewError::WrongKind(Kind::Quote)));
    assert_eq!(view.sequence, Some(43));
}

#[test]
fn a_new_epoch_empties_the_view_and_the_same_one_does_not() {
    let mut view = View::new(&meta(Kind::Book));
    let bids = [Level { price: 5, size: 1 }];
    view.apply(&record(Flags::SNAPSHOT, 1, RecordBody::Book { bids: &bids, asks: &[] })).unwrap();
    view.apply(&record(DELTA, 0, RecordBody::State(Status::default()))).unwrap();
    view.apply(&record(DELTA, 0, RecordBody::Meta(&meta(Kind::Book)))).unwrap();
    assert_eq!(view.book().unwrap().len(crate::event::Side::Bid), 1);
    view.apply(&record(DELTA, 0, RecordBody::Meta(&Meta { epoch: 8, ..meta(Kind::Book) }))).unwrap();
    assert!(view.book().unwrap().is_empty());
    assert_eq!((view.epoch, view.sequence, view.state), (8, None, Some(Status::default())));
}

#[test]
fn missing_trades_are_a_hole_unless_a_gap_tells_of_them() {
    let mut view = View::new(&meta(Kind::Trade));
    assert_eq!(view.apply(&record(Flags::SNAPSHOT, 9, RecordBody::Tape)), Ok(Applied::Snapshot));
    assert_eq!(view.apply(&record(DELTA, 1, trade(10, 2))), Ok(Applied::Delta { updates: 1 }));
    assert_eq!(view.apply(&record(DELTA, 4, trade(11, 2))), Err(ViewError::Hole { missing: 3 }));
    let gap = RecordBody::Gap { cause: Cause::Overrun, missing: Some(5) };
    assert_eq!(view.apply(&record(DELTA, 5, gap)), Ok(Applied::Gap { cause: Cause::Overrun, missing: Some(5) }));
    assert_eq!(view.sequence, Some(19));
    assert_eq!(view.tape().unwrap().entries().map(|entry| entry.sequence).collect::<Vec<_>>(), [10, 14]);
}

#[test]
fn a_summary_adds_up_to_its_trades() {
    let (mut every, mut summed) = (View::new(&meta(Kind::Trade)), View::new(&meta(Kind::Trade)));
    for view in [&mut every, &mut summed] {
        view.apply(&record(Flags::SNAPSHOT, 0, RecordBody::Tape)).unwrap();
    }
    let mut window: Option<TradeSummary> = None;
    for (price, size) in [(10, 3), (8, 1), (12, 2)] {
        let body = trade(price, size);
        every.apply(&record(DELTA, 1, body)).unwrap();
        let RecordBody::Trade(trade) = body else { unreachable!() };
        match &mut window {
            Some(window) => window.add(&TradeSummary::of(&trade)),
            none => *none = Some(TradeSummary::of(&trade)),
        }
    }
    summed.apply(&record(DELTA, 3, RecordBody::Summary(window.unwrap()))).unwrap();
    assert_eq!(summed.tape().unwrap().total(), every.tape().unwrap().total());
    assert_eq!((summed.sequence, summed.hash()), (every.sequence, every.hash()));
    let expected = TradeSummary { last: 12, high: 12, low: 8, count: 3, volume: 6, notional: 62 };
    assert_eq!(window, Some(expected));
}
