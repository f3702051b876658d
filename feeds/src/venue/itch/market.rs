//! What the messages of a session mean. In: messages in their order, decoded or as bytes. Out: instruments, trading phases, trades, books
//! and quotes. Bounded by 65,535 stocks (a locate has 16 bits) and by the limit of resting orders; it does no I/O and has no clock.
//!
//! Honest about what it cannot know: a session that was not heard from its start, or not whole, has orders that nobody told us of. Its books
//! and quotes carry `maybe_bad_book` until a session is heard from its first message.

use super::counts::Counts;
use super::message::{Body, Header, MAX_BYTES, Message, Stock};
use super::session_date::SessionDate;
use super::stock::Listed;
use crate::adapter::{Fault, FaultKind, Output};
use crate::orders::{Changes, Limits, Moved, OrderBooks, Refusal};
use std::collections::HashSet;
use wire::event::{Aggressor, Cause, Channel, Event, EventBody, FeedState, Flags, Nanos, Side, Trade};

/// A locate that was not heard of yet, one whose stock is not wanted.
const NONE: u32 = u32::MAX;
const UNWANTED: u32 = u32::MAX - 1;
const LOCATES: usize = 1 << 16;
/// A directory holds each stock once; more than there are locates is damage.
const MAX_STOCKS: usize = LOCATES;
/// Faults that are spelled out in one session; all of them are counted.
const MAX_TOLD: u64 = 1_000;

/// What is to be made of a session.
#[derive(Clone, Debug)]
pub struct Options {
    pub date: SessionDate,
    /// Which market's operational halts count: `Q` Nasdaq, `B` BX, `X` PSX.
    pub market: u8,
    /// Names as the venue spells them; empty: all stocks.
    pub stocks: HashSet<Stock>,
    pub quotes: bool,
    pub trades: bool,
    pub books: bool,
    pub limits: Limits,
}

/// In which part of the day the market as a whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Unknown,
    /// Before the first order can come, or after the last one.
    Closed,
    Open,
}

/// When something happened and when we heard of it.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    event: Nanos,
    received: Nanos,
}

pub struct Market {
    options: Options,
    midnight: Nanos,
    /// Index of the stock, by locate.
    locates: Vec<u32>,
    stocks: Vec<Listed>,
    books: OrderBooks,
    changes: Changes,
    phase: Phase,
    state: (FeedState, Cause),
    /// Every message of the session was heard: an unknown order is an error.
    whole: bool,
    directory_over: bool,
    counts: Counts,
    told: u64,
}

impl Market {
    /// `state`: what is told of the data of a stock when it is announced.
    pub fn new(options: Options, state: FeedState) -> Self {
        Self {
            midnight: options.date.midnight(),
            locates: vec![NONE; LOCATES],
            stocks: Vec::new(),
            books: OrderBooks::new(options.limits),
            changes: Changes::default(),
            phase: Phase::Unknown,
            state: (state, Cause::None),
            whole: true,
            directory_over: false,
            counts: Counts::default(),
            told: 0,
            options,
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn books(&self) -> &OrderBooks {
        &self.books
    }

    /// Stocks by their index, as the venue spells them.
    pub fn stocks(&self) -> impl Iterator<Item = &Stock> {
        self.stocks.iter().map(|listed| &listed.stock)
    }

    /// The day's list of stocks is complete.
    pub fn instruments_known(&self) -> bool {
        self.directory_over
    }

    /// Time of an event of this session.
    pub fn time(&self, time_ns: u64) -> Nanos {
        self.midnight.saturating_add(i64::try_from(time_ns).unwrap_or(i64::MAX))
    }

    /// One message as it came. `received` 0: when the event happened (recordings). Out: the time of the event, if it has one.
    pub fn on_message(&mut self, received: Nanos, bytes: &[u8], out: &mut Output) -> Option<Nanos> {
        match Message::decode(bytes) {
            Ok(message) => {
                self.counts.add(bytes[0]);
                let event = self.time(message.header.time_ns);
                let at = Stamp { event, received: if received == 0 { event } else { received } };
                self.take(at, &message, out);
                Some(event)
            }
            Err(malformed) => {
                self.counts.add_malformed(malformed);
                self.fault(FaultKind::BadMessage, out, || format!("{malformed}, {} bytes", bytes.len().min(MAX_BYTES + 1)));
                None
            }
        }
    }

    fn take(&mut self, at: Stamp, message: &Message, out: &mut Output) {
        let header = &message.header;
        match &message.body {
            Body::Add(add) => self.add(at, header, add.stock, (add.order, add.side, add.price, add.shares), out),
            Body::AddAttributed(add) => self.add(at, header, add.stock, (add.order, add.side, add.price, add.shares), out),
            Body::Executed(done) => self.executed(at, header, done.order, done.shares, done.match_number, None, out),
            Body::ExecutedAtPrice(done) => {
                // Not printable: it will be part of a cross that is told as a whole.
                let terms = Some((done.price, done.printable != b'N'));
                self.executed(at, header, done.order, done.shares, done.match_number, terms, out);
            }
            Body::Cancel(cancel) => self.reduce(at, header, cancel.order, Some(cancel.shares), out),
            Body::Delete(delete) => self.reduce(at, header, delete.order, None, out),
            Body::Replace(replace) => {
                self.replace(at, header, (replace.order, replace.new_order), (replace.price, replace.shares), out);
            }
            Body::HiddenTrade(trade) => {
                // The side is that of the hidden order, which Nasdaq always tells as a buyer's: it says nothing about who took.
                let terms = (trade.price, i64::from(trade.shares), trade.match_number);
                self.trade_of(at, header, trade.stock, terms, out);
            }
            Body::CrossTrade(trade) => {
                let terms = (trade.price, i64::try_from(trade.shares).unwrap_or(i64::MAX), trade.match_number);
                self.trade_of(at, header, trade.stock, terms, out);
            }
            Body::BrokenTrade(_) => self.broken(at, header, out),
            Body::StockDirectory(directory) => self.directory(at, header, directory.stock, out),
            Body::TradingAction(action) => {
                let state = action.state;
                self.phase_of(at, header, action.stock, out, |listed| listed.state = state);
            }
            Body::OperationalHalt(halt) if halt.market == self.options.market => {
                let halted = halt.action == b'H';
                self.phase_of(at, header, halt.stock, out, |listed| listed.halted = halted);
            }
            Body::SystemEvent(system) => self.system(at, system.event, out),
            // Facts that no topic has a place for; they are counted.
            Body::OperationalHalt(_)
            | Body::RegSho(_)
            | Body::ParticipantPosition(_)
            | Body::BreakerLevels(_)
            | Body::BreakerStatus(_)
            | Body::IpoQuoting(_)
            | Body::AuctionCollar(_)
            | Body::Imbalance(_)
            | Body::RetailInterest(_)
            | Body::DirectListing(_) => {}
        }
    }

    // Orders

    fn add(&mut self, at: Stamp, header: &Header, stock: Stock, order: (u64, u8, u32, u32), out: &mut Output) {
        self.directory_over = true;
        let Some(index) = self.find_or_list(at, header, stock, out) else { return };
        let (id, side, price, shares) = order;
        let side = match side {
            b'B' => Side::Bid,
            b'S' => Side::Ask,
            other => return self.fault(FaultKind::BadMessage, out, || format!("side '{}' of order {id}", other.escape_ascii())),
        };
        match self.books.add(index, id, side, i64::from(price), shares) {
            Ok(change) => {
                self.changes.note(&change);
                self.publish(at, index, out);
            }
            Err(refusal) => self.refused(index, id, refusal, out),
        }
    }

    /// Some or all of an order was taken. `terms`: price and whether it counts as a trade, where they are not the order's own.
    #[allow(clippy::too_many_arguments, reason = "the fields of the message")]
    fn executed(
        &mut self,
        at: Stamp,
        header: &Header,
        id: u64,
        shares: u32,
        match_number: u64,
        terms: Option<(u32, bool)>,
        out: &mut Output,
    ) {
        let Some(index) = self.find(header, out) else { return };
        let change = match self.books.reduce(index, id, shares) {
            Ok(change) => change,
            Err(refusal) => {
                self.refused(index, id, refusal, out);
                match terms {
                    Some((price, true)) => {
                        self.put_trade(at, index, i64::from(price), i64::from(shares), Aggressor::Unknown, match_number, out);
                    }
                    Some((_, false)) => {}
                    // It traded at the order's price, which nobody told us.
                    None => self.put_gap(at, index, Some(1), Cause::SequenceGap, out),
                }
                return;
            }
        };
        if change.excess > 0 {
            self.excess(index, id, change.excess, out);
        }
        let (price, printable) = terms.map_or((change.level.price, true), |(price, printable)| (i64::from(price), printable));
        if printable {
            let aggressor = if change.side == Side::Bid { Aggressor::Sell } else { Aggressor::Buy };
            self.put_trade(at, index, price, i64::from(shares), aggressor, match_number, out);
        }
        self.changes.note(&change);
        self.publish(at, index, out);
    }

    /// `by`: `None` for all of it.
    fn reduce(&mut self, at: Stamp, header: &Header, id: u64, by: Option<u32>, out: &mut Output) {
        let Some(index) = self.find(header, out) else { return };
        let done = match by {
            Some(by) => self.books.reduce(index, id, by),
            None => self.books.remove(index, id),
        };
        match done {
            Ok(change) => {
                if change.excess > 0 {
                    self.excess(index, id, change.excess, out);
                }
                self.changes.note(&change);
                self.publish(at, index, out);
            }
            Err(refusal) => self.refused(index, id, refusal, out),
        }
    }

    fn replace(&mut self, at: Stamp, header: &Header, (id, new_id): (u64, u64), (price, shares): (u32, u32), out: &mut Output) {
        let Some(index) = self.find(header, out) else { return };
        match self.books.replace(index, id, new_id, i64::from(price), shares) {
            Ok(Moved { from, to }) => {
                self.changes.note(&from);
                self.changes.note(&to);
                self.publish(at, index, out);
            }
            Err(refusal) => {
                self.refused(index, id, refusal, out);
                // Whatever was wrong with the new order: the former one is gone.
                if let Ok(change) = self.books.remove(index, id) {
                    self.changes.note(&change);
                    self.publish(at, index, out);
                }
            }
        }
    }

    /// Tells what `changes` holds, and the quote if it is another one.
    fn publish(&mut self, at: Stamp, index: u32, out: &mut Output) {
        let touch_best = self.changes.touch_best();
        let flags = self.quality(index);
        if !self.options.books {
            self.changes.clear();
        } else if let Some(body) = self.changes.put(&mut out.batch) {
            at.put(index, flags, body, out);
        }
        if touch_best && self.options.quotes {
            self.put_quote(at, index, flags, out);
        }
    }

    fn put_quote(&mut self, at: Stamp, index: u32, flags: Flags, out: &mut Output) {
        let listed = &mut self.stocks[index as usize];
        if let Some(quote) = listed.new_quote(self.books.book(index)) {
            at.put(index, flags, EventBody::Quote(quote), out);
        }
    }

    fn quality(&self, index: u32) -> Flags {
        let doubtful = !self.whole || self.stocks[index as usize].doubtful;
        if doubtful { Flags::MAYBE_BAD_BOOK } else { Flags::default() }
    }

    /// The order book would not do it: from now on it is not known to be right.
    #[cold]
    fn refused(&mut self, index: u32, id: u64, refusal: Refusal, out: &mut Output) {
        self.counts.add_refused(refusal);
        // Orders from before we listened: there are millions of them.
        if !self.whole && refusal == Refusal::Unknown {
            return;
        }
        self.stocks[index as usize].doubtful = true;
        let kind = match refusal {
            Refusal::Full => FaultKind::BufferFull,
            Refusal::Unknown | Refusal::Duplicate | Refusal::NoSize => FaultKind::UnknownOrder,
        };
        let name = self.stocks[index as usize].native();
        self.fault(kind, out, || format!("{name}: order {id}: {refusal}"));
    }

    #[cold]
    fn excess(&mut self, index: u32, id: u64, excess: u32, out: &mut Output) {
        self.counts.excess += 1;
        self.stocks[index as usize].doubtful = true;
        let name = self.stocks[index as usize].native();
        self.fault(FaultKind::UnknownOrder, out, || format!("{name}: order {id} is {excess} shares smaller than what was taken"));
    }

    // Trades

    fn trade_of(&mut self, at: Stamp, header: &Header, stock: Stock, terms: (u32, i64, u64), out: &mut Output) {
        let (price, shares, match_number) = terms;
        if let Some(index) = self.find_or_list(at, header, stock, out) {
            // A cross in which nothing was traded is told with no shares.
            self.put_trade(at, index, i64::from(price), shares, Aggressor::Unknown, match_number, out);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of a trade")]
    fn put_trade(&mut self, at: Stamp, index: u32, price: i64, size: i64, aggressor: Aggressor, id: u64, out: &mut Output) {
        if !self.options.trades || size == 0 {
            return;
        }
        let trade = Trade { price, size, aggressor, id: i64::try_from(id).ok(), aggregated: false };
        at.put(index, Flags::default(), EventBody::Trade(trade), out);
    }

    /// A trade that was told before does not count any more. What is made of trades cannot be undone; it is told not to be exact.
    fn broken(&mut self, at: Stamp, header: &Header, out: &mut Output) {
        if let Some(index) = self.find(header, out) {
            self.put_gap(at, index, Some(0), Cause::BadData, out);
        }
    }

    fn put_gap(&self, at: Stamp, index: u32, missing: Option<u64>, cause: Cause, out: &mut Output) {
        if self.options.trades {
            at.put(index, Flags::default(), EventBody::Gap { channel: Channel::Trade, missing, cause }, out);
        }
    }

    // Stocks

    /// The stock of a message that does not name it.
    fn find(&mut self, header: &Header, out: &mut Output) -> Option<u32> {
        match self.locates[usize::from(header.locate)] {
            NONE => {
                self.counts.unknown_stock += 1;
                if self.whole {
                    self.fault(FaultKind::UnknownInstrument, out, || format!("locate {}", header.locate));
                }
                None
            }
            UNWANTED => None,
            index => Some(index),
        }
    }

    /// The stock of a message that names it: told now if the directory was not heard.
    fn find_or_list(&mut self, at: Stamp, header: &Header, stock: Stock, out: &mut Output) -> Option<u32> {
        match self.locates[usize::from(header.locate)] {
            NONE => self.list(at, header.locate, stock, out),
            UNWANTED => None,
            index => Some(index),
        }
    }

    fn directory(&mut self, at: Stamp, header: &Header, stock: Stock, out: &mut Output) {
        let known = self.locates[usize::from(header.locate)];
        // Told again in the middle of a day with the same name; another name is another stock.
        if self.stocks.get(known as usize).is_none_or(|listed| listed.stock != stock) {
            self.list(at, header.locate, stock, out);
        }
    }

    fn list(&mut self, at: Stamp, locate: u16, stock: Stock, out: &mut Output) -> Option<u32> {
        let slot = usize::from(locate);
        self.locates[slot] = UNWANTED;
        if !self.options.stocks.is_empty() && !self.options.stocks.contains(&stock) {
            return None;
        }
        let Some(listed) = Listed::new(stock) else {
            self.fault(FaultKind::BadMessage, out, || format!("'{}' is no name of a stock", stock.escape_ascii()));
            return None;
        };
        // A new session may give a stock another locate.
        let known = self.stocks.iter().position(|known| known.stock == stock);
        if known.is_none() && self.stocks.len() >= MAX_STOCKS {
            self.fault(FaultKind::BufferFull, out, || format!("'{}' is one stock too many", stock.escape_ascii()));
            return None;
        }
        let index = known.unwrap_or(self.stocks.len()) as u32;
        self.locates[slot] = index;
        if known.is_none() {
            let instrument = listed.instrument();
            self.stocks.push(listed);
            self.books.open(index);
            at.put(index, Flags::default(), EventBody::Instrument(Box::new(instrument)), out);
            let (state, cause) = self.state;
            at.put(index, Flags::default(), EventBody::State { channel: None, state, cause }, out);
            self.put_trading(at, index, out);
        }
        Some(index)
    }

    // Phases

    fn phase_of(&mut self, at: Stamp, header: &Header, stock: Stock, out: &mut Output, change: impl FnOnce(&mut Listed)) {
        if let Some(index) = self.find_or_list(at, header, stock, out) {
            change(&mut self.stocks[index as usize]);
            self.put_trading(at, index, out);
        }
    }

    fn put_trading(&mut self, at: Stamp, index: u32, out: &mut Output) {
        let phase = self.phase;
        if let Some(trading) = self.stocks[index as usize].new_trading(phase) {
            at.put(index, Flags::default(), EventBody::Trading(trading), out);
        }
    }

    fn system(&mut self, at: Stamp, event: u8, out: &mut Output) {
        self.phase = match event {
            // Start of messages; end of system hours and of messages.
            b'O' | b'E' | b'C' => Phase::Closed,
            // Start of system hours, start and end of market hours: there is trading before and after those.
            b'S' | b'Q' | b'M' => Phase::Open,
            _ => return,
        };
        self.directory_over |= event != b'O';
        for index in 0..self.stocks.len() as u32 {
            self.put_trading(at, index, out);
        }
    }

    // What is known of the session as a whole

    /// Says of every stock how far its data can be trusted; stocks that come later are announced so.
    pub fn set_state(&mut self, now: Nanos, state: FeedState, cause: Cause, out: &mut Output) {
        let cause = if cause == Cause::None && !self.whole { Cause::SequenceGap } else { cause };
        if self.state == (state, cause) {
            return;
        }
        self.state = (state, cause);
        let at = Stamp { event: 0, received: now };
        for index in 0..self.stocks.len() as u32 {
            at.put(index, Flags::default(), EventBody::State { channel: None, state, cause }, out);
        }
    }

    /// The connection that carries all stocks is lost or back. Nothing counts until `set_state` says that it does.
    pub fn link(&mut self, now: Nanos, state: FeedState, cause: Cause, out: &mut Output) {
        self.state = (FeedState::Resyncing, cause);
        Stamp { event: 0, received: now }.put(0, Flags::default(), EventBody::Link { link: 0, state, cause }, out);
    }

    /// The messages so far are not all there were: orders rest that we do not know.
    pub fn begin_in_the_middle(&mut self) {
        self.whole = false;
        self.directory_over = true;
    }

    /// `missing` messages of the session will never come.
    pub fn lost(&mut self, now: Nanos, missing: u64, out: &mut Output) {
        self.begin_in_the_middle();
        self.counts.lost += missing;
        self.fault(FaultKind::SequenceGap, out, || format!("{missing} messages are lost"));
        let at = Stamp { event: 0, received: now };
        for index in 0..self.stocks.len() as u32 {
            self.put_gap(at, index, None, Cause::SequenceGap, out);
        }
        let (state, _) = self.state;
        self.set_state(now, state, Cause::SequenceGap, out);
    }

    /// Another session begins: no order of the former one rests, locates are given out anew, stocks keep their index.
    pub fn begin_session(&mut self, now: Nanos, date: SessionDate, out: &mut Output) {
        (self.options.date, self.midnight) = (date, date.midnight());
        self.books.clear_all();
        self.locates.fill(NONE);
        (self.phase, self.whole, self.directory_over, self.told) = (Phase::Unknown, true, false, 0);
        let at = Stamp { event: 0, received: now };
        for index in 0..self.stocks.len() as u32 {
            self.stocks[index as usize].begin_session();
            if self.options.books
                && let Some(book) = self.books.book(index)
            {
                let body = book.snapshot(&mut out.batch);
                at.put(index, Flags::default(), body, out);
            }
            if self.options.quotes {
                self.put_quote(at, index, Flags::default(), out);
            }
            self.put_trading(at, index, out);
        }
    }

    /// What the line below has to tell: counted, and spelled out as long as there are not too many of them.
    pub fn fault(&mut self, kind: FaultKind, out: &mut Output, detail: impl FnOnce() -> String) {
        self.told += 1;
        let detail = if self.told <= MAX_TOLD { detail() } else { String::new() };
        out.faults.push(Fault { kind, detail });
    }
}

impl Stamp {
    #[inline]
    fn put(self, instrument: u32, flags: Flags, body: EventBody, out: &mut Output) {
        out.batch.events.push(Event { instrument, event_time: self.event, received: self.received, flags, body });
    }
}
