//! What an operator says of another Tickwire as a venue. In: settings. Out: which topics to take from it and how to get in, or what is
//! wrong. Bounded by the settings. Carrying them is the server's matter: their sequences are those of topics, of which feeds know nothing.

use crate::error::FeedError;
use crate::settings::FeedSettings;
use crate::transport;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use wire::topic::{Pattern, TopicKey};

/// The block `[feeds.tickwire]`. The address is the feed's `ws_url`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelaySettings {
    /// File with the token for the upstream node.
    pub token_file: Option<PathBuf>,
    /// Environment variable with the token.
    pub token_env: Option<String>,
    /// PEM file of the authorities, or of the self-signed certificate, of the upstream node; the system's if left out.
    pub ca_file: Option<PathBuf>,
}

/// Names of a relay are few; thousands of instruments are one pattern.
const MAX_SYMBOLS: usize = 256;
/// A session has at most 32 patterns, and each of these makes four: instruments, quotes, trades, books.
const MAX_PATTERNS: usize = 8;
/// A token of a few claims has some hundred bytes, and a header has to hold it.
const MAX_TOKEN_BYTES: u64 = 8_192;

/// `venue:SYMBOL` names and patterns to take from the node.
pub fn carried(settings: &FeedSettings) -> Vec<String> {
    match settings.symbols.is_empty() {
        true => vec!["*:*".to_owned()],
        false => settings.symbols.iter().map(|symbol| if symbol == "*" { "*:*".to_owned() } else { symbol.clone() }).collect(),
    }
}

/// What is wrong with the settings. Reads no file.
pub fn check(settings: &FeedSettings) -> Result<(), FeedError> {
    let complaint = |reason: &str| FeedError::Settings { venue: "tickwire".to_owned(), reason: reason.to_owned() };
    let url = settings.ws_url.as_deref().ok_or_else(|| complaint("needs ws_url, the address of the upstream node"))?;
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if url.contains('?') || authority.contains('@') {
        // Not said with the address: what stands there may be a token.
        return Err(complaint("has a query or a user name in ws_url, which the log would show; the token goes into token_file"));
    }
    transport::check("tickwire", url, ["wss", "ws"])?;
    if settings.symbols.len() > MAX_SYMBOLS {
        return Err(complaint(&format!("names more than {MAX_SYMBOLS} symbols; use patterns")));
    }
    if settings.symbols.iter().filter(|symbol| symbol.contains('*')).count() > MAX_PATTERNS {
        return Err(complaint(&format!("has more than {MAX_PATTERNS} patterns; wider ones do it too")));
    }
    for (symbol, name) in settings.symbols.iter().zip(carried(settings)) {
        let topic = format!("quote/{name}");
        let good = if topic.contains('*') { Pattern::parse(&topic).is_ok() } else { TopicKey::parse(&topic).is_ok() };
        if !good {
            let reason = "write \"*\", \"binance:*\", \"binance:*-USDT\" or \"binance:BTC-USDT\"";
            return Err(FeedError::BadSymbol { venue: "tickwire".to_owned(), symbol: symbol.clone(), reason });
        }
    }
    let own = settings.tickwire.clone().unwrap_or_default();
    if own.token_file.is_some() && own.token_env.is_some() {
        return Err(complaint("has a token_file and a token_env; use one of them"));
    }
    Ok(())
}

/// The token, if there is to be one. The error never says what it is.
pub fn token(settings: &FeedSettings) -> Result<Option<String>, FeedError> {
    let complaint = |reason: String| FeedError::Settings { venue: "tickwire".to_owned(), reason };
    let own = settings.tickwire.clone().unwrap_or_default();
    let (text, place) = match (&own.token_file, &own.token_env) {
        (Some(file), _) => {
            let text = read(file).map_err(|error| complaint(format!("{}: cannot be read: {error}", file.display())))?;
            (text, file.display().to_string())
        }
        (None, Some(name)) => {
            let missing = || complaint(format!("the environment variable {name} is not set"));
            (std::env::var(name).map_err(|_| missing())?, format!("the environment variable {name}"))
        }
        (None, None) => return Ok(None),
    };
    let text = text.trim();
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Some(text.to_owned())),
        false => Err(complaint(format!("{place} holds no token: one line of text is expected"))),
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(symbols: &[&str]) -> FeedSettings {
        let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
        let ws_url = Some("wss://core.example:8443".to_owned());
        FeedSettings { symbols, ws_url, ..FeedSettings::of_venue("tickwire") }
    }

    #[test]
    fn everything_is_carried_unless_something_is_named() {
        assert_eq!(carried(&settings(&[])), ["*:*"]);
        assert_eq!(carried(&settings(&["*"])), ["*:*"]);
        let named = settings(&["binance:*-USDT", "kraken:BTC-USD", "*:ETH-USD"]);
        assert_eq!(carried(&named), ["binance:*-USDT", "kraken:BTC-USD", "*:ETH-USD"]);
        assert_eq!(check(&named), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let says = |settings: &FeedSettings, what: &str| {
            let error = check(settings).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        says(&settings(&["BTC-USDT"]), "'BTC-USDT' is not a symbol of tickwire: write \"*\"");
        says(&settings(&["binance:*B*"]), "write \"*\"");
        says(&settings(&["a:*", "b:*", "c:*", "d:*", "e:*", "f:*", "g:*", "h:*", "i:*"]), "more than 8 patterns");
        says(&FeedSettings { ws_url: None, ..settings(&[]) }, "needs ws_url");
        says(&FeedSettings { ws_url: Some("ws://core.example".to_owned()), ..settings(&[]) }, "loopback only");
        for secret in ["wss://core.example/v1/stream?token=abc", "ws://core.example?token=abc", "wss://me:abc@core.example"] {
            let settings = FeedSettings { ws_url: Some(secret.to_owned()), ..settings(&[]) };
            says(&settings, "the token goes into token_file");
            assert!(!check(&settings).unwrap_err().to_string().contains("abc"));
        }
        let both = RelaySettings { token_file: Some("a".into()), token_env: Some("A".to_owned()), ca_file: None };
        says(&FeedSettings { tickwire: Some(both), ..settings(&[]) }, "use one of them");
    }

    #[test]
    fn a_token_is_one_line_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let of_file = FeedSettings {
            tickwire: Some(RelaySettings { token_file: Some(file.clone()), ..RelaySettings::default() }),
            ..settings(&[])
        };
        assert!(token(&of_file).unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&file, "abc.def.ghi\n").unwrap();
        assert_eq!(token(&of_file).unwrap().as_deref(), Some("abc.def.ghi"));
        std::fs::write(&file, "two words\n").unwrap();
        let error = token(&of_file).unwrap_err().to_string();
        assert!(error.contains("holds no token") && !error.contains("two"), "{error}");
        assert_eq!(token(&settings(&[])).unwrap(), None);
    }
}
