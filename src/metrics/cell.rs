//! In: counts, levels and durations from hot paths. Out: numbers that a scrape reads. No locks, no allocation.
//! Bounded: a counter or gauge is 8 bytes, a histogram `BUCKETS` times 8 bytes, whatever is recorded.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Counts up. Any thread may add.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, more: u64) {
        // Most of what a frame may have it has none of, and a look is cheaper than a change.
        if more > 0 {
            self.0.fetch_add(more, Relaxed);
        }
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A level that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Moves the level; negative to lower it.
    #[inline]
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// How late a thread is. Its own thread observes, one other takes.
#[derive(Debug)]
pub struct Lag {
    /// The longest since the last `take`, in ns.
    longest: AtomicU64,
    /// When the thread will next be heard, in monotonic ns. Once it is past, the thread is stuck and could not say so.
    expected: AtomicI64,
}

impl Default for Lag {
    fn default() -> Self {
        Self { longest: AtomicU64::new(0), expected: AtomicI64::new(i64::MAX) }
    }
}

impl Lag {
    /// Costs one load, unless it is the longest so far.
    #[inline]
    pub fn observe(&self, lag_ns: u64) {
        if lag_ns > self.longest.load(Relaxed) {
            self.longest.fetch_max(lag_ns, Relaxed);
        }
    }

    /// The thread will call this again at `at_ns` (monotonic) at the latest; `i64::MAX`: it is not running.
    #[inline]
    pub fn expect(&self, at_ns: i64) {
        self.expected.store(at_ns, Relaxed);
    }

    /// The longest lag since the last call, or how long the thread has been overdue at `now_ns` (monotonic) if that is longer.
    pub fn take(&self, now_ns: i64) -> u64 {
        let overdue_ns = now_ns.saturating_sub(self.expected.load(Relaxed)).max(0) as u64;
        self.longest.swap(0, Relaxed).max(overdue_ns)
    }
}

/// Buckets a decade: its bounds are 1.5, 2, 2.5 … 10 times a power of ten, so each usual `le` is a bound and its count exact.
const STEPS: usize = 18;
/// The decades that are told apart: from 10 to 10^11 (100 s in ns, 100 GB in bytes).
const DECADES: usize = 10;
/// One for 0 to 10, the decades, one for all above.
pub const BUCKETS: usize = 1 + DECADES * STEPS + 1;

const POWERS_OF_TEN: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < 20 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A distribution in log-linear buckets, each 50 % wide at a decade's start and 5 % at its end.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// A duration in nanoseconds.
    #[inline]
    pub fn record_ns(&self, duration_ns: u64) {
        self.record(duration_ns);
    }

    /// A duration as a difference of two stamps; a negative one (a clock was set back) counts as 0.
    #[inline]
    pub fn record_span_ns(&self, from_ns: i64, to_ns: i64) {
        self.record_spans_ns(&[from_ns], to_ns);
    }

    /// Durations from several stamps to a later one.
    #[inline]
    pub fn record_spans_ns(&self, from_ns: &[i64], to_ns: i64) {
        // Neighbours are about as old and share a bucket, as a rule: one change for all of them.
        let (mut bucket, mut count, mut sum) = (0, 0, 0u64);
        for from in from_ns {
            let span = to_ns.saturating_sub(*from).max(0) as u64;
            let at = index(span);
            if at != bucket {
                self.add(bucket, count);
                (bucket, count) = (at, 0);
            }
            count += 1;
            sum = sum.wrapping_add(span);
        }
        self.add(bucket, count);
        self.sum.fetch_add(sum, Relaxed);
    }

    #[inline]
    fn add(&self, bucket: usize, count: u64) {
        if count > 0 {
            self.buckets[bucket].fetch_add(count, Relaxed);
        }
    }

    /// Any non-negative whole number, for example bytes.
    #[inline]
    pub fn record(&self, value: u64) {
        self.add(index(value), 1);
        self.sum.fetch_add(value, Relaxed);
    }

    pub fn read(&self) -> Distribution {
        Distribution { counts: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(), sum: self.sum.load(Relaxed) }
    }
}

/// A histogram's numbers at one moment.
#[derive(Clone, Debug)]
pub struct Distribution {
    counts: Vec<u64>,
    pub sum: u64,
}

impl Distribution {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many values are at most `bound`; exact where `bound` is a bucket's bound (1, 1.5, 2 … times a power of ten).
    pub fn at_most(&self, bound: u64) -> u64 {
        self.counts.iter().enumerate().take_while(|(at, _)| upper_bound(*at) <= bound).map(|(_, count)| count).sum()
    }

    /// The upper bound of the bucket in which the quantile lies; `None` while nothing was recorded.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let total = self.count();
        let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        self.counts
            .iter()
            .position(|count| {
                seen += count;
                seen >= rank
            })
            .map(upper_bound)
    }

    /// Adds another histogram's numbers, for a view over all shards.
    pub fn merge(&mut self, other: &Self) {
        for (into, from) in self.counts.iter_mut().zip(&other.counts) {
            *into += from;
        }
        self.sum += other.sum;
    }
}

/// Bucket of a value. Buckets hold `(lower, upper]`, as Prometheus' `le` does.
#[inline]
fn index(value: u64) -> usize {
    if value <= 10 {
        return 0;
    }
    let below = value - 1;
    // floor(log10) from the bit length: 77/256 is a little below log10(2), the comparison corrects the last step.
    let guess = ((u64::BITS - below.leading_zeros()) as usize * 77) >> 8;
    let decade = if below < POWERS_OF_TEN[guess] { guess - 1 } else { guess };
    if decade > DECADES {
        return BUCKETS - 1;
    }
    let half_steps = (below * 2 / POWERS_OF_TEN[decade]) as usize;
    (decade - 1) * STEPS + half_steps - 1
}

/// Largest value of a bucket; `u64::MAX` for the last one.
fn upper_bound(bucket: usize) -> u64 {
    match bucket {
        0 => 10,
        at if at == BUCKETS - 1 => u64::MAX,
        at => {
            let (decade, step) = ((at - 1) / STEPS + 1, (at - 1) % STEPS);
            (step as u64 + 3) * POWERS_OF_TEN[decade] / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_and_index_agree_at_every_edge() {
        for bucket in 0..BUCKETS - 1 {
            let upper = upper_bound(bucket);
            assert_eq!(index(upper), bucket, "{upper}");
            assert_eq!(index(upper + 1), bucket + 1, "{upper}");
        }
        assert_eq!((index(0), index(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn counts_at_usual_bounds_are_exact() {
        let histogram = Histogram::default();
        for value in [0, 999, 1_000, 1_001, 2_500, 2_501, 1_000_000_000] {
            histogram.record_ns(value);
        }
        histogram.record_span_ns(50, 20);
        histogram.record_spans_ns(&[50, 15, -3_000], 20);
        let read = histogram.read();
        assert_eq!((read.count(), read.sum), (11, 1_000_011_026));
        assert_eq!([10, 1_000, 2_500, 5_000, 1_000_000_000].map(|bound| read.at_most(bound)), [4, 6, 8, 10, 11]);
    }

    #[test]
    fn a_lag_is_the_longest_since_the_last_look_or_a_missing_sign_of_life() {
        let lag = Lag::default();
        assert_eq!(lag.take(i64::MAX), 0, "not running");
        [3, 7, 5].into_iter().for_each(|ns| lag.observe(ns));
        assert_eq!((lag.take(0), lag.take(0)), (7, 0));
        lag.expect(100);
        lag.observe(4);
        assert_eq!((lag.take(100), lag.take(109)), (4, 9));
        lag.expect(i64::MAX);
        assert_eq!(lag.take(i64::MAX - 1), 0);
    }

    #[test]
    fn quantiles() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().quantile(0.5), None);
        (1..=1_000).for_each(|value| histogram.record(value * 1_000));
        let read = histogram.read();
        assert_eq!([0.5, 0.99, 1.0].map(|quantile| read.quantile(quantile)), [Some(500_000), Some(1_000_000), Some(1_000_000)]);
        let mut both = read.clone();
        both.merge(&read);
        assert_eq!((both.count(), both.quantile(0.5)), (2_000, Some(500_000)));
    }

    proptest! {
        #[test]
        fn each_value_lies_within_its_bucket(value: u64) {
            let at = index(value);
            prop_assert!(value <= upper_bound(at));
            prop_assert!(at == 0 || value > upper_bound(at - 1));
        }
    }
}
