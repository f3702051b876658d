//! One client's connection. In: its requests and the shard's due subscriptions. Out: replies and frames over WebSocket or SSE.
//! Bounded: one frame in flight; while it is written cursors only age. Requests are read one at a time, so replies never queue.

mod core;
pub mod sse;
pub mod websocket;

pub use core::SessionCore;

use std::net::SocketAddr;
use wire::event::Nanos;
use wire::request::{Encoding, Pace, TradeMode};

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
}
