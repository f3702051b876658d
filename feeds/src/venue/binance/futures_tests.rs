//! Binance futures on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;
use wire::event::Cause;

const RECORDING: &str = "binance-usdm/cryptofeed_BINANCE_FUTURES.jsonl.zst";
const LIST: &str = r#"{"symbols":[
    {"symbol":"BTCUSDT","pair":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
        {"filterType":"PRICE_FILTER","tickSize":"0.10"},{"filterType":"LOT_SIZE","stepSize":"0.001"}]},
    {"symbol":"SUSHIUSDT","status":"TRADING","baseAsset":"SUSHI","quoteAsset":"USDT","filters":[
        {"filterType":"PRICE_FILTER","tickSize":"0.0010"},{"filterType":"LOT_SIZE","stepSize":"1"}]},
    {"symbol":"BTCUSDT_261225","status":"PENDING_TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]}]}"#;

fn bench(symbols: &[&str]) -> Bench {
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    let mut bench = Bench::start(&FeedSettings { symbols, ..FeedSettings::of_venue("binance-usdm") });
    bench.answer("/fapi/v1/exchangeInfo", LIST);
    bench
}

fn depth(previous: u64, first: u64, last: u64, bids: &str) -> String {
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":8,"T":7,"s":"BTCUSDT","U":{first},"u":{last},"pu":{previous},"b":[{bids}],"a":[]}}}}"#
    )
}

fn snapshot(id: u64, bids: &str) -> String {
    format!(r#"{{"lastUpdateId":{id},"E":5,"T":4,"bids":[{bids}],"asks":[["61.5","1"]]}}"#)
}

#[test]
fn streams_are_asked_for_where_they_are_served() {
    let mut bench = bench(&["BTC-USDT-PERP"]);
    assert_eq!(bench.urls, ["wss://fstream.binance.com/public/ws", "wss://fstream.binance.com/market/ws"]);
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","btcusdt@depth@100ms"],"id":1}"#,
            r#"{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":2}"#,
        ]
    );
    assert_eq!(bench.fetches[0].1, "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
    bench.take_log();
    bench.message(Line(0), r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":40,"s":"BTCUSDT","b":"60.10","B":"2.507","a":"60.20","A":"0.010","T":7,"E":8}}"#);
    let trade = |id| {
        format!(
            r#"{{"stream":"btcusdt@aggTrade","data":{{"e":"aggTrade","E":8,"a":{id},"s":"BTCUSDT","p":"60.10","q":"0.250","f":1,"l":2,"T":7,"m":true}}}}"#
        )
    };
    bench.message(Line(1), &trade(5));
    bench.message(Line(1), &trade(7));
    assert_eq!(
        bench.take_log(),
        [
            "Quote live none",
            "Quote 60.1 2.507 60.2 0.01",
            "Trade 60.1 0.25 sell 5",
            "fault sequence_gap: BTCUSDT: 1 trades missing before 7",
            "Gap Trade Some(1)",
            "Trade 60.1 0.25 sell 7",
        ]
    );
    bench.wait_ms(10_000);
    assert_eq!(
        bench.take_sent(),
        [r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#, r#"{"method":"LIST_SUBSCRIPTIONS","id":4}"#],
        "quiet lines are asked for a sign of life"
    );
}

#[test]
fn executions_of_the_insurance_fund_and_of_deleveraging_are_no_trades() {
    let mut bench = bench(&["BTC-USDT-PERP"]);
    bench.take_log();
    let trade = |id: u64, kind: &str| {
        format!(
            r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":8,"T":7,"s":"BTCUSDT","t":{id},"p":"60.10","q":"0.250","X":"{kind}","m":true}}}}"#
        )
    };
    for (id, kind) in [(5, "MARKET"), (6, "INSURANCE_FUND"), (7, "ADL"), (8, "MARKET"), (10, "ADL"), (10, "ADL")] {
        bench.message(Line(1), &trade(id, kind));
    }
    let off_book = |id: u64| format!("fault off_book_trade: BTCUSDT: {id} is no trade of the market");
    assert_eq!(
        bench.take_log(),
        [
            "Trade 60.1 0.25 sell 5",
            // Counted, not told, and not missed either.
            &off_book(6),
            &off_book(7),
            "Trade 60.1 0.25 sell 8",
            "fault sequence_gap: BTCUSDT: 1 trades missing before 10",
            &off_book(10),
            "Gap Trade Some(1)",
            "fault duplicate: BTCUSDT: trade 10 again",
        ]
    );
}

#[test]
fn the_chain_is_spliced_and_followed() {
    let mut bench = bench(&["BTC-USDT-PERP"]);
    bench.take_log();
    // Ids are the whole market's: holes between updates of one contract are ordinary.
    bench.message(Line(0), &depth(90, 95, 99, r#"["60.1","9"]"#));
    bench.message(Line(0), &depth(99, 104, 110, r#"["60.2","1"]"#));
    bench.answer("depth?symbol=BTCUSDT", &snapshot(107, r#"["60.2","1"],["60.0","2"]"#));
    bench.message(Line(0), &depth(110, 130, 140, r#"["60.0","0"]"#));
    assert_eq!(bench.take_log(), ["Quote live none", "Quote 60.2 1 61.5 1", "Book live none"]);
    assert_eq!(bench.levels(0, 0), [["60.2", "1"]], "what the snapshot contains is not applied");
    // One update is lost.
    bench.message(Line(0), &depth(150, 160, 170, ""));
    assert_eq!(
        bench.take_log(),
        ["fault sequence_gap: BTCUSDT: some book updates missing before 160", "Book resyncing sequence_gap"]
    );
    // A snapshot of before the first update at hand leaves a hole: once more.
    bench.answer("depth?symbol=BTCUSDT", &snapshot(155, ""));
    assert_eq!(bench.take_log(), ["fault snapshot_failed: BTCUSDT: snapshot is older than the updates at hand"]);
    bench.wait_ms(1_000);
    bench.answer("depth?symbol=BTCUSDT", &snapshot(170, r#"["60.3","4"]"#));
    bench.message(Line(0), &depth(170, 180, 181, r#"["60.1","5"]"#));
    assert_eq!(bench.take_log().last().map(String::as_str), Some("Book live none"));
    assert_eq!(bench.levels(0, 0), [["60.3", "4"], ["60.1", "5"]]);
}

#[test]
fn a_lost_trade_line_takes_no_books_with_it() {
    let mut bench = bench(&["BTC-USDT-PERP"]);
    bench.answer("depth?symbol=BTCUSDT", &snapshot(107, ""));
    bench.take_log();
    bench.lose(Line(1), Cause::Disconnected);
    assert_eq!(bench.take_log(), ["Trade down disconnected", "Trade live none"]);
    bench.lose(Line(0), Cause::Disconnected);
    let log = bench.take_log();
    assert!(log.iter().any(|line| line.contains("down disconnected")), "{log:?}");
    assert!(bench.fetches.iter().any(|(_, url)| url.contains("depth?")), "the book is fetched again");
}

#[test]
fn contracts_have_names_of_their_own() {
    let mut bench = bench(&["BTC-USDT-20261225", "!BTCUSDT"]);
    let mut instruments = bench.take_log();
    instruments.retain(|line| line.starts_with("Instrument"));
    assert_eq!(instruments, ["Instrument BTC-USDT-20261225 BTCUSDT_261225", "Instrument BTC-USDT-PERP BTCUSDT"]);
    let settings = FeedSettings {
        symbols: vec!["BTC-USD-PERP".to_owned(), "BTC-USD-20261225".to_owned()],
        ..FeedSettings::of_venue("binance-coinm")
    };
    let mut bench = Bench::start(&settings);
    bench.answer(
        "/dapi/v1/exchangeInfo",
        r#"{"symbols":[
        {"symbol":"BTCUSD_PERP","contractStatus":"TRADING","contractSize":100,"baseAsset":"BTC","quoteAsset":"USD","filters":[]},
        {"symbol":"BTCUSD_261225","contractStatus":"TRADING","baseAsset":"BTC","quoteAsset":"USD","filters":[]}]}"#,
    );
    assert_eq!(bench.urls, ["wss://dstream.binance.com/ws"], "one address for all");
    assert_eq!(bench.take_sent()[0].matches('@').count(), 8);
    let mut instruments = bench.take_log();
    instruments.retain(|line| line.starts_with("Instrument"));
    assert_eq!(instruments, ["Instrument BTC-USD-PERP BTCUSD_PERP", "Instrument BTC-USD-20261225 BTCUSD_261225"]);
}

#[test]
fn each_lost_update_of_the_recording_is_seen() {
    let Some(messages) = recorded(RECORDING) else { return };
    let mine = |message: &&String| message.starts_with(r#"{"stream":"sushiusdt@depth"#);
    let messages: Vec<String> = messages.iter().filter(mine).cloned().collect();
    assert!(messages.len() > 150);
    let id = |message: &str| -> u64 {
        let value: serde_json::Value = serde_json::from_str(message).unwrap();
        value["data"]["u"].as_u64().unwrap()
    };
    for lost in (2..messages.len() - 1).step_by(9) {
        let mut bench = bench(&["SUSHI-USDT-PERP"]);
        bench.message(Line(0), &messages[0]);
        bench.answer("depth?symbol=SUSHIUSDT", &snapshot(id(&messages[0]), ""));
        bench.take_log();
        for (at, message) in messages.iter().enumerate().skip(1).filter(|(at, _)| *at != lost) {
            bench.message(Line(0), message);
            assert_eq!(bench.log.is_empty(), at < lost, "message {at}, lost {lost}: {:?}", bench.log);
        }
        assert_eq!(bench.log.len(), 2, "{:?}", bench.log);
        bench.answer("depth?symbol=SUSHIUSDT", &snapshot(id(&messages[messages.len() - 1]), r#"["7.6","1"]"#));
        assert_eq!(bench.log.last().map(String::as_str), Some("Book live none"));
    }
}
