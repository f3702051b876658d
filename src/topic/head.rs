//! What every topic has besides its data: epoch, `Meta`, and how far its feed can be trusted. In: listings, feed states, the
//! first price. Out: the records that must come before the data. Bounded: fixed size.

use super::cursor::{Cursor, Start};
use super::publish::Stamp;
use std::sync::Arc;
use wire::event::{FeedState, Flags, Nanos, Status};
use wire::record::{Meta, Record, RecordBody};

/// Takes the records of one topic as they are made. Runs under the topic's lock: it must not call the topic map.
pub(super) type Emit<'a> = dyn FnMut(&Meta, &Record<'_>) + 'a;

#[derive(Clone, Debug)]
pub(super) struct Head {
    pub meta: Arc<Meta>,
    /// Grows within an epoch when `meta` changes, from 1.
    meta_version: u32,
    /// The base is the first price of the epoch and stays for the epoch. Until there was one it is 0, unknown.
    base_known: bool,
    pub status: Status,
    state_version: u32,
}

/// What a redefinition did to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redefined {
    Nothing,
    /// The data stays, `Meta` is new.
    Properties,
    /// The data must start over.
    Epoch,
}

impl Head {
    pub fn new(meta: Meta) -> Self {
        Self { meta: Arc::new(meta), meta_version: 1, base_known: false, status: Status::default(), state_version: 1 }
    }

    pub fn epoch(&self) -> u64 {
        self.meta.epoch
    }

    /// Starts a new epoch, or tells of new properties within the same one. The feed state stays: it is not about the scale.
    pub fn redefine(&mut self, meta: &Meta) -> Redefined {
        if meta.epoch != self.meta.epoch {
            *self = Self { status: self.status, state_version: self.state_version, ..Self::new(meta.clone()) };
            return Redefined::Epoch;
        }
        let meta = Meta { base: self.meta.base, ..meta.clone() };
        if meta == *self.meta {
            return Redefined::Nothing;
        }
        self.meta = Arc::new(meta);
        self.meta_version += 1;
        Redefined::Properties
    }

    /// Tells the head a price; the first one of an epoch becomes the base. True if `meta` changed by it, which means that
    /// every subscriber is owed the new one before the first record with a price.
    #[inline]
    pub fn anchor(&mut self, price: Option<i64>) -> bool {
        let Some(price) = price.filter(|_| !self.base_known) else { return false };
        self.base_known = true;
        if price == self.meta.base {
            return false;
        }
        Arc::make_mut(&mut self.meta).base = price;
        self.meta_version += 1;
        true
    }

    /// True if this is news; a repeated state keeps the time since when it holds.
    pub fn update_status(&mut self, news: impl Fn(&Status) -> Status) -> bool {
        let status = news(&self.status);
        let same = Status { since: self.status.since, ..status } == self.status;
        if !same {
            self.status = status;
            self.state_version += 1;
        }
        !same
    }

    /// The time that records of this topic carry; `known` where the venue gives none for this one update.
    pub fn time(&self, stamp: &Stamp, known: Nanos) -> Nanos {
        stamp.time(self.meta.clock, known)
    }

    /// The flag of values that are known to be old.
    pub fn staleness(&self) -> Flags {
        match self.status.feed {
            FeedState::Stale | FeedState::Resyncing | FeedState::Down => Flags::STALE,
            FeedState::Starting | FeedState::Live | FeedState::Quiet | FeedState::Replay => Flags::default(),
        }
    }

    /// Emits `Meta` and `State` as far as the cursor lacks them. The second result is true if the data must follow as a
    /// snapshot; `seq` is the newest sequence of this epoch.
    pub fn begin(&self, cursor: &Cursor, seq: u64, with_state: bool, emit: &mut Emit<'_>) -> (Cursor, bool) {
        let continues = cursor.start == Start::At && cursor.epoch == self.epoch();
        let mut next = if continues { *cursor } else { Cursor { start: cursor.start, epoch: self.epoch(), ..Cursor::NEW } };
        if next.meta_version != self.meta_version {
            emit(&self.meta, &self.statement(0, RecordBody::Meta(&self.meta)));
            next.meta_version = self.meta_version;
            next.previous_id = None;
        }
        if with_state && next.state_version != self.state_version {
            emit(&self.meta, &self.statement(self.status.since, RecordBody::State(self.status)));
            next.state_version = self.state_version;
        }
        (next, !continues || cursor.seq > seq)
    }

    /// A record that moves no sequence.
    fn statement<'a>(&self, time: Nanos, body: RecordBody<'a>) -> Record<'a> {
        Record { topic: self.meta.topic, flags: Flags::default(), sequence: 0, time, body }
    }

    /// Emits the whole value at `seq`.
    pub fn snapshot(
        &self,
        next: Cursor,
        seq: u64,
        time: Nanos,
        flags: Flags,
        body: RecordBody<'_>,
        emit: &mut Emit<'_>,
    ) -> Cursor {
        let flags = flags.with(Flags::SNAPSHOT);
        emit(&self.meta, &Record { topic: self.meta.topic, flags, sequence: seq, time, body });
        Cursor { start: Start::At, seq, ..next }
    }

    /// Emits what leads from the cursor to `seq`, all in one value.
    pub fn advance(
        &self,
        next: Cursor,
        seq: u64,
        time: Nanos,
        flags: Flags,
        body: RecordBody<'_>,
        emit: &mut Emit<'_>,
    ) -> Cursor {
        let flags = if seq - next.seq > 1 { flags.with(Flags::CONFLATED) } else { flags };
        self.step(next, seq, time, flags, body, emit)
    }

    /// Emits a record that moves the sequence from the cursor's to `seq`.
    pub fn step(&self, next: Cursor, seq: u64, time: Nanos, flags: Flags, body: RecordBody<'_>, emit: &mut Emit<'_>) -> Cursor {
        emit(&self.meta, &Record { topic: self.meta.topic, flags, sequence: seq - next.seq, time, body });
        Cursor { seq, ..next }
    }
}
