//! The demo of docs/demo-three-paces.md: the program itself, three subscribers of one recording, and totals that agree to the last digit.

use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// The recording lasts four seconds at the script's speed, and three more are waited for.
const LONGEST_S: &str = "28";

#[tokio::test]
async fn three_paces_come_to_the_same_totals() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // `timeout` ends the server and the watches of the script too, whatever happens.
    let mut script = Command::new("timeout");
    script.args([LONGEST_S, "bash"]).arg(root.join("docs/three-paces.sh")).env("TICKWIRE", env!("CARGO_BIN_EXE_tickwire"));
    script.env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = script.output().await.expect("the script starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    let totals: Vec<_> = out.lines().filter_map(|line| line.split_once('{')).map(|(_, totals)| totals).collect();
    assert_eq!(totals.len(), 3, "{out}");
    assert!(totals.iter().all(|each| each == &totals[0]), "{out}");
    // What an independent script counted in the recording.
    let golden = std::fs::read_to_string(root.join("feeds/samples/binance_audit.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let golden = &golden["symbols"]["BTCUSDT"];
    let total: serde_json::Value = serde_json::from_str(&format!("{{{}", totals[0])).unwrap();
    assert_eq!((&total["count"], &total["volume"]), (&golden["trades"], &golden["trade_qty_sum"]), "{out}");
    let records = |name: &str| -> u64 {
        let line = out.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{out}"))
    };
    assert_eq!(records("realtime"), records("paced"));
    assert!(records("summary") < records("realtime"), "a summary stands for many: {out}");
}
