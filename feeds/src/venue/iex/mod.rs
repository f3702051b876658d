//! IEX TOPS 1.5 / 1.6 and DEEP 1.0 over IEX-TP. In: UDP payloads. Out: instruments, quotes, trades, books, trading states; and each
//! loss, told. Pure: no I/O, no clock; nothing is allocated for a message once its symbol is known. Bounded by `MAX_INSTRUMENTS`.
//!
//! Loss is proven by IEX-TP alone: each segment says the number of its first message and its offset in the stream's bytes. A capture
//! has no way to ask for what is missing, so after a gap (or if a capture begins in the middle of a session) books stay
//! `resyncing`, and their updates carry `MAYBE_BAD_BOOK`, until the stream begins anew. A quote is whole in each message: it is
//! `resyncing` until the next one of its symbol.

mod counts;
mod market;
mod message;
mod segment;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use market::Market;
pub use message::{Message, Symbol};
pub use segment::{Continuity, Header, Messages, Position, SegmentError, parse};

use crate::error::FeedError;
use crate::settings::FeedSettings;

/// Prices are in 1/10,000 dollars, sizes in shares.
const PRICE_EXPONENT: i8 = -4;

/// IEX lists some 12,000 symbols; a file that brings more is damaged.
const MAX_INSTRUMENTS: usize = 65_536;

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Best quotes and trades: TOPS 1.5 and 1.6.
    Tops,
    /// Price levels and trades: DEEP 1.0.
    Deep,
}

impl Protocol {
    /// By the number in the header of a segment. DEEP+ (0x8005) is another protocol: single orders, which this reads not.
    pub fn from_number(number: u16) -> Option<Self> {
        match number {
            0x8002 | 0x8003 => Some(Self::Tops),
            0x8004 => Some(Self::Deep),
            _ => None,
        }
    }
}

/// The market that `settings` want, or what is wrong with them.
pub fn market(settings: &FeedSettings) -> Result<Market, FeedError> {
    let mut symbols = Vec::with_capacity(settings.symbols.len());
    for text in &settings.symbols {
        let symbol = Symbol::parse(text.strip_prefix('!').unwrap_or(text)).ok_or_else(|| FeedError::BadSymbol {
            venue: "iex".to_owned(),
            symbol: text.clone(),
            reason: "a symbol of IEX has 1 to 8 letters, digits or signs",
        })?;
        symbols.push(symbol);
    }
    if settings.channels.is_empty() {
        return Err(FeedError::NoChannels { venue: "iex".to_owned() });
    }
    Ok(Market::new(&settings.channels, symbols))
}
