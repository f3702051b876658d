//! The book of one instrument as its venue wrote it, for checksums, cut-off depths and deletes that must not happen.
//! In: levels. Out: the best ones, with every digit. Bounded by the depth that was subscribed, or by what the venue sends.

use super::decoded::{Number, RawLevel};
use wire::event::Level;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rung {
    /// At the instrument's exponent: what levels are sorted and found by.
    key: i64,
    raw: RawLevel,
}

/// Both sides, best level last, because that is where most changes are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    bids: Vec<Rung>,
    asks: Vec<Rung>,
}

impl Ladder {
    /// Best first, as the venue wrote them.
    pub fn bids(&self) -> impl ExactSizeIterator<Item = &RawLevel> {
        self.bids.iter().rev().map(|rung| &rung.raw)
    }

    /// Best first, as the venue wrote them.
    pub fn asks(&self) -> impl ExactSizeIterator<Item = &RawLevel> {
        self.asks.iter().rev().map(|rung| &rung.raw)
    }

    pub(crate) fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// False: a level was to be deleted that is not there.
    pub(crate) fn apply(&mut self, bid: bool, key: i64, raw: RawLevel) -> bool {
        let side = if bid { &mut self.bids } else { &mut self.asks };
        let found = side.binary_search_by(|rung| if bid { rung.key.cmp(&key) } else { key.cmp(&rung.key) });
        match (found, raw.size.mantissa) {
            (Ok(at), 0) => {
                side.remove(at);
            }
            (Err(_), 0) => return false,
            (Ok(at), _) => side[at].raw = raw,
            (Err(at), _) => side.insert(at, Rung { key, raw }),
        }
        true
    }

    /// Takes a level beyond the best `depth` away; call until `None`.
    pub(crate) fn cut(&mut self, bid: bool, depth: usize) -> Option<Level> {
        let side = if bid { &mut self.bids } else { &mut self.asks };
        (side.len() > depth).then(|| Level { price: side.remove(0).key, size: 0 })
    }

    /// The instrument got finer prices.
    pub(super) fn rescale(&mut self, factor: i64) {
        for rung in self.bids.iter_mut().chain(&mut self.asks) {
            rung.key = rung.key.saturating_mul(factor);
        }
    }
}

/// Digits of a number without its point and without leading zeros, as several checksums want them (`0.00000000` is `0`).
pub fn put_digits(out: &mut Vec<u8>, number: Number) {
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(number.mantissa).as_bytes());
    out.extend(std::iter::repeat_n(b'0', usize::try_from(number.exponent).unwrap_or(0)));
}

/// The number exactly as the venue wrote it: all its decimals, and a zero before the point.
pub fn put_text(out: &mut Vec<u8>, number: Number) {
    wire::decimal::put_fixed(out, i128::from(number.mantissa), number.exponent);
}
