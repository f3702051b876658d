//! How much trouble the node is in. In: the lag of each shard, the memory of the process. Out: one level, for all who must withdraw by it.
//! Bounded: one sample in `sample_interval_ms`; reading the level is one load.
//!
//! `sampler` looks, `Ladder` decides (pure, with hysteresis), `Pressure` tells. What a level means is up to who reads it: sessions slow
//! their paces and keep new deep snapshots back, the gate refuses clients.

mod cgroup;
mod ladder;
mod sampler;

pub use crate::metrics::{PressureCause as Cause, PressureLevel as Level};
pub use ladder::{Ladder, Reading, Step};
pub use sampler::sample;

use crate::config;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use tokio::sync::watch;

/// The level that is in force. One per server; any thread may ask.
#[derive(Debug)]
pub struct Pressure {
    level: AtomicU8,
    floors_ms: [u32; 3],
    retry_after_s: u64,
    changes: watch::Sender<Level>,
}

impl Pressure {
    /// No pressure, until somebody tells otherwise.
    pub fn new(settings: &config::Pressure) -> Arc<Self> {
        Arc::new(Self {
            level: AtomicU8::new(Level::Normal as u8),
            floors_ms: settings.floors_ms,
            retry_after_s: settings.retry_after_s,
            changes: watch::Sender::new(Level::Normal),
        })
    }

    #[inline]
    pub fn level(&self) -> Level {
        Level::ALL[usize::from(self.level.load(Relaxed))]
    }

    /// Milliseconds of the fastest interval that a pace may have, a step of the ladder of paces; 0 = as fast as asked for.
    #[inline]
    pub fn floor_ms(&self) -> u32 {
        match self.level() {
            Level::Normal => 0,
            level => self.floors_ms[level as usize - 1],
        }
    }

    /// New snapshots of deep books wait.
    #[inline]
    pub fn defers_deep(&self) -> bool {
        self.level() >= Level::DeferDeep
    }

    /// New clients are refused.
    #[inline]
    pub fn refuses(&self) -> bool {
        self.level() >= Level::Refuse
    }

    /// When refused clients may try again.
    pub fn retry_after_s(&self) -> u64 {
        self.retry_after_s
    }

    /// Sees each change. Hold one a shard, not one a session: all are woken at once.
    pub fn subscribe(&self) -> watch::Receiver<Level> {
        self.changes.subscribe()
    }

    /// Puts a level in force. For the sampler, and for tests.
    pub fn set(&self, level: Level) {
        self.level.store(level as u8, Relaxed);
        self.changes.send_replace(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_does_what_the_ones_before_it_do() {
        let pressure = Pressure::new(&config::Pressure::default());
        let mut changes = pressure.subscribe();
        let now = |pressure: &Pressure| (pressure.floor_ms(), pressure.defers_deep(), pressure.refuses());
        assert_eq!(now(&pressure), (0, false, false));
        for (level, expected) in [
            (Level::Slow, (100, false, false)),
            (Level::DeferDeep, (250, true, false)),
            (Level::Refuse, (500, true, true)),
            (Level::Normal, (0, false, false)),
        ] {
            pressure.set(level);
            assert_eq!((pressure.level(), now(&pressure)), (level, expected));
            assert!(changes.has_changed().unwrap());
            assert_eq!(*changes.borrow_and_update(), level);
        }
    }
}
