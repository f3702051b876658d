//! In: the time, an interval and a phase. Out: in which window we are and when the next one begins. Pure arithmetic on ns.
//! Windows lie on a fixed grid, so that subscriptions of one pace and phase move in step and share encodings.

use wire::request::Pace;

/// Sessions are spread over this many phases inside an interval; never finer than 10 ms a phase.
const PHASES: i64 = 8;
const FINEST_NS: i64 = 10_000_000;

/// The grid of one paced subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    interval_ns: i64,
    offset_ns: i64,
}

impl Grid {
    /// `share` spreads sessions: any number, e.g. the session's key.
    pub fn new(pace: Pace, share: usize) -> Option<Self> {
        let interval_ns = pace.interval()?.as_nanos() as i64;
        let phases = PHASES.min(interval_ns / FINEST_NS).max(1);
        let offset_ns = (share as i64 % phases) * (interval_ns / phases);
        Some(Self { interval_ns, offset_ns })
    }

    /// True if it lets no more updates through than a pace of so many milliseconds.
    pub fn is_slower_than(&self, ms: u32) -> bool {
        self.interval_ns >= i64::from(ms) * 1_000_000
    }

    /// Number of the window that `now` (monotonic ns) lies in.
    pub fn window(&self, now: i64) -> i64 {
        (now - self.offset_ns).div_euclid(self.interval_ns)
    }

    /// Monotonic ns at which `window` begins.
    pub fn begin(&self, window: i64) -> i64 {
        window * self.interval_ns + self.offset_ns
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
