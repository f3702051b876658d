//! Venue bytes in, normalized events out: the adapter contract, its supervisor, the venues, the simulator, recordings.
//! Knows nothing of topics, sessions or the server.

pub mod adapter;
pub mod emulation;
pub mod engine;
pub mod error;
pub mod files;
pub mod gateway;
pub mod gzip;
pub mod itch;
pub mod json;
pub mod orders;
pub mod recording;
pub mod registry;
pub mod relay;
pub mod replay;
pub mod run;
pub mod sequencer;
pub mod settings;
pub mod sim;
pub mod supervisor;
mod symbol;
pub mod time;
pub mod trail;
pub mod transport;
pub mod venue;

pub use error::FeedError;
pub use run::start;
