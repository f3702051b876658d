//! Bybit messages. In: the root of one message, and whether its line is a spot line. Out: what it says. Bounded by the message.

use super::listing::SPOT;
use crate::engine::{About, BAD, BookUpdate, Complaint, Decoded, Part, QuoteUpdate, RawLevel, TradeUpdate, level};
use crate::json::Value;
use crate::time::millis;
use wire::event::{Aggressor, Nanos};

pub(super) fn message(root: Value<'_, '_>, spot: bool, name: &mut String, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [topic, kind, sent, made, data] = root.fields(["topic", "type", "ts", "cts", "data"]);
    let Some(topic) = topic.and_then(Value::text) else {
        answer(root, out);
        return Ok(());
    };
    let data = data.ok_or("message lacks data")?;
    let snapshot = kind.and_then(Value::text) == Some("snapshot");
    // When the engine made it is told of books only.
    let time = made.or(sent).and_then(Value::whole).map_or(0, millis);
    let topic = topic.split_once('.').map_or((topic, ""), |(stream, rest)| (stream, rest));
    match topic {
        ("orderbook", rest) if rest.starts_with("1.") => best(data, native(data.get("s"), spot, name)?, snapshot, time, out),
        ("orderbook", _) => book(data, native(data.get("s"), spot, name)?, snapshot, time, out),
        ("publicTrade", _) => data.elements().try_for_each(|entry| trade(entry, spot, name, out)),
        ("tickers", _) => ticker(data, native(data.get("symbol"), spot, name)?, time, out),
        _ => Ok(()),
    }
}

/// The symbol as it is called here.
fn native<'n, 'a: 'n>(symbol: Option<Value<'_, 'a>>, spot: bool, name: &'n mut String) -> Result<&'n str, Complaint> {
    let symbol = symbol.and_then(Value::text).ok_or("data lacks its symbol")?;
    if !spot {
        return Ok(symbol);
    }
    name.clear();
    name.push_str(SPOT);
    name.push_str(symbol);
    Ok(name)
}

fn book(data: Value<'_, '_>, native: &str, snapshot: bool, time: Nanos, out: &mut Decoded) -> Result<(), Complaint> {
    let [bids, asks, id] = data.fields(["b", "a", "u"]);
    let id = id.and_then(Value::unsigned).ok_or("book lacks its number")?;
    out.book(native, BookUpdate { snapshot, first: id, last: id, time, ..BookUpdate::default() });
    out.levels(bids, asks, level)
}

/// The best level of each side: whole, or, as spot used to send it, the side that changed.
fn best(data: Value<'_, '_>, native: &str, snapshot: bool, time: Nanos, out: &mut Decoded) -> Result<(), Complaint> {
    let [bids, asks] = data.fields(["b", "a"]);
    let side = |levels: Option<Value<'_, '_>>| {
        let mut levels = levels.ok_or("quote lacks a side")?.elements().map(level).peekable();
        if levels.peek().is_none() && !snapshot {
            return Ok(Part::Same);
        }
        // The one that went comes with the one that took its place.
        let stands = levels.find(|(_, size)| size.mantissa != 0);
        Ok::<_, Complaint>(stands.map_or(Part::Nothing, |(price, size)| Part::At(RawLevel { price, size })))
    };
    out.quote(native, QuoteUpdate { id: 0, time, bid: side(bids)?, ask: side(asks)? });
    Ok(())
}

/// Contracts' tickers have the best prices, in deltas what changed of them; spot's have none.
fn ticker(data: Value<'_, '_>, native: &str, time: Nanos, out: &mut Decoded) -> Result<(), Complaint> {
    let [bid, bid_size, ask, ask_size] = data.fields(["bid1Price", "bid1Size", "ask1Price", "ask1Size"]);
    let side = |price: Option<Value<'_, '_>>, size: Option<Value<'_, '_>>| match (price, size) {
        (Some(price), Some(_)) if price.text() == Some("") => Part::Nothing,
        (Some(price), Some(size)) => Part::At(RawLevel { price: price.number(), size: size.number() }),
        _ => Part::Same,
    };
    let (bid, ask) = (side(bid, bid_size), side(ask, ask_size));
    if !matches!((bid, ask), (Part::Same, Part::Same)) {
        out.quote(native, QuoteUpdate { id: 0, time, bid, ask });
    }
    Ok(())
}

fn trade(entry: Value<'_, '_>, spot: bool, name: &mut String, out: &mut Decoded) -> Result<(), Complaint> {
    let [time, symbol, side, size, price, id] = entry.fields(["T", "s", "S", "v", "p", "i"]);
    let aggressor = match side.and_then(Value::text) {
        Some("Buy") => Aggressor::Buy,
        Some("Sell") => Aggressor::Sell,
        _ => Aggressor::Unknown,
    };
    let trade = TradeUpdate {
        id: id.and_then(Value::whole),
        time: time.and_then(Value::whole).map_or(0, millis),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor,
        ..TradeUpdate::default()
    };
    out.trade(native(symbol, spot, name)?, trade);
    Ok(())
}

/// `{"success":true,"ret_msg":"subscribe","conn_id":"…","req_id":"1","op":"subscribe"}`: yes or no to all of a request.
fn answer(root: Value<'_, '_>, out: &mut Decoded) {
    let [success, reason, id, operation] = root.fields(["success", "ret_msg", "req_id", "op"]);
    if !matches!(operation.and_then(Value::text), Some("subscribe" | "unsubscribe")) {
        return;
    }
    let about = id.and_then(Value::whole).map_or(About::Oldest, About::Id);
    match success.and_then(Value::truth) {
        Some(false) => out.refused(about, reason.and_then(Value::text).unwrap_or("")),
        _ => out.granted(about),
    }
}

pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let (id, operation) = (&request["req_id"], &request["op"]);
    let said = if operation == "ping" { "pong" } else { "" };
    let answer = serde_json::json!({ "success": true, "ret_msg": said, "conn_id": "0", "req_id": id, "op": operation });
    vec![answer.to_string()]
}
