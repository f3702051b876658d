//! All resting orders by book and id: an open hash table. In: orders, ids. Out: orders. Bounded by its limit; it doubles up to that and
//! never shrinks, so in steady state it allocates nothing.
//!
//! Its own table instead of a `HashMap`: taken orders leave no marks behind that would have to be swept (the following ones move up), and
//! one multiplication is hash enough for ids that nobody outside the venue chooses.

use super::Refusal;
use wire::event::Side;

const FIRST_PLACES: usize = 1 << 12;

/// One place. `size` 0: free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) id: u64,
    pub(super) price: i64,
    pub(super) size: u32,
    /// Twice the book's index, and 1 more for asks.
    book_and_side: u32,
}

const FREE: Order = Order { id: 0, price: 0, size: 0, book_and_side: 0 };

impl Order {
    pub(super) fn new(book: u32, id: u64, side: Side, price: i64, size: u32) -> Self {
        Self { id, price, size, book_and_side: (book << 1) | u32::from(side == Side::Ask) }
    }

    pub(super) fn side(&self) -> Side {
        if self.book_and_side & 1 == 0 { Side::Bid } else { Side::Ask }
    }

    fn book(&self) -> u32 {
        self.book_and_side >> 1
    }

    fn is(&self, book: u32, id: u64) -> bool {
        self.id == id && self.book() == book
    }
}

/// Of a table with so many orders.
pub(super) fn bytes(orders: usize) -> u64 {
    let places = (orders as u64).saturating_mul(8).div_ceil(5).max(FIRST_PLACES as u64);
    places.next_power_of_two() * size_of::<Order>() as u64
}

pub(super) struct Table {
    places: Vec<Order>,
    /// Bits of a hash that are not used: 64 - log2(places).
    shift: u32,
    len: usize,
    limit: usize,
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        Self { places: vec![FREE; FIRST_PLACES], shift: 64 - FIRST_PLACES.trailing_zeros(), len: 0, limit }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        (self.places.len() * size_of::<Order>()) as u64
    }

    pub(super) fn get(&self, book: u32, id: u64) -> Option<&Order> {
        self.find(book, id).ok().map(|at| &self.places[at])
    }

    pub(super) fn insert(&mut self, order: Order) -> Result<(), Refusal> {
        let Err(mut at) = self.find(order.book(), order.id) else { return Err(Refusal::Duplicate) };
        if self.len >= self.limit {
            return Err(Refusal::Full);
        }
        // Five eighths full: a search looks at less than two places, one in vain at about four.
        if (self.len + 1) * 8 > self.places.len() * 5 {
            self.grow();
            at = self.free_place(&order);
        }
        self.places[at] = order;
        self.len += 1;
        Ok(())
    }

    /// Takes `by` from an order, or the whole of it if there is no more. Out: the order as it was.
    pub(super) fn take(&mut self, book: u32, id: u64, by: u32) -> Option<Order> {
        let at = self.find(book, id).ok()?;
        let order = self.places[at];
        if by < order.size {
            self.places[at].size -= by;
        } else {
            self.free(at);
        }
        Some(order)
    }

    pub(super) fn remove_book(&mut self, book: u32) {
        for at in 0..self.places.len() {
            // What moved up into the place is looked at too.
            while self.places[at].size > 0 && self.places[at].book() == book {
                self.free(at);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.fill(FREE);
        self.len = 0;
    }

    /// The book is left out of the hash: ids of different books are hardly ever the same.
    fn home(&self, id: u64) -> usize {
        (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// The place of the order, or the free one it would get.
    fn find(&self, book: u32, id: u64) -> Result<usize, usize> {
        let mask = self.places.len() - 1;
        let mut at = self.home(id);
        loop {
            let order = &self.places[at];
            if order.size == 0 {
                return Err(at);
            }
            if order.is(book, id) {
                return Ok(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn free_place(&self, order: &Order) -> usize {
        match self.find(order.book(), order.id) {
            Ok(at) | Err(at) => at,
        }
    }

    /// Frees a place and moves up what follows, so that no search ends too early.
    fn free(&mut self, mut hole: usize) {
        let mask = self.places.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let order = self.places[at];
            if order.size == 0 {
                break;
            }
            // It may move if its home does not lie behind the hole.
            let from_home = at.wrapping_sub(self.home(order.id)) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.places[hole] = order;
                hole = at;
            }
        }
        self.places[hole] = FREE;
        self.len -= 1;
    }

    fn grow(&mut self) {
        let places = self.places.len() * 2;
        let former = std::mem::replace(&mut self.places, vec![FREE; places]);
        self.shift -= 1;
        for order in former.into_iter().filter(|order| order.size > 0) {
            let at = self.free_place(&order);
            self.places[at] = order;
        }
    }
}
