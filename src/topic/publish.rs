//! The writer's side of the topic map. In: what one feed thread says about an instrument. Out: new versions, and marks for the
//! shards that watch. Bounded: a topic nobody watches costs its own update and nothing else.

use super::derived::{ALL_DERIVED, DerivedState, DerivedStep};
use super::map::{InstrumentTopics, TopicMap};
use super::slot::{State, Topic};
use super::trades::{Trades, TradesState};
use parking_lot::MutexGuard;
use std::sync::atomic::Ordering;
use wire::event::{Cause, Channel, FeedState, Flags, Level, Nanos, Quote, Status, Trade, TradingState};

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
        self.update(of.quote, stamp, |state| matches!(state, State::Quote(state) if state.lock().publish(quote, stamp)));
    }

    pub fn publish_trade(&self, of: &InstrumentTopics, trade: &Trade, stamp: &Stamp) {
        let Some(topic @ Topic { state: State::Trade(trades), .. }) = self.get(of.trade) else { return };
        topic.news.note_received(stamp.received);
        let mut state = trades.lock();
        state.tape.publish(trade, stamp);
        topic.news.note_published(stamp);
        let step = state.derived.trade(trade, stamp);
        self.tell_derived(of, trades, state, step, stamp);
        self.mark(topic);
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
        self.tell_derived(of, trades, state, step, stamp);
    }

    /// Makes a change known that was made under this lock. A trade nobody waits for does not touch the five topics: in a large market
    /// their memory is cold.
    fn tell_derived(
        &self,
        of: &InstrumentTopics,
        trades: &Trades,
        state: MutexGuard<'_, TradesState>,
        step: DerivedStep,
        stamp: &Stamp,
    ) {
        let has_news = |at: usize, of: u8| of & (1 << at) != 0;
        let topics = || of.derived().into_iter().enumerate().filter_map(|(at, id)| Some((at, self.get(id)?)));
        trades.derived_news.note_received(stamp.received);
        if step.topics == ALL_DERIVED {
            trades.derived_news.note_published_locked(stamp);
        } else if step.topics != 0 {
            topics().filter(|(at, _)| has_news(*at, step.topics)).for_each(|(_, topic)| topic.news.note_published_locked(stamp));
        }
        let watched = step.topics & state.derived.watched;
        drop(state);
        if watched != 0 {
            topics().filter(|(at, _)| has_news(*at, watched)).for_each(|(_, topic)| self.mark(topic));
        }
        if step.too_late > 0 {
            self.totals.trades_too_late.fetch_add(step.too_late, Ordering::Relaxed);
        }
    }

    /// Closes bars that are over and moves the windows of a day on. Call it about once a second, from any one thread.
    pub fn tick(&self, now: Nanos) {
        let stamp = Stamp { published: now, ..Stamp::default() };
        for first in (0..self.len()).step_by(InstrumentTopics::COUNT as usize) {
            self.derive(&InstrumentTopics::from_first(first), &stamp, |derived| derived.pass(now));
        }
    }

    /// `snapshot`: the levels are the whole book, in any order. Otherwise sizes are absolute and 0 deletes.
    pub fn publish_book(&self, of: &InstrumentTopics, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) {
        let Some(Topic { state: State::Book(book, _), .. }) = self.get(of.book[0]) else { return };
        let step = book.lock().publish(bids, asks, snapshot, stamp);
        if step.dropped > 0 {
            self.totals.levels_dropped.fetch_add(step.dropped, Ordering::Relaxed);
        }
        for (at, id) in of.book.into_iter().enumerate() {
            self.update(id, stamp, |_| step.views & (1 << at) != 0);
        }
    }

    /// State of one channel, or of all (`None`). The status topic shows the worst of the three.
    pub fn publish_state(&self, of: &InstrumentTopics, channel: Option<Channel>, feed: FeedState, cause: Cause, stamp: &Stamp) {
        let news = |held: &Status| Status { feed, cause, since: stamp.received, ..*held };
        let is_about = |one| channel.is_none_or(|channel| channel == one);
        for (one, ids) in of.channels() {
            if is_about(one) {
                ids.iter().for_each(|id| self.set_status(*id, news, stamp));
            }
        }
        if is_about(Channel::Trade) {
            self.derive(of, stamp, |derived| derived.update_status(news));
        }
        self.update(
            of.status,
            stamp,
            |state| matches!(state, State::Status(state) if state.lock().set_feed(channel, feed, cause, stamp)),
        );
    }

    /// Trading phase of the instrument: told by its status topic and by the `State` of all its data topics.
    pub fn publish_trading(&self, of: &InstrumentTopics, trading: TradingState, stamp: &Stamp) {
        let news = |held: &Status| Status { trading, ..*held };
        for (_, ids) in of.channels() {
            ids.iter().for_each(|id| self.set_status(*id, news, stamp));
        }
        self.derive(of, stamp, |derived| derived.update_status(news));
        self.update(of.status, stamp, |state| matches!(state, State::Status(state) if state.lock().set_trading(trading, stamp)));
    }

    fn set_status(&self, id: u32, news: impl Fn(&Status) -> Status, stamp: &Stamp) {
        self.update(id, stamp, |state| match state {
            State::Quote(state) => state.lock().head.update_status(news),
            State::Trade(trades) => trades.lock().tape.head.update_status(news),
            State::Book(state, view) => state.lock().views[*view].head.update_status(news),
            State::Derived(..) | State::Status(_) | State::Instrument(_) => false,
        });
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
    fn mark(&self, topic: &Topic) {
        let mut shards = topic.watchers();
        while shards != 0 {
            self.marks(shards.trailing_zeros() as usize).mark(topic.id());
            shards &= shards - 1;
        }
    }
}
