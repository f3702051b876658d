//! Subscriptions changed in place. In: pauses, new modes, promises of a snapshot. Out: the same subscription under its new terms, and
//! an account of what it is doing. Bounded: nothing is added but a few words a subscription.

use super::{Handle, Manager, Queue, SessionKey, Terms};
use crate::topic::{Cursor, TopicMap};
use wire::answer::Standing;
use wire::kind::Class;
use wire::request::TradeMode;

/// What is known of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub terms: Terms,
    pub standing: Standing,
    pub cursor: Cursor,
    pub merged: u64,
    pub records: u64,
    pub bytes: u64,
}

impl Manager {
    /// A subscription that ends after one answer, a snapshot.
    pub fn subscribe_once(&mut self, map: &TopicMap, session: SessionKey, topic: u32, now: i64) -> Handle {
        let handle = self.subscribe(map, session, topic, Cursor::NEW, Terms::default(), now);
        if let Some(subscription) = self.live_mut(handle) {
            subscription.once = true;
            subscription.promised = true;
        }
        handle
    }

    /// The next flush holds a whole snapshot of the topic: of a stream behind all events up to it, so that none is lost.
    /// A paused subscription wakes for it.
    pub fn promise_snapshot(&mut self, map: &TopicMap, handle: Handle) {
        let Some(subscription) = self.live_mut(handle) else { return };
        let topic = subscription.topic;
        let is_stream = map.get(topic).is_some_and(|topic| topic.kind().row().class == Class::Stream);
        if !(is_stream && subscription.cursor.is_placed()) {
            subscription.cursor = Cursor::NEW;
        }
        subscription.promised = true;
        match subscription.queue {
            Queue::Paused => {
                subscription.pauses_after = true;
                subscription.queue = Queue::Idle;
                self.attach(map, handle);
            }
            // Not at its next window: it was asked for.
            Queue::Waiting => subscription.queue = Queue::Idle,
            Queue::Idle | Queue::Due => {}
        }
        self.make_due(handle);
    }

    pub fn is_promised(&self, handle: Handle) -> bool {
        self.live(handle).is_some_and(|subscription| subscription.promised)
    }

    /// From now on the subscription is never due: its cursor ages. Returns the name it then has; places in lists under the old
    /// one are stale.
    pub fn pause(&mut self, map: &TopicMap, handle: Handle) -> Handle {
        let generation = self.next_generation.wrapping_add(1);
        let Some(subscription) = self.live_mut(handle) else { return handle };
        if subscription.promised {
            subscription.pauses_after = true;
            return handle;
        }
        let (topic, place, session) = (subscription.topic, subscription.place, subscription.session);
        let was = std::mem::replace(&mut subscription.queue, Queue::Paused);
        let renamed = match was {
            Queue::Paused => return handle,
            Queue::Idle => handle,
            Queue::Waiting | Queue::Due => {
                subscription.generation = generation;
                self.next_generation = generation;
                Handle { generation, ..handle }
            }
        };
        self.detach(map, topic, place);
        if was == Queue::Due {
            self.note_stale(session);
        }
        renamed
    }

    /// A paused subscription is due at once, for all that it has missed.
    pub fn unpause(&mut self, map: &TopicMap, handle: Handle) {
        let Some(subscription) = self.live_mut(handle) else { return };
        subscription.pauses_after = false;
        if subscription.queue == Queue::Paused {
            subscription.queue = Queue::Idle;
            subscription.window = i64::MIN;
            self.attach(map, handle);
            self.make_due(handle);
        }
    }

    /// Changes how trades are told. The cursor stays, unless going on from it one by one would lose trades that a summary still
    /// had: then the subscription begins anew with a snapshot. True if it does.
    pub fn set_mode(&mut self, map: &TopicMap, handle: Handle, mode: TradeMode) -> bool {
        let Some(subscription) = self.live_mut(handle) else { return false };
        if std::mem::replace(&mut subscription.terms.mode, mode) == mode {
            return false;
        }
        let cursor = subscription.cursor;
        let reaches = || map.get(subscription.topic).is_some_and(|topic| topic.reaches(&cursor));
        let restarts = mode == TradeMode::Every && cursor.is_placed() && !reaches();
        if restarts {
            subscription.cursor = Cursor::NEW;
            self.make_due(handle);
        }
        restarts
    }

    pub fn account(&self, handle: Handle) -> Option<Account> {
        self.live(handle).map(|subscription| Account {
            terms: subscription.terms,
            standing: match subscription.queue {
                _ if subscription.pauses_after => Standing::Paused,
                Queue::Idle => Standing::Live,
                Queue::Waiting => Standing::Waiting,
                Queue::Due => Standing::Due,
                Queue::Paused => Standing::Paused,
            },
            cursor: subscription.cursor,
            merged: subscription.merged,
            records: subscription.records,
            bytes: subscription.bytes,
        })
    }
}
