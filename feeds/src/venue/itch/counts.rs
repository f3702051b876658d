//! What a session was made of. In: one call a message. Out: numbers by name, for people. Bounded: one number a type.

use super::message::{KINDS, Malformed};
use crate::orders::Refusal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    kinds: [u64; 256],
    pub unknown_types: u64,
    pub length_errors: u64,
    /// Messages about orders that are not known, by what was wrong with them.
    pub unknown_orders: u64,
    pub duplicate_orders: u64,
    pub empty_orders: u64,
    /// No room for the order.
    pub refused_orders: u64,
    /// More was taken from an order than it had.
    pub excess: u64,
    /// Messages about a stock that nobody has named.
    pub unknown_stock: u64,
    /// Messages of the session that never came.
    pub lost: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            kinds: [0; 256],
            unknown_types: 0,
            length_errors: 0,
            unknown_orders: 0,
            duplicate_orders: 0,
            empty_orders: 0,
            refused_orders: 0,
            excess: 0,
            unknown_stock: 0,
            lost: 0,
        }
    }
}

impl Counts {
    pub fn of(&self, kind: u8) -> u64 {
        self.kinds[usize::from(kind)]
    }

    /// Well-formed messages.
    pub fn messages(&self) -> u64 {
        self.kinds.iter().sum()
    }

    /// By type, and what went wrong, which is listed even where it is 0.
    pub fn by_name(&self) -> Vec<(String, u64)> {
        let kinds = KINDS.iter().filter(|(kind, ..)| self.of(*kind) > 0);
        let kinds = kinds.map(|(kind, name, _)| (format!("{} {name}", char::from(*kind)), self.of(*kind)));
        let wrong = [
            ("messages", self.messages()),
            ("unknown types", self.unknown_types),
            ("length errors", self.length_errors),
            ("unknown orders", self.unknown_orders),
            ("duplicate orders", self.duplicate_orders),
            ("empty orders", self.empty_orders),
            ("refused orders", self.refused_orders),
            ("excess executions", self.excess),
            ("unknown stocks", self.unknown_stock),
            ("lost messages", self.lost),
        ];
        kinds.chain(wrong.map(|(name, count)| (name.to_owned(), count))).collect()
    }

    #[inline]
    pub(super) fn add(&mut self, kind: u8) {
        self.kinds[usize::from(kind)] += 1;
    }

    pub(super) fn add_malformed(&mut self, malformed: Malformed) {
        match malformed {
            Malformed::UnknownType(_) => self.unknown_types += 1,
            Malformed::Empty | Malformed::Length { .. } => self.length_errors += 1,
        }
    }

    pub(super) fn add_refused(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::Unknown => self.unknown_orders += 1,
            Refusal::Duplicate => self.duplicate_orders += 1,
            Refusal::NoSize => self.empty_orders += 1,
            Refusal::Full => self.refused_orders += 1,
        }
    }
}
