//! The law as property tests, one a kind: whatever happens, whoever polls whenever, after `since` a subscriber's view is the truth.
//! In: random operations, random subscribers, small bounds so that they bite. Bounded by the number of cases.

mod derived;
mod subscriber;
mod world;

use super::{InstrumentTopics, TopicLimits};
use proptest::prelude::*;
use subscriber::{Comeback, Subscriber};
use wire::event::{Aggressor, Cause, Channel, FeedState, Level, Quote, Trade, TradingState};
use wire::request::TradeMode;
use world::{Op, SHARDS, World};

#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    Poll { who: usize, max_records: usize },
    ComeBack { who: usize, how: Comeback },
    Watch { who: usize },
}

const SUBSCRIBERS: usize = 4;

/// Runs the steps with four subscribers of the topics that `of` chooses, and lets all catch up in the end.
fn keep_the_law(limits: TopicLimits, steps: Vec<Step>, mode: TradeMode, of: impl Fn(&World, usize) -> u32) {
    keep_the_law_in(World::new(limits, true), steps, mode, of);
}

fn keep_the_law_in(mut world: World, steps: Vec<Step>, mode: TradeMode, of: impl Fn(&World, usize) -> u32) {
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS).map(|who| Subscriber::new(of(&world, who), who % SHARDS, mode)).collect();
    subscribers.iter_mut().for_each(|subscriber| subscriber.watch(&world, true));
    for step in steps {
        match step {
            Step::Do(op) => world.apply(&op),
            Step::Poll { who, max_records } => subscribers[who].poll(&world, max_records),
            Step::ComeBack { who, how } => subscribers[who].come_back(how),
            Step::Watch { who } => {
                let watching = !subscribers[who].is_watching();
                subscribers[who].watch(&world, watching);
            }
        }
    }
    for subscriber in &mut subscribers {
        subscriber.poll(&world, usize::MAX);
    }
}

fn steps(op: impl Strategy<Value = Op> + 'static) -> impl Strategy<Value = Vec<Step>> {
    let who = 0..SUBSCRIBERS;
    let comeback = prop_oneof![
        2 => Just(Comeback::New),
        2 => Just(Comeback::Now),
        2 => prop_oneof![3 => 0u32..30, 1 => Just(u32::MAX)].prop_map(Comeback::Back),
        5 => Just(Comeback::Resume),
        1 => (prop_oneof![Just(0u64), 7..10u64, Just(u64::MAX)], prop_oneof![Just(0u64), Just(u64::MAX)])
            .prop_map(|(epoch, ahead)| Comeback::Lie { epoch, ahead }),
    ];
    let step = prop_oneof![
        60 => op.prop_map(Step::Do),
        6 => any_condition().prop_map(Step::Do),
        20 => (who.clone(), prop_oneof![3 => Just(usize::MAX), 1 => 1usize..5])
            .prop_map(|(who, max_records)| Step::Poll { who, max_records }),
        4 => (who.clone(), comeback).prop_map(|(who, how)| Step::ComeBack { who, how }),
        3 => who.prop_map(|who| Step::Watch { who }),
    ];
    proptest::collection::vec(step, 0..150)
}

/// What can happen to any topic.
fn any_condition() -> impl Strategy<Value = Op> {
    let channel = prop_oneof![Just(None), Just(Some(Channel::Quote)), Just(Some(Channel::Trade)), Just(Some(Channel::Book))];
    let feed = proptest::sample::select(FeedState::ALL);
    let cause = proptest::sample::select(Cause::ALL);
    let lost = (proptest::sample::select(FeedState::ALL), proptest::sample::select(&Cause::ALL[..3]));
    prop_oneof![
        6 => (channel, feed, cause).prop_map(|(channel, feed, cause)| Op::State(channel, feed, cause)),
        3 => lost.prop_map(|(feed, cause)| Op::Link(feed, cause)),
        2 => (0i64..3_000_000_000).prop_map(Op::Pass),
        2 => proptest::sample::select(TradingState::ALL).prop_map(Op::Trading),
        2 => (-3i8..0).prop_map(Op::Rescale),
        1 => any::<bool>().prop_map(Op::Retime),
    ]
}

fn any_quote() -> impl Strategy<Value = Op> {
    let field = || proptest::option::weighted(0.9, 0i64..3);
    (field(), field(), field(), field())
        .prop_map(|(bid_price, bid_size, ask_price, ask_size)| Op::Quote(Quote { bid_price, bid_size, ask_price, ask_size }))
}

fn any_trade() -> impl Strategy<Value = Op> {
    let price = prop_oneof![-8i64..8, Just(i64::MAX), Just(i64::MIN)];
    let size = prop_oneof![9 => 0i64..5, 1 => Just(1i64 << 50)];
    let trade = (price, size, proptest::option::weighted(0.8, 0i64..1_000), any::<bool>())
        .prop_map(|(price, size, id, aggregated)| Op::Trade(Trade { price, size, aggressor: Aggressor::Buy, id, aggregated }));
    let gap = (proptest::option::of(0u64..9), prop_oneof![Just(Cause::SequenceGap), Just(Cause::Disconnected)])
        .prop_map(|(missing, cause)| Op::Gap(missing, cause));
    prop_oneof![12 => trade, 1 => gap]
}

/// Trades at all distances, late ones, gaps, and time that passes.
fn any_trading() -> impl Strategy<Value = Op> {
    const SECOND: i64 = 1_000_000_000;
    let span =
        || prop_oneof![4 => 0..SECOND, 6 => 0..5 * SECOND, 4 => 0..600 * SECOND, 3 => 0..8_000 * SECOND, 1 => 0..90_000 * SECOND];
    let late = (any_trade(), span()).prop_map(|(op, late)| match op {
        Op::Trade(trade) => Op::Late(trade, late),
        op => op,
    });
    prop_oneof![4 => any_trade(), 2 => late, 4 => span().prop_map(Op::Pass)]
}

fn any_book() -> impl Strategy<Value = Op> {
    let level = || (0i64..70, prop_oneof![1 => Just(0i64), 2 => 1i64..4]);
    let levels = move |n| proptest::collection::vec(level().prop_map(|(price, size)| Level { price, size }), 0..n);
    prop_oneof![
        12 => (levels(6), levels(6)).prop_map(|(bids, asks)| Op::Book { bids, asks, snapshot: false }),
        1 => (levels(90), levels(90)).prop_map(|(bids, asks)| Op::Book { bids, asks, snapshot: true }),
        2 => (0i64..2_000_000_000).prop_map(Op::Pass),
    ]
}

/// The same of a feed without quotes.
fn with_quotes(op: Op) -> Op {
    match op {
        Op::Book { bids, asks, snapshot } => Op::BookAndQuote { bids, asks, snapshot },
        op => op,
    }
}

fn limits() -> impl Strategy<Value = TopicLimits> {
    let max_topics = InstrumentTopics::COUNT;
    (1usize..20, 0usize..60, prop_oneof![1usize..10, 50usize..80], 0u64..3_000).prop_map(
        move |(trade_ring, book_log, book_levels, view_linger_ms)| TopicLimits {
            max_topics,
            trade_ring,
            book_log,
            book_levels,
            view_linger_ms,
        },
    )
}

fn default_limits() -> TopicLimits {
    TopicLimits { max_topics: InstrumentTopics::COUNT, ..TopicLimits::default() }
}

proptest! {
    #[test]
    fn law_of_quotes(limits in limits(), steps in steps(any_quote())) {
        keep_the_law(limits, steps, TradeMode::Every, |world, _| world.topics.quote);
    }

    #[test]
    fn law_of_quotes_from_books(limits in limits(), steps in steps(any_book().prop_map(with_quotes))) {
        keep_the_law_in(World::new(limits, false), steps, TradeMode::Every, |world, who| {
            if who < 2 { world.topics.quote } else { world.topics.book[0] }
        });
    }

    #[test]
    fn law_of_every_trade(limits in limits(), steps in steps(any_trade())) {
        keep_the_law(limits, steps, TradeMode::Every, |world, _| world.topics.trade);
    }

    #[test]
    fn law_of_trade_summaries(limits in limits(), steps in steps(any_trade())) {
        keep_the_law(limits, steps, TradeMode::Summary, |world, _| world.topics.trade);
    }

    #[test]
    fn law_of_short_bars(steps in steps(any_trading())) {
        keep_the_law(default_limits(), steps, TradeMode::Every, |world, who| world.topics.bar[who / 2]);
    }

    #[test]
    fn law_of_long_bars(steps in steps(any_trading())) {
        keep_the_law(default_limits(), steps, TradeMode::Every, |world, who| world.topics.bar[2 + who / 2]);
    }

    #[test]
    fn law_of_stats(steps in steps(any_trading())) {
        keep_the_law(default_limits(), steps, TradeMode::Every, |world, _| world.topics.stats);
    }

    #[test]
    fn law_of_shallow_books(limits in limits(), steps in steps(any_book())) {
        keep_the_law(limits, steps, TradeMode::Every, |world, who| world.topics.book[who / 2]);
    }

    #[test]
    fn law_of_deep_books(limits in limits(), steps in steps(any_book())) {
        keep_the_law(limits, steps, TradeMode::Every, |world, who| world.topics.book[2 + who / 2]);
    }

    #[test]
    fn law_of_full_books(limits in limits(), steps in steps(any_book())) {
        keep_the_law(limits, steps, TradeMode::Every, |world, _| world.topics.book[4]);
    }

    #[test]
    fn law_of_status_and_instrument(steps in steps(any_condition())) {
        keep_the_law(default_limits(), steps, TradeMode::Every, |world, who| {
            if who < 2 { world.topics.status } else { world.topics.instrument }
        });
    }
}
