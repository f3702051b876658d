//! KuCoin's own words, to emulate it. In: what is to be said. Out: messages, order books, where to connect. Bounded by what is said.

use super::STREAMS;
use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, best, carried, levels, list, millis, number, pairs, side_of};
use crate::engine::{Listed, QuoteUpdate, RawLevel, TradeUpdate};
use serde_json::Value;

pub(super) struct Words;

const CONNECT: &str = "/endpoint";

fn message(stream: &str, native: &str, subject: &str, data: &str) -> String {
    format!(r#"{{"type":"message","topic":"{stream}:{native}","subject":"{subject}","data":{data}}}"#)
}

impl Voice for Words {
    fn address(&self, path: &str, _query: &str) -> Option<Session> {
        (path == CONNECT).then(Session::default)
    }

    fn token(&self, host: &str) -> String {
        let server = format!(
            r#"{{"endpoint":"ws://{host}{CONNECT}","encrypt":false,"protocol":"websocket","pingInterval":18000,"pingTimeout":10000}}"#
        );
        format!(r#"{{"code":"200000","data":{{"token":"emulated","instanceServers":[{server}]}}}}"#)
    }

    fn greeting(&self) -> Vec<String> {
        vec![r#"{"id":"emulated","type":"welcome"}"#.to_owned()]
    }

    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let topic = request["topic"].as_str().unwrap_or("");
        let (stream, natives) = topic.split_once(':').unwrap_or((topic, ""));
        let wishes = carried(stream, &natives.split(',').collect::<Vec<_>>());
        match request["type"].as_str() {
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            Some("ping") => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, wish: &Wish, _why: No) -> Option<String> {
        let reason = format!("topic {}:{} is not found", wish.stream, wish.native);
        Some(serde_json::json!({ "id": request["id"], "type": "error", "code": 404, "data": reason }).to_string())
    }

    fn nonsense(&self, request: &Value) -> Option<String> {
        let answer = serde_json::json!({ "id": request["id"], "type": "error", "code": 400, "data": "type is not supported" });
        Some(answer.to_string())
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update, .. } = said;
        // Each change carries its number; here all have the last.
        let side = |side: &[RawLevel]| levels(side, |price, size| format!(r#"["{price}","{size}","{}"]"#, update.last));
        let (bids, asks) = (side(said.bids), side(said.asks));
        let time = if update.time == 0 { String::new() } else { format!(r#","time":{}"#, millis(update.time)) };
        let data = format!(
            r#"{{"sequenceStart":{},"symbol":"{native}","changes":{{"asks":{asks},"bids":{bids}}},"sequenceEnd":{}{time}}}"#,
            update.first, update.last
        );
        message(STREAMS[2].name, native, "trade.l2update", &data)
    }

    fn snapshot(&self, said: &BookSaid<'_>) -> String {
        let (id, time, bids, asks) = (said.update.last, millis(said.update.time), pairs(said.bids), pairs(said.asks));
        format!(r#"{{"code":"200000","data":{{"time":{time},"sequence":"{id}","bids":{bids},"asks":{asks}}}}}"#)
    }

    fn levels_asked(&self, path: &str, _query: &str) -> usize {
        path.rsplit_once("level2_").and_then(|(_, levels)| levels.parse().ok()).unwrap_or(usize::MAX)
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |side| best(side, "", "");
        let ((bid, bid_size), (ask, ask_size), time) = (part(quote.bid), part(quote.ask), millis(quote.time));
        let data = format!(
            r#"{{"sequence":"{}","bestAsk":"{ask}","bestAskSize":"{ask_size}","bestBid":"{bid}","bestBidSize":"{bid_size}","time":{time}}}"#,
            quote.id
        );
        Some(message(STREAMS[0].name, native, "trade.ticker", &data))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (id, side, time) = (trade.id.unwrap_or(0), side_of(trade.aggressor), trade.time);
        let (price, size) = (number(trade.price), number(trade.size));
        let data = format!(
            r#"{{"symbol":"{native}","sequence":"{id}","type":"match","price":"{price}","size":"{size}","side":"{side}","time":"{time}"}}"#
        );
        message(STREAMS[1].name, native, "trade.l3match", &data)
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let ((base, quote), (tick, lot)) = (one.assets(), one.step_texts());
            format!(
                r#"{{"symbol":"{}","baseCurrency":"{base}","quoteCurrency":"{quote}","baseIncrement":"{lot}","priceIncrement":"{tick}","enableTrading":true}}"#,
                one.native
            )
        };
        format!(r#"{{"code":"200000","data":{}}}"#, list(listed.iter().map(entry)))
    }
}
