//! Kraken v1 on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;

const RECORDING: &str = "kraken-v1/cryptofeed_KRAKEN.jsonl.zst";
const PAIRS: &str = r#"{"error":[],"result":{
    "XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT\/USD","pair_decimals":1,"lot_decimals":8,"tick_size":"0.1","status":"online"},
    "XXBTZUSD.d":{"altname":"XBTUSD.d","pair_decimals":1,"lot_decimals":8},
    "XMRUSD":{"wsname":"XMR/USD","pair_decimals":2,"lot_decimals":8,"status":"cancel_only"}}}"#;

fn bench_of(symbol: &str, depth: Option<u32>) -> Bench {
    let settings = FeedSettings { symbols: vec![symbol.to_owned()], depth, ..FeedSettings::of_venue("kraken-v1") };
    let mut bench = Bench::start(&settings);
    bench.answer("/0/public/AssetPairs", PAIRS);
    bench
}

#[test]
fn subscribes_each_channel_under_the_venues_name() {
    let mut bench = bench_of("BTC-USD", Some(20));
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"event":"subscribe","reqid":1,"pair":["XBT/USD"],"subscription":{"name":"spread"}}"#,
            r#"{"event":"subscribe","reqid":2,"pair":["XBT/USD"],"subscription":{"name":"trade"}}"#,
            r#"{"event":"subscribe","reqid":3,"pair":["XBT/USD"],"subscription":{"name":"book","depth":25}}"#,
        ]
    );
    bench.take_log();
    bench.message(
        Line(0),
        r#"[325,["43770.20000","43770.30000","1633053779.916349","0.00917717","0.31670440"],"spread","XBT/USD"]"#,
    );
    bench.message(
        Line(0),
        r#"[321,[["43770.3","0.5","1633053779.9","b","m",""],["43770.2","0.1","1633053779.95","s","l",""]],"trade","XBT/USD"]"#,
    );
    assert_eq!(
        bench.take_log(),
        [
            "Quote live none",
            "Quote 43770.2 0.00917717 43770.3 0.3167044",
            "Trade 43770.3 0.5 buy -1",
            "Trade 43770.2 0.1 sell -1",
        ]
    );
    bench.wait_ms(30_000);
    assert!(bench.take_sent().iter().any(|text| text.starts_with(r#"{"event":"ping""#)));
}

#[test]
fn both_sides_in_two_payloads_and_levels_that_fall_out() {
    let mut bench = bench_of("XMR-USD", Some(10));
    let level = |price: u32| format!(r#"["{price}.00","1.00000000","1618678133.1"]"#);
    let asks: Vec<String> = (101..=110).map(level).collect();
    bench.message(Line(0), &format!(r#"[7,{{"as":[{}],"bs":[{}]}},"book-10","XMR/USD"]"#, asks.join(","), level(99)));
    // The worst ask falls out, and no delete will tell.
    bench.message(
        Line(0),
        r#"[7,{"a":[["100.00","2.00000000","1618678134.1"]]},{"b":[["98.00","1.00000000","1618678134.2"]]},"book-10","XMR/USD"]"#,
    );
    let (bids, asks) = (bench.levels(0, 0), bench.levels(0, 1));
    assert_eq!((bids.len(), asks.len(), &asks[0][0][..], &asks[9][0][..]), (2, 10, "100", "109"));
}

#[test]
fn a_refused_pair_is_told() {
    let mut bench = bench_of("BTC-USD", None);
    bench.message(
        Line(0),
        r#"{"errorMessage":"Currency pair not supported","event":"subscriptionStatus","pair":"XBT/USD","reqid":3,"status":"error","subscription":{"name":"book"}}"#,
    );
    let log = bench.take_log();
    assert!(log.contains(&"fault refused: kraken-v1: request refused: Currency pair not supported".to_owned()), "{log:?}");
}

/// The whole book in the venue's words, which has eight decimals for this pair.
fn snapshot_of(truth: &Bench) -> String {
    let padded = |text: &str| {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}.{decimals:0<8}")
    };
    let side = |side| {
        let level = |[price, size]: [String; 2]| format!(r#"["{}","{}","1618678133.1"]"#, padded(&price), padded(&size));
        truth.levels(0, side).into_iter().map(level).collect::<Vec<_>>().join(",")
    };
    format!(r#"[992,{{"as":[{}],"bs":[{}]}},"book-1000","XMR/USD"]"#, side(1), side(0))
}

#[test]
fn each_checksum_of_the_recording_agrees_and_a_lost_update_is_seen_and_healed() {
    let Some(messages) = recorded(RECORDING) else { return };
    let messages: Vec<String> = messages.into_iter().filter(|message| message.ends_with(r#""XMR/USD"]"#)).collect();
    let books: Vec<usize> = (0..messages.len()).filter(|at| messages[*at].contains("book-1000")).collect();
    let (mut seen, mut tried) = (0, 0);
    for dropped in std::iter::once(None).chain(books.iter().skip(40).step_by(100).copied().map(Some)) {
        let (mut bench, mut truth) = (bench_of("XMR-USD", Some(1_000)), bench_of("XMR-USD", Some(1_000)));
        bench.take_sent();
        let mut healed = false;
        for (at, message) in messages.iter().enumerate() {
            truth.message(Line(0), message);
            if Some(at) == dropped {
                continue;
            }
            bench.message(Line(0), message);
            if !healed && bench.take_sent().iter().any(|text| text.contains("unsubscribe") && text.contains("book")) {
                assert!(bench.log.iter().any(|line| line.starts_with("Book resyncing")));
                bench.message(Line(0), &snapshot_of(&truth));
                healed = true;
            }
        }
        let faults = bench.log.iter().filter(|line| line.starts_with("fault")).count();
        assert_eq!(faults, usize::from(healed), "{:?}", bench.log);
        if dropped.is_none() {
            assert!(!healed && books.len() == 847);
            continue;
        }
        tried += 1;
        // One far from the best ten levels may go unseen.
        assert!(!healed || bench.books == truth.books);
        seen += usize::from(healed);
    }
    assert!(seen * 10 >= tried * 8, "{seen} of {tried}");
}
