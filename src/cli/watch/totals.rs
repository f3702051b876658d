//! In: the records of trade topics. Out: for each topic what its trades come to: count, volume, notional, high, low, exactly.
//! Bounded by the number of topics.

use client::Update;
use client::wire::decimal::{plain, put_plain_magnitude};
use client::wire::event::Flags;
use client::wire::record::{Meta, RecordBody};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Trades that came one by one and in summaries, in one sum. The trade that a stream starts with lies before it and is not counted.
#[derive(Debug, Default)]
pub struct Totals(BTreeMap<String, Total>);

/// At the exponents beside it. `None`: too large for exact numbers, which no market is.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    volume: Option<u128>,
    notional: Option<i128>,
    /// High and low.
    prices: Option<(i128, i128)>,
}

#[derive(Clone, Copy, Debug)]
struct Total {
    price_exponent: i8,
    size_exponent: i8,
    count: u64,
    /// Trades that gaps say are not in here.
    missing: u64,
    sums: Sums,
}

impl Totals {
    pub fn update(&mut self, update: &Update<'_>) {
        let (count, volume, notional, high, low) = match &update.record.body {
            _ if update.record.flags.has(Flags::SNAPSHOT) => return,
            RecordBody::Trade(trade) => {
                let notional = i128::from(trade.price).checked_mul(trade.size.into());
                (1, u128::try_from(trade.size).ok(), notional, trade.price, trade.price)
            }
            RecordBody::Summary(summary) => {
                (summary.count, Some(summary.volume), Some(summary.notional), summary.high, summary.low)
            }
            RecordBody::Gap { missing, .. } => {
                if let Some(total) = self.0.get_mut(&update.meta.name) {
                    total.missing = total.missing.saturating_add(missing.unwrap_or(0));
                }
                return;
            }
            _ => return,
        };
        let meta = update.meta;
        let total = self.0.entry(meta.name.clone()).or_insert_with(|| Total::new(meta));
        total.rescale(meta.price_exponent.min(total.price_exponent), meta.size_exponent.min(total.size_exponent));
        let (price, size) = (power(meta.price_exponent, total.price_exponent), power(meta.size_exponent, total.size_exponent));
        let more = Sums { volume, notional, prices: Some((high.into(), low.into())) }.times(price, size);
        total.count = total.count.saturating_add(count);
        total.sums = if total.count == count { more } else { total.sums.and(more) };
    }

    pub fn report(&self) -> BTreeMap<&str, Value> {
        self.0.iter().map(|(topic, total)| (topic.as_str(), total.report())).collect()
    }
}

impl Total {
    fn new(meta: &Meta) -> Self {
        let (price_exponent, size_exponent) = (meta.price_exponent, meta.size_exponent);
        Self { price_exponent, size_exponent, count: 0, missing: 0, sums: Sums::default() }
    }

    /// An instrument may be redefined with finer exponents.
    fn rescale(&mut self, price_exponent: i8, size_exponent: i8) {
        let (price, size) = (power(self.price_exponent, price_exponent), power(self.size_exponent, size_exponent));
        self.sums = self.sums.times(price, size);
        (self.price_exponent, self.size_exponent) = (price_exponent, size_exponent);
    }

    fn report(&self) -> Value {
        let notional_exponent = self.price_exponent.saturating_add(self.size_exponent);
        let (high, low) = self.sums.prices.unzip();
        json!({
            "count": self.count,
            "volume": self.sums.volume.map(|volume| magnitude(volume, self.size_exponent)),
            "notional": self.sums.notional.map(|notional| plain(notional, notional_exponent)),
            "high": high.map(|price| plain(price, self.price_exponent)),
            "low": low.map(|price| plain(price, self.price_exponent)),
            "missing": self.missing,
        })
    }
}

impl Sums {
    fn times(self, price: Option<i128>, size: Option<i128>) -> Self {
        let factor = price.zip(size).and_then(|(price, size)| price.checked_mul(size));
        let prices = self.prices.zip(price);
        Self {
            volume: self.volume.zip(size).and_then(|(volume, size)| volume.checked_mul(size.unsigned_abs())),
            notional: self.notional.zip(factor).and_then(|(notional, factor)| notional.checked_mul(factor)),
            prices: prices.and_then(|((high, low), by)| high.checked_mul(by).zip(low.checked_mul(by))),
        }
    }

    fn and(self, more: Self) -> Self {
        Self {
            volume: self.volume.zip(more.volume).and_then(|(volume, more)| volume.checked_add(more)),
            notional: self.notional.zip(more.notional).and_then(|(notional, more)| notional.checked_add(more)),
            prices: self.prices.zip(more.prices).map(|((high, low), more)| (high.max(more.0), low.min(more.1))),
        }
    }
}

/// What turns numbers at one exponent into the same ones at a finer exponent.
fn power(from: i8, to: i8) -> Option<i128> {
    10i128.checked_pow(u32::try_from(i32::from(from) - i32::from(to)).ok()?)
}

fn magnitude(value: u128, exponent: i8) -> String {
    let mut text = Vec::new();
    put_plain_magnitude(&mut text, value, exponent);
    text.into_iter().map(char::from).collect()
}
