//! The JSON encoding: the same records as objects that a human can read without looking anything up.

mod fields;
pub mod put;
pub mod read;

/// Values of a record's `kind`.
mod kind {
    pub const QUOTE: &str = "quote";
    pub const TRADE: &str = "trade";
    pub const SUMMARY: &str = "summary";
    pub const BOOK: &str = "book";
    pub const TAPE: &str = "tape";
    pub const BAR: &str = "bar";
    pub const STATS: &str = "stats";
    pub const STATUS: &str = "status";
    pub const INSTRUMENT: &str = "instrument";
    pub const STATE: &str = "state";
    pub const GAP: &str = "gap";
    pub const CHECK: &str = "check";
    pub const META: &str = "meta";
    pub const UNKNOWN: &str = "unknown";
}

use crate::event::Flags;

/// Flag bits that have a key of their own; the others travel as a number in `flags`.
const NAMED_FLAGS: [(Flags, &str); 6] = [
    (Flags::SNAPSHOT, "snapshot"),
    (Flags::LAST, "last_of_event"),
    (Flags::BAD_RECEIVE_TIME, "bad_receive_time"),
    (Flags::MAYBE_BAD_BOOK, "maybe_bad_book"),
    (Flags::STALE, "stale"),
    (Flags::CONFLATED, "conflated"),
];
