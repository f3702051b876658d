//! The Tickwire server: feeds in, topic map, subscription manager, encoder, sessions out. `app.rs` is the only file that knows all of it.

pub mod cli;
pub mod emulate;
