//! The writer's side for what another node has numbered. In: an upstream node's instruments, scales and records, each with the place
//! `(epoch, sequence)` that they lead to there. Out: the same versions of the same topics here. Bounded like a feed of this node.
//!
//! Quotes, trades, full books and instruments keep their places, so a subscriber's cursor means the same on both nodes. What this node
//! makes by itself (books of other depths, bars, stats, the status) is numbered by itself, in epochs of its own: no cursor of another
//! node fits there, so who comes with one gets a snapshot and never a wrong delta.

use super::book::{BookStep, FULL};
use super::link::Link;
use super::listing::{Numbering, meta as meta_of, scale, wall_time};
use super::map::{InstrumentTopics, Origin, TopicMap, TopicsFull};
use super::publish::Stamp;
use super::slot::{State, Topic};
use super::standing::{Changed, Standing};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wire::event::{Cause, Channel, Level, Nanos, Status, Trade};
use wire::instrument::Instrument;
use wire::kind::{Depth, Kind};
use wire::record::{Meta, QuoteChange};
use wire::topic::TopicKey;

/// A state of a topic, as the node named it that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub epoch: u64,
    pub seq: u64,
}

/// A node upstream. All that it carries depends on one link.
#[derive(Clone)]
pub struct Upstream(Arc<Link>);

impl Upstream {
    pub(super) fn link(&self) -> &Link {
        &self.0
    }
}

/// Why an instrument is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCarried {
    #[error(transparent)]
    Full(#[from] TopicsFull),
    #[error("another feed of this node has it")]
    Taken,
}

impl TopicMap {
    /// A node upstream that will bring instruments of any venues. Its loss and return are told with `publish_link` by this name, link 0;
    /// and `venue_known` by this name says that all are there.
    pub fn add_upstream(&self, name: &str) -> Upstream {
        self.add_venue_of(name, Origin::Node);
        Upstream(self.link(name, 0))
    }

    /// Creates the topics of an instrument, or tells what is new of it.
    pub fn relay_instrument(
        &self,
        upstream: &Upstream,
        venue: &str,
        instrument: &Instrument,
        place: Place,
        time: Nanos,
    ) -> Result<InstrumentTopics, NotCarried> {
        if self.add_venue_of(venue, Origin::Brought) != Origin::Brought {
            return Err(NotCarried::Taken);
        }
        let _one_at_a_time = self.listing.lock();
        let key = TopicKey::new(Kind::Instrument, venue, &instrument.symbol, None);
        let topics = match self.id(&key.to_string()) {
            Some(first) => {
                let topics = InstrumentTopics::from_first(first);
                let link = self.get(topics.status).map(|topic| topic.standing.link().index);
                if link != Some(upstream.0.index) {
                    return Err(NotCarried::Taken);
                }
                topics
            }
            None => {
                let topics = self.free_ids()?;
                let standing = Arc::new(Standing::new(upstream.0.clone(), true));
                let own = own_epoch(0);
                self.create(venue, standing, &topics, instrument, (place.seq, time), |key| {
                    let keeps = keeps_places(key);
                    // An instrument is told whole in any case: nobody has to wait for it.
                    let elsewhere = keeps && key.kind != Kind::Instrument;
                    Numbering { epoch: if keeps { place.epoch } else { own }, elsewhere }
                });
                topics
            }
        };
        self.describe(&key, &topics, instrument, place, time);
        Ok(topics)
    }

    fn describe(&self, key: &TopicKey, of: &InstrumentTopics, instrument: &Instrument, place: Place, time: Nanos) {
        let Some(Topic { state: State::Instrument(state), .. }) = self.get(of.instrument) else { return };
        let former = state.lock().value.clone();
        self.rename(&key.venue, of, &former, instrument);
        let now = now();
        let meta = meta_of(of.instrument, key, instrument, place.epoch);
        self.update(of.instrument, &now, |_| state.lock().relay(&meta, instrument, place.seq, time));
        if scale(&former) != scale(instrument) {
            self.totals.redefinitions.fetch_add(1, Ordering::Relaxed);
            let own = self.get(of.status).map_or(0, |topic| own_epoch(topic.head().0));
            let meta = self.own_meta(of.status, &meta, own);
            self.update(of.status, &now, |state| matches!(state, State::Status(status) if status.lock().redefine(&meta)));
        }
    }

    /// The scale and epoch of a quote, trade or full book, and with it of what is made of them here. `anew`: nothing leads from the epoch
    /// before to this one, so nobody knows which trades lie between.
    pub fn relay_meta(&self, of: &InstrumentTopics, meta: &Meta, anew: bool) {
        let now = now();
        match meta.kind {
            Kind::Quote => {
                let meta = self.own_meta(of.quote, meta, meta.epoch);
                self.update(of.quote, &now, |state| matches!(state, State::Quote(quote) if quote.lock().redefine(&meta)));
            }
            Kind::Trade => self.relay_trade_meta(of, meta, anew, &now),
            Kind::Book => self.relay_book_meta(of, meta, &now),
            Kind::Status | Kind::Instrument | Kind::Bar | Kind::Stats => {}
        }
    }

    fn relay_trade_meta(&self, of: &InstrumentTopics, meta: &Meta, anew: bool, now: &Stamp) {
        let Some(Topic { state: State::Trade(trades), .. }) = self.get(of.trade) else { return };
        let (epoch, own) = {
            let trades = trades.lock();
            (trades.tape.head.epoch(), trades.derived.head(0).epoch())
        };
        let own = if epoch == meta.epoch { own } else { own_epoch(own) };
        if epoch != meta.epoch && anew {
            self.publish_gap(of, Channel::Trade, None, Cause::UpstreamLost, now);
        }
        let numbered = self.own_meta(of.trade, meta, meta.epoch);
        self.update(of.trade, now, |_| trades.lock().tape.redefine(&numbered));
        let made = of.derived().map(|id| self.own_meta(id, meta, own));
        self.derive(of, now, |derived| derived.redefine(&made));
    }

    fn relay_book_meta(&self, of: &InstrumentTopics, meta: &Meta, now: &Stamp) {
        let Some(Topic { state: State::Book(book, _), .. }) = self.get(of.book[0]) else { return };
        let mut book = book.lock();
        let [epoch, own] = [FULL, 0].map(|view| book.views[view].head.epoch());
        let own = if epoch == meta.epoch { own } else { own_epoch(own) };
        let metas = of.book.map(|id| self.own_meta(id, meta, if id == of.book[FULL] { meta.epoch } else { own }));
        let changed = book.redefine(&metas);
        drop(book);
        of.book.into_iter().for_each(|id| self.update(id, now, |_| changed));
    }

    /// What an upstream topic's meta says, for a topic of this node.
    fn own_meta(&self, id: u32, meta: &Meta, epoch: u64) -> Meta {
        let (name, kind) = self.get(id).map_or((String::new(), meta.kind), |topic| (topic.name().to_owned(), topic.kind()));
        // The first price that is seen here anchors as well as the one that was seen there.
        Meta { topic: id, name, kind, epoch, base: 0, ..*meta }
    }

    /// `snapshot`: fields that are not in `change` are missing. Otherwise it has all fields that changed since the place before.
    pub fn relay_quote(&self, of: &InstrumentTopics, change: &QuoteChange, snapshot: bool, place: Place, stamp: &Stamp) {
        self.update(of.quote, stamp, |state| {
            let State::Quote(quote) = state else { return false };
            let mut quote = quote.lock();
            quote.head.epoch() == place.epoch && quote.relay(change, snapshot, place.seq, stamp)
        });
    }

    /// A trade at its place; one that is known already does nothing. Trades that it shows to be missing before it become a gap.
    pub fn relay_trade(&self, of: &InstrumentTopics, trade: &Trade, place: Place, stamp: &Stamp) {
        let before = Place { seq: place.seq.saturating_sub(1), ..place };
        self.skip_to(of, Gap::UNKNOWN, before, stamp);
        self.add_trade(of, trade, stamp, |tape| {
            let is_next = tape.head.epoch() == place.epoch && tape.seq() + 1 == place.seq;
            is_next.then(|| tape.publish(trade, stamp)).map(|()| Changed::default())
        });
    }

    /// The newest trade up to a place: nothing before that can be told one by one. A place that was passed already does nothing.
    pub fn relay_tape(&self, of: &InstrumentTopics, newest: Option<&Trade>, place: Place, stamp: &Stamp) {
        let passed = self.get(of.trade).is_none_or(|topic| topic.head() == (place.epoch, place.seq));
        self.skip_to(of, Gap::UNKNOWN, place, stamp);
        let Some(trade) = newest.filter(|_| !passed) else { return };
        self.update(of.trade, stamp, |state| {
            let State::Trade(trades) = state else { return false };
            let tape = &mut trades.lock().tape;
            let is_there = (tape.head.epoch(), tape.seq()) == (place.epoch, place.seq);
            if is_there {
                tape.show(trade, stamp);
            }
            is_there
        });
    }

    /// The last `advance` places up to this one cannot be told one by one. A place that was passed already does nothing.
    pub fn relay_gap(
        &self,
        of: &InstrumentTopics,
        missing: Option<u64>,
        cause: Cause,
        advance: u64,
        place: Place,
        stamp: &Stamp,
    ) {
        self.skip_to(of, Gap { missing, cause, from: place.seq.saturating_sub(advance) }, place, stamp);
    }

    fn skip_to(&self, of: &InstrumentTopics, gap: Gap, place: Place, stamp: &Stamp) {
        let mut moved = false;
        self.update(of.trade, stamp, |state| {
            let State::Trade(trades) = state else { return false };
            let tape = &mut trades.lock().tape;
            if tape.head.epoch() != place.epoch {
                return false;
            }
            let Gap { cause, from, .. } = gap;
            // Who counted from elsewhere on: how much of it is known here does not show.
            let missing = gap.missing.filter(|_| from == tape.seq());
            moved = match tape.seq() {
                0 => tape.skip_to(place.seq, missing, Cause::Startup, stamp),
                // One place: the ring has room for it.
                seq if seq + 1 == place.seq => {
                    tape.publish_gap(missing, cause, stamp);
                    // What the venue did not send the upstream node has not got either; but these may be trades that it has.
                    if matches!(cause, Cause::Overrun | Cause::UpstreamLost) {
                        tape.doubt_last();
                    }
                    true
                }
                _ => tape.skip_to(place.seq, missing, cause, stamp),
            };
            moved
        });
        if moved {
            self.derive(of, stamp, |derived| derived.gap(stamp));
        }
    }

    /// Levels of the full book, as `publish_book` takes them; all that changed since the place before, or the whole book.
    pub fn relay_book(
        &self,
        of: &InstrumentTopics,
        [bids, asks]: [&[Level]; 2],
        snapshot: bool,
        place: Place,
        stamp: &Stamp,
    ) -> BookFit {
        let step = self.change_book(of, stamp, |book| {
            let fits = book.views[FULL].head.epoch() == place.epoch;
            let step = if fits { book.relay(bids, asks, snapshot, place.seq, stamp) } else { BookStep::default() };
            (step, Changed::default())
        });
        BookFit { dropped: step.dropped }
    }

    /// What the upstream node says of a channel and of trading.
    pub fn relay_state(&self, of: &InstrumentTopics, channel: Channel, status: &Status, stamp: &Stamp) {
        if let Some(topic) = self.get(of.status) {
            self.mark_standing(of, topic.standing.relay(channel, status, stamp));
        }
    }
}

/// Places that cannot be told one by one, from behind this sequence on.
#[derive(Clone, Copy)]
struct Gap {
    missing: Option<u64>,
    cause: Cause,
    from: u64,
}

impl Gap {
    /// Nobody counted.
    const UNKNOWN: Self = Self { missing: None, cause: Cause::UpstreamLost, from: 0 };
}

/// Whether a book had room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookFit {
    /// Levels beyond `book_levels` that were dropped: the book is not the upstream node's any more.
    pub dropped: u64,
}

fn keeps_places(key: &TopicKey) -> bool {
    match key.kind {
        Kind::Quote | Kind::Trade | Kind::Instrument => true,
        Kind::Book => key.argument == Some(Depth::Full.into()),
        Kind::Status | Kind::Bar | Kind::Stats => false,
    }
}

/// An epoch for what this node numbers itself. Nodes that relay one another begin such epochs at any time, so it is finer than the
/// epochs of a node's own feeds, which are milliseconds with room behind them: neither is ever equal to another.
fn own_epoch(former: u64) -> u64 {
    let micros = u64::try_from(wall_time() / 1_000).unwrap_or(0);
    micros.max(former + 1)
}

fn now() -> Stamp {
    Stamp { published: wall_time(), ..Stamp::default() }
}
