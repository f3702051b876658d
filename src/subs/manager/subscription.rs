//! One subscription: where it stands, how it wants to be told, and in which list it waits. In: chunks that were sent. Out: its grid and
//! counts. Bounded: one fixed-size struct, whatever its speed.

use super::{SessionKey, Terms};
use crate::encode::Chunk;
use crate::subs::pace::Grid;
use crate::topic::Cursor;
use wire::event::Nanos;
use wire::request::Pace;

/// Long before any window.
pub(super) const NEVER: i64 = i64::MIN / 2;

/// The list a subscription stands in. An entry of a list whose subscription stands elsewhere is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Idle,
    /// In the wheel, until its next window begins.
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

pub(super) struct Subscription {
    pub generation: u32,
    pub topic: u32,
    pub session: SessionKey,
    /// Where it stands among the topic's subscribers.
    pub place: usize,
    pub cursor: Cursor,
    pub terms: Terms,
    /// Of the pace that was asked for.
    pub grid: Option<Grid>,
    /// Monotonic ns of the last update that was sent at this pace.
    pub sent_at: i64,
    pub queue: Queue,
    /// While waiting: beginning of the window it stands under in the wheel.
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

impl Subscription {
    /// Monotonic ns at which it may be sent something again; none: now.
    pub fn next_window(&self, floor_ms: u32, now: i64) -> Option<i64> {
        let grid = self.grid(floor_ms)?;
        let last = grid.window(self.sent_at);
        (grid.window(now) <= last).then(|| grid.begin(last + 1))
    }

    /// Its windows, none of them shorter than the floor.
    fn grid(&self, floor_ms: u32) -> Option<Grid> {
        match self.grid {
            _ if floor_ms == 0 => self.grid,
            Some(grid) if grid.is_slower_than(floor_ms) => Some(grid),
            _ => Grid::new(Pace::EveryMs(floor_ms), self.session.0),
        }
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
