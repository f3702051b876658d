//! The table of venues. In: a venue's name and an operator's settings. Out: its adapter, or which names there are.
//! A new venue is its folder under `venue/` and one line here.

use crate::adapter::Adapter;
use crate::engine::{self, Addresses, Dialect, EngineDialect, MakeProtocol, Proof};
use crate::error::FeedError;
use crate::files;
use crate::replay::{ReplayError, Survey};
use crate::settings::{ChannelName, FeedSettings};
use crate::venue::{binance, bitfinex, bitget, bitstamp, bybit, coinbase, deribit, gate, gemini, htx, kraken, kucoin, okx};
use std::path::PathBuf;
use wire::event::Channel;

/// One protocol a feed can speak.
pub struct Venue {
    /// Name in settings, on the command line and, unless `FeedSettings::name` says otherwise, in topics.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// WebSocket and REST base addresses that are used when the settings name none.
    pub ws_url: &'static str,
    pub rest_url: &'static str,
    /// What the engine has to know to speak it.
    pub(crate) protocol: MakeProtocol,
}

pub const VENUES: &[Venue] = &[
    binance::SPOT,
    binance::COIN_M,
    binance::SBE,
    binance::US,
    binance::USD_M,
    bitfinex::VENUE,
    bitget::VENUE,
    bitstamp::VENUE,
    bybit::VENUE,
    coinbase::ADVANCED,
    coinbase::EXCHANGE,
    deribit::VENUE,
    gate::VENUE,
    gemini::VENUE,
    htx::SPOT,
    htx::SWAP,
    kraken::V2,
    kraken::FUTURES,
    kraken::V1,
    kucoin::VENUE,
    okx::VENUE,
];

/// What a venue offers, for the docs and whoever chooses channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    pub channels: Vec<Channel>,
    pub proofs: Vec<Proof>,
}

impl Venue {
    /// Its streams are for holders of an API key.
    pub fn needs_key(&self) -> bool {
        (self.protocol)(&FeedSettings::of_venue(self.name)).facts().caps.key_header.is_some()
    }

    pub fn coverage(&self) -> Coverage {
        let protocol = (self.protocol)(&FeedSettings::of_venue(self.name));
        let streams = protocol.streams();
        let carried = |channel: &Channel| streams.iter().any(|stream| stream.carries.contains(channel));
        let channels = [Channel::Quote, Channel::Trade, Channel::Book].into_iter().filter(carried).collect();
        Coverage { channels, proofs: protocol.facts().proofs.to_vec() }
    }
}

/// Feeds that speak no venue's protocol: started by `run::start`, without an adapter; `tickwire` by the server itself.
pub const BUILT_IN: &[&str] = &["sim", "replay", "iex", "databento", "itch", "tickwire"];

pub fn venue(name: &str) -> Result<&'static Venue, FeedError> {
    VENUES
        .iter()
        .find(|venue| venue.name == name || venue.aliases.contains(&name))
        .ok_or_else(|| FeedError::UnknownVenue { name: name.to_owned(), known: names() })
}

/// The adapter of `name`, which speaks for the feed that `settings` describe (`settings.venue` is not looked at).
pub fn adapter(name: &str, settings: &FeedSettings) -> Result<Box<dyn Adapter>, FeedError> {
    let venue = venue(name)?;
    let own = Addresses { name: venue.name, ws_url: venue.ws_url, rest_url: venue.rest_url };
    engine::engine((venue.protocol)(settings), own, settings)
}

/// What replays must know of `name`.
pub fn dialect(name: &str) -> Result<Box<dyn Dialect>, FeedError> {
    let venue = venue(name)?;
    Ok(Box::new(EngineDialect::new((venue.protocol)(&FeedSettings::of_venue(venue.name)))))
}

/// One pass over recordings of the venue `name`.
pub fn survey(name: &str, files: &[PathBuf]) -> Result<Survey, ReplayError> {
    let dialect = dialect(name).map_err(|_| ReplayError::NoData(name.to_owned()))?;
    Survey::take(files, dialect)
}

/// Venue name in the topics of the feed that `settings` describe: the name it was given, else the protocol's own (a recording's: of
/// the venue that was recorded).
pub fn topic_venue(settings: &FeedSettings) -> String {
    let protocol = settings.replay.as_ref().map_or(settings.venue.as_str(), |replay| replay.venue.as_str());
    let own = venue(protocol).map_or(protocol, |venue| venue.name);
    settings.name.clone().unwrap_or_else(|| own.to_owned())
}

/// True if the quotes of this feed are to be made from its books: it takes books, but no quotes, or the venue or its files have none.
/// The simulator always has both, and of another node comes what it has.
pub fn quotes_from_books(settings: &FeedSettings) -> bool {
    let takes = |channel| settings.channels.contains(&channel);
    let protocol = settings.replay.as_ref().map_or(settings.venue.as_str(), |replay| replay.venue.as_str());
    let has_quotes = venue(protocol).map_or(true, |venue| venue.coverage().channels.contains(&Channel::Quote));
    let has_none = || files::of(settings).is_some_and(|(venue, files)| files::only_books(venue, &files.files));
    let has_quotes = has_quotes && !has_none();
    let has_its_own = matches!(settings.venue.as_str(), "sim" | "tickwire");
    !has_its_own && takes(ChannelName::Book) && !(takes(ChannelName::Quote) && has_quotes)
}

/// True if what comes was received when it was recorded.
pub fn is_recording(settings: &FeedSettings) -> bool {
    settings.replay.is_some() || files::of(settings).is_some()
}

/// Every name that may stand in `FeedSettings::venue`, for messages.
pub fn names() -> String {
    let venues = VENUES.iter().map(|venue| venue.name);
    venues.chain(BUILT_IN.iter().copied()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_unknown_ones_are_told_the_known() {
        assert_eq!(venue("binance-spot").unwrap().name, "binance");
        assert_eq!(venue("binance-us").unwrap().name, "binance-us");
        let error = venue("bimance").err().unwrap().to_string();
        assert_eq!(error, format!("unknown venue 'bimance'; known venues: {}", names()));
        assert!(error.contains(": binance, ") && error.contains(", kraken, ") && error.contains(", sim, "), "{error}");
    }

    /// The table in `ADDING_A_FEED.md` is what the registry says.
    #[test]
    fn coverage_stands_in_the_guide() {
        let row = |venue: &Venue| {
            let Coverage { channels, proofs } = venue.coverage();
            let has = |channel| channels.contains(&channel);
            let yes = |channel| if has(channel) { "yes" } else { "no" };
            let quote = if !has(Channel::Quote) && has(Channel::Book) { "book" } else { yes(Channel::Quote) };
            let proofs: Vec<&str> = proofs.into_iter().map(Proof::name).collect();
            format!("| {} | {quote} | {} | {} | {} |", venue.name, yes(Channel::Trade), yes(Channel::Book), proofs.join(", "))
        };
        let expected: Vec<String> = VENUES.iter().map(row).collect();
        let guide = include_str!("../ADDING_A_FEED.md");
        let table = guide.split_once("<!-- coverage -->").and_then(|(_, rest)| rest.split_once("<!-- /coverage -->"));
        let rows: Vec<&str> = table.map_or("", |(table, _)| table).trim().lines().skip(2).collect();
        assert_eq!(rows, expected, "the rows should be\n{}", expected.join("\n"));
    }
}
