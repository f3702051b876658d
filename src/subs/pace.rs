//! In: the time, an interval and a phase. Out: in which window we are and when the next one begins. Pure arithmetic on ns.
//! Windows lie on a fixed grid, so that subscriptions of one pace and phase move in step and share encodings.

use std::num::NonZeroU32;
use wire::request::Pace;

/// Sessions are spread over this many phases inside an interval; never finer than 10 ms a phase.
const PHASES: u32 = 8;
const FINEST_US: u32 = 10_000;

/// The grid of one paced subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    interval_us: NonZeroU32,
    offset_us: u32,
}

impl Grid {
    /// `share` spreads sessions: any number, e.g. the session's key.
    pub fn new(pace: Pace, share: usize) -> Option<Self> {
        let interval_us = NonZeroU32::new(u32::try_from(pace.interval()?.as_micros()).unwrap_or(u32::MAX))?;
        let phases = PHASES.min(interval_us.get() / FINEST_US).max(1);
        let offset_us = (share % phases as usize) as u32 * (interval_us.get() / phases);
        Some(Self { interval_us, offset_us })
    }

    /// True if it lets no more updates through than a pace of so many milliseconds.
    pub fn is_slower_than(&self, ms: u32) -> bool {
        u64::from(self.interval_us.get()) >= u64::from(ms) * 1_000
    }

    /// Number of the window that `now` (monotonic ns) lies in.
    pub fn window(&self, now: i64) -> i64 {
        (now - self.offset_ns()).div_euclid(self.interval_ns())
    }

    /// Monotonic ns at which `window` begins.
    pub fn begin(&self, window: i64) -> i64 {
        window * self.interval_ns() + self.offset_ns()
    }

    /// Monotonic ns at which the window after the one of `now` begins.
    pub fn next(&self, now: i64) -> i64 {
        self.begin(self.window(now) + 1)
    }

    fn interval_ns(&self) -> i64 {
        i64::from(self.interval_us.get()) * 1_000
    }

    fn offset_ns(&self) -> i64 {
        i64::from(self.offset_us) * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_tile_time(ms in prop::sample::select(wire::request::LADDER_MS.to_vec()), share in 0usize..100, now in 0i64..1 << 50) {
            let grid = Grid::new(Pace::EveryMs(ms), share).unwrap();
            let window = grid.window(now);
            prop_assert!(grid.begin(window) <= now && now < grid.begin(window + 1));
            prop_assert_eq!(grid.begin(window + 1) - grid.begin(window), i64::from(ms) * 1_000_000);
        }
    }

    #[test]
    fn realtime_has_no_grid_and_short_intervals_one_phase() {
        assert_eq!(Grid::new(Pace::Realtime, 3), None);
        assert_eq!(Grid::new(Pace::EveryMs(10), 0), Grid::new(Pace::EveryMs(10), 5));
        assert_ne!(Grid::new(Pace::EveryMs(250), 0), Grid::new(Pace::EveryMs(250), 5));
    }
}
