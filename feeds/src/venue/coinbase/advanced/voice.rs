//! Advanced Trade's own words, to emulate it. In: what is to be said. Out: messages. Bounded by what is said; a book of 46,000 levels is
//! 4.8 MB.

use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, carried, list, number, pair, texts, utc};
use crate::engine::{Listed, RawLevel, TradeUpdate};
use serde_json::Value;
use wire::event::{Aggressor, Nanos};

pub(super) struct Words;

fn message(channel: &str, time: &str, event: &str) -> String {
    format!(r#"{{"channel":"{channel}","timestamp":"{time}","events":[{event}]}}"#)
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let channel = request["channel"].as_str().unwrap_or("");
        let wishes = carried(channel, &texts(&request["product_ids"]));
        match request["type"].as_str() {
            Some("subscribe") if channel == "heartbeats" => Asked::Heartbeats,
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, _request: &Value, wish: &Wish, why: No) -> Option<String> {
        let reason = match why {
            No::Stream => format!("channel {} is not supported", wish.stream),
            _ => format!("{} is not a valid product", wish.native),
        };
        Some(serde_json::json!({ "type": "error", "message": reason }).to_string())
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        Some(r#"{"type":"error","message":"malformed message"}"#.to_owned())
    }

    /// All but errors are, from 0.
    fn numbered(&self, text: String, number: u64) -> String {
        match text.strip_prefix(r#"{"channel""#) {
            Some(rest) => format!(r#"{{"sequence_num":{number},"channel"{rest}"#),
            None => text,
        }
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(1_000)
    }

    fn heartbeats(&self, session: &Session, time: Nanos) -> Vec<String> {
        let (time, counter) = (utc(time, 9), session.numbered);
        let event = format!(r#"{{"current_time":"{time}","heartbeat_counter":{counter}}}"#);
        if session.heartbeats { vec![message("heartbeats", &time, &event)] } else { Vec::new() }
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let (kind, time) = (if said.update.snapshot { "snapshot" } else { "update" }, utc(said.update.time, 9));
        let update = |side: &str, raw: &RawLevel| {
            let (price, size) = pair(raw);
            format!(r#"{{"side":"{side}","event_time":"{time}","price_level":"{price}","new_quantity":"{size}"}}"#)
        };
        let bids = said.bids.iter().map(|raw| update("bid", raw));
        let updates = list(bids.chain(said.asks.iter().map(|raw| update("offer", raw))));
        message("l2_data", &time, &format!(r#"{{"type":"{kind}","product_id":"{}","updates":{updates}}}"#, said.native))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        // The side of the order that rested.
        let side = match trade.aggressor {
            Aggressor::Buy => "SELL",
            Aggressor::Sell => "BUY",
            Aggressor::Unknown => "",
        };
        let (id, price, size, time) = (trade.id.unwrap_or(0), number(trade.price), number(trade.size), utc(trade.time, 9));
        let trade = format!(
            r#"{{"product_id":"{native}","trade_id":"{id}","price":"{price}","size":"{size}","time":"{time}","side":"{side}"}}"#
        );
        message("market_trades", &time, &format!(r#"{{"type":"update","trades":[{trade}]}}"#))
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let (tick, lot) = one.step_texts();
            format!(
                r#"{{"product_id":"{}","price_increment":"{tick}","base_increment":"{lot}","status":"online","alias":""}}"#,
                one.native
            )
        };
        format!(r#"{{"products":{},"num_products":{}}}"#, list(listed.iter().map(entry)), listed.len())
    }
}
