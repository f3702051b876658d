//! OKX's own words, to emulate it. In: what is to be said. Out: v5 messages. Bounded by what is said.

use crate::emulation::{Asked, BookSaid, No, Restart, Session, Voice, Wish, levels, list, millis, number, side_of};
use crate::engine::{Listed, Part, QuoteUpdate, RawLevel, TradeUpdate};
use serde_json::Value;
use wire::event::Nanos;
use wire::instrument::InstrumentClass;

pub(super) struct Words;

/// `[price, size, what was once liquidated orders, orders]`.
fn side(side: &[RawLevel]) -> String {
    levels(side, |price, size| format!(r#"["{price}","{size}","0","1"]"#))
}

impl Voice for Words {
    fn asked(&self, _session: &Session, request: &Value) -> Asked {
        let text = |arg: &Value, key: &str| arg[key].as_str().unwrap_or("").to_owned();
        let wish = |arg: &Value| Wish::new(&text(arg, "channel"), &text(arg, "instId"));
        let wishes = request["args"].as_array().into_iter().flatten().map(wish).collect();
        match request["op"].as_str() {
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            Some(_) => Asked::Nonsense,
            None if request.is_null() => Asked::Else,
            None => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, wish: &Wish, _why: No) -> Option<String> {
        let Wish { stream, native, .. } = wish;
        let reason = format!(
            "Wrong URL or channel:{stream},instId:{native} doesn't exist. Please use the correct URL, channel and parameters referring to API document."
        );
        let arg = serde_json::json!({ "channel": stream, "instId": native });
        let answer = serde_json::json!({ "id": request["id"], "event": "error", "arg": arg, "code": "60018", "msg": reason, "connId": "0" });
        Some(answer.to_string())
    }

    fn nonsense(&self, _request: &Value) -> Option<String> {
        Some(r#"{"event":"error","code":"60012","msg":"Invalid request","connId":"0"}"#.to_owned())
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update, .. } = said;
        let (action, previous) = match (update.snapshot, update.previous) {
            (false, Some(previous)) => ("update", previous.to_string()),
            (true, _) => ("snapshot", "-1".to_owned()),
            (false, None) => ("update", "-1".to_owned()),
        };
        // Signed on the wire; 0 where the venue computes none any more.
        let sum = update.checksum.unwrap_or(0).cast_signed();
        // Recordings of before 2023 have no numbers.
        let numbers =
            if update.last == 0 { String::new() } else { format!(r#","seqId":{},"prevSeqId":{previous}"#, update.last) };
        format!(
            r#"{{"arg":{{"channel":"books","instId":"{native}"}},"action":"{action}","data":[{{"asks":{},"bids":{},"ts":"{}","checksum":{sum}{numbers}}}]}}"#,
            side(said.asks),
            side(said.bids),
            millis(update.time)
        )
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |part: &Part| if let Part::At(raw) = part { side(&[*raw]) } else { "[]".to_owned() };
        let (ask, bid, time) = (part(&quote.ask), part(&quote.bid), millis(quote.time));
        Some(format!(
            r#"{{"arg":{{"channel":"bbo-tbt","instId":"{native}"}},"data":[{{"asks":{ask},"bids":{bid},"ts":"{time}","seqId":0}}]}}"#
        ))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (id, side) = (trade.id.unwrap_or(0), side_of(trade.aggressor));
        let (price, size, time) = (number(trade.price), number(trade.size), millis(trade.time));
        format!(
            r#"{{"arg":{{"channel":"trades","instId":"{native}"}},"data":[{{"instId":"{native}","tradeId":"{id}","px":"{price}","sz":"{size}","side":"{side}","ts":"{time}","count":"1"}}]}}"#
        )
    }

    fn shutdown(&self, _time: Nanos) -> Option<String> {
        let words = "The connection will soon be closed for a service upgrade. Please reconnect.";
        Some(format!(r#"{{"event":"notice","code":"64008","msg":"{words}","connId":"0"}}"#))
    }

    /// Maintenance: one update names the old number as its predecessor and has a lower one.
    fn restart(&self) -> Restart {
        Restart::Chained
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let kind = match one.class {
                InstrumentClass::Perpetual => "SWAP",
                InstrumentClass::Future => "FUTURES",
                InstrumentClass::Option => "OPTION",
                _ => "SPOT",
            };
            let ((base, quote), (tick, lot)) = (one.assets(), one.step_texts());
            format!(
                r#"{{"instType":"{kind}","instId":"{}","baseCcy":"{base}","quoteCcy":"{quote}","tickSz":"{tick}","lotSz":"{lot}","state":"live"}}"#,
                one.native
            )
        };
        format!(r#"{{"code":"0","msg":"","data":{}}}"#, list(listed.iter().map(entry)))
    }
}
