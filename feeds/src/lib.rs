//! Venue bytes in, normalized events out: the adapter contract, its supervisor, the venues, the simulator, recordings.
//! Knows nothing of topics, sessions or the server.

pub mod adapter;
pub mod recording;
pub mod replay;
pub mod settings;
pub mod sim;
