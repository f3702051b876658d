//! In: every update, and the client at the end. Out: one JSON object with what was seen.
//! Bounded: the states of a topic by `STATES`; everything else by the number of topics.

use super::totals::Totals;
use client::wire::decimal::plain;
use client::wire::event::Side;
use client::wire::record::{Meta, RecordBody};
use client::wire::view::View;
use client::wire::view::book::Book;
use client::{Client, Latency, Update};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Instant;

/// Levels a side of a book in JSON lines and in the report.
pub const TOP: usize = 5;

/// Changes of state remembered for one topic.
const STATES: usize = 100;

/// Name of the feed state a view has been told of.
pub fn feed_state(view: &View) -> &'static str {
    view.state.map_or("unknown", |state| state.feed.name())
}

/// True for what `--count` counts: records that bring data or tell of its loss.
pub fn is_update(update: &Update<'_>) -> bool {
    use RecordBody::{Check, Meta, State, Tape, Unknown};
    !matches!(update.record.body, Meta(_) | State(_) | Check { .. } | Tape | Unknown { .. })
}

/// `[price, size]` pairs, best first, without trailing zeros.
pub fn levels(book: &Book, side: Side, count: usize, meta: &Meta) -> Vec<[String; 2]> {
    let pair = |price: i64, size: i64| [plain(price.into(), meta.price_exponent), plain(size.into(), meta.size_exponent)];
    book.levels(side, count).map(|level| pair(level.price, level.size)).collect()
}

#[derive(Debug)]
pub struct Report {
    started: Instant,
    /// Feed states of each topic in the order they came.
    states: BTreeMap<String, Vec<&'static str>>,
    /// Scales of the topics, which outlive their connection here.
    metas: BTreeMap<String, Meta>,
    totals: Totals,
}

impl Default for Report {
    fn default() -> Self {
        Self { started: Instant::now(), states: BTreeMap::new(), metas: BTreeMap::new(), totals: Totals::default() }
    }
}

#[derive(Serialize)]
struct FinalBook {
    seq: Option<u64>,
    state: &'static str,
    bids: Vec<[String; 2]>,
    asks: Vec<[String; 2]>,
    levels: [usize; 2],
}

impl Report {
    pub fn update(&mut self, update: &Update<'_>) {
        self.totals.update(update);
        match &update.record.body {
            RecordBody::State(status) => {
                let seen = self.states.entry(update.meta.name.clone()).or_default();
                if seen.len() < STATES && seen.last() != Some(&status.feed.name()) {
                    seen.push(status.feed.name());
                }
            }
            RecordBody::Meta(meta) => {
                self.metas.insert(meta.name.clone(), (*meta).clone());
            }
            _ => {}
        }
    }

    /// Appends the object.
    pub fn write(&self, out: &mut String, client: &Client) {
        let stats = client.stats();
        let report = json!({
            "kind": "stats",
            "seconds": self.started.elapsed().as_millis() as f64 / 1000.0,
            "connections": stats.connections,
            "messages": stats.frames + stats.replies,
            "frames": stats.frames,
            "bytes": stats.bytes,
            "records": stats.records,
            "by_kind": {
                "quote": stats.quotes, "trade": stats.trades, "summary": stats.summaries, "book": stats.books,
                "bar": stats.bars, "stats": stats.day_stats, "status": stats.statuses, "instrument": stats.instruments, "state": stats.states, "meta": stats.metas,
                "gap": stats.gaps, "check": stats.checks_ok + stats.check_mismatches, "unknown": stats.unknown,
            },
            "book_levels": stats.levels,
            "snapshots": stats.snapshots,
            "merged": stats.merged,
            "gaps": stats.gaps,
            "missing": stats.missing,
            "unexplained_gaps": stats.unexplained_gaps,
            "checks_ok": stats.checks_ok,
            "check_mismatches": stats.check_mismatches,
            "heals": stats.heals,
            "healed": stats.healed,
            "withheld": stats.withheld,
            "decode_errors": stats.decode_errors,
            "latency_us": {
                "event_to_client": quantiles(&stats.event),
                "received_to_client": quantiles(&stats.received),
                "sent_to_client": quantiles(&stats.sent),
            },
            "totals": self.totals.report(),
            "states": self.states,
            "books": self.books(client),
        });
        out.push_str(&report.to_string());
    }

    fn books(&self, client: &Client) -> BTreeMap<String, FinalBook> {
        let mut books = BTreeMap::new();
        for (name, view) in client.tracker().views() {
            if let (Some(book), Some(meta)) = (view.book(), self.metas.get(name)) {
                let [bids, asks] = [Side::Bid, Side::Ask].map(|side| levels(book, side, TOP, meta));
                let levels = [book.len(Side::Bid), book.len(Side::Ask)];
                books.insert(name.to_owned(), FinalBook { seq: view.sequence, state: feed_state(view), bids, asks, levels });
            }
        }
        books
    }
}

fn quantiles(latency: &Latency) -> serde_json::Value {
    let at = |quantile| latency.quantile(quantile).map(|delay| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
    json!({ "count": latency.count(), "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}
