//! The writer's side of the topic map. In: what one feed thread says about an instrument. Out: new versions, and marks for the
//! shards that watch. Bounded: a topic nobody watches costs its own update and nothing else.

use super::book::{BookState, BookStep};
use super::derived::{ALL_DERIVED, DerivedState, DerivedStep};
use super::map::{InstrumentTopics, TopicMap};
use super::slot::{State, Topic};
use super::standing::Changed;
use super::tape::TapeState;
use std::sync::atomic::Ordering;
use wire::event::{Cause, Channel, Flags, Level, Nanos, Quote, Trade};
use wire::record::Clock;

/// The times and flags of one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The venue's own time; 0 where it gives none.
    pub event: Nanos,
    /// When its bytes were read.
    pub received: Nanos,
    /// Now.
    pub published: Nanos,
    pub flags: Flags,
}

impl Stamp {
    /// The time on this clock; `known` where the venue gives none for this one update.
    pub(super) fn time(&self, clock: Clock, known: Nanos) -> Nanos {
        match clock {
            Clock::Received => self.received,
            Clock::Event if self.event != 0 => self.event,
            Clock::Event => known,
        }
    }

    /// The flags that say something about the value; the others are set per record.
    pub(super) fn quality(&self) -> Flags {
        Flags(self.flags.0 & (Flags::BAD_RECEIVE_TIME.0 | Flags::MAYBE_BAD_BOOK.0))
    }
}

impl TopicMap {
    pub fn publish_quote(&self, of: &InstrumentTopics, quote: &Quote, stamp: &Stamp) {
        let mut woken = Changed::default();
        self.update(of.quote, stamp, |state| {
            let State::Quote(state) = state else { return false };
            let mut state = state.lock();
            woken = state.head.wake(stamp);
            state.publish(quote, stamp)
        });
        self.mark_standing(of, woken);
    }

    pub fn publish_trade(&self, of: &InstrumentTopics, trade: &Trade, stamp: &Stamp) {
        self.add_trade(of, trade, stamp, |tape| {
            let woken = tape.head.wake(stamp);
            tape.publish(trade, stamp);
            Some(woken)
        });
    }

    /// `put` puts the trade on the tape; it has nothing to say if that has it already.
    #[inline]
    pub(super) fn add_trade(
        &self,
        of: &InstrumentTopics,
        trade: &Trade,
        stamp: &Stamp,
        put: impl FnOnce(&mut TapeState) -> Option<Changed>,
    ) {
        let Some(topic @ Topic { state: State::Trade(trades), .. }) = self.get(of.trade) else { return };
        let mut state = trades.lock();
        let Some(woken) = put(&mut state.tape) else { return };
        let step = state.derived.trade(trade, stamp);
        trades.news.note_received(stamp.received);
        if step.topics == ALL_DERIVED {
            // In a large market the memory of topics is cold: this one place speaks for all six.
            trades.news.note_published_locked(stamp);
        } else {
            topic.news.note_published(stamp);
            self.note_derived(of, &step, stamp);
        }
        let watched = step.topics & state.derived.watched;
        drop(state);
        self.mark(topic);
        self.mark_derived(of, watched);
        self.mark_standing(of, woken);
        self.totals.add_too_late(&step);
    }

    /// Trades are lost upstream, for good. Quotes and books have nothing to lose: their next value says it all.
    pub fn publish_gap(&self, of: &InstrumentTopics, channel: Channel, missing: Option<u64>, cause: Cause, stamp: &Stamp) {
        if channel != Channel::Trade {
            return;
        }
        self.update(of.trade, stamp, |state| {
            let State::Trade(trades) = state else { return false };
            trades.lock().tape.publish_gap(missing, cause, stamp);
            true
        });
        self.derive(of, stamp, |derived| derived.gap(stamp));
    }

    /// Changes what is derived from an instrument's trades, in one step, and makes it known.
    pub(super) fn derive(&self, of: &InstrumentTopics, stamp: &Stamp, change: impl FnOnce(&mut DerivedState) -> DerivedStep) {
        let Some(Topic { state: State::Derived(trades, _), .. }) = self.get(of.stats) else { return };
        let mut state = trades.lock();
        let step = change(&mut state.derived);
        trades.news.note_received(stamp.received);
        self.note_derived(of, &step, stamp);
        let watched = step.topics & state.derived.watched;
        drop(state);
        self.mark_derived(of, watched);
        self.totals.add_too_late(&step);
    }

    /// Under the lock of the trades.
    fn note_derived(&self, of: &InstrumentTopics, step: &DerivedStep, stamp: &Stamp) {
        self.each_derived(of, step.topics, |topic| topic.news.note_published_locked(stamp));
    }

    /// After the change, with those of its topics that were watched at that time.
    fn mark_derived(&self, of: &InstrumentTopics, topics: u8) {
        self.each_derived(of, topics, |topic| self.mark(topic));
    }

    fn each_derived(&self, of: &InstrumentTopics, topics: u8, each: impl FnMut(&Topic)) {
        if topics == 0 {
            return;
        }
        let ids = of.derived().into_iter().enumerate().filter(|(at, _)| topics & (1 << at) != 0);
        ids.filter_map(|(_, id)| self.get(id)).for_each(each);
    }

    /// `snapshot`: the levels are the whole book, in any order. Otherwise sizes are absolute and 0 deletes.
    pub fn publish_book(&self, of: &InstrumentTopics, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) {
        self.change_book(of, stamp, |book| book.wake_and_publish(bids, asks, snapshot, stamp));
    }

    /// The same for an instrument whose feed has no quotes of its own: its quote is the top of its book.
    pub fn publish_book_and_quote(&self, of: &InstrumentTopics, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) {
        let step = self.change_book(of, stamp, |book| book.wake_and_publish(bids, asks, snapshot, stamp));
        let doubt = if step.crossed { Flags::MAYBE_BAD_BOOK } else { Flags::default() };
        self.publish_quote(of, &step.top, &Stamp { flags: stamp.flags.with(doubt), ..*stamp });
    }

    /// `change` is made under the book's lock.
    #[inline]
    pub(super) fn change_book(
        &self,
        of: &InstrumentTopics,
        stamp: &Stamp,
        change: impl FnOnce(&mut BookState) -> (BookStep, Changed),
    ) -> BookStep {
        let Some(topic @ Topic { state: State::Book(book, _), .. }) = self.get(of.book[0]) else { return BookStep::default() };
        // Before the change, under whose lock others look whether the book is quiet.
        topic.news.note_received(stamp.received);
        let (step, woken) = change(&mut book.lock());
        if step.dropped > 0 {
            self.totals.levels_dropped.fetch_add(step.dropped, Ordering::Relaxed);
        }
        for (at, id) in of.book.into_iter().enumerate() {
            self.update(id, stamp, |_| step.views & (1 << at) != 0);
        }
        self.mark_standing(of, woken);
        step
    }

    /// Runs a change of one topic and, if it was one, makes it known.
    pub(super) fn update(&self, id: u32, stamp: &Stamp, change: impl FnOnce(&State) -> bool) {
        let Some(topic) = self.get(id) else { return };
        topic.news.note_received(stamp.received);
        if !change(&topic.state) {
            return;
        }
        topic.news.note_published(stamp);
        self.mark(topic);
    }

    /// After the change, under whose lock a watcher that comes too late for this mark sees it.
    pub(super) fn mark(&self, topic: &Topic) {
        let mut shards = topic.watchers();
        while shards != 0 {
            self.marks(shards.trailing_zeros() as usize).mark(topic.id());
            shards &= shards - 1;
        }
    }
}
