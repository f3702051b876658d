//! The Tickwire server: feeds in, topic map, subscription manager, encoder, sessions out. `app.rs` is the only file that knows all of it.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
mod cores;
pub mod emulate;
pub mod encode;
pub mod fetch;
pub mod gate;
pub mod ingest;
pub mod logging;
pub mod metrics;
pub mod pressure;
pub mod relay;
pub mod session;
pub mod shard;
pub mod subs;
pub mod topic;
