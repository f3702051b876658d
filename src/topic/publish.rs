//! The writer's side of the topic map. In: what one feed thread says about an instrument. Out: new versions, and marks for the
//! shards that watch. Bounded: a topic nobody watches costs its own update and nothing else.

use super::derived::{DerivedState, DerivedStep};
use super::map::{InstrumentTopics, TopicMap};
use super::slot::{State, Topic};
use super::standing::Changed;
use std::sync::atomic::Ordering;
use wire::event::{Cause, Channel, Flags, Level, Nanos, Quote, Trade};

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
        let mut woken = Changed::default();
        self.update(of.trade, stamp, |state| {
            let State::Trade(state) = state else { return false };
            let mut state = state.lock();
            woken = state.head.wake(stamp);
            state.publish(trade, stamp);
            true
        });
        self.derive(of, stamp, |derived| derived.trade(trade, stamp));
        self.mark_standing(of, woken);
    }

    /// Trades are lost upstream, for good. Quotes and books have nothing to lose: their next value says it all.
    pub fn publish_gap(&self, of: &InstrumentTopics, channel: Channel, missing: Option<u64>, cause: Cause, stamp: &Stamp) {
        if channel != Channel::Trade {
            return;
        }
        self.update(of.trade, stamp, |state| {
            let State::Trade(state) = state else { return false };
            state.lock().publish_gap(missing, cause, stamp);
            true
        });
        self.derive(of, stamp, |derived| derived.gap(stamp));
    }

    /// Changes what is derived from an instrument's trades, in one step, and makes it known.
    pub(super) fn derive(&self, of: &InstrumentTopics, stamp: &Stamp, change: impl FnOnce(&mut DerivedState) -> DerivedStep) {
        let Some(Topic { state: State::Derived(derived, _), .. }) = self.get(of.stats) else { return };
        let topics = of.derived().map(|id| self.get(id));
        let mut derived = derived.lock();
        let step = change(&mut derived);
        for (at, topic) in topics.into_iter().enumerate() {
            let Some(topic) = topic else { continue };
            topic.note_received(stamp.received);
            if step.topics & (1 << at) != 0 {
                topic.note_published_locked(stamp);
            }
        }
        drop(derived);
        for topic in topics.into_iter().enumerate().filter_map(|(at, topic)| topic.filter(|_| step.topics & (1 << at) != 0)) {
            self.mark(topic);
        }
        if step.too_late > 0 {
            self.totals.trades_too_late.fetch_add(step.too_late, Ordering::Relaxed);
        }
    }

    /// `snapshot`: the levels are the whole book, in any order. Otherwise sizes are absolute and 0 deletes.
    pub fn publish_book(&self, of: &InstrumentTopics, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) {
        let Some(Topic { state: State::Book(book, _), .. }) = self.get(of.book[0]) else { return };
        let (step, woken) = {
            let mut book = book.lock();
            let woken = book.views[0].head.wake(stamp);
            (book.publish(bids, asks, snapshot, stamp), woken)
        };
        if step.dropped > 0 {
            self.totals.levels_dropped.fetch_add(step.dropped, Ordering::Relaxed);
        }
        for (at, id) in of.book.into_iter().enumerate() {
            self.update(id, stamp, |_| step.views & (1 << at) != 0);
        }
        self.mark_standing(of, woken);
    }

    /// Runs a change of one topic and, if it was one, makes it known.
    pub(super) fn update(&self, id: u32, stamp: &Stamp, change: impl FnOnce(&State) -> bool) {
        let Some(topic) = self.get(id) else { return };
        topic.note_received(stamp.received);
        if !change(&topic.state) {
            return;
        }
        topic.note_published(stamp);
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
