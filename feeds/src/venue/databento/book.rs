//! The books of one instrument's records. In: ten levels a side, or single orders. Out: what changed, as levels in 1e-9.
//! Bounded by ten levels, and by the limits of order-level books.

use dbn::{BidAskPair, Mbp10Msg};
use std::array;
use wire::event::Level;

use super::scale::defined;

/// What `mbp-10` shows, best first; a level that is not there has size 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ten {
    pub bids: [Level; 10],
    pub asks: [Level; 10],
}

impl Ten {
    pub fn of(message: &Mbp10Msg) -> Self {
        let level = |price, size: u32| defined(price).map_or(Level::default(), |price| Level { price, size: i64::from(size) });
        let bid = |pair: &BidAskPair| level(pair.bid_px, pair.bid_sz);
        let ask = |pair: &BidAskPair| level(pair.ask_px, pair.ask_sz);
        Self { bids: array::from_fn(|at| bid(&message.levels[at])), asks: array::from_fn(|at| ask(&message.levels[at])) }
    }
}

/// Appends the levels that lead from `old` to `new`: those that are gone with size 0, then those that are new or changed.
pub(super) fn changes(old: &[Level; 10], new: &[Level; 10], into: &mut Vec<Level>) {
    if old == new {
        return;
    }
    let holds = |levels: &[Level; 10], price: i64| levels.iter().any(|level| level.size > 0 && level.price == price);
    into.extend(old.iter().filter(|level| level.size > 0 && !holds(new, level.price)).map(|level| Level { size: 0, ..*level }));
    into.extend(new.iter().filter(|level| level.size > 0 && !old.contains(level)));
}

/// Appends the levels that are there.
pub(super) fn all(levels: &[Level; 10], into: &mut Vec<Level>) {
    into.extend(levels.iter().filter(|level| level.size > 0));
}
