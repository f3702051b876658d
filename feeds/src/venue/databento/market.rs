//! What DBN records make of the market. In: metadata and records, with the time they were received. Out: events and faults, appended
//! to an `Output`. Bounded by `MAX_INSTRUMENTS`, ten levels a side or the orders of `OrderBooks`.

use super::MAX_INSTRUMENTS;
use super::book::{Ten, all, changes};
use super::counts::Counts;
use super::listing::Listing;
use super::scale::{defined, needs, unit};
use crate::adapter::{Fault, FaultKind, Output};
use crate::orders::{Changes, Limits, OrderBooks};
use crate::settings::ChannelName;
use crate::symbol::topic_symbol;
use dbn::{
    BboMsg, CbboMsg, Cmbp1Msg, HasRType, InstrumentDefMsg, MboMsg, Mbp1Msg, Mbp10Msg, Metadata, RecordHeader, RecordRef, Schema,
    StatusMsg, SymbolMappingMsg, TradeMsg, rtype,
};
use std::collections::{HashMap, HashSet};
use wire::event::{Aggressor, Cause, Channel, Event, EventBody, FeedState, Flags, Level, Nanos, Quote, Trade, TradingState};
use wire::instrument::Instrument;

/// The index of an instrument that is not wanted.
const UNWANTED: u32 = u32::MAX;
/// The publisher of records that are the gateway's own.
pub(super) const NO_PUBLISHER: u16 = 0;
const DAY_NS: u64 = 86_400_000_000_000;

pub struct Market {
    wants: [bool; 3],
    wanted: HashSet<String>,
    listing: Listing,
    /// By publisher and the venue's own number.
    index: HashMap<(u16, u32), u32, foldhash::fast::RandomState>,
    /// The one that was listed last under this number.
    by_id: HashMap<u32, u32, foldhash::fast::RandomState>,
    pub(super) listed: Vec<Listed>,
    pub(super) orders: OrderBooks,
    /// What all records are, if one thing.
    schema: Option<Schema>,
    /// Instruments are listed when they are mapped, before there is data of them.
    lists_mapped: bool,
    /// What comes was missed while the connection was lost: nothing is live before it is over.
    catching_up: bool,
    pub(super) counts: Counts,
}

pub(super) struct Listed {
    id: u32,
    day: u64,
    instrument: Instrument,
    /// What one unit of its prices is in 1e-9.
    unit: i64,
    told: [Option<FeedState>; 3],
    gap_is_news: bool,
    quote: Option<Quote>,
    ten: Option<Box<Ten>>,
    pub(super) order_book: OrderBookState,
}

/// Of an order-level book.
pub(super) struct OrderBookState {
    pub changes: Changes,
    pub pending: usize,
    /// The next update is the whole book.
    pub whole: bool,
    pub in_snapshot: bool,
    pub doubt: Option<Cause>,
}

/// Whose record it is, and when it came.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub index: u32,
    pub time: Nanos,
    pub received: Nanos,
    pub flags: Flags,
}

pub(super) fn slot(channel: Channel) -> usize {
    match channel {
        Channel::Quote => 0,
        Channel::Trade => 1,
        Channel::Book => 2,
    }
}

/// A time of DBN; what is not set is 0.
pub(super) fn nanos(time: u64) -> Nanos {
    Nanos::try_from(time).unwrap_or(0)
}

impl Market {
    /// `wanted`: only these symbols, the venue's own or as in topics; empty: all that turn up.
    pub fn new(channels: &[ChannelName], wanted: HashSet<String>, limits: Limits) -> Self {
        Self {
            wants: [ChannelName::Quote, ChannelName::Trade, ChannelName::Book].map(|channel| channels.contains(&channel)),
            wanted,
            listing: Listing::default(),
            index: HashMap::default(),
            by_id: HashMap::default(),
            listed: Vec::new(),
            orders: OrderBooks::new(limits),
            schema: None,
            lists_mapped: false,
            catching_up: false,
            counts: Counts::default(),
        }
    }

    /// As the live gateway wants it: what is mapped was asked for, and may be quiet for long.
    pub fn listing_what_is_mapped(self) -> Self {
        Self { lists_mapped: true, ..self }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn instruments(&self) -> usize {
        self.listed.len()
    }

    /// Order-level books that are in doubt.
    pub fn doubtful_books(&self) -> usize {
        self.listed.iter().filter(|listed| listed.told[slot(Channel::Book)] == Some(FeedState::Resyncing)).count()
    }

    /// A new file or connection begins. `false`: its metadata do not name the instruments.
    pub fn on_metadata(&mut self, metadata: &Metadata) -> bool {
        self.schema = metadata.schema;
        self.listing.on_metadata(metadata)
    }

    /// `received`: when it came in; `None`: as the record itself says.
    pub fn on_record(&mut self, record: RecordRef<'_>, received: Option<Nanos>, out: &mut Output) {
        let kind = record.header().rtype;
        self.counts.records[usize::from(kind)] += 1;
        match kind {
            rtype::MBO => self.typed(record, out, |market, message: &MboMsg, out| market.mbo(message, received, out)),
            rtype::MBP_0 => self.typed(record, out, |market, message: &TradeMsg, out| {
                let Some(at) = market.at(&message.hd, message.ts_recv, message.flags.raw(), received, out) else { return };
                market.trade(at, message.price, message.size, message.side, out);
            }),
            rtype::MBP_1 => self.typed(record, out, |market, message: &Mbp1Msg, out| {
                let Some(at) = market.at(&message.hd, message.ts_recv, message.flags.raw(), received, out) else { return };
                let [pair] = &message.levels;
                market.traded(at, message.action, message.price, message.size, message.side, out);
                market.quote(at, (pair.bid_px, pair.bid_sz), (pair.ask_px, pair.ask_sz), out);
            }),
            rtype::MBP_10 => self.typed(record, out, |market, message: &Mbp10Msg, out| market.mbp10(message, received, out)),
            rtype::CMBP_1 | rtype::TCBBO => self.typed(record, out, |market, message: &Cmbp1Msg, out| {
                let Some(at) = market.at(&message.hd, message.ts_recv, message.flags.raw(), received, out) else { return };
                let [pair] = &message.levels;
                market.traded(at, message.action, message.price, message.size, message.side, out);
                market.quote(at, (pair.bid_px, pair.bid_sz), (pair.ask_px, pair.ask_sz), out);
            }),
            rtype::BBO_1S | rtype::BBO_1M => self.typed(record, out, |market, message: &BboMsg, out| {
                let Some(at) = market.at(&message.hd, message.ts_recv, message.flags.raw(), received, out) else { return };
                let [pair] = &message.levels;
                // `ts_event` is that of the last trade; the quote is of the end of the interval.
                let at = At { time: nanos(message.ts_recv), ..at };
                market.quote(at, (pair.bid_px, pair.bid_sz), (pair.ask_px, pair.ask_sz), out);
            }),
            rtype::CBBO_1S | rtype::CBBO_1M => self.typed(record, out, |market, message: &CbboMsg, out| {
                let Some(at) = market.at(&message.hd, message.ts_recv, message.flags.raw(), received, out) else { return };
                let [pair] = &message.levels;
                let at = At { time: nanos(message.ts_recv), ..at };
                market.quote(at, (pair.bid_px, pair.bid_sz), (pair.ask_px, pair.ask_sz), out);
            }),
            rtype::STATUS => self.typed(record, out, |market, message: &StatusMsg, out| {
                let Some(at) = market.at(&message.hd, message.ts_recv, 0, received, out) else { return };
                if let Some(state) = trading_state(message.action) {
                    put(out, at, EventBody::Trading(state));
                }
            }),
            rtype::INSTRUMENT_DEF => self.typed(record, out, |market, message: &InstrumentDefMsg, out| {
                market.definition(message, received, out);
            }),
            rtype::SYMBOL_MAPPING => {
                self.typed(record, out, |market, message: &SymbolMappingMsg, out| {
                    market.listing.on_mapping(message);
                    let (id, when) = (message.hd.instrument_id, message.hd.ts_event);
                    if market.lists_mapped && !market.is_listed(id, when) {
                        market.list(id, NO_PUBLISHER, when, received.unwrap_or(nanos(when)), out);
                    }
                });
            }
            // Bars and statistics are made from trades; what the gateway says is its connection's matter.
            rtype::OHLCV_DEPRECATED
            | rtype::OHLCV_1S
            | rtype::OHLCV_1M
            | rtype::OHLCV_1H
            | rtype::OHLCV_1D
            | rtype::OHLCV_EOD
            | rtype::IMBALANCE
            | rtype::STATISTICS
            | rtype::SYSTEM
            | rtype::ERROR => {}
            _ => self.counts.unknown += 1,
        }
    }

    /// Reads a record as what its type says it is.
    fn typed<T: HasRType<Header = RecordHeader>>(
        &mut self,
        record: RecordRef<'_>,
        out: &mut Output,
        read: impl FnOnce(&mut Self, &T, &mut Output),
    ) {
        match record.try_get::<T>() {
            Ok(message) => read(self, message, out),
            Err(_) => {
                self.counts.short += 1;
                let header = record.header();
                fault(out, FaultKind::BadMessage, || {
                    format!("a record of type {:#04x} of {} bytes", header.rtype, header.record_size())
                });
            }
        }
    }

    /// Lists the instrument if need be; `None` if it is not wanted.
    pub(super) fn at(
        &mut self,
        header: &RecordHeader,
        ts_recv: u64,
        flags: u8,
        received: Option<Nanos>,
        out: &mut Output,
    ) -> Option<At> {
        let (publisher, id) = (header.publisher_id, header.instrument_id);
        let received = received.unwrap_or(nanos(if ts_recv == u64::MAX { header.ts_event } else { ts_recv }));
        let when = if ts_recv == u64::MAX { header.ts_event } else { ts_recv };
        let index = match self.index.get(&(publisher, id)).copied() {
            Some(UNWANTED) => return None,
            Some(index) if !self.is_renamed(index, when) => index,
            _ => self.list(id, publisher, when, received, out)?,
        };
        // LAST, BAD_TS_RECV and MAYBE_BAD_BOOK mean to us what they mean there. SNAPSHOT is told by the event.
        let flags = Flags(flags & (Flags::LAST.0 | Flags::BAD_RECEIVE_TIME.0 | Flags::MAYBE_BAD_BOOK.0));
        Some(At { index, time: nanos(header.ts_event), received, flags })
    }

    /// Ids of some venues are given to other instruments from one day to the next.
    fn is_renamed(&mut self, index: u32, when: u64) -> bool {
        let listed = &mut self.listed[index as usize];
        let day = when / DAY_NS;
        if listed.day == day {
            return false;
        }
        listed.day = day;
        let native = self.listing.native(listed.id, when);
        // Behind the name of all but the first publisher stands the publisher's.
        let rest = listed.instrument.native.strip_prefix(native.as_str());
        !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) && native != listed.id.to_string()
    }

    /// Under the name it has now.
    fn is_listed(&self, id: u32, when: u64) -> bool {
        self.by_id.get(&id).is_some_and(|index| self.listed[*index as usize].instrument.native == self.listing.native(id, when))
    }

    fn list(&mut self, id: u32, publisher: u16, when: u64, received: Nanos, out: &mut Output) -> Option<u32> {
        // A mapping names no publisher; the first one of this id is it.
        if publisher != NO_PUBLISHER
            && let Some(index) = self.index.remove(&(NO_PUBLISHER, id))
        {
            self.index.insert((publisher, id), index);
            if index != UNWANTED && !self.is_renamed(index, when) {
                return Some(index);
            }
        }
        let native = self.listing.native(id, when);
        let is_wanted = self.wanted.is_empty() || self.wanted.contains(&native) || self.wanted.contains(&topic_symbol(&native));
        if !is_wanted || self.listed.len() >= MAX_INSTRUMENTS {
            if is_wanted {
                fault(out, FaultKind::UnknownInstrument, || format!("not listed: {native}, there are {MAX_INSTRUMENTS} already"));
            }
            if self.index.len() < 2 * MAX_INSTRUMENTS {
                self.index.insert((publisher, id), UNWANTED);
            }
            return None;
        }
        let instrument = self.listing.instrument(id, publisher, when);
        let index = self.listed.len() as u32;
        self.index.insert((publisher, id), index);
        self.by_id.insert(id, index);
        self.orders.open(index);
        self.listed.push(Listed {
            id,
            day: when / DAY_NS,
            unit: unit(instrument.price_exponent),
            instrument: instrument.clone(),
            told: [None; 3],
            gap_is_news: true,
            quote: None,
            ten: None,
            order_book: OrderBookState {
                changes: Changes::default(),
                pending: 0,
                whole: false,
                in_snapshot: false,
                doubt: Some(Cause::Startup),
            },
        });
        let at = At { index, time: 0, received, flags: Flags::default() };
        put(out, at, EventBody::Instrument(Box::new(instrument)));
        if self.wants(Channel::Trade) && self.schema.is_some_and(has_trades) {
            self.tell(at, Channel::Trade, FeedState::Live, Cause::None, out);
        }
        Some(index)
    }

    fn definition(&mut self, message: &InstrumentDefMsg, received: Option<Nanos>, out: &mut Output) {
        let Some(definition) = self.listing.on_definition(message) else { return };
        let Some(at) = self.at(&message.hd, message.ts_recv, 0, received, out) else { return };
        let listed = &self.listed[at.index as usize];
        let (exponent, tick) = (listed.instrument.price_exponent, listed.instrument.tick);
        // Exponents never get coarser: prices from before may be finer than the increment.
        let finest = definition.price_exponent.min(exponent);
        let scaled = definition.tick.saturating_mul(unit(definition.price_exponent) / unit(finest));
        if (finest, scaled) != (exponent, tick) {
            self.redefine(at, finest, scaled, out);
        }
    }

    /// Makes room for a price that is finer than all before.
    pub(super) fn fit(&mut self, at: At, prices: impl IntoIterator<Item = i64>, out: &mut Output) {
        let listed = &self.listed[at.index as usize];
        let known = listed.instrument.price_exponent;
        let finest = prices.into_iter().filter(|price| price % listed.unit != 0).map(needs).min();
        if let Some(finest) = finest.filter(|finest| *finest < known) {
            let tick = listed.instrument.tick.saturating_mul(listed.unit / unit(finest));
            self.redefine(at, finest, tick, out);
        }
    }

    /// Ends the epoch of all its topics; what is known is said again at the new scale.
    fn redefine(&mut self, at: At, price_exponent: i8, tick: i64, out: &mut Output) {
        let listed = &mut self.listed[at.index as usize];
        (listed.instrument.price_exponent, listed.instrument.tick) = (price_exponent, tick);
        listed.unit = unit(price_exponent);
        let announced = Box::new(listed.instrument.clone());
        put(out, At { time: 0, flags: Flags::default(), ..at }, EventBody::Instrument(announced));
        listed.quote = None;
        listed.ten = None;
        listed.order_book.whole = true;
    }

    pub(super) fn wants(&self, channel: Channel) -> bool {
        self.wants[slot(channel)]
    }

    /// Of records that may be trades as well as something else.
    fn traded(&mut self, at: At, action: i8, price: i64, size: u32, side: i8, out: &mut Output) {
        if action.cast_unsigned() == b'T' {
            self.trade(at, price, size, side, out);
        }
    }

    pub(super) fn trade(&mut self, at: At, price: i64, size: u32, side: i8, out: &mut Output) {
        let Some(price) = defined(price).filter(|_| size > 0 && self.wants(Channel::Trade)) else { return };
        self.fit(at, [price], out);
        self.tell(at, Channel::Trade, FeedState::Live, Cause::None, out);
        let listed = &mut self.listed[at.index as usize];
        listed.gap_is_news = true;
        let aggressor = match side.cast_unsigned() {
            b'A' => Aggressor::Sell,
            b'B' => Aggressor::Buy,
            _ => Aggressor::Unknown,
        };
        let trade = Trade { price: price / listed.unit, size: i64::from(size), aggressor, id: None, aggregated: false };
        put(out, at, EventBody::Trade(trade));
    }

    fn quote(&mut self, at: At, bid: (i64, u32), ask: (i64, u32), out: &mut Output) {
        if !self.wants(Channel::Quote) {
            return;
        }
        let side = |(price, size): (i64, u32)| defined(price).map(|price| Level { price, size: i64::from(size) });
        let (bid, ask) = (side(bid), side(ask));
        self.fit(at, [bid, ask].into_iter().flatten().map(|level| level.price), out);
        self.put_quote(at, bid, ask, out);
        self.doubt_by_flag(at, Channel::Quote, out);
    }

    /// Levels in 1e-9 that fit the instrument.
    pub(super) fn put_quote(&mut self, at: At, bid: Option<Level>, ask: Option<Level>, out: &mut Output) {
        let listed = &mut self.listed[at.index as usize];
        let price = |level: Option<Level>| level.map(|level| level.price / listed.unit);
        let size = |level: Option<Level>| level.map(|level| level.size);
        let quote = Quote { bid_price: price(bid), bid_size: size(bid), ask_price: price(ask), ask_size: size(ask) };
        if listed.quote != Some(quote) {
            listed.quote = Some(quote);
            put(out, at, EventBody::Quote(quote));
        }
    }

    fn mbp10(&mut self, message: &Mbp10Msg, received: Option<Nanos>, out: &mut Output) {
        let Some(at) = self.at(&message.hd, message.ts_recv, message.flags.raw(), received, out) else { return };
        self.traded(at, message.action, message.price, message.size, message.side, out);
        let ten = Ten::of(message);
        let there = |level: &&Level| level.size > 0;
        self.fit(at, ten.bids.iter().chain(&ten.asks).filter(there).map(|level| level.price), out);
        if self.wants(Channel::Quote) {
            let best = |levels: &[Level; 10]| Some(levels[0]).filter(|level| level.size > 0);
            self.put_quote(at, best(&ten.bids), best(&ten.asks), out);
            self.doubt_by_flag(at, Channel::Quote, out);
        }
        if !self.wants(Channel::Book) {
            return;
        }
        self.doubt_by_flag(at, Channel::Book, out);
        let listed = &mut self.listed[at.index as usize];
        let levels = &mut out.batch.levels;
        let start = levels.len();
        let snapshot = listed.ten.is_none();
        match &listed.ten {
            Some(old) => changes(&old.bids, &ten.bids, levels),
            None => all(&ten.bids, levels),
        }
        let middle = levels.len();
        match &listed.ten {
            Some(old) => changes(&old.asks, &ten.asks, levels),
            None => all(&ten.asks, levels),
        }
        let end = levels.len();
        match &mut listed.ten {
            Some(old) => **old = ten,
            None => listed.ten = Some(Box::new(ten)),
        }
        if snapshot || end > start {
            scale(&mut levels[start..], listed.unit);
            let bids = start as u32..middle as u32;
            put(out, at, EventBody::Book { bids, asks: middle as u32..end as u32, snapshot });
        }
    }

    /// Databento knows of a gap in the venue's own stream that is not made good yet, or that there is none.
    fn doubt_by_flag(&mut self, at: At, channel: Channel, out: &mut Output) {
        match at.flags.has(Flags::MAYBE_BAD_BOOK) {
            true => self.tell(at, channel, FeedState::Resyncing, Cause::SequenceGap, out),
            false => self.tell(at, channel, FeedState::Live, Cause::None, out),
        }
    }

    pub(super) fn tell(&mut self, at: At, channel: Channel, state: FeedState, cause: Cause, out: &mut Output) {
        let told = &mut self.listed[at.index as usize].told[slot(channel)];
        if *told != Some(state) && !(self.catching_up && state == FeedState::Live && told.is_some()) {
            *told = Some(state);
            put(out, At { time: 0, flags: Flags::default(), ..at }, EventBody::State { channel: Some(channel), state, cause });
        }
    }

    /// The connection is lost; its link says so to all that it carries.
    pub fn line_lost(&mut self) {
        self.listed.iter_mut().flat_map(|listed| &mut listed.told).flatten().for_each(|told| *told = FeedState::Resyncing);
        self.catching_up = true;
    }

    /// What was missed has come (`whole`), or never will: then tapes have a gap, and order-level books begin anew.
    pub fn caught_up(&mut self, received: Nanos, whole: bool, out: &mut Output) {
        self.catching_up = false;
        if !whole {
            self.orders.clear_all();
        }
        for index in 0..self.listed.len() as u32 {
            let at = At { index, time: 0, received, flags: Flags::default() };
            let listed = &mut self.listed[index as usize];
            if !whole {
                listed.order_book.begin_anew(Cause::Disconnected);
                listed.ten = None;
                if std::mem::take(&mut listed.gap_is_news) && listed.told[slot(Channel::Trade)].is_some() {
                    put(out, at, EventBody::Gap { channel: Channel::Trade, missing: None, cause: Cause::Disconnected });
                }
            }
            let (doubt, told) = (listed.order_book.doubt, listed.told);
            if told[slot(Channel::Trade)].is_some() {
                self.tell(at, Channel::Trade, FeedState::Live, Cause::None, out);
            }
            let is_good = whole && (doubt.is_none() || self.orders.book(index).is_none_or(crate::orders::OrderBook::is_empty));
            for channel in [Channel::Quote, Channel::Book] {
                if is_good && told[slot(channel)].is_some() {
                    self.tell(at, channel, FeedState::Live, Cause::None, out);
                }
            }
        }
    }
}

fn has_trades(schema: Schema) -> bool {
    use Schema::{Cmbp1, Mbo, Mbp1, Mbp10, Tbbo, Tcbbo, Trades};
    matches!(schema, Mbo | Mbp1 | Mbp10 | Cmbp1 | Tbbo | Tcbbo | Trades)
}

/// `None`: says nothing about trading.
fn trading_state(action: u16) -> Option<TradingState> {
    Some(match action {
        // Pre-open, pre-cross, cross, rotation, pre-close: orders are taken for an auction.
        1 | 2 | 4 | 5 | 11 => TradingState::Auction,
        7 => TradingState::Open,
        // Quoting only, halted, paused, suspended, not available.
        3 | 8 | 9 | 10 | 15 => TradingState::Halted,
        12 | 13 => TradingState::Closed,
        _ => return None,
    })
}

/// From 1e-9 to the instrument's own exponent, which they fit.
pub(super) fn scale(levels: &mut [Level], unit: i64) {
    for level in levels {
        level.price /= unit;
    }
}

impl Listed {
    pub(super) fn unit(&self) -> i64 {
        self.unit
    }

    pub(super) fn native(&self) -> &str {
        &self.instrument.native
    }
}

pub(super) fn put(out: &mut Output, at: At, body: EventBody) {
    let At { index, time, received, flags } = at;
    out.batch.events.push(Event { instrument: index, event_time: time, received, flags, body });
}

pub(super) fn fault(out: &mut Output, kind: FaultKind, detail: impl FnOnce() -> String) {
    out.faults.push(Fault { kind, detail: detail() });
}
