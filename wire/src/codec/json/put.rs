//! In: one record. Out: its JSON object and a comma, appended. Nothing else is allocated.
//! Bounded by the record: at most some 80 bytes a level, some 400 a bar, some 700 for any other body.

use super::super::Context;
use super::{NAMED_FLAGS, kind};
use crate::decimal::{put_plain, put_plain_magnitude};
use crate::event::{Level, Nanos, Status};
use crate::instrument::Instrument;
use crate::record::{Bar, Meta, QuoteChange, Record, RecordBody, StatsChange, TradeRecord, TradeSummary};

pub fn put(out: &mut Vec<u8>, context: &Context<'_>, record: &Record<'_>) {
    let meta = match record.body {
        RecordBody::Meta(meta) => meta,
        _ => context.meta,
    };
    out.extend_from_slice(b"{\"topic\":");
    put_text(out, &meta.name);
    put_number(out, "id", record.topic);
    put_pair(out, "kind", name(&record.body));
    let mut flags = record.flags.0;
    let moves = !matches!(record.body, RecordBody::Meta(_) | RecordBody::State(_) | RecordBody::Check { .. });
    if moves {
        let key = if record.flags.has(crate::event::Flags::SNAPSHOT) { "seq" } else { "adv" };
        put_number(out, key, record.sequence);
    }
    for (flag, key) in NAMED_FLAGS {
        if record.flags.has(flag) {
            put_true(out, key);
            flags &= !flag.0;
        }
    }
    if flags != 0 {
        put_number(out, "flags", flags);
    }
    if moves {
        put_time(out, "time", record.time);
    }
    put_body(out, meta, &record.body);
    out.extend_from_slice(b"},");
}

fn name(body: &RecordBody<'_>) -> &'static str {
    match body {
        RecordBody::Meta(_) => kind::META,
        RecordBody::Quote(_) => kind::QUOTE,
        RecordBody::Trade(_) => kind::TRADE,
        RecordBody::Summary(_) => kind::SUMMARY,
        RecordBody::Book { .. } => kind::BOOK,
        RecordBody::Tape => kind::TAPE,
        RecordBody::Bars(_) => kind::BAR,
        RecordBody::Stats(_) => kind::STATS,
        RecordBody::Status(_) => kind::STATUS,
        RecordBody::Instrument(_) => kind::INSTRUMENT,
        RecordBody::State(_) => kind::STATE,
        RecordBody::Gap { .. } => kind::GAP,
        RecordBody::Check { .. } => kind::CHECK,
        RecordBody::Unknown { .. } => kind::UNKNOWN,
    }
}

fn put_body(out: &mut Vec<u8>, meta: &Meta, body: &RecordBody<'_>) {
    match body {
        RecordBody::Meta(meta) => put_meta(out, meta),
        RecordBody::Quote(change) => put_quote(out, meta, change),
        RecordBody::Trade(trade) => put_trade(out, meta, trade),
        RecordBody::Summary(summary) => put_summary(out, meta, summary),
        RecordBody::Book { bids, asks } => {
            put_levels(out, "bids", meta, bids);
            put_levels(out, "asks", meta, asks);
        }
        RecordBody::Tape => {}
        RecordBody::Bars(bars) => put_bars(out, meta, bars),
        RecordBody::Stats(change) => put_stats(out, meta, change),
        RecordBody::Status(status) | RecordBody::State(status) => put_status(out, status),
        RecordBody::Instrument(instrument) => put_instrument(out, instrument),
        RecordBody::Gap { cause, missing } => {
            put_pair(out, "cause", cause.name());
            match missing {
                Some(missing) => put_number(out, "missing", *missing),
                None => put_null(out, "missing"),
            }
        }
        RecordBody::Check { hash } => put_number(out, "hash", *hash),
        RecordBody::Unknown { number } => put_number(out, "number", *number),
    }
}

fn put_quote(out: &mut Vec<u8>, meta: &Meta, change: &QuoteChange) {
    for (key, change, exponent) in [
        ("bid", change.bid_price, meta.price_exponent),
        ("bid_size", change.bid_size, meta.size_exponent),
        ("ask", change.ask_price, meta.price_exponent),
        ("ask_size", change.ask_size, meta.size_exponent),
    ] {
        match change {
            None => {}
            Some(None) => put_null(out, key),
            Some(Some(value)) => put_decimal(out, key, value.into(), exponent),
        }
    }
}

fn put_trade(out: &mut Vec<u8>, meta: &Meta, trade: &TradeRecord) {
    put_decimal(out, "price", trade.price.into(), meta.price_exponent);
    put_decimal(out, "size", trade.size.into(), meta.size_exponent);
    put_pair(out, "aggressor", trade.aggressor.name());
    match trade.id {
        Some(id) => put_time(out, "trade_id", id),
        None => put_null(out, "trade_id"),
    }
    if trade.aggregated {
        put_true(out, "aggregated");
    }
}

fn put_summary(out: &mut Vec<u8>, meta: &Meta, summary: &TradeSummary) {
    put_decimal(out, "last", summary.last.into(), meta.price_exponent);
    put_decimal(out, "high", summary.high.into(), meta.price_exponent);
    put_decimal(out, "low", summary.low.into(), meta.price_exponent);
    put_number(out, "count", summary.count);
    put_volume(out, meta, summary.volume);
    put_notional(out, meta, summary.notional);
}

fn put_volume(out: &mut Vec<u8>, meta: &Meta, volume: u128) {
    put_key(out, "volume");
    out.push(b'"');
    put_plain_magnitude(out, volume, meta.size_exponent);
    out.push(b'"');
}

fn put_notional(out: &mut Vec<u8>, meta: &Meta, notional: i128) {
    put_decimal(out, "notional", notional, meta.price_exponent.saturating_add(meta.size_exponent));
}

fn put_bars(out: &mut Vec<u8>, meta: &Meta, bars: &[Bar]) {
    put_key(out, "bars");
    out.push(b'[');
    for bar in bars {
        out.extend_from_slice(b"{\"start\":\"");
        out.extend_from_slice(itoa::Buffer::new().format(bar.start).as_bytes());
        out.push(b'"');
        if bar.closed {
            put_true(out, "closed");
        }
        if bar.incomplete {
            put_true(out, "incomplete");
        }
        for (key, price) in [("open", bar.open), ("high", bar.high), ("low", bar.low), ("close", bar.close)] {
            put_decimal(out, key, price.into(), meta.price_exponent);
        }
        put_number(out, "count", bar.count);
        put_volume(out, meta, bar.volume);
        put_notional(out, meta, bar.notional);
        out.extend_from_slice(b"},");
    }
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.push(b']');
}

fn put_stats(out: &mut Vec<u8>, meta: &Meta, change: &StatsChange) {
    for (key, change) in [("last", change.last), ("open", change.open), ("high", change.high), ("low", change.low)] {
        match change {
            None => {}
            Some(None) => put_null(out, key),
            Some(Some(price)) => put_decimal(out, key, price.into(), meta.price_exponent),
        }
    }
    if let Some(volume) = change.volume {
        put_volume(out, meta, volume);
    }
    if let Some(notional) = change.notional {
        put_notional(out, meta, notional);
    }
    for (key, number) in [("count", change.count), ("gaps", change.gaps)] {
        if let Some(number) = number {
            put_number(out, key, number);
        }
    }
    if let Some(from) = change.from {
        put_time(out, "from", from);
    }
}

fn put_levels(out: &mut Vec<u8>, key: &str, meta: &Meta, levels: &[Level]) {
    if levels.is_empty() {
        return;
    }
    put_key(out, key);
    out.push(b'[');
    for level in levels {
        out.extend_from_slice(b"[\"");
        put_plain(out, level.price.into(), meta.price_exponent);
        out.extend_from_slice(b"\",\"");
        put_plain(out, level.size.into(), meta.size_exponent);
        out.extend_from_slice(b"\"],");
    }
    out.pop();
    out.push(b']');
}

fn put_status(out: &mut Vec<u8>, status: &Status) {
    put_pair(out, "feed", status.feed.name());
    put_pair(out, "trading", status.trading.name());
    put_pair(out, "cause", status.cause.name());
    match status.since {
        0 => put_null(out, "since"),
        since => put_time(out, "since", since),
    }
}

fn put_meta(out: &mut Vec<u8>, meta: &Meta) {
    put_pair(out, "topic_kind", meta.kind.name());
    put_number(out, "epoch", meta.epoch);
    put_scale(out, meta.price_exponent, meta.size_exponent, meta.tick, meta.lot);
    put_decimal(out, "base", meta.base.into(), meta.price_exponent);
    put_pair(out, "clock", meta.clock.name());
    put_number(out, "time_exponent", meta.time_exponent);
}

fn put_instrument(out: &mut Vec<u8>, instrument: &Instrument) {
    put_pair(out, "symbol", &instrument.symbol);
    put_pair(out, "native", &instrument.native);
    put_pair(out, "class", instrument.class.name());
    put_scale(out, instrument.price_exponent, instrument.size_exponent, instrument.tick, instrument.lot);
    put_key(out, "event_times");
    out.push(b'[');
    for (has, name) in [
        (instrument.quote_has_event_time, "quote"),
        (instrument.trade_has_event_time, "trade"),
        (instrument.book_has_event_time, "book"),
    ] {
        if has {
            put_text(out, name);
            out.push(b',');
        }
    }
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.push(b']');
    put_number(out, "event_time_exponent", instrument.event_time_exponent);
}

fn put_scale(out: &mut Vec<u8>, price_exponent: i8, size_exponent: i8, tick: i64, lot: i64) {
    put_number(out, "price_exponent", price_exponent);
    put_number(out, "size_exponent", size_exponent);
    put_decimal(out, "tick", tick.into(), price_exponent);
    put_decimal(out, "lot", lot.into(), size_exponent);
}

fn put_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_number(out: &mut Vec<u8>, key: &str, value: impl itoa::Integer) {
    put_key(out, key);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn put_null(out: &mut Vec<u8>, key: &str) {
    put_key(out, key);
    out.extend_from_slice(b"null");
}

fn put_true(out: &mut Vec<u8>, key: &str) {
    put_key(out, key);
    out.extend_from_slice(b"true");
}

fn put_pair(out: &mut Vec<u8>, key: &str, value: &str) {
    put_key(out, key);
    put_text(out, value);
}

/// Times and ids are text, because many JSON readers keep numbers in 53 bits.
fn put_time(out: &mut Vec<u8>, key: &str, value: Nanos) {
    put_key(out, key);
    out.push(b'"');
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    out.push(b'"');
}

fn put_decimal(out: &mut Vec<u8>, key: &str, mantissa: i128, exponent: i8) {
    put_key(out, key);
    out.push(b'"');
    put_plain(out, mantissa, exponent);
    out.push(b'"');
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        put_escaped(out, text);
    }
    out.push(b'"');
}

/// Names hold nothing that needs it; a venue's own symbol one day might.
fn put_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            byte if byte < b' ' => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            byte => out.push(byte),
        }
    }
}
