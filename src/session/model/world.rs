//! The feeds and the truth: every operation of a venue is applied to the topic map and, the plain way, to the values kept here.
//! In: what feeds say, time. Out: what any subscriber must see now. Bounded by the length of a case.

use super::derived::Derived;
use super::operation::{Feed, Redefine, Shot};
use crate::clock::manual;
use crate::topic::{InstrumentTopics, QuietAfter, Resolve, Stamp, TopicLimits, TopicMap};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use wire::event::{Cause, Channel, FeedState, Flags, Level, Quote, Side, Status, Trade, TradingState};
use wire::instrument::Instrument;
use wire::kind::{Argument, Depth, Interval, Kind};
use wire::record::Bar;
use wire::topic::{Pattern, TopicKey};
use wire::view::View;

pub const MS: i64 = 1_000_000;
const WALL_START: i64 = 1_700_000_000_000 * MS;
const MONO_START: i64 = 1_000_000 * MS;
pub const FIRST_EPOCH: u64 = 7;
/// This venue has no quotes of its own.
const BOOKS_ONLY: &str = "ven";
/// Of quotes, trades and books.
const QUIET_AFTER_MS: [i64; 3] = [1_000, 4_000, 2_000];
/// Links of a venue, over which its instruments are spread.
const LINKS: u32 = 2;
const CHANNELS: [Channel; 3] = [Channel::Quote, Channel::Trade, Channel::Book];
/// Former epochs whose cut-off trades a tape still tells of.
pub const REMEMBERED_EPOCHS: u64 = 8;

/// One place of a tape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item {
    Trade(Trade),
    Gap { cause: Cause, missing: Option<u64> },
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub item: Item,
    pub time: i64,
}

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

/// What a stream lost for who goes on from some place, before its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lack {
    /// None: nobody knows.
    pub truth: Option<u64>,
    /// The place alone says too little.
    pub may_be_unknown: bool,
}

/// One instrument.
pub struct Truth {
    venue: &'static str,
    instrument: Instrument,
    topics: InstrumentTopics,
    pub epoch: u64,
    quote: (Quote, u64, i64),
    /// With its sequence, and when it last changed by this instrument's own doing.
    status: (Status, u64, i64),
    instrument_seq: u64,
    /// Of quote, trade, book.
    channels: [ChannelTruth; 3],
    link: LinkTruth,
    trading: TradingState,
    /// All tapes there ever were, by epoch.
    pub tapes: BTreeMap<u64, Vec<Entry>>,
    book: [BTreeMap<i64, i64>; 2],
    depths: [DepthTruth; 5],
    pub derived: Derived,
}

/// What was said of a channel, or found out by its silence.
#[derive(Clone, Copy, Default)]
struct ChannelTruth {
    feed: FeedState,
    cause: Cause,
    since: i64,
    /// So often had the link changed then; none: nothing was ever said.
    said_at: Option<u32>,
    /// When its newest bytes came.
    received: i64,
}

/// Each instrument knows the link that carries it; all of one link know the same.
#[derive(Clone, Copy)]
struct LinkTruth {
    number: u32,
    changes: u32,
    feed: FeedState,
    cause: Cause,
    since: i64,
}

/// A depth view keeps count only while it is watched, so its sequence is known only up to what happened meanwhile.
#[derive(Default)]
struct DepthTruth {
    changes: u64,
    /// Changes while perhaps nobody watched.
    doubts: u64,
    seen: Option<Seen>,
}

struct Seen {
    seq: u64,
    changes: u64,
    doubts: u64,
    sides: [Vec<Level>; 2],
}

impl Default for LinkTruth {
    /// Never lost.
    fn default() -> Self {
        Self { number: 0, changes: 0, feed: FeedState::Live, cause: Cause::None, since: 0 }
    }
}

impl LinkTruth {
    fn is_lost(&self) -> bool {
        matches!(self.feed, FeedState::Down | FeedState::Stale)
    }
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

impl Truth {
    fn new(venue: &'static str, instrument: Instrument, topics: InstrumentTopics, link: LinkTruth) -> Self {
        Self {
            venue,
            instrument,
            topics,
            epoch: FIRST_EPOCH,
            quote: Default::default(),
            status: Default::default(),
            instrument_seq: 1,
            channels: Default::default(),
            link,
            trading: TradingState::Unknown,
            tapes: BTreeMap::from([(FIRST_EPOCH, Vec::new())]),
            book: Default::default(),
            depths: Default::default(),
            derived: Derived::default(),
        }
    }

    pub fn quote_id(&self) -> u32 {
        self.topics.quote
    }

    pub fn trade_id(&self) -> u32 {
        self.topics.trade
    }

    fn id(&self, kind: Kind, argument: Option<Argument>) -> u32 {
        let place = |known: &[Argument]| known.iter().position(|known| Some(*known) == argument).unwrap_or_default();
        match kind {
            Kind::Quote => self.topics.quote,
            Kind::Trade => self.topics.trade,
            Kind::Book => self.topics.book[place(kind.row().arguments)],
            Kind::Status => self.topics.status,
            Kind::Instrument => self.topics.instrument,
            Kind::Bar => self.topics.bar[place(kind.row().arguments)],
            Kind::Stats => self.topics.stats,
        }
    }

    fn key(&self, id: u32) -> TopicKey {
        let none = [None];
        let named = |kind: Kind| {
            let arguments: Vec<_> = kind.row().arguments.iter().map(|argument| Some(*argument)).collect();
            let arguments = if arguments.is_empty() { none.to_vec() } else { arguments };
            arguments.into_iter().map(move |argument| (kind, argument))
        };
        let mut all = wire::kind::KINDS.iter().flat_map(|row| named(row.kind));
        let (kind, argument) = all.find(|(kind, argument)| self.id(*kind, *argument) == id).expect("an id of this instrument");
        TopicKey::new(kind, self.venue, &self.instrument.symbol, argument)
    }

    pub fn tape(&self) -> &[Entry] {
        &self.tapes[&self.epoch]
    }

    /// What who stands at this place can not be told any more.
    pub fn lack(&self, (epoch, seq): (u64, u64), ring: usize) -> Lack {
        let seq = seq as usize;
        let Some(tape) = self.tapes.get(&epoch).filter(|tape| seq <= tape.len() && self.epoch - epoch <= REMEMBERED_EPOCHS)
        else {
            return Lack { truth: None, may_be_unknown: true };
        };
        let tail = self.tape().len().saturating_sub(ring);
        let gone: Vec<&Entry> = if epoch == self.epoch {
            tape[seq.min(tail)..tail].iter().collect()
        } else {
            let later = self.tapes.range(epoch + 1..self.epoch).flat_map(|(_, tape)| tape);
            tape[seq..].iter().chain(later).chain(&self.tape()[..tail]).collect()
        };
        let has_gaps = self.tapes.range(epoch..).flat_map(|(_, tape)| tape).any(|entry| matches!(entry.item, Item::Gap { .. }));
        Lack { truth: lost(gone), may_be_unknown: has_gaps }
    }

    fn enter(&mut self, item: Item, stamp: &Stamp) {
        let known = self.tape().last().map_or(0, |entry| entry.time);
        let time = time(self.instrument.trade_has_event_time, stamp, known);
        self.tapes.entry(self.epoch).or_default().push(Entry { item, time });
    }

    fn has_quotes(&self) -> bool {
        self.venue != BOOKS_ONLY
    }

    fn quote(&mut self, map: &TopicMap, quote: &Quote, stamp: &Stamp) {
        if self.has_quotes() {
            map.publish_quote(&self.topics, quote, stamp);
            self.update(Channel::Quote, stamp);
            self.set_quote(quote, stamp);
        }
    }

    fn set_quote(&mut self, quote: &Quote, stamp: &Stamp) {
        let (held, seq, known) = &mut self.quote;
        if held != quote {
            (*held, *seq, *known) = (*quote, *seq + 1, time(self.instrument.quote_has_event_time, stamp, *known));
        }
    }

    fn trade(&mut self, map: &TopicMap, shot: &Shot, stamp: &Stamp) {
        let stamp = Stamp { event: shot.late_ms.map_or(0, |late_ms| stamp.event - late_ms * MS), ..*stamp };
        map.publish_trade(&self.topics, &shot.trade, &stamp);
        self.update(Channel::Trade, &stamp);
        self.enter(Item::Trade(shot.trade), &stamp);
        // A trade without a time was made when the newest one was.
        let known = self.derived.newest_time().unwrap_or(stamp.received);
        self.derived.trade(time(self.instrument.trade_has_event_time, &stamp, known), shot.trade, stamp.published);
    }

    fn book(&mut self, map: &TopicMap, sides: [&Vec<Level>; 2], snapshot: bool, stamp: &Stamp, is_watched: &dyn Fn(u32) -> bool) {
        match self.has_quotes() {
            true => map.publish_book(&self.topics, sides[0], sides[1], snapshot, stamp),
            false => map.publish_book_and_quote(&self.topics, sides[0], sides[1], snapshot, stamp),
        }
        self.update(Channel::Book, stamp);
        let before = [Side::Bid, Side::Ask].map(|side| self.levels(side, Depth::Full));
        for (held, levels) in self.book.iter_mut().zip(sides) {
            if snapshot {
                held.clear();
            }
            for Level { price, size } in levels {
                match size {
                    0 => held.remove(price),
                    _ => held.insert(*price, *size),
                };
            }
        }
        let after = [Side::Bid, Side::Ask].map(|side| self.levels(side, Depth::Full));
        for (at, depth) in Depth::ALL.into_iter().enumerate() {
            let shown = |levels: &Vec<Level>| levels.len().min(depth.levels());
            let differs = |(before, after): (&Vec<Level>, &Vec<Level>)| before[..shown(before)] != after[..shown(after)];
            if before.iter().zip(&after).any(differs) {
                self.depths[at].changes += 1;
                self.depths[at].doubts += u64::from(!is_watched(self.topics.book[at]));
            }
        }
        if !self.has_quotes() {
            let [bid, ask] = after.map(|levels| levels.first().copied());
            let (price, size) = (|level: Level| level.price, |level: Level| level.size);
            let (bid_price, bid_size) = (bid.map(price), bid.map(size));
            self.set_quote(&Quote { bid_price, bid_size, ask_price: ask.map(price), ask_size: ask.map(size) }, stamp);
        }
    }

    fn levels(&self, side: Side, depth: Depth) -> Vec<Level> {
        let levels = self.book[side as usize].iter().map(|(&price, &size)| Level { price, size });
        match side {
            Side::Bid => levels.rev().take(depth.levels()).collect(),
            Side::Ask => levels.take(depth.levels()).collect(),
        }
    }

    fn state(&mut self, map: &TopicMap, channel: Option<Channel>, feed: FeedState, cause: Cause, stamp: &Stamp) {
        map.publish_state(&self.topics, channel, feed, cause, stamp);
        let (has_quotes, said_at) = (self.has_quotes(), Some(self.link.changes));
        for at in CHANNELS.into_iter().filter(|at| has_quotes || *at != Channel::Quote) {
            let held = &mut self.channels[at as usize];
            if channel.is_none_or(|channel| channel == at) && (held.feed, held.cause, held.said_at) != (feed, cause, said_at) {
                *held = ChannelTruth { feed, cause, since: stamp.received, said_at, received: held.received };
            }
        }
        self.set_status(stamp.received);
    }

    /// Data came, so it is not quiet.
    fn update(&mut self, channel: Channel, stamp: &Stamp) {
        let held = &mut self.channels[channel as usize];
        held.received = stamp.received;
        if held.feed == FeedState::Quiet {
            (held.feed, held.since) = (FeedState::Live, stamp.received);
        }
        self.set_status(stamp.received);
    }

    fn pass(&mut self, wall: i64) {
        self.derived.pass(wall);
        for channel in CHANNELS {
            let is_live = self.channel(channel).feed == FeedState::Live;
            let held = &mut self.channels[channel as usize];
            let last = held.received.max(held.since);
            if is_live && wall - last >= QUIET_AFTER_MS[channel as usize] * MS {
                (held.feed, held.cause, held.since) = (FeedState::Quiet, Cause::None, last);
                self.set_status(wall);
            }
        }
    }

    fn set_link(&mut self, feed: FeedState, cause: Cause, stamp: &Stamp) {
        let is_lost = matches!(feed, FeedState::Down | FeedState::Stale);
        let feed = if is_lost { feed } else { FeedState::Resyncing };
        let same = if is_lost { (self.link.feed, self.link.cause) == (feed, cause) } else { !self.link.is_lost() };
        if !same {
            let LinkTruth { number, changes, .. } = self.link;
            self.link = LinkTruth { number, changes: changes + 1, feed, cause, since: stamp.received };
            // It counts, even where something else is worse.
            self.status.0 = self.worst();
            self.status.1 += 1;
        }
    }

    /// How far a channel can be trusted: what was said of it counts until its link changes.
    fn channel(&self, channel: Channel) -> Status {
        let (held, link) = (self.channels[channel as usize], self.link);
        let counts = held.said_at.is_none_or(|said_at| said_at == link.changes && !link.is_lost());
        let (feed, cause, since) = if counts { (held.feed, held.cause, held.since) } else { (link.feed, link.cause, link.since) };
        Status { feed, cause, since, trading: self.trading }
    }

    /// The worst channel, of equally bad ones the one that has been so the longest.
    fn worst(&self) -> Status {
        use FeedState::{Down, Live, Quiet, Replay, Resyncing, Stale, Starting};
        let badness = [Starting, Live, Replay, Quiet, Stale, Resyncing, Down];
        let rank = |held: &Status| badness.iter().position(|state| *state == held.feed);
        let [mut worst, others @ ..] = CHANNELS.map(|channel| self.channel(channel));
        for held in others {
            if rank(&held) > rank(&worst) || (rank(&held) == rank(&worst) && held.since <= worst.since) {
                worst = held;
            }
        }
        worst
    }

    fn set_status(&mut self, now: i64) {
        let value = self.worst();
        if value != self.status.0 {
            self.status = (value, self.status.1 + 1, now);
        }
    }

    fn redefine(&mut self, map: &TopicMap, how: &Redefine) {
        let former = self.instrument.clone();
        match how {
            Redefine::Exponent(exponent) => self.instrument.price_exponent = *exponent,
            Redefine::Tick(tick) => self.instrument.tick = *tick,
            Redefine::Timed(timed) => {
                self.instrument.quote_has_event_time = *timed;
                self.instrument.trade_has_event_time = *timed;
                self.instrument.book_has_event_time = *timed;
            }
            Redefine::Native(native) => self.instrument.native = format!("{native}{}", self.instrument.symbol),
        }
        map.list(self.venue, &self.instrument).expect("it is there already");
        if self.instrument == former {
            return;
        }
        self.instrument_seq += 1;
        let scale = |of: &Instrument| (of.price_exponent, of.size_exponent, of.tick, of.lot);
        if scale(&self.instrument) == scale(&former) {
            return;
        }
        self.epoch += 1;
        self.instrument_seq = 1;
        self.status.1 = 0;
        self.quote = Default::default();
        self.tapes.insert(self.epoch, Vec::new());
        self.book = Default::default();
        self.depths = Default::default();
        self.derived = Derived::default();
    }

    /// The newest sequence; none for books, see `DepthTruth`.
    pub fn head(&self, key: &TopicKey) -> Option<u64> {
        match key.kind {
            Kind::Quote => Some(self.quote.1),
            Kind::Trade => Some(self.tape().len() as u64),
            Kind::Book => None,
            Kind::Status => Some(self.status.1),
            Kind::Instrument => Some(self.instrument_seq),
            Kind::Bar => Some(self.derived.series[place(key)].seq),
            Kind::Stats => Some(self.derived.day.seq),
        }
    }

    /// What the topic's `State` records must have said.
    pub fn trust(&self, kind: Kind) -> Option<Status> {
        match kind {
            Kind::Quote if self.has_quotes() => Some(self.channel(Channel::Quote)),
            Kind::Trade | Kind::Bar | Kind::Stats => Some(self.channel(Channel::Trade)),
            Kind::Quote | Kind::Book => Some(self.channel(Channel::Book)),
            Kind::Status | Kind::Instrument => None,
        }
    }

    /// Are values of this kind known to be old?
    pub fn is_stale(&self, kind: Kind) -> bool {
        let feed = self.trust(kind).map(|status| status.feed);
        matches!(feed, Some(FeedState::Stale | FeedState::Resyncing | FeedState::Down))
    }

    /// The time that a record of the newest value carries, where that is known.
    pub fn time(&self, kind: Kind) -> Option<i64> {
        match kind {
            Kind::Quote => Some(self.quote.2),
            Kind::Status => Some(self.status.2.max(self.link.since)),
            Kind::Bar | Kind::Stats => Some(self.derived.newest_time().unwrap_or_default()),
            Kind::Trade | Kind::Book | Kind::Instrument => None,
        }
    }

    /// Is this view what the topic says now?
    pub fn is_shown(&self, key: &TopicKey, view: &View) -> Result<(), String> {
        let same = match key.kind {
            Kind::Quote => view.quote() == Some(&self.quote.0),
            Kind::Trade => true,
            Kind::Book => view.book().is_some_and(|book| {
                let shown = |side| book.levels(side, usize::MAX).collect::<Vec<_>>();
                let depth = key.depth().expect("a book has a depth");
                [Side::Bid, Side::Ask].into_iter().all(|side| shown(side) == self.levels(side, depth))
            }),
            Kind::Status => view.status() == Some(&self.status.0),
            Kind::Instrument => view.instrument() == Some(&self.instrument),
            Kind::Bar => view.bars().is_some_and(|bars| bars.bars() == self.bars(key)),
            Kind::Stats => view.stats() == Some(&self.derived.day.value),
        };
        let place = self.head(key).is_none_or(|head| view.sequence == Some(head));
        let trust = view.state == self.trust(key.kind);
        if same && place && trust && view.epoch == self.epoch && view.sequence.is_some() {
            return Ok(());
        }
        Err(format!("{key} is at {}:{:?} (value {same}, place {place}, state {trust}):\n{view:?}", self.epoch, self.head(key)))
    }

    fn bars(&self, key: &TopicKey) -> Vec<Bar> {
        self.derived.series[place(key)].bars()
    }

    /// A depth view was told at this sequence: it must have moved by as many changes as there were.
    pub fn note_book(&mut self, key: &TopicKey, seq: u64) {
        let depth = key.depth().expect("a book has a depth");
        let sides = [Side::Bid, Side::Ask].map(|side| self.levels(side, depth));
        let truth = &mut self.depths[depth as usize];
        let (changes, doubts) = (truth.changes, truth.doubts);
        let from = truth.seen.take().unwrap_or(Seen { seq: 0, changes: 0, doubts: 0, sides: Default::default() });
        let (moved, changed) = (seq.checked_sub(from.seq), changes - from.changes);
        let exact = from.doubts == doubts;
        let right = moved.is_some_and(|moved| if exact { moved == changed } else { moved <= changed });
        assert!(right, "{key} went from {} to {seq} in {changed} changes (all seen: {exact})", from.seq);
        assert!(moved != Some(0) || sides == from.sides, "{key} shows something else at {seq} than before");
        truth.seen = Some(Seen { seq, changes, doubts, sides });
    }
}

fn place(key: &TopicKey) -> usize {
    let interval = key.argument.and_then(Argument::interval);
    Interval::ALL.iter().position(|known| Some(*known) == interval).expect("a bar has an interval")
}

/// How many trades these places stand for, those included that were lost upstream; `None` if nobody knows.
pub fn lost<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<u64> {
    entries.into_iter().try_fold(0, |sum, entry| match entry.item {
        Item::Trade(_) => Some(sum + 1),
        Item::Gap { missing, .. } => missing.map(|missing| sum + missing),
    })
}

/// The time of a record: the venue's own where it gives one, what is known before where it does not for this once.
fn time(has_event_time: bool, stamp: &Stamp, known: i64) -> i64 {
    match (has_event_time, stamp.event) {
        (false, _) => stamp.received,
        (true, 0) => known,
        (true, event) => event,
    }
}
