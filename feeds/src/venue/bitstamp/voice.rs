//! Bitstamp's own words, to emulate it. In: what is to be said. Out: messages, order books. Bounded by what is said.

use super::decode::topic;
use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, list, number, pairs};
use crate::engine::{Listed, TradeUpdate};
use serde_json::Value;
use wire::event::{Aggressor, Nanos};

pub(super) struct Words;

/// Known by its time in microseconds.
fn book(said: &BookSaid<'_>) -> String {
    let (id, bids, asks) = (said.update.last, pairs(said.bids), pairs(said.asks));
    format!(r#"{{"timestamp":"{}","microtimestamp":"{id}","bids":{bids},"asks":{asks}}}"#, id / 1_000_000)
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let channel = request["data"]["channel"].as_str().unwrap_or("");
        let wish = topic(channel).map_or_else(|| Wish::new(channel, ""), |(stream, native)| Wish::new(stream, native));
        match request["event"].as_str() {
            Some("bts:subscribe") => Asked::Subscribe(vec![wish]),
            Some("bts:unsubscribe") => Asked::Unsubscribe(vec![wish]),
            Some("bts:heartbeat") => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, _wish: &Wish, _why: No) -> Option<String> {
        let (channel, data) =
            (&request["data"]["channel"], serde_json::json!({ "code": null, "message": "Bad subscription string." }));
        Some(serde_json::json!({ "event": "bts:error", "channel": channel, "data": data }).to_string())
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        let data = r#"{"code":4010,"message":"Incorrect JSON format."}"#;
        Some(format!(r#"{{"event":"bts:error","channel":"","data":{data}}}"#))
    }

    fn shutdown(&self, _time: Nanos) -> Option<String> {
        Some(r#"{"event":"bts:request_reconnect","channel":"","data":""}"#.to_owned())
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        format!(r#"{{"data":{},"channel":"diff_order_book_{}","event":"data"}}"#, book(said), said.native)
    }

    fn snapshot(&self, said: &BookSaid<'_>) -> String {
        book(said)
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (id, micros, kind) = (trade.id.unwrap_or(0), trade.time / 1_000, i32::from(trade.aggressor == Aggressor::Sell));
        let (price, size) = (number(trade.price), number(trade.size));
        let data = format!(
            r#"{{"id":{id},"timestamp":"{}","amount":{size},"amount_str":"{size}","price":{price},"price_str":"{price}","type":{kind},"microtimestamp":"{micros}"}}"#,
            micros / 1_000_000
        );
        format!(r#"{{"data":{data},"channel":"live_trades_{native}","event":"trade"}}"#)
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let ((base, quote), (prices, sizes)) = (one.assets(), one.places());
            format!(
                r#"{{"trading":"Enabled","base_decimals":{sizes},"url_symbol":"{}","name":"{base}/{quote}","counter_decimals":{prices}}}"#,
                one.native
            )
        };
        list(listed.iter().map(entry))
    }
}
