//! What one message says. In: a decoder's calls, names and numbers. Out: items with instruments by index and exact decimals.
//! Bounded by the message; one buffer, reused, so nothing is allocated once it is warm. Owns all it holds: nothing borrows the message.

use super::listing::Listed;
use foldhash::HashMap;
use std::ops::Range;
use wire::decimal::Decimal;
use wire::event::{Aggressor, Nanos, TradingState};

/// A number as the venue wrote it, trailing zeros included (in the exponent), or `BAD`.
pub type Number = Decimal;

/// Stands for a text that is no number, so that what it belongs to is not silently lost.
pub const BAD: Number = Decimal { mantissa: i64::MIN, exponent: i8::MIN };

/// Exactly the number in this text. Zeros at the end that no 64 bits hold are cut.
pub fn number(text: &str) -> Number {
    let text = text.as_bytes();
    Decimal::parse(text).unwrap_or_else(|_| {
        let end = text.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
        let cut = text.contains(&b'.') && !text.iter().any(|byte| matches!(byte, b'e' | b'E'));
        if cut { Decimal::parse(&text[..end]).unwrap_or(BAD) } else { BAD }
    })
}

/// One level as the venue wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawLevel {
    pub price: Number,
    pub size: Number,
}

/// One side of a quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The message does not speak of it.
    #[default]
    Same,
    /// There is none. (A price of zero means the same.)
    Nothing,
    At(RawLevel),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct QuoteUpdate {
    /// 0 where `QuoteIds::None`.
    pub id: u64,
    pub time: Nanos,
    pub bid: Part,
    pub ask: Part,
}

impl QuoteUpdate {
    /// Both sides, after `before` of the same line.
    pub fn whole(self, before: Option<Self>) -> Self {
        let before = before.unwrap_or_default();
        let part = |new, before| match (new, before) {
            (Part::Same, Part::Same) => Part::Nothing,
            (Part::Same, before) => before,
            (new, _) => new,
        };
        Self { bid: part(self.bid, before.bid), ask: part(self.ask, before.ask), ..self }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct TradeUpdate {
    /// The venue's number, if it is one.
    pub id: Option<u64>,
    pub time: Nanos,
    pub price: Number,
    pub size: Number,
    pub aggressor: Aggressor,
    pub aggregated: bool,
    /// From before the subscription: taken only if its id closes a gap.
    pub past: bool,
    /// An execution that the venue numbers among the trades and that nobody could have taken part in (an insurance fund's, a deleveraging's):
    /// its id is followed, it is counted, and not told.
    pub off_book: bool,
}

impl Default for TradeUpdate {
    fn default() -> Self {
        let aggressor = Aggressor::Unknown;
        Self { id: None, time: 0, price: BAD, size: BAD, aggressor, aggregated: false, past: false, off_book: false }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct BookUpdate {
    pub snapshot: bool,
    /// The ids it covers; a snapshot is as of `last`. Both 0 where there are none.
    pub first: u64,
    pub last: u64,
    /// `Proof::Chain`: the predecessor. `None` is not checked.
    pub previous: Option<u64>,
    pub checksum: Option<u32>,
    pub time: Nanos,
}

/// Which request an answer is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    Id(u64),
    /// One symbol of a request.
    Part {
        id: u64,
        native: String,
    },
    /// Stream name as in `Stream::name`, and native symbol.
    Topic {
        stream: &'static str,
        native: String,
    },
    /// What this request asked for and was not named by an answer to it so far; no refusal at all where there is nothing left.
    Rest(u64),
    /// The oldest that is open on this line.
    Oldest,
    /// It does not say.
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Quote {
        instrument: u32,
        quote: QuoteUpdate,
    },
    Trade {
        instrument: u32,
        trade: TradeUpdate,
    },
    /// Ranges of `Decoded::bids` and `Decoded::asks`.
    Book {
        instrument: u32,
        book: BookUpdate,
        bids: Range<usize>,
        asks: Range<usize>,
    },
    Trading {
        instrument: u32,
        trading: TradingState,
    },
    /// `Scope::Connection`: the number of this message.
    Frame(u64),
    Hello,
    Granted(About),
    Refused(About, String),
    Listed(Box<Listed>),
    /// Send this back at once.
    Reply(String),
    /// The venue is about to close this connection.
    Shutdown,
}

#[derive(Debug, Default)]
pub struct Decoded {
    pub(crate) items: Vec<Item>,
    pub(crate) bids: Vec<RawLevel>,
    pub(crate) asks: Vec<RawLevel>,
    names: HashMap<String, u32>,
    /// Every name that turns up is taken (a survey of a recording).
    open: bool,
    /// Data of instruments that were not asked for.
    pub(super) unknown: u32,
    pub(super) first_unknown: String,
    /// Levels a side that the venue says it sends, where an answer says so.
    pub(super) depth: Option<u32>,
    in_book: bool,
}

impl Decoded {
    /// Takes every name.
    pub(crate) fn surveying() -> Self {
        Self { open: true, ..Self::default() }
    }

    pub(crate) fn know(&mut self, native: &str, index: u32) {
        self.names.insert(native.to_owned(), index);
    }

    pub(crate) fn index_of(&self, native: &str) -> Option<u32> {
        self.names.get(native).copied()
    }

    /// The names taken so far, by index.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.names.iter().map(|(name, index)| (name.as_str(), *index))
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.bids.clear();
        self.asks.clear();
        (self.unknown, self.in_book) = (0, false);
    }

    fn instrument(&mut self, native: &str) -> Option<u32> {
        if let Some(index) = self.names.get(native) {
            return Some(*index);
        }
        if self.open {
            let index = self.names.len() as u32;
            self.know(native, index);
            return Some(index);
        }
        if self.unknown == 0 {
            self.first_unknown.clear();
            self.first_unknown.push_str(native);
        }
        self.unknown += 1;
        None
    }

    /// How much was said so far, for `reverse_since`.
    pub fn mark(&self) -> usize {
        self.items.len()
    }

    /// The venue lists newest first what was said since: the other way round.
    pub fn reverse_since(&mut self, mark: usize) {
        if let Some(items) = self.items.get_mut(mark..) {
            items.reverse();
        }
    }

    pub fn quote(&mut self, native: &str, quote: QuoteUpdate) {
        if let Some(instrument) = self.instrument(native) {
            self.items.push(Item::Quote { instrument, quote });
        }
    }

    pub fn trade(&mut self, native: &str, trade: TradeUpdate) {
        if let Some(instrument) = self.instrument(native) {
            self.items.push(Item::Trade { instrument, trade });
        }
    }

    /// Begins a book message; its levels follow: `bid`s, `ask`s, in any order of sides.
    pub fn book(&mut self, native: &str, book: BookUpdate) {
        let instrument = self.instrument(native);
        self.in_book = instrument.is_some();
        if let Some(instrument) = instrument {
            let (bids, asks) = (self.bids.len(), self.asks.len());
            self.items.push(Item::Book { instrument, book, bids: bids..bids, asks: asks..asks });
        }
    }

    /// A level of the book begun last; its size is absolute, 0 deletes.
    pub fn bid(&mut self, price: Number, size: Number) {
        if let Some(Item::Book { bids, .. }) = self.items.last_mut().filter(|_| self.in_book) {
            self.bids.push(RawLevel { price, size });
            bids.end += 1;
        }
    }

    pub fn ask(&mut self, price: Number, size: Number) {
        if let Some(Item::Book { asks, .. }) = self.items.last_mut().filter(|_| self.in_book) {
            self.asks.push(RawLevel { price, size });
            asks.end += 1;
        }
    }

    /// For what stands behind the levels in the message.
    pub fn amend_book(&mut self, amend: impl FnOnce(&mut BookUpdate)) {
        if let Some(Item::Book { book, .. }) = self.items.last_mut().filter(|_| self.in_book) {
            amend(book);
        }
    }

    pub fn trading(&mut self, native: &str, trading: TradingState) {
        if let Some(instrument) = self.index_of(native) {
            self.items.push(Item::Trading { instrument, trading });
        }
    }

    pub fn frame(&mut self, number: u64) {
        self.items.push(Item::Frame(number));
    }

    pub fn hello(&mut self) {
        self.items.push(Item::Hello);
    }

    pub fn granted(&mut self, about: About) {
        self.items.push(Item::Granted(about));
    }

    pub fn refused(&mut self, about: About, reason: &str) {
        self.items.push(Item::Refused(about, reason.to_owned()));
    }

    pub fn listed(&mut self, listed: Listed) {
        self.items.push(Item::Listed(Box::new(listed)));
    }

    pub fn reply(&mut self, text: String) {
        self.items.push(Item::Reply(text));
    }

    pub fn shutdown(&mut self) {
        self.items.push(Item::Shutdown);
    }

    /// The venue says how many levels a side it sends (a replay then cuts the book there).
    pub fn depth(&mut self, levels: u32) {
        self.depth = Some(levels);
    }
}
