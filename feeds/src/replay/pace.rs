//! Recorded time to real time. In: a speed and the recording's start. Out: how long to wait for a recorded moment. Pure arithmetic.

use std::time::Duration;
use wire::event::Nanos;

/// How fast a recording is played: 1 = as it was, 20 = twenty times as fast, 0 = without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// In thousandths.
    speed_milli: u64,
}

impl Pace {
    /// `None` unless `speed` is 0 or between 0.001 and a million.
    pub fn new(speed: f64) -> Option<Self> {
        if speed == 0.0 {
            return Some(Self { speed_milli: 0 });
        }
        (speed.is_finite() && (0.001..=1e6).contains(&speed)).then(|| Self { speed_milli: (speed * 1000.0).round() as u64 })
    }

    pub fn is_unlimited(self) -> bool {
        self.speed_milli == 0
    }

    /// Real time from the start until `recorded`, for a recording that starts at `first`.
    pub fn delay(self, first: Nanos, recorded: Nanos) -> Duration {
        if self.is_unlimited() || recorded <= first {
            return Duration::ZERO;
        }
        let nanos = u128::from(recorded.abs_diff(first)) * 1000 / u128::from(self.speed_milli);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The recorded moment that is reached after `elapsed`; for an unlimited pace the end of time.
    pub fn reached(self, first: Nanos, elapsed: Duration) -> Nanos {
        if self.is_unlimited() {
            return Nanos::MAX;
        }
        let nanos = elapsed.as_nanos() * u128::from(self.speed_milli) / 1000;
        first.saturating_add(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_both_ways() {
        let pace = Pace::new(20.0).unwrap();
        assert_eq!(pace.delay(100, 100 + 1_000_000_000), Duration::from_millis(50));
        assert_eq!(pace.reached(100, Duration::from_millis(50)), 100 + 1_000_000_000);
        assert_eq!(Pace::new(0.0).unwrap().delay(0, i64::MAX), Duration::ZERO);
        assert_eq!(Pace::new(0.5).unwrap().delay(0, 1_000), Duration::from_nanos(2_000));
        for speed in [-1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(Pace::new(speed), None);
        }
    }
}
