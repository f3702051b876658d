//! Bybit on the bench: the venue's own messages, and what happens when one is missing.

use super::listing::{Category, guess};
use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;
use wire::event::Cause;

const RECORDING: &str = "bybit/cryptofeed_BYBIT.jsonl.zst";
const SPOT: &str = r#"{"retCode":0,"result":{"category":"spot","list":[
    {"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","status":"Trading","lotSizeFilter":{"basePrecision":"0.000001","quotePrecision":"0.0000001"},"priceFilter":{"tickSize":"0.1"}}]}}"#;
const LINEAR: &str = r#"{"retCode":0,"result":{"category":"linear","list":[
    {"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","deliveryTime":"0","priceFilter":{"minPrice":"0.10","tickSize":"0.10"},"lotSizeFilter":{"qtyStep":"0.001"}},
    {"symbol":"BTCPERP","status":"Trading","baseCoin":"BTC","quoteCoin":"USDC","deliveryTime":"0","priceFilter":{"tickSize":"0.10"},"lotSizeFilter":{"qtyStep":"0.001"}},
    {"symbol":"BTCUSDT-25DEC26","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","deliveryTime":"1798156800000","priceFilter":{"tickSize":"0.10"},"lotSizeFilter":{"qtyStep":"0.001"}}]}}"#;
const INVERSE: &str = r#"{"retCode":0,"result":{"category":"inverse","list":[
    {"symbol":"BTCUSDZ26","status":"PreLaunch","baseCoin":"BTC","quoteCoin":"USD","deliveryTime":"1798156800000","priceFilter":{"tickSize":"0.50"},"lotSizeFilter":{"qtyStep":"1"}}]}}"#;

fn bench(symbols: &[&str]) -> Bench {
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    let mut bench = Bench::start(&FeedSettings { symbols, ..FeedSettings::of_venue("bybit") });
    for (part, list) in [("category=spot", SPOT), ("category=linear", LINEAR), ("category=inverse", INVERSE)] {
        if bench.fetches.iter().any(|(_, url)| url.contains(part)) {
            bench.answer(part, list);
        }
    }
    bench
}

/// A page of the linear list with one contract.
fn page(symbol: &str, cursor: &str) -> String {
    format!(
        r#"{{"retCode":0,"result":{{"category":"linear","list":[{{"symbol":"{symbol}USDT","status":"Trading","baseCoin":"{symbol}","quoteCoin":"USDT","deliveryTime":"0","priceFilter":{{"tickSize":"0.10"}},"lotSizeFilter":{{"qtyStep":"0.001"}}}}],"nextPageCursor":"{cursor}"}}}}"#
    )
}

#[test]
fn lists_are_read_to_their_last_page() {
    let settings = FeedSettings { symbols: vec!["ZZZ-USDT-PERP".to_owned()], ..FeedSettings::of_venue("bybit") };
    let mut bench = Bench::start(&settings);
    let first = "https://api.bybit.com/v5/market/instruments-info?category=linear&limit=1000";
    let asked = |bench: &Bench| bench.fetches.iter().map(|(_, url)| url.clone()).collect::<Vec<_>>();
    assert_eq!(asked(&bench), [first]);
    // The cursor is the venue's text, percent signs and all.
    bench.answer("category=linear", &page("AAA", "first%3DAAA&last=b"));
    assert_eq!(asked(&bench), [format!("{first}&cursor=first%253DAAA%26last%3Db")]);
    assert!(bench.take_log().is_empty(), "nothing is known before all is read");
    // A page that fails is a list that fails: all of it again.
    bench.refuse("cursor=", 503);
    let log = bench.take_log();
    assert!(log[0].contains("no list of instruments: HTTP status 503"), "{log:?}");
    bench.wait_ms(2_000);
    bench.answer("category=linear", &page("AAA", "c"));
    bench.answer("cursor=c", &page("ZZZ", ""));
    assert_eq!(bench.take_log()[0], "Instrument ZZZ-USDT-PERP ZZZUSDT");
    assert!(bench.fetches.is_empty());
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let settings = FeedSettings { symbols: vec!["ZZZ-USDT-PERP".to_owned()], ..FeedSettings::of_venue("bybit") };
    let mut bench = Bench::start(&settings);
    let mut pages = 0;
    while !bench.fetches.is_empty() {
        bench.answer("category=linear", &page("AAA", "again"));
        pages += 1;
        assert!(pages <= 50);
    }
    let log = bench.take_log();
    assert!(pages == 50 && log[0].contains("more than 50 pages"), "{pages}: {log:?}");
}

fn book(kind: &str, id: u64, bids: &str) -> String {
    format!(
        r#"{{"topic":"orderbook.200.BTCUSDT","type":"{kind}","ts":8,"data":{{"s":"BTCUSDT","b":[{bids}],"a":[],"u":{id},"seq":7}},"cts":7}}"#
    )
}

#[test]
fn categories_have_lines_of_their_own() {
    let mut bench = bench(&["BTC-USDT", "BTC-USDT-PERP", "BTC-USD-20261225"]);
    let mut urls = bench.urls.clone();
    urls.sort_unstable();
    let at = |category| format!("wss://stream.bybit.com/v5/public/{category}");
    assert_eq!(urls, [at("inverse"), at("linear"), at("spot")]);
    let mut sent = bench.take_sent();
    sent.iter_mut().for_each(|text| *text = text.split_off(text.find("\"op\"").unwrap()));
    sent.sort_unstable();
    assert_eq!(
        sent,
        [
            r#""op":"subscribe","args":["orderbook.1.BTCUSDT","publicTrade.BTCUSDT","orderbook.200.BTCUSDT"]}"#,
            r#""op":"subscribe","args":["orderbook.1.BTCUSDT","publicTrade.BTCUSDT","orderbook.200.BTCUSDT"]}"#,
            r#""op":"subscribe","args":["orderbook.1.BTCUSDZ26","publicTrade.BTCUSDZ26","orderbook.200.BTCUSDZ26"]}"#,
        ]
    );
    let mut names = bench.take_log();
    names.retain(|line| line.starts_with("Instrument"));
    names.sort_unstable();
    assert_eq!(
        names,
        ["Instrument BTC-USD-20261225 BTCUSDZ26", "Instrument BTC-USDT spot:BTCUSDT", "Instrument BTC-USDT-PERP BTCUSDT"]
    );
    // The same name on two lines.
    for (at, url) in bench.urls.clone().iter().enumerate() {
        let price = if url.ends_with("spot") { "10.5" } else { "10.6" };
        let message = book("snapshot", 9, &format!(r#"["{price}","1"]"#));
        if !url.ends_with("inverse") {
            bench.message(Line(at as u32), &message);
        }
    }
    let mut books: Vec<String> = (0..3).filter_map(|at| Some(bench.levels(at, 0).first()?[0].clone())).collect();
    books.sort_unstable();
    assert_eq!(books, ["10.5", "10.6"]);
    bench.wait_ms(20_000);
    assert_eq!(bench.take_sent().iter().filter(|text| text.ends_with(r#""op":"ping"}"#)).count(), 3);
}

#[test]
fn names_tell_their_category() {
    for (native, category, symbol) in [
        ("spot:BTCUSDT", Category::Spot, "BTC-USDT"),
        ("BTCUSDT", Category::Linear, "BTC-USDT-PERP"),
        ("BTCPERP", Category::Linear, "BTC-USDC-PERP"),
        ("BTC-25DEC26", Category::Linear, "BTC-USDC-25DEC26"),
        ("BTCUSDT-25DEC26", Category::Linear, "BTC-USDT-25DEC26"),
        ("BTCUSD", Category::Inverse, "BTC-USD-PERP"),
        ("BTCUSDZ26", Category::Inverse, "BTC-USD-Z26"),
    ] {
        assert_eq!(Category::of(native), category, "{native}");
        assert_eq!(guess(native).symbol, symbol, "{native}");
    }
    for (wanted, category) in [
        ("BTC-USDT", Category::Spot),
        ("BTC-USDC-20261225", Category::Linear),
        ("BTC-USD-PERP", Category::Inverse),
        ("!spot:BTCUSDT", Category::Spot),
        ("!BTCUSD", Category::Inverse),
    ] {
        assert_eq!(Category::wanted(wanted), category, "{wanted}");
    }
}

#[test]
fn quotes_and_trades() {
    let mut bench = bench(&["BTC-USDT-PERP"]);
    bench.take_log();
    let best = |kind: &str, bids: &str, asks: &str| {
        format!(
            r#"{{"topic":"orderbook.1.BTCUSDT","type":"{kind}","ts":8,"data":{{"s":"BTCUSDT","b":[{bids}],"a":[{asks}],"u":5,"seq":7}}}}"#
        )
    };
    bench.message(Line(0), &best("snapshot", r#"["10.50","1"]"#, r#"["10.60","2"]"#));
    bench.message(Line(0), &best("snapshot", r#"["10.50","1"]"#, r#"["10.60","2"]"#));
    bench.message(Line(0), &best("delta", r#"["10.50","0"],["10.40","3"]"#, ""));
    bench.message(Line(0), &best("snapshot", r#"["10.40","3"]"#, ""));
    bench.message(Line(0), r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":9,"data":[{"T":7,"s":"BTCUSDT","S":"Sell","v":"0.004","p":"10.50","i":"a9188a0a-82bc-50de-be60-03eedbe3cdd7","BT":false},{"T":7,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"10.60","i":"2280000001739247417"}]}"#);
    assert_eq!(
        bench.take_log(),
        [
            "Quote live none",
            "Quote 10.5 1 10.6 2",
            "Quote 10.4 3 10.6 2",
            "Quote 10.4 3 - -",
            "Trade 10.5 0.004 sell -1",
            "Trade 10.6 0.001 buy 2280000001739247417",
        ]
    );
}

#[test]
fn a_hole_in_the_numbers_takes_the_book_off_and_on_again() {
    let mut bench = bench(&["BTC-USDT-PERP"]);
    bench.message(Line(0), &book("snapshot", 100, r#"["10.5","1"]"#));
    bench.take_log();
    bench.take_sent();
    bench.message(Line(0), &book("delta", 101, r#"["10.4","1"]"#));
    bench.message(Line(0), &book("delta", 103, r#"["10.3","1"]"#));
    assert_eq!(
        bench.take_log(),
        ["fault sequence_gap: BTCUSDT: 1 book updates missing before 103", "Book resyncing sequence_gap"]
    );
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"req_id":"2","op":"unsubscribe","args":["orderbook.200.BTCUSDT"]}"#,
            r#"{"req_id":"3","op":"subscribe","args":["orderbook.200.BTCUSDT"]}"#,
        ]
    );
    bench.message(Line(0), &book("delta", 104, r#"["10.2","1"]"#));
    bench.message(Line(0), &book("snapshot", 200, r#"["10.1","1"]"#));
    assert_eq!((bench.take_log(), bench.levels(0, 0).len()), (vec!["Book live none".to_owned()], 1));
    // The venue's service was restarted: a whole book whatever it is called, and the numbers go on from it.
    bench.message(Line(0), &book("delta", 1, r#"["9.9","1"],["9.8","1"]"#));
    bench.message(Line(0), &book("delta", 2, r#"["9.9","0"]"#));
    assert_eq!(bench.take_log(), [""; 0]);
    assert_eq!(bench.levels(0, 0), [["9.8", "1"]]);
}

#[test]
fn a_refused_request_is_asked_for_in_halves() {
    let mut bench = bench(&["!BTCUSDT", "!BTCPERP"]);
    bench.take_sent();
    bench.take_log();
    bench.grant = false;
    bench.lose(Line(0), Cause::Disconnected);
    let sent = bench.take_sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let id = sent[0].split('"').nth(3).unwrap().to_owned();
    bench.take_log();
    bench.message(
        Line(0),
        &format!(
            r#"{{"success":false,"ret_msg":"Invalid topic: orderbook.1.BTCPERP","conn_id":"c","req_id":"{id}","op":"subscribe"}}"#
        ),
    );
    assert_eq!(bench.take_log(), ["fault refused: bybit: request refused: Invalid topic: orderbook.1.BTCPERP"]);
    bench.wait_ms(2_100);
    let sent = bench.take_sent();
    assert_eq!(sent.iter().map(|text| text.matches("USDT").count() + text.matches("PERP").count()).sum::<usize>(), 6);
    assert_eq!(sent.len(), 2);
}

#[test]
fn each_lost_update_of_the_recording_is_seen() {
    let Some(messages) = recorded(RECORDING) else { return };
    let mine = |message: &&String| message.starts_with(r#"{"topic":"orderbook.200.BTCUSDT","type"#);
    let messages: Vec<String> = messages.iter().filter(mine).cloned().collect();
    assert_eq!(messages.len(), 414);
    for lost in (1..messages.len() - 1).step_by(20) {
        let mut bench = bench(&["BTC-USDT-PERP"]);
        bench.message(Line(0), &messages[0]);
        bench.take_log();
        for (at, message) in messages.iter().enumerate().skip(1).filter(|(at, _)| *at != lost) {
            bench.message(Line(0), message);
            assert_eq!(bench.log.is_empty(), at < lost, "message {at}, lost {lost}: {:?}", bench.log);
        }
        assert_eq!(bench.log.len(), 2, "{:?}", bench.log);
    }
}
