//! Stub of the session module: what the gate hands over.

use std::net::SocketAddr;
use wire::request::{Encoding, Pace, TradeMode};

pub struct Client {
    pub peer: SocketAddr,
    pub encoding: Encoding,
    pub bare: Option<BareSubscription>,
    pub identity: Option<Identity>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BareSubscription {
    pub topics: Vec<String>,
    pub pace: Pace,
    pub trades: TradeMode,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    pub subject: String,
    /// ns since the Unix epoch.
    pub expires_at: i64,
    /// Patterns the token is good for; empty = all.
    pub topics: Vec<wire::topic::Pattern>,
}
