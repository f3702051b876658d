//! When the messages of a made day happen. In: how many there are about. Out: ascending times from four in the morning to eight in the
//! evening. Bounded: two numbers.

use crate::sim::random::Random;

const SECOND: u64 = 1_000_000_000;
/// The directory is told a little after three.
const DIRECTORY: u64 = 3 * 3_600 * SECOND;
const START: u64 = 4 * 3_600 * SECOND;
const END: u64 = 20 * 3_600 * SECOND;

pub(super) struct Clock {
    now_ns: u64,
    mean_step_ns: u64,
    is_open: bool,
}

impl Clock {
    pub(super) fn new(messages: u64) -> Self {
        Self { now_ns: DIRECTORY, mean_step_ns: (END - START) / messages.max(1), is_open: false }
    }

    /// System hours begin.
    pub(super) fn open(&mut self) {
        (self.now_ns, self.is_open) = (START, true);
    }

    /// Bursts: three of four messages come within microseconds of the one before.
    pub(super) fn next(&mut self, random: &mut Random) -> u64 {
        let in_burst = !self.is_open || random.chance(75);
        let step = if in_burst { random.below(self.mean_step_ns.min(20_000)) } else { random.below(self.mean_step_ns * 8) };
        self.now_ns = (self.now_ns + step).min(if self.is_open { END } else { START });
        self.now_ns
    }
}
