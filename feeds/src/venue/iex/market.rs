//! What IEX's segments make of the market. In: UDP payloads with the time of their capture. Out: events and faults, appended to an
//! `Output`. Bounded by `MAX_INSTRUMENTS`, and by `MAX_PENDING` levels a symbol while an event is not complete.

use super::counts::Counts;
use super::message::{EVENT_COMPLETE, Message, MessageError, Priced, Symbol};
use super::segment::{Continuity, Position, parse};
use super::{MAX_INSTRUMENTS, PRICE_EXPONENT, Protocol};
use crate::adapter::{Fault, FaultKind, Output};
use crate::settings::ChannelName;
use crate::symbol::topic_symbol;
use std::collections::{HashMap, HashSet};
use wire::event::{
    Aggressor, Cause, Channel, Event, EventBody, FeedState, Flags, Level, Nanos, Quote, Side, Trade, TradingState,
};
use wire::instrument::{Instrument, InstrumentClass};

/// An event changes one level, seldom a few dozen; one without an end is put out in parts.
const MAX_PENDING: usize = 1_024;

/// Of a quote: nothing can be traded with it.
const QUOTE_UNAVAILABLE: u8 = 0x80;

/// All symbols of one stream. The first TOPS or DEEP segment decides which of the two it is; the other is counted and left out.
pub struct Market {
    wants: [bool; 3],
    /// Empty: all.
    wanted: HashSet<Symbol, foldhash::fast::RandomState>,
    index: HashMap<Symbol, u32, foldhash::fast::RandomState>,
    listed: Vec<Listed>,
    protocol: Option<Protocol>,
    continuity: Continuity,
    began: bool,
    /// Why books cannot be trusted; `None` while nothing is missing since the stream began.
    doubt: Option<Cause>,
    counts: Counts,
}

struct Listed {
    status: TradingState,
    halted_here: bool,
    told: [Option<FeedState>; 3],
    /// No gap was told since the last trade.
    gap_is_news: bool,
    /// Its book was updated since the stream began.
    has_book: bool,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

/// Whose message it is, and when it came.
#[derive(Clone, Copy)]
struct At {
    index: u32,
    time: Nanos,
    received: Nanos,
}

fn slot(channel: Channel) -> usize {
    match channel {
        Channel::Quote => 0,
        Channel::Trade => 1,
        Channel::Book => 2,
    }
}

impl Market {
    /// `wanted`: only these symbols; empty: all that turn up.
    pub(super) fn new(channels: &[ChannelName], wanted: Vec<Symbol>) -> Self {
        let wants = [ChannelName::Quote, ChannelName::Trade, ChannelName::Book].map(|channel| channels.contains(&channel));
        Self {
            wants,
            wanted: wanted.into_iter().collect(),
            index: HashMap::default(),
            listed: Vec::new(),
            protocol: None,
            continuity: Continuity::default(),
            began: false,
            doubt: None,
            counts: Counts::default(),
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What the stream carries, once that is known.
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// True where the symbols are named: they are announced with the first segment.
    pub fn instruments_known(&self) -> bool {
        !self.wanted.is_empty() && self.protocol.is_some()
    }

    /// One UDP payload, received at `received`.
    pub fn on_payload(&mut self, received: Nanos, payload: &[u8], out: &mut Output) {
        let (header, mut messages) = match parse(payload) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.counts.not_segments += 1;
                return fault(out, FaultKind::BadMessage, || format!("a payload of {} bytes is {error}", payload.len()));
            }
        };
        self.counts.segments += 1;
        self.counts.heartbeats += u64::from(header.count == 0);
        self.counts.protocol(header.protocol);
        let Some(protocol) = Protocol::from_number(header.protocol) else {
            messages.by_ref().for_each(|message| self.count(message));
            return;
        };
        if *self.protocol.get_or_insert(protocol) != protocol {
            messages.by_ref().for_each(|message| self.count(message));
            return;
        }
        let position = self.continuity.step(&header);
        self.follow(position, received, out);
        let seen = match position {
            Position::Duplicate => u16::MAX,
            Position::Overlap { seen } => seen,
            _ => 0,
        };
        for (number, bytes) in (0u16..).zip(messages.by_ref()) {
            if number >= seen {
                self.on_message(received, bytes, out);
            }
        }
        if messages.missing() > 0 && position != Position::Duplicate {
            self.counts.cut += 1;
            fault(out, FaultKind::BadMessage, || {
                format!("segment {}: {} messages are cut off", header.first, messages.missing())
            });
            self.lost(received, out);
        }
    }

    fn follow(&mut self, position: Position, received: Nanos, out: &mut Output) {
        match position {
            Position::Next => self.counts.continued += 1,
            Position::Duplicate => {
                self.counts.duplicates += 1;
            }
            Position::Overlap { .. } => self.counts.continued += 1,
            Position::Begin | Position::Middle => {
                self.doubt = (position == Position::Middle).then_some(Cause::Startup);
                if std::mem::replace(&mut self.began, true) {
                    self.counts.restarts += 1;
                    self.begin_anew(received, out);
                } else {
                    self.announce_wanted(received, out);
                }
            }
            Position::Gap { missing } => {
                self.counts.gaps += 1;
                self.counts.missing_messages = self.counts.missing_messages.saturating_add(missing.unwrap_or(0));
                fault(out, FaultKind::SequenceGap, || match missing {
                    Some(missing) => format!("{missing} messages are missing"),
                    None => "the stream's offset jumps, its numbers do not".to_owned(),
                });
                self.lost(received, out);
            }
        }
    }

    fn announce_wanted(&mut self, received: Nanos, out: &mut Output) {
        let mut wanted: Vec<_> = self.wanted.iter().copied().collect();
        wanted.sort_unstable();
        for symbol in wanted {
            self.list(symbol, received, out);
        }
    }

    /// The stream began anew: books are empty, and complete if it began with its first message.
    fn begin_anew(&mut self, received: Nanos, out: &mut Output) {
        for index in 0..self.listed.len() as u32 {
            let at = At { index, time: 0, received };
            let listed = &mut self.listed[index as usize];
            listed.bids.clear();
            listed.asks.clear();
            let had_book = std::mem::take(&mut listed.has_book);
            self.trades_lost(at, out);
            if had_book {
                let none = out.batch.levels.len() as u32;
                put(out, at, Flags::LAST, EventBody::Book { bids: none..none, asks: none..none, snapshot: true });
            }
            if self.carries(Channel::Book) {
                match self.doubt {
                    None => self.tell(at, Channel::Book, FeedState::Live, Cause::None, out),
                    Some(cause) => self.tell(at, Channel::Book, FeedState::Resyncing, cause, out),
                }
            }
            if self.carries(Channel::Quote) {
                self.tell(at, Channel::Quote, FeedState::Resyncing, Cause::SequenceGap, out);
            }
        }
    }

    /// Messages are missing, of which symbols nobody knows.
    fn lost(&mut self, received: Nanos, out: &mut Output) {
        self.doubt = Some(Cause::SequenceGap);
        for index in 0..self.listed.len() as u32 {
            let at = At { index, time: 0, received };
            self.trades_lost(at, out);
            for channel in [Channel::Quote, Channel::Book] {
                if self.carries(channel) {
                    self.tell(at, channel, FeedState::Resyncing, Cause::SequenceGap, out);
                }
            }
        }
    }

    /// Told once until the next trade: the same hole twice is one hole.
    fn trades_lost(&mut self, at: At, out: &mut Output) {
        let listed = &mut self.listed[at.index as usize];
        if self.wants[slot(Channel::Trade)] && std::mem::take(&mut listed.gap_is_news) {
            put(out, at, Flags::default(), EventBody::Gap { channel: Channel::Trade, missing: None, cause: Cause::SequenceGap });
        }
    }

    /// The stream has such messages, and they are wanted.
    fn carries(&self, channel: Channel) -> bool {
        let of_protocol = match channel {
            Channel::Trade => true,
            Channel::Quote => self.protocol == Some(Protocol::Tops),
            Channel::Book => self.protocol == Some(Protocol::Deep),
        };
        of_protocol && self.wants[slot(channel)]
    }

    fn count(&mut self, bytes: &[u8]) {
        if let Some(kind) = bytes.first() {
            self.counts.messages[usize::from(*kind)] += 1;
        }
    }

    fn on_message(&mut self, received: Nanos, bytes: &[u8], out: &mut Output) {
        self.count(bytes);
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(MessageError::Unknown) => {
                self.counts.unknown += 1;
                return;
            }
            Err(MessageError::Short) => {
                self.counts.short += 1;
                return fault(out, FaultKind::BadMessage, || {
                    format!("a message of {} bytes is too short: {bytes:?}", bytes.len())
                });
            }
        };
        match message {
            Message::System { time, event } => self.system(time, received, event, out),
            Message::Directory { symbol, .. } => {
                self.list(symbol, received, out);
            }
            Message::TradingStatus { symbol, time, status, .. } => {
                let Some(at) = self.at(symbol, time, received, out) else { return };
                let status = match status {
                    b'T' => TradingState::Open,
                    b'H' => TradingState::Halted,
                    // Orders are taken for the auction that ends a halt or a pause.
                    b'O' | b'P' => TradingState::Auction,
                    _ => TradingState::Unknown,
                };
                self.trading(at, |listed| listed.status = status, out);
            }
            Message::OperationalHalt { symbol, time, status } => {
                let Some(at) = self.at(symbol, time, received, out) else { return };
                self.trading(at, |listed| listed.halted_here = status == b'O', out);
            }
            Message::Quote { symbol, time, flags, bid_size, bid_price, ask_price, ask_size } => {
                let Some(at) = self.at(symbol, time, received, out) else { return };
                self.quote(at, flags, (bid_price, bid_size), (ask_price, ask_size), out);
            }
            Message::Trade { trade, id } => {
                let Some(at) = self.at(trade.symbol, trade.time, received, out) else { return };
                self.trade(at, &trade, id, out);
            }
            Message::BuyLevel(level) => self.level(Side::Bid, &level, received, out),
            Message::SellLevel(level) => self.level(Side::Ask, &level, received, out),
            Message::TradeBreak { trade, .. } => {
                let Some(at) = self.at(trade.symbol, trade.time, received, out) else { return };
                // Nothing is missing, but what was made of the trades holds one that does not count any more.
                if self.wants[slot(Channel::Trade)] {
                    put(
                        out,
                        at,
                        Flags::LAST,
                        EventBody::Gap { channel: Channel::Trade, missing: Some(0), cause: Cause::BadData },
                    );
                }
            }
            // There is no event for these.
            Message::ShortSale { .. }
            | Message::SecurityEvent { .. }
            | Message::RetailLiquidity { .. }
            | Message::OfficialPrice { .. }
            | Message::Auction { .. } => {}
        }
    }

    /// Lists the symbol if need be; `None` if it is not wanted, or none.
    fn at(&mut self, symbol: Symbol, time: Nanos, received: Nanos, out: &mut Output) -> Option<At> {
        let index = match self.index.get(&symbol) {
            Some(index) => *index,
            None => self.list(symbol, received, out)?,
        };
        Some(At { index, time, received })
    }

    fn list(&mut self, symbol: Symbol, received: Nanos, out: &mut Output) -> Option<u32> {
        if let Some(index) = self.index.get(&symbol) {
            return Some(*index);
        }
        if !self.wanted.is_empty() && !self.wanted.contains(&symbol) {
            return None;
        }
        if !symbol.is_valid() || self.listed.len() >= MAX_INSTRUMENTS {
            fault(out, FaultKind::UnknownInstrument, || format!("not listed: symbol {:?}", symbol.0));
            return None;
        }
        let index = self.listed.len() as u32;
        self.index.insert(symbol, index);
        self.listed.push(Listed {
            status: TradingState::Unknown,
            halted_here: false,
            told: [None; 3],
            gap_is_news: true,
            has_book: false,
            bids: Vec::new(),
            asks: Vec::new(),
        });
        let at = At { index, time: 0, received };
        put(out, at, Flags::default(), EventBody::Instrument(Box::new(instrument(symbol))));
        if self.carries(Channel::Trade) {
            self.tell(at, Channel::Trade, FeedState::Live, Cause::None, out);
        }
        if self.carries(Channel::Book) {
            match self.doubt {
                None => self.tell(at, Channel::Book, FeedState::Live, Cause::None, out),
                Some(cause) => self.tell(at, Channel::Book, FeedState::Resyncing, cause, out),
            }
        }
        Some(index)
    }

    fn system(&mut self, time: Nanos, received: Nanos, event: u8, out: &mut Output) {
        // The end of system hours, or of messages: nothing trades any more.
        if matches!(event, b'E' | b'C') {
            for index in 0..self.listed.len() as u32 {
                self.trading(At { index, time, received }, |listed| listed.status = TradingState::Closed, out);
            }
        }
    }

    fn trading(&mut self, at: At, change: impl FnOnce(&mut Listed), out: &mut Output) {
        let listed = &mut self.listed[at.index as usize];
        let before = listed.trading();
        change(listed);
        let after = listed.trading();
        if before != after {
            put(out, at, Flags::LAST, EventBody::Trading(after));
        }
    }

    fn quote(&mut self, at: At, flags: u8, bid: (i64, u32), ask: (i64, u32), out: &mut Output) {
        if !self.carries(Channel::Quote) {
            return;
        }
        self.tell(at, Channel::Quote, FeedState::Live, Cause::None, out);
        // An empty side is price 0 and size 0; while a symbol is halted there is no quote at all.
        let available = flags & QUOTE_UNAVAILABLE == 0;
        let side = |(price, size): (i64, u32)| match available && price > 0 && size > 0 {
            true => (Some(price), Some(i64::from(size))),
            false => (None, None),
        };
        let ((bid_price, bid_size), (ask_price, ask_size)) = (side(bid), side(ask));
        put(out, at, Flags::LAST, EventBody::Quote(Quote { bid_price, bid_size, ask_price, ask_size }));
    }

    fn trade(&mut self, at: At, trade: &Priced, id: i64, out: &mut Output) {
        if !self.wants[slot(Channel::Trade)] {
            return;
        }
        if trade.price <= 0 || trade.size == 0 {
            return fault(out, FaultKind::BadMessage, || format!("{}: trade {id} of nothing", trade.symbol.text()));
        }
        self.listed[at.index as usize].gap_is_news = true;
        let trade = Trade {
            price: trade.price,
            size: i64::from(trade.size),
            aggressor: Aggressor::Unknown,
            id: Some(id),
            aggregated: false,
        };
        put(out, at, Flags::LAST, EventBody::Trade(trade));
    }

    fn level(&mut self, side: Side, level: &Priced, received: Nanos, out: &mut Output) {
        if !self.carries(Channel::Book) {
            return;
        }
        let Some(at) = self.at(level.symbol, level.time, received, out) else { return };
        if level.price <= 0 {
            return fault(out, FaultKind::BadMessage, || format!("{}: a level at price {}", level.symbol.text(), level.price));
        }
        let listed = &mut self.listed[at.index as usize];
        let levels = if side == Side::Bid { &mut listed.bids } else { &mut listed.asks };
        levels.push(Level { price: level.price, size: i64::from(level.size) });
        let complete = level.flags & EVENT_COMPLETE != 0;
        if !complete && listed.bids.len() + listed.asks.len() < MAX_PENDING {
            return;
        }
        listed.has_book = true;
        let start = out.batch.levels.len() as u32;
        out.batch.levels.append(&mut listed.bids);
        let middle = out.batch.levels.len() as u32;
        out.batch.levels.append(&mut listed.asks);
        let end = out.batch.levels.len() as u32;
        let mut flags = if complete { Flags::LAST } else { Flags::default() };
        if self.doubt.is_some() {
            flags = flags.with(Flags::MAYBE_BAD_BOOK);
        }
        put(out, at, flags, EventBody::Book { bids: start..middle, asks: middle..end, snapshot: false });
    }

    fn tell(&mut self, at: At, channel: Channel, state: FeedState, cause: Cause, out: &mut Output) {
        let told = &mut self.listed[at.index as usize].told[slot(channel)];
        if *told != Some(state) {
            *told = Some(state);
            put(out, At { time: 0, ..at }, Flags::default(), EventBody::State { channel: Some(channel), state, cause });
        }
    }

    #[cfg(test)]
    pub(super) fn told(&self, symbol: &str) -> [Option<FeedState>; 3] {
        let index = Symbol::parse(symbol).and_then(|symbol| self.index.get(&symbol)).expect("the symbol is listed");
        self.listed[*index as usize].told
    }

    pub fn instruments(&self) -> usize {
        self.listed.len()
    }

    /// How many books cannot be trusted at the end.
    pub fn doubtful_books(&self) -> usize {
        let book = slot(Channel::Book);
        self.listed.iter().filter(|listed| listed.told[book] == Some(FeedState::Resyncing)).count()
    }
}

impl Listed {
    fn trading(&self) -> TradingState {
        if self.halted_here && self.status != TradingState::Closed { TradingState::Halted } else { self.status }
    }
}

fn instrument(symbol: Symbol) -> Instrument {
    let native = symbol.text();
    Instrument {
        symbol: topic_symbol(&native),
        native,
        class: InstrumentClass::Equity,
        price_exponent: PRICE_EXPONENT,
        size_exponent: 0,
        // A cent for most quotes, but trades at midpoints are finer: IEX does not say.
        tick: 0,
        // Single shares; a round lot is another thing.
        lot: 1,
        quote_has_event_time: true,
        trade_has_event_time: true,
        book_has_event_time: true,
        event_time_exponent: -9,
    }
}

fn put(out: &mut Output, at: At, flags: Flags, body: EventBody) {
    let At { index, time, received } = at;
    out.batch.events.push(Event { instrument: index, event_time: time, received, flags, body });
}

fn fault(out: &mut Output, kind: FaultKind, detail: impl FnOnce() -> String) {
    out.faults.push(Fault { kind, detail: detail() });
}
