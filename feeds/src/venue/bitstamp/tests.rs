//! Bitstamp on the bench: the venue's own messages, and the splice of snapshot and updates.

use crate::adapter::Line;
use crate::engine::testkit::Bench;
use crate::settings::FeedSettings;

const PAIRS: &str = r#"[{"trading": "Enabled", "base_decimals": 8, "url_symbol": "btcusd", "name": "BTC/USD", "counter_decimals": 2},
    {"trading": "Disabled", "base_decimals": 5, "url_symbol": "usdteur", "name": "USDT/EUR", "counter_decimals": 5}]"#;

fn bench() -> Bench {
    let settings = FeedSettings { symbols: vec!["BTC-USD".to_owned()], ..FeedSettings::of_venue("bitstamp") };
    let mut bench = Bench::start(&settings);
    bench.answer("/api/v2/trading-pairs-info/", PAIRS);
    bench
}

fn change(time: u64, bids: &str, asks: &str) -> String {
    format!(
        r#"{{"data":{{"timestamp":"1641343691","microtimestamp":"{time}","bids":[{bids}],"asks":[{asks}]}},"channel":"diff_order_book_btcusd","event":"data"}}"#
    )
}

fn whole(time: u64, bids: &str) -> String {
    format!(
        r#"{{"timestamp": "1641343695", "microtimestamp": "{time}", "bids": [{bids}], "asks": [["38520000.00", "0.25564492"]]}}"#
    )
}

#[test]
fn one_channel_a_request_and_the_book_by_rest() {
    let mut bench = bench();
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"event":"bts:subscribe","data":{"channel":"diff_order_book_btcusd"}}"#,
            r#"{"event":"bts:subscribe","data":{"channel":"live_trades_btcusd"}}"#,
        ]
    );
    bench.take_log();
    bench.message(Line(0), &change(1_000, r#"["10.00","1.00000000"]"#, ""));
    bench.message(Line(0), &change(2_000, r#"["11.00","1.00000000"]"#, ""));
    bench.answer("/api/v2/order_book/btcusd", &whole(1_500, r#"["9.00", "2.00000000"]"#));
    // Late, and already in the snapshot.
    bench.message(Line(0), &change(2_500, r#"["9.00","0.00000000"]"#, ""));
    let level = |price: &str, size: &str| [price.to_owned(), size.to_owned()];
    assert_eq!(bench.levels(0, 0), [level("11", "1")]);
    assert_eq!(bench.levels(0, 1), [level("38520000", "0.25564492")]);
    assert_eq!(bench.take_log(), ["Book live none"]);
    bench.wait_ms(10_000);
    assert!(bench.take_sent().contains(&r#"{"event":"bts:heartbeat"}"#.to_owned()));
}

#[test]
fn trades_are_read_from_their_texts() {
    let mut bench = bench();
    bench.take_log();
    let trade = |id: u64, side: u8| {
        format!(
            r#"{{"data":{{"id":{id},"timestamp":"1641343699","amount":0.0792,"amount_str":"0.07920000","price":3805.44,"price_str":"3805.44","type":{side},"microtimestamp":"1641343699596000","buy_order_id":1443875737346049,"sell_order_id":1443875731320832}},"channel":"live_trades_btcusd","event":"trade"}}"#
        )
    };
    bench.message(Line(0), &trade(216_000_477, 0));
    bench.message(Line(0), &trade(216_000_484, 1));
    bench.message(Line(0), &trade(216_000_484, 1));
    assert_eq!(
        bench.take_log(),
        [
            "Trade 3805.44 0.0792 buy 216000477",
            "Trade 3805.44 0.0792 sell 216000484",
            "fault duplicate: btcusd: trade 216000484 again"
        ]
    );
}

#[test]
fn a_wish_to_reconnect_brings_a_second_line_and_refusals_are_told() {
    let mut bench = bench();
    bench.message(Line(0), r#"{"event":"bts:request_reconnect","channel":"","data":""}"#);
    assert_eq!(bench.lines, [Line(0), Line(1)]);
    bench.take_log();
    bench.message(
        Line(0),
        r#"{"event":"bts:error","channel":"live_trades_btcusd","data":{"code":null,"message":"Bad subscription string."}}"#,
    );
    assert!(bench.take_log().contains(&"fault refused: bitstamp: request refused: Bad subscription string.".to_owned()));
}
