//! In: JSON text of control messages. Out: requests of clients and replies of servers as types, both ways.
//! Bounded by the frame-size limit of the session; unknown fields of a request are refused by name.

use crate::answer::{Aged, Explained, Limiting, Listed, Qos};
use crate::code::Code;
use crate::kind::Depth;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use crate::terms::{Change, Focus, LADDER_MS, MaxAge, Pace, Since, TradeMode};

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

/// Client to server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Sub(Sub),
    Unsub {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        topics: Vec<String>,
    },
    Mod(Mod),
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
        /// A `check` disagreed with what the client holds: the server counts it, and the snapshot repairs it.
        #[serde(default, skip_serializing_if = "is_false")]
        heal: bool,
    },
    /// So many more frames at the pace `credit`.
    Grant {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        frames: u32,
    },
    /// The client's own limit of what it is sent; 0 = none but the server's.
    Budget {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        bytes_per_second: u32,
    },
    /// A sealed account of all subscriptions and where they stand, to resume from later.
    Ticket {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    /// All subscriptions of a ticket.
    Resume {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        ticket: String,
        /// Per topic, a later `[epoch, sequence]` than that of the ticket.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        resume: BTreeMap<String, (u64, u64)>,
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

/// Subscribe to topics and patterns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sub {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    pub topics: Vec<String>,
    #[serde(default)]
    pub pace: Pace,
    #[serde(default)]
    pub trades: TradeMode,
    /// `false`: no snapshot at the start, only what changes from now on (stream topics only).
    #[serde(default = "yes")]
    pub snapshot: bool,
    /// Per topic, the `[epoch, sequence]` the client holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resume: BTreeMap<String, (u64, u64)>,
    /// All of them or none.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Begin with the last events (stream topics only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// A quote that waits for its interval goes before a trade of its instrument.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trade_safe: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub focus: Focus,
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_age: MaxAge,
}

impl Default for Sub {
    fn default() -> Self {
        Self {
            id: None,
            topics: Vec::new(),
            pace: Pace::default(),
            trades: TradeMode::default(),
            snapshot: true,
            resume: BTreeMap::new(),
            strict: false,
            since: None,
            trade_safe: false,
            focus: Focus::default(),
            max_age: MaxAge::default(),
        }
    }
}

/// Change live subscriptions in place; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mod {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    pub topics: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trades: Option<TradeMode>,
    /// Of books: another depth, which is another topic: the former one ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Depth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trade_safe: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focus: Option<Focus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<MaxAge>,
}

impl Mod {
    pub fn new(id: Option<u64>, topics: Vec<String>, change: Change) -> Self {
        let Change { pace, trades, depth, trade_safe, focus, max_age } = change;
        Self { id, topics, pace, trades, depth, trade_safe, focus, max_age }
    }

    pub fn change(&self) -> Change {
        let Self { id: _, topics: _, pace, trades, depth, trade_safe, focus, max_age } = *self;
        Change { pace, trades, depth, trade_safe, focus, max_age }
    }
}

impl Request {
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Sub(Sub { id, .. })
            | Self::Unsub { id, .. }
            | Self::Mod(Mod { id, .. })
            | Self::Pause { id, .. }
            | Self::Continue { id, .. }
            | Self::Get { id, .. }
            | Self::Grant { id, .. }
            | Self::Budget { id, .. }
            | Self::Ticket { id }
            | Self::Resume { id, .. }
            | Self::List { id, .. }
            | Self::Explain { id, .. }
            | Self::Ping { id } => *id,
        }
    }

    pub fn set_id(&mut self, number: u64) {
        match self {
            Self::Sub(Sub { id, .. })
            | Self::Unsub { id, .. }
            | Self::Mod(Mod { id, .. })
            | Self::Pause { id, .. }
            | Self::Continue { id, .. }
            | Self::Get { id, .. }
            | Self::Grant { id, .. }
            | Self::Budget { id, .. }
            | Self::Ticket { id }
            | Self::Resume { id, .. }
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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
        /// As in `hello`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        route: Vec<String>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        starting: bool,
    },
    /// The request as a whole was refused.
    Error {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        code: String,
        message: String,
    },
    /// The answer to `grant`: frames that may still be sent.
    Granted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        frames: u32,
    },
    /// The answer to `budget`: what is in force, the smaller of the client's and the server's; 0 = none.
    Budget {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        bytes_per_second: u32,
    },
    /// The answer to `ticket`.
    Ticket {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        ticket: String,
        /// Until when it is good, ns since the Unix epoch, as text.
        expires: String,
        /// Subscriptions and patterns in it.
        topics: u64,
    },
    /// What slows this session changed. It holds for all subscriptions until the next one.
    Qos(Qos),
    /// Data that the client shows became older than it allows, or is not any more.
    Aged(Aged),
    /// Something the client should know and need not answer.
    Notice {
        code: String,
        message: String,
        /// Milliseconds after which this client should reconnect, where that is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reconnect_in_ms: Option<u64>,
        /// With `draining`: what `ticket` would have answered, if it is short enough.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<String>,
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
    /// Ids of the nodes that data may come through, that of this one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<String>,
    /// Not all of its venues have listed their instruments yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starting: bool,
}

/// Every limit that applies to this session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub subscriptions: u64,
    pub commands_per_second: u32,
    /// Grants are no commands; they have this limit of their own. 0 = none.
    #[serde(default)]
    pub grants_per_second: u32,
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
        /// What makes the pace slower than it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limited_by: Option<Limiting>,
        /// Of a resumed stream: events that cannot be told any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<Missing>,
        /// Resumed from a ticket: the `[epoch, sequence]` that the data continues from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<(u64, u64)>,
        /// The topic of another depth that ended for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<String>,
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<String>,
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
    /// Stream topics asked for with their last events.
    Back,
}

/// How many events of a stream are missing for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Missing {
    Count(u64),
    Unknown(Unknown),
}

/// Spells `"unknown"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    Unknown,
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
    fn requests_name_the_field_that_is_wrong() {
        let error = serde_json::from_str::<Request>(r#"{"type":"sub","topics":[],"speed":"1s"}"#).unwrap_err();
        assert!(error.to_string().contains("speed"), "{error}");
        let error = serde_json::from_str::<Request>(r#"{"type":"sub","topics":[],"pace":"soon"}"#).unwrap_err();
        assert!(error.to_string().contains("'soon' is not a pace"), "{error}");
        let request: Request = serde_json::from_str(r#"{"type":"sub","id":7,"topics":["quote/sim:A"]}"#).unwrap();
        assert!(matches!(request, Request::Sub(Sub { id: Some(7), pace: Pace::Realtime, snapshot: true, .. })));
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
            r#"{"type":"sub","id":10,"topics":[],"pace":"credit","trades":"summary","snapshot":false,"since":"-50","trade_safe":true,"focus":"background","max_age":"2s"}"#,
            r#"{"type":"mod","id":11,"topics":["book/sim:A/5"],"depth":"full","trade_safe":false,"focus":"focused","max_age":"off"}"#,
            r#"{"type":"get","id":12,"topics":["book/sim:A/5"],"heal":true}"#,
            r#"{"type":"grant","id":13,"frames":2}"#,
            r#"{"type":"budget","id":14,"bytes_per_second":1000}"#,
            r#"{"type":"ticket","id":15}"#,
            r#"{"type":"resume","id":16,"ticket":"x","resume":{"trade/sim:A":[1,2]}}"#,
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
            r#"{"type":"ack","id":2,"results":[{"status":"live","topic":"trade/sim:A","topic_id":3,"pace":"250ms","trades":"every","start":"delta","limited_by":"entitlement","missing":7,"from":[1,2]}]}"#,
            r#"{"type":"ack","id":2,"results":[{"status":"live","topic":"trade/sim:A","topic_id":3,"pace":"credit","start":"back","missing":"unknown","replaces":"book/sim:A/5"}]}"#,
            r#"{"type":"granted","id":13,"frames":2}"#,
            r#"{"type":"budget","id":14,"bytes_per_second":1000}"#,
            r#"{"type":"ticket","id":15,"ticket":"x","expires":"1","topics":2}"#,
            r#"{"type":"qos","floor":"100ms","cause":"own_link","stalled_ms":30000}"#,
            r#"{"type":"qos","floor":"realtime","cause":"node_pressure","deep_snapshots_deferred":true}"#,
            r#"{"type":"aged","old":[{"topic":"quote/sim:A","topic_id":3,"age_ms":2001,"cause":"quiet"}],"young":[4]}"#,
            r#"{"type":"ack","id":1,"results":[{"status":"once","topic":"quote/sim:A","topic_id":3}],"more":true}"#,
            r#"{"type":"ack","id":1,"results":[{"status":"paused","topic":"trade/sim:A","topic_id":3,"pace":"1s","trades":"summary"}]}"#,
            r#"{"type":"instruments","id":7,"instruments":[{"venue":"sim","symbol":"A-USD","native":"AUSD","class":"spot","price_exponent":-2,"size_exponent":-3,"tick":"0.01","lot":"0.001"}],"next":9}"#,
            r#"{"type":"explained","id":8,"topic":"quote/sim:A","topic_id":3,"state":"waiting","requested_pace":"100ms","pace":"100ms","epoch":5,"sequence":10,"head":12,"lag":2,"merged":4,"records":6,"bytes":90,"limited_by":"own_link","focus":"focused","max_age":"2s","session_bytes":900,"credits":3,"mismatches":1,"held_back":{"limit":"bytes_per_second","wait_ms":12}}"#,
            r#"{"type":"explained","id":8,"topic":"trade/sim:A","state":"pending","requested_pace":"realtime","pace":"realtime","trades":"every","merged":0,"records":0,"bytes":0,"focus":"visible","session_bytes":0}"#,
        ] {
            let reply: Reply = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&reply).unwrap(), text);
        }
    }
}
