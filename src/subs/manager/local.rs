//! One topic on one shard. In: subscriptions that have been told all there is. Out: whom a mark concerns, without a look at those who wait
//! already; chunks that its subscribers share. Bounded by its subscribers: each stands here once, what they leave behind is less than half.

use super::member::{Line, Place};
use crate::encode::Chunks;
use foldhash::fast::FixedState;
use slab::Slab;
use std::collections::HashMap;

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

/// The topics that somebody here subscribes.
#[derive(Default)]
pub(super) struct Locals {
    /// No client chooses these numbers, so their hashes may be known; and each run takes the same way.
    by_topic: HashMap<u32, u32, FixedState>,
    topics: Slab<LocalTopic>,
}

impl Locals {
    /// One more subscriber. Returns where its topic is, and whether it is the first one.
    pub fn enter(&mut self, topic: u32) -> (u32, bool) {
        let local = *self.by_topic.entry(topic).or_insert_with(|| self.topics.insert(LocalTopic::default()) as u32);
        self.topics[local as usize].subscribers += 1;
        (local, self.topics[local as usize].subscribers == 1)
    }

    /// One subscriber less. True if it was the last one.
    pub fn leave(&mut self, topic: u32, was_listed: bool, stands: impl Fn(Place) -> bool) -> bool {
        let Some(&local) = self.by_topic.get(&topic) else { return false };
        self.topics[local as usize].remove(was_listed, stands);
        let is_last = self.topics[local as usize].subscribers == 0;
        if is_last {
            self.by_topic.remove(&topic);
            self.topics.remove(local as usize);
        }
        is_last
    }

    pub fn get_mut(&mut self, local: u32) -> Option<&mut LocalTopic> {
        self.topics.get_mut(local as usize)
    }

    #[cfg(test)]
    pub fn get(&self, local: u32) -> Option<&LocalTopic> {
        self.topics.get(local as usize)
    }

    pub fn find_mut(&mut self, topic: u32) -> Option<&mut LocalTopic> {
        self.by_topic.get(&topic).and_then(|local| self.topics.get_mut(*local as usize))
    }

    pub fn topics(&self) -> impl Iterator<Item = u32> {
        self.by_topic.keys().copied()
    }
}
