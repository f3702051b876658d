//! `tickwire record` as a process, on an emulated venue: stopped, and killed in the middle.

use feeds::recording::{Body, Recording, Tear};
use feeds::replay::Pace as Speed;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tickwire::emulate::{Emulator, Handle, Options};

const PATIENCE: Duration = Duration::from_secs(60);

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("feeds/samples/binance.twr")
}

fn venue(speed: f64) -> Handle {
    let mut options = Options::new(vec![sample()], Speed::new(speed).unwrap(), ([127, 0, 0, 1], 0).into());
    options.start_delay = Duration::from_millis(500);
    Emulator::bind(options).unwrap().spawn().unwrap()
}

/// Killed if the test ends before it does.
struct Recorder(Child);

impl Recorder {
    fn start(venue: &Handle, out: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
        command.args(["record", "--venue", "binance", "--symbols", "BTC-USDT,!LRCBTC", "--out"]).arg(out);
        command.args(["--ws-url", &format!("ws://{}", venue.address), "--rest-url", &format!("http://{}", venue.address)]);
        Self(command.args(more).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // It is gone already where all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Messages of the market, to the byte, and where the recording is torn.
fn market(files: &[PathBuf]) -> (Vec<Vec<u8>>, Vec<Tear>) {
    let Ok(mut recording) = Recording::open(files) else { return (Vec::new(), Vec::new()) };
    let messages = recording.by_ref().filter_map(|entry| match entry.unwrap().body {
        Body::Received { bytes, .. } if bytes.starts_with(b"{\"stream\"") => Some(bytes),
        _ => None,
    });
    (messages.collect(), recording.tears().to_vec())
}

fn audit(files: &[PathBuf]) -> (Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
    let output = command.args(["audit", "--venue", "binance"]).args(files).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    (serde_json::from_slice(&output.stdout).unwrap(), told)
}

#[test]
fn a_killed_recorder_leaves_all_but_its_last_second() {
    let folder = tempfile::tempdir().unwrap();
    let venue = venue(1.0);
    let mut recorder = Recorder::start(&venue, folder.path(), &[]);
    let begun = Instant::now();
    let seen = loop {
        let (seen, _) = market(&files(folder.path()));
        if seen.len() >= 40 {
            break seen;
        }
        assert!(begun.elapsed() < PATIENCE, "only {} messages", seen.len());
        std::thread::sleep(Duration::from_millis(50));
    };
    // SIGKILL: nothing is closed, nothing is said.
    recorder.0.kill().unwrap();
    recorder.0.wait().unwrap();
    let left = files(folder.path());
    assert!(left.len() == 1 && left[0].to_str().unwrap().ends_with(".twr.zst.part"), "no half file has a final name: {left:?}");
    let (found, tears) = market(&left);
    assert_eq!(tears.len(), 1);
    assert!(found.len() >= seen.len() && found[..seen.len()] == seen, "what was there before is there");
    let (all, _) = market(&[sample()]);
    assert!(found.len() < all.len() && all.starts_with(&found), "{} of {}", found.len(), all.len());
    // It is a recording like any other, and the tear is told.
    let (report, told) = audit(&left);
    assert!(told.contains("torn after line"), "{told}");
    assert!(report["symbols"]["BTCUSDT"]["trades"].as_u64().is_some_and(|trades| trades > 0), "{report}");
    // The next recorder leaves it alone.
    let _next = Recorder::start(&self::venue(1.0), folder.path(), &[]);
    let begun = Instant::now();
    while files(folder.path()).len() < 2 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(market(&left).0, found);
}

#[test]
fn what_is_recorded_is_what_the_venue_sent() {
    let folder = tempfile::tempdir().unwrap();
    let venue = venue(4.0);
    let recorder = Recorder::start(&venue, folder.path(), &["--for", "8s", "--keep-files", "2", "--keep-mib", "64"]);
    let begun = Instant::now();
    let mut child = recorder;
    let status = loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}");
    let left = files(folder.path());
    assert!(left.len() == 1 && left[0].to_str().unwrap().ends_with(".twr.zst"), "{left:?}");
    let (found, tears) = market(&left);
    assert_eq!((&found, tears), (&market(&[sample()]).0, Vec::new()));
    let ((report, _), (original, _)) = (audit(&left), audit(&[sample()]));
    for symbol in ["BTCUSDT", "LRCBTC"] {
        for what in ["final_bids", "final_asks", "trades", "trade_qty_sum", "first_price", "last_price"] {
            assert_eq!(report["symbols"][symbol][what], original["symbols"][symbol][what], "{symbol} {what}");
        }
    }
}
