//! Latencies in microseconds. In: two times. Out: a histogram that adds up over threads and processes without loss, and its summary.
//! Bounded: one array of counts (three digits up to an hour).

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use wire::event::Nanos;

const MOST_US: u64 = 3_600_000_000;

/// Between a power of two and the next one lie so many steps, as a power of two: three digits are exact.
const STEP_BITS: u32 = 10;
/// Shorter times (ns) count as this long, longer ones as `MOST_NS`.
const LEAST_NS: u64 = 512;
const MOST_NS: u64 = MOST_US * 1_000;
const STEPS: usize = step(MOST_NS) + 1;

/// How often each step was met: as little as can be done at a record, as a load client records millions a second.
#[derive(Clone, Debug)]
pub struct Latency(Vec<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(vec![0; STEPS])
    }
}

impl Latency {
    /// A time that lies after `now` (clock skew between machines) counts as no time.
    #[inline]
    pub fn record(&mut self, from: Nanos, now: Nanos) {
        self.record_ns(now.saturating_sub(from).max(0).unsigned_abs());
    }

    #[inline]
    fn record_ns(&mut self, ns: u64) {
        self.0[step(ns)] += 1;
    }

    pub fn record_us(&mut self, micros: u64) {
        self.record_ns(micros.saturating_mul(1_000));
    }

    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// In microseconds; 0 if nothing was recorded.
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        let rank = ((quantile * self.count() as f64).ceil() as u64).max(1);
        let mut below = 0;
        let step = self.0.iter().position(|count| {
            below += count;
            below >= rank
        });
        step.map_or(0, micros)
    }

    pub fn max_us(&self) -> u64 {
        self.0.iter().rposition(|count| *count > 0).map_or(0, micros)
    }

    pub fn json(&self) -> Value {
        let at = |quantile| self.quantile_us(quantile);
        json!({
            "count": self.count(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": self.max_us(),
        })
    }
}

/// The step a time is counted in. A floating-point number is a power of two and how far it is to the next one, one behind the other: its first
/// bits are the number of a step.
#[inline]
const fn step(ns: u64) -> usize {
    let ns = if ns < LEAST_NS { LEAST_NS } else { ns };
    let ns = if ns < MOST_NS { ns } else { MOST_NS };
    (first_bits(ns as f64) - first_bits(LEAST_NS as f64)) as usize
}

const fn first_bits(number: f64) -> u64 {
    number.to_bits() >> (f64::MANTISSA_DIGITS - 1 - STEP_BITS)
}

/// The longest time of a step.
fn micros(step: usize) -> u64 {
    let next = first_bits(LEAST_NS as f64) + step as u64 + 1;
    (f64::from_bits(next << (f64::MANTISSA_DIGITS - 1 - STEP_BITS)).ceil() as u64 - 1) / 1_000
}

/// As pairs of step and count: what one process tells another.
impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().enumerate().filter(|(_, count)| **count > 0))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latency = Self::default();
        for (step, count) in Vec::<(usize, u64)>::deserialize(deserializer)? {
            let sum = latency.0.get_mut(step).ok_or_else(|| D::Error::custom("no such step"))?;
            *sum = sum.checked_add(count).ok_or_else(|| D::Error::custom("too many"))?;
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_the_quantiles() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|ms| latency.record(0, ms * 1_000_000));
        let json = latency.json();
        for (key, expected) in [("p50", 500_000), ("p90", 900_000), ("p99", 990_000), ("p999", 999_000), ("max", 1_000_000)] {
            let value = json[key].as_u64().unwrap();
            assert!(value.abs_diff(expected) <= expected / 1_000, "{key}: {value}");
        }
        assert_eq!(json["count"], 1000);
        latency.record(5, 0);
        assert_eq!(latency.quantile_us(0.0), 0);
    }

    #[test]
    fn a_time_is_told_to_three_digits() {
        let edges = (0..43).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        let random = (0..1_000).map(|_| fastrand::u64(..) >> fastrand::u32(20..64));
        for ns in edges.chain(random).chain([MOST_NS, u64::MAX]) {
            let mut latency = Latency::default();
            latency.record_ns(ns);
            let (told, true_us) = (micros(step(ns)), ns.min(MOST_NS) / 1_000);
            assert!((true_us..=true_us + true_us / 1_000 + 1).contains(&told), "{ns} ns: {told}");
            assert_eq!((latency.max_us(), latency.quantile_us(0.5), latency.quantile_us(0.0)), (told, told, told));
        }
        assert_eq!([0, 1_000, 40_000, 100_000, 1_500_000].map(|ns| micros(step(ns))), [0, 1, 40, 100, 1_500]);
    }

    #[test]
    fn a_histogram_survives_the_way_between_processes() {
        let mut one = Latency::default();
        let mut other = Latency::default();
        for number in 0..5_000 {
            one.record_us(fastrand::u64(..100_000) + number % 7);
            other.record_us(fastrand::u64(..90_000_000));
        }
        let sent: Latency = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
        assert_eq!(sent.0, one.0);
        let mut sum = one.clone();
        sum.add(&other);
        assert_eq!(sum.count(), 10_000);
        let mut told = sent;
        told.add(&serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap());
        assert_eq!(told.0, sum.0);
        assert_eq!(Latency::default().json()["p99"], 0);
    }
}
