//! In: what the user of the client wants. Out: plain options with safe defaults. Bounded: plain data.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use wire::request::{Change, Encoding, Focus, MaxAge, Pace, Since, TradeMode};

/// How to reach a server.
#[derive(Clone)]
pub struct Options {
    /// `wss://host:port`; without a path, `/v1/stream` is meant. `ws://` for loopback addresses only, to a proxy that does the TLS.
    pub url: String,
    pub trust: Trust,
    /// Bearer token, for servers that ask for one.
    pub token: Option<String>,
    pub encoding: Encoding,
    /// `None`: a lost connection ends the client.
    pub reconnect: Option<Reconnect>,
    /// Later connections go on from the places that the views have reached. `false`: each begins as the first one did, with snapshots and
    /// `Subscription::since`.
    pub resumes: bool,
    /// For TCP, TLS and the WebSocket handshake together.
    pub connect_timeout: Duration,
    /// Largest message taken from the server. Full books come in one frame.
    pub max_message_bytes: usize,
}

impl Options {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            trust: Trust::SystemRoots,
            token: None,
            encoding: Encoding::Binary,
            reconnect: None,
            resumes: true,
            connect_timeout: Duration::from_secs(10),
            max_message_bytes: 64 << 20,
        }
    }
}

/// Without the token, wherever it stands: this ends up in logs.
impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, trust, token, encoding, reconnect, resumes, connect_timeout, max_message_bytes } = self;
        out.debug_struct("Options")
            .field("url", &url.split('?').next())
            .field("trust", trust)
            .field("token", &token.as_ref().map(|_| "hidden"))
            .field("encoding", encoding)
            .field("reconnect", reconnect)
            .field("resumes", resumes)
            .field("connect_timeout", connect_timeout)
            .field("max_message_bytes", max_message_bytes)
            .finish()
    }
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    SystemRoots,
    /// PEM file of certificate authorities, or of the server's own self-signed certificate.
    CaFile(PathBuf),
    /// Any certificate at all: anybody on the way can read and change the data. For self-signed certificates of demos only.
    AnyCertificate,
}

/// Pauses between attempts: from `first` on, doubled each time up to `longest`, each with a jitter of half of it.
#[derive(Clone, Copy, Debug)]
pub struct Reconnect {
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

/// What to subscribe to, and how. Kept by the client and told again on every connection, with the place each view has reached.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Names and patterns.
    pub topics: Vec<String>,
    pub pace: Pace,
    pub trades: TradeMode,
    /// `false`: trade topics start at the present place.
    pub snapshot: bool,
    /// Trade topics start with so many of their last events. On later connections they go on from their places.
    pub since: Option<Since>,
    /// Of quotes: a trade of the instrument never overtakes them.
    pub trade_safe: bool,
    /// The share when not all can be sent.
    pub focus: Focus,
    /// The age from which on the data counts as old: `Step::Aged` tells.
    pub max_age: MaxAge,
}

impl Subscription {
    pub fn new<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            topics: topics.into_iter().map(Into::into).collect(),
            pace: Pace::Realtime,
            trades: TradeMode::Every,
            snapshot: true,
            since: None,
            trade_safe: false,
            focus: Focus::default(),
            max_age: MaxAge::Off,
        }
    }

    pub(crate) fn changed(&self, topics: Vec<String>, change: &Change) -> Self {
        Self {
            topics,
            pace: change.pace.unwrap_or(self.pace),
            trades: change.trades.unwrap_or(self.trades),
            trade_safe: change.trade_safe.unwrap_or(self.trade_safe),
            focus: change.focus.unwrap_or(self.focus),
            max_age: change.max_age.unwrap_or(self.max_age),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_do_not_show_their_token() {
        let options = Options { token: Some("abc.def".to_owned()), ..Options::new("wss://localhost/v1/stream?token=abc.def") };
        let shown = format!("{options:?}");
        assert!(shown.contains("wss://localhost/v1/stream") && !shown.contains("abc.def"), "{shown}");
    }
}
