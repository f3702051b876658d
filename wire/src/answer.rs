//! What the server tells about instruments (`list`), about one subscription (`explain`), and unasked about what slows a session or makes
//! data old. In and out: JSON of control messages. Bounded: a page by the request's limit, the others by their fields.

use crate::terms::{Focus, MaxAge, Pace, TradeMode};
use serde::{Deserialize, Serialize};

/// One instrument of a `list` page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub venue: String,
    pub symbol: String,
    /// The venue's own spelling.
    pub native: String,
    /// Name of its `InstrumentClass`.
    pub class: String,
    pub price_exponent: i8,
    pub size_exponent: i8,
    /// Decimals as text; `0` if the venue does not say.
    pub tick: String,
    pub lot: String,
}

/// What a subscription is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The client has been sent everything there is.
    Live,
    /// There is something new, which goes with the next frame.
    Due,
    /// There is something new, which waits for the next interval of its pace.
    Waiting,
    Paused,
    /// There is something new, which waits for frames that the client grants.
    Unpaid,
    /// Its snapshot waits until the node is out of trouble.
    Deferred,
    /// The venue has not listed its instruments yet.
    Pending,
}

/// How a subscription stands at the moment of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    pub topic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<u32>,
    pub state: Standing,
    pub requested_pace: Pace,
    /// The pace in force.
    pub pace: Pace,
    /// For trade topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trades: Option<TradeMode>,
    /// The place that the client has been brought to; none before the first data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The newest sequence of the topic, and how far it is ahead of the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Updates that were merged into others since the subscription began.
    pub merged: u64,
    pub records: u64,
    pub bytes: u64,
    /// What makes the pace slower than it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<Limiting>,
    pub focus: Focus,
    #[serde(default, skip_serializing_if = "MaxAge::is_off")]
    pub max_age: MaxAge,
    /// Bytes of all data of the session, to compare `bytes` with.
    pub session_bytes: u64,
    /// Frames that the client may still be sent, if the pace is `credit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<u32>,
    /// How often clients reported that this topic disagreed with a `check`, since the node started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatches: Option<u64>,
    /// An empty outbound bucket of the session delays all its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<HeldBack>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// Name of the limit, as in `hello`.
    pub limit: String,
    pub wait_ms: u64,
}

/// What may make a subscription slower than it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limiting {
    /// The token allows no faster pace.
    Entitlement,
    /// The client's link does not take more.
    OwnLink,
    /// A bucket of the session is empty; named as in `hello`.
    UpdatesPerSecond,
    BytesPerSecond,
    /// The whole node is in trouble.
    NodePressure,
}

/// What slows a session down, and how far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qos {
    /// No subscription is faster than this; `realtime`: nothing slows them.
    pub floor: Pace,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Limiting>,
    /// New snapshots of deep books wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deep_snapshots_deferred: bool,
    /// For how long the client's link took nothing, if that is the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled_ms: Option<u64>,
}

/// Topics whose data became too old for the client (`max_age`), and those whose data is young again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aged {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old: Vec<Old>,
    /// Topic ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub young: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Old {
    pub topic: String,
    pub topic_id: u32,
    /// Since the bytes that the client's state was made of were received from the venue.
    pub age_ms: u64,
    pub cause: OldCause,
}

/// Why data is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldCause {
    /// Nothing happens at the venue: this is the newest there is.
    Quiet,
    /// The feed is not to be trusted; its topic state says more.
    Stale,
    Resyncing,
    Down,
    /// There is newer data, which waits for the pace, a `continue`, a grant, a limit, or the client's own link.
    Pace,
    Paused,
    Credit,
    Limit,
    OwnLink,
}
