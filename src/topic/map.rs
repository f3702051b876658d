//! All topics of a node. In: venues and instruments as feeds announce them; names and patterns of clients. Out: dense ids and the
//! topics behind them. Bounded by `TopicLimits`; the slots are allocated at start, so `get` is one array access without a lock.

use super::derived::{DERIVED, DerivedStep};
use super::link::{Link, QuietAfter};
use super::marks::Marks;
use super::route::Route;
use super::slot::Topic;
use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use wire::event::Channel;
use wire::kind::{Depth, Interval, Kind};
use wire::topic::{Pattern, TopicKey};

/// One bit per shard in a topic's interest.
const MAX_SHARDS: usize = u64::BITS as usize;
const _: () = assert!(crate::config::MAX_SHARDS <= MAX_SHARDS);

const _: () = assert!(crate::config::TOPICS_PER_INSTRUMENT == InstrumentTopics::COUNT as u64);

/// What happened to all topics since start, for metrics.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub levels_dropped: AtomicU64,
    pub redefinitions: AtomicU64,
    pub overruns: AtomicU64,
    pub trades_too_late: AtomicU64,
    pub crossed_books: AtomicU64,
}

impl Totals {
    pub fn add_too_late(&self, step: &DerivedStep) {
        if step.too_late > 0 {
            self.trades_too_late.fetch_add(step.too_late, Ordering::Relaxed);
        }
    }
}

/// What the topic map may hold. `config::Config::memory_budget` says what that means in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicLimits {
    /// An instrument takes `InstrumentTopics::COUNT` topics.
    pub max_topics: u32,
    /// Trades (and gap markers) kept per instrument.
    pub trade_ring: usize,
    /// Changed prices kept per watched depth view.
    pub book_log: usize,
    /// Levels kept per side of a book.
    pub book_levels: usize,
    /// How long a depth view is kept up to date after its last watcher has left.
    pub view_linger_ms: u64,
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self { max_topics: 65_536, trade_ring: 1_024, book_log: 4_096, book_levels: 5_000, view_linger_ms: 10_000 }
    }
}

/// The node has no room for another instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for more topics: the limit is {max_topics} ({count} an instrument)", count = InstrumentTopics::COUNT)]
pub struct TopicsFull {
    pub max_topics: u32,
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    Found(u32),
    UnknownVenue,
    UnknownSymbol,
    /// The venue is known, but has not yet announced all its instruments.
    Pending,
}

/// The topics of one instrument. Their ids are consecutive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InstrumentTopics {
    pub quote: u32,
    pub trade: u32,
    /// In the order of `Depth::ALL`.
    pub book: [u32; 5],
    pub status: u32,
    pub instrument: u32,
    /// In the order of `Interval::ALL`.
    pub bar: [u32; 4],
    pub stats: u32,
}

impl InstrumentTopics {
    pub const COUNT: u32 = 14;

    pub(super) const fn from_first(first: u32) -> Self {
        let book = [first + 4, first + 5, first + 6, first + 7, first + 8];
        let bar = [first + 9, first + 10, first + 11, first + 12];
        Self { instrument: first, status: first + 1, quote: first + 2, trade: first + 3, book, bar, stats: first + 13 }
    }

    /// The topic whose lock guards the publications of a channel.
    pub(super) fn of_channel(&self, channel: Channel) -> u32 {
        match channel {
            Channel::Quote => self.quote,
            Channel::Trade => self.trade,
            Channel::Book => self.book[0],
        }
    }

    /// In the order of `DerivedState`.
    pub(super) fn derived(&self) -> [u32; DERIVED] {
        let [second, minute, five_minutes, hour] = self.bar;
        [second, minute, five_minutes, hour, self.stats]
    }

    pub(super) fn keys(&self, venue: &str, symbol: &str) -> [(u32, TopicKey); Self::COUNT as usize] {
        let key = |id, kind, argument| (id, TopicKey::new(kind, venue, symbol, argument));
        let book = |at: usize| key(self.book[at], Kind::Book, Some(Depth::ALL[at].into()));
        let bar = |at: usize| key(self.bar[at], Kind::Bar, Some(Interval::ALL[at].into()));
        [
            key(self.instrument, Kind::Instrument, None),
            key(self.status, Kind::Status, None),
            key(self.quote, Kind::Quote, None),
            key(self.trade, Kind::Trade, None),
            book(0),
            book(1),
            book(2),
            book(3),
            book(4),
            bar(0),
            bar(1),
            bar(2),
            bar(3),
            key(self.stats, Kind::Stats, None),
        ]
    }
}

struct Venue {
    name: Box<str>,
    /// All its instruments are announced.
    is_known: bool,
    /// Mismatches that clients reported of its topics.
    mismatches: AtomicU64,
    quiet_after: QuietAfter,
    /// It takes books but no quotes.
    quotes_from_books: bool,
    origin: Origin,
}

/// Who brings what goes by a venue's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A feed of this node has it.
    Here,
    /// Brought by one or more of them.
    Brought,
    /// No venue, but such a node: until its instruments are known, any venue may still turn up.
    Node,
}

pub struct TopicMap {
    pub(super) limits: TopicLimits,
    pub(super) epoch: u64,
    /// Canonical names, and names with the venue's own spelling (`quote/binance:!BTCUSDT`). Guards never leave a statement.
    pub(super) ids: DashMap<Box<str>, u32, foldhash::fast::RandomState>,
    pub(super) slots: Box<[OnceLock<Box<Topic>>]>,
    pub(super) len: AtomicU32,
    /// Few, so a list.
    venues: RwLock<Vec<Venue>>,
    /// Of all venues, by their index. At most one an instrument.
    links: RwLock<Vec<Arc<Link>>>,
    /// Held while topics are created or redefined: feeds of several venues list at the same time.
    pub(super) listing: Mutex<()>,
    pub(super) marks: Box<[Marks]>,
    pub(super) totals: Arc<Totals>,
    /// Some book view may be awake for nobody.
    pub(super) lingering: AtomicBool,
    pub(super) route: Route,
}

impl TopicMap {
    /// `epoch` names this run of the node: larger than any before, for example its start time. At most `MAX_SHARDS` shards.
    pub fn new(limits: TopicLimits, shards: usize, epoch: u64) -> Arc<Self> {
        let max_links = limits.max_topics.div_ceil(InstrumentTopics::COUNT);
        Arc::new(Self {
            limits,
            epoch,
            ids: DashMap::with_hasher(foldhash::fast::RandomState::default()),
            slots: (0..limits.max_topics).map(|_| OnceLock::new()).collect(),
            len: AtomicU32::new(0),
            venues: RwLock::default(),
            links: RwLock::default(),
            listing: Mutex::default(),
            marks: (0..shards.clamp(1, MAX_SHARDS)).map(|_| Marks::new(limits.max_topics, max_links)).collect(),
            totals: Arc::default(),
            lingering: AtomicBool::new(false),
            route: Route::new(epoch),
        })
    }

    pub fn limits(&self) -> &TopicLimits {
        &self.limits
    }

    /// The topic of a name; understands the venue's own spelling (`!BTCUSDT`).
    pub fn resolve(&self, key: &TopicKey) -> Resolve {
        // The venue first: if it is known by now, then its last listing is in `ids` by now.
        let Some(known) = self.knows_all_of(&key.venue) else { return Resolve::UnknownVenue };
        match (self.id(&key.to_string()), known) {
            (Some(id), _) => Resolve::Found(id),
            (None, true) => Resolve::UnknownSymbol,
            (None, false) => Resolve::Pending,
        }
    }

    /// Whether all instruments of a venue are listed. `None`: no such venue, nor will a node upstream bring one.
    fn knows_all_of(&self, name: &str) -> Option<bool> {
        let venues = self.venues.read();
        let may_come = || venues.iter().any(|venue| venue.origin == Origin::Node && !venue.is_known);
        match venues.iter().find(|venue| *venue.name == *name) {
            // A node upstream says when all that it brings is there, not of which venue.
            Some(venue) if venue.origin == Origin::Brought => Some(!may_come()),
            Some(venue) => Some(venue.is_known),
            None => may_come().then_some(false),
        }
    }

    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).map(|id| *id)
    }

    pub fn get(&self, id: u32) -> Option<&Topic> {
        self.slots.get(id as usize)?.get().map(|topic| &**topic)
    }

    /// Ids are dense: `0..len`. When it grows, there are new listings.
    pub fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The existing topics that a pattern matches, in the order of their ids.
    pub fn matching(&self, pattern: &Pattern, each: &mut dyn FnMut(u32)) {
        (0..self.len())
            .filter_map(|id| self.get(id))
            .filter(|topic| pattern.matches(topic.key()))
            .for_each(|topic| each(topic.id()));
    }

    /// The trade topic of the instrument that a topic belongs to.
    pub fn trade_of(&self, id: u32) -> u32 {
        InstrumentTopics::from_first(id - id % InstrumentTopics::COUNT).trade
    }

    /// From now on changes of this topic are marked for the shard. Call it before the first `since`.
    pub fn watch(&self, shard: usize, id: u32) {
        self.set_watched(shard, id, true);
    }

    pub fn unwatch(&self, shard: usize, id: u32) {
        self.set_watched(shard, id, false);
    }

    fn set_watched(&self, shard: usize, id: u32, watched: bool) {
        if let Some(topic) = self.get(id).filter(|_| shard < self.marks.len()) {
            // After the change: a tick that comes in between finds it the next time.
            if topic.set_watched(shard, watched) {
                self.lingering.store(true, Ordering::Release);
            }
        }
    }

    /// The dirty marks of a shard. Panics if there is no such shard.
    pub fn marks(&self, shard: usize) -> &Marks {
        &self.marks[shard]
    }

    /// Levels that venues sent beyond `book_levels`, since start.
    pub fn levels_dropped(&self) -> u64 {
        self.totals.levels_dropped.load(Ordering::Relaxed)
    }

    /// Instruments that got a new scale, since start.
    pub fn redefinitions(&self) -> u64 {
        self.totals.redefinitions.load(Ordering::Relaxed)
    }

    /// Answers to cursors that a trade ring or a book's change log had moved past, since start. One that is shared counts once.
    pub fn overruns(&self) -> u64 {
        self.totals.overruns.load(Ordering::Relaxed)
    }

    /// Trades that were too late for a bar or the day's statistics, once for each of those topics, since start.
    pub fn trades_too_late(&self) -> u64 {
        self.totals.trades_too_late.load(Ordering::Relaxed)
    }

    /// A client's view disagreed with a check of this topic.
    pub fn note_mismatch(&self, id: u32) {
        let Some(topic) = self.get(id) else { return };
        topic.note_mismatch();
        let venues = self.venues.read();
        if let Some(venue) = venues.iter().find(|venue| *venue.name == *topic.key().venue) {
            venue.mismatches.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Mismatches that clients reported of each venue's topics, since start.
    pub fn mismatches(&self) -> Vec<(String, u64)> {
        let venues = self.venues.read();
        venues.iter().map(|venue| (venue.name.to_string(), venue.mismatches.load(Ordering::Relaxed))).collect()
    }

    /// How often a book became crossed while trading was not in an auction, since start.
    pub fn crossed_books(&self) -> u64 {
        self.totals.crossed_books.load(Ordering::Relaxed)
    }

    /// A venue that will list instruments.
    pub fn add_venue(&self, venue: &str) {
        self.add_venue_of(venue, Origin::Here);
    }

    /// What the venue's name stands for: `origin`, if it is new.
    pub(super) fn add_venue_of(&self, venue: &str, origin: Origin) -> Origin {
        let mut venues = self.venues.write();
        if let Some(known) = venues.iter().find(|known| *known.name == *venue) {
            return known.origin;
        }
        venues.push(Venue {
            name: venue.into(),
            // Of what a node upstream brings, it knows when that is all.
            is_known: origin == Origin::Brought,
            mismatches: AtomicU64::new(0),
            quiet_after: QuietAfter::default(),
            quotes_from_books: false,
            origin,
        });
        origin
    }

    /// For instruments that are listed from now on.
    pub fn set_quiet_after(&self, venue: &str, quiet_after: QuietAfter) {
        self.add_venue(venue);
        self.venues.write().iter_mut().filter(|known| *known.name == *venue).for_each(|known| known.quiet_after = quiet_after);
    }

    /// The venue has no quotes of its own: they are made from its books, on whose channel and clock they then are. For instruments that
    /// are listed from now on, each of whose books is to be published with `publish_book_and_quote`.
    pub fn set_quotes_from_books(&self, venue: &str) {
        self.add_venue(venue);
        self.venues.write().iter_mut().filter(|known| *known.name == *venue).for_each(|known| known.quotes_from_books = true);
    }

    pub(super) fn quotes_from_books(&self, venue: &str) -> bool {
        self.venues.read().iter().any(|known| *known.name == *venue && known.quotes_from_books)
    }

    /// A venue's link of this number, made if it is not there. For listings, which come one at a time.
    pub(super) fn link(&self, venue: &str, number: u32) -> Arc<Link> {
        if let Some(link) = self.known_link(venue, number) {
            return link;
        }
        let venues = self.venues.read();
        let quiet_after = venues.iter().find(|known| *known.name == *venue).map(|known| known.quiet_after);
        drop(venues);
        let mut links = self.links.write();
        let link = Arc::new(Link::new(links.len() as u32, venue, number, quiet_after.unwrap_or_default()));
        links.push(link.clone());
        link
    }

    pub(super) fn known_link(&self, venue: &str, number: u32) -> Option<Arc<Link>> {
        self.links.read().iter().find(|link| link.number == number && *link.venue == *venue).cloned()
    }

    pub(super) fn venue_names(&self) -> Vec<String> {
        self.venues.read().iter().map(|venue| venue.name.to_string()).collect()
    }

    /// Venues that have not announced all their instruments yet.
    pub fn unknown_venues(&self) -> Vec<String> {
        self.venues.read().iter().filter(|venue| !venue.is_known).map(|venue| venue.name.to_string()).collect()
    }

    /// True while there is such a venue.
    pub fn is_starting(&self) -> bool {
        self.venues.read().iter().any(|venue| !venue.is_known)
    }

    /// All configured instruments of the venue are listed: what is not there now is unknown.
    pub fn venue_known(&self, venue: &str) {
        self.add_venue(venue);
        self.venues.write().iter_mut().filter(|known| *known.name == *venue).for_each(|known| known.is_known = true);
        self.marks.iter().for_each(Marks::mark_listing);
    }
}
