//! What the messages of a session mean. In: messages in their order, decoded or as bytes. Out: instruments, trading phases, trades, books
//! and quotes. Bounded by 65,535 stocks (a locate has 16 bits) and by the limit of resting orders; it does no I/O and has no clock.
//!
//! Honest about what it cannot know: a session that was not heard from its start, or not whole, has orders that nobody told us of. Its books
//! and quotes carry `maybe_bad_book` until a session is heard from its first message.

mod orders;
mod session;
mod stocks;

use super::counts::Counts;
use super::message::{Body, MAX_BYTES, Message, Stock};
use super::session_date::SessionDate;
use super::stock::Listed;
use crate::adapter::{Fault, FaultKind, Output};
use crate::orders::{Changes, Limits, OrderBooks};
use std::collections::HashSet;
use wire::event::{Cause, Event, EventBody, FeedState, Flags, Nanos};

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
