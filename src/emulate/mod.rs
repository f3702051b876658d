//! A venue on loopback. In: a recording and faults to make. Out: a plain WebSocket and HTTP server that speaks Binance spot's own
//! protocol, so that the real adapter can be run end to end without the internet, and hurt on purpose.
//! Bounded: one recording entry at a time, one book a symbol, `QUEUE` messages a client (a full queue holds the playback up).

mod book;
mod options;
mod requests;
mod rest;
mod script;
mod server;
mod session;
mod stage;
#[cfg(test)]
mod tests;

pub use options::{EmulateError, Faults, Options};
pub use server::{Emulator, Handle};
