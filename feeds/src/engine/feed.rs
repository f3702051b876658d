//! One feed of a venue that is described by a `Protocol`. In: what the supervisor hands on. Out: events, actions, faults.
//! Bounded by the settings' symbols.

use super::decoded::{Decoded, Item};
use super::facts::{Facts, SnapshotFrom, TradeIds};
use super::instruments::List;
use super::legs::{Watch, line_addresses};
use super::lines::{Framed, Lines, Words};
use super::listing::Listed;
use super::market::{BookMessage, Market, Rules};
use super::protocol::Protocol;
use super::snapshots::Snapshots;
use crate::adapter::{Action, Adapter, Fault, FaultKind, Fetch, FetchError, Line, Now, Output, VenueCaps};
use crate::error::FeedError;
use crate::settings::FeedSettings;
use wire::event::{Cause, Channel, FeedState};

/// The venue's own addresses, used where the settings name none.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub name: &'static str,
    pub ws_url: &'static str,
    pub rest_url: &'static str,
}

/// The adapter of the venue that `protocol` describes.
pub fn engine(protocol: Box<dyn Protocol>, own: Addresses, settings: &FeedSettings) -> Result<Box<dyn Adapter>, FeedError> {
    let feed = Feed::new(protocol.as_ref(), own, settings)?;
    Ok(Box::new(Engine { protocol, decoded: Decoded::default(), scratch: Vec::new(), feed }))
}

struct Engine {
    protocol: Box<dyn Protocol>,
    decoded: Decoded,
    scratch: Vec<u8>,
    feed: Feed,
}

pub(super) struct Feed {
    pub(super) facts: Facts,
    pub(super) rules: Rules,
    pub(super) venue: String,
    pub(super) rest_url: String,
    pub(super) channels: Vec<Channel>,
    /// Symbols asked for that are not listed (yet).
    pub(super) missing: Vec<String>,
    pub(super) known: bool,
    pub(super) markets: Vec<Market>,
    pub(super) lines: Lines,
    pub(super) snapshots: Snapshots,
    pub(super) list: List,
    pub(super) token: Token,
    pub(super) watch: Watch,
    /// By link: why it is lost.
    pub(super) lost: Vec<Option<(FeedState, Cause)>>,
    pub(super) next_fetch: u64,
    pub(super) is_replay: bool,
    /// A replay: instruments made from the data.
    pub(super) made: Vec<Listed>,
    /// A replay without a list of instruments.
    pub(super) unlisted: bool,
}

pub(super) struct Token {
    pub(super) fetch: Option<Fetch>,
    pub(super) due: i64,
    pub(super) failures: u32,
}

impl Feed {
    fn new(protocol: &dyn Protocol, own: Addresses, settings: &FeedSettings) -> Result<Self, FeedError> {
        let venue = settings.name.clone().unwrap_or_else(|| own.name.to_owned());
        let missing = symbols(&venue, settings)?;
        let mut facts = protocol.facts().clone();
        let streams = protocol.streams().to_vec();
        let carried = |channel: &Channel| streams.iter().any(|stream| stream.carries.contains(channel));
        let channels: Vec<Channel> = settings.channels.iter().map(|name| name.channel()).filter(carried).collect();
        if channels.is_empty() {
            return Err(FeedError::NoChannels { venue });
        }
        facts.caps.silence_ms = settings.silence_ms.unwrap_or(facts.caps.silence_ms);
        let base = |url: &Option<String>, own: &str| url.as_deref().unwrap_or(own).trim_end_matches('/').to_owned();
        let bases = line_addresses(&venue, base(&settings.ws_url, own.ws_url), &facts, settings)?;
        let urls: Vec<Vec<String>> = bases.iter().map(|base| protocol.urls(base)).collect();
        let mut rules = Rules::of(&facts);
        rules.depth = protocol.depth().map(|depth| depth as usize);
        Ok(Self {
            rules,
            venue,
            rest_url: base(&settings.rest_url, own.rest_url),
            channels,
            missing,
            known: false,
            markets: Vec::new(),
            lines: Lines::new(urls, streams, facts.clone()),
            facts,
            snapshots: Snapshots::default(),
            list: List::default(),
            token: Token { fetch: None, due: i64::MIN, failures: 0 },
            watch: Watch::default(),
            lost: Vec::new(),
            next_fetch: 0,
            is_replay: false,
            made: Vec::new(),
            unlisted: false,
        })
    }

    pub(super) fn fetch(&mut self, url: String, weight: u32, post: bool, out: &mut Output) -> Fetch {
        self.next_fetch += 1;
        let fetch = Fetch(self.next_fetch);
        out.actions.push(Action::Fetch { fetch, url, weight, post });
        fetch
    }
}

impl Engine {
    /// What one message says, item by item.
    fn take(&mut self, now: Now, line: Line, out: &mut Output) {
        let Self { protocol, decoded, scratch, feed } = self;
        let mut items = std::mem::take(&mut decoded.items);
        if decoded.unknown > 0 {
            let detail = format!("{}: data for '{}'", feed.venue, decoded.first_unknown);
            fault(out, FaultKind::UnknownInstrument, detail);
        }
        let mut listed = Vec::new();
        for item in items.iter_mut() {
            // One stream may carry more than was asked for.
            let unasked = match item {
                Item::Quote { instrument, .. } => !feed.markets[*instrument as usize].takes(Channel::Quote),
                Item::Trade { instrument, .. } => !feed.markets[*instrument as usize].takes(Channel::Trade),
                Item::Book { instrument, .. } => !feed.markets[*instrument as usize].takes(Channel::Book),
                _ => false,
            };
            if unasked {
                // A sign of life all the same.
                if feed.data(now, line, out).is_none() {
                    break;
                }
                continue;
            }
            match item {
                Item::Quote { instrument, quote } => {
                    let Some(came) = feed.data(now, line, out) else { break };
                    let need = feed.markets[*instrument as usize].on_quote(now, quote, came, out);
                    feed.serve(now, *instrument, need, protocol.as_ref(), out);
                }
                Item::Trade { instrument, trade } => {
                    let Some(came) = feed.data(now, line, out) else { break };
                    // What the line about to replace another brings counts only where ids tell old from new.
                    let followed = trade.id.is_some() && feed.facts.trade_ids != TradeIds::None;
                    if followed || !came.is_next {
                        let need = feed.markets[*instrument as usize].on_trade(now, trade, came, out);
                        feed.serve(now, *instrument, need, protocol.as_ref(), out);
                    }
                }
                Item::Book { instrument, book, bids, asks } => {
                    let Some(came) = feed.data(now, line, out) else { break };
                    let message =
                        BookMessage { update: book, bids: &decoded.bids[bids.clone()], asks: &decoded.asks[asks.clone()] };
                    feed.on_book(now, line, *instrument, message, came, protocol.as_ref(), scratch, out);
                }
                Item::Trading { instrument, trading } => feed.markets[*instrument as usize].on_trading(now, *trading, out),
                Item::Frame(number) => match feed.lines.framed(line, *number) {
                    Framed::Next => {}
                    Framed::Again => {
                        fault(out, FaultKind::Duplicate, format!("{}: message {number} again", feed.venue));
                        break;
                    }
                    Framed::Gap { missing } => {
                        feed.frames_missing(now, line, *number, missing, out);
                        break;
                    }
                },
                Item::Hello => feed.greeted(now, line, protocol.as_ref(), out),
                Item::Granted(about) => feed.on_granted(now, line, about, protocol.as_ref(), out),
                Item::Refused(about, reason) => feed.on_refused(now, line, about, reason, protocol.as_ref(), out),
                Item::Listed(one) => listed.push((**one).clone()),
                Item::Reply(text) => out.actions.push(Action::Send { line, text: std::mem::take(text) }),
                Item::Shutdown => feed.lines.shutdown(line, out),
            }
        }
        items.clear();
        if !out.races.is_empty() {
            feed.note_leads(out);
        }
        // Always the same buffer: it has grown to its size once the longest message was here.
        decoded.items = items;
        if !listed.is_empty() {
            feed.on_list(now, listed, protocol.as_ref(), decoded, out);
        }
    }
}

impl Adapter for Engine {
    fn venue(&self) -> &str {
        &self.feed.venue
    }

    fn caps(&self) -> &VenueCaps {
        &self.feed.facts.caps
    }

    fn replayed(&mut self, instruments: Vec<Listed>, listed: bool) {
        self.feed.is_replay = true;
        self.feed.made = instruments;
        self.feed.unlisted = !listed;
        self.feed.lines.without_tokens();
        self.feed.snapshots.replayed(matches!(self.feed.facts.snapshot, SnapshotFrom::Rest { .. }));
    }

    fn start(&mut self, now: Now, out: &mut Output) {
        self.feed.begin(now, self.protocol.as_ref(), &mut self.decoded, out);
        self.feed.address(now, self.protocol.as_ref(), out);
    }

    fn on_open(&mut self, now: Now, line: Line, out: &mut Output) {
        let greeting = self.protocol.greeting(line, self.feed.lines.endpoint_of(line), self.feed.lines.is_first(line));
        let markets = &self.feed.markets;
        let native = |market: u32| markets[market as usize].instrument.native.clone();
        self.feed.lines.opened(now, line, greeting, &Words { protocol: self.protocol.as_ref(), native: &native }, out);
        if !self.feed.facts.waits_for_hello {
            self.feed.taken_for_granted(now, line, self.protocol.as_ref(), out);
        }
    }

    fn on_message(&mut self, now: Now, line: Line, payload: &mut Vec<u8>, out: &mut Output) {
        self.feed.lines.heard(now, line);
        self.decoded.clear();
        match self.protocol.decode(line, payload, &mut self.decoded) {
            Ok(()) => self.take(now, line, out),
            Err(complaint) => fault(out, FaultKind::BadMessage, format!("{}: {complaint}", self.feed.venue)),
        }
        self.feed.address(now, self.protocol.as_ref(), out);
    }

    fn on_response(&mut self, now: Now, fetch: Fetch, result: Result<Vec<u8>, FetchError>, out: &mut Output) {
        let Self { protocol, decoded, feed, .. } = self;
        if let Some(at) = feed.list.fetches.iter().position(|page| page.fetch == fetch) {
            let page = feed.list.fetches.swap_remove(at);
            feed.on_list_part(now, &page, result, protocol.as_ref(), decoded, out);
        } else if feed.token.fetch == Some(fetch) {
            feed.on_token(now, result, protocol.as_ref(), out);
        } else if let Some(index) = feed.snapshots.answered(fetch) {
            feed.on_snapshot(now, index, result, protocol.as_mut(), decoded, out);
        }
        feed.ask_for_snapshots(now, protocol.as_ref(), out);
        feed.address(now, protocol.as_ref(), out);
    }

    fn on_close(&mut self, now: Now, line: Line, cause: Cause, out: &mut Output) {
        self.feed.on_lost(now, line, cause, self.protocol.as_ref(), out);
        self.feed.address(now, self.protocol.as_ref(), out);
    }

    fn on_tick(&mut self, now: Now, out: &mut Output) {
        let Self { protocol, feed, .. } = self;
        let protocol = protocol.as_ref();
        feed.tend_list(now, protocol, out);
        feed.tend_books(now, protocol, out);
        feed.tend_lines(now, protocol, out);
        let markets = &feed.markets;
        let native = |market: u32| markets[market as usize].instrument.native.clone();
        let caught_up = |market: u32| markets[market as usize].caught_up();
        let ended = feed.lines.tick(now, &Words { protocol, native: &native }, &caught_up, out);
        for index in ended {
            let need = feed.markets[index as usize].overlap_ended(now, out);
            feed.serve(now, index, need, protocol, out);
            feed.retire_book(now, index, protocol, out);
        }
        feed.address(now, protocol, out);
    }

    fn instruments_known(&self) -> bool {
        self.feed.known
    }
}

pub(super) fn fault(out: &mut Output, kind: FaultKind, detail: String) {
    out.faults.push(Fault { kind, detail });
}

/// The symbols of the settings, each once, or what is wrong with one.
fn symbols(venue: &str, settings: &FeedSettings) -> Result<Vec<String>, FeedError> {
    let mut symbols: Vec<String> = Vec::with_capacity(settings.symbols.len());
    for symbol in &settings.symbols {
        let bad = |reason| FeedError::BadSymbol { venue: venue.to_owned(), symbol: symbol.clone(), reason };
        let name = symbol.strip_prefix('!').unwrap_or(symbol);
        let native = name.len() < symbol.len();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) || (native && b"/:=".contains(&byte));
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(bad("letters, digits, '.', '-' and '_' only"));
        }
        if !native && !name.contains('-') {
            return Err(bad("write BASE-QUOTE, for example BTC-USDT, or !BTCUSDT for the venue's own spelling"));
        }
        // The venue's own spelling may mean case.
        let symbol = if native { symbol.clone() } else { symbol.to_ascii_uppercase() };
        if !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
    }
    if symbols.is_empty() {
        return Err(FeedError::NoSymbols { venue: venue.to_owned() });
    }
    Ok(symbols)
}
