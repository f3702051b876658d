//! One instrument of any venue. In: decoded updates. Out: normalized events, exact, in order, each id once.
//! Bounded by the sequencer's limits; no allocation for a quote, a trade or a book update once the batch is warm.
//!
//! Here are quotes and trades; `book` has the book, `scale` the exponents, `state` what is live and what is not, `arbiter` what is special
//! about a feed with several lines.

mod arbiter;
mod book;
mod scale;
mod state;

use super::decoded::{Part, QuoteUpdate, RawLevel, TradeUpdate};
use super::facts::{Facts, OrphanDelete, Proof, QuoteIds, SnapshotFrom, TradeIds};
use super::ladder::Ladder;
use super::lines::Came;
use crate::adapter::{Fault, FaultKind, Line, MAX_LINES, Now, Output};
use crate::sequencer::{Limits, Rule, Sequencer};
use crate::trail::{Step, Trail};
use arbiter::{Arbiter, Seen};
use scale::Misfit;
use state::{CHANNELS, Told, slot};
use wire::event::{Cause, Channel, Event, EventBody, FeedState, Flags, Nanos, Quote, Trade, TradingState};
use wire::instrument::Instrument;

pub use book::{BookMessage, Spliced};

/// What the caller must do for the book after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Nothing,
    /// The book is not live and no snapshot is on its way.
    Snapshot,
    /// The same, and this diff is the first of those to keep for it.
    SnapshotAndRepeat,
}

/// The facts a market goes by, resolved once.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    trade_ids: TradeIds,
    quote_ids: QuoteIds,
    shared_numbers: bool,
    rule: Rule,
    restart_floor: Option<u64>,
    in_band: bool,
    equal: bool,
    /// Checksums or orphan deletes need the book itself.
    ladder: bool,
    orphans_count: bool,
    finest_exponent: i8,
    size_noise: Option<u8>,
    /// Levels a side beyond which the venue sends no deletes.
    pub depth: Option<usize>,
}

impl Rules {
    pub fn of(facts: &Facts) -> Self {
        let (rule, restart_floor) = match facts.numbering() {
            Some(Proof::Counter { step, restart_floor }) => (Rule::Counter { step }, Some(restart_floor)),
            Some(Proof::Chain) => (Rule::Chain, None),
            Some(Proof::Range) => (Rule::Range, None),
            _ => (Rule::Free, None),
        };
        let orphans_count = facts.orphan_delete == OrphanDelete::Loss;
        let (in_band, equal) = match facts.snapshot {
            SnapshotFrom::Subscription { .. } => (true, false),
            SnapshotFrom::Rest { equal, .. } => (false, equal),
        };
        Self {
            trade_ids: facts.trade_ids,
            quote_ids: facts.quote_ids,
            shared_numbers: facts.shared_numbers,
            rule,
            restart_floor,
            in_band,
            equal,
            ladder: orphans_count || facts.checksum_depth().is_some(),
            orphans_count,
            finest_exponent: facts.finest_exponent,
            size_noise: facts.size_noise,
            depth: None,
        }
    }
}

pub struct Market {
    pub index: u32,
    pub instrument: Instrument,
    pub trading: TradingState,
    pub sequencer: Sequencer,
    /// In band: when the book's subscription was granted without a snapshot so far.
    pub awaited_since: Option<i64>,
    /// In band, while two lines carry the same: whose book it is.
    pub book_line: Option<Line>,
    rules: Rules,
    /// Sizes are cut here.
    size_floor: i8,
    ladder: Ladder,
    told: [Option<Told>; 3],
    quotes: Trail,
    trades: Trail,
    last_quote: Option<Quote>,
    quote_time: Nanos,
    /// Quotes up to this update id are older than the snapshot whose best prices stood in for one.
    quote_floor: u64,
    /// Why the next jump of trade ids came about, if the line was lost meanwhile.
    lost: Cause,
    /// While two lines carry the same data: the newest ids that came too early on one of them.
    early_trade: u64,
    early_diff: u64,
    /// The same: the first trade of all, which only the new line has brought so far.
    first_trade: Option<u64>,
    /// Ids that only rise: what both have brought.
    both_seen: Option<Box<Seen>>,
    /// Without ids: what the new line said last, whole.
    next_quote: Option<Box<QuoteUpdate>>,
    /// By line: the newest trade of before its subscription, until the first one after it.
    past_trades: [u64; MAX_LINES],
    /// Only of a feed with several lines.
    arbiter: Option<Box<Arbiter>>,
}

impl Market {
    pub fn new(index: u32, instrument: Instrument, trading: TradingState, channels: &[Channel], rules: Rules) -> Self {
        let told = CHANNELS
            .map(|channel| channels.contains(&channel).then_some(Told { state: FeedState::Starting, cause: Cause::Startup }));
        let size_floor = match rules.size_noise {
            Some(noise) if instrument.lot > 0 => instrument.size_exponent.saturating_sub_unsigned(noise),
            _ => i8::MIN,
        };
        Self {
            index,
            instrument,
            trading,
            sequencer: Sequencer::with_rule(Limits::default(), rules.rule, rules.equal),
            awaited_since: None,
            book_line: None,
            rules,
            size_floor,
            ladder: Ladder::default(),
            told,
            quotes: Trail::default(),
            trades: Trail::default(),
            last_quote: None,
            quote_time: 0,
            quote_floor: 0,
            lost: Cause::None,
            early_trade: 0,
            early_diff: 0,
            first_trade: None,
            both_seen: None,
            next_quote: None,
            past_trades: [0; MAX_LINES],
            arbiter: None,
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

    pub fn on_trading(&mut self, now: Now, trading: TradingState, out: &mut Output) {
        if self.trading != trading {
            self.trading = trading;
            self.emit(out, 0, now.wall, EventBody::Trading(trading));
        }
    }

    pub fn on_quote(&mut self, now: Now, update: &QuoteUpdate, came: Came, out: &mut Output) -> Need {
        if self.arbiter.is_some() {
            return self.arbitrate_quote(now, update, came, out);
        }
        if self.rules.quote_ids == QuoteIds::None && came.is_next {
            // Nothing tells which line is ahead: it has its turn when the other one ends.
            let whole = update.whole(self.next_quote.as_deref().copied());
            **self.next_quote.get_or_insert_default() = whole;
            return Need::Nothing;
        }
        if self.rules.quote_ids != QuoteIds::None {
            if self.quote_is_awaited() {
                // What a new connection brings is newer than what the old one brought, even if the venue numbers anew.
                self.quotes = Trail::default();
            }
            if self.quotes.step(update.id) == Step::Duplicate {
                self.duplicate(came.overlap, "quote", update.id, out);
                return Need::Nothing;
            }
            if self.rules.quote_ids == QuoteIds::AsBook && update.id <= self.quote_floor {
                return Need::Nothing;
            }
        }
        self.tell_quote(now, update, out)
    }

    /// One that is new.
    fn tell_quote(&mut self, now: Now, update: &QuoteUpdate, out: &mut Output) -> Need {
        let mut need = Need::Nothing;
        let quote = self.quote(update).or_else(|misfit| {
            let raw =
                [update.bid, update.ask].into_iter().filter_map(|part| if let Part::At(raw) = part { Some(raw) } else { None });
            need = self.fit(now, misfit, raw, out)?;
            self.quote(update)
        });
        let Ok(quote) = quote else {
            self.bad(out, "quote", update.id);
            return need;
        };
        if self.rules.quote_ids == QuoteIds::None && self.last_quote == Some(quote) && !self.quote_is_awaited() {
            // A ticker that told something else.
            return need;
        }
        (self.last_quote, self.quote_time) = (Some(quote), update.time);
        self.data(now, Channel::Quote, out);
        self.emit(out, update.time, now.wall, EventBody::Quote(quote));
        need
    }

    fn quote(&self, update: &QuoteUpdate) -> Result<Quote, Misfit> {
        let last = self.last_quote.unwrap_or_default();
        let side = |part, price, size| match part {
            Part::Same => Ok((price, size)),
            Part::Nothing => Ok((None, None)),
            Part::At(raw) => {
                let level = self.level(raw)?;
                // An empty side is often filled with zeros: there is none.
                Ok(if level.price == 0 { (None, None) } else { (Some(level.price), Some(level.size)) })
            }
        };
        let (bid_price, bid_size) = side(update.bid, last.bid_price, last.bid_size)?;
        let (ask_price, ask_size) = side(update.ask, last.ask_price, last.ask_size)?;
        Ok(Quote { bid_price, bid_size, ask_price, ask_size })
    }

    pub fn on_trade(&mut self, now: Now, update: &TradeUpdate, came: Came, out: &mut Output) -> Need {
        if self.arbiter.is_some() {
            return self.arbitrate_trade(now, update, came, out);
        }
        if let Some(id) = update.id.filter(|_| self.rules.trade_ids != TradeIds::None)
            && !self.follow_trade(now, id, update, came, out)
        {
            return Need::Nothing;
        }
        if update.id.is_none() && update.past {
            return Need::Nothing;
        }
        self.tell_trade(now, update, out)
    }

    /// One that is new.
    fn tell_trade(&mut self, now: Now, update: &TradeUpdate, out: &mut Output) -> Need {
        self.lost = Cause::None;
        if update.off_book {
            let detail = format!("{}: {} is no trade of the market", self.instrument.native, update.id.unwrap_or(0));
            out.faults.push(Fault { kind: FaultKind::OffBookTrade, detail });
            return Need::Nothing;
        }
        let raw = RawLevel { price: update.price, size: update.size };
        let mut need = Need::Nothing;
        let level = self.priced(raw).or_else(|misfit| {
            need = self.fit(now, misfit, std::iter::once(raw), out)?;
            self.priced(raw)
        });
        let Ok(level) = level else {
            self.bad(out, "trade", update.id.unwrap_or(0));
            let gap = EventBody::Gap { channel: Channel::Trade, missing: Some(1), cause: Cause::BadData };
            self.emit(out, update.time, now.wall, gap);
            return need;
        };
        self.data(now, Channel::Trade, out);
        let trade = Trade {
            price: level.price,
            size: level.size,
            aggressor: update.aggressor,
            id: update.id.and_then(|id| i64::try_from(id).ok()),
            aggregated: update.aggregated,
        };
        self.emit(out, update.time, now.wall, EventBody::Trade(trade));
        need
    }

    /// From before the subscription, and nothing that closes a gap; but what follows it is measured against it.
    fn is_history(&mut self, id: u64, update: &TradeUpdate, leg: u8) -> bool {
        if update.past && self.trades.last().is_none_or(|last| id <= last) {
            if self.trades.last().is_none()
                && let Some(past) = self.past_trades.get_mut(usize::from(leg))
            {
                *past = (*past).max(id);
            }
            return true;
        }
        self.history_ends();
        false
    }

    /// What comes now is measured against the history. (Of several lines against the shortest: what is past to a line that was subscribed
    /// later the others bring.)
    fn history_ends(&mut self) {
        if self.trades.last().is_none()
            && let Some(past) = self.past_trades.iter().copied().filter(|past| *past > 0).min()
        {
            self.trades.step(past);
        }
    }

    /// False: this trade is to be left out.
    fn follow_trade(&mut self, now: Now, id: u64, update: &TradeUpdate, came: Came, out: &mut Output) -> bool {
        if self.is_history(id, update, 0) {
            return false;
        }
        let (overlap, counted) = (came.overlap, self.rules.trade_ids == TradeIds::Counted);
        if came.is_next && counted && self.trades.last().is_none() {
            // The other line has it too, and maybe one before it that is still on its way.
            self.first_trade = Some(self.first_trade.map_or(id, |first| first.min(id)));
            self.early_trade = self.early_trade.max(id);
            return false;
        }
        if !counted && self.is_late(id, overlap) {
            return true;
        }
        if overlap && counted && id > self.early_trade && matches!(self.trades.look(id), Step::Jump { .. }) {
            // The other line still has what is missing here, and will then bring this one too. (Or has been here already, and had
            // not either: then the venue itself skipped some.)
            self.early_trade = id;
            return false;
        }
        match self.trades.step(id) {
            Step::Next => {}
            Step::Duplicate => {
                self.duplicate(overlap || update.past, "trade", id, out);
                return false;
            }
            Step::Jump { missing } if counted => self.trade_gap(now, Some(missing), Some(id), out),
            // Where ids only rise, a lost line is all that tells of a loss.
            Step::Jump { .. } if self.lost != Cause::None => self.trade_gap(now, None, Some(id), out),
            Step::Jump { .. } => {}
            Step::Restart => self.trade_gap(now, None, Some(id), out),
        }
        true
    }

    /// The new one of two lines brought later ones before: it began after this one.
    fn is_late(&mut self, id: u64, overlap: bool) -> bool {
        if overlap && self.both_seen.is_none() {
            let mut seen = Box::<Seen>::default();
            seen.begin_above(self.trades.last().unwrap_or(0));
            self.both_seen = Some(seen);
        }
        let Some(seen) = self.both_seen.as_mut().filter(|seen| seen.is_new(id)) else { return false };
        seen.add(id);
        self.trades.look(id) == Step::Duplicate
    }

    /// Trades are missing: so many, or nobody knows how many.
    pub fn trade_gap(&mut self, now: Now, missing: Option<u64>, id: Option<u64>, out: &mut Output) {
        let cause = if self.lost == Cause::None { Cause::SequenceGap } else { self.lost };
        let native = &self.instrument.native;
        let detail = match (missing, id) {
            (Some(missing), Some(id)) => format!("{native}: {missing} trades missing before {id}"),
            (None, Some(id)) => format!("{native}: trade ids restart at {id}"),
            _ => format!("{native}: trades may be missing"),
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
