//! Bitfinex messages and instrument lists. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use super::channels::Channels;
use crate::adapter::Line;
use crate::engine::{About, BAD, BookUpdate, Complaint, Decoded, Listed, Number, TradeUpdate, decimals};
use crate::json::Value;
use crate::time::millis;
use wire::decimal::Decimal;
use wire::event::{Aggressor, TradingState};

/// The venue asks to connect again.
const RECONNECT: u64 = 20_051;
/// Trades of before the subscription come newest first; so many are sent.
const MAX_PAST: usize = 256;

pub(super) fn message(root: Value<'_, '_>, line: Line, channels: &mut Channels, out: &mut Decoded) -> Result<(), Complaint> {
    if root.is_object() {
        return event(root, line, channels, out);
    }
    // `[channel, "hb", number]`, `[channel, "te", data, number]`, `[channel, data, number]`
    let mut fields = root.elements();
    let (Some(channel), Some(first)) = (fields.next().and_then(Value::unsigned), fields.next()) else {
        return Err("neither an event nor data");
    };
    let kind = first.text();
    let data = match kind {
        Some("hb") => None,
        Some(_) => fields.next(),
        None => Some(first),
    };
    out.frame(fields.next().and_then(Value::unsigned).ok_or("message lacks its number")?);
    let (Some(data), Some((stream, native))) = (data, channels.get(line, channel)) else {
        // A sign of life, or what was still on its way when its channel ended.
        return Ok(());
    };
    match (stream, kind) {
        ("book", None) => book(data, native, out),
        // `tu` repeats each `te` a moment later.
        ("trades", Some("te")) => trade(data, false).map(|trade| out.trade(native, trade)),
        ("trades", None) => past(data, native, out),
        _ => Ok(()),
    }
}

/// A level `[price, count, amount]`, or a list of them: the whole book.
fn book(data: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let first = data.elements().next();
    let snapshot = first.is_none_or(Value::is_array);
    if !data.is_array() {
        return Err("book is no list");
    }
    out.book(native, BookUpdate { snapshot, ..BookUpdate::default() });
    if !snapshot {
        return level(data, out);
    }
    data.elements().try_for_each(|entry| level(entry, out))
}

/// Bids have amounts above zero, asks below. Without orders (count 0) the level is gone, and only the sign of the amount counts.
fn level(level: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let mut fields = level.elements();
    let (Some(price), Some(count), Some(amount)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("level lacks price, count or amount");
    };
    let (amount, count) = (amount.number(), count.unsigned().ok_or("level has no count")?);
    let (bid, size) = sided(amount);
    let size = if count == 0 { Decimal::new(0, 0) } else { size };
    if bid {
        out.bid(price.number(), size)
    } else {
        out.ask(price.number(), size)
    }
    Ok(())
}

/// Above zero? And how much.
fn sided(amount: Number) -> (bool, Number) {
    if amount == BAD || amount.mantissa >= 0 {
        return (true, amount);
    }
    (false, amount.mantissa.checked_neg().map_or(BAD, |mantissa| Decimal::new(mantissa, amount.exponent)))
}

/// `[id, time, amount, price]`
fn trade(data: Value<'_, '_>, past: bool) -> Result<TradeUpdate, Complaint> {
    let mut fields = data.elements();
    let (Some(id), Some(time), Some(amount), Some(price)) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
        return Err("trade lacks id, time, amount or price");
    };
    let (buy, size) = sided(amount.number());
    Ok(TradeUpdate {
        id: Some(id.unsigned().ok_or("trade has no id")?),
        time: time.unsigned().map_or(0, millis),
        price: price.number(),
        size,
        aggressor: if buy { Aggressor::Buy } else { Aggressor::Sell },
        past,
        ..TradeUpdate::default()
    })
}

fn past(data: Value<'_, '_>, native: &str, out: &mut Decoded) -> Result<(), Complaint> {
    let mark = out.mark();
    for entry in data.elements().take(MAX_PAST) {
        out.trade(native, trade(entry, true)?);
    }
    out.reverse_since(mark);
    Ok(())
}

fn event(root: Value<'_, '_>, line: Line, channels: &mut Channels, out: &mut Decoded) -> Result<(), Complaint> {
    let [event, channel, id, symbol, code, reason, status] =
        root.fields(["event", "channel", "chanId", "symbol", "code", "msg", "status"]);
    let [event, channel, symbol, reason, status] =
        [event, channel, symbol, reason, status].map(|value| value.and_then(Value::text));
    let [id, code] = [id, code].map(|value| value.and_then(Value::unsigned));
    let stream = super::STREAMS.iter().find(|stream| Some(stream.name) == channel).map(|stream| stream.name);
    match event {
        Some("subscribed") => {
            // Others' recordings have channels that are not ours.
            if let (Some(stream), Some(id), Some(native)) = (stream, id, symbol) {
                channels.set(line, id, stream, native);
                out.granted(About::Topic { stream, native: native.to_owned() });
            }
        }
        Some("unsubscribed") => {
            if let Some((stream, native)) = id.and_then(|id| channels.take(line, id)) {
                out.granted(About::Topic { stream, native });
            }
        }
        Some("error") => {
            let about = match (stream, symbol) {
                (Some(stream), Some(native)) => About::Topic { stream, native: native.to_owned() },
                // One that ends a channel names nothing that was asked for.
                _ => About::Unknown,
            };
            out.refused(about, &format!("{} {}", code.unwrap_or(0), reason.unwrap_or("")));
        }
        Some("info") if code == Some(RECONNECT) => out.shutdown(),
        Some("conf") if status != Some("OK") => return Err("messages will not be numbered"),
        Some(_) => {}
        None => return Err("event lacks its name"),
    }
    Ok(())
}

/// `[["BTCUSD","AVAX:USD",…]]`
pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let lists: Vec<Vec<String>> = serde_json::from_slice(json)?;
    let listed = |pair: &String| {
        // Prices have five significant digits, so no step; amounts have eight decimals.
        named(&format!("t{pair}")).steps(Decimal::new(0, 0), decimals(8)).trading(TradingState::Open)
    };
    Ok(lists.iter().flatten().map(listed).collect())
}

/// `tBTCUSD`, `tAVAX:USD`, `tBTCF0:USTF0`. Long names are parted by a colon, others are three and three letters.
pub(super) fn named(native: &str) -> Listed {
    let pair = native.strip_prefix('t').unwrap_or(native);
    let parts = pair.split_once(':').or_else(|| pair.split_at_checked(pair.len().saturating_sub(3)));
    let (base, quote) = parts.filter(|(base, _)| !base.is_empty()).unwrap_or((pair, ""));
    match (base.strip_suffix("F0"), quote.strip_suffix("F0")) {
        (Some(base), Some(quote)) => Listed::perpetual(native, common(base), common(quote)),
        _ => Listed::spot(native, common(base), common(quote)),
    }
}

/// The name a currency has elsewhere.
fn common(currency: &str) -> &str {
    match currency {
        "UST" => "USDT",
        "UDC" => "USDC",
        "DSH" => "DASH",
        "QTM" => "QTUM",
        "IOT" => "IOTA",
        "DAT" => "DATA",
        "MNA" => "MANA",
        "ALG" => "ALGO",
        "ATO" => "ATOM",
        other => other,
    }
}

/// Some number that is the same for the same channel.
pub(super) fn channel(stream: &str, native: &str) -> u32 {
    crc32fast::hash(format!("{stream} {native}").as_bytes())
}

pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(mut request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    match request["event"].as_str() {
        Some("subscribe") => {
            let text = |key: &str| request[key].as_str().unwrap_or("");
            request["chanId"] = channel(text("channel"), text("symbol")).into();
            request["event"] = "subscribed".into();
        }
        Some("unsubscribe") => {
            request["event"] = "unsubscribed".into();
            request["status"] = "OK".into();
        }
        Some("conf") => request["status"] = "OK".into(),
        Some("ping") => request["event"] = "pong".into(),
        _ => return Vec::new(),
    }
    vec![request.to_string()]
}
