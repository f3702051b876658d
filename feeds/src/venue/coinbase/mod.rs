//! Coinbase's venues: Advanced Trade, and Exchange. Here is what both say the same way.

mod advanced;
mod exchange;

pub use advanced::ADVANCED;
pub use exchange::EXCHANGE;

use crate::engine::Listed;
use crate::json::Value;
use wire::event::{Aggressor, TradingState};

/// Trades name the side of the order that rested in the book: the other one took. (Advanced Trade's recording agrees: all 36 of `SELL`
/// at a known best price are at the best ask, all 12 of `BUY` at the best bid.)
fn taker(maker: Option<Value<'_, '_>>) -> Aggressor {
    match maker.and_then(Value::text) {
        Some("BUY" | "buy") => Aggressor::Sell,
        Some("SELL" | "sell") => Aggressor::Buy,
        _ => Aggressor::Unknown,
    }
}

/// Both name their instruments `BTC-USD`.
fn named(native: &str) -> Listed {
    let (base, quote) = native.split_once('-').unwrap_or((native, ""));
    Listed::spot(native, base, quote)
}

/// What both lists say of a product.
#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Phase<'a> {
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
    is_disabled: bool,
    trading_disabled: bool,
    cancel_only: bool,
    post_only: bool,
    limit_only: bool,
    auction_mode: bool,
}

impl Phase<'_> {
    fn trading(&self) -> TradingState {
        match &*self.status {
            "delisted" => TradingState::Closed,
            "offline" | "internal" => TradingState::Halted,
            _ if self.is_disabled || self.trading_disabled || self.cancel_only => TradingState::Halted,
            _ if self.post_only || self.limit_only || self.auction_mode => TradingState::Auction,
            "online" => TradingState::Open,
            _ => TradingState::Unknown,
        }
    }
}
