//! The binary streams on the bench: subscriptions word for word, frames of each kind, a lost update seen and healed, refusals.

use super::sbe_frames::{self, best, depth, trades};
use crate::adapter::Line;
use crate::engine::testkit::Bench;
use crate::settings::FeedSettings;

const TIME: i64 = 1_767_225_600_000_001;
const INFO: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
    {"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00001000"}]}]}"#;
const SNAPSHOT: &str = r#"{"lastUpdateId":100,"bids":[["10.00","1.00000"]],"asks":[["11.00","2.00000"]]}"#;

fn started() -> Bench {
    let settings = FeedSettings { symbols: vec!["BTC-USDT".to_owned()], ..FeedSettings::of_venue("binance-sbe") };
    let mut bench = Bench::start(&settings);
    bench.answer("/api/v3/exchangeInfo", INFO);
    bench
}

/// Subscribed, and the book spliced at id 100.
fn live() -> Bench {
    let mut bench = started();
    bench.answer("/api/v3/depth?symbol=BTCUSDT&limit=5000", SNAPSHOT);
    bench.bytes(Line(0), best("BTCUSDT", TIME, 100, (1_000, 100_000), (1_100, 200_000), 0));
    bench.bytes(Line(0), trades("BTCUSDT", TIME, &[(500, 1_050, 1, false)], 0));
    bench.take_log();
    bench
}

#[test]
fn streams_are_subscribed_by_their_names() {
    let mut bench = started();
    assert_eq!(bench.urls, ["wss://stream-sbe.binance.com:9443/ws"]);
    let wanted = r#"{"method":"SUBSCRIBE","params":["btcusdt@bestBidAsk","btcusdt@trade","btcusdt@depth"],"id":1}"#;
    assert_eq!(bench.take_sent(), [wanted]);
    let caps = bench.adapter.caps();
    assert_eq!((caps.key_header, caps.messages_per_second, caps.max_connection_age_s), (Some("x-mbx-apikey"), 4, 86_400));
}

#[test]
fn frames_become_quotes_trades_and_levels() {
    let mut bench = live();
    bench.bytes(Line(0), best("BTCUSDT", TIME, 101, (1_001, 5), (1_100, 200_000), 0));
    bench.bytes(Line(0), trades("BTCUSDT", TIME, &[(501, 1_001, 150, true), (502, 1_100, 78_213, false)], 3));
    bench.bytes(Line(0), depth("BTCUSDT", TIME, &[101, 103], &[(1_001, 5), (1_000, 0)], &[(1_200, 7)], 0));
    let wanted = ["Quote 10.01 0.00005 11 2", "Trade 10.01 0.0015 sell 501", "Trade 11 0.78213 buy 502"];
    assert_eq!(bench.take_log(), wanted);
    assert_eq!(bench.levels(0, 0), [["10.01", "0.00005"]]);
    assert_eq!(bench.levels(0, 1), [["11", "2"], ["12", "0.00007"]]);
    // The best levels that nobody asked for, and a message of a later schema.
    bench.bytes(Line(0), depth("BTCUSDT", TIME, &[104], &[(1, 1)], &[(2, 1)], 0));
    bench.bytes(Line(0), sbe_frames::Bytes::message(10_004, &sbe_frames::Bytes::default(), 9, &sbe_frames::Bytes::default()));
    assert!(bench.take_log().is_empty() && bench.levels(0, 0).len() == 1);
}

#[test]
fn a_lost_update_is_seen_and_healed() {
    let mut bench = live();
    bench.bytes(Line(0), depth("BTCUSDT", TIME, &[101, 103], &[(1_001, 5)], &[], 0));
    bench.bytes(Line(0), depth("BTCUSDT", TIME, &[105, 106], &[(1_002, 5)], &[], 0));
    let log = bench.take_log();
    assert!(log.iter().any(|line| line.starts_with("fault sequence_gap")), "{log:?}");
    assert!(log.contains(&"Book resyncing sequence_gap".to_owned()), "{log:?}");
    bench.wait_ms(2_000);
    bench.answer("depth", r#"{"lastUpdateId":105,"bids":[["10.01","0.5"]],"asks":[["11.00","2"]]}"#);
    assert!(bench.take_log().contains(&"Book live none".to_owned()));
    assert_eq!(bench.levels(0, 0), [["10.02", "0.00005"], ["10.01", "0.5"]]);
    // Trades count by one as well.
    bench.bytes(Line(0), trades("BTCUSDT", TIME, &[(504, 1_001, 1, true)], 0));
    assert_eq!(bench.take_log()[1..], ["Gap Trade Some(3)", "Trade 10.01 0.00001 sell 504"]);
}

#[test]
fn answers_and_notices_are_text() {
    let settings = FeedSettings { symbols: vec!["BTC-USDT".to_owned()], ..FeedSettings::of_venue("binance-sbe") };
    let mut bench = Bench::start(&settings);
    bench.grant = false;
    bench.answer("exchangeInfo", INFO);
    bench.take_sent();
    bench.message(Line(0), r#"{"code":2,"msg":"Invalid request: no such stream","id":1}"#);
    let log = bench.take_log();
    assert!(log.iter().any(|line| line.contains("refused") && line.contains("no such stream")), "{log:?}");
    bench.wait_ms(2_500);
    let again = bench.take_sent();
    assert!(again.len() == 2 && again.iter().all(|text| text.starts_with(r#"{"method":"SUBSCRIBE""#)), "in halves: {again:?}");
    let ids = again.iter().map(|text| text.rsplit_once(':').unwrap().1.trim_end_matches('}').to_owned());
    for id in ids.collect::<Vec<_>>() {
        bench.message(Line(0), &format!(r#"{{"result":null,"id":{id}}}"#));
    }
    assert!(bench.take_log().contains(&"Trade live none".to_owned()));
    // The connection is replaced before the venue closes it.
    bench.message(Line(0), r#"{"e":"serverShutdown","E":1770123456789}"#);
    assert_eq!(bench.urls.len(), 2);
}

#[test]
fn damaged_frames_are_told_and_spoil_nothing() {
    let mut bench = live();
    let mut cut = best("BTCUSDT", TIME, 101, (1_001, 5), (1_100, 2), 0);
    cut.truncate(30);
    let negative = trades("BTCUSDT", TIME, &[(-1, 1_001, 5, true)], 0);
    for (frame, told) in [(cut, "the frame ends before its message does"), (negative, "a negative id")] {
        bench.bytes(Line(0), frame);
        assert_eq!(bench.take_log(), [format!("fault bad_message: binance-sbe: {told}")]);
    }
    // A level that cannot be costs the book its trust, not the process.
    bench.bytes(Line(0), depth("BTCUSDT", TIME, &[101, 101], &[(-5, 5)], &[], 0));
    let log = bench.take_log();
    assert!(log.iter().any(|line| line.starts_with("fault bad_message")), "{log:?}");
    assert!(log.iter().any(|line| line.starts_with("Book resyncing")), "{log:?}");
}
