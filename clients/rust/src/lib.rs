//! A client of the Tickwire server. In: an address and topics. Out: each record as it comes, and for every topic a view that is kept
//! exact, proven by the server's checks. Bounded: one message at a time, one view a topic; nothing queues here.
//!
//! `Client` does the I/O (TLS, WebSocket, reconnecting); `Tracker` is the protocol without I/O: frames in, views and counts out.
//! `docs/protocol.md` is the specification of what they speak.
#![doc = include_str!("../README.md")]

mod backoff;
mod client;
mod connection;
mod error;
mod heal;
mod options;
mod stats;
mod tls;
mod tracker;

pub use client::{Client, Step};
pub use error::ClientError;
pub use options::{Options, Reconnect, Subscription, Trust};
pub use stats::{Latency, Stats};
pub use tls::{config as tls_config, config_by as tls_config_by};
pub use tracker::{Problem, Tracker, Update};
pub use wire;
pub use wire::request::Change;
