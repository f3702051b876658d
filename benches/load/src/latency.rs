//! Latencies in microseconds. In: two times. Out: a histogram that adds up over threads and processes without loss, and its summary.
//! Bounded: one histogram of fixed size (three digits up to an hour).

use hdrhistogram::Histogram;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use wire::event::Nanos;

const MOST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MOST_US, DIGITS).expect("the bounds are good"))
    }
}

impl Latency {
    /// A time that lies after `now` (clock skew between machines) counts as no time.
    pub fn record(&mut self, from: Nanos, now: Nanos) {
        self.0.saturating_record(now.saturating_sub(from).max(0).unsigned_abs() / 1_000);
    }

    pub fn record_us(&mut self, micros: u64) {
        self.0.saturating_record(micros);
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// In microseconds; 0 if nothing was recorded.
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    pub fn max_us(&self) -> u64 {
        self.0.max()
    }

    pub fn json(&self) -> Value {
        json!({
            "count": self.count(), "p50": self.quantile_us(0.5), "p90": self.quantile_us(0.9), "p99": self.quantile_us(0.99),
            "p999": self.quantile_us(0.999), "max": self.max_us(),
        })
    }
}

/// As pairs of value and count: what one process tells another.
impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latency = Self::default();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latency.0.record_n(value, count).map_err(D::Error::custom)?;
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
