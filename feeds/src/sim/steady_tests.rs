//! The steady market must keep its rate whatever the steps, share it evenly, and say honestly when it was late.

use super::steady::Steady;
use crate::settings::SimSettings;
use std::collections::BTreeMap;
use wire::event::{Batch, Event, EventBody, Nanos};

const START: Nanos = 1_723_161_253_937_085_768;

fn settings() -> SimSettings {
    SimSettings { symbols: 10, events_per_second: 5_000, steady: true, trade_percent: 30, ..SimSettings::default() }
}

/// What follows the announcement.
fn run(settings: &SimSettings, steps: &[Nanos]) -> Vec<Event> {
    let mut steady = Steady::new(settings);
    let mut batch = Batch::default();
    let mut now = START;
    steady.advance(now, &mut batch);
    batch.clear();
    for step in steps {
        now += step;
        steady.advance(now, &mut batch);
    }
    batch.events
}

#[test]
fn the_rate_is_exact_and_even() {
    for steps in [&[1_000_000; 2_000][..], &[1_700_000; 1_176], &[2_000_000_000]] {
        let total: Nanos = steps.iter().sum();
        let events = run(&settings(), steps);
        let expected = (total * 5_000 / 1_000_000_000) as usize;
        assert_eq!(events.len(), expected);
        let mut of_symbol = BTreeMap::<u32, (usize, usize)>::new();
        for event in &events {
            let (all, trades) = of_symbol.entry(event.instrument).or_default();
            *all += 1;
            *trades += usize::from(matches!(event.body, EventBody::Trade(_)));
        }
        assert_eq!(of_symbol.len(), 10);
        for (all, trades) in of_symbol.values() {
            assert!(all.abs_diff(expected / 10) <= 1 && trades.abs_diff(all * 30 / 100) <= 1, "{all} {trades}");
        }
    }
}

#[test]
fn a_million_a_second_is_made_in_batches() {
    let settings = SimSettings { events_per_second: 1_000_000, trade_percent: 100, ..settings() };
    assert_eq!(run(&settings, &[1_000_000; 100]).len(), 100_000);
}

#[test]
fn trades_count_up_and_quotes_change() {
    let (mut ids, mut quotes) = (BTreeMap::new(), BTreeMap::new());
    for event in run(&settings(), &[1_000_000; 1_000]) {
        match event.body {
            EventBody::Trade(trade) => {
                let last = ids.insert(event.instrument, trade.id).flatten().unwrap_or(0);
                assert!(trade.id == Some(last + 1) && trade.size > 0);
            }
            EventBody::Quote(quote) => assert_ne!(quotes.insert(event.instrument, quote), Some(quote)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((ids.len(), quotes.len()), (10, 10));
}

#[test]
fn events_bear_when_they_were_due() {
    for step in [1_000_000, 50_000_000] {
        for (event, periods) in run(&settings(), &[step]).iter().zip(1..) {
            assert_eq!(event.event_time, (START + periods * 200_000) / 1_000 * 1_000, "however late it is made");
            assert_eq!(event.received, START + step);
        }
    }
}

#[test]
fn what_is_too_late_is_left_out() {
    let mut steady = Steady::new(&settings());
    let mut batch = Batch::default();
    steady.skip_to(START);
    steady.advance(START, &mut batch);
    batch.clear();
    let now = START + 10_000_000_000;
    steady.skip_to(now - 100_000_000);
    steady.advance(now, &mut batch);
    assert_eq!(batch.events.len(), 500);
}
