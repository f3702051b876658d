//! From due subscriptions to a frame. In: one wake-up of a session with 1, 32 or 256 changed quotes. Out: the cost of the whole frame,
//! for the first session of a shard that stands there (all chunks made) and the next one (all shared). Bounded: 256 topics.

use crate::encode::ENCODINGS;
use crate::market::{Market, NOW};
use criterion::{BenchmarkId, Criterion};
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tickwire::encode::{Chunk, Chunks, FrameBuilder, Request};
use tickwire::subs::{Manager, SessionKey, Terms};
use tickwire::topic::Cursor;
use tokio::sync::Notify;
use wire::request::{Encoding, Pace, TradeMode};

pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flush");
    for (encoding, name) in ENCODINGS {
        for topics in [1, 32, 256] {
            for (which, side) in [("first", 0), ("next", 1)] {
                group.bench_function(BenchmarkId::new(format!("{which}_session/{name}"), topics), |bencher| {
                    let mut pair = Pair::new(topics, encoding);
                    bencher.iter_custom(|rounds| pair.flush(rounds, side));
                });
            }
        }
    }
    group.finish();
    assembly(criterion);
}

/// Two sessions with the same subscriptions.
pub struct Pair {
    market: Market,
    manager: Manager,
    sessions: [SessionKey; 2],
    frame: FrameBuilder,
}

impl Pair {
    pub fn new(topics: usize, encoding: Encoding) -> Self {
        let market = Market::new(topics);
        let mut manager = Manager::new(0, 0);
        let sessions = [(); 2].map(|()| manager.join(encoding, Rc::new(Notify::new())));
        for session in sessions {
            for topics in &market.topics {
                let terms = Terms { pace: Pace::Realtime, ..Terms::default() };
                manager.subscribe(&market.map, session, topics.quote, Cursor::NEW, terms, 0);
            }
        }
        let mut pair = Self { market, manager, sessions, frame: FrameBuilder::new(encoding, 1 << 20) };
        pair.flush(3, 0);
        pair
    }

    fn flush(&mut self, rounds: u64, timed: usize) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..rounds {
            self.publish_and_mark();
            for at in 0..self.sessions.len() {
                let begin = Instant::now();
                self.gather(at);
                if at == timed {
                    spent += begin.elapsed();
                }
            }
        }
        spent
    }

    pub fn publish_and_mark(&mut self) {
        for of in 0..self.market.topics.len() {
            self.market.quote(of);
        }
        let Self { market, manager, .. } = self;
        market.map.marks(0).drain(|topic| manager.mark(topic, 0));
    }

    /// The frame of one session.
    pub fn gather(&mut self, session: usize) {
        let Self { market, manager, sessions, frame } = self;
        frame.begin(1, NOW);
        manager.flush(&market.map, sessions[session], 0, frame);
        frame.end();
        black_box(frame.websocket());
    }
}

/// Only the frame around chunks that are there.
fn assembly(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    let chunk = quote_chunk();
    for chunks in [1, 32] {
        let mut frame = FrameBuilder::new(Encoding::Binary, 65_536);
        group.bench_function(BenchmarkId::new("assembly", chunks), |bencher| {
            bencher.iter(|| assemble(&mut frame, &chunk, chunks))
        });
    }
    group.finish();
}

pub fn assemble(frame: &mut FrameBuilder, chunk: &Chunk, chunks: usize) -> usize {
    frame.begin(1, NOW);
    for _ in 0..chunks {
        frame.push(black_box(chunk), true);
    }
    frame.end();
    black_box(frame.websocket().len())
}

pub fn quote_chunk() -> Chunk {
    let mut market = Market::new(1);
    market.quote(0);
    let cursor = Rc::new(market.head(market.topics[0].quote, TradeMode::Every));
    market.quote(0);
    let topic = market.map.get(market.topics[0].quote).expect("it is listed");
    let request =
        Request { cursor: &cursor, mode: TradeMode::Every, encoding: Encoding::Binary, base_second: NOW / 1_000_000_000 };
    let (mut chunks, mut spare) = (Chunks::default(), Chunk::default());
    chunks.get(topic, request, &mut spare).0.clone()
}
