//! What a subscriber is told, by example. The general case is in `law`.

use super::*;
use std::sync::Arc;
use wire::event::{Aggressor, Cause, Channel, FeedState, Flags, Level, Quote, Trade, TradingState};
use wire::instrument::Instrument;
use wire::record::{Clock, RecordBody, TradeSummary};
use wire::request::TradeMode;
use wire::topic::{Pattern, TopicKey};

fn map(trade_ring: usize) -> (Arc<TopicMap>, InstrumentTopics) {
    let map = TopicMap::new(
        TopicLimits { max_topics: 28, trade_ring, book_log: 16, book_levels: 100, ..TopicLimits::default() },
        2,
        40,
    );
    let topics = map.list("sim", &instrument("A-B")).unwrap();
    (map, topics)
}

fn instrument(symbol: &str) -> Instrument {
    Instrument {
        symbol: symbol.into(),
        native: symbol.replace('-', ""),
        price_exponent: -2,
        trade_has_event_time: true,
        event_time_exponent: -3,
        ..Instrument::default()
    }
}

fn at(time: i64) -> Stamp {
    Stamp { event: time, received: time + 1, published: time + 2, flags: Flags::default() }
}

fn trade(price: i64, size: i64) -> Trade {
    Trade { price, size, aggressor: Aggressor::Sell, id: Some(price * 10), aggregated: false }
}

/// What `since` says, one line a record, and where the subscriber then stands.
fn told(map: &TopicMap, id: u32, cursor: &Cursor, mode: TradeMode) -> (Vec<String>, Cursor) {
    let mut lines = Vec::new();
    let cursor = map.get(id).unwrap().since(cursor, mode, usize::MAX, &mut |_, record| {
        let flags = |flag, letter| if record.flags.has(flag) { letter } else { "" };
        let head = format!("{}{}{}", flags(Flags::SNAPSHOT, "S"), flags(Flags::STALE, "O"), flags(Flags::CONFLATED, "C"));
        let body = match record.body {
            RecordBody::Meta(meta) => format!("meta epoch {} base {}", meta.epoch, meta.base),
            RecordBody::State(status) => format!("state {} {}", status.feed, status.trading),
            RecordBody::Quote(quote) => format!("{:?} {:?}", quote.bid_price, quote.ask_price),
            RecordBody::Trade(trade) => {
                format!("{} x {} id {:?} after {:?}", trade.price, trade.size, trade.id, trade.previous_id)
            }
            RecordBody::Summary(TradeSummary { last, high, low, count, volume, notional }) => {
                format!("n {count} last {last} high {high} low {low} volume {volume} notional {notional}")
            }
            RecordBody::Gap { cause, missing } => format!("gap {cause} {missing:?}"),
            RecordBody::Book { bids, asks } => format!("{} bids {} asks", bids.len(), asks.len()),
            body => format!("{body:?}"),
        };
        lines.push(format!("{head}+{} {body}", record.sequence));
    });
    (lines, cursor)
}

#[test]
fn names_resolve_in_both_spellings() {
    let (map, topics) = map(4);
    let resolve = |name| map.resolve(&TopicKey::parse(name).unwrap());
    assert_eq!(resolve("book/sim:A-B/20"), Resolve::Found(topics.book[2]));
    assert_eq!(resolve("book/sim:!AB/20"), Resolve::Found(topics.book[2]));
    assert_eq!(resolve("quote/sim:!A-B"), Resolve::Pending);
    map.venue_known("sim");
    assert_eq!(resolve("quote/sim:!A-B"), Resolve::UnknownSymbol);
    assert_eq!(map.get(topics.trade).unwrap().name(), "trade/sim:A-B");
    assert!(map.get(99).is_none());
    map.list("sim", &Instrument { native: "AB2".into(), ..instrument("A-B") }).unwrap();
    assert_eq!(resolve("quote/sim:!AB"), Resolve::UnknownSymbol);
    assert_eq!(resolve("quote/sim:!AB2"), Resolve::Found(topics.quote));
    let (said, _) = told(&map, topics.instrument, &Cursor::resume(40, 1), TradeMode::Every);
    assert_eq!(said.len(), 2, "a new spelling is no new epoch: {said:?}");
}

#[test]
fn what_an_upstream_node_may_still_bring_is_pending() {
    let (map, _) = map(4);
    map.venue_known("sim");
    let resolve = |name| map.resolve(&TopicKey::parse(name).unwrap());
    let upstream = map.add_upstream("core");
    assert_eq!(resolve("quote/far:A-B"), Resolve::Pending);
    map.relay_instrument(&upstream, "far", &instrument("A-B"), Place { epoch: 1, seq: 1 }, 0).unwrap();
    assert!(matches!(resolve("quote/far:A-B"), Resolve::Found(_)));
    assert_eq!(resolve("quote/far:C-D"), Resolve::Pending);
    assert_eq!(resolve("quote/sim:C-D"), Resolve::UnknownSymbol, "a feed of this node's own");
    map.venue_known("core");
    assert_eq!(resolve("quote/far:C-D"), Resolve::UnknownSymbol);
    assert_eq!(resolve("quote/elsewhere:C-D"), Resolve::UnknownVenue);
}

#[test]
fn listings_are_told_and_bounded() {
    let (map, _) = map(4);
    assert!(map.marks(1).listing_changed());
    let first = map.len();
    map.list("other", &instrument("A-C")).unwrap();
    assert!(map.marks(0).listing_changed() && map.len() == first + InstrumentTopics::COUNT);
    assert_eq!(map.list("other", &instrument("A-D")), Err(TopicsFull { max_topics: 28 }));
    let mut names = Vec::new();
    map.matching(&Pattern::parse("trade/*:A-*").unwrap(), &mut |id| names.push(map.get(id).unwrap().name().to_owned()));
    assert_eq!(names, ["trade/sim:A-B", "trade/other:A-C"]);
}

#[test]
fn the_first_price_is_the_base_of_the_epoch() {
    let (map, topics) = map(4);
    let (said, cursor) = told(&map, topics.quote, &Cursor::NEW, TradeMode::Every);
    assert_eq!(said, ["+0 meta epoch 40 base 0", "+0 state starting unknown", "S+0 Some(None) Some(None)"]);
    let quote = |bid, ask| Quote { bid_price: bid, ask_price: ask, ..Quote::default() };
    map.publish_quote(&topics, &quote(None, Some(70)), &at(1));
    map.publish_quote(&topics, &quote(Some(50), Some(70)), &at(2));
    let (said, cursor) = told(&map, topics.quote, &cursor, TradeMode::Every);
    assert_eq!(said, ["+0 meta epoch 40 base 70", "C+2 Some(Some(50)) Some(Some(70))"]);
    map.publish_quote(&topics, &quote(Some(50), None), &at(3));
    assert_eq!(told(&map, topics.quote, &cursor, TradeMode::Every).0, ["+1 None Some(None)"]);
    assert_eq!(map.get(topics.quote).unwrap().meta().clock, Clock::Received);
}

#[test]
fn state_comes_before_data_and_marks_snapshots_as_old() {
    let (map, topics) = map(4);
    map.publish_quote(&topics, &Quote { bid_price: Some(5), ..Quote::default() }, &at(1));
    map.publish_state(&topics, None, FeedState::Live, Cause::None, &at(2));
    map.publish_state(&topics, Some(Channel::Quote), FeedState::Stale, Cause::Silence, &at(3));
    let (said, cursor) = told(&map, topics.quote, &Cursor::NEW, TradeMode::Every);
    assert_eq!(said, ["+0 meta epoch 40 base 5", "+0 state stale unknown", "SO+1 Some(Some(5)) Some(None)"]);
    map.publish_trading(&topics, TradingState::Halted, &at(4));
    map.publish_quote(&topics, &Quote { bid_price: Some(6), ..Quote::default() }, &at(5));
    map.publish_state(&topics, None, FeedState::Live, Cause::None, &at(6));
    let (said, cursor) = told(&map, topics.quote, &cursor, TradeMode::Every);
    assert_eq!(said, ["+0 state live halted", "+1 Some(Some(6)) None"]);
    map.publish_state(&topics, None, FeedState::Live, Cause::None, &at(7));
    assert!(told(&map, topics.quote, &cursor, TradeMode::Every).0.is_empty(), "the same state again is no news");
}

#[test]
fn each_trade_or_a_gap() {
    let (map, topics) = map(2);
    let (said, cursor) = told(&map, topics.trade, &Cursor::NOW, TradeMode::Every);
    assert_eq!(said[2..], ["S+0 Tape"]);
    map.publish_trade(&topics, &trade(10, 1), &at(1));
    map.publish_trade(&topics, &trade(12, 2), &at(2));
    let (said, near) = told(&map, topics.trade, &cursor, TradeMode::Every);
    assert_eq!(said, ["+0 meta epoch 40 base 10", "+1 10 x 1 id Some(100) after None", "+1 12 x 2 id Some(120) after Some(100)"]);
    map.publish_gap(&topics, Channel::Trade, Some(3), Cause::SequenceGap, &at(3));
    map.publish_trade(&topics, &trade(9, 3), &at(4));
    assert_eq!(
        told(&map, topics.trade, &near, TradeMode::Every).0,
        ["+1 gap sequence_gap Some(3)", "+1 9 x 3 id Some(90) after None"]
    );
    // Two trades fell out of the ring for who is still at the beginning.
    assert!(!map.get(topics.trade).unwrap().reaches(&cursor));
    assert_eq!(told(&map, topics.trade, &cursor, TradeMode::Every).0[1], "+2 gap overrun Some(2)");
    assert_eq!(map.overruns(), 1);
    assert_eq!(told(&map, topics.trade, &Cursor::NEW, TradeMode::Every).0[2], "S+4 9 x 3 id Some(90) after None");
}

#[test]
fn the_newest_trades_can_come_first() {
    let (map, topics) = map(3);
    (1..=5).for_each(|price| map.publish_trade(&topics, &trade(price, 1), &at(price)));
    map.publish_gap(&topics, Channel::Trade, Some(7), Cause::SequenceGap, &at(6));
    let (said, cursor) = told(&map, topics.trade, &Cursor::back(2), TradeMode::Every);
    assert_eq!(said[2..], ["S+4 Tape", "+1 5 x 1 id Some(50) after None", "+1 gap sequence_gap Some(7)"]);
    assert!(told(&map, topics.trade, &cursor, TradeMode::Every).0.is_empty());
    let (said, _) = told(&map, topics.trade, &Cursor::back(9), TradeMode::Summary);
    let all = ["S+3 Tape", "+1 gap sequence_gap Some(7)", "C+2 n 2 last 5 high 5 low 4 volume 2 notional 9"];
    assert_eq!(said[2..], all, "no more than the ring has, and that is no overrun");
    // A few at a time: the cursor has its place from the first answer on.
    let trade_topic = map.get(topics.trade).unwrap();
    let first = trade_topic.since(&Cursor::back(3), TradeMode::Every, 1, &mut |_, _| {});
    assert_eq!((first.is_placed(), first.seq()), (true, 4));
    assert_eq!(told(&map, topics.trade, &first, TradeMode::Every).0.len(), 2);
    // Elsewhere it is a start like any other.
    let new = |cursor| told(&map, topics.stats, &cursor, TradeMode::Every);
    assert_eq!(new(Cursor::back(3)), new(Cursor::NEW));
}

#[test]
fn what_a_resume_misses_is_known_before_it_is_told() {
    let (map, topics) = map(2);
    let missing = |cursor: &Cursor| map.get(topics.trade).unwrap().missing(cursor);
    (1..=5).for_each(|price| map.publish_trade(&topics, &trade(price, 1), &at(price)));
    assert_eq!(
        [Cursor::resume(40, 5), Cursor::resume(40, 3), Cursor::NEW, Cursor::NOW].map(|at| missing(&at)),
        [Missing::None; 4]
    );
    assert_eq!(missing(&Cursor::resume(40, 1)), Missing::Count(2));
    assert_eq!(missing(&Cursor::resume(40, 6)), Missing::Unknown, "it never was");
    assert_eq!(missing(&Cursor::resume(39, 1)), Missing::Unknown, "nobody knows that run of the node");
    map.list("sim", &Instrument { price_exponent: -3, ..instrument("A-B") }).unwrap();
    (1..=3).for_each(|price| map.publish_trade(&topics, &trade(price, 1), &at(price)));
    assert_eq!(missing(&Cursor::resume(40, 1)), Missing::Count(4 + 1), "cut off, and past the ring since");
    assert_eq!(missing(&Cursor::resume(40, 5)), Missing::Count(1));
    map.publish_gap(&topics, Channel::Trade, None, Cause::Disconnected, &at(9));
    assert_eq!(missing(&Cursor::resume(41, 2)), Missing::None, "the stream tells of it");
    (1..=2).for_each(|price| map.publish_trade(&topics, &trade(price, 1), &at(price)));
    assert_eq!(missing(&Cursor::resume(41, 3)), Missing::Unknown);
    assert_eq!(map.get(topics.quote).unwrap().missing(&Cursor::resume(1, 1)), Missing::None);
}

#[test]
fn a_summary_outlives_the_ring() {
    let (map, topics) = map(2);
    let (_, cursor) = told(&map, topics.trade, &Cursor::NOW, TradeMode::Summary);
    for (price, size) in [(10, 1), (14, 2), (8, 3), (11, 4)] {
        map.publish_trade(&topics, &trade(price, size), &at(price));
    }
    let (said, cursor) = told(&map, topics.trade, &cursor, TradeMode::Summary);
    assert_eq!(said[1..], ["C+4 n 4 last 11 high 14 low 8 volume 10 notional 106"]);
    map.publish_gap(&topics, Channel::Trade, Some(5), Cause::Disconnected, &at(20));
    map.publish_trade(&topics, &trade(12, 1), &at(21));
    assert_eq!(
        told(&map, topics.trade, &cursor, TradeMode::Summary).0,
        ["+1 gap disconnected Some(5)", "+1 n 1 last 12 high 12 low 12 volume 1 notional 12"]
    );
}

#[test]
fn in_a_long_one_way_move_the_ring_knows_high_and_low() {
    let (map, topics) = map(8);
    let (_, far) = told(&map, topics.trade, &Cursor::NOW, TradeMode::Summary);
    let mut near = far;
    for price in 1..=20 {
        map.publish_trade(&topics, &trade(price, 1), &at(price));
        if price == 12 {
            near = told(&map, topics.trade, &Cursor::NOW, TradeMode::Summary).1;
        }
    }
    let (said, _) = told(&map, topics.trade, &near, TradeMode::Summary);
    assert_eq!(said, ["C+8 n 8 last 20 high 20 low 13 volume 8 notional 132"]);
    let (said, _) = told(&map, topics.trade, &far, TradeMode::Summary);
    assert_eq!(said[1..], ["+12 gap overrun Some(12)", "C+8 n 8 last 20 high 20 low 13 volume 8 notional 132"]);
}

#[test]
fn a_redefinition_starts_over_and_says_what_was_cut_off() {
    let (map, topics) = map(8);
    let (_, cursor) = told(&map, topics.trade, &Cursor::NEW, TradeMode::Every);
    map.publish_trade(&topics, &trade(10, 1), &at(1));
    map.publish_trade(&topics, &trade(11, 1), &at(2));
    map.list("sim", &Instrument { price_exponent: -3, ..instrument("A-B") }).unwrap();
    map.publish_trade(&topics, &trade(110, 1), &at(3));
    assert_eq!(
        told(&map, topics.trade, &cursor, TradeMode::Every).0,
        [
            "+0 meta epoch 40 base 10",
            "+2 gap redefinition Some(2)",
            "+0 meta epoch 41 base 110",
            "+0 state starting unknown",
            "S+0 Tape",
            "+1 110 x 1 id Some(1100) after None",
        ]
    );
    assert_eq!(map.redefinitions(), 1);
    // Again, before anybody looked: what was cut off twice is told once.
    map.list("sim", &Instrument { price_exponent: -4, ..instrument("A-B") }).unwrap();
    for price in [1_100, 1_200] {
        map.publish_trade(&topics, &trade(price, 1), &at(4));
    }
    assert_eq!(
        told(&map, topics.trade, &cursor, TradeMode::Every).0,
        [
            "+0 meta epoch 40 base 10",
            "+2 gap redefinition Some(3)",
            "+0 meta epoch 42 base 1100",
            "+0 state starting unknown",
            "S+0 Tape",
            "+1 1100 x 1 id Some(11000) after None",
            "+1 1200 x 1 id Some(12000) after Some(11000)",
        ]
    );
}

#[test]
fn a_view_that_nobody_watches_sleeps_and_catches_up() {
    let (map, topics) = map(4);
    let five = map.get(topics.book[0]).unwrap();
    let publish = |price, size, time| map.publish_book(&topics, &[Level { price, size }], &[], false, &at(time));
    publish(10, 1, 1);
    let (_, cursor) = told(&map, topics.book[0], &Cursor::NEW, TradeMode::Every);
    assert_eq!(five.check(&cursor), None);
    map.watch(1, topics.book[0]);
    assert!(five.check(&cursor).is_some());
    let version = five.version();
    publish(11, 1, 2);
    assert_ne!(five.version(), version);
    let mut marked = Vec::new();
    map.marks(1).drain(|id| marked.push(id));
    assert_eq!(marked, [topics.book[0]]);
    let (said, cursor) = told(&map, topics.book[0], &cursor, TradeMode::Every);
    assert_eq!(said, ["+1 1 bids 0 asks"]);
    map.unwatch(1, topics.book[0]);
    [0, LINGER].into_iter().for_each(|now| map.tick(now));
    publish(12, 1, 3);
    publish(13, 1, 4);
    map.marks(1).drain(|id| panic!("{id} is not watched"));
    // What happened meanwhile is one step.
    assert_eq!(told(&map, topics.book[0], &cursor, TradeMode::Every).0, ["+1 2 bids 0 asks"]);
}

/// How long a view stays awake for nobody, in ns.
const LINGER: i64 = 10_000_000_000;

#[test]
fn a_view_stays_awake_for_who_comes_back_soon() {
    let (map, topics) = map(4);
    let id = topics.book[4];
    let publish = |price| map.publish_book(&topics, &[Level { price, size: 1 }], &[], false, &at(price));
    let is_awake = |cursor: &Cursor| map.get(id).unwrap().check(cursor).is_some();
    (1..9).for_each(publish);
    map.watch(0, id);
    let (_, mut cursor) = told(&map, id, &Cursor::NEW, TradeMode::Every);
    // The time begins with the first tick after the last watcher left, and anew with each who comes meanwhile.
    for (now, price) in [(5, 20), (5 + LINGER - 1, 21)] {
        map.unwatch(0, id);
        map.tick(now);
        map.tick(now + LINGER - 1);
        publish(price);
        let (said, next) = told(&map, id, &Cursor::resume(40, cursor.seq()), TradeMode::Every);
        assert_eq!(said[2..], ["+1 1 bids 0 asks"], "a delta, though nobody watched");
        assert!(is_awake(&next));
        map.watch(0, id);
        map.tick(now + LINGER);
        cursor = next;
    }
    map.watch(1, id);
    map.unwatch(0, id);
    [0, 3 * LINGER].into_iter().for_each(|now| map.tick(now));
    assert!(is_awake(&cursor), "the other one watches");
    map.unwatch(1, id);
    [0, LINGER].into_iter().for_each(|now| map.tick(now));
    assert!(!is_awake(&cursor));
    publish(30);
    let (said, _) = told(&map, id, &Cursor::resume(40, cursor.seq()), TradeMode::Every);
    assert_eq!(said[2..], ["S+4 11 bids 0 asks"]);
}

#[test]
fn a_crossed_book_is_told_and_counted() {
    let (map, topics) = map(4);
    let publish = |bid, ask, size, time| {
        let level = |price| [Level { price, size }];
        map.publish_book_and_quote(&topics, &level(bid), &level(ask), false, &at(time));
    };
    let bad = |id: u32| {
        let mut bad = false;
        map.get(id)
            .unwrap()
            .since(&Cursor::NEW, TradeMode::Every, 9, &mut |_, record| bad |= record.flags.has(Flags::MAYBE_BAD_BOOK));
        bad
    };
    publish(10, 10, 1, 1);
    assert_eq!((bad(topics.book[0]), map.crossed_books()), (false, 0), "nobody knows the phase");
    map.publish_trading(&topics, TradingState::Open, &at(2));
    publish(10, 10, 2, 3);
    publish(11, 12, 2, 4);
    assert_eq!((topics.book.map(bad), bad(topics.quote), map.crossed_books()), ([true; 5], true, 1), "it is so once");
    publish(10, 10, 0, 5);
    publish(11, 12, 3, 5);
    assert_eq!((bad(topics.book[4]), bad(topics.quote)), (false, false));
    publish(12, 13, 1, 6);
    assert_eq!((bad(topics.book[4]), map.crossed_books()), (true, 2));
    map.publish_trading(&topics, TradingState::Auction, &at(7));
    publish(12, 13, 2, 8);
    assert_eq!((bad(topics.book[4]), map.crossed_books()), (false, 2));
}

#[test]
fn a_quote_can_be_the_top_of_its_book() {
    let (map, topics) = map(4);
    let level = |price, size| Level { price, size };
    let quote = || {
        let mut quote = None;
        map.get(topics.quote).unwrap().since(&Cursor::NEW, TradeMode::Every, 9, &mut |_, record| {
            if let RecordBody::Quote(change) = record.body {
                quote = Some([change.bid_price, change.bid_size, change.ask_price, change.ask_size].map(|field| field.unwrap()));
            }
        });
        quote.unwrap()
    };
    let (_, cursor) = told(&map, topics.quote, &Cursor::NEW, TradeMode::Every);
    map.publish_book_and_quote(&topics, &[level(10, 1), level(9, 4)], &[level(12, 2)], true, &at(1));
    assert_eq!(quote(), [Some(10), Some(1), Some(12), Some(2)]);
    map.publish_book_and_quote(&topics, &[level(9, 5)], &[], false, &at(2));
    assert_eq!(told(&map, topics.quote, &cursor, TradeMode::Every).1.seq(), 1, "a change below the top is no news");
    map.publish_book_and_quote(&topics, &[level(10, 0)], &[level(12, 0)], false, &at(3));
    assert_eq!(quote(), [Some(9), Some(5), None, None], "an empty side is missing");
    map.publish_book_and_quote(&topics, &[], &[level(14, 3)], true, &at(4));
    assert_eq!(quote(), [None, None, Some(14), Some(3)]);
}

#[test]
fn wrong_views_are_counted() {
    let (map, topics) = map(4);
    let topic = map.get(topics.trade).unwrap();
    assert_eq!(topic.mismatches(), 0);
    (0..2).for_each(|_| topic.note_mismatch());
    assert_eq!(topic.mismatches(), 2);
}

#[test]
fn a_merged_step_of_a_full_book_loses_no_level() {
    let map = TopicMap::new(TopicLimits { max_topics: 28, book_levels: 3, ..TopicLimits::default() }, 1, 40);
    let upstream = map.add_upstream("core");
    let place = |seq| Place { epoch: 7, seq };
    let topics = map.relay_instrument(&upstream, "sim", &instrument("A-B"), place(1), 1).unwrap();
    let level = |price, size| Level { price, size };
    let fit = map.relay_book(&topics, [&[level(10, 1), level(9, 1), level(8, 1)], &[]], true, place(1), &at(1));
    assert_eq!(fit.dropped, 0);
    // There, 10 went before 11 came. Here both come at once, best first.
    let fit = map.relay_book(&topics, [&[level(11, 1), level(10, 0)], &[]], false, place(3), &at(2));
    assert_eq!(fit.dropped, 0);
    let (said, _) = told(&map, topics.book[4], &Cursor::NEW, TradeMode::Every);
    assert!(said.last().unwrap().ends_with("3 bids 0 asks"), "{said:?}");
}

#[test]
fn a_depth_view_moves_only_with_its_levels() {
    let (map, topics) = map(4);
    map.watch(0, topics.book[0]);
    map.watch(0, topics.book[4]);
    let level = |price| Level { price, size: 1 };
    let bids: Vec<Level> = (1..=8).map(level).collect();
    map.publish_book(&topics, &bids, &[], true, &at(1));
    map.marks(0).drain(|_| {});
    // The best five are 8 to 4.
    map.publish_book(&topics, &[level(0)], &[], false, &at(2));
    let mut marked = Vec::new();
    map.marks(0).drain(|id| marked.push(id));
    assert_eq!(marked, [topics.book[4]]);
    let (_, cursor) = told(&map, topics.book[0], &Cursor::NEW, TradeMode::Every);
    map.publish_book(&topics, &[Level { price: 8, size: 0 }], &[], false, &at(3));
    // 8 leaves, 3 comes into sight.
    assert_eq!(told(&map, topics.book[0], &cursor, TradeMode::Every).0, ["+1 2 bids 0 asks"]);
}

/// Two feeds publish, two shards watch, all at the same time: when it is quiet, every view is the newest value.
#[test]
fn shards_on_their_own_threads_end_with_the_newest_values() {
    const ROUNDS: i64 = 5_000;
    let (map, first) = map(64);
    let second = map.list("other", &instrument("A-B")).unwrap();
    let feeds: Vec<_> = [first, second]
        .into_iter()
        .map(|topics| {
            let map = map.clone();
            std::thread::spawn(move || {
                for round in 1..=ROUNDS {
                    map.publish_quote(&topics, &Quote { bid_price: Some(round), ..Quote::default() }, &at(round));
                    map.publish_trade(&topics, &trade(round, 1), &at(round));
                    let level = Level { price: round % 9, size: round };
                    map.publish_book(&topics, &[level], &[], false, &at(round));
                }
            })
        })
        .collect();
    let shards: Vec<_> = (0..2)
        .map(|shard| {
            let map = map.clone();
            std::thread::spawn(move || follow(&map, shard, &[first, second], ROUNDS as u64))
        })
        .collect();
    feeds.into_iter().for_each(|feed| feed.join().unwrap());
    shards.into_iter().for_each(|shard| shard.join().unwrap());
}

/// Follows marks until every watched topic has had all rounds; a lost mark would leave it waiting for good.
fn follow(map: &TopicMap, shard: usize, topics: &[InstrumentTopics], rounds: u64) {
    let mut cursors = std::collections::HashMap::new();
    for topics in topics {
        for id in [topics.quote, topics.trade, topics.book[1]] {
            map.watch(shard, id);
            cursors.insert(id, Cursor::NEW);
        }
    }
    let mut counted = 0;
    let mut due: Vec<u32> = cursors.keys().copied().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        loop {
            for id in due.drain(..) {
                let cursor = cursors.get_mut(&id).unwrap();
                *cursor = map.get(id).unwrap().since(cursor, TradeMode::Summary, 1, &mut |_, record| match record.body {
                    RecordBody::Summary(summary) => counted += summary.count,
                    RecordBody::Trade(_) | RecordBody::Tape => counted += record.sequence,
                    RecordBody::Gap { missing, .. } => counted += missing.unwrap(),
                    _ => {}
                });
            }
            // A book view that began after the first rounds has fewer steps: it goes by the last size.
            let done = topics.iter().all(|topics| {
                let last = |id: u32| map.get(id).unwrap().check(&cursors[&id]).is_some();
                cursors[&topics.quote].seq() == rounds && cursors[&topics.trade].seq() == rounds && last(topics.book[1])
            });
            if done {
                break;
            }
            let waited = tokio::time::timeout(std::time::Duration::from_secs(20), map.marks(shard).wait()).await;
            assert!(waited.is_ok(), "a mark was lost: {cursors:?}");
            map.marks(shard).drain(|id| due.push(id));
        }
    });
    assert_eq!(counted, topics.len() as u64 * rounds, "each trade is told once, or is counted as missing");
}
