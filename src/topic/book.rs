//! The order book of one instrument and its five depth views. In: absolute levels, as changes or as a whole book. Out: which
//! views changed. Bounded: `book_levels` a side; levels beyond are dropped, worst first, and counted.
//!
//! A dropped level comes back only when the venue next speaks of it. So once a venue has shown more levels than the bound, the far
//! end of `full` may lack some after nearer ones were deleted; choose a bound well above what clients rely on.

use super::cursor::Cursor;
use super::depth::{DepthView, SIDES, Scratch, Versioned, diff, is_better};
use super::head::{Emit, Head, Redefined};
use super::map::{TopicLimits, Totals};
use super::publish::Stamp;
use super::standing::Changed;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wire::event::{Flags, Level, Nanos, Quote, Side, TradingState};
use wire::kind::Depth;
use wire::record::Meta;
use wire::view::book::Book;

#[derive(Debug)]
pub(super) struct BookState {
    pub views: [DepthView; 5],
    now: Versioned,
    time: Nanos,
    flags: Flags,
    /// The newest change left the best bid at or above the best ask, where that cannot be.
    crossed: bool,
    max_levels: usize,
    /// The former book while a snapshot is compared with it.
    spare: Book,
    scratch: Scratch,
    totals: Arc<Totals>,
}

/// The place of `Depth::Full` in `Depth::ALL`.
pub(super) const FULL: usize = Depth::ALL.len() - 1;

/// What a publication did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BookStep {
    /// One bit per view that has news.
    pub views: u8,
    /// Best bid and ask.
    pub top: Quote,
    pub crossed: bool,
    /// Levels beyond the bound that were dropped.
    pub dropped: u64,
}

impl BookState {
    /// `heads` in the order of `Depth::ALL`.
    pub fn new(heads: [Head; 5], limits: &TopicLimits, totals: Arc<Totals>) -> Self {
        let mut depths = Depth::ALL.into_iter();
        // The map pairs two arrays of one length.
        let views = heads.map(|head| DepthView::new(head, depths.next().unwrap_or(Depth::Full), limits.book_log));
        Self {
            views,
            now: Versioned::default(),
            time: 0,
            flags: Flags::default(),
            crossed: false,
            max_levels: limits.book_levels.max(1),
            spare: Book::new(),
            scratch: Scratch::default(),
            totals,
        }
    }

    /// A new epoch starts from an empty book, for all views in one step. True if there is news.
    pub fn redefine(&mut self, metas: &[Meta; 5]) -> bool {
        let mut redefined = Redefined::Nothing;
        for (view, meta) in self.views.iter_mut().zip(metas) {
            redefined = view.head.redefine(meta);
        }
        if redefined == Redefined::Epoch {
            self.now.book.clear();
            self.now.version += 1;
            (self.time, self.flags, self.crossed) = (0, Flags::default(), false);
            self.views.iter_mut().for_each(|view| view.restart(self.now.version));
        }
        redefined != Redefined::Nothing
    }

    /// `snapshot`: the levels are the whole book. Otherwise sizes are absolute and 0 deletes.
    pub fn publish(&mut self, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) -> BookStep {
        let dropped = self.change(bids, asks, snapshot);
        if self.now.changes.is_empty() {
            return BookStep { views: 0, top: self.top(), crossed: self.crossed, dropped };
        }
        self.show(dropped, stamp, |view, now| view.active && view.follow(now, stamp))
    }

    /// The same, when the channel may have been quiet.
    pub fn wake_and_publish(&mut self, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) -> (BookStep, Changed) {
        let woken = self.views[0].head.wake(stamp);
        (self.publish(bids, asks, snapshot, stamp), woken)
    }

    /// The same for a step of `full` that another node has numbered: it brings the view to `seq`, or is known already.
    pub fn relay(&mut self, bids: &[Level], asks: &[Level], snapshot: bool, seq: u64, stamp: &Stamp) -> BookStep {
        let held = self.views[FULL].seq();
        if seq < held || (seq == held && !snapshot) {
            return BookStep::default();
        }
        let dropped = if snapshot { self.change(bids, asks, true) } else { self.merge(bids, asks) };
        if seq == held && self.now.changes.is_empty() {
            return BookStep::default();
        }
        self.show(dropped, stamp, |view, now| match view.depth {
            Depth::Full => {
                view.go_to(seq, now, (!snapshot).then_some([bids, asks]), stamp);
                true
            }
            _ => view.active && view.follow(now, stamp),
        })
    }

    /// Several changes in one, each price once, best first. What goes makes room before anything comes: in turn, a full book would lose its
    /// worst level to one that comes, and keep that hole.
    fn merge(&mut self, bids: &[Level], asks: &[Level]) -> u64 {
        self.begin_change();
        let mut dropped = 0;
        for is_gone in [true, false] {
            for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
                dropped += self.edit(side, levels.iter().filter(|level| (level.size == 0) == is_gone));
            }
        }
        dropped
    }

    fn begin_change(&mut self) {
        self.now.changes.clear();
        self.now.touched = [None; 2];
    }

    /// Changes the book and notes what differs. The levels that were dropped for want of room are counted.
    fn change(&mut self, bids: &[Level], asks: &[Level], snapshot: bool) -> u64 {
        self.begin_change();
        if snapshot { self.replace(bids, asks) } else { self.edit(Side::Bid, bids.iter()) + self.edit(Side::Ask, asks.iter()) }
    }

    /// Lets the views follow what has changed.
    #[inline]
    fn show(&mut self, dropped: u64, stamp: &Stamp, mut follow: impl FnMut(&mut DepthView, &Versioned) -> bool) -> BookStep {
        let top = self.top();
        let mut step = BookStep { views: 0, top, crossed: self.crossed, dropped };
        self.now.version += 1;
        // All views of a book show the same clock.
        self.time = self.views[0].head.time(stamp, self.time);
        self.flags = stamp.quality();
        step.crossed = self.cross(&top);
        let first_price = top.bid_price.or(top.ask_price);
        for (at, view) in self.views.iter_mut().enumerate() {
            let told = view.head.anchor(first_price) | follow(view, &self.now);
            step.views |= u8::from(told) << at;
        }
        step
    }

    fn top(&self) -> Quote {
        let [bid, ask] = SIDES.map(|side| self.now.book.best(side));
        let (price, size) = (|level: Level| level.price, |level: Level| level.size);
        Quote { bid_price: bid.map(price), bid_size: bid.map(size), ask_price: ask.map(price), ask_size: ask.map(size) }
    }

    /// Nobody sells below what another pays while trades are made, so a level must have been missed; in an auction orders wait for
    /// each other. True while it is so, and then everything that is told of the book says so.
    fn cross(&mut self, top: &Quote) -> bool {
        let crosses = top.bid_price.zip(top.ask_price).is_some_and(|(bid, ask)| bid >= ask);
        let may_cross = || matches!(self.views[0].head.standing.trading(), TradingState::Auction | TradingState::Unknown);
        let crossed = crosses && !may_cross();
        let was = std::mem::replace(&mut self.crossed, crossed);
        if self.crossed {
            self.flags = self.flags.with(Flags::MAYBE_BAD_BOOK);
            self.totals.crossed_books.fetch_add(u64::from(!was), Ordering::Relaxed);
        }
        self.crossed
    }

    fn edit<'l>(&mut self, side: Side, levels: impl Iterator<Item = &'l Level>) -> u64 {
        let mut dropped = 0;
        for &Level { price, size } in levels {
            let worst = self.now.book.worst_first(side).first().map(|level| level.price);
            let full = self.now.book.len(side) >= self.max_levels;
            if full && size != 0 && worst.is_some_and(|worst| is_better(side, worst, price)) {
                dropped += 1;
                continue;
            }
            if !self.now.book.set(side, price, size) {
                continue;
            }
            self.now.note(side, price);
            if self.now.book.len(side) > self.max_levels
                && let Some(worst) = worst
            {
                self.now.book.set(side, worst, 0);
                self.now.note(side, worst);
                dropped += 1;
            }
        }
        dropped
    }

    fn replace(&mut self, bids: &[Level], asks: &[Level]) -> u64 {
        std::mem::swap(&mut self.spare, &mut self.now.book);
        self.now.book.replace(bids, asks);
        let beyond = |side| self.now.book.len(side).saturating_sub(self.max_levels) as u64;
        let dropped = beyond(Side::Bid) + beyond(Side::Ask);
        if dropped > 0 {
            let best = |side| self.now.book.levels(side, self.max_levels).collect::<Vec<_>>();
            let (bids, asks) = (best(Side::Bid), best(Side::Ask));
            self.now.book.replace(&bids, &asks);
        }
        let Versioned { book, changes, touched, .. } = &mut self.now;
        for side in SIDES {
            diff(side, self.spare.levels(side, usize::MAX), book.levels(side, usize::MAX), |price| {
                // Best first, so the first one is the best.
                touched[side as usize].get_or_insert(price);
                changes.push((side, price));
            });
        }
        dropped
    }

    /// Somebody watches a view from now on. True if it had to catch up.
    pub fn wake(&mut self, view: usize) -> bool {
        let changed = self.catch_up(view);
        let view = &mut self.views[view];
        (view.active, view.idle_since) = (true, None);
        changed
    }

    /// Puts a view to sleep that nobody has watched for this long. True if it is still awake. Call it now and then while nobody
    /// watches: the first call begins the time.
    pub fn lull(&mut self, view: usize, now: Nanos, linger: Nanos) -> bool {
        let view = &mut self.views[view];
        if view.active && now.saturating_sub(*view.idle_since.get_or_insert(now)) >= linger {
            view.put_to_sleep();
        }
        view.active
    }

    /// Brings a view up to date that slept. True if it changed.
    pub fn catch_up(&mut self, view: usize) -> bool {
        self.views[view].catch_up(&self.now, self.time)
    }

    /// What the cursor lacks of a view, and whether the view first had to catch up.
    pub fn since(&mut self, view: usize, cursor: &Cursor, emit: &mut Emit<'_>) -> (Cursor, bool) {
        let changed = self.catch_up(view);
        if self.views[view].is_beyond(cursor) {
            self.totals.overruns.fetch_add(1, Ordering::Relaxed);
        }
        let next = self.views[view].since(&self.now.book, &mut self.scratch, self.flags, cursor, emit);
        (next, changed)
    }

    /// `wire::view` hash of what a view shows.
    pub fn hash(&self, view: usize) -> u32 {
        self.now.book.hash(self.views[view].depth.levels())
    }
}

impl Versioned {
    fn note(&mut self, side: Side, price: i64) {
        self.changes.push((side, price));
        let touched = &mut self.touched[side as usize];
        if touched.is_none_or(|best| is_better(side, price, best)) {
            *touched = Some(price);
        }
    }
}
