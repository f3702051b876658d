//! The manager in virtual time: who is due when, by example. In: publications, marks, windows,
//! flushes. Bounded by the examples; `session::model` plays random ones.

mod control;
mod quality;

use super::pace::Grid;
use super::*;
use crate::encode::FrameBuilder;
use crate::topic::{Cursor, InstrumentTopics, Stamp, TopicLimits, TopicMap};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;
use wire::codec::Decoder;
use wire::event::{Aggressor, Quote, Trade};
use wire::instrument::Instrument;
use wire::record::RecordBody;
use wire::request::{Encoding, Pace, TradeMode};
use wire::view::{Applied, View};

const MS: i64 = 1_000_000;
/// All grids have a window that begins here.
const START: i64 = 100_000 * MS;
const LARGE: usize = 1 << 20;

/// A subscriber as its client sees it.
struct Subscriber {
    handle: Handle,
    pace: Pace,
    grid: Option<Grid>,
    /// Window of the last update at this pace.
    window: Option<i64>,
}

struct Client {
    key: SessionKey,
    wake: Rc<Notify>,
    decoder: Decoder,
    next_frame: u64,
    views: BTreeMap<u32, View>,
    held: BTreeMap<u32, Subscriber>,
}

/// One shard without sessions: the map, the manager, the clock and the clients are the test's.
struct Rig {
    map: Arc<TopicMap>,
    topics: Vec<InstrumentTopics>,
    manager: Manager,
    now: i64,
    published: i64,
    clients: Vec<Client>,
}

impl Rig {
    fn new(instruments: usize, clients: usize) -> Self {
        let map = TopicMap::new(
            TopicLimits { max_topics: 2_800, trade_ring: 8, book_log: 16, book_levels: 100, ..TopicLimits::default() },
            1,
            7,
        );
        let list =
            |at| map.list("sim", &Instrument { symbol: format!("S{at}"), native: format!("S{at}"), ..Instrument::default() });
        let topics = (0..instruments).map(|at| list(at).unwrap()).collect();
        let mut rig = Self { map, topics, manager: Manager::new(0, MS), now: START, published: 0, clients: Vec::new() };
        for _ in 0..clients {
            let wake = Rc::new(Notify::new());
            let key = rig.manager.join(Encoding::Binary, wake.clone());
            let decoder = Decoder::new(Encoding::Binary);
            rig.clients.push(Client { key, wake, decoder, next_frame: 1, views: BTreeMap::new(), held: BTreeMap::new() });
        }
        rig
    }

    fn sub(&mut self, client: usize, topic: u32, pace: Pace, mode: TradeMode) {
        let terms = Terms { pace, mode, ..Terms::default() };
        let client = &mut self.clients[client];
        if let Some(held) = client.held.get_mut(&topic) {
            if self.manager.set_mode(&self.map, held.handle, mode, self.now) {
                // It begins anew.
                client.views.remove(&topic);
            }
            self.manager.set_terms(&self.map, held.handle, terms, self.now);
            if held.pace != pace {
                (held.pace, held.grid, held.window) = (pace, Grid::new(pace, client.key.index()), None);
            }
            return;
        }
        let handle = self.manager.subscribe(&self.map, client.key, topic, Cursor::NEW, terms, self.now);
        let grid = Grid::new(pace, client.key.index());
        client.held.insert(topic, Subscriber { handle, pace, grid, window: None });
    }

    fn unsub(&mut self, client: usize, topic: u32) {
        if let Some(held) = self.clients[client].held.remove(&topic) {
            self.manager.unsubscribe(&self.map, held.handle);
        }
    }

    fn quote(&mut self, instrument: usize) {
        self.published += 1;
        let quote = Quote { bid_price: Some(self.published), ..Quote::default() };
        self.map.publish_quote(&self.topics[instrument], &quote, &Stamp { received: self.now, ..Stamp::default() });
    }

    fn trade(&mut self, instrument: usize) {
        self.published += 1;
        let trade = Trade { price: 5, size: 1, aggressor: Aggressor::Buy, id: Some(self.published), aggregated: false };
        self.map.publish_trade(&self.topics[instrument], &trade, &Stamp { received: self.now, ..Stamp::default() });
    }

    /// What a shard does when it wakes.
    fn dispatch(&mut self) {
        let (manager, now) = (&mut self.manager, self.now);
        self.map.marks(0).drain(|topic| manager.mark(topic, now));
        manager.tick(now);
        let mut woken = Vec::new();
        manager.take_woken(&mut woken);
        for session in woken {
            manager.begin_turn(session);
            manager.wake(session);
        }
        assert!(self.manager.is_sound());
    }

    fn advance(&mut self, ms: i64) {
        self.now += ms * MS;
        self.dispatch();
    }

    /// Would its next frame hold something?
    fn is_due(&mut self, client: usize) -> bool {
        self.manager.has_news(&self.map, self.clients[client].key, self.now)
    }

    /// One frame to a client; what it said, one entry a record that moves a sequence.
    fn flush(&mut self, client: usize, limit: usize) -> Vec<(u32, Applied)> {
        let Client { key, decoder, next_frame, views, held, .. } = &mut self.clients[client];
        let mut frame = FrameBuilder::new(Encoding::Binary, limit);
        frame.begin(*next_frame, self.now);
        self.manager.flush(&self.map, *key, self.now, &mut frame);
        if frame.is_empty() {
            return Vec::new();
        }
        frame.end();
        *next_frame += 1;
        let (mut said, now) = (Vec::new(), self.now);
        let mut each = |topic: u32, applied: Applied| {
            let held = held.get_mut(&topic).expect("no data of what is not subscribed");
            if let Some(grid) = held.grid {
                // One update may be several records, trades one by one, but they come in one frame.
                let is_first = said.iter().all(|(other, _)| *other != topic);
                let is_early = held.window.is_some_and(|last| grid.window(now) <= last);
                assert!(!is_first || !is_early, "two updates of topic {topic} in one window of {}", held.pace);
                held.window = Some(grid.window(now));
            }
            said.push((topic, applied));
        };
        let decoded = decoder.decode(frame.payload(), &mut |_, meta, record| {
            let view = views.entry(meta.topic).or_insert_with(|| View::new(meta));
            let applied = view.apply(record).unwrap_or_else(|error| panic!("{}: {error}: {record:?}", meta.name));
            if !matches!(record.body, RecordBody::Meta(_) | RecordBody::State(_) | RecordBody::Check { .. }) {
                each(meta.topic, applied);
            }
        });
        decoded.unwrap();
        said
    }

    /// Everything that is due, to everybody.
    fn flush_all(&mut self) {
        for client in 0..self.clients.len() {
            for _ in 0..100 {
                if !self.is_due(client) {
                    break;
                }
                self.flush(client, LARGE);
            }
            assert!(!self.is_due(client), "a flush that never ends");
        }
    }

    /// Does the client hold the newest value?
    fn is_current(&self, client: usize, topic: u32) -> bool {
        let (_, head) = self.map.get(topic).unwrap().head();
        self.clients[client].views.get(&topic).and_then(|view| view.sequence) == Some(head)
    }

    /// True if a wake-up of the session is stored.
    fn was_woken(&self, client: usize) -> bool {
        use futures_util::FutureExt;
        self.clients[client].wake.notified().now_or_never().is_some()
    }
}

fn delta(updates: u64) -> Applied {
    Applied::Delta { updates }
}

#[test]
fn marks_of_one_topic_become_one_update() {
    let mut rig = Rig::new(1, 2);
    let quote = rig.topics[0].quote;
    rig.sub(0, quote, Pace::Realtime, TradeMode::Every);
    assert!(rig.was_woken(0) && !rig.was_woken(1));
    assert_eq!(rig.flush(0, LARGE), [(quote, Applied::Snapshot)]);
    for _ in 0..3 {
        rig.quote(0);
        rig.dispatch();
    }
    assert!(rig.was_woken(0) && !rig.was_woken(0), "one wake-up for all of them");
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(3))]);
    assert!(!rig.is_due(0));
    rig.quote(0);
    assert!(!rig.is_due(0), "nobody looked at the marks yet");
}

#[test]
fn a_pace_has_a_leading_and_a_trailing_edge() {
    let mut rig = Rig::new(1, 1);
    let quote = rig.topics[0].quote;
    rig.sub(0, quote, Pace::EveryMs(100), TradeMode::Every);
    assert_eq!(rig.flush(0, LARGE), [(quote, Applied::Snapshot)]);
    for _ in 0..5 {
        rig.quote(0);
        rig.advance(10);
        assert!(!rig.is_due(0), "this window had its update");
    }
    assert_eq!(rig.manager.next_window(), Some(START + 100 * MS));
    rig.advance(49);
    assert!(!rig.is_due(0));
    rig.advance(1);
    assert!(rig.is_due(0), "the last value comes when the next window begins");
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(5))]);
    // One more window is looked into, without a mark; then a mark is waited for.
    assert_eq!(rig.manager.next_window(), Some(START + 200 * MS));
    rig.advance(100);
    assert_eq!(rig.flush(0, LARGE), []);
    assert_eq!(rig.manager.next_window(), None);
    // After quiet, the first change goes at once.
    rig.advance(1_234);
    rig.quote(0);
    rig.dispatch();
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(1))]);
}

#[test]
fn an_update_that_waits_for_the_socket_counts_in_the_window_it_left_in() {
    let mut rig = Rig::new(1, 1);
    let quote = rig.topics[0].quote;
    rig.sub(0, quote, Pace::EveryMs(100), TradeMode::Every);
    rig.advance(250);
    assert_eq!(rig.flush(0, LARGE), [(quote, Applied::Snapshot)]);
    rig.quote(0);
    rig.dispatch();
    assert!(!rig.is_due(0));
    rig.advance(50);
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(1))]);
}

#[test]
fn sessions_of_one_pace_are_spread_over_its_phases() {
    let mut rig = Rig::new(1, 8);
    let quote = rig.topics[0].quote;
    for client in 0..8 {
        rig.sub(client, quote, Pace::EveryMs(1000), TradeMode::Every);
    }
    rig.flush_all();
    rig.quote(0);
    let mut due = [0; 8];
    for _ in 0..100 {
        rig.advance(10);
        for (client, due) in due.iter_mut().enumerate() {
            *due += usize::from(rig.is_due(client));
        }
    }
    due.sort_unstable();
    assert!(due.windows(2).all(|pair| pair[0] != pair[1]), "each at its own time: {due:?}");
}

#[test]
fn who_leaves_while_waiting_or_due_is_gone() {
    let mut rig = Rig::new(1, 3);
    let quote = rig.topics[0].quote;
    for client in 0..3 {
        rig.sub(client, quote, Pace::EveryMs(100), TradeMode::Every);
    }
    rig.flush_all();
    rig.quote(0);
    rig.dispatch();
    rig.unsub(0, quote);
    rig.advance(100);
    assert!(!rig.is_due(0), "it waited for a window");
    assert!(rig.is_due(1));
    rig.unsub(1, quote);
    assert!(!rig.is_due(1), "it was due");
    // The slots are free again; an old place in the wheel must not reach who sits there now.
    rig.sub(0, quote, Pace::EveryMs(5000), TradeMode::Every);
    rig.flush_all();
    rig.quote(0);
    rig.advance(100);
    assert!(!rig.is_due(0) && rig.is_due(2));
    assert_eq!(rig.manager.subscription_count(), 2);
}

#[test]
fn the_last_one_out_stops_the_watch() {
    let mut rig = Rig::new(1, 4);
    let quote = rig.topics[0].quote;
    for client in 0..4 {
        rig.sub(client, quote, Pace::Realtime, TradeMode::Every);
    }
    rig.flush_all();
    for leaving in [1, 0, 3, 2] {
        rig.unsub(leaving, quote);
        rig.quote(0);
        rig.dispatch();
        for client in 0..4 {
            let holds = rig.clients[client].held.contains_key(&quote);
            assert_eq!(rig.is_due(client), holds, "{client} after {leaving} left");
        }
        rig.flush_all();
    }
    rig.quote(0);
    rig.map.marks(0).drain(|topic| panic!("topic {topic} is marked for nobody"));
}

#[test]
fn a_new_pace_starts_with_what_is_there_and_forgets_its_old_window() {
    let mut rig = Rig::new(1, 1);
    let quote = rig.topics[0].quote;
    rig.sub(0, quote, Pace::EveryMs(1000), TradeMode::Every);
    rig.flush_all();
    rig.quote(0);
    rig.advance(10);
    rig.sub(0, quote, Pace::EveryMs(1000), TradeMode::Every);
    assert!(!rig.is_due(0), "the same pace again changes nothing");
    rig.sub(0, quote, Pace::EveryMs(5000), TradeMode::Every);
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(1))]);
    rig.quote(0);
    rig.advance(1_500);
    assert!(!rig.is_due(0), "the window of the former pace has begun, which means nothing any more");
    rig.advance(4_000);
    assert_eq!(rig.flush(0, LARGE), [(quote, delta(1))]);
}

#[test]
fn another_trade_mode_goes_on_from_the_same_place() {
    let mut rig = Rig::new(1, 1);
    let trade = rig.topics[0].trade;
    rig.trade(0);
    rig.sub(0, trade, Pace::Realtime, TradeMode::Every);
    assert_eq!(rig.flush(0, LARGE), [(trade, Applied::Snapshot)]);
    rig.trade(0);
    rig.trade(0);
    rig.sub(0, trade, Pace::Realtime, TradeMode::Summary);
    rig.dispatch();
    assert_eq!(rig.flush(0, LARGE), [(trade, delta(2))], "both trades, in one summary");
    rig.trade(0);
    rig.trade(0);
    rig.sub(0, trade, Pace::Realtime, TradeMode::Every);
    rig.dispatch();
    assert_eq!(rig.flush(0, LARGE), [(trade, delta(1)), (trade, delta(1))]);
}

#[test]
fn a_full_frame_leaves_the_rest_due_and_in_turn() {
    let mut rig = Rig::new(4, 1);
    let quotes: Vec<u32> = rig.topics.iter().map(|of| of.quote).collect();
    quotes.iter().for_each(|quote| rig.sub(0, *quote, Pace::Realtime, TradeMode::Every));
    let mut order = Vec::new();
    while rig.is_due(0) {
        let said = rig.flush(0, 1);
        assert_eq!(said.len(), 1, "whatever the limit, one always fits");
        order.push(said[0].0);
        // One that is due again stands behind those that have not been served.
        if order.len() == 1 {
            rig.quote(0);
            rig.dispatch();
        }
    }
    assert_eq!(order, [quotes[0], quotes[1], quotes[2], quotes[3], quotes[0]]);
}

/// Its own task may write what it was woken for before its turn in a round comes.
#[test]
fn a_session_is_woken_once_until_its_turn_begins() {
    let mut rig = Rig::new(1, 1);
    let quote = rig.topics[0].quote;
    rig.sub(0, quote, Pace::Realtime, TradeMode::Every);
    rig.quote(0);
    rig.dispatch();
    rig.flush(0, LARGE);
    let marked = |rig: &mut Rig| {
        rig.quote(0);
        let Rig { map, manager, now, .. } = rig;
        map.marks(0).drain(|topic| manager.mark(topic, *now));
    };
    marked(&mut rig);
    rig.flush(0, LARGE);
    marked(&mut rig);
    let mut woken = Vec::new();
    rig.manager.take_woken(&mut woken);
    assert_eq!(woken, [rig.clients[0].key]);
    rig.flush(0, LARGE);
    marked(&mut rig);
    assert!(!rig.manager.has_woken(), "its turn is still to come");
    rig.manager.begin_turn(woken[0]);
    rig.flush(0, LARGE);
    marked(&mut rig);
    assert!(rig.manager.has_woken());
}
