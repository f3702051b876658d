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
}

pub mod websocket {
    pub async fn run(_socket: crate::gate::Socket, _client: super::Client, _shard: std::rc::Rc<crate::shard::Shard>) {}
}

pub mod sse {
    pub type SseBody = http_body_util::Full<bytes::Bytes>;

    pub fn body(_client: super::Client, _shard: std::rc::Rc<crate::shard::Shard>) -> SseBody {
        SseBody::default()
    }
}
