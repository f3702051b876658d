//! Bitfinex on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::decimals;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;
use std::collections::BTreeMap;
use wire::event::Cause;

const RECORDING: &str = "bitfinex/cryptofeed_BITFINEX.jsonl.zst";
const SUBSCRIBE_BOOK: &str = r#"{"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"250"}"#;

fn bench() -> Bench {
    let settings = FeedSettings { symbols: vec!["BTC-USD".to_owned()], ..FeedSettings::of_venue("bitfinex") };
    let mut bench = Bench::start(&settings);
    bench.grant = false;
    bench.answer("/v2/conf/pub:list:pair:exchange", r#"[["AVAX:USD","BTCUSD"]]"#);
    assert_eq!(
        bench.take_sent(),
        [super::CONFIGURATION, r#"{"event":"subscribe","channel":"trades","symbol":"tBTCUSD"}"#, SUBSCRIBE_BOOK]
    );
    grant(&mut bench);
    bench.take_log();
    bench
}

fn grant(bench: &mut Bench) {
    bench.message(Line(0), r#"{"event":"conf","status":"OK","flags":65536}"#);
    bench.message(Line(0), r#"{"event":"subscribed","channel":"trades","chanId":11,"symbol":"tBTCUSD","pair":"BTCUSD"}"#);
    bench.message(Line(0), r#"{"event":"subscribed","channel":"book","chanId":12,"symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"250","pair":"BTCUSD"}"#);
}

#[test]
fn books_and_trades_come_by_channel_number() {
    let mut bench = bench();
    for message in [
        "[12,[[60400,1,0.68826974],[60397,2,1.5],[60406,1,-0.25],[60410.5,3,-2]],1]",
        "[12,[60400,0,1],2]",
        "[12,[60410.5,0,-1],3]",
        "[12,[60407,1,-7e-8],4]",
        "[11,[[7,1618665870435,1,60400],[6,1618665870435,1,60400]],5]",
        r#"[11,"te",[8,1618665870435,-0.5,60401],6]"#,
        r#"[11,"tu",[8,1618665870435,-0.5,60401],7]"#,
        r#"[12,"hb",8]"#,
        "[99,[1,2,3],9]",
    ] {
        bench.message(Line(0), message);
    }
    assert_eq!(bench.levels(0, 0), [["60397", "1.5"]]);
    assert_eq!(bench.levels(0, 1), [["60406", "0.25"], ["60407", "0.00000007"]]);
    let log: Vec<String> = bench.take_log().into_iter().filter(|line| !line.starts_with("Instrument")).collect();
    assert_eq!(log, ["Book live none", "Trade 60401 0.5 sell 8"]);
}

#[test]
fn a_missing_message_opens_the_line_again() {
    let mut bench = bench();
    bench.message(Line(0), "[12,[[60400,1,0.5],[60406,1,-0.25]],1]");
    bench.message(Line(0), r#"[11,"hb",2]"#);
    bench.take_log();
    bench.message(Line(0), "[12,[60400,0,1],4]");
    assert_eq!(
        bench.take_log(),
        [
            "fault sequence_gap: bitfinex: 1 messages missing before 4",
            "fault sequence_gap: tBTCUSD: trades may be missing",
            "Gap Trade None",
            "reconnect 0 sequence_gap",
            "Link 0 down sequence_gap",
        ]
    );
    assert_eq!(bench.take_sent().len(), 3, "configured and subscribed again");
    grant(&mut bench);
    // Numbers begin anew; the old channel numbers are void.
    bench.message(Line(0), "[12,[[60399,1,0.5]],1]");
    assert_eq!(bench.levels(0, 0), [["60399", "0.5"]]);
    assert_eq!(bench.take_log().last().map(String::as_str), Some("Book live none"));
    bench.message(Line(0), "[12,[60399,0,1]]");
    assert_eq!(bench.take_log(), ["fault bad_message: bitfinex: message lacks its number"]);
    bench.message(Line(0), "[12,[60398,1,1],3]");
    assert!(bench.take_log().contains(&"reconnect 0 sequence_gap".to_owned()));
}

#[test]
fn one_book_can_be_made_anew_alone() {
    let mut bench = bench();
    bench.message(Line(0), "[12,[[60400,1,0.5]],1]");
    bench.take_log();
    // A price that cannot be read.
    bench.message(Line(0), "[12,[123456789012345678901,1,0.5],2]");
    assert_eq!(bench.take_log().last().map(String::as_str), Some("Book resyncing bad_data"));
    assert_eq!(bench.take_sent(), [r#"{"event":"unsubscribe","chanId":12}"#]);
    bench.message(Line(0), r#"{"event":"unsubscribed","status":"OK","chanId":12}"#);
    assert_eq!(bench.take_sent(), [SUBSCRIBE_BOOK]);
    bench.message(Line(0), r#"{"event":"subscribed","channel":"book","chanId":13,"symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"250","pair":"BTCUSD"}"#);
    bench.message(Line(0), "[13,[],3]");
    assert_eq!(bench.take_log(), ["Book live none"]);
}

#[test]
fn refusals_restarts_and_names() {
    let mut bench = bench();
    bench.lose(Line(0), Cause::Disconnected);
    bench.take_log();
    bench.message(
        Line(0),
        r#"{"channel":"trades","symbol":"tBTCUSD","event":"error","msg":"symbol: invalid","code":10300,"pair":"BTCUSD"}"#,
    );
    assert_eq!(bench.take_log(), ["fault refused: bitfinex: request refused: 10300 symbol: invalid"]);
    bench.message(Line(0), r#"{"event":"info","code":20051,"msg":"Stopping. Please try to reconnect"}"#);
    assert_eq!(bench.lines, [Line(0), Line(1)], "the new line is opened first");
    for (native, symbol) in [
        ("tBTCUSD", "BTC-USD"),
        ("tAVAX:UST", "AVAX-USDT"),
        ("tBTCF0:USTF0", "BTC-USDT-PERP"),
        ("tTESTBTC:TESTUSD", "TESTBTC-TESTUSD"),
    ] {
        assert_eq!(super::decode::named(native).symbol, symbol);
    }
}

/// The recording's book by another way: the last word on each level.
#[test]
fn the_books_of_the_recording_are_what_its_levels_add_up_to() {
    let Some(messages) = recorded(RECORDING) else { return };
    let names = ["tBFTUSD", "tIOTETH", "tDOGUSD", "tMNABTC", "tODEUSD", "tTESTBTC:TESTUSD", "tSNGUSD"];
    let symbols = names.iter().map(|name| format!("!{name}")).collect();
    let settings = FeedSettings { symbols, ..FeedSettings::of_venue("bitfinex") };
    let mut adapter = crate::registry::adapter("bitfinex", &settings).unwrap();
    let made = |name: &&str| super::decode::named(name).steps(decimals(8), decimals(8));
    adapter.replayed(names.iter().map(made).collect(), false);
    let mut bench = Bench::of(adapter, crate::registry::dialect("bitfinex").unwrap());
    let mut channels: BTreeMap<u64, String> = BTreeMap::new();
    let mut levels: BTreeMap<(String, bool), BTreeMap<String, String>> = BTreeMap::new();
    let mut numbered = 0;
    for message in &messages {
        bench.message(Line(0), message);
        let value: serde_json::Value = serde_json::from_str(message).unwrap();
        if value["channel"] == "book" && value["event"] == "subscribed" {
            channels.insert(value["chanId"].as_u64().unwrap(), value["symbol"].as_str().unwrap().to_owned());
        }
        numbered += usize::from(value.is_array());
        let Some(name) = value[0].as_u64().and_then(|id| channels.get(&id)) else { continue };
        let entries = match &value[1] {
            serde_json::Value::Array(list) if list[0].is_array() => list.clone(),
            serde_json::Value::Array(_) => vec![value[1].clone()],
            _ => continue,
        };
        for entry in entries {
            let side = levels.entry((name.clone(), entry[2].as_f64().unwrap() > 0.0)).or_default();
            let price = entry[0].to_string();
            if entry[1] == 0 {
                side.remove(&price);
            } else {
                side.insert(price, entry[2].as_f64().unwrap().abs().to_string());
            }
        }
    }
    assert_eq!(numbered, 1_670);
    let faults: Vec<_> = bench.log.iter().filter(|line| line.starts_with("fault")).collect();
    assert_eq!(faults, [""; 0]);
    for (index, name) in names.iter().enumerate() {
        for (side, bid) in [(0, true), (1, false)] {
            let expected = levels.get(&((*name).to_owned(), bid)).map_or(0, BTreeMap::len);
            let number = |text: &str| text.parse::<f64>().unwrap().to_string();
            let found: BTreeMap<String, String> =
                bench.levels(index, side).iter().map(|[price, size]| (number(price), number(size))).collect();
            let numbers = |side: &BTreeMap<String, String>| {
                side.iter().map(|(price, size)| (number(price), size.clone())).collect::<BTreeMap<_, _>>()
            };
            assert_eq!(found.len(), expected, "{name}");
            assert_eq!(Some(found), levels.get(&((*name).to_owned(), bid)).map(numbers), "{name}");
        }
    }
}
