//! Subscriptions changed in place. In: pauses, new modes, promises of a snapshot. Out: the same subscription under its new terms, and
//! an account of what it is doing. Bounded: nothing is added but a few words a subscription.

use super::member::Line;
use super::subscription::{Queue, Subscription};
use super::{Handle, Manager, SessionKey, Terms, next_generation};
use crate::subs::{Floor, MAX_CREDITS};
use crate::topic::{Cursor, TopicMap};
use wire::answer::{Limiting, Standing};
use wire::event::Nanos;
use wire::kind::Class;
use wire::request::{Pace, TradeMode};

/// What is known of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// As they were asked for.
    pub terms: Terms,
    /// The pace in force, and what makes it slower than that of the terms.
    pub pace: Pace,
    pub limited_by: Option<Limiting>,
    pub standing: Standing,
    pub cursor: Cursor,
    /// When the venue's bytes were received that the client's state is made of; 0 = it has none.
    pub held_from: Nanos,
    pub merged: u64,
    pub records: u64,
    pub bytes: u64,
}

impl Manager {
    /// A subscription that ends after one answer, a snapshot.
    pub fn subscribe_once(&mut self, map: &TopicMap, session: SessionKey, topic: u32, now: i64) -> Handle {
        let handle = self.subscribe(map, session, topic, Cursor::NEW, Terms::default(), now);
        if let Some(subscription) = self.subscriptions.get_mut(handle) {
            subscription.once = true;
            subscription.promised = true;
        }
        handle
    }

    /// The next flush holds a whole snapshot of the topic: of a stream behind all events up to it, so that none is lost.
    /// A paused subscription wakes for it, and no grant is needed.
    pub fn promise_snapshot(&mut self, map: &TopicMap, handle: Handle, now: i64) {
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return };
        let topic = subscription.topic;
        let is_stream = map.get(topic).is_some_and(|topic| topic.kind().row().class == Class::Stream);
        if !(is_stream && subscription.cursor.is_placed()) {
            subscription.cursor = self.beginning.clone();
        }
        subscription.promised = true;
        if subscription.queue == Queue::Paused {
            subscription.pauses_after = true;
            subscription.queue = Queue::Idle;
            self.attach(map, handle);
            self.make_due(handle, now);
        } else {
            // Not at its next window: it was asked for.
            self.hasten(handle, now);
        }
    }

    pub fn is_promised(&self, handle: Handle) -> bool {
        self.subscriptions.get(handle).is_some_and(|subscription| subscription.promised)
    }

    /// From now on the subscription is never due: its cursor ages. Returns the name it then has; places in lists under the old
    /// one are stale.
    pub fn pause(&mut self, map: &TopicMap, handle: Handle) -> Handle {
        let generation = next_generation(self.generation);
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return handle };
        if subscription.promised {
            subscription.pauses_after = true;
            return handle;
        }
        let was = subscription.queue;
        if was == Queue::Paused {
            return handle;
        }
        self.leave_list(handle);
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return handle };
        subscription.queue = Queue::Paused;
        let (topic, was_listed) = (subscription.topic, subscription.unlist());
        let mut renamed = handle;
        if was != Queue::Idle {
            subscription.generation = generation;
            renamed.generation = generation;
            self.generation = generation;
            self.note_safety(map, renamed);
        }
        self.detach(map, topic, was_listed);
        renamed
    }

    /// A paused subscription is due at once, for all that it has missed.
    pub fn unpause(&mut self, map: &TopicMap, handle: Handle, now: i64) {
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return };
        subscription.pauses_after = false;
        if subscription.queue == Queue::Paused {
            subscription.queue = Queue::Idle;
            subscription.begin_pace();
            self.attach(map, handle);
            self.make_due(handle, now);
        }
    }

    /// Changes the terms, but for the mode (`set_mode`); the cursor stays where it is, so nothing is lost. A new pace begins with what
    /// is there.
    pub fn set_terms(&mut self, map: &TopicMap, handle: Handle, terms: Terms, now: i64) {
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return };
        let (former, moves) = (subscription.terms, subscription.queue == Queue::Due);
        if moves {
            // Into the line of its focus.
            self.leave_list(handle);
        }
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return };
        subscription.terms = Terms { mode: former.mode, ..terms };
        if former.pace != terms.pace {
            subscription.begin_pace();
            self.hasten(handle, now);
        } else if moves {
            self.make_due(handle, now);
        }
        if former.trade_safe != terms.trade_safe {
            self.note_safety(map, handle);
        }
    }

    /// What waits for its window or for a grant is due now, as far as its terms allow.
    fn hasten(&mut self, handle: Handle, now: i64) {
        if self.subscriptions.get(handle).is_some_and(|subscription| matches!(subscription.queue, Queue::Waiting | Queue::Unpaid))
        {
            self.leave_list(handle);
        }
        self.make_due(handle, now);
    }

    /// Takes a subscription out of the list it stands in; its entry there is stale.
    fn leave_list(&mut self, handle: Handle) {
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return };
        let (session, focus) = (subscription.session, subscription.terms.focus);
        let was = std::mem::replace(&mut subscription.queue, Queue::Idle);
        self.note_stale(session, focus, was);
    }

    /// So many more frames may carry what is subscribed at the pace `credit`. Returns how many there are now.
    pub fn grant(&mut self, session: SessionKey, frames: u32, now: i64) -> u32 {
        let Some(member) = self.sessions.get_mut(session) else { return 0 };
        member.credits = member.credits.saturating_add(frames).min(MAX_CREDITS);
        if member.credits > 0 {
            let unpaid = member.unpaid.take();
            self.release(unpaid, Queue::Unpaid, now);
        }
        self.credits(session)
    }

    pub fn credits(&self, session: SessionKey) -> u32 {
        self.sessions.get(session).map_or(0, |member| member.credits)
    }

    /// Those of a list who stand there become due.
    fn release(&mut self, line: Line, queue: Queue, now: i64) {
        for handle in line.into_handles() {
            if let Some(subscription) = self.subscriptions.get_mut(handle)
                && subscription.queue == queue
                && let Some(member) = self.sessions.get_mut(subscription.session)
                && subscription.become_due(member, handle, now)
            {
                member.wake.notify_one();
            }
        }
    }

    /// What slows the session. Who waits already is looked at again when its former window begins: what the new floor makes too early
    /// waits on.
    pub fn set_floor(&mut self, session: SessionKey, floor: Floor) {
        if let Some(member) = self.sessions.get_mut(session) {
            member.floor = floor;
        }
    }

    /// What slows all sessions; whether snapshots of deep books wait. All sessions are woken, to tell their clients.
    pub fn set_pressure(&mut self, floor_ms: u32, defers_deep: bool, now: i64) {
        self.node_floor_ms = floor_ms;
        let lifted = std::mem::replace(&mut self.defers_deep, defers_deep) && !defers_deep;
        let mut deferred = Vec::new();
        for member in self.sessions.all() {
            member.wake.notify_one();
            if lifted {
                deferred.push(member.deferred.take());
            }
        }
        for line in deferred {
            self.release(line, Queue::Deferred, now);
        }
    }

    /// What slows all sessions, and whether snapshots of deep books wait.
    pub fn pressure(&self) -> (Floor, bool) {
        let cause = (self.node_floor_ms > 0).then_some(Limiting::NodePressure);
        (Floor { ms: self.node_floor_ms, cause }, self.defers_deep)
    }

    /// The pace that holds for these terms, and what makes it slower than they ask.
    pub fn in_force(&self, session: SessionKey, terms: &Terms) -> (Pace, Option<Limiting>) {
        let own = self.sessions.get(session).map(|member| member.floor).unwrap_or_default();
        let floor = own.or_slower(self.pressure().0);
        match terms.pace {
            Pace::EveryMs(ms) if ms >= floor.ms => (terms.pace, None),
            Pace::Credit if floor.ms > 0 => (terms.pace, floor.cause),
            _ if floor.ms > 0 => (Pace::EveryMs(floor.ms), floor.cause),
            _ => (terms.pace, None),
        }
    }

    /// Changes how trades are told. The cursor stays, unless going on from it one by one would lose trades that a summary still
    /// had: then the subscription begins anew with a snapshot. True if it does.
    pub fn set_mode(&mut self, map: &TopicMap, handle: Handle, mode: TradeMode, now: i64) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return false };
        if std::mem::replace(&mut subscription.terms.mode, mode) == mode {
            return false;
        }
        let cursor = subscription.cursor.clone();
        let reaches = || map.get(subscription.topic).is_some_and(|topic| topic.reaches(&cursor));
        let restarts = mode == TradeMode::Every && cursor.is_placed() && !reaches();
        if restarts {
            subscription.cursor = self.beginning.clone();
            self.make_due(handle, now);
        }
        restarts
    }

    pub fn account(&self, map: &TopicMap, handle: Handle) -> Option<Account> {
        let subscription = self.subscriptions.get(handle)?;
        let (pace, limited_by) = self.in_force(subscription.session, &subscription.terms);
        Some(Account {
            terms: subscription.terms,
            pace,
            limited_by,
            standing: match subscription.queue {
                _ if subscription.pauses_after => Standing::Paused,
                Queue::Idle => Standing::Live,
                Queue::Waiting if has_all(map, subscription) => Standing::Live,
                Queue::Waiting if self.has_opened(subscription) => Standing::Due,
                Queue::Waiting => Standing::Waiting,
                Queue::Due => Standing::Due,
                Queue::Unpaid => Standing::Unpaid,
                Queue::Deferred => Standing::Deferred,
                Queue::Paused => Standing::Paused,
            },
            cursor: *subscription.cursor,
            held_from: subscription.held_from,
            merged: subscription.merged,
            records: subscription.records,
            bytes: subscription.bytes,
        })
    }

    /// Has the window begun that it waits for?
    fn has_opened(&self, subscription: &Subscription) -> bool {
        self.sessions.get(subscription.session).is_some_and(|member| member.has_opened(subscription.waits_for))
    }

    /// Is somebody due who would be told something?
    #[cfg(test)]
    pub(in crate::subs) fn has_news(&mut self, map: &TopicMap, session: SessionKey, now: i64) -> bool {
        self.enter_windows(session, now);
        let mut own = self.subscriptions.iter().filter(|(_, found)| found.session == session);
        own.any(|(_, found)| found.queue == Queue::Due && (found.promised || !has_all(map, found)))
    }
}

/// Does it hold all there is?
fn has_all(map: &TopicMap, subscription: &Subscription) -> bool {
    let at = (subscription.cursor.epoch(), subscription.cursor.seq());
    map.get(subscription.topic).is_some_and(|topic| topic.head() == at)
}
