//! The last 24 hours of an instrument's trading. In: trades in any order, the venue's time. Out: the fields that changed since a
//! cursor. Bounded: one bucket a minute with trades, `MINUTES` of them; a trade before those is refused, and the caller counts it.
//!
//! The window moves by whole minutes: it holds the minute of now and the 1,439 before it. Sums are exact, because what leaves is
//! subtracted as it was added.

use super::bars::TooLate;
use super::cursor::Cursor;
use super::head::{Emit, Head, Redefined};
use super::span::Span;
use std::collections::VecDeque;
use wire::event::{Flags, Nanos};
use wire::record::{DayStats, Meta, RecordBody, StatsChange};
use wire::view::stats_hash;

const MINUTES: i64 = 24 * 60;
const MINUTE_NS: Nanos = 60_000_000_000;

#[derive(Debug)]
pub(super) struct StatsState {
    pub head: Head,
    seq: u64,
    flags: Flags,
    window: Window,
    value: DayStats,
    /// Sequence of the last change of each field, in the order of `DayStats`.
    changed: [u64; 9],
}

impl StatsState {
    pub fn new(head: Head) -> Self {
        Self { head, seq: 0, flags: Flags::default(), window: Window::default(), value: DayStats::default(), changed: [0; 9] }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A new epoch starts without trades.
    pub fn redefine(&mut self, meta: &Meta) -> Redefined {
        let redefined = self.head.redefine(meta);
        if redefined == Redefined::Epoch {
            (self.seq, self.flags) = (0, Flags::default());
            (self.window, self.value, self.changed) = (Window::default(), DayStats::default(), [0; 9]);
        }
        redefined
    }

    /// Adds trades of one minute. That is news.
    pub fn add(&mut self, trades: &Span, flags: Flags) -> Result<(), TooLate> {
        self.window.add(trades)?;
        self.flags = flags;
        self.head.anchor(Some(trades.open));
        self.take(trades.count);
        Ok(())
    }

    /// True if a trade of this time is not too late.
    pub fn reaches(&self, time: Nanos) -> bool {
        self.window.has(time.div_euclid(MINUTE_NS))
    }

    /// Lets go of what is older than a day at this time of the venue. True if there is news.
    pub fn pass(&mut self, now: Nanos) -> bool {
        self.window.reach(now.div_euclid(MINUTE_NS)) && self.take(1)
    }

    /// Trades were missed about now.
    pub fn miss(&mut self, now: Nanos) -> bool {
        self.window.miss(now.div_euclid(MINUTE_NS));
        self.take(1)
    }

    /// Makes the window's value the topic's, so many updates later. True if there is news.
    fn take(&mut self, updates: u64) -> bool {
        let (old, new) = (self.value, self.window.value());
        let changed = [
            old.last != new.last,
            old.open != new.open,
            old.high != new.high,
            old.low != new.low,
            old.volume != new.volume,
            old.notional != new.notional,
            old.count != new.count,
            old.gaps != new.gaps,
            old.from != new.from,
        ];
        if !changed.contains(&true) {
            return false;
        }
        self.seq += updates;
        self.value = new;
        for (at, changed) in self.changed.iter_mut().zip(changed) {
            if changed {
                *at = self.seq;
            }
        }
        true
    }

    /// `time` is that of the newest trade.
    pub fn since(&self, time: Nanos, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        let (next, fresh) = self.head.begin(cursor, self.seq, emit);
        if fresh {
            let full = StatsChange::full(&self.value);
            return self.head.snapshot(next, self.seq, time, self.flags, RecordBody::Stats(&full), emit);
        }
        if next.seq == self.seq {
            return next;
        }
        let [last, open, high, low, volume, notional, count, gaps, from] = self.changed.map(|at| at > next.seq);
        let value = &self.value;
        let change = StatsChange {
            last: last.then_some(value.last),
            open: open.then_some(value.open),
            high: high.then_some(value.high),
            low: low.then_some(value.low),
            volume: volume.then_some(value.volume),
            notional: notional.then_some(value.notional),
            count: count.then_some(value.count),
            gaps: gaps.then_some(value.gaps),
            from: from.then_some(value.from),
        };
        self.head.advance(next, self.seq, time, self.flags, RecordBody::Stats(&change), emit)
    }

    /// `wire::view` hash of the value.
    pub fn hash(&self) -> u32 {
        stats_hash(&self.value)
    }
}

#[derive(Debug, Default)]
struct Window {
    /// By minute, oldest first; only minutes with trades or gaps.
    buckets: VecDeque<Bucket>,
    /// Newest minute of the window; `None` until the first trade.
    newest: Option<i64>,
    /// Sums over the buckets; `open` and `last` are those of single trades.
    value: DayStats,
    /// Time of the trade that gave `last`.
    last: Nanos,
}

#[derive(Debug)]
struct Bucket {
    minute: i64,
    /// Of the first trade in time, which was at `opened`. The prices mean something only if `count` is not 0.
    open: i64,
    opened: Nanos,
    high: i64,
    low: i64,
    count: u64,
    gaps: u64,
    volume: u128,
    notional: i128,
}

impl Window {
    fn value(&self) -> DayStats {
        let open = self.buckets.iter().find(|bucket| bucket.count > 0).map(|bucket| bucket.open);
        DayStats { open, ..self.value }
    }

    /// True if a minute is in the window or after it.
    fn has(&self, minute: i64) -> bool {
        self.newest.is_none_or(|newest| minute > newest - MINUTES)
    }

    fn add(&mut self, trades: &Span) -> Result<(), TooLate> {
        let minute = trades.opened.div_euclid(MINUTE_NS);
        if !self.has(minute) {
            return Err(TooLate);
        }
        if self.newest.is_none() {
            self.value.from = trades.opened;
        }
        self.reach(minute);
        self.bucket(minute).add(trades);
        let value = &mut self.value;
        if value.last.is_none() || trades.closed >= self.last {
            (value.last, self.last) = (Some(trades.close), trades.closed);
        }
        value.high = Some(value.high.map_or(trades.high, |high| high.max(trades.high)));
        value.low = Some(value.low.map_or(trades.low, |low| low.min(trades.low)));
        value.count += trades.count;
        value.volume = value.volume.wrapping_add(trades.volume);
        value.notional = value.notional.wrapping_add(trades.notional);
        Ok(())
    }

    fn miss(&mut self, minute: i64) {
        self.reach(minute);
        // The window may already be ahead, but it never goes back.
        let minute = self.newest.map_or(minute, |newest| newest.max(minute));
        self.bucket(minute).gaps += 1;
        self.value.gaps += 1;
    }

    /// The bucket of a minute in the window.
    fn bucket(&mut self, minute: i64) -> &mut Bucket {
        let at = match self.buckets.back() {
            // Nearly always.
            Some(newest) if newest.minute == minute => self.buckets.len() - 1,
            _ => match self.buckets.binary_search_by_key(&minute, |bucket| bucket.minute) {
                Ok(at) => at,
                Err(at) => {
                    self.buckets.insert(at, Bucket::new(minute));
                    at
                }
            },
        };
        &mut self.buckets[at]
    }

    /// Moves the window on to this minute. True if it moved.
    fn reach(&mut self, minute: i64) -> bool {
        if self.newest.is_some_and(|newest| minute <= newest) {
            return false;
        }
        self.newest = Some(minute);
        let mut extremes_left = false;
        while let Some(left) = self.buckets.pop_front_if(|oldest| oldest.minute <= minute - MINUTES) {
            let value = &mut self.value;
            value.count -= left.count;
            value.gaps -= left.gaps;
            value.volume = value.volume.wrapping_sub(left.volume);
            value.notional = value.notional.wrapping_sub(left.notional);
            extremes_left |= left.count > 0 && (value.high == Some(left.high) || value.low == Some(left.low));
        }
        if extremes_left {
            let traded = || self.buckets.iter().filter(|bucket| bucket.count > 0);
            self.value.high = traded().map(|bucket| bucket.high).max();
            self.value.low = traded().map(|bucket| bucket.low).min();
        }
        true
    }
}

impl Bucket {
    fn new(minute: i64) -> Self {
        Self { minute, open: 0, opened: 0, high: 0, low: 0, count: 0, gaps: 0, volume: 0, notional: 0 }
    }

    fn add(&mut self, trades: &Span) {
        let first = self.count == 0;
        if first || trades.opened < self.opened {
            (self.open, self.opened) = (trades.open, trades.opened);
        }
        self.high = if first { trades.high } else { self.high.max(trades.high) };
        self.low = if first { trades.low } else { self.low.min(trades.low) };
        self.count += trades.count;
        self.volume = self.volume.wrapping_add(trades.volume);
        self.notional = self.notional.wrapping_add(trades.notional);
    }
}
