//! Gemini's own words, to emulate it. In: what is to be said. Out: messages. Bounded by what is said.

use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, carried, list, millis, number, pair, side_of, texts};
use crate::engine::{Listed, RawLevel, TradeUpdate};
use serde_json::Value;
use std::borrow::Cow;
use wire::event::Nanos;
use wire::instrument::InstrumentClass;

pub(super) struct Words;

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let subscriptions = request["subscriptions"].as_array().into_iter().flatten();
        let wishes = subscriptions.flat_map(|one| carried(one["name"].as_str().unwrap_or(""), &texts(&one["symbols"]))).collect();
        match request["type"].as_str() {
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, _request: &Value, wish: &Wish, why: No) -> Option<String> {
        let reason = if why == No::Stream { "InvalidFeed" } else { "InvalidSymbol" };
        let message = format!("'{}' of '{}' is not supported", wish.native, wish.stream);
        Some(serde_json::json!({ "result": "error", "reason": reason, "message": message }).to_string())
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        Some(r#"{"result":"error","reason":"InvalidJson","message":"Invalid request"}"#.to_owned())
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(5_000)
    }

    fn heartbeats(&self, _session: &Session, time: Nanos) -> Vec<String> {
        vec![format!(r#"{{"type":"heartbeat","timestamp":{}}}"#, millis(time))]
    }

    /// Messages do not name the subscription; each kind belongs to one.
    fn recorded<'m>(&self, _session: &Session, message: &'m [u8], _stream: &str) -> Option<Cow<'m, [u8]>> {
        Some(Cow::Borrowed(message))
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let change = |side: &str, raw: &RawLevel| {
            let (price, size) = pair(raw);
            format!(r#"["{side}","{price}","{size}"]"#)
        };
        let bids = said.bids.iter().map(|raw| change("buy", raw));
        let changes = list(bids.chain(said.asks.iter().map(|raw| change("sell", raw))));
        // Only the first message of a subscription has these lists.
        let lists = if said.update.snapshot { r#""auction_events":[],"trades":[],"# } else { "" };
        format!(r#"{{{lists}"changes":{changes},"symbol":"{}","type":"l2_updates"}}"#, said.native)
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (id, side, time) = (trade.id.unwrap_or(0), side_of(trade.aggressor), millis(trade.time));
        let (price, size) = (number(trade.price), number(trade.size));
        format!(
            r#"{{"type":"trade","symbol":"{native}","event_id":{id},"timestamp":{time},"price":"{price}","quantity":"{size}","side":"{side}","tid":{id}}}"#
        )
    }

    /// One at a time.
    fn listing(&self, listed: &[Listed]) -> String {
        let Some(one) = listed.first() else { return String::new() };
        let ((base, quote), (tick, lot)) = (one.assets(), one.step_texts());
        let kind = if one.class == InstrumentClass::Perpetual { "swap" } else { "spot" };
        format!(
            r#"{{"symbol":"{}","base_currency":"{base}","quote_currency":"{quote}","tick_size":{lot},"quote_increment":{tick},"min_order_size":"{lot}","status":"open","wrap_enabled":false,"product_type":"{kind}"}}"#,
            one.native
        )
    }

    fn list_asked(&self, _query: &str, list: &str) -> Option<(u16, String)> {
        let refusal = r#"{"result":"error","reason":"InvalidSymbol","message":"Supplied value is not a valid symbol"}"#;
        list.is_empty().then(|| (400, refusal.to_owned()))
    }
}
