//! A venue's own side of its protocol, from a recording. In: what clients say and ask, recorded entries at their time, faults to make.
//! Out: what the venue would say to each client. No sockets, no clock. Bounded by the instruments of the recording and their books.
//!
//! `truth` keeps the book that the venue would have; `voice` is what a venue's author writes: how it words things. `exchange` puts both
//! together: a client that comes in the middle gets a snapshot that the updates after it continue.

mod exchange;
mod faults;
mod rest;
mod script;
#[cfg(test)]
mod tests;
mod truth;
mod voice;
mod words;

pub use exchange::{ClientId, Exchange, Heard, Told};
pub use faults::Faults;
pub use rest::Answer;
pub use script::EmulationError;
pub use voice::{Asked, BookSaid, No, Restart, Session, Voice, Wish};
pub use words::{best, carried, levels, list, millis, number, pair, pairs, side_of, texts, utc};
