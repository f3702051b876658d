//! Binance's `exchangeInfo`. In: its JSON, or a name alone. Out: instruments with names, steps and trading phases.
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
    /// COIN-M names it differently.
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

pub(super) fn listing(json: &[u8], futures: bool) -> Result<Vec<Listed>, serde_json::Error> {
    let info: ExchangeInfo<'_> = serde_json::from_slice(json)?;
    let listed = |symbol: &Symbol<'_>| {
        let filter = |kind: &str| symbol.filters.iter().find(|filter| filter.filter_type == kind);
        let tick = filter("PRICE_FILTER").and_then(|filter| filter.tick_size.as_deref());
        let lot = filter("LOT_SIZE").and_then(|filter| filter.step_size.as_deref());
        let step = |text: Option<&str>| text.map_or(Number::new(0, 0), number);
        named(&symbol.symbol, &symbol.base_asset, &symbol.quote_asset, futures)
            .steps(step(tick), step(lot))
            .trading(trading(&symbol.status))
    };
    Ok(info.symbols.iter().map(listed).collect())
}

fn trading(status: &str) -> TradingState {
    match status {
        "TRADING" => TradingState::Open,
        "BREAK" | "HALT" => TradingState::Halted,
        "AUCTION_MATCH" => TradingState::Auction,
        "PRE_TRADING" | "POST_TRADING" | "END_OF_DAY" => TradingState::Closed,
        "PENDING_TRADING" | "PRE_SETTLE" | "PRE_DELIVERING" | "DELIVERING" | "DELIVERED" | "SETTLING" | "CLOSE" => {
            TradingState::Closed
        }
        _ => TradingState::Unknown,
    }
}

/// Of the contracts `BTCUSDT` and `BTCUSD_PERP` never end, `BTCUSDT_261225` does.
fn named(native: &str, base: &str, quote: &str, futures: bool) -> Listed {
    if !futures {
        return Listed::spot(native, base, quote);
    }
    match native.split_once('_') {
        None | Some((_, "PERP")) => Listed::perpetual(native, base, quote),
        Some((_, expiry)) => Listed::future(native, base, quote, &format!("20{expiry}")),
    }
}

/// Where no list was recorded.
pub(super) fn guess(native: &str, futures: bool) -> Listed {
    let (base, quote) = split_symbol(native.split_once('_').map_or(native, |(pair, _)| pair));
    named(native, base, quote, futures)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = r#"{"timezone":"UTC","symbols":[
        {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
            {"filterType":"PRICE_FILTER","minPrice":"0.01000000","tickSize":"0.01000000"},
            {"filterType":"LOT_SIZE","minQty":"0.00001000","stepSize":"0.00001000"},
            {"filterType":"MARKET_LOT_SIZE","stepSize":"0.00000000"}]},
        {"symbol":"BIGIDR","status":"BREAK","baseAsset":"BIG","quoteAsset":"IDR","filters":[
            {"filterType":"PRICE_FILTER","tickSize":"25"},{"filterType":"LOT_SIZE","stepSize":"10.0"}]},
        {"symbol":"ODD","status":"NEW_WORD","baseAsset":"O","quoteAsset":"DD"},
        {"symbol":"BTCUSD_261225","contractStatus":"PENDING_TRADING","baseAsset":"BTC","quoteAsset":"USD","filters":[]}]}"#;

    #[test]
    fn names_steps_and_phases() {
        let found = |futures| listing(INFO.as_bytes(), futures).unwrap();
        let spot = found(false);
        let seen: Vec<_> =
            spot.iter().map(|one| (&*one.symbol, one.tick.normalized(), one.lot.normalized(), one.trading)).collect();
        let none = Number::new(0, 0).normalized();
        assert_eq!(
            seen[..3],
            [
                ("BTC-USDT", Number::new(1, -2), Number::new(1, -5), TradingState::Open),
                ("BIG-IDR", Number::new(25, 0), Number::new(1, 1), TradingState::Halted),
                ("O-DD", none, none, TradingState::Unknown),
            ]
        );
        let futures = found(true);
        assert_eq!((&*futures[0].symbol, &*futures[3].symbol), ("BTC-USDT-PERP", "BTC-USD-20261225"));
        assert_eq!(futures[3].trading, TradingState::Closed);
        assert!(listing(b"{\"code\":-1,\"msg\":\"no\"}", false).is_err());
    }

    #[test]
    fn without_a_list_the_name_is_split_by_the_usual_assets() {
        for (native, futures, symbol) in [
            ("BTCUSDT", false, "BTC-USDT"),
            ("BTCUSDT", true, "BTC-USDT-PERP"),
            ("BTCUSD_PERP", true, "BTC-USD-PERP"),
            ("ETHBTC_261225", true, "ETH-BTC-20261225"),
        ] {
            assert_eq!(guess(native, futures).symbol, symbol);
        }
    }
}
