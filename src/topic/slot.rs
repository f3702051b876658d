//! One topic: a versioned value behind one lock, and the few facts that are read without it. In: publications of one feed thread.
//! Out: `since(cursor)`. Bounded by its kind's state; the lock is held for CPU work only.

use super::book::BookState;
use super::cursor::{Cursor, Start};
use super::derived::DerivedState;
use super::last::{InstrumentState, StatusState};
use super::publish::Stamp;
use super::quote::QuoteState;
use super::standing::{About, Standing};
use super::tape::TapeState;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use wire::event::Nanos;
use wire::kind::Kind;
use wire::record::{Meta, Record};
use wire::request::TradeMode;
use wire::topic::TopicKey;

pub struct Topic {
    id: u32,
    name: Box<str>,
    key: TopicKey,
    version: AtomicU64,
    published: AtomicI64,
    received: AtomicI64,
    /// One bit per shard with interest in this topic.
    watchers: AtomicU64,
    pub(super) standing: Arc<Standing>,
    about: About,
    pub(super) state: State,
}

pub(super) enum State {
    Quote(Mutex<QuoteState>),
    Trade(Box<Mutex<TapeState>>),
    /// All depth views of an instrument live in one book; the number is the view's place in `Depth::ALL`.
    Book(Arc<Mutex<BookState>>, usize),
    Status(Mutex<StatusState>),
    Instrument(Mutex<InstrumentState>),
    /// Bars and stats of an instrument live together; the number is the topic's place among them.
    Derived(Arc<Mutex<DerivedState>>, usize),
}

impl Topic {
    pub(super) fn new(id: u32, key: TopicKey, standing: Arc<Standing>, about: About, state: State) -> Self {
        Self {
            id,
            name: key.to_string().into(),
            key,
            version: AtomicU64::new(1),
            published: AtomicI64::new(0),
            received: AtomicI64::new(0),
            watchers: AtomicU64::new(0),
            standing,
            about,
            state,
        }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    /// Canonical name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn key(&self) -> &TopicKey {
        &self.key
    }

    pub fn kind(&self) -> Kind {
        self.key.kind
    }

    /// Changes whenever `since` would say something new to somebody; of a book view, while it is watched. Read it before
    /// `since`, not after.
    pub fn version(&self) -> u64 {
        // Numbers that only grow: the sum is the same only if each is.
        self.version.load(Ordering::Acquire) + u64::from(self.standing.version(self.about))
    }

    /// When the newest change was published here; 0 = never.
    pub fn published(&self) -> Nanos {
        self.published.load(Ordering::Relaxed).max(self.standing.published(self.about))
    }

    /// The link that carries its instrument; `None` for a topic that does not depend on it.
    pub fn link(&self) -> Option<u32> {
        (self.about != About::Nothing).then(|| self.standing.link().index)
    }

    /// When the newest bytes about this topic were received, whether they changed it or not; 0 = never.
    pub fn received(&self) -> Nanos {
        self.received.load(Ordering::Relaxed)
    }

    /// `Meta` of the present epoch.
    pub fn meta(&self) -> Arc<Meta> {
        match &self.state {
            State::Quote(state) => state.lock().head.meta.clone(),
            State::Trade(state) => state.lock().head.meta.clone(),
            State::Book(state, view) => state.lock().views[*view].head.meta.clone(),
            State::Status(state) => state.lock().head.meta.clone(),
            State::Instrument(state) => state.lock().head.meta.clone(),
            State::Derived(state, at) => state.lock().head(*at).meta.clone(),
        }
    }

    /// Emits what a subscriber at `cursor` lacks, in the order of the module's documentation, and returns where it then stands.
    /// `mode` is for trade topics. At most `max_records` (but one) trades and gaps a call in `TradeMode::Every`: the cursor then
    /// stays behind, and `since` goes on from there. `emit` runs under the topic's lock and must not call the topic map.
    pub fn since(
        &self,
        cursor: &Cursor,
        mode: TradeMode,
        max_records: usize,
        emit: &mut dyn FnMut(&Meta, &Record<'_>),
    ) -> Cursor {
        match &self.state {
            State::Quote(state) => state.lock().since(cursor, emit),
            State::Trade(state) => state.lock().since(cursor, mode, max_records, emit),
            State::Book(state, view) => {
                let (next, caught_up) = state.lock().since(*view, cursor, emit);
                if caught_up {
                    self.version.fetch_add(1, Ordering::AcqRel);
                }
                next
            }
            State::Status(state) => state.lock().since(cursor, emit),
            State::Instrument(state) => state.lock().since(cursor, emit),
            State::Derived(state, at) => state.lock().since(*at, cursor, emit),
        }
    }

    /// True if `since` would continue from this cursor; false if it would start with a snapshot. For a trade topic: true if no
    /// trade since then is lost.
    pub fn reaches(&self, cursor: &Cursor) -> bool {
        let (epoch, reaches) = match &self.state {
            State::Quote(state) => {
                let state = state.lock();
                (state.head.epoch(), cursor.seq <= state.seq())
            }
            State::Trade(state) => {
                let state = state.lock();
                (state.head.epoch(), state.reaches(cursor.seq))
            }
            State::Book(state, view) => {
                let mut state = state.lock();
                if state.catch_up(*view) {
                    self.version.fetch_add(1, Ordering::AcqRel);
                }
                (state.views[*view].head.epoch(), state.views[*view].reaches(cursor.seq))
            }
            State::Status(state) => {
                let state = state.lock();
                (state.head.epoch(), cursor.seq <= state.now().seq)
            }
            State::Instrument(state) => {
                let state = state.lock();
                (state.head.epoch(), cursor.seq <= state.seq())
            }
            State::Derived(state, at) => {
                let state = state.lock();
                (state.head(*at).epoch(), cursor.seq <= state.seq(*at))
            }
        };
        cursor.start == Start::At && cursor.epoch == epoch && reaches
    }

    /// `wire::view` hash of what a subscriber at this cursor holds, if it holds the newest state.
    pub fn check(&self, cursor: &Cursor) -> Option<u32> {
        let (epoch, seq, hash) = match &self.state {
            State::Quote(state) => {
                let state = state.lock();
                (state.head.epoch(), state.seq(), state.hash())
            }
            State::Trade(state) => {
                let state = state.lock();
                (state.head.epoch(), state.seq(), state.hash())
            }
            State::Book(state, view) => {
                let state = state.lock();
                // The hash walks the whole book: only for who is there, and not of a view that sleeps.
                let at = &state.views[*view];
                if cursor.seq != at.seq() || !at.active {
                    return None;
                }
                (at.head.epoch(), at.seq(), state.hash(*view))
            }
            State::Status(state) => {
                let state = state.lock();
                let now = state.now();
                (state.head.epoch(), now.seq, now.hash())
            }
            State::Instrument(state) => {
                let state = state.lock();
                (state.head.epoch(), state.seq(), state.hash())
            }
            State::Derived(state, at) => {
                let state = state.lock();
                (state.head(*at).epoch(), state.seq(*at), state.hash(*at))
            }
        };
        (cursor.start == Start::At && cursor.epoch == epoch && cursor.seq == seq).then_some(hash)
    }

    pub(super) fn about(&self) -> About {
        self.about
    }

    /// While nothing is published to this topic.
    pub(super) fn while_locked<T>(&self, act: impl FnOnce() -> T) -> T {
        match &self.state {
            State::Quote(state) => with(state, act),
            State::Trade(state) => with(state, act),
            State::Book(state, _) => with(state, act),
            State::Status(state) => with(state, act),
            State::Instrument(state) => with(state, act),
            State::Derived(state, _) => with(state, act),
        }
    }

    pub(super) fn watchers(&self) -> u64 {
        // In one order with the versions of `standing`, which no lock of the topic guards: who comes to watch sees the change, or is
        // seen by who makes it.
        self.watchers.load(Ordering::SeqCst)
    }

    /// A depth view sleeps while nobody watches it. Its lock orders two shards that come and go at the same time.
    pub(super) fn set_watched(&self, shard: usize, watched: bool) {
        let bit = 1 << shard;
        let change = || {
            let before = if watched {
                self.watchers.fetch_or(bit, Ordering::SeqCst)
            } else {
                self.watchers.fetch_and(!bit, Ordering::AcqRel)
            };
            let after = if watched { before | bit } else { before & !bit };
            ((before == 0) != (after == 0)).then_some(after != 0)
        };
        if let State::Book(state, view) = &self.state {
            let mut state = state.lock();
            if let Some(active) = change()
                && state.set_active(*view, active)
            {
                self.version.fetch_add(1, Ordering::AcqRel);
            }
        } else {
            change();
        }
    }

    pub(super) fn note_received(&self, received: Nanos) {
        if received != 0 {
            self.received.store(received, Ordering::Relaxed);
        }
    }

    /// After a change: who reads the new version finds the new state.
    pub(super) fn note_published(&self, stamp: &Stamp) {
        self.published.store(stamp.published, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// The same for a topic that is only ever changed under one lock, which the caller holds: no two threads count at once, so
    /// no atomic addition is needed.
    pub(super) fn note_published_locked(&self, stamp: &Stamp) {
        self.published.store(stamp.published, Ordering::Relaxed);
        self.version.store(self.version.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

fn with<S, T>(lock: &Mutex<S>, act: impl FnOnce() -> T) -> T {
    let _held = lock.lock();
    act()
}
