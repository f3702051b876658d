//! In: what the pressure sampler finds. Out: its cells. Bounded: one counter a cause and direction, some gauges.

use super::cell::{Counter, Gauge};
use super::groups::label_enum;

label_enum!(
    /// How far the node has withdrawn. Each level does what the ones before it do.
    PressureLevel {
        Normal = "normal",
        /// No pace is faster than a floor.
        Slow = "slow",
        /// New snapshots of deep books wait.
        DeferDeep = "defer_deep",
        /// New clients are refused.
        Refuse = "refuse",
    }
);

label_enum!(
    /// What the node has too much of.
    PressureCause {
        Lag = "lag",
        Memory = "memory",
    }
);

/// Written by the sampler.
#[derive(Debug, Default)]
pub struct PressureMetrics {
    /// Number of the level, 0 = normal.
    pub level: Gauge,
    /// By cause.
    up: [Counter; PressureCause::ALL.len()],
    down: [Counter; PressureCause::ALL.len()],
    /// From which each level above normal is entered; 0 = never.
    pub lag_thresholds_ns: [Gauge; PressureLevel::ALL.len() - 1],
    pub memory_thresholds_bytes: [Gauge; PressureLevel::ALL.len() - 1],
    /// 0 = none.
    pub memory_limit_bytes: Gauge,
}

impl PressureMetrics {
    /// One level more, or one less, that `cause` had brought about.
    pub fn stepped(&self, is_up: bool, cause: PressureCause) {
        self.steps_of(is_up)[cause as usize].add(1);
    }

    pub fn steps(&self, is_up: bool, cause: PressureCause) -> u64 {
        self.steps_of(is_up)[cause as usize].get()
    }

    fn steps_of(&self, is_up: bool) -> &[Counter; PressureCause::ALL.len()] {
        if is_up { &self.up } else { &self.down }
    }
}
