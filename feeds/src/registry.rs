//! The table of venues. In: a venue's name and an operator's settings. Out: its adapter, or which names there are.
//! A new venue is its folder under `venue/` and one line here.

use crate::adapter::Adapter;
use crate::engine::{self, Addresses, Dialect, EngineDialect, MakeProtocol, Proof};
use crate::error::FeedError;
use crate::replay::binance::BinanceDialect;
use crate::replay::{ReplayError, Survey};
use crate::settings::{ChannelName, FeedSettings};
use crate::venue::{binance, bitfinex, bitget, deribit, htx, kraken, okx};
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
    pub(crate) speaks: Speaks,
}

/// What speaks it.
pub(crate) enum Speaks {
    /// The engine, in this protocol.
    Engine(MakeProtocol),
    /// An adapter of its own.
    Own { adapter: fn(&FeedSettings) -> Result<Box<dyn Adapter>, FeedError>, dialect: fn() -> Box<dyn Dialect>, proof: Proof },
}

pub const VENUES: &[Venue] = &[
    Venue {
        name: "binance",
        aliases: &["binance-spot"],
        ws_url: binance::SPOT.ws_url,
        rest_url: binance::SPOT.rest_url,
        speaks: Speaks::Own {
            adapter: |settings| binance::adapter(&binance::SPOT, settings),
            dialect: || Box::new(BinanceDialect),
            proof: Proof::Range,
        },
    },
    Venue {
        name: "binance-us",
        aliases: &[],
        ws_url: binance::US.ws_url,
        rest_url: binance::US.rest_url,
        speaks: Speaks::Own {
            adapter: |settings| binance::adapter(&binance::US, settings),
            dialect: || Box::new(BinanceDialect),
            proof: Proof::Range,
        },
    },
    bitfinex::VENUE,
    bitget::VENUE,
    deribit::VENUE,
    htx::SPOT,
    htx::SWAP,
    kraken::V2,
    okx::VENUE,
];

/// What a venue offers, for the docs and whoever chooses channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    pub channels: Vec<Channel>,
    pub proofs: Vec<Proof>,
}

impl Venue {
    pub fn coverage(&self) -> Coverage {
        match &self.speaks {
            Speaks::Own { proof, .. } => {
                Coverage { channels: vec![Channel::Quote, Channel::Trade, Channel::Book], proofs: vec![*proof] }
            }
            Speaks::Engine(make) => {
                let protocol = make(&FeedSettings::of_venue(self.name));
                let streams = protocol.streams();
                let carried = |channel: &Channel| streams.iter().any(|stream| stream.carries.contains(channel));
                let channels = [Channel::Quote, Channel::Trade, Channel::Book].into_iter().filter(carried).collect();
                Coverage { channels, proofs: protocol.facts().proofs.to_vec() }
            }
        }
    }
}

/// Feeds that speak no venue's protocol: started by `run::start`, without an adapter.
pub const BUILT_IN: &[&str] = &["sim", "replay"];

pub fn venue(name: &str) -> Result<&'static Venue, FeedError> {
    VENUES
        .iter()
        .find(|venue| venue.name == name || venue.aliases.contains(&name))
        .ok_or_else(|| FeedError::UnknownVenue { name: name.to_owned(), known: names() })
}

/// The adapter of `name`, which speaks for the feed that `settings` describe (`settings.venue` is not looked at).
pub fn adapter(name: &str, settings: &FeedSettings) -> Result<Box<dyn Adapter>, FeedError> {
    let venue = venue(name)?;
    match &venue.speaks {
        Speaks::Own { adapter, .. } => adapter(settings),
        Speaks::Engine(make) => {
            let own = Addresses { name: venue.name, ws_url: venue.ws_url, rest_url: venue.rest_url };
            engine::engine(make(settings), own, settings)
        }
    }
}

/// What replays must know of `name`.
pub fn dialect(name: &str) -> Result<Box<dyn Dialect>, FeedError> {
    let venue = venue(name)?;
    Ok(match &venue.speaks {
        Speaks::Own { dialect, .. } => dialect(),
        Speaks::Engine(make) => Box::new(EngineDialect::new(make(&FeedSettings::of_venue(venue.name)))),
    })
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

/// True if the quotes of this feed are to be made from its books: it takes books, but no quotes, or the venue has none. The simulator
/// always has both.
pub fn quotes_from_books(settings: &FeedSettings) -> bool {
    let takes = |channel| settings.channels.contains(&channel);
    let protocol = settings.replay.as_ref().map_or(settings.venue.as_str(), |replay| replay.venue.as_str());
    let has_quotes = venue(protocol).map_or(true, |venue| venue.coverage().channels.contains(&Channel::Quote));
    settings.venue != "sim" && takes(ChannelName::Book) && !(takes(ChannelName::Quote) && has_quotes)
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
        assert_eq!(
            error,
            "unknown venue 'bimance'; known venues: binance, binance-us, bitfinex, bitget, deribit, htx, htx-swap, kraken, okx, sim, replay"
        );
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
