//! The subscription manager of one shard: which session holds which topic at which cursor and pace, and what is due now.
//! In: dirty topics and the time. Out: due subscriptions of sessions, as frames. Bounded by the sessions' subscription caps;
//! a subscription is a cursor, never a queue.

pub mod bucket;
pub mod manager;
pub mod pace;
#[cfg(test)]
mod tests;
pub mod throttle;

pub use manager::{Account, Handle, Manager, SessionKey, Terms};

use wire::answer::Limiting;
use wire::request::Pace;

/// Frames that a client can grant ahead: at 60 a second some 16 seconds.
pub const MAX_CREDITS: u32 = 1_000;

/// No subscription is faster than this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// A step of the ladder; 0 = nothing is slowed.
    pub ms: u32,
    pub cause: Option<Limiting>,
}

impl Floor {
    /// The slower of the two holds; this one if they are equal.
    pub fn or_slower(self, other: Self) -> Self {
        if other.ms > self.ms { other } else { self }
    }

    pub fn pace(self) -> Pace {
        if self.ms == 0 { Pace::Realtime } else { Pace::EveryMs(self.ms) }
    }
}
