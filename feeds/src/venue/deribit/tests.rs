//! Deribit on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::Bench;
use crate::settings::FeedSettings;

const LIST: &str = r#"{"jsonrpc":"2.0","result":[
    {"tick_size":0.5,"min_trade_amount":10.0,"kind":"future","is_active":true,"instrument_name":"BTC-PERPETUAL"},
    {"tick_size":0.0005,"min_trade_amount":0.1,"kind":"option","is_active":false,"instrument_name":"BTC-24SEP21-40000-P"}]}"#;

fn start(symbols: &[&str], grant: bool) -> Bench {
    let symbols = symbols.iter().map(|name| (*name).to_owned()).collect();
    let mut bench = Bench::start(&FeedSettings { symbols, ..FeedSettings::of_venue("deribit") });
    bench.grant = grant;
    bench.answer("/api/v2/public/get_instruments?currency=BTC&expired=false", LIST);
    bench
}

fn data(channel: &str, data: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}"#)
}

fn book(kind: &str, ids: &str, bids: &str, asks: &str) -> String {
    let fields = format!(
        r#"{{"type":"{kind}","timestamp":1626993724318,{ids},"instrument_name":"BTC-PERPETUAL","bids":[{bids}],"asks":[{asks}]}}"#
    );
    data("book.BTC-PERPETUAL.100ms", &fields)
}

#[test]
fn instruments_of_all_kinds_have_their_names() {
    for (native, symbol, list) in [
        ("BTC-PERPETUAL", "BTC-USD-PERP", "currency=BTC"),
        ("UNI_USDC-PERPETUAL", "UNI-USDC-PERP", "currency=USDC"),
        ("ETH-25MAR22", "ETH-USD-20220325", "currency=ETH"),
        ("BTC-24SEP21-40000-P", "BTC-USD-20210924-40000-P", "currency=BTC"),
        ("XRP_USDC-3JUN23-0d625-C", "XRP-USDC-20230603-0.625-C", "currency=USDC"),
        ("BTC_USDC", "BTC-USDC", "currency=any&kind=spot"),
    ] {
        assert_eq!(super::decode::named(native).symbol, symbol);
        assert_eq!([super::decode::list_of(symbol), super::decode::list_of(&format!("!{native}"))], [list, list]);
    }
}

#[test]
fn the_chain_of_changes_is_followed() {
    let mut bench = start(&["BTC-USD-PERP"], true);
    assert_eq!(
        bench.take_sent(),
        [
            super::HEARTBEAT,
            r#"{"jsonrpc":"2.0","id":1,"method":"public/subscribe","params":{"channels":["quote.BTC-PERPETUAL","trades.BTC-PERPETUAL.100ms","book.BTC-PERPETUAL.100ms"]}}"#
        ]
    );
    bench.take_log();
    bench.message(Line(0), &book("snapshot", r#""change_id":10"#, r#"["new",31999.5,10.0]"#, r#"["new",32000.0,4260.0]"#));
    let change = r#"["delete",31999.5,0.0],["new",31999.0,50.0]"#;
    bench.message(Line(0), &book("change", r#""change_id":14,"prev_change_id":10"#, change, ""));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!(
        (bench.levels(0, 0), bench.levels(0, 1)),
        (vec![["31999", "50"].map(str::to_owned)], vec![["32000", "4260"].map(str::to_owned)])
    );
    bench.message(Line(0), &book("change", r#""change_id":20,"prev_change_id":18"#, change, ""));
    assert_eq!(
        bench.take_log(),
        ["fault sequence_gap: BTC-PERPETUAL: some book updates missing before 20", "Book resyncing sequence_gap"]
    );
    let request = |id, method| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"public/{method}","params":{{"channels":["book.BTC-PERPETUAL.100ms"]}}}}"#
        )
    };
    assert_eq!(bench.take_sent(), [request(2, "unsubscribe"), request(3, "subscribe")]);
    bench.message(Line(0), &book("snapshot", r#""change_id":21"#, "", r#"["new",32000.5,1.0]"#));
    assert_eq!((bench.take_log(), bench.levels(0, 0).len()), (vec!["Book live none".to_owned()], 0));
    // A change that does not say what it follows proves nothing.
    bench.message(Line(0), &book("change", r#""change_id":22"#, "", ""));
    assert_eq!(bench.take_log(), ["fault bad_message: deribit: book change lacks its predecessor"]);
}

#[test]
fn quotes_and_trades_are_exact_and_missing_trades_counted() {
    let mut bench = start(&["BTC-USD-PERP"], true);
    bench.take_log();
    bench.message(Line(0), &data("quote.BTC-PERPETUAL", r#"{"timestamp":1626993724318,"instrument_name":"BTC-PERPETUAL","best_bid_price":31999.5,"best_bid_amount":10.0,"best_ask_price":null,"best_ask_amount":0.0}"#));
    let trade = |seq: u64| {
        format!(
            r#"{{"trade_seq":{seq},"trade_id":"9{seq}","timestamp":1626993724318,"price":32000.5,"instrument_name":"BTC-PERPETUAL","direction":"buy","amount":30.0}}"#
        )
    };
    for seqs in [&[8, 7][..], &[11]] {
        let list = seqs.iter().map(|seq| trade(*seq)).collect::<Vec<_>>().join(",");
        bench.message(Line(0), &data("trades.BTC-PERPETUAL.100ms", &format!("[{list}]")));
    }
    assert_eq!(
        bench.take_log(),
        [
            "Quote live none",
            "Quote 31999.5 10 - -",
            "Trade 32000.5 30 buy 7",
            "Trade 32000.5 30 buy 8",
            "fault sequence_gap: BTC-PERPETUAL: 2 trades missing before 11",
            "Gap Trade Some(2)",
            "Trade 32000.5 30 buy 11",
        ]
    );
}

#[test]
fn test_requests_are_answered() {
    let mut bench = start(&["BTC-USD-PERP"], true);
    bench.take_sent();
    bench.message(Line(0), r#"{"params":{"type":"heartbeat"},"method":"heartbeat","jsonrpc":"2.0"}"#);
    assert_eq!(bench.take_sent(), [""; 0]);
    bench.message(Line(0), r#"{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}"#);
    assert_eq!(bench.take_sent(), [r#"{"jsonrpc":"2.0","id":"test","method":"public/test","params":{}}"#]);
}

#[test]
fn channels_left_out_of_the_answer_are_refused() {
    let mut bench = start(&["BTC-USD-PERP", "BTC-USD-20210924-40000-P"], false);
    bench.take_log();
    let channels = [
        "quote.BTC-PERPETUAL",
        "trades.BTC-PERPETUAL.100ms",
        "book.BTC-PERPETUAL.100ms",
        "quote.BTC-24SEP21-40000-P",
        "book.BTC-24SEP21-40000-P.100ms",
    ];
    let granted = |id: u64, channels: &[&str]| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{channels:?}}}"#);
    let sent = bench.take_sent().concat();
    assert!(channels.iter().all(|channel| sent.contains(channel)), "{sent}");
    // Everything was asked for at once, but the option's trades are not had.
    bench.message(Line(0), &granted(1, &channels));
    assert_eq!(bench.take_log(), ["fault refused: deribit: request refused: no such channel", "Trade live none"]);
    bench.grant = true;
    bench.wait_ms(61_000);
    let again = r#""method":"public/subscribe","params":{"channels":["trades.BTC-24SEP21-40000-P.100ms"]}"#;
    assert!(bench.take_sent().iter().any(|text| text.contains(again)));
}
