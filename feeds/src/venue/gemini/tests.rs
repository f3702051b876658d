//! Gemini on the bench, with the venue's own messages.

use crate::adapter::Line;
use crate::engine::testkit::Bench;
use crate::settings::{ChannelName, FeedSettings};
use wire::event::Cause;

const DETAILS: &str = r#"{"symbol":"BTCUSD","quote_currency":"USD","tick_size":1E-8,"quote_increment":0.01,"min_order_size":"0.00001","status":"open","product_type":"spot","base_currency":"BTC"}"#;
const SNAPSHOT: &str = r#"{"auction_events":[],"changes":[["buy","65206.28","0.05292903"],["sell","65206.29","0.1"]],"symbol":"BTCUSD","trades":[{"event_id":1,"price":"77.145","quantity":"1.9","side":"sell","symbol":"BTCUSD","tid":7,"timestamp":1786305428385,"type":"trade"}],"type":"l2_updates"}"#;

fn settings(symbols: &[&str]) -> FeedSettings {
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    FeedSettings { symbols, ..FeedSettings::of_venue("gemini") }
}

fn bench(settings: &FeedSettings) -> Bench {
    let mut bench = Bench::start(settings);
    bench.answer("/v1/symbols/details/btcusd", DETAILS);
    bench
}

#[test]
fn one_subscription_brings_book_and_trades() {
    let mut bench = bench(&settings(&["BTC-USD"]));
    assert_eq!(bench.take_sent(), [r#"{"type":"subscribe","subscriptions":[{"name":"l2","symbols":["BTCUSD"]}]}"#]);
    assert_eq!(bench.exponents, [(-2, -8)]);
    bench.take_log();
    bench.message(Line(0), SNAPSHOT);
    bench.message(
        Line(0),
        r#"{"changes":[["sell","65206.29","0"],["sell","65206.30","2"]],"symbol":"BTCUSD","type":"l2_updates"}"#,
    );
    bench.message(Line(0), r#"{"timestamp":1786313195331,"type":"heartbeat"}"#);
    let trade = |id: u64| {
        format!(
            r#"{{"event_id":2,"price":"65206.30","quantity":"0.00007667","side":"buy","symbol":"BTCUSD","tid":{id},"timestamp":1786313194672,"type":"trade"}}"#
        )
    };
    bench.message(Line(0), &trade(9));
    assert_eq!(bench.take_log(), ["Book live none", "Trade 65206.3 0.00007667 buy 9"]);
    assert_eq!(bench.levels(0, 1), [["65206.3", "2"]]);
    bench.lose(Line(0), Cause::Disconnected);
    bench.take_log();
    // What was missed meanwhile the snapshot tells.
    bench.message(Line(0), &SNAPSHOT.replace(r#""tid":7"#, r#""tid":12"#));
    let log = bench.take_log();
    assert!(log.contains(&"Book live none".to_owned()) && log.contains(&"Trade 77.145 1.9 sell 12".to_owned()), "{log:?}");
}

#[test]
fn what_was_not_asked_for_is_left_out() {
    let trades = FeedSettings { channels: vec![ChannelName::Trade], ..settings(&["BTC-USD"]) };
    let mut bench = bench(&trades);
    bench.take_log();
    bench.message(Line(0), SNAPSHOT);
    assert_eq!(bench.levels(0, 0).len(), 0);
    bench.take_sent();
    bench.wait_ms(30_000);
    assert_eq!((bench.take_sent(), bench.take_log()), (Vec::new(), Vec::new()), "no book is waited for");
    bench.lose(Line(0), Cause::Silence);
    bench.take_log();
    bench.message(Line(0), SNAPSHOT);
    assert_eq!(bench.take_log(), ["Link 0 resyncing silence"], "it shows that the line is back");
}

#[test]
fn a_book_without_a_snapshot_is_subscribed_again() {
    let mut bench = bench(&settings(&["BTC-USD"]));
    bench.take_sent();
    bench.wait_ms(12_000);
    let sent = bench.take_sent();
    assert!(sent[0].starts_with(r#"{"type":"unsubscribe""#) && sent[1].starts_with(r#"{"type":"subscribe""#), "{sent:?}");
}

#[test]
fn a_symbol_that_does_not_exist_does_not_stand_in_the_way() {
    let mut bench = Bench::start(&settings(&["BTC-USD", "NO-SUCH", "AVAX-GUSD-PERP"]));
    bench.refuse("/v1/symbols/details/nosuch", 400);
    bench.answer("/v1/symbols/details/btcusd", DETAILS);
    bench.answer(
        "/v1/symbols/details/avaxgusdperp",
        r#"{"symbol":"AVAXGUSDPERP","quote_currency":"GUSD","tick_size":0.1,"quote_increment":0.001,"status":"open","product_type":"swap","base_currency":"AVAX"}"#,
    );
    let log = bench.take_log();
    assert!(log.contains(&"Instrument BTC-USD BTCUSD".to_owned()), "{log:?}");
    assert!(log.contains(&"Instrument AVAX-GUSD-PERP AVAXGUSDPERP".to_owned()), "{log:?}");
    assert!(log.contains(&"fault unknown_instrument: gemini lists no symbol 'NO-SUCH'".to_owned()), "{log:?}");
}
