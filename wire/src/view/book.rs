//! In: absolute price levels. Out: an ordered book of two sides, its best levels and its hash.
//! Bounded by the levels put into it: 16 bytes each; whoever feeds it limits their number (`TopicLimits`, a frame's size).

use crate::event::{Level, Side};

/// Both sides of a book. Each side is one sorted `Vec`, **worst level first**, so that edits near the best price, which are
/// most of them, move few bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Book {
    pub const fn new() -> Self {
        Self { bids: Vec::new(), asks: Vec::new() }
    }

    /// Sets the absolute size of one level; 0 deletes it. True if the book changed (deleting an unknown level does not).
    pub fn set(&mut self, side: Side, price: i64, size: i64) -> bool {
        let (levels, found) = match side {
            Side::Bid => {
                let found = find(&self.bids, |level| level.price.cmp(&price));
                (&mut self.bids, found)
            }
            Side::Ask => {
                let found = find(&self.asks, |level| price.cmp(&level.price));
                (&mut self.asks, found)
            }
        };
        match (found, size) {
            (Ok(at), 0) => {
                levels.remove(at);
                true
            }
            (Err(_), 0) => false,
            (Ok(at), _) => {
                let changed = levels[at].size != size;
                levels[at].size = size;
                changed
            }
            (Err(at), _) => {
                levels.insert(at, Level { price, size });
                true
            }
        }
    }

    /// Size at a price; 0 if there is no such level.
    pub fn size_at(&self, side: Side, price: i64) -> i64 {
        let found = match side {
            Side::Bid => find(&self.bids, |level| level.price.cmp(&price)),
            Side::Ask => find(&self.asks, |level| price.cmp(&level.price)),
        };
        found.map_or(0, |at| self.worst_first(side)[at].size)
    }

    /// Replaces the whole book. Levels are expected best first; other orders are sorted, sizes of 0 are left out, and of
    /// two levels at one price the later one counts.
    pub fn replace(&mut self, bids: &[Level], asks: &[Level]) {
        fill(&mut self.bids, bids, |a, b| a.price.cmp(&b.price));
        fill(&mut self.asks, asks, |a, b| b.price.cmp(&a.price));
    }

    /// `set` for every level; true if anything changed.
    pub fn apply(&mut self, bids: &[Level], asks: &[Level]) -> bool {
        let mut changed = false;
        for level in bids {
            changed |= self.set(Side::Bid, level.price, level.size);
        }
        for level in asks {
            changed |= self.set(Side::Ask, level.price, level.size);
        }
        changed
    }

    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Number of levels of a side.
    pub fn len(&self, side: Side) -> usize {
        self.worst_first(side).len()
    }

    /// True if both sides are empty.
    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    /// The best level of a side.
    pub fn best(&self, side: Side) -> Option<Level> {
        self.worst_first(side).last().copied()
    }

    /// At most `n` levels of a side, best first. Give `usize::MAX` for all.
    pub fn levels(&self, side: Side, n: usize) -> impl DoubleEndedIterator<Item = Level> + ExactSizeIterator + '_ {
        let levels = self.worst_first(side);
        levels[levels.len().saturating_sub(n)..].iter().rev().copied()
    }

    /// The level at a rank of a side, 0 is the best.
    pub fn at(&self, side: Side, rank: usize) -> Option<Level> {
        let levels = self.worst_first(side);
        levels.len().checked_sub(rank + 1).map(|at| levels[at])
    }

    /// How many levels of a side are strictly better than `price` (the rank `price` has or would have).
    pub fn rank(&self, side: Side, price: i64) -> usize {
        let levels = self.worst_first(side);
        let worse_or_equal = match side {
            Side::Bid => levels.partition_point(|level| level.price <= price),
            Side::Ask => levels.partition_point(|level| level.price >= price),
        };
        levels.len() - worse_or_equal
    }

    /// A side as it is stored: worst level first.
    pub fn worst_first(&self, side: Side) -> &[Level] {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    /// Best bid at or above best ask.
    pub fn is_crossed(&self) -> bool {
        matches!((self.bids.last(), self.asks.last()), (Some(bid), Some(ask)) if bid.price >= ask.price)
    }

    /// Bytes its levels take (capacity, not length).
    pub fn bytes(&self) -> usize {
        (self.bids.capacity() + self.asks.capacity()) * size_of::<Level>()
    }

    /// The `check` hash of the view that shows `n` levels a side: CRC-32 (IEEE) over little-endian
    /// `u32 bids, (i64 price, i64 size)*` best first, then the same for asks.
    pub fn hash(&self, n: usize) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for side in [Side::Bid, Side::Ask] {
            let levels = self.levels(side, n);
            // A side can never hold 2^32 levels of 16 bytes within any configured limit.
            hasher.update(&(levels.len() as u32).to_le_bytes());
            for level in levels {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&level.price.to_le_bytes());
                bytes[8..].copy_from_slice(&level.size.to_le_bytes());
                hasher.update(&bytes);
            }
        }
        hasher.finalize()
    }
}

/// Looks at the best few levels one by one before it searches: most changes are there.
fn find(levels: &[Level], order: impl Fn(&Level) -> std::cmp::Ordering) -> Result<usize, usize> {
    use std::cmp::Ordering;
    const NEAR: usize = 8;
    let near = levels.len().saturating_sub(NEAR);
    for at in (near..levels.len()).rev() {
        match order(&levels[at]) {
            Ordering::Equal => return Ok(at),
            Ordering::Less => return Err(at + 1),
            Ordering::Greater => {}
        }
    }
    levels[..near].binary_search_by(order)
}

fn fill(side: &mut Vec<Level>, best_first: &[Level], order: impl Fn(&Level, &Level) -> std::cmp::Ordering) {
    side.clear();
    side.extend(best_first.iter().rev());
    if !side.is_sorted_by(|a, b| order(a, b).is_lt()) {
        // Stable, after restoring the given order, so that the later one of two equals comes last and stays.
        side.reverse();
        side.sort_by(&order);
        side.dedup_by(|later, kept| {
            let same = later.price == kept.price;
            if same {
                *kept = *later;
            }
            same
        });
    }
    side.retain(|level| level.size != 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn level(price: i64, size: i64) -> Level {
        Level { price, size }
    }

    #[test]
    fn keeps_best_first_order() {
        let mut book = Book::new();
        for price in [100, 98, 99] {
            assert!(book.set(Side::Bid, price, 1));
            assert!(book.set(Side::Ask, 201 - price, 2));
        }
        assert_eq!(book.best(Side::Bid), Some(level(100, 1)));
        assert_eq!(book.best(Side::Ask), Some(level(101, 2)));
        assert_eq!(book.levels(Side::Bid, 2).collect::<Vec<_>>(), [level(100, 1), level(99, 1)]);
        assert_eq!(book.at(Side::Ask, 2), Some(level(103, 2)));
        assert_eq!(book.at(Side::Ask, 3), None);
        assert_eq!((book.rank(Side::Bid, 99), book.rank(Side::Ask, 104)), (1, 3));
        assert!(!book.set(Side::Bid, 97, 0));
        assert!(book.set(Side::Bid, 100, 0));
        assert!(!book.set(Side::Bid, 99, 1));
        assert_eq!(book.size_at(Side::Bid, 99), 1);
        assert!(!book.is_crossed());
        book.set(Side::Bid, 101, 1);
        assert!(book.is_crossed());
    }

    #[test]
    fn replace_takes_any_order() {
        let mut book = Book::new();
        book.replace(&[level(1, 5), level(3, 0), level(2, 7), level(1, 6)], &[level(9, 1), level(8, 1)]);
        assert_eq!(book.levels(Side::Bid, 9).collect::<Vec<_>>(), [level(2, 7), level(1, 6)]);
        assert_eq!(book.levels(Side::Ask, 9).collect::<Vec<_>>(), [level(8, 1), level(9, 1)]);
    }

    #[test]
    fn the_hash_is_the_documented_one() {
        let mut book = Book::new();
        assert_eq!(book.hash(usize::MAX), crc32fast::hash(&[0; 8]));
        book.replace(&[level(10, 1), level(9, 2)], &[]);
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend(10i64.to_le_bytes());
        bytes.extend(1i64.to_le_bytes());
        bytes.extend([0; 4]);
        assert_eq!(book.hash(1), crc32fast::hash(&bytes));
    }

    proptest! {
        #[test]
        fn equals_a_map(edits in proptest::collection::vec((any::<bool>(), -40i64..40, 0i64..4), 0..200)) {
            let (mut book, mut bids, mut asks) = (Book::new(), BTreeMap::new(), BTreeMap::new());
            for (bid, price, size) in edits {
                let (side, map) = if bid { (Side::Bid, &mut bids) } else { (Side::Ask, &mut asks) };
                let before = if size == 0 { map.remove(&price) } else { map.insert(price, size) };
                prop_assert_eq!(book.set(side, price, size), before.unwrap_or(0) != size);
            }
            let expected: Vec<_> = bids.iter().rev().map(|(p, s)| level(*p, *s)).collect();
            prop_assert_eq!(book.levels(Side::Bid, usize::MAX).collect::<Vec<_>>(), expected);
            let expected: Vec<_> = asks.iter().map(|(p, s)| level(*p, *s)).collect();
            prop_assert_eq!(book.levels(Side::Ask, usize::MAX).collect::<Vec<_>>(), expected);
        }
    }
}
