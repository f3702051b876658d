//! In: a configuration. Out: the memory budget, the sum of the bounds that it sets. Printed at start and by `check`.
//! Bounded by arithmetic: what is listed here is the most that each part may hold, not what it usually does.

use super::feed_check::TOPICS_PER_INSTRUMENT;
use super::types::{Config, Session};
use feeds::orders::Limits;

/// One bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub name: &'static str,
    pub bytes: u64,
    pub reason: String,
}

/// Measured: an idle TLS WebSocket session, tuned, with its hyper and rustls buffers.
const IDLE_SESSION_BYTES: u64 = 16 << 10;
/// rustls may hold this much ciphertext a connection in each direction (`set_buffer_limit`).
const TLS_BUFFER_BYTES: u64 = 2 * (16 << 10);
/// The compressor of a resume ticket in the making, and the entries of its next part.
const TICKET_BYTES: u64 = 112 << 10;
/// Cursor (with its sums), pace, place in the queues and in the topic's list.
const SUBSCRIPTION_BYTES: u64 = 384;
/// A trade in its ring (64 B), its share of the stacks of extremes (56 B), and as much again for buffers that grow by doubling.
const TRADE_BYTES: u64 = 360;
/// A change in a book's log (24 B), doubled as above.
const CHANGE_BYTES: u64 = 48;
/// A price and a size on both sides, in the book and in its spare, doubled as above.
const LEVEL_BYTES: u64 = 16 * 2 * 2 * 2;
/// Bars and a day's statistics of one instrument: 4 x 8 bars of 128 B, and 1,440 buckets of 96 B in a buffer that grows by doubling.
const DERIVED_BYTES: u64 = 4 * 8 * 128 + 2_048 * 96;
/// Views of a book: 5, 10, 20, 50 and full.
const BOOK_VIEWS: u64 = 5;
/// Names, metadata, marks and slot of one topic.
const TOPIC_BYTES: u64 = 1 << 10;
/// Read buffer, decoder scratch and the largest message of a feed, twice while a connection is replaced.
const FEED_BYTES: u64 = 32 << 20;
/// What a relay holds of one instrument besides its topics: 256 trades of 88 B, and a level on both sides, in buffers that grow by doubling.
const RELAYED_TRADES_BYTES: u64 = 256 * 88 * 2;
const RELAYED_LEVEL_BYTES: u64 = 16 * 2 * 2;
/// Encoded chunks that a shard keeps for one instrument: four of at most 8 KiB for the tape and for each view of the book.
const CHUNK_BYTES: u64 = (1 + BOOK_VIEWS) * 4 * (8 << 10);
/// Timers and scratch of a shard.
const SHARD_BYTES: u64 = 4 << 20;
/// Code, allocator and the tables of TLS.
const BASE_BYTES: u64 = 32 << 20;

/// Standing patterns of one session; each is matched against every new listing.
pub const MAX_PATTERNS: usize = 32;
/// Most of a reply's text that tells what is wrong.
pub const REPLY_TEXT_BYTES: usize = 256;
/// Long answers are cut into parts of about this size; the last result of a part may stand above it.
pub const REPLY_PART_BYTES: usize = 32 << 10;
/// The longest result: a name of 128 B and a message that repeats it, each byte spelled as an escape of six.
const LONGEST_RESULT_BYTES: usize = 4 << 10;

impl Session {
    /// Topics and patterns that one request may name.
    pub fn topics_per_request(&self) -> usize {
        self.max_subscriptions.saturating_add(MAX_PATTERNS)
    }

    /// The longest message a client may get besides data.
    pub fn largest_reply_bytes(&self) -> usize {
        // A ticket is an answer as long as the request that brings it back.
        (REPLY_PART_BYTES + LONGEST_RESULT_BYTES).max(self.request_bytes)
    }
}

impl Config {
    /// The bounds, largest concern first. Their sum is the most memory the process should take; the kernel's socket buffers are
    /// the last line because they count outside of the process.
    pub fn memory_budget(&self) -> Vec<Bound> {
        let (session, topics, listen) = (&self.session, &self.topics, &self.listen);
        let connections = listen.max_connections as u64;
        let a_session = IDLE_SESSION_BYTES
            + TLS_BUFFER_BYTES
            // One of them is on its way at a time.
            + session.frame_bytes.max(session.largest_reply_bytes()) as u64
            + session.request_bytes as u64
            + TICKET_BYTES
            + session.max_subscriptions as u64 * SUBSCRIPTION_BYTES;
        let instruments = u64::from(topics.max_topics) / TOPICS_PER_INSTRUMENT;
        let a_book = (topics.book_levels as u64 + 85) * LEVEL_BYTES + BOOK_VIEWS * topics.book_log as u64 * CHANGE_BYTES;
        let shards = self.node.shard_count() as u64;
        let send_buffer = match listen.send_buffer_bytes {
            // Linux' usual limit (net.ipv4.tcp_wmem).
            0 => 4 << 20,
            set => 2 * set as u64,
        };
        let itch = self.feeds.iter().filter_map(|feed| feed.itch.as_ref()).map(|itch| itch.max_orders);
        let databento = self.feeds.iter().filter_map(|feed| feed.databento.as_ref()).map(|databento| databento.max_orders);
        let orders = itch.chain(databento).map(|orders| Limits { orders }.bytes()).sum();
        let a_view = match self.feeds.iter().any(|feed| feed.venue == "tickwire") {
            true => RELAYED_TRADES_BYTES + topics.book_levels as u64 * RELAYED_LEVEL_BYTES,
            false => 0,
        };
        let bound = |name, bytes, reason| Bound { name, bytes, reason };
        vec![
            bound(
                "sessions",
                connections * a_session,
                format!(
                    "{connections} connections x {a_session} B: TLS, one frame or reply, one request, one ticket, subscriptions"
                ),
            ),
            bound(
                "books",
                instruments * a_book,
                format!("{instruments} instruments x {a_book} B: levels of a full book, logs of {BOOK_VIEWS} views"),
            ),
            bound(
                "trades",
                instruments * topics.trade_ring as u64 * TRADE_BYTES,
                format!("{instruments} instruments x {} trades x {TRADE_BYTES} B", topics.trade_ring),
            ),
            bound(
                "bars and stats",
                instruments * DERIVED_BYTES,
                format!("{instruments} instruments x {DERIVED_BYTES} B: eight bars of four intervals, a day by the minute"),
            ),
            bound(
                "topics",
                u64::from(topics.max_topics) * TOPIC_BYTES,
                format!("{} topics x {TOPIC_BYTES} B: names, metadata, marks", topics.max_topics),
            ),
            bound(
                "feeds",
                self.feeds.len() as u64 * FEED_BYTES,
                format!("{} feeds x {} MiB: messages and decoders", self.feeds.len(), FEED_BYTES >> 20),
            ),
            bound(
                "relays",
                instruments * a_view,
                format!(
                    "{instruments} instruments x {a_view} B: views of what is relayed, to prove it with the upstream node's checks"
                ),
            ),
            bound(
                "orders",
                orders,
                "single orders of feeds that tell them (max_orders of feeds.itch and feeds.databento)".to_owned(),
            ),
            bound(
                "chunks",
                shards * instruments * CHUNK_BYTES,
                format!("{shards} shards x {instruments} instruments x {CHUNK_BYTES} B: encoded once, shared"),
            ),
            bound("shards", shards * SHARD_BYTES, format!("{shards} shards x {} MiB: timers, scratch", SHARD_BYTES >> 20)),
            bound("base", BASE_BYTES, "code, allocator, TLS tables".to_owned()),
            bound(
                "kernel",
                connections * send_buffer,
                format!("{connections} connections x {send_buffer} B of send buffer (the kernel's, not the process's)"),
            ),
        ]
    }
}
