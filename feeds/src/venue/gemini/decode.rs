//! Gemini's messages and instrument details. In: the root of one message, or details. Out: what it says. Bounded by the message.

use crate::engine::{About, BAD, BookUpdate, Complaint, Decoded, Listed, TradeUpdate, aggressor, number};
use crate::json::Value;
use crate::replay::binance::split_symbol;
use crate::time::millis;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use wire::event::TradingState;

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [kind, symbol, changes, auctions, trades, result, reason] =
        root.fields(["type", "symbol", "changes", "auction_events", "trades", "result", "reason"]);
    let symbol = symbol.and_then(Value::text);
    match kind.and_then(Value::text) {
        Some("l2_updates") => {
            let symbol = symbol.ok_or("book lacks its symbol")?;
            // Only the first message of a subscription has these lists, if empty ones.
            let snapshot = auctions.or(trades).is_some();
            book(symbol, changes.ok_or("book lacks its changes")?, snapshot, out);
            trades.map(Value::elements).into_iter().flatten().for_each(|entry| trade(entry, symbol, true, out));
        }
        Some("trade") => trade(root, symbol.ok_or("trade lacks its symbol")?, false, out),
        None if result.and_then(Value::text) == Some("error") => {
            out.refused(About::Unknown, reason.and_then(Value::text).unwrap_or(""));
        }
        // Heartbeats, auctions, and what this feed did not subscribe.
        _ => {}
    }
    Ok(())
}

/// `["buy" or "sell","price","size"]`.
fn book(symbol: &str, changes: Value<'_, '_>, snapshot: bool, out: &mut Decoded) {
    out.book(symbol, BookUpdate { snapshot, ..BookUpdate::default() });
    for change in changes.elements() {
        let mut parts = change.elements();
        let side = parts.next().and_then(Value::text);
        let mut next = || parts.next().map_or(BAD, Value::number);
        let (price, size) = (next(), next());
        match side {
            Some("buy") => out.bid(price, size),
            Some("sell") => out.ask(price, size),
            // The book must not go on without it.
            _ => out.bid(BAD, BAD),
        }
    }
}

fn trade(entry: Value<'_, '_>, symbol: &str, past: bool, out: &mut Decoded) {
    let [id, time, price, size, side] = entry.fields(["tid", "timestamp", "price", "quantity", "side"]);
    let aggressor = aggressor(side);
    let trade = TradeUpdate {
        id: id.and_then(Value::whole),
        time: time.and_then(Value::whole).map_or(0, millis),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor,
        past,
        ..TradeUpdate::default()
    };
    out.trade(symbol, trade);
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    base_currency: Cow<'a, str>,
    #[serde(borrow)]
    quote_currency: Cow<'a, str>,
    /// The smallest step of sizes, in spite of its name. A bare number, like the next.
    #[serde(borrow)]
    tick_size: &'a RawValue,
    /// The smallest step of prices.
    #[serde(borrow)]
    quote_increment: &'a RawValue,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    product_type: Cow<'a, str>,
}

pub(super) fn listing(json: &[u8]) -> Result<Listed, serde_json::Error> {
    let details: Details<'_> = serde_json::from_slice(json)?;
    let listed = if details.product_type == "swap" { Listed::perpetual } else { Listed::spot };
    let trading = match &*details.status {
        "open" => TradingState::Open,
        "closed" => TradingState::Closed,
        "cancel_only" => TradingState::Halted,
        "post_only" | "limit_only" => TradingState::Auction,
        _ => TradingState::Unknown,
    };
    let (tick, lot) = (number(details.quote_increment.get()), number(details.tick_size.get()));
    Ok(listed(&details.symbol, &details.base_currency, &details.quote_currency).steps(tick, lot).trading(trading))
}

pub(super) fn named(native: &str) -> Listed {
    let pair = native.strip_suffix("PERP");
    let (base, quote) = split_symbol(pair.unwrap_or(native));
    if pair.is_some() { Listed::perpetual(native, base, quote) } else { Listed::spot(native, base, quote) }
}
