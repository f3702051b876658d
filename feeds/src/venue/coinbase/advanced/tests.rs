//! Advanced Trade on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::{ChannelName, FeedSettings};
use wire::event::Cause;

const RECORDING: &str = "coinbase-advanced/cryptofeed_COINBASE.first60pct.jsonl.zst";
const PRODUCTS: &str = r#"{"products":[
    {"product_id":"BTC-USD","base_increment":"0.00000001","price_increment":"0.01","status":"online","alias":""},
    {"product_id":"BTC-USDC","base_increment":"0.00000001","price_increment":"0.01","status":"online","alias":"BTC-USD"},
    {"product_id":"ETH-USD","base_increment":"0.00000001","price_increment":"0.01","status":"online","alias":"","post_only":true}]}"#;

fn bench_of(symbols: &[&str]) -> Bench {
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    let mut bench = Bench::start(&FeedSettings { symbols, ..FeedSettings::of_venue("coinbase") });
    bench.answer("/api/v3/brokerage/market/products", PRODUCTS);
    bench
}

fn bench() -> Bench {
    bench_of(&["BTC-USD", "ETH-USD"])
}

fn book(number: u64, kind: &str, side: &str, price: &str, size: &str) -> String {
    format!(
        r#"{{"channel":"l2_data","timestamp":"2026-08-09T21:05:48.5Z","sequence_num":{number},"events":[{{"type":"{kind}","product_id":"BTC-USD","updates":[{{"side":"{side}","event_time":"2026-08-09T21:05:48.2Z","price_level":"{price}","new_quantity":"{size}"}}]}}]}}"#
    )
}

fn trades(number: u64, kind: &str, ids: &[u64]) -> String {
    let one = |id: &u64| {
        format!(
            r#"{{"product_id":"BTC-USD","trade_id":"{id}","price":"65083.67","size":"0.5","time":"2026-08-09T21:05:48.1Z","side":"SELL"}}"#
        )
    };
    let all = ids.iter().map(one).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"channel":"market_trades","timestamp":"2026-08-09T21:05:48.5Z","sequence_num":{number},"events":[{{"type":"{kind}","trades":[{all}]}}]}}"#
    )
}

#[test]
fn asks_for_heartbeats_first_and_each_channel_after() {
    let mut bench = bench();
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"type":"subscribe","channel":"heartbeats"}"#,
            r#"{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":"level2"}"#,
            r#"{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":"market_trades"}"#,
        ]
    );
    bench.wait_ms(5_000);
    assert!(!bench.take_log().iter().any(|line| line.starts_with("reconnect")), "each request has its answer");
}

#[test]
fn trades_come_newest_first_and_name_the_maker() {
    let mut bench = bench();
    bench.take_log();
    bench.message(Line(0), &trades(0, "snapshot", &[8, 7]));
    bench.message(Line(0), &trades(1, "update", &[10, 9]));
    bench.message(Line(0), &trades(2, "update", &[13]));
    assert_eq!(
        bench.take_log(),
        [
            "Trade 65083.67 0.5 buy 9",
            "Trade 65083.67 0.5 buy 10",
            "fault sequence_gap: BTC-USD: 2 trades missing before 13",
            "Gap Trade Some(2)",
            "Trade 65083.67 0.5 buy 13",
        ]
    );
}

#[test]
fn a_hole_in_the_numbers_of_a_line_makes_all_of_it_anew() {
    let mut bench = bench();
    bench.take_log();
    bench.message(Line(0), &book(0, "snapshot", "bid", "10.5", "1"));
    // A level that the book does not hold is deleted every day; a message may be empty.
    bench.message(Line(0), &book(1, "update", "offer", "11", "0"));
    bench.message(
        Line(0),
        r#"{"channel":"l2_data","timestamp":"2026-08-09T21:05:48.5Z","sequence_num":2,"events":[{"type":"update","product_id":"BTC-USD","updates":[]}]}"#,
    );
    bench.message(Line(0), r#"{"channel":"heartbeats","timestamp":"2026-08-09T21:05:48.8Z","sequence_num":3,"events":[{"heartbeat_counter":41691}]}"#);
    bench.message(Line(0), &book(4, "update", "offer", "10.6", "2"));
    assert_eq!(bench.take_log(), ["Book live none"]);
    bench.message(Line(0), &book(6, "update", "offer", "10.7", "2"));
    let log = bench.take_log();
    assert_eq!(log[0], "fault sequence_gap: coinbase: 1 messages missing before 6");
    assert!(log.contains(&"reconnect 0 sequence_gap".to_owned()), "{log:?}");
    assert!(log.contains(&"Link 0 down sequence_gap".to_owned()), "{log:?}");
    assert_eq!(bench.levels(0, 1), [["10.6", "2"]], "nothing of the message behind the hole is taken");
    bench.message(Line(0), &book(0, "snapshot", "offer", "10.8", "2"));
    assert_eq!(bench.levels(0, 1), [["10.8", "2"]]);
    assert_eq!(bench.take_log().last().map(String::as_str), Some("Book live none"));
}

#[test]
fn a_side_nobody_knows_does_not_leave_a_hole_in_the_book() {
    let mut bench = bench();
    bench.message(Line(0), &book(0, "snapshot", "bid", "10.5", "1"));
    bench.take_sent();
    bench.message(Line(0), &book(1, "update", "sideways", "10.6", "1"));
    assert!(bench.take_log().contains(&"Book resyncing bad_data".to_owned()));
    let topic = r#""product_ids":["BTC-USD"],"channel":"level2"}"#;
    let requests = [format!(r#"{{"type":"unsubscribe",{topic}"#), format!(r#"{{"type":"subscribe",{topic}"#)];
    assert_eq!(bench.take_sent(), requests, "one book, not the line");
}

#[test]
fn a_refusal_is_about_the_oldest_request() {
    let mut bench = bench_of(&["BTC-USD"]);
    bench.grant = false;
    bench.lose(Line(0), Cause::Disconnected);
    bench.take_sent();
    let answer = r#"{"channel":"subscriptions","sequence_num":0,"events":[{"subscriptions":{}}]}"#;
    bench.message(Line(0), answer);
    bench.message(Line(0), r#"{"type":"error","message":"rate limit exceeded"}"#);
    bench.message(Line(0), &answer.replace(":0,", ":1,"));
    assert!(bench.take_log().contains(&"fault refused: coinbase: request refused: rate limit exceeded".to_owned()));
    bench.wait_ms(59_000);
    assert_eq!(bench.take_sent(), [""; 0]);
    bench.wait_ms(2_000);
    assert_eq!(bench.take_sent(), [r#"{"type":"subscribe","product_ids":["BTC-USD"],"channel":"level2"}"#]);
}

#[test]
fn products_are_listed_under_the_name_of_their_data() {
    let mut bench = bench_of(&["BTC-USDC"]);
    assert_eq!(bench.take_log(), ["fault unknown_instrument: coinbase lists no symbol 'BTC-USDC'"]);
}

#[test]
fn only_what_was_asked_for_is_subscribed() {
    let settings = FeedSettings {
        symbols: vec!["BTC-USD".to_owned()],
        channels: vec![ChannelName::Trade],
        ..FeedSettings::of_venue("coinbase")
    };
    let mut bench = Bench::start(&settings);
    bench.answer("products", PRODUCTS);
    assert_eq!(bench.take_sent().len(), 2);
}

#[test]
fn the_recording_is_followed_and_a_lost_message_noticed() {
    let Some(messages) = recorded(RECORDING) else { return };
    for dropped in [None, Some(20), Some(610)] {
        let mut bench = bench();
        bench.take_log();
        for (at, message) in messages.iter().enumerate().filter(|(at, _)| Some(*at) != dropped) {
            bench.message(Line(0), message);
            let gaps = bench.log.iter().filter(|line| line.starts_with("fault sequence_gap: coinbase")).count();
            assert_eq!(gaps, usize::from(dropped.is_some_and(|dropped| at > dropped)), "dropped {dropped:?}, at {at}");
            if gaps > 0 {
                break;
            }
        }
        if dropped.is_none() {
            assert!(!bench.log.iter().any(|line| line.starts_with("fault")), "{:?}", bench.log);
            assert_eq!((bench.levels(0, 0).len(), bench.levels(0, 1).len()), (18_774, 27_237));
        }
    }
}
