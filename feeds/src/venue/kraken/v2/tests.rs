//! Kraken v2 on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;
use serde_json::Value;

const RECORDING: &str = "kraken-v2/captured_raw_text_btcusd_d10_20260719T1754.json.gz";
const INSTRUMENTS: &str = r#"{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[
    {"symbol":"BTC/USD","base":"BTC","quote":"USD","status":"online","qty_precision":8,"qty_increment":0.00000001,"price_precision":1,"price_increment":0.1},
    {"symbol":"DOGE/USD","base":"DOGE","quote":"USD","status":"cancel_only","qty_increment":1e-8,"price_increment":0.0000001}]}}"#;

fn bench() -> Bench {
    let settings = FeedSettings { symbols: vec!["BTC-USD".to_owned()], ..FeedSettings::of_venue("kraken") };
    let mut bench = Bench::start(&settings);
    assert_eq!(bench.take_sent(), [r#"{"method":"subscribe","params":{"channel":"instrument","snapshot":true}}"#]);
    bench.message(Line(0), INSTRUMENTS);
    bench
}

/// The whole book in the venue's words, with the checksum that the venue gave it.
fn snapshot_of(truth: &Bench, checksum: u64) -> String {
    let side = |side| {
        let level = |[price, size]: [String; 2]| {
            let (whole, decimals) = size.split_once('.').unwrap_or((&size, ""));
            let price = if price.contains('.') { price } else { format!("{price}.0") };
            format!(r#"{{"price":{price},"qty":{whole}.{decimals:0<8}}}"#)
        };
        truth.levels(0, side).into_iter().map(level).collect::<Vec<_>>().join(",")
    };
    let (bids, asks) = (side(0), side(1));
    format!(
        r#"{{"channel":"book","type":"snapshot","data":[{{"symbol":"BTC/USD","bids":[{bids}],"asks":[{asks}],"checksum":{checksum},"timestamp":"2026-07-19T17:55:00Z"}}]}}"#
    )
}

#[test]
fn subscribes_each_channel_and_says_what_it_carries() {
    let mut bench = bench();
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"method":"subscribe","params":{"channel":"ticker","symbol":["BTC/USD"],"event_trigger":"bbo"},"req_id":1}"#,
            r#"{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]},"req_id":2}"#,
            r#"{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"],"depth":10,"snapshot":true},"req_id":3}"#,
        ]
    );
    assert_eq!(
        bench.take_log(),
        [
            "Instrument BTC-USD BTC/USD",
            "Quote starting startup",
            "Trade starting startup",
            "Book starting startup",
            "Trade live none"
        ]
    );
    bench.message(Line(0), r#"{"channel":"ticker","type":"snapshot","data":[{"symbol":"BTC/USD","bid":105944.2,"bid_qty":2.5,"ask":105944.3,"ask_qty":3.20000000,"last":1.0,"timestamp":"2026-07-19T17:55:00Z"}]}"#);
    let trade = |kind, id| {
        format!(
            r#"{{"channel":"trade","type":"{kind}","data":[{{"symbol":"BTC/USD","side":"sell","price":105944.2,"qty":0.00027625,"ord_type":"limit","trade_id":{id},"timestamp":"2026-07-19T17:55:00.1Z"}}]}}"#
        )
    };
    bench.message(Line(0), &trade("snapshot", 7));
    bench.message(Line(0), &trade("update", 8));
    bench.message(Line(0), &trade("update", 11));
    assert_eq!(
        bench.take_log(),
        [
            "Quote live none",
            "Quote 105944.2 2.5 105944.3 3.2",
            "Trade 105944.2 0.00027625 sell 8",
            "fault sequence_gap: BTC/USD: 2 trades missing before 11",
            "Gap Trade Some(2)",
            "Trade 105944.2 0.00027625 sell 11",
        ]
    );
    // No news for a minute: the application's ping.
    bench.wait_ms(30_000);
    assert!(bench.take_sent().iter().any(|text| text.starts_with(r#"{"method":"ping""#)));
}

#[test]
fn each_checksum_of_the_recording_agrees() {
    let Some(messages) = recorded(RECORDING) else { return };
    let mut bench = bench();
    messages.iter().for_each(|message| bench.message(Line(0), message));
    assert_eq!(messages.iter().filter(|message| message.contains("\"checksum\"")).count(), 1_254);
    assert!(!bench.log.iter().any(|line| line.starts_with("fault")), "{:?}", bench.log);
    assert_eq!((bench.levels(0, 0).len(), bench.levels(0, 1).len()), (10, 10));
}

#[test]
fn a_lost_update_is_seen_and_the_book_is_made_anew() {
    let Some(messages) = recorded(RECORDING) else { return };
    let updates: Vec<usize> =
        (0..messages.len()).filter(|at| messages[*at].contains("\"update\",\"data\":[{\"symbol\"")).collect();
    let (mut seen, mut lost) = (0, 0);
    for dropped in updates.iter().step_by(150) {
        let (mut bench, mut truth) = (bench(), bench());
        bench.take_sent();
        let mut healed = None;
        for (at, message) in messages.iter().enumerate() {
            truth.message(Line(0), message);
            if at == *dropped {
                continue;
            }
            bench.message(Line(0), message);
            let again =
                bench.take_sent().iter().any(|text| text.starts_with(r#"{"method":"subscribe","params":{"channel":"book""#));
            if again && healed.is_none() {
                assert!(bench.log.iter().any(|line| line.starts_with("Book resyncing")), "{:?}", bench.log);
                let entry: Value = serde_json::from_str(message).unwrap();
                bench.message(Line(0), &snapshot_of(&truth, entry["data"][0]["checksum"].as_u64().unwrap()));
                assert_eq!(bench.log.last().map(String::as_str), Some("Book live none"));
                healed = Some(at);
            }
            // Seen with the next update, or that one has put in order what the lost one would have.
            let next = updates.iter().find(|update| **update > *dropped);
            assert!(Some(&at) != next || healed.is_some() || bench.books == truth.books, "dropped {dropped}");
        }
        assert_eq!(bench.books, truth.books, "dropped {dropped}, healed {healed:?}");
        (seen, lost) = (seen + usize::from(healed.is_some()), lost + 1);
    }
    assert!(seen + 1 >= lost, "{seen} of {lost}");
}

#[test]
fn a_refused_symbol_is_asked_for_again_alone() {
    let settings =
        FeedSettings { symbols: vec!["BTC-USD".to_owned(), "DOGE-USD".to_owned()], ..FeedSettings::of_venue("kraken") };
    let mut bench = Bench::start(&settings);
    bench.grant = false;
    bench.message(Line(0), INSTRUMENTS);
    let ids: Vec<usize> = bench.take_sent().iter().filter_map(|text| text.contains("DOGE").then_some(text.len())).collect();
    assert_eq!(ids.len(), 3);
    bench.message(
        Line(0),
        r#"{"error":"Currency pair not supported DOGE/USD","method":"subscribe","req_id":4,"success":false,"symbol":"DOGE/USD"}"#,
    );
    assert!(
        bench
            .take_log()
            .iter()
            .any(|line| line == "fault refused: kraken: request refused: Currency pair not supported DOGE/USD")
    );
}
