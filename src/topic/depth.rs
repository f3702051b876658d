//! One depth view of a book: its own sequence and a bounded log of changed prices. In: the book after each change. Out: the
//! levels that differ since a cursor, deletes included, or a snapshot. Bounded: `book_log` log entries, and a copy of the best
//! levels (none for `full`). A view that nobody has watched for a while keeps no log and is brought up to date when asked.

use super::cursor::{Cursor, Start};
use super::head::{Emit, Head};
use super::publish::Stamp;
use std::collections::VecDeque;
use wire::event::{Flags, Level, Nanos, Side};
use wire::kind::Depth;
use wire::record::RecordBody;
use wire::view::book::Book;

pub(super) const SIDES: [Side; 2] = [Side::Bid, Side::Ask];

#[derive(Debug)]
pub(super) struct DepthView {
    pub head: Head,
    pub depth: Depth,
    /// Follows each step of the book.
    pub active: bool,
    /// Active though nobody watches, at least since then.
    pub idle_since: Option<Nanos>,
    seq: u64,
    time: Nanos,
    /// The state of the book that `seq` stands for.
    book_version: u64,
    /// What the view showed at `seq`, best first, per side. Empty for `full`: there the book itself is the view.
    shown: [Vec<Level>; 2],
    log: ChangeLog,
}

/// A book with the number of its state and what the last step changed in it.
#[derive(Debug, Default)]
pub(super) struct Versioned {
    pub book: Book,
    pub version: u64,
    /// Prices of the newest step that differ, each perhaps more than once.
    pub changes: Vec<(Side, i64)>,
    /// Best changed price of each side in the newest step.
    pub touched: [Option<i64>; 2],
}

/// Working memory shared by the views of a book: changed prices and the levels to emit, per side.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    prices: [Vec<i64>; 2],
    levels: [Vec<Level>; 2],
}

impl DepthView {
    pub fn new(head: Head, depth: Depth, log_capacity: usize) -> Self {
        Self {
            head,
            depth,
            active: false,
            idle_since: None,
            seq: 0,
            time: 0,
            book_version: 0,
            shown: Default::default(),
            log: ChangeLog { entries: VecDeque::new(), floor: 0, capacity: log_capacity },
        }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A new epoch starts from an empty book.
    pub fn restart(&mut self, book_version: u64) {
        (self.seq, self.time, self.book_version) = (0, 0, book_version);
        self.shown.iter_mut().for_each(Vec::clear);
        self.log.forget(0);
    }

    /// Called when nobody has watched for a while: the log's memory goes.
    pub fn put_to_sleep(&mut self) {
        (self.active, self.idle_since) = (false, None);
        self.log.forget(self.seq);
    }

    /// Follows one step of the book. For active views only, which saw the step before. True if the view changed.
    pub fn follow(&mut self, book: &Versioned, stamp: &Stamp) -> bool {
        self.book_version = book.version;
        let changed = if self.depth == Depth::Full {
            self.log.extend(self.seq + 1, &book.changes);
            !book.changes.is_empty()
        } else {
            SIDES
                .into_iter()
                .fold(false, |changed, side| changed | (self.is_touched(book, side) && self.compare(&book.book, side)))
        };
        if changed {
            self.seq += 1;
            self.time = self.head.time(stamp, self.time);
        }
        changed
    }

    /// Shows the book's newest step as the one that another node numbered `seq`. `told` are all levels that it says have changed
    /// since the place before, those too that changed back; `None`: it does not say which, and what differs from the place before
    /// is not all: a subscriber may stand in between, where a level was another one that is now as it was.
    pub fn go_to(&mut self, seq: u64, book: &Versioned, told: Option<[&[Level]; 2]>, stamp: &Stamp) {
        self.book_version = book.version;
        match told.filter(|_| self.active) {
            Some(told) => {
                for (side, levels) in SIDES.into_iter().zip(told) {
                    levels.iter().for_each(|level| self.log.push(Change { seq, price: level.price, side }));
                }
            }
            None => self.log.forget(seq),
        }
        self.seq = seq;
        self.time = self.head.time(stamp, self.time);
    }

    /// Catches up with whatever happened to the book while the view slept, as one step. True if the view changed.
    pub fn catch_up(&mut self, book: &Versioned, time: Nanos) -> bool {
        if self.book_version == book.version {
            return false;
        }
        self.book_version = book.version;
        let changed = if self.depth == Depth::Full {
            // What changed is not known, only that something did.
            self.log.forget(self.seq + 1);
            true
        } else {
            SIDES.into_iter().fold(false, |changed, side| changed | self.compare(&book.book, side))
        };
        if changed {
            self.seq += 1;
            self.time = time;
        }
        changed
    }

    /// Most changes of a book are too deep to be seen here: they cost two comparisons.
    fn is_touched(&self, book: &Versioned, side: Side) -> bool {
        let Some(touched) = book.touched[side as usize] else { return false };
        let shown = &self.shown[side as usize];
        shown.len() < self.depth.levels() || shown.last().is_none_or(|worst| !is_better(side, worst.price, touched))
    }

    /// Logs what differs between what was shown and the book's best levels, as of the sequence to come, and shows those.
    fn compare(&mut self, book: &Book, side: Side) -> bool {
        let Self { shown, log, seq, depth, .. } = self;
        let shown = &mut shown[side as usize];
        let mut changed = false;
        diff(side, shown.iter().copied(), book.levels(side, depth.levels()), |price| {
            log.push(Change { seq: *seq + 1, price, side });
            changed = true;
        });
        if changed {
            shown.clear();
            shown.extend(book.levels(side, depth.levels()));
        }
        changed
    }

    /// True if the log still has all that came after `seq`.
    pub fn reaches(&self, seq: u64) -> bool {
        (self.log.floor..=self.seq).contains(&seq) || self.head.awaits(seq, self.seq)
    }

    /// True if the cursor is of this epoch, but the log no longer reaches it.
    pub fn is_beyond(&self, cursor: &Cursor) -> bool {
        cursor.start == Start::At && cursor.epoch == self.head.epoch() && cursor.seq < self.log.floor
    }

    /// What the cursor lacks. The view must be up to date with the book.
    pub fn since(&self, book: &Book, scratch: &mut Scratch, flags: Flags, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        let (next, fresh) = self.head.begin(cursor, self.seq, emit);
        if !fresh && next.seq >= self.seq {
            return next;
        }
        if !fresh && self.reaches(next.seq) && self.collect(book, next.seq, scratch) {
            let [bids, asks] = &scratch.levels;
            return self.head.advance(next, self.seq, self.time, flags, RecordBody::Book { bids, asks }, emit);
        }
        for side in SIDES {
            let levels = &mut scratch.levels[side as usize];
            levels.clear();
            levels.extend(book.levels(side, self.depth.levels()));
        }
        let [bids, asks] = &scratch.levels;
        self.head.snapshot(next, self.seq, self.time, flags, RecordBody::Book { bids, asks }, emit)
    }

    /// Puts the levels changed since `seq` into the scratch, best first, size 0 where there is none any more. False if a
    /// snapshot would be smaller.
    fn collect(&self, book: &Book, seq: u64, scratch: &mut Scratch) -> bool {
        scratch.prices.iter_mut().for_each(Vec::clear);
        for change in self.log.after(seq) {
            scratch.prices[change.side as usize].push(change.price);
        }
        let mut changes = 0;
        let mut levels = 0;
        for side in SIDES {
            let prices = &mut scratch.prices[side as usize];
            match side {
                Side::Bid => prices.sort_unstable_by(|a, b| b.cmp(a)),
                Side::Ask => prices.sort_unstable(),
            }
            prices.dedup();
            changes += prices.len();
            levels += book.len(side).min(self.depth.levels());
        }
        if changes > levels {
            return false;
        }
        for side in SIDES {
            // In a view of N levels, what lies below the N-th is not there.
            let worst = (self.depth != Depth::Full).then(|| self.shown[side as usize].last().map(|level| level.price));
            let prices = scratch.prices[side as usize].iter();
            let levels = &mut scratch.levels[side as usize];
            levels.clear();
            levels.extend(prices.map(|&price| {
                let below = worst.is_some_and(|worst| worst.is_none_or(|worst| is_better(side, worst, price)));
                Level { price, size: if below { 0 } else { book.size_at(side, price) } }
            }));
        }
        true
    }
}

/// Is `a` nearer to the middle of the market than `b`?
pub(super) fn is_better(side: Side, a: i64, b: i64) -> bool {
    match side {
        Side::Bid => a > b,
        Side::Ask => a < b,
    }
}

/// Tells each price whose size differs between two sides, both best first.
pub(super) fn diff(
    side: Side,
    old: impl IntoIterator<Item = Level>,
    new: impl IntoIterator<Item = Level>,
    mut each: impl FnMut(i64),
) {
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(a), Some(b)) if a.price == b.price => {
                if a.size != b.size {
                    each(a.price);
                }
                old.next();
                new.next();
            }
            (Some(a), Some(b)) if is_better(side, b.price, a.price) => {
                each(b.price);
                new.next();
            }
            (Some(a), _) => {
                each(a.price);
                old.next();
            }
            (None, Some(b)) => {
                each(b.price);
                new.next();
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Change {
    seq: u64,
    price: i64,
    side: Side,
}

/// The newest changes in order of their sequence.
#[derive(Debug)]
struct ChangeLog {
    entries: VecDeque<Change>,
    /// All changes after this sequence are here.
    floor: u64,
    capacity: usize,
}

impl ChangeLog {
    fn push(&mut self, change: Change) {
        if self.entries.len() >= self.capacity {
            self.floor = self.entries.pop_front().map_or(change.seq, |oldest| oldest.seq);
        }
        if self.capacity > 0 {
            self.entries.push_back(change);
        }
    }

    fn extend(&mut self, seq: u64, changes: &[(Side, i64)]) {
        if changes.len() > self.capacity {
            self.entries.clear();
            self.floor = seq;
            return;
        }
        for &(side, price) in changes {
            self.push(Change { seq, price, side });
        }
    }

    /// Drops everything and its memory: the log begins after `seq`.
    fn forget(&mut self, seq: u64) {
        self.entries = VecDeque::new();
        self.floor = seq;
    }

    fn after(&self, seq: u64) -> impl Iterator<Item = &Change> {
        self.entries.range(self.entries.partition_point(|change| change.seq <= seq)..)
    }
}
