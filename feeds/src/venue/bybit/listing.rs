//! Bybit's lists of instruments. In: one list, or a name alone. Out: instruments with names, steps and trading phases; what category a
//! name belongs to. Bounded by the list.

use crate::engine::{Listed, Number, number};
use crate::time::date;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use wire::event::TradingState;

/// In front of spot symbols, which are also contracts' names.
pub(super) const SPOT: &str = "spot:";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Spot,
    Linear,
    Inverse,
}

impl Category {
    /// In the order of the addresses.
    pub(super) const ALL: [Self; 3] = [Self::Spot, Self::Linear, Self::Inverse];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Linear => "linear",
            Self::Inverse => "inverse",
        }
    }

    /// `spot:BTCUSDT`; inverse are `BTCUSD` and with a month's letter and year `BTCUSDZ26`; linear `BTCUSDT`, `BTCPERP`, `BTC-25DEC26`.
    pub(super) fn of(native: &str) -> Self {
        let name = native.as_bytes();
        let dated = name.len() > 3 && name[name.len() - 2..].iter().all(u8::is_ascii_digit);
        let pair = if dated { native.get(..native.len() - 3).unwrap_or(native) } else { native };
        match native {
            _ if native.starts_with(SPOT) => Self::Spot,
            _ if pair.ends_with("USD") && !native.contains('-') => Self::Inverse,
            _ => Self::Linear,
        }
    }

    /// What list holds a symbol of the settings: `BTC-USDT`, `BTC-USDT-PERP`, `BTC-USD-20261225`, `!BTCUSDT`.
    pub(super) fn wanted(name: &str) -> Self {
        if let Some(native) = name.strip_prefix('!') {
            return Self::of(native);
        }
        let mut parts = name.split('-').skip(1);
        match (parts.next(), parts.next()) {
            (_, None) => Self::Spot,
            (Some("USD"), _) => Self::Inverse,
            _ => Self::Linear,
        }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: List<'a>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    category: Cow<'a, str>,
    #[serde(borrow)]
    list: Vec<Entry<'a>>,
}

/// The end of a page.
#[derive(Deserialize)]
struct PageEnd<'a> {
    #[serde(borrow)]
    result: Cursor<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cursor<'a> {
    #[serde(borrow, default)]
    next_page_cursor: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    base_coin: Cow<'a, str>,
    #[serde(borrow)]
    quote_coin: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    /// Milliseconds; "0" for what never ends, not given on spot.
    #[serde(borrow, default)]
    delivery_time: Cow<'a, str>,
    #[serde(borrow)]
    price_filter: Steps<'a>,
    #[serde(borrow)]
    lot_size_filter: Steps<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Steps<'a> {
    /// Of prices.
    #[serde(borrow)]
    tick_size: Option<Cow<'a, str>>,
    /// Of contracts' sizes.
    #[serde(borrow)]
    qty_step: Option<Cow<'a, str>>,
    /// Of spot's.
    #[serde(borrow)]
    base_precision: Option<Cow<'a, str>>,
}

impl Steps<'_> {
    fn step(&self) -> Number {
        let step = self.tick_size.as_ref().or(self.qty_step.as_ref()).or(self.base_precision.as_ref());
        step.map_or(Number::new(0, 0), |text| number(text))
    }
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, String> {
    let answer: Answer<'_> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let spot = answer.result.category == "spot";
    let listed = |entry: &Entry<'_>| {
        let ends = entry.delivery_time.parse().unwrap_or(0);
        let (native, base, quote) = (&*entry.symbol, &*entry.base_coin, &*entry.quote_coin);
        let listed = match ends {
            _ if spot => Listed::spot(&format!("{SPOT}{native}"), base, quote),
            0 => Listed::perpetual(native, base, quote),
            ends => Listed::future(native, base, quote, &date(ends)),
        };
        let trading = match &*entry.status {
            "Trading" => TradingState::Open,
            "PreLaunch" | "Delivering" | "Settling" | "Closed" => TradingState::Closed,
            _ => TradingState::Unknown,
        };
        listed.steps(entry.price_filter.step(), entry.lot_size_filter.step()).trading(trading)
    };
    Ok(answer.result.list.iter().map(listed).collect())
}

/// What to ask the next page of a list with, written for an address.
pub(super) fn next_page(json: &[u8]) -> Option<String> {
    let end: PageEnd<'_> = serde_json::from_slice(json).ok()?;
    let mut cursor = String::new();
    for byte in end.result.next_page_cursor.bytes() {
        // Writing to a String cannot fail.
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => write!(cursor, "{}", char::from(byte)),
            _ => write!(cursor, "%{byte:02X}"),
        };
    }
    (!cursor.is_empty()).then_some(cursor)
}

/// Where no list was recorded. Dates stay as the venue writes them.
pub(super) fn guess(native: &str) -> Listed {
    let name = native.strip_prefix(SPOT).unwrap_or(native);
    let month = name.len().saturating_sub(3);
    let dated = Category::of(native) == Category::Inverse && !name.ends_with("USD") && name.is_char_boundary(month);
    let (pair, date) = if dated { name.split_at(month) } else { name.split_once('-').unwrap_or((name, "")) };
    let quotes = ["USDT", "USDC", "USD", "EUR", "BTC", "ETH", "BRL", "TRY"];
    let split = quotes.iter().find_map(|quote| Some((pair.strip_suffix(quote)?, *quote)));
    // USDC contracts do not say so: `BTCPERP`, `BTC-25DEC26`.
    let usdc = (pair.strip_suffix("PERP").unwrap_or(pair), "USDC");
    let (base, quote) = split.filter(|(base, _)| !base.is_empty()).unwrap_or(usdc);
    match Category::of(native) {
        Category::Spot => Listed::spot(native, base, quote),
        _ if date.is_empty() => Listed::perpetual(native, base, quote),
        _ => Listed::future(native, base, quote, date),
    }
}
