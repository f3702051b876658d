//! In: cells that hot paths write. Out: Prometheus text. Bounded: the series are fixed by shards, feeds and the tables of labels.
//!
//! Counting costs a few ns and no lock: each stage holds an `Arc` of its group and adds to plain atomics. Only a scrape reads
//! them, hands counters and gauges to the exporter and writes histograms itself (the exporter would keep every sample).
//! There is no global recorder: two servers in one process do not see each other.

pub mod catalogue;
mod cell;
mod export;
mod groups;
mod pressure;
mod process;
mod visit;

pub use cell::{Counter, Distribution, Gauge, Histogram, Lag};
pub use groups::{FeedMetrics, GateMetrics, HandshakeFailure, Refusal, Route, STATUSES, ShardMetrics, TopicMetrics};
pub use pressure::{PressureCause, PressureLevel, PressureMetrics};
pub use process::{ProcessMetrics, resident_bytes};

use parking_lot::Mutex;
use std::sync::Arc;

/// All numbers of one server.
pub struct Metrics {
    pub topics: Arc<TopicMetrics>,
    pub gate: Arc<GateMetrics>,
    pub pressure: Arc<PressureMetrics>,
    pub process: ProcessMetrics,
    shards: Vec<Arc<ShardMetrics>>,
    feeds: Mutex<Vec<(String, Arc<FeedMetrics>)>>,
    exporter: export::Exporter,
}

impl Metrics {
    pub fn new(shards: usize) -> Arc<Self> {
        Arc::new(Self {
            topics: Arc::default(),
            gate: Arc::default(),
            pressure: Arc::default(),
            process: ProcessMetrics::default(),
            shards: (0..shards).map(|_| Arc::default()).collect(),
            feeds: Mutex::default(),
            exporter: export::Exporter::new(),
        })
    }

    pub fn shard(&self, shard: usize) -> Arc<ShardMetrics> {
        Arc::clone(&self.shards[shard])
    }

    pub fn shards(&self) -> &[Arc<ShardMetrics>] {
        &self.shards
    }

    /// The group of a venue; made at its first use. Keep the handle, do not look it up for each event.
    pub fn feed(&self, venue: &str) -> Arc<FeedMetrics> {
        let mut feeds = self.feeds.lock();
        if let Some((_, feed)) = feeds.iter().find(|(name, _)| name == venue) {
            return Arc::clone(feed);
        }
        let feed = Arc::<FeedMetrics>::default();
        feeds.push((venue.to_owned(), Arc::clone(&feed)));
        feed
    }

    /// Venues and their groups, in the order of their first use.
    pub fn feeds(&self) -> Vec<(String, Arc<FeedMetrics>)> {
        self.feeds.lock().clone()
    }

    /// All metrics as Prometheus text. Takes some ms with many shards: for the admin port, never for a hot path.
    pub fn render(&self) -> String {
        self.exporter.render(|emit| {
            self.process.visit(emit);
            self.topics.visit(emit);
            self.gate.visit(emit);
            self.pressure.visit(emit);
            for (number, shard) in self.shards.iter().enumerate() {
                shard.visit(&number.to_string(), emit);
            }
            // Last, because feeds may join while the server runs.
            for (venue, feed) in self.feeds() {
                feed.visit(&venue, emit);
            }
        })
    }
}

#[cfg(test)]
mod tests;
