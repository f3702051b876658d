//! Nasdaq TotalView-ITCH 5.0. In: messages from a file, from MoldUDP64 datagrams or from a SoupBinTCP stream. Out: instruments, trading
//! phases, trades, books and quotes. Everything here is pure; `crate::itch` does the I/O. Bounded as each part says.
//!
//! [`Message`] is one message by the specification's table; [`Market`] is what a session of them means. [`BinaryFile`], [`mold`] and
//! [`soup`] are the three ways messages are framed, each a plain function or state machine over bytes.

mod binary_file;
mod counts;
pub mod generate;
mod market;
pub mod message;
pub mod mold;
mod session_date;
pub mod soup;
mod stock;
#[cfg(test)]
mod tests;

pub use binary_file::{BinaryFile, Framing, put};
pub use counts::Counts;
pub use market::{Market, Options};
pub use message::{Malformed, Message, Stock};
pub use session_date::SessionDate;
