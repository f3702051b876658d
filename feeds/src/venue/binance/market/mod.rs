//! One instrument of Binance spot. In: its decoded messages. Out: normalized events, exact, in order, each id once.
//! Bounded by the sequencer's limits; no allocation for a quote, a trade or a diff once the batch is warm.
//!
//! Here are quotes and trades; `book` has the book, `scale` the exponents, `state` what is live and what is not.

mod book;
mod scale;
mod state;

use super::decode::{QuoteText, TradeText};
use crate::adapter::{Fault, FaultKind, Now, Output};
use crate::sequencer::{Limits, Sequencer};
use crate::trail::{Step, Trail};
use scale::Misfit;
use state::{CHANNELS, Told, slot};
use wire::event::{Aggressor, Cause, Channel, Event, EventBody, FeedState, Flags, Level, Nanos, Quote, Trade, TradingState};
use wire::instrument::Instrument;

pub use book::Spliced;

/// What the caller must do for the book after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Nothing,
    /// The book is not live and no snapshot is on its way.
    Snapshot,
    /// The same, and this diff is the first of those to keep for it.
    SnapshotAndRepeat,
}

pub struct Market {
    pub index: u32,
    pub instrument: Instrument,
    pub trading: TradingState,
    pub sequencer: Sequencer,
    told: [Option<Told>; 3],
    quotes: Trail,
    trades: Trail,
    last_quote: Option<Quote>,
    /// Quotes up to this update id are older than the snapshot whose best prices stood in for one.
    quote_floor: u64,
    /// Why the next jump of trade ids came about, if the line was lost meanwhile.
    lost: Cause,
    /// While two lines carry the same data: the newest ids that came too early on one of them.
    early_trade: u64,
    early_diff: u64,
}

impl Market {
    pub fn new(index: u32, instrument: Instrument, trading: TradingState, channels: &[Channel]) -> Self {
        let told = CHANNELS
            .map(|channel| channels.contains(&channel).then_some(Told { state: FeedState::Starting, cause: Cause::Startup }));
        Self {
            index,
            instrument,
            trading,
            sequencer: Sequencer::new(Limits::default()),
            told,
            quotes: Trail::default(),
            trades: Trail::default(),
            last_quote: None,
            quote_floor: 0,
            lost: Cause::None,
            early_trade: 0,
            early_diff: 0,
        }
    }

    /// The first that is heard of it: `link` carries it, with these channels.
    pub fn introduce(&self, now: Now, link: u32, out: &mut Output) {
        self.emit(out, 0, now.wall, EventBody::Carrier { link });
        self.announce(now, out);
        for channel in CHANNELS {
            if let Some(Told { state, cause }) = self.told[slot(channel)] {
                self.emit(out, 0, now.wall, EventBody::State { channel: Some(channel), state, cause });
            }
        }
    }

    pub fn announce(&self, now: Now, out: &mut Output) {
        self.emit(out, 0, now.wall, EventBody::Instrument(Box::new(self.instrument.clone())));
        self.emit(out, 0, now.wall, EventBody::Trading(self.trading));
    }

    pub fn on_quote(&mut self, now: Now, text: &QuoteText<'_>, overlap: bool, out: &mut Output) -> Need {
        if self.quote_is_awaited() {
            // What a new connection brings is newer than what the old one brought, even if the venue numbers anew.
            self.quotes = Trail::default();
        }
        if self.quotes.step(text.update_id) == Step::Duplicate {
            self.duplicate(overlap, "bookTicker", text.update_id, out);
            return Need::Nothing;
        }
        if text.update_id <= self.quote_floor {
            return Need::Nothing;
        }
        let numbers = [(text.bid_price, text.bid_size), (text.ask_price, text.ask_size)];
        let mut need = Need::Nothing;
        let quote = self.quote(&numbers).or_else(|misfit| {
            need = self.fit(now, misfit, numbers.into_iter().map(Some), out)?;
            self.quote(&numbers)
        });
        let Ok(quote) = quote else {
            self.bad(out, "bookTicker", text.update_id);
            return need;
        };
        self.last_quote = Some(quote);
        self.data(now, Channel::Quote, out);
        self.emit(out, 0, now.wall, EventBody::Quote(quote));
        need
    }

    fn quote(&self, [(bid_price, bid_size), (ask_price, ask_size)]: &[(&str, &str); 2]) -> Result<Quote, Misfit> {
        let (bid, ask) = (self.level(bid_price, bid_size)?, self.level(ask_price, ask_size)?);
        // The venue fills an empty side with zeros: there is none.
        let side = |level: Level| if level.price == 0 { (None, None) } else { (Some(level.price), Some(level.size)) };
        let ((bid_price, bid_size), (ask_price, ask_size)) = (side(bid), side(ask));
        Ok(Quote { bid_price, bid_size, ask_price, ask_size })
    }

    pub fn on_trade(&mut self, now: Now, text: &TradeText<'_>, overlap: bool, out: &mut Output) -> Need {
        if overlap && text.id > self.early_trade && matches!(self.trades.look(text.id), Step::Jump { .. }) {
            // The other line still has what is missing here, and will then bring this one too. (Or has been here already, and had
            // not either: then the venue itself skipped some.)
            self.early_trade = text.id;
            return Need::Nothing;
        }
        match self.trades.step(text.id) {
            Step::Next => {}
            Step::Duplicate => {
                self.duplicate(overlap, "trade", text.id, out);
                return Need::Nothing;
            }
            Step::Jump { missing } => self.trade_gap(now, Some(missing), text.id, out),
            Step::Restart => self.trade_gap(now, None, text.id, out),
        }
        self.lost = Cause::None;
        let mut need = Need::Nothing;
        let level = self.priced(text.price, text.size).or_else(|misfit| {
            need = self.fit(now, misfit, std::iter::once(Some((text.price, text.size))), out)?;
            self.priced(text.price, text.size)
        });
        let Ok(level) = level else {
            self.bad(out, "trade", text.id);
            let gap = EventBody::Gap { channel: Channel::Trade, missing: Some(1), cause: Cause::BadData };
            self.emit(out, text.time, now.wall, gap);
            return need;
        };
        self.data(now, Channel::Trade, out);
        let trade = Trade {
            price: level.price,
            size: level.size,
            aggressor: if text.buyer_is_maker { Aggressor::Sell } else { Aggressor::Buy },
            id: i64::try_from(text.id).ok(),
            aggregated: text.aggregated,
        };
        self.emit(out, text.time, now.wall, EventBody::Trade(trade));
        need
    }

    fn trade_gap(&mut self, now: Now, missing: Option<u64>, id: u64, out: &mut Output) {
        let cause = if self.lost == Cause::None { Cause::SequenceGap } else { self.lost };
        let detail = match missing {
            Some(missing) => format!("{}: {missing} trades missing before {id}", self.instrument.native),
            None => format!("{}: trade ids restart at {id}", self.instrument.native),
        };
        out.faults.push(Fault { kind: FaultKind::SequenceGap, detail });
        self.emit(out, 0, now.wall, EventBody::Gap { channel: Channel::Trade, missing, cause });
    }

    fn bad(&self, out: &mut Output, what: &str, id: u64) {
        let detail = format!("{}: {what} {id} has a number that cannot be read", self.instrument.native);
        out.faults.push(Fault { kind: FaultKind::BadMessage, detail });
    }

    /// Two lines that carry the same bring everything twice: no fault then.
    fn duplicate(&self, overlap: bool, what: &str, id: u64, out: &mut Output) {
        if !overlap {
            let detail = format!("{}: {what} {id} again", self.instrument.native);
            out.faults.push(Fault { kind: FaultKind::Duplicate, detail });
        }
    }

    fn emit(&self, out: &mut Output, event_time: Nanos, received: Nanos, body: EventBody) {
        out.batch.events.push(event(self.index, event_time, received, body));
    }
}

fn event(instrument: u32, event_time: Nanos, received: Nanos, body: EventBody) -> Event {
    Event { instrument, event_time, received, flags: Flags::default(), body }
}
