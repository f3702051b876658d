//! New listings. In: topics that were listed. Out: acks without id, in parts: what was pending, and what standing patterns match.
//! Bounded: one part a call, as of a request.

use super::work::{Work, size};
use super::{Pending, SessionCore, not_entitled, refuse_missing};
use crate::config::REPLY_PART_BYTES;
use crate::topic::Resolve;
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
        // Noted before the look: what is listed during it leads to another one.
        self.seen_listings = self.shard.listings();
        let known = self.shard.context.map.len();
        let new = std::mem::replace(&mut self.seen_topics, known)..known;
        let pending = std::mem::take(&mut self.pending).into_iter();
        self.work = Some(Box::new(Work::Listing(Listing { pending, new })));
    }
}

impl Listing {
    pub fn is_done(&self) -> bool {
        self.pending.len() == 0 && self.new.is_empty()
    }

    pub fn part(&mut self, core: &mut SessionCore) -> Option<Reply> {
        let (mut results, mut bytes) = (Vec::new(), 0);
        for _ in 0..LOOKS_A_PART {
            let result = if let Some((key, waiting)) = self.pending.next() {
                core.settle(key, waiting)
            } else if let Some(id) = self.new.next() {
                match core.join(id) {
                    Joined::Not => None,
                    Joined::Started(result) => Some(result),
                    Joined::Full(refused) => {
                        // Once is enough: all that follow do not fit either.
                        self.new = 0..0;
                        Some(refused)
                    }
                }
            } else {
                break;
            };
            bytes += result.as_ref().map_or(0, size);
            results.extend(result);
            if results.len() >= STARTS_A_PART || bytes >= REPLY_PART_BYTES {
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

    /// A new topic, if a standing pattern matches it. The newest one speaks, as it does where a client subscribes to both one after
    /// the other.
    fn join(&mut self, id: u32) -> Joined {
        let shard = self.shard.clone();
        let Some(topic) = shard.context.map.get(id) else { return Joined::Not };
        let Some(standing) = self.patterns.iter().rfind(|standing| standing.pattern.matches(topic.key())) else {
            return Joined::Not;
        };
        let (terms, cursor, paused) = (standing.terms, standing.cursor, standing.paused);
        if self.held.contains_key(&id) || !self.may_see(id) {
            return Joined::Not;
        }
        if !self.room() {
            return Joined::Full(self.too_many(&standing.pattern.to_string()));
        }
        let result = self.start(id, terms, cursor);
        Joined::Started(if paused { self.pause(id) } else { result })
    }
}

enum Joined {
    Not,
    Started(TopicResult),
    Full(TopicResult),
}
