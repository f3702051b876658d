//! In: what a venue says about an instrument. Out: the scale of its numbers and its names, as topics and clients use them.
//! Bounded: names have at most `topic::MAX_NAME` bytes.

use crate::event::wire_enum;

/// What sort of thing is traded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InstrumentClass {
    #[default]
    Spot,
    Perpetual,
    Future,
    Option,
    Equity,
    Index,
}

wire_enum!(InstrumentClass {
    Spot = 0 "spot", Perpetual = 1 "perpetual", Future = 2 "future", Option = 3 "option", Equity = 4 "equity", Index = 5 "index",
});

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instrument {
    /// Normalized symbol: `BTC-USDT`, `BTC-USDT-PERP`, `BTC-USD-20261225`, `AAPL`.
    pub symbol: String,
    /// The venue's own spelling: `BTCUSDT`.
    pub native: String,
    pub class: InstrumentClass,
    /// Prices of this instrument are `i64 * 10^price_exponent`.
    pub price_exponent: i8,
    /// Sizes of this instrument are `i64 * 10^size_exponent`.
    pub size_exponent: i8,
    /// Smallest price step as a mantissa at `price_exponent`; 0 if the venue does not say.
    pub tick: i64,
    /// Smallest size step as a mantissa at `size_exponent`; 0 if the venue does not say.
    pub lot: i64,
    /// Does the venue give an event time with its quotes, trades, book updates? Where not, records carry the received time.
    pub quote_has_event_time: bool,
    pub trade_has_event_time: bool,
    pub book_has_event_time: bool,
    /// Resolution of the venue's event times in powers of ten of a second: -3 ms, -6 us, -9 ns.
    pub event_time_exponent: i8,
}
