//! From an event to the due lists of one shard. In: events nobody, one, a hundred, ten thousand subscribers wait for. Out: the cost of
//! one publication with all the marks it makes. Bounded: at most ten thousand subscriptions, each of a session of its own.

use crate::market::{Market, instrument, quote};
use criterion::{BenchmarkId, Criterion};
use feeds::adapter::Sink;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tickwire::clock::Clock;
use tickwire::encode::FrameBuilder;
use tickwire::ingest::Ingest;
use tickwire::metrics::Metrics;
use tickwire::subs::{Manager, SessionKey, Terms};
use tickwire::topic::Cursor;
use tokio::sync::Notify;
use wire::event::{Batch, Event, EventBody, Flags};
use wire::request::{Encoding, Pace};

/// So many that no topic is always in the first-level cache.
const INSTRUMENTS: usize = 1_024;

pub fn group(criterion: &mut Criterion) {
    unwatched(criterion);
    ingest(criterion);
    let mut group = criterion.benchmark_group("publish_and_mark");
    for subscribers in [1, 100, 10_000] {
        group.bench_function(BenchmarkId::new("realtime", subscribers), |bencher| {
            let mut crowd = Crowd::new(subscribers, Pace::Realtime);
            bencher.iter_custom(|rounds| crowd.publish_and_mark(rounds));
        });
    }
    group.bench_function(BenchmarkId::new("every_1s", 10_000), |bencher| {
        let mut crowd = Crowd::new(10_000, Pace::EveryMs(1_000));
        bencher.iter_custom(|rounds| crowd.publish_and_mark(rounds));
    });
    group.finish();
}

/// A few instruments stay in the cache; of so many each event finds its own part of memory cold.
fn unwatched(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish_unwatched");
    for instruments in [16, INSTRUMENTS] {
        let mut market = Market::new(instruments);
        (0..instruments).for_each(|of| market.fill_book(of));
        let mut of = 0;
        let mut next = move || {
            of = (of + 1) % instruments;
            of
        };
        group.bench_function(BenchmarkId::new("quote", instruments), |bencher| bencher.iter(|| market.quote(next())));
        group.bench_function(BenchmarkId::new("trade", instruments), |bencher| bencher.iter(|| market.trade(next())));
        group.bench_function(BenchmarkId::new("trade_of_next_second", instruments), |bencher| {
            bencher.iter(|| market.trade_of_next_second(next()));
        });
        group.bench_function(BenchmarkId::new("book_10_levels", instruments), |bencher| {
            bencher.iter(|| market.book(next()));
        });
    }
    group.finish();
}

/// With clock, metrics and the feed's own index in front of it.
fn ingest(criterion: &mut Criterion) {
    let mut next = ingesting();
    criterion.benchmark_group("ingest").bench_function("quote", |bencher| bencher.iter(&mut next));
}

/// Publishes the next quote of the next instrument.
pub fn ingesting() -> impl FnMut() {
    let market = Market::new(0);
    let mut ingest =
        Ingest::new(tickwire::topic::TopicMap::new(*market.map.limits(), 1, 1), "sim", &Metrics::new(1), Clock::new());
    let clock = Clock::new();
    let event = |number: usize, body| {
        let received = clock.wall_ns();
        Event { instrument: number as u32, event_time: received, received, flags: Flags::default(), body }
    };
    let listing = |number| event(number, EventBody::Instrument(Box::new(instrument(number))));
    ingest.publish(&Batch { events: (0..INSTRUMENTS).map(listing).collect(), ..Batch::default() });
    let mut batch = Batch { events: vec![event(0, EventBody::Quote(quote(0)))], ..Batch::default() };
    let mut step = 0;
    move || {
        step += 1;
        batch.events[0].instrument = (step % INSTRUMENTS as i64) as u32;
        batch.events[0].body = EventBody::Quote(quote(step / INSTRUMENTS as i64));
        ingest.publish(black_box(&batch));
    }
}

/// One shard's subscribers: so many topics that each benchmark has ten thousand, or a thousand topics.
pub struct Crowd {
    market: Market,
    manager: Manager,
    sessions: Vec<SessionKey>,
    frame: FrameBuilder,
    now: i64,
}

impl Crowd {
    fn new(subscribers: usize, pace: Pace) -> Self {
        Self::of((10_000 / subscribers).min(INSTRUMENTS), subscribers, pace)
    }

    pub fn of(instruments: usize, subscribers: usize, pace: Pace) -> Self {
        let market = Market::new(instruments);
        let mut manager = Manager::new(0, 0);
        let mut sessions = Vec::new();
        for topics in &market.topics {
            for _ in 0..subscribers {
                let session = manager.join(Encoding::Binary, Rc::new(Notify::new()));
                let terms = Terms { pace, ..Terms::default() };
                manager.subscribe(&market.map, session, topics.quote, Cursor::NEW, terms, 0);
                sessions.push(session);
            }
        }
        let frame = FrameBuilder::new(Encoding::Binary, 65_536);
        let mut crowd = Self { market, manager, sessions, frame, now: 0 };
        crowd.publish_and_mark(1);
        crowd
    }

    /// Time of `rounds` publications and their marks. What becomes due is sent in between, untimed.
    fn publish_and_mark(&mut self, rounds: u64) -> Duration {
        let topics = self.market.topics.len() as u64;
        let sweeps = rounds.div_ceil(topics);
        let mut spent = Duration::ZERO;
        for _ in 0..sweeps {
            let begin = Instant::now();
            self.publish();
            self.mark();
            spent += begin.elapsed();
            self.send_all();
        }
        // The mean over whole sweeps, for as many publications as were asked for.
        Duration::from_nanos((spent.as_nanos() * u128::from(rounds) / u128::from(sweeps * topics)) as u64)
    }

    pub fn publish(&mut self) {
        for of in 0..self.market.topics.len() {
            self.market.quote(of);
        }
    }

    pub fn mark(&mut self) {
        let Self { market, manager, now, .. } = self;
        market.map.marks(0).drain(|topic| manager.mark(topic, *now));
    }

    pub fn send_all(&mut self) {
        // Past every window, so that paced subscriptions are due as well; the next marks fall into the window just begun.
        self.now += 2_000_000_000;
        self.manager.tick(self.now);
        for session in &self.sessions {
            self.frame.begin(1, crate::market::NOW);
            self.manager.flush(&self.market.map, *session, self.now, &mut self.frame);
        }
    }
}
