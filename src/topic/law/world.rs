//! The truth next to the topic map: every operation is applied to both, the plain way here. In: random operations.
//! Out: what any view must show. Bounded by the length of the test.

use super::super::{InstrumentTopics, QuietAfter, Stamp, TopicLimits, TopicMap};
use super::derived::DerivedTruth;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use wire::event::{Cause, Channel, FeedState, Flags, Level, Quote, Side, Status, Trade, TradingState};
use wire::instrument::Instrument;
use wire::kind::{Depth, Kind};

pub const SHARDS: usize = 2;
const CHANNELS: [Channel; 3] = [Channel::Quote, Channel::Trade, Channel::Book];
const VENUE: &str = "sim";
/// Of quotes; trades take twice as long, books three times.
const QUIET_AFTER: i64 = 1_000_000_000;

#[derive(Clone, Debug)]
pub enum Op {
    Quote(Quote),
    Trade(Trade),
    Gap(Option<u64>, Cause),
    /// Like `Trade`, but made so many ns before it came.
    Late(Trade, i64),
    /// So many ns pass.
    Pass(i64),
    Book {
        bids: Vec<Level>,
        asks: Vec<Level>,
        snapshot: bool,
    },
    /// Of a feed without quotes.
    BookAndQuote {
        bids: Vec<Level>,
        asks: Vec<Level>,
        snapshot: bool,
    },
    State(Option<Channel>, FeedState, Cause),
    /// The feed's link is lost or back.
    Link(FeedState, Cause),
    Trading(TradingState),
    /// New price exponent: a new epoch if it differs.
    Rescale(i8),
    /// Whether the venue gives event times: told within the epoch.
    Retime(bool),
}

/// One entry of a tape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item {
    Trade(Trade),
    Gap(Cause, Option<u64>),
}

pub struct World {
    pub map: Arc<TopicMap>,
    pub topics: InstrumentTopics,
    pub limits: TopicLimits,
    pub epoch: u64,
    pub instrument: Instrument,
    pub quote: Quote,
    pub quote_time: i64,
    /// All tapes there ever were, by epoch.
    pub tapes: HashMap<u64, Vec<Item>>,
    pub derived: DerivedTruth,
    book: [BTreeMap<i64, i64>; 2],
    /// The book has been crossed since its newest change.
    pub crossed: Option<bool>,
    /// Otherwise they are made from its books.
    has_quotes: bool,
    /// Of quote, trade, book; with the number of the link's changes when it was said, if it was.
    channels: [(Status, Option<u32>); 3],
    link: Option<Status>,
    link_changes: u32,
    trading: TradingState,
    /// Newest update of quote, trade, book; 0 = none.
    updated: [i64; 3],
    clock: i64,
    versions: Vec<u64>,
}

impl World {
    pub fn new(limits: TopicLimits, has_quotes: bool) -> Self {
        let map = TopicMap::new(limits, SHARDS, 7);
        map.set_quiet_after(VENUE, QuietAfter { quote: QUIET_AFTER, trade: QUIET_AFTER * 2, book: QUIET_AFTER * 3 });
        if !has_quotes {
            map.set_quotes_from_books(VENUE);
        }
        let instrument = Instrument {
            symbol: "A-B".into(),
            native: "AB".into(),
            quote_has_event_time: has_quotes,
            event_time_exponent: -3,
            ..Instrument::default()
        };
        let topics = map.list(VENUE, &instrument).expect("room for one");
        map.venue_known(VENUE);
        let mut world = Self {
            map,
            topics,
            limits,
            epoch: 7,
            instrument,
            quote: Quote::default(),
            quote_time: 0,
            tapes: HashMap::from([(7, Vec::new())]),
            derived: DerivedTruth::default(),
            book: Default::default(),
            crossed: Some(false),
            has_quotes,
            channels: Default::default(),
            link: None,
            link_changes: 0,
            updated: [0; 3],
            trading: TradingState::Unknown,
            // Some days: late trades stay on this side of 0.
            clock: 1_000_000_000_000_000,
            versions: Vec::new(),
        };
        world.versions = world.all_versions();
        world
    }

    /// Applies one operation to the map and to the truth, and sees to it that exactly what changed was marked.
    pub fn apply(&mut self, op: &Op) {
        self.clock += 10;
        let stamp = Stamp { event: self.clock - 3, received: self.clock, published: self.clock + 1, flags: Flags::default() };
        self.drain();
        self.versions = self.all_versions();
        match op {
            Op::Quote(quote) => {
                self.map.publish_quote(&self.topics, quote, &stamp);
                self.quote(Channel::Quote, *quote, &stamp);
            }
            Op::Trade(trade) => self.trade(trade, &stamp),
            Op::Late(trade, late) => {
                let made = Stamp { event: stamp.event - late, received: stamp.received - late, ..stamp };
                self.trade(trade, &made);
            }
            Op::Pass(time) => {
                self.clock += time;
                self.map.tick(self.clock);
                self.derived.pass(self.clock);
                self.find_quiet();
            }
            Op::Gap(missing, cause) => {
                self.map.publish_gap(&self.topics, Channel::Trade, *missing, *cause, &stamp);
                // No update: it says what did not come.
                self.updated[Channel::Trade as usize] = stamp.received;
                self.tape().push(Item::Gap(*cause, *missing));
                self.derived.gap(stamp.published);
            }
            Op::Book { bids, asks, snapshot } => {
                self.map.publish_book(&self.topics, bids, asks, *snapshot, &stamp);
                self.is_updated(Channel::Book, stamp.received);
                self.edit_books(bids, asks, *snapshot);
            }
            Op::BookAndQuote { bids, asks, snapshot } => {
                self.map.publish_book_and_quote(&self.topics, bids, asks, *snapshot, &stamp);
                self.edit_books(bids, asks, *snapshot);
                let [bid, ask] = [Side::Bid, Side::Ask].map(|side| self.levels(side, Depth::Full).first().copied());
                let (price, size) = (|level: Level| level.price, |level: Level| level.size);
                let (bid_price, bid_size) = (bid.map(price), bid.map(size));
                self.quote(
                    Channel::Book,
                    Quote { bid_price, bid_size, ask_price: ask.map(price), ask_size: ask.map(size) },
                    &stamp,
                );
            }
            Op::State(channel, feed, cause) => {
                self.map.publish_state(&self.topics, *channel, *feed, *cause, &stamp);
                for at in CHANNELS.into_iter().filter(|at| self.has_quotes || *at != Channel::Quote) {
                    let (held, said) = &mut self.channels[at as usize];
                    let same = (held.feed, held.cause, *said) == (*feed, *cause, Some(self.link_changes));
                    if channel.is_none_or(|channel| channel == at) && !same {
                        *held = Status { feed: *feed, cause: *cause, since: stamp.received, ..*held };
                        *said = Some(self.link_changes);
                    }
                }
            }
            Op::Link(feed, cause) => {
                self.map.publish_link(VENUE, 0, *feed, *cause, &stamp);
                self.change_link(*feed, *cause, stamp.received);
                return self.links_are_marked();
            }
            Op::Trading(trading) => {
                self.map.publish_trading(&self.topics, *trading, &stamp);
                // The time belongs to whatever else changed last.
                self.trading = *trading;
            }
            Op::Rescale(exponent) => {
                let changed = self.instrument.price_exponent != *exponent;
                self.instrument.price_exponent = *exponent;
                self.list_again();
                if changed {
                    self.epoch += 1;
                    self.tapes.insert(self.epoch, Vec::new());
                    (self.quote, self.quote_time, self.book) = (Quote::default(), 0, Default::default());
                    self.derived = DerivedTruth::default();
                    self.crossed = Some(false);
                }
            }
            Op::Retime(has) => {
                self.instrument.quote_has_event_time = *has;
                self.instrument.trade_has_event_time = *has;
                self.instrument.book_has_event_time = *has;
                self.list_again();
            }
        }
        self.marks_are_exact();
    }

    /// `channel` is the one on which it came.
    fn quote(&mut self, channel: Channel, quote: Quote, stamp: &Stamp) {
        let woken = self.is_updated(channel, stamp.received);
        let changed = self.quote != quote;
        assert_eq!(self.changed(self.topics.quote), changed || woken, "a quote that repeats the last one must move nothing");
        if changed {
            self.quote = quote;
            self.quote_time = if self.instrument.quote_has_event_time { stamp.event } else { stamp.received };
        }
    }

    /// Data came: a quiet channel is live. True if it was quiet, and that shows.
    fn is_updated(&mut self, channel: Channel, received: i64) -> bool {
        let before = self.channel(channel);
        self.updated[channel as usize] = received;
        let (held, _) = &mut self.channels[channel as usize];
        if held.feed == FeedState::Quiet {
            (held.feed, held.since) = (FeedState::Live, received);
        }
        self.channel(channel) != before
    }

    fn find_quiet(&mut self) {
        for (channel, times) in CHANNELS.into_iter().zip(1..) {
            let is_live = self.channel(channel).feed == FeedState::Live;
            let (held, _) = &mut self.channels[channel as usize];
            let last = self.updated[channel as usize].max(held.since);
            if is_live && self.clock - last >= QUIET_AFTER * times {
                (held.feed, held.cause, held.since) = (FeedState::Quiet, Cause::None, last);
            }
        }
    }

    fn change_link(&mut self, feed: FeedState, cause: Cause, received: i64) {
        let is_lost = |feed| matches!(feed, FeedState::Down | FeedState::Stale);
        let new =
            Status { feed: if is_lost(feed) { feed } else { FeedState::Resyncing }, cause, since: received, ..Status::default() };
        let same = match self.link {
            Some(link) if is_lost(feed) => (link.feed, link.cause) == (feed, cause),
            Some(link) => !is_lost(link.feed),
            None => !is_lost(feed),
        };
        if !same {
            self.link = Some(new);
            self.link_changes += 1;
        }
    }

    /// What is true of a channel: what was said of it since the link last changed, or else what is true of the link.
    fn channel(&self, channel: Channel) -> Status {
        let (held, said) = self.channels[channel as usize];
        let is_lost = self.link.is_some_and(|link| link.feed != FeedState::Resyncing);
        let status = match self.link {
            Some(link) if said.is_some() && (is_lost || said != Some(self.link_changes)) => link,
            _ => held,
        };
        Status { trading: self.trading, ..status }
    }

    /// Whether the values of a kind must be flagged as old.
    pub fn is_stale(&self, kind: Kind) -> bool {
        let feed = self.status_of(kind).map(|status| status.feed);
        matches!(feed, Some(FeedState::Stale | FeedState::Resyncing | FeedState::Down))
    }

    fn trade(&mut self, trade: &Trade, stamp: &Stamp) {
        let woken = self.is_updated(Channel::Trade, stamp.received);
        let too_late = self.map.trades_too_late();
        self.map.publish_trade(&self.topics, trade, stamp);
        self.tape().push(Item::Trade(*trade));
        let known = self.derived.newest_time().unwrap_or(stamp.received);
        let time = match (self.instrument.trade_has_event_time, stamp.event) {
            (false, _) => stamp.received,
            (true, 0) => known,
            (true, event) => event,
        };
        let in_time = self.derived.trade(time, *trade, stamp.published);
        let late = in_time.iter().filter(|in_time| !**in_time).count() as u64;
        assert_eq!(self.map.trades_too_late() - too_late, late, "each topic counts what it refuses");
        for (id, in_time) in self.topics.bar.into_iter().zip(in_time) {
            assert_eq!(self.changed(id), in_time || woken, "a trade moves a bar topic, unless it is too late for it");
        }
    }

    fn list_again(&mut self) {
        let topics = self.map.list(VENUE, &self.instrument).expect("it is there");
        assert_eq!(topics, self.topics);
    }

    fn tape(&mut self) -> &mut Vec<Item> {
        self.tapes.entry(self.epoch).or_default()
    }

    fn edit_books(&mut self, bids: &[Level], asks: &[Level], snapshot: bool) {
        let before = self.book.clone();
        self.edit_book(Side::Bid, bids, snapshot);
        self.edit_book(Side::Ask, asks, snapshot);
        let best = [self.book[0].keys().next_back(), self.book[1].keys().next()];
        let crosses = matches!(best, [Some(bid), Some(ask)] if bid >= ask);
        let crossed = crosses && !matches!(self.trading, TradingState::Auction | TradingState::Unknown);
        if self.book != before {
            self.crossed = Some(crossed);
        } else if self.crossed != Some(crossed) {
            // There and back within one message, in another phase than before: no matter.
            self.crossed = None;
        }
    }

    fn edit_book(&mut self, side: Side, levels: &[Level], snapshot: bool) {
        let max = self.limits.book_levels;
        let map = &mut self.book[side as usize];
        let worst = |map: &BTreeMap<i64, i64>| match side {
            Side::Bid => map.keys().next().copied(),
            Side::Ask => map.keys().next_back().copied(),
        };
        if snapshot {
            *map = levels.iter().map(|level| (level.price, level.size)).collect();
            map.retain(|_, size| *size != 0);
        }
        for Level { price, size } in levels.iter().filter(|_| !snapshot) {
            match size {
                0 => map.remove(price),
                _ => map.insert(*price, *size),
            };
            if map.len() > max {
                worst(map).and_then(|price| map.remove(&price));
            }
        }
        while map.len() > max {
            worst(map).and_then(|price| map.remove(&price));
        }
    }

    /// What a view of this depth must show.
    pub fn levels(&self, side: Side, depth: Depth) -> Vec<Level> {
        let levels = self.book[side as usize].iter().map(|(&price, &size)| Level { price, size });
        match side {
            Side::Bid => levels.rev().take(depth.levels()).collect(),
            Side::Ask => levels.take(depth.levels()).collect(),
        }
    }

    /// What `State` records of a data topic must say.
    pub fn status_of(&self, kind: Kind) -> Option<Status> {
        match kind {
            Kind::Quote if self.has_quotes => Some(self.channel(Channel::Quote)),
            Kind::Trade | Kind::Bar | Kind::Stats => Some(self.channel(Channel::Trade)),
            Kind::Quote | Kind::Book => Some(self.channel(Channel::Book)),
            Kind::Status | Kind::Instrument => None,
        }
    }

    /// The value of the status topic: the worst channel, of equally bad ones the one that has been so the longest.
    pub fn status(&self) -> Status {
        use FeedState::{Down, Live, Quiet, Replay, Resyncing, Stale, Starting};
        let worst_first = [Down, Resyncing, Stale, Quiet, Replay, Live, Starting];
        let channels = CHANNELS.map(|channel| self.channel(channel));
        let of_state = |feed| channels.iter().filter(move |held| held.feed == feed).min_by_key(|held| held.since);
        worst_first.into_iter().find_map(of_state).copied().unwrap_or_default()
    }

    fn all_versions(&self) -> Vec<u64> {
        (0..self.map.len()).filter_map(|id| self.map.get(id)).map(|topic| topic.version()).collect()
    }

    fn changed(&self, id: u32) -> bool {
        self.map.get(id).is_some_and(|topic| topic.version() != self.versions[id as usize])
    }

    fn drain(&self) -> Vec<Vec<u32>> {
        let drain = |shard| {
            let mut ids = Vec::new();
            self.map.marks(shard).drain(|id| ids.push(id));
            ids
        };
        (0..SHARDS).map(drain).collect()
    }

    /// One mark a shard for all that the link carries; and whoever looks finds news.
    fn links_are_marked(&self) {
        let changed = self.changed(self.topics.quote);
        for id in (0..self.map.len()).filter(|id| *id != self.topics.instrument) {
            assert_eq!(self.changed(id), changed, "topic {id} follows its link");
        }
        for shard in 0..SHARDS {
            let marked = self.map.marks(shard).take_links();
            assert_eq!(marked, if changed { vec![0] } else { vec![] });
        }
        assert!(self.drain().iter().all(Vec::is_empty), "no topic is marked by itself");
    }

    fn marks_are_exact(&self) {
        for (shard, marked) in self.drain().into_iter().enumerate() {
            for id in 0..self.map.len() {
                let watched = self.map.get(id).is_some_and(|topic| topic.watchers() & (1 << shard) != 0);
                assert_eq!(marked.contains(&id), watched && self.changed(id), "mark of topic {id} for shard {shard}");
            }
        }
    }
}
