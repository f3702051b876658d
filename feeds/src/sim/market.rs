//! One simulated instrument. In: random numbers. Out: trades, book changes and quotes of a book that is never crossed and never
//! empty, in which the quote is always the top. Bounded: the book has a fixed number of levels, allocated once.

use super::Stamp;
use super::names::{self, Origin};
use super::random::Random;
use wire::event::{Aggressor, Batch, EventBody, Level, Quote, Side, Trade};
use wire::instrument::Instrument;

/// Ticks between neighbouring levels, at most.
const MAX_GAP: i64 = 4;
/// The fair price wanders in steps of 1/256 tick.
const FAIR_UNIT: i64 = 256;

pub(super) struct Market {
    instrument: Instrument,
    usual_size: i64,
    /// Where the price started; it is pulled back there when it strays by half.
    anchor: i64,
    /// What traders think it is worth, in 1/256 ticks.
    fair: i64,
    bids: Ladder,
    asks: Ladder,
    quote: Quote,
    next_trade: i64,
}

impl Market {
    pub(super) fn new(index: u32, levels: usize, random: &mut Random) -> Self {
        let Origin { instrument, price, usual_size } = names::origin(index, random);
        // Room for the deepest book below the price.
        let anchor = price.max((levels as i64 + 8) * MAX_GAP * 2);
        let mut market = Self {
            instrument,
            usual_size,
            anchor,
            fair: anchor * FAIR_UNIT,
            bids: Ladder::new(Side::Bid, levels),
            asks: Ladder::new(Side::Ask, levels),
            quote: Quote::default(),
            next_trade: 1,
        };
        for (ladder, first) in [(&mut market.bids, anchor), (&mut market.asks, anchor + 1)] {
            let mut price = first;
            for _ in 0..levels {
                ladder.push_worst(Level { price, size: random_size(random, usual_size) });
                price = ladder.behind(price, random.between(1, MAX_GAP));
            }
        }
        market
    }

    pub(super) fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// The whole book, and its quote.
    pub(super) fn snapshot(&mut self, at: Stamp, batch: &mut Batch) {
        let start = batch.levels.len() as u32;
        batch.levels.extend(self.bids.levels.iter().rev());
        let middle = batch.levels.len() as u32;
        batch.levels.extend(self.asks.levels.iter().rev());
        let end = batch.levels.len() as u32;
        at.put(batch, EventBody::Book { bids: start..middle, asks: middle..end, snapshot: true });
        self.put_quote(at, batch);
    }

    /// One thing happens: an order deep in the book, one at its top, or a trade.
    pub(super) fn act(&mut self, random: &mut Random, at: Stamp, batch: &mut Batch) {
        self.wander(random);
        let mid_doubled = self.bids.best().price + self.asks.best().price;
        let rising = self.fair * 2 > mid_doubled * FAIR_UNIT;
        // The market follows the fair price two times out of three.
        let up = if random.below(3) < 2 { rising } else { random.chance(50) };
        let book_start = batch.levels.len();
        let side = match random.below(100) {
            0..50 => self.resize(random, up, batch),
            50..65 => self.reshape(random, up, batch),
            65..80 => self.step(random, up, batch),
            _ => self.trade(random, up, at, batch),
        };
        put_book(side, book_start, at, batch);
        self.put_quote(at, batch);
    }

    fn wander(&mut self, random: &mut Random) {
        self.fair += random.between(-FAIR_UNIT / 2, FAIR_UNIT / 2);
        let (low, high) = (self.anchor * FAIR_UNIT / 2, self.anchor * FAIR_UNIT / 2 * 3);
        self.fair = self.fair.clamp(low, high);
    }

    /// An order joins or leaves a level, most often near the top.
    fn resize(&mut self, random: &mut Random, up: bool, batch: &mut Batch) -> Side {
        let size = random_size(random, self.usual_size);
        let ladder = if up { &mut self.bids } else { &mut self.asks };
        let depth = random.below(ladder.len()) * random.below(ladder.len()) / ladder.len();
        let level = ladder.at_depth(depth as usize);
        level.size = if level.size == size { size + 1 } else { size };
        batch.levels.push(*level);
        ladder.side
    }

    /// Behind the top, a level comes into a gap, or goes and leaves one.
    fn reshape(&mut self, random: &mut Random, up: bool, batch: &mut Batch) -> Side {
        let size = random_size(random, self.usual_size);
        let ladder = if up { &mut self.bids } else { &mut self.asks };
        let depth = 1 + random.below(ladder.len() - 2) as usize;
        let (near, far) = (*ladder.at_depth(depth - 1), *ladder.at_depth(depth));
        if (near.price - far.price).abs() > 1 {
            let worst = ladder.pop_worst();
            batch.levels.push(Level { price: worst.price, size: 0 });
            // The worst level itself may be the far side of the gap; then the new one simply takes its place.
            let level = Level { price: ladder.behind(near.price, 1), size };
            ladder.insert_at_depth(depth, level);
            batch.levels.push(level);
        } else {
            ladder.remove_at_depth(depth);
            batch.levels.push(Level { price: far.price, size: 0 });
            refill(ladder, random, self.usual_size, batch);
        }
        ladder.side
    }

    /// The top moves: one side improves into the spread, or the other side's best order is cancelled.
    fn step(&mut self, random: &mut Random, up: bool, batch: &mut Batch) -> Side {
        let size = random_size(random, self.usual_size);
        let spread = self.asks.best().price - self.bids.best().price;
        let (ahead, behind) = if up { (&mut self.bids, &mut self.asks) } else { (&mut self.asks, &mut self.bids) };
        if spread > 1 {
            let worst = ahead.pop_worst();
            batch.levels.push(Level { price: worst.price, size: 0 });
            let level = Level { price: ahead.before(ahead.best().price, 1), size };
            ahead.push_best(level);
            batch.levels.push(level);
            ahead.side
        } else {
            let gone = behind.pop_best();
            batch.levels.push(Level { price: gone.price, size: 0 });
            refill(behind, random, self.usual_size, batch);
            behind.side
        }
    }

    /// Somebody takes some or all of the best level.
    fn trade(&mut self, random: &mut Random, up: bool, at: Stamp, batch: &mut Batch) -> Side {
        let ladder = if up { &mut self.asks } else { &mut self.bids };
        let best = ladder.best();
        let size = if random.chance(25) { best.size } else { random.between(1, best.size) };
        let left = best.size - size;
        if left == 0 {
            ladder.pop_best();
            batch.levels.push(Level { price: best.price, size: 0 });
            refill(ladder, random, self.usual_size, batch);
        } else {
            ladder.at_depth(0).size = left;
            batch.levels.push(Level { price: best.price, size: left });
        }
        let id = Some(self.next_trade);
        self.next_trade += 1;
        let aggressor = if up { Aggressor::Buy } else { Aggressor::Sell };
        at.put(batch, EventBody::Trade(Trade { price: best.price, size, aggressor, id, aggregated: false }));
        ladder.side
    }

    fn put_quote(&mut self, at: Stamp, batch: &mut Batch) {
        let (bid, ask) = (self.bids.best(), self.asks.best());
        let quote =
            Quote { bid_price: Some(bid.price), bid_size: Some(bid.size), ask_price: Some(ask.price), ask_size: Some(ask.size) };
        if quote != self.quote {
            self.quote = quote;
            at.put(batch, EventBody::Quote(quote));
        }
    }
}

/// The level changes since `start` as one event; an action changes one side.
fn put_book(side: Side, start: usize, at: Stamp, batch: &mut Batch) {
    let (from, to) = (start as u32, batch.levels.len() as u32);
    let (bids, asks) = match side {
        Side::Bid => (from..to, to..to),
        Side::Ask => (from..from, from..to),
    };
    at.put(batch, EventBody::Book { bids, asks, snapshot: false });
}

/// After a level went, another comes at the far end, or into a gap if there is no room behind.
fn refill(ladder: &mut Ladder, random: &mut Random, usual_size: i64, batch: &mut Batch) {
    let size = random_size(random, usual_size);
    let price = ladder.behind(ladder.levels[0].price, random.between(1, MAX_GAP));
    let level = Level { price, size };
    if price > 0 {
        ladder.push_worst(level);
        batch.levels.push(level);
        return;
    }
    let gap = ladder.levels.windows(2).position(|pair| (pair[0].price - pair[1].price).abs() > 1);
    if let Some(at) = gap {
        let level = Level { price: ladder.behind(ladder.levels[at + 1].price, 1), size };
        ladder.levels.insert(at + 1, level);
        batch.levels.push(level);
    }
}

/// Mostly around the usual size, sometimes ten times that; never 0.
fn random_size(random: &mut Random, usual: i64) -> i64 {
    let size = 1 + random.between(0, usual * 2);
    if random.chance(4) { size * 10 } else { size }
}

/// One side of the book, worst level first, so that the busy end is the cheap one.
struct Ladder {
    side: Side,
    levels: Vec<Level>,
}

impl Ladder {
    fn new(side: Side, levels: usize) -> Self {
        Self { side, levels: Vec::with_capacity(levels + 1) }
    }

    fn len(&self) -> u64 {
        self.levels.len() as u64
    }

    fn best(&self) -> Level {
        *self.levels.last().expect("a side always has levels: each one that goes is replaced")
    }

    fn at_depth(&mut self, depth: usize) -> &mut Level {
        let index = self.levels.len() - 1 - depth;
        &mut self.levels[index]
    }

    fn push_best(&mut self, level: Level) {
        self.levels.push(level);
    }

    fn push_worst(&mut self, level: Level) {
        self.levels.insert(0, level);
    }

    fn pop_best(&mut self) -> Level {
        self.levels.pop().expect("a side always has levels: each one that goes is replaced")
    }

    fn pop_worst(&mut self) -> Level {
        self.levels.remove(0)
    }

    fn insert_at_depth(&mut self, depth: usize, level: Level) {
        self.levels.insert(self.levels.len() - depth, level);
    }

    fn remove_at_depth(&mut self, depth: usize) {
        self.levels.remove(self.levels.len() - 1 - depth);
    }

    /// `ticks` further from the other side.
    fn behind(&self, price: i64, ticks: i64) -> i64 {
        match self.side {
            Side::Bid => price - ticks,
            Side::Ask => price + ticks,
        }
    }

    /// `ticks` nearer to the other side.
    fn before(&self, price: i64, ticks: i64) -> i64 {
        self.behind(price, -ticks)
    }
}
