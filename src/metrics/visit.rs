//! In: a group of cells. Out: its values one by one, each with its row of the catalogue and its label values, in a fixed order.
//! Bounded: the order and number of values of a group never change, so the exporter keeps one handle a position.

use super::catalogue::{self as c, Row};
use super::cell::Histogram;
use super::groups::{FeedMetrics, GateMetrics, HandshakeFailure, Refusal, Route, STATUSES, ShardMetrics, TopicMetrics};
use super::pressure::{PressureCause, PressureLevel, PressureMetrics};
use super::process::ProcessMetrics;
use feeds::adapter::FaultKind;
use wire::code::{CLOSES, Code};
use wire::event::FeedState;

pub(super) enum Value<'a> {
    Counter(u64),
    /// A counter in parts of a second; the exporter's counters hold whole numbers only.
    Seconds(f64),
    Gauge(f64),
    Histogram(&'a Histogram),
}

/// Takes a row, the values of its labels in the row's order, and the value.
pub(super) type Emit<'e> = dyn FnMut(&'static Row, &[&str], Value<'_>) + 'e;

impl ShardMetrics {
    pub(super) fn visit(&self, shard: &str, emit: &mut Emit<'_>) {
        let only = &[shard];
        for (row, gauge) in [(&c::SESSIONS, &self.sessions), (&c::SUBSCRIPTIONS, &self.subscriptions)] {
            emit(row, only, Value::Gauge(gauge.get() as f64));
        }
        for (row, counter) in [
            (&c::FRAMES, &self.frames),
            (&c::RECORDS, &self.records),
            (&c::BYTES_OUT, &self.bytes_out),
            (&c::MERGED_UPDATES, &self.merged_updates),
            (&c::GAPS, &self.gaps),
            (&c::SNAPSHOTS, &self.snapshots),
            (&c::CHECKS, &self.checks_sent),
            (&c::QOS_CHANGES, &self.qos_changes),
            (&c::AGED_TOPICS, &self.aged_topics),
            (&c::COMMANDS, &self.commands),
        ] {
            emit(row, only, Value::Counter(counter.get()));
        }
        for (row, label, counter) in [
            (&c::CHUNKS, "hit", &self.chunk_hits),
            (&c::CHUNKS, "miss", &self.chunk_misses),
            (&c::RATE_LIMITED, "commands", &self.rate_limited_commands),
            (&c::RATE_LIMITED, "updates", &self.rate_limited_updates),
            (&c::RATE_LIMITED, "bytes", &self.rate_limited_bytes),
            (&c::CLOSES, "client", &self.closed_by_client),
            (&c::CLOSES, "lost", &self.connection_lost),
        ] {
            emit(row, &[shard, label], Value::Counter(counter.get()));
        }
        for (code, counter) in Code::ALL.iter().zip(&self.refusals) {
            emit(&c::REFUSALS, &[shard, code.name()], Value::Counter(counter.get()));
        }
        for (close, counter) in CLOSES.iter().zip(&self.closes) {
            emit(&c::CLOSES, &[shard, close.name], Value::Counter(counter.get()));
        }
        emit(&c::PRESSURE_LAG, only, Value::Gauge(self.lag_ns.get() as f64 / 1e9));
        emit(&c::FRAME_BYTES, only, Value::Histogram(&self.frame_bytes));
        emit(&c::PUBLISHED_TO_WRITTEN, only, Value::Histogram(&self.published_to_written));
    }
}

impl FeedMetrics {
    pub(super) fn visit(&self, venue: &str, emit: &mut Emit<'_>) {
        let only = &[venue];
        for (row, counter) in [
            (&c::FEED_MESSAGES, &self.messages),
            (&c::FEED_BYTES, &self.bytes),
            (&c::FEED_EVENTS, &self.events),
            (&c::FEED_RECONNECTS, &self.reconnects),
            (&c::CHECK_MISMATCHES, &self.mismatches),
            (&c::RECORDING_FAILURES, &self.recording_failures),
        ] {
            emit(row, only, Value::Counter(counter.get()));
        }
        for (result, counter) in [("recorded", &self.recorded), ("left_out", &self.left_out)] {
            emit(&c::RECORDING_ENTRIES, &[venue, result], Value::Counter(counter.get()));
        }
        for (kind, counter) in FaultKind::ALL.iter().zip(&self.faults) {
            emit(&c::FEED_FAULTS, &[venue, kind.name()], Value::Counter(counter.get()));
        }
        for state in FeedState::ALL {
            emit(&c::FEED_CHANNELS, &[venue, state.name()], Value::Gauge(self.channels(*state) as f64));
        }
        emit(&c::FEED_INSTRUMENTS, only, Value::Gauge(self.instruments.get() as f64));
        emit(&c::FEED_CLOCK_SKEW, only, Value::Gauge(self.skew.get_ns() as f64 / 1e9));
        emit(&c::EVENT_TO_RECEIVED, only, Value::Histogram(&self.event_to_received));
        emit(&c::RECEIVED_TO_PUBLISHED, only, Value::Histogram(&self.received_to_published));
    }
}

impl TopicMetrics {
    pub(super) fn visit(&self, emit: &mut Emit<'_>) {
        emit(&c::TOPICS, &[], Value::Gauge(self.topics.get() as f64));
        emit(&c::TOPICS_CAPACITY, &[], Value::Gauge(self.capacity.get() as f64));
        for (row, counter) in [
            (&c::TOPICS_REFUSED, &self.refused),
            (&c::TOPIC_REDEFINITIONS, &self.redefinitions),
            (&c::TOPIC_OVERRUNS, &self.overruns),
            (&c::TOPIC_LEVELS_DROPPED, &self.levels_dropped),
            (&c::TOPIC_TRADES_TOO_LATE, &self.trades_too_late),
            (&c::TOPIC_CROSSED_BOOKS, &self.crossed_books),
        ] {
            emit(row, &[], Value::Counter(counter.get()));
        }
    }
}

impl GateMetrics {
    pub(super) fn visit(&self, emit: &mut Emit<'_>) {
        emit(&c::CONNECTIONS, &[], Value::Gauge(self.connections.get() as f64));
        emit(&c::ACCEPTED, &[], Value::Counter(self.accepted.get()));
        emit(&c::HANDSHAKES, &[], Value::Counter(self.handshakes.get()));
        for (why, counter) in HandshakeFailure::ALL.iter().zip(&self.handshake_failures) {
            emit(&c::HANDSHAKE_FAILURES, &[why.name()], Value::Counter(counter.get()));
        }
        for (why, counter) in Refusal::ALL.iter().zip(&self.refused) {
            emit(&c::REFUSED, &[why.name()], Value::Counter(counter.get()));
        }
        for (route, counters) in Route::ALL.iter().zip(&self.requests) {
            let statuses = STATUSES.iter().map(|status| status.to_string()).chain(["other".to_owned()]);
            for (status, counter) in statuses.zip(counters) {
                emit(&c::HTTP_REQUESTS, &[route.name(), &status], Value::Counter(counter.get()));
            }
        }
    }
}

impl PressureMetrics {
    pub(super) fn visit(&self, emit: &mut Emit<'_>) {
        emit(&c::PRESSURE_LEVEL, &[], Value::Gauge(self.level.get() as f64));
        emit(&c::PRESSURE_MEMORY_LIMIT, &[], Value::Gauge(self.memory_limit_bytes.get() as f64));
        for cause in PressureCause::ALL {
            for (direction, is_up) in [("up", true), ("down", false)] {
                emit(&c::PRESSURE_STEPS, &[direction, cause.name()], Value::Counter(self.steps(is_up, *cause)));
            }
        }
        let thresholds = self.lag_thresholds_ns.iter().zip(&self.memory_thresholds_bytes);
        for (level, (lag_ns, memory_bytes)) in PressureLevel::ALL[1..].iter().zip(thresholds) {
            emit(&c::PRESSURE_LAG_THRESHOLD, &[level.name()], Value::Gauge(lag_ns.get() as f64 / 1e9));
            emit(&c::PRESSURE_MEMORY_THRESHOLD, &[level.name()], Value::Gauge(memory_bytes.get() as f64));
        }
    }
}

impl ProcessMetrics {
    pub(super) fn visit(&self, emit: &mut Emit<'_>) {
        let now = self.read();
        emit(&c::BUILD_INFO, &[self.version], Value::Gauge(1.0));
        emit(&c::PROCESS_CPU, &[], Value::Seconds(now.cpu_s));
        for (row, value) in [
            (&c::UPTIME, now.uptime_s),
            (&c::MEMORY_BUDGET, self.memory_budget.get() as f64),
            (&c::PROCESS_RESIDENT, now.resident_bytes as f64),
            (&c::PROCESS_FDS, now.open_fds as f64),
            (&c::PROCESS_MAX_FDS, now.max_fds as f64),
            (&c::PROCESS_THREADS, now.threads as f64),
        ] {
            emit(row, &[], Value::Gauge(value));
        }
    }
}
