//! Kraken v1 messages and instrument list. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use super::super::named;
use crate::engine::{
    About, BAD, BookUpdate, Complaint, Decoded, Listed, Number, Part, QuoteUpdate, RawLevel, TradeUpdate, decimals, number,
};
use crate::json::Value;
use crate::time::seconds;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use wire::event::{Aggressor, Nanos, TradingState};

/// Number of the channel, one or two payloads, name of the channel, pair.
const MOST_PARTS: usize = 5;

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if root.is_object() {
        answer(root, out);
        return Ok(());
    }
    let mut parts = [None; MOST_PARTS];
    let mut count = 0;
    for part in root.elements() {
        *parts.get_mut(count).ok_or("data of too many parts")? = Some(part);
        count += 1;
    }
    let text = |at: usize| parts.get(at).copied().flatten().and_then(Value::text);
    let (Some(channel), Some(pair), true) = (text(count.wrapping_sub(2)), text(count.wrapping_sub(1)), count > 3) else {
        return Err("data lacks its channel");
    };
    let payloads = || parts[1..count - 2].iter().copied().flatten();
    match channel {
        "trade" => payloads().flat_map(Value::elements).for_each(|entry| trade(entry, pair, out)),
        "spread" => payloads().for_each(|entry| spread(entry, pair, out)),
        "ticker" => payloads().for_each(|entry| ticker(entry, pair, out)),
        channel if channel.starts_with("book") => book(payloads(), pair, out)?,
        _ => {}
    }
    Ok(())
}

/// An update of both sides comes in two payloads; the checksum is in the last.
fn book<'t, 'a: 't>(payloads: impl Iterator<Item = Value<'t, 'a>>, pair: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let mut update: Option<BookUpdate> = None;
    for payload in payloads {
        let [all_asks, all_bids, asks, bids, checksum] = payload.fields(["as", "bs", "a", "b", "c"]);
        let snapshot = all_asks.is_some() || all_bids.is_some();
        if update.is_none() {
            out.book(pair, BookUpdate { snapshot, ..BookUpdate::default() });
        }
        let update = update.get_or_insert_default();
        for (side, is_bid) in [(all_bids.or(bids), true), (all_asks.or(asks), false)] {
            for level in side.map(Value::elements).into_iter().flatten() {
                let (price, size, time) = row(level);
                update.time = update.time.max(time);
                if is_bid { out.bid(price, size) } else { out.ask(price, size) }
            }
        }
        if let Some(sum) = checksum {
            update.checksum = Some(sum.text().and_then(|sum| sum.parse().ok()).ok_or("a checksum that is no number")?);
        }
        if !snapshot && all_asks.or(all_bids).or(asks).or(bids).is_none() {
            return Err("book lacks its levels");
        }
    }
    let BookUpdate { time, checksum, .. } = update.ok_or("book lacks its levels")?;
    out.amend_book(|book| (book.time, book.checksum) = (time, checksum));
    Ok(())
}

/// `["price","size","seconds",…]`.
fn row(row: Value<'_, '_>) -> (Number, Number, Nanos) {
    let mut parts = row.elements();
    let mut next = || parts.next().map_or(BAD, Value::number);
    let (price, size) = (next(), next());
    (price, size, parts.next().and_then(Value::text).and_then(seconds).unwrap_or(0))
}

/// `["price","size","seconds","b" or "s","l" or "m","misc"]`.
fn trade(entry: Value<'_, '_>, pair: &str, out: &mut Decoded) {
    let (price, size, time) = row(entry);
    let aggressor = match entry.elements().nth(3).and_then(Value::text) {
        Some("b") => Aggressor::Buy,
        Some("s") => Aggressor::Sell,
        _ => Aggressor::Unknown,
    };
    out.trade(pair, TradeUpdate { id: None, time, price, size, aggressor, ..TradeUpdate::default() });
}

/// `["bid","ask","seconds","bid size","ask size"]`.
fn spread(entry: Value<'_, '_>, pair: &str, out: &mut Decoded) {
    let (bid, ask, time) = row(entry);
    let mut sizes = entry.elements().skip(3).map(Value::number);
    let mut part = |price| Part::At(RawLevel { price, size: sizes.next().unwrap_or(BAD) });
    out.quote(pair, QuoteUpdate { id: 0, time, bid: part(bid), ask: part(ask) });
}

/// `{"a":["price",whole lots,"size"],"b":[…],…}`, without a time. Recordings have it in place of `spread`.
fn ticker(entry: Value<'_, '_>, pair: &str, out: &mut Decoded) {
    let part = |side: Option<Value<'_, '_>>| {
        let mut parts = side.map(Value::elements).into_iter().flatten();
        let price = parts.next().map_or(BAD, Value::number);
        Part::At(RawLevel { price, size: parts.nth(1).map_or(BAD, Value::number) })
    };
    let [bid, ask] = entry.fields(["b", "a"]);
    out.quote(pair, QuoteUpdate { id: 0, time: 0, bid: part(bid), ask: part(ask) });
}

fn answer(root: Value<'_, '_>, out: &mut Decoded) {
    let [event, status, pair, subscription, id, reason] =
        root.fields(["event", "status", "pair", "subscription", "reqid", "errorMessage"]);
    if event.and_then(Value::text) != Some("subscriptionStatus") {
        // Heartbeats, pongs, the state of the whole system.
        return;
    }
    let [name, depth] = subscription.map_or([None; 2], |subscription| subscription.fields(["name", "depth"]));
    if let Some(depth) = depth.and_then(Value::unsigned).and_then(|depth| u32::try_from(depth).ok()) {
        out.depth(depth);
    }
    let stream = super::STREAMS.iter().find(|stream| Some(stream.name) == name.and_then(Value::text));
    let about = match (stream, pair.and_then(Value::text), id.and_then(Value::unsigned)) {
        (Some(stream), Some(native), _) => About::Topic { stream: stream.name, native: native.to_owned() },
        (None, Some(native), Some(id)) => About::Part { id, native: native.to_owned() },
        (_, None, Some(id)) => About::Id(id),
        _ => About::Unknown,
    };
    match status.and_then(Value::text) {
        Some("subscribed" | "unsubscribed") => out.granted(about),
        Some("error") => out.refused(about, reason.and_then(Value::text).unwrap_or("")),
        _ => {}
    }
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(default)]
    error: Vec<String>,
    #[serde(borrow, default)]
    result: BTreeMap<&'a str, Pair<'a>>,
}

#[derive(Deserialize)]
struct Pair<'a> {
    /// Its name in WebSocket messages, if it has any.
    #[serde(borrow)]
    wsname: Option<Cow<'a, str>>,
    pair_decimals: u64,
    lot_decimals: u64,
    #[serde(borrow)]
    tick_size: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, String> {
    let list: List<'_> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if let Some(error) = list.error.into_iter().next() {
        return Err(error);
    }
    let listed = |pair: &Pair<'_>| {
        let trading = match pair.status.as_deref() {
            Some("online") => TradingState::Open,
            Some("cancel_only" | "maintenance" | "work_in_progress") => TradingState::Halted,
            Some("post_only" | "limit_only" | "reduce_only") => TradingState::Auction,
            Some("delisted") => TradingState::Closed,
            _ => TradingState::Unknown,
        };
        let tick = pair.tick_size.as_deref().map_or(decimals(pair.pair_decimals), number);
        Some(named(pair.wsname.as_deref()?).steps(tick, decimals(pair.lot_decimals)).trading(trading))
    };
    Ok(list.result.values().filter_map(listed).collect())
}

/// One yes for each pair.
pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let status = match request["event"].as_str() {
        Some("subscribe") => "subscribed",
        Some("unsubscribe") => "unsubscribed",
        Some("ping") => return vec![serde_json::json!({ "event": "pong", "reqid": request["reqid"] }).to_string()],
        _ => return Vec::new(),
    };
    let pairs = request["pair"].as_array().map_or(&[][..], Vec::as_slice);
    let grant = |pair: &serde_json::Value| {
        let (subscription, id) = (&request["subscription"], &request["reqid"]);
        let answer = serde_json::json!({ "event": "subscriptionStatus", "pair": pair, "status": status, "subscription": subscription, "reqid": id });
        answer.to_string()
    };
    pairs.iter().map(grant).collect()
}
