//! What many venues word in the same way. In: numbers, levels, times. Out: their texts, every digit as it was recorded.
//! Bounded by what is said.

use super::voice::Wish;
use crate::engine::{BAD, Listed, Number, Part, RawLevel, put_text};
use crate::time::date;
use serde_json::Value;
use wire::event::{Aggressor, Nanos};

/// The digits of a number. One that could not be read is said as unreadably.
pub fn number(number: Number) -> String {
    if number == BAD {
        return "1e999".to_owned();
    }
    let mut out = Vec::with_capacity(24);
    put_text(&mut out, number);
    out.into_iter().map(char::from).collect()
}

/// Price and size of a level.
pub fn pair(level: &RawLevel) -> (String, String) {
    (number(level.price), number(level.size))
}

/// One side of a quote: its level, or what stands for the price and the size of none.
pub fn best(side: Part, no_price: &str, no_size: &str) -> (String, String) {
    match side {
        Part::At(level) => pair(&level),
        Part::Same | Part::Nothing => (no_price.to_owned(), no_size.to_owned()),
    }
}

/// A list, of texts that are JSON already.
pub fn list(texts: impl Iterator<Item = String>) -> String {
    let mut out = String::from("[");
    for (at, text) in texts.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&text);
    }
    out.push(']');
    out
}

/// Levels as `each` words price and size.
pub fn levels(levels: &[RawLevel], each: impl Fn(&str, &str) -> String) -> String {
    list(levels.iter().map(|level| {
        let (price, size) = pair(level);
        each(&price, &size)
    }))
}

/// `[["price","size"],…]`.
pub fn pairs(side: &[RawLevel]) -> String {
    levels(side, |price, size| format!(r#"["{price}","{size}"]"#))
}

pub fn millis(time: Nanos) -> i64 {
    time / 1_000_000
}

/// `2026-08-24T22:34:13.813379359Z`, with so many decimals.
pub fn utc(time: Nanos, decimals: usize) -> String {
    let (seconds, nanos) = (time.max(0) / 1_000_000_000, time.max(0) % 1_000_000_000);
    let day = date(seconds.unsigned_abs() * 1_000);
    let (year, month, day) = (&day[..4], &day[4..6], &day[6..]);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let nanos = format!("{nanos:09}");
    format!("{year}-{month}-{day}T{hour:02}:{minute:02}:{second:02}.{}Z", &nanos[..decimals.min(9)])
}

/// `buy` or `sell`; empty where the venue did not say.
pub fn side_of(aggressor: Aggressor) -> &'static str {
    match aggressor {
        Aggressor::Buy => "buy",
        Aggressor::Sell => "sell",
        Aggressor::Unknown => "",
    }
}

/// The texts of a list.
pub fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A wish for each of these instruments.
pub fn carried(stream: &str, natives: &[&str]) -> Vec<Wish> {
    natives.iter().map(|native| Wish::new(stream, native)).collect()
}

impl Listed {
    /// The first two parts of its symbol: what is traded, and for what.
    pub fn assets(&self) -> (&str, &str) {
        let mut parts = self.symbol.split('-');
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""))
    }

    /// Decimals of its prices and sizes.
    pub fn places(&self) -> (u8, u8) {
        let places = |step: Number| if step.mantissa > 0 { step.normalized().exponent.min(0).unsigned_abs() } else { 8 };
        (places(self.tick), places(self.lot))
    }

    /// Its steps as texts.
    pub fn step_texts(&self) -> (String, String) {
        (number(self.tick), number(self.lot))
    }
}
