//! HTX messages and instrument lists. In: the root of one unpacked message, or a list. Out: what it says. Bounded by the message.

use crate::engine::{
    About, BAD, BookUpdate, Complaint, Decoded, Listed, Part, QuoteUpdate, RawLevel, TradeUpdate, aggressor, decimals, level,
};
use crate::json::{Parser, Value};
use crate::time::millis;
use wire::decimal::Decimal;
use wire::event::TradingState;

pub(super) fn message(root: Value<'_, '_>, trades: &mut Vec<TradeUpdate>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [topic, tick, ping] = root.fields(["ch", "tick", "ping"]);
    if let Some(number) = ping.and_then(Value::unsigned) {
        out.reply(format!(r#"{{"pong":{number}}}"#));
        return Ok(());
    }
    let (Some(topic), Some(tick)) = (topic.and_then(Value::text), tick) else {
        answer(root, out);
        return Ok(());
    };
    let (native, stream) = parts(topic).ok_or("data of an unknown channel")?;
    match stream {
        "depth.step0" => book(tick, native, out),
        "bbo" => best(tick, native, out),
        "trade.detail" => {
            trades.clear();
            trades.extend(tick.get("data").ok_or("trades lack data")?.elements().map(trade));
            // The venue puts the newest first.
            trades.sort_unstable_by_key(|trade| trade.id);
            trades.drain(..).for_each(|trade| out.trade(native, trade));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `market.btcusdt.depth.step0`: instrument and channel.
pub(super) fn parts(topic: &str) -> Option<(&str, &str)> {
    topic.strip_prefix("market.")?.split_once('.')
}

fn book(tick: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [bids, asks, time] = tick.fields(["bids", "asks", "ts"]);
    // Contracts of which nothing rests have neither side.
    let side = |side: Option<Value<'_, '_>>| side.map(|side| side.is_array() || side.is_null());
    if side(bids) != Some(true) || side(asks) != Some(true) {
        return Err("book lacks a side");
    }
    let time = time.and_then(Value::unsigned).map_or(0, millis);
    out.book(native, BookUpdate { snapshot: true, time, ..BookUpdate::default() });
    for (price, size) in bids.into_iter().flat_map(Value::elements).map(level) {
        out.bid(price, size);
    }
    for (price, size) in asks.into_iter().flat_map(Value::elements).map(level) {
        out.ask(price, size);
    }
    Ok(())
}

/// Spot gives price and size by name, swaps a level.
fn best(tick: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [bid, bid_size, ask, ask_size, spot_time, time] = tick.fields(["bid", "bidSize", "ask", "askSize", "quoteTime", "ts"]);
    let side = |price: Option<Value<'_, '_>>, size: Option<Value<'_, '_>>| match (price, size) {
        (Some(price), Some(size)) if !price.is_null() => Part::At(RawLevel { price: price.number(), size: size.number() }),
        (Some(both), None) if both.is_array() => {
            let (price, size) = level(both);
            Part::At(RawLevel { price, size })
        }
        _ => Part::Nothing,
    };
    let time = spot_time.or(time).and_then(Value::unsigned).map_or(0, millis);
    out.quote(native, QuoteUpdate { id: 0, time, bid: side(bid, bid_size), ask: side(ask, ask_size) });
    Ok(())
}

/// On spot `id` has 27 digits, and `tradeId` is the number; swaps have an `id` that is one.
fn trade(entry: Value<'_, '_>) -> TradeUpdate {
    let [number, id, price, size, side, time] = entry.fields(["tradeId", "id", "price", "amount", "direction", "ts"]);
    TradeUpdate {
        id: number.or(id).and_then(Value::whole),
        time: time.and_then(Value::unsigned).map_or(0, millis),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor: aggressor(side),
        ..TradeUpdate::default()
    }
}

fn answer(root: Value<'_, '_>, out: &mut Decoded) {
    let [status, id, subbed, unsubbed, code, reason] = root.fields(["status", "id", "subbed", "unsubbed", "err-code", "err-msg"]);
    let topic = subbed.or(unsubbed).and_then(Value::text).and_then(parts);
    let stream = topic.and_then(|(_, name)| super::STREAMS[0].iter().find(|stream| stream.name == name));
    match (status.and_then(Value::text), stream, topic) {
        (Some("ok"), Some(stream), Some((native, _))) => {
            out.granted(About::Topic { stream: stream.name, native: native.to_owned() });
        }
        (Some("error"), _, _) => {
            let about = id.and_then(Value::whole).map_or(About::Unknown, About::Id);
            let [code, reason] = [code, reason].map(|value| value.and_then(Value::text).unwrap_or(""));
            out.refused(about, &format!("{code} {reason}"));
        }
        _ => {}
    }
}

/// Spot symbols, or swap contracts. Steps of the latter are bare numbers: read without floats, as prices are.
pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, Complaint> {
    let all = |root: Value<'_, '_>| {
        let list = root.get("data").filter(|list| list.is_array()).ok_or("no list in the answer")?;
        Ok(list.elements().filter_map(|entry| symbol(entry).or_else(|| contract(entry))).collect())
    };
    Parser::default().parse_exact(json, all).unwrap_or(Err("not JSON"))
}

fn symbol(entry: Value<'_, '_>) -> Option<Listed> {
    let [native, base, quote, state, price, size] =
        entry.fields(["symbol", "base-currency", "quote-currency", "state", "price-precision", "amount-precision"]);
    let [native, base, quote] = [native, base, quote].map(|value| value.and_then(Value::text));
    let trading = match state.and_then(Value::text) {
        Some("online") => TradingState::Open,
        Some("suspend" | "transfer-board" | "fuse") => TradingState::Halted,
        Some("offline" | "not-online" | "pre-online") => TradingState::Closed,
        _ => TradingState::Unknown,
    };
    let [tick, lot] = [price, size].map(|places| places.and_then(Value::unsigned).map_or(BAD, decimals));
    Some(Listed::spot(native?, base?, quote?).steps(tick, lot).trading(trading))
}

fn contract(entry: Value<'_, '_>) -> Option<Listed> {
    let [native, tick, status] = entry.fields(["contract_code", "price_tick", "contract_status"]);
    let trading = match status.and_then(Value::unsigned) {
        Some(1) => TradingState::Open,
        Some(3..=6) => TradingState::Halted,
        Some(0 | 2 | 7 | 8) => TradingState::Closed,
        _ => TradingState::Unknown,
    };
    // Sizes are contracts.
    Some(swap(native?.text()?).steps(tick.map_or(BAD, Value::number), Decimal::new(1, 0)).trading(trading))
}

/// Contracts settled in the coin are quoted in USD: `BTC-USD`.
pub(super) fn is_coin_margined(native: &str) -> bool {
    native.split('-').nth(1).is_some_and(|quote| quote.eq_ignore_ascii_case("USD"))
}

/// `BTC-USDT`, `BTC-USDT-220325`.
pub(super) fn swap(native: &str) -> Listed {
    match native.split('-').collect::<Vec<_>>()[..] {
        [base, quote] => Listed::perpetual(native, base, quote),
        [base, quote, expiry] => Listed::future(native, base, quote, &format!("20{expiry}")),
        _ => Listed::spot(native, native, ""),
    }
}

/// Names run base and quote together: only the usual quotes can be told.
pub(super) fn spot(native: &str) -> Listed {
    let pair = ["usdt", "husd", "usdc", "usdd", "btc", "eth", "trx", "ht"]
        .into_iter()
        .find_map(|quote| Some((native.strip_suffix(quote)?, quote)));
    let (base, quote) = pair.unwrap_or((native, ""));
    Listed::spot(native, base, quote)
}

pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let yes = |verb: &str, told: &str| {
        let topic = request[verb].as_str()?;
        Some(serde_json::json!({ "id": request["id"], "status": "ok", told: topic, "ts": 0 }).to_string())
    };
    yes("sub", "subbed").or_else(|| yes("unsub", "unsubbed")).into_iter().collect()
}
