//! In: topic names and patterns as clients write them. Out: parsed keys, or one clear sentence about what is wrong.
//! Bounded by `MAX_NAME` bytes a name and by the alphabet of `is_symbol_byte`.

use crate::kind::{Argument, Depth, Kind};
use std::fmt;

/// Longest topic name or pattern, in bytes.
pub const MAX_NAME: usize = 128;

/// `kind/venue:SYMBOL[/arg]`, parsed. `Display` gives the canonical name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicKey {
    pub kind: Kind,
    /// Lower-case venue name, e.g. `binance`.
    pub venue: String,
    /// Normalized symbol, e.g. `BTC-USDT`; with a leading `!` the venue's own spelling, which the server resolves.
    pub symbol: String,
    /// Depth of a book, interval of a bar; `None` for kinds that take none.
    pub argument: Option<Argument>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("a topic is kind/venue:SYMBOL[/arg], for example quote/binance:BTC-USDT")]
    Shape,
    #[error("unknown kind '{0}'; known kinds: {kinds}", kinds = crate::kind::names())]
    UnknownKind(String),
    #[error("a topic name has at most {MAX_NAME} bytes")]
    TooLong,
    #[error("'{0}' is not a venue name: lower-case letters, digits, '-' and '_'")]
    Venue(String),
    #[error("'{0}' is not a symbol: letters, digits, '.', '-' and '_'; a leading '!' for the venue's own spelling")]
    Symbol(String),
    #[error("'{1}' is not {what} {0} topic; it ends in {arguments}", what = what_argument(*.0), arguments = list_arguments(*.0))]
    Argument(Kind, String),
    #[error("kind '{0}' takes no argument after the symbol")]
    NoArgument(Kind),
    #[error("'*' may stand once in the venue and once in the symbol")]
    Star,
}

impl TopicError {
    /// The stable code of the per-topic rejection.
    pub fn code(&self) -> crate::code::Code {
        match self {
            Self::UnknownKind(_) => crate::code::Code::UnknownKind,
            _ => crate::code::Code::BadTopic,
        }
    }
}

fn is_venue_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
}

fn is_symbol_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

struct Parts<'a> {
    kind: Kind,
    venue: &'a str,
    symbol: &'a str,
    argument: Option<Argument>,
}

/// Completes "'7' is not a … book topic".
fn what_argument(kind: Kind) -> &'static str {
    match kind.row().arguments.first() {
        Some(Argument::Depth(_)) => "a depth of a",
        Some(Argument::Interval(_)) => "an interval of a",
        None => "an argument of a",
    }
}

/// `/5, /10 or /full`.
fn list_arguments(kind: Kind) -> String {
    let names: Vec<_> = kind.row().arguments.iter().map(|argument| format!("/{argument}")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

fn split(name: &str) -> Result<Parts<'_>, TopicError> {
    if name.len() > MAX_NAME {
        return Err(TopicError::TooLong);
    }
    let (kind, rest) = name.split_once('/').ok_or(TopicError::Shape)?;
    let kind = Kind::from_name(kind).ok_or_else(|| TopicError::UnknownKind(kind.to_owned()))?;
    let (instrument, arg) = match rest.split_once('/') {
        Some((instrument, arg)) => (instrument, Some(arg)),
        None => (rest, None),
    };
    let (venue, symbol) = instrument.split_once(':').ok_or(TopicError::Shape)?;
    let argument = match (kind.row().arguments, arg) {
        ([], None) => None,
        ([], Some(_)) => return Err(TopicError::NoArgument(kind)),
        (known, arg) => {
            let name = arg.unwrap_or("");
            let found = known.iter().find(|argument| argument.name() == name);
            Some(*found.ok_or_else(|| TopicError::Argument(kind, name.to_owned()))?)
        }
    };
    Ok(Parts { kind, venue, symbol, argument })
}

fn check_component(text: &str, allowed: fn(u8) -> bool, stars: usize) -> bool {
    let mut seen = 0;
    !text.is_empty()
        && text.bytes().all(|byte| {
            if byte == b'*' {
                seen += 1;
                return seen <= stars;
            }
            allowed(byte)
        })
}

impl TopicKey {
    pub fn parse(name: &str) -> Result<Self, TopicError> {
        let parts = split(name)?;
        if name.contains('*') {
            return Err(TopicError::Star);
        }
        if !check_component(parts.venue, is_venue_byte, 0) {
            return Err(TopicError::Venue(parts.venue.to_owned()));
        }
        if !check_component(parts.symbol.strip_prefix('!').unwrap_or(parts.symbol), is_symbol_byte, 0) {
            return Err(TopicError::Symbol(parts.symbol.to_owned()));
        }
        Ok(Self { kind: parts.kind, venue: parts.venue.to_owned(), symbol: parts.symbol.to_owned(), argument: parts.argument })
    }

    /// A key whose parts the caller already knows to be good (adapters, the topic map).
    pub fn new(kind: Kind, venue: &str, symbol: &str, argument: Option<Argument>) -> Self {
        Self { kind, venue: venue.to_owned(), symbol: symbol.to_owned(), argument }
    }

    /// Depth of a book topic.
    pub fn depth(&self) -> Option<Depth> {
        self.argument.and_then(Argument::depth)
    }
}

impl fmt::Display for TopicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.kind, self.venue, self.symbol)?;
        match self.argument {
            Some(argument) => write!(f, "/{argument}"),
            None => Ok(()),
        }
    }
}

/// A topic name in which the venue and the symbol may each hold one `*`. The kind and the argument are always exact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    kind: Kind,
    venue: String,
    symbol: String,
    argument: Option<Argument>,
}

impl Pattern {
    /// True where `name` must be read as a pattern rather than as one topic.
    pub fn is_pattern(name: &str) -> bool {
        name.contains('*')
    }

    pub fn parse(name: &str) -> Result<Self, TopicError> {
        let parts = split(name)?;
        for (text, allowed) in [(parts.venue, is_venue_byte as fn(u8) -> bool), (parts.symbol, is_symbol_byte)] {
            if text.bytes().filter(|byte| *byte == b'*').count() > 1 {
                return Err(TopicError::Star);
            }
            if !check_component(text, allowed, 1) {
                return Err(if text == parts.venue {
                    TopicError::Venue(text.to_owned())
                } else {
                    TopicError::Symbol(text.to_owned())
                });
            }
        }
        Ok(Self { kind: parts.kind, venue: parts.venue.to_owned(), symbol: parts.symbol.to_owned(), argument: parts.argument })
    }

    pub fn matches(&self, key: &TopicKey) -> bool {
        self.kind == key.kind
            && self.argument == key.argument
            && star_matches(&self.venue, &key.venue)
            && star_matches(&self.symbol, &key.symbol)
    }

    /// True if the venue and the symbol match, whatever the kind.
    pub fn matches_instrument(&self, venue: &str, symbol: &str) -> bool {
        star_matches(&self.venue, venue) && star_matches(&self.symbol, symbol)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Depth of a pattern of book topics.
    pub fn depth(&self) -> Option<Depth> {
        self.argument.and_then(Argument::depth)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.kind, self.venue, self.symbol)?;
        match self.argument {
            Some(argument) => write!(f, "/{argument}"),
            None => Ok(()),
        }
    }
}

fn star_matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in [
            "quote/binance:BTC-USDT",
            "book/kraken:BTC-USD/10",
            "book/sim:S001-USD/full",
            "trade/binance:!BTCUSDT",
            "bar/sim:A/5m",
            "stats/sim:A",
        ] {
            assert_eq!(TopicKey::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (name, part) in [
            ("quote", "kind/venue:SYMBOL"),
            ("quotes/binance:BTC-USDT", "unknown kind 'quotes'"),
            ("quote/binance", "kind/venue:SYMBOL"),
            ("quote/Binance:BTC-USDT", "'Binance' is not a venue name"),
            ("quote/binance:BTC USDT", "'BTC USDT' is not a symbol"),
            ("quote/binance:", "'' is not a symbol"),
            ("book/binance:BTC-USDT", "/5, /10, /20, /50 or /full"),
            ("book/binance:BTC-USDT/7", "'7' is not a depth of a book topic; it ends in /5, /10, /20, /50 or /full"),
            ("bar/binance:BTC-USDT/2m", "'2m' is not an interval of a bar topic; it ends in /1s, /1m, /5m or /1h"),
            ("stats/binance:BTC-USDT/1h", "takes no argument"),
            ("quote/binance:BTC-USDT/5", "takes no argument"),
            ("quote/*:BTC-USDT", "'*'"),
        ] {
            let text = TopicKey::parse(name).unwrap_err().to_string();
            assert!(text.contains(part), "{name}: {text}");
        }
        assert_eq!(Pattern::parse("quote/b:*A*").unwrap_err(), TopicError::Star);
    }

    #[test]
    fn patterns_match_whole_components() {
        let key = TopicKey::parse("quote/binance:BTC-USDT").unwrap();
        for (pattern, expected) in [
            ("quote/binance:*-USDT", true),
            ("quote/*:BTC-USDT", true),
            ("quote/bin*ce:B*T", true),
            ("quote/binance:BTC-USDT*", true),
            ("trade/binance:*", false),
            ("quote/binance:*-USD", false),
            ("quote/binance:BTC-USDT*T", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(&key), expected, "{pattern}");
        }
    }
}
