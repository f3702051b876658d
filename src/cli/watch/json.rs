//! In: one update. Out: a JSON object for scripts: the record, and for quotes, books and stats the view after it.
//! Bounded: books show their best five levels.

use super::report::{TOP, feed_state, levels};
use client::Update;
use client::wire::decimal::{plain, put_plain_magnitude};
use client::wire::event::{Flags, Side, Status};
use client::wire::record::{Meta, RecordBody};
use client::wire::view::{Applied, View, ViewError};
use serde::Serialize;

/// A line. Keys that do not belong to its kind are absent; `null` is missing.
#[derive(Debug, Default, Serialize)]
struct Line<'a> {
    topic: &'a str,
    kind: &'a str,
    /// The view's sequence after the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// The feed's state, from the newest state record.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    snapshot: bool,
    #[serde(skip_serializing_if = "is_false")]
    stale: bool,
    /// Updates that were merged into this one.
    #[serde(skip_serializing_if = "is_zero")]
    merged: u64,
    #[serde(flatten)]
    body: Body<'a>,
    /// What is wrong: a failed check, trades missing without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(untagged)]
enum Body<'a> {
    #[default]
    None,
    Quote {
        bid: Option<String>,
        bid_size: Option<String>,
        ask: Option<String>,
        ask_size: Option<String>,
    },
    Book {
        bids: Vec<[String; 2]>,
        asks: Vec<[String; 2]>,
        levels: [usize; 2],
    },
    Trade {
        price: String,
        size: String,
        aggressor: &'a str,
        trade_id: Option<String>,
        aggregated: bool,
    },
    Summary {
        last: String,
        high: String,
        low: String,
        count: u64,
        volume: String,
        notional: String,
    },
    Bars {
        bars: Vec<OneBar>,
    },
    Stats {
        last: Option<String>,
        open: Option<String>,
        high: Option<String>,
        low: Option<String>,
        volume: String,
        notional: String,
        count: u64,
        gaps: u64,
        from: String,
    },
    Status {
        feed: &'a str,
        trading: &'a str,
        cause: &'a str,
        since: Option<String>,
    },
    Instrument {
        symbol: &'a str,
        native: &'a str,
        class: &'a str,
        tick: String,
        lot: String,
        price_exponent: i8,
        size_exponent: i8,
    },
    Gap {
        cause: &'a str,
        missing: Option<u64>,
    },
    Check {
        ok: bool,
    },
    Meta {
        epoch: u64,
        price_exponent: i8,
        size_exponent: i8,
    },
}

/// A bar that changed.
#[derive(Debug, Serialize)]
struct OneBar {
    start: String,
    closed: bool,
    incomplete: bool,
    open: String,
    high: String,
    low: String,
    close: String,
    count: u64,
    volume: String,
    notional: String,
}

/// Appends the object.
pub fn line(out: &mut String, update: &Update<'_>) {
    let Update { meta, record, view, outcome, .. } = update;
    let (kind, body) = body(meta, &record.body, view, outcome);
    let moves = !matches!(record.body, RecordBody::Meta(_) | RecordBody::State(_) | RecordBody::Check { .. });
    let line = Line {
        topic: &meta.name,
        kind,
        seq: view.sequence,
        time: moves.then(|| record.time.to_string()),
        state: view.state.map(|_| feed_state(view)),
        snapshot: record.flags.has(Flags::SNAPSHOT),
        stale: record.flags.has(Flags::STALE),
        merged: if let Ok(Applied::Delta { updates }) = outcome { updates.saturating_sub(1) } else { 0 },
        body,
        error: outcome.as_ref().err().map(ToString::to_string),
    };
    out.push_str(&serde_json::to_string(&line).expect("a line is plain data"));
}

fn body<'a>(
    meta: &'a Meta,
    record: &RecordBody<'a>,
    view: &View,
    outcome: &Result<Applied, ViewError>,
) -> (&'static str, Body<'a>) {
    let price = |mantissa: i64| plain(mantissa.into(), meta.price_exponent);
    let size = |mantissa: i64| plain(mantissa.into(), meta.size_exponent);
    let notional = |mantissa: i128| plain(mantissa, meta.price_exponent.saturating_add(meta.size_exponent));
    let volume = |mantissa: u128| {
        let mut text = Vec::new();
        put_plain_magnitude(&mut text, mantissa, meta.size_exponent);
        text.into_iter().map(char::from).collect()
    };
    match record {
        RecordBody::Quote(_) => {
            let quote = view.quote().copied().unwrap_or_default();
            let (bid, bid_size) = (quote.bid_price.map(price), quote.bid_size.map(size));
            let (ask, ask_size) = (quote.ask_price.map(price), quote.ask_size.map(size));
            ("quote", Body::Quote { bid, bid_size, ask, ask_size })
        }
        RecordBody::Book { .. } => match view.book() {
            Some(book) => {
                let [bids, asks] = [Side::Bid, Side::Ask].map(|side| levels(book, side, TOP, meta));
                ("book", Body::Book { bids, asks, levels: [book.len(Side::Bid), book.len(Side::Ask)] })
            }
            None => ("book", Body::None),
        },
        RecordBody::Trade(trade) => {
            let (aggressor, trade_id) = (trade.aggressor.name(), trade.id.map(|id| id.to_string()));
            let (price, size) = (price(trade.price), size(trade.size));
            ("trade", Body::Trade { price, size, aggressor, trade_id, aggregated: trade.aggregated })
        }
        RecordBody::Summary(summary) => {
            let body = Body::Summary {
                last: price(summary.last),
                high: price(summary.high),
                low: price(summary.low),
                count: summary.count,
                volume: volume(summary.volume),
                notional: notional(summary.notional),
            };
            ("summary", body)
        }
        RecordBody::Bars(bars) => {
            let bars = bars.iter().map(|bar| OneBar {
                start: bar.start.to_string(),
                closed: bar.closed,
                incomplete: bar.incomplete,
                open: price(bar.open),
                high: price(bar.high),
                low: price(bar.low),
                close: price(bar.close),
                count: bar.count,
                volume: volume(bar.volume),
                notional: notional(bar.notional),
            });
            ("bar", Body::Bars { bars: bars.collect() })
        }
        RecordBody::Stats(_) => {
            let stats = view.stats().copied().unwrap_or_default();
            let body = Body::Stats {
                last: stats.last.map(price),
                open: stats.open.map(price),
                high: stats.high.map(price),
                low: stats.low.map(price),
                volume: volume(stats.volume),
                notional: notional(stats.notional),
                count: stats.count,
                gaps: stats.gaps,
                from: stats.from.to_string(),
            };
            ("stats", body)
        }
        RecordBody::Status(status) => ("status", status_body(status)),
        RecordBody::State(status) => ("state", status_body(status)),
        RecordBody::Instrument(instrument) => {
            let body = Body::Instrument {
                symbol: &instrument.symbol,
                native: &instrument.native,
                class: instrument.class.name(),
                tick: plain(instrument.tick.into(), instrument.price_exponent),
                lot: plain(instrument.lot.into(), instrument.size_exponent),
                price_exponent: instrument.price_exponent,
                size_exponent: instrument.size_exponent,
            };
            ("instrument", body)
        }
        RecordBody::Gap { cause, missing } => ("gap", Body::Gap { cause: cause.name(), missing: *missing }),
        RecordBody::Check { .. } => ("check", Body::Check { ok: outcome.is_ok() }),
        RecordBody::Meta(meta) => {
            let Meta { epoch, price_exponent, size_exponent, .. } = **meta;
            ("meta", Body::Meta { epoch, price_exponent, size_exponent })
        }
        RecordBody::Tape => ("tape", Body::None),
        RecordBody::Unknown { .. } => ("unknown", Body::None),
    }
}

fn status_body(status: &Status) -> Body<'static> {
    Body::Status {
        feed: status.feed.name(),
        trading: status.trading.name(),
        cause: status.cause.name(),
        since: (status.since != 0).then(|| status.since.to_string()),
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
