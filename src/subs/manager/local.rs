//! One topic on one shard. In: subscriptions that have been told all there is. Out: whom a mark concerns, without a look at those who wait
//! already; chunks that its subscribers share. Bounded by its subscribers: each stands here once, what they leave behind is less than half.

use super::member::{Line, Place};
use crate::encode::Chunks;

#[derive(Default)]
pub(super) struct LocalTopic {
    /// How many subscriptions it has, whatever they wait for.
    pub subscribers: usize,
    /// Those that wait for a mark, and some that were made due without one.
    pub idle: Line,
    pub chunks: Chunks,
}

impl LocalTopic {
    /// A subscription ends, or is never due from now on. `stands`: does a place in `idle` still mean somebody?
    pub fn remove(&mut self, was_listed: bool, stands: impl Fn(Place) -> bool) {
        self.subscribers -= 1;
        if was_listed {
            self.idle.note_stale(stands);
        }
    }
}
