//! Deribit messages and instrument lists. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use crate::engine::{
    About, BAD, BookUpdate, Complaint, Decoded, Listed, Number, Part, QuoteUpdate, RawLevel, TradeUpdate, aggressor,
};
use crate::json::{Parser, Value};
use crate::time::millis;
use wire::decimal::Decimal;
use wire::event::TradingState;
use wire::instrument::InstrumentClass;

/// What each test request is answered with.
const TEST: &str = r#"{"jsonrpc":"2.0","id":"test","method":"public/test","params":{}}"#;

pub(super) fn message(root: Value<'_, '_>, trades: &mut Vec<TradeUpdate>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [method, params, id] = root.fields(["method", "params", "id"]);
    match method.and_then(Value::text) {
        Some("subscription") => notification(params.ok_or("notification lacks params")?, trades, out),
        Some("heartbeat") => {
            if params.and_then(|params| params.get("type")).and_then(Value::text) == Some("test_request") {
                out.reply(TEST.to_owned());
            }
            Ok(())
        }
        Some(_) => Ok(()),
        None => {
            // Others are answers to the heartbeat's own requests.
            if let Some(id) = id.and_then(Value::unsigned) {
                answer(root, id, out);
            }
            Ok(())
        }
    }
}

fn notification(params: Value<'_, '_>, trades: &mut Vec<TradeUpdate>, out: &mut Decoded) -> Result<(), Complaint> {
    let [channel, data] = params.fields(["channel", "data"]);
    let (Some(channel), Some(data)) = (channel.and_then(Value::text), data) else { return Err("data lacks its channel") };
    match channel.split('.').next() {
        Some("book") => book(data, out),
        // A ticker holds a quote among much else.
        Some("quote" | "ticker") => quote(data, out),
        Some("trades") => {
            trades.clear();
            trades.extend(data.elements().map(trade));
            trades.sort_unstable_by_key(|trade| trade.id);
            let native = data.elements().next().and_then(|first| first.get("instrument_name")).and_then(Value::text);
            let native = native.ok_or("trades lack their instrument")?;
            trades.drain(..).for_each(|trade| out.trade(native, trade));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A level: `["new" | "change" | "delete", price, amount]`.
fn level(level: Value<'_, '_>) -> (Number, Number) {
    let mut fields = level.elements();
    let action = fields.next().and_then(Value::text);
    let mut next = || fields.next().map_or(BAD, Value::number);
    let (price, amount) = (next(), next());
    (price, if action == Some("delete") { Decimal::new(0, 0) } else { amount })
}

fn book(data: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [kind, native, time, id, previous, bids, asks] =
        data.fields(["type", "instrument_name", "timestamp", "change_id", "prev_change_id", "bids", "asks"]);
    let native = native.and_then(Value::text).ok_or("book lacks its instrument")?;
    let id = id.and_then(Value::unsigned).ok_or("book lacks its id")?;
    let snapshot = kind.and_then(Value::text) == Some("snapshot");
    let previous = previous.and_then(Value::unsigned);
    if !snapshot && previous.is_none() {
        return Err("book change lacks its predecessor");
    }
    let time = time.and_then(Value::unsigned).map_or(0, millis);
    out.book(native, BookUpdate { snapshot, first: id, last: id, previous, checksum: None, time });
    out.levels(bids, asks, level)
}

fn quote(data: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [native, time, bid, bid_size, ask, ask_size] =
        data.fields(["instrument_name", "timestamp", "best_bid_price", "best_bid_amount", "best_ask_price", "best_ask_amount"]);
    let native = native.and_then(Value::text).ok_or("quote lacks its instrument")?;
    let side = |price: Option<Value<'_, '_>>, size: Option<Value<'_, '_>>| match (price, size) {
        (Some(price), Some(size)) if !price.is_null() => Part::At(RawLevel { price: price.number(), size: size.number() }),
        _ => Part::Nothing,
    };
    let time = time.and_then(Value::unsigned).map_or(0, millis);
    out.quote(native, QuoteUpdate { id: 0, time, bid: side(bid, bid_size), ask: side(ask, ask_size) });
    Ok(())
}

fn trade(entry: Value<'_, '_>) -> TradeUpdate {
    let [id, price, size, side, time] = entry.fields(["trade_seq", "price", "amount", "direction", "timestamp"]);
    TradeUpdate {
        id: id.and_then(Value::unsigned),
        time: time.and_then(Value::unsigned).map_or(0, millis),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor: aggressor(side),
        ..TradeUpdate::default()
    }
}

/// The answer names what it grants; what it leaves out does not exist.
fn answer(root: Value<'_, '_>, id: u64, out: &mut Decoded) {
    let [result, error] = root.fields(["result", "error"]);
    if let Some(error) = error {
        let [code, reason] = error.fields(["code", "message"]);
        let code = code.and_then(Value::signed).unwrap_or(0);
        out.refused(About::Id(id), &format!("{code} {}", reason.and_then(Value::text).unwrap_or("")));
        return;
    }
    for channel in result.into_iter().flat_map(Value::elements).filter_map(Value::text) {
        let mut parts = channel.split('.');
        let (Some(name), Some(native)) = (parts.next(), parts.next()) else { continue };
        if let Some(stream) = super::STREAMS.iter().find(|stream| stream.name == name) {
            out.granted(About::Topic { stream: stream.name, native: native.to_owned() });
        }
    }
    out.refused(About::Rest(id), "no such channel");
}

/// Steps are bare numbers here: read without floats, as prices are.
pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, Complaint> {
    let all = |root: Value<'_, '_>| {
        let list = root.get("result").filter(|list| list.is_array()).ok_or("no list in the answer")?;
        Ok(list.elements().filter_map(listed).collect())
    };
    Parser::default().parse_exact(json, all).unwrap_or(Err("not JSON"))
}

fn listed(entry: Value<'_, '_>) -> Option<Listed> {
    let [native, tick, lot, active] = entry.fields(["instrument_name", "tick_size", "min_trade_amount", "is_active"]);
    let [tick, lot] = [tick, lot].map(|step| step.map_or(BAD, Value::number));
    let trading = match active.and_then(Value::truth) {
        Some(true) => TradingState::Open,
        Some(false) => TradingState::Closed,
        None => TradingState::Unknown,
    };
    Some(named(native.and_then(Value::text)?).steps(tick, lot).trading(trading))
}

/// The venue's names say all: `BTC-PERPETUAL`, `BTC_USDC-PERPETUAL`, `BTC_USDC`, `BTC-25MAR22`, `BTC-24SEP21-40000-P`.
/// Those without a quote are quoted in USD.
pub(super) fn named(native: &str) -> Listed {
    let parts: Vec<&str> = native.split('-').collect();
    let pair = |name| str::split_once(name, '_').unwrap_or((name, "USD"));
    match parts[..] {
        [name, "PERPETUAL"] => Listed::perpetual(native, pair(name).0, pair(name).1),
        [name, day] if let Some(day) = date(day) => Listed::future(native, pair(name).0, pair(name).1, &day),
        [name, day, strike, side] if let Some(day) = date(day) => {
            let (base, quote) = pair(name);
            let symbol = format!("{base}-{quote}-{day}-{}-{side}", strike.replace('d', "."));
            Listed { symbol, class: InstrumentClass::Option, ..Listed::spot(native, base, quote) }
        }
        [name] if let Some((base, quote)) = name.split_once('_') => Listed::spot(native, base, quote),
        _ => Listed::spot(native, native, ""),
    }
}

/// `24SEP21` as `20210924`.
fn date(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let letters = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (day, rest) = text.split_at_checked(letters)?;
    let (month, year) = rest.split_at_checked(3)?;
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let (day, year): (u32, u32) = (day.parse().ok()?, year.parse().ok()?);
    (year < 100).then(|| format!("20{year:02}{month:02}{day:02}"))
}

/// Parameters of the list that holds this symbol, normalized or `!native`.
pub(super) fn list_of(name: &str) -> String {
    let currency = match name.strip_prefix('!') {
        Some(native) => {
            let first = native.split('-').next().unwrap_or(native);
            match first.split_once('_') {
                Some(_) if first.len() == native.len() => "any&kind=spot",
                Some((_, quote)) => quote,
                None => first,
            }
        }
        None => match name.split('-').collect::<Vec<_>>()[..] {
            [_, _] => "any&kind=spot",
            [base, "USD", ..] => base,
            [_, quote, ..] => quote,
            _ => name,
        },
    };
    format!("currency={currency}")
}

/// A yes to all channels, in one answer as the venue does it.
pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let result = match request["params"]["channels"].as_array() {
        Some(channels) => serde_json::json!(channels),
        None => serde_json::json!("ok"),
    };
    vec![serde_json::json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string()]
}
