//! HTX's own words, to emulate it. In: what is to be said. Out: messages, to be packed. Bounded by what is said.

use super::decode::parts;
use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, levels, list, millis, number, side_of};
use crate::engine::{Listed, Part, QuoteUpdate, TradeUpdate};
use serde_json::Value;
use std::borrow::Cow;
use wire::event::Nanos;

pub(super) struct Words {
    pub swaps: bool,
}

fn message(native: &str, stream: &str, time: i64, tick: &str) -> String {
    format!(r#"{{"ch":"market.{native}.{stream}","ts":{time},"tick":{tick}}}"#)
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let wish = |topic: &str| {
            let (native, stream) = parts(topic).unwrap_or(("", topic));
            vec![Wish::new(stream, native)]
        };
        match (request["sub"].as_str(), request["unsub"].as_str()) {
            (Some(topic), _) => Asked::Subscribe(wish(topic)),
            (_, Some(topic)) => Asked::Unsubscribe(wish(topic)),
            _ if request["pong"].is_u64() => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, wish: &Wish, _why: No) -> Option<String> {
        let reason = format!("invalid topic market.{}.{}", wish.native, wish.stream);
        let answer =
            serde_json::json!({ "status": "error", "ts": 0, "id": request["id"], "err-code": "bad-request", "err-msg": reason });
        Some(answer.to_string())
    }

    fn nonsense(&self, request: &Value) -> Option<String> {
        let reason = "invalid message";
        let answer =
            serde_json::json!({ "status": "error", "ts": 0, "id": request["id"], "err-code": "bad-request", "err-msg": reason });
        Some(answer.to_string())
    }

    fn packed(&self) -> bool {
        true
    }

    /// Each kind of data belongs to one stream, and is packed already.
    fn recorded<'m>(&self, _session: &Session, message: &'m [u8], _stream: &str) -> Option<Cow<'m, [u8]>> {
        Some(Cow::Borrowed(message))
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(5_000)
    }

    fn heartbeats(&self, _session: &Session, time: Nanos) -> Vec<String> {
        vec![format!(r#"{{"ping":{}}}"#, millis(time))]
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let side = |side| levels(side, |price, size| format!("[{price},{size}]"));
        let (bids, asks, time) = (side(said.bids), side(said.asks), millis(said.update.time));
        let tick = format!(r#"{{"bids":{bids},"asks":{asks},"version":{time},"ts":{time}}}"#);
        message(said.native, "depth.step0", time, &tick)
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |part: Part| if let Part::At(raw) = part { Some((number(raw.price), number(raw.size))) } else { None };
        let (bid, ask, time) = (part(quote.bid), part(quote.ask), millis(quote.time));
        let null = || ("null".to_owned(), "null".to_owned());
        let tick = if self.swaps {
            let both =
                |side: Option<(String, String)>| side.map_or("null".to_owned(), |(price, size)| format!("[{price},{size}]"));
            format!(r#"{{"bid":{},"ask":{},"ts":{time}}}"#, both(bid), both(ask))
        } else {
            let ((bid, bid_size), (ask, ask_size)) = (bid.unwrap_or_else(null), ask.unwrap_or_else(null));
            format!(r#"{{"quoteTime":{time},"bid":{bid},"bidSize":{bid_size},"ask":{ask},"askSize":{ask_size}}}"#)
        };
        Some(message(native, "bbo", time, &tick))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (id, side, time) = (trade.id.unwrap_or(0), side_of(trade.aggressor), millis(trade.time));
        let (price, size) = (number(trade.price), number(trade.size));
        let number = if self.swaps { String::new() } else { format!(r#""tradeId":{id},"#) };
        let trade = format!(r#"{{"id":{id},{number}"ts":{time},"amount":{size},"price":{price},"direction":"{side}"}}"#);
        message(native, "trade.detail", time, &format!(r#"{{"id":{id},"ts":{time},"data":[{trade}]}}"#))
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let ((base, quote), (tick, _), (prices, sizes)) = (one.assets(), one.step_texts(), one.places());
            let native = &one.native;
            if self.swaps {
                return format!(r#"{{"contract_code":"{native}","price_tick":{tick},"contract_status":1}}"#);
            }
            let (base, quote) = (base.to_ascii_lowercase(), quote.to_ascii_lowercase());
            format!(
                r#"{{"symbol":"{native}","base-currency":"{base}","quote-currency":"{quote}","state":"online","price-precision":{prices},"amount-precision":{sizes}}}"#
            )
        };
        format!(r#"{{"status":"ok","data":{}}}"#, list(listed.iter().map(entry)))
    }
}
