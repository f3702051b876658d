//! How often something may be done. In: attempts. Out: now, or not yet. Bounded: a few words each.

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;

/// A token bucket that keeps within a venue's limit in *every* window of `per`: half the limit as burst, half as refill. (Full
/// burst and full refill would allow twice the limit in the first window.)
pub struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
    burst: NonZeroU32,
}

impl Bucket {
    pub fn new(limit: u32, per: Duration) -> Self {
        let burst = NonZeroU32::new(limit / 2).unwrap_or(NonZeroU32::MIN);
        let period = per / burst.get();
        // `None` would be a period of zero, which no venue has.
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        Self { limiter: RateLimiter::direct(quota), burst }
    }

    pub fn take(&self) -> bool {
        self.limiter.check().is_ok()
    }

    /// Takes `weight` at once; what is heavier than the whole bucket takes the whole bucket.
    pub fn take_weight(&self, weight: u32) -> bool {
        let weight = NonZeroU32::new(weight).unwrap_or(NonZeroU32::MIN).min(self.burst);
        matches!(self.limiter.check_n(weight), Ok(Ok(())))
    }
}

/// Growing pauses between attempts, with full jitter so that many clients of a venue do not come back together.
#[derive(Debug)]
pub struct BackOff {
    first: Duration,
    last: Duration,
    attempts: u32,
}

impl BackOff {
    pub fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, attempts: 0 }
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The pause before the next attempt: random between a fifth of the first pause and the doubled one.
    pub fn next(&mut self) -> Duration {
        let longest = self.first.saturating_mul(1 << self.attempts.min(16)).min(self.last);
        self.attempts = self.attempts.saturating_add(1);
        longest.mul_f64(fastrand::f64()).max(self.first / 5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_half_at_once() {
        let bucket = Bucket::new(4, Duration::from_secs(1));
        assert_eq!((0..4).map(|_| bucket.take()).collect::<Vec<_>>(), [true, true, false, false]);
        let weights = Bucket::new(6_000, Duration::from_secs(60));
        assert_eq!((0..14).filter(|_| weights.take_weight(250)).count(), 12);
        assert!(Bucket::new(10, Duration::from_secs(60)).take_weight(50), "heavier than the bucket");
        assert!(Bucket::new(0, Duration::from_secs(1)).take());
    }

    #[test]
    fn pauses_grow_to_a_limit_and_start_over() {
        let (first, last) = (Duration::from_millis(500), Duration::from_secs(30));
        let mut back_off = BackOff::new(first, last);
        for attempt in 0..40 {
            let pause = back_off.next();
            assert!(pause >= first / 5 && pause <= last, "{attempt}: {pause:?}");
            assert!(attempt > 5 || pause <= first * (1 << attempt));
        }
        back_off.reset();
        assert!(back_off.next() <= first);
    }
}
