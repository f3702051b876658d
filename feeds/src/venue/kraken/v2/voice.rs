//! Kraken v2's own words, to emulate it. In: what is to be said. Out: messages. Bounded by what is said.

use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, best, levels, list, number, side_of, texts, utc};
use crate::engine::{Listed, QuoteUpdate, RawLevel, TradeUpdate};
use serde_json::Value;
use wire::event::Nanos;

pub(super) struct Words;

fn side(side: &[RawLevel]) -> String {
    levels(side, |price, size| format!(r#"{{"price":{price},"qty":{size}}}"#))
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let params = &request["params"];
        let channel = params["channel"].as_str().unwrap_or("");
        let depth = params["depth"].as_u64();
        let wish = |native: &str| Wish::new(channel, native).depth(depth);
        let wishes = texts(&params["symbol"]).into_iter().map(wish).collect();
        match request["method"].as_str() {
            Some("subscribe") if channel == "instrument" => Asked::Listing,
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            Some("ping") => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, wish: &Wish, why: No) -> Option<String> {
        let reason = match why {
            No::Stream => format!("Subscription name not supported {}", wish.stream),
            No::Instrument => format!("Currency pair not supported {}", wish.native),
            No::Depth => "Subscription depth not supported".to_owned(),
        };
        let (method, id) = (&request["method"], &request["req_id"]);
        let answer =
            serde_json::json!({ "error": reason, "method": method, "req_id": id, "success": false, "symbol": wish.native });
        Some(answer.to_string())
    }

    fn nonsense(&self, request: &Value) -> Option<String> {
        let (method, id) = (&request["method"], &request["req_id"]);
        let reason = "Unsupported field: 'method' is missing or unknown";
        Some(serde_json::json!({ "error": reason, "method": method, "req_id": id, "success": false }).to_string())
    }

    fn greeting(&self) -> Vec<String> {
        let state = r#"{"version":"2.0.10","system":"online","api_version":"v2","connection_id":1}"#;
        vec![format!(r#"{{"channel":"status","type":"update","data":[{state}]}}"#)]
    }

    fn heartbeat_ms(&self) -> Option<u64> {
        Some(1_000)
    }

    fn heartbeats(&self, session: &Session, _time: Nanos) -> Vec<String> {
        // To those who subscribed to anything.
        session.wishes.first().map(|_| r#"{"channel":"heartbeat"}"#.to_owned()).into_iter().collect()
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update, .. } = said;
        let kind = if update.snapshot { "snapshot" } else { "update" };
        let (bids, asks, sum) = (side(said.bids), side(said.asks), update.checksum.unwrap_or(0));
        let time = utc(update.time, 6);
        format!(
            r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"{native}","bids":{bids},"asks":{asks},"checksum":{sum},"timestamp":"{time}"}}]}}"#
        )
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |side| best(side, "null", "0");
        let ((bid, bid_size), (ask, ask_size), time) = (part(quote.bid), part(quote.ask), utc(quote.time, 6));
        Some(format!(
            r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"{native}","bid":{bid},"bid_qty":{bid_size},"ask":{ask},"ask_qty":{ask_size},"timestamp":"{time}"}}]}}"#
        ))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (side, id, time) = (side_of(trade.aggressor), trade.id.unwrap_or(0), utc(trade.time, 6));
        let (price, size) = (number(trade.price), number(trade.size));
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"{native}","side":"{side}","price":{price},"qty":{size},"ord_type":"limit","trade_id":{id},"timestamp":"{time}"}}]}}"#
        )
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let pair = |one: &Listed| {
            let ((base, quote), (tick, lot), (prices, sizes)) = (one.assets(), one.step_texts(), one.places());
            format!(
                r#"{{"symbol":"{}","base":"{base}","quote":"{quote}","status":"online","price_precision":{prices},"price_increment":{tick},"qty_precision":{sizes},"qty_increment":{lot}}}"#,
                one.native
            )
        };
        let pairs = list(listed.iter().map(pair));
        format!(r#"{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":{pairs}}}}}"#)
    }
}
