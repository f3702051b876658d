//! Who is due when. In: marks of topics, the clock, flushes of sessions. Out: due lists and wake-ups, coalesced per session.
//! Bounded: a subscription waits in at most one list (its session's due list or one window of the wheel). What it leaves behind when it
//! ends or is paused is less than half of a due list, and goes from the wheel when that window begins, so within the longest pace.

mod control;
mod link;

pub use control::Account;

use crate::encode::{Chunk, Chunks, FrameBuilder, Request};
use crate::subs::pace::Grid;
use crate::topic::{Cursor, TopicMap};
use foldhash::fast::RandomState;
use slab::Slab;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use tokio::sync::Notify;
use wire::request::{Encoding, Pace, TradeMode};

/// Names a subscription for as long as it lives; a stale handle names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    index: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey(pub(super) usize);

/// What is in force for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub pace: Pace,
    pub mode: TradeMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Idle,
    /// In the wheel, until its next window begins.
    Waiting,
    /// In its session's due list.
    Due,
    /// Never due until it is continued, and not among its topic's subscribers: nothing is done for it.
    Paused,
}

struct Subscription {
    generation: u32,
    topic: u32,
    session: SessionKey,
    /// Where it stands among the topic's subscribers.
    place: usize,
    cursor: Cursor,
    terms: Terms,
    grid: Option<Grid>,
    /// Window of the last update that was sent.
    window: i64,
    queue: Queue,
    /// While waiting: beginning of the window it stands under in the wheel.
    waits_for: i64,
    /// Monotonic ns from which on the next flush carries a check; 0 = never.
    check_at: i64,
    /// Ends with its first answer.
    once: bool,
    /// A `get` was promised a snapshot.
    promised: bool,
    /// Paused again once the promise is kept.
    pauses_after: bool,
    merged: u64,
    records: u64,
    bytes: u64,
}

#[derive(Default)]
struct LocalTopic {
    subscribers: Vec<Handle>,
    chunks: Chunks,
}

struct Member {
    due: VecDeque<Handle>,
    /// How many of `due` may be stale.
    stale: usize,
    wake: Rc<Notify>,
    encoding: Encoding,
}

/// What one flush did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    pub chunk_hits: u64,
    pub chunk_misses: u64,
    /// Topics of subscriptions that ended by themselves.
    pub ended: Vec<u32>,
}

/// Due subscriptions looked at in one flush. Most find data and fill the frame long before; where none does, others get a turn.
const LOOKS_A_FLUSH: usize = 1024;

pub struct Manager {
    shard: usize,
    topics: HashMap<u32, LocalTopic, RandomState>,
    subscriptions: Slab<Subscription>,
    sessions: Slab<Member>,
    /// Beginning of a window (monotonic ns) -> who waits for it. At most one entry a pace and phase.
    wheel: BTreeMap<i64, Vec<Handle>>,
    next_generation: u32,
    check_interval_ns: i64,
    /// Working memory of the encoder.
    spare: Chunk,
}

impl Manager {
    /// `check_interval_ns` 0 switches checks off.
    pub fn new(shard: usize, check_interval_ns: i64) -> Self {
        Self {
            shard,
            topics: HashMap::default(),
            subscriptions: Slab::new(),
            sessions: Slab::new(),
            wheel: BTreeMap::new(),
            next_generation: 0,
            check_interval_ns,
            spare: Chunk::default(),
        }
    }

    /// `wake` is notified when the first subscription of the session becomes due.
    pub fn join(&mut self, encoding: Encoding, wake: Rc<Notify>) -> SessionKey {
        SessionKey(self.sessions.insert(Member { due: VecDeque::new(), stale: 0, wake, encoding }))
    }

    /// Forgets what is due. The session's subscriptions must be ended before another one joins.
    pub fn leave(&mut self, session: SessionKey) {
        self.sessions.remove(session.0);
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
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let check_at = if self.check_interval_ns == 0 { 0 } else { now + self.check_interval_ns };
        let index = self.subscriptions.insert(Subscription {
            generation,
            topic,
            session,
            place: 0,
            cursor,
            terms,
            grid: Grid::new(terms.pace, session.0),
            window: i64::MIN,
            queue: Queue::Idle,
            waits_for: 0,
            check_at,
            once: false,
            promised: false,
            pauses_after: false,
            merged: 0,
            records: 0,
            bytes: 0,
        });
        let handle = Handle { index: index as u32, generation };
        self.attach(map, handle);
        self.make_due(handle);
        handle
    }

    pub fn unsubscribe(&mut self, map: &TopicMap, handle: Handle) {
        if self.live(handle).is_none() {
            return;
        }
        let subscription = self.subscriptions.remove(handle.index as usize);
        if subscription.queue != Queue::Paused {
            self.detach(map, subscription.topic, subscription.place);
        }
        if subscription.queue == Queue::Due {
            self.note_stale(subscription.session);
        }
    }

    /// Puts a subscription among its topic's subscribers.
    fn attach(&mut self, map: &TopicMap, handle: Handle) {
        let Some(subscription) = self.subscriptions.get_mut(handle.index as usize) else { return };
        let local = self.topics.entry(subscription.topic).or_default();
        subscription.place = local.subscribers.len();
        local.subscribers.push(handle);
        if local.subscribers.len() == 1 {
            map.watch(self.shard, subscription.topic);
        }
    }

    fn detach(&mut self, map: &TopicMap, topic: u32, place: usize) {
        let Some(local) = self.topics.get_mut(&topic) else { return };
        // No search: when a server drains, everybody leaves the same topics at once.
        local.subscribers.swap_remove(place);
        if let Some(moved) = local.subscribers.get(place)
            && let Some(moved) = self.subscriptions.get_mut(moved.index as usize)
        {
            moved.place = place;
        }
        if local.subscribers.is_empty() {
            self.topics.remove(&topic);
            map.unwatch(self.shard, topic);
        }
    }

    /// One more entry of the due list names nothing. They are swept once they are half of it: ending many costs one look each.
    fn note_stale(&mut self, session: SessionKey) {
        let Self { sessions, subscriptions, .. } = self;
        let Some(member) = sessions.get_mut(session.0) else { return };
        member.stale += 1;
        if member.stale * 2 > member.due.len() {
            member.stale = 0;
            member.due.retain(|handle| {
                subscriptions.get(handle.index as usize).is_some_and(|found| found.generation == handle.generation)
            });
        }
    }

    /// Changes pace and mode; the cursor stays where it is, so nothing is lost. A new pace begins with what is there.
    pub fn set_terms(&mut self, handle: Handle, terms: Terms) {
        let Some(subscription) = self.live_mut(handle) else { return };
        let former = std::mem::replace(&mut subscription.terms, terms);
        if former.pace == terms.pace {
            return;
        }
        subscription.grid = Grid::new(terms.pace, subscription.session.0);
        subscription.window = i64::MIN;
        if subscription.queue == Queue::Waiting {
            subscription.queue = Queue::Idle;
        }
        self.make_due(handle);
    }

    /// The topic changed: its subscribers become due now or at their next window.
    pub fn mark(&mut self, topic: u32, now: i64) {
        let Some(local) = self.topics.get(&topic) else { return };
        for at in 0..local.subscribers.len() {
            let handle = local.subscribers[at];
            let Some(subscription) = self.subscriptions.get_mut(handle.index as usize) else { continue };
            if subscription.queue != Queue::Idle {
                continue;
            }
            match subscription.grid {
                Some(grid) if grid.window(now) <= subscription.window => {
                    subscription.queue = Queue::Waiting;
                    subscription.waits_for = grid.begin(subscription.window + 1);
                    self.wheel.entry(subscription.waits_for).or_default().push(handle);
                }
                _ => {
                    subscription.queue = Queue::Due;
                    push_due(&mut self.sessions, subscription.session, handle);
                }
            }
        }
    }

    /// Makes due whoever waited for a window that has begun.
    pub fn tick(&mut self, now: i64) {
        while let Some(entry) = self.wheel.first_entry() {
            let begin = *entry.key();
            if begin > now {
                break;
            }
            for handle in entry.remove() {
                // Whoever ended, or got another pace meanwhile, does not wait here any more.
                if let Some(subscription) = self.live_mut(handle)
                    && subscription.queue == Queue::Waiting
                    && subscription.waits_for == begin
                {
                    subscription.queue = Queue::Due;
                    let session = subscription.session;
                    push_due(&mut self.sessions, session, handle);
                }
            }
        }
    }

    /// Monotonic ns of the next window that somebody waits for.
    pub fn next_window(&self) -> Option<i64> {
        self.wheel.first_key_value().map(|(begin, _)| *begin)
    }

    pub fn is_due(&self, session: SessionKey) -> bool {
        self.sessions.get(session.0).is_some_and(|member| !member.due.is_empty())
    }

    /// Puts what is due for the session into `frame`, until it is full; the rest stays due. Cursors move past what was put.
    pub fn flush(&mut self, map: &TopicMap, session: SessionKey, now: i64, frame: &mut FrameBuilder) -> Flushed {
        let mut flushed = Flushed::default();
        let (mut ended, mut paused) = (Vec::new(), Vec::new());
        let Some(member) = self.sessions.get_mut(session.0) else { return flushed };
        let encoding = member.encoding;
        for _ in 0..member.due.len().min(LOOKS_A_FLUSH) {
            let Some(handle) = member.due.pop_front() else { break };
            let Some(subscription) =
                self.subscriptions.get_mut(handle.index as usize).filter(|s| s.generation == handle.generation)
            else {
                member.stale = member.stale.saturating_sub(1);
                continue;
            };
            let (Some(topic), Some(local)) = (map.get(subscription.topic), self.topics.get_mut(&subscription.topic)) else {
                subscription.queue = Queue::Idle;
                continue;
            };
            let request = Request {
                cursor: subscription.cursor,
                mode: subscription.terms.mode,
                encoding,
                base_second: frame.base_second(),
            };
            let (chunk, hit) = local.chunks.get(topic, request, &mut self.spare);
            if hit {
                flushed.chunk_hits += 1;
            } else {
                flushed.chunk_misses += 1;
            }
            if !frame.fits(chunk.bytes.len()) {
                member.due.push_front(handle);
                break;
            }
            subscription.cursor = chunk.to;
            let is_news = chunk.records > 0;
            if is_news {
                frame.push(chunk, subscription.grid.is_none());
                subscription.count(chunk);
                if let Some(grid) = subscription.grid {
                    subscription.window = grid.window(now);
                }
            }
            if chunk.more {
                member.due.push_back(handle);
                continue;
            }
            if subscription.promised && chunk.snapshots == 0 {
                // A stream's events up to here were told one by one; now the snapshot, if nothing came in between.
                let (whole, _) = local.chunks.get(topic, Request { cursor: Cursor::NEW, ..request }, &mut self.spare);
                let place = |cursor: &Cursor| (cursor.epoch(), cursor.seq());
                if place(&whole.to) != place(&subscription.cursor) || !frame.fits(whole.bytes.len()) {
                    member.due.push_back(handle);
                    continue;
                }
                subscription.cursor = whole.to;
                frame.push(whole, false);
                subscription.count(whole);
                if let Some(grid) = subscription.grid {
                    subscription.window = grid.window(now);
                }
            }
            subscription.promised = false;
            subscription.queue = Queue::Idle;
            if subscription.once {
                ended.push(handle);
                flushed.ended.push(subscription.topic);
            } else if std::mem::take(&mut subscription.pauses_after) {
                paused.push(handle);
            }
            if subscription.check_at != 0
                && now >= subscription.check_at
                && is_news
                && let Some(hash) = local.chunks.check(topic, &subscription.cursor)
            {
                frame.push_check(&topic.meta(), hash);
                subscription.check_at = now + self.check_interval_ns;
            }
        }
        for handle in ended {
            self.unsubscribe(map, handle);
        }
        for handle in paused {
            self.pause(map, handle);
        }
        flushed
    }

    fn make_due(&mut self, handle: Handle) {
        if let Some(subscription) = self.live_mut(handle)
            && subscription.queue == Queue::Idle
        {
            subscription.queue = Queue::Due;
            let session = subscription.session;
            push_due(&mut self.sessions, session, handle);
        }
    }

    fn live(&self, handle: Handle) -> Option<&Subscription> {
        self.subscriptions.get(handle.index as usize).filter(|s| s.generation == handle.generation)
    }

    fn live_mut(&mut self, handle: Handle) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(handle.index as usize).filter(|s| s.generation == handle.generation)
    }
}

impl Subscription {
    fn count(&mut self, chunk: &Chunk) {
        self.merged += chunk.merged;
        self.records += u64::from(chunk.records);
        self.bytes += chunk.bytes.len() as u64;
    }
}

fn push_due(sessions: &mut Slab<Member>, session: SessionKey, handle: Handle) {
    if let Some(member) = sessions.get_mut(session.0) {
        if member.due.is_empty() {
            member.wake.notify_one();
        }
        member.due.push_back(handle);
    }
}
