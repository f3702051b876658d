//! Nothing is allocated for a tick. In: publications, marks and answers once everything has its size. Out: the number of allocations,
//! which must be none. Bounded: an allocator that counts, in a program of its own.

use feeds::adapter::Output;
use feeds::itch::settings::{ItchSettings, options};
use feeds::settings::FeedSettings;
use feeds::venue::itch::generate::{Day, Settings};
use feeds::venue::itch::message::MAX_BYTES;
use feeds::venue::itch::{self, SessionDate};
use std::rc::Rc;
use std::sync::Arc;
use tickwire::encode::{Chunk, Chunks, FrameBuilder, Request};
use tickwire::subs::{Manager, SessionKey, Terms};
use tickwire::topic::{Cursor, InstrumentTopics, Stamp, TopicLimits, TopicMap};
use tokio::sync::Notify;
use wire::event::{Aggressor, FeedState, Flags, Level, Nanos, Quote, Trade};
use wire::instrument::Instrument;
use wire::request::{Encoding, Pace, TradeMode};

const NOW: Nanos = 1_767_225_600_000_000_000;
/// More than any ring or log here holds, so that all of them have gone round.
const WARM_UP: u64 = 5_000;
const COUNTED: u64 = 1_000;

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}

#[test]
fn publishing_to_nobody_allocates_nothing() {
    let mut market = Market::new();
    none("quotes, trades and books", || market.publish());
}

#[test]
fn publishing_and_marking_allocate_nothing() {
    let mut market = Market::new();
    let mut crowd = Crowd::new(&market, Pace::Realtime);
    none("publications, marks and flushes", || {
        market.publish();
        crowd.mark(&market);
        crowd.flush(&market);
    });
}

#[test]
fn answering_a_cursor_allocates_nothing() {
    let mut market = Market::new();
    let topics = market.topics;
    for (id, mode) in [
        (topics.quote, TradeMode::Every),
        (topics.trade, TradeMode::Every),
        (topics.trade, TradeMode::Summary),
        (topics.book[1], TradeMode::Every),
        (topics.book[4], TradeMode::Every),
        (topics.bar[0], TradeMode::Every),
        (topics.stats, TradeMode::Every),
    ] {
        market.map.watch(0, id);
        let mut cursor = Cursor::NEW;
        let name = market.map.get(id).unwrap().name().to_owned();
        none(&name, || {
            market.publish();
            let mut records = 0;
            let topic = market.map.get(id).unwrap();
            cursor = topic.since(&cursor, mode, 256, &mut |_, _| records += 1);
            assert!(records > 0, "there was nothing to answer");
        });
    }
}

#[test]
fn encoding_allocates_nothing() {
    let mut market = Market::new();
    let topics = market.topics;
    let mut spare = Chunk::default();
    for id in [topics.quote, topics.trade, topics.book[1], topics.book[4]] {
        market.map.watch(0, id);
        for encoding in [Encoding::Binary, Encoding::Json] {
            let mut chunks = Chunks::default();
            let mut cursor = Rc::new(Cursor::NEW);
            none(&format!("chunks of {} in {encoding:?}", market.map.get(id).unwrap().name()), || {
                market.publish();
                let before = cursor.clone();
                let request = Request { cursor: &before, mode: TradeMode::Every, encoding, base_second: NOW / 1_000_000_000 };
                let topic = market.map.get(id).unwrap();
                for hit_expected in [false, true] {
                    let (chunk, hit) = chunks.get(topic, request, &mut spare);
                    assert_eq!((hit, chunk.bytes.is_empty()), (hit_expected, false));
                    cursor.clone_from(&chunk.to);
                }
            });
        }
    }
}

#[test]
fn itch_messages_allocate_nothing() {
    let options = options(&FeedSettings::of_venue("itch"), &ItchSettings::default(), SessionDate::parse("2019-01-30").unwrap());
    let mut market = itch::Market::new(options.unwrap(), FeedState::Replay);
    // So few stocks and so long a day that each has had its deepest book.
    let mut day = Day::new(Settings { seed: 1, stocks: 10, messages: 400_000 });
    let mut out = Output::default();
    let (mut warm, mut counted, mut allocations) = (0, 0, 0);
    for message in day.by_ref() {
        let mut bytes = [0; MAX_BYTES];
        let bytes = message.encode(&mut bytes);
        out.clear();
        if warm < 300_000 {
            warm += 1;
            market.on_message(0, bytes, &mut out);
        } else {
            counted += 1;
            allocations += allocation_counter::measure(|| {
                market.on_message(0, bytes, &mut out);
            })
            .count_total;
        }
    }
    assert!(counted > 100_000 && market.books().len() > 500);
    assert_eq!(allocations, 0, "allocations in {counted} messages");
}

/// Runs `step` until it is warm; then it must not allocate.
#[track_caller]
fn none(what: &str, mut step: impl FnMut()) {
    (0..WARM_UP).for_each(|_| step());
    let counted = allocation_counter::measure(|| (0..COUNTED).for_each(|_| step()));
    assert_eq!(counted.count_total, 0, "allocations of {what} in {COUNTED} steps, {} bytes", counted.bytes_total);
}

struct Market {
    map: Arc<TopicMap>,
    topics: InstrumentTopics,
    step: i64,
}

impl Market {
    fn new() -> Self {
        let limits =
            TopicLimits { max_topics: InstrumentTopics::COUNT, trade_ring: 256, book_log: 256, ..TopicLimits::default() };
        let map = TopicMap::new(limits, 1, 1);
        let instrument = Instrument { symbol: "A-B".into(), native: "AB".into(), ..Instrument::default() };
        let topics = map.list("sim", &instrument).unwrap();
        Self { map, topics, step: 0 }
    }

    /// One quote, one trade, one change of the book, in which levels come and go.
    fn publish(&mut self) {
        self.step += 1;
        let step = self.step;
        // A millisecond a step: seconds pass, so bars are opened and closed.
        let time = NOW + step * 1_000_000;
        let stamp = Stamp { event: time, received: time, published: time, flags: Flags::default() };
        let quote =
            Quote { bid_price: Some(99 - step % 5), bid_size: Some(step), ask_price: Some(101 + step % 3), ask_size: Some(7) };
        self.map.publish_quote(&self.topics, &quote, &stamp);
        let trade = Trade { price: 100 + step % 7, size: 3, aggressor: Aggressor::Buy, id: Some(step), aggregated: false };
        self.map.publish_trade(&self.topics, &trade, &stamp);
        // The best level always changes; behind it levels come and go.
        let side = |sign: i64| {
            let deep = |at: i64| Level { price: 100 + sign * (at + step % 50), size: (step + at) % 4 };
            [Level { price: 100 + sign, size: 1 + step % 2 }, deep(2), deep(3), deep(20)]
        };
        let (bids, asks) = (side(-1), side(1));
        self.map.publish_book(&self.topics, &bids, &asks, false, &stamp);
    }
}

/// Two sessions that hold the same topics.
struct Crowd {
    manager: Manager,
    sessions: [SessionKey; 2],
    frame: FrameBuilder,
    frames: u64,
}

impl Crowd {
    fn new(market: &Market, pace: Pace) -> Self {
        let mut manager = Manager::new(0, 0);
        let sessions = [(); 2].map(|()| manager.join(Encoding::Binary, Rc::new(Notify::new())));
        let topics = [market.topics.quote, market.topics.trade, market.topics.book[1], market.topics.book[4]];
        for (session, topic) in sessions.into_iter().flat_map(|session| topics.map(|topic| (session, topic))) {
            manager.subscribe(&market.map, session, topic, Cursor::NEW, Terms { pace, ..Terms::default() }, 0);
        }
        Self { manager, sessions, frame: FrameBuilder::new(Encoding::Binary, 65_536), frames: 0 }
    }

    fn mark(&mut self, market: &Market) {
        market.map.marks(0).drain(|topic| self.manager.mark(topic, 0));
    }

    fn flush(&mut self, market: &Market) {
        for session in self.sessions {
            self.frames += 1;
            self.frame.begin(self.frames, NOW);
            self.manager.flush(&market.map, session, 0, &mut self.frame);
            assert!(!self.frame.is_empty());
            self.frame.end();
        }
    }
}
