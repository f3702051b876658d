//! OKX messages and instrument lists. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use crate::engine::{
    About, BAD, BookUpdate, Complaint, Decoded, Listed, Part, QuoteUpdate, RawLevel, TradeUpdate, aggressor, level, number,
};
use crate::json::Value;
use crate::time::millis;
use serde::Deserialize;
use std::borrow::Cow;
use wire::event::TradingState;
use wire::instrument::InstrumentClass;

/// The venue is about to end the connection for an upgrade.
const UPGRADE_NOTICE: &str = "64008";

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [event, arg, action, data] = root.fields(["event", "arg", "action", "data"]);
    let [channel, native] =
        arg.map_or([None; 2], |arg| arg.fields(["channel", "instId"]).map(|value| value.and_then(Value::text)));
    if let Some(event) = event.and_then(Value::text) {
        answer(root, event, channel.zip(native), out);
        return Ok(());
    }
    let (Some(channel), Some(native), Some(data)) = (channel, native, data) else { return Err("data lacks its channel") };
    let snapshot = action.and_then(Value::text) == Some("snapshot");
    data.elements().try_for_each(|entry| match channel {
        "books" => book(entry, native, snapshot, out),
        "bbo-tbt" => best(entry, native, out),
        "trades" => trade(entry, native, out),
        "tickers" => ticker(entry, native, out),
        _ => Ok(()),
    })
}

fn book(entry: Value<'_, '_>, native: &str, snapshot: bool, out: &mut Decoded) -> Result<(), Complaint> {
    let [bids, asks, time, checksum, id, previous] = entry.fields(["bids", "asks", "ts", "checksum", "seqId", "prevSeqId"]);
    let id = id.and_then(Value::unsigned).unwrap_or(0);
    // A snapshot says -1.
    let previous = previous.and_then(Value::unsigned);
    let checksum = checksum.and_then(Value::signed).filter(|sum| *sum != 0);
    let update = BookUpdate {
        snapshot,
        first: id,
        last: id,
        previous,
        // Signed on the wire.
        checksum: checksum.map(|sum| sum as u32),
        time: time.and_then(Value::whole).map_or(0, millis),
    };
    out.book(native, update);
    out.levels(bids, asks, level)
}

fn best(entry: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [bids, asks, time] = entry.fields(["bids", "asks", "ts"]);
    let side = |levels: Option<Value<'_, '_>>| {
        let first = levels.and_then(|levels| levels.elements().next()).map(level);
        first.map_or(Part::Nothing, |(price, size)| Part::At(RawLevel { price, size }))
    };
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.quote(native, QuoteUpdate { id: 0, time, bid: side(bids), ask: side(asks) });
    Ok(())
}

fn ticker(entry: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [bid, bid_size, ask, ask_size, time] = entry.fields(["bidPx", "bidSz", "askPx", "askSz", "ts"]);
    let side = |price: Option<Value<'_, '_>>, size: Option<Value<'_, '_>>| match (price, size) {
        (Some(price), Some(size)) if price.text() != Some("") => {
            Part::At(RawLevel { price: price.number(), size: size.number() })
        }
        _ => Part::Nothing,
    };
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.quote(native, QuoteUpdate { id: 0, time, bid: side(bid, bid_size), ask: side(ask, ask_size) });
    Ok(())
}

fn trade(entry: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [id, price, size, side, time] = entry.fields(["tradeId", "px", "sz", "side", "ts"]);
    let aggressor = aggressor(side);
    let trade = TradeUpdate {
        id: id.and_then(Value::whole),
        time: time.and_then(Value::whole).map_or(0, millis),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor,
        ..TradeUpdate::default()
    };
    out.trade(native, trade);
    Ok(())
}

fn answer(root: Value<'_, '_>, event: &str, topic: Option<(&str, &str)>, out: &mut Decoded) {
    let [code, reason, id] = root.fields(["code", "msg", "id"]);
    let stream = topic.and_then(|(channel, _)| super::STREAMS.iter().find(|stream| stream.name == channel));
    let about = match (stream, topic, id.and_then(Value::whole)) {
        (Some(stream), Some((_, native)), _) => About::Topic { stream: stream.name, native: native.to_owned() },
        (_, _, Some(id)) => About::Id(id),
        _ => About::Unknown,
    };
    let code = code.and_then(Value::text);
    match event {
        "subscribe" | "unsubscribe" => out.granted(about),
        "error" => out.refused(about, &format!("{} {}", code.unwrap_or(""), reason.and_then(Value::text).unwrap_or(""))),
        "notice" if code == Some(UPGRADE_NOTICE) => out.shutdown(),
        _ => {}
    }
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    inst_id: Cow<'a, str>,
    #[serde(borrow)]
    tick_sz: Cow<'a, str>,
    #[serde(borrow)]
    lot_sz: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let list: List<'_> = serde_json::from_slice(json)?;
    let listed = |entry: &Entry<'_>| {
        let trading = match &*entry.state {
            "live" => TradingState::Open,
            "suspend" => TradingState::Halted,
            "preopen" | "test" => TradingState::Closed,
            _ => TradingState::Unknown,
        };
        named(&entry.inst_id).steps(number(&entry.tick_sz), number(&entry.lot_sz)).trading(trading)
    };
    Ok(list.data.iter().map(listed).collect())
}

/// The venue's names say all: `BTC-USDT`, `BTC-USDT-SWAP`, `BTC-USD-250926`, `BTC-USD-250926-60000-C`.
pub(super) fn named(native: &str) -> Listed {
    let parts: Vec<&str> = native.split('-').collect();
    match parts[..] {
        [base, quote, "SWAP"] => Listed::perpetual(native, base, quote),
        [base, quote, expiry] => Listed::future(native, base, quote, &format!("20{expiry}")),
        [base, quote, expiry, strike, side] => {
            let symbol = format!("{base}-{quote}-20{expiry}-{strike}-{side}");
            Listed { symbol, class: InstrumentClass::Option, ..Listed::spot(native, base, quote) }
        }
        [base, quote] => Listed::spot(native, base, quote),
        _ => Listed::spot(native, native, ""),
    }
}

/// Parameters of the list that holds this symbol, native or normalized.
pub(super) fn list_of(name: &str) -> String {
    let parts: Vec<&str> = name.split('-').collect();
    match parts[..] {
        [_, _, "SWAP" | "PERP"] => "instType=SWAP".to_owned(),
        [_, _, _] => "instType=FUTURES".to_owned(),
        [base, quote, ..] if parts.len() > 3 => format!("instType=OPTION&uly={base}-{quote}"),
        _ => "instType=SPOT".to_owned(),
    }
}

/// One yes for each topic.
pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else {
        return if request == "ping" { vec!["pong".to_owned()] } else { Vec::new() };
    };
    let args = request["args"].as_array().map_or(&[][..], Vec::as_slice);
    args.iter().map(|arg| serde_json::json!({ "event": request["op"], "arg": arg, "connId": "0" }).to_string()).collect()
}
