//! HTX on the bench: the venue's own messages, packed and not, and what happens when one is torn.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded_bytes};
use crate::registry;
use crate::settings::FeedSettings;
use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;

fn bench(venue: &str, symbols: &[&str], lists: &[(&str, &str)]) -> Bench {
    let symbols = symbols.iter().map(|name| (*name).to_owned()).collect();
    let mut bench = Bench::start(&FeedSettings { symbols, ..FeedSettings::of_venue(venue) });
    lists.iter().for_each(|(part, list)| bench.answer(part, list));
    bench
}

fn spot() -> Bench {
    let list = r#"{"status":"ok","data":[{"base-currency":"btc","quote-currency":"usdt","price-precision":2,"amount-precision":6,"symbol":"btcusdt","state":"online"}]}"#;
    bench("htx", &["BTC-USDT"], &[("/v1/common/symbols", list)])
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn packed_messages_are_read_and_pings_answered() {
    let mut bench = spot();
    assert_eq!(
        bench.take_sent(),
        [
            r#"{"sub":"market.btcusdt.bbo","id":"1"}"#,
            r#"{"sub":"market.btcusdt.trade.detail","id":"2"}"#,
            r#"{"sub":"market.btcusdt.depth.step0","id":"3"}"#
        ]
    );
    bench.take_log();
    bench.bytes(Line(0), packed(r#"{"ping":1618678073643}"#));
    assert_eq!(bench.take_sent(), [r#"{"pong":1618678073643}"#]);
    bench.bytes(Line(0), packed(r#"{"ch":"market.btcusdt.bbo","ts":1618678073643,"tick":{"seqId":77,"ask":1.2E+5,"askSize":0.5,"bid":119999.99,"bidSize":3.45E-4,"quoteTime":1618678073640,"symbol":"btcusdt"}}"#));
    let trades = |trades: &str| {
        packed(&format!(r#"{{"ch":"market.btcusdt.trade.detail","ts":1,"tick":{{"id":1,"ts":1,"data":[{trades}]}}}}"#))
    };
    let trade = |id: u64| {
        format!(
            r#"{{"id":100373972746255757500235{id:03},"ts":1618678006262,"tradeId":{id},"amount":7.2,"price":0.05,"direction":"sell"}}"#
        )
    };
    bench.bytes(Line(0), trades(&[trade(8), trade(7)].join(",")));
    bench.bytes(Line(0), trades(&trade(10)));
    assert_eq!(
        bench.take_log(),
        [
            "Quote live none",
            "Quote 119999.99 0.000345 120000 0.5",
            "Trade 0.05 7.2 sell 7",
            "Trade 0.05 7.2 sell 8",
            "fault sequence_gap: btcusdt: 1 trades missing before 10",
            "Gap Trade Some(1)",
            "Trade 0.05 7.2 sell 10"
        ]
    );
}

#[test]
fn each_message_is_the_whole_book() {
    let mut bench = spot();
    bench.take_log();
    let book = |bids: &str, asks: &str| {
        packed(&format!(
            r#"{{"ch":"market.btcusdt.depth.step0","ts":2,"tick":{{"bids":[{bids}],"asks":[{asks}],"version":9,"ts":1618678069868}}}}"#
        ))
    };
    let mut torn = book("[2.0,1.0]", "");
    bench.bytes(Line(0), book("[1.5,2.0],[1.4,1.0]", "[1.6,1.0]"));
    torn.truncate(torn.len() - 1);
    bench.bytes(Line(0), torn);
    assert_eq!(bench.take_log(), ["Book live none", "fault bad_message: htx: packed, but torn or too long"]);
    bench.bytes(Line(0), book("[1.4,1.0]", ""));
    assert_eq!((bench.levels(0, 0), bench.levels(0, 1).len()), (vec![["1.4", "1"].map(str::to_owned)], 0));
    bench.bytes(Line(0), packed(r#"{"ch":"market.btcusdt.depth.step0","ts":2,"tick":{"bids":[]}}"#));
    assert_eq!(bench.take_log(), ["fault bad_message: htx: book lacks a side"]);
}

#[test]
fn a_refused_topic_is_asked_for_again() {
    let mut bench = spot();
    bench.grant = false;
    bench.lose(Line(0), wire::event::Cause::Disconnected);
    bench.take_log();
    let sent = bench.take_sent();
    assert_eq!(sent.last().map(String::as_str), Some(r#"{"sub":"market.btcusdt.depth.step0","id":"6"}"#));
    for (id, name) in [(4, "bbo"), (5, "trade.detail")] {
        bench.bytes(Line(0), packed(&format!(r#"{{"id":"{id}","status":"ok","subbed":"market.btcusdt.{name}","ts":1}}"#)));
    }
    let refusal = r#"{"status":"error","ts":1,"id":"6","err-code":"bad-request","err-msg":"invalid topic"}"#;
    bench.bytes(Line(0), packed(refusal));
    assert!(bench.take_log().contains(&"fault refused: htx: request refused: bad-request invalid topic".to_owned()));
    bench.wait_ms(59_000);
    assert_eq!(bench.take_sent(), [""; 0]);
    bench.wait_ms(2_000);
    assert_eq!(bench.take_sent(), [r#"{"sub":"market.btcusdt.depth.step0","id":"7"}"#]);
}

#[test]
fn linear_and_coin_margined_swaps_have_lines_of_their_own() {
    let linear = r#"{"status":"ok","data":[{"symbol":"BTC","contract_code":"BTC-USDT","contract_size":0.001000000000000000,"price_tick":0.100000000000000000,"contract_status":1}]}"#;
    let coin = r#"{"status":"ok","data":[{"symbol":"BTC","contract_code":"BTC-USD","contract_size":100.000000000000000000,"price_tick":0.500000000000000000,"contract_status":1}]}"#;
    let mut bench = bench("htx-swap", &["BTC-USDT-PERP", "BTC-USD-PERP"], &[("/linear-swap-api/", linear), ("/swap-api/", coin)]);
    assert_eq!(bench.urls, ["wss://api.hbdm.com/linear-swap-ws", "wss://api.hbdm.com/swap-ws"]);
    assert_eq!(bench.exponents, [(-1, 0), (-1, 0)]);
    bench.take_log();
    bench.bytes(Line(1), packed(r#"{"ch":"market.BTC-USD.bbo","ts":1,"tick":{"mrid":5,"id":1,"bid":[50000.5,33],"ask":[50001,7],"ts":1645289384842,"version":5,"ch":"market.BTC-USD.bbo"}}"#));
    assert_eq!(bench.take_log(), ["Quote live none", "Quote 50000.5 33 50001 7"]);
    let [a, b] = ["linear-swap-api", "swap-api"]
        .map(|api| registry::dialect("htx-swap").unwrap().address_key(&format!("https://x/{api}/v1/swap_contract_info")));
    assert_ne!(a, b);
}

/// A lot is 0.000001 here: twelve decimals are kept of what the venue's arithmetic leaves.
#[test]
fn digits_that_are_only_noise_are_cut() {
    let mut bench = spot();
    bench.bytes(Line(0), packed(r#"{"ch":"market.btcusdt.depth.step0","ts":2,"tick":{"bids":[[2.0,1.5756104045350429]],"asks":[[2.1,4.0E-5]],"version":9,"ts":1}}"#));
    assert_eq!((bench.exponents[0], bench.levels(0, 0)), ((-2, -12), vec![["2", "1.575610404535"].map(str::to_owned)]));
    assert_eq!(bench.levels(0, 1), [["2.1", "0.00004"]]);
}

#[test]
fn a_recording_is_read_without_a_fault() {
    let Some(messages) = recorded_bytes("htx-swap/cryptofeed_HUOBI_SWAP.jsonl.zst") else { return };
    let settings = FeedSettings { symbols: vec!["!SOS-USDT".to_owned()], ..FeedSettings::of_venue("htx-swap") };
    let mut adapter = registry::adapter("htx-swap", &settings).unwrap();
    adapter.replayed(vec![super::decode::swap("SOS-USDT")], false);
    let mut bench = Bench::of(adapter, registry::dialect("htx-swap").unwrap());
    messages.into_iter().for_each(|message| bench.bytes(Line(0), message));
    let faults: Vec<_> = bench.log.iter().filter(|line| line.starts_with("fault") && !line.contains("data for")).collect();
    assert_eq!(faults, [""; 0]);
    assert!(bench.log.iter().any(|line| line == "Book live none") && bench.levels(0, 0).len() > 20);
}
