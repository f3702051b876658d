//! In: readings with their times. Out: steps, one level each, up or down. Pure: no clock, no I/O.
//! Bounded: a level changes at most once in `raise_after` or `lower_after`; between the two thresholds of a level nothing moves.

use super::{Cause, Level};
use crate::config;

/// One look at the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Of the worst shard.
    pub lag_ns: u64,
    pub memory_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub from: Level,
    pub to: Level,
    /// On the way down: what had led up.
    pub cause: Cause,
}

impl Step {
    pub fn is_up(&self) -> bool {
        self.to > self.from
    }
}

/// Where one level begins and ends.
#[derive(Clone, Copy, Debug)]
struct Threshold {
    raise: Reading,
    lower: Reading,
}

/// Levels with hysteresis in value and in time.
#[derive(Debug)]
pub struct Ladder {
    /// Of the levels above normal.
    thresholds: [Threshold; 3],
    raise_after_ns: i64,
    lower_after_ns: i64,
    level: Level,
    /// What led to each level above normal, as far as the present one.
    causes: [Cause; 3],
    /// Since when all readings were above the next level's threshold, or below that of the present one.
    above_since: Option<i64>,
    below_since: Option<i64>,
}

impl Ladder {
    /// `memory_limit_bytes`: none if memory does not count.
    pub fn new(settings: &config::Pressure, memory_limit_bytes: Option<u64>) -> Self {
        let share = |percent: u64| match memory_limit_bytes {
            Some(limit) => u64::try_from(u128::from(limit) * u128::from(percent) / 100).unwrap_or(u64::MAX),
            None => u64::MAX,
        };
        let reading =
            |lag_ms: u64, percent: u64| Reading { lag_ns: lag_ms.saturating_mul(1_000_000), memory_bytes: share(percent) };
        let threshold = |at: usize| Threshold {
            raise: reading(settings.lag_ms[at], settings.memory_percent[at]),
            lower: reading(settings.lag_lower_ms[at], settings.memory_lower_percent[at]),
        };
        let ns = |ms: u64| i64::try_from(ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        Self {
            thresholds: [0, 1, 2].map(threshold),
            raise_after_ns: ns(settings.raise_after_ms),
            lower_after_ns: ns(settings.lower_after_ms),
            level: Level::Normal,
            causes: [Cause::Lag; 3],
            above_since: None,
            below_since: None,
        }
    }

    pub fn level(&self) -> Level {
        self.level
    }

    /// What each level above normal begins at; `u64::MAX` where memory does not count.
    pub fn raises(&self) -> [Reading; 3] {
        self.thresholds.map(|threshold| threshold.raise)
    }

    /// Takes a reading at `now_ns` (monotonic). A step is in force at once.
    pub fn sample(&mut self, now_ns: i64, reading: Reading) -> Option<Step> {
        let (cause, falls) = (self.rises_by(&reading), self.falls(&reading));
        let above_since = hold(&mut self.above_since, cause.is_some(), now_ns);
        let below_since = hold(&mut self.below_since, falls, now_ns);
        let from = self.level;
        let cause = match (cause, above_since, below_since) {
            (Some(cause), Some(since), _) if now_ns.saturating_sub(since) >= self.raise_after_ns => {
                self.causes[from as usize] = cause;
                self.level = Level::ALL[from as usize + 1];
                cause
            }
            (_, _, Some(since)) if now_ns.saturating_sub(since) >= self.lower_after_ns => {
                self.level = Level::ALL[from as usize - 1];
                self.causes[self.level as usize]
            }
            _ => return None,
        };
        // The same reading begins the hold of the next step.
        self.above_since = self.rises_by(&reading).map(|_| now_ns);
        self.below_since = self.falls(&reading).then_some(now_ns);
        Some(Step { from, to: self.level, cause })
    }

    /// Why the reading is above the threshold of the next level.
    fn rises_by(&self, reading: &Reading) -> Option<Cause> {
        let raise = self.thresholds.get(self.level as usize)?.raise;
        if reading.lag_ns >= raise.lag_ns {
            Some(Cause::Lag)
        } else if reading.memory_bytes >= raise.memory_bytes {
            Some(Cause::Memory)
        } else {
            None
        }
    }

    /// True if the reading is below what keeps the node at its level.
    fn falls(&self, reading: &Reading) -> bool {
        let Some(at) = (self.level as usize).checked_sub(1) else { return false };
        let lower = self.thresholds[at].lower;
        reading.lag_ns < lower.lag_ns && reading.memory_bytes < lower.memory_bytes
    }
}

/// Since when a condition has held without a pause.
fn hold(since: &mut Option<i64>, holds: bool, now_ns: i64) -> Option<i64> {
    *since = if holds { since.or(Some(now_ns)) } else { None };
    *since
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;
    const LIMIT: u64 = 1_000;

    fn ladder() -> Ladder {
        Ladder::new(&config::Pressure::default(), Some(LIMIT))
    }

    fn lag(ms: u64) -> Reading {
        Reading { lag_ns: ms * 1_000_000, memory_bytes: 0 }
    }

    fn memory(bytes: u64) -> Reading {
        Reading { lag_ns: 0, memory_bytes: bytes }
    }

    /// Samples four times a second for so long; the times of the steps and their levels.
    fn run(ladder: &mut Ladder, from_ms: i64, until_ms: i64, reading: Reading) -> Vec<(i64, Level)> {
        let times = (from_ms..until_ms).step_by(250);
        times.filter_map(|ms| ladder.sample(ms * MS, reading).map(|step| (ms, step.to))).collect()
    }

    #[test]
    fn goes_up_and_down_one_level_at_a_time_each_after_its_hold() {
        let mut ladder = ladder();
        let up = run(&mut ladder, 0, 10_000, lag(1_000));
        assert_eq!(up, [(1_000, Level::Slow), (2_000, Level::DeferDeep), (3_000, Level::Refuse)]);
        let down = run(&mut ladder, 10_000, 40_000, lag(0));
        assert_eq!(down, [(15_000, Level::DeferDeep), (20_000, Level::Slow), (25_000, Level::Normal)]);
    }

    #[test]
    fn stays_where_it_is_between_the_thresholds() {
        let mut ladder = ladder();
        run(&mut ladder, 0, 10_000, lag(60));
        assert_eq!(ladder.level(), Level::Slow);
        assert_eq!(run(&mut ladder, 10_000, 60_000, lag(25)), []);
        assert_eq!(run(&mut ladder, 60_000, 70_000, lag(24)), [(65_000, Level::Normal)]);
        assert_eq!(run(&mut ladder, 70_000, 90_000, lag(49)), []);
    }

    #[test]
    fn one_good_reading_begins_the_hold_anew() {
        let mut ladder = ladder();
        for second in 0..30 {
            assert_eq!(run(&mut ladder, second * 1_000, second * 1_000 + 1_000, lag(5_000)), []);
            ladder.sample((second * 1_000 + 999) * MS, lag(0));
        }
    }

    #[test]
    fn memory_counts_like_lag_and_only_where_there_is_a_limit() {
        let mut with_limit = ladder();
        assert_eq!(run(&mut with_limit, 0, 5_000, memory(900)), [(1_000, Level::Slow), (2_000, Level::DeferDeep)]);
        let step = with_limit.sample(5_000 * MS, lag(1_000)).or_else(|| with_limit.sample(6_000 * MS, lag(1_000)));
        assert_eq!(step, Some(Step { from: Level::DeferDeep, to: Level::Refuse, cause: Cause::Lag }));
        let causes: Vec<_> = (7..30).filter_map(|second| with_limit.sample(second * 1_000 * MS, memory(0))).collect();
        assert_eq!(
            causes.iter().map(|step| (step.to, step.cause)).collect::<Vec<_>>(),
            [(Level::DeferDeep, Cause::Lag), (Level::Slow, Cause::Memory), (Level::Normal, Cause::Memory)]
        );
        let mut without = Ladder::new(&config::Pressure::default(), None);
        assert_eq!(run(&mut without, 0, 60_000, memory(u64::MAX - 1)), []);
    }

    fn readings() -> impl Strategy<Value = Vec<(i64, Reading)>> {
        let step_ms = prop_oneof![8 => Just(250i64), 1 => 1i64..250, 1 => 250i64..20_000];
        let reading = (prop_oneof![0u64..120, 0u64..2_000], prop_oneof![0u64..700, 700u64..1_100]);
        let run = (step_ms, reading, 1usize..40).prop_map(|(step_ms, (lag_ms, bytes), count)| {
            vec![(step_ms, Reading { lag_ns: lag_ms * 1_000_000, memory_bytes: bytes }); count]
        });
        prop::collection::vec(run, 1..30).prop_map(|runs| runs.concat())
    }

    proptest! {
        #[test]
        fn never_skips_never_flaps_and_always_comes_back(readings in readings()) {
            let mut ladder = ladder();
            let (mut now, mut changed) = (0, 0);
            let mut taken: Vec<(i64, Reading)> = Vec::new();
            let [slow, defer, refuse] = ladder.raises();
            for (step_ms, reading) in readings {
                now += step_ms * MS;
                taken.push((now, reading));
                let before = ladder.level();
                let Some(step) = ladder.sample(now, reading) else {
                    prop_assert_eq!(ladder.level(), before);
                    continue;
                };
                prop_assert_eq!((step.from, step.to), (before, ladder.level()));
                prop_assert_eq!((step.from as i32 - step.to as i32).abs(), 1, "skipped a level");
                let hold = if step.is_up() { 1_000 * MS } else { 5_000 * MS };
                prop_assert!(now - changed >= hold, "flapped after {} ms", (now - changed) / MS);
                // All readings of the hold agree with the step.
                for (_, reading) in taken.iter().filter(|(at, _)| *at > now - hold) {
                    let raise = [slow, defer, refuse][step.from.min(step.to) as usize];
                    let is_above = reading.lag_ns >= raise.lag_ns || reading.memory_bytes >= raise.memory_bytes;
                    prop_assert_eq!(is_above, step.is_up());
                }
                changed = now;
            }
            for _ in 0..4 * 21 {
                now += 250 * MS;
                ladder.sample(now, Reading::default());
            }
            prop_assert_eq!(ladder.level(), Level::Normal);
        }
    }
}
