//! The subscription manager of one shard: which session holds which topic at which cursor and pace, and what is due now.
//! In: dirty topics and the time. Out: due subscriptions of sessions, as frames. Bounded by the sessions' subscription caps;
//! a subscription is a cursor, never a queue.

pub mod bucket;
pub mod manager;
pub mod pace;
#[cfg(test)]
mod tests;

pub use manager::{Handle, Manager, SessionKey, Terms};
