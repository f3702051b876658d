//! Kraken's venues: spot by WebSocket v2.

mod v2;

pub use v2::V2;
