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
}

impl Clock {
    pub(super) fn new(messages: u64) -> Self {
        Self { now_ns: DIRECTORY, mean_step_ns: (END - START) / messages.max(1) }
    }

    /// Bursts: three of four messages come within microseconds of the one before.
    pub(super) fn next(&mut self, random: &mut Random, in_system_hours: bool) -> u64 {
        if in_system_hours && self.now_ns < START {
            self.now_ns = START;
        }
        let burst = !in_system_hours || random.chance(75);
        let step = if burst { random.below(self.mean_step_ns.min(20_000)) } else { random.below(self.mean_step_ns * 8) };
        self.now_ns = (self.now_ns + step).min(END);
        self.now_ns
    }
}
