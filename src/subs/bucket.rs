//! Token buckets of one session (governor, GCRA): commands in, updates and bytes out. In: what was spent. Out: when to go on.
//! Bounded: a bucket is a few words. Outbound buckets never queue and never drop: an empty one delays the next flush, which conflates.

use crate::clock::Clock;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;

type Limiter = RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Duration>>;

/// The server's own clock, so that buckets and the windows of paces go by the same time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Monotonic(Clock);

impl governor::clock::Clock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        // Counted from the start of the process, so never negative.
        Duration::from_nanos(self.0.mono_ns().unsigned_abs())
    }
}

fn limiter(per_second: u32, burst: u32) -> Option<Limiter> {
    let quota = Quota::per_second(NonZeroU32::new(per_second)?).allow_burst(NonZeroU32::new(burst.max(1))?);
    Some(RateLimiter::direct_with_clock(quota, Monotonic::default()))
}

/// Commands of a client. A refused command is answered, not queued.
pub struct CommandBucket {
    limiter: Option<Limiter>,
    refused_in_a_row: u32,
}

/// What to do with a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Granted,
    Refused {
        retry_in: Duration,
    },
    /// It was refused so often in a row that the client plainly ignores the answers.
    Hopeless,
}

/// Refusals in a row after which the connection is closed.
const HOPELESS_AFTER: u32 = 200;

impl CommandBucket {
    /// `per_second` 0 = unlimited.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { limiter: limiter(per_second, burst), refused_in_a_row: 0 }
    }

    pub fn admit(&mut self) -> Admission {
        let Some(limiter) = &self.limiter else { return Admission::Granted };
        match limiter.check() {
            Ok(()) => {
                self.refused_in_a_row = 0;
                Admission::Granted
            }
            Err(_) if self.refused_in_a_row >= HOPELESS_AFTER => Admission::Hopeless,
            Err(not_until) => {
                self.refused_in_a_row += 1;
                Admission::Refused { retry_in: not_until.wait_time_from(limiter.clock().now()) }
            }
        }
    }
}

/// An outbound rate. A flush is charged after it is known how large it was; the next one waits until the charge is paid.
pub struct OutBucket {
    limiter: Limiter,
    burst: u32,
    debt: u64,
}

impl OutBucket {
    /// One second's worth may burst. `None` for 0 = unlimited.
    pub fn new(per_second: u32) -> Option<Box<Self>> {
        Some(Box::new(Self { limiter: limiter(per_second, per_second)?, burst: per_second, debt: 0 }))
    }

    pub fn charge(&mut self, amount: u64) {
        self.debt = self.debt.saturating_add(amount);
    }

    /// Pays what can be paid now; the time to wait if that was not all.
    pub fn settle(&mut self) -> Option<Duration> {
        while self.debt > 0 {
            let piece = u32::try_from(self.debt).unwrap_or(u32::MAX).min(self.burst);
            let cells = NonZeroU32::new(piece)?;
            match self.limiter.check_n(cells) {
                Ok(Ok(())) => self.debt -= u64::from(piece),
                Ok(Err(not_until)) => return Some(not_until.wait_time_from(self.limiter.clock().now())),
                // `piece` never exceeds the burst.
                Err(_) => return None,
            }
        }
        None
    }
}

/// Which outbound bucket made a session wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutLimit {
    Updates,
    Bytes,
}

/// The outbound buckets of a session. Most have none of them, and room for none.
pub struct Outbound {
    updates: Option<Box<OutBucket>>,
    bytes: Option<Box<OutBucket>>,
    /// Of bytes too.
    budget: Option<Box<OutBucket>>,
}

impl Outbound {
    /// 0 = unlimited.
    pub fn new(updates_per_second: u32, bytes_per_second: u32) -> Self {
        Self { updates: OutBucket::new(updates_per_second), bytes: OutBucket::new(bytes_per_second), budget: None }
    }

    /// The client's own limit of bytes, beside the configured one: what is owed under that one stays owed, or a client could have a new
    /// burst with each request. 0 = none.
    pub fn set_budget(&mut self, per_second: u32) {
        self.budget = OutBucket::new(per_second);
    }

    pub fn charge(&mut self, updates: u64, bytes: u64) {
        if let Some(bucket) = &mut self.updates {
            bucket.charge(updates);
        }
        for bucket in [&mut self.bytes, &mut self.budget].into_iter().flatten() {
            bucket.charge(bytes);
        }
    }

    /// How long the next flush has to wait, and for which bucket.
    pub fn settle(&mut self) -> Option<(Duration, OutLimit)> {
        let buckets =
            [(&mut self.updates, OutLimit::Updates), (&mut self.bytes, OutLimit::Bytes), (&mut self.budget, OutLimit::Bytes)];
        let waits = buckets.into_iter().filter_map(|(bucket, limit)| Some((bucket.as_mut()?.settle()?, limit)));
        waits.max_by_key(|(wait, _)| *wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_refused_with_a_time_and_then_given_up() {
        let mut bucket = CommandBucket::new(1, 2);
        assert_eq!(bucket.admit(), Admission::Granted);
        assert_eq!(bucket.admit(), Admission::Granted);
        for _ in 0..HOPELESS_AFTER {
            assert!(matches!(bucket.admit(), Admission::Refused { retry_in } if retry_in <= Duration::from_secs(1)));
        }
        assert_eq!(bucket.admit(), Admission::Hopeless);
        assert_eq!(CommandBucket::new(0, 1).admit(), Admission::Granted);
    }

    #[test]
    fn a_new_budget_brings_no_new_burst() {
        let mut outbound = Outbound::new(0, 1000);
        for _ in 0..3 {
            outbound.charge(1, 1000);
            outbound.set_budget(500);
        }
        let (wait, limit) = outbound.settle().unwrap();
        assert!(limit == OutLimit::Bytes && wait > Duration::from_millis(900), "{wait:?}");
    }

    #[test]
    fn a_flush_larger_than_the_burst_is_paid_off_in_pieces() {
        let mut bucket = OutBucket::new(1000).unwrap();
        assert_eq!(bucket.settle(), None);
        bucket.charge(3500);
        let wait = bucket.settle().unwrap();
        assert!(wait > Duration::from_millis(500) && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(OutBucket::new(0).is_none());
    }
}
