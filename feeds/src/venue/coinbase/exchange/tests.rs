//! Coinbase Exchange on the bench, with the venue's own messages.

use crate::adapter::Line;
use crate::engine::testkit::Bench;
use crate::settings::FeedSettings;

const PRODUCTS: &str = r#"[
    {"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01","base_increment":"0.00000001","status":"online","trading_disabled":false},
    {"id":"SKL-GBP","quote_increment":"0.0001","base_increment":"0.1","status":"online","cancel_only":true}]"#;

fn bench() -> Bench {
    let symbols = vec!["BTC-USD".to_owned(), "SKL-GBP".to_owned()];
    let mut bench = Bench::start(&FeedSettings { symbols, ..FeedSettings::of_venue("coinbase-exchange") });
    bench.answer("/products", PRODUCTS);
    bench
}

#[test]
fn subscribes_books_and_trades_with_a_sign_of_life() {
    let mut bench = bench();
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"type":"subscribe","product_ids":["BTC-USD","SKL-GBP"],"channels":["level2_batch","heartbeat"]}"#,
            r#"{"type":"subscribe","product_ids":["BTC-USD","SKL-GBP"],"channels":["matches","heartbeat"]}"#,
        ]
    );
}

#[test]
fn books_and_trades_are_read() {
    let mut bench = bench();
    bench.take_log();
    bench.message(
        Line(0),
        r#"{"type":"snapshot","product_id":"BTC-USD","asks":[["10.6","1.50000000"],["10.7","2"]],"bids":[["10.5","1"]]}"#,
    );
    bench.message(
        Line(0),
        r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","10.4","3"],["sell","10.6","0.00000000"]],"time":"2021-04-17T16:43:55.744203Z"}"#,
    );
    let trade = |kind, id| {
        format!(
            r#"{{"type":"{kind}","trade_id":{id},"maker_order_id":"a","taker_order_id":"b","side":"sell","size":"985","price":"10.5","product_id":"BTC-USD","sequence":177100030,"time":"2021-04-17T16:43:37.089723Z"}}"#
        )
    };
    bench.message(Line(0), &trade("last_match", 7));
    bench.message(Line(0), &trade("match", 8));
    bench.message(Line(0), &trade("match", 10));
    assert_eq!(
        bench.take_log(),
        [
            "Book live none",
            "Trade 10.5 985 buy 8",
            "fault sequence_gap: BTC-USD: 1 trades missing before 10",
            "Gap Trade Some(1)",
            "Trade 10.5 985 buy 10",
        ]
    );
    assert_eq!((bench.levels(0, 0), bench.levels(0, 1)), (pairs(&[("10.5", "1"), ("10.4", "3")]), pairs(&[("10.7", "2")])));
}

fn pairs(levels: &[(&str, &str)]) -> Vec<[String; 2]> {
    levels.iter().map(|(price, size)| [(*price).to_owned(), (*size).to_owned()]).collect()
}

#[test]
fn a_refused_request_is_told_with_its_reason() {
    let mut bench = bench();
    bench.message(
        Line(0),
        r#"{"type":"error","message":"Failed to subscribe","reason":"level2, level3, and full channels now require authentication."}"#,
    );
    let log = bench.take_log();
    assert!(log.iter().any(|line| line.contains("Failed to subscribe: level2, level3")), "{log:?}");
}
