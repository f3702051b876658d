//! In: failed attempts. Out: how long to wait before the next one. Bounded by `Reconnect::longest` and what the server asks for.

use crate::error::Again;
use crate::options::Reconnect;
use std::time::Duration;

#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// A connection has held: the next pause is a short one again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// `None`: do not try again.
    pub fn pause(&mut self, reconnect: &Reconnect, again: Again) -> Option<Duration> {
        let at_least = match again {
            Again::Never => return None,
            // All clients of a drained server come at once otherwise.
            Again::Soon if self.attempts == 0 => {
                self.attempts = 1;
                return Some(jittered(Duration::from_secs(1), 1.0));
            }
            Again::Soon => Duration::ZERO,
            Again::Pausing(at_least) => at_least,
        };
        let doubled = reconnect.first.saturating_mul(1u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(1);
        Some(at_least + jittered(doubled.min(reconnect.longest), 0.5))
    }
}

/// `pause`, with `share` of it left to chance.
fn jittered(pause: Duration, share: f64) -> Duration {
    pause.mul_f64(1.0 - share * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_bounded_and_never_equal() {
        let reconnect = Reconnect { first: Duration::from_millis(100), longest: Duration::from_secs(2) };
        let mut backoff = Backoff::default();
        let pauses: Vec<_> =
            (0..40).map(|_| backoff.pause(&reconnect, Again::Pausing(Duration::ZERO)).expect("a pause")).collect();
        assert!(pauses[0] >= Duration::from_millis(50) && pauses[0] <= Duration::from_millis(100));
        assert!(pauses[3] >= Duration::from_millis(400) && pauses[3] <= Duration::from_millis(800));
        assert!(pauses.iter().all(|pause| *pause <= reconnect.longest));
        assert!(pauses[20..].windows(2).any(|pair| pair[0] != pair[1]));
        assert_eq!(backoff.pause(&reconnect, Again::Never), None);
        backoff.reset();
        assert!(backoff.pause(&reconnect, Again::Soon).expect("a pause") <= Duration::from_secs(1));
        let asked = backoff.pause(&reconnect, Again::Pausing(Duration::from_secs(5))).expect("a pause");
        assert!(asked >= Duration::from_secs(5));
    }
}
