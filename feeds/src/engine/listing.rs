//! One entry of a venue's list of instruments. In: names, steps and phase as the venue words them. Out: an `Instrument` with the
//! exponents its steps need. Bounded by one entry. Base and quote come from the venue, never from guessing at its symbol.

use super::decoded::Number;
use super::facts::Facts;
use wire::decimal::Decimal;
use wire::event::TradingState;
use wire::instrument::{Instrument, InstrumentClass};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Normalized: `BTC-USDT`, `BTC-USDT-PERP`, `BTC-USD-20261225`.
    pub symbol: String,
    /// As it stands in the venue's data messages.
    pub native: String,
    pub class: InstrumentClass,
    /// Smallest price and size step; zero or `BAD` if the venue does not say.
    pub tick: Number,
    pub lot: Number,
    pub trading: TradingState,
}

impl Listed {
    /// `BASE-QUOTE` with the class's suffix; an expiry (`20261225`) goes before it.
    pub fn spot(native: &str, base: &str, quote: &str) -> Self {
        Self {
            symbol: format!("{base}-{quote}").to_ascii_uppercase(),
            native: native.to_owned(),
            class: InstrumentClass::Spot,
            tick: Decimal::new(0, 0),
            lot: Decimal::new(0, 0),
            trading: TradingState::Unknown,
        }
    }

    pub fn perpetual(native: &str, base: &str, quote: &str) -> Self {
        Self {
            symbol: format!("{base}-{quote}-PERP").to_ascii_uppercase(),
            class: InstrumentClass::Perpetual,
            ..Self::spot(native, "", "")
        }
    }

    /// `expiry` as `20261225`.
    pub fn future(native: &str, base: &str, quote: &str, expiry: &str) -> Self {
        Self {
            symbol: format!("{base}-{quote}-{expiry}").to_ascii_uppercase(),
            class: InstrumentClass::Future,
            ..Self::spot(native, "", "")
        }
    }

    #[must_use]
    pub fn steps(self, tick: Number, lot: Number) -> Self {
        Self { tick, lot, ..self }
    }

    #[must_use]
    pub fn trading(self, trading: TradingState) -> Self {
        Self { trading, ..self }
    }

    /// Do the settings mean this one? (`BTC-USDT`, `!BTCUSDT`, case apart.)
    pub(super) fn is(&self, wanted: &str) -> bool {
        match wanted.strip_prefix('!') {
            Some(native) => native.eq_ignore_ascii_case(&self.native),
            None => wanted.eq_ignore_ascii_case(&self.symbol),
        }
    }

    pub(super) fn instrument(&self, facts: &Facts) -> Instrument {
        let (price_exponent, tick) = scale(self.tick, facts.finest_exponent);
        let (size_exponent, lot) = scale(self.lot, facts.finest_exponent);
        Instrument {
            symbol: self.symbol.clone(),
            native: self.native.clone(),
            class: self.class,
            price_exponent,
            size_exponent,
            tick,
            lot,
            quote_has_event_time: facts.quote_has_time,
            trade_has_event_time: facts.trade_has_time,
            book_has_event_time: facts.book_has_time,
            event_time_exponent: facts.time_exponent,
        }
    }
}

/// The exponent that holds one step exactly (never above 0), and the step at it. Without a step the data decides.
fn scale(step: Number, finest: i8) -> (i8, i64) {
    if step.mantissa <= 0 {
        return (0, 0);
    }
    let exponent = step.normalized().exponent.clamp(finest, 0);
    step.at(exponent).map_or((finest, 0), |mantissa| (exponent, mantissa))
}

/// One step of so many decimals.
pub fn decimals(count: u64) -> Number {
    i8::try_from(count).ok().filter(|count| *count <= 18).map_or(Decimal::new(0, 0), |count| Decimal::new(1, -count))
}
