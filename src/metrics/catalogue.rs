//! The one table of all metrics: name, type, labels, help. In: nothing. Out: rows that the groups fill, the docs list and tests check.
//! Bounded: labels take few values (venue, shard, code, reason); none names a symbol, a user or a connection.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Counter,
    Gauge,
    /// Nanoseconds inside, seconds outside.
    Seconds,
    /// Bytes inside and outside.
    Bytes,
}

impl Type {
    /// The word of Prometheus' `# TYPE` line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Seconds | Self::Bytes => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: &'static str,
    pub kind: Type,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! catalogue {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub const $id: Row = Row { name: $name, kind: Type::$kind, labels: &[$($label),*], help: $help };)+
        pub const ALL: &[Row] = &[$($id),+];
    };
}

catalogue! {
    // The way of a tick, stage by stage.
    EVENT_TO_RECEIVED = Seconds "tickwire_latency_event_to_received_seconds" ["venue"]
        "From the venue's own time of an event to its bytes read here; clock skew included, negative counts as 0.";
    RECEIVED_TO_PUBLISHED = Seconds "tickwire_latency_received_to_published_seconds" ["venue"]
        "From bytes read to the new value in the topic map.";
    PUBLISHED_TO_WRITTEN = Seconds "tickwire_latency_published_to_written_seconds" ["shard"]
        "From the topic map to the written frame, of each update of a realtime subscription; first snapshots left out.";

    FEED_MESSAGES = Counter "tickwire_feed_messages_total" ["venue"] "Messages received from a venue.";
    FEED_BYTES = Counter "tickwire_feed_bytes_total" ["venue"] "Bytes of these messages.";
    FEED_EVENTS = Counter "tickwire_feed_events_total" ["venue"] "Normalized events made from them.";
    FEED_FAULTS = Counter "tickwire_feed_faults_total" ["venue", "kind"] "Mishaps that a feed survived.";
    FEED_RECONNECTS = Counter "tickwire_feed_reconnects_total" ["venue"] "Connections to a venue that were lost, each to be opened again.";
    FEED_CHANNELS = Gauge "tickwire_feed_channels" ["venue", "state"]
        "Channels (quote, trade or book of one instrument) in each state, as clients are told; once a second.";
    FEED_INSTRUMENTS = Gauge "tickwire_feed_instruments" ["venue"] "Instruments a feed has announced.";
    FEED_CLOCK_SKEW = Gauge "tickwire_feed_clock_skew_seconds" ["venue"]
        "Least (received - event) of the last 10 to 20 s; below 0 the venue's clock is ahead of ours.";

    RECORDING_ENTRIES = Counter "tickwire_recording_entries_total" ["venue", "result"]
        "Entries of recordings: recorded, or left_out because the disk was too slow or refused.";
    RECORDING_FAILURES = Counter "tickwire_recording_failures_total" ["venue"] "Times a disk refused a recording; it was tried again until it took it.";

    TOPICS = Gauge "tickwire_topics" [] "Topics in the map.";
    TOPICS_CAPACITY = Gauge "tickwire_topics_capacity" [] "Most topics the map takes (topics.max_topics).";
    TOPICS_REFUSED = Counter "tickwire_topics_refused_total" [] "Instruments not listed because the map was full.";
    TOPIC_REDEFINITIONS = Counter "tickwire_topic_redefinitions_total" [] "New epochs: instruments redefined while running.";
    TOPIC_OVERRUNS = Counter "tickwire_topic_overruns_total" [] "Cursors that a bounded ring or change log had moved past.";
    TOPIC_TRADES_TOO_LATE = Counter "tickwire_topic_trades_too_late_total" [] "Trades too late for a bar or the day's statistics, once a topic.";
    TOPIC_CROSSED_BOOKS = Counter "tickwire_topic_crossed_books_total" [] "Times a book became crossed (best bid at or above best ask) outside of an auction.";
    TOPIC_LEVELS_DROPPED = Counter "tickwire_topic_levels_dropped_total" [] "Book levels beyond topics.book_levels, not kept.";

    SESSIONS = Gauge "tickwire_sessions" ["shard"] "Open sessions.";
    SUBSCRIPTIONS = Gauge "tickwire_subscriptions" ["shard"] "Live subscriptions.";
    FRAMES = Counter "tickwire_frames_total" ["shard"] "Data frames written.";
    RECORDS = Counter "tickwire_records_total" ["shard"] "Records in these frames: deliveries.";
    BYTES_OUT = Counter "tickwire_bytes_out_total" ["shard"] "Bytes of these frames before TLS.";
    MERGED_UPDATES = Counter "tickwire_merged_updates_total" ["shard"] "Updates that reached a subscriber inside a newer record.";
    GAPS = Counter "tickwire_gaps_total" ["shard"] "Gap records delivered.";
    SNAPSHOTS = Counter "tickwire_snapshots_total" ["shard"] "Snapshot records delivered.";
    CHECKS = Counter "tickwire_checks_total" ["shard"] "Check records delivered (hash of the view).";
    CHECK_MISMATCHES = Counter "tickwire_check_mismatches_total" ["venue"]
        "Checks that clients reported to disagree with what they held; each was healed by a snapshot.";
    QOS_CHANGES = Counter "tickwire_qos_changes_total" ["shard"] "Changes of what slows a session, told to its client.";
    AGED_TOPICS = Counter "tickwire_aged_topics_total" ["shard"] "Topics that clients were told are older than their max_age.";
    CHUNKS = Counter "tickwire_chunks_total" ["shard", "result"] "Lookups of encoded bytes: hit = shared, miss = encoded.";
    FRAME_BYTES = Bytes "tickwire_frame_bytes" ["shard"] "Size of a data frame before TLS.";
    COMMANDS = Counter "tickwire_commands_total" ["shard"] "Requests received from clients.";
    REFUSALS = Counter "tickwire_refusals_total" ["shard", "code"] "Requests, or single topics of one, answered with an error code.";
    RATE_LIMITED = Counter "tickwire_rate_limited_total" ["shard", "limit"] "Times a token bucket was empty.";
    CLOSES = Counter "tickwire_closes_total" ["shard", "code"]
        "Sessions ended, by close code; client = closed by the client, lost = the connection broke.";

    PRESSURE_LEVEL = Gauge "tickwire_pressure_level" []
        "How far the node has withdrawn: 0 normal, 1 slower paces, 2 no new deep snapshots, 3 no new clients.";
    PRESSURE_STEPS = Counter "tickwire_pressure_steps_total" ["direction", "cause"] "Changes of the level, one level each.";
    PRESSURE_LAG = Gauge "tickwire_pressure_lag_seconds" ["shard"]
        "Longest wait for a shard in the last sample, of its tasks and of data that no client held up.";
    PRESSURE_LAG_THRESHOLD = Gauge "tickwire_pressure_lag_threshold_seconds" ["level"] "Lag that leads to a level; 0 = none.";
    PRESSURE_MEMORY_THRESHOLD = Gauge "tickwire_pressure_memory_threshold_bytes" ["level"]
        "Resident memory that leads to a level; 0 = none.";
    PRESSURE_MEMORY_LIMIT = Gauge "tickwire_pressure_memory_limit_bytes" []
        "Memory the node may take, by its configuration or its container; 0 = unknown.";

    CONNECTIONS = Gauge "tickwire_connections" [] "Open TCP connections on the public port, handshakes included.";
    ACCEPTED = Counter "tickwire_connections_accepted_total" [] "TCP connections accepted on the public port.";
    REFUSED = Counter "tickwire_connections_refused_total" ["reason"] "Connections turned away: closed before the handshake, or answered with 503.";
    HANDSHAKES = Counter "tickwire_handshakes_total" [] "TLS handshakes completed.";
    HANDSHAKE_FAILURES = Counter "tickwire_handshake_failures_total" ["reason"] "TLS handshakes given up.";
    HTTP_REQUESTS = Counter "tickwire_http_requests_total" ["route", "status"] "HTTP requests answered on the public port.";

    BUILD_INFO = Gauge "tickwire_build_info" ["version"] "Always 1; the label tells the version.";
    UPTIME = Gauge "tickwire_uptime_seconds" [] "Seconds since the server was started.";
    MEMORY_BUDGET = Gauge "tickwire_memory_budget_bytes" [] "Sum of all bounds of the configuration.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" [] "Resident memory of the process.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" [] "User and system CPU time of the process.";
    PROCESS_FDS = Gauge "process_open_fds" [] "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" [] "Most file descriptors the process may open.";
    PROCESS_THREADS = Gauge "process_threads" [] "Threads of the process.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for (at, row) in ALL.iter().enumerate() {
            let name = row.name;
            assert!(name.starts_with("tickwire_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), row.kind == Type::Counter, "{name}");
            assert!(row.kind != Type::Seconds || name.ends_with("_seconds"), "{name}");
            assert!(row.kind != Type::Bytes || name.ends_with("_bytes"), "{name}");
            assert!(row.help.ends_with('.'), "{name}");
            assert!(ALL[..at].iter().all(|other| other.name != name), "{name} stands twice");
        }
    }
}
