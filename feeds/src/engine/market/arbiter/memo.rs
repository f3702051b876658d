//! What came first, and when. In: numbers of updates with a hash of what they say. Out: by how much the first line led, and whether two
//! lines said the same. Bounded: `PLACES` numbers, older ones make room.

use super::super::super::decoded::{Number, Part, QuoteUpdate, RawLevel, TradeUpdate};
use super::super::book::BookMessage;

/// Enough for the lag between lines at the pace of one instrument; what is overwritten is only not measured.
const PLACES: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct First {
    id: u64,
    hash: u64,
    at: i64,
    line: u8,
    is_known: bool,
}

#[derive(Debug)]
pub(super) struct Memo {
    places: [First; PLACES],
}

/// What a second arrival shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub line: u8,
    pub lead_ns: i64,
    pub same: bool,
}

impl Default for Memo {
    fn default() -> Self {
        Self { places: [First::default(); PLACES] }
    }
}

impl Memo {
    pub fn first(&mut self, id: u64, hash: u64, line: u8, at: i64) {
        self.places[place(id)] = First { id, hash, at, line, is_known: true };
    }

    /// `None`: it is not known any more, or was this line's own.
    pub fn again(&self, id: u64, hash: u64, line: u8, at: i64) -> Option<Again> {
        let first = &self.places[place(id)];
        let known = first.is_known && first.id == id && first.line != line;
        known.then(|| Again { line: first.line, lead_ns: at.saturating_sub(first.at).max(0), same: first.hash == hash })
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Ids may be even, or multiples of anything.
fn place(id: u64) -> usize {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

/// Of what an update says, for comparing two of one number; not for strangers who look for collisions.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    fn word(self, word: u64) -> Self {
        Self((self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95))
    }

    fn number(self, number: Number) -> Self {
        self.word(number.mantissa as u64).word(number.exponent as u64)
    }

    fn level(self, level: RawLevel) -> Self {
        self.number(level.price).number(level.size)
    }

    fn part(self, part: Part) -> Self {
        match part {
            Part::Same => self.word(1),
            Part::Nothing => self.word(2),
            Part::At(level) => self.word(3).level(level),
        }
    }
}

pub(super) fn of_trade(trade: &TradeUpdate) -> u64 {
    Hash(trade.time as u64).number(trade.price).number(trade.size).0
}

pub(super) fn of_quote(quote: &QuoteUpdate) -> u64 {
    Hash(0).part(quote.bid).part(quote.ask).0
}

/// The first number belongs to it: of two lines one may cut its ranges elsewhere, which is no contradiction.
pub(super) fn of_book(message: BookMessage<'_>) -> u64 {
    let sides = Hash(message.bids.len() as u64);
    message.bids.iter().chain(message.asks).fold(sides, |hash, level| hash.level(*level)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_arrival_tells_the_lead() {
        let mut memo = Memo::default();
        assert_eq!(memo.again(0, 0, 1, 5), None);
        memo.first(7, 1, 0, 100);
        assert_eq!(memo.again(7, 1, 0, 150), None, "its own");
        assert_eq!(memo.again(7, 1, 1, 150), Some(Again { line: 0, lead_ns: 50, same: true }));
        assert_eq!(memo.again(7, 2, 2, 160), Some(Again { line: 0, lead_ns: 60, same: false }));
    }
}
