//! How instruments come into the topic map and change there. In: instruments as feeds announce them. Out: their topics, with
//! `Meta`. Bounded by `TopicLimits::max_topics`: a listing beyond it is refused.

use super::book::BookState;
use super::derived::{DerivedState, STATS};
use super::head::Head;
use super::last::{InstrumentState, StatusState};
use super::map::{InstrumentTopics, TopicMap, TopicsFull};
use super::marks::Marks;
use super::publish::Stamp;
use super::quote::QuoteState;
use super::slot::{State, Topic};
use super::standing::Standing;
use super::tape::TapeState;
use super::trades::Trades;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::event::Nanos;
use wire::instrument::Instrument;
use wire::kind::Kind;
use wire::record::{Clock, Meta};
use wire::topic::TopicKey;

/// Who gives a topic its places.
pub(super) struct Numbering {
    pub epoch: u64,
    /// Another node does, and its subscribers may be ahead of this one.
    pub elsewhere: bool,
}

impl TopicMap {
    /// Creates the topics of an instrument. Where they exist: a new scale (exponents, tick, lot) starts a new epoch of all of
    /// them, other changes are told within the epoch, and no change does nothing.
    pub fn list(&self, venue: &str, instrument: &Instrument) -> Result<InstrumentTopics, TopicsFull> {
        self.list_on(venue, 0, instrument)
    }

    /// The same for an instrument that the venue's link of this number carries. One that is there stays with the link it has.
    pub fn list_on(&self, venue: &str, link: u32, instrument: &Instrument) -> Result<InstrumentTopics, TopicsFull> {
        self.add_venue(venue);
        let has_quotes = !self.quotes_from_books(venue);
        let mut instrument = Cow::Borrowed(instrument);
        if !has_quotes {
            instrument.to_mut().quote_has_event_time = instrument.book_has_event_time;
        }
        let _one_at_a_time = self.listing.lock();
        let name = TopicKey::new(Kind::Instrument, venue, &instrument.symbol, None).to_string();
        if let Some(first) = self.id(&name) {
            let topics = InstrumentTopics::from_first(first);
            self.redefine(venue, &topics, &instrument);
            return Ok(topics);
        }
        let topics = self.free_ids()?;
        let standing = Arc::new(Standing::new(self.link(venue, link), has_quotes));
        let place = (1, wall_time());
        self.create(venue, standing, &topics, &instrument, place, |_| Numbering { epoch: self.epoch, elsewhere: false });
        Ok(topics)
    }

    /// Under the lock of listings.
    pub(super) fn free_ids(&self) -> Result<InstrumentTopics, TopicsFull> {
        let first = self.len();
        if self.limits.max_topics - first < InstrumentTopics::COUNT {
            return Err(TopicsFull { max_topics: self.limits.max_topics });
        }
        Ok(InstrumentTopics::from_first(first))
    }

    /// Makes the topics and lets everybody see them. Under the lock of listings. `place`: sequence and time of the instrument, complete from
    /// the first moment: who has seen this place is not told of it again.
    pub(super) fn create(
        &self,
        venue: &str,
        standing: Arc<Standing>,
        topics: &InstrumentTopics,
        instrument: &Instrument,
        place: (u64, Nanos),
        numbering: impl Fn(&TopicKey) -> Numbering,
    ) {
        let keys = topics.keys(venue, &instrument.symbol);
        let heads = keys.clone().map(|(id, key)| {
            let Numbering { epoch, elsewhere } = numbering(&key);
            let meta = meta(id, &key, instrument, epoch);
            Head::new(meta, standing.clone(), standing.about(key.kind)).numbered_elsewhere(elsewhere)
        });
        let [of_instrument, of_status, of_quote, of_trade, top5, top10, top20, top50, full, of_derived @ ..] = heads;
        let of_books = [top5, top10, top20, top50, full];
        let book = Arc::new(Mutex::new(BookState::new(of_books, &self.limits, self.totals.clone())));
        let view = |at| State::Book(book.clone(), at);
        let tape = TapeState::new(of_trade, self.limits.trade_ring, self.totals.clone());
        let trades = Arc::new(Trades::new(tape, DerivedState::new(of_derived)));
        let derived = |at| State::Derived(trades.clone(), at);
        let states = [
            State::Instrument(Mutex::new(InstrumentState::new(of_instrument, instrument.clone(), place))),
            State::Status(Mutex::new(StatusState::new(of_status))),
            State::Quote(Mutex::new(QuoteState::new(of_quote))),
            State::Trade(trades.clone()),
            view(0),
            view(1),
            view(2),
            view(3),
            view(4),
            derived(0),
            derived(1),
            derived(2),
            derived(3),
            derived(STATS),
        ];
        for ((id, key), state) in keys.into_iter().zip(states) {
            // The slot is free: ids are given out once, under the lock.
            let about = standing.about(key.kind);
            self.slots[id as usize].get_or_init(|| Box::new(Topic::new(id, key, standing.clone(), about, state)));
        }
        let now = Stamp { published: wall_time(), ..Stamp::default() };
        if let Some(topic) = self.get(topics.instrument) {
            topic.news.note_published(&now);
        }
        self.name(venue, &instrument.symbol, topics);
        self.name(venue, &format!("!{}", instrument.native), topics);
        self.len.store(topics.instrument + InstrumentTopics::COUNT, Ordering::Release);
        self.marks.iter().for_each(Marks::mark_listing);
    }

    fn name(&self, venue: &str, symbol: &str, topics: &InstrumentTopics) {
        for (id, key) in topics.keys(venue, symbol) {
            self.ids.insert(key.to_string().into(), id);
        }
    }

    fn redefine(&self, venue: &str, topics: &InstrumentTopics, instrument: &Instrument) {
        let Some(Topic { state: State::Instrument(state), .. }) = self.get(topics.instrument) else { return };
        let (former, epoch) = {
            let state = state.lock();
            (state.value.clone(), state.head.epoch())
        };
        if former == *instrument {
            return;
        }
        self.rename(venue, topics, &former, instrument);
        let rescaled = u64::from(scale(&former) != scale(instrument));
        self.totals.redefinitions.fetch_add(rescaled, Ordering::Relaxed);
        let epoch = epoch + rescaled;
        let keys = topics.keys(venue, &instrument.symbol);
        let metas = keys.map(|(id, key)| meta(id, &key, instrument, epoch));
        let now = Stamp { published: wall_time(), ..Stamp::default() };
        for meta in &metas {
            self.update(meta.topic, &now, |state| state.redefine(meta, &metas, instrument, now.published));
        }
        let [_, _, _, _, _, _, _, _, _, of_derived @ ..] = &metas;
        self.derive(topics, &now, |derived| derived.redefine(of_derived));
    }

    /// The venue spells it in another way now.
    pub(super) fn rename(&self, venue: &str, topics: &InstrumentTopics, former: &Instrument, instrument: &Instrument) {
        if former.native == instrument.native {
            return;
        }
        for (id, key) in topics.keys(venue, &format!("!{}", former.native)) {
            self.ids.remove_if(&*key.to_string(), |_, held| *held == id);
        }
        self.name(venue, &format!("!{}", instrument.native), topics);
    }
}

impl State {
    /// True if there is news. The views of a book must change in one step, so the first of them does it for all.
    fn redefine(
        &self,
        meta: &Meta,
        metas: &[Meta; InstrumentTopics::COUNT as usize],
        instrument: &Instrument,
        now: Nanos,
    ) -> bool {
        match self {
            Self::Instrument(state) => {
                state.lock().redefine(meta, instrument, now);
                true
            }
            Self::Status(state) => state.lock().redefine(meta),
            Self::Quote(state) => state.lock().redefine(meta),
            Self::Trade(trades) => trades.lock().tape.redefine(meta),
            Self::Book(state, 0) => {
                let [_, _, _, _, of_books @ .., _, _, _, _, _] = metas;
                state.lock().redefine(of_books)
            }
            Self::Book(..) => true,
            // Has a step of its own.
            Self::Derived(..) => false,
        }
    }
}

/// What must not change within an epoch.
pub(super) fn scale(instrument: &Instrument) -> (i8, i8, i64, i64) {
    (instrument.price_exponent, instrument.size_exponent, instrument.tick, instrument.lot)
}

pub(super) fn meta(topic: u32, key: &TopicKey, instrument: &Instrument, epoch: u64) -> Meta {
    let has_event_time = match key.kind {
        Kind::Quote => instrument.quote_has_event_time,
        Kind::Trade | Kind::Bar | Kind::Stats => instrument.trade_has_event_time,
        Kind::Book => instrument.book_has_event_time,
        Kind::Status | Kind::Instrument => false,
    };
    let (clock, time_exponent) =
        if has_event_time { (Clock::Event, instrument.event_time_exponent) } else { (Clock::Received, RECEIVED_TIME_EXPONENT) };
    Meta {
        topic,
        name: key.to_string(),
        kind: key.kind,
        epoch,
        price_exponent: instrument.price_exponent,
        size_exponent: instrument.size_exponent,
        tick: instrument.tick,
        lot: instrument.lot,
        base: 0,
        clock,
        time_exponent,
    }
}

/// Microseconds: finer would cost bytes, and clocks of two hosts do not agree on it.
const RECEIVED_TIME_EXPONENT: i8 = -6;

/// Listings are rare, so they read the clock themselves.
pub(super) fn wall_time() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX))
}
