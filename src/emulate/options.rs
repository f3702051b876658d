//! What the emulator is asked to do. In: a command line or a test. Out: plain settings; and why it cannot.

use feeds::emulation::{EmulationError, Faults};
use feeds::replay::Pace;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    /// Its name in the registry.
    pub venue: String,
    pub files: Vec<PathBuf>,
    pub pace: Pace,
    pub listen: SocketAddr,
    /// Play from the start on instead of waiting for the first subscription.
    pub start_now: bool,
    /// Time between the first subscription and the first message, so that a client's other connections are there too.
    pub start_delay: Duration,
    /// At the end cut every connection and start over.
    pub repeat: bool,
    pub exit_at_end: bool,
    /// Binance pings every 20 s and wants the pong within 60 s.
    pub ping_interval: Duration,
    pub faults: Faults,
}

impl Options {
    pub fn new(venue: &str, files: Vec<PathBuf>, pace: Pace, listen: SocketAddr) -> Self {
        Self {
            venue: venue.to_owned(),
            files,
            pace,
            listen,
            start_now: false,
            start_delay: Duration::from_millis(300),
            repeat: false,
            exit_at_end: false,
            ping_interval: Duration::from_secs(20),
            faults: Faults::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EmulateError {
    #[error(transparent)]
    Emulation(#[from] EmulationError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}
