//! The simulated instruments. In: an index. Out: name, scale, first price and usual size. Bounded: pure data.

use super::random::Random;
use wire::instrument::{Instrument, InstrumentClass};

/// What a simulated market starts from; prices and sizes are mantissas of its instrument.
pub(super) struct Origin {
    pub instrument: Instrument,
    pub price: i64,
    pub usual_size: i64,
}

struct Row {
    base: &'static str,
    price_exponent: i8,
    price: i64,
    size_exponent: i8,
    usual_size: i64,
}

/// Names people know come first, so that they are also the busiest.
const KNOWN: [Row; 6] = [
    Row { base: "BTC", price_exponent: -2, price: 6_160_201, size_exponent: -5, usual_size: 35_000 },
    Row { base: "ETH", price_exponent: -2, price: 268_412, size_exponent: -4, usual_size: 24_000 },
    Row { base: "SOL", price_exponent: -3, price: 154_230, size_exponent: -3, usual_size: 60_000 },
    Row { base: "XRP", price_exponent: -5, price: 61_285, size_exponent: -1, usual_size: 9_000 },
    Row { base: "DOGE", price_exponent: -6, price: 107_420, size_exponent: 0, usual_size: 12_000 },
    Row { base: "PEPE", price_exponent: -10, price: 84_510, size_exponent: 0, usual_size: 90_000 },
];

pub(super) fn origin(index: u32, random: &mut Random) -> Origin {
    if let Some(row) = KNOWN.get(index as usize) {
        return Origin {
            instrument: instrument(row.base, row.price_exponent, row.size_exponent),
            price: row.price,
            usual_size: row.usual_size,
        };
    }
    let base = format!("S{:03}", index as usize + 1 - KNOWN.len());
    let (price_exponent, size_exponent) = (random.between(-5, -2) as i8, random.between(-4, 0) as i8);
    Origin {
        instrument: instrument(&base, price_exponent, size_exponent),
        price: random.between(40_000, 900_000),
        usual_size: random.between(2_000, 60_000),
    }
}

fn instrument(base: &str, price_exponent: i8, size_exponent: i8) -> Instrument {
    Instrument {
        symbol: format!("{base}-USD"),
        native: format!("{base}USD"),
        class: InstrumentClass::Spot,
        price_exponent,
        size_exponent,
        tick: 1,
        lot: 1,
        quote_has_event_time: true,
        trade_has_event_time: true,
        book_has_event_time: true,
        event_time_exponent: -6,
    }
}
