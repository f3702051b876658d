//! KuCoin messages, order books and symbols. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use crate::engine::{
    About, BAD, BookUpdate, Complaint, Decoded, Listed, Number, Part, QuoteUpdate, RawLevel, TradeUpdate, aggressor, number,
};
use crate::json::{Elements, Value};
use crate::time::millis;
use serde::Deserialize;
use std::borrow::Cow;
use wire::event::TradingState;

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [kind, id, topic, subject, data] = root.fields(["type", "id", "topic", "subject", "data"]);
    let about = || id.and_then(Value::whole).map_or(About::Oldest, About::Id);
    match kind.and_then(Value::text) {
        Some("message") => {
            let data = data.ok_or("message lacks data")?;
            match subject.and_then(Value::text) {
                Some("trade.l2update") => book(data, out),
                Some("trade.l3match") => trade(data, out),
                Some("trade.ticker") => {
                    let native = topic.and_then(Value::text).and_then(|topic| topic.split_once(':'));
                    best(data, native.ok_or("ticker lacks its symbol")?.1, out)
                }
                _ => Ok(()),
            }
        }
        Some("welcome") => {
            out.hello();
            Ok(())
        }
        Some("ack") => {
            out.granted(about());
            Ok(())
        }
        Some("error") => {
            out.refused(about(), data.and_then(Value::text).unwrap_or("no reason given"));
            Ok(())
        }
        Some(_) => Ok(()),
        None => Err("message lacks its type"),
    }
}

/// `["price","size","id"]`, or `["price","size"]`. Changes of price 0 are none: they only carry the numbers on.
fn levels<'t, 'a>(side: Elements<'t, 'a>) -> impl Iterator<Item = (Number, Number)> + use<'t, 'a> {
    let level = |level: Value<'t, 'a>| {
        let mut texts = level.elements();
        let mut next = || texts.next().map_or(BAD, Value::number);
        (next(), next())
    };
    side.map(level).filter(|(price, _)| price.mantissa != 0)
}

fn sides(bids: Value<'_, '_>, asks: Value<'_, '_>, out: &mut Decoded) {
    for (price, size) in levels(bids.elements()) {
        out.bid(price, size);
    }
    for (price, size) in levels(asks.elements()) {
        out.ask(price, size);
    }
}

fn book(data: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [native, first, last, changes, time] = data.fields(["symbol", "sequenceStart", "sequenceEnd", "changes", "time"]);
    let native = native.and_then(Value::text).ok_or("book lacks its symbol")?;
    let (first, last) = (first.and_then(Value::whole), last.and_then(Value::whole));
    let (first, last) = first.zip(last).ok_or("book lacks its ids")?;
    let [bids, asks] = changes.ok_or("book lacks changes")?.fields(["bids", "asks"]);
    let (bids, asks) = bids.zip(asks).ok_or("book lacks a side")?;
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.book(native, BookUpdate { first, last, time, ..BookUpdate::default() });
    sides(bids, asks, out);
    Ok(())
}

pub(super) fn snapshot(root: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let data = root.get("data").filter(|data| data.is_object()).ok_or("order book lacks data")?;
    let [id, bids, asks] = data.fields(["sequence", "bids", "asks"]);
    let id = id.and_then(Value::whole).ok_or("order book lacks its id")?;
    // A symbol without orders: nothing, or null.
    let (bids, asks) = bids.zip(asks).ok_or("order book lacks a side")?;
    out.book(native, BookUpdate { snapshot: true, first: id, last: id, ..BookUpdate::default() });
    sides(bids, asks, out);
    Ok(())
}

fn best(data: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [id, bid, bid_size, ask, ask_size, time] =
        data.fields(["sequence", "bestBid", "bestBidSize", "bestAsk", "bestAskSize", "time"]);
    let id = id.and_then(Value::whole).ok_or("ticker lacks its id")?;
    let side = |price: Option<Value<'_, '_>>, size: Option<Value<'_, '_>>| match (price, size) {
        (Some(price), Some(size)) if price.text().is_some_and(|text| !text.is_empty()) => {
            Part::At(RawLevel { price: price.number(), size: size.number() })
        }
        _ => Part::Nothing,
    };
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.quote(native, QuoteUpdate { id, time, bid: side(bid, bid_size), ask: side(ask, ask_size) });
    Ok(())
}

fn trade(data: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [native, id, price, size, side, time] = data.fields(["symbol", "sequence", "price", "size", "side", "time"]);
    let aggressor = aggressor(side);
    let trade = TradeUpdate {
        id: id.and_then(Value::whole),
        // Nanoseconds.
        time: time.and_then(Value::whole).and_then(|time| i64::try_from(time).ok()).unwrap_or(0),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor,
        ..TradeUpdate::default()
    };
    out.trade(native.and_then(Value::text).ok_or("trade lacks its symbol")?, trade);
    Ok(())
}

/// `{"data":{"token":"…","instanceServers":[{"endpoint":"wss://…"}]}}`.
pub(super) fn address(json: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(json).ok()?;
    let data = &answer["data"];
    let (token, endpoint) = (data["token"].as_str()?, data["instanceServers"][0]["endpoint"].as_str()?);
    let letters = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    let sound = !token.is_empty() && endpoint.starts_with("ws") && token.bytes().chain(endpoint.bytes()).all(letters);
    sound.then(|| format!("{endpoint}?token={token}&connectId=tickwire"))
}

pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let kind = if request["type"] == "ping" { "pong" } else { "ack" };
    vec![serde_json::json!({ "id": request["id"], "type": kind }).to_string()]
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<Symbol<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Symbol<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    base_currency: Cow<'a, str>,
    #[serde(borrow)]
    quote_currency: Cow<'a, str>,
    #[serde(borrow)]
    base_increment: Cow<'a, str>,
    #[serde(borrow)]
    price_increment: Cow<'a, str>,
    enable_trading: bool,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let answer: Answer<'_> = serde_json::from_slice(json)?;
    let listed = |symbol: &Symbol<'_>| {
        let trading = if symbol.enable_trading { TradingState::Open } else { TradingState::Closed };
        let listed = Listed::spot(&symbol.symbol, &symbol.base_currency, &symbol.quote_currency);
        listed.steps(number(&symbol.price_increment), number(&symbol.base_increment)).trading(trading)
    };
    Ok(answer.data.iter().map(listed).collect())
}
