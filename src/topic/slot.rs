//! One topic: a versioned value behind one lock, and the few facts that are read without it. In: publications of one feed thread.
//! Out: `since(cursor)`. Bounded by its kind's state; the lock is held for CPU work only.

use super::book::BookState;
use super::cursor::{Cursor, Missing, Start};
use super::head::Head;
use super::last::{InstrumentState, StatusState};
use super::news::News;
use super::publish::Stamp;
use super::quote::QuoteState;
use super::standing::{About, Changed, Standing};
use super::trades::Trades;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::event::{Nanos, Status};
use wire::kind::Kind;
use wire::record::{Meta, Record};
use wire::request::TradeMode;
use wire::topic::TopicKey;

pub struct Topic {
    id: u32,
    name: Box<str>,
    key: TopicKey,
    pub(super) news: News,
    /// One bit per shard with interest in this topic.
    watchers: AtomicU64,
    /// How often clients reported that a check disagreed with what they held.
    mismatches: AtomicU64,
    pub(super) standing: Arc<Standing>,
    about: About,
    pub(super) state: State,
}

pub(super) enum State {
    Quote(Mutex<QuoteState>),
    Trade(Arc<Trades>),
    /// All depth views of an instrument live in one book; the number is the view's place in `Depth::ALL`.
    Book(Arc<Mutex<BookState>>, usize),
    Status(Mutex<StatusState>),
    Instrument(Mutex<InstrumentState>),
    /// Bars and stats of an instrument live together with its tape; the number is the topic's place among them.
    Derived(Arc<Trades>, usize),
}

impl Topic {
    pub(super) fn new(id: u32, key: TopicKey, standing: Arc<Standing>, about: About, state: State) -> Self {
        Self {
            id,
            name: key.to_string().into(),
            key,
            news: News::new(1),
            watchers: AtomicU64::new(0),
            mismatches: AtomicU64::new(0),
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
        let shared = self.shared_news().map_or(0, News::version);
        self.news.version() + shared + u64::from(self.standing.version(self.about))
    }

    /// When the newest change was published here; 0 = never.
    pub fn published(&self) -> Nanos {
        let shared = self.shared_news().map_or(0, News::published);
        self.news.published().max(shared).max(self.standing.published(self.about))
    }

    /// The link that carries its instrument; `None` for a topic that does not depend on it.
    pub fn link(&self) -> Option<u32> {
        (self.about != About::Nothing).then(|| self.standing.link().index)
    }

    /// When the newest bytes about this topic were received, whether they changed it or not; 0 = never.
    pub fn received(&self) -> Nanos {
        // Of topics that share news, each event is about all of them.
        self.shared_news().unwrap_or(&self.news).received()
    }

    fn shared_news(&self) -> Option<&News> {
        match &self.state {
            State::Trade(trades) | State::Derived(trades, _) => Some(&trades.news),
            _ => None,
        }
    }

    /// How far its data can be trusted now: as its feed says, or the link that carries it. Of a topic that is
    /// about no channel, the worst of them.
    pub fn status(&self) -> Status {
        match self.about {
            About::Channel(channel) => self.standing.status(channel).0,
            About::Whole | About::Nothing => self.standing.whole().status,
        }
    }

    /// `Meta` of the present epoch.
    pub fn meta(&self) -> Arc<Meta> {
        match &self.state {
            State::Quote(state) => state.lock().head.meta.clone(),
            State::Trade(trades) => trades.lock().tape.head.meta.clone(),
            State::Book(state, view) => state.lock().views[*view].head.meta.clone(),
            State::Status(state) => state.lock().head.meta.clone(),
            State::Instrument(state) => state.lock().head.meta.clone(),
            State::Derived(trades, at) => trades.lock().derived.head(*at).meta.clone(),
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
            State::Trade(trades) => trades.lock().tape.since(cursor, mode, max_records, emit),
            State::Book(state, view) => {
                let (next, caught_up) = state.lock().since(*view, cursor, emit);
                if caught_up {
                    self.news.note_change();
                }
                next
            }
            State::Status(state) => state.lock().since(cursor, emit),
            State::Instrument(state) => state.lock().since(cursor, emit),
            State::Derived(trades, at) => trades.lock().derived.since(*at, cursor, emit),
        }
    }

    /// The epoch and the newest sequence: where who has all of it stands.
    pub fn head(&self) -> (u64, u64) {
        match &self.state {
            State::Quote(state) => {
                let state = state.lock();
                (state.head.epoch(), state.seq())
            }
            State::Trade(trades) => {
                let state = &trades.lock().tape;
                (state.head.epoch(), state.seq())
            }
            State::Book(state, view) => {
                let mut state = state.lock();
                if state.catch_up(*view) {
                    self.news.note_change();
                }
                let at = &state.views[*view];
                (at.head.epoch(), at.seq())
            }
            State::Status(state) => {
                let state = state.lock();
                (state.head.epoch(), state.now().seq)
            }
            State::Instrument(state) => {
                let state = state.lock();
                (state.head.epoch(), state.seq())
            }
            State::Derived(trades, at) => {
                let state = &mut trades.lock().derived;
                state.settle();
                (state.head(*at).epoch(), state.seq(*at))
            }
        }
    }

    /// True if `since` would continue from this cursor; false if it would start with a snapshot. For a trade topic: true if no
    /// trade since then is lost.
    pub fn reaches(&self, cursor: &Cursor) -> bool {
        let (epoch, reaches) = match &self.state {
            State::Trade(trades) => {
                let state = &trades.lock().tape;
                (state.head.epoch(), state.reaches(cursor.seq))
            }
            State::Book(state, view) => {
                let mut state = state.lock();
                if state.catch_up(*view) {
                    self.news.note_change();
                }
                (state.views[*view].head.epoch(), state.views[*view].reaches(cursor.seq))
            }
            State::Quote(_) | State::Status(_) | State::Instrument(_) | State::Derived(..) => {
                let (epoch, seq) = self.head();
                let awaits = || self.with_head(|head| head.awaits(cursor.seq, seq)).unwrap_or_default();
                (epoch, cursor.seq <= seq || awaits())
            }
        };
        cursor.start == Start::At && cursor.epoch == epoch && reaches
    }

    /// What a subscriber that goes on from this cursor misses for good, because it can no longer be told one by one. Only a stream
    /// has something to lose: the next value of any other topic says it all. What is missing upstream is told in the stream.
    pub fn missing(&self, cursor: &Cursor) -> Missing {
        if let State::Trade(trades) = &self.state { trades.lock().tape.missing(cursor) } else { Missing::None }
    }

    /// `wire::view` hash of what a subscriber at this cursor holds, if it holds the newest state.
    pub fn check(&self, cursor: &Cursor) -> Option<u32> {
        let (epoch, seq, hash) = match &self.state {
            State::Quote(state) => {
                let state = state.lock();
                (state.head.epoch(), state.seq(), state.hash())
            }
            State::Trade(trades) => {
                let state = &trades.lock().tape;
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
            State::Derived(trades, at) => {
                let state = &mut trades.lock().derived;
                state.settle();
                (state.head(*at).epoch(), state.seq(*at), state.hash(*at))
            }
        };
        (cursor.start == Start::At && cursor.epoch == epoch && cursor.seq == seq).then_some(hash)
    }

    /// A client says that its view is not what a `Check` said.
    pub fn note_mismatch(&self) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
    }

    /// Views that clients found to be wrong, since start.
    pub fn mismatches(&self) -> u64 {
        self.mismatches.load(Ordering::Relaxed)
    }

    pub(super) fn about(&self) -> About {
        self.about
    }

    /// Time passes: a channel whose updates are published here, and that had none for long, is quiet. The lock is that of its
    /// updates: the time of the last one is read under it, so none comes in between unseen.
    pub(super) fn pass(&self, now: &Stamp) -> Changed {
        self.with_head(|head| head.pass(self.received(), now)).unwrap_or_default()
    }

    /// The feed itself says that a channel is quiet: its next update has to look.
    pub(super) fn expect_wake(&self) {
        self.with_head(Head::expect_wake);
    }

    /// The head of a topic that a feed publishes to, while nothing is published to it.
    fn with_head<T>(&self, act: impl FnOnce(&mut Head) -> T) -> Option<T> {
        match &self.state {
            State::Quote(state) => Some(act(&mut state.lock().head)),
            State::Trade(trades) => Some(act(&mut trades.lock().tape.head)),
            State::Book(state, view) => Some(act(&mut state.lock().views[*view].head)),
            State::Status(_) | State::Instrument(_) | State::Derived(..) => None,
        }
    }

    pub(super) fn watchers(&self) -> u64 {
        // In one order with the versions of `standing`, which no lock of the topic guards: who comes to watch sees the change, or is
        // seen by who makes it.
        self.watchers.load(Ordering::SeqCst)
    }

    /// A depth view wakes when somebody watches it, and sleeps again some time after the last one left. Publications look only at
    /// those derived topics that are watched. The lock orders two shards that come and go at the same time. True if a view is now
    /// awake for nobody.
    pub(super) fn set_watched(&self, shard: usize, watched: bool) -> bool {
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
        match &self.state {
            State::Book(state, view) => {
                let mut state = state.lock();
                match change() {
                    Some(true) if state.wake(*view) => self.news.note_change(),
                    Some(false) => return true,
                    _ => {}
                }
            }
            State::Derived(trades, at) => {
                let derived = &mut trades.lock().derived;
                match change() {
                    Some(true) => derived.watched |= 1 << at,
                    Some(false) => derived.watched &= !(1 << at),
                    None => {}
                }
            }
            _ => _ = change(),
        }
        false
    }
}
