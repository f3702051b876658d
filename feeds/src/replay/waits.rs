//! In: the recorded times of what is played, in order. Out: a pause until each is due at the pace that was asked for.
//! Bounded: `MAX_STEPS_AT_ONCE` steps before the rest of the thread gets its turn.

use super::Pace;
use super::player::MAX_SILENCE;
use tokio::time::Instant;
use wire::event::Nanos;

const MAX_STEPS_AT_ONCE: u32 = 512;

pub(crate) struct Waits {
    pace: Pace,
    /// A recorded time and when that was, for us.
    anchor: Option<(Nanos, Instant)>,
    last: Nanos,
    steps: u32,
}

impl Waits {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, anchor: None, last: 0, steps: 0 }
    }

    pub(crate) async fn until(&mut self, time: Nanos) {
        let (first, start) = match self.anchor {
            // A pause that the player skips is not waited for either.
            Some(anchor) if time.saturating_sub(self.last) <= MAX_SILENCE => anchor,
            _ => *self.anchor.insert((time, Instant::now())),
        };
        self.last = time;
        let due = start + self.pace.delay(first, time);
        self.steps += 1;
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
            self.steps = 0;
        } else if self.steps >= MAX_STEPS_AT_ONCE {
            tokio::task::yield_now().await;
            self.steps = 0;
        }
    }
}
