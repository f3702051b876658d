//! New listings. In: topics that were listed. Out: acks without id, in parts: what was pending, and what standing patterns match.
//! Bounded: one part a call, as of a request.

use super::work::{Work, size};
use super::{Pending, SessionCore, not_entitled, refuse_missing};
use crate::topic::{Cursor, Resolve};
use std::collections::btree_map;
use std::ops::Range;
use wire::request::{Reply, TopicResult};
use wire::topic::TopicKey;

/// Pending topics and new listings looked at in one part.
const LOOKS_A_PART: usize = 1024;
const STARTS_A_PART: usize = 256;

pub(super) struct Listing {
    pending: btree_map::IntoIter<TopicKey, Pending>,
    new: Range<u32>,
}

impl SessionCore {
    /// Topics were listed: pending ones and patterns may have become live. `work` finds out.
    pub fn on_listing(&mut self) {
        self.seen_listings = self.shard.listings.get();
        let known = self.shard.context.map.len();
        let new = std::mem::replace(&mut self.seen_topics, known)..known;
        self.work = Some(Work::Listing(Listing { pending: std::mem::take(&mut self.pending).into_iter(), new }));
    }
}

impl Listing {
    pub fn is_done(&self) -> bool {
        self.pending.len() == 0 && self.new.is_empty()
    }

    pub fn part(&mut self, core: &mut SessionCore) -> Option<Reply> {
        let (mut results, mut bytes, most) = (Vec::new(), 0, core.part_bytes());
        for _ in 0..LOOKS_A_PART {
            let result = if let Some((key, waiting)) = self.pending.next() {
                core.settle(key, waiting)
            } else if let Some(id) = self.new.next() {
                core.join(id)
            } else {
                break;
            };
            bytes += result.as_ref().map_or(0, size);
            results.extend(result);
            if results.len() >= STARTS_A_PART || bytes >= most {
                break;
            }
        }
        (!results.is_empty()).then_some(Reply::Ack { id: None, results, more: false })
    }
}

impl SessionCore {
    fn settle(&mut self, key: TopicKey, waiting: Pending) -> Option<TopicResult> {
        match self.shard.context.map.resolve(&key) {
            Resolve::Found(id) if self.may_see(id) => {
                let result = self.start(id, waiting.terms, waiting.cursor);
                Some(if waiting.paused { self.pause(id) } else { result })
            }
            Resolve::Found(_) => Some(not_entitled(&key.to_string())),
            Resolve::Pending => {
                self.pending.insert(key, waiting);
                None
            }
            missing => Some(refuse_missing(&key, &missing)),
        }
    }

    /// A new topic, if a standing pattern matches it.
    fn join(&mut self, id: u32) -> Option<TopicResult> {
        let shard = self.shard.clone();
        let topic = shard.context.map.get(id)?;
        let standing = self.patterns.iter().find(|standing| standing.pattern.matches(topic.key()))?;
        let (terms, paused) = (standing.terms, standing.paused);
        if self.held.contains_key(&id) || !self.room() || !self.may_see(id) {
            return None;
        }
        let result = self.start(id, terms, Cursor::NEW);
        Some(if paused { self.pause(id) } else { result })
    }
}
