//! Bitfinex's own words, to emulate it. In: what is to be said. Out: v2 messages. Bounded by what is said.

use super::decode::channel;
use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, list, millis, number, pair};
use crate::engine::{Listed, RawLevel, TradeUpdate};
use serde_json::Value;
use wire::event::{Aggressor, Nanos};

pub(super) struct Words;

/// `[price, count, amount]`, asks below zero; count 0 deletes, and only the sign of the amount counts.
fn level(raw: &RawLevel, sign: &str) -> String {
    let (price, size) = pair(raw);
    if raw.size.mantissa == 0 { format!("[{price},0,{sign}1]") } else { format!("[{price},1,{sign}{size}]") }
}

impl Voice for Words {
    fn asked(&self, session: &Session, request: &Value) -> Asked {
        let text = |key: &str| request[key].as_str().unwrap_or("");
        match text("event") {
            "subscribe" => Asked::Subscribe(vec![Wish::new(text("channel"), text("symbol"))]),
            "unsubscribe" => {
                let is = |wish: &&Wish| request["chanId"].as_u64() == Some(channel(&wish.stream, &wish.native).into());
                Asked::Unsubscribe(session.wishes.iter().filter(is).cloned().collect())
            }
            "conf" | "ping" => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, _request: &Value, wish: &Wish, why: No) -> Option<String> {
        let (code, reason) = if why == No::Stream { (10_302, "channel: unknown") } else { (10_300, "symbol: invalid") };
        let (stream, native) = (&wish.stream, &wish.native);
        Some(
            serde_json::json!({ "channel": stream, "symbol": native, "event": "error", "msg": reason, "code": code }).to_string(),
        )
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        Some(r#"{"event":"error","msg":"event: invalid","code":10000}"#.to_owned())
    }

    fn greeting(&self) -> Vec<String> {
        vec![r#"{"event":"info","version":2,"serverId":"emulated","platform":{"status":1}}"#.to_owned()]
    }

    /// Data are, from 1; events are not.
    fn numbered(&self, text: String, number: u64) -> String {
        match text.strip_suffix(']').filter(|_| text.starts_with('[')) {
            Some(data) => format!("{data},{}]", number + 1),
            None => text,
        }
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(15_000)
    }

    fn heartbeats(&self, session: &Session, _time: Nanos) -> Vec<String> {
        session.wishes.iter().map(|wish| format!(r#"[{},"hb"]"#, channel(&wish.stream, &wish.native))).collect()
    }

    fn shutdown(&self, _time: Nanos) -> Option<String> {
        Some(r#"{"event":"info","code":20051,"msg":"Stopping. Please try to reconnect"}"#.to_owned())
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let channel = channel("book", said.native);
        let levels = said.bids.iter().map(|raw| level(raw, "")).chain(said.asks.iter().map(|raw| level(raw, "-")));
        if said.update.snapshot {
            return format!("[{channel},{}]", list(levels));
        }
        // One level at a time.
        format!("[{channel},{}]", levels.into_iter().next().unwrap_or_default())
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let sign = if trade.aggressor == Aggressor::Sell { "-" } else { "" };
        let (channel, id, time) = (channel("trades", native), trade.id.unwrap_or(0), millis(trade.time));
        let (price, size) = (number(trade.price), number(trade.size));
        format!(r#"[{channel},"te",[{id},{time},{sign}{size},{price}]]"#)
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let pair = |one: &Listed| format!("\"{}\"", one.native.strip_prefix('t').unwrap_or(&one.native));
        format!("[{}]", list(listed.iter().map(pair)))
    }
}
