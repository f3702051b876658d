//! In: trades, one by one or summed up. Out: the newest of them, and totals since the view began.
//! Bounded: `KEPT` trades; the totals are the same whether a window came as trades or as one summary.

use crate::event::Nanos;
use crate::record::{TradeRecord, TradeSummary};
use std::collections::VecDeque;

/// How many trades a view keeps.
pub const KEPT: usize = 256;

/// One trade of the tape with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sequence: u64,
    pub time: Nanos,
    pub trade: TradeRecord,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tape {
    entries: VecDeque<Entry>,
    total: Option<TradeSummary>,
}

impl Tape {
    pub fn push(&mut self, sequence: u64, time: Nanos, trade: &TradeRecord) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { sequence, time, trade: *trade });
        self.add(&TradeSummary::of(trade));
    }

    pub fn add(&mut self, window: &TradeSummary) {
        match &mut self.total {
            Some(total) => total.add(window),
            none => *none = Some(*window),
        }
    }

    /// Everything seen since the last snapshot, as one window.
    pub fn total(&self) -> Option<&TradeSummary> {
        self.total.as_ref()
    }

    /// Oldest first; summaries leave no entries.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }
}

impl TradeSummary {
    /// The window of one trade.
    pub fn of(trade: &TradeRecord) -> Self {
        Self {
            last: trade.price,
            high: trade.price,
            low: trade.price,
            count: 1,
            volume: u128::from(trade.size.max(0).unsigned_abs()),
            notional: i128::from(trade.price) * i128::from(trade.size),
        }
    }

    /// Appends a later window.
    pub fn add(&mut self, later: &Self) {
        self.last = later.last;
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.count = self.count.saturating_add(later.count);
        self.volume = self.volume.saturating_add(later.volume);
        self.notional = self.notional.saturating_add(later.notional);
    }
}
