//! Databento's DBN records (versions 1 to 3), of files and of the live gateway. In: records. Out: instruments, quotes, trades, books,
//! trading states; and each loss, told. Pure: no I/O, no clock; nothing is allocated for a record once its instrument is known and its
//! book has its size. Bounded by `MAX_INSTRUMENTS` and by the limits of order-level books.
//!
//! | schema | becomes |
//! |---|---|
//! | `mbo` | an order-level book: books, quotes from their best levels, trades |
//! | `mbp-10` | books of ten levels (what changed in them), quotes, trades |
//! | `mbp-1`, `tbbo`, `cmbp-1`, `tcbbo` | quotes, trades |
//! | `bbo-1s`, `bbo-1m`, `cbbo-1s`, `cbbo-1m` | quotes |
//! | `trades` | trades |
//! | `definition`, symbol mappings | instruments: names, tick, class |
//! | `status` | trading states |
//! | `ohlcv-*`, `statistics`, `imbalance` | counted, not read: bars and statistics are made from trades |
//!
//! Loss: Databento sees the venue's gaps and marks what follows (`F_MAYBE_BAD_BOOK`); a book whose orders do not add up, or which never began
//! with a snapshot or a clearing, is in doubt as well. A book in doubt is `resyncing` until it is cleared or sent whole.

mod book;
mod counts;
mod listing;
mod market;
mod mbo;
mod resume;
mod scale;
mod session;
mod stream;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use market::Market;
pub use resume::Resume;
pub use session::{MAX_LINE_BYTES, Refusal, Reply, Request, greeting};
pub use stream::{Found, Stream};

use crate::error::FeedError;
use crate::orders::Limits;
use crate::settings::FeedSettings;

/// OPRA has more series than this, and no node should list them all.
const MAX_INSTRUMENTS: usize = 262_144;

/// The market that `settings` want. Of files: symbols that are named keep their say. Live: what was asked for is what comes.
pub fn market(settings: &FeedSettings) -> Result<Market, FeedError> {
    if settings.channels.is_empty() {
        return Err(FeedError::NoChannels { venue: "databento".to_owned() });
    }
    let wanted = settings.symbols.iter().map(|symbol| symbol.strip_prefix('!').unwrap_or(symbol).to_owned());
    let limits = settings.databento.as_ref().map_or(Limits::default(), |own| Limits { orders: own.max_orders });
    if limits.orders == 0 {
        return Err(FeedError::Settings { venue: "databento".to_owned(), reason: "max_orders must be 1 or more".to_owned() });
    }
    Ok(Market::new(&settings.channels, wanted.collect(), limits))
}
