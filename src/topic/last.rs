//! The two small topics that say what an instrument is and how it is doing. In: instruments, the
//! instrument's standing. Out: the newest value, always whole. Bounded: one value each.

use super::cursor::Cursor;
use super::head::{Emit, Head, Redefined};
use super::standing::Whole;
use wire::event::{Flags, Nanos, Status};
use wire::instrument::Instrument;
use wire::record::{Meta, RecordBody};
use wire::view::{instrument_hash, status_hash};

/// The value of `status/…`: the worst state of the instrument's channels, its cause, and the trading phase. It is the standing's own, so
/// the sequence is the standing's version, counted from the beginning of the epoch.
#[derive(Debug)]
pub(super) struct StatusState {
    pub head: Head,
    epoch_began: u64,
}

/// The status at one moment.
pub(super) struct StatusNow {
    pub seq: u64,
    time: Nanos,
    value: Status,
}

impl StatusState {
    pub fn new(head: Head) -> Self {
        let epoch_began = head.standing.whole().version;
        Self { head, epoch_began }
    }

    /// A new epoch starts with the same value, because the feed is as it was. True if there is news.
    pub fn redefine(&mut self, meta: &Meta) -> bool {
        let redefined = self.head.redefine(meta);
        if redefined == Redefined::Epoch {
            self.epoch_began = self.head.standing.whole().version;
        }
        redefined != Redefined::Nothing
    }

    pub fn now(&self) -> StatusNow {
        let Whole { status, version, time } = self.head.standing.whole();
        StatusNow { seq: version - self.epoch_began, time, value: status }
    }

    pub fn since(&self, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        let now = self.now();
        whole(&self.head, cursor, now.seq, now.time, RecordBody::Status(now.value), emit)
    }
}

impl StatusNow {
    pub fn hash(&self) -> u32 {
        status_hash(&self.value)
    }
}

/// The value of `instrument/…`.
#[derive(Debug)]
pub(super) struct InstrumentState {
    pub head: Head,
    seq: u64,
    time: Nanos,
    pub value: Instrument,
}

impl InstrumentState {
    /// At its place in the head's epoch, and since when it is so.
    pub fn new(head: Head, value: Instrument, (seq, time): (u64, Nanos)) -> Self {
        Self { head, seq, time, value }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Takes the new value, in the epoch of `meta`.
    pub fn redefine(&mut self, meta: &Meta, value: &Instrument, time: Nanos) {
        self.seq = if self.head.redefine(meta) == Redefined::Epoch { 1 } else { self.seq + 1 };
        self.value = value.clone();
        self.time = time;
    }

    /// The same for a value that another node has numbered. True if there is news.
    pub fn relay(&mut self, meta: &Meta, value: &Instrument, seq: u64, time: Nanos) -> bool {
        let redefined = self.head.redefine(meta);
        let same = (self.seq, self.time) == (seq, time) && self.value == *value;
        (self.seq, self.time) = (seq, time);
        self.value.clone_from(value);
        !same || redefined != Redefined::Nothing
    }

    pub fn since(&self, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        whole(&self.head, cursor, self.seq, self.time, RecordBody::Instrument(&self.value), emit)
    }

    pub fn hash(&self) -> u32 {
        instrument_hash(&self.value)
    }
}

/// No `State` records here: these topics are the statement themselves.
fn whole(head: &Head, cursor: &Cursor, seq: u64, time: Nanos, body: RecordBody<'_>, emit: &mut Emit<'_>) -> Cursor {
    let (next, fresh) = head.begin(cursor, seq, emit);
    if fresh {
        head.snapshot(next, seq, time, Flags::default(), body, emit)
    } else if next.seq < seq {
        head.advance(next, seq, time, Flags::default(), body, emit)
    } else {
        next
    }
}
