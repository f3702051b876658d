//! What a topic answers. In: cursors one change, a hundred trades or everything behind. Out: the cost of `Topic::since`, without
//! encoding. Bounded: values of usual size.

use crate::market::Market;
use criterion::Criterion;
use std::hint::black_box;
use tickwire::topic::{Cursor, Topic};
use wire::event::TradingState;
use wire::request::TradeMode;

/// A topic and a cursor that lacks something of it.
pub struct Behind {
    pub name: &'static str,
    market: Market,
    topic: u32,
    pub cursor: Cursor,
    pub mode: TradeMode,
}

impl Behind {
    pub fn topic(&self) -> &Topic {
        self.market.map.get(self.topic).expect("it is listed")
    }

    pub fn ask(&self) -> Cursor {
        self.topic().since(black_box(&self.cursor), self.mode, 256, &mut |_, record| {
            black_box(record);
        })
    }
}

pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("since");
    for behind in everyone() {
        group.bench_function(behind.name, |bencher| bencher.iter(|| behind.ask()));
    }
    group.finish();
}

/// Each kind, one change behind, and what else a subscriber may ask for.
pub fn everyone() -> Vec<Behind> {
    let every = TradeMode::Every;
    vec![
        behind("quote", every, |market| market.topics[0].quote, |market| market.quote(0)),
        behind("trade", every, |market| market.topics[0].trade, |market| market.trade(0)),
        behind("trade_100_behind", every, |market| market.topics[0].trade, hundred_trades),
        behind("trade_summary_of_100", TradeMode::Summary, |market| market.topics[0].trade, hundred_trades),
        behind("book_10_levels", every, |market| market.topics[0].book[4], |market| market.book(0)),
        behind("book_20_of_10_levels", every, |market| market.topics[0].book[2], |market| market.book(0)),
        new("book_20_snapshot", |market| market.topics[0].book[2]),
        new("book_full_snapshot_2000_levels", |market| market.topics[0].book[4]),
        behind("status", every, |market| market.topics[0].status, halt),
        new("instrument_snapshot", |market| market.topics[0].instrument),
    ]
}

fn behind(name: &'static str, mode: TradeMode, which: impl Fn(&Market) -> u32, change: impl Fn(&mut Market)) -> Behind {
    let mut market = live();
    let topic = which(&market);
    market.map.watch(0, topic);
    let cursor = market.head(topic, mode);
    change(&mut market);
    Behind { name, market, topic, cursor, mode }
}

fn new(name: &'static str, which: impl Fn(&Market) -> u32) -> Behind {
    let market = live();
    let topic = which(&market);
    market.map.watch(0, topic);
    Behind { name, market, topic, cursor: Cursor::NEW, mode: TradeMode::Every }
}

/// One instrument that has traded for a while.
fn live() -> Market {
    let mut market = Market::new(1);
    market.fill_book(0);
    market.quote(0);
    (0..2_000).for_each(|_| market.trade(0));
    market
}

fn hundred_trades(market: &mut Market) {
    (0..100).for_each(|_| market.trade(0));
}

fn halt(market: &mut Market) {
    let stamp = market.stamp();
    market.map.publish_trading(&market.topics[0], TradingState::Halted, &stamp);
}
