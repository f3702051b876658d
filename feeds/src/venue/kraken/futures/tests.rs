//! Kraken Futures on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;

const RECORDING: &str = "kraken-futures/cryptofeed_KRAKEN_FUTURES.jsonl.zst";
const INSTRUMENTS: &str = r#"{"result":"success","instruments":[
    {"symbol":"pi_ethusd","type":"futures_inverse","tickSize":0.05,"contractSize":1,"tradeable":true},
    {"symbol":"PF_XBTUSD","type":"flexible_futures","tickSize":0.5,"contractSize":1,"tradeable":true,"contractValueTradePrecision":4},
    {"symbol":"fi_xbtusd_210730","type":"futures_inverse","tickSize":5e-1,"contractSize":1,"tradeable":false},
    {"symbol":"in_xbtusd","type":"spot index","tradeable":false}]}"#;

fn bench() -> Bench {
    let symbols = ["ETH-USD-PERP-INVERSE", "BTC-USD-PERP", "BTC-USD-20210730-INVERSE"].map(str::to_owned).to_vec();
    let mut bench = Bench::start(&FeedSettings { symbols, ..FeedSettings::of_venue("kraken-futures") });
    bench.answer("/derivatives/api/v3/instruments", INSTRUMENTS);
    bench
}

fn change(number: u64, side: &str, price: &str, size: &str) -> String {
    format!(
        r#"{{"feed":"book","product_id":"PI_ETHUSD","side":"{side}","seq":{number},"price":{price},"qty":{size},"timestamp":1626994927744}}"#
    )
}

const SNAPSHOT: &str = r#"{"feed":"book_snapshot","product_id":"PI_ETHUSD","timestamp":1626994925378,"seq":7,"tickSize":null,"bids":[{"price":439.3,"qty":20108.0}],"asks":[{"price":439.45,"qty":1.0}]}"#;

#[test]
fn products_have_their_names_and_are_subscribed_by_the_venues() {
    let mut bench = bench();
    let all = r#""product_ids":["PI_ETHUSD","PF_XBTUSD","FI_XBTUSD_210730"]}"#;
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"event":"subscribe","feed":"heartbeat"}"#.to_owned(),
            format!(r#"{{"event":"subscribe","feed":"trade",{all}"#),
            format!(r#"{{"event":"subscribe","feed":"book",{all}"#),
        ]
    );
    let instruments: Vec<String> = bench.take_log().into_iter().filter(|line| line.starts_with("Instrument")).collect();
    assert_eq!(
        instruments,
        [
            "Instrument ETH-USD-PERP-INVERSE PI_ETHUSD",
            "Instrument BTC-USD-PERP PF_XBTUSD",
            "Instrument BTC-USD-20210730-INVERSE FI_XBTUSD_210730"
        ]
    );
    assert_eq!(bench.exponents, [(-2, 0), (-1, -4), (-1, 0)]);
}

#[test]
fn updates_are_counted_and_a_lost_one_costs_one_book() {
    let mut bench = bench();
    bench.take_log();
    bench.take_sent();
    bench.message(Line(0), &change(7, "buy", "1.0", "1"));
    bench.message(Line(0), SNAPSHOT);
    bench.message(Line(0), &change(8, "sell", "439.45", "0.0"));
    bench.message(Line(0), &change(9, "sell", "439.5", "3.0"));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!((bench.levels(0, 0)[0][1].as_str(), bench.levels(0, 1)[0][0].as_str()), ("20108", "439.5"));
    bench.message(Line(0), &change(11, "sell", "439.6", "3.0"));
    assert_eq!(
        bench.take_log(),
        ["fault sequence_gap: PI_ETHUSD: 1 book updates missing before 11", "Book resyncing sequence_gap"]
    );
    let topic = r#""feed":"book","product_ids":["PI_ETHUSD"]}"#;
    let requests = [format!(r#"{{"event":"unsubscribe",{topic}"#), format!(r#"{{"event":"subscribe",{topic}"#)];
    assert_eq!(bench.take_sent(), requests);
    bench.message(Line(0), SNAPSHOT);
    assert_eq!(bench.take_log(), ["Book live none"]);
}

#[test]
fn the_trades_of_before_close_a_gap() {
    let mut bench = bench();
    bench.take_log();
    let trade = |id: u64| {
        format!(
            r#"{{"feed":"trade","product_id":"PI_ETHUSD","uid":"u","side":"sell","type":"fill","seq":{id},"time":1626994887094,"qty":50.0,"price":439.2}}"#
        )
    };
    let past = |ids: &[u64]| {
        let all: Vec<String> = ids.iter().copied().map(trade).collect();
        format!(r#"{{"feed":"trade_snapshot","product_id":"PI_ETHUSD","trades":[{}]}}"#, all.join(","))
    };
    bench.message(Line(0), &past(&[3, 2]));
    bench.message(Line(0), &trade(4));
    bench.message(Line(0), &past(&[6, 5, 4, 3]));
    bench.message(Line(0), &trade(7));
    let told = |id: u64| format!("Trade 439.2 50 sell {id}");
    assert_eq!(bench.take_log(), [told(4), told(5), told(6), told(7)]);
}

#[test]
fn a_refusal_is_about_the_oldest_request() {
    let mut bench = bench();
    bench.message(Line(0), r#"{"event":"alert","message":"Bad request"}"#);
    assert!(bench.take_log().contains(&"fault refused: kraken-futures: request refused: Bad request".to_owned()));
}

#[test]
fn each_update_of_the_recording_follows_and_a_lost_one_is_seen() {
    let Some(messages) = recorded(RECORDING) else { return };
    for dropped in [None, Some(1_000), Some(4_000)] {
        let mut bench = bench();
        let mut dropped = dropped;
        for (at, message) in messages.iter().enumerate() {
            let mine = message.starts_with(r#"{"feed":"book","product_id":"PI_ETHUSD""#);
            if mine && dropped.is_some_and(|dropped| at >= dropped) && dropped.take().is_some() {
                bench.take_log();
                continue;
            }
            bench.message(Line(0), message);
        }
        let gaps = bench.log.iter().filter(|line| line.starts_with("fault sequence_gap: PI_ETHUSD: 1 book")).count();
        let other = bench.log.iter().filter(|line| line.contains("fault") && !line.contains("unknown_instrument")).count() - gaps;
        assert_eq!(other, 0);
        assert!(gaps <= 1 && (gaps == 1) == bench.log.iter().any(|line| line.starts_with("Book resyncing")));
    }
}
