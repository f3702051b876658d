//! One stock of a session. In: what the messages say of it. Out: its instrument, and its quote and trading phase where they changed.
//! Bounded: a few words.

use super::market::Phase;
use super::message::Stock;
use crate::orders::OrderBook;
use crate::symbol::topic_symbol;
use wire::event::{Quote, TradingState};
use wire::instrument::{Instrument, InstrumentClass};

/// Prices are in 1/10,000 dollar.
const PRICE_EXPONENT: i8 = -4;
/// A cent. (Below one dollar prices go in 1/10,000, see docs/venues/itch.md; the feed does not tell which stocks are there.)
const TICK: i64 = 100;

pub(super) struct Listed {
    pub(super) stock: Stock,
    /// As the last trading action says: `T` trading, `H` halted, `P` paused, `Q` quotes only; 0: none yet.
    pub(super) state: u8,
    /// By an operational halt of this market.
    pub(super) halted: bool,
    /// Its book missed something that the session as a whole did not.
    pub(super) doubtful: bool,
    /// As they were told last.
    quote: Quote,
    trading: TradingState,
}

impl Listed {
    /// `None` if it has no printable name.
    pub(super) fn new(stock: Stock) -> Option<Self> {
        let name = stock.trim_ascii_end();
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let (quote, trading) = (Quote::default(), TradingState::Unknown);
        Some(Self { stock, state: 0, halted: false, doubtful: false, quote, trading })
    }

    /// The venue's own spelling.
    pub(super) fn native(&self) -> String {
        String::from_utf8_lossy(self.stock.trim_ascii_end()).into_owned()
    }

    pub(super) fn instrument(&self) -> Instrument {
        let native = self.native();
        Instrument {
            symbol: topic_symbol(&native),
            native,
            class: InstrumentClass::Equity,
            price_exponent: PRICE_EXPONENT,
            size_exponent: 0,
            tick: TICK,
            // Orders may be odd lots.
            lot: 1,
            quote_has_event_time: true,
            trade_has_event_time: true,
            book_has_event_time: true,
            event_time_exponent: -9,
        }
    }

    pub(super) fn begin_session(&mut self) {
        (self.state, self.halted, self.doubtful) = (0, false, false);
    }

    /// The best of the book, if it was told otherwise last.
    pub(super) fn new_quote(&mut self, book: Option<&OrderBook>) -> Option<Quote> {
        let (bid, ask) = book.map_or((None, None), |book| (book.bids.best(), book.asks.best()));
        let quote = Quote {
            bid_price: bid.map(|level| level.price),
            bid_size: bid.map(|level| level.size),
            ask_price: ask.map(|level| level.price),
            ask_size: ask.map(|level| level.size),
        };
        (std::mem::replace(&mut self.quote, quote) != quote).then_some(quote)
    }

    pub(super) fn new_trading(&mut self, phase: Phase) -> Option<TradingState> {
        let trading = match (phase, self.state) {
            (Phase::Closed, _) => TradingState::Closed,
            _ if self.halted => TradingState::Halted,
            (_, b'T') => TradingState::Open,
            (_, b'H' | b'P') => TradingState::Halted,
            // Orders come, and are kept for the cross with which trading begins again.
            (_, b'Q') => TradingState::Auction,
            _ => TradingState::Unknown,
        };
        (std::mem::replace(&mut self.trading, trading) != trading).then_some(trading)
    }
}
