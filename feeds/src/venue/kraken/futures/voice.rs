//! Kraken Futures' own words, to emulate it. In: what is to be said. Out: messages. Bounded by what is said.

use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, carried, levels, list, millis, number, pair, side_of, texts};
use crate::engine::{Listed, RawLevel, TradeUpdate};
use serde_json::Value;
use wire::event::Nanos;

pub(super) struct Words;

fn side(side: &[RawLevel]) -> String {
    levels(side, |price, size| format!(r#"{{"price":{price},"qty":{size}}}"#))
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let feed = request["feed"].as_str().unwrap_or("");
        let wishes = carried(feed, &texts(&request["product_ids"]));
        match request["event"].as_str() {
            Some("subscribe") if feed == "heartbeat" => Asked::Heartbeats,
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, _request: &Value, _wish: &Wish, why: No) -> Option<String> {
        let reason = if why == No::Stream { "Invalid feed" } else { "Invalid product id" };
        Some(format!(r#"{{"event":"error","message":"{reason}"}}"#))
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        Some(r#"{"event":"alert","message":"Bad request"}"#.to_owned())
    }

    fn greeting(&self) -> Vec<String> {
        vec![r#"{"event":"info","version":1}"#.to_owned()]
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(1_000)
    }

    fn heartbeats(&self, session: &Session, time: Nanos) -> Vec<String> {
        if session.heartbeats { vec![format!(r#"{{"feed":"heartbeat","time":{}}}"#, millis(time))] } else { Vec::new() }
    }

    /// One level at a time.
    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update, bids, asks } = said;
        let (number, time) = (update.last, millis(update.time));
        if update.snapshot {
            let (bids, asks) = (side(bids), side(asks));
            return format!(
                r#"{{"feed":"book_snapshot","product_id":"{native}","timestamp":{time},"seq":{number},"tickSize":null,"bids":{bids},"asks":{asks}}}"#
            );
        }
        let (side, level) = bids.first().map_or(("sell", asks.first()), |level| ("buy", Some(level)));
        let (price, size) = level.map(pair).unwrap_or_default();
        format!(
            r#"{{"feed":"book","product_id":"{native}","side":"{side}","seq":{number},"price":{price},"qty":{size},"timestamp":{time}}}"#
        )
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (side, id, time) = (side_of(trade.aggressor), trade.id.unwrap_or(0), millis(trade.time));
        let (price, size) = (number(trade.price), number(trade.size));
        format!(
            r#"{{"feed":"trade","product_id":"{native}","uid":"{id}","side":"{side}","type":"fill","seq":{id},"time":{time},"qty":{size},"price":{price}}}"#
        )
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let ((tick, _), (_, sizes)) = (one.step_texts(), one.places());
            format!(
                r#"{{"symbol":"{}","tickSize":{tick},"contractSize":1,"contractValueTradePrecision":{sizes},"tradeable":true}}"#,
                one.native
            )
        };
        format!(r#"{{"result":"success","instruments":{}}}"#, list(listed.iter().map(entry)))
    }
}
