//! In: the `[[feeds]]` blocks. Out: nothing, or the first value that cannot work. Bounded by the blocks; reads no venue.

use super::check::{Fault, at_least};
use super::types::Topics;
use feeds::error::FeedError;
use feeds::registry::{self, BUILT_IN, VENUES, Venue};
use feeds::settings::{FeedSettings, ReplaySettings};
use feeds::supervisor;
use feeds::venue::itch::SessionDate;
use std::net::IpAddr;
use std::path::PathBuf;
use wire::topic::TopicKey;

/// quote, trade, five books, status, instrument, four bars, stats.
pub const TOPICS_PER_INSTRUMENT: u64 = 14;
/// Topics are u32 and the simulator's tables are made at once.
const MAX_SIM_SYMBOLS: u32 = 100_000;

/// Names that may stand in `venue`.
fn known_venues() -> Vec<&'static str> {
    let venues = VENUES.iter().flat_map(|venue| [venue.name].into_iter().chain(venue.aliases.iter().copied()));
    venues.chain(BUILT_IN.iter().copied()).collect()
}

/// Names a recording's protocol may have: those that have an adapter, or files of their own.
fn known_protocols() -> Vec<&'static str> {
    known_venues().into_iter().filter(|name| !BUILT_IN.contains(name) || feeds::files::VENUES.contains(name)).collect()
}

pub(super) fn check(feeds: &[FeedSettings], topics: &Topics) -> Result<(), Fault> {
    if feeds.is_empty() {
        return Err(Fault::new("feeds", "there is no feed", "add a [[feeds]] block, for example with venue = \"sim\""));
    }
    let mut names: Vec<String> = Vec::new();
    for (at, feed) in feeds.iter().enumerate() {
        check_feed(&format!("feeds[{at}]"), feed)?;
        // As topics have it: `binance-spot` is `binance`, and so is a recording of it.
        let name = registry::topic_venue(feed);
        if names.contains(&name) {
            let what = format!("two feeds are named '{name}' in topics");
            return Err(Fault::new(format!("feeds[{at}].venue"), what, format!("give this one its own name, feeds[{at}].name")));
        }
        names.push(name);
    }
    check_capacity(feeds, topics)
}

fn check_feed(at: &str, feed: &FeedSettings) -> Result<(), Fault> {
    let known = known_venues();
    if !known.contains(&feed.venue.as_str()) {
        let what = format!("unknown venue '{}'", feed.venue);
        return Err(Fault::new(format!("{at}.venue"), what, format!("known venues: {}", known.join(", "))));
    }
    if let Some(name) = &feed.name
        && TopicKey::parse(&format!("quote/{name}:A")).is_err()
    {
        let what = format!("'{name}' is not a venue name");
        return Err(Fault::new(format!("{at}.name"), what, "use lower-case letters, digits, '-' and '_'"));
    }
    for (number, symbol) in feed.symbols.iter().enumerate() {
        let key = || format!("{at}.symbols[{number}]");
        // Of another node, symbols stand behind their venue, and patterns are fine.
        let symbol_alone = if feed.venue == "tickwire" { "A" } else { symbol };
        TopicKey::parse(&format!("quote/x:{symbol_alone}"))
            .map_err(|error| Fault::new(key(), error.to_string(), "write for example \"BTC-USDT\" or \"!BTCUSDT\""))?;
        if feed.symbols[..number].contains(symbol) {
            return Err(Fault::new(key(), format!("'{symbol}' stands twice"), "remove the one"));
        }
    }
    if feed.channels.is_empty() {
        let remedy = "name some of \"quote\", \"trade\", \"book\", or leave the key out for all";
        return Err(Fault::new(format!("{at}.channels"), "is empty", remedy));
    }
    if let Some(silence_ms) = feed.silence_ms {
        at_least(format!("{at}.silence_ms"), silence_ms, 1)?;
    }
    check_address(&format!("{at}.ws_url"), feed.ws_url.as_deref(), "wss://", "ws://")?;
    for (number, url) in feed.ws_urls.iter().enumerate() {
        check_address(&format!("{at}.ws_urls[{number}]"), Some(url), "wss://", "ws://")?;
    }
    check_lines(at, feed)?;
    check_address(&format!("{at}.rest_url"), feed.rest_url.as_deref(), "https://", "http://")?;
    check_by_venue(at, feed)
}

/// How many lines a venue may have only its adapter knows.
fn check_lines(at: &str, feed: &FeedSettings) -> Result<(), Fault> {
    let key = if feed.lines.is_some() { "lines" } else { "ws_urls" };
    if !BUILT_IN.contains(&feed.venue.as_str()) || (feed.lines.is_none() && feed.ws_urls.is_empty()) {
        return Ok(());
    }
    let remedy = if feed.venue == "itch" { "remove it; the lines of [feeds.itch] are its listen addresses" } else { "remove it" };
    Err(Fault::new(format!("{at}.{key}"), format!("venue \"{}\" has no WebSocket lines to compare", feed.venue), remedy))
}

/// What only some venues need or take.
fn check_by_venue(at: &str, feed: &FeedSettings) -> Result<(), Fault> {
    if feed.sim.is_some() && feed.venue != "sim" {
        return Err(Fault::new(format!("{at}.sim"), "is for venue \"sim\" only", "remove it"));
    }
    let own = [("iex", feed.iex.is_some()), ("databento", feed.databento.is_some()), ("tickwire", feed.tickwire.is_some())];
    for (name, is_there) in own {
        if is_there && feed.venue != name {
            return Err(Fault::new(format!("{at}.{name}"), format!("is for venue \"{name}\" only"), "remove it"));
        }
    }
    // A recording of it takes its day and limits from there.
    let is_itch = feed.venue == "itch" || feed.replay.as_ref().is_some_and(|replay| replay.venue == "itch");
    if feed.itch.is_some() && !is_itch {
        return Err(Fault::new(format!("{at}.itch"), "is for venue \"itch\" only", "remove it"));
    }
    if feed.api_key_file.is_some() && !registry::venue(&feed.venue).is_ok_and(Venue::needs_key) {
        let what = format!("venue \"{}\" asks for no key", feed.venue);
        return Err(Fault::new(format!("{at}.api_key_file"), what, "remove it"));
    }
    match (feed.venue.as_str(), &feed.replay) {
        ("replay", Some(replay)) => check_replay(at, replay),
        ("replay", None) => {
            let remedy = format!("add [feeds.replay] with venue and files after this block ({at})");
            Err(Fault::new(format!("{at}.replay"), "is missing for venue \"replay\"", remedy))
        }
        (_, Some(_)) => Err(Fault::new(format!("{at}.replay"), "is for venue \"replay\" only", "remove it")),
        ("sim", None) => feed.sim.as_ref().map_or(Ok(()), |sim| {
            at_least(format!("{at}.sim.symbols"), u64::from(sim.symbols), 1)?;
            at_least(format!("{at}.sim.events_per_second"), u64::from(sim.events_per_second), 1)?;
            at_least(format!("{at}.sim.levels"), u64::from(sim.levels), 1)?;
            if sim.symbols > MAX_SIM_SYMBOLS {
                let what = format!("{} is too many", sim.symbols);
                return Err(Fault::new(format!("{at}.sim.symbols"), what, format!("use at most {MAX_SIM_SYMBOLS}")));
            }
            if sim.trade_percent > 100 {
                let what = format!("{} is more than all", sim.trade_percent);
                return Err(Fault::new(format!("{at}.sim.trade_percent"), what, "use 0 to 100"));
            }
            check_number(&format!("{at}.sim.zipf"), sim.zipf)
        }),
        ("iex", None) => match &feed.iex {
            Some(iex) => check_files(&format!("{at}.iex"), &iex.files, iex.speed),
            None => Err(Fault::new(format!("{at}.iex"), "is missing for venue \"iex\"", "add [feeds.iex] with files")),
        },
        ("databento", None) => match &feed.databento {
            Some(own) if !own.files.is_empty() => check_files(&format!("{at}.databento"), &own.files, own.speed),
            _ => feeds::gateway::check(feed).map(drop).map_err(|error| of_adapter(at, feed, error)),
        },
        ("itch", None) => check_itch(at, feed),
        ("tickwire", None) => check_tickwire(at, feed),
        (_, None) if feed.symbols.is_empty() => {
            Err(Fault::new(format!("{at}.symbols"), "names no symbol", "write for example symbols = [\"BTC-USDT\"]"))
        }
        (venue, None) => {
            let adapter = registry::adapter(venue, feed).map_err(|error| of_adapter(at, feed, error))?;
            supervisor::check_key(adapter.as_ref(), feed).map_err(|error| of_adapter(at, feed, error))
        }
    }
}

fn check_itch(at: &str, feed: &FeedSettings) -> Result<(), Fault> {
    let Some(itch) = &feed.itch else {
        let remedy = "add [feeds.itch] with files, listen or server";
        return Err(Fault::new(format!("{at}.itch"), "is missing for venue \"itch\"", remedy));
    };
    feeds::itch::check(feed, itch).map_err(|error| match error {
        FeedError::Settings { .. } => Fault::new(format!("{at}.itch"), error.to_string(), ""),
        error => of_adapter(at, feed, error),
    })?;
    if !itch.files.is_empty() {
        check_files(&format!("{at}.itch"), &itch.files, itch.speed)?;
        let undated = |file: &PathBuf| SessionDate::of_file(file).is_none();
        if let (None, Some(file)) = (&itch.date, itch.files.iter().find(|file| undated(file))) {
            let what = format!("is missing, and the name of {} does not begin with a day", file.display());
            return Err(Fault::new(format!("{at}.itch.date"), what, "write for example date = \"2019-01-30\""));
        }
    }
    if let Some(file) = &itch.password_file {
        std::fs::File::open(file).map_err(|error| {
            let what = format!("{}: cannot be read: {error}", file.display());
            Fault::new(format!("{at}.itch.password_file"), what, "relative paths start at the configuration's folder")
        })?;
    }
    Ok(())
}

fn check_tickwire(at: &str, feed: &FeedSettings) -> Result<(), Fault> {
    let remedy = "write for example ws_url = \"wss://core.example:8443\"";
    if feed.ws_url.is_none() {
        return Err(Fault::new(format!("{at}.ws_url"), "is missing for venue \"tickwire\"", remedy));
    }
    feeds::relay::check(feed).map_err(|error| match error {
        FeedError::Settings { .. } => Fault::new(format!("{at}.tickwire"), error.to_string(), ""),
        error => of_adapter(at, feed, error),
    })?;
    let own = feed.tickwire.clone().unwrap_or_default();
    for (key, file) in [("ca_file", &own.ca_file), ("token_file", &own.token_file)] {
        let Some(file) = file else { continue };
        std::fs::File::open(file).map_err(|error| {
            let what = format!("{}: cannot be read: {error}", file.display());
            Fault::new(format!("{at}.tickwire.{key}"), what, "relative paths start at the configuration's folder")
        })?;
    }
    Ok(())
}

/// What only the venue's own adapter knows, for example which symbols it can have.
fn of_adapter(at: &str, feed: &FeedSettings, error: FeedError) -> Fault {
    let key = match &error {
        FeedError::BadSymbol { symbol, .. } => match feed.symbols.iter().position(|known| known == symbol) {
            Some(number) => format!("{at}.symbols[{number}]"),
            None => format!("{at}.symbols"),
        },
        FeedError::Lines { .. } if feed.lines.is_none() => format!("{at}.ws_urls"),
        FeedError::Lines { .. } => format!("{at}.lines"),
        FeedError::BadAddress { url, .. } if feed.rest_url.as_ref() == Some(url) => format!("{at}.rest_url"),
        FeedError::BadAddress { .. } => format!("{at}.ws_url"),
        FeedError::BadName { .. } => format!("{at}.name"),
        FeedError::NoSymbols { .. } => format!("{at}.symbols"),
        FeedError::NoChannels { .. } => format!("{at}.channels"),
        FeedError::ApiKey { .. } => format!("{at}.api_key_file"),
        _ => at.to_owned(),
    };
    Fault::new(key, error.to_string(), "")
}

fn check_replay(at: &str, replay: &ReplaySettings) -> Result<(), Fault> {
    let known = known_protocols();
    if !known.contains(&replay.venue.as_str()) {
        let what = format!("unknown venue '{}'", replay.venue);
        return Err(Fault::new(format!("{at}.replay.venue"), what, format!("a recording speaks one of: {}", known.join(", "))));
    }
    check_files(&format!("{at}.replay"), &replay.files, replay.speed)
}

fn check_files(at: &str, files: &[PathBuf], speed: f64) -> Result<(), Fault> {
    if files.is_empty() {
        return Err(Fault::new(format!("{at}.files"), "names no file", "name at least one recording"));
    }
    for (number, file) in files.iter().enumerate() {
        std::fs::File::open(file).map_err(|error| {
            let what = format!("{}: cannot be read: {error}", file.display());
            Fault::new(format!("{at}.files[{number}]"), what, "relative paths start at the configuration's folder")
        })?;
    }
    check_number(&format!("{at}.speed"), speed)
}

fn check_number(key: &str, number: f64) -> Result<(), Fault> {
    match number.is_finite() && number >= 0.0 {
        true => Ok(()),
        false => Err(Fault::new(key, format!("{number} is not usable"), "use 0 or a positive number")),
    }
}

/// Plain text over a network could be altered on the way, so it is for tests on this machine only.
fn check_address(key: &str, address: Option<&str>, safe: &str, plain: &str) -> Result<(), Fault> {
    let Some(address) = address else { return Ok(()) };
    let is_plain = address.starts_with(plain);
    let authority = address.strip_prefix(safe).or_else(|| address.strip_prefix(plain)).unwrap_or_default();
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() || address.contains(char::is_whitespace) {
        return Err(Fault::new(key, format!("'{address}' is not an address"), format!("write {safe}HOST[:PORT]")));
    }
    if is_plain && !is_loopback(authority) {
        let what = format!("'{address}' is not encrypted");
        return Err(Fault::new(key, what, format!("use {safe}, {plain} is for loopback addresses only")));
    }
    Ok(())
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The topics that the configured symbols alone need. Patterns and recordings may need more; the map refuses those one by one.
fn check_capacity(feeds: &[FeedSettings], topics: &Topics) -> Result<(), Fault> {
    let simulated =
        |feed: &FeedSettings| feed.sim.as_ref().filter(|_| feed.venue == "sim").map_or(0, |sim| u64::from(sim.symbols));
    let instruments: u64 = feeds.iter().map(|feed| simulated(feed).max(feed.symbols.len() as u64)).sum();
    let needed = instruments * TOPICS_PER_INSTRUMENT;
    if needed > u64::from(topics.max_topics) {
        let what = format!("{} is too small: the feeds' {instruments} symbols have {needed} topics", topics.max_topics);
        return Err(Fault::new("topics.max_topics", what, format!("use {needed} or more")));
    }
    Ok(())
}
