//! Coinbase Exchange's own words, to emulate it. In: what is to be said. Out: messages. Bounded by what is said.

use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, carried, list, number, pair, pairs, texts, utc};
use crate::engine::{Listed, RawLevel, TradeUpdate};
use serde_json::Value;
use wire::event::{Aggressor, Nanos};

pub(super) struct Words;

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let natives = texts(&request["product_ids"]);
        // Heartbeats come with anything here.
        let channels = texts(&request["channels"]).into_iter().filter(|channel| *channel != "heartbeat");
        let wishes = channels.flat_map(|channel| carried(channel, &natives)).collect();
        match request["type"].as_str() {
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, _request: &Value, wish: &Wish, why: No) -> Option<String> {
        let reason = match why {
            No::Stream => format!("{} is not a valid channel", wish.stream),
            _ => format!("{} is not a valid product", wish.native),
        };
        Some(serde_json::json!({ "type": "error", "message": "Failed to subscribe", "reason": reason }).to_string())
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        Some(r#"{"type":"error","message":"Malformed JSON"}"#.to_owned())
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(1_000)
    }

    fn heartbeats(&self, session: &Session, time: Nanos) -> Vec<String> {
        let mut natives: Vec<&str> = session.wishes.iter().map(|wish| wish.native.as_str()).collect();
        natives.sort_unstable();
        natives.dedup();
        let time = utc(time, 6);
        let beat = |native: &str| {
            format!(r#"{{"type":"heartbeat","sequence":0,"last_trade_id":0,"product_id":"{native}","time":"{time}"}}"#)
        };
        natives.into_iter().map(beat).collect()
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update, bids, asks } = said;
        // Old snapshots have none.
        let time = if update.time == 0 { String::new() } else { format!(r#","time":"{}""#, utc(update.time, 6)) };
        if update.snapshot {
            let (bids, asks) = (pairs(bids), pairs(asks));
            return format!(r#"{{"type":"snapshot","product_id":"{native}","asks":{asks},"bids":{bids}{time}}}"#);
        }
        let change = |side: &str, raw: &RawLevel| {
            let (price, size) = pair(raw);
            format!(r#"["{side}","{price}","{size}"]"#)
        };
        let bids = bids.iter().map(|raw| change("buy", raw));
        let changes = list(bids.chain(asks.iter().map(|raw| change("sell", raw))));
        format!(r#"{{"type":"l2update","product_id":"{native}","changes":{changes}{time}}}"#)
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        // The side of the order that rested.
        let side = match trade.aggressor {
            Aggressor::Buy => "sell",
            Aggressor::Sell => "buy",
            Aggressor::Unknown => "",
        };
        let (id, price, size, time) = (trade.id.unwrap_or(0), number(trade.price), number(trade.size), utc(trade.time, 6));
        format!(
            r#"{{"type":"match","trade_id":{id},"side":"{side}","size":"{size}","price":"{price}","product_id":"{native}","sequence":0,"time":"{time}"}}"#
        )
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let (tick, lot) = one.step_texts();
            format!(r#"{{"id":"{}","quote_increment":"{tick}","base_increment":"{lot}","status":"online"}}"#, one.native)
        };
        list(listed.iter().map(entry))
    }
}
