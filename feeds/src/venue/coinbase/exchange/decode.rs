//! Coinbase Exchange's messages and product list. In: the root of one message, or a list. Out: what it says. Bounded by the message.

use super::super::{Phase, named, taker};
use crate::engine::{About, BAD, BookUpdate, Complaint, Decoded, Listed, TradeUpdate, level, number};
use crate::json::Value;
use crate::time::rfc3339;
use serde::Deserialize;
use std::borrow::Cow;

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let kind = root.get("type").and_then(Value::text).ok_or("no type")?;
    match kind {
        "l2update" => changes(root, out),
        "snapshot" => snapshot(root, out),
        "match" | "last_match" => trade(root, kind == "last_match", out),
        "subscriptions" => {
            out.granted(About::Oldest);
            Ok(())
        }
        "error" => {
            let [message, reason] = root.fields(["message", "reason"]).map(|value| value.and_then(Value::text).unwrap_or(""));
            out.refused(About::Oldest, &format!("{message}: {reason}"));
            Ok(())
        }
        // Heartbeats, and what this feed did not subscribe.
        _ => Ok(()),
    }
}

fn changes(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [product, changes, time] = root.fields(["product_id", "changes", "time"]);
    let product = product.and_then(Value::text).ok_or("book lacks its product")?;
    let time = time.and_then(Value::text).map_or(0, rfc3339);
    out.book(product, BookUpdate { time, ..BookUpdate::default() });
    for change in changes.ok_or("book lacks its changes")?.elements() {
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
    Ok(())
}

fn snapshot(root: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [product, bids, asks, time] = root.fields(["product_id", "bids", "asks", "time"]);
    let product = product.and_then(Value::text).ok_or("book lacks its product")?;
    let time = time.and_then(Value::text).map_or(0, rfc3339);
    out.book(product, BookUpdate { snapshot: true, time, ..BookUpdate::default() });
    out.levels(bids, asks, level)
}

fn trade(root: Value<'_, '_>, past: bool, out: &mut Decoded) -> Result<(), Complaint> {
    let [product, id, price, size, time, side] = root.fields(["product_id", "trade_id", "price", "size", "time", "side"]);
    let product = product.and_then(Value::text).ok_or("trade lacks its product")?;
    let trade = TradeUpdate {
        id: id.and_then(Value::whole),
        time: time.and_then(Value::text).map_or(0, rfc3339),
        price: price.map_or(BAD, Value::number),
        size: size.map_or(BAD, Value::number),
        aggressor: taker(side),
        past,
        ..TradeUpdate::default()
    };
    out.trade(product, trade);
    Ok(())
}

#[derive(Deserialize)]
struct Product<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    base_increment: Cow<'a, str>,
    #[serde(borrow, default)]
    quote_increment: Cow<'a, str>,
    #[serde(borrow, flatten)]
    phase: Phase<'a>,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let list: Vec<Product<'_>> = serde_json::from_slice(json)?;
    let listed = |product: &Product<'_>| {
        let steps = (number(&product.quote_increment), number(&product.base_increment));
        named(&product.id).steps(steps.0, steps.1).trading(product.phase.trading())
    };
    Ok(list.iter().map(listed).collect())
}
