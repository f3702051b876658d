//! A circuit breaker for REST requests. In: outcomes. Out: may the next one be sent, or in how long. Bounded: a few words.

use crate::adapter::FetchError;
use std::time::{Duration, Instant};

/// Failures in a row that open the circuit.
const FAILURES: u32 = 5;
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    /// Nothing is sent until then.
    Open {
        until: Instant,
    },
    /// One request is out to see whether it works again; a lost one is not waited for longer than `until`.
    HalfOpen {
        until: Instant,
    },
}

#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// How often it opened since it last worked.
    opened: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 }, opened: 0 }
    }
}

impl Breaker {
    /// May a request be sent? If not, in how many milliseconds to ask again.
    pub fn admit(&self, now: Instant) -> Result<(), u64> {
        match self.state {
            State::Open { until } | State::HalfOpen { until } if now < until => {
                Err(u64::try_from((until - now).as_millis()).unwrap_or(u64::MAX).max(1))
            }
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => Ok(()),
        }
    }

    /// It was sent: after a failure nobody else goes before its outcome.
    pub fn sent(&mut self, now: Instant) {
        if !matches!(self.state, State::Closed { .. }) {
            self.state = State::HalfOpen { until: now + LAST };
        }
    }

    pub fn outcome<T>(&mut self, now: Instant, result: &Result<T, FetchError>) {
        let Some(said) = verdict(result) else {
            self.state = State::Closed { failures: 0 };
            self.opened = 0;
            return;
        };
        match (said, self.state) {
            // The venue named its time: no need to count.
            (Some(pause), _) => self.open(now, pause),
            (None, State::Closed { failures }) if failures + 1 < FAILURES => {
                self.state = State::Closed { failures: failures + 1 };
            }
            (None, State::Open { .. }) => {}
            (None, _) => {
                let longest = FIRST.saturating_mul(1 << self.opened.min(16)).min(LAST);
                self.open(now, longest.mul_f64(0.5 + 0.5 * fastrand::f64()));
            }
        }
    }

    fn open(&mut self, now: Instant, pause: Duration) {
        self.opened = self.opened.saturating_add(1);
        self.state = State::Open { until: now + pause };
    }
}

/// `None`: the venue works. `Some(pause)`: it failed, and perhaps said for how long to stay away.
fn verdict<T>(result: &Result<T, FetchError>) -> Option<Option<Duration>> {
    match result {
        Ok(_) => None,
        Err(FetchError::Status { status: 429 | 418, retry_after_s }) => {
            Some(retry_after_s.map(|seconds| Duration::from_secs(seconds.into())))
        }
        // Any other 4xx says that the question was wrong, not that the venue is down.
        Err(FetchError::Status { status, .. }) if *status < 500 => None,
        Err(_) => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after_s: Option<u32>) -> Result<(), FetchError> {
        Err(FetchError::Status { status, retry_after_s })
    }

    #[test]
    fn opens_tries_once_and_closes() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.sent(now);
            breaker.outcome(now, &status(503, None));
        }
        let wait = breaker.admit(now).unwrap_err();
        assert!((1..=1_000).contains(&wait));
        now += Duration::from_secs(1);
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.admit(now), Ok(()), "asking is not sending: the request may have to wait for something else");
        breaker.sent(now);
        assert!(breaker.admit(now).is_err(), "one at a time while half open");
        breaker.outcome(now, &Err::<(), _>(FetchError::Timeout(1)));
        assert!((1..=2_000).contains(&breaker.admit(now).unwrap_err()));
        now += Duration::from_secs(2);
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.sent(now);
        breaker.outcome(now, &Ok(()));
        assert_eq!(breaker.admit(now), Ok(()));
        assert_eq!(breaker.admit(now), Ok(()));
    }

    #[test]
    fn the_venue_may_say_how_long() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.outcome(now, &status(429, Some(7)));
        assert_eq!(breaker.admit(now), Err(7_000));
        let mut breaker = Breaker::default();
        (0..20).for_each(|_| breaker.outcome(now, &status(400, None)));
        assert_eq!(breaker.admit(now), Ok(()));
    }
}
