//! Who is due when. In: marks of topics, the clock, flushes of sessions, floors. Out: due lists and wake-ups, coalesced per session.
//! Bounded: a subscription waits in at most one list (one of its session's or one window of the wheel). What it leaves behind when it
//! ends or is paused is less than half of a list, and goes from the wheel when that window begins, so within the longest pace, and from the
//! window with the session's next frame.

mod control;
mod flush;
mod link;
mod local;
mod member;
mod members;
#[cfg(test)]
mod safety_tests;
mod subscription;
mod table;

pub use control::Account;
pub use flush::Flushed;

use crate::encode::Chunk;
use crate::topic::{Cursor, TopicMap};
use local::Locals;
use member::{Member, Place};
use members::Members;
use std::collections::BTreeMap;
use std::rc::Rc;
use subscription::{Queue, Subscription};
use table::Table;
use tokio::sync::Notify;
use wire::kind::Kind;
use wire::request::{Change, Encoding, Focus, MaxAge, Pace, TradeMode};

/// Names a subscription for as long as it lives; a stale handle names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    index: u32,
    generation: u32,
}

/// No handle has it.
const NO_GENERATION: u32 = 0;

fn next_generation(last: u32) -> u32 {
    last.checked_add(1).unwrap_or(NO_GENERATION + 1)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey(u32);

impl SessionKey {
    /// A small number that no other session of the shard has at the same time.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    pub pace: Pace,
    pub mode: TradeMode,
    /// Of a quote: a trade of its instrument does not overtake it.
    pub trade_safe: bool,
    pub focus: Focus,
    pub max_age: MaxAge,
}

impl Terms {
    pub fn changed(self, change: &Change) -> Self {
        Self {
            pace: change.pace.unwrap_or(self.pace),
            mode: change.trades.unwrap_or(self.mode),
            trade_safe: change.trade_safe.unwrap_or(self.trade_safe),
            focus: change.focus.unwrap_or(self.focus),
            max_age: change.max_age.unwrap_or(self.max_age),
        }
    }
}

pub struct Manager {
    shard: usize,
    locals: Locals,
    subscriptions: Table,
    sessions: Members,
    /// Beginning of a window (monotonic ns) -> sessions with somebody who waits for it. At most one entry a pace and phase.
    wheel: BTreeMap<i64, Vec<SessionKey>>,
    /// The newest one that a handle has.
    generation: u32,
    check_interval_ns: i64,
    /// No subscription of the node is faster than this; 0 = as fast as they are.
    node_floor_ms: u32,
    /// New snapshots of deep books wait.
    defers_deep: bool,
    /// Sessions for which marks or windows made something due since the last `take_woken`.
    woken: Vec<SessionKey>,
    /// Working memory of the encoder.
    spare: Chunk,
    /// The cursor of whoever holds nothing.
    beginning: Rc<Cursor>,
}

impl Manager {
    /// `check_interval_ns` 0 switches checks off.
    pub fn new(shard: usize, check_interval_ns: i64) -> Self {
        Self {
            shard,
            locals: Locals::default(),
            subscriptions: Table::default(),
            sessions: Members::default(),
            wheel: BTreeMap::new(),
            generation: NO_GENERATION,
            check_interval_ns,
            node_floor_ms: 0,
            defers_deep: false,
            woken: Vec::new(),
            spare: Chunk::default(),
            beginning: Rc::new(Cursor::NEW),
        }
    }

    /// `wake` is notified when the first subscription of the session becomes due.
    pub fn join(&mut self, encoding: Encoding, wake: Rc<Notify>) -> SessionKey {
        self.sessions.insert(Member::new(encoding, wake))
    }

    /// Forgets what is due. The session's subscriptions must be ended before another one joins.
    pub fn leave(&mut self, session: SessionKey) {
        self.sessions.remove(session);
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// Starts a subscription at `cursor`; it is due at once.
    pub fn subscribe(
        &mut self,
        map: &TopicMap,
        session: SessionKey,
        topic: u32,
        cursor: Cursor,
        terms: Terms,
        now: i64,
    ) -> Handle {
        let generation = next_generation(self.generation);
        self.generation = generation;
        let cursor = if cursor == Cursor::NEW { self.beginning.clone() } else { Rc::new(cursor) };
        let check_at = next_check(self.check_interval_ns, topic, now);
        let handle = self.subscriptions.insert(Subscription::new(generation, topic, session, cursor, terms, check_at));
        self.attach(map, handle);
        self.note_safety(map, handle);
        self.make_due(handle, now);
        handle
    }

    pub fn unsubscribe(&mut self, map: &TopicMap, handle: Handle) {
        let nobody = || Subscription::new(NO_GENERATION, 0, SessionKey(0), self.beginning.clone(), Terms::default(), 0);
        let Some(subscription) = self.subscriptions.remove(handle, nobody) else { return };
        if subscription.queue != Queue::Paused {
            self.detach(map, subscription.topic, subscription.is_listed);
        }
        if subscription.terms.trade_safe
            && let Some(member) = self.sessions.get_mut(subscription.session)
        {
            // No search: a session may end 50,000 of them.
            member.forget_safe(map.trade_of(subscription.topic), handle);
        }
        self.note_stale(subscription.session, subscription.terms.focus, subscription.queue);
    }

    /// Counts a subscription, which is going to be due, among its topic's subscribers.
    fn attach(&mut self, map: &TopicMap, handle: Handle) {
        let Some(subscription) = self.subscriptions.get_mut(handle) else { return };
        let (local, is_first) = self.locals.enter(subscription.topic);
        subscription.local = local;
        if is_first {
            map.watch(self.shard, subscription.topic);
        }
    }

    /// Takes away one of a topic's subscribers, which has ended or got another name.
    fn detach(&mut self, map: &TopicMap, topic: u32, was_listed: bool) {
        if self.locals.leave(topic, was_listed, |place| is_held(&self.subscriptions, place)) {
            map.unwatch(self.shard, topic);
        }
    }

    /// A list of the session has one more entry that names nothing.
    fn note_stale(&mut self, session: SessionKey, focus: Focus, queue: Queue) {
        let Self { sessions, subscriptions, .. } = self;
        let Some(member) = sessions.get_mut(session) else { return };
        let stands = |(handle, _): Place| stands(subscriptions, handle, queue);
        match queue {
            Queue::Due => member.line(focus).note_stale(stands),
            Queue::Unpaid => member.unpaid.note_stale(stands),
            Queue::Deferred => member.deferred.note_stale(stands),
            Queue::Idle | Queue::Waiting | Queue::Paused => {}
        }
    }

    /// The topic changed: its subscribers become due now or at their next window.
    pub fn mark(&mut self, topic: u32, now: i64) {
        let Some(local) = self.locals.find_mut(topic) else { return };
        self.subscriptions.fetch(local.idle.next());
        while let Some(place) = local.idle.pop() {
            self.subscriptions.fetch(local.idle.coming());
            let handle = place.0;
            let found = self.subscriptions.get_mut(handle);
            let Some(subscription) = found.filter(|found| found.stands_at(place)) else {
                local.idle.forget_stale();
                continue;
            };
            subscription.is_listed = false;
            if subscription.queue != Queue::Idle {
                continue;
            }
            let Some(member) = self.sessions.get_mut(subscription.session) else { continue };
            match subscription.next_window(member.floor_ms(self.node_floor_ms), now) {
                Some(next) => subscription.wait(member, &mut self.wheel, handle, next),
                None => {
                    if subscription.become_due(member, handle, now) {
                        member.wake_once(subscription.session, &mut self.woken);
                    }
                }
            }
        }
    }

    /// Opens the windows that have begun. Who waits for them is looked at with the session's frame, when its memory is needed anyway.
    pub fn tick(&mut self, now: i64) {
        while let Some(entry) = self.wheel.first_entry() {
            let begin = *entry.key();
            if begin > now {
                break;
            }
            for session in entry.remove() {
                let Some(member) = self.sessions.get_mut(session) else { continue };
                if !member.is_due() {
                    member.wake_once(session, &mut self.woken);
                }
                member.open_window(begin);
            }
        }
    }

    /// Hands out the sessions that have something due by `mark` or `tick` and did not before, each once until `begin_turn`. `woken` is emptied
    /// first and its memory used for the next ones.
    pub fn take_woken(&mut self, woken: &mut Vec<SessionKey>) {
        woken.clear();
        std::mem::swap(woken, &mut self.woken);
    }

    /// The session, which was handed out, is visited: what becomes due from now on is for another visit.
    pub fn begin_turn(&mut self, session: SessionKey) {
        if let Some(member) = self.sessions.get_mut(session) {
            member.is_woken = false;
        }
    }

    /// Would `take_woken` hand out somebody?
    pub fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// A frame of the session comes soon: asks for the memory that it begins with.
    pub fn fetch(&self, session: SessionKey) {
        self.sessions.fetch(session);
    }

    /// It comes sooner: asks for where that leads to.
    pub fn fetch_lines(&self, session: SessionKey) {
        if let Some(member) = self.sessions.get(session) {
            member.fetch_lines();
        }
    }

    /// It comes very soon: asks for the subscriptions that it looks at first.
    pub fn fetch_first(&self, session: SessionKey) {
        if let Some(member) = self.sessions.get(session) {
            self.subscriptions.fetch(member.next());
        }
    }

    /// Wakes the session's own task.
    pub fn wake(&self, session: SessionKey) {
        if let Some(member) = self.sessions.get(session) {
            member.wake.notify_one();
        }
    }

    /// Monotonic ns of the next window that somebody waits for.
    pub fn next_window(&self) -> Option<i64> {
        self.wheel.first_key_value().map(|(begin, _)| *begin)
    }

    /// Would a mark find everybody whom it concerns?
    #[cfg(test)]
    pub(super) fn is_sound(&self) -> bool {
        self.subscriptions.iter().all(|(handle, found)| {
            let own = |place: &Place| place.0 == handle && found.stands_at(*place);
            let places = self.locals.get(found.local).map_or(0, |local| local.idle.places().filter(own).count());
            places == usize::from(found.is_listed) && (found.is_listed || found.queue != Queue::Idle)
        })
    }

    pub fn is_due(&self, session: SessionKey) -> bool {
        self.sessions.get(session).is_some_and(Member::is_due)
    }

    fn make_due(&mut self, handle: Handle, now: i64) {
        if let Some(subscription) = self.subscriptions.get_mut(handle)
            && subscription.queue == Queue::Idle
            && let Some(member) = self.sessions.get_mut(subscription.session)
            && subscription.become_due(member, handle, now)
        {
            member.wake.notify_one();
        }
    }

    /// Notes for a quote that is to be safe before which trades it has to be, or that it no longer is.
    fn note_safety(&mut self, map: &TopicMap, handle: Handle) {
        let Self { sessions, subscriptions, .. } = self;
        let Some(subscription) = subscriptions.get_mut(handle) else { return };
        let Some(member) = sessions.get_mut(subscription.session) else { return };
        let topic = map.get(subscription.topic).filter(|topic| topic.kind() == Kind::Quote);
        let Some(trade) = topic.map(|topic| map.trade_of(topic.id())) else { return };
        if subscription.terms.trade_safe {
            member.safe.insert(trade, handle);
        } else {
            member.forget_safe(trade, handle);
        }
    }
}

/// Checks of neighbouring topics are so far apart.
const CHECK_STEP_NS: i64 = 7_000_000;

/// When the next check of a subscription falls; 0 = never. The same moment for all subscribers of a topic, so that they share one hash.
fn next_check(interval_ns: i64, topic: u32, now: i64) -> i64 {
    if interval_ns == 0 {
        return 0;
    }
    let phase = (i64::from(topic) * CHECK_STEP_NS) % interval_ns;
    ((now - phase).div_euclid(interval_ns) + 1) * interval_ns + phase
}

/// Does somebody stand at this place of an idle line?
fn is_held(subscriptions: &Table, place: Place) -> bool {
    subscriptions.get(place.0).is_some_and(|found| found.stands_at(place))
}

/// Does what the handle names stand in this list?
fn stands(subscriptions: &Table, handle: Handle, queue: Queue) -> bool {
    subscriptions.get(handle).is_some_and(|found| found.queue == queue)
}

impl Subscription {
    /// Waits for the window that begins at `next`.
    fn wait(&mut self, member: &mut Member, wheel: &mut BTreeMap<i64, Vec<SessionKey>>, handle: Handle, next: i64) {
        self.queue = Queue::Waiting;
        self.waits_for = next;
        if member.wait(next, handle) {
            wheel.entry(next).or_default().push(self.session);
        }
    }

    /// True if it is the first one of its session that is due.
    fn become_due(&mut self, member: &mut Member, handle: Handle, now: i64) -> bool {
        if self.is_on_credit() && member.credits == 0 {
            self.queue = Queue::Unpaid;
            member.unpaid.push(handle, now);
            return false;
        }
        let is_first = !member.is_due();
        self.queue = Queue::Due;
        member.push_due(self.terms.focus, handle, now);
        is_first
    }
}
