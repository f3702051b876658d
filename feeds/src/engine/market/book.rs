//! The book of one instrument. In: updates and snapshots. Out: one book event for each that was applied, or the book is given up.
//! Bounded by the sequencer's limits and by the depth the venue sends. Levels keep the venue's order.

use super::super::decoded::{BookUpdate, RawLevel};
use super::super::ladder::Ladder;
use super::super::lines::Came;
use super::scale::Misfit;
use super::{Market, Need, event};
use crate::adapter::{Fault, FaultKind, Line, Now, Output};
use crate::sequencer::{Diff, Rule, Splice, Verdict};
use std::ops::Range;
use wire::event::{Cause, Channel, EventBody, FeedState, Level, Nanos, Quote};

/// One decoded book message.
#[derive(Clone, Copy)]
pub struct BookMessage<'a> {
    pub update: &'a BookUpdate,
    pub bids: &'a [RawLevel],
    pub asks: &'a [RawLevel],
}

impl BookMessage<'_> {
    pub(super) fn levels(&self) -> impl Iterator<Item = RawLevel> {
        self.bids.iter().chain(self.asks).copied()
    }
}

/// What came of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spliced {
    Live,
    /// Ask again.
    TooOld,
    /// It could not be read; the fault is reported.
    Unusable,
    /// The book did not wait for one.
    Unasked,
}

impl Market {
    /// A message of the book's subscription. `checksum` computes the venue's checksum.
    pub fn on_book(
        &mut self,
        now: Now,
        line: Line,
        message: BookMessage<'_>,
        came: Came,
        checksum: &mut dyn FnMut(&Ladder) -> u32,
        out: &mut Output,
    ) -> Need {
        if self.arbiter.is_some() {
            return self.arbitrate_book(now, message, came, checksum, out);
        }
        let overlap = came.overlap;
        if !self.rules.in_band {
            return self.on_diff(now, message, overlap, out);
        }
        let anew = self.rules.restart_floor.is_some_and(|floor| message.update.last <= floor);
        if message.update.snapshot || anew {
            // The newer of two lines takes the book over with its snapshot; the older one's is old by then.
            if self.book_line.is_some_and(|owner| line < owner) {
                return Need::Nothing;
            }
            self.book_line = Some(line);
            return self.on_whole(now, message, checksum, out);
        }
        if self.book_line != Some(line) || !self.sequencer.is_live() {
            // Waiting for a snapshot, or the other line's.
            return Need::Nothing;
        }
        self.on_change(now, message, overlap, checksum, out)
    }

    pub(super) fn on_whole(
        &mut self,
        now: Now,
        message: BookMessage<'_>,
        checksum: &mut dyn FnMut(&Ladder) -> u32,
        out: &mut Output,
    ) -> Need {
        self.ladder.clear();
        self.sequencer.reset();
        let start = out.batch.levels.len();
        let bids = match self.sides(message, out) {
            Err(misfit) => self.fit(now, misfit, message.levels(), out).and_then(|_| self.sides(message, out)),
            bids => bids,
        };
        // A redefinition may have put something in front.
        let Ok(bids) = bids else {
            self.bad(out, "snapshot", message.update.last);
            self.tell(now, Channel::Book, FeedState::Resyncing, Cause::BadData, out);
            return Need::Snapshot;
        };
        let start = start.max(bids - message.bids.len());
        if self.rules.ladder {
            for (level, raw) in out.batch.levels[start..bids].iter().zip(message.bids) {
                self.ladder.apply(true, level.price, *raw);
            }
            for (level, raw) in out.batch.levels[bids..].iter().zip(message.asks) {
                self.ladder.apply(false, level.price, *raw);
            }
            if let Some(depth) = self.rules.depth {
                for bid in [true, false] {
                    while self.ladder.cut(bid, depth).is_some() {}
                }
            }
            if message.update.checksum.is_some_and(|expected| expected != checksum(&self.ladder)) {
                out.batch.levels.truncate(start);
                return self.mismatch(now, out);
            }
        }
        self.sequencer.restart(message.update.last);
        self.awaited_since = None;
        let end = out.batch.levels.len();
        self.data(now, Channel::Book, out);
        let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: true };
        self.emit(out, message.update.time, now.wall, body);
        self.quote_from_book(now, message.update.last, start..bids, bids..end, out);
        Need::Nothing
    }

    pub(super) fn on_change(
        &mut self,
        now: Now,
        message: BookMessage<'_>,
        overlap: bool,
        checksum: &mut dyn FnMut(&Ladder) -> u32,
        out: &mut Output,
    ) -> Need {
        let bids = match self.sides(message, out) {
            Err(misfit) => self.fit(now, misfit, message.levels(), out).and_then(|need| {
                // A book that has to start over has nothing to change.
                if need == Need::Nothing { self.sides(message, out) } else { Ok(usize::MAX) }
            }),
            bids => bids,
        };
        let Ok(bids) = bids else {
            self.bad(out, "book update", message.update.last);
            return self.give_up(now, Cause::BadData, out);
        };
        if bids == usize::MAX {
            return Need::Snapshot;
        }
        let start = bids - message.bids.len();
        if self.rules.rule != Rule::Free {
            let (bid_levels, ask_levels) = out.batch.levels[start..].split_at(bids - start);
            let verdict = self.sequencer.on_diff(&diff(now, message.update, bid_levels, ask_levels));
            if verdict != Verdict::Apply {
                out.batch.levels.truncate(start);
                return self.not_applied(now, verdict, message.update, overlap, out);
            }
        }
        let mut bids = bids;
        if self.rules.ladder {
            match self.climb(message, start, bids, out) {
                Some(new_bids) => bids = new_bids,
                None => {
                    out.batch.levels.truncate(start);
                    let detail = format!("{}: a level was deleted that is not there", self.instrument.native);
                    out.faults.push(Fault { kind: FaultKind::SequenceGap, detail });
                    return self.give_up(now, Cause::SequenceGap, out);
                }
            }
            if message.update.checksum.is_some_and(|expected| expected != checksum(&self.ladder)) {
                out.batch.levels.truncate(start);
                return self.mismatch(now, out);
            }
        }
        let end = out.batch.levels.len();
        self.data(now, Channel::Book, out);
        let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: false };
        self.emit(out, message.update.time, now.wall, body);
        Need::Nothing
    }

    /// Applies the levels at `start..` to the kept book, and adds deletes for those that fall out at its end, which the venue
    /// leaves out. Returns where the asks begin now; `None`: a level is missing.
    fn climb(&mut self, message: BookMessage<'_>, start: usize, bids: usize, out: &mut Output) -> Option<usize> {
        let levels = &mut out.batch.levels;
        let mut orphan = false;
        for (level, raw) in levels[start..bids].iter().zip(message.bids) {
            orphan |= !self.ladder.apply(true, level.price, *raw);
        }
        for (level, raw) in levels[bids..].iter().zip(message.asks) {
            orphan |= !self.ladder.apply(false, level.price, *raw);
        }
        if orphan && self.rules.orphans_count {
            return None;
        }
        let mut asks = bids;
        if let Some(depth) = self.rules.depth {
            while let Some(gone) = self.ladder.cut(true, depth) {
                levels.insert(asks, gone);
                asks += 1;
            }
            while let Some(gone) = self.ladder.cut(false, depth) {
                levels.push(gone);
            }
        }
        Some(asks)
    }

    fn mismatch(&mut self, now: Now, out: &mut Output) -> Need {
        let detail = format!("{}: the book's checksum is another", self.instrument.native);
        out.faults.push(Fault { kind: FaultKind::ChecksumMismatch, detail });
        self.sequencer.reset();
        self.ladder.clear();
        self.tell(now, Channel::Book, FeedState::Resyncing, Cause::ChecksumMismatch, out);
        Need::Snapshot
    }

    /// The whole book once more, at a new scale.
    pub(super) fn repeat_book(&mut self, now: Now, out: &mut Output) {
        self.put_whole_book(now, 0, out);
    }

    /// The book of another line takes the place of this one.
    pub(super) fn tell_whole_book(&mut self, now: Now, time: Nanos, out: &mut Output) {
        self.data(now, Channel::Book, out);
        self.put_whole_book(now, time, out);
    }

    fn put_whole_book(&mut self, now: Now, time: Nanos, out: &mut Output) {
        let start = out.batch.levels.len();
        let mut bids = start;
        for side in 0..2 {
            let levels: &mut dyn Iterator<Item = &RawLevel> =
                if side == 0 { &mut self.ladder.bids() } else { &mut self.ladder.asks() };
            for raw in levels {
                if let Ok(level) = self.level(*raw) {
                    out.batch.levels.push(level);
                }
            }
            if side == 0 {
                bids = out.batch.levels.len();
            }
        }
        let end = out.batch.levels.len();
        let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: true };
        self.emit(out, time, now.wall, body);
    }

    pub(super) fn on_diff(&mut self, now: Now, message: BookMessage<'_>, overlap: bool, out: &mut Output) -> Need {
        let update = message.update;
        // The other line still has what is missing here; unless it has been here already, and had not either.
        if overlap && self.sequencer.skips(&diff(now, update, &[], &[])) && update.last > self.early_diff {
            self.early_diff = update.last;
            return Need::Nothing;
        }
        let mut need = Need::Nothing;
        let bids = match self.sides(message, out) {
            Err(misfit) => self.fit(now, misfit, message.levels(), out).and_then(|wanted| {
                need = wanted;
                self.sides(message, out)
            }),
            bids => bids,
        };
        let Ok(bids) = bids else {
            self.bad(out, "book update", update.first);
            return self.give_up(now, Cause::BadData, out).max(need);
        };
        let start = bids - message.bids.len();
        let (bid_levels, ask_levels) = out.batch.levels[start..].split_at(bids - start);
        let verdict = self.sequencer.on_diff(&diff(now, update, bid_levels, ask_levels));
        if verdict == Verdict::Apply {
            let end = out.batch.levels.len();
            self.data(now, Channel::Book, out);
            let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: false };
            self.emit(out, update.time, now.wall, body);
            return Need::Nothing;
        }
        out.batch.levels.truncate(start);
        self.not_applied(now, verdict, update, overlap, out).max(need)
    }

    fn not_applied(&mut self, now: Now, verdict: Verdict, update: &BookUpdate, overlap: bool, out: &mut Output) -> Need {
        let native = &self.instrument.native;
        let mut fault = |kind, detail: String| out.faults.push(Fault { kind, detail });
        match verdict {
            Verdict::Ignored => return Need::SnapshotAndRepeat,
            Verdict::Duplicate => self.duplicate(overlap, "book update", update.last, out),
            Verdict::Gap { missing } => {
                let (missing, at) =
                    (if self.rules.rule == Rule::Chain { "some".to_owned() } else { missing.to_string() }, update.first);
                fault(FaultKind::SequenceGap, format!("{native}: {missing} book updates missing before {at}"));
                return match self.give_up(now, Cause::SequenceGap, out) {
                    Need::Nothing => Need::Nothing,
                    _ => Need::SnapshotAndRepeat,
                };
            }
            Verdict::Full => fault(FaultKind::BufferFull, format!("{native}: no room for more book updates")),
            Verdict::Malformed => fault(FaultKind::BadMessage, format!("{native}: a book update ends before it begins")),
            Verdict::Apply | Verdict::Kept => {}
        }
        Need::Nothing
    }

    /// The answer to a request for a snapshot.
    pub fn on_snapshot(&mut self, now: Now, message: BookMessage<'_>, out: &mut Output) -> Spliced {
        if self.sequencer.is_live() {
            return Spliced::Unasked;
        }
        let bids = match self.sides(message, out) {
            Err(misfit) => self.fit(now, misfit, message.levels(), out).and_then(|_| self.sides(message, out)),
            bids => bids,
        };
        let Ok(bids) = bids else {
            self.bad(out, "snapshot", message.update.last);
            return Spliced::Unusable;
        };
        let (start, end) = (bids - message.bids.len(), out.batch.levels.len());
        match self.sequencer.on_snapshot(message.update.last) {
            Splice::Live => {}
            refused => {
                out.batch.levels.truncate(start);
                return if refused == Splice::TooOld { Spliced::TooOld } else { Spliced::Unasked };
            }
        }
        let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: true };
        self.emit(out, 0, now.wall, body);
        self.quote_from_book(now, message.update.last, start..bids, bids..end, out);
        let index = self.index;
        self.sequencer.replay(|diff| {
            let start = out.batch.levels.len();
            out.batch.levels.extend_from_slice(diff.bids);
            out.batch.levels.extend_from_slice(diff.asks);
            let (bids, end) = (start + diff.bids.len(), out.batch.levels.len());
            let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: false };
            out.batch.events.push(event(index, diff.event_time, diff.received, body));
        });
        self.data(now, Channel::Book, out);
        self.spliced(now, message.update.last, out);
        Spliced::Live
    }

    /// Where quotes and books share their numbering, and the quote stream speaks only when the quote changes: until it does after a
    /// (re)connect, the snapshot's best prices are the quote.
    fn quote_from_book(&mut self, now: Now, last_id: u64, bids: Range<usize>, asks: Range<usize>, out: &mut Output) {
        if self.rules.quote_ids != super::QuoteIds::AsBook
            || !self.quote_is_awaited()
            || self.quotes.last().is_some_and(|last| last > last_id)
        {
            return;
        }
        let best = |side: Range<usize>, better: fn(&i64, &i64) -> bool| {
            let levels = out.batch.levels[side].iter().filter(|level| level.size > 0);
            levels.copied().reduce(|best, level| if better(&level.price, &best.price) { level } else { best })
        };
        let (bid, ask) = (best(bids, i64::gt), best(asks, i64::lt));
        let quote = Quote {
            bid_price: bid.map(|level| level.price),
            bid_size: bid.map(|level| level.size),
            ask_price: ask.map(|level| level.price),
            ask_size: ask.map(|level| level.size),
        };
        self.quote_floor = last_id;
        self.last_quote = Some(quote);
        self.data(now, Channel::Quote, out);
        self.emit(out, 0, now.wall, EventBody::Quote(quote));
    }

    /// Appends both sides to the batch, as the venue orders them; returns where the asks begin. On a misfit nothing is appended.
    fn sides(&self, message: BookMessage<'_>, out: &mut Output) -> Result<usize, Misfit> {
        let start = out.batch.levels.len();
        for raw in message.levels() {
            match self.priced(raw) {
                Ok(level) => out.batch.levels.push(level),
                Err(misfit) => {
                    out.batch.levels.truncate(start);
                    return Err(misfit);
                }
            }
        }
        Ok(start + message.bids.len())
    }

    /// The book cannot be continued.
    pub fn give_up(&mut self, now: Now, cause: Cause, out: &mut Output) -> Need {
        if self.sequencer.is_keeping() {
            return Need::Nothing;
        }
        self.sequencer.reset();
        self.ladder.clear();
        self.tell(now, Channel::Book, FeedState::Resyncing, cause, out);
        Need::Snapshot
    }
}

pub(super) fn diff<'a>(now: Now, update: &BookUpdate, bids: &'a [Level], asks: &'a [Level]) -> Diff<'a> {
    Diff {
        first: update.first,
        last: update.last,
        previous: update.previous,
        event_time: update.time,
        received: now.wall,
        bids,
        asks,
    }
}
