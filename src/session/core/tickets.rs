//! Resume tickets in a session. In: `ticket` and `resume` requests. Out: a sealed account of what is held and where it stands; or the
//! subscriptions of one, each with the place that its data continues from. Bounded: gathered and taken up in parts, like any request.

use super::work::size;
use super::{Cursor, Pending, SessionCore, Wish, topic_key};
use crate::config::REPLY_PART_BYTES;
use crate::session::ticket::{Ticket, TicketError, TicketPattern, TicketTopic, TicketWriter, Tickets};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::vec::IntoIter;
use wire::answer;
use wire::event::Nanos;
use wire::request::{Reply, Start, TopicResult};

/// Subscriptions gathered in one part.
const GATHERED_A_PART: usize = 512;
/// Subscriptions taken up in one part.
const TAKEN_A_PART: usize = 256;
/// A draining server hands out tickets that are made at once.
const GATHERED_AT_DRAIN: usize = 512;

/// A ticket in the making.
pub(super) struct Gathering {
    id: Option<u64>,
    writer: TicketWriter,
    topics: IntoIter<u32>,
}

/// A ticket that is taken up.
pub(super) struct Redeeming {
    id: Option<u64>,
    topics: IntoIter<TicketTopic>,
    patterns: IntoIter<TicketPattern>,
    /// What the pattern in hand matched.
    matched: IntoIter<u32>,
    terms: Wish,
    paused: bool,
    resume: BTreeMap<String, (u64, u64)>,
}

/// Opens tickets of one client, on any thread.
pub struct Opener {
    tickets: Arc<Tickets>,
    subject: String,
    now: Nanos,
}

impl Opener {
    pub fn open(&self, text: &str) -> Result<Ticket, TicketError> {
        self.tickets.open(text, &self.subject, self.now)
    }
}

impl SessionCore {
    pub fn opener(&self) -> Opener {
        let context = &self.shard.context;
        Opener { tickets: context.tickets.clone(), subject: self.subject().to_owned(), now: context.clock.wall_ns() }
    }

    fn subject(&self) -> &str {
        self.client.identity.as_ref().map_or("", |identity| &identity.subject)
    }

    /// Patterns and what is pending are few, so they come first and at once.
    pub(super) fn gather(&self, id: Option<u64>) -> Gathering {
        let mut writer = self.shard.context.tickets.writer();
        for standing in &self.patterns {
            let snapshot = standing.cursor != Cursor::NOW;
            writer.pattern(&standing.pattern.to_string(), standing.terms, standing.paused, snapshot);
        }
        for (key, waiting) in &self.pending {
            writer.topic(&key.to_string(), waiting.terms, waiting.paused, place(&waiting.cursor));
        }
        let topics: Vec<u32> = self.held.keys().copied().collect();
        Gathering { id, writer, topics: topics.into_iter() }
    }

    pub(super) fn redeem(&mut self, id: Option<u64>, ticket: Ticket, resume: BTreeMap<String, (u64, u64)>) -> Redeeming {
        let Ticket { topics, patterns, .. } = ticket;
        Redeeming {
            id,
            topics: topics.into_iter(),
            patterns: patterns.into_iter(),
            matched: Vec::new().into_iter(),
            terms: Wish::default(),
            paused: false,
            resume,
        }
    }

    /// The ticket that a client takes along when the server goes. Only if it is soon made, and any node can open it.
    pub fn parting_ticket(&self) -> Option<String> {
        if self.held.len() > GATHERED_AT_DRAIN || !self.shard.context.tickets.are_shared() {
            return None;
        }
        let mut gathering = self.gather(None);
        while !gathering.is_done() {
            gathering.gather(self);
        }
        match gathering.seal(self) {
            Reply::Ticket { ticket, topics: 1.., .. } => Some(ticket),
            _ => None,
        }
    }
}

impl Gathering {
    pub fn is_done(&self) -> bool {
        self.topics.len() == 0 || self.writer.is_too_large()
    }

    pub fn gather(&mut self, core: &SessionCore) {
        let context = &core.shard.context;
        let manager = core.shard.manager.borrow();
        for id in self.topics.by_ref().take(GATHERED_A_PART) {
            let account = core.held.get(&id).and_then(|handle| manager.account(&context.map, *handle));
            let (Some(account), Some(topic)) = (account, context.map.get(id)) else { continue };
            let paused = account.standing == answer::Standing::Paused;
            self.writer.topic(topic.name(), account.terms, paused, place(&account.cursor));
        }
    }

    pub fn seal(self, core: &SessionCore) -> Reply {
        let context = &core.shard.context;
        match context.tickets.seal(self.writer, core.subject(), context.clock.wall_ns()) {
            Ok(sealed) => {
                Reply::Ticket { id: self.id, ticket: sealed.text, expires: sealed.expires.to_string(), topics: sealed.entries }
            }
            Err(problem) => core.refuse(self.id, problem.code(), &problem.to_string()),
        }
    }
}

impl Redeeming {
    pub fn is_done(&self) -> bool {
        self.topics.len() == 0 && self.patterns.len() == 0 && self.matched.len() == 0
    }

    pub fn part(&mut self, core: &mut SessionCore) -> Reply {
        let (mut results, mut bytes) = (Vec::new(), 0);
        for _ in 0..TAKEN_A_PART {
            let Some(result) = self.next(core) else { break };
            bytes += result.as_ref().map_or(0, size);
            results.extend(result);
            if bytes >= REPLY_PART_BYTES {
                break;
            }
        }
        Reply::Ack { id: self.id, results, more: !self.is_done() }
    }

    /// The outer none: there is nothing left; the inner one: there is nothing to say.
    fn next(&mut self, core: &mut SessionCore) -> Option<Option<TopicResult>> {
        if let Some(topic) = self.topics.next() {
            return Some(Some(self.take_up(core, topic)));
        }
        if let Some(id) = self.matched.next() {
            // What the ticket holds stands where it stood; this is what was listed since.
            if core.held.contains_key(&id) {
                return Some(None);
            }
            if !core.room() {
                self.matched = Vec::new().into_iter();
                let name = core.shard.context.map.get(id).map_or("", |topic| topic.name());
                return Some(Some(core.too_many(name)));
            }
            let result = core.apply_wish(id, &self.terms);
            return Some(Some(if self.paused { core.pause(id) } else { result }));
        }
        let TicketPattern { pattern, terms, paused, snapshot } = self.patterns.next()?;
        (self.terms, self.paused) = (Wish { terms, snapshot, ..Wish::default() }, paused);
        Some(Some(match core.subscribe_pattern(&pattern, &self.terms) {
            Ok(matched) => {
                core.patterns
                    .iter_mut()
                    .filter(|standing| standing.pattern.to_string() == pattern)
                    .for_each(|s| s.paused = paused);
                let count = matched.len() as u64;
                self.matched = matched.into_iter();
                TopicResult::Pattern { topic: pattern, matched: count }
            }
            Err(refused) => refused,
        }))
    }

    fn take_up(&self, core: &mut SessionCore, topic: TicketTopic) -> TopicResult {
        let TicketTopic { name, terms, paused, place } = topic;
        let place = self.resume.get(&name).copied().or(place);
        let resume = place.map(|place| (name.clone(), place)).into_iter().collect();
        let key = match topic_key(&name) {
            Ok(key) => key,
            Err(refused) => return refused,
        };
        let held = core.held.len();
        let mut result = core.subscribe_topic(key.clone(), &name, &Wish { terms, snapshot: true, since: None, resume });
        // What was held already goes on from where it is.
        if let TopicResult::Live { start: Start::Delta, from, .. } = &mut result
            && core.held.len() > held
        {
            *from = place;
        }
        if !paused {
            return result;
        }
        match result {
            TopicResult::Live { topic_id, .. } => core.pause(topic_id),
            TopicResult::Pending { .. } => {
                if let Some(Pending { paused, .. }) = core.pending.get_mut(&key) {
                    *paused = true;
                }
                result
            }
            other => other,
        }
    }
}

fn place(cursor: &Cursor) -> Option<(u64, u64)> {
    cursor.is_placed().then(|| (cursor.epoch(), cursor.seq()))
}
