//! The binary encoding: compact records relative to the topic's base price and the frame's second.

pub mod put;
pub mod read;

use crate::event::{Flags, Nanos};

/// Record types: bits 7..5 of the head byte.
mod number {
    pub const QUOTE: u8 = 0;
    pub const TRADE: u8 = 1;
    pub const BOOK: u8 = 2;
    pub const STATUS: u8 = 3;
    pub const GAP: u8 = 4;
    pub const CHECK: u8 = 5;
    pub const STATE: u8 = 6;
    pub const EXTENDED: u8 = 7;
}

/// Types behind `EXTENDED`.
mod extended {
    pub const META: u64 = 1;
    pub const INSTRUMENT: u64 = 2;
    pub const TAPE: u64 = 3;
    pub const BARS: u64 = 4;
    pub const STATS: u64 = 5;

    /// Those that are about a topic which must be known.
    pub const ABOUT_TOPICS: [u64; 4] = [INSTRUMENT, TAPE, BARS, STATS];
}

/// Bit 4 of the head byte. Types 0 to 4 then also write their sequence; without it they move it by 1 and have no flags.
/// (Nearly every record at realtime is such a one: a byte of ten saved.)
const FLAGS_FOLLOW: u8 = 0x10;

/// Field mask of trades.
const AGGRESSOR: u8 = 0b0011;
const ABSOLUTE_ID: u8 = 0b0100;
const SUMMARY: u8 = 0b1000;

/// Field mask of extended records.
const HAS_SEQUENCE: u8 = 0b0001;
const HAS_TIME: u8 = 0b0010;

/// Field mask of books.
const HAS_BIDS: u8 = 0b0001;
const HAS_ASKS: u8 = 0b0010;

/// Field mask at the head of a stats body, in the order of `StatsChange`. Later fields follow behind these.
mod stats {
    pub const LAST: u64 = 1;
    pub const OPEN: u64 = 1 << 1;
    pub const HIGH: u64 = 1 << 2;
    pub const LOW: u64 = 1 << 3;
    pub const VOLUME: u64 = 1 << 4;
    pub const NOTIONAL: u64 = 1 << 5;
    pub const COUNT: u64 = 1 << 6;
    pub const GAPS: u64 = 1 << 7;
    pub const FROM: u64 = 1 << 8;
}

/// Bars start at whole seconds.
const SECOND_NS: Nanos = 1_000_000_000;

/// Wire-only flag bit of trades: the venue merged several executions into this one (`TradeRecord::aggregated`).
const AGGREGATED: Flags = Flags(0x10);

/// Nanoseconds in one unit of `Meta::time_exponent`.
fn unit_ns(time_exponent: i8) -> Nanos {
    const UNITS: [Nanos; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
    UNITS[usize::from((time_exponent.clamp(-9, 0) + 9).unsigned_abs())]
}
