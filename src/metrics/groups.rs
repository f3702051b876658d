//! In: what the stages count. Out: one cell a fact, grouped by who writes it. No locks. Rows of the catalogue are filled in `visit.rs`.
//! Bounded: a shard's group is some 4 KiB, a venue's some 3.5 KiB; their number is that of shards and feeds.

use super::cell::{Counter, Gauge, Histogram, Lag};
use feeds::adapter::{Fault, FaultKind};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use wire::code::{CLOSES, Close, Code};
use wire::event::{FeedState, Nanos};

/// Written by one shard's thread.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    pub sessions: Gauge,
    pub subscriptions: Gauge,
    /// Data frames written.
    pub frames: Counter,
    /// Records in these frames.
    pub records: Counter,
    /// Bytes of these frames before TLS.
    pub bytes_out: Counter,
    /// Updates that reached a subscriber inside a newer record (sequence advance - 1).
    pub merged_updates: Counter,
    pub gaps: Counter,
    pub snapshots: Counter,
    pub checks_sent: Counter,
    /// Changes of what slows a session, told to its client.
    pub qos_changes: Counter,
    /// Topics that clients were told are older than they allow.
    pub aged_topics: Counter,
    /// Encoded bytes found / made.
    pub chunk_hits: Counter,
    pub chunk_misses: Counter,
    pub frame_bytes: Histogram,
    /// Of realtime subscriptions only: a chosen pace is no latency.
    pub published_to_written: Histogram,
    /// Requests received.
    pub commands: Counter,
    pub rate_limited_commands: Counter,
    pub rate_limited_updates: Counter,
    pub rate_limited_bytes: Counter,
    pub(super) refusals: [Counter; Code::ALL.len()],
    pub(super) closes: [Counter; CLOSES.len()],
    /// The client said goodbye.
    pub closed_by_client: Counter,
    /// The connection broke without a goodbye.
    pub connection_lost: Counter,
    /// What the node's pressure is measured by. Only lag of our own making: a client that takes nothing is its own matter.
    pub lag: Lag,
    /// What the last look at it found, in ns.
    pub lag_ns: Gauge,
}

impl ShardMetrics {
    /// A request, or one topic of it, was answered with this code.
    pub fn refused(&self, code: Code) {
        self.refusals[code as usize].add(1);
    }

    /// The server ended a session.
    pub fn closed(&self, close: Close) {
        self.closes[close as usize].add(1);
    }

    /// Sessions that the server ended for this reason.
    pub fn close_count(&self, close: Close) -> u64 {
        self.closes[close as usize].get()
    }
}

/// Written by one feed's thread.
#[derive(Debug, Default)]
pub struct FeedMetrics {
    pub messages: Counter,
    pub bytes: Counter,
    pub events: Counter,
    pub reconnects: Counter,
    /// Checks that clients reported to disagree with what they held.
    pub mismatches: Counter,
    /// Entries of a recording that were written, or left out.
    pub recorded: Counter,
    pub left_out: Counter,
    /// Times the disk of a recording refused.
    pub recording_failures: Counter,
    pub instruments: Gauge,
    pub received_to_published: Histogram,
    pub(super) event_to_received: Histogram,
    pub(super) faults: [Counter; FaultKind::ALL.len()],
    /// By state.
    channels: [Gauge; FeedState::ALL.len()],
    pub(super) skew: SkewGauge,
}

impl FeedMetrics {
    pub fn faults(&self, faults: &[Fault]) {
        for fault in faults {
            self.fault(fault.kind);
        }
    }

    pub fn fault(&self, kind: FaultKind) {
        self.faults[kind as usize].add(1);
    }

    /// Of all kinds.
    pub fn fault_count(&self) -> u64 {
        self.faults.iter().map(Counter::get).sum()
    }

    /// So many channels (quote, trade or book of an instrument) are in this state.
    pub fn set_channels(&self, state: FeedState, count: u32) {
        self.channels[state as usize].set(i64::from(count));
    }

    /// How many channels are in this state.
    pub fn channels(&self, state: FeedState) -> i64 {
        self.channels[state as usize].get()
    }

    /// Latency of one event up to our socket; does nothing where the venue gives no time (`event_time` 0).
    pub fn received(&self, event_time: Nanos, received: Nanos) {
        if event_time != 0 {
            self.event_to_received.record_span_ns(event_time, received);
            self.skew.record(received, received - event_time);
        }
    }
}

/// Least difference of the window before and of the current one, so that one bad stamp is forgotten after 20 s.
/// Written by one thread.
#[derive(Debug)]
pub struct SkewGauge {
    before: AtomicI64,
    current: AtomicI64,
    window_end: AtomicI64,
}

/// Long enough to hold a least latency, short enough to follow a clock that is being corrected.
const SKEW_WINDOW_NS: i64 = 10_000_000_000;

impl Default for SkewGauge {
    fn default() -> Self {
        Self { before: AtomicI64::new(i64::MAX), current: AtomicI64::new(i64::MAX), window_end: AtomicI64::new(i64::MIN) }
    }
}

impl SkewGauge {
    fn record(&self, now: Nanos, difference_ns: i64) {
        let current = self.current.load(Relaxed);
        if now >= self.window_end.load(Relaxed) {
            self.before.store(current, Relaxed);
            self.current.store(difference_ns, Relaxed);
            self.window_end.store(now.saturating_add(SKEW_WINDOW_NS), Relaxed);
        } else if difference_ns < current {
            self.current.store(difference_ns, Relaxed);
        }
    }

    /// 0 until something was recorded.
    pub(super) fn get_ns(&self) -> i64 {
        match self.before.load(Relaxed).min(self.current.load(Relaxed)) {
            i64::MAX => 0,
            least => least,
        }
    }
}

/// Written by the feeds' threads through the topic map.
#[derive(Debug, Default)]
pub struct TopicMetrics {
    pub topics: Gauge,
    pub capacity: Gauge,
    /// Instruments not listed because the map was full.
    pub refused: Counter,
    pub redefinitions: Counter,
    /// `since` found that the ring or log had moved past the cursor.
    pub overruns: Counter,
    pub levels_dropped: Counter,
    pub trades_too_late: Counter,
    /// A book became crossed outside of an auction.
    pub crossed_books: Counter,
}

/// Written by the accept loop and the shards.
#[derive(Debug, Default)]
pub struct GateMetrics {
    pub connections: Gauge,
    pub accepted: Counter,
    pub handshakes: Counter,
    pub(super) handshake_failures: [Counter; HandshakeFailure::ALL.len()],
    pub(super) refused: [Counter; Refusal::ALL.len()],
    pub(super) requests: [[Counter; STATUSES.len() + 1]; Route::ALL.len()],
}

impl GateMetrics {
    pub fn handshake_failed(&self, why: HandshakeFailure) {
        self.handshake_failures[why as usize].add(1);
    }

    pub fn refused(&self, why: Refusal) {
        self.refused[why as usize].add(1);
    }

    pub fn failures(&self, why: HandshakeFailure) -> u64 {
        self.handshake_failures[why as usize].get()
    }

    pub fn refusals(&self, why: Refusal) -> u64 {
        self.refused[why as usize].get()
    }

    pub fn request(&self, route: Route, status: u16) {
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len());
        self.requests[route as usize][at].add(1);
    }
}

/// The statuses that are told apart; all others count as `other`.
pub const STATUSES: [u16; 13] = [101, 200, 304, 400, 401, 403, 404, 405, 408, 413, 426, 429, 503];

/// An enum whose variants are values of a label.
macro_rules! label_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Value of the label.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

pub(super) use label_enum;

label_enum!(
    /// Why a TLS handshake (with the reading of the request behind it) was given up.
    HandshakeFailure {
        Timeout = "timeout",
        /// Plain HTTP on the TLS port.
        PlainHttp = "plain_http",
        /// The request's head is too large or not HTTP.
        Head = "head",
        /// The peer does not speak TLS as we do: bad message, no common version, unknown certificate.
        Tls = "tls",
        /// The peer went away.
        Io = "io",
    }
);

label_enum!(
    /// Why a connection was turned away.
    Refusal {
        TooManyConnections = "too_many_connections",
        /// From the peer's address.
        TooManyFromAddress = "too_many_from_address",
        TooManyFiles = "too_many_files",
        RateLimited = "rate_limited",
        Draining = "draining",
        /// All shards' hand-over queues were full.
        Busy = "busy",
        /// The node is in trouble; answered with 503.
        Pressure = "pressure",
    }
);

label_enum!(
    Route {
        Stream = "stream",
        Sse = "sse",
        Healthz = "healthz",
        Readyz = "readyz",
        Page = "page",
        Other = "other",
    }
);
