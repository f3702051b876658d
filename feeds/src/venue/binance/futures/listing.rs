//! The futures' `exchangeInfo`. In: its JSON, or a name alone. Out: instruments with names, steps and trading phases.
//! Bounded by the list.

use crate::engine::{Listed, Number, number};
use crate::replay::binance::split_symbol;
use serde::Deserialize;
use std::borrow::Cow;
use wire::event::TradingState;

#[derive(Deserialize)]
struct ExchangeInfo<'a> {
    #[serde(borrow)]
    symbols: Vec<Symbol<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Symbol<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    /// USD-M and COIN-M name it differently.
    #[serde(borrow, alias = "contractStatus")]
    status: Cow<'a, str>,
    #[serde(borrow)]
    base_asset: Cow<'a, str>,
    #[serde(borrow)]
    quote_asset: Cow<'a, str>,
    #[serde(borrow, default)]
    filters: Vec<Filter<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(borrow)]
    filter_type: Cow<'a, str>,
    #[serde(borrow, default)]
    tick_size: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    step_size: Option<Cow<'a, str>>,
}

pub(super) fn listing(json: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    let info: ExchangeInfo<'_> = serde_json::from_slice(json)?;
    let listed = |symbol: &Symbol<'_>| {
        let filter = |kind: &str| symbol.filters.iter().find(|filter| filter.filter_type == kind);
        let tick = filter("PRICE_FILTER").and_then(|filter| filter.tick_size.as_deref());
        let lot = filter("LOT_SIZE").and_then(|filter| filter.step_size.as_deref());
        let step = |text: Option<&str>| text.map_or(Number::new(0, 0), number);
        named(&symbol.symbol, &symbol.base_asset, &symbol.quote_asset)
            .steps(step(tick), step(lot))
            .trading(trading(&symbol.status))
    };
    Ok(info.symbols.iter().map(listed).collect())
}

fn trading(status: &str) -> TradingState {
    match status {
        "TRADING" => TradingState::Open,
        "PENDING_TRADING" | "PRE_SETTLE" | "PRE_DELIVERING" | "DELIVERING" | "DELIVERED" | "SETTLING" | "CLOSE" => {
            TradingState::Closed
        }
        _ => TradingState::Unknown,
    }
}

/// `BTCUSDT` and `BTCUSD_PERP` never end, `BTCUSDT_261225` does.
fn named(native: &str, base: &str, quote: &str) -> Listed {
    match native.split_once('_') {
        None | Some((_, "PERP")) => Listed::perpetual(native, base, quote),
        Some((_, expiry)) => Listed::future(native, base, quote, &format!("20{expiry}")),
    }
}

/// Where no list was recorded.
pub(super) fn guess(native: &str) -> Listed {
    let (base, quote) = split_symbol(native.split_once('_').map_or(native, |(pair, _)| pair));
    named(native, base, quote)
}
