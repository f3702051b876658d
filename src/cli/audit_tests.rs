//! What the audit says of recordings whose answers somebody else computed.

use super::audit;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn symbols_of(expected: &Value) -> Map<String, Value> {
    expected["symbols"].as_object().unwrap().clone()
}

/// `None`, said aloud, where the captured data is not there; in CI that is a failure.
pub(in crate::cli) fn captured(path: &str) -> Option<PathBuf> {
    let path = workspace("../shared/data").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    println!("SKIPPED: {} is missing", path.display());
    None
}

/// What we say otherwise than the golden answer: symbol, field, our value. Each has its reason beside it.
type Exception = (&'static str, &'static str, &'static str);

/// `cut`: symbols, and how the names of the fields begin that show sizes with more digits than 64 bits hold.
fn golden(key: &str, venue: &str, files: &[&str], exceptions: &[Exception], cut: &[(&str, &str)]) {
    let Some(golden) = captured("_golden/books_golden.json") else { return };
    let Some(files) = files.iter().map(|file| captured(file)).collect::<Option<Vec<_>>>() else { return };
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let report = audit(venue, &files).unwrap();
    let mut golden = symbols_of(&golden[key]);
    for (symbol, field, ours) in exceptions {
        let theirs = golden[*symbol][*field].as_str().unwrap();
        assert_ne!(theirs, *ours, "{symbol} needs no exception");
        golden[*symbol][*field] = Value::from(*ours);
    }
    // Trades are compared where the other side read any.
    let trades_count = golden.values().any(|symbol| symbol.get("trades").is_some());
    for (symbol, expected) in &golden {
        let mut found = report.symbols.get(symbol).cloned();
        let mut expected = Some(expected.clone());
        for entry in [&mut found, &mut expected].into_iter().flatten().filter_map(Value::as_object_mut) {
            let is_trade = |name: &str| ["trades", "trade_qty_sum", "first_price", "last_price"].contains(&name);
            entry.retain(|name, _| trades_count || !is_trade(name));
            entry.retain(|name, _| !cut.iter().any(|(of, field)| of == symbol && name.starts_with(field)));
        }
        assert_eq!(found, expected, "{symbol}\n{}", report.remarks.join("\n"));
    }
    assert_eq!(report.symbols.len(), golden.len(), "{}", report.remarks.join("\n"));
    println!("{key}: {} symbols equal; {}", golden.len(), report.remarks.join("; "));
}

/// A made recording with everything that makes books hard: diffs before their snapshot, one older than it, prices and sizes finer
/// than tick and lot, a lost diff with a refused and a granted second snapshot, a side that empties.
#[test]
fn the_sample_adds_up() {
    let expected: Value = serde_json::from_slice(&std::fs::read(workspace("feeds/samples/binance_audit.json")).unwrap()).unwrap();
    let report = audit("binance", &[workspace("feeds/samples/binance.twr")]).unwrap();
    assert_eq!(report.symbols, symbols_of(&expected));
    assert!(report.remarks.iter().any(|remark| remark.contains("sequence_gap")), "{:?}", report.remarks);
}

/// One line a recording: name of the test, venue, files. The golden answer is named as the only file, or as given.
macro_rules! golden {
    ($($test:ident: $venue:literal, [$($file:literal),+] $(as $key:literal)? $(but $exception:expr)? $(, cut $cut:expr)?;)+) => {$(
        #[test]
        fn $test() {
            let files = [$($file),+];
            let key = [$($key,)? files[0]][0];
            let cut: &[&[(&str, &str)]] = &[$(&$cut)?];
            golden(key, $venue, &files, &[$($exception)?], &cut.concat());
        }
    )+};
}

golden! {
    binance_coinm_of_2021: "binance-coinm", ["binance-coinm/cryptofeed_BINANCE_DELIVERY.jsonl.zst"];
    binance_coinm_of_2024: "binance-coinm", ["binance-coinm/hft_btcusd_perp_20240808.gz", "binance-coinm/hft_btcusd_perp_20240809.gz"]
        as "binance-coinm/hft_btcusd_perp_202408";
    binance_spot_of_2021: "binance-spot", ["binance-spot/cryptofeed_BINANCE.jsonl.zst"];
    binance_spot_of_2024: "binance-spot", ["binance-spot/hft_btcusdt_20240808.gz", "binance-spot/hft_btcusdt_20240809.gz"]
        as "binance-spot/hft_btcusdt_202408";
    binance_us: "binance-us", ["binance-us/cryptofeed_BINANCE_US.jsonl.zst"];
    binance_usdm_of_2021: "binance-usdm", ["binance-usdm/cryptofeed_BINANCE_FUTURES.jsonl.zst"];
    binance_usdm_of_2024: "binance-usdm", ["binance-usdm/hft_btcusdt_20240808.gz"] as "binance-usdm/hft_btcusdt_202408";
    bybit: "bybit", ["bybit/cryptofeed_BYBIT.jsonl.zst"];
    gate: "gate", ["gateio/cryptofeed_GATEIO.jsonl.zst"];
    bitstamp: "bitstamp", ["bitstamp/cryptofeed_BITSTAMP.jsonl.zst"];
    // Its last message lists two trades newest first; the golden answer took them as they stand, we take them in order of their ids.
    coinbase_advanced: "coinbase", ["coinbase-advanced/cryptofeed_COINBASE.first60pct.jsonl.zst"]
        but ("ETH-USD", "last_price", "1919.5");
    coinbase_exchange: "coinbase-exchange", [
        "coinbase-exchange/cryptofeed_20210417_COINBASE.0.gz",
        "coinbase-exchange/cryptofeed_20210417_COINBASE.ws.28.0.first60pct.gz"
    ] as "coinbase-exchange/cryptofeed_20210417_COINBASE";
    gemini: "gemini", ["gemini/cryptofeed_GEMINI.jsonl.zst"];
    kraken_futures: "kraken-futures", ["kraken-futures/cryptofeed_KRAKEN_FUTURES.jsonl.zst"];
    kraken_v1: "kraken-v1", ["kraken-v1/cryptofeed_KRAKEN.jsonl.zst"];
    bitget: "bitget", ["bitget/cryptofeed_BITGET.jsonl.zst"];
    deribit: "deribit", ["deribit/cryptofeed_DERIBIT.jsonl.zst"];
    // Its last trades come newest first; the golden answer took them as they stand, we take them in order of their ids.
    htx: "htx", ["htx/cryptofeed_HUOBI.jsonl.zst"] but ("fil3susdt", "last_price", "0.00013279"),
        cut [("omgbtc", "bbo"), ("omgbtc", "final"), ("fil3susdt", "final_asks"), ("fil3susdt", "trade_qty_sum")];
    htx_swap: "htx-swap", ["htx-swap/cryptofeed_HUOBI_SWAP.jsonl.zst"];
    kraken_v2: "kraken-v2", ["kraken-v2/captured_raw_text_btcusd_d10_20260719T1754.json.gz"];
    kucoin: "kucoin", ["kucoin/cryptofeed_KUCOIN.jsonl.zst"];
    okx: "okx", ["okx/cryptofeed_OKX.jsonl.zst"];
}

#[test]
fn bad_input_is_one_clear_line() {
    let sample = workspace("feeds/samples/binance.twr");
    for (venue, file, part) in [
        ("bimance", sample.clone(), "unknown venue 'bimance'; known venues: binance"),
        ("binance", workspace("nowhere.zst"), "nowhere.zst: No such file"),
        ("binance", workspace("Cargo.toml"), "Cargo.toml: not a recording"),
    ] {
        let error = audit(venue, &[file]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.contains(part) && !text.contains('\n'), "{text}");
    }
}
