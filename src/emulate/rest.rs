//! Binance's REST answers. In: path and query. Out: status and JSON body. Bounded by the venue's largest limit, 5,000 levels.

use super::stage::Stage;

const MAX_LEVELS: usize = 5_000;
const DEFAULT_LEVELS: usize = 100;
const BAD_SYMBOL: &str = r#"{"code":-1121,"msg":"Invalid symbol."}"#;

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into() }
    }
}

pub fn answer(stage: &Stage, path: &str, query: &str) -> Answer {
    match path {
        "/api/v3/ping" => Answer::new(200, "{}"),
        "/api/v3/time" => Answer::new(200, format!(r#"{{"serverTime":{}}}"#, stage.time() / 1_000_000)),
        "/api/v3/exchangeInfo" => exchange_info(stage, query),
        "/api/v3/depth" => depth(stage, query),
        _ => Answer::new(404, r#"{"code":-1000,"msg":"Not found."}"#),
    }
}

fn exchange_info(stage: &Stage, query: &str) -> Answer {
    let wanted = match (parameter(query, "symbols"), parameter(query, "symbol")) {
        (Some(list), _) => match serde_json::from_str::<Vec<String>>(&list) {
            Ok(wanted) => wanted,
            Err(_) => {
                let body = r#"{"code":-1100,"msg":"Illegal characters found in parameter 'symbols'."}"#;
                return Answer::new(400, body);
            }
        },
        (None, Some(symbol)) => vec![symbol],
        (None, None) => return Answer::new(200, stage.script().exchange_info.clone()),
    };
    match stage.script().exchange_info_of(&wanted) {
        Some(body) => Answer::new(200, body),
        None => Answer::new(400, BAD_SYMBOL),
    }
}

fn depth(stage: &Stage, query: &str) -> Answer {
    let Some(symbol) = parameter(query, "symbol") else {
        let body = r#"{"code":-1102,"msg":"Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."}"#;
        return Answer::new(400, body);
    };
    let limit = match parameter(query, "limit").map(|text| text.parse::<usize>()) {
        None => DEFAULT_LEVELS,
        Some(Ok(limit)) if limit > 0 => limit.min(MAX_LEVELS),
        Some(_) => return Answer::new(400, r#"{"code":-1130,"msg":"Data sent for parameter 'limit' is not valid."}"#),
    };
    if stage.refuses_snapshot() {
        return Answer::new(503, r#"{"code":-1008,"msg":"Server is currently overloaded with other requests."}"#);
    }
    match stage.snapshot(&symbol, limit) {
        Some(body) => Answer::new(200, body),
        None => Answer::new(400, BAD_SYMBOL),
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
