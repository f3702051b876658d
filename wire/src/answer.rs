//! What the server tells about instruments (`list`) and about one subscription (`explain`). In and out: JSON of control messages.
//! Bounded: a page of instruments by the request's limit, an explanation by its fields.

use crate::request::{Pace, TradeMode};
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
