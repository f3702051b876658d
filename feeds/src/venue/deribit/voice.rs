//! Deribit's own words, to emulate it. In: what is to be said. Out: notifications and answers. Bounded by what is said.

use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, best, levels, list, millis, number, side_of, texts};
use crate::engine::{Listed, QuoteUpdate, RawLevel, TradeUpdate};
use serde_json::Value;
use std::borrow::Cow;
use wire::event::Nanos;

pub(super) struct Words;

/// How often books and trades are sent.
const INTERVAL: &str = "100ms";

fn channel(stream: &str, native: &str) -> String {
    if stream == "quote" { format!("quote.{native}") } else { format!("{stream}.{native}.{INTERVAL}") }
}

fn notification(stream: &str, native: &str, data: &str) -> String {
    let channel = channel(stream, native);
    format!(r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}"#)
}

fn side(side: &[RawLevel], snapshot: bool) -> String {
    levels(side, |price, size| {
        let gone = size.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        let action = if gone {
            "delete"
        } else if snapshot {
            "new"
        } else {
            "change"
        };
        format!(r#"["{action}",{price},{size}]"#)
    })
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let wish = |channel: &str| {
            let mut parts = channel.split('.');
            let (stream, native) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            // Other intervals are to be had with an account only, or bring what was not recorded.
            let known = parts.next().is_none_or(|interval| interval == INTERVAL);
            Wish::new(if known { stream } else { channel }, native)
        };
        let wishes = texts(&request["params"]["channels"]).into_iter().map(wish).collect();
        match request["method"].as_str() {
            Some("public/subscribe") => Asked::Subscribe(wishes),
            Some("public/unsubscribe") => Asked::Unsubscribe(wishes),
            Some("public/set_heartbeat") => Asked::Heartbeats,
            Some("public/test" | "public/hello") => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, _wish: &Wish, _why: No) -> Option<String> {
        self.some_granted(request, &[])
    }

    /// Channels that do not exist are left out.
    fn some_granted(&self, request: &Value, granted: &[Wish]) -> Option<String> {
        let channels: Vec<String> = granted.iter().map(|wish| channel(&wish.stream, &wish.native)).collect();
        Some(serde_json::json!({ "jsonrpc": "2.0", "id": request["id"], "result": channels }).to_string())
    }

    fn nonsense(&self, request: &Value) -> Option<String> {
        let error = serde_json::json!({ "code": -32601, "message": "Method not found" });
        Some(serde_json::json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }).to_string())
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(10_000)
    }

    /// To be answered by a test.
    fn heartbeats(&self, session: &Session, _time: Nanos) -> Vec<String> {
        let request = r#"{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}"#;
        if session.heartbeats { vec![request.to_owned()] } else { Vec::new() }
    }

    /// Recordings may have another interval.
    fn recorded<'m>(&self, _session: &Session, message: &'m [u8], stream: &str) -> Option<Cow<'m, [u8]>> {
        let has = |part: &str| memchr::memmem::find(message, part.as_bytes()).is_some();
        let same = has(&format!("\"{stream}.")) && (stream == "quote" || has(&format!(".{INTERVAL}\"")));
        same.then_some(Cow::Borrowed(message))
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update, .. } = said;
        let kind = if update.snapshot { "snapshot" } else { "change" };
        let previous = update.previous.filter(|_| !update.snapshot);
        let previous = previous.map_or(String::new(), |previous| format!(r#""prev_change_id":{previous},"#));
        let (bids, asks) = (side(said.bids, update.snapshot), side(said.asks, update.snapshot));
        let data = format!(
            r#"{{"type":"{kind}","timestamp":{},{previous}"instrument_name":"{native}","change_id":{},"bids":{bids},"asks":{asks}}}"#,
            millis(update.time),
            update.last
        );
        notification("book", native, &data)
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |side| best(side, "null", "0.0");
        let ((bid, bid_size), (ask, ask_size), time) = (part(quote.bid), part(quote.ask), millis(quote.time));
        let data = format!(
            r#"{{"timestamp":{time},"instrument_name":"{native}","best_bid_price":{bid},"best_bid_amount":{bid_size},"best_ask_price":{ask},"best_ask_amount":{ask_size}}}"#
        );
        Some(notification("quote", native, &data))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (id, side, time) = (trade.id.unwrap_or(0), side_of(trade.aggressor), millis(trade.time));
        let (price, size) = (number(trade.price), number(trade.size));
        let data = format!(
            r#"[{{"trade_seq":{id},"trade_id":"{id}","timestamp":{time},"price":{price},"instrument_name":"{native}","direction":"{side}","amount":{size}}}]"#
        );
        notification("trades", native, &data)
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let (tick, lot) = one.step_texts();
            format!(r#"{{"instrument_name":"{}","tick_size":{tick},"min_trade_amount":{lot},"is_active":true}}"#, one.native)
        };
        format!(r#"{{"jsonrpc":"2.0","result":{}}}"#, list(listed.iter().map(entry)))
    }
}
