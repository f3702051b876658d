//! In: one record. Out: its bytes, appended. Nothing else is allocated.
//! Bounded by the record: at most 20 bytes a level, 100 a bar, 130 for any other body but `Meta` and `Instrument` (their names).

use super::super::Context;
use super::super::varint::{
    put_difference, put_nullable, put_nullable_difference, put_text, put_u64, put_u128, put_zigzag, zigzag_wide,
};
use super::{ABSOLUTE_ID, AGGREGATED, FLAGS_FOLLOW, HAS_ASKS, HAS_BIDS, HAS_SEQUENCE, HAS_TIME, SUMMARY};
use super::{SECOND_NS, extended, number, stats, unit_ns};
use crate::event::{Flags, Level, Nanos, Status};
use crate::instrument::Instrument;
use crate::record::{Bar, Meta, QuoteChange, Record, RecordBody, StatsChange, TradeRecord, TradeSummary};

pub fn put(out: &mut Vec<u8>, context: &Context<'_>, record: &Record<'_>) {
    let base = context.meta.base;
    match record.body {
        RecordBody::Quote(change) => {
            put_moving(out, context, record, number::QUOTE, quote_mask(&change), record.flags);
            put_quote(out, base, &change);
        }
        RecordBody::Trade(trade) => put_trade(out, context, record, &trade),
        RecordBody::Summary(summary) => {
            put_moving(out, context, record, number::TRADE, SUMMARY, record.flags);
            put_summary(out, base, &summary);
        }
        RecordBody::Book { bids, asks } => {
            let mask = if bids.is_empty() { 0 } else { HAS_BIDS } | if asks.is_empty() { 0 } else { HAS_ASKS };
            put_moving(out, context, record, number::BOOK, mask, record.flags);
            put_levels(out, base, bids, |better, worse| better.wrapping_sub(worse));
            put_levels(out, base, asks, |better, worse| worse.wrapping_sub(better));
        }
        RecordBody::Status(status) => {
            put_moving(out, context, record, number::STATUS, 0, record.flags);
            put_status(out, &status);
        }
        RecordBody::State(status) => {
            put_head(out, record.topic, number::STATE, 0, record.flags);
            put_status(out, &status);
        }
        RecordBody::Gap { cause, missing } => {
            put_moving(out, context, record, number::GAP, 0, record.flags);
            put_u64(out, u64::from(cause.number()));
            put_nullable(out, missing);
        }
        RecordBody::Check { hash } => {
            put_head(out, record.topic, number::CHECK, 0, record.flags);
            out.extend_from_slice(&hash.to_le_bytes());
        }
        RecordBody::Meta(meta) => {
            put_head(out, record.topic, number::EXTENDED, 0, record.flags);
            put_extended(out, extended::META, |out| put_meta(out, meta));
        }
        RecordBody::Instrument(instrument) => {
            put_moving_extended(out, context, record, extended::INSTRUMENT, |out| put_instrument(out, instrument));
        }
        RecordBody::Tape => {
            put_moving_extended(out, context, record, extended::TAPE, |_| ());
        }
        RecordBody::Bars(bars) => {
            put_moving_extended(out, context, record, extended::BARS, |out| put_bars(out, context, bars));
        }
        RecordBody::Stats(change) => {
            put_moving_extended(out, context, record, extended::STATS, |out| put_stats(out, base, change));
        }
        RecordBody::Unknown { number } => {
            put_moving_extended(out, context, record, number, |_| ());
        }
    }
}

fn put_head(out: &mut Vec<u8>, topic: u32, number: u8, mask: u8, flags: Flags) {
    put_u64(out, u64::from(topic));
    let head = number << 5 | mask;
    if flags.0 == 0 {
        out.push(head);
    } else {
        out.extend_from_slice(&[head | FLAGS_FOLLOW, flags.0]);
    }
}

/// Head, sequence and time of types 0 to 4.
fn put_moving(out: &mut Vec<u8>, context: &Context<'_>, record: &Record<'_>, number: u8, mask: u8, flags: Flags) {
    put_u64(out, u64::from(record.topic));
    let head = number << 5 | mask;
    if flags.0 == 0 && record.sequence == 1 {
        out.push(head);
    } else {
        out.extend_from_slice(&[head | FLAGS_FOLLOW, flags.0]);
        put_u64(out, record.sequence);
    }
    put_time(out, context, record.time);
}

fn put_time(out: &mut Vec<u8>, context: &Context<'_>, time: Nanos) {
    let unit = unit_ns(context.meta.time_exponent);
    let units = i128::from(time.div_euclid(unit));
    let base = i128::from(context.base_second) * i128::from(1_000_000_000 / unit);
    put_u128(out, zigzag_wide(units - base));
}

fn quote_mask(change: &QuoteChange) -> u8 {
    u8::from(change.bid_price.is_some())
        | u8::from(change.bid_size.is_some()) << 1
        | u8::from(change.ask_price.is_some()) << 2
        | u8::from(change.ask_size.is_some()) << 3
}

fn put_quote(out: &mut Vec<u8>, base: i64, change: &QuoteChange) {
    for (price, size) in [(change.bid_price, change.bid_size), (change.ask_price, change.ask_size)] {
        if let Some(price) = price {
            put_nullable_difference(out, price, base);
        }
        if let Some(size) = size {
            // Sizes are never negative; should one be, its two's complement brings it over unchanged.
            put_nullable(out, size.map(|size| size as u64));
        }
    }
}

fn put_trade(out: &mut Vec<u8>, context: &Context<'_>, record: &Record<'_>, trade: &TradeRecord) {
    let absolute = trade.id.is_some() && trade.previous_id.is_none();
    let mask = trade.aggressor.number() | if absolute { ABSOLUTE_ID } else { 0 };
    let flags = Flags(record.flags.0 & !AGGREGATED.0).with(if trade.aggregated { AGGREGATED } else { Flags(0) });
    put_moving(out, context, record, number::TRADE, mask, flags);
    put_difference(out, trade.price, context.meta.base);
    put_u64(out, trade.size as u64);
    put_nullable_difference(out, trade.id, trade.previous_id.unwrap_or(0));
}

fn put_summary(out: &mut Vec<u8>, base: i64, summary: &TradeSummary) {
    put_difference(out, summary.last, base);
    put_difference(out, summary.high, summary.last);
    put_difference(out, summary.low, summary.last);
    put_u64(out, summary.count);
    put_u128(out, summary.volume);
    put_u128(out, zigzag_wide(summary.notional));
}

fn put_levels(out: &mut Vec<u8>, base: i64, levels: &[Level], gap: impl Fn(i64, i64) -> i64) {
    let Some((first, rest)) = levels.split_first() else { return };
    put_u64(out, levels.len() as u64);
    put_difference(out, first.price, base);
    put_u64(out, first.size as u64);
    let mut better = first.price;
    for level in rest {
        // The difference of any two i64 fits u64, so the wrapped one read as unsigned is exact.
        let gap = gap(better, level.price) as u64;
        debug_assert!(gap != 0, "two levels at one price");
        put_u64(out, gap);
        put_u64(out, level.size as u64);
        better = level.price;
    }
}

fn put_status(out: &mut Vec<u8>, status: &Status) {
    out.extend_from_slice(&[status.feed.number(), status.trading.number(), status.cause.number()]);
    put_zigzag(out, status.since);
}

/// An extended record that moves the sequence.
fn put_moving_extended(
    out: &mut Vec<u8>,
    context: &Context<'_>,
    record: &Record<'_>,
    number: u64,
    body: impl FnOnce(&mut Vec<u8>),
) {
    put_head(out, record.topic, number::EXTENDED, HAS_SEQUENCE | HAS_TIME, record.flags);
    put_u64(out, record.sequence);
    put_time(out, context, record.time);
    put_extended(out, number, body);
}

fn put_extended(out: &mut Vec<u8>, number: u64, body: impl FnOnce(&mut Vec<u8>)) {
    put_u64(out, number);
    let start = out.len();
    body(out);
    let length = out.len() - start;
    put_u64(out, length as u64);
    let prefix = out.len() - start - length;
    out[start..].rotate_right(prefix);
}

fn put_bars(out: &mut Vec<u8>, context: &Context<'_>, bars: &[Bar]) {
    put_u64(out, bars.len() as u64);
    // The first one counts from the frame's second, every other from the one before it.
    let mut from = context.base_second;
    for bar in bars {
        let start = bar.start.div_euclid(SECOND_NS);
        put_difference(out, start, from);
        from = start;
        out.push(bar.state());
        put_difference(out, bar.open, context.meta.base);
        for price in [bar.high, bar.low, bar.close] {
            put_difference(out, price, bar.open);
        }
        put_u64(out, bar.count);
        put_u128(out, bar.volume);
        put_u128(out, zigzag_wide(bar.notional));
    }
}

fn put_stats(out: &mut Vec<u8>, base: i64, change: &StatsChange) {
    let StatsChange { last, open, high, low, volume, notional, count, gaps, from } = *change;
    let bit = |present: bool, bit: u64| if present { bit } else { 0 };
    let mask = bit(last.is_some(), stats::LAST)
        | bit(open.is_some(), stats::OPEN)
        | bit(high.is_some(), stats::HIGH)
        | bit(low.is_some(), stats::LOW)
        | bit(volume.is_some(), stats::VOLUME)
        | bit(notional.is_some(), stats::NOTIONAL)
        | bit(count.is_some(), stats::COUNT)
        | bit(gaps.is_some(), stats::GAPS)
        | bit(from.is_some(), stats::FROM);
    put_u64(out, mask);
    for price in [last, open, high, low].into_iter().flatten() {
        put_nullable_difference(out, price, base);
    }
    if let Some(volume) = volume {
        put_u128(out, volume);
    }
    if let Some(notional) = notional {
        put_u128(out, zigzag_wide(notional));
    }
    for number in [count, gaps].into_iter().flatten() {
        put_u64(out, number);
    }
    if let Some(from) = from {
        put_zigzag(out, from);
    }
}

fn put_meta(out: &mut Vec<u8>, meta: &Meta) {
    put_u64(out, u64::from(meta.kind.row().number));
    put_text(out, &meta.name);
    put_u64(out, meta.epoch);
    put_zigzag(out, i64::from(meta.price_exponent));
    put_zigzag(out, i64::from(meta.size_exponent));
    put_zigzag(out, meta.tick);
    put_zigzag(out, meta.lot);
    put_zigzag(out, meta.base);
    put_u64(out, u64::from(meta.clock.number()));
    put_zigzag(out, i64::from(meta.time_exponent));
}

fn put_instrument(out: &mut Vec<u8>, instrument: &Instrument) {
    put_text(out, &instrument.symbol);
    put_text(out, &instrument.native);
    put_u64(out, u64::from(instrument.class.number()));
    put_zigzag(out, i64::from(instrument.price_exponent));
    put_zigzag(out, i64::from(instrument.size_exponent));
    put_zigzag(out, instrument.tick);
    put_zigzag(out, instrument.lot);
    out.push(
        u8::from(instrument.quote_has_event_time)
            | u8::from(instrument.trade_has_event_time) << 1
            | u8::from(instrument.book_has_event_time) << 2,
    );
    put_zigzag(out, i64::from(instrument.event_time_exponent));
}
