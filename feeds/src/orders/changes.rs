//! The changes of one book that belong together. In: changed levels. Out: one `EventBody::Book` of them, bids before asks.
//! Bounded by the venue's own event; its memory is reused.

use super::{Change, Moved, OrderBook};
use wire::event::{Batch, EventBody, Level, Side};

/// Collects until `put`: a feed whose messages stand alone puts after each, one that marks the last of several puts there.
#[derive(Debug, Default)]
pub struct Changes {
    bids: Vec<Level>,
    asks: Vec<Level>,
    best: bool,
}

impl Changes {
    pub fn note(&mut self, change: &Change) {
        self.best |= change.best;
        let levels = match change.side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        // Sizes are absolute, so of several changes of a level the last one counts, wherever the others stand.
        match levels.last_mut() {
            Some(last) if last.price == change.level.price => *last = change.level,
            _ => levels.push(change.level),
        }
    }

    pub fn note_moved(&mut self, moved: &Moved) {
        self.note(&moved.from);
        self.note(&moved.to);
    }

    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    /// A best level was among them: the quote may have changed.
    pub fn touch_best(&self) -> bool {
        self.best
    }

    /// Puts the levels into the batch and starts over. `None` if nothing changed.
    pub fn put(&mut self, batch: &mut Batch) -> Option<EventBody> {
        self.best = false;
        if self.is_empty() {
            return None;
        }
        let body = put_levels(batch, &self.bids, &self.asks, false);
        self.clear();
        Some(body)
    }

    pub fn clear(&mut self) {
        self.best = false;
        self.bids.clear();
        self.asks.clear();
    }
}

impl OrderBook {
    /// The whole book as one snapshot.
    pub fn snapshot(&self, batch: &mut Batch) -> EventBody {
        put_levels(batch, self.bids.best_first(), self.asks.best_first(), true)
    }
}

fn put_levels<'a>(
    batch: &mut Batch,
    bids: impl IntoIterator<Item = &'a Level>,
    asks: impl IntoIterator<Item = &'a Level>,
    snapshot: bool,
) -> EventBody {
    let start = batch.levels.len() as u32;
    batch.levels.extend(bids);
    let middle = batch.levels.len() as u32;
    batch.levels.extend(asks);
    EventBody::Book { bids: start..middle, asks: middle..batch.levels.len() as u32, snapshot }
}
