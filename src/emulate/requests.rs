//! Binance's control messages. In: one text of a client, and its subscriptions. Out: the answer, word for word in the venue's form.
//! Bounded by `MAX_STREAMS` a connection.

use serde_json::Value;
use std::collections::BTreeSet;

/// The venue's own limit.
const MAX_STREAMS: usize = 1024;
const METHODS: &str = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`";

/// What one connection asked for.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    pub streams: BTreeSet<String>,
    /// Messages are wrapped as `{"stream":…,"data":…}`.
    pub combined: bool,
}

impl Subscriptions {
    /// From the address: `/stream?streams=a/b`, `/ws/a/b`, `/stream`, `/ws`. `None` for any other path.
    pub fn from_address(path: &str, query: &str) -> Option<Self> {
        let (combined, names) = if path == "/stream" {
            let streams = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "streams");
            (true, streams.map_or_else(String::new, |(_, value)| value.into_owned()))
        } else if path == "/ws" {
            (false, String::new())
        } else {
            (false, path.strip_prefix("/ws/")?.to_owned())
        };
        let streams: BTreeSet<String> = names.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        (streams.len() <= MAX_STREAMS).then_some(Self { streams, combined })
    }

    /// Carries out one request and gives its answer.
    pub fn request(&mut self, text: &str) -> String {
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
            ("SUBSCRIBE" | "UNSUBSCRIBE", Some(params)) => self.change(method == "SUBSCRIBE", params, &id),
            ("SUBSCRIBE" | "UNSUBSCRIBE" | "SET_PROPERTY" | "GET_PROPERTY", None) => {
                refusal(2, "Invalid request: missing field `params`", &id)
            }
            ("LIST_SUBSCRIPTIONS", _) => result(&Value::from_iter(self.streams.iter().map(String::as_str)), &id),
            ("SET_PROPERTY", Some([Value::String(name), value])) if name == "combined" => match value.as_bool() {
                Some(combined) => {
                    self.combined = combined;
                    result(&Value::Null, &id)
                }
                None => refusal(1, "Invalid value type: expected Boolean", &id),
            },
            ("GET_PROPERTY", Some([Value::String(name)])) if name == "combined" => result(&Value::Bool(self.combined), &id),
            ("SET_PROPERTY" | "GET_PROPERTY", Some(_)) => refusal(0, "Unknown property", &id),
            (other, _) => refusal(2, &format!("Invalid request: unknown variant `{other}`, expected one of {METHODS}"), &id),
        }
    }

    fn change(&mut self, add: bool, params: &[Value], id: &Value) -> String {
        let Some(names) = params.iter().map(Value::as_str).collect::<Option<Vec<_>>>() else {
            return refusal(2, "Invalid request: params must be a list of stream names", id);
        };
        for name in names {
            if add {
                self.streams.insert(name.to_owned());
            } else {
                self.streams.remove(name);
            }
        }
        if self.streams.len() > MAX_STREAMS {
            return refusal(2, "Invalid request: too many streams on one connection", id);
        }
        // An unknown stream is acknowledged like any other, and silent: the venue does the same.
        result(&Value::Null, id)
    }
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
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let combined = Subscriptions::from_address("/stream", "streams=a@trade/b@depth@100ms").unwrap();
        assert!(combined.combined && combined.streams.len() == 2 && combined.streams.contains("b@depth@100ms"));
        let raw = Subscriptions::from_address("/ws/a@trade", "").unwrap();
        assert!(!raw.combined && raw.streams.contains("a@trade"));
        assert!(Subscriptions::from_address("/ws", "").unwrap().streams.is_empty());
        assert!(Subscriptions::from_address("/api", "").is_none());
    }

    #[test]
    fn answers_like_the_venue() {
        let mut held = Subscriptions::default();
        for (request, answer) in [
            (r#"{"method":"SUBSCRIBE","params":["a@trade","b@trade"],"id":1}"#, r#"{"result":null,"id":1}"#),
            (r#"{"method":"UNSUBSCRIBE","params":["a@trade"],"id":"x1"}"#, r#"{"result":null,"id":"x1"}"#),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#, r#"{"result":["b@trade"],"id":3}"#),
            (r#"{"method":"GET_PROPERTY","params":["combined"],"id":4}"#, r#"{"result":false,"id":4}"#),
            (r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#, r#"{"result":null,"id":5}"#),
            (
                r#"{"method":"SET_PROPERTY","params":["combined",1],"id":6}"#,
                r#"{"code":1,"msg":"Invalid value type: expected Boolean","id":6}"#,
            ),
            (r#"{"method":"SET_PROPERTY","params":["x",true],"id":7}"#, r#"{"code":0,"msg":"Unknown property","id":7}"#),
            (r#"{"params":[],"id":8}"#, r#"{"code":2,"msg":"Invalid request: missing field `method`","id":8}"#),
            (
                r#"{"method":"SUBSCRIBE","params":[1],"id":9}"#,
                r#"{"code":2,"msg":"Invalid request: params must be a list of stream names","id":9}"#,
            ),
        ] {
            assert_eq!(held.request(request), answer, "{request}");
        }
        assert!(held.combined);
        assert!(held.request("{oops").starts_with(r#"{"code":3,"msg":"Invalid JSON: "#));
        assert!(held.request(r#"{"method":"X","id":{}}"#).starts_with(r#"{"code":2,"#));
        assert!(held.request(r#"{"method":"X","id":1}"#).contains("unknown variant `X`"));
    }
}
