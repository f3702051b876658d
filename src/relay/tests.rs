//! The promise of a relay as a property: whatever happens, whoever relays and reads whenever, a view at `(epoch, sequence)` is the same on
//! every node, and a reader may move from node to node with its place. In: random operations. Bounded by the number of cases.

use super::carry::Carry;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::topic::{Cursor, InstrumentTopics, Stamp, TopicLimits, TopicMap};
use client::Update;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use wire::codec::FrameHeader;
use wire::event::{Aggressor, Cause, Channel, FeedState, Flags, Level, Quote, Side, Trade, TradingState};
use wire::instrument::Instrument;
use wire::record::{Meta, Record, RecordBody, TradeRecord};
use wire::request::TradeMode;
use wire::topic::TopicKey;
use wire::view::book::Book;
use wire::view::{Applied, View, ViewError};

const VENUE: &str = "test";
const NUMBERED: [&str; 4] = ["instrument/test:A-B", "quote/test:A-B", "trade/test:A-B", "book/test:A-B/full"];
/// The source, an edge of it, another one, and an edge of the first edge.
const NODES: usize = 4;
const UPSTREAM_OF: [usize; NODES] = [0, 0, 0, 1];
const ALL: [usize; 4] = [0, 1, 2, 3];

#[derive(Clone, Debug)]
enum Step {
    Quote(Quote),
    Trade(i64),
    Gap(Option<u64>),
    Book {
        bids: Vec<Level>,
        asks: Vec<Level>,
        snapshot: bool,
    },
    State(Option<Channel>, FeedState),
    Trading(TradingState),
    Rescale(i8),
    /// The relay of a node takes in what there is.
    Relay {
        node: usize,
        max_records: usize,
    },
    /// One topic alone: they need not come in the order of the subscriptions, least of all where each is named by itself.
    RelayOne {
        node: usize,
        at: usize,
    },
    /// Its connection is lost, and it begins anew; trades with so many of the past.
    Lose {
        node: usize,
        back: u32,
    },
    Connect {
        node: usize,
    },
    Read {
        reader: usize,
    },
    Move {
        reader: usize,
        node: usize,
    },
    Watch {
        reader: usize,
    },
}

/// What the source said, each version once.
#[derive(Default)]
struct Truth {
    hashes: HashMap<(usize, u64, u64), u32>,
    books: HashMap<(u64, u64), Book>,
    /// `None`: a gap that could not say how many.
    tape: HashMap<(u64, u64), Item>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Trade(Trade, i64),
    Gap(Option<u64>),
}

/// One subscriber of the numbered topics of a node.
struct Reader {
    node: usize,
    cursors: [Cursor; 4],
    views: [Option<View>; 4],
    watches: bool,
}

struct Node {
    map: Arc<TopicMap>,
    /// Of who relays to this node.
    hop: Reader,
    carry: Option<Carry>,
    connected: bool,
}

struct World {
    nodes: Vec<Node>,
    topics: InstrumentTopics,
    instrument: Instrument,
    truth: Truth,
    scribe: Reader,
    readers: Vec<Reader>,
    clock: i64,
}

impl Reader {
    fn new(node: usize) -> Self {
        Self { node, cursors: [Cursor::NEW; 4], views: Default::default(), watches: false }
    }

    /// Reads one topic and hands each record out with the view that it makes.
    fn poll(&mut self, map: &TopicMap, at: usize, max_records: usize, mut each: impl FnMut(&Meta, &Record<'_>, &View)) -> bool {
        let Some(topic) = topic(map, NUMBERED[at]) else { return false };
        let view = &mut self.views[at];
        self.cursors[at] =
            map.get(topic).unwrap().since(&self.cursors[at], TradeMode::Every, max_records, &mut |meta, record| {
                let view = view.get_or_insert_with(|| View::new(meta));
                view.apply(record).unwrap_or_else(|error| panic!("{error}: {record:?}"));
                each(meta, record, view);
            });
        true
    }

    fn watch(&mut self, map: &TopicMap, watches: bool) {
        self.watches = watches;
        for id in NUMBERED.iter().filter_map(|name| topic(map, name)) {
            if watches { map.watch(0, id) } else { map.unwatch(0, id) }
        }
    }

    fn resume(&mut self) {
        for (cursor, view) in self.cursors.iter_mut().zip(&self.views) {
            let place = view.as_ref().and_then(|view| Some((view.epoch, view.sequence?)));
            *cursor = place.map_or(Cursor::NEW, |(epoch, seq)| Cursor::resume(epoch, seq));
        }
    }
}

fn topic(map: &TopicMap, name: &str) -> Option<u32> {
    match map.resolve(&TopicKey::parse(name).unwrap()) {
        crate::topic::Resolve::Found(id) => Some(id),
        _ => None,
    }
}

impl World {
    fn new(limits: TopicLimits) -> Self {
        let metrics = Metrics::new(1);
        let node = |at: usize| {
            let map = TopicMap::new(limits, 1, 7 + at as u64);
            let carry = (at > 0).then(|| Carry::new(map.clone(), "tickwire", &metrics, Clock::new()));
            Node { map, hop: Reader::new(UPSTREAM_OF[at]), carry, connected: false }
        };
        let nodes: Vec<Node> = (0..NODES).map(node).collect();
        let instrument = Instrument {
            symbol: "A-B".into(),
            native: "AB".into(),
            tick: 1,
            quote_has_event_time: true,
            trade_has_event_time: true,
            event_time_exponent: -9,
            ..Instrument::default()
        };
        let topics = nodes[0].map.list(VENUE, &instrument).unwrap();
        let (truth, readers) = (Truth::default(), (0..3).map(Reader::new).collect());
        let mut world = Self { nodes, topics, instrument, truth, scribe: Reader::new(0), readers, clock: 1_000_000 };
        world.scribe.watch(&world.nodes[0].map, true);
        world.write_down();
        world
    }

    /// What the source says now, topic by topic.
    fn write_down(&mut self) {
        let Self { nodes, truth, scribe, .. } = self;
        for at in 0..NUMBERED.len() {
            scribe.poll(&nodes[0].map, at, usize::MAX, |_, record, view| {
                let Some(seq) = view.sequence else { return };
                let item = match record.body {
                    RecordBody::Trade(trade) => Item::Trade(bare(&trade), record.time),
                    RecordBody::Gap { missing, .. } => Item::Gap(missing),
                    _ => return,
                };
                truth.tape.insert((view.epoch, seq), item);
            });
            let Some((view, seq)) = scribe.views[at].as_ref().and_then(|view| Some((view, view.sequence?))) else { continue };
            truth.hashes.insert((at, view.epoch, seq), view.hash());
            if let Some(book) = view.book() {
                truth.books.insert((view.epoch, seq), book.clone());
            }
        }
    }

    fn step(&mut self, step: &Step) {
        self.clock += 1_000;
        let stamp = Stamp { event: self.clock, received: self.clock + 7, published: self.clock + 9, flags: Flags::default() };
        let (map, of) = (self.nodes[0].map.clone(), self.topics);
        match step {
            Step::Quote(quote) => map.publish_quote(&of, quote, &stamp),
            Step::Trade(price) => {
                let trade = Trade { price: *price, size: 2, aggressor: Aggressor::Sell, id: Some(self.clock), aggregated: true };
                map.publish_trade(&of, &trade, &stamp);
            }
            Step::Gap(missing) => map.publish_gap(&of, Channel::Trade, *missing, Cause::SequenceGap, &stamp),
            Step::Book { bids, asks, snapshot } => map.publish_book(&of, bids, asks, *snapshot, &stamp),
            Step::State(channel, feed) => map.publish_state(&of, *channel, *feed, Cause::BadData, &stamp),
            Step::Trading(trading) => map.publish_trading(&of, *trading, &stamp),
            Step::Rescale(exponent) => {
                self.instrument.price_exponent = *exponent;
                map.list(VENUE, &self.instrument).unwrap();
            }
            Step::Relay { node, max_records } => self.relay(*node, &ALL, *max_records),
            Step::RelayOne { node, at } => self.relay(*node, &[*at], usize::MAX),
            Step::Lose { node, back } => self.lose(*node, *back),
            Step::Connect { node } => self.connect(*node),
            Step::Read { reader } => self.read(*reader),
            Step::Move { reader, node } => {
                let reader = &mut self.readers[*reader];
                reader.watch(&self.nodes[reader.node].map, false);
                reader.node = *node;
                reader.resume();
            }
            Step::Watch { reader } => {
                let reader = &mut self.readers[*reader];
                let watches = !reader.watches;
                reader.watch(&self.nodes[reader.node].map, watches);
            }
        }
        self.write_down();
    }

    fn connect(&mut self, node: usize) {
        let upstream = self.nodes[UPSTREAM_OF[node]].map.clone();
        let node = &mut self.nodes[node];
        if !std::mem::replace(&mut node.connected, true) {
            node.hop.watch(&upstream, true);
            node.carry.as_mut().unwrap().connected();
        }
    }

    fn lose(&mut self, node: usize, back: u32) {
        let upstream = self.nodes[UPSTREAM_OF[node]].map.clone();
        let node = &mut self.nodes[node];
        node.hop.watch(&upstream, false);
        node.hop.cursors = [Cursor::NEW, Cursor::NEW, Cursor::back(back), Cursor::NEW];
        node.connected = false;
        node.carry.as_mut().unwrap().lost(FeedState::Down);
    }

    fn relay(&mut self, node: usize, topics: &[usize], max_records: usize) {
        let upstream = self.nodes[UPSTREAM_OF[node]].map.clone();
        let Node { hop, carry: Some(carry), connected: true, .. } = &mut self.nodes[node] else { return };
        let header = FrameHeader::default();
        for at in topics.iter().copied() {
            hop.poll(&upstream, at, max_records, |meta, record, view| {
                let outcome = Ok(Applied::State);
                carry.on_record(&Update { header: &header, meta, record, view, outcome });
            });
        }
        carry.on_frame(&header, 0);
        for name in carry.take_missing() {
            // What `get` does.
            let at = NUMBERED.iter().position(|topic| *topic == name).expect("a topic that it has");
            hop.cursors[at] = Cursor::NEW;
        }
    }

    /// A check of the hop's view fails, after the upstream node has said once more that all is well.
    fn disagree(&mut self, node: usize, at: usize) {
        let upstream = self.nodes[UPSTREAM_OF[node]].map.clone();
        let Node { hop, carry: Some(carry), .. } = &mut self.nodes[node] else { panic!("no relay") };
        let (header, view) = (FrameHeader::default(), hop.views[at].as_ref().expect("a view"));
        let topic = upstream.get(topic(&upstream, NUMBERED[at]).unwrap()).unwrap();
        let (flags, wrong) = (Flags::default(), ViewError::CheckMismatch { expected: 1, actual: 2 });
        topic.since(&Cursor::NEW, TradeMode::Every, usize::MAX, &mut |meta, record| {
            let mut say = |body, outcome| {
                let record = Record { topic: record.topic, flags, sequence: 0, time: 0, body };
                carry.on_record(&Update { header: &header, meta, record: &record, view, outcome });
            };
            if let RecordBody::State(status) = record.body {
                say(RecordBody::State(status), Ok(Applied::State));
                say(RecordBody::Check { hash: 1 }, Err(wrong));
                say(RecordBody::State(status), Ok(Applied::State));
            }
        });
        carry.on_frame(&header, 0);
    }

    fn state(&self, node: usize, at: usize) -> (FeedState, Cause) {
        let map = &self.nodes[node].map;
        let status = map.get(topic(map, NUMBERED[at]).unwrap()).unwrap().status();
        (status.feed, status.cause)
    }

    fn read(&mut self, reader: usize) {
        let Self { nodes, truth, readers, .. } = self;
        let reader = &mut readers[reader];
        let map = nodes[reader.node].map.clone();
        for (at, name) in NUMBERED.into_iter().enumerate() {
            let mut place = reader.views[at].as_ref().and_then(|view| Some((view.epoch, view.sequence?)));
            let there = reader.poll(&map, at, usize::MAX, |_, record, view| {
                let now = view.sequence.map(|seq| (view.epoch, seq));
                match record.body {
                    RecordBody::Trade(trade) => {
                        let told = truth.tape.get(&now.unwrap()).copied();
                        // The snapshot of a tape that ends with gaps shows the trade before them.
                        let is_last = record.flags.has(Flags::SNAPSHOT) && matches!(told, None | Some(Item::Gap(_)));
                        assert!(is_last || told == Some(Item::Trade(bare(&trade), record.time)), "{now:?} {told:?} {record:?}");
                    }
                    RecordBody::Gap { missing: Some(missing), cause } => {
                        gap_is_true(truth, place.unwrap(), now.unwrap(), missing, cause);
                    }
                    _ => {}
                }
                place = now.or(place);
            });
            let Some(view) = reader.views[at].as_ref().filter(|_| there) else { continue };
            let place = (at, view.epoch, view.sequence.unwrap());
            // Before anything came from upstream a topic is at 0, and empty.
            let fresh = place.2 == 0 && !truth.hashes.contains_key(&place);
            assert!(fresh || truth.hashes.get(&place) == Some(&view.hash()), "{name} of node {}: {place:?}", reader.node);
        }
        self.best_levels_are_those_of_the_full_book(self.readers[0].node);
    }

    fn best_levels_are_those_of_the_full_book(&self, node: usize) {
        let map = &self.nodes[node].map;
        let show = |name| {
            let mut view = None;
            map.get(topic(map, name)?)?.since(&Cursor::NEW, TradeMode::Every, 9, &mut |meta, record| {
                view.get_or_insert_with(|| View::new(meta)).apply(record).unwrap();
            });
            view
        };
        let (Some(full), Some(five)) = (show(NUMBERED[3]), show("book/test:A-B/5")) else { return };
        let Some(truth) = self.truth.books.get(&(full.epoch, full.sequence.unwrap())) else { return };
        for side in [Side::Bid, Side::Ask] {
            let shown: Vec<Level> = five.book().unwrap().levels(side, usize::MAX).collect();
            assert_eq!(shown, truth.levels(side, 5).collect::<Vec<_>>());
        }
        assert!(node == 0 || five.epoch != full.epoch, "places of this node's own making are no places of the upstream's");
    }

    /// Everything catches up, and then everything is equal.
    fn settle(&mut self) {
        for node in 1..NODES {
            self.step(&Step::Connect { node });
            self.step(&Step::Relay { node, max_records: usize::MAX });
            // What was asked for.
            self.step(&Step::Relay { node, max_records: usize::MAX });
        }
        for reader in 0..self.readers.len() {
            self.step(&Step::Read { reader });
        }
        let heads = |map: &TopicMap| NUMBERED.map(|name| map.get(topic(map, name).unwrap()).unwrap().head());
        let states = |map: &TopicMap| NUMBERED.map(|name| map.get(topic(map, name).unwrap()).unwrap().status());
        let (head, state) = (heads(&self.nodes[0].map), states(&self.nodes[0].map));
        for node in 1..NODES {
            assert_eq!(heads(&self.nodes[node].map), head, "node {node}");
            let now = states(&self.nodes[node].map);
            let told = |at: usize| state[at].feed != FeedState::Starting;
            (1..4).filter(|at| told(*at)).for_each(|at| assert_eq!(now[at], state[at], "node {node}: {}", NUMBERED[at]));
        }
    }
}

/// The number of a gap is what is missing between the two places.
fn gap_is_true(truth: &Truth, from: (u64, u64), to: (u64, u64), missing: u64, cause: Cause) {
    if from.0 != to.0 || cause == Cause::Redefinition {
        return;
    }
    let items = (from.1 + 1..=to.1).map(|seq| truth.tape.get(&(to.0, seq)));
    let count = items.map(|item| match item {
        Some(Item::Trade(..)) => Some(1),
        Some(Item::Gap(missing)) => *missing,
        None => None,
    });
    assert_eq!(count.sum::<Option<u64>>(), Some(missing), "{from:?} to {to:?}");
}

fn bare(trade: &TradeRecord) -> Trade {
    let TradeRecord { price, size, aggressor, id, aggregated, .. } = *trade;
    Trade { price, size, aggressor, id, aggregated }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let field = || proptest::option::weighted(0.9, 0i64..3);
    let level = || (0i64..20, 0i64..4).prop_map(|(price, size)| Level { price, size });
    let levels = move |n| proptest::collection::vec(level(), 0..n);
    let channel = prop_oneof![Just(None), Just(Some(Channel::Quote)), Just(Some(Channel::Trade)), Just(Some(Channel::Book))];
    let step = prop_oneof![
        12 => (field(), field(), field(), field()).prop_map(|(bid_price, bid_size, ask_price, ask_size)| {
            Step::Quote(Quote { bid_price, bid_size, ask_price, ask_size })
        }),
        12 => (-8i64..8).prop_map(Step::Trade),
        2 => proptest::option::of(0u64..9).prop_map(Step::Gap),
        12 => (levels(5), levels(5), prop::bool::weighted(0.1)).prop_map(|(bids, asks, snapshot)| Step::Book { bids, asks, snapshot }),
        2 => (channel, proptest::sample::select(FeedState::ALL)).prop_map(|(channel, feed)| Step::State(channel, feed)),
        1 => proptest::sample::select(TradingState::ALL).prop_map(Step::Trading),
        1 => (-3i8..0).prop_map(Step::Rescale),
        20 => (1..NODES, prop_oneof![3 => Just(usize::MAX), 1 => 1usize..5])
            .prop_map(|(node, max_records)| Step::Relay { node, max_records }),
        8 => (1..NODES, 0..NUMBERED.len()).prop_map(|(node, at)| Step::RelayOne { node, at }),
        2 => (1..NODES, 0u32..20).prop_map(|(node, back)| Step::Lose { node, back }),
        6 => (1..NODES).prop_map(|node| Step::Connect { node }),
        12 => (0usize..3).prop_map(|reader| Step::Read { reader }),
        6 => (0usize..3, 0..NODES).prop_map(|(reader, node)| Step::Move { reader, node }),
        4 => (0usize..3).prop_map(|reader| Step::Watch { reader }),
    ];
    proptest::collection::vec(step, 0..150)
}

fn limits() -> impl Strategy<Value = TopicLimits> {
    let max_topics = InstrumentTopics::COUNT;
    (1usize..20, 0usize..60).prop_map(move |(trade_ring, book_log)| TopicLimits {
        max_topics,
        trade_ring,
        book_log,
        book_levels: 100,
        view_linger_ms: 1_000,
    })
}

proptest! {
    #[test]
    fn a_place_means_the_same_on_every_node((limits, steps) in (limits(), steps())) {
        let mut world = World::new(limits);
        steps.iter().for_each(|step| world.step(step));
        world.settle();
    }
}

const LIMITS: TopicLimits =
    TopicLimits { max_topics: InstrumentTopics::COUNT, trade_ring: 16, book_log: 16, book_levels: 100, view_linger_ms: 1_000 };
const RELAY: Step = Step::Relay { node: 1, max_records: usize::MAX };
const LIVE: (FeedState, Cause) = (FeedState::Live, Cause::None);

/// A source with some data, and an edge of it.
fn small_world() -> World {
    let mut world = World::new(LIMITS);
    let side = |price| vec![Level { price, size: 1 }];
    world.nodes[0].map.publish_state(&world.topics, None, FeedState::Live, Cause::None, &Stamp::default());
    world.step(&Step::Quote(Quote { bid_price: Some(1), bid_size: Some(1), ask_price: Some(2), ask_size: Some(1) }));
    world.step(&Step::Trade(1));
    world.step(&Step::Book { bids: side(1), asks: side(2), snapshot: true });
    world.step(&Step::Connect { node: 1 });
    world
}

#[test]
fn what_failed_its_check_is_live_again_with_its_snapshot_and_not_before() {
    for (at, name) in NUMBERED.into_iter().enumerate().skip(1) {
        let mut world = small_world();
        world.step(&RELAY);
        assert_eq!(world.state(1, at), LIVE);
        world.disagree(1, at);
        let sick = (FeedState::Resyncing, Cause::ChecksumMismatch);
        assert_eq!(world.state(1, at), sick, "{name}");
        // Each trade is news, but no proof of the place.
        world.step(&Step::Trade(2));
        world.step(&RELAY);
        assert_eq!(world.state(1, at), sick, "{name}");
        world.nodes[1].hop.cursors[at] = Cursor::NEW;
        world.step(&RELAY);
        assert_eq!(world.state(1, at), LIVE, "{name}");
    }
}

#[test]
fn topics_that_come_before_their_instrument_are_carried() {
    let mut world = small_world();
    for at in [3, 2, 1, 0] {
        world.step(&Step::RelayOne { node: 1, at });
    }
    world.step(&RELAY);
    (1..NUMBERED.len()).for_each(|at| assert_eq!(world.state(1, at), LIVE, "{}", NUMBERED[at]));
    world.settle();
}

#[test]
fn an_instrument_that_is_granted_twice_comes_once() {
    let mut world = small_world();
    let instrument = world.topics.instrument;
    let carry = world.nodes[1].carry.as_mut().unwrap();
    carry.greeted(false);
    carry.granted([instrument, instrument].into_iter(), true);
    assert!(!carry.is_known());
    world.step(&RELAY);
    assert!(world.nodes[1].carry.as_ref().unwrap().is_known());
}

#[test]
fn what_has_no_place_here_is_given_up_once_all_is_known() {
    let mut world = small_world();
    world.nodes[1].map.add_venue(VENUE);
    let instrument = world.topics.instrument;
    world.step(&RELAY);
    let carry = world.nodes[1].carry.as_mut().unwrap();
    assert!(carry.take_unwanted().is_empty(), "not yet");
    carry.greeted(false);
    carry.granted([instrument].into_iter(), true);
    let unwanted = carry.take_unwanted();
    assert!(unwanted.len() == 3 && NUMBERED[1..].iter().all(|name| unwanted.iter().any(|held| held == name)), "{unwanted:?}");
}
