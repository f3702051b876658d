//! One subscription: where it stands, how it wants to be told, and in which list it waits. In: chunks that were sent. Out: its grid and
//! counts. Bounded: one fixed-size struct, whatever its speed.

use super::local::LocalTopic;
use super::member::Place;
use super::{Handle, SessionKey, Terms};
use crate::encode::Chunk;
use crate::subs::pace::Grid;
use crate::topic::Cursor;
use std::rc::Rc;
use wire::event::Nanos;
use wire::request::Pace;

/// Long before any window.
pub(super) const NEVER: i64 = i64::MIN / 2;

/// The list a subscription stands in. An entry of a list whose subscription stands elsewhere is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Among those of its topic who wait for a mark.
    Idle,
    /// In a window of its session, until that begins.
    Waiting,
    /// In a due list of its session.
    Due,
    /// In its session's list of those that wait for a grant of its client.
    Unpaid,
    /// In its session's list of snapshots that wait until the node is out of trouble.
    Deferred,
    /// Never due until it is continued, and not among its topic's subscribers: nothing is done for it.
    Paused,
}

/// Small: where there are many, most of what a look at one costs is its way from memory. Two lines of the cache, never three.
#[repr(align(128))]
pub(super) struct Subscription {
    pub generation: u32,
    pub topic: u32,
    /// Its topic, as this shard has it.
    pub local: u32,
    pub session: SessionKey,
    pub cursor: Rc<Cursor>,
    pub terms: Terms,
    /// Of the pace that was asked for.
    pub grid: Option<Grid>,
    /// Monotonic ns of the last update that was sent at this pace, and of the beginning of the window after it.
    sent_at: i64,
    opens_at: i64,
    pub queue: Queue,
    /// It has a place in its topic's idle line, idle or not; how many it has given up before.
    pub is_listed: bool,
    listing: u32,
    /// While waiting: beginning of the window it stands under.
    pub waits_for: i64,
    /// Monotonic ns from which on the next flush carries a check; 0 = never.
    pub check_at: i64,
    /// When the venue's bytes were received that the client's state is made of; 0 = it has none.
    pub held_from: Nanos,
    /// Ends with its first answer.
    pub once: bool,
    /// A `get` was promised a snapshot.
    pub promised: bool,
    /// Paused again once the promise is kept.
    pub pauses_after: bool,
    pub merged: u64,
    pub records: u64,
    pub bytes: u64,
}

const _: () = assert!(size_of::<Subscription>() == 128, "a subscription has grown");

impl Subscription {
    /// Nothing has been sent yet.
    pub fn new(generation: u32, topic: u32, session: SessionKey, cursor: Rc<Cursor>, terms: Terms, check_at: i64) -> Self {
        Self {
            generation,
            topic,
            local: 0,
            session,
            cursor,
            terms,
            grid: Grid::new(terms.pace, session.index()),
            sent_at: NEVER,
            opens_at: NEVER,
            queue: Queue::Idle,
            is_listed: false,
            listing: 0,
            waits_for: 0,
            check_at,
            held_from: 0,
            once: false,
            promised: false,
            pauses_after: false,
            merged: 0,
            records: 0,
            bytes: 0,
        }
    }

    /// It has been told all there is, and waits for a mark.
    #[inline]
    pub fn rest(&mut self, handle: Handle, local: &mut LocalTopic) {
        self.queue = Queue::Idle;
        if !std::mem::replace(&mut self.is_listed, true) {
            local.idle.push(handle, self.listing.into());
        }
    }

    /// Gives up its place in the idle line. True if it had one.
    pub fn unlist(&mut self) -> bool {
        self.listing = self.listing.wrapping_add(1);
        std::mem::take(&mut self.is_listed)
    }

    /// Is this place in the idle line its own?
    pub fn stands_at(&self, place: Place) -> bool {
        self.is_listed && self.generation == place.0.generation && i64::from(self.listing) == place.1
    }

    /// Something was sent. The next window of its pace begins at `opens_at`.
    pub fn note_sent(&mut self, now: i64, opens_at: i64) {
        (self.sent_at, self.opens_at) = (now, opens_at);
    }

    /// A pace begins with what is there.
    pub fn begin_pace(&mut self) {
        self.grid = Grid::new(self.terms.pace, self.session.index());
        (self.sent_at, self.opens_at) = (NEVER, NEVER);
    }

    /// Monotonic ns at which it may be sent something again; none: now.
    #[inline]
    pub fn next_window(&self, floor_ms: u32, now: i64) -> Option<i64> {
        let own = (now < self.opens_at).then_some(self.opens_at);
        // The grids do not begin together: the floor's next window may begin within the window of the pace.
        own.max(self.floors_window(floor_ms, now))
    }

    /// The same, as far as the floor goes; 0: there is none.
    fn floors_window(&self, floor_ms: u32, now: i64) -> Option<i64> {
        if floor_ms == 0 || self.grid.is_some_and(|grid| grid.is_slower_than(floor_ms)) {
            return None;
        }
        let grid = Grid::new(Pace::EveryMs(floor_ms), self.session.index())?;
        let last = grid.window(self.sent_at);
        (grid.window(now) <= last).then(|| grid.begin(last + 1))
    }

    /// It goes with frames that the client grants. A snapshot that was asked for is no such update.
    pub fn is_on_credit(&self) -> bool {
        self.terms.pace == Pace::Credit && !self.promised
    }

    pub fn count(&mut self, chunk: &Chunk) {
        self.merged += chunk.merged;
        self.records += u64::from(chunk.records);
        self.bytes += chunk.bytes.len() as u64;
    }
}
