//! Binance's binary market-data streams (SBE schema `spot_stream`, id 1, version 0). In: one binary frame. Out: what it says, read in place.
//! Pure, without allocation; bounded by the frame. Times are microseconds.
//!
//! An SBE message may grow: root blocks and group entries say how long they are, and what is behind the known fields is skipped. Templates
//! that are not known are told as such, to be skipped as a whole. Prices and sizes are mantissas at exponents that each message carries.

use wire::event::{Level, Nanos};

const HEADER_BYTES: usize = 8;
const SCHEMA: u16 = 1;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Trades(Trades<'a>),
    BestBidAsk(BestBidAsk<'a>),
    /// The best levels, whole.
    DepthSnapshot(Depth<'a>),
    /// Levels that changed, with the update ids from `first` to `last`.
    DepthDiff(Depth<'a>),
    /// Another template of this schema: not for us.
    Unknown {
        template: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SbeError {
    #[error("the frame ends before its message does")]
    Short,
    #[error("not schema 1 but {0}")]
    Schema(u16),
    #[error("a symbol that is no text")]
    Symbol,
    #[error("an exponent, a price, a size or a time that cannot be")]
    Value,
}

/// The exponents of the mantissas in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    pub price_exponent: i8,
    pub size_exponent: i8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trades<'a> {
    pub symbol: &'a str,
    /// When the event was made.
    pub event_time: Nanos,
    /// When it was traded.
    pub transact_time: Nanos,
    pub scale: Scale,
    entries: Group<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SbeTrade {
    pub id: i64,
    pub level: Level,
    /// The buyer rested: the seller took.
    pub buyer_is_maker: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BestBidAsk<'a> {
    pub symbol: &'a str,
    pub event_time: Nanos,
    pub update_id: i64,
    pub scale: Scale,
    pub bid: Level,
    pub ask: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth<'a> {
    pub symbol: &'a str,
    pub event_time: Nanos,
    /// Of a snapshot: the same as `last`.
    pub first: i64,
    pub last: i64,
    pub scale: Scale,
    bids: Group<'a>,
    asks: Group<'a>,
}

/// Reads one frame.
pub fn parse(frame: &[u8]) -> Result<Frame<'_>, SbeError> {
    let mut rest = Reader(frame);
    let header = rest.take(HEADER_BYTES)?;
    let [block_bytes, template, schema] = [0, 2, 4].map(|at| u16::from_le_bytes([header[at], header[at + 1]]));
    if schema != SCHEMA {
        return Err(SbeError::Schema(schema));
    }
    if !(10_000..=10_003).contains(&template) {
        return Ok(Frame::Unknown { template });
    }
    let root = Reader(rest.take(usize::from(block_bytes))?);
    match template {
        10_000 => trades(root, rest).map(Frame::Trades),
        10_001 => best_bid_ask(root, rest).map(Frame::BestBidAsk),
        10_002 => depth(root, rest, false).map(Frame::DepthSnapshot),
        _ => depth(root, rest, true).map(Frame::DepthDiff),
    }
}

fn trades<'a>(mut root: Reader<'a>, mut rest: Reader<'a>) -> Result<Trades<'a>, SbeError> {
    let (event_time, transact_time) = (root.time()?, root.time()?);
    let scale = root.scale()?;
    let entries = rest.group(Count::Wide, 25)?;
    Ok(Trades { symbol: rest.symbol()?, event_time, transact_time, scale, entries })
}

fn best_bid_ask<'a>(mut root: Reader<'a>, mut rest: Reader<'a>) -> Result<BestBidAsk<'a>, SbeError> {
    let (event_time, update_id) = (root.time()?, root.i64()?);
    let scale = root.scale()?;
    let (bid, ask) = (root.level()?, root.level()?);
    Ok(BestBidAsk { symbol: rest.symbol()?, event_time, update_id, scale, bid, ask })
}

fn depth<'a>(mut root: Reader<'a>, mut rest: Reader<'a>, is_diff: bool) -> Result<Depth<'a>, SbeError> {
    let (event_time, first) = (root.time()?, root.i64()?);
    let last = if is_diff { root.i64()? } else { first };
    let scale = root.scale()?;
    let bids = rest.group(Count::Narrow, 16)?;
    let asks = rest.group(Count::Narrow, 16)?;
    Ok(Depth { symbol: rest.symbol()?, event_time, first, last, scale, bids, asks })
}

impl<'a> Trades<'a> {
    pub fn len(&self) -> usize {
        self.entries.count
    }

    pub fn is_empty(&self) -> bool {
        self.entries.count == 0
    }

    pub fn entries(&self) -> impl Iterator<Item = Result<SbeTrade, SbeError>> + 'a {
        self.entries.entries().map(|mut entry| {
            let id = entry.i64()?;
            let level = entry.level()?;
            Ok(SbeTrade { id, level, buyer_is_maker: entry.u8()? == 1 })
        })
    }
}

impl<'a> Depth<'a> {
    /// Best first; size 0 deletes.
    pub fn bids(&self) -> impl ExactSizeIterator<Item = Result<Level, SbeError>> + 'a {
        self.bids.entries().map(|mut entry| entry.level())
    }

    pub fn asks(&self) -> impl ExactSizeIterator<Item = Result<Level, SbeError>> + 'a {
        self.asks.entries().map(|mut entry| entry.level())
    }
}

/// How a group's number of entries is written.
enum Count {
    Narrow,
    Wide,
}

/// Entries of one length each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group<'a> {
    bytes: &'a [u8],
    entry_bytes: usize,
    count: usize,
}

impl<'a> Group<'a> {
    fn entries(&self) -> impl ExactSizeIterator<Item = Reader<'a>> + 'a {
        // `Reader::group` saw to it that an entry has a length.
        self.bytes.chunks_exact(self.entry_bytes).map(Reader)
    }
}

/// Little-endian fields, one after the other.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], SbeError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(SbeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SbeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SbeError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, SbeError> {
        self.array().map(|[byte]| byte)
    }

    fn i64(&mut self) -> Result<i64, SbeError> {
        self.array().map(i64::from_le_bytes)
    }

    /// Microseconds, as nanoseconds.
    fn time(&mut self) -> Result<Nanos, SbeError> {
        self.i64()?.checked_mul(1_000).filter(|time| *time >= 0).ok_or(SbeError::Value)
    }

    fn scale(&mut self) -> Result<Scale, SbeError> {
        let [price, size] = self.array()?;
        let (price_exponent, size_exponent) = (price.cast_signed(), size.cast_signed());
        let known = wire::decimal::MIN_EXPONENT..=wire::decimal::MAX_EXPONENT;
        let is_known = known.contains(&price_exponent) && known.contains(&size_exponent);
        is_known.then_some(Scale { price_exponent, size_exponent }).ok_or(SbeError::Value)
    }

    fn level(&mut self) -> Result<Level, SbeError> {
        let (price, size) = (self.i64()?, self.i64()?);
        if price < 0 || size < 0 { Err(SbeError::Value) } else { Ok(Level { price, size }) }
    }

    fn symbol(&mut self) -> Result<&'a str, SbeError> {
        let length = self.u8()?;
        std::str::from_utf8(self.take(usize::from(length))?).map_err(|_| SbeError::Symbol)
    }

    fn group(&mut self, count: Count, least_entry_bytes: usize) -> Result<Group<'a>, SbeError> {
        let entry_bytes = usize::from(self.array().map(u16::from_le_bytes)?);
        let count = match count {
            Count::Narrow => usize::from(self.array().map(u16::from_le_bytes)?),
            Count::Wide => usize::try_from(self.array().map(u32::from_le_bytes)?).map_err(|_| SbeError::Short)?,
        };
        if entry_bytes < least_entry_bytes && count > 0 {
            return Err(SbeError::Short);
        }
        let bytes = self.take(entry_bytes.checked_mul(count).ok_or(SbeError::Short)?)?;
        // A group without entries may say that they have no length.
        Ok(Group { bytes, entry_bytes: entry_bytes.max(1), count })
    }
}

#[cfg(test)]
#[path = "sbe_tests.rs"]
mod tests;
