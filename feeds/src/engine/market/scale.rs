//! The scale of one instrument's numbers. In: the venue's numbers. Out: mantissas, exact; where a number is finer than the instrument,
//! the instrument is redefined. Bounded: exponents only get finer, down to the venue's finest.

use super::super::decoded::{BAD, Number, RawLevel};
use super::{Market, Need};
use crate::adapter::{Now, Output};
use wire::decimal::{Decimal, DecimalError};
use wire::event::{Cause, EventBody, Level, Quote};
use wire::instrument::Instrument;

/// Numbers that do not fit the instrument: by how much, or not at all.
pub(super) enum Misfit {
    Bad,
    Finer,
}

impl Market {
    /// The venue's list says something new about this instrument.
    pub fn relist(&mut self, now: Now, instrument: &Instrument, out: &mut Output) -> Need {
        let price_exponent = self.instrument.price_exponent.min(instrument.price_exponent);
        let size_exponent = self.instrument.size_exponent.min(instrument.size_exponent);
        // Exponents never get coarser: levels from before the change may still rest in the book.
        let at = |mantissa, from, to| Decimal::new(mantissa, from).at(to).unwrap_or(0);
        let tick = at(instrument.tick, instrument.price_exponent, price_exponent);
        let lot = at(instrument.lot, instrument.size_exponent, size_exponent);
        let same = price_exponent == self.instrument.price_exponent && size_exponent == self.instrument.size_exponent;
        if same && tick == self.instrument.tick && lot == self.instrument.lot {
            return Need::Nothing;
        }
        self.redefine(now, (price_exponent, size_exponent), Some((tick, lot)), out)
    }

    /// Makes room for the finest of these numbers by redefining the instrument, once for all of them.
    pub(super) fn fit(
        &mut self,
        now: Now,
        misfit: Misfit,
        numbers: impl Iterator<Item = RawLevel>,
        out: &mut Output,
    ) -> Result<Need, Misfit> {
        let Misfit::Finer = misfit else { return Err(misfit) };
        let known = (self.instrument.price_exponent, self.instrument.size_exponent);
        let (mut price_exponent, mut size_exponent) = known;
        for raw in numbers {
            price_exponent = price_exponent.min(raw.price.normalized().exponent);
            size_exponent = size_exponent.min(self.cut(raw.size).normalized().exponent);
        }
        if (price_exponent, size_exponent) == known || price_exponent.min(size_exponent) < self.rules.finest_exponent {
            return Err(Misfit::Bad);
        }
        Ok(self.redefine(now, (price_exponent, size_exponent), None, out))
    }

    /// New exponents: the instrument is announced again, which ends the epoch of all its topics, so all of them start over. How far they
    /// can be trusted stays as it was told.
    fn redefine(&mut self, now: Now, exponents: (i8, i8), steps: Option<(i64, i64)>, out: &mut Output) -> Need {
        let (price_exponent, size_exponent) = exponents;
        let factor = |from: i8, to: i8| 10i64.checked_pow(u32::from(from.abs_diff(to)));
        let price_factor = factor(self.instrument.price_exponent, price_exponent);
        let size_factor = factor(self.instrument.size_exponent, size_exponent);
        let times = |value: i64, factor: Option<i64>| factor.and_then(|factor| value.checked_mul(factor));
        self.instrument.price_exponent = price_exponent;
        self.instrument.size_exponent = size_exponent;
        (self.instrument.tick, self.instrument.lot) = steps.unwrap_or_else(|| {
            let scaled = |step, factor| times(step, factor).unwrap_or(0);
            (scaled(self.instrument.tick, price_factor), scaled(self.instrument.lot, size_factor))
        });
        self.announce(now, out);
        self.last_quote = self.last_quote.and_then(|quote| {
            let scaled = |value: Option<i64>, factor| match value {
                Some(value) => times(value, factor).map(Some),
                None => Some(None),
            };
            Some(Quote {
                bid_price: scaled(quote.bid_price, price_factor)?,
                bid_size: scaled(quote.bid_size, size_factor)?,
                ask_price: scaled(quote.ask_price, price_factor)?,
                ask_size: scaled(quote.ask_size, size_factor)?,
            })
        });
        if let Some(quote) = self.last_quote {
            self.emit(out, 0, now.wall, EventBody::Quote(quote));
        }
        match (price_factor, size_factor) {
            // Nothing is lost where the whole book is at hand.
            (Some(price), Some(_)) if self.rules.ladder && self.sequencer.is_live() => {
                self.ladder.rescale(price);
                self.repeat_book(now, out);
                Need::Nothing
            }
            // Diffs that wait for their snapshot can be kept.
            (Some(price), Some(size)) if !self.sequencer.is_live() => {
                self.sequencer.rescale(price, size);
                Need::Nothing
            }
            _ => self.give_up(now, Cause::Redefinition, out),
        }
    }

    /// A level or a trade: nothing costs nothing.
    pub(super) fn priced(&self, raw: RawLevel) -> Result<Level, Misfit> {
        self.level(raw).and_then(|level| if level.price == 0 { Err(Misfit::Bad) } else { Ok(level) })
    }

    pub(super) fn level(&self, raw: RawLevel) -> Result<Level, Misfit> {
        let price = at(raw.price, self.instrument.price_exponent)?;
        let size = at(self.cut(raw.size), self.instrument.size_exponent)?;
        if price < 0 || size < 0 { Err(Misfit::Bad) } else { Ok(Level { price, size }) }
    }

    /// Without the digits that are only noise.
    fn cut(&self, size: Number) -> Number {
        match self.size_floor.checked_sub(size.exponent) {
            Some(finer @ 1..) if size != BAD => {
                let unit = 10i64.checked_pow(finer.unsigned_abs().into());
                Decimal::new(unit.map_or(0, |unit| size.mantissa / unit), self.size_floor)
            }
            _ => size,
        }
    }
}

fn at(number: Number, exponent: i8) -> Result<i64, Misfit> {
    number.at(exponent).map_err(|error| if matches!(error, DecimalError::Inexact { .. }) { Misfit::Finer } else { Misfit::Bad })
}
