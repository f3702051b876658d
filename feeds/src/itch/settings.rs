//! What an operator configures of an ITCH feed: the `[feeds.itch]` block. In: TOML values. Out: settings that `itch::start` checks and runs.
//! Bounded: unknown keys are refused by name.

use crate::error::FeedError;
use crate::orders::Limits;
use crate::settings::{ChannelName, FeedSettings};
use crate::venue::itch::{Options, SessionDate, Stock};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Where messages come from: `files`, or `listen` (MoldUDP64), or `server` (SoupBinTCP).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItchSettings {
    /// Day of the (first) session in New York, `YYYY-MM-DD`; for files without it their names tell, live it is today.
    pub date: Option<String>,
    /// Whose operational halts count: `Q` Nasdaq, `B` BX, `X` PSX.
    pub market: String,
    /// Orders that may rest at once, over all stocks.
    pub max_orders: usize,
    /// BinaryFILE, or captures of MoldUDP64; plain, gzip or zstd.
    pub files: Vec<PathBuf>,
    /// 1 = as recorded, N = N times as fast, 0 = as fast as possible.
    pub speed: f64,
    /// Start over at the end.
    pub repeat: bool,
    /// MoldUDP64: multicast groups, or own addresses for unicast; two for an A and a B line.
    pub listen: Vec<SocketAddr>,
    /// MoldUDP64: own address in the network the groups are in; the system's choice if left out.
    pub interface: Option<Ipv4Addr>,
    /// MoldUDP64: the server that repeats what was lost. Without it a loss is for good.
    pub request: Option<SocketAddr>,
    /// SoupBinTCP: `HOST:PORT`.
    pub server: Option<String>,
    pub user: String,
    /// SoupBinTCP: file with the password; line ends behind it are ignored.
    pub password_file: Option<PathBuf>,
    /// SoupBinTCP: the session to ask for first; empty: the one that is running.
    pub session: String,
}

impl Default for ItchSettings {
    fn default() -> Self {
        Self {
            date: None,
            market: "Q".to_owned(),
            max_orders: Limits::default().orders,
            files: Vec::new(),
            speed: 1.0,
            repeat: false,
            listen: Vec::new(),
            interface: None,
            request: None,
            server: None,
            user: String::new(),
            password_file: None,
            session: String::new(),
        }
    }
}

/// Which of its sources a feed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Files,
    Mold,
    Soup,
}

impl ItchSettings {
    /// The one source; a sentence if there is none, or more than one.
    pub fn source(&self) -> Result<Source, &'static str> {
        let sources = [
            (!self.files.is_empty(), Source::Files),
            (!self.listen.is_empty(), Source::Mold),
            (self.server.is_some(), Source::Soup),
        ];
        let mut found = sources.into_iter().filter(|(is_there, _)| *is_there);
        match (found.next(), found.next()) {
            (Some((_, source)), None) => Ok(source),
            (None, _) => Err("names no source: set files, listen (MoldUDP64) or server (SoupBinTCP)"),
            (Some(_), Some(_)) => Err("names more than one of files, listen and server"),
        }
    }

    /// `None`: left out.
    pub fn session_date(&self) -> Result<Option<SessionDate>, String> {
        let Some(text) = &self.date else { return Ok(None) };
        SessionDate::parse(text).map(Some).ok_or_else(|| format!("date '{text}' is no day; write YYYY-MM-DD"))
    }
}

/// What the market of a feed is to make, on this day.
pub fn options(settings: &FeedSettings, itch: &ItchSettings, date: SessionDate) -> Result<Options, FeedError> {
    let complaint = |reason: &str| FeedError::Settings { venue: "itch".to_owned(), reason: reason.to_owned() };
    let market = match itch.market.as_bytes() {
        [market @ (b'Q' | b'B' | b'X')] => *market,
        _ => return Err(complaint("market must be \"Q\" (Nasdaq), \"B\" (BX) or \"X\" (PSX)")),
    };
    if itch.max_orders == 0 {
        return Err(complaint("max_orders must be 1 or more"));
    }
    let takes = |channel| settings.channels.contains(&channel);
    if settings.channels.is_empty() {
        return Err(FeedError::NoChannels { venue: "itch".to_owned() });
    }
    Ok(Options {
        date,
        market,
        stocks: settings.symbols.iter().map(|symbol| stock(symbol)).collect::<Result<_, _>>()?,
        quotes: takes(ChannelName::Quote),
        trades: takes(ChannelName::Trade),
        books: takes(ChannelName::Book),
        limits: Limits { orders: itch.max_orders },
    })
}

/// The venue's name of a symbol, which is the same but for the characters that topics cannot hold (`ABC_3D` is `ABC=`).
fn stock(symbol: &str) -> Result<Stock, FeedError> {
    let bad = |reason| FeedError::BadSymbol { venue: "itch".to_owned(), symbol: symbol.to_owned(), reason };
    let mut name = Vec::new();
    let mut rest = symbol.strip_prefix('!').unwrap_or(symbol);
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '_' => {
                let (digits, behind) = rest.split_at_checked(2).ok_or_else(|| bad("'_' begins two hexadecimal digits"))?;
                name.push(u8::from_str_radix(digits, 16).map_err(|_| bad("'_' begins two hexadecimal digits"))?);
                rest = behind;
            }
            letter => name.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    if name.is_empty() || name.len() > 8 || !name.iter().all(u8::is_ascii_graphic) {
        return Err(bad("stocks have one to eight ASCII characters"));
    }
    let mut stock = *b"        ";
    stock[..name.len()].copy_from_slice(&name);
    Ok(stock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_become_stocks() {
        assert_eq!(stock("AAPL").unwrap(), *b"AAPL    ");
        assert_eq!(stock("!BRK.B").unwrap(), *b"BRK.B   ");
        assert_eq!(stock("ABC_3D").unwrap(), *b"ABC=    ");
        for wrong in ["", "!", "NINELETTR", "A_", "A_ZZ", "É", "A_0A"] {
            assert!(stock(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_feed_has_one_source() {
        let listen = vec!["127.0.0.1:1".parse().unwrap()];
        let mold = ItchSettings { listen, ..ItchSettings::default() };
        assert_eq!(mold.source(), Ok(Source::Mold));
        assert!(ItchSettings { server: Some("a:1".to_owned()), ..mold }.source().unwrap_err().contains("more than one"));
        assert!(ItchSettings::default().source().unwrap_err().contains("names no source"));
    }
}
