//! The tape of a trade topic. In: trades and upstream gaps, each one step of the sequence. Out: each of them, or one summary of a
//! window, or a stated gap. Bounded: a ring of `trade_ring` entries; totals and extremes reach further back than the ring.

use super::cursor::{Cursor, Missing, Start, Sums};
use super::extremes::Extremes;
use super::head::{Emit, Head, Redefined};
use super::map::Totals;
use super::publish::Stamp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wire::event::{Cause, Flags, Nanos, Trade};
use wire::record::{Clock, Meta, RecordBody, TradeRecord, TradeSummary};
use wire::request::TradeMode;
use wire::view::trade_hash;

#[derive(Debug)]
pub(super) struct TapeState {
    pub head: Head,
    /// Of the newest entry; counts trades and gap markers.
    seq: u64,
    sums: Sums,
    ring: VecDeque<Entry>,
    capacity: usize,
    /// Totals and time where the ring begins.
    tail: Sums,
    tail_time: Nanos,
    /// Of the newest entry.
    time: Nanos,
    /// That of `Meta`, whose memory is cold in a large market.
    clock: Clock,
    /// Newest trade, also after the ring filled up with gap markers.
    last: Option<Entry>,
    /// There were later ones that are not known here.
    last_is_old: bool,
    highs: Extremes<true>,
    lows: Extremes<false>,
    /// Where the tapes of former epochs were cut off, newest last: of the last `MAX_FORMER`.
    former: VecDeque<Former>,
    totals: Arc<Totals>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: Nanos,
    flags: Flags,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Trade(Trade),
    Gap { cause: Cause, missing: Option<u64> },
}

#[derive(Debug)]
struct Former {
    /// Tells no state: the present epoch does.
    head: Head,
    seq: u64,
    sums: Sums,
    /// Trades of later epochs that were cut off too; `None` if nobody knows how many.
    later: Option<u64>,
}

/// A venue that shows finer and finer numbers redefines its instrument a few times within seconds, hardly ever more.
const MAX_FORMER: usize = 8;

impl TapeState {
    pub fn new(head: Head, capacity: usize, totals: Arc<Totals>) -> Self {
        let capacity = capacity.max(1);
        // A monotone stack is as long as a one-way move has distinct prices. Such a move must be longer than the whole ring
        // before the extremes reach back less far than a slow client's window.
        let extremes = capacity.max(2);
        let clock = head.meta.clock;
        Self {
            head,
            seq: 0,
            sums: Sums::default(),
            ring: VecDeque::new(),
            capacity,
            tail: Sums::default(),
            tail_time: 0,
            time: 0,
            clock,
            last: None,
            last_is_old: false,
            highs: Extremes::new(extremes),
            lows: Extremes::new(extremes),
            former: VecDeque::new(),
            totals,
        }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A new epoch starts with an empty tape; who was behind is told how many trades were cut off. True if there is news.
    pub fn redefine(&mut self, meta: &Meta) -> bool {
        let former = Former { head: self.head.clone().without_state(), seq: self.seq, sums: self.sums, later: Some(0) };
        let redefined = self.head.redefine(meta);
        self.clock = meta.clock;
        if redefined == Redefined::Epoch {
            let all = (self.sums.unknown == 0).then(|| self.sums.count.wrapping_add(self.sums.missing));
            for earlier in &mut self.former {
                earlier.later = earlier.later.zip(all).map(|(later, all)| later.wrapping_add(all));
            }
            if self.former.len() == MAX_FORMER {
                self.former.pop_front();
            }
            self.former.push_back(former);
            self.ring.clear();
            self.highs.clear();
            self.lows.clear();
            (self.seq, self.sums, self.tail, self.last) = (0, Sums::default(), Sums::default(), None);
            (self.time, self.tail_time, self.last_is_old) = (0, 0, false);
        }
        redefined != Redefined::Nothing
    }

    pub fn publish(&mut self, trade: &Trade, stamp: &Stamp) {
        self.sums.add_trade(trade.price, trade.size);
        self.last = Some(self.push(What::Trade(*trade), stamp));
        self.last_is_old = false;
        self.highs.push(self.seq, trade.price, self.sums);
        self.lows.push(self.seq, trade.price, self.sums);
        self.head.anchor(Some(trade.price));
    }

    pub fn publish_gap(&mut self, missing: Option<u64>, cause: Cause, stamp: &Stamp) {
        self.sums.add_gap(missing, cause);
        self.push(What::Gap { cause, missing }, stamp);
    }

    /// Goes on at a place that another node gave: what lies before it is missing here, and the ring begins anew. False if it has been
    /// there already.
    pub fn skip_to(&mut self, seq: u64, missing: Option<u64>, cause: Cause, stamp: &Stamp) -> bool {
        if seq <= self.seq {
            return false;
        }
        self.sums.add_gap(missing, cause);
        self.ring.clear();
        self.time = stamp.time(self.clock, self.time);
        (self.seq, self.tail, self.tail_time, self.last_is_old) = (seq, self.sums, self.time, true);
        true
    }

    /// There was a later trade, which is not known here.
    pub fn doubt_last(&mut self) {
        self.last_is_old = true;
    }

    /// The newest trade at the place that `skip_to` led to, or before it: shown, but not on the tape.
    pub fn show(&mut self, trade: &Trade, stamp: &Stamp) {
        self.last = Some(Entry { time: self.time, flags: stamp.quality(), what: What::Trade(*trade) });
        self.last_is_old = false;
        self.head.anchor(Some(trade.price));
    }

    fn push(&mut self, what: What, stamp: &Stamp) -> Entry {
        self.time = stamp.time(self.clock, self.time);
        let entry = Entry { time: self.time, flags: stamp.quality(), what };
        if self.ring.len() == self.capacity
            && let Some(oldest) = self.ring.pop_front()
        {
            self.tail.add(&oldest.what);
            self.tail_time = oldest.time;
        }
        self.ring.push_back(entry);
        self.seq += 1;
        entry
    }

    /// Sequence just before the ring's first entry.
    fn tail_seq(&self) -> u64 {
        self.seq - self.ring.len() as u64
    }

    pub fn hash(&self) -> u32 {
        trade_hash(self.seq)
    }

    /// True if the ring still has all that came after `seq`.
    pub fn reaches(&self, seq: u64) -> bool {
        (self.tail_seq()..=self.seq).contains(&seq) || self.head.awaits(seq, self.seq)
    }

    pub fn since(&self, cursor: &Cursor, mode: TradeMode, max_records: usize, emit: &mut Emit<'_>) -> Cursor {
        let former = self.former.iter().find(|former| cursor.start == Start::At && cursor.epoch == former.head.epoch());
        let told = former.is_some_and(|former| former.tell_cut_off(cursor, emit));
        let (mut next, fresh) = self.head.begin(cursor, self.seq, emit);
        if let Start::Back(n) = next.start {
            next = self.snapshot_back(next, n, emit);
        } else if fresh && former.is_none() {
            return self.snapshot(next, emit);
        } else if fresh {
            // Who was there before the redefinition gets the new epoch from its first trade on.
            let start = Cursor { sums: Sums::default(), sums_known: true, previous_id: None, ..next };
            let time = self.ring.front().map_or(self.tail_time, |entry| entry.time);
            next = self.head.snapshot(start, 0, time, Flags::default(), RecordBody::Tape, emit);
        }
        if next.seq > self.seq {
            return next;
        }
        if next.seq == self.seq {
            return Cursor { sums: self.sums, sums_known: true, ..next };
        }
        match mode {
            TradeMode::Every if told && max_records <= 1 => next,
            TradeMode::Every => self.every(next, (max_records - usize::from(told)).max(1), emit),
            TradeMode::Summary => self.summary(next, emit),
        }
    }

    fn snapshot(&self, next: Cursor, emit: &mut Emit<'_>) -> Cursor {
        let wants_last = next.start != Start::Now && !self.last_is_old;
        let (time, flags, body, previous_id) = match self.last.filter(|_| wants_last) {
            Some(Entry { time, flags, what: What::Trade(trade) }) => (time, flags, trade_body(&trade, None), trade.id),
            _ => (self.time, Flags::default(), RecordBody::Tape, None),
        };
        let next = Cursor { sums: self.sums, sums_known: true, previous_id, ..next };
        self.head.snapshot(next, self.seq, time, flags, body, emit)
    }

    /// An empty tape that ends before the newest `n` entries: they come as for somebody who stood there.
    fn snapshot_back(&self, next: Cursor, n: u32, emit: &mut Emit<'_>) -> Cursor {
        let skipped = self.ring.len().saturating_sub(n as usize);
        let seq = self.tail_seq() + skipped as u64;
        let time = skipped.checked_sub(1).map_or(self.tail_time, |before| self.ring[before].time);
        let next = Cursor { sums: self.sums_at(seq), sums_known: true, ..next };
        self.head.snapshot(next, seq, time, Flags::default(), RecordBody::Tape, emit)
    }

    /// What lies between the cursor and the ring, or in a former epoch: what `every` would now tell as a gap of our making.
    pub fn missing(&self, cursor: &Cursor) -> Missing {
        let former = self.former.iter().find(|former| cursor.epoch == former.head.epoch());
        let (place, cut_off) = match former {
            _ if cursor.start != Start::At => return Missing::None,
            Some(former) if cursor.seq <= former.seq => {
                let start = Cursor { epoch: self.head.epoch(), seq: 0, sums: Sums::default(), sums_known: true, ..*cursor };
                (start, former.cut_off(cursor))
            }
            None if cursor.epoch == self.head.epoch() && (cursor.seq <= self.seq || self.head.awaits(cursor.seq, self.seq)) => {
                (*cursor, Some(0))
            }
            _ => return Missing::Unknown,
        };
        let overrun = if place.seq < self.tail_seq() { lost(&place, self.tail_seq(), &self.tail) } else { Some(0) };
        match cut_off.zip(overrun).map(|(cut_off, overrun)| cut_off.wrapping_add(overrun)) {
            Some(0) => Missing::None,
            Some(count) => Missing::Count(count),
            None => Missing::Unknown,
        }
    }

    fn every(&self, mut next: Cursor, max_records: usize, emit: &mut Emit<'_>) -> Cursor {
        let mut left = max_records;
        let tail_seq = self.tail_seq();
        if next.seq < tail_seq {
            self.totals.overruns.fetch_add(1, Ordering::Relaxed);
            let body = RecordBody::Gap { cause: Cause::Overrun, missing: lost(&next, tail_seq, &self.tail) };
            next = self.head.step(next, tail_seq, self.tail_time, Flags::default(), body, emit);
            next = Cursor { sums: self.tail, sums_known: true, previous_id: None, ..next };
            left -= 1;
        }
        if !next.sums_known {
            next = Cursor { sums: self.sums_at(next.seq), sums_known: true, ..next };
        }
        for entry in self.ring.range((next.seq - tail_seq) as usize..).take(left) {
            let (body, id) = match &entry.what {
                What::Trade(trade) => (trade_body(trade, next.previous_id), trade.id),
                What::Gap { cause, missing } => (RecordBody::Gap { cause: *cause, missing: *missing }, None),
            };
            next = self.head.step(next, next.seq + 1, entry.time, entry.flags, body, emit);
            next.previous_id = id;
            next.sums.add(&entry.what);
        }
        next
    }

    /// One record for the window: first what is not known of it, as one gap, then the summary of the rest.
    fn summary(&self, next: Cursor, emit: &mut Emit<'_>) -> Cursor {
        let (from_seq, from) = self.window(&next);
        let count = self.sums.count - from.count;
        let marks = self.seq - from_seq - count;
        let time = self.time;
        let mut at = next;
        if from_seq > next.seq || marks > 0 {
            let inside = (self.sums.unknown == from.unknown).then(|| self.sums.missing.wrapping_sub(from.missing));
            let before = lost(&next, from_seq, &from);
            let missing = before.zip(inside).map(|(before, inside)| before + inside);
            let cause = if from_seq > next.seq {
                self.totals.overruns.fetch_add(1, Ordering::Relaxed);
                Cause::Overrun
            } else {
                self.sums.cause
            };
            at = self.head.step(at, from_seq + marks, time, Flags::default(), RecordBody::Gap { cause, missing }, emit);
        }
        if let Some(summary) = self.summarize(from_seq, &from) {
            let (time, flags) = self.last.map_or((time, Flags::default()), |last| (last.time, last.flags));
            let flags = if count > 1 { flags.with(Flags::CONFLATED) } else { flags };
            at = self.head.step(at, self.seq, time, flags, RecordBody::Summary(summary), emit);
        }
        Cursor { sums: self.sums, sums_known: true, previous_id: None, ..at }
    }

    /// Where the part of the cursor's window begins of which everything is known, and the totals there.
    fn window(&self, cursor: &Cursor) -> (u64, Sums) {
        let tail = (self.tail_seq(), self.tail);
        let from = if cursor.sums_known {
            (cursor.seq, cursor.sums)
        } else if cursor.seq >= tail.0 {
            (cursor.seq, self.sums_at(cursor.seq))
        } else {
            tail
        };
        // High and low are known from here on: by the stacks, or in a long one-way move by the ring.
        let floors = [self.highs.floor(), self.lows.floor()].into_iter().flatten();
        let known = floors.max_by_key(|floor| floor.0).map(|floor| if floor.0 < tail.0 { floor } else { tail });
        known.filter(|known| from.0 < known.0).unwrap_or(from)
    }

    fn summarize(&self, from_seq: u64, from: &Sums) -> Option<TradeSummary> {
        let What::Trade(last) = self.last?.what else { return None };
        (self.sums.count > from.count).then(|| TradeSummary {
            last: last.price,
            high: self.extreme(&self.highs, from_seq).unwrap_or(last.price),
            low: self.extreme(&self.lows, from_seq).unwrap_or(last.price),
            count: self.sums.count - from.count,
            volume: self.sums.volume.wrapping_sub(from.volume),
            notional: self.sums.notional.wrapping_sub(from.notional),
        })
    }

    fn extreme<const HIGHEST: bool>(&self, extremes: &Extremes<HIGHEST>, from_seq: u64) -> Option<i64> {
        if extremes.floor().is_none_or(|floor| floor.0 <= from_seq) {
            return extremes.after(from_seq);
        }
        // `window` begins before the floor only where the ring has all of it.
        let entries = self.ring.range(from_seq.saturating_sub(self.tail_seq()) as usize..);
        extremes.among(entries.filter_map(|entry| if let What::Trade(trade) = entry.what { Some(trade.price) } else { None }))
    }

    /// Totals at a sequence that the ring reaches.
    fn sums_at(&self, seq: u64) -> Sums {
        let mut sums = self.tail;
        for entry in self.ring.range(..(seq - self.tail_seq()) as usize) {
            sums.add(&entry.what);
        }
        sums
    }
}

impl Former {
    /// The last act of a former epoch, for a subscriber who holds a place in it. True if there was anything to tell.
    fn tell_cut_off(&self, cursor: &Cursor, emit: &mut Emit<'_>) -> bool {
        let Self { head, seq, later, .. } = self;
        if cursor.seq > *seq || (cursor.seq == *seq && *later == Some(0)) {
            return false;
        }
        let (next, _) = head.begin(cursor, *seq, emit);
        let missing = self.cut_off(cursor);
        // A gap moves by one at least; nobody goes on from there.
        let end = (*seq).max(cursor.seq + 1);
        head.step(next, end, 0, Flags::default(), RecordBody::Gap { cause: Cause::Redefinition, missing }, emit);
        true
    }

    /// Trades after the cursor, in its epoch and in later ones that are over as well; `None` if nobody knows how many.
    fn cut_off(&self, cursor: &Cursor) -> Option<u64> {
        lost(cursor, self.seq, &self.sums).zip(self.later).map(|(lost, later)| lost.wrapping_add(later))
    }
}

impl Sums {
    fn add(&mut self, what: &What) {
        match what {
            What::Trade(trade) => self.add_trade(trade.price, trade.size),
            What::Gap { cause, missing } => self.add_gap(*missing, *cause),
        }
    }
}

/// How many trades lie between the cursor and `seq`, with those that are missing upstream; `None` if nobody knows.
fn lost(cursor: &Cursor, seq: u64, sums: &Sums) -> Option<u64> {
    if cursor.seq == seq {
        Some(0)
    } else if cursor.sums_known {
        let known = sums.unknown == cursor.sums.unknown;
        known.then(|| (sums.count - cursor.sums.count).wrapping_add(sums.missing.wrapping_sub(cursor.sums.missing)))
    } else {
        // Only the distance is known. It counts gap markers too, so it will do only where there has been none.
        (sums.count == seq).then(|| seq - cursor.seq)
    }
}

fn trade_body(trade: &Trade, previous_id: Option<i64>) -> RecordBody<'static> {
    let Trade { price, size, aggressor, id, aggregated } = *trade;
    RecordBody::Trade(TradeRecord { price, size, aggressor, id, previous_id, aggregated })
}
