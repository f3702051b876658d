//! The bars of one instrument and interval. In: trades in any order, the venue's time. Out: the bars that changed since a cursor.
//! Bounded: the newest `KEPT` bars; a trade of an older interval is refused, and the caller counts it.

use super::cursor::Cursor;
use super::head::{Emit, Head, Redefined};
use super::span::Span;
use wire::event::{Flags, Nanos};
use wire::kind::Interval;
use wire::record::{Bar, Meta, RecordBody};
use wire::view::bars::{KEPT, bars_hash};

/// How long after its interval a bar waits for its last trades before the clock closes it. They may come later still: then
/// they correct a closed bar.
const GRACE_NS: Nanos = 2_000_000_000;

#[derive(Debug)]
pub(super) struct BarState {
    pub head: Head,
    seq: u64,
    flags: Flags,
    length_ns: Nanos,
    /// Oldest first.
    kept: Vec<Kept>,
    /// Start of the newest bar whose first trades may have been missed; a bar that comes into being at or before it is incomplete.
    suspect: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    start: Nanos,
    closed: bool,
    incomplete: bool,
    trades: Span,
    /// Sequence of its last change.
    changed: u64,
}

/// A trade was too late for any bar that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLate;

impl BarState {
    pub fn new(head: Head, interval: Interval) -> Self {
        let length_ns = interval.seconds() * 1_000_000_000;
        Self { head, seq: 0, flags: Flags::default(), length_ns, kept: Vec::new(), suspect: Nanos::MIN }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A new epoch starts without bars.
    pub fn redefine(&mut self, meta: &Meta) -> Redefined {
        let redefined = self.head.redefine(meta);
        if redefined == Redefined::Epoch {
            self.kept.clear();
            (self.seq, self.flags, self.suspect) = (0, Flags::default(), Nanos::MIN);
        }
        redefined
    }

    /// Adds trades of one bar. `after_gap`: trades before them were missed.
    pub fn add(&mut self, trades: &Span, after_gap: bool, flags: Flags) -> Result<(), TooLate> {
        let seq = self.seq + trades.count;
        let at = self.place(trades.opened)?;
        let kept = &mut self.kept[at];
        kept.trades.add(trades);
        kept.incomplete |= after_gap;
        kept.changed = seq;
        if after_gap {
            self.suspect = self.suspect.max(kept.start);
        }
        self.seq = seq;
        self.flags = flags;
        self.head.anchor(Some(trades.open));
        Ok(())
    }

    /// Where the bar of this time stands. If there is none yet, an empty one is put there, and all before it are closed.
    fn place(&mut self, time: Nanos) -> Result<usize, TooLate> {
        // Nearly always the newest one, and then without a division.
        if let Some(kept) = self.kept.last()
            && time >= kept.start
            && time.saturating_sub(kept.start) < self.length_ns
        {
            return Ok(self.kept.len() - 1);
        }
        let start = time.saturating_sub(time.rem_euclid(self.length_ns));
        let at = match self.kept.binary_search_by_key(&start, |kept| kept.start) {
            Ok(at) => return Ok(at),
            Err(0) if self.kept.len() == KEPT => return Err(TooLate),
            Err(at) => at,
        };
        // The first bar makes room for all there will be.
        self.kept.reserve_exact(KEPT - self.kept.len());
        let at = if self.kept.len() == KEPT {
            self.kept.remove(0);
            at - 1
        } else {
            at
        };
        let seq = self.seq + 1;
        self.kept[..at].iter_mut().for_each(|before| before.close(seq));
        let (closed, incomplete) = (at < self.kept.len(), start <= self.suspect);
        self.kept.insert(at, Kept { start, closed, incomplete, trades: Span::default(), changed: seq });
        Ok(at)
    }

    /// Closes what is over at this time of the venue. True if there is news.
    pub fn pass(&mut self, now: Nanos) -> bool {
        let seq = self.seq + 1;
        let over = now.saturating_sub(GRACE_NS).saturating_sub(self.length_ns);
        let mut news = false;
        for kept in self.kept.iter_mut().rev().take_while(|kept| !kept.closed) {
            if kept.start <= over {
                kept.close(seq);
                news = true;
            }
        }
        self.seq += u64::from(news);
        news
    }

    /// Trades after the newest one were missed: perhaps of its bar. True if that is news.
    pub fn miss(&mut self) -> bool {
        let Some(newest) = self.kept.last_mut().filter(|newest| !newest.incomplete) else { return false };
        self.seq += 1;
        newest.incomplete = true;
        newest.changed = self.seq;
        true
    }

    /// `time` is that of the newest trade.
    pub fn since(&self, time: Nanos, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        let (next, fresh) = self.head.begin(cursor, self.seq, emit);
        if !fresh && next.seq == self.seq {
            return next;
        }
        let mut bars = [Bar::default(); KEPT];
        let changed = self.kept.iter().filter(|kept| fresh || kept.changed > next.seq);
        let count = changed.zip(&mut bars).map(|(kept, bar)| *bar = kept.bar()).count();
        let body = RecordBody::Bars(&bars[..count]);
        if fresh {
            self.head.snapshot(next, self.seq, time, self.flags, body, emit)
        } else {
            self.head.advance(next, self.seq, time, self.flags, body, emit)
        }
    }

    /// `wire::view` hash of the bars.
    pub fn hash(&self) -> u32 {
        let mut bars = [Bar::default(); KEPT];
        self.kept.iter().zip(&mut bars).for_each(|(kept, bar)| *bar = kept.bar());
        bars_hash(bars[..self.kept.len()].iter())
    }
}

impl Kept {
    fn bar(&self) -> Bar {
        let Self { start, closed, incomplete, .. } = *self;
        let Span { open, high, low, close, count, volume, notional, .. } = self.trades;
        Bar { start, closed, incomplete, open, high, low, close, count, volume, notional }
    }

    fn close(&mut self, seq: u64) {
        if !self.closed {
            self.closed = true;
            self.changed = seq;
        }
    }
}
