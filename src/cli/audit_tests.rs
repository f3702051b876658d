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
fn captured(path: &str) -> Option<PathBuf> {
    let path = workspace("../shared/data").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    println!("SKIPPED: {} is missing", path.display());
    None
}

/// `cut`: symbols whose sizes have more digits than 64 bits hold beside the largest, so that what shows sizes is not compared.
fn golden(key: &str, venue: &str, files: &[&str], cut: &[&str]) {
    let Some(golden) = captured("_golden/books_golden.json") else { return };
    let Some(files) = files.iter().map(|file| captured(file)).collect::<Option<Vec<_>>>() else { return };
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let report = audit(venue, &files).unwrap();
    let golden = symbols_of(&golden[key]);
    // Trades are compared where the other side read any.
    let trades_count = golden.values().any(|symbol| symbol.get("trades").is_some());
    for (symbol, expected) in &golden {
        let mut found = report.symbols.get(symbol).cloned();
        if let Some(Value::Object(found)) = found.as_mut().filter(|_| !trades_count) {
            found.retain(|name, _| !["trades", "trade_qty_sum", "first_price", "last_price"].contains(&name.as_str()));
        }
        let mut expected = expected.clone();
        if cut.contains(&symbol.as_str()) {
            for entry in [Some(&mut expected), found.as_mut()].into_iter().flatten().filter_map(Value::as_object_mut) {
                entry.retain(|name, _| !name.starts_with("bbo") && !name.starts_with("final"));
            }
        }
        assert_eq!(found.as_ref(), Some(&expected), "{symbol}\n{}", report.remarks.join("\n"));
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
    ($($test:ident: $venue:literal, [$($file:literal),+] $(as $key:literal)? $(cut [$($cut:literal),+])?;)+) => {$(
        #[test]
        fn $test() {
            let files = [$($file),+];
            let key = [$($key,)? files[0]][0];
            golden(key, $venue, &files, &[$($($cut),+)?]);
        }
    )+};
}

golden! {
    binance_spot_of_2021: "binance-spot", ["binance-spot/cryptofeed_BINANCE.jsonl.zst"];
    binance_spot_of_2024: "binance-spot", ["binance-spot/hft_btcusdt_20240808.gz", "binance-spot/hft_btcusdt_20240809.gz"]
        as "binance-spot/hft_btcusdt_202408";
    binance_us: "binance-us", ["binance-us/cryptofeed_BINANCE_US.jsonl.zst"];
    bitget: "bitget", ["bitget/cryptofeed_BITGET.jsonl.zst"];
    deribit: "deribit", ["deribit/cryptofeed_DERIBIT.jsonl.zst"];
    htx: "htx", ["htx/cryptofeed_HUOBI.jsonl.zst"] cut ["omgbtc"];
    htx_swap: "htx-swap", ["htx-swap/cryptofeed_HUOBI_SWAP.jsonl.zst"];
    kraken_v2: "kraken-v2", ["kraken-v2/captured_raw_text_btcusd_d10_20260719T1754.json.gz"];
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
