//! Bitstamp's messages, order books and instrument list. In: the root of one message, or a list. Out: what it says. Bounded by the
//! message.

use crate::engine::{About, BAD, BookUpdate, Complaint, Decoded, Listed, TradeUpdate, decimals, level};
use crate::json::Value;
use crate::replay::binance::split_symbol;
use crate::time::micros;
use serde::Deserialize;
use std::borrow::Cow;
use wire::event::{Aggressor, TradingState};

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [event, channel, data] = root.fields(["event", "channel", "data"]);
    let event = event.and_then(Value::text).ok_or("no event")?;
    let topic = channel.and_then(Value::text).and_then(topic);
    match (event, topic) {
        ("data", Some(("diff_order_book", native))) => book(data.ok_or("book lacks its data")?, native, false, out),
        ("trade", Some(("live_trades", native))) => {
            trade(data.ok_or("trade lacks its data")?, native, out);
            Ok(())
        }
        ("bts:subscription_succeeded" | "bts:unsubscription_succeeded", topic) => {
            out.granted(about(topic));
            Ok(())
        }
        ("bts:error", topic) => {
            let reason = data.and_then(|data| data.get("message")).and_then(Value::text);
            out.refused(about(topic), reason.unwrap_or(""));
            Ok(())
        }
        ("bts:request_reconnect", _) => {
            out.shutdown();
            Ok(())
        }
        // Heartbeats, and what this feed did not subscribe.
        _ => Ok(()),
    }
}

/// Stream and instrument of a channel.
pub(super) fn topic(channel: &str) -> Option<(&'static str, &str)> {
    super::STREAMS.iter().find_map(|stream| Some((stream.name, channel.strip_prefix(stream.name)?.strip_prefix('_')?)))
}

fn about(topic: Option<(&'static str, &str)>) -> About {
    topic.map_or(About::Unknown, |(stream, native)| About::Topic { stream, native: native.to_owned() })
}

pub(super) fn book(data: Value<'_, '_>, native: &str, snapshot: bool, out: &mut Decoded) -> Result<(), Complaint> {
    let [time, bids, asks] = data.fields(["microtimestamp", "bids", "asks"]);
    let id = time.and_then(Value::whole).ok_or("book lacks its time")?;
    out.book(native, BookUpdate { snapshot, first: id, last: id, time: micros(id), ..BookUpdate::default() });
    out.levels(bids, asks, level)
}

/// Prices and sizes stand there twice, as floats and as texts.
fn trade(data: Value<'_, '_>, native: &str, out: &mut Decoded) {
    let [id, time, price, size, side] = data.fields(["id", "microtimestamp", "price_str", "amount_str", "type"]);
    let aggressor = match side.and_then(Value::unsigned) {
        Some(0) => Aggressor::Buy,
        Some(1) => Aggressor::Sell,
        _ => Aggressor::Unknown,
    };
    let trade = TradeUpdate {
        id: id.and_then(Value::whole),
        time: time.and_then(Value::whole).map_or(0, micros),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor,
        ..TradeUpdate::default()
    };
    out.trade(native, trade);
}

#[derive(Deserialize)]
struct Pair<'a> {
    /// `btcusd`, as in channels.
    #[serde(borrow)]
    url_symbol: Cow<'a, str>,
    /// `BTC/USD`.
    #[serde(borrow)]
    name: Cow<'a, str>,
    base_decimals: u64,
    counter_decimals: u64,
    #[serde(borrow)]
    trading: Cow<'a, str>,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let list: Vec<Pair<'_>> = serde_json::from_slice(json)?;
    let listed = |pair: &Pair<'_>| {
        let (base, quote) = pair.name.split_once('/')?;
        let trading = if pair.trading == "Enabled" { TradingState::Open } else { TradingState::Halted };
        let steps = (decimals(pair.counter_decimals), decimals(pair.base_decimals));
        Some(Listed::spot(&pair.url_symbol, base, quote).steps(steps.0, steps.1).trading(trading))
    };
    Ok(list.iter().filter_map(listed).collect())
}

pub(super) fn named(native: &str) -> Listed {
    let upper = native.to_ascii_uppercase();
    let (base, quote) = split_symbol(&upper);
    Listed::spot(native, base, quote)
}

pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let event = match request["event"].as_str() {
        Some("bts:subscribe") => "bts:subscription_succeeded",
        Some("bts:unsubscribe") => "bts:unsubscription_succeeded",
        Some("bts:heartbeat") => "bts:heartbeat",
        _ => return Vec::new(),
    };
    vec![serde_json::json!({ "event": event, "channel": request["data"]["channel"], "data": {} }).to_string()]
}
