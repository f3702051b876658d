//! The book of one instrument. In: diffs and snapshots. Out: one book event for each that was applied, or the book is given up.
//! Bounded by the sequencer's limits. Levels keep the venue's order.

use super::super::decode::{DepthText, Levels, Snapshot};
use super::scale::Misfit;
use super::{Market, Need, event};
use crate::adapter::{Fault, FaultKind, Now, Output};
use crate::sequencer::{Diff, Splice, Verdict};
use std::ops::Range;
use wire::event::{Cause, Channel, EventBody, FeedState, Quote};

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
    pub fn on_diff(&mut self, now: Now, text: &DepthText<'_, '_>, overlap: bool, out: &mut Output) -> Need {
        // The other line still has what is missing here; unless it has been here already, and had not either.
        if overlap
            && self.sequencer.skips(&Diff { first: text.first, last: text.last, ..Diff::default() })
            && text.last > self.early_diff
        {
            self.early_diff = text.last;
            return Need::Nothing;
        }
        let start = out.batch.levels.len();
        let mut need = Need::Nothing;
        let bids = match self.sides(&text.bids, &text.asks, out) {
            Ok(bids) => Ok(bids),
            Err(misfit) => self.fit(now, misfit, text.bids.clone().chain(text.asks.clone()), out).and_then(|wanted| {
                need = wanted;
                self.sides(&text.bids, &text.asks, out)
            }),
        };
        let Ok(bids) = bids else {
            self.bad(out, "depthUpdate", text.first);
            return self.give_up(now, Cause::BadData, out).max(need);
        };
        let (bid_levels, ask_levels) = out.batch.levels[start..].split_at(bids - start);
        let verdict = self.sequencer.on_diff(&Diff {
            first: text.first,
            last: text.last,
            previous: None,
            event_time: text.time,
            received: now.wall,
            bids: bid_levels,
            asks: ask_levels,
        });
        if verdict == Verdict::Apply {
            let end = out.batch.levels.len();
            self.data(now, Channel::Book, out);
            let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: false };
            self.emit(out, text.time, now.wall, body);
            return Need::Nothing;
        }
        out.batch.levels.truncate(start);
        self.not_applied(now, verdict, text, overlap, out).max(need)
    }

    pub(super) fn not_applied(
        &mut self,
        now: Now,
        verdict: Verdict,
        text: &DepthText<'_, '_>,
        overlap: bool,
        out: &mut Output,
    ) -> Need {
        let native = &self.instrument.native;
        let mut fault = |kind, detail: String| out.faults.push(Fault { kind, detail });
        match verdict {
            Verdict::Ignored => return Need::SnapshotAndRepeat,
            Verdict::Duplicate => self.duplicate(overlap, "depthUpdate", text.last, out),
            Verdict::Gap { missing } => {
                fault(FaultKind::SequenceGap, format!("{native}: {missing} book updates missing before {}", text.first));
                return match self.give_up(now, Cause::SequenceGap, out) {
                    Need::Nothing => Need::Nothing,
                    _ => Need::SnapshotAndRepeat,
                };
            }
            Verdict::Full => fault(FaultKind::BufferFull, format!("{native}: no room for more book updates")),
            Verdict::Malformed => fault(FaultKind::BadMessage, format!("{native}: depthUpdate ends before it begins")),
            Verdict::Apply | Verdict::Kept => {}
        }
        Need::Nothing
    }

    pub fn on_snapshot(&mut self, now: Now, snapshot: &Snapshot<'_, '_>, out: &mut Output) -> Spliced {
        if self.sequencer.is_live() {
            return Spliced::Unasked;
        }
        let bids = match self.sides(&snapshot.bids, &snapshot.asks, out) {
            Ok(bids) => Ok(bids),
            Err(misfit) => self
                .fit(now, misfit, snapshot.bids.clone().chain(snapshot.asks.clone()), out)
                .and_then(|_| self.sides(&snapshot.bids, &snapshot.asks, out)),
        };
        let Ok(bids) = bids else {
            self.bad(out, "snapshot", snapshot.last_update_id);
            return Spliced::Unusable;
        };
        let end = out.batch.levels.len();
        let start = end - snapshot.bids.clone().count() - snapshot.asks.clone().count();
        match self.sequencer.on_snapshot(snapshot.last_update_id) {
            Splice::Live => {}
            refused => {
                out.batch.levels.truncate(start);
                return if refused == Splice::TooOld { Spliced::TooOld } else { Spliced::Unasked };
            }
        }
        let body = EventBody::Book { bids: start as u32..bids as u32, asks: bids as u32..end as u32, snapshot: true };
        self.emit(out, 0, now.wall, body);
        self.quote_from_book(now, snapshot.last_update_id, start..bids, bids..end, out);
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
        Spliced::Live
    }

    /// The quote stream speaks only when the quote changes. Until it does after a (re)connect, the snapshot's best prices are the
    /// quote; their update ids count the same.
    pub(super) fn quote_from_book(&mut self, now: Now, last_id: u64, bids: Range<usize>, asks: Range<usize>, out: &mut Output) {
        if !self.quote_is_awaited() || self.quotes.last().is_some_and(|last| last > last_id) {
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
    pub(super) fn sides(&self, bids: &Levels<'_, '_>, asks: &Levels<'_, '_>, out: &mut Output) -> Result<usize, Misfit> {
        let start = out.batch.levels.len();
        let mut middle = start;
        for (side, levels) in [bids, asks].into_iter().enumerate() {
            if side == 1 {
                middle = out.batch.levels.len();
            }
            for pair in levels.clone() {
                match pair.ok_or(Misfit::Bad).and_then(|(price, size)| self.priced(price, size)) {
                    Ok(level) => out.batch.levels.push(level),
                    Err(misfit) => {
                        out.batch.levels.truncate(start);
                        return Err(misfit);
                    }
                }
            }
        }
        Ok(middle)
    }

    /// The book cannot be continued.
    pub fn give_up(&mut self, now: Now, cause: Cause, out: &mut Output) -> Need {
        if self.sequencer.is_keeping() {
            return Need::Nothing;
        }
        self.sequencer.reset();
        self.tell(now, Channel::Book, FeedState::Resyncing, cause, out);
        Need::Snapshot
    }
}
