//! Bitget's own words, to emulate it. In: what is to be said. Out: v2 messages, of recordings of v1 too. Bounded by what is said.

use super::decode::{category, named, parts};
use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, list, millis, number, pairs, side_of};
use crate::engine::{Listed, Part, QuoteUpdate, TradeUpdate};
use serde_json::Value;
use wire::instrument::InstrumentClass;

pub(super) struct Words;

fn message(native: &str, channel: &str, snapshot: bool, data: &str, time: i64) -> String {
    let ((category, symbol), action) = (parts(native), if snapshot { "snapshot" } else { "update" });
    format!(
        r#"{{"action":"{action}","arg":{{"instType":"{category}","channel":"{channel}","instId":"{symbol}"}},"data":[{data}],"ts":{time}}}"#
    )
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let wish = |arg: &Value| {
            let [category, channel, symbol] = ["instType", "channel", "instId"].map(|key| arg[key].as_str().unwrap_or(""));
            Wish::new(channel, &format!("{category}:{symbol}"))
        };
        let wishes = request["args"].as_array().into_iter().flatten().map(wish).collect();
        match request["op"].as_str() {
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            None if request.is_null() => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, wish: &Wish, _why: No) -> Option<String> {
        let (category, symbol) = parts(&wish.native);
        let reason = format!("instType:{category},channel:{},instId:{symbol} doesn't exist", wish.stream);
        let arg = serde_json::json!({ "instType": category, "channel": wish.stream, "instId": symbol });
        let answer = serde_json::json!({ "event": "error", "arg": arg, "code": 30001, "msg": reason, "op": request["op"] });
        Some(answer.to_string())
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        Some(r#"{"event":"error","code":30003,"msg":"INVALID op"}"#.to_owned())
    }

    /// `sp` and `mc` were categories of v1.
    fn today(&self, recorded: &str) -> String {
        match parts(recorded) {
            ("sp", symbol) => format!("SPOT:{symbol}"),
            ("mc", symbol) => format!("{}:{symbol}", category(named(recorded).assets().1)),
            _ => recorded.to_owned(),
        }
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let (time, sum) = (millis(said.update.time), said.update.checksum.unwrap_or(0).cast_signed());
        let (asks, bids) = (pairs(said.asks), pairs(said.bids));
        let data = format!(r#"{{"asks":{asks},"bids":{bids},"checksum":{sum},"ts":"{time}"}}"#);
        message(said.native, "books", said.update.snapshot, &data, time)
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |part: &Part| if let Part::At(raw) = part { pairs(&[*raw]) } else { "[]".to_owned() };
        let (ask, bid, time) = (part(&quote.ask), part(&quote.bid), millis(quote.time));
        let data = format!(r#"{{"asks":{ask},"bids":{bid},"checksum":0,"ts":"{time}"}}"#);
        Some(message(native, "books1", true, &data, time))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (side, time) = (side_of(trade.aggressor), millis(trade.time));
        let (price, size) = (number(trade.price), number(trade.size));
        // Those of v1 have none.
        let id = trade.id.map_or(String::new(), |id| format!(r#","tradeId":"{id}""#));
        let data = format!(r#"{{"ts":"{time}","price":"{price}","size":"{size}","side":"{side}"{id}}}"#);
        message(native, "trade", false, &data, time)
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let ((base, quote), (prices, sizes), (_, lot)) = (one.assets(), one.places(), one.step_texts());
            let symbol = parts(&one.native).1;
            let names = format!(r#""symbol":"{symbol}","baseCoin":"{base}","quoteCoin":"{quote}""#);
            match one.class {
                InstrumentClass::Perpetual => format!(
                    r#"{{{names},"symbolStatus":"normal","symbolType":"perpetual","pricePlace":"{prices}","priceEndStep":"1","sizeMultiplier":"{lot}"}}"#
                ),
                _ => format!(r#"{{{names},"status":"online","pricePrecision":"{prices}","quantityPrecision":"{sizes}"}}"#),
            }
        };
        format!(r#"{{"code":"00000","msg":"success","data":{}}}"#, list(listed.iter().map(entry)))
    }
}
