//! Order-level books. In: single orders that come, trade, shrink, move and go, by the venue's order id. Out: which price levels changed, to
//! which absolute size. Bounded by `Limits`: an order takes 38 to 77 bytes of a table that doubles; levels are fewer than orders.
//!
//! Made for feeds that tell every order (Nasdaq ITCH, Databento MBO). One `OrderBooks` holds all instruments of a feed. An order is named by
//! its book and its id, so it does not matter whether ids are unique over all instruments of a venue or only within one.
//!
//! What cannot be done is a typed `Refusal` and changes nothing: the caller knows what it means at its venue. An id that is unknown after a
//! complete start is evidence of loss; after a start in the middle of a session it is normal.

mod changes;
mod ladder;
mod table;

pub use changes::Changes;
pub use ladder::Ladder;

use table::{Order, Table};
use wire::event::{Level, Side};

/// How many orders may rest at once, over all books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub orders: usize,
}

impl Default for Limits {
    /// Room for the orders of all Nasdaq stocks at once, several times over: 384 MiB when all of it is taken.
    fn default() -> Self {
        Self { orders: 8 << 20 }
    }
}

impl Limits {
    /// The most memory that books within these limits take: the table, with the one it grows out of, and a level for each order, in lists
    /// that grow by doubling.
    pub fn bytes(&self) -> u64 {
        table::bytes(self.orders) * 3 / 2 + self.orders as u64 * 2 * size_of::<Level>() as u64
    }
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no such order")]
    Unknown,
    #[error("an order with this id rests already")]
    Duplicate,
    #[error("an order of size 0")]
    NoSize,
    /// `Limits::orders` rest already. The order is missing from its book from now on.
    #[error("too many orders")]
    Full,
}

/// One level after an order at it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub side: Side,
    /// Its price and its new size, absolute; size 0: the level is gone.
    pub level: Level,
    /// It is, or was until now, the best level of its side.
    pub best: bool,
    /// How much came (positive) or went (negative).
    pub by: i64,
    /// More was to go than was there; what was there is gone.
    pub excess: u32,
}

/// An order that moved: its former level and its new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    pub from: Change,
    pub to: Change,
}

/// One instrument's levels.
#[derive(Clone, Debug)]
pub struct OrderBook {
    pub bids: Ladder,
    pub asks: Ladder,
}

impl Default for OrderBook {
    fn default() -> Self {
        Self { bids: Ladder::new(Side::Bid), asks: Ladder::new(Side::Ask) }
    }
}

impl OrderBook {
    pub fn side(&self, side: Side) -> &Ladder {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    fn change(&mut self, side: Side, price: i64, by: i64) -> Change {
        let ladder = match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        let (size, best) = ladder.change(price, by);
        Change { side, level: Level { price, size }, best, by, excess: 0 }
    }
}

/// The orders and levels of all instruments of one feed. Books are named by the feed's dense index of instruments.
pub struct OrderBooks {
    orders: Table,
    books: Vec<OrderBook>,
}

impl OrderBooks {
    pub fn new(limits: Limits) -> Self {
        Self { orders: Table::new(limits.orders), books: Vec::new() }
    }

    /// Makes sure that there is a book of this index. Orders for other books are refused as `Unknown`.
    pub fn open(&mut self, book: u32) {
        let needed = book as usize + 1;
        if self.books.len() < needed {
            self.books.resize_with(needed, OrderBook::default);
        }
    }

    pub fn book(&self, book: u32) -> Option<&OrderBook> {
        self.books.get(book as usize)
    }

    /// Orders that rest, over all books.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where an order rests and how much of it.
    pub fn order(&self, book: u32, id: u64) -> Option<(Side, Level)> {
        let order = self.orders.get(book, id)?;
        Some((order.side(), Level { price: order.price, size: i64::from(order.size) }))
    }

    /// A new order rests.
    pub fn add(&mut self, book: u32, id: u64, side: Side, price: i64, size: u32) -> Result<Change, Refusal> {
        if size == 0 {
            return Err(Refusal::NoSize);
        }
        let levels = self.books.get_mut(book as usize).ok_or(Refusal::Unknown)?;
        self.orders.insert(Order::new(book, id, side, price, size))?;
        Ok(levels.change(side, price, i64::from(size)))
    }

    /// Some of an order traded or was cancelled; with nothing left it is gone.
    pub fn reduce(&mut self, book: u32, id: u64, by: u32) -> Result<Change, Refusal> {
        let levels = self.books.get_mut(book as usize).ok_or(Refusal::Unknown)?;
        let order = self.orders.take(book, id, by).ok_or(Refusal::Unknown)?;
        // `order` tells the size before.
        let gone = by.min(order.size);
        let change = levels.change(order.side(), order.price, -i64::from(gone));
        Ok(Change { excess: by - gone, ..change })
    }

    /// An order is gone.
    pub fn remove(&mut self, book: u32, id: u64) -> Result<Change, Refusal> {
        self.reduce(book, id, u32::MAX).map(|change| Change { excess: 0, ..change })
    }

    /// An order is replaced by another one on the same side. (One that keeps its id: `new_id == id`.)
    pub fn replace(&mut self, book: u32, id: u64, new_id: u64, price: i64, size: u32) -> Result<Moved, Refusal> {
        if new_id != id && self.orders.get(book, new_id).is_some() {
            return Err(Refusal::Duplicate);
        }
        if size == 0 {
            return Err(Refusal::NoSize);
        }
        let from = self.remove(book, id)?;
        let to = self.add(book, new_id, from.side, price, size)?;
        Ok(Moved { from, to })
    }

    /// All orders of one book are gone. Costs a walk over all orders, unless the book is empty.
    pub fn clear(&mut self, book: u32) {
        if let Some(levels) = self.books.get_mut(book as usize)
            && !levels.is_empty()
        {
            self.orders.remove_book(book);
            levels.bids.clear();
            levels.asks.clear();
        }
    }

    /// All orders of all books are gone; the books stay open.
    pub fn clear_all(&mut self) {
        self.orders.clear();
        for levels in &mut self.books {
            levels.bids.clear();
            levels.asks.clear();
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
