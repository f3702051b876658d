//! Gate.io messages, order books and pairs. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use crate::engine::{
    About, BAD, BookUpdate, Complaint, Decoded, Listed, Part, QuoteUpdate, RawLevel, TradeUpdate, aggressor, decimals, level,
};
use crate::json::Value;
use crate::time::{millis, millis_text};
use serde::Deserialize;
use std::borrow::Cow;
use wire::event::TradingState;

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [channel, event, result] = root.fields(["channel", "event", "result"]);
    let channel = channel.and_then(Value::text).ok_or("message lacks its channel")?;
    match (event.and_then(Value::text), result) {
        (Some("subscribe" | "unsubscribe"), result) => {
            answer(root, channel, result, out);
            Ok(())
        }
        (Some("update"), Some(result)) => match channel {
            "spot.book_ticker" => best(result, out),
            "spot.trades" => trade(result, out),
            "spot.order_book_update" => book(result, out),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn levels(bids: Value<'_, '_>, asks: Value<'_, '_>, out: &mut Decoded) {
    for (price, size) in bids.elements().map(level) {
        out.bid(price, size);
    }
    for (price, size) in asks.elements().map(level) {
        out.ask(price, size);
    }
}

fn book(result: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [native, first, last, bids, asks, time] = result.fields(["s", "U", "u", "b", "a", "t"]);
    let native = native.and_then(Value::text).ok_or("book lacks its pair")?;
    let (first, last) = (first.and_then(Value::unsigned), last.and_then(Value::unsigned));
    let (first, last) = first.zip(last).ok_or("book lacks its ids")?;
    let (bids, asks) = bids.zip(asks).ok_or("book lacks a side")?;
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.book(native, BookUpdate { first, last, time, ..BookUpdate::default() });
    levels(bids, asks, out);
    Ok(())
}

pub(super) fn snapshot(root: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [id, bids, asks, time] = root.fields(["id", "bids", "asks", "update"]);
    let id = id.and_then(Value::unsigned).ok_or("order book lacks its id")?;
    let (bids, asks) = bids.zip(asks).ok_or("order book lacks a side")?;
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.book(native, BookUpdate { snapshot: true, first: id, last: id, time, ..BookUpdate::default() });
    levels(bids, asks, out);
    Ok(())
}

fn best(result: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [native, id, bid, bid_size, ask, ask_size, time] = result.fields(["s", "u", "b", "B", "a", "A", "t"]);
    let native = native.and_then(Value::text).ok_or("quote lacks its pair")?;
    let id = id.and_then(Value::unsigned).ok_or("quote lacks its id")?;
    let side = |price: Option<Value<'_, '_>>, size: Option<Value<'_, '_>>| match (price, size) {
        (Some(price), Some(size)) if price.text() != Some("") => {
            Part::At(RawLevel { price: price.number(), size: size.number() })
        }
        _ => Part::Nothing,
    };
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.quote(native, QuoteUpdate { id, time, bid: side(bid, bid_size), ask: side(ask, ask_size) });
    Ok(())
}

fn trade(result: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [native, id, price, size, side, time] =
        result.fields(["currency_pair", "id", "price", "amount", "side", "create_time_ms"]);
    let aggressor = aggressor(side);
    let trade = TradeUpdate {
        id: id.and_then(Value::whole),
        time: time.and_then(Value::text).map_or(0, millis_text),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor,
        ..TradeUpdate::default()
    };
    out.trade(native.and_then(Value::text).ok_or("trade lacks its pair")?, trade);
    Ok(())
}

/// It repeats the request's number; older ones only say what was asked for, or not even that.
fn answer(root: Value<'_, '_>, channel: &str, result: Option<Value<'_, '_>>, out: &mut Decoded) {
    let [id, error, payload] = root.fields(["id", "error", "payload"]);
    let stream = super::STREAMS.iter().find(|stream| stream.name == channel);
    let native = payload.and_then(|payload| payload.elements().next()).and_then(Value::text);
    let about = match (id.and_then(Value::whole), stream, native) {
        (Some(id), _, _) => About::Id(id),
        (_, Some(stream), Some(native)) => About::Topic { stream: stream.name, native: native.to_owned() },
        _ => About::Oldest,
    };
    let refused = error.filter(|error| !error.is_null());
    let failed = result.and_then(|result| result.get("status")).and_then(Value::text) == Some("fail");
    if refused.is_some() || failed {
        let reason = refused.and_then(|error| error.get("message")).and_then(Value::text).unwrap_or("no reason given");
        out.refused(about, reason);
    } else {
        out.granted(about);
    }
}

pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let (time, id, channel, event) = (&request["time"], &request["id"], &request["channel"], &request["event"]);
    let answer = if channel == "spot.ping" {
        serde_json::json!({ "time": time, "channel": "spot.pong", "event": "", "result": null })
    } else {
        serde_json::json!({ "time": time, "id": id, "channel": channel, "event": event, "result": { "status": "success" } })
    };
    vec![answer.to_string()]
}

#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    base: Cow<'a, str>,
    #[serde(borrow)]
    quote: Cow<'a, str>,
    /// Decimals of prices and sizes.
    precision: u64,
    amount_precision: u64,
    #[serde(borrow)]
    trade_status: Cow<'a, str>,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let pairs: Vec<Pair<'_>> = serde_json::from_slice(json)?;
    let listed = |pair: &Pair<'_>| {
        let trading = match &*pair.trade_status {
            // Or one side of it only.
            "tradable" | "buyable" | "sellable" => TradingState::Open,
            "untradable" => TradingState::Closed,
            _ => TradingState::Unknown,
        };
        let listed = Listed::spot(&pair.id, &pair.base, &pair.quote);
        listed.steps(decimals(pair.precision), decimals(pair.amount_precision)).trading(trading)
    };
    Ok(pairs.iter().map(listed).collect())
}
