//! A feed's connection that is lost and comes back. In: one link that carries few or many topics. Out: what it costs the feed's thread,
//! and a shard with ten thousand subscriptions of them. Bounded: 50,000 topics.

use crate::market::{Market, NOW};
use criterion::{BenchmarkId, Criterion};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tickwire::encode::FrameBuilder;
use tickwire::subs::{Manager, Terms};
use tickwire::topic::{Cursor, InstrumentTopics, Stamp};
use tokio::sync::Notify;
use wire::event::{Cause, FeedState, Flags};
use wire::request::{Encoding, Pace, TradeMode};

const TOPICS: usize = 50_000;
const SUBSCRIPTIONS: usize = 10_000;

pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("link_lost");
    for topics in [InstrumentTopics::COUNT as usize, TOPICS] {
        let market = market(topics);
        let mut flap = flap(&market);
        group.bench_function(BenchmarkId::new("feed_thread", topics), |bencher| bencher.iter(&mut flap));
    }
    group.bench_function(BenchmarkId::new("shard", SUBSCRIPTIONS), |bencher| bencher.iter_custom(dispatch));
    group.finish();
}

fn market(topics: usize) -> Market {
    let market = Market::new(topics.div_ceil(InstrumentTopics::COUNT as usize));
    for of in &market.topics {
        market.map.publish_state(of, None, FeedState::Live, Cause::None, &stamp());
    }
    market
}

fn stamp() -> Stamp {
    Stamp { event: 0, received: NOW, published: NOW, flags: Flags::default() }
}

/// Lost, and back the next time: always news.
fn flap(market: &Market) -> impl FnMut() {
    let map = market.map.clone();
    let mut lost = false;
    move || {
        lost = !lost;
        let state = if lost { FeedState::Down } else { FeedState::Resyncing };
        map.publish_link("sim", 0, state, Cause::Disconnected, &stamp());
    }
}

/// From the mark to the due lists; what becomes due is sent in between, untimed.
fn dispatch(rounds: u64) -> Duration {
    let market = market(TOPICS);
    let mut flap = flap(&market);
    let mut manager = Manager::new(0, 0);
    let session = manager.join(Encoding::Binary, Rc::new(Notify::new()));
    let terms = Terms { pace: Pace::Realtime, mode: TradeMode::Every, ..Terms::default() };
    let ids = market.topics.iter().flat_map(|of| [of.quote, of.trade, of.status]).take(SUBSCRIPTIONS);
    for topic in ids {
        manager.subscribe(&market.map, session, topic, Cursor::NEW, terms, 0);
    }
    let mut frame = FrameBuilder::new(Encoding::Binary, 65_536);
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        while manager.is_due(session) {
            frame.begin(1, NOW);
            manager.flush(&market.map, session, 0, &mut frame);
        }
        flap();
        let begin = Instant::now();
        let links = market.map.marks(0).take_links();
        manager.mark_links(&market.map, &links, 0);
        spent += begin.elapsed();
    }
    spent
}
