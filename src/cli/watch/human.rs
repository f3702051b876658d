//! In: one update. Out: a line for people. Bounded: books show their best three levels.

use super::report::feed_state;
use client::Update;
use client::wire::decimal::plain;
use client::wire::event::{Nanos, Side, Status};
use client::wire::record::{Bar, Meta, RecordBody};
use client::wire::view::ViewError;
use std::fmt::{self, Write};

/// Levels of a book in a line.
const LEVELS: usize = 3;

/// Appends the line; nothing for records that only machines care about.
pub fn line(out: &mut String, update: &Update<'_>) {
    // Writing to a string cannot fail.
    let _ = try_line(out, update);
    if let Err(error @ (ViewError::CheckMismatch { .. } | ViewError::Hole { .. } | ViewError::NoSnapshot)) = &update.outcome {
        let separator = if out.is_empty() { "" } else { "\n" };
        let _ = write!(out, "{separator}!! {}: {error}", update.meta.name);
    }
}

fn try_line(out: &mut String, update: &Update<'_>) -> fmt::Result {
    let Update { meta, record, view, .. } = update;
    let name = &meta.name;
    match &record.body {
        RecordBody::Meta(_) | RecordBody::Check { .. } | RecordBody::Tape | RecordBody::Unknown { .. } => return Ok(()),
        RecordBody::State(status) => return write!(out, "-- {name} {}", Shown(status)),
        RecordBody::Gap { cause, missing } => {
            return match missing {
                Some(missing) => write!(out, "!! {name}: {missing} updates are missing ({cause})"),
                None => write!(out, "!! {name}: updates are missing, nobody knows how many ({cause})"),
            };
        }
        _ => {}
    }
    write!(out, "{} {name:<28} ", Clock(record.time))?;
    match &record.body {
        RecordBody::Quote(_) => {
            if let Some(quote) = view.quote() {
                let (price, size) = (meta.price_exponent, meta.size_exponent);
                write!(out, "{:>14} x {:<12}", shown(quote.bid_size, size), shown(quote.bid_price, price))?;
                write!(out, "| {:>12} x {:<14}", shown(quote.ask_price, price), shown(quote.ask_size, size))?;
            }
        }
        RecordBody::Trade(trade) => {
            let (price, size) = (plain(trade.price.into(), meta.price_exponent), plain(trade.size.into(), meta.size_exponent));
            write!(out, "{:<7} {size:>14} @ {price}", trade.aggressor.name())?;
        }
        RecordBody::Summary(summary) => {
            let price = |mantissa: i64| plain(mantissa.into(), meta.price_exponent);
            let volume = magnitude(summary.volume, meta.size_exponent);
            let (last, high, low) = (price(summary.last), price(summary.high), price(summary.low));
            write!(out, "{} trades, volume {volume}, last {last}, high {high}, low {low}", summary.count)?;
        }
        RecordBody::Book { .. } => {
            if let Some(book) = view.book() {
                let side = |side| book.levels(side, LEVELS).map(|level| Level(level.price, level.size, meta));
                let mut bids: Vec<_> = side(Side::Bid).collect();
                bids.reverse();
                for bid in bids {
                    write!(out, "{bid}  ")?;
                }
                write!(out, "|")?;
                for ask in side(Side::Ask) {
                    write!(out, "  {ask}")?;
                }
                write!(out, "   {}+{} levels", book.len(Side::Bid), book.len(Side::Ask))?;
            }
        }
        RecordBody::Bars(bars) => {
            for (at, bar) in bars.iter().enumerate() {
                if at > 0 {
                    write!(out, "\n{:15} {name:<28} ", "")?;
                }
                write!(out, "{}", OneBar(bar, meta))?;
            }
        }
        RecordBody::Stats(_) => {
            if let Some(stats) = view.stats() {
                let price = |price| shown(price, meta.price_exponent);
                let (last, open) = (price(stats.last), price(stats.open));
                let (high, low) = (price(stats.high), price(stats.low));
                write!(out, "last {last}, 24 h: open {open}, high {high}, low {low}, ")?;
                write!(out, "volume {}, {} trades", magnitude(stats.volume, meta.size_exponent), stats.count)?;
                if stats.gaps > 0 {
                    write!(out, ", {} gaps", stats.gaps)?;
                }
            }
        }
        RecordBody::Status(status) => write!(out, "{}", Shown(status))?,
        RecordBody::Instrument(instrument) => {
            let tick = plain(instrument.tick.into(), instrument.price_exponent);
            let lot = plain(instrument.lot.into(), instrument.size_exponent);
            write!(out, "{} {}, tick {tick}, lot {lot}", instrument.class, instrument.native)?;
        }
        _ => {}
    }
    let state = feed_state(view);
    if !matches!(state, "live" | "unknown") {
        write!(out, "  ({state})")?;
    }
    out.truncate(out.trim_end().len());
    Ok(())
}

fn magnitude(value: u128, exponent: i8) -> String {
    i128::try_from(value).map_or_else(|_| "huge".to_owned(), |value| plain(value, exponent))
}

struct OneBar<'a>(&'a Bar, &'a Meta);

impl fmt::Display for OneBar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bar, meta) = self;
        let price = |price: i64| plain(price.into(), meta.price_exponent);
        let (open, high, low, close) = (price(bar.open), price(bar.high), price(bar.low), price(bar.close));
        let start = Clock(bar.start).to_string();
        // Bars begin at whole seconds.
        let start = start.split('.').next().unwrap_or_default();
        write!(f, "[{start}] {open} {high} {low} {close}  volume {}, ", magnitude(bar.volume, meta.size_exponent))?;
        write!(f, "{} trades{}", bar.count, if bar.closed { ", closed" } else { "" })?;
        if bar.incomplete { write!(f, ", incomplete") } else { Ok(()) }
    }
}

/// `size@price`.
struct Level<'a>(i64, i64, &'a Meta);

impl fmt::Display for Level<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(price, size, meta) = self;
        write!(f, "{}@{}", plain((*size).into(), meta.size_exponent), plain((*price).into(), meta.price_exponent))
    }
}

struct Shown<'a>(&'a Status);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { feed, trading, cause, since } = self.0;
        write!(f, "feed {feed} ({cause}), trading {trading}")?;
        if *since != 0 { write!(f, ", since {}", Clock(*since)) } else { Ok(()) }
    }
}

fn shown(mantissa: Option<i64>, exponent: i8) -> String {
    mantissa.map_or_else(|| "-".to_owned(), |mantissa| plain(mantissa.into(), exponent))
}

/// Time of day, UTC.
struct Clock(Nanos);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.div_euclid(1000).rem_euclid(86_400_000_000);
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        write!(f, "{:02}:{:02}:{:02}.{micros:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_show_the_time_of_day() {
        assert_eq!(Clock(1_723_161_253_937_085_768).to_string(), "23:54:13.937085");
        assert_eq!(Clock(-1).to_string(), "23:59:59.999999");
    }
}
