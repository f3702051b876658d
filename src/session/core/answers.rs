//! Questions that change nothing: `list` and `explain`. In: a pattern or a topic. Out: a page of instruments, or how one subscription
//! stands. Bounded: a page by its limit, its bytes and the topics looked at for it.

use super::{SessionCore, is_stream};
use crate::config::REPLY_PART_BYTES;
use crate::subs::bucket::OutLimit;
use crate::topic::{Cursor, Resolve, Topic};
use wire::answer::{Explained, HeldBack, Listed, Standing};
use wire::code::Code;
use wire::decimal::plain;
use wire::instrument::Instrument;
use wire::kind::{Class, Kind};
use wire::record::RecordBody;
use wire::request::{Pace, Reply, TradeMode};
use wire::topic::{Pattern, TopicKey};

/// Instruments of a page, unless the request says otherwise, and at most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 500;
/// A page looks at so many topics and then comes as it is, so that a rare match in a large market delays nobody.
const LOOKS_A_PAGE: u32 = 16_384;
/// Keys and numbers of one instrument in JSON.
const LISTED_BYTES: usize = 170;

impl SessionCore {
    pub(super) fn list(&self, id: Option<u64>, pattern: &str, limit: Option<u32>, after: Option<u32>) -> Reply {
        let pattern = match Pattern::parse(pattern) {
            Ok(pattern) => pattern,
            Err(problem) => return self.refuse(id, problem.code(), &problem.to_string()),
        };
        let map = &self.shard.context.map;
        let limit = limit.map_or(PAGE, |limit| (limit as usize).clamp(1, LARGEST_PAGE));
        let (mut instruments, mut bytes) = (Vec::new(), 0);
        let begin = after.map_or(0, |after| after.saturating_add(1));
        let end = map.len().min(begin.saturating_add(LOOKS_A_PAGE));
        let mut next = (end < map.len()).then(|| end - 1);
        for at in begin..end {
            let Some(topic) = map.get(at).filter(|topic| topic.kind() == Kind::Instrument) else { continue };
            let key = topic.key();
            if !pattern.matches_instrument(&key.venue, &key.symbol) || !self.may_see_some(topic) {
                continue;
            }
            if instruments.len() >= limit || bytes >= REPLY_PART_BYTES {
                next = Some(at - 1);
                break;
            }
            let Some(listed) = listed(topic) else { continue };
            bytes += listed.symbol.len() + listed.native.len() + listed.venue.len() + LISTED_BYTES;
            instruments.push(listed);
        }
        Reply::Instruments { id, instruments, next }
    }

    /// An instrument may be listed to who may see any of its topics. Their ids follow each other.
    fn may_see_some(&self, instrument: &Topic) -> bool {
        let map = &self.shard.context.map;
        let own = |key: &TopicKey| key.venue == instrument.key().venue && key.symbol == instrument.key().symbol;
        let topics = (instrument.id()..map.len()).map_while(|id| map.get(id).filter(|topic| own(topic.key())));
        topics.into_iter().any(|topic| self.client.may_see(topic.key()))
    }

    pub(super) fn explain(&self, id: Option<u64>, name: &str) -> Reply {
        let key = match TopicKey::parse(name) {
            Ok(key) => key,
            Err(problem) => return self.refuse(id, problem.code(), &problem.to_string()),
        };
        let map = &self.shard.context.map;
        let found = match map.resolve(&key) {
            Resolve::Found(found) => map.get(found),
            _ => None,
        };
        if let Some(topic) = found
            && let Some(handle) = self.held.get(&topic.id())
            && let Some(account) = self.shard.manager.borrow().account(&self.shard.context.map, *handle)
        {
            let (present, head) = topic.head();
            let placed = account.cursor.is_placed().then_some(account.cursor);
            let lag = placed.filter(|at| at.epoch() == present).map(|at| head.saturating_sub(at.seq()));
            return Reply::Explained(Box::new(Explained {
                id,
                topic: topic.name().to_owned(),
                topic_id: Some(topic.id()),
                state: account.standing,
                requested_pace: account.terms.pace,
                pace: account.pace,
                trades: is_stream(topic).then_some(account.terms.mode),
                epoch: placed.map(|at| at.epoch()),
                sequence: placed.map(|at| at.seq()),
                head: Some(head),
                lag,
                merged: account.merged,
                records: account.records,
                bytes: account.bytes,
                limited_by: account.limited_by,
                focus: account.terms.focus,
                max_age: account.terms.max_age,
                session_bytes: self.sent_bytes,
                credits: (account.terms.pace == Pace::Credit).then(|| self.shard.manager.borrow().credits(self.key)),
                mismatches: Some(topic.mismatches()).filter(|count| *count > 0),
                held_back: self.held_back(),
            }));
        }
        let Some(waiting) = self.pending.get(&key) else {
            return self.refuse(id, Code::NotSubscribed, "there is no such subscription");
        };
        Reply::Explained(Box::new(Explained {
            id,
            topic: name.to_owned(),
            topic_id: None,
            state: if waiting.paused { Standing::Paused } else { Standing::Pending },
            requested_pace: waiting.terms.pace,
            pace: waiting.terms.pace,
            trades: (key.kind.row().class == Class::Stream).then_some(waiting.terms.mode),
            epoch: None,
            sequence: None,
            head: None,
            lag: None,
            merged: 0,
            records: 0,
            bytes: 0,
            limited_by: None,
            focus: waiting.terms.focus,
            max_age: waiting.terms.max_age,
            session_bytes: self.sent_bytes,
            credits: None,
            mismatches: None,
            held_back: self.held_back(),
        }))
    }

    fn held_back(&self) -> Option<HeldBack> {
        let wait_ns = self.held_back_until - self.shard.context.clock.mono_ns();
        let limit = match self.held_back_by? {
            OutLimit::Updates => "updates_per_second",
            OutLimit::Bytes => "bytes_per_second",
        };
        (wait_ns > 0).then(|| HeldBack { limit: limit.to_owned(), wait_ms: (wait_ns as u64).div_ceil(1_000_000) })
    }
}

fn listed(topic: &Topic) -> Option<Listed> {
    let mut value: Option<Instrument> = None;
    topic.since(&Cursor::NEW, TradeMode::Every, 1, &mut |_, record| {
        if let RecordBody::Instrument(instrument) = record.body {
            value = Some(instrument.clone());
        }
    });
    let value = value?;
    Some(Listed {
        venue: topic.key().venue.clone(),
        class: value.class.name().to_owned(),
        price_exponent: value.price_exponent,
        size_exponent: value.size_exponent,
        tick: plain(value.tick.into(), value.price_exponent),
        lot: plain(value.lot.into(), value.size_exponent),
        symbol: value.symbol,
        native: value.native,
    })
}
