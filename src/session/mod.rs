//! One client's connection. In: its requests and the shard's due subscriptions. Out: replies and frames over WebSocket or SSE.
//! Bounded: one frame in flight; while it is written cursors only age. Requests are read one at a time, so replies never queue.

mod core;
#[cfg(test)]
mod model;
pub mod sse;
#[cfg(test)]
mod tests;
pub mod ticket;
pub mod websocket;

pub use core::{Parsed, SessionCore, read};

use std::net::SocketAddr;
use wire::event::Nanos;
use wire::request::{Encoding, Pace, Reply, TradeMode};
use wire::topic::{Pattern, TopicKey};

/// What the gate knows of a client when it hands it over.
#[derive(Clone, Debug)]
pub struct Client {
    pub peer: SocketAddr,
    pub encoding: Encoding,
    /// Subscriptions from the query string.
    pub bare: Option<BareSubscription>,
    pub identity: Option<Identity>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BareSubscription {
    pub topics: Vec<String>,
    pub pace: Pace,
    pub trades: TradeMode,
}

/// Who a token says the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub subject: String,
    pub expires_at: Nanos,
    /// The topics it may see; empty = all.
    pub topics: Vec<Pattern>,
    /// The fastest pace that it may have.
    pub fastest: Pace,
}

impl Client {
    /// May this client see this topic?
    pub fn may_see(&self, key: &TopicKey) -> bool {
        let Some(identity) = &self.identity else { return true };
        identity.topics.is_empty() || identity.topics.iter().any(|pattern| pattern.matches(key))
    }
}

/// The last word of a session that ends for a reason a client should know.
fn draining_notice(reconnect_in_ms: u64, ticket: Option<String>) -> Reply {
    Reply::Notice {
        code: "draining".to_owned(),
        message: "this server is shutting down; reconnect after the given time".to_owned(),
        reconnect_in_ms: Some(reconnect_in_ms),
        ticket,
    }
}
