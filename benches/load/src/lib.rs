//! The load client behind `tickwire bench`. In: a plan. Out: many TLS WebSocket clients in this process, what they received, verified,
//! and how long it took, from times that are embedded in the data, so that a client that waits counts its waiting.
//!
//! Bounded: a client costs its TLS session, a few numbers a topic and at most one incomplete message; threads share one scratch buffer
//! each, and nothing queues here: what is not read waits in the kernel, as it does for real clients.

mod client;
mod conduct;
mod dialect;
mod latency;
mod link;
pub mod plan;
mod procfs;
pub mod report;
mod shape;
mod tally;
mod tls;
mod topics;
mod verify;
mod websocket;
mod worker;

pub use conduct::{Audience, run, run_part, run_processes};
pub use plan::Plan;
pub use procfs::Watch;
pub use tally::{Outcome, Progress};
pub use topics::expand;

use wire::event::Nanos;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("'{url}' is not an address: {why}; expected wss://host:port")]
    Url { url: String, why: String },
    #[error(transparent)]
    Client(#[from] ::client::ClientError),
    #[error("cannot list instruments: {0}")]
    List(String),
    #[error("cannot start a thread: {0}")]
    Runtime(std::io::Error),
    #[error("cannot start a process: {0}")]
    Process(std::io::Error),
    #[error("a part of the run failed: {0}")]
    Part(String),
}

fn wall_ns() -> Nanos {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
fn test_plan() -> Plan {
    use std::time::Duration;
    Plan {
        dialect: plan::Speech::Tickwire,
        url: "wss://127.0.0.1:1".to_owned(),
        trust: ::client::Trust::AnyCertificate,
        token: None,
        clients: 10,
        connect_rate: 0,
        topics: vec!["quote/sim:A".to_owned()],
        topics_per_client: 1,
        shape: plan::Shape::Uniform,
        seed: 1,
        pace: Default::default(),
        trades: Default::default(),
        encoding: wire::request::Encoding::Binary,
        verify: plan::Verify::Full,
        consecutive_ids: false,
        warmup: Duration::ZERO,
        time: Duration::from_secs(1),
        stall: None,
        storm: None,
        sources: Vec::new(),
        threads: 1,
        part: plan::Part::WHOLE,
    }
}
