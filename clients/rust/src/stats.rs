//! In: every frame and what its records did. Out: counts and latencies. Bounded: fixed counters and fixed histograms.

use hdrhistogram::Histogram;
use std::time::Duration;
use wire::event::Nanos;
use wire::record::RecordBody;

/// What a client has seen since it was made, over all its connections.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Connections that reached `hello`.
    pub connections: u64,
    /// Control messages.
    pub replies: u64,
    /// Data frames (WebSocket messages with data).
    pub frames: u64,
    /// Payload bytes of data frames.
    pub bytes: u64,
    pub records: u64,
    pub quotes: u64,
    pub trades: u64,
    pub summaries: u64,
    pub books: u64,
    /// Levels in book records.
    pub levels: u64,
    pub statuses: u64,
    pub instruments: u64,
    pub bars: u64,
    pub day_stats: u64,
    pub states: u64,
    pub metas: u64,
    pub unknown: u64,
    /// Records that replaced a whole view.
    pub snapshots: u64,
    /// Updates that came merged into another one.
    pub merged: u64,
    /// Gap records: losses the server told of.
    pub gaps: u64,
    /// Events those gaps say are missing, where they say it.
    pub missing: u64,
    /// Losses the server did not tell of: frames or trades that did not come, updates before a snapshot.
    pub unexplained_gaps: u64,
    pub checks_ok: u64,
    pub check_mismatches: u64,
    /// Topics asked for again after a check disagreed, and those whose snapshot then came.
    pub heals: u64,
    pub healed: u64,
    /// Records that were not handed out because their view was wrong and its snapshot had not come yet.
    pub withheld: u64,
    /// Frames that could not be read to their end.
    pub decode_errors: u64,
    /// From the venue's event to us.
    pub event: Latency,
    /// From the server's reading of the venue's bytes to us.
    pub received: Latency,
    /// From the server's write of the frame to us.
    pub sent: Latency,
}

impl Stats {
    pub(crate) fn record(&mut self, body: &RecordBody<'_>) {
        self.records += 1;
        match body {
            RecordBody::Meta(_) => self.metas += 1,
            RecordBody::Quote(_) => self.quotes += 1,
            RecordBody::Trade(_) => self.trades += 1,
            RecordBody::Summary(_) => self.summaries += 1,
            RecordBody::Book { bids, asks } => {
                self.books += 1;
                self.levels += (bids.len() + asks.len()) as u64;
            }
            RecordBody::Status(_) => self.statuses += 1,
            RecordBody::Instrument(_) => self.instruments += 1,
            RecordBody::Bars(_) => self.bars += 1,
            RecordBody::Stats(_) => self.day_stats += 1,
            RecordBody::State(_) => self.states += 1,
            RecordBody::Unknown { .. } => self.unknown += 1,
            // Counted by what they did.
            RecordBody::Gap { .. } | RecordBody::Check { .. } | RecordBody::Tape => {}
        }
    }
}

/// Delays in microseconds; those of clocks that run behind count as 0.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        // Up to an hour: replayed data is far older, and all of it counts as an hour.
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are in order"))
    }
}

impl Latency {
    pub(crate) fn record(&mut self, from: Nanos, to: Nanos) {
        let micros = u64::try_from(to.saturating_sub(from) / 1000).unwrap_or(0);
        self.0.saturating_record(micros);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// `None` as long as there is none.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_micros(self.0.value_at_quantile(quantile)))
    }
}
