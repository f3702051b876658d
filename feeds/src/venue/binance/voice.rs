//! Binance's own words, to emulate it, spot and futures. In: what is to be said or answered. Out: messages and REST answers.
//! Bounded by `MAX_STREAMS` a connection and the venue's largest limit, 5,000 levels.

use super::Market;
use crate::emulation::{Asked, BookSaid, No, Session, Voice, Wish, best, list, millis, number, pairs};
use crate::engine::{Listed, QuoteUpdate, TradeUpdate};
use crate::replay::binance::StreamMessage;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use wire::event::{Aggressor, Nanos};

/// The venue's own limit.
const MAX_STREAMS: usize = 1_024;
const METHODS: &str = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`";
const MAX_LEVELS: usize = 5_000;
const DEFAULT_LEVELS: usize = 100;
const BAD_SYMBOL: &str = r#"{"code":-1121,"msg":"Invalid symbol."}"#;

pub(super) struct Words {
    pub market: &'static Market,
}

/// `btcusdt@depth@100ms`.
fn wish(stream: &str) -> Wish {
    let (native, name) = stream.split_once('@').unwrap_or((stream, ""));
    Wish::new(name, &native.to_ascii_uppercase())
}

fn name(stream: &str, native: &str) -> String {
    format!("{}@{stream}", native.to_ascii_lowercase())
}

impl Voice for Words {
    // Requests

    /// `/stream?streams=a/b`, `/ws/a/b`, `/stream`, `/ws`, behind the folder of the endpoint.
    fn address(&self, path: &str, query: &str) -> Option<Session> {
        let folder = |path: &str| path[..path.rfind('/').unwrap_or(0)].to_owned();
        let (front, names) = path.split_once("/ws/").map_or((path, ""), |(front, names)| (front, names));
        let (at, wrapped) = match (front.strip_suffix("/stream"), names.is_empty()) {
            (Some(at), true) => (at, true),
            _ if !names.is_empty() => (front, false),
            _ => (path.trim_end_matches('/').strip_suffix("/ws")?, false),
        };
        // No folder is the first one's.
        let endpoint = self.market.paths.iter().position(|known| folder(known) == at).or(at.is_empty().then_some(0))?;
        let listed = parameter(query, "streams").filter(|_| wrapped);
        let names = listed.as_deref().unwrap_or(names);
        let wishes: Vec<Wish> = names.split('/').filter(|name| !name.is_empty()).map(wish).collect();
        (wishes.len() <= MAX_STREAMS).then(|| Session { endpoint, wishes, wrapped, ..Session::default() })
    }

    fn answer(&self, session: &mut Session, text: &str) -> Option<String> {
        Some(request(session, text))
    }

    fn asked(&self, _session: &Session, _request: &Value) -> Asked {
        Asked::Else
    }

    /// An unknown stream is acknowledged like any other, and silent.
    fn refusal(&self, _request: &Value, _wish: &Wish, _why: No) -> Option<String> {
        None
    }

    fn pings(&self) -> bool {
        true
    }

    /// Five a second on spot, ten on futures, counted over two seconds, since the network bunches them.
    fn incoming_in_two_seconds(&self) -> Option<usize> {
        Some(if self.market.futures { 20 } else { 10 })
    }

    // Data

    fn recorded<'m>(&self, session: &Session, message: &'m [u8], stream: &str) -> Option<Cow<'m, [u8]>> {
        let parsed = StreamMessage::parse(message)?;
        let name = parsed.stream_name().filter(|name| name.split_once('@').is_some_and(|(_, known)| known == stream))?;
        Some(Cow::Owned(self.wrap(session, &name, parsed.payload.to_owned()).into_bytes()))
    }

    fn stream_name(&self, stream: &str, native: &str) -> String {
        name(stream, native)
    }

    fn wrap(&self, session: &Session, name: &str, text: String) -> String {
        if session.wrapped { format!(r#"{{"stream":"{name}","data":{text}}}"#) } else { text }
    }

    fn book(&self, said: &BookSaid<'_>) -> String {
        let BookSaid { native, update, .. } = said;
        let time = millis(update.time);
        let made = if self.market.futures { format!(r#""T":{time},"#) } else { String::new() };
        let previous = update.previous.map_or(String::new(), |previous| format!(r#""pu":{previous},"#));
        format!(
            r#"{{"e":"depthUpdate","E":{time},{made}"s":"{native}","U":{},"u":{},{previous}"b":{},"a":{}}}"#,
            update.first,
            update.last,
            pairs(said.bids),
            pairs(said.asks)
        )
    }

    fn quote(&self, native: &str, quote: &QuoteUpdate) -> Option<String> {
        let part = |side| best(side, "0.00000000", "0.00000000");
        let ((bid, bid_size), (ask, ask_size), time) = (part(quote.bid), part(quote.ask), millis(quote.time));
        let (event, times) = if self.market.futures {
            (r#""e":"bookTicker","#, format!(r#","T":{time},"E":{time}"#))
        } else {
            ("", String::new())
        };
        Some(format!(
            r#"{{{event}"u":{},"s":"{native}","b":"{bid}","B":"{bid_size}","a":"{ask}","A":"{ask_size}"{times}}}"#,
            quote.id
        ))
    }

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String {
        let (id, time, seller) = (trade.id.unwrap_or(0), millis(trade.time), trade.aggressor == Aggressor::Sell);
        let (price, size) = (number(trade.price), number(trade.size));
        let (event, id) = if trade.aggregated {
            ("aggTrade", format!(r#""a":{id},"f":{id},"l":{id}"#))
        } else {
            ("trade", format!(r#""t":{id}"#))
        };
        let kind = if trade.off_book { r#","X":"INSURANCE_FUND""# } else { "" };
        format!(
            r#"{{"e":"{event}","E":{time},"s":"{native}",{id},"p":"{price}","q":"{size}","T":{time},"m":{seller},"M":true{kind}}}"#
        )
    }

    fn shutdown(&self, time: Nanos) -> Option<String> {
        Some(format!(r#"{{"e":"serverShutdown","E":{}}}"#, millis(time)))
    }

    // REST

    fn rest(&self, path: &str, query: &str, time: Nanos, is_known: &dyn Fn(&str) -> bool) -> Option<(u16, String)> {
        let refuse = |code: i32, reason: &str| Some((400, format!(r#"{{"code":{code},"msg":"{reason}"}}"#)));
        match path.strip_prefix(self.market.rest) {
            Some("/ping") => Some((200, "{}".to_owned())),
            Some("/time") => Some((200, format!(r#"{{"serverTime":{}}}"#, millis(time)))),
            Some("/exchangeInfo") => None,
            Some("/depth") => match parameter(query, "symbol") {
                None => refuse(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
                Some(_) if parameter(query, "limit").is_some_and(|limit| limit.parse::<usize>().unwrap_or(0) == 0) => {
                    refuse(-1130, "Data sent for parameter 'limit' is not valid.")
                }
                Some(symbol) if !is_known(&symbol) => Some((400, BAD_SYMBOL.to_owned())),
                Some(_) => None,
            },
            _ => Some((404, r#"{"code":-1000,"msg":"Not found."}"#.to_owned())),
        }
    }

    fn overloaded(&self) -> String {
        r#"{"code":-1008,"msg":"Server is currently overloaded with other requests."}"#.to_owned()
    }

    fn levels_asked(&self, _path: &str, query: &str) -> usize {
        let limit = parameter(query, "limit").and_then(|limit| limit.parse().ok());
        limit.unwrap_or(DEFAULT_LEVELS).min(MAX_LEVELS)
    }

    fn snapshot(&self, said: &BookSaid<'_>) -> String {
        let (id, bids, asks) = (said.update.last, pairs(said.bids), pairs(said.asks));
        format!(r#"{{"lastUpdateId":{id},"bids":{bids},"asks":{asks}}}"#)
    }

    fn listing(&self, listed: &[Listed]) -> String {
        let entry = |one: &Listed| {
            let ((base, quote), (tick, lot)) = (one.assets(), one.step_texts());
            let prices =
                format!(r#"{{"filterType":"PRICE_FILTER","minPrice":"{tick}","maxPrice":"1000000000","tickSize":"{tick}"}}"#);
            let sizes = format!(r#"{{"filterType":"LOT_SIZE","minQty":"{lot}","maxQty":"1000000000","stepSize":"{lot}"}}"#);
            format!(
                r#"{{"symbol":"{}","status":"TRADING","baseAsset":"{base}","quoteAsset":"{quote}","filters":[{prices},{sizes}]}}"#,
                one.native
            )
        };
        info(&list(listed.iter().map(entry)))
    }

    fn list_asked(&self, query: &str, list: &str) -> Option<(u16, String)> {
        let wanted = match (parameter(query, "symbols"), parameter(query, "symbol")) {
            (Some(list), _) => match serde_json::from_str::<Vec<String>>(&list) {
                Ok(wanted) => wanted,
                Err(_) => {
                    let refusal = r#"{"code":-1100,"msg":"Illegal characters found in parameter 'symbols'."}"#;
                    return Some((400, refusal.to_owned()));
                }
            },
            (None, Some(symbol)) => vec![symbol],
            (None, None) => return None,
        };
        Some(of_these(list, &wanted).map_or_else(|| (400, BAD_SYMBOL.to_owned()), |list| (200, list)))
    }
}

fn info(symbols: &str) -> String {
    format!(r#"{{"timezone":"UTC","serverTime":0,"rateLimits":[],"exchangeFilters":[],"symbols":{symbols}}}"#)
}

/// The list with only `wanted` symbols in it; `None` if one of them is not listed.
fn of_these(text: &str, wanted: &[String]) -> Option<String> {
    #[derive(Deserialize)]
    struct Info<'a> {
        #[serde(borrow)]
        symbols: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named {
        symbol: String,
    }
    let all: Info<'_> = serde_json::from_str(text).ok()?;
    let is_wanted =
        |entry: &&&RawValue| serde_json::from_str::<Named>(entry.get()).is_ok_and(|named| wanted.contains(&named.symbol));
    let found: Vec<String> = all.symbols.iter().filter(is_wanted).map(|entry| entry.get().to_owned()).collect();
    (found.len() == wanted.len()).then(|| info(&list(found.into_iter())))
}

/// Of a query, its `%5B` and the like undone.
fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let mut bytes = value.bytes();
    let mut out = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'%' => out.push(u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

/// Carries out one request and gives its answer.
fn request(session: &mut Session, text: &str) -> String {
    let request: Value = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(error) => return refusal(3, &format!("Invalid JSON: {error}"), &Value::Null),
    };
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    if !is_id(&id) {
        return refusal(2, "Invalid request: request ID must be an unsigned integer or a short string", &Value::Null);
    }
    let Some(method) = request.get("method").and_then(Value::as_str) else {
        return refusal(2, "Invalid request: missing field `method`", &id);
    };
    let params = request.get("params").and_then(Value::as_array).map(Vec::as_slice);
    match (method, params) {
        ("SUBSCRIBE" | "UNSUBSCRIBE", Some(params)) => change(session, method == "SUBSCRIBE", params, &id),
        ("SUBSCRIBE" | "UNSUBSCRIBE" | "SET_PROPERTY" | "GET_PROPERTY", None) => {
            refusal(2, "Invalid request: missing field `params`", &id)
        }
        ("LIST_SUBSCRIPTIONS", _) => {
            let mut names: Vec<String> = session.wishes.iter().map(|wish| name(&wish.stream, &wish.native)).collect();
            names.sort_unstable();
            result(&Value::from(names), &id)
        }
        ("SET_PROPERTY", Some([Value::String(name), value])) if name == "combined" => match value.as_bool() {
            Some(combined) => {
                session.wrapped = combined;
                result(&Value::Null, &id)
            }
            None => refusal(1, "Invalid value type: expected Boolean", &id),
        },
        ("GET_PROPERTY", Some([Value::String(name)])) if name == "combined" => result(&Value::Bool(session.wrapped), &id),
        ("SET_PROPERTY" | "GET_PROPERTY", Some(_)) => refusal(0, "Unknown property", &id),
        (other, _) => refusal(2, &format!("Invalid request: unknown variant `{other}`, expected one of {METHODS}"), &id),
    }
}

fn change(session: &mut Session, add: bool, params: &[Value], id: &Value) -> String {
    let Some(names) = params.iter().map(Value::as_str).collect::<Option<Vec<_>>>() else {
        return refusal(2, "Invalid request: params must be a list of stream names", id);
    };
    let mut wishes = session.wishes.clone();
    for name in names {
        let wish = wish(name);
        wishes.retain(|known| !known.is_same(&wish));
        if add {
            wishes.push(wish);
        }
        if wishes.len() > MAX_STREAMS {
            return refusal(2, "Invalid request: too many streams on one connection", id);
        }
    }
    session.wishes = wishes;
    result(&Value::Null, id)
}

/// A 64-bit integer, up to 36 letters and digits, or nothing.
fn is_id(id: &Value) -> bool {
    match id {
        Value::Null => true,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::String(text) => text.len() <= 36 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        _ => false,
    }
}

fn result(result: &Value, id: &Value) -> String {
    format!(r#"{{"result":{result},"id":{id}}}"#)
}

/// The venue's refusals have no `result`, and no `id` where it could not read one.
fn refusal(code: u8, reason: &str, id: &Value) -> String {
    let reason = Value::from(reason);
    match id {
        Value::Null => format!(r#"{{"code":{code},"msg":{reason}}}"#),
        id => format!(r#"{{"code":{code},"msg":{reason},"id":{id}}}"#),
    }
}

#[cfg(test)]
#[path = "voice_tests.rs"]
mod tests;
