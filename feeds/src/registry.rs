//! The table of venues. In: a venue's name and an operator's settings. Out: its adapter, or which names there are.
//! A new venue is its folder under `venue/` and one line here.

use crate::adapter::Adapter;
use crate::error::FeedError;
use crate::files;
use crate::settings::{ChannelName, FeedSettings};
use crate::venue::binance;

type Make = fn(&FeedSettings) -> Result<Box<dyn Adapter>, FeedError>;

/// One protocol a feed can speak.
pub struct Venue {
    /// Name in settings, on the command line and, unless `FeedSettings::name` says otherwise, in topics.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// WebSocket and REST base addresses that are used when the settings name none.
    pub ws_url: &'static str,
    pub rest_url: &'static str,
    make: Make,
}

pub const VENUES: &[Venue] = &[
    Venue {
        name: "binance",
        aliases: &["binance-spot"],
        ws_url: binance::SPOT.ws_url,
        rest_url: binance::SPOT.rest_url,
        make: |settings| binance::adapter(&binance::SPOT, settings),
    },
    Venue {
        name: "binance-us",
        aliases: &[],
        ws_url: binance::US.ws_url,
        rest_url: binance::US.rest_url,
        make: |settings| binance::adapter(&binance::US, settings),
    },
];

/// Feeds that speak no venue's protocol: started by `run::start`, without an adapter.
pub const BUILT_IN: &[&str] = &["sim", "replay", "iex", "databento", "itch"];

pub fn venue(name: &str) -> Result<&'static Venue, FeedError> {
    VENUES
        .iter()
        .find(|venue| venue.name == name || venue.aliases.contains(&name))
        .ok_or_else(|| FeedError::UnknownVenue { name: name.to_owned(), known: names() })
}

/// The adapter of `name`, which speaks for the feed that `settings` describe (`settings.venue` is not looked at).
pub fn adapter(name: &str, settings: &FeedSettings) -> Result<Box<dyn Adapter>, FeedError> {
    (venue(name)?.make)(settings)
}

/// Venue name in the topics of the feed that `settings` describe: the name it was given, else the protocol's own (a recording's: of
/// the venue that was recorded).
pub fn topic_venue(settings: &FeedSettings) -> String {
    let protocol = settings.replay.as_ref().map_or(settings.venue.as_str(), |replay| replay.venue.as_str());
    let own = venue(protocol).map_or(protocol, |venue| venue.name);
    settings.name.clone().unwrap_or_else(|| own.to_owned())
}

/// True if the quotes of this feed are to be made from its books: it takes books, but no quotes, or
/// its files hold none. The simulator always has both.
pub fn quotes_from_books(settings: &FeedSettings) -> bool {
    let takes = |channel| settings.channels.contains(&channel);
    let has_none = || files::of(settings).is_some_and(|(venue, files)| files::only_books(venue, &files.files));
    settings.venue != "sim" && takes(ChannelName::Book) && (!takes(ChannelName::Quote) || has_none())
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
        assert_eq!(error, "unknown venue 'bimance'; known venues: binance, binance-us, sim, replay, iex, databento, itch");
    }
}
