//! The two small topics that say what an instrument is and how it is doing. In: instruments, feed and trading states.
//! Out: the newest value, always whole. Bounded: one value each.

use super::cursor::Cursor;
use super::head::{Emit, Head, Redefined};
use super::publish::Stamp;
use wire::event::{Cause, Channel, FeedState, Flags, Nanos, Status, TradingState};
use wire::instrument::Instrument;
use wire::record::{Meta, RecordBody};
use wire::view::{instrument_hash, status_hash};

/// The value of `status/…`: the worst state of the instrument's channels, its cause, and the trading phase.
#[derive(Debug)]
pub(super) struct StatusState {
    pub head: Head,
    seq: u64,
    time: Nanos,
    value: Status,
    channels: [Status; 3],
}

impl StatusState {
    pub fn new(meta: Meta) -> Self {
        Self { head: Head::new(meta), seq: 0, time: 0, value: Status::default(), channels: Default::default() }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A new epoch starts with the same value, because the feed is as it was. True if there is news.
    pub fn redefine(&mut self, meta: &Meta) -> bool {
        let redefined = self.head.redefine(meta);
        if redefined == Redefined::Epoch {
            self.seq = 0;
        }
        redefined != Redefined::Nothing
    }

    pub fn set_feed(&mut self, channel: Option<Channel>, feed: FeedState, cause: Cause, stamp: &Stamp) -> bool {
        for at in [Channel::Quote, Channel::Trade, Channel::Book] {
            let held = &mut self.channels[at as usize];
            if channel.is_none_or(|channel| channel == at) && (held.feed, held.cause) != (feed, cause) {
                *held = Status { feed, cause, since: stamp.received, ..*held };
            }
        }
        // Of equally bad channels the one that has been so the longest speaks.
        let worst = self.channels.iter().max_by_key(|held| (severity(held.feed), std::cmp::Reverse(held.since)));
        let worst = worst.copied().unwrap_or_default();
        self.set(Status { trading: self.value.trading, ..worst }, stamp)
    }

    pub fn set_trading(&mut self, trading: TradingState, stamp: &Stamp) -> bool {
        self.set(Status { trading, ..self.value }, stamp)
    }

    fn set(&mut self, value: Status, stamp: &Stamp) -> bool {
        let changed = value != self.value;
        if changed {
            self.value = value;
            self.seq += 1;
            self.time = stamp.received;
        }
        changed
    }

    pub fn since(&self, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        whole(&self.head, cursor, self.seq, self.time, RecordBody::Status(self.value), emit)
    }

    pub fn hash(&self) -> u32 {
        status_hash(&self.value)
    }
}

/// How bad a state is for a subscriber. A channel that has not started does not hide one that has: an operator may leave
/// channels out.
fn severity(feed: FeedState) -> u8 {
    match feed {
        FeedState::Starting => 0,
        FeedState::Live => 1,
        FeedState::Replay => 2,
        FeedState::Quiet => 3,
        FeedState::Stale => 4,
        FeedState::Resyncing => 5,
        FeedState::Down => 6,
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
    pub fn new(meta: Meta, value: Instrument, time: Nanos) -> Self {
        Self { head: Head::new(meta), seq: 1, time, value }
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

    pub fn since(&self, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        whole(&self.head, cursor, self.seq, self.time, RecordBody::Instrument(&self.value), emit)
    }

    pub fn hash(&self) -> u32 {
        instrument_hash(&self.value)
    }
}

/// No `State` records here: these topics are the statement themselves.
fn whole(head: &Head, cursor: &Cursor, seq: u64, time: Nanos, body: RecordBody<'_>, emit: &mut Emit<'_>) -> Cursor {
    let (next, fresh) = head.begin(cursor, seq, false, emit);
    if fresh {
        head.snapshot(next, seq, time, Flags::default(), body, emit)
    } else if next.seq < seq {
        head.advance(next, seq, time, Flags::default(), body, emit)
    } else {
        next
    }
}
