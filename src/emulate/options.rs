//! What the emulator is asked to do. In: a command line or a test. Out: plain settings; and why it cannot.

use feeds::replay::{Pace, ReplayError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
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
    pub fn new(files: Vec<PathBuf>, pace: Pace, listen: SocketAddr) -> Self {
        Self {
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

/// What to do wrong. Message counts are of market-data messages sent to anybody, from the start.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Leave out the Nth depth diff of each symbol.
    pub drop_diff: Option<u64>,
    /// Leave out every Nth depth diff of each symbol.
    pub drop_diff_every: Option<u64>,
    /// Send the Nth depth diff of each symbol twice.
    pub duplicate_diff: Option<u64>,
    /// Cut all connections, without a word, after N messages. Once.
    pub cut_at: Option<u64>,
    /// Answer the first N snapshot requests with 503.
    pub snapshot_503: u64,
    /// After N messages tell everybody that the server shuts down, and close those connections later.
    pub shutdown_notice_at: Option<u64>,
    /// After N messages go silent on the connections of that moment, pings included, without closing them.
    pub mute_at: Option<u64>,
    /// Hold back every acknowledgement.
    pub slow_ack: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum EmulateError {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("the recording holds no Binance market data")]
    NoData,
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}
