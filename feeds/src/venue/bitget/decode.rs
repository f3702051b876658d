//! Bitget messages and instrument lists. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use crate::engine::{
    About, BAD, BookUpdate, Complaint, Decoded, Listed, Part, QuoteUpdate, RawLevel, TradeUpdate, aggressor, decimals, level,
    number,
};
use crate::json::Value;
use crate::time::millis;
use serde::Deserialize;
use std::borrow::Cow;
use wire::decimal::Decimal;
use wire::event::TradingState;

/// What messages leave behind for the next one to use: memory.
#[derive(Default)]
pub(super) struct Reused {
    native: String,
    trades: Vec<TradeUpdate>,
}

/// Category and symbol of a native name.
pub(super) fn parts(native: &str) -> (&str, &str) {
    native.split_once(':').unwrap_or(("SPOT", native))
}

pub(super) fn message(root: Value<'_, '_>, reused: &mut Reused, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [event, arg, action, data] = root.fields(["event", "arg", "action", "data"]);
    let [category, channel, symbol] =
        arg.map_or([None; 3], |arg| arg.fields(["instType", "channel", "instId"]).map(|value| value.and_then(Value::text)));
    let Reused { native, trades } = reused;
    native.clear();
    if let (Some(category), Some(symbol)) = (category, symbol) {
        native.extend([category, ":", symbol]);
    }
    if let Some(event) = event.and_then(Value::text) {
        answer(root, event, channel, native, out);
        return Ok(());
    }
    let (Some(channel), Some(data), false) = (channel, data, native.is_empty()) else { return Err("data lacks its channel") };
    let snapshot = action.and_then(Value::text) == Some("snapshot");
    match channel {
        "books" => data.elements().try_for_each(|entry| book(entry, native, snapshot, out))?,
        "books1" => data.elements().try_for_each(|entry| best(entry, native, out))?,
        "trade" => {
            trades.clear();
            trades.extend(data.elements().map(|entry| trade(entry, snapshot)));
            // The venue puts the newest first.
            trades.sort_unstable_by_key(|trade| (trade.time, trade.id));
            trades.drain(..).for_each(|trade| out.trade(native, trade));
        }
        _ => {}
    }
    Ok(())
}

fn book(entry: Value<'_, '_>, native: &str, snapshot: bool, out: &mut Decoded) -> Result<(), Complaint> {
    let [bids, asks, time, checksum] = entry.fields(["bids", "asks", "ts", "checksum"]);
    let checksum = checksum.and_then(Value::signed).ok_or("book lacks its checksum")?;
    // Signed on the wire. Zero is what the venue's newer interface puts where it computes none.
    let checksum = Some(checksum as u32).filter(|sum| *sum != 0);
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.book(native, BookUpdate { snapshot, checksum, time, ..BookUpdate::default() });
    out.levels(bids, asks, level)
}

fn best(entry: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let [bids, asks, time] = entry.fields(["bids", "asks", "ts"]);
    let side = |levels: Value<'_, '_>| {
        let first = levels.elements().next().map(level);
        first.map_or(Part::Nothing, |(price, size)| Part::At(RawLevel { price, size }))
    };
    let (bid, ask) = (bids.map(side).ok_or("best lacks bids")?, asks.map(side).ok_or("best lacks asks")?);
    let time = time.and_then(Value::whole).map_or(0, millis);
    out.quote(native, QuoteUpdate { id: 0, time, bid, ask });
    Ok(())
}

/// An object; in v1 a list `[time, price, size, side]`.
fn trade(entry: Value<'_, '_>, past: bool) -> TradeUpdate {
    let [id, time, price, size, side] = if entry.is_array() {
        let mut fields = entry.elements();
        let mut next = || fields.next();
        [None, next(), next(), next(), next()]
    } else {
        entry.fields(["tradeId", "ts", "price", "size", "side"])
    };
    TradeUpdate {
        id: id.and_then(Value::whole),
        time: time.and_then(Value::whole).map_or(0, millis),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor: aggressor(side),
        past,
        ..TradeUpdate::default()
    }
}

fn answer(root: Value<'_, '_>, event: &str, channel: Option<&str>, native: &str, out: &mut Decoded) {
    let stream = super::STREAMS.iter().find(|stream| Some(stream.name) == channel);
    let about = stream
        .filter(|_| !native.is_empty())
        .map_or(About::Unknown, |stream| About::Topic { stream: stream.name, native: native.to_owned() });
    match event {
        "subscribe" | "unsubscribe" => out.granted(about),
        "error" => {
            let [code, reason] = root.fields(["code", "msg"]);
            let code = code.and_then(Value::whole).unwrap_or(0);
            out.refused(about, &format!("{code} {}", reason.and_then(Value::text).unwrap_or("")));
        }
        _ => {}
    }
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<Entry<'a>>,
}

/// A spot symbol or a contract; each has names of its own for steps and phase.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    base_coin: Cow<'a, str>,
    #[serde(borrow)]
    quote_coin: Cow<'a, str>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    price_precision: Option<Cow<'a, str>>,
    #[serde(borrow)]
    quantity_precision: Option<Cow<'a, str>>,
    #[serde(borrow)]
    symbol_status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    symbol_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    price_place: Option<Cow<'a, str>>,
    #[serde(borrow)]
    price_end_step: Option<Cow<'a, str>>,
    #[serde(borrow)]
    size_multiplier: Option<Cow<'a, str>>,
}

impl Entry<'_> {
    fn listed(&self) -> Option<Listed> {
        let places = |text: &Option<Cow<'_, str>>| text.as_ref().and_then(|text| text.parse().ok()).map_or(BAD, decimals);
        if self.status.is_some() {
            let listed = Listed::spot(&format!("SPOT:{}", self.symbol), &self.base_coin, &self.quote_coin);
            let trading = match self.status.as_deref() {
                Some("online" | "gray") => TradingState::Open,
                Some("halt") => TradingState::Halted,
                Some("offline") => TradingState::Closed,
                _ => TradingState::Unknown,
            };
            return Some(listed.steps(places(&self.price_precision), places(&self.quantity_precision)).trading(trading));
        }
        // Lists of v1 say no phase. Contracts with an end are not offered: their names do not say when.
        let status = self.symbol_status.as_deref()?;
        if self.symbol_type.as_deref().is_some_and(|kind| kind != "perpetual") {
            return None;
        }
        let native = format!("{}:{}", category(&self.quote_coin), self.symbol);
        // The step is so many units of the last decimal.
        let unit = places(&self.price_place);
        let steps = self.price_end_step.as_deref().map_or(Decimal::new(1, 0), number);
        let tick = unit.mantissa.checked_mul(steps.mantissa).filter(|_| steps.exponent == 0 && unit != BAD);
        let tick = tick.map_or(BAD, |mantissa| Decimal::new(mantissa, unit.exponent));
        let lot = self.size_multiplier.as_deref().map_or(BAD, number);
        let trading = match status {
            "normal" | "limit_open" => TradingState::Open,
            "maintain" | "restrictedAPI" => TradingState::Halted,
            "listed" | "off" => TradingState::Closed,
            _ => TradingState::Unknown,
        };
        Some(Listed::perpetual(&native, &self.base_coin, &self.quote_coin).steps(tick, lot).trading(trading))
    }
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let list: List<'_> = serde_json::from_slice(json)?;
    Ok(list.data.iter().filter_map(Entry::listed).collect())
}

/// The category of perpetual contracts that are settled so.
pub(super) fn category(quote: &str) -> &'static str {
    match quote {
        "USDT" => "USDT-FUTURES",
        "USDC" => "USDC-FUTURES",
        _ => "COIN-FUTURES",
    }
}

/// Address of the list that holds this symbol, normalized or `!category:symbol`.
pub(super) fn list_of(name: &str) -> &'static str {
    let category = match name.strip_prefix('!') {
        Some(native) => parts(native).0,
        None => {
            let contract = name.strip_suffix("-PERP").and_then(|pair| pair.rsplit_once('-'));
            contract.map_or("SPOT", |(_, quote)| category(quote))
        }
    };
    match category {
        "USDT-FUTURES" => "mix/market/contracts?productType=usdt-futures",
        "USDC-FUTURES" => "mix/market/contracts?productType=usdc-futures",
        "COIN-FUTURES" => "mix/market/contracts?productType=coin-futures",
        _ => "spot/public/symbols",
    }
}

/// Names run base and quote together: only the usual quotes can be told.
pub(super) fn named(native: &str) -> Listed {
    let (category, symbol) = parts(native);
    let pair =
        ["USDT", "USDC", "USD", "BTC", "ETH", "EUR"].into_iter().find_map(|quote| Some((symbol.strip_suffix(quote)?, quote)));
    let (base, quote) = pair.unwrap_or((symbol, ""));
    if category.eq_ignore_ascii_case("SPOT") || category.eq_ignore_ascii_case("sp") {
        Listed::spot(native, base, quote)
    } else {
        Listed::perpetual(native, base, quote)
    }
}

/// One yes for each topic.
pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else {
        return if request == "ping" { vec!["pong".to_owned()] } else { Vec::new() };
    };
    let args = request["args"].as_array().map_or(&[][..], Vec::as_slice);
    args.iter().map(|arg| serde_json::json!({ "event": request["op"], "arg": arg }).to_string()).collect()
}
