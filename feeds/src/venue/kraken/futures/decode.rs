//! Kraken Futures' messages and instrument list. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use super::super::common;
use crate::engine::{About, BAD, BookUpdate, Complaint, Decoded, Listed, Number, TradeUpdate, aggressor, decimals, number};
use crate::json::Value;
use crate::time::millis;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use wire::event::TradingState;

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [feed, event, product] = root.fields(["feed", "event", "product_id"]);
    if event.is_some() {
        answer(root, out);
        return Ok(());
    }
    let product = product.and_then(Value::text);
    match feed.and_then(Value::text) {
        Some("book") => change(root, product.ok_or("book lacks its product")?, out),
        Some("book_snapshot") => snapshot(root, product.ok_or("book lacks its product")?, out),
        Some("trade") => {
            trade(root, product.ok_or("trade lacks its product")?, false, out);
            Ok(())
        }
        Some("trade_snapshot") => {
            let product = product.ok_or("trades lack their product")?;
            let mark = out.mark();
            root.get("trades").ok_or("trades are missing")?.elements().for_each(|entry| trade(entry, product, true, out));
            // Newest first.
            out.reverse_since(mark);
            Ok(())
        }
        // Heartbeats, and what this feed did not subscribe.
        _ => Ok(()),
    }
}

/// One level.
fn change(root: Value<'_, '_>, product: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [side, number, price, size, time] = root.fields(["side", "seq", "price", "qty", "timestamp"]);
    let number = number.and_then(Value::unsigned).ok_or("book lacks its number")?;
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.book(product, BookUpdate { first: number, last: number, time, ..BookUpdate::default() });
    let [price, size] = [price, size].map(|value| value.map_or(BAD, Value::number));
    match side.and_then(Value::text) {
        Some("buy") => out.bid(price, size),
        Some("sell") => out.ask(price, size),
        // The book must not go on without it.
        _ => out.bid(BAD, BAD),
    }
    Ok(())
}

fn snapshot(root: Value<'_, '_>, product: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [number, bids, asks, time] = root.fields(["seq", "bids", "asks", "timestamp"]);
    let number = number.and_then(Value::unsigned).ok_or("book lacks its number")?;
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.book(product, BookUpdate { snapshot: true, first: number, last: number, time, ..BookUpdate::default() });
    let level = |level: Value<'_, '_>| -> (Number, Number) {
        let [price, size] = level.fields(["price", "qty"]).map(|value| value.map_or(BAD, Value::number));
        (price, size)
    };
    out.levels(bids, asks, level)
}

fn trade(entry: Value<'_, '_>, product: &str, past: bool, out: &mut Decoded) {
    let [side, id, time, price, size] = entry.fields(["side", "seq", "time", "price", "qty"]);
    let aggressor = aggressor(side);
    let trade = TradeUpdate {
        id: id.and_then(Value::unsigned),
        time: time.and_then(Value::whole).map_or(0, millis),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor,
        past,
        ..TradeUpdate::default()
    };
    out.trade(product, trade);
}

fn answer(root: Value<'_, '_>, out: &mut Decoded) {
    let [event, feed, products, reason] = root.fields(["event", "feed", "product_ids", "message"]);
    match event.and_then(Value::text) {
        Some("subscribed" | "unsubscribed") => {
            let Some(stream) = super::STREAMS.iter().find(|stream| Some(stream.name) == feed.and_then(Value::text)) else {
                return;
            };
            for native in products.map(Value::elements).into_iter().flatten().filter_map(Value::text) {
                out.granted(About::Topic { stream: stream.name, native: native.to_owned() });
            }
        }
        // It does not say about what; requests are read in order.
        Some("error" | "alert") => out.refused(About::Oldest, reason.and_then(Value::text).unwrap_or("")),
        _ => {}
    }
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    instruments: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    /// Bare numbers.
    #[serde(borrow)]
    tick_size: Option<&'a RawValue>,
    #[serde(borrow)]
    contract_size: Option<&'a RawValue>,
    /// Decimals of a size; may be negative.
    contract_value_trade_precision: Option<i8>,
    #[serde(default)]
    tradeable: bool,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let list: List<'_> = serde_json::from_slice(json)?;
    let listed = |entry: &Entry<'_>| {
        // Indices are listed too, without a tick.
        let tick = number(entry.tick_size?.get());
        let lot = match (entry.contract_value_trade_precision, entry.contract_size) {
            (Some(places), _) => decimals(places.max(0).unsigned_abs().into()),
            (None, Some(size)) => number(size.get()),
            (None, None) => BAD,
        };
        let trading = if entry.tradeable { TradingState::Open } else { TradingState::Halted };
        // Listed in small letters at times; data always come in capitals.
        Some(named(&entry.symbol.to_ascii_uppercase()).steps(tick, lot).trading(trading))
    };
    Ok(list.instruments.iter().filter_map(listed).collect())
}

/// `PF_XBTUSD` perpetual, `FF_XBTUSD_240628` dated; with `I` in place of the second `F` margined in the base currency, with `V` in the
/// quote currency alone. Linear ones have the plain names.
pub(super) fn named(native: &str) -> Listed {
    let mut parts = native.split('_');
    let (Some(kind), Some(pair)) = (parts.next(), parts.next()) else { return Listed::spot(native, native, "") };
    let (base, quote) = pair.split_at_checked(pair.len().saturating_sub(3)).unwrap_or((pair, ""));
    let (base, quote) = (common(base), common(quote));
    let listed = match parts.next() {
        Some(expiry) => Listed::future(native, base, quote, &format!("20{expiry}")),
        None => Listed::perpetual(native, base, quote),
    };
    let suffix = match kind.as_bytes().get(1) {
        Some(b'I') => "-INVERSE",
        Some(b'V') => "-VANILLA",
        _ => "",
    };
    Listed { symbol: format!("{}{suffix}", listed.symbol), ..listed }
}

/// One yes for each product.
pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let event = match request["event"].as_str() {
        Some("subscribe") => "subscribed",
        Some("unsubscribe") => "unsubscribed",
        _ => return Vec::new(),
    };
    if request["feed"] == "heartbeat" {
        return vec![serde_json::json!({ "event": event, "feed": "heartbeat" }).to_string()];
    }
    let products = request["product_ids"].as_array().map_or(&[][..], Vec::as_slice);
    let grant = |product: &serde_json::Value| {
        serde_json::json!({ "event": event, "feed": request["feed"], "product_ids": [product] }).to_string()
    };
    products.iter().map(grant).collect()
}
