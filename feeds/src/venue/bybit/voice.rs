//! Bybit's own words, to emulate it. In: what is to be said. Out: v5 messages. Bounded by what is said.

use super::listing::{Category, SPOT};
use crate::emulation::{Asked, BookSaid, No, Restart, Session, Voice, Wish, list, millis, number, pairs};
use crate::engine::{Listed, Part, QuoteUpdate, TradeUpdate};
use serde_json::Value;
use wire::event::Aggressor;

pub(super) struct Words {
    /// Levels of the books.
    pub depth: u32,
}

fn symbol(native: &str) -> &str {
    native.strip_prefix(SPOT).unwrap_or(native)
}

/// `orderbook.1.BTCUSDT`, `orderbook.200.BTCUSDT`, `publicTrade.BTCUSDT`.
fn wish(topic: &str, spot: bool) -> Wish {
    let (stream, symbol) = topic.rsplit_once('.').unwrap_or((topic, ""));
    let native = if spot { format!("{SPOT}{symbol}") } else { symbol.to_owned() };
    match stream.split_once('.') {
        Some((book, depth)) if depth != "1" => Wish::new(book, &native),
        _ => Wish::new(stream, &native),
    }
}

impl Voice for Words {
    fn asked(&self, session: &Session, request: &Value) -> Asked {
        let spot = Category::ALL.get(session.endpoint) == Some(&Category::Spot);
        let topics = request["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let wishes = topics.map(|topic| wish(topic, spot)).collect();
        match request["op"].as_str() {
            Some("subscribe") => Asked::Subscribe(wishes),
            Some("unsubscribe") => Asked::Unsubscribe(wishes),
            Some("ping") => Asked::Else,
            _ => Asked::Nonsense,
        }
    }

    fn refusal(&self, request: &Value, wish: &Wish, _why: No) -> Option<String> {
        let reason = format!("error:handler not found,topic:{}.{}", wish.stream, symbol(&wish.native));
        let (id, operation) = (&request["req_id"], &request["op"]);
        let answer = serde_json::json!({ "success": false, "ret_msg": reason, "conn_id": "0", "req_id": id, "op": operation });
        Some(answer.to_string())
    }

    fn nonsense(&self, request: &Value) -> Option<String> {
        let (id, operation) = (&request["req_id"], &request["op"]);
        let answer = serde_json::json!({ "success": false, "ret_msg": "error:request,op not found", "conn_id": "0", "req_id": id, "op": operation });
        Some(answer.to_string())
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let (symbol, kind) = (symbol(said.native), if said.update.snapshot { "snapshot" } else { "delta" });
        let (bids, asks, id, time) = (pairs(said.bids), pairs(said.asks), said.update.last, millis(said.update.time));
        format!(
            r#"{{"topic":"orderbook.{}.{symbol}","type":"{kind}","ts":{time},"data":{{"s":"{symbol}","b":{bids},"a":{asks},"u":{id},"seq":{id}}},"cts":{time}}}"#,
            self.depth
        )
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |part: &Part| if let Part::At(raw) = part { pairs(&[*raw]) } else { "[]".to_owned() };
        let (symbol, bid, ask, time) = (symbol(native), part(&quote.bid), part(&quote.ask), millis(quote.time));
        Some(format!(
            r#"{{"topic":"orderbook.1.{symbol}","type":"snapshot","ts":{time},"data":{{"s":"{symbol}","b":{bid},"a":{ask},"u":0,"seq":0}},"cts":{time}}}"#
        ))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let side = match trade.aggressor {
            Aggressor::Buy => "Buy",
            Aggressor::Sell => "Sell",
            Aggressor::Unknown => "",
        };
        // Contracts' ids are no numbers.
        let id = trade.id.map_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned(), |id| id.to_string());
        let (symbol, price, size, time) = (symbol(native), number(trade.price), number(trade.size), millis(trade.time));
        format!(
            r#"{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{time},"data":[{{"T":{time},"s":"{symbol}","S":"{side}","v":"{size}","p":"{price}","i":"{id}","BT":false}}]}}"#
        )
    }

    /// Number 1 is a whole book: the service was restarted.
    fn restart(&self) -> Restart {
        Restart::Whole
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let ((base, quote), (tick, lot)) = (one.assets(), one.step_texts());
            let step = if one.native.starts_with(SPOT) { "basePrecision" } else { "qtyStep" };
            format!(
                r#"{{"symbol":"{}","baseCoin":"{base}","quoteCoin":"{quote}","status":"Trading","deliveryTime":"0","priceFilter":{{"tickSize":"{tick}"}},"lotSizeFilter":{{"{step}":"{lot}"}}}}"#,
                symbol(&one.native)
            )
        };
        let category = listed.first().map_or("spot", |one| Category::of(&one.native).name());
        let entries = list(listed.iter().map(entry));
        format!(r#"{{"retCode":0,"retMsg":"OK","result":{{"category":"{category}","list":{entries},"nextPageCursor":""}}}}"#)
    }
}
