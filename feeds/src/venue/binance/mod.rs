//! Binance spot, and Binance.US, which speaks the same protocol at other addresses. In: `exchangeInfo`, `bookTicker`, `trade` or
//! `aggTrade`, `depth@100ms` and depth snapshots. Out: instruments, quotes, trades, books, and the state of each.
//!
//! `decode` reads messages, `listing` reads the list of instruments, `market` turns one instrument's messages into events,
//! `lines` keeps the connections and subscriptions, `snapshots` decides which book to fetch when. Levels are handed on in the order
//! in which the venue sends them. Bounded by the caps below, by the sequencer's limits and by the snapshots in flight.

mod decode;
pub mod futures;
mod lines;
mod listing;
mod market;

use crate::adapter::{Action, Adapter, Fault, FaultKind, Fetch, FetchError, Line, Now, Output, VenueCaps};
use crate::engine::snapshots::Snapshots;
use crate::error::FeedError;
use crate::json::Parser;
use crate::settings::{ChannelName, FeedSettings};
use decode::Message;
use foldhash::HashMap;
use lines::{Answered, Lines, Lost};
use market::{Market, Need, Spliced};
use wire::event::{Cause, Channel, Event, EventBody, FeedState, Flags};

/// What differs between the venues of this protocol.
pub struct Spec {
    pub name: &'static str,
    pub ws_url: &'static str,
    pub rest_url: &'static str,
    weight_per_minute: u32,
    depth_weight: u32,
    list_weight: u32,
}

pub const SPOT: Spec = Spec {
    name: "binance",
    ws_url: "wss://stream.binance.com:9443",
    rest_url: "https://api.binance.com",
    weight_per_minute: 6_000,
    depth_weight: 250,
    list_weight: 20,
};

pub const US: Spec = Spec {
    name: "binance-us",
    ws_url: "wss://stream.binance.us:9443",
    rest_url: "https://api.binance.us",
    weight_per_minute: 1_200,
    depth_weight: 50,
    list_weight: 10,
};

const DEPTH_LIMIT: u32 = 5_000;
const LIST_RETRY_FIRST_NS: i64 = 1_000_000_000;
const LIST_RETRY_LAST_NS: i64 = 60_000_000_000;
/// Tick sizes, trading phases and new listings change some times a day.
const LIST_REFRESH_NS: i64 = 15 * 60 * 1_000_000_000;

pub fn adapter(spec: &'static Spec, settings: &FeedSettings) -> Result<Box<dyn Adapter>, FeedError> {
    Ok(Box::new(Binance { parser: Parser::default(), feed: Feed::new(spec, settings)? }))
}

/// The parser stands apart, because the walk over its tape needs all the rest.
struct Binance {
    parser: Parser,
    feed: Feed,
}

struct Feed {
    spec: &'static Spec,
    venue: String,
    rest_url: String,
    caps: VenueCaps,
    channels: Vec<Channel>,
    /// Symbols asked for that are not listed (yet).
    missing: Vec<String>,
    known: bool,
    markets: Vec<Market>,
    by_native: HashMap<String, u32>,
    lines: Lines,
    snapshots: Snapshots,
    list_fetch: Option<Fetch>,
    list_due: i64,
    list_failures: u32,
    /// By link: why it is lost.
    lost: Vec<Option<(FeedState, Cause)>>,
    next_fetch: u64,
}

impl Feed {
    fn new(spec: &'static Spec, settings: &FeedSettings) -> Result<Self, FeedError> {
        let venue = settings.name.clone().unwrap_or_else(|| spec.name.to_owned());
        let missing = symbols(&venue, settings)?;
        let mut channels = Vec::new();
        let mut suffixes = Vec::new();
        for (name, channel, suffix) in [
            (ChannelName::Quote, Channel::Quote, "@bookTicker"),
            (ChannelName::Trade, Channel::Trade, if settings.aggregated_trades { "@aggTrade" } else { "@trade" }),
            (ChannelName::Book, Channel::Book, "@depth@100ms"),
        ] {
            if settings.channels.contains(&name) {
                channels.push(channel);
                suffixes.push(suffix);
            }
        }
        if channels.is_empty() {
            return Err(FeedError::NoChannels { venue });
        }
        let caps = VenueCaps {
            silence_ms: settings.silence_ms.unwrap_or(5_000),
            // The venue takes five, and its pings' pongs count among them.
            messages_per_second: 4,
            connects_per_five_minutes: 300,
            weight_per_minute: spec.weight_per_minute,
            max_connection_age_s: 24 * 60 * 60,
            // A depth message is 10 KB when it is large.
            max_message_bytes: 4 << 20,
        };
        let base = |url: &Option<String>, own: &str| url.as_deref().unwrap_or(own).trim_end_matches('/').to_owned();
        let ws_url = base(&settings.ws_url, spec.ws_url);
        Ok(Self {
            spec,
            venue,
            rest_url: base(&settings.rest_url, spec.rest_url),
            channels,
            missing,
            known: false,
            markets: Vec::new(),
            by_native: HashMap::default(),
            lines: Lines::new(format!("{ws_url}/stream"), suffixes, caps.max_connection_age_s),
            caps,
            snapshots: Snapshots::default(),
            list_fetch: None,
            list_due: i64::MIN,
            list_failures: 0,
            lost: Vec::new(),
            next_fetch: 0,
        })
    }

    fn fetch_id(&mut self) -> Fetch {
        self.next_fetch += 1;
        Fetch(self.next_fetch)
    }

    fn fetch_list(&mut self, out: &mut Output) {
        let fetch = self.fetch_id();
        self.list_fetch = Some(fetch);
        let url = format!("{}/api/v3/exchangeInfo", self.rest_url);
        out.actions.push(Action::Fetch { fetch, url, weight: self.spec.list_weight, post: false });
    }

    fn on_list(&mut self, now: Now, result: Result<Vec<u8>, FetchError>, out: &mut Output) {
        self.list_fetch = None;
        let mut wanted = std::mem::take(&mut self.missing);
        wanted.extend(self.markets.iter().map(|market| format!("!{}", market.instrument.native)));
        let found = match result {
            Ok(json) => listing::listed(&json, &wanted).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        wanted.truncate(wanted.len() - self.markets.len());
        self.missing = wanted;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                fault(out, FaultKind::Refused, format!("{}: no list of instruments: {error}", self.venue));
                let pause = LIST_RETRY_FIRST_NS << self.list_failures.min(6);
                self.list_failures += 1;
                self.list_due = now.mono.saturating_add(pause.min(LIST_RETRY_LAST_NS));
                return;
            }
        };
        self.list_failures = 0;
        self.list_due = now.mono.saturating_add(LIST_REFRESH_NS);
        for listed in found {
            match self.by_native.get(&listed.instrument.native) {
                Some(index) => {
                    let index = *index;
                    self.missing.retain(|missing| *missing != listed.wanted);
                    let need = self.markets[index as usize].relist(now, &listed.instrument, listed.trading, out);
                    self.serve(now, index, need, out);
                }
                None => self.add_market(now, listed, out),
            }
        }
        if !self.known {
            self.known = true;
            for symbol in &self.missing {
                fault(out, FaultKind::UnknownInstrument, format!("{} lists no symbol '{symbol}'", self.venue));
            }
        }
    }

    fn add_market(&mut self, now: Now, listed: listing::Listed, out: &mut Output) {
        self.missing.retain(|missing| *missing != listed.wanted);
        let index = self.markets.len() as u32;
        self.by_native.insert(listed.instrument.native.clone(), index);
        let market = Market::new(index, listed.instrument, listed.trading, &self.channels);
        self.markets.push(market);
        self.snapshots.add_instrument();
        let markets = &self.markets;
        let link = self.lines.add(now, index, &|market| markets[market as usize].instrument.native.clone(), out);
        self.lost.resize(self.lost.len().max(link as usize + 1), None);
        self.markets[index as usize].introduce(now, link, out);
    }

    /// The link is lost (`Some`) or back: told if it is news.
    fn tell_link(&mut self, now: Now, link: u32, lost: Option<(FeedState, Cause)>, out: &mut Output) {
        let former = std::mem::replace(&mut self.lost[link as usize], lost);
        let news = if former == lost { None } else { lost.or(former.map(|(_, cause)| (FeedState::Resyncing, cause))) };
        if let Some((state, cause)) = news {
            let body = EventBody::Link { link, state, cause };
            let event = Event { instrument: 0, event_time: 0, received: now.wall, flags: Flags::default(), body };
            out.batch.events.push(event);
        }
    }

    /// The venue says something on this line: if its link was lost, it is back. (Not as soon as the line is open: a venue may take
    /// connections and say nothing.)
    fn speaks(&mut self, now: Now, line: Line, out: &mut Output) {
        if self.lost.iter().any(Option::is_some)
            && let Some(link) = self.lines.link_of(line)
        {
            self.tell_link(now, link, None, out);
        }
    }

    /// Does what a message left to do for this book.
    fn serve(&mut self, now: Now, index: u32, need: Need, out: &mut Output) {
        if need != Need::Nothing && self.markets[index as usize].wants_book() {
            self.snapshots.want(now, index);
            self.fetch_snapshots(now, out);
        }
    }

    fn fetch_snapshots(&mut self, now: Now, out: &mut Output) {
        while let Some(index) = self.snapshots.next(now, Fetch(self.next_fetch + 1)) {
            let fetch = self.fetch_id();
            let market = &mut self.markets[index as usize];
            if !market.sequencer.is_keeping() {
                market.sequencer.begin();
            }
            let url = format!("{}/api/v3/depth?symbol={}&limit={DEPTH_LIMIT}", self.rest_url, market.instrument.native);
            out.actions.push(Action::Fetch { fetch, url, weight: self.spec.depth_weight, post: false });
        }
    }

    fn on_snapshot(&mut self, parser: &mut Parser, now: Now, index: u32, result: Result<Vec<u8>, FetchError>, out: &mut Output) {
        let market = &mut self.markets[index as usize];
        let mut json = match result {
            Ok(json) => json,
            Err(error) => {
                fault(out, FaultKind::SnapshotFailed, format!("{}: {error}", market.instrument.native));
                market.sequencer.reset();
                market.tell_book(now, FeedState::Resyncing, Cause::SnapshotUnavailable, out);
                self.snapshots.failed(now, index, &error);
                return;
            }
        };
        let spliced = parser.parse(&mut json, |root| {
            let snapshot = decode::snapshot(root)?;
            Ok(market.on_snapshot(now, &snapshot, out))
        });
        let complaint = match spliced {
            Some(Ok(Spliced::Live)) => return self.snapshots.live(now, index),
            Some(Ok(Spliced::Unasked)) => return,
            Some(Ok(Spliced::TooOld)) => "snapshot is older than the updates at hand",
            Some(Ok(Spliced::Unusable)) => "snapshot has a number that cannot be read",
            Some(Err(complaint)) => complaint,
            None => "snapshot is not JSON",
        };
        fault(out, FaultKind::SnapshotFailed, format!("{}: {complaint}", market.instrument.native));
        self.snapshots.again(now, index);
    }

    fn on_data(&mut self, now: Now, line: Line, message: &Message<'_, '_>, out: &mut Output) {
        let symbol = match message {
            Message::Quote(text) => text.symbol,
            Message::Trade(text) => text.symbol,
            Message::Depth(text) => text.symbol,
            _ => return,
        };
        let Some(overlap) = self.lines.data(now, line) else { return };
        let Some(index) = self.by_native.get(symbol).copied() else {
            return fault(out, FaultKind::UnknownInstrument, format!("{}: data for '{symbol}'", self.venue));
        };
        // Data may overtake the acknowledgement.
        self.speaks(now, line, out);
        let market = &mut self.markets[index as usize];
        let need = match message {
            Message::Quote(text) => market.on_quote(now, text, overlap, out),
            Message::Trade(text) => market.on_trade(now, text, overlap, out),
            Message::Depth(text) => market.on_diff(now, text, overlap, out),
            _ => Need::Nothing,
        };
        self.serve(now, index, need, out);
        if let (Need::SnapshotAndRepeat, Message::Depth(text)) = (need, message) {
            let market = &mut self.markets[index as usize];
            if market.sequencer.is_keeping() {
                market.on_diff(now, text, overlap, out);
            }
        }
    }

    fn on_answer(&mut self, now: Now, line: Line, id: Option<u64>, refusal: Option<(i64, &str)>, out: &mut Output) {
        if let Some((code, reason)) = refusal {
            fault(out, FaultKind::Refused, format!("{}: request refused with {code}: {reason}", self.venue));
        }
        // Without an id it cannot be told what was refused; the time-out for the answer will do.
        let Some(id) = id else { return };
        if let Answered::Subscribed(markets) = self.lines.answered(now, line, id, refusal.is_none()) {
            self.speaks(now, line, out);
            for index in markets {
                let market = &mut self.markets[index as usize];
                market.subscribed(now, out);
                if !market.sequencer.is_live() && !market.sequencer.is_keeping() {
                    self.serve(now, index, Need::Snapshot, out);
                }
            }
        }
    }
}

impl Adapter for Binance {
    fn venue(&self) -> &str {
        &self.feed.venue
    }

    fn caps(&self) -> &VenueCaps {
        &self.feed.caps
    }

    fn start(&mut self, _now: Now, out: &mut Output) {
        self.feed.fetch_list(out);
    }

    fn on_open(&mut self, now: Now, line: Line, out: &mut Output) {
        let markets = &self.feed.markets;
        self.feed.lines.opened(now, line, &|market| markets[market as usize].instrument.native.clone(), out);
    }

    fn on_message(&mut self, now: Now, line: Line, payload: &mut Vec<u8>, out: &mut Output) {
        let Self { parser, feed } = self;
        let complaint = parser.parse(payload, |root| match decode::message(root) {
            Ok(Message::Ack { id }) => {
                feed.on_answer(now, line, id, None, out);
                None
            }
            Ok(Message::Refused { id, code, reason }) => {
                feed.on_answer(now, line, id, Some((code, reason)), out);
                None
            }
            Ok(Message::Shutdown) => {
                feed.lines.shutdown(line, out);
                None
            }
            Ok(Message::Other) => None,
            Ok(message) => {
                feed.on_data(now, line, &message, out);
                None
            }
            Err(complaint) => Some(complaint),
        });
        if let Some(complaint) = complaint.unwrap_or(Some("not JSON")) {
            fault(out, FaultKind::BadMessage, format!("{}: {complaint}", feed.venue));
        }
    }

    fn on_response(&mut self, now: Now, fetch: Fetch, result: Result<Vec<u8>, FetchError>, out: &mut Output) {
        if self.feed.list_fetch == Some(fetch) {
            self.feed.on_list(now, result, out);
        } else if let Some(index) = self.feed.snapshots.answered(fetch) {
            self.feed.on_snapshot(&mut self.parser, now, index, result, out);
        }
        self.feed.fetch_snapshots(now, out);
    }

    fn on_close(&mut self, now: Now, line: Line, cause: Cause, out: &mut Output) {
        let state = if cause == Cause::Silence { FeedState::Stale } else { FeedState::Down };
        let (markets, of_link) = match self.feed.lines.lost(line, out) {
            Some(Lost::Link(link, markets)) => {
                self.feed.tell_link(now, link, Some((state, cause)), out);
                (markets, true)
            }
            Some(Lost::Uncovered(markets)) => (markets, false),
            Some(Lost::Covered) | None => return,
        };
        for index in markets {
            self.feed.markets[index as usize].line_lost(now, state, cause, of_link, out);
            self.feed.snapshots.forget(index);
        }
    }

    fn on_tick(&mut self, now: Now, out: &mut Output) {
        if self.feed.list_fetch.is_none() && now.mono >= self.feed.list_due {
            self.feed.fetch_list(out);
        }
        self.feed.snapshots.tick(now);
        self.feed.fetch_snapshots(now, out);
        let markets = &self.feed.markets;
        let ended = self.feed.lines.tick(
            now,
            &|market| markets[market as usize].instrument.native.clone(),
            &|market| markets[market as usize].caught_up(),
            out,
        );
        for index in ended {
            self.feed.markets[index as usize].overlap_ended();
        }
    }

    fn instruments_known(&self) -> bool {
        self.feed.known
    }
}

fn fault(out: &mut Output, kind: FaultKind, detail: String) {
    out.faults.push(Fault { kind, detail });
}

/// The symbols of the settings, each once, or what is wrong with one.
fn symbols(venue: &str, settings: &FeedSettings) -> Result<Vec<String>, FeedError> {
    let mut symbols: Vec<String> = Vec::with_capacity(settings.symbols.len());
    for symbol in &settings.symbols {
        let bad = |reason| FeedError::BadSymbol { venue: venue.to_owned(), symbol: symbol.clone(), reason };
        let name = symbol.strip_prefix('!').unwrap_or(symbol);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
            return Err(bad("letters, digits, '.', '-' and '_' only"));
        }
        if name.len() == symbol.len() && !name.contains('-') {
            return Err(bad("write BASE-QUOTE, for example BTC-USDT, or !BTCUSDT for the venue's own spelling"));
        }
        let symbol = symbol.to_ascii_uppercase();
        if !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
    }
    if symbols.is_empty() {
        return Err(FeedError::NoSymbols { venue: venue.to_owned() });
    }
    Ok(symbols)
}

#[cfg(test)]
#[path = "adapter_tests.rs"]
mod tests;
