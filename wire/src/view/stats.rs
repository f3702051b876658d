//! In: fields of the last 24 hours of trading that changed. Out: the value, and its hash. Bounded: nine fields.

use crate::record::{DayStats, StatsChange};

impl StatsChange {
    /// Every field, as a snapshot has them.
    pub fn full(stats: &DayStats) -> Self {
        Self {
            last: Some(stats.last),
            open: Some(stats.open),
            high: Some(stats.high),
            low: Some(stats.low),
            volume: Some(stats.volume),
            notional: Some(stats.notional),
            count: Some(stats.count),
            gaps: Some(stats.gaps),
            from: Some(stats.from),
        }
    }

    pub fn apply(&self, stats: &mut DayStats) {
        fn set<T: Copy>(field: &mut T, change: Option<T>) {
            if let Some(value) = change {
                *field = value;
            }
        }
        set(&mut stats.last, self.last);
        set(&mut stats.open, self.open);
        set(&mut stats.high, self.high);
        set(&mut stats.low, self.low);
        set(&mut stats.volume, self.volume);
        set(&mut stats.notional, self.notional);
        set(&mut stats.count, self.count);
        set(&mut stats.gaps, self.gaps);
        set(&mut stats.from, self.from);
    }
}

/// The `check` hash: all fields in the order of the binary record, missing prices as the smallest `i64`.
pub fn stats_hash(stats: &DayStats) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for price in [stats.last, stats.open, stats.high, stats.low] {
        hasher.update(&price.unwrap_or(i64::MIN).to_le_bytes());
    }
    hasher.update(&stats.volume.to_le_bytes());
    hasher.update(&stats.notional.to_le_bytes());
    hasher.update(&stats.count.to_le_bytes());
    hasher.update(&stats.gaps.to_le_bytes());
    hasher.update(&stats.from.to_le_bytes());
    hasher.finalize()
}
