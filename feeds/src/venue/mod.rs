//! The venues, one folder each: addresses, subscriptions, limits and the meaning of their messages. No I/O.

pub mod binance;
pub mod bitfinex;
pub mod bitget;
pub mod deribit;
pub mod htx;
pub mod kraken;
pub mod okx;
