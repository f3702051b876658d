//! The feeds and the truth: every operation of a venue is applied to the topic map and, the plain way, to the values kept here.
//! In: what feeds say, time. Out: what any subscriber must see now. Bounded by the length of a case.

use super::operation::Feed;
use super::truth::{Item, LinkTruth, Truth};
use crate::clock::manual;
use crate::topic::{InstrumentTopics, QuietAfter, Resolve, Stamp, TopicLimits, TopicMap};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::event::{Cause, Channel, FeedState, Flags};
use wire::instrument::Instrument;
use wire::topic::{Pattern, TopicKey};

pub const MS: i64 = 1_000_000;
const WALL_START: i64 = 1_700_000_000_000 * MS;
const MONO_START: i64 = 1_000_000 * MS;
pub const FIRST_EPOCH: u64 = 7;
/// This venue has no quotes of its own.
pub const BOOKS_ONLY: &str = "ven";
/// Of quotes, trades and books.
pub const QUIET_AFTER_MS: [i64; 3] = [1_000, 4_000, 2_000];
/// Links of a venue, over which its instruments are spread.
pub const LINKS: u32 = 2;
pub const CHANNELS: [Channel; 3] = [Channel::Quote, Channel::Trade, Channel::Book];
/// Former epochs whose cut-off trades a tape still tells of.
pub const REMEMBERED_EPOCHS: u64 = 8;

pub struct World {
    pub map: Arc<TopicMap>,
    pub ring: usize,
    pub truths: Vec<Truth>,
    /// By topic id.
    pub keys: Vec<TopicKey>,
    venues: Vec<(&'static str, bool)>,
    unlisted: VecDeque<(&'static str, &'static str)>,
    now: i64,
    wall_shift: i64,
}

impl World {
    pub fn new(limits: TopicLimits, venues: &[(&'static str, bool)], instruments: &[(&'static str, &'static str)]) -> Self {
        let map = TopicMap::new(limits, 1, FIRST_EPOCH);
        let [quote, trade, book] = QUIET_AFTER_MS.map(|ms| ms * MS);
        map.set_quotes_from_books(BOOKS_ONLY);
        for (venue, known) in venues {
            map.set_quiet_after(venue, QuietAfter { quote, trade, book });
            if *known {
                map.venue_known(venue);
            }
        }
        let world = Self {
            map,
            ring: limits.trade_ring,
            truths: Vec::new(),
            keys: Vec::new(),
            venues: venues.to_vec(),
            unlisted: instruments.iter().copied().collect(),
            now: 0,
            wall_shift: 0,
        };
        world.set_clock();
        world
    }

    pub fn mono(&self) -> i64 {
        MONO_START + self.now
    }

    pub fn wall(&self) -> i64 {
        WALL_START + self.now + self.wall_shift
    }

    fn set_clock(&self) {
        manual::set(self.wall(), self.mono());
    }

    pub fn pass(&mut self, ms: i64) {
        self.now += ms * MS;
        self.set_clock();
    }

    pub fn step_wall(&mut self, ms: i64) {
        self.wall_shift += ms * MS;
        self.set_clock();
    }

    pub fn tick(&mut self) {
        let wall = self.wall();
        self.map.tick(wall);
        self.truths.iter_mut().for_each(|truth| truth.pass(wall));
    }

    pub fn venue_known(&mut self, at: usize) {
        let at = at % self.venues.len();
        self.venues[at].1 = true;
        self.map.venue_known(self.venues[at].0);
    }

    /// The next instrument that no venue has listed yet.
    pub fn list(&mut self) {
        let Some((venue, symbol)) = self.unlisted.pop_front() else { return };
        let instrument = Instrument {
            symbol: symbol.to_owned(),
            native: format!("N{symbol}"),
            price_exponent: -2,
            trade_has_event_time: self.truths.len().is_multiple_of(2),
            event_time_exponent: -3,
            ..Instrument::default()
        };
        let number = self.truths.len() as u32 % LINKS;
        let topics = self.map.list_on(venue, number, &instrument).expect("the map has room for all of them");
        let known = self.truths.iter().find(|truth| truth.venue == venue && truth.link.number == number);
        let link = known.map_or(LinkTruth { number, ..LinkTruth::default() }, |truth| truth.link);
        let truth = Truth::new(venue, instrument, topics, link);
        for id in self.keys.len() as u32..self.map.len() {
            self.keys.push(truth.key(id));
        }
        self.truths.push(truth);
    }

    pub fn at(&self, id: u32) -> &Truth {
        &self.truths[(id / InstrumentTopics::COUNT) as usize]
    }

    pub fn at_mut(&mut self, id: u32) -> &mut Truth {
        &mut self.truths[(id / InstrumentTopics::COUNT) as usize]
    }

    pub fn key(&self, id: u32) -> &TopicKey {
        &self.keys[id as usize]
    }

    pub fn resolve(&self, key: &TopicKey) -> Resolve {
        let Some((_, known)) = self.venues.iter().find(|(venue, _)| *venue == key.venue) else { return Resolve::UnknownVenue };
        let named = |truth: &&Truth| match key.symbol.strip_prefix('!') {
            Some(native) => truth.instrument.native == native,
            None => truth.instrument.symbol == key.symbol,
        };
        match self.truths.iter().filter(|truth| truth.venue == key.venue).find(named) {
            Some(truth) => Resolve::Found(truth.id(key.kind, key.argument)),
            None if *known => Resolve::UnknownSymbol,
            None => Resolve::Pending,
        }
    }

    pub fn matching(&self, pattern: &Pattern) -> Vec<u32> {
        (0..self.keys.len() as u32).filter(|id| pattern.matches(self.key(*id))).collect()
    }

    /// Instruments as `list` names them, with the ids of their first topics.
    pub fn symbols(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        self.truths.iter().map(|truth| (truth.topics.instrument, truth.venue, &*truth.instrument.symbol))
    }

    /// Applies what a feed says to the map and to the truth.
    pub fn publish(&mut self, at: usize, feed: &Feed, is_watched: &dyn Fn(u32) -> bool) {
        if self.truths.is_empty() {
            return;
        }
        let at = at % self.truths.len();
        let wall = self.wall();
        let stamp = Stamp { event: wall, received: wall, published: wall, flags: Flags::default() };
        if let Feed::Link { feed, cause } = feed {
            return self.link(at, *feed, *cause, &stamp);
        }
        let (map, truth) = (&self.map, &mut self.truths[at]);
        match feed {
            Feed::Link { .. } => {}
            Feed::Quote(quote) => truth.quote(map, quote, &stamp),
            Feed::Trades(shots) => shots.iter().for_each(|shot| truth.trade(map, shot, &stamp)),
            Feed::Gap { missing, cause } => {
                truth.channels[Channel::Trade as usize].received = stamp.received;
                map.publish_gap(&truth.topics, Channel::Trade, *missing, *cause, &stamp);
                truth.enter(Item::Gap { cause: *cause, missing: *missing }, &stamp);
                truth.derived.gap(stamp.published);
            }
            Feed::Book { bids, asks, snapshot } => truth.book(map, [bids, asks], *snapshot, &stamp, is_watched),
            Feed::State { channel, feed, cause } => truth.state(map, *channel, *feed, *cause, &stamp),
            Feed::Trading(trading) => {
                map.publish_trading(&truth.topics, *trading, &stamp);
                truth.trading = *trading;
                truth.set_status(stamp.received);
            }
            Feed::Redefine(how) => truth.redefine(map, how),
        }
    }

    /// The link that carries this instrument is lost or back, and with it all that it carries.
    fn link(&mut self, at: usize, feed: FeedState, cause: Cause, stamp: &Stamp) {
        let Truth { venue, link, .. } = self.truths[at];
        self.map.publish_link(venue, link.number, feed, cause, stamp);
        let carried = self.truths.iter_mut().filter(|truth| truth.venue == venue && truth.link.number == link.number);
        carried.for_each(|truth| truth.set_link(feed, cause, stamp));
    }
}
