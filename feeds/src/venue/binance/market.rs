//! One instrument of Binance spot. In: its decoded messages. Out: normalized events, exact, in order, each id once.
//! Bounded by the sequencer's limits; no allocation for a quote, a trade or a diff once the batch is warm.

use super::decode::{DepthText, Levels, QuoteText, Snapshot, TradeText};
use crate::adapter::{Fault, FaultKind, Now, Output};
use crate::sequencer::{Diff, Limits, Sequencer, Splice, Verdict};
use crate::trail::{Step, Trail};
use std::ops::Range;
use wire::decimal::{Decimal, DecimalError, parse_at};
use wire::event::{Aggressor, Cause, Channel, Event, EventBody, FeedState, Flags, Level, Nanos, Quote, Trade, TradingState};
use wire::instrument::Instrument;

/// An instrument from which nothing came for this long is quiet: told, but no fault.
const QUIET_AFTER_NS: i64 = 30_000_000_000;

/// State of one channel of one instrument, as told to the sink.
#[derive(Clone, Copy, Debug)]
struct Told {
    state: FeedState,
    cause: Cause,
    /// Last data, or the moment from which data may be expected (subscribed). `None`: not subscribed.
    since: Option<i64>,
}

/// What the caller must do for the book after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Nothing,
    /// The book is not live and no snapshot is on its way.
    Snapshot,
    /// The same, and this diff is the first of those to keep for it.
    SnapshotAndRepeat,
}

/// What came of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spliced {
    Live,
    /// Ask again.
    TooOld,
    /// It could not be read; the fault is reported.
    Unusable,
    /// The book did not wait for one.
    Unasked,
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

fn slot(channel: Channel) -> usize {
    match channel {
        Channel::Quote => 0,
        Channel::Trade => 1,
        Channel::Book => 2,
    }
}

const CHANNELS: [Channel; 3] = [Channel::Quote, Channel::Trade, Channel::Book];

/// Numbers that do not fit the instrument: by how much, or not at all.
enum Misfit {
    Bad,
    Finer { price_exponent: i8, size_exponent: i8 },
}

impl Market {
    pub fn new(index: u32, instrument: Instrument, trading: TradingState, channels: &[Channel]) -> Self {
        let told = CHANNELS.map(|channel| {
            channels.contains(&channel).then_some(Told { state: FeedState::Starting, cause: Cause::None, since: None })
        });
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

    pub fn announce(&self, now: Now, out: &mut Output) {
        self.emit(out, 0, now.wall, EventBody::Instrument(Box::new(self.instrument.clone())));
        self.emit(out, 0, now.wall, EventBody::Trading(self.trading));
    }

    /// The venue's list says something new about this instrument.
    pub fn relist(&mut self, now: Now, instrument: &Instrument, trading: TradingState, out: &mut Output) -> Need {
        if self.trading != trading {
            self.trading = trading;
            self.emit(out, 0, now.wall, EventBody::Trading(trading));
        }
        let price_exponent = self.instrument.price_exponent.min(instrument.price_exponent);
        let size_exponent = self.instrument.size_exponent.min(instrument.size_exponent);
        // Exponents never get coarser: levels from before the change may still rest in the book.
        let at = |mantissa, from, to| Decimal::new(mantissa, from).at(to).unwrap_or(0);
        let tick = at(instrument.tick, instrument.price_exponent, price_exponent);
        let lot = at(instrument.lot, instrument.size_exponent, size_exponent);
        let same = price_exponent == self.instrument.price_exponent && size_exponent == self.instrument.size_exponent;
        if same && tick == self.instrument.tick && lot == self.instrument.lot {
            return Need::Nothing;
        }
        self.redefine(now, (price_exponent, size_exponent), Some((tick, lot)), out)
    }

    pub fn on_quote(&mut self, now: Now, text: &QuoteText<'_>, overlap: bool, out: &mut Output) -> Need {
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
        if overlap && matches!(self.trades.look(text.id), Step::Jump { .. }) {
            // The other line still has what is missing here, and will then bring this one too.
            self.early_trade = self.early_trade.max(text.id);
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
        let level = self.level(text.price, text.size).or_else(|misfit| {
            need = self.fit(now, misfit, std::iter::once(Some((text.price, text.size))), out)?;
            self.level(text.price, text.size)
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

    pub fn on_diff(&mut self, now: Now, text: &DepthText<'_, '_>, overlap: bool, out: &mut Output) -> Need {
        if overlap && self.sequencer.skips(text.first) {
            self.early_diff = self.early_diff.max(text.last);
            return Need::Nothing;
        }
        if let Some(told) = &mut self.told[slot(Channel::Book)] {
            told.since = Some(now.mono);
        }
        let start = out.batch.levels.len();
        let mut need = Need::Nothing;
        let bids = match self.sides(&text.bids, &text.asks, out) {
            Ok(bids) => Ok(bids),
            Err(misfit) => self.fit(now, misfit, text.bids.clone().chain(text.asks.clone()), out).and_then(|wanted| {
                need = wanted;
                self.sides(&text.bids, &text.asks, out)
            }),
        };
        let Ok(bids) = bids else {
            self.bad(out, "depthUpdate", text.first);
            return self.give_up(now, Cause::BadData, out).max(need);
        };
        let (bid_levels, ask_levels) = out.batch.levels[start..].split_at(bids - start);
        let verdict = self.sequencer.on_diff(&Diff {
            first: text.first,
            last: text.last,
            event_time: text.time,
            received: now.wall,
            bids: bid_levels,
            asks: ask_levels,
        });
        if verdict == Verdict::Apply {
            let end = out.batch.levels.len();
            self.data(now, Channel::Book, out);
            let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: false };
            self.emit(out, text.time, now.wall, body);
            return Need::Nothing;
        }
        out.batch.levels.truncate(start);
        self.not_applied(now, verdict, text, overlap, out).max(need)
    }

    fn not_applied(&mut self, now: Now, verdict: Verdict, text: &DepthText<'_, '_>, overlap: bool, out: &mut Output) -> Need {
        let native = &self.instrument.native;
        let mut fault = |kind, detail: String| out.faults.push(Fault { kind, detail });
        match verdict {
            Verdict::Ignored => return Need::SnapshotAndRepeat,
            Verdict::Duplicate => self.duplicate(overlap, "depthUpdate", text.last, out),
            Verdict::Gap { missing } => {
                fault(FaultKind::SequenceGap, format!("{native}: {missing} book updates missing before {}", text.first));
                return match self.give_up(now, Cause::SequenceGap, out) {
                    Need::Nothing => Need::Nothing,
                    _ => Need::SnapshotAndRepeat,
                };
            }
            Verdict::Full => fault(FaultKind::BufferFull, format!("{native}: no room for more book updates")),
            Verdict::Malformed => fault(FaultKind::BadMessage, format!("{native}: depthUpdate ends before it begins")),
            Verdict::Apply | Verdict::Kept => {}
        }
        Need::Nothing
    }

    pub fn on_snapshot(&mut self, now: Now, snapshot: &Snapshot<'_, '_>, out: &mut Output) -> Spliced {
        if self.sequencer.is_live() {
            return Spliced::Unasked;
        }
        let bids = match self.sides(&snapshot.bids, &snapshot.asks, out) {
            Ok(bids) => Ok(bids),
            Err(misfit) => self
                .fit(now, misfit, snapshot.bids.clone().chain(snapshot.asks.clone()), out)
                .and_then(|_| self.sides(&snapshot.bids, &snapshot.asks, out)),
        };
        let Ok(bids) = bids else {
            self.bad(out, "snapshot", snapshot.last_update_id);
            return Spliced::Unusable;
        };
        let end = out.batch.levels.len();
        let start = end - snapshot.bids.clone().count() - snapshot.asks.clone().count();
        match self.sequencer.on_snapshot(snapshot.last_update_id) {
            Splice::Live => {}
            refused => {
                out.batch.levels.truncate(start);
                return if refused == Splice::TooOld { Spliced::TooOld } else { Spliced::Unasked };
            }
        }
        let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: true };
        self.emit(out, 0, now.wall, body);
        self.quote_from_book(now, snapshot.last_update_id, start..bids, bids..end, out);
        let index = self.index;
        self.sequencer.replay(|diff| {
            let start = out.batch.levels.len();
            out.batch.levels.extend_from_slice(diff.bids);
            out.batch.levels.extend_from_slice(diff.asks);
            let (bids, end) = (start + diff.bids.len(), out.batch.levels.len());
            let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: false };
            out.batch.events.push(event(index, diff.event_time, diff.received, body));
        });
        self.data(now, Channel::Book, out);
        Spliced::Live
    }

    /// The quote stream speaks only when the quote changes. Until it does after a (re)connect, the snapshot's best prices are the
    /// quote; their update ids count the same.
    fn quote_from_book(&mut self, now: Now, last_id: u64, bids: Range<usize>, asks: Range<usize>, out: &mut Output) {
        let waiting =
            self.told[slot(Channel::Quote)].is_some_and(|told| !matches!(told.state, FeedState::Live | FeedState::Quiet));
        if !waiting || self.quotes.last().is_some_and(|last| last >= last_id) {
            return;
        }
        let best = |side: Range<usize>, better: fn(&i64, &i64) -> bool| {
            let levels = out.batch.levels[side].iter().filter(|level| level.size > 0);
            levels.copied().reduce(|best, level| if better(&level.price, &best.price) { level } else { best })
        };
        let (bid, ask) = (best(bids, i64::gt), best(asks, i64::lt));
        let quote = Quote {
            bid_price: bid.map(|level| level.price),
            bid_size: bid.map(|level| level.size),
            ask_price: ask.map(|level| level.price),
            ask_size: ask.map(|level| level.size),
        };
        self.quote_floor = last_id;
        self.last_quote = Some(quote);
        self.data(now, Channel::Quote, out);
        self.emit(out, 0, now.wall, EventBody::Quote(quote));
    }

    /// Appends both sides to the batch, as the venue orders them; returns where the asks begin. On a misfit nothing is appended.
    fn sides(&self, bids: &Levels<'_, '_>, asks: &Levels<'_, '_>, out: &mut Output) -> Result<usize, Misfit> {
        let start = out.batch.levels.len();
        let mut middle = start;
        for (side, levels) in [bids, asks].into_iter().enumerate() {
            if side == 1 {
                middle = out.batch.levels.len();
            }
            for pair in levels.clone() {
                match pair.ok_or(Misfit::Bad).and_then(|(price, size)| self.level(price, size)) {
                    Ok(level) => out.batch.levels.push(level),
                    Err(misfit) => {
                        out.batch.levels.truncate(start);
                        return Err(misfit);
                    }
                }
            }
        }
        Ok(middle)
    }

    fn level(&self, price: &str, size: &str) -> Result<Level, Misfit> {
        let misfit = |error| match error {
            DecimalError::Inexact { .. } => {
                Misfit::Finer { price_exponent: self.instrument.price_exponent, size_exponent: self.instrument.size_exponent }
            }
            _ => Misfit::Bad,
        };
        let price = parse_at(price.as_bytes(), self.instrument.price_exponent).map_err(misfit)?;
        let size = parse_at(size.as_bytes(), self.instrument.size_exponent).map_err(misfit)?;
        if price < 0 || size < 0 { Err(Misfit::Bad) } else { Ok(Level { price, size }) }
    }

    /// Makes room for the finest of these numbers by redefining the instrument, once for all of them.
    fn fit<'a>(
        &mut self,
        now: Now,
        misfit: Misfit,
        numbers: impl Iterator<Item = Option<(&'a str, &'a str)>>,
        out: &mut Output,
    ) -> Result<Need, Misfit> {
        let Misfit::Finer { mut price_exponent, mut size_exponent } = misfit else { return Err(misfit) };
        for (price, size) in numbers.flatten() {
            price_exponent = price_exponent.min(needs(price));
            size_exponent = size_exponent.min(needs(size));
        }
        Ok(self.redefine(now, (price_exponent, size_exponent), None, out))
    }

    /// New exponents: the instrument is announced again, which ends the epoch of all its topics, so all of them start over.
    fn redefine(&mut self, now: Now, exponents: (i8, i8), steps: Option<(i64, i64)>, out: &mut Output) -> Need {
        let (price_exponent, size_exponent) = exponents;
        let factor = |from: i8, to: i8| 10i64.checked_pow(u32::from(from.abs_diff(to)));
        let price_factor = factor(self.instrument.price_exponent, price_exponent);
        let size_factor = factor(self.instrument.size_exponent, size_exponent);
        let times = |value: i64, factor: Option<i64>| factor.and_then(|factor| value.checked_mul(factor));
        self.instrument.price_exponent = price_exponent;
        self.instrument.size_exponent = size_exponent;
        (self.instrument.tick, self.instrument.lot) = steps.unwrap_or_else(|| {
            let scaled = |step, factor| times(step, factor).unwrap_or(0);
            (scaled(self.instrument.tick, price_factor), scaled(self.instrument.lot, size_factor))
        });
        self.announce(now, out);
        self.last_quote = self.last_quote.and_then(|quote| {
            let scaled = |value: Option<i64>, factor| match value {
                Some(value) => times(value, factor).map(Some),
                None => Some(None),
            };
            Some(Quote {
                bid_price: scaled(quote.bid_price, price_factor)?,
                bid_size: scaled(quote.bid_size, size_factor)?,
                ask_price: scaled(quote.ask_price, price_factor)?,
                ask_size: scaled(quote.ask_size, size_factor)?,
            })
        });
        if let Some(quote) = self.last_quote {
            self.emit(out, 0, now.wall, EventBody::Quote(quote));
        }
        for channel in CHANNELS {
            if let Some(Told { state, cause, .. }) = self.told[slot(channel)] {
                self.emit(out, 0, now.wall, EventBody::State { channel: Some(channel), state, cause });
            }
        }
        match (price_factor, size_factor) {
            // Diffs that wait for their snapshot can be kept.
            (Some(price), Some(size)) if !self.sequencer.is_live() => {
                self.sequencer.rescale(price, size);
                Need::Nothing
            }
            _ => self.give_up(now, Cause::Redefinition, out),
        }
    }

    /// The book cannot be continued.
    pub fn give_up(&mut self, now: Now, cause: Cause, out: &mut Output) -> Need {
        if self.sequencer.is_keeping() {
            return Need::Nothing;
        }
        self.sequencer.reset();
        self.tell(now, Channel::Book, FeedState::Resyncing, cause, out);
        Need::Snapshot
    }

    /// The line that carried this instrument is gone.
    pub fn line_lost(&mut self, now: Now, cause: Cause, out: &mut Output) {
        let state = if cause == Cause::Silence { FeedState::Stale } else { FeedState::Down };
        self.sequencer.reset();
        self.lost = cause;
        (self.early_trade, self.early_diff) = (0, 0);
        for channel in CHANNELS {
            self.tell(now, channel, state, cause, out);
            if let Some(told) = &mut self.told[slot(channel)] {
                told.since = None;
            }
        }
    }

    /// The venue acknowledged: data may be expected from now on, and what was lost is being made good.
    pub fn subscribed(&mut self, now: Now, out: &mut Output) {
        for channel in CHANNELS {
            let Some(told) = &mut self.told[slot(channel)] else { continue };
            told.since.get_or_insert(now.mono);
            if matches!(told.state, FeedState::Down | FeedState::Stale) {
                let cause = told.cause;
                self.tell(now, channel, FeedState::Resyncing, cause, out);
            }
        }
    }

    /// The old of two lines ends: has it brought all that the new one brought too early?
    pub fn caught_up(&self) -> bool {
        self.trades.last().is_none_or(|last| last >= self.early_trade)
            && self.sequencer.last().is_none_or(|last| last >= self.early_diff)
    }

    pub fn overlap_ended(&mut self) {
        (self.early_trade, self.early_diff) = (0, 0);
    }

    /// Once a second: who has been silent for long on a line that is not?
    pub fn check_quiet(&mut self, now: Now, out: &mut Output) {
        for channel in CHANNELS {
            let Some(told) = self.told[slot(channel)] else { continue };
            let silent = told.since.is_some_and(|since| now.mono.saturating_sub(since) > QUIET_AFTER_NS);
            let may = match channel {
                // It may have changed while the line was lost, and nothing has shown it since.
                Channel::Quote => told.state != FeedState::Resyncing,
                Channel::Trade => true,
                // Without its snapshot a book is not quiet but late.
                Channel::Book => self.sequencer.is_live(),
            };
            if silent && may && told.state != FeedState::Quiet {
                self.tell(now, channel, FeedState::Quiet, Cause::None, out);
            }
        }
    }

    pub fn tell_book(&mut self, now: Now, state: FeedState, cause: Cause, out: &mut Output) {
        self.tell(now, Channel::Book, state, cause, out);
    }

    pub fn wants_book(&self) -> bool {
        self.told[slot(Channel::Book)].is_some()
    }

    fn tell(&mut self, now: Now, channel: Channel, state: FeedState, cause: Cause, out: &mut Output) {
        let Some(told) = &mut self.told[slot(channel)] else { return };
        if (told.state, told.cause) == (state, cause) {
            return;
        }
        (told.state, told.cause) = (state, cause);
        self.emit(out, 0, now.wall, EventBody::State { channel: Some(channel), state, cause });
    }

    /// Data of this channel is in hand: whatever it was, it is live now.
    fn data(&mut self, now: Now, channel: Channel, out: &mut Output) {
        if let Some(told) = &mut self.told[slot(channel)] {
            told.since = Some(now.mono);
            if told.state != FeedState::Live {
                self.tell(now, channel, FeedState::Live, Cause::None, out);
            }
        }
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

/// The exponent that holds this number; 0 for what is no number (parsing it will say so).
fn needs(text: &str) -> i8 {
    Decimal::parse(text.as_bytes()).map_or(0, |value| value.normalized().exponent)
}
