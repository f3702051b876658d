//! KuCoin on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;
use serde_json::Value;
use wire::event::Cause;

const RECORDING: &str = "kucoin/cryptofeed_KUCOIN.jsonl.zst";
const SYMBOLS: &str = r#"{"code":"200000","data":[
    {"symbol":"SNX-BTC","baseCurrency":"SNX","quoteCurrency":"BTC","baseIncrement":"0.00000001","priceIncrement":"0.00000001","enableTrading":true},
    {"symbol":"BCHSV-USDT","baseCurrency":"BSV","quoteCurrency":"USDT","baseIncrement":"0.0001","priceIncrement":"0.001","enableTrading":false}]}"#;
const TOKEN: &str = r#"{"code":"200000","data":{"token":"2neAiuYvAU61Z==","instanceServers":[{"endpoint":"wss://ws-api-spot.kucoin.com/","encrypt":true,"protocol":"websocket","pingInterval":18000,"pingTimeout":10000}]}}"#;
const WELCOME: &str = r#"{"id":"NSkIrWGB1s","type":"welcome"}"#;

fn bench(symbol: &str) -> Bench {
    let settings = FeedSettings { symbols: vec![symbol.to_owned()], ..FeedSettings::of_venue("kucoin") };
    let mut bench = Bench::start(&settings);
    bench.answer("/api/v2/symbols", SYMBOLS);
    assert_eq!((bench.urls.len(), bench.take_sent().len()), (0, 0), "the address is asked for first");
    bench.answer("/api/v1/bullet-public", TOKEN);
    bench
}

fn greeted(symbol: &str) -> Bench {
    let mut bench = bench(symbol);
    bench.message(Line(0), WELCOME);
    bench.take_log();
    bench
}

fn update(first: u64, last: u64, bids: &str) -> String {
    format!(
        r#"{{"data":{{"sequenceStart":{first},"symbol":"SNX-BTC","changes":{{"asks":[],"bids":[{bids}]}},"sequenceEnd":{last}}},"subject":"trade.l2update","topic":"/market/level2:SNX-BTC","type":"message"}}"#
    )
}

fn order_book(id: u64, bids: &str) -> String {
    format!(r#"{{"code":"200000","data":{{"time":1,"sequence":"{id}","bids":[{bids}],"asks":[["0.0009","1"]]}}}}"#)
}

#[test]
fn nothing_is_said_before_the_greeting() {
    let mut bench = bench("SNX-BTC");
    assert_eq!(bench.urls, ["wss://ws-api-spot.kucoin.com/?token=2neAiuYvAU61Z==&connectId=tickwire"]);
    assert!(bench.take_sent().is_empty());
    bench.message(Line(0), WELCOME);
    let topic = |id: u32, channel: &str| {
        format!(
            r#"{{"id":"{id}","type":"subscribe","topic":"/market/{channel}:SNX-BTC","privateChannel":false,"response":true}}"#
        )
    };
    assert_eq!(bench.take_sent(), [topic(1, "ticker"), topic(2, "match"), topic(3, "level2")]);
    bench.take_log();
    bench.message(Line(0), r#"{"data":{"sequence":"1612844051653","bestAsk":"0.00028717","size":"0.01745248","bestBidSize":"3.70422021","price":"0.00028676","time":1619378326323,"bestAskSize":"14.04274325","bestBid":"0.00028678"},"subject":"trade.ticker","topic":"/market/ticker:SNX-BTC","type":"message"}"#);
    bench.message(Line(0), r#"{"data":{"symbol":"SNX-BTC","sequence":"1612701563869","side":"buy","size":"81.8814","price":"0.0001117","takerOrderId":"60","time":"1619378327739050725","type":"match","makerOrderId":"60","tradeId":"6085c09769bc506996295e36"},"subject":"trade.l3match","topic":"/market/match:SNX-BTC","type":"message"}"#);
    let log = bench.take_log();
    assert_eq!(
        log.iter().find(|line| line.starts_with("Trade 0")).map(String::as_str),
        Some("Trade 0.0001117 81.8814 buy 1612701563869")
    );
    assert_eq!(
        log.iter().find(|line| line.starts_with("Quote 0")).map(String::as_str),
        Some("Quote 0.00028678 3.70422021 0.00028717 14.04274325")
    );
    bench.wait_ms(15_000);
    assert!(bench.take_sent().iter().any(|text| text.ends_with(r#""type":"ping"}"#)));
}

#[test]
fn a_lost_line_gets_a_new_address() {
    let mut bench = greeted("SNX-BTC");
    bench.lose(Line(0), Cause::Disconnected);
    bench.wait_ms(1_100);
    bench.answer("/api/v1/bullet-public", r#"{"code":"429000","msg":"too many"}"#);
    assert!(bench.log.iter().any(|line| line == "fault refused: kucoin: no address to connect to: it names no address"));
    bench.wait_ms(2_000);
    bench.answer("/api/v1/bullet-public", &TOKEN.replace("2neAiuYvAU61Z", "other"));
    assert_eq!(bench.urls.len(), 2);
    assert!(bench.urls[1].contains("token=other"), "{:?}", bench.urls);
}

#[test]
fn a_refused_request_is_told() {
    let mut bench = bench("SNX-BTC");
    bench.grant = false;
    bench.message(Line(0), WELCOME);
    bench.take_log();
    bench.message(Line(0), r#"{"id":"3","type":"error","code":404,"data":"topic /market/level2:SNX-BTC is not found"}"#);
    assert_eq!(bench.take_log(), ["fault refused: kucoin: request refused: topic /market/level2:SNX-BTC is not found"]);
}

#[test]
fn ranges_are_spliced_and_a_hole_is_seen() {
    let mut bench = greeted("SNX-BTC");
    bench.message(Line(0), &update(98, 99, r#"["0.0001","9","98"]"#));
    bench.message(Line(0), &update(100, 101, r#"["0.0002","1","100"]"#));
    bench.answer("level2_100?symbol=SNX-BTC", &order_book(99, r#"["0.0003","1"]"#));
    // Nothing changed; only the numbers go on.
    bench.message(Line(0), &update(102, 102, r#"["0","0","102"]"#));
    bench.message(Line(0), &update(103, 103, r#"["0.0003","0","103"]"#));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!(bench.levels(0, 0), [["0.0002", "1"]]);
    bench.message(Line(0), &update(105, 105, r#"["0.0004","1","105"]"#));
    assert_eq!(
        bench.take_log(),
        ["fault sequence_gap: SNX-BTC: 1 book updates missing before 105", "Book resyncing sequence_gap"]
    );
    bench.answer("level2_100?symbol=SNX-BTC", &order_book(104, ""));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!(bench.levels(0, 0), [["0.0004", "1"]]);
}

#[test]
fn each_lost_update_of_the_recording_is_seen() {
    let Some(messages) = recorded(RECORDING) else { return };
    let of = |message: &String| -> Option<(u64, String)> {
        let value: Value = serde_json::from_str(message).ok()?;
        let id = value["data"]["sequenceEnd"].as_u64().filter(|_| value["data"]["symbol"] == "SNX-BTC")?;
        Some((id, message.clone()))
    };
    let messages: Vec<(u64, String)> = messages.iter().filter_map(of).collect();
    assert!(messages.len() > 600);
    for lost in (1..messages.len() - 1).step_by(40) {
        let mut bench = greeted("SNX-BTC");
        bench.message(Line(0), &messages[0].1);
        bench.answer("level2_100?symbol=SNX-BTC", &order_book(messages[0].0, ""));
        bench.take_log();
        for (at, (_, message)) in messages.iter().enumerate().skip(1).filter(|(at, _)| *at != lost) {
            bench.message(Line(0), message);
            assert_eq!(bench.log.is_empty(), at < lost, "message {at}, lost {lost}: {:?}", bench.log);
        }
        bench.answer("level2_100?symbol=SNX-BTC", &order_book(messages[messages.len() - 1].0, ""));
        assert_eq!(bench.log.last().map(String::as_str), Some("Book live none"));
    }
}
