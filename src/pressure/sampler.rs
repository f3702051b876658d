//! In: time. Out: the level in force, its metrics and a line of the log at each step. Reads each shard's lag and the process's memory.
//! Bounded: one look in `sample_interval_ms`, of two loads a shard and one small file.

use super::{Ladder, Pressure, Reading, cgroup};
use crate::clock::Clock;
use crate::config;
use crate::metrics::{Metrics, PressureMetrics, resident_bytes};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Samples until `stopped` turns true. Runs on the thread that accepts, which no shard can block.
pub async fn sample(
    settings: config::Pressure,
    pressure: Arc<Pressure>,
    metrics: Arc<Metrics>,
    clock: Clock,
    mut stopped: watch::Receiver<bool>,
) {
    let limit = settings.memory_limit_bytes.or_else(cgroup::memory_limit_bytes).filter(|limit| *limit > 0);
    let mut ladder = Ladder::new(&settings, limit);
    tell_thresholds(&metrics.pressure, &ladder, limit);
    let mut ticks = tokio::time::interval(Duration::from_millis(settings.sample_interval_ms));
    // After a standstill of our own, one look is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = ticks.tick() => {}
        }
        let now = clock.mono_ns();
        let reading = Reading { lag_ns: worst_lag(&metrics, now), memory_bytes: limit.map_or(0, |_| resident_bytes()) };
        let Some(step) = ladder.sample(now, reading) else { continue };
        metrics.pressure.level.set(step.to as i64);
        metrics.pressure.stepped(step.is_up(), step.cause);
        pressure.set(step.to);
        let (lag_ms, memory_mib) = (reading.lag_ns / 1_000_000, reading.memory_bytes >> 20);
        let (from, to, cause) = (step.from.name(), step.to.name(), step.cause.name());
        if step.is_up() {
            tracing::warn!(from, to, cause, lag_ms, memory_mib, "the node is in trouble; it withdraws");
        } else {
            tracing::info!(from, to, cause, lag_ms, memory_mib, "the node recovers");
        }
    }
}

fn worst_lag(metrics: &Metrics, now_ns: i64) -> u64 {
    let take = |shard: &Arc<crate::metrics::ShardMetrics>| {
        let lag_ns = shard.lag.take(now_ns);
        shard.lag_ns.set(i64::try_from(lag_ns).unwrap_or(i64::MAX));
        lag_ns
    };
    metrics.shards().iter().map(take).max().unwrap_or(0)
}

fn tell_thresholds(metrics: &PressureMetrics, ladder: &Ladder, limit: Option<u64>) {
    let told = |value: u64| i64::try_from(value).unwrap_or(0);
    metrics.memory_limit_bytes.set(limit.map_or(0, told));
    for (at, raise) in ladder.raises().into_iter().enumerate() {
        metrics.lag_thresholds_ns[at].set(told(raise.lag_ns));
        metrics.memory_thresholds_bytes[at].set(told(raise.memory_bytes));
    }
}
