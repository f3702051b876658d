//! Kraken's venues: spot by WebSocket v2 and v1, and futures. Here is what the two of spot have in common.

mod futures;
mod v1;
mod v2;

pub use futures::FUTURES;
pub use v1::V1;
pub use v2::V2;

use crate::engine::{Ladder, Listed, put_digits};
use crate::settings::FeedSettings;

/// Levels the checksum covers; a book subscribed deeper is proven no deeper.
const CHECKSUM_DEPTH: usize = 10;
const DEPTHS: [u32; 5] = [10, 25, 100, 500, 1_000];

/// The depth to subscribe books with: one that the venue has, at least as deep as asked for.
fn depth(settings: &FeedSettings) -> u32 {
    let wanted = settings.depth.unwrap_or(DEPTHS[0]);
    DEPTHS.into_iter().find(|depth| *depth >= wanted).unwrap_or(1_000)
}

/// Asks ascending, then bids descending, ten each: digits of price and size, without the point and leading zeros.
fn checksum(book: &Ladder, scratch: &mut Vec<u8>) -> u32 {
    for raw in book.asks().take(CHECKSUM_DEPTH).chain(book.bids().take(CHECKSUM_DEPTH)) {
        put_digits(scratch, raw.price);
        put_digits(scratch, raw.size);
    }
    crc32fast::hash(scratch)
}

/// `BASE/QUOTE`.
fn named(native: &str) -> Listed {
    let (base, quote) = native.split_once('/').unwrap_or((native, ""));
    Listed::spot(native, common(base), common(quote))
}

/// Older interfaces have names of their own for two currencies.
fn common(currency: &str) -> &str {
    match currency {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}
