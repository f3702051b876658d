//! Kraken v1's own words, to emulate it. In: what is to be said. Out: messages. Bounded by what is said.

use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, best, levels, list, number, texts};
use crate::engine::{Listed, QuoteUpdate, RawLevel, TradeUpdate};
use serde_json::Value;
use wire::event::{Aggressor, Nanos};

pub(super) struct Words {
    pub depth: u32,
}

/// Seconds and six decimals.
fn seconds(time: Nanos) -> String {
    format!("{}.{:06}", time / 1_000_000_000, time / 1_000 % 1_000_000)
}

fn side(name: &str, side: &[RawLevel], time: &str) -> String {
    format!(r#""{name}":{}"#, levels(side, |price, size| format!(r#"["{price}","{size}","{time}"]"#)))
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let subscription = &request["subscription"];
        let (name, depth) = (subscription["name"].as_str().unwrap_or(""), subscription["depth"].as_u64());
        let wish = |native: &str| Wish::new(name, native).depth(depth);
        let wishes = texts(&request["pair"]).into_iter().map(wish).collect();
        match request["event"].as_str() {
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            Some("ping") => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, wish: &Wish, why: No) -> Option<String> {
        let reason = match why {
            No::Stream => "Subscription name invalid".to_owned(),
            No::Instrument => format!("Currency pair not supported {}", wish.native),
            No::Depth => "Subscription depth not supported".to_owned(),
        };
        let (subscription, id) = (&request["subscription"], &request["reqid"]);
        let answer = serde_json::json!({ "errorMessage": reason, "event": "subscriptionStatus", "pair": wish.native, "reqid": id, "status": "error", "subscription": subscription });
        Some(answer.to_string())
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        Some(r#"{"errorMessage":"Malformed request","event":"error"}"#.to_owned())
    }

    fn greeting(&self) -> Vec<String> {
        vec![r#"{"connectionID":1,"event":"systemStatus","status":"online","version":"1.9.6"}"#.to_owned()]
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(1_000)
    }

    fn heartbeats(&self, session: &Session, _time: Nanos) -> Vec<String> {
        session.wishes.first().map(|_| r#"{"event":"heartbeat"}"#.to_owned()).into_iter().collect()
    }

    /// An update of both sides comes in two parts; the checksum is in the last, and none in a snapshot.
    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update, bids, asks } = said;
        let time = seconds(update.time);
        let parts = if update.snapshot {
            format!("{{{},{}}}", side("as", asks, &time), side("bs", bids, &time))
        } else {
            let sum = update.checksum.map_or(String::new(), |sum| format!(r#","c":"{sum}""#));
            match (asks.is_empty(), bids.is_empty()) {
                (false, false) => format!("{{{}}},{{{}{sum}}}", side("a", asks, &time), side("b", bids, &time)),
                (false, true) => format!("{{{}{sum}}}", side("a", asks, &time)),
                (true, _) => format!("{{{}{sum}}}", side("b", bids, &time)),
            }
        };
        format!(r#"[0,{parts},"book-{}","{native}"]"#, self.depth)
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |side| best(side, "0.0", "0.0");
        let ((bid, bid_size), (ask, ask_size), time) = (part(quote.bid), part(quote.ask), seconds(quote.time));
        Some(format!(r#"[0,["{bid}","{ask}","{time}","{bid_size}","{ask_size}"],"spread","{native}"]"#))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let side = match trade.aggressor {
            Aggressor::Buy => "b",
            Aggressor::Sell => "s",
            Aggressor::Unknown => "",
        };
        let (price, size, time) = (number(trade.price), number(trade.size), seconds(trade.time));
        format!(r#"[0,[["{price}","{size}","{time}","{side}","l",""]],"trade","{native}"]"#)
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let pair = |one: &Listed| {
            let ((tick, _), (prices, sizes), name) = (one.step_texts(), one.places(), one.native.replace('/', ""));
            format!(
                r#""{name}":{{"altname":"{name}","wsname":"{}","pair_decimals":{prices},"lot_decimals":{sizes},"tick_size":"{tick}","status":"online"}}"#,
                one.native
            )
        };
        let pairs = list(listed.iter().map(pair));
        format!(r#"{{"error":[],"result":{{{}}}}}"#, pairs.trim_start_matches('[').trim_end_matches(']'))
    }
}
