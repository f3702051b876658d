//! Gate.io's own words, to emulate it. In: what is to be said. Out: v4 messages, order books. Bounded by what is said.

use super::STREAMS;
use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, best, carried, list, millis, number, pairs, side_of, texts};
use crate::engine::{Listed, QuoteUpdate, TradeUpdate};
use serde_json::Value;
use wire::event::Nanos;

pub(super) struct Words;

fn update(channel: &str, time: Nanos, result: &str) -> String {
    let time = millis(time);
    format!(r#"{{"time":{},"time_ms":{time},"channel":"{channel}","event":"update","result":{result}}}"#, time / 1_000)
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let channel = request["channel"].as_str().unwrap_or("");
        let mut natives = texts(&request["payload"]);
        if channel == STREAMS[2].name {
            // Behind it stands how often.
            natives.truncate(1);
        }
        match request["event"].as_str() {
            Some("subscribe") => Asked::Subscribe(carried(channel, &natives)),
            Some("unsubscribe") => Asked::Unsubscribe(carried(channel, &natives)),
            _ if channel == "spot.ping" => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, wish: &Wish, why: No) -> Option<String> {
        let (code, reason) = match why {
            No::Stream => (1, format!("unknown channel {}", wish.stream)),
            _ => (2, format!("unknown currency pair: {}", wish.native)),
        };
        let [time, id, channel, event] = ["time", "id", "channel", "event"].map(|key| &request[key]);
        let error = serde_json::json!({ "code": code, "message": reason });
        let answer =
            serde_json::json!({ "time": time, "id": id, "channel": channel, "event": event, "error": error, "result": null });
        Some(answer.to_string())
    }

    fn nonsense(&self, request: &Value) -> Option<String> {
        let error = serde_json::json!({ "code": 1, "message": "invalid request body format" });
        Some(
            serde_json::json!({ "time": 0, "channel": request["channel"], "event": "", "error": error, "result": null })
                .to_string(),
        )
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update: numbers, .. } = said;
        let (time, bids, asks) = (millis(numbers.time), pairs(said.bids), pairs(said.asks));
        let result = format!(
            r#"{{"t":{time},"e":"depthUpdate","E":{},"s":"{native}","U":{},"u":{},"b":{bids},"a":{asks}}}"#,
            time / 1_000,
            numbers.first,
            numbers.last
        );
        update(STREAMS[2].name, numbers.time, &result)
    }

    fn snapshot(&self, said: &BookSaid<'_>) -> String {
        let (id, time, bids, asks) = (said.update.last, millis(said.update.time), pairs(said.bids), pairs(said.asks));
        format!(r#"{{"id":{id},"current":{time},"update":{time},"asks":{asks},"bids":{bids}}}"#)
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |side| best(side, "", "");
        let ((bid, bid_size), (ask, ask_size), time) = (part(quote.bid), part(quote.ask), millis(quote.time));
        let result = format!(
            r#"{{"t":{time},"u":{},"s":"{native}","b":"{bid}","B":"{bid_size}","a":"{ask}","A":"{ask_size}"}}"#,
            quote.id
        );
        Some(update(STREAMS[0].name, quote.time, &result))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (id, side, time) = (trade.id.unwrap_or(0), side_of(trade.aggressor), millis(trade.time));
        let (price, size, below) = (number(trade.price), number(trade.size), trade.time % 1_000_000);
        let result = format!(
            r#"{{"id":{id},"create_time":{},"create_time_ms":"{time}.{below:06}","side":"{side}","currency_pair":"{native}","amount":"{size}","price":"{price}"}}"#,
            time / 1_000
        );
        update(STREAMS[1].name, trade.time, &result)
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let ((base, quote), (prices, sizes)) = (one.assets(), one.places());
            format!(
                r#"{{"id":"{}","base":"{base}","quote":"{quote}","precision":{prices},"amount_precision":{sizes},"trade_status":"tradable"}}"#,
                one.native
            )
        };
        list(listed.iter().map(entry))
    }
}
