//! What every topic has besides its data: epoch, `Meta`, and where it stands with its feed. In: listings, the first price. Out: the
//! records that must come before the data. Bounded: fixed size.

use super::cursor::{Cursor, Start};
use super::publish::Stamp;
use super::standing::{About, Changed, Standing};
use std::sync::Arc;
use wire::event::{Flags, Nanos};
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
    /// Its channel may be quiet. Each publication asks, so the answer is here, and not in the standing, whose memory is cold in a large
    /// market. Only in the head of the topic under whose lock the channel's updates are published.
    may_be_quiet: bool,
    pub standing: Arc<Standing>,
    pub about: About,
    /// Another node numbers it: a subscriber may come from there, or by way of a third one, and be ahead of what came here.
    numbered_elsewhere: bool,
}

/// A subscriber who claims to be ahead by more is not waited for: hours of a busy market.
const MAX_AHEAD: u64 = 1 << 20;

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
    pub fn new(meta: Meta, standing: Arc<Standing>, about: About) -> Self {
        Self {
            meta: Arc::new(meta),
            meta_version: 1,
            base_known: false,
            may_be_quiet: false,
            standing,
            about,
            numbered_elsewhere: false,
        }
    }

    pub fn numbered_elsewhere(self, numbered_elsewhere: bool) -> Self {
        Self { numbered_elsewhere, ..self }
    }

    /// A former epoch tells no state: the present one does.
    pub fn without_state(self) -> Self {
        Self { about: About::Nothing, ..self }
    }

    pub fn epoch(&self) -> u64 {
        self.meta.epoch
    }

    /// Starts a new epoch, or tells of new properties within the same one. The feed state stays: it is not about the scale.
    pub fn redefine(&mut self, meta: &Meta) -> Redefined {
        if meta.epoch != self.meta.epoch {
            let Self { may_be_quiet, numbered_elsewhere, .. } = *self;
            *self = Self { may_be_quiet, numbered_elsewhere, ..Self::new(meta.clone(), self.standing.clone(), self.about) };
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

    /// An update is about to be published: if its channel was quiet, it no longer is.
    #[inline]
    pub fn wake(&mut self, stamp: &Stamp) -> Changed {
        if self.may_be_quiet { self.wake_channel(stamp) } else { Changed::default() }
    }

    #[cold]
    fn wake_channel(&mut self, stamp: &Stamp) -> Changed {
        self.may_be_quiet = false;
        let About::Channel(channel) = self.about else { return Changed::default() };
        self.standing.wake(channel, stamp)
    }

    /// The channel was made quiet from elsewhere.
    pub fn expect_wake(&mut self) {
        self.may_be_quiet = true;
    }

    /// Time passes since the last update.
    pub fn pass(&mut self, last: Nanos, now: &Stamp) -> Changed {
        let About::Channel(channel) = self.about else { return Changed::default() };
        let changed = self.standing.pass(channel, last, now);
        self.may_be_quiet |= self.standing.is_quiet(channel);
        changed
    }

    /// The time that records of this topic carry; `known` where the venue gives none for this one update.
    pub fn time(&self, stamp: &Stamp, known: Nanos) -> Nanos {
        stamp.time(self.meta.clock, known)
    }

    /// The flag of values that are known to be old.
    fn staleness(&self) -> Flags {
        match self.about {
            About::Channel(channel) if self.standing.is_stale(channel) => Flags::STALE,
            _ => Flags::default(),
        }
    }

    /// Emits `Meta` and `State` as far as the cursor lacks them. The second result is true if the data must follow as a
    /// snapshot; `seq` is the newest sequence of this epoch.
    pub fn begin(&self, cursor: &Cursor, seq: u64, emit: &mut Emit<'_>) -> (Cursor, bool) {
        let continues = cursor.start == Start::At && cursor.epoch == self.epoch();
        let mut next = if continues { *cursor } else { Cursor { start: cursor.start, epoch: self.epoch(), ..Cursor::NEW } };
        if next.meta_version != self.meta_version {
            emit(&self.meta, &self.statement(0, RecordBody::Meta(&self.meta)));
            next.meta_version = self.meta_version;
            next.previous_id = None;
        }
        if let About::Channel(channel) = self.about
            && next.state_version != self.standing.version(self.about)
        {
            let (status, version) = self.standing.status(channel);
            emit(&self.meta, &self.statement(status.since, RecordBody::State(status)));
            next.state_version = version;
        }
        (next, !continues || (cursor.seq > seq && !self.awaits(cursor.seq, seq)))
    }

    /// True of a subscriber who is ahead of `seq`, the newest sequence here: nothing is sent until this topic has gone by the place
    /// `held`. What comes then leads on from there.
    pub fn awaits(&self, held: u64, seq: u64) -> bool {
        self.numbered_elsewhere && held > seq && held - seq <= MAX_AHEAD
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
        let flags = flags.with(Flags::SNAPSHOT).with(self.staleness());
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
        let flags = if seq - next.seq > 1 { flags.with(Flags::CONFLATED) } else { flags }.with(self.staleness());
        self.step(next, seq, time, flags, body, emit)
    }

    /// Emits a record that moves the sequence from the cursor's to `seq`.
    pub fn step(&self, next: Cursor, seq: u64, time: Nanos, flags: Flags, body: RecordBody<'_>, emit: &mut Emit<'_>) -> Cursor {
        emit(&self.meta, &Record { topic: self.meta.topic, flags, sequence: seq - next.seq, time, body });
        Cursor { seq, ..next }
    }
}
