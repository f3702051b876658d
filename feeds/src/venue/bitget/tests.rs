//! Bitget on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;

const RECORDING: &str = "bitget/cryptofeed_BITGET.jsonl.zst";
/// `10.5:1:10.6:2`, and after the update `10.4:3:10.6:2`, as signed checksums.
const WHOLE: &str = r#"{"action":"snapshot","arg":{"instType":"SPOT","channel":"books","instId":"BTCUSDT"},"data":[{"asks":[["10.6","2"]],"bids":[["10.5","1"]],"checksum":CRC,"seq":7,"ts":"1695716059516"}],"ts":1695716059516}"#;
const CHANGE: &str = r#"{"action":"update","arg":{"instType":"SPOT","channel":"books","instId":"BTCUSDT"},"data":[{"asks":[],"bids":[["10.5","0"],["10.4","3"]],"checksum":CRC,"seq":9,"ts":"1695716059716"}],"ts":1695716059716}"#;

fn with_checksum_of(message: &str, text: &str) -> String {
    message.replace("CRC", &(crc32fast::hash(text.as_bytes()) as i32).to_string())
}

fn bench() -> Bench {
    let symbols = vec!["BTC-USDT".to_owned(), "BTC-USDT-PERP".to_owned()];
    let mut bench = Bench::start(&FeedSettings { symbols, ..FeedSettings::of_venue("bitget") });
    bench.answer("/api/v2/spot/public/symbols", r#"{"code":"00000","data":[{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","pricePrecision":"2","quantityPrecision":"6","status":"online"}]}"#);
    bench.answer("/api/v2/mix/market/contracts?productType=usdt-futures", r#"{"code":"00000","data":[{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","pricePlace":"1","priceEndStep":"5","volumePlace":"3","sizeMultiplier":"0.001","symbolStatus":"normal","symbolType":"perpetual"},
        {"symbol":"BTCUSDU26","baseCoin":"BTC","quoteCoin":"USDT","pricePlace":"1","priceEndStep":"5","volumePlace":"3","sizeMultiplier":"0.001","symbolStatus":"normal","symbolType":"delivery"}]}"#);
    bench
}

#[test]
fn categories_are_told_apart() {
    let mut bench = bench();
    let sent = bench.take_sent().concat();
    for part in [
        r#"{"op":"subscribe","args":[{"instType":"SPOT","channel":"books1","instId":"BTCUSDT"},"#,
        r#"{"instType":"USDT-FUTURES","channel":"trade","instId":"BTCUSDT"}"#,
    ] {
        assert!(sent.contains(part), "{sent}");
    }
    assert_eq!(bench.exponents, [(-2, -6), (-1, -3)]);
    bench.take_log();
    let best = |category: &str, bids: &str| {
        format!(
            r#"{{"action":"snapshot","arg":{{"instType":"{category}","channel":"books1","instId":"BTCUSDT"}},"data":[{{"asks":[["10.6","2"]],"bids":[{bids}],"checksum":0,"ts":"1695716059516"}}],"ts":1}}"#
        )
    };
    bench.message(Line(0), &best("SPOT", r#"["10.55","1"]"#));
    bench.message(Line(0), &best("USDT-FUTURES", ""));
    assert_eq!(bench.take_log(), ["Quote live none", "Quote 10.55 1 10.6 2", "Quote live none", "Quote - - 10.6 2"]);
    let trades = |action: &str, trades: &str| {
        format!(
            r#"{{"action":"{action}","arg":{{"instType":"SPOT","channel":"trade","instId":"BTCUSDT"}},"data":[{trades}],"ts":1}}"#
        )
    };
    let trade = |id: u64| format!(r#"{{"ts":"169570983582{id}","price":"10.5","size":"0.5","side":"sell","tradeId":"{id}"}}"#);
    bench.message(Line(0), &trades("snapshot", &trade(3)));
    bench.message(Line(0), &trades("update", &[trade(5), trade(4)].join(",")));
    assert_eq!(bench.take_log(), ["Trade 10.5 0.5 sell 4", "Trade 10.5 0.5 sell 5"]);
    bench.wait_ms(20_000);
    assert!(bench.take_sent().contains(&"ping".to_owned()));
}

#[test]
fn a_wrong_checksum_makes_the_book_anew() {
    let mut bench = bench();
    bench.take_sent();
    bench.take_log();
    bench.message(Line(0), &with_checksum_of(WHOLE, "10.5:1:10.6:2"));
    bench.message(Line(0), &with_checksum_of(CHANGE, "10.4:3:10.6:2"));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!(bench.levels(0, 0), [["10.4", "3"]]);
    bench.message(Line(0), &with_checksum_of(CHANGE, "another"));
    assert_eq!(
        bench.take_log(),
        ["fault checksum_mismatch: SPOT:BTCUSDT: the book's checksum is another", "Book resyncing checksum_mismatch"]
    );
    let arg = r#"{"instType":"SPOT","channel":"books","instId":"BTCUSDT"}"#;
    assert_eq!(
        bench.take_sent(),
        [format!(r#"{{"op":"unsubscribe","args":[{arg}]}}"#), format!(r#"{{"op":"subscribe","args":[{arg}]}}"#)]
    );
    bench.message(Line(0), &with_checksum_of(WHOLE, "10.5:1:10.6:2"));
    assert_eq!(bench.take_log(), ["Book live none"]);
}

#[test]
fn a_refused_symbol_does_not_take_the_others_with_it() {
    let mut bench = bench();
    bench.take_log();
    bench.grant = false;
    bench.lose(Line(0), wire::event::Cause::Disconnected);
    bench.take_log();
    bench.message(
        Line(0),
        r#"{"event":"error","arg":{"instType":"SPOT","channel":"trade","instId":"BTCUSDT"},"code":30001,"msg":"instId doesn't exist","op":"subscribe"}"#,
    );
    assert_eq!(bench.take_log(), ["fault refused: bitget: request refused: 30001 instId doesn't exist"]);
}

/// All messages of the recording; its instruments by their names of v1.
fn play(messages: &[String], dropped: usize) -> Bench {
    let names = ["sp:AVAXUSDT", "sp:EOSUSDT", "sp:VVSUSDT", "mc:DASHUSDT", "mc:UNIUSDT"];
    let symbols = names.iter().map(|name| format!("!{name}")).collect();
    let settings = FeedSettings { symbols, ..FeedSettings::of_venue("bitget") };
    let mut adapter = crate::registry::adapter("bitget", &settings).unwrap();
    let dialect = crate::registry::dialect("bitget").unwrap();
    adapter.replayed(names.iter().map(|name| super::decode::named(name)).collect(), false);
    let mut bench = Bench::of(adapter, dialect);
    for (at, message) in messages.iter().enumerate() {
        if at != dropped {
            bench.message(Line(0), message);
        }
    }
    bench
}

#[test]
fn each_checksum_of_the_recording_agrees_unless_an_update_is_lost() {
    let Some(messages) = recorded(RECORDING) else { return };
    let is_book = |message: &&String| message.contains("\"channel\":\"books\"") && !message.starts_with("{\"event\"");
    assert_eq!(messages.iter().filter(is_book).count(), 637);
    let bench = play(&messages, usize::MAX);
    let faults = |bench: &Bench| {
        bench.log.iter().filter(|line| line.starts_with("fault") && !line.contains("data for")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(faults(&bench), [""; 0]);
    let updates: Vec<usize> = (0..messages.len())
        .filter(|at| messages[*at].contains("\"update\",\"arg\":{\"instType\":\"mc\",\"channel\":\"books\",\"instId\":\"DASH"))
        .collect();
    let seen = updates.iter().take(40).step_by(8).filter(|at| {
        let faults = faults(&play(&messages, **at));
        faults.iter().any(|fault| fault.starts_with("fault checksum_mismatch: mc:DASHUSDT"))
    });
    // A lost update may be made good by the next.
    assert!(seen.count() >= 4);
}
