//! In: the CPU's cycle counter (quanta) and the system's wall clock. Out: monotonic and wall-clock nanoseconds for about 10 ns a call.
//! Bounded: the wall clock is read again every `ANCHOR_INTERVAL_NS`, so a step of the system's clock is followed within that time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::event::Nanos;

/// How long one reading of the system's wall clock is carried on by the cycle counter. Short enough that a step or an NTP
/// correction is seen at once by people, long enough that the system call vanishes from profiles.
const ANCHOR_INTERVAL_NS: i64 = 100_000_000;

/// The one origin and anchor of this process. A machine has one wall clock, so sharing the anchor is no state that two servers
/// in one process could disagree about; it makes `Clock` a value without a size.
static ORIGIN: OnceLock<quanta::Instant> = OnceLock::new();
/// Wall clock minus monotonic clock, in ns.
static OFFSET_NS: AtomicI64 = AtomicI64::new(0);
/// Monotonic time at which the offset is to be read again.
static ANCHOR_DUE_NS: AtomicI64 = AtomicI64::new(0);

/// The time of day and of the process. Copy it freely.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Calibrates the cycle counter if this is the first clock of the process (up to 200 ms).
    pub fn new() -> Self {
        let clock = Self;
        clock.wall_ns();
        clock
    }

    /// Nanoseconds since an arbitrary start of the process; never goes back. For timers and durations.
    #[inline]
    pub fn mono_ns(self) -> Nanos {
        #[cfg(test)]
        if let Some((_, mono_ns)) = manual::now() {
            return mono_ns;
        }
        let origin = *ORIGIN.get_or_init(quanta::Instant::now);
        quanta::Instant::now().duration_since(origin).as_nanos() as i64
    }

    /// Nanoseconds since the Unix epoch. Follows steps of the system's clock, so it may go back; for stamps, never for timers.
    #[inline]
    pub fn wall_ns(self) -> Nanos {
        self.wall_at(self.mono_ns())
    }

    /// Both times of one instant, for the price of one reading.
    #[inline]
    pub fn now(self) -> feeds::adapter::Now {
        let mono = self.mono_ns();
        feeds::adapter::Now { wall: self.wall_at(mono), mono }
    }

    #[inline]
    fn wall_at(self, mono_ns: Nanos) -> Nanos {
        #[cfg(test)]
        if let Some((wall_ns, _)) = manual::now() {
            return wall_ns;
        }
        if mono_ns >= ANCHOR_DUE_NS.load(Relaxed) {
            self.anchor(mono_ns);
        }
        OFFSET_NS.load(Relaxed) + mono_ns
    }

    /// Threads may race here: each stores an offset that is true, so any order of the stores will do.
    #[cold]
    fn anchor(self, mono_ns: Nanos) {
        OFFSET_NS.store(system_ns() - self.mono_ns(), Relaxed);
        ANCHOR_DUE_NS.store(mono_ns + ANCHOR_INTERVAL_NS, Relaxed);
    }
}

/// The system's wall clock; a clock set before 1970 counts as 1970.
fn system_ns() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Time in the hands of a test, for its own thread only. Nothing of it is there in a real build.
#[cfg(test)]
pub mod manual {
    use super::Nanos;
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<Option<(Nanos, Nanos)>> = const { Cell::new(None) };
    }

    /// From now on the clocks of this thread stand at these times, until they are set again.
    pub fn set(wall_ns: Nanos, mono_ns: Nanos) {
        NOW.set(Some((wall_ns, mono_ns)));
    }

    /// The clocks of this thread run again.
    pub fn release() {
        NOW.set(None);
    }

    #[inline]
    pub(super) fn now() -> Option<(Nanos, Nanos)> {
        NOW.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the step is made in the one anchor of the process.
    #[test]
    fn agrees_with_the_system_clock_and_follows_its_steps() {
        let clock = Clock::new();
        for _ in 0..3 {
            assert_near(clock);
            std::thread::sleep(std::time::Duration::from_millis(60));
        }
        // What a step of the system's clock looks like from here: the offset in use is an hour off until the next anchor.
        OFFSET_NS.fetch_sub(3_600_000_000_000, Relaxed);
        std::thread::sleep(std::time::Duration::from_nanos(ANCHOR_INTERVAL_NS as u64 + 20_000_000));
        assert_near(clock);
    }

    fn assert_near(clock: Clock) {
        let (before, ours, after) = (system_ns(), clock.wall_ns(), system_ns());
        assert!(ours >= before - 5_000_000 && ours <= after + 5_000_000, "{before} {ours} {after}");
    }

    #[test]
    fn monotonic_time_moves_on() {
        let clock = Clock::new();
        let start = clock.mono_ns();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let passed_ns = clock.mono_ns() - start;
        assert!((19_000_000..5_000_000_000).contains(&passed_ns), "{passed_ns}");
    }
}
