//! What came ahead of its turn: one line skipped something that another one may still bring. In: trades and book updates with numbers.
//! Out: the same in the order of their numbers. Bounded: `MAX_TRADES`, `MAX_UPDATES` and `MAX_LEVELS`; empty and without memory as long as no
//! line skips anything.

use super::super::super::decoded::{BookUpdate, RawLevel, TradeUpdate};
use super::super::book::BookMessage;

/// A second of a very busy instrument.
const MAX_TRADES: usize = 1_024;
const MAX_UPDATES: usize = 512;
const MAX_LEVELS: usize = 8_192;
const MAX_SPARE: usize = 16;

/// In the order of their ids.
#[derive(Debug, Default)]
pub(super) struct EarlyTrades {
    trades: Vec<(u64, TradeUpdate)>,
}

/// What became of something that came too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    New,
    Again,
    Full,
}

impl EarlyTrades {
    pub fn keep(&mut self, id: u64, trade: &TradeUpdate) -> Kept {
        match self.trades.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(_) => Kept::Again,
            Err(_) if self.trades.len() >= MAX_TRADES => Kept::Full,
            Err(at) => {
                self.trades.insert(at, (id, *trade));
                Kept::New
            }
        }
    }

    pub fn first(&self) -> Option<(u64, TradeUpdate)> {
        self.trades.first().copied()
    }

    pub fn drop_first(&mut self) {
        self.trades.remove(0);
    }

    pub fn clear(&mut self) {
        self.trades.clear();
    }
}

#[derive(Debug, Default)]
struct EarlyUpdate {
    update: BookUpdate,
    bids: Vec<RawLevel>,
    asks: Vec<RawLevel>,
}

/// In the order of their last ids.
#[derive(Debug, Default)]
pub(super) struct EarlyUpdates {
    updates: Vec<EarlyUpdate>,
    levels: usize,
    /// Buffers to use again: lines that cut their updates differently are ahead of each other all the time.
    spare: Vec<EarlyUpdate>,
}

impl EarlyUpdates {
    pub fn keep(&mut self, message: BookMessage<'_>) -> Kept {
        let update = message.update;
        let key = |update: &BookUpdate| (update.last, update.first, update.previous);
        let at = match self.updates.binary_search_by_key(&key(update), |early| key(&early.update)) {
            Ok(_) => return Kept::Again,
            Err(at) => at,
        };
        let levels = message.bids.len() + message.asks.len();
        if self.updates.len() >= MAX_UPDATES || self.levels + levels > MAX_LEVELS {
            return Kept::Full;
        }
        self.levels += levels;
        let mut early = self.spare.pop().unwrap_or_default();
        early.update = *update;
        early.bids.extend_from_slice(message.bids);
        early.asks.extend_from_slice(message.asks);
        self.updates.insert(at, early);
        Kept::New
    }

    pub fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    pub fn first(&self) -> Option<BookMessage<'_>> {
        self.updates.first().map(message)
    }

    pub fn all(&self) -> impl Iterator<Item = BookMessage<'_>> {
        self.updates.iter().map(message)
    }

    /// Leaves out those that are not wanted any more.
    pub fn retain(&mut self, is_wanted: impl Fn(BookMessage<'_>) -> bool) {
        let mut at = 0;
        while at < self.updates.len() {
            if is_wanted(message(&self.updates[at])) {
                at += 1;
                continue;
            }
            let mut early = self.updates.remove(at);
            self.levels -= early.bids.len() + early.asks.len();
            if self.spare.len() < MAX_SPARE {
                early.bids.clear();
                early.asks.clear();
                self.spare.push(early);
            }
        }
    }

    pub fn clear(&mut self) {
        self.retain(|_| false);
    }
}

fn message(early: &EarlyUpdate) -> BookMessage<'_> {
    BookMessage { update: &early.update, bids: &early.bids, asks: &early.asks }
}

/// Ids that were told lately, in order: of two lines each may skip some, and what the one skipped the other brings late.
#[derive(Debug, Default)]
pub(in super::super) struct Seen {
    ids: Vec<u64>,
    /// What is not above this is too old to be known.
    floor: u64,
}

/// Ids kept; half of them go when it is full, so that a new one costs no move of all others.
const MAX_SEEN: usize = 4_096;

impl Seen {
    /// True: it was not told yet.
    pub fn is_new(&self, id: u64) -> bool {
        let in_order = self.ids.last().is_none_or(|last| id > *last);
        id > self.floor && (in_order || self.ids.binary_search(&id).is_err())
    }

    pub fn add(&mut self, id: u64) {
        if self.ids.capacity() == 0 {
            self.ids.reserve_exact(MAX_SEEN);
        }
        if self.ids.len() >= MAX_SEEN {
            self.floor = self.ids[MAX_SEEN / 2 - 1];
            self.ids.drain(..MAX_SEEN / 2);
        }
        match self.ids.last() {
            Some(last) if id < *last => {
                if let Err(at) = self.ids.binary_search(&id) {
                    self.ids.insert(at, id);
                }
            }
            _ => self.ids.push(id),
        }
    }

    /// What is not above `floor` counts as told.
    pub fn begin_above(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    pub fn clear(&mut self) {
        self.ids.clear();
        self.floor = 0;
    }
}
