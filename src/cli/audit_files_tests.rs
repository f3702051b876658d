//! What the audit says of binary files that others recorded.

use crate::cli::audit::audit;
use crate::cli::audit::tests::captured;
use feeds::venue::itch::generate::{Day, Settings};
use serde_json::{Value, json};
use std::path::Path;
use wire::decimal::plain;
use wire::event::{Level, Side};

#[test]
fn a_capture_of_deep_adds_up() {
    let Some(file) = captured("iex/DEEP10.pcap.gz") else { return };
    let report = audit("iex", &[file]).unwrap();
    let json = report.json();
    for (name, count) in
        [("messages T", 83_343), ("messages 8", 12_949), ("restarts", 11), ("gaps", 0), ("segments cut short", 1)]
    {
        assert_eq!(json["feed"][name], count, "{name}");
    }
    let sum = |field: &str| report.symbols.values().filter_map(|symbol| symbol[field].as_u64()).sum::<u64>();
    assert_eq!(sum("trades"), 83_343);
    // Complete events, and an empty book where a restart ended one.
    assert!(sum("book_messages") - sum("snapshots") == 14_060 + 12_366, "{} {}", sum("book_messages"), sum("snapshots"));
    assert_eq!(report.symbols.values().filter(|symbol| symbol["book_messages"].is_u64()).count(), 20);
    assert!(report.remarks.iter().any(|remark| remark.contains("books miss updates")), "{:?}", report.remarks);
}

#[test]
fn orders_of_databento_add_up() {
    let Some(file) = captured("databento/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst") else { return };
    let report = audit("databento", &[file]).unwrap();
    assert_eq!(report.json()["feed"]["mbo A"], 13_678);
    let symbol = &report.symbols["ESM4"];
    for (field, expected) in
        [("trades", "5"), ("trade_qty_sum", "\"6\""), ("book_messages", "185"), ("snapshots", "1"), ("levels", "[976,571]")]
    {
        assert_eq!(symbol[field].to_string(), expected, "{field}");
    }
    assert_eq!(
        (symbol["final_bids"][0].to_string(), symbol["final_asks"][0].to_string()),
        ("[\"5214\",\"28\"]".into(), "[\"5214.25\",\"17\"]".into())
    );
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
}

#[test]
fn itch_files_add_up_without_a_remainder() {
    let Some(file) = captured("nasdaq-itch/bbekele_first1000.itch") else { return };
    let Some(folder) = captured("nasdaq-itch/omi") else { return };
    let json = audit("itch", &[file]).unwrap().json();
    for (name, count) in [
        ("R StockDirectory", 993),
        ("H TradingAction", 3),
        ("Y RegSho", 3),
        ("S SystemEvent", 1),
        ("messages", 1_000),
        ("unknown types", 0),
        ("length errors", 0),
    ] {
        assert_eq!(json["feed"][name], count, "{name}");
    }
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let json = audit("itch", &files).unwrap().json();
    for (name, count) in
        [("packets", 127), ("messages", 127), ("unknown types", 0), ("length errors", 0), ("A Add", 10), ("P HiddenTrade", 10)]
    {
        assert_eq!(json["feed"][name], count, "{name}");
    }
    let trades: u64 = json["symbols"].as_object().unwrap().values().filter_map(|symbol| symbol["trades"].as_u64()).sum();
    // Ten hidden ones and the two of five crosses in which something was traded. The executions are of orders from before, at stocks that
    // nothing in these files names.
    assert_eq!(trades, 12);
}

#[test]
fn a_made_day_of_itch_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("01302019.itch");
    let mut day = Day::new(Settings { seed: 5, stocks: 3, messages: 3_000 });
    day.write(&mut std::fs::File::create(&path).unwrap()).unwrap();
    let report = audit("itch", &[path]).unwrap();
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
    for (stock, name) in [(0, "AAAA"), (1, "AAAB"), (2, "AAAC")] {
        let symbol = &report.symbols[name];
        let tally = day.tally(stock);
        assert_eq!(
            (symbol["trades"].as_u64(), symbol["trade_qty_sum"].as_str().unwrap().parse()),
            (Some(tally.trades), Ok(tally.shares))
        );
        for (side, field) in [(Side::Bid, "final_bids"), (Side::Ask, "final_asks")] {
            let level = |level: &Level| json!([plain(level.price.into(), -4), plain(level.size.into(), 0)]);
            let expected: Vec<_> = day.levels(stock, side).iter().take(5).map(level).collect();
            assert_eq!(symbol[field], Value::from(expected), "{name}");
        }
    }
}

#[test]
fn bad_files_are_one_clear_line() {
    let workspace = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    for (venue, file, part) in [
        ("iex", "nowhere.pcap", "nowhere.pcap: No such file or directory"),
        ("databento", "Cargo.toml", "Cargo.toml: not a DBN file"),
        ("itch", "Cargo.toml", "Cargo.toml: no data of Nasdaq ITCH in it"),
        ("iex", "Cargo.toml", "Cargo.toml: not a pcap or pcap-ng capture"),
    ] {
        let error = audit(venue, &[workspace(file)]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.ends_with(part) && !text.contains('\n'), "{text}");
    }
}
