//! In: JSON text of control messages. Out: requests of clients and replies of servers as types, both ways.
//! Bounded by the frame-size limit of the session; unknown fields of a request are refused by name.

use crate::answer::{Explained, Listed};
use crate::code::Code;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// Subprotocol names, in the order of preference.
pub const BINARY_SUBPROTOCOL: &str = "tickwire.v1.bin";
pub const JSON_SUBPROTOCOL: &str = "tickwire.v1.json";

/// How the data of a connection is spelled. Control messages are JSON in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Binary,
    Json,
}

impl Encoding {
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Binary => BINARY_SUBPROTOCOL,
            Self::Json => JSON_SUBPROTOCOL,
        }
    }
}

/// Conflation interval of one subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pace {
    /// As soon as the socket can take it.
    #[default]
    Realtime,
    /// At most one update in each interval of this many milliseconds; always a step of `LADDER_MS`.
    EveryMs(u32),
}

/// Intervals are rounded up to one of these, so that clients move in step and share encodings.
pub const LADDER_MS: [u32; 9] = [10, 20, 50, 100, 250, 500, 1000, 2000, 5000];

impl Pace {
    /// Reads `realtime`, `250ms`, `1s` and rounds up to the ladder; above its last step, to the last step.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "realtime" {
            return Some(Self::Realtime);
        }
        let ms: u32 = if let Some(number) = text.strip_suffix("ms") {
            number.parse().ok()?
        } else {
            text.strip_suffix('s')?.parse::<u32>().ok()?.checked_mul(1000)?
        };
        if ms == 0 {
            return None;
        }
        let last = LADDER_MS[LADDER_MS.len() - 1];
        Some(Self::EveryMs(LADDER_MS.into_iter().find(|step| *step >= ms).unwrap_or(last)))
    }

    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Realtime => None,
            Self::EveryMs(ms) => Some(Duration::from_millis(u64::from(ms))),
        }
    }
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Realtime => f.write_str("realtime"),
            Self::EveryMs(ms) if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            Self::EveryMs(ms) => write!(f, "{ms}ms"),
        }
    }
}

impl Serialize for Pace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format_args!("'{text}' is not a pace: 'realtime', or an interval such as '250ms' or '1s'"))
        })
    }
}

/// What a trade subscriber that was away gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TradeMode {
    /// Each trade, and an explicit gap if the ring moved on.
    #[default]
    Every,
    /// One record for the whole window.
    Summary,
}

/// Client to server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Subscribe to topics and patterns.
    Sub {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        topics: Vec<String>,
        #[serde(default)]
        pace: Pace,
        #[serde(default)]
        trades: TradeMode,
        /// `false`: no snapshot at the start, only what changes from now on (stream topics only).
        #[serde(default = "yes")]
        snapshot: bool,
        /// Per topic, the `[epoch, sequence]` the client holds.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        resume: BTreeMap<String, (u64, u64)>,
        /// All of them or none.
        #[serde(default, skip_serializing_if = "is_false")]
        strict: bool,
    },
    Unsub {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        topics: Vec<String>,
    },
    /// Change live subscriptions in place; what is left out stays as it is.
    Mod {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        topics: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pace: Option<Pace>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trades: Option<TradeMode>,
    },
    /// No updates until `continue`. Without `topics`: everything that is held now.
    Pause {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topics: Option<Vec<String>>,
    },
    Continue {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topics: Option<Vec<String>>,
    },
    /// One snapshot of each topic, no stream.
    Get {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        topics: Vec<String>,
    },
    /// Instruments by pattern, in pages.
    List {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// A topic name or pattern of any kind; its venue and symbol count.
        pattern: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// `next` of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u32>,
    },
    /// How one subscription stands.
    Explain {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        topic: String,
    },
    Ping {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
}

impl Request {
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Sub { id, .. }
            | Self::Unsub { id, .. }
            | Self::Mod { id, .. }
            | Self::Pause { id, .. }
            | Self::Continue { id, .. }
            | Self::Get { id, .. }
            | Self::List { id, .. }
            | Self::Explain { id, .. }
            | Self::Ping { id } => *id,
        }
    }

    pub fn set_id(&mut self, number: u64) {
        match self {
            Self::Sub { id, .. }
            | Self::Unsub { id, .. }
            | Self::Mod { id, .. }
            | Self::Pause { id, .. }
            | Self::Continue { id, .. }
            | Self::Get { id, .. }
            | Self::List { id, .. }
            | Self::Explain { id, .. }
            | Self::Ping { id } => *id = Some(number),
        }
    }
}

fn yes() -> bool {
    true
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Server to client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    Hello(Hello),
    /// The one answer to `sub`, `unsub`, `mod`, `pause`, `continue` and `get`; a long one comes in parts.
    Ack {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        results: Vec<TopicResult>,
        /// Another part of this answer follows.
        #[serde(default, skip_serializing_if = "is_false")]
        more: bool,
    },
    /// The answer to `list`: one page.
    Instruments {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        instruments: Vec<Listed>,
        /// For `after` of the request for the next page; none: this was the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<u32>,
    },
    /// The answer to `explain`.
    Explained(Box<Explained>),
    Pong {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// Server time, ns since the Unix epoch, as text.
        time: String,
    },
    /// The request as a whole was refused.
    Error {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        code: String,
        message: String,
    },
    /// Something the client should know and need not answer.
    Notice {
        code: String,
        message: String,
        /// Milliseconds after which this client should reconnect, where that is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reconnect_in_ms: Option<u64>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// `tickwire.v1`.
    pub protocol: String,
    pub version: String,
    pub node: String,
    pub session: String,
    /// Server time, ns since the Unix epoch, as text.
    pub time: String,
    pub encoding: String,
    pub heartbeat_ms: u64,
    pub paces: Vec<String>,
    pub limits: Limits,
}

/// Every limit that applies to this session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub subscriptions: u64,
    pub commands_per_second: u32,
    pub updates_per_second: u32,
    pub bytes_per_second: u32,
    pub request_bytes: u64,
    pub write_timeout_ms: u64,
}

/// Outcome for one topic of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TopicResult {
    /// In force from now on; data follows.
    Live {
        topic: String,
        topic_id: u32,
        pace: Pace,
        /// For trade topics.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trades: Option<TradeMode>,
        /// `snapshot` or `delta` (a resume that the log could serve).
        start: Start,
    },
    /// Accepted; the venue has not listed its instruments yet. A `live` result follows in an ack without id.
    Pending {
        topic: String,
    },
    /// A pattern: how many topics it matched; later listings join.
    Pattern {
        topic: String,
        matched: u64,
    },
    /// Held, but no updates come until `continue`. Pace and mode are those that will be in force then.
    Paused {
        topic: String,
        /// None while the topic is pending.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic_id: Option<u32>,
        pace: Pace,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trades: Option<TradeMode>,
    },
    /// A snapshot follows and nothing after it, unless the topic is subscribed as well.
    Once {
        topic: String,
        topic_id: u32,
    },
    /// No longer subscribed.
    Ended {
        topic: String,
    },
    Refused {
        topic: String,
        code: String,
        message: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    Snapshot,
    Delta,
    /// Stream topics asked for without a snapshot.
    Now,
}

impl TopicResult {
    pub fn refused(topic: &str, code: Code, message: impl Into<String>) -> Self {
        Self::Refused { topic: topic.to_owned(), code: code.name().to_owned(), message: message.into() }
    }

    pub fn topic(&self) -> &str {
        match self {
            Self::Live { topic, .. }
            | Self::Pending { topic }
            | Self::Pattern { topic, .. }
            | Self::Paused { topic, .. }
            | Self::Once { topic, .. }
            | Self::Ended { topic }
            | Self::Refused { topic, .. } => topic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_round_up_to_the_ladder() {
        for (text, expected) in [
            ("realtime", Some(Pace::Realtime)),
            ("1ms", Some(Pace::EveryMs(10))),
            ("100ms", Some(Pace::EveryMs(100))),
            ("101ms", Some(Pace::EveryMs(250))),
            ("3s", Some(Pace::EveryMs(5000))),
            ("60s", Some(Pace::EveryMs(5000))),
            ("0ms", None),
            ("fast", None),
            ("-1s", None),
            ("99999999999s", None),
        ] {
            assert_eq!(Pace::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn requests_name_the_field_that_is_wrong() {
        let error = serde_json::from_str::<Request>(r#"{"type":"sub","topics":[],"speed":"1s"}"#).unwrap_err();
        assert!(error.to_string().contains("speed"), "{error}");
        let error = serde_json::from_str::<Request>(r#"{"type":"sub","topics":[],"pace":"soon"}"#).unwrap_err();
        assert!(error.to_string().contains("'soon' is not a pace"), "{error}");
        let request: Request = serde_json::from_str(r#"{"type":"sub","id":7,"topics":["quote/sim:A"]}"#).unwrap();
        assert!(matches!(request, Request::Sub { id: Some(7), pace: Pace::Realtime, snapshot: true, .. }));
    }

    /// The spelling on the wire, both ways, with and without what may be left out.
    #[test]
    fn requests_are_spelled_as_documented() {
        for text in [
            r#"{"type":"mod","id":1,"topics":["quote/sim:A"],"pace":"1s"}"#,
            r#"{"type":"mod","id":2,"topics":["trade/sim:*"],"trades":"summary"}"#,
            r#"{"type":"pause","id":3}"#,
            r#"{"type":"pause","id":4,"topics":["quote/sim:A"]}"#,
            r#"{"type":"continue","id":5}"#,
            r#"{"type":"get","id":6,"topics":["book/sim:A/5"]}"#,
            r#"{"type":"list","id":7,"pattern":"quote/*:BTC-*","limit":10,"after":17}"#,
            r#"{"type":"explain","id":8,"topic":"quote/sim:A"}"#,
            r#"{"type":"sub","id":9,"topics":[],"pace":"realtime","trades":"every","snapshot":true,"strict":true}"#,
        ] {
            let mut request: Request = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
            let id = request.id().unwrap();
            request.set_id(id + 1);
            assert_eq!(request.id(), Some(id + 1));
            let wrong = text.replacen("\"id\"", "\"speed\":1,\"id\"", 1);
            let error = serde_json::from_str::<Request>(&wrong).unwrap_err().to_string();
            assert!(error.contains("speed"), "{wrong}: {error}");
        }
    }

    #[test]
    fn answers_are_spelled_as_documented() {
        for text in [
            r#"{"type":"ack","id":1,"results":[{"status":"once","topic":"quote/sim:A","topic_id":3}],"more":true}"#,
            r#"{"type":"ack","id":1,"results":[{"status":"paused","topic":"trade/sim:A","topic_id":3,"pace":"1s","trades":"summary"}]}"#,
            r#"{"type":"instruments","id":7,"instruments":[{"venue":"sim","symbol":"A-USD","native":"AUSD","class":"spot","price_exponent":-2,"size_exponent":-3,"tick":"0.01","lot":"0.001"}],"next":9}"#,
            r#"{"type":"explained","id":8,"topic":"quote/sim:A","topic_id":3,"state":"waiting","requested_pace":"100ms","pace":"100ms","epoch":5,"sequence":10,"head":12,"lag":2,"merged":4,"records":6,"bytes":90,"held_back":{"limit":"bytes_per_second","wait_ms":12}}"#,
            r#"{"type":"explained","id":8,"topic":"trade/sim:A","state":"pending","requested_pace":"realtime","pace":"realtime","trades":"every","merged":0,"records":0,"bytes":0}"#,
        ] {
            let reply: Reply = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&reply).unwrap(), text);
        }
    }
}
