//! Highest or lowest price of the trades since any point of the past. In: prices in order. Out: the extreme of a window that ends
//! now. Bounded: at most `capacity` entries; when that bites, the oldest part of the past becomes unknown, and it says so.
//!
//! A monotone stack: an entry stays only while no later trade is as extreme, so the answer for a window is its first entry.

use super::cursor::Sums;
use std::collections::VecDeque;

/// The highest prices, or else the lowest.
#[derive(Debug)]
pub(super) struct Extremes<const HIGHEST: bool> {
    entries: VecDeque<Entry>,
    capacity: usize,
    floor: Option<(u64, Sums)>,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    price: i64,
    /// Totals up to and with this trade: where a window can begin once this entry is dropped.
    sums: Sums,
}

impl<const HIGHEST: bool> Extremes<HIGHEST> {
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity: capacity.max(1), floor: None }
    }

    fn beats(held: i64, price: i64) -> bool {
        if HIGHEST { held > price } else { held < price }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.floor = None;
    }

    pub fn push(&mut self, seq: u64, price: i64, sums: Sums) {
        while self.entries.pop_back_if(|held| !Self::beats(held.price, price)).is_some() {}
        if self.entries.len() == self.capacity {
            self.floor = self.entries.pop_front().map(|oldest| (oldest.seq, oldest.sums));
        }
        self.entries.push_back(Entry { seq, price, sums });
    }

    /// The earliest start of a window whose extreme is known, if not the epoch's: a sequence, and the totals at it.
    pub fn floor(&self) -> Option<(u64, Sums)> {
        self.floor
    }

    /// Extreme of these prices.
    pub fn among(&self, prices: impl Iterator<Item = i64>) -> Option<i64> {
        prices.reduce(|held, price| if Self::beats(held, price) { held } else { price })
    }

    /// Extreme of the trades after `seq`, which must not be before the floor.
    pub fn after(&self, seq: u64) -> Option<i64> {
        let first = self.entries.partition_point(|entry| entry.seq <= seq);
        self.entries.get(first).map(|entry| entry.price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_scan(prices in proptest::collection::vec(-8i64..8, 1..60), capacity in 1usize..8) {
            let (mut high, mut low) = (Extremes::<true>::new(capacity), Extremes::<false>::new(capacity));
            for (at, price) in prices.iter().enumerate() {
                high.push(at as u64 + 1, *price, Sums::default());
                low.push(at as u64 + 1, *price, Sums::default());
                for start in 0..=at {
                    let window = &prices[start..=at];
                    if high.floor().is_none_or(|floor| floor.0 <= start as u64) {
                        prop_assert_eq!(high.after(start as u64), window.iter().max().copied());
                    }
                    if low.floor().is_none_or(|floor| floor.0 <= start as u64) {
                        prop_assert_eq!(low.after(start as u64), window.iter().min().copied());
                    }
                }
            }
        }
    }
}
