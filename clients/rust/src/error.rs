//! In: what went wrong on the way. Out: one clear sentence, and whether trying again makes sense. Bounded: plain data.

use std::path::PathBuf;
use std::time::Duration;
use wire::code::{Close, ComeBack};

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("'{url}' is not an address: {why}; expected wss://host:port")]
    Url { url: String, why: String },
    #[error("cannot read certificates from {}: {why}", path.display())]
    CaFile { path: PathBuf, why: String },
    #[error("no root certificates on this system: {0}; give a CA file")]
    NoRoots(String),
    #[error("the token has characters that no header can carry")]
    Token,
    #[error("cannot connect to {address}: {why}")]
    Connect { address: String, why: std::io::Error },
    #[error("TLS with {address} failed: {why}")]
    Tls { address: String, why: std::io::Error },
    #[error("{address} did not answer within {} ms", after.as_millis())]
    Timeout { address: String, after: Duration },
    #[error("the server refused with HTTP {status}: {message}")]
    Refused { status: u16, message: String, retry_after: Option<Duration> },
    #[error("WebSocket handshake failed: {0}")]
    Handshake(String),
    #[error("connection lost: {0}")]
    Lost(String),
    #[error("the server closed with {number}: {reason}")]
    Closed { number: u16, reason: String },
    #[error("the server sent nothing, not even a ping, for {} ms", after.as_millis())]
    Silent { after: Duration },
    #[error("the server sent something unreadable: {0}")]
    Unreadable(String),
    #[error("the connection has ended")]
    Ended,
}

/// Whether and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Within a second.
    Soon,
    /// With growing pauses, which start no shorter than this.
    Pausing(Duration),
    Never,
}

impl ClientError {
    pub(crate) fn again(&self) -> Again {
        match self {
            Self::Url { .. } | Self::CaFile { .. } | Self::NoRoots(_) | Self::Token | Self::Ended => Again::Never,
            // Full or draining servers say 503; everything else is about this client.
            Self::Refused { status: 500.., retry_after, .. } => Again::Pausing(retry_after.unwrap_or_default()),
            Self::Refused { .. } => Again::Never,
            Self::Closed { number, .. } => match Close::from_number(*number).map(|close| close.row().come_back) {
                Some(ComeBack::Now) => Again::Soon,
                Some(ComeBack::After(seconds)) => Again::Pausing(Duration::from_secs(seconds.into())),
                Some(ComeBack::Never) => Again::Never,
                // A code of a later server still tells by its range.
                None if (4500..5000).contains(number) => Again::Never,
                None => Again::Pausing(Duration::ZERO),
            },
            _ => Again::Pausing(Duration::ZERO),
        }
    }
}
