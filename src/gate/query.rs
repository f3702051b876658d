//! In: the query string of `/v1/stream` and `/v1/sse`. Out: a bare subscription and perhaps a token, or one sentence about the mistake.
//! Bounded by the size of the request head; topic names are judged later, one by one, where a bad one does not fail the rest.

use crate::session::BareSubscription;
use wire::request::{Pace, TradeMode};

#[derive(Debug, Default)]
pub(super) struct Query {
    pub subscription: Option<BareSubscription>,
    pub token: Option<String>,
}

pub(super) fn parse(query: &str) -> Result<Query, String> {
    let mut topics = Vec::new();
    let (mut pace, mut trades, mut token) = (None, None, None);
    let mut unknown = Vec::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "sub" => topics.extend(value.split(',').map(str::trim).filter(|topic| !topic.is_empty()).map(str::to_owned)),
            "pace" => once(&mut pace, "pace", parse_pace(&value)?)?,
            "trades" => once(&mut trades, "trades", parse_trades(&value)?)?,
            "token" => once(&mut token, "token", value.into_owned())?,
            other => unknown.push(shown(other)),
        }
    }
    if !unknown.is_empty() {
        return Err(format!("unknown query key '{}'; known keys: sub, pace, trades, token", unknown.join("', '")));
    }
    if topics.is_empty() {
        if pace.is_some() || trades.is_some() {
            return Err("pace and trades belong to a subscription: give sub=TOPIC[,TOPIC...] too".to_owned());
        }
        return Ok(Query { subscription: None, token });
    }
    let subscription = BareSubscription { topics, pace: pace.unwrap_or_default(), trades: trades.unwrap_or_default() };
    Ok(Query { subscription: Some(subscription), token })
}

fn once<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("query key '{key}' may be given once")),
    }
}

fn parse_pace(text: &str) -> Result<Pace, String> {
    let pace = Pace::parse(text);
    if pace == Some(Pace::Credit) {
        return Err("pace 'credit' needs grants: subscribe with a 'sub' message".to_owned());
    }
    pace.ok_or_else(|| format!("pace '{}' is neither 'realtime' nor an interval such as '250ms' or '1s'", shown(text)))
}

fn parse_trades(text: &str) -> Result<TradeMode, String> {
    match text {
        "every" => Ok(TradeMode::Every),
        "summary" => Ok(TradeMode::Summary),
        other => Err(format!("trades '{}' is neither 'every' nor 'summary'", shown(other))),
    }
}

/// What a stranger sent, short and printable enough to be sent back.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_repeatable_and_comma_separated() {
        let query = parse("sub=quote/sim:A,quote/sim:B&sub=book%2Fsim%3AA%2F10&pace=101ms&trades=summary&token=t").unwrap();
        let subscription = query.subscription.unwrap();
        assert_eq!(subscription.topics, ["quote/sim:A", "quote/sim:B", "book/sim:A/10"]);
        assert_eq!((subscription.pace, subscription.trades), (Pace::EveryMs(250), TradeMode::Summary));
        assert_eq!(query.token.as_deref(), Some("t"));
        assert!(parse("").unwrap().subscription.is_none());
        assert!(parse("sub=,").unwrap().subscription.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (query, part) in [
            ("subs=a&speed=1", "'subs', 'speed'"),
            ("sub=a&pace=soon", "pace 'soon'"),
            ("sub=a&pace=1s&pace=2s", "'pace' may be given once"),
            ("sub=a&trades=all", "trades 'all'"),
            ("pace=1s", "give sub="),
        ] {
            let text = parse(query).unwrap_err();
            assert!(text.contains(part), "{text}");
        }
    }
}
