//! One instrument on several lines that carry the same. In: what each line brings. Out: every trade, quote and book once, from whichever line
//! has it first. Bounded by `early` and `memo`, and by one book a line where books can only be followed.
//!
//! What the venue numbers for all connections alike is taken from either line: the first arrival wins, the second is dropped, and what one
//! line skipped is waited for from the others (`PATIENCE_NS`). What has no such numbers comes from one line, the leader, until that is lost or
//! lags; the others are kept up to date, so that one can take its place without a resync.
//!
//! `quotes` and `trades` have what their names say, `books` the books that are numbered, `followed` those that are not, `early` what came ahead
//! of its turn, `memo` who was first.

mod books;
mod early;
mod followed;
mod memo;
mod quotes;
mod trades;

use super::super::decoded::QuoteUpdate;
use super::super::lines::Came;
use super::{Market, Need};
use crate::adapter::{Fault, FaultKind, LINE_NAMES, MAX_LINES, Now, Output, Race};
pub(super) use early::Seen;
use early::{EarlyTrades, EarlyUpdates};
use followed::Followed;
use memo::{Again, Memo};
use wire::event::{Cause, Channel, Nanos};

/// How long something that one line skipped may take to come on another, before it counts as lost. Lines on other continents are some
/// 300 ms apart; a lost packet costs a connection another 200 to 600 ms.
pub(super) const PATIENCE_NS: i64 = 1_000_000_000;

/// Nobody leads.
const NOBODY: u8 = u8::MAX;

/// A line that is gone, or lags.
#[derive(Clone, Copy)]
struct Leaving {
    leg: u8,
    is_lost: bool,
    /// The others that deliver.
    others: u8,
    /// Those of them that may lead in its place.
    heirs: u8,
}

/// By line.
type Each<T> = [T; MAX_LINES];

#[derive(Debug)]
pub(in super::super) struct Arbiter {
    quotes: Quotes,
    trades: Trades,
    books: Books,
    /// Only where books are followed.
    followed: Option<Followed>,
}

#[derive(Debug, Default)]
struct Quotes {
    at: Place,
    memo: Memo,
    /// Without numbers: what each line said last, whole.
    held: Each<Option<QuoteUpdate>>,
    leader: u8,
    /// Of the last quote that was told.
    time: Nanos,
    /// A new leader has to come up to `time` first.
    waits: bool,
    /// What a line holds may be the quote, and was not told.
    untold_since: Option<i64>,
}

#[derive(Debug, Default)]
struct Trades {
    at: Place,
    memo: Memo,
    /// Ids that count by one: what is ahead of its turn, and since when something is missing.
    early: EarlyTrades,
    waiting_since: Option<i64>,
    /// Ids that only rise.
    seen: Seen,
    /// Without ids.
    leader: u8,
    /// Of the last one that was told, and the latest of all.
    time: Nanos,
    newest: Nanos,
    /// The new leader may bring again what the old one brought.
    waits: bool,
    /// A later one that another line has brought: its time, that line, and since when it was not told.
    untold: Option<Untold>,
}

/// Where each line is.
#[derive(Debug, Default)]
struct Place {
    /// Its newest number; 0 if it has brought none since it began.
    at: Each<u64>,
    /// Lines that began in the past, with what nobody has told, and never left it.
    low: u8,
}

impl Place {
    /// A line brings this number of the past. True: it lags, or repeats, as a line may that goes on. Else the venue may number anew.
    fn lags(&mut self, leg: u8, id: u64, is_known: bool) -> bool {
        let at = &mut self.at[usize::from(leg)];
        let (begins, rises) = (*at == 0, id > *at);
        *at = id.max(*at);
        if is_known {
            self.low &= !bit(leg);
        } else if begins {
            self.low |= bit(leg);
        }
        is_known || (rises && !is_in(self.low, leg))
    }

    /// A line brings what is new.
    fn advance(&mut self, leg: u8, id: u64) {
        let at = &mut self.at[usize::from(leg)];
        *at = id.max(*at);
        self.low &= !bit(leg);
    }

    fn end(&mut self, leg: u8) {
        self.at[usize::from(leg)] = 0;
        self.low &= !bit(leg);
    }
}

/// A trade that only others than the leader have brought.
#[derive(Clone, Copy, Debug)]
struct Untold {
    time: Nanos,
    leg: u8,
    since: i64,
}

#[derive(Debug, Default)]
struct Books {
    at: Each<u64>,
    memo: Memo,
    early: EarlyUpdates,
    waiting_since: Option<i64>,
    /// Where nothing else proves a loss: the ids that were applied.
    seen: Seen,
    /// When the book was continued last.
    advanced: i64,
    /// Lines that still number as before the venue began anew.
    outside: u8,
    /// The line to ask for a new snapshot in band.
    asked: u8,
}

impl Market {
    /// Its data is going to come on so many lines.
    pub fn on_lines(&mut self, lines: usize) {
        if lines < 2 {
            return;
        }
        let followed = !self.rules.shared_numbers || self.rules.rule == crate::sequencer::Rule::Free;
        let followed = (followed && self.rules.in_band).then(Followed::default);
        self.rules.ladder |= followed.is_some();
        if !self.rules.in_band {
            // Its snapshots may lie inside of an update's range, so an update holds all that its range went through. (In band an update may
            // leave out what came and went between two of them.)
            self.sequencer.cover();
        }
        let (quotes, trades, books) = (Quotes::default(), Trades::default(), Books::default());
        self.arbiter = Some(Box::new(Arbiter { quotes, trades, books, followed }));
    }

    pub fn is_arbitrated(&self) -> bool {
        self.arbiter.is_some()
    }

    /// Calls `act` with the arbiter beside the market.
    fn with_arbiter<T>(&mut self, act: impl FnOnce(&mut Self, &mut Arbiter) -> T) -> Option<T> {
        let mut arbiter = self.arbiter.take()?;
        let result = act(self, &mut arbiter);
        self.arbiter = Some(arbiter);
        Some(result)
    }

    /// This line is gone, or of no use: where it led, another one of `delivering` does.
    /// `came.delivering`: with it or without.
    pub fn leave_line(&mut self, now: Now, came: Came, is_lost: bool, channels: &[Channel], out: &mut Output) -> Need {
        let (leg, at, others) = (came.leg, usize::from(came.leg), came.delivering & !bit(came.leg));
        // Of lines that all lag, one is as good as the other.
        let heirs = if is_lost { best_of(others, came.behind) } else { others & !came.behind };
        let leaving = Leaving { leg, is_lost, others, heirs };
        let leave = |market: &mut Self, arbiter: &mut Arbiter| {
            let mut need = Need::Nothing;
            for channel in channels.iter().filter(|channel| market.takes(**channel)).copied().collect::<Vec<_>>() {
                need = need.max(match channel {
                    Channel::Quote => {
                        if is_lost {
                            arbiter.quotes.at.end(leg);
                        }
                        market.leave_quotes(&mut arbiter.quotes, now, leaving, out)
                    }
                    Channel::Trade => {
                        if is_lost {
                            arbiter.trades.at.end(leg);
                        }
                        market.leave_trades(&mut arbiter.trades, now, leaving, out)
                    }
                    Channel::Book => {
                        arbiter.books.at[at] = if is_lost { 0 } else { arbiter.books.at[at] };
                        market.leave_books(arbiter, now, leaving, out)
                    }
                });
            }
            need
        };
        self.with_arbiter(leave).unwrap_or(Need::Nothing)
    }

    /// What waits for another line does not wait for ever. `delivering`: the lines that bring quotes, trades, books.
    pub fn tend_lines(&mut self, now: Now, delivering: [u8; 3], behind: u8, out: &mut Output) -> Need {
        let [of_quotes, of_trades, of_books] = delivering;
        let tend = |market: &mut Self, arbiter: &mut Arbiter| {
            let quote = market.tend_quotes(&mut arbiter.quotes, now, of_quotes, out);
            let trade = market.tend_trades(&mut arbiter.trades, now, of_trades, out);
            quote.max(trade).max(market.tend_arbitrated_book(arbiter, now, of_books, behind, out))
        };
        self.with_arbiter(tend).unwrap_or(Need::Nothing)
    }

    /// All lines that carried this are lost. (What they had of another channel, which a line may still carry, stays.)
    pub(super) fn forget_lines(&mut self, channel: Channel) {
        let Some(arbiter) = &mut self.arbiter else { return };
        match channel {
            Channel::Quote => {
                arbiter.quotes.at = Place::default();
                (arbiter.quotes.held, arbiter.quotes.untold_since) = (Each::default(), None);
            }
            Channel::Trade => (arbiter.trades.at, arbiter.trades.untold) = (Place::default(), None),
            Channel::Book => {
                // The memory stays: what comes next is as large.
                let Books { memo, early, seen, .. } = std::mem::take(&mut arbiter.books);
                arbiter.books = Books { memo, early, seen, ..Books::default() };
                arbiter.books.memo.clear();
                arbiter.books.early.clear();
                arbiter.books.seen.clear();
                if let Some(followed) = &mut arbiter.followed {
                    followed.clear();
                }
            }
        }
    }

    /// Another line brought it before.
    fn second(&self, again: Option<Again>, came: Came, what: &str, id: u64, out: &mut Output) {
        let Some(again) = again else { return };
        out.races.push(Race::Lead { line: again.line, over: came.leg, lead_ns: again.lead_ns });
        if !again.same {
            let (one, other) = (name(again.line), name(came.leg));
            let detail = format!("{}: lines {one} and {other} differ about {what} {id}", self.instrument.native);
            out.faults.push(Fault { kind: FaultKind::LineDiverged, detail });
        }
    }

    /// A line's own numbers have a hole, while others may have what is missing.
    fn skipped(&self, came: Came, what: &str, id: u64, out: &mut Output) {
        if came.delivering & !bit(came.leg) != 0 {
            let detail = format!("{}: line {} skipped to {what} {id}", self.instrument.native, name(came.leg));
            out.faults.push(Fault { kind: FaultKind::LineGap, detail });
        }
    }
}

fn bit(leg: u8) -> u8 {
    1u8.checked_shl(leg.into()).unwrap_or(0)
}

fn is_in(mask: u8, leg: u8) -> bool {
    mask & bit(leg) != 0
}

/// The legs of a mask.
fn legs(mask: u8) -> impl Iterator<Item = usize> {
    (0..MAX_LINES).filter(move |leg| is_in(mask, *leg as u8))
}

fn name(leg: u8) -> &'static str {
    LINE_NAMES.get(usize::from(leg)).copied().unwrap_or("?")
}

/// Those that do not lag, unless nothing else is left.
fn best_of(mask: u8, behind: u8) -> u8 {
    if mask & !behind == 0 { mask } else { mask & !behind }
}

/// Whom to follow: the first of these.
fn first_of(mask: u8) -> u8 {
    if mask == 0 { NOBODY } else { mask.trailing_zeros() as u8 }
}

/// Why a book of several lines is given up: the venue's numbers, not the connection.
const LOST_ON_ALL: Cause = Cause::SequenceGap;
