//! The simulated market must be repeatable, never crossed, and its trades, quotes and books must agree.

use super::*;
use std::collections::BTreeMap;
use wire::event::{Aggressor, Quote};

const START: Nanos = 1_723_161_253_937_085_768;

fn settings(seed: u64) -> SimSettings {
    SimSettings { seed, symbols: 12, events_per_second: 20_000, zipf: 1.0, levels: 30, ..SimSettings::default() }
}

/// Everything that happened, with levels resolved; what depends on when time was told is left out.
fn run(settings: &SimSettings, steps: &[Nanos]) -> Vec<String> {
    let mut sim = Sim::new(settings);
    let mut batch = Batch::default();
    let mut seen = Vec::new();
    let mut now = START;
    for step in [0].iter().chain(steps) {
        now += step;
        batch.clear();
        sim.advance(now, &mut batch);
        for event in &batch.events {
            assert!(event.received == now && event.event_time <= now && event.event_time % 1_000 == 0);
            let levels = match &event.body {
                EventBody::Book { bids, asks, .. } => Some((batch.levels(bids), batch.levels(asks))),
                _ => None,
            };
            let body = match &event.body {
                EventBody::Book { snapshot, .. } => format!("book {snapshot}"),
                other => format!("{other:?}"),
            };
            seen.push(format!("{} {} {body} {levels:?}", event.instrument, event.event_time));
        }
    }
    seen
}

#[test]
fn the_seed_decides_whatever_the_steps() {
    let coarse = run(&settings(7), &[500_000_000; 4]);
    let fine = run(&settings(7), &[1_000_000; 2000]);
    assert_eq!(coarse, fine);
    assert_ne!(coarse, run(&settings(8), &[500_000_000; 4]));
}

#[derive(Default)]
struct Model {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    quote: Quote,
    trades: i64,
}

impl Model {
    fn top(&self) -> Quote {
        let (bid, ask) = (self.bids.last_key_value(), self.asks.first_key_value());
        Quote {
            bid_price: bid.map(|level| *level.0),
            bid_size: bid.map(|level| *level.1),
            ask_price: ask.map(|level| *level.0),
            ask_size: ask.map(|level| *level.1),
        }
    }

    fn apply(&mut self, batch: &Batch, event: &Event) {
        match &event.body {
            EventBody::Book { bids, asks, snapshot } => {
                if *snapshot {
                    (self.bids, self.asks) = Default::default();
                }
                for (side, range) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
                    for level in batch.levels(range) {
                        assert!(level.price > 0 && level.size >= 0);
                        if level.size == 0 {
                            assert!(side.remove(&level.price).is_some(), "a delete of a level that is there");
                        } else {
                            side.insert(level.price, level.size);
                        }
                    }
                }
                assert!(self.bids.keys().last() < self.asks.keys().next(), "never crossed");
            }
            EventBody::Quote(quote) => {
                assert_eq!(*quote, self.top(), "the quote is the top of the book");
                assert_ne!(*quote, self.quote);
                self.quote = *quote;
            }
            EventBody::Trade(trade) => {
                let (price, size) = match trade.aggressor {
                    Aggressor::Buy => (self.quote.ask_price, self.quote.ask_size),
                    _ => (self.quote.bid_price, self.quote.bid_size),
                };
                assert!(Some(trade.price) == price && Some(trade.size) <= size && trade.size > 0, "trades hit the best level");
                self.trades += 1;
                assert_eq!(trade.id, Some(self.trades));
            }
            _ => {}
        }
    }
}

#[test]
fn books_quotes_and_trades_agree() {
    for seed in 0..4 {
        let mut sim = Sim::new(&SimSettings { levels: 5 + 40 * seed as u32, ..settings(seed) });
        let mut models: Vec<Model> = (0..sim.symbols()).map(|_| Model::default()).collect();
        let mut batch = Batch::default();
        let mut counts = [0u32; 12];
        for step in 0..500 {
            batch.clear();
            sim.advance(START + step * 10_000_000, &mut batch);
            for event in &batch.events {
                let model = &mut models[event.instrument as usize];
                model.apply(&batch, event);
                counts[event.instrument as usize] += 1;
            }
            for model in &models {
                assert_eq!(model.quote, model.top(), "after a batch the quote is current");
                assert!(model.bids.len() == 5 + 40 * seed as usize && model.bids.len() == model.asks.len());
            }
        }
        let total: u32 = counts.iter().sum();
        assert!((80_000..120_000).contains(&total), "5 s at 20,000 a second: {total}");
        assert!(counts[0] > 4 * counts[11], "activity is spread by Zipf's law: {counts:?}");
        assert!(models[0].trades > 1000);
    }
}

#[test]
fn a_long_pause_is_skipped_and_a_batch_is_bounded() {
    let mut sim = Sim::new(&settings(1));
    let mut batch = Batch::default();
    sim.advance(START, &mut batch);
    batch.clear();
    let later = START + 3_600_000_000_000;
    sim.advance(later, &mut batch);
    assert!(batch.events.len() <= MAX_EVENTS + 3);
    batch.clear();
    sim.skip_to(later - 100_000_000);
    sim.advance(later, &mut batch);
    assert!((500..5_000).contains(&batch.events.len()), "{}", batch.events.len());
}
