//! What many venues write in the same way. In: values of a message. Out: numbers, levels, who took. Bounded by the value.

use super::decoded::{BAD, Decoded, Number};
use super::protocol::Complaint;
use crate::json::Value;
use wire::event::Aggressor;

/// `[price, size, …]`.
pub fn level(level: Value<'_, '_>) -> (Number, Number) {
    let mut numbers = level.elements();
    let mut next = || numbers.next().map_or(BAD, Value::number);
    (next(), next())
}

/// The side of the order that took, spelled `buy` or `sell`.
pub fn aggressor(side: Option<Value<'_, '_>>) -> Aggressor {
    match side.and_then(Value::text) {
        Some("buy") => Aggressor::Buy,
        Some("sell") => Aggressor::Sell,
        _ => Aggressor::Unknown,
    }
}

impl Decoded {
    /// Both sides of the book that was begun last. `level`: price and size of one entry.
    pub fn levels<'v, 'a: 'v>(
        &mut self,
        bids: Option<Value<'v, 'a>>,
        asks: Option<Value<'v, 'a>>,
        level: impl Fn(Value<'v, 'a>) -> (Number, Number),
    ) -> Result<(), Complaint> {
        for (price, size) in bids.ok_or("book lacks bids")?.elements().map(&level) {
            self.bid(price, size);
        }
        for (price, size) in asks.ok_or("book lacks asks")?.elements().map(&level) {
            self.ask(price, size);
        }
        Ok(())
    }
}
