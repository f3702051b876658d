//! Gate.io on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;
use serde_json::Value;

const RECORDING: &str = "gateio/cryptofeed_GATEIO.jsonl.zst";
const PAIRS: &str = r#"[
    {"id":"BTC_USDT","base":"BTC","quote":"USDT","amount_precision":6,"precision":1,"trade_status":"tradable"},
    {"id":"OMG_USDT","base":"OMG","quote":"USDT","amount_precision":3,"precision":4,"trade_status":"untradable"}]"#;

fn bench(symbol: &str) -> Bench {
    let settings = FeedSettings { symbols: vec![symbol.to_owned()], ..FeedSettings::of_venue("gateio") };
    let mut bench = Bench::start(&settings);
    bench.answer("/api/v4/spot/currency_pairs", PAIRS);
    bench
}

fn update(first: u64, last: u64, bids: &str) -> String {
    format!(
        r#"{{"time":1,"channel":"spot.order_book_update","event":"update","result":{{"t":1619093532978,"e":"depthUpdate","E":1,"s":"BTC_USDT","U":{first},"u":{last},"b":[{bids}],"a":[]}}}}"#
    )
}

fn order_book(id: u64, bids: &str) -> String {
    format!(r#"{{"id":{id},"current":1619093533764,"update":1619093533760,"asks":[["10.9","1"]],"bids":[{bids}]}}"#)
}

#[test]
fn each_stream_is_a_request() {
    let mut bench = bench("BTC-USDT");
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"time":1000,"id":1,"channel":"spot.book_ticker","event":"subscribe","payload":["BTC_USDT"]}"#,
            r#"{"time":1000,"id":2,"channel":"spot.trades","event":"subscribe","payload":["BTC_USDT"]}"#,
            r#"{"time":1000,"id":3,"channel":"spot.order_book_update","event":"subscribe","payload":["BTC_USDT","100ms"]}"#,
        ]
    );
    assert!(bench.fetches[0].1.ends_with("/api/v4/spot/order_book?currency_pair=BTC_USDT&limit=100&with_id=true"));
    bench.take_log();
    bench.message(Line(0), r#"{"time":1,"channel":"spot.book_ticker","event":"update","result":{"t":1606293275123,"u":48733182,"s":"BTC_USDT","b":"19177.7","B":"0.000334","a":"","A":""}}"#);
    let trade = |id| {
        format!(
            r#"{{"time":1,"channel":"spot.trades","event":"update","result":{{"id":{id},"create_time":1619093543,"create_time_ms":"1619093543708.2642","side":"sell","currency_pair":"BTC_USDT","amount":"0.2010000000","price":"121.5000000000"}}}}"#
        )
    };
    bench.message(Line(0), &trade(7));
    bench.message(Line(0), &trade(7));
    bench.message(Line(0), &trade(19));
    assert_eq!(
        bench.take_log(),
        [
            "Quote live none",
            "Quote 19177.7 0.000334 - -",
            "Trade 121.5 0.201 sell 7",
            "fault duplicate: BTC_USDT: trade 7 again",
            "Trade 121.5 0.201 sell 19",
        ]
    );
    bench.wait_ms(10_000);
    assert_eq!(bench.take_sent(), [r#"{"time":1010,"id":4,"channel":"spot.ping"}"#]);
}

#[test]
fn answers_of_all_ages_are_understood() {
    let settings = FeedSettings { symbols: ["BTC-USDT", "OMG-USDT"].map(str::to_owned).into(), ..FeedSettings::of_venue("gate") };
    let mut bench = Bench::start(&settings);
    bench.grant = false;
    bench.answer("currency_pairs", PAIRS);
    assert_eq!(bench.take_sent().len(), 6);
    bench.take_log();
    bench.message(
        Line(0),
        r#"{"time":1,"channel":"spot.trades","event":"subscribe","payload":["OMG_USDT"],"result":{"status":"success"},"requestId":"1d"}"#,
    );
    assert_eq!(bench.take_log(), ["Trade live none"]);
    bench.message(Line(0), r#"{"time":1,"id":5,"channel":"spot.order_book_update","event":"subscribe","error":{"code":2,"message":"unknown currency pair"},"result":null}"#);
    assert_eq!(bench.take_log(), ["fault refused: gate: request refused: unknown currency pair"]);
    bench.take_sent();
    bench.wait_ms(14_000);
    assert!(bench.take_sent().iter().all(|text| text.contains("spot.ping")), "a name refused alone waits for a minute");
}

#[test]
fn ranges_are_spliced_and_a_hole_is_seen() {
    let mut bench = bench("BTC-USDT");
    bench.take_log();
    bench.message(Line(0), &update(95, 99, r#"["10.1","9"]"#));
    bench.message(Line(0), &update(100, 110, r#"["10.2","1"]"#));
    bench.answer("order_book?currency_pair=BTC_USDT", &order_book(99, r#"["10.3","1"]"#));
    bench.message(Line(0), &update(111, 111, r#"["10.3","0"]"#));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!(bench.levels(0, 0), [["10.2", "1"]]);
    bench.message(Line(0), &update(113, 114, r#"["10.4","1"]"#));
    assert_eq!(
        bench.take_log(),
        ["fault sequence_gap: BTC_USDT: 1 book updates missing before 113", "Book resyncing sequence_gap"]
    );
    bench.answer("order_book?currency_pair=BTC_USDT", &order_book(113, r#"["10.5","1"]"#));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!(bench.levels(0, 0), [["10.5", "1"], ["10.4", "1"]]);
}

#[test]
fn each_lost_update_of_the_recording_is_seen() {
    let Some(messages) = recorded(RECORDING) else { return };
    let of = |message: &String| -> Option<(u64, String)> {
        let value: Value = serde_json::from_str(message).ok()?;
        let id = value["result"]["u"].as_u64().filter(|_| value["result"]["s"] == "OMG_USDT")?;
        Some((id, message.clone()))
    };
    let messages: Vec<(u64, String)> = messages.iter().filter_map(of).collect();
    assert!(messages.len() > 40);
    for lost in 1..messages.len() - 1 {
        let mut bench = bench("OMG-USDT");
        bench.message(Line(0), &messages[0].1);
        bench.answer("order_book?currency_pair=OMG_USDT", &order_book(messages[0].0, ""));
        bench.take_log();
        for (at, (_, message)) in messages.iter().enumerate().skip(1).filter(|(at, _)| *at != lost) {
            bench.message(Line(0), message);
            assert_eq!(bench.log.is_empty(), at < lost, "message {at}, lost {lost}: {:?}", bench.log);
        }
        bench.answer("order_book?currency_pair=OMG_USDT", &order_book(messages[messages.len() - 1].0, ""));
        assert_eq!(bench.log.last().map(String::as_str), Some("Book live none"));
    }
}
