//! The writer's side of the topic map. In: what one feed thread says about an instrument. Out: new versions, and marks for the
//! shards that watch. Bounded: a topic nobody watches costs its own update and nothing else.

use super::book::BookStep;
use super::derived::{ALL_DERIVED, DerivedState, DerivedStep};
use super::map::{InstrumentTopics, TopicMap};
use super::slot::{State, Topic};
use std::sync::atomic::Ordering;
use wire::event::{Cause, Channel, FeedState, Flags, Level, Nanos, Quote, Status, Trade, TradingState};
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
        self.update(of.quote, stamp, |state| matches!(state, State::Quote(state) if state.lock().publish(quote, stamp)));
    }

    pub fn publish_trade(&self, of: &InstrumentTopics, trade: &Trade, stamp: &Stamp) {
        let Some(topic @ Topic { state: State::Trade(trades), .. }) = self.get(of.trade) else { return };
        let mut state = trades.lock();
        state.tape.publish(trade, stamp);
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

    /// Closes bars that are over, moves the windows of a day on, and puts depth views to sleep that nobody has watched for long. Call
    /// it about once a second, from any one thread.
    pub fn tick(&self, now: Nanos) {
        let stamp = Stamp { published: now, ..Stamp::default() };
        let lingering = self.lingering.swap(false, Ordering::AcqRel);
        for first in (0..self.len()).step_by(InstrumentTopics::COUNT as usize) {
            let of = InstrumentTopics::from_first(first);
            self.derive(&of, &stamp, |derived| derived.pass(now));
            if lingering && self.lull(&of, now) {
                self.lingering.store(true, Ordering::Release);
            }
        }
    }

    /// True if a view of this book is awake though nobody watches.
    fn lull(&self, of: &InstrumentTopics, now: Nanos) -> bool {
        let Some(Topic { state: State::Book(book, _), .. }) = self.get(of.book[0]) else { return false };
        let linger = i64::try_from(self.limits.view_linger_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        // Watchers come and go under this lock.
        let mut book = book.lock();
        let unwatched = |id: u32| self.get(id).is_some_and(|topic| topic.watchers() == 0);
        of.book.into_iter().enumerate().fold(false, |awake, (at, id)| awake | (unwatched(id) && book.lull(at, now, linger)))
    }

    /// `snapshot`: the levels are the whole book, in any order. Otherwise sizes are absolute and 0 deletes.
    pub fn publish_book(&self, of: &InstrumentTopics, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) {
        self.change_book(of, bids, asks, snapshot, stamp);
    }

    /// The same for an instrument whose feed has no quotes of its own: its quote is the top of its book.
    pub fn publish_book_and_quote(&self, of: &InstrumentTopics, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) {
        let step = self.change_book(of, bids, asks, snapshot, stamp);
        let doubt = if step.crossed { Flags::MAYBE_BAD_BOOK } else { Flags::default() };
        self.publish_quote(of, &step.top, &Stamp { flags: stamp.flags.with(doubt), ..*stamp });
    }

    fn change_book(&self, of: &InstrumentTopics, bids: &[Level], asks: &[Level], snapshot: bool, stamp: &Stamp) -> BookStep {
        let Some(Topic { state: State::Book(book, _), .. }) = self.get(of.book[0]) else { return BookStep::default() };
        let step = book.lock().publish(bids, asks, snapshot, stamp);
        if step.dropped > 0 {
            self.totals.levels_dropped.fetch_add(step.dropped, Ordering::Relaxed);
        }
        for (at, id) in of.book.into_iter().enumerate() {
            self.update(id, stamp, |_| step.views & (1 << at) != 0);
        }
        step
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
