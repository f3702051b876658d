//! A market at a fixed rate, to measure a server with. In: settings and the time. Out: instruments, then exactly so many single
//! quotes and trades a second, in turn over all symbols; no books, no bursts. Bounded: a price and two counters a symbol.

use super::names::{self, Origin};
use super::random::Random;
use super::{MAX_EVENTS, MAX_SYMBOLS, Stamp, micros};
use crate::settings::SimSettings;
use wire::event::{Aggressor, Batch, Cause, EventBody, FeedState, Nanos, Quote, Trade};
use wire::instrument::Instrument;

const SECOND: i128 = 1_000_000_000;

pub struct Steady {
    random: Random,
    events_per_second: u32,
    trade_percent: u64,
    tickers: Vec<Ticker>,
    /// One period before event 0 is due; 0 before the first `advance`.
    start: Nanos,
    made: u64,
}

struct Ticker {
    instrument: Instrument,
    bid: i64,
    lowest: i64,
    usual_size: i64,
    /// Quotes and trades so far, for the share of trades.
    turns: u64,
    trades: i64,
}

impl Steady {
    pub fn new(settings: &SimSettings) -> Self {
        let mut random = Random::new(settings.seed);
        let tickers = (0..settings.symbols.clamp(1, MAX_SYMBOLS)).map(|index| Ticker::new(index, &mut random)).collect();
        Self {
            random,
            events_per_second: settings.events_per_second.max(1),
            trade_percent: u64::from(settings.trade_percent.min(100)),
            tickers,
            start: 0,
            made: 0,
        }
    }

    /// Appends what is due up to `now`; the first call announces the instruments.
    pub fn advance(&mut self, now: Nanos, batch: &mut Batch) {
        if self.start == 0 {
            self.start = now;
            return self.announce(now, batch);
        }
        let due = self.due_by(now).min(self.made + MAX_EVENTS as u64);
        while self.made < due {
            let due_at = self.due_at(self.made);
            let symbol = self.made % self.tickers.len() as u64;
            // Whoever measures from event times sees by how much this thread was late.
            let at = Stamp { instrument: symbol as u32, event_time: micros(due_at), received: now };
            self.tickers[symbol as usize].act(&mut self.random, self.trade_percent, at, batch);
            self.made += 1;
        }
    }

    /// When the next event is due.
    pub fn next(&self) -> Nanos {
        self.due_at(self.made)
    }

    /// Leaves out what was due before `time`: a thread that was held up for long must not be given the rest in one heap.
    pub fn skip_to(&mut self, time: Nanos) {
        if self.start != 0 {
            self.made = self.made.max(self.due_by(time));
        }
    }

    /// How many events are due by then.
    fn due_by(&self, time: Nanos) -> u64 {
        let since = i128::from(time - self.start).max(0);
        (since * i128::from(self.events_per_second) / SECOND) as u64
    }

    fn due_at(&self, number: u64) -> Nanos {
        self.start + ((i128::from(number) + 1) * SECOND / i128::from(self.events_per_second)) as Nanos
    }

    fn announce(&mut self, now: Nanos, batch: &mut Batch) {
        for (index, ticker) in (0..).zip(&mut self.tickers) {
            let at = Stamp { instrument: index, event_time: micros(now), received: now };
            at.put(batch, EventBody::Instrument(Box::new(ticker.instrument.clone())));
            at.put(batch, EventBody::State { channel: None, state: FeedState::Live, cause: Cause::None });
            ticker.quote(&mut self.random, at, batch);
        }
    }
}

impl Ticker {
    fn new(index: u32, random: &mut Random) -> Self {
        let Origin { instrument, price, usual_size } = names::origin(index, random);
        Self { instrument, bid: price, lowest: price / 2 + 1, usual_size, turns: 0, trades: 0 }
    }

    fn act(&mut self, random: &mut Random, trade_percent: u64, at: Stamp, batch: &mut Batch) {
        // Spread evenly: of each hundred turns so many are trades.
        let before = self.turns * trade_percent / 100;
        self.turns += 1;
        if self.turns * trade_percent / 100 > before { self.trade(random, at, batch) } else { self.quote(random, at, batch) }
    }

    /// Always another one than before: its price moves.
    fn quote(&mut self, random: &mut Random, at: Stamp, batch: &mut Batch) {
        let step = if random.chance(50) { 1 } else { -1 };
        self.bid = (self.bid + step).max(self.lowest);
        let mut size = || Some(1 + random.between(0, self.usual_size));
        let (bid_size, ask_size) = (size(), size());
        let quote = Quote { bid_price: Some(self.bid), bid_size, ask_price: Some(self.bid + 1), ask_size };
        at.put(batch, EventBody::Quote(quote));
    }

    fn trade(&mut self, random: &mut Random, at: Stamp, batch: &mut Batch) {
        self.trades += 1;
        let buys = random.chance(50);
        let (price, aggressor) = if buys { (self.bid + 1, Aggressor::Buy) } else { (self.bid, Aggressor::Sell) };
        let size = 1 + random.between(0, self.usual_size);
        at.put(batch, EventBody::Trade(Trade { price, size, aggressor, id: Some(self.trades), aggregated: false }));
    }
}
