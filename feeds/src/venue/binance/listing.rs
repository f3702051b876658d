//! Binance's `exchangeInfo`. In: its JSON. Out: the instruments asked for, with the scale of their prices and sizes.
//! Bounded by the response; only what is asked for is kept. Symbols are split by the venue's own base and quote, never by guessing.

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashMap;
use wire::decimal::Decimal;
use wire::event::TradingState;
use wire::instrument::{Instrument, InstrumentClass};

/// The venue's numbers have at most eight decimals. A finer one is bad data: room for it would leave none for ordinary numbers.
pub(super) const FINEST_EXPONENT: i8 = -8;

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
    #[serde(borrow)]
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

/// One instrument that was asked for and exists.
pub struct Listed {
    /// As it stands in the settings.
    pub wanted: String,
    pub instrument: Instrument,
    pub trading: TradingState,
}

/// Those of `wanted` (`BTC-USDT` or `!BTCUSDT`) that the venue lists, in that order. The rest is not there.
pub fn listed(json: &[u8], wanted: &[String]) -> Result<Vec<Listed>, serde_json::Error> {
    let info: ExchangeInfo<'_> = serde_json::from_slice(json)?;
    let mut by_name: HashMap<String, &Symbol<'_>> = HashMap::with_capacity(info.symbols.len() * 2);
    for symbol in &info.symbols {
        by_name.insert(format!("{}-{}", symbol.base_asset, symbol.quote_asset), symbol);
        by_name.insert(format!("!{}", symbol.symbol), symbol);
    }
    Ok(wanted
        .iter()
        .filter_map(|name| {
            let symbol = by_name.get(name)?;
            Some(Listed { wanted: name.clone(), instrument: instrument(symbol), trading: trading(&symbol.status) })
        })
        .collect())
}

fn instrument(symbol: &Symbol<'_>) -> Instrument {
    let step = |filter_type: &str, pick: fn(&Filter<'_>) -> Option<String>| {
        symbol.filters.iter().find(|filter| filter.filter_type == filter_type).and_then(pick)
    };
    let (price_exponent, tick) = scale(step("PRICE_FILTER", |filter| Some(filter.tick_size.as_deref()?.to_owned())));
    let (size_exponent, lot) = scale(step("LOT_SIZE", |filter| Some(filter.step_size.as_deref()?.to_owned())));
    Instrument {
        symbol: format!("{}-{}", symbol.base_asset, symbol.quote_asset),
        native: symbol.symbol.clone().into_owned(),
        class: InstrumentClass::Spot,
        price_exponent,
        size_exponent,
        tick,
        lot,
        // Spot `bookTicker` carries no time at all.
        quote_has_event_time: false,
        trade_has_event_time: true,
        book_has_event_time: true,
        event_time_exponent: -3,
    }
}

/// The exponent that holds one step exactly (never above 0), and the step at it.
fn scale(step: Option<String>) -> (i8, i64) {
    let step = step.and_then(|text| Decimal::parse(text.as_bytes()).ok()).filter(|step| step.mantissa > 0);
    let Some(step) = step else { return (FINEST_EXPONENT, 0) };
    let exponent = step.normalized().exponent.clamp(FINEST_EXPONENT, 0);
    step.at(exponent).map_or((FINEST_EXPONENT, 0), |mantissa| (exponent, mantissa))
}

fn trading(status: &str) -> TradingState {
    match status {
        "TRADING" => TradingState::Open,
        "BREAK" | "HALT" => TradingState::Halted,
        "AUCTION_MATCH" => TradingState::Auction,
        "PRE_TRADING" | "POST_TRADING" | "END_OF_DAY" => TradingState::Closed,
        _ => TradingState::Unknown,
    }
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
        {"symbol":"ODD","status":"NEW_WORD","baseAsset":"O","quoteAsset":"DD","filters":[
            {"filterType":"PRICE_FILTER","tickSize":"1e-12"}]}]}"#;

    #[test]
    fn finds_what_is_asked_for_with_its_scale() {
        let wanted: Vec<String> = ["!BIGIDR", "BTC-USDT", "BT-CUSDT", "O-DD"].map(str::to_owned).into();
        let found = listed(INFO.as_bytes(), &wanted).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|l| {
                (
                    &*l.instrument.symbol,
                    l.instrument.price_exponent,
                    l.instrument.tick,
                    l.instrument.size_exponent,
                    l.instrument.lot,
                    l.trading,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("BIG-IDR", 0, 25, 0, 10, TradingState::Halted),
                ("BTC-USDT", -2, 1, -5, 1, TradingState::Open),
                ("O-DD", -8, 0, -8, 0, TradingState::Unknown),
            ]
        );
        assert!(listed(b"{\"code\":-1,\"msg\":\"no\"}", &wanted).is_err());
    }
}
