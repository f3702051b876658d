//! A topic map with instruments that move. In: how many. Out: quotes, trades and book changes that always change something.
//! Bounded: nothing grows from step to step.

use std::sync::Arc;
use tickwire::topic::{Cursor, InstrumentTopics, Stamp, TopicLimits, TopicMap};
use wire::event::{Aggressor, Flags, Level, Quote, Trade};
use wire::instrument::Instrument;
use wire::request::TradeMode;

/// 2026-01-01 00:00:00 UTC, in ns: the time of all events, give or take some microseconds.
pub const NOW: i64 = 1_767_225_600_000_000_000;
/// Levels a side of each book that has levels.
const LEVELS: i64 = 1_000;

pub struct Market {
    pub map: Arc<TopicMap>,
    pub topics: Vec<InstrumentTopics>,
    step: i64,
}

impl Market {
    pub fn new(instruments: usize) -> Self {
        let limits = TopicLimits { max_topics: instruments as u32 * InstrumentTopics::COUNT, ..TopicLimits::default() };
        let map = TopicMap::new(limits, 1, 1);
        let list = |number| map.list("sim", &instrument(number)).expect("there is room");
        let topics = (0..instruments).map(list).collect();
        map.venue_known("sim");
        Self { map, topics, step: 0 }
    }

    pub fn stamp(&mut self) -> Stamp {
        self.step += 1;
        let time = NOW + self.step % 1_000 * 1_000;
        Stamp { event: time, received: time, published: time, flags: Flags::default() }
    }

    /// A new bid price and size; the ask stays, as it mostly does.
    pub fn quote(&mut self, of: usize) {
        let stamp = self.stamp();
        let quote = quote(self.step);
        self.map.publish_quote(&self.topics[of], &quote, &stamp);
    }

    pub fn trade(&mut self, of: usize) {
        let stamp = self.stamp();
        self.trade_at(of, &stamp);
    }

    /// As if each instrument traded once a second: each trade ends a bar.
    pub fn trade_of_next_second(&mut self, of: usize) {
        let Stamp { event, .. } = self.stamp();
        let time = event + self.step / self.topics.len() as i64 * 1_000_000_000;
        self.trade_at(of, &Stamp { event: time, received: time, published: time, flags: Flags::default() });
    }

    fn trade_at(&mut self, of: usize, stamp: &Stamp) {
        let (price, size) = (6_421_000 + self.step % 50, 1_500 + self.step % 100);
        let trade = Trade { price, size, aggressor: Aggressor::Buy, id: Some(self.step), aggregated: false };
        self.map.publish_trade(&self.topics[of], &trade, stamp);
    }

    /// The whole book.
    pub fn fill_book(&mut self, of: usize) {
        let stamp = self.stamp();
        let side = |sign: i64| (1..=LEVELS).map(|at| level(sign, at, 1_000 + at)).collect::<Vec<_>>();
        self.map.publish_book(&self.topics[of], &side(-1), &side(1), true, &stamp);
    }

    /// Ten changed levels, five a side, near the top, as in a usual message of a venue.
    pub fn book(&mut self, of: usize) {
        let stamp = self.stamp();
        let side = |sign: i64| [1, 2, 3, 5, 8].map(|at| level(sign, at, 1_000 + self.step % 1_000 + at));
        self.map.publish_book(&self.topics[of], &side(-1), &side(1), false, &stamp);
    }

    /// Where a subscriber stands who has all of a topic.
    pub fn head(&self, topic: u32, mode: TradeMode) -> Cursor {
        self.map.get(topic).expect("it is listed").since(&Cursor::NEW, mode, usize::MAX, &mut |_, _| {})
    }
}

pub fn instrument(number: usize) -> Instrument {
    Instrument {
        symbol: format!("S{number:05}-USD"),
        native: format!("S{number:05}USD"),
        price_exponent: -2,
        size_exponent: -5,
        tick: 1,
        lot: 1,
        trade_has_event_time: true,
        event_time_exponent: -3,
        ..Instrument::default()
    }
}

pub fn quote(step: i64) -> Quote {
    Quote {
        bid_price: Some(6_421_000 - step % 50),
        bid_size: Some(1_000 + step % 1_000),
        ask_price: Some(6_421_100),
        ask_size: Some(2_000),
    }
}

fn level(sign: i64, at: i64, size: i64) -> Level {
    Level { price: 6_421_050 + sign * at * 10, size }
}
