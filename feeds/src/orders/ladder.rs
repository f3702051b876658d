//! One side of a book as sums. In: how much came to or went from a price. Out: the level's new size, and the levels best first.
//! Bounded by the orders behind it: a level without any is gone.

use wire::event::{Level, Side};

/// Levels looked at one by one from the best before the rest is searched by halves: nearly all changes are there.
const NEAR: usize = 8;

/// Levels of one side, worst first, so that what changes most often moves least.
#[derive(Clone, Debug)]
pub struct Ladder {
    side: Side,
    levels: Vec<Level>,
}

impl Ladder {
    pub(super) fn new(side: Side) -> Self {
        Self { side, levels: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.levels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    pub fn best(&self) -> Option<Level> {
        self.levels.last().copied()
    }

    pub fn best_first(&self) -> impl ExactSizeIterator<Item = &Level> {
        self.levels.iter().rev()
    }

    pub(super) fn clear(&mut self) {
        self.levels.clear();
    }

    /// Adds `by` to the size at `price`. Out: the new size, and whether this is, or was, the best level.
    pub(super) fn change(&mut self, price: i64, by: i64) -> (i64, bool) {
        match self.find(price) {
            Ok(at) => {
                let best = at + 1 == self.levels.len();
                let level = &mut self.levels[at];
                level.size += by;
                let size = level.size;
                if size <= 0 {
                    self.levels.remove(at);
                }
                (size.max(0), best)
            }
            Err(at) => {
                let best = at == self.levels.len();
                if by > 0 {
                    self.levels.insert(at, Level { price, size: by });
                }
                (by.max(0), best)
            }
        }
    }

    /// Where the level is, or where it would be.
    fn find(&self, price: i64) -> Result<usize, usize> {
        // Ascending for both sides: the best bid is the highest, the best ask the lowest.
        let rank = |price: i64| if self.side == Side::Bid { price } else { !price };
        let wanted = rank(price);
        let far = self.levels.len().saturating_sub(NEAR);
        for (at, level) in self.levels.iter().enumerate().skip(far).rev() {
            match rank(level.price).cmp(&wanted) {
                std::cmp::Ordering::Less => return Err(at + 1),
                std::cmp::Ordering::Equal => return Ok(at),
                std::cmp::Ordering::Greater => {}
            }
        }
        self.levels[..far].binary_search_by_key(&wanted, |level| rank(level.price))
    }
}
