//! What the audit says of binary files that others recorded.

use crate::cli::audit::audit;
use std::path::{Path, PathBuf};

/// `None`, said aloud, where the captured data is not there; in CI that is a failure.
fn captured(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    println!("SKIPPED: {} is missing", path.display());
    None
}

#[test]
fn a_capture_of_deep_adds_up() {
    let Some(file) = captured("iex/DEEP10.pcap.gz") else { return };
    let report = audit("iex", &[file]).unwrap();
    let json = report.json();
    for (name, count) in [("messages T", 83_343), ("messages 8", 12_949), ("restarts", 11), ("gaps", 0), ("segments cut short", 1)] {
        assert_eq!(json["feed"][name], count, "{name}");
    }
    let sum = |field: &str| report.symbols.values().filter_map(|symbol| symbol[field].as_u64()).sum::<u64>();
    assert_eq!(sum("trades"), 83_343);
    // Twenty books, an empty one at each of the eleven restarts, and 26,426 complete events.
    assert!(sum("book_messages") - sum("snapshots") == 14_060 + 12_366, "{} {}", sum("book_messages"), sum("snapshots"));
    assert!(report.remarks.iter().any(|remark| remark.contains("books miss updates")), "{:?}", report.remarks);
}

#[test]
fn orders_of_databento_add_up() {
    let Some(file) = captured("databento/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst") else { return };
    let report = audit("databento", &[file]).unwrap();
    assert_eq!(report.json()["feed"]["mbo A"], 13_678);
    let symbol = &report.symbols["ESM4"];
    for (field, expected) in [("trades", "5"), ("trade_qty_sum", "\"6\""), ("book_messages", "185"), ("snapshots", "1"), ("levels", "[976,571]")] {
        assert_eq!(symbol[field].to_string(), expected, "{field}");
    }
    assert_eq!((symbol["final_bids"][0].to_string(), symbol["final_asks"][0].to_string()), ("[\"5214\",\"28\"]".into(), "[\"5214.25\",\"17\"]".into()));
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
}

#[test]
fn bad_files_are_one_clear_line() {
    let workspace = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    for (venue, file, part) in [
        ("iex", "nowhere.pcap", "nowhere.pcap: No such file or directory"),
        ("databento", "Cargo.toml", "Cargo.toml: not a DBN file"),
        ("iex", "Cargo.toml", "Cargo.toml: not a pcap or pcap-ng capture"),
    ] {
        let error = audit(venue, &[workspace(file)]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(text.ends_with(part) && !text.contains('\n'), "{text}");
    }
}
