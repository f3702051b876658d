//! A simulated venue. In: settings and the time. Out: instruments, then books, quotes and trades that agree with each other, in
//! exact integers. Bounded: memory is symbols x levels, fixed after the start; one `advance` makes at most `MAX_EVENTS` events.
//!
//! The same seed gives the same market, whatever the steps in which time is told: every event has its own time on a schedule that
//! the seed alone decides.

mod driver;
mod market;
mod names;
pub(crate) mod random;
mod schedule;
mod steady;
#[cfg(test)]
mod steady_tests;
#[cfg(test)]
mod tests;

pub use driver::start;

use crate::settings::SimSettings;
use market::Market;
use random::Random;
use schedule::Schedule;
use wire::event::{Batch, Cause, Event, EventBody, FeedState, Flags, Nanos};

/// More would make one batch so long that everything else waits; the rest comes with the next `advance`.
const MAX_EVENTS: usize = 20_000;
const MAX_SYMBOLS: u32 = 20_000;
const LEVELS: std::ops::RangeInclusive<u32> = 5..=5_000;

/// The simulated venue.
pub struct Sim {
    random: Random,
    schedule: Schedule,
    markets: Vec<Market>,
    /// Time of the next event; 0 before the first `advance`.
    next: Nanos,
}

impl Sim {
    /// Out-of-range settings are taken as the nearest possible ones.
    pub fn new(settings: &SimSettings) -> Self {
        let mut random = Random::new(settings.seed);
        let symbols = settings.symbols.clamp(1, MAX_SYMBOLS);
        let levels = settings.levels.clamp(*LEVELS.start(), *LEVELS.end()) as usize;
        let markets = (0..symbols).map(|index| Market::new(index, levels, &mut random)).collect();
        let schedule = Schedule::new(symbols, settings.zipf, settings.events_per_second);
        Self { random, schedule, markets, next: 0 }
    }

    pub fn symbols(&self) -> usize {
        self.markets.len()
    }

    /// Appends everything that happens up to `now`; the first call announces the instruments and their books.
    pub fn advance(&mut self, now: Nanos, batch: &mut Batch) {
        if self.next == 0 {
            self.announce(now, batch);
            self.next = now + self.schedule.interval(&mut self.random, 1);
        }
        let full = batch.events.len() + MAX_EVENTS;
        while self.next <= now && batch.events.len() < full {
            let before = batch.events.len();
            let index = self.schedule.symbol(&mut self.random);
            let at = Stamp { instrument: index, event_time: micros(self.next), received: now };
            self.markets[index as usize].act(&mut self.random, at, batch);
            self.next += self.schedule.interval(&mut self.random, batch.events.len() - before);
        }
    }

    /// When something happens next.
    pub fn next(&self) -> Nanos {
        self.next
    }

    /// Leaves out what should have happened before `time`: after a long pause there is no point in making it up.
    pub fn skip_to(&mut self, time: Nanos) {
        if self.next != 0 {
            self.next = self.next.max(time);
        }
    }

    fn announce(&mut self, now: Nanos, batch: &mut Batch) {
        for (index, market) in (0..).zip(&mut self.markets) {
            let at = Stamp { instrument: index, event_time: micros(now), received: now };
            at.put(batch, EventBody::Instrument(Box::new(market.instrument().clone())));
            at.put(batch, EventBody::State { channel: None, state: FeedState::Live, cause: Cause::None });
            market.snapshot(at, batch);
        }
    }
}

/// Whose event, and when.
#[derive(Clone, Copy)]
struct Stamp {
    instrument: u32,
    event_time: Nanos,
    received: Nanos,
}

impl Stamp {
    fn put(self, batch: &mut Batch, body: EventBody) {
        let Self { instrument, event_time, received } = self;
        batch.events.push(Event { instrument, event_time, received, flags: Flags::default(), body });
    }
}

/// Event times have microsecond resolution, as the instruments say.
fn micros(time: Nanos) -> Nanos {
    time - time.rem_euclid(1_000)
}
