//! A venue on loopback. In: a recording and faults to make. Out: a plain WebSocket and HTTP server that speaks the venue's own protocol, so
//! that the real adapter can be run end to end without the internet, and hurt on purpose. What is said is `feeds::emulation`'s matter; here
//! are sockets and time. Bounded: one recording entry at a time, `QUEUE` messages a client (a full queue holds the playback up).

mod options;
mod server;
mod session;
mod stage;
#[cfg(test)]
mod tests;

pub use feeds::emulation::Faults;
pub use options::{EmulateError, Options};
pub use server::{Emulator, Handle};
