//! Resume tickets. In: what a session holds and where it stands. Out: a sealed text that only its client can give back, and that again as
//! values. Bounded: a text fits into one request; an opened one has no more entries than a session may hold.
//!
//! The server keeps nothing: the client carries its own account, sealed (AES-256-GCM) so that it can neither read nor change it, and
//! bound to the subject of the token it was made for. `Tickets` holds the keys, `TicketWriter` gathers, `Tickets::open` reads.

mod entries;
mod keys;
mod writer;

#[cfg(test)]
mod tests;

pub use keys::{TicketKeyError, Tickets};
pub use writer::{Sealed, TicketWriter};

use crate::subs::Terms;
use wire::code::Code;
use wire::event::Nanos;

/// What a ticket says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// Wall clock, ns.
    pub expires: Nanos,
    pub topics: Vec<TicketTopic>,
    pub patterns: Vec<TicketPattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketTopic {
    pub name: String,
    pub terms: Terms,
    pub paused: bool,
    /// Epoch and sequence up to which data had been sent; none before the first.
    pub place: Option<(u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketPattern {
    pub pattern: String,
    pub terms: Terms,
    pub paused: bool,
    /// Whether later listings start with a snapshot.
    pub snapshot: bool,
}

/// A ticket that no request of this session could carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ticket would be longer than {limit_bytes} bytes, the most that a request with it may hold; the operator can raise session.request_bytes"
)]
pub struct TooLarge {
    pub limit_bytes: usize,
}

impl TooLarge {
    pub fn code(self) -> Code {
        Code::TooManyTopics
    }
}

/// Why a ticket was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("this is no ticket, or it was damaged")]
    Malformed,
    #[error("the ticket was not made by this node, or before its key was changed")]
    WrongKey,
    #[error("the ticket has expired")]
    Expired,
    #[error("the ticket was made for another client")]
    OtherSubject,
    #[error("the ticket holds more than a session may")]
    TooLarge,
}

impl TicketError {
    pub fn code(self) -> Code {
        match self {
            Self::Expired => Code::TicketExpired,
            Self::Malformed | Self::WrongKey | Self::OtherSubject | Self::TooLarge => Code::BadTicket,
        }
    }
}
