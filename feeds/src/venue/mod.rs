//! The venues, one folder each: addresses, subscriptions, limits and the meaning of their messages. No I/O.

pub mod binance;
pub mod bitfinex;
pub mod bitget;
pub mod bitstamp;
pub mod bybit;
pub mod coinbase;
pub mod databento;
pub mod deribit;
pub mod gate;
pub mod gemini;
pub mod htx;
pub mod iex;
pub mod itch;
pub mod kraken;
pub mod kucoin;
pub mod okx;
