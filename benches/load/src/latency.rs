//! Latencies in microseconds. In: two times. Out: a histogram that adds up over threads and processes without loss, and its summary.
//! Bounded: one array of counts (three digits up to an hour).

use hdrhistogram::Histogram;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use wire::event::Nanos;

const MOST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Values below are counted one by one; from each power of two on in steps twice as wide, so that three digits are exact.
const EXACT: u64 = 2_048;
/// One for `MOST_US`, and those before it.
const STEPS: usize = step(MOST_US) + 1;

/// How often each step was met. The steps are those of `Histogram`, which does all the reading; but it keeps more than these counts up to date
/// at each record, and a load client records millions a second.
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
        self.record_us(now.saturating_sub(from).max(0).unsigned_abs() / 1_000);
    }

    #[inline]
    pub fn record_us(&mut self, micros: u64) {
        self.0[step(micros)] += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    fn histogram(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, MOST_US, DIGITS).expect("the bounds are good");
        for (at, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            histogram.saturating_record_n(first_us(at), *count);
        }
        histogram
    }

    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// In microseconds; 0 if nothing was recorded.
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        self.histogram().value_at_quantile(quantile)
    }

    pub fn max_us(&self) -> u64 {
        self.histogram().max()
    }

    pub fn json(&self) -> Value {
        let histogram = self.histogram();
        let at = |quantile| histogram.value_at_quantile(quantile);
        json!({
            "count": histogram.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": histogram.max(),
        })
    }
}

/// The step a value is counted in; what is above an hour counts as an hour.
#[inline]
const fn step(micros: u64) -> usize {
    let micros = if micros < MOST_US { micros } else { MOST_US };
    // How many low bits of the value do not count.
    let left_out = (micros | (EXACT - 1)).ilog2() - (EXACT - 1).ilog2();
    left_out as usize * (EXACT as usize / 2) + (micros >> left_out) as usize
}

/// The lowest value of a step.
fn first_us(step: usize) -> u64 {
    let (step, half) = (step as u64, EXACT / 2);
    if step < EXACT { step } else { (step % half + half) << (step / half - 1) }
}

/// As pairs of value and count: what one process tells another.
impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.histogram().iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latency = Self::default();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            let sum = latency.0[step(value)].checked_add(count);
            latency.0[step(value)] = sum.ok_or_else(|| D::Error::custom("too many"))?;
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
    fn the_steps_are_those_of_the_histogram() {
        let (mut latency, mut histogram) = (Latency::default(), Latency::default().histogram());
        let edges = (0..33).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        for micros in edges.chain((0..20_000).map(|_| fastrand::u64(..) >> fastrand::u32(32..64))).chain([u64::MAX]) {
            latency.record_us(micros);
            histogram.saturating_record(micros.min(MOST_US));
            assert_eq!(step(first_us(step(micros))), step(micros));
        }
        let counts = |histogram: &Histogram<u64>| -> Vec<_> {
            histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
        };
        let read = latency.histogram();
        assert!(counts(&read) == counts(&histogram));
        assert_eq!(latency.count(), histogram.len());
        for part in 0..=1_000 {
            let quantile = f64::from(part) / 1_000.0;
            assert_eq!(read.value_at_quantile(quantile), histogram.value_at_quantile(quantile));
        }
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
