//! Why a feed cannot be started: one clear sentence each, naming what is known. All of them are the operator's to mend.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    #[error("unknown venue '{name}'; known venues: {known}")]
    UnknownVenue { name: String, known: String },
    #[error("'{symbol}' is not a symbol of {venue}: {reason}")]
    BadSymbol { venue: String, symbol: String, reason: &'static str },
    #[error("feed '{venue}' names no symbols; for example symbols = [\"BTC-USDT\"]")]
    NoSymbols { venue: String },
    #[error("feed '{venue}' takes no channel; known channels: quote, trade, book")]
    NoChannels { venue: String },
    #[error("'{name}' is not a venue name: lower-case letters, digits, '-' and '_'")]
    BadName { name: String },
    #[error("'{url}' is not an address of feed '{venue}': {reason}")]
    BadAddress { venue: String, url: String, reason: &'static str },
    /// Says where the key was looked for, never what was found there.
    #[error("the API key of feed '{venue}': {reason}")]
    ApiKey { venue: String, reason: String },
    #[error("no TLS for feeds: {0}")]
    Tls(String),
    /// A simulator's or a recording's own complaint, already a sentence.
    #[error("feed '{venue}': {reason}")]
    Settings { venue: String, reason: String },
}
