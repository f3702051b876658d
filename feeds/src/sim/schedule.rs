//! When the next event happens and to which symbol. In: rates and random numbers. Out: intervals and symbol indices: Zipf activity,
//! with one event in ten part of a burst on a single symbol. Bounded: one number a symbol.

use super::random::Random;
use wire::event::Nanos;

const SECOND: i64 = 1_000_000_000;
/// Share of actions that come in bursts, as one in so many.
const BURST_SHARE: u64 = 10;
/// Real feeds showed 593 messages of one symbol within 10 ms; so the longest burst here.
const MAX_BURST: u64 = 600;
/// Between two actions of a burst.
const BURST_INTERVAL_NS: i64 = 15_000;

pub(super) struct Schedule {
    /// Mean time between two events.
    mean_interval_ns: i64,
    /// Running sums of the symbols' weights.
    cumulative: Vec<u64>,
    burst_length: u64,
    burst: Option<Burst>,
    /// Time that bursts used up less than their events' share; paid back between bursts, so that the mean rate holds.
    owed_ns: i64,
}

struct Burst {
    symbol: u32,
    left: u64,
}

impl Schedule {
    pub(super) fn new(symbols: u32, zipf: f64, events_per_second: u32) -> Self {
        let rate = i64::from(events_per_second.max(1));
        let exponent = if zipf.is_finite() { zipf.clamp(0.0, 4.0) } else { 1.0 };
        let mut sum = 0u64;
        let cumulative = (1..=symbols)
            .map(|rank| {
                // The only floating point of the simulator: weights, made once.
                sum += (1e12 / f64::from(rank).powf(exponent)) as u64 + 1;
                sum
            })
            .collect();
        Self {
            mean_interval_ns: (SECOND / rate).max(1),
            cumulative,
            burst_length: (rate as u64 / 20).clamp(5, MAX_BURST),
            burst: None,
            owed_ns: 0,
        }
    }

    /// Whose turn it is.
    pub(super) fn symbol(&mut self, random: &mut Random) -> u32 {
        if let Some(burst) = &mut self.burst {
            burst.left -= 1;
            let symbol = burst.symbol;
            if burst.left == 0 {
                self.burst = None;
            }
            return symbol;
        }
        let total = self.cumulative.last().copied().unwrap_or(1);
        let drawn = random.below(total);
        let symbol = self.cumulative.partition_point(|sum| *sum <= drawn) as u32;
        if random.below(BURST_SHARE * self.burst_length) == 0 {
            self.burst = Some(Burst { symbol, left: random.between(1, 2 * self.burst_length as i64) as u64 });
        }
        symbol
    }

    /// Time from an action of `events` events to the next action.
    pub(super) fn interval(&mut self, random: &mut Random, events: usize) -> Nanos {
        let due = self.mean_interval_ns * events as i64;
        if self.burst.is_some() {
            let short = due.min(BURST_INTERVAL_NS);
            self.owed_ns += due - short;
            return short;
        }
        let back = self.owed_ns.min(due / 4);
        self.owed_ns -= back;
        random.between(0, 2 * due) + back
    }
}
