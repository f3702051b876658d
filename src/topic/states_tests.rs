//! How states travel, by example: from a link to all it carries, from silence to quiet and back. The general case is in `law`.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Instant;
use wire::event::{Aggressor, Cause, Channel, FeedState, Flags, Level, Quote, Status, Trade, TradingState};
use wire::instrument::Instrument;
use wire::record::RecordBody;
use wire::request::TradeMode;

const SHARDS: usize = 3;

fn map(instruments: u32) -> Arc<TopicMap> {
    let limits = TopicLimits { max_topics: instruments * InstrumentTopics::COUNT, trade_ring: 4, ..TopicLimits::default() };
    TopicMap::new(limits, SHARDS, 1)
}

fn list(map: &TopicMap, venue: &str, link: u32, symbol: &str) -> InstrumentTopics {
    let instrument = Instrument { symbol: symbol.into(), native: symbol.into(), ..Instrument::default() };
    map.list_on(venue, link, &instrument).unwrap()
}

fn at(time: i64) -> Stamp {
    Stamp { event: 0, received: time, published: time, flags: Flags::default() }
}

fn quote(bid: i64) -> Quote {
    Quote { bid_price: Some(bid), ..Quote::default() }
}

/// What a new subscriber is told of the state of a topic, and whether the value it gets is flagged as old.
fn told(map: &TopicMap, id: u32) -> (Status, bool) {
    let (mut status, mut stale) = (None, false);
    map.get(id).unwrap().since(&Cursor::NEW, TradeMode::Every, 9, &mut |_, record| match record.body {
        RecordBody::State(told) | RecordBody::Status(told) => status = Some(told),
        RecordBody::Meta(_) => {}
        _ => stale = record.flags.has(Flags::STALE),
    });
    (status.unwrap(), stale)
}

fn states(map: &TopicMap, of: &InstrumentTopics) -> [FeedState; 4] {
    [of.quote, of.trade, of.book[4], of.status].map(|id| told(map, id).0.feed)
}

/// Marked topics, and marked links, of all shards.
fn drain(map: &TopicMap) -> (usize, Vec<Vec<u32>>) {
    let mut topics = 0;
    let links = (0..SHARDS).map(|shard| {
        map.marks(shard).drain(|_| topics += 1);
        map.marks(shard).take_links()
    });
    let links = links.collect();
    (topics, links)
}

#[test]
fn a_link_goes_down_with_one_mark_a_shard() {
    let map = map(3_572);
    let listed: Vec<_> = (0..3_572).map(|number| list(&map, "sim", 0, &format!("S{number}"))).collect();
    for of in &listed {
        map.publish_state(of, None, FeedState::Live, Cause::None, &at(1));
        (of.instrument..of.instrument + InstrumentTopics::COUNT).for_each(|id| map.watch(id as usize % SHARDS, id));
    }
    drain(&map);
    assert!(map.len() > 50_000);
    let before = Instant::now();
    map.publish_link("sim", 0, FeedState::Down, Cause::Disconnected, &at(5));
    let took = before.elapsed();
    assert_eq!(drain(&map), (0, vec![vec![0]; SHARDS]), "50,008 watched topics");
    // One store; the limit is for a busy machine and an unoptimized build.
    assert!(took.as_millis() < 5, "{took:?}");
    for of in [&listed[0], &listed[3_571]] {
        assert_eq!(states(&map, of), [FeedState::Down; 4]);
        assert_eq!(
            told(&map, of.bar[0]).0,
            Status { feed: FeedState::Down, cause: Cause::Disconnected, since: 5, ..Status::default() }
        );
    }
    assert_eq!(map.channels(), [("sim".to_owned(), counts(&[(FeedState::Down, 3 * 3_572)]))]);
    map.publish_link("sim", 0, FeedState::Down, Cause::Disconnected, &at(6));
    assert_eq!(drain(&map), (0, vec![vec![]; SHARDS]), "no news");
}

fn counts(of: &[(FeedState, u32)]) -> [u32; FeedState::ALL.len()] {
    let mut counts = [0; FeedState::ALL.len()];
    of.iter().for_each(|(state, count)| counts[*state as usize] = *count);
    counts
}

#[test]
fn each_channel_comes_back_when_its_data_does() {
    let map = map(3);
    let [ours, others, elsewhere] = [("sim", 0, "A"), ("sim", 1, "B"), ("other", 0, "A")].map(|(v, l, s)| list(&map, v, l, s));
    for of in [&ours, &others, &elsewhere] {
        map.publish_state(of, None, FeedState::Live, Cause::None, &at(1));
        map.publish_quote(of, &quote(7), &at(1));
    }
    map.publish_link("sim", 0, FeedState::Stale, Cause::Silence, &at(10));
    assert_eq!(states(&map, &ours), [FeedState::Stale; 4]);
    assert!(told(&map, ours.quote).1, "an old value says so");
    assert_eq!((states(&map, &others), states(&map, &elsewhere)), ([FeedState::Live; 4], [FeedState::Live; 4]));
    // What is said of a channel while its link is lost counts neither now nor later.
    map.publish_state(&ours, Some(Channel::Quote), FeedState::Live, Cause::None, &at(11));
    assert_eq!(states(&map, &ours), [FeedState::Stale; 4]);
    assert!(told(&map, ours.quote).1);
    map.publish_link("sim", 0, FeedState::Resyncing, Cause::Silence, &at(20));
    assert_eq!(states(&map, &ours), [FeedState::Resyncing; 4]);
    assert_eq!(
        told(&map, ours.quote).0,
        Status { feed: FeedState::Resyncing, cause: Cause::Silence, since: 20, ..Status::default() }
    );
    map.publish_state(&ours, Some(Channel::Quote), FeedState::Live, Cause::None, &at(30));
    assert_eq!(states(&map, &ours), [FeedState::Live, FeedState::Resyncing, FeedState::Resyncing, FeedState::Resyncing]);
    assert!(!told(&map, ours.quote).1 && told(&map, ours.book[0]).1);
    map.publish_trading(&ours, TradingState::Halted, &at(31));
    assert_eq!(told(&map, ours.trade).0.trading, TradingState::Halted);
    map.publish_state(&ours, None, FeedState::Live, Cause::None, &at(32));
    assert_eq!(states(&map, &ours), [FeedState::Live; 4]);
    assert_eq!(told(&map, ours.quote).0.since, 30, "it was live before the others");
    map.publish_link("sim", 0, FeedState::Live, Cause::None, &at(33));
    map.publish_link("sim", 9, FeedState::Down, Cause::None, &at(33));
    assert_eq!(states(&map, &ours), [FeedState::Live; 4], "it was not lost");
}

#[test]
fn a_channel_that_the_feed_does_not_take_is_not_its_links() {
    let map = map(1);
    let of = list(&map, "sim", 0, "A");
    map.publish_state(&of, Some(Channel::Quote), FeedState::Live, Cause::None, &at(1));
    map.publish_link("sim", 0, FeedState::Down, Cause::Disconnected, &at(2));
    map.publish_link("sim", 0, FeedState::Resyncing, Cause::Disconnected, &at(3));
    map.publish_state(&of, Some(Channel::Quote), FeedState::Live, Cause::None, &at(4));
    assert_eq!(states(&map, &of), [FeedState::Live, FeedState::Starting, FeedState::Starting, FeedState::Live]);
    assert_eq!(map.channels()[0].1, counts(&[(FeedState::Live, 1)]));
}

#[test]
fn silence_of_one_channel_is_quiet_until_its_next_update() {
    let map = map(1);
    map.set_quiet_after("sim", QuietAfter::of_quotes_ms(1));
    let of = list(&map, "sim", 0, "A");
    let ms = 1_000_000;
    map.publish_state(&of, None, FeedState::Live, Cause::None, &at(ms));
    map.publish_quote(&of, &quote(7), &at(2 * ms));
    map.publish_book(&of, &[Level { price: 7, size: 1 }], &[], true, &at(3 * ms));
    let topics = of.instrument..of.instrument + InstrumentTopics::COUNT;
    topics.for_each(|id| map.watch(0, id));
    drain(&map);
    map.tick(3 * ms - 1);
    assert_eq!(drain(&map).0, 0);
    map.tick(3 * ms);
    assert_eq!(states(&map, &of), [FeedState::Quiet, FeedState::Live, FeedState::Live, FeedState::Quiet]);
    let quiet = Status { feed: FeedState::Quiet, since: 2 * ms, ..Status::default() };
    assert_eq!(told(&map, of.quote), (quiet, false), "since its last update; nothing is wrong with it");
    assert_eq!(drain(&map).0, 2, "the quote and the status");
    map.tick(6 * ms);
    assert_eq!(told(&map, of.trade).0.feed, FeedState::Live, "trades have more patience");
    map.tick(7 * ms);
    assert_eq!(states(&map, &of), [FeedState::Quiet; 4]);
    drain(&map);
    // The same quote again is an update too.
    map.publish_quote(&of, &quote(7), &at(8 * ms));
    assert_eq!(told(&map, of.quote).0, Status { feed: FeedState::Live, since: 8 * ms, ..Status::default() });
    assert_eq!(drain(&map).0, 1, "the status still shows the others");
    map.publish_link("sim", 0, FeedState::Down, Cause::Disconnected, &at(9 * ms));
    map.publish_link("sim", 0, FeedState::Resyncing, Cause::Disconnected, &at(9 * ms));
    map.tick(90 * ms);
    map.publish_book(&of, &[], &[], true, &at(91 * ms));
    assert_eq!(
        states(&map, &of),
        [FeedState::Resyncing; 4],
        "what is not known to be good is not quiet, and data alone is no state"
    );
}

#[test]
fn a_quote_made_from_a_book_is_as_good_as_the_book() {
    let ms = 1_000_000;
    let map = map(1);
    map.set_quotes_from_books("sim");
    map.set_quiet_after("sim", QuietAfter { quote: ms, trade: ms, book: 3 * ms });
    let of = list(&map, "sim", 0, "A");
    let publish = |price, time| {
        let level = |price| [Level { price, size: 1 }];
        map.publish_book_and_quote(&of, &level(price), &level(9), false, &at(time));
    };
    let feeds = || [of.quote, of.book[1], of.status].map(|id| told(&map, id).0);
    map.watch(0, of.quote);
    map.publish_state(&of, Some(Channel::Book), FeedState::Live, Cause::None, &at(1));
    publish(5, ms);
    assert_eq!(drain(&map).0, 1);
    map.tick(4 * ms - 1);
    assert_eq!(feeds().map(|status| status.feed), [FeedState::Live; 3], "it has the patience of a book");
    map.tick(4 * ms);
    let quiet = Status { feed: FeedState::Quiet, since: ms, ..Status::default() };
    assert_eq!((feeds(), drain(&map).0), ([quiet; 3], 1));
    // Below the top: no other quote, but an update.
    publish(4, 5 * ms);
    let live = Status { feed: FeedState::Live, since: 5 * ms, ..Status::default() };
    assert_eq!((feeds(), drain(&map).0), ([live; 3], 1));
    map.publish_link("sim", 0, FeedState::Down, Cause::Disconnected, &at(6 * ms));
    assert_eq!((told(&map, of.quote), told(&map, of.book[4])), ((feeds()[2], true), (feeds()[2], true)));
    map.publish_link("sim", 0, FeedState::Resyncing, Cause::Disconnected, &at(7 * ms));
    map.publish_state(&of, Some(Channel::Book), FeedState::Resyncing, Cause::SequenceGap, &at(8 * ms));
    assert_eq!((told(&map, of.quote), told(&map, of.book[0])), ((feeds()[2], true), (feeds()[2], true)));
    map.publish_state(&of, Some(Channel::Book), FeedState::Live, Cause::None, &at(9 * ms));
    // The feed has no quotes to say anything about.
    map.publish_state(&of, Some(Channel::Quote), FeedState::Down, Cause::None, &at(9 * ms));
    assert_eq!((told(&map, of.quote).1, feeds().map(|status| status.feed)), (false, [FeedState::Live; 3]));
    let counted = map.channels();
    assert_eq!(counted[0].1.iter().sum::<u32>(), 1, "it is no channel of its own: {counted:?}");
}

/// Ends the other threads of a test, also when it fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A feed that loses its link and mends it, and readers: whatever the interleaving, who looks at the end sees the end, and a channel
/// is live only if it was said to be so since the link was lost.
#[test]
fn links_and_states_may_race_with_readers() {
    const ROUNDS: i64 = 2_000;
    let map = map(1);
    let of = list(&map, "sim", 0, "A");
    map.publish_state(&of, None, FeedState::Live, Cause::None, &at(1));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (map, over) = (&map, &over);
        let _over = Over(over);
        for id in [of.quote, of.status, of.bar[0]] {
            scope.spawn(move || {
                let (mut cursor, mut version, mut last) = (Cursor::NEW, 0, Status::default());
                loop {
                    let done = over.load(Ordering::Acquire);
                    let topic = map.get(id).unwrap();
                    let now = topic.version();
                    assert!(now >= version);
                    let news = now != version;
                    version = now;
                    cursor = topic.since(&cursor, TradeMode::Every, 9, &mut |_, record| {
                        if let RecordBody::State(told) | RecordBody::Status(told) = record.body {
                            assert!(told.since >= last.since, "{told:?} after {last:?}");
                            last = told;
                        }
                    });
                    if done && !news {
                        break;
                    }
                }
                assert_eq!((last.feed, last.cause), (FeedState::Down, Cause::VenueShutdown), "topic {id}");
            });
        }
        for round in 1..ROUNDS {
            let time = |step| at(round * 10 + step);
            map.publish_link("sim", 0, FeedState::Down, Cause::Disconnected, &time(0));
            map.publish_link("sim", 0, FeedState::Resyncing, Cause::Disconnected, &time(1));
            assert_eq!(told(map, of.quote).0.feed, FeedState::Resyncing);
            map.publish_state(&of, None, FeedState::Live, Cause::None, &time(2));
            map.publish_quote(&of, &quote(round), &time(3));
        }
        map.publish_link("sim", 0, FeedState::Down, Cause::VenueShutdown, &at(ROUNDS * 10));
    });
}

/// The clock may call a channel quiet just when its update comes: then the update has the last word.
#[test]
fn an_update_always_wakes() {
    let map = map(1);
    map.set_quiet_after("sim", QuietAfter { quote: 50, trade: 50, book: 50 });
    let of = list(&map, "sim", 0, "A");
    map.publish_state(&of, None, FeedState::Live, Cause::None, &at(1));
    let (over, now) = (AtomicBool::new(false), AtomicI64::new(1));
    thread::scope(|scope| {
        let (map, over, now) = (&map, &over, &now);
        let _over = Over(over);
        scope.spawn(move || {
            while !over.load(Ordering::Acquire) {
                map.tick(now.load(Ordering::Acquire));
            }
        });
        for round in 1..9_000 {
            let time = round * 100;
            now.store(time, Ordering::Release);
            (0..round % 64).for_each(|_| std::hint::spin_loop());
            let id = match round % 3 {
                0 => {
                    map.publish_quote(&of, &quote(round % 2), &at(time));
                    of.quote
                }
                1 => {
                    let trade = Trade { price: round, size: 1, aggressor: Aggressor::Buy, id: None, aggregated: false };
                    map.publish_trade(&of, &trade, &at(time));
                    of.bar[3]
                }
                _ => {
                    map.publish_book(&of, &[Level { price: 1, size: round % 2 }], &[], false, &at(time));
                    of.book[2]
                }
            };
            for _ in 0..3 {
                assert_eq!(told(map, id).0.feed, FeedState::Live, "round {round}");
            }
        }
    });
}
