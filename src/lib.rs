//! The Tickwire server: feeds in, topic map, subscription manager, encoder, sessions out. `app.rs` is the only file that knows all of it.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod logging;
pub mod metrics;
