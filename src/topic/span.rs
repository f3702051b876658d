//! Trades added up. In: trades in any order, each with its time. Out: what a bar or a day needs of them. Bounded: fixed size.

use wire::event::{Nanos, Trade};

/// Sums and extremes of some trades. Adding spans one by one, in the order in which they came, gives the same as adding their
/// trades; `count` 0 means that there is none, and the prices mean nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    /// Times of the trades that gave `open` and `close`: of equally early ones the first that came opens, of equally late ones the
    /// last that came closes.
    pub opened: Nanos,
    pub closed: Nanos,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    pub count: u64,
    pub volume: u128,
    pub notional: i128,
}

impl Span {
    pub fn of(time: Nanos, trade: &Trade) -> Self {
        let Trade { price, size, .. } = *trade;
        Self {
            opened: time,
            closed: time,
            open: price,
            high: price,
            low: price,
            close: price,
            count: 1,
            volume: u128::from(size.max(0).unsigned_abs()),
            notional: i128::from(price) * i128::from(size),
        }
    }

    /// Adds trades that came after these, whenever they were made.
    pub fn add(&mut self, more: &Self) {
        if self.count == 0 {
            *self = *more;
            return;
        }
        if more.opened < self.opened {
            (self.open, self.opened) = (more.open, more.opened);
        }
        if more.closed >= self.closed {
            (self.close, self.closed) = (more.close, more.closed);
        }
        self.high = self.high.max(more.high);
        self.low = self.low.min(more.low);
        self.count += more.count;
        self.volume = self.volume.wrapping_add(more.volume);
        self.notional = self.notional.wrapping_add(more.notional);
    }
}
