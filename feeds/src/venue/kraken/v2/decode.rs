//! Kraken v2 messages. In: the root of one message. Out: what it says, into `Decoded`. Bounded by the message.

use crate::engine::{About, BAD, BookUpdate, Complaint, Decoded, Listed, Part, QuoteUpdate, RawLevel, TradeUpdate, aggressor};
use crate::json::Value;
use crate::time::rfc3339;
use wire::event::TradingState;

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [channel, kind, data, method] = root.fields(["channel", "type", "data", "method"]);
    if method.is_some() {
        answer(root, out);
        return Ok(());
    }
    let snapshot = kind.and_then(Value::text) == Some("snapshot");
    let entries = data.map(Value::elements);
    match channel.and_then(Value::text) {
        Some("book") => entries.into_iter().flatten().try_for_each(|entry| book(entry, snapshot, out)),
        Some("trade") => entries.into_iter().flatten().try_for_each(|entry| trade(entry, snapshot, out)),
        Some("ticker") => entries.into_iter().flatten().try_for_each(|entry| ticker(entry, out)),
        Some("instrument") => {
            let pairs = data.and_then(|data| data.get("pairs")).ok_or("instrument lacks pairs")?;
            pairs.elements().for_each(|pair| instrument(pair, out));
            Ok(())
        }
        // Heartbeats and the state of the whole system.
        _ => Ok(()),
    }
}

fn book(entry: Value<'_, '_>, snapshot: bool, out: &mut Decoded) -> Result<(), Complaint> {
    let [symbol, bids, asks, checksum, timestamp] = entry.fields(["symbol", "bids", "asks", "checksum", "timestamp"]);
    let symbol = symbol.and_then(Value::text).ok_or("book lacks its symbol")?;
    let checksum = checksum.and_then(Value::unsigned).and_then(|sum| u32::try_from(sum).ok()).ok_or("book lacks its checksum")?;
    let time = timestamp.and_then(Value::text).map_or(0, rfc3339);
    out.book(symbol, BookUpdate { snapshot, checksum: Some(checksum), time, ..BookUpdate::default() });
    for level in bids.ok_or("book lacks bids")?.elements() {
        let [price, size] = level.fields(["price", "qty"]).map(|value| value.map_or(BAD, Value::number));
        out.bid(price, size);
    }
    for level in asks.ok_or("book lacks asks")?.elements() {
        let [price, size] = level.fields(["price", "qty"]).map(|value| value.map_or(BAD, Value::number));
        out.ask(price, size);
    }
    Ok(())
}

fn trade(entry: Value<'_, '_>, past: bool, out: &mut Decoded) -> Result<(), Complaint> {
    let [symbol, side, price, size, id, timestamp] = entry.fields(["symbol", "side", "price", "qty", "trade_id", "timestamp"]);
    let symbol = symbol.and_then(Value::text).ok_or("trade lacks its symbol")?;
    let aggressor = aggressor(side);
    let trade = TradeUpdate {
        id: id.and_then(Value::unsigned),
        time: timestamp.and_then(Value::text).map_or(0, rfc3339),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor,
        past,
        ..TradeUpdate::default()
    };
    out.trade(symbol, trade);
    Ok(())
}

fn ticker(entry: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [symbol, bid, bid_size, ask, ask_size, timestamp] =
        entry.fields(["symbol", "bid", "bid_qty", "ask", "ask_qty", "timestamp"]);
    let symbol = symbol.and_then(Value::text).ok_or("ticker lacks its symbol")?;
    let side = |price: Option<Value<'_, '_>>, size: Option<Value<'_, '_>>| match (price, size) {
        (Some(price), Some(size)) if !price.is_null() => Part::At(RawLevel { price: price.number(), size: size.number() }),
        _ => Part::Nothing,
    };
    let time = timestamp.and_then(Value::text).map_or(0, rfc3339);
    out.quote(symbol, QuoteUpdate { id: 0, time, bid: side(bid, bid_size), ask: side(ask, ask_size) });
    Ok(())
}

fn instrument(pair: Value<'_, '_>, out: &mut Decoded) {
    let [symbol, base, quote, status, tick, lot] =
        pair.fields(["symbol", "base", "quote", "status", "price_increment", "qty_increment"]);
    let [Some(symbol), Some(base), Some(quote)] = [symbol, base, quote].map(|value| value.and_then(Value::text)) else { return };
    let trading = match status.and_then(Value::text) {
        Some("online") => TradingState::Open,
        Some("cancel_only" | "maintenance" | "work_in_progress") => TradingState::Halted,
        Some("post_only" | "limit_only" | "reduce_only") => TradingState::Auction,
        Some("delisted") => TradingState::Closed,
        _ => TradingState::Unknown,
    };
    let [tick, lot] = [tick, lot].map(|step| step.map_or(BAD, Value::number));
    out.listed(Listed::spot(symbol, base, quote).steps(tick, lot).trading(trading));
}

fn answer(root: Value<'_, '_>, out: &mut Decoded) {
    let [success, result, error, id, symbol] = root.fields(["success", "result", "error", "req_id", "symbol"]);
    let [channel, named, depth] = result.map_or([None; 3], |result| result.fields(["channel", "symbol", "depth"]));
    if let Some(depth) = depth.and_then(Value::unsigned).and_then(|depth| u32::try_from(depth).ok()) {
        out.depth(depth);
    }
    let stream = super::STREAMS.iter().find(|stream| Some(stream.name) == channel.and_then(Value::text));
    match (success.and_then(Value::truth), stream, named.or(symbol).and_then(Value::text), id.and_then(Value::unsigned)) {
        (Some(true), Some(stream), Some(native), _) => {
            out.granted(About::Topic { stream: stream.name, native: native.to_owned() });
        }
        (Some(false), _, native, id) => {
            let about = match (id, native) {
                (Some(id), Some(native)) => About::Part { id, native: native.to_owned() },
                (Some(id), None) => About::Id(id),
                (None, _) => About::Unknown,
            };
            out.refused(about, error.and_then(Value::text).unwrap_or(""));
        }
        // A pong, or the answer about instruments.
        _ => {}
    }
}

/// One yes for each symbol.
pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let (method, params) = (&request["method"], &request["params"]);
    if method == "ping" {
        return vec![serde_json::json!({ "method": "pong", "req_id": request["req_id"] }).to_string()];
    }
    if params["channel"] == "instrument" {
        let (result, id) = (serde_json::json!({ "channel": "instrument", "snapshot": true }), &request["req_id"]);
        return vec![serde_json::json!({ "method": method, "result": result, "success": true, "req_id": id }).to_string()];
    }
    let symbols = params["symbol"].as_array().map_or(&[][..], Vec::as_slice);
    let grant = |symbol: &serde_json::Value| {
        let mut result = serde_json::json!({ "channel": params["channel"], "symbol": symbol });
        if params["depth"].is_u64() {
            result["depth"] = params["depth"].clone();
        }
        serde_json::json!({ "method": method, "result": result, "success": true, "req_id": request["req_id"] }).to_string()
    };
    symbols.iter().map(grant).collect()
}
