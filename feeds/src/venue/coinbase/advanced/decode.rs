//! Advanced Trade's messages and product list. In: the root of one message, or a list. Out: what it says. Bounded by the message; a
//! snapshot has some 46,000 levels.

use super::super::{Phase, named, taker};
use crate::engine::{About, BAD, BookUpdate, Complaint, Decoded, Listed, TradeUpdate, number};
use crate::json::Value;
use crate::time::rfc3339;
use serde::Deserialize;
use std::borrow::Cow;
use wire::event::Nanos;

/// The answer to a request.
pub(super) enum Answer {
    Granted,
    Refused(String),
}

impl Answer {
    pub(super) fn tell(self, out: &mut Decoded) {
        match self {
            Self::Granted => out.granted(About::Oldest),
            Self::Refused(reason) => out.refused(About::Oldest, &reason),
        }
    }

    /// About heartbeats, which no topic stands for.
    pub(super) fn tell_greeting(self, out: &mut Decoded) {
        if let Self::Refused(reason) = self {
            out.refused(About::Unknown, &reason);
        }
    }
}

pub(super) fn message(root: Value<'_, '_>, out: &mut Decoded) -> Result<Option<Answer>, Complaint> {
    if !root.is_object() {
        return Err("not an object");
    }
    let [channel, time, number, events, kind, reason] =
        root.fields(["channel", "timestamp", "sequence_num", "events", "type", "message"]);
    if let Some(number) = number.and_then(Value::unsigned) {
        out.frame(number);
    }
    let channel = channel.and_then(Value::text);
    if channel.is_none() && kind.and_then(Value::text) == Some("error") {
        return Ok(Some(Answer::Refused(reason.and_then(Value::text).unwrap_or("").to_owned())));
    }
    let events = || events.map(Value::elements).into_iter().flatten();
    match channel {
        Some("l2_data") => {
            let time = time.and_then(Value::text).map_or(0, rfc3339);
            events().try_for_each(|event| book(event, time, out))?;
        }
        Some("market_trades") => events().try_for_each(|event| trades(event, out))?,
        Some("subscriptions") => return Ok(Some(Answer::Granted)),
        // Heartbeats, and what this feed did not subscribe.
        _ => {}
    }
    Ok(None)
}

fn book(event: Value<'_, '_>, sent: Nanos, out: &mut Decoded) -> Result<(), Complaint> {
    let [kind, product, updates] = event.fields(["type", "product_id", "updates"]);
    let product = product.and_then(Value::text).ok_or("book lacks its product")?;
    let snapshot = match kind.and_then(Value::text) {
        Some("snapshot") => true,
        Some("update") => false,
        _ => return Err("book is neither snapshot nor update"),
    };
    let updates = updates.ok_or("book lacks its updates")?.elements();
    // The same in all updates of a message.
    let time = updates.clone().next().and_then(|first| first.get("event_time")).and_then(Value::text).map_or(sent, rfc3339);
    out.book(product, BookUpdate { snapshot, time, ..BookUpdate::default() });
    for update in updates {
        let [side, price, size] = update.fields(["side", "price_level", "new_quantity"]);
        let [price, size] = [price, size].map(|value| value.map_or(BAD, Value::number));
        match side.and_then(Value::text) {
            Some("bid") => out.bid(price, size),
            Some("offer") => out.ask(price, size),
            // The book must not go on without it.
            _ => out.bid(BAD, BAD),
        }
    }
    Ok(())
}

/// Newest first.
fn trades(event: Value<'_, '_>, out: &mut Decoded) -> Result<(), Complaint> {
    let [kind, trades] = event.fields(["type", "trades"]);
    let past = kind.and_then(Value::text) == Some("snapshot");
    let mark = out.mark();
    for trade in trades.ok_or("trades are missing")?.elements() {
        let [product, id, price, size, time, side] = trade.fields(["product_id", "trade_id", "price", "size", "time", "side"]);
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
    }
    out.reverse_since(mark);
    Ok(())
}

#[derive(Deserialize)]
struct Products<'a> {
    #[serde(borrow)]
    products: Vec<Product<'a>>,
}

#[derive(Deserialize)]
struct Product<'a> {
    #[serde(borrow)]
    product_id: Cow<'a, str>,
    #[serde(borrow, default)]
    base_increment: Cow<'a, str>,
    #[serde(borrow, default)]
    price_increment: Cow<'a, str>,
    /// The product under whose name this one's market data is sent.
    #[serde(borrow, default)]
    alias: Cow<'a, str>,
    #[serde(borrow, flatten)]
    phase: Phase<'a>,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let list: Products<'_> = serde_json::from_slice(json)?;
    let listed = |product: &Product<'_>| {
        let steps = (number(&product.price_increment), number(&product.base_increment));
        named(&product.product_id).steps(steps.0, steps.1).trading(product.phase.trading())
    };
    Ok(list.products.iter().filter(|product| product.alias.is_empty()).map(listed).collect())
}

/// One answer for each request, with all that is subscribed; what exactly nobody looks at.
pub(super) fn grants(request: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<serde_json::Value>(request) else { return Vec::new() };
    let channel = request["channel"].as_str().unwrap_or_default();
    let subscriptions = serde_json::json!({ channel: request["product_ids"] });
    vec![serde_json::json!({ "channel": "subscriptions", "events": [{ "subscriptions": subscriptions }] }).to_string()]
}
