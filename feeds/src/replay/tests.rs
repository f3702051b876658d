//! A small adapter played by a written recording: lines, answers and time must be what the recording says.

use super::*;
use crate::adapter::{Action, Adapter, Fetch, FetchError, Line, Now, Output, VenueCaps};
use crate::recording::{Body, Entry, Rotation, Writer};
use crate::registry;
use crate::settings::FeedSettings;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use wire::decimal::Decimal;
use wire::event::{Cause, Channel, EventBody};

const SECOND: i64 = 1_000_000_000;

/// Writes down what happens to it; asks for a snapshot at its first message and whenever an answer is "old".
struct Diary {
    caps: VenueCaps,
    lines: Arc<Mutex<Vec<String>>>,
    ticks: u32,
    fetches: u64,
}

impl Diary {
    fn note(&self, now: Now, text: impl std::fmt::Display) {
        self.lines.lock().unwrap().push(format!("{} {text}", (now.wall - 100 * SECOND) / 1_000_000));
    }

    fn fetch(&mut self, url: &str, out: &mut Output) {
        out.actions.push(Action::Fetch { fetch: Fetch(self.fetches), url: url.into(), weight: 1, post: false });
        self.fetches += 1;
    }
}

impl Adapter for Diary {
    fn venue(&self) -> &str {
        "diary"
    }

    fn caps(&self) -> &VenueCaps {
        &self.caps
    }

    fn start(&mut self, now: Now, out: &mut Output) {
        self.note(now, "start");
        self.fetch("http://here/api/v3/exchangeInfo?symbols=[]", out);
    }

    fn on_open(&mut self, now: Now, line: Line, out: &mut Output) {
        self.note(now, format_args!("open {}", line.0));
        out.actions.push(Action::Send { line, text: r#"{"method":"SUBSCRIBE","params":[],"id":41}"#.into() });
    }

    fn on_message(&mut self, now: Now, line: Line, payload: &mut Vec<u8>, out: &mut Output) {
        self.note(now, format_args!("line {}: {}", line.0, String::from_utf8_lossy(payload)));
        if payload.ends_with(b"first") {
            self.fetch("http://here/api/v3/depth?symbol=A&limit=5000", out);
        }
    }

    fn on_response(&mut self, now: Now, fetch: Fetch, result: Result<Vec<u8>, FetchError>, out: &mut Output) {
        let text = result.map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned());
        self.note(now, format_args!("answer {}: {text:?}", fetch.0));
        if fetch == Fetch(0) {
            out.actions.push(Action::Open { line: Line(5), url: "ws://here/stream?streams=a".into() });
        }
        if text.is_ok_and(|text| text.contains("old")) {
            self.fetch("http://here/api/v3/depth?limit=5000&symbol=A", out);
        }
    }

    fn on_close(&mut self, now: Now, line: Line, cause: Cause, _: &mut Output) {
        self.note(now, format_args!("close {}: {cause}", line.0));
    }

    fn on_tick(&mut self, _: Now, _: &mut Output) {
        self.ticks += 1;
    }

    fn instruments_known(&self) -> bool {
        true
    }
}

/// A recording of these, whose times are milliseconds.
fn recorded(entries: &[(i64, Body)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), "diary", Rotation::default()).unwrap();
    for (millis, body) in entries {
        writer.write(&Entry { time: 100 * SECOND + millis * 1_000_000, body: body.clone() }).unwrap();
    }
    writer.finish().unwrap();
    let files = writer.files().to_vec();
    (folder, files)
}

fn played(entries: &[(i64, Body)]) -> Vec<String> {
    let (_folder, files) = recorded(entries);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let caps = VenueCaps {
        silence_ms: 1,
        messages_per_second: 1,
        connects_per_five_minutes: 1,
        weight_per_minute: 1,
        max_connection_age_s: 0,
        max_message_bytes: 1,
        key_header: None,
    };
    let diary = Diary { caps, lines: Arc::clone(&lines), ticks: 0, fetches: 0 };
    let survey = Survey::take(&files, registry::dialect("binance").unwrap()).unwrap();
    let mut player = Player::new(Box::new(diary), &files, survey).unwrap();
    let mut last = i64::MIN;
    while let Some(time) = player.next_time() {
        assert!(time >= last, "time never runs back");
        last = time;
        player.step(&mut |_| {}).unwrap();
    }
    drop(player);
    Arc::try_unwrap(lines).unwrap().into_inner().unwrap()
}

fn received(text: &str) -> Body {
    Body::Received { line: 0, bytes: text.into() }
}

fn depth(text: &str) -> Body {
    Body::Response { url: "https://there/api/v3/depth?symbol=A&limit=10".into(), status: 200, bytes: text.into() }
}

#[test]
fn without_connects_and_answers_the_adapter_is_played_all_the_same() {
    let lines = played(&[(0, received("first")), (300, received("second")), (200, received("late"))]);
    assert_eq!(
        lines,
        [
            "0 start",
            r#"0 answer 0: Err(Io("the recording holds no answer to exchangeInfo"))"#,
            "0 open 5",
            r#"0 line 5: {"result":null,"id":41}"#,
            "0 line 5: first",
            r#"0 answer 1: Err(Io("the recording holds no answer to depth?symbol=A"))"#,
            "300 line 5: second",
            "300 line 5: late",
        ]
    );
}

#[test]
fn answers_come_at_their_time_or_at_once_if_it_is_past() {
    let info = Body::Response { url: "https://there/api/v3/exchangeInfo".into(), status: 200, bytes: b"info".to_vec() };
    let connect = |line| Body::Connect { line, url: "wss://there/stream?streams=a".into() };
    let lines = played(&[
        (0, info),
        (10, connect(0)),
        (15, received(r#"{"result":null,"id":7}"#)),
        (20, received("first")),
        (30, depth("old")),
        (40, depth("good")),
        (50, Body::Closed { line: 0, reason: "gone".into() }),
        (60, connect(0)),
        (70, received("first")),
        (2_000, received("end")),
    ]);
    assert_eq!(
        lines,
        [
            "0 start",
            r#"0 answer 0: Ok("info")"#,
            "10 open 5",
            r#"10 line 5: {"result":null,"id":41}"#,
            "20 line 5: first",
            r#"30 answer 1: Ok("old")"#,
            r#"40 answer 2: Ok("good")"#,
            "50 close 5: disconnected",
            "60 open 5",
            r#"60 line 5: {"result":null,"id":41}"#,
            "70 line 5: first",
            // No newer answer will come, so the last is given again, a second later.
            r#"1100 answer 3: Ok("good")"#,
            "2000 line 5: end",
        ]
    );
}

/// What the real adapter makes of it: states and sizes of book updates, faults.
fn books_of(entries: &[(i64, Body)]) -> Vec<String> {
    let (_folder, files) = recorded(entries);
    let survey = Survey::take(&files, registry::dialect("binance").unwrap()).unwrap();
    let settings = adapter_settings(&FeedSettings::of_venue("binance"), "binance", &survey);
    let mut player = Player::new(registry::adapter("binance", &settings).unwrap(), &files, survey).unwrap();
    let mut lines = Vec::new();
    while player.next_time().is_some() {
        let note = |output: &Output| {
            lines.extend(output.faults.iter().map(|fault| fault.detail.clone()));
            lines.extend(output.batch.events.iter().filter_map(|event| match &event.body {
                EventBody::Book { bids, snapshot, .. } => Some(format!("book {snapshot} {}", output.batch.levels(bids).len())),
                EventBody::State { channel: Some(Channel::Book), state, .. } => Some(format!("{state:?}")),
                _ => None,
            }));
        };
        player.step(&mut { note }).unwrap();
    }
    lines
}

fn diff(first: u64, last: u64) -> Body {
    received(&format!(
        r#"{{"stream":"ab@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"AB","U":{first},"u":{last},"b":[["{last}.0","1.0"]],"a":[]}}}}"#
    ))
}

fn snapshot(last: u64) -> Body {
    let bytes =
        format!(r#"{{"lastUpdateId":{last},"bids":[["1.0","1.0"],["2.0","1.0"],["3.0","1.0"]],"asks":[["900.0","1.0"]]}}"#);
    Body::Response { url: "https://there/api/v3/depth?symbol=AB&limit=5000".into(), status: 200, bytes: bytes.into() }
}

#[test]
fn a_replay_has_no_pauses_of_its_own() {
    let connect = || Body::Connect { line: 0, url: "wss://there/stream".into() };
    let refused = Body::Response { url: "https://there/api/v3/depth?symbol=AB&limit=5000".into(), status: 503, bytes: vec![] };
    let lines = books_of(&[
        (0, connect()),
        (10, diff(11, 12)),
        (20, refused),
        // Sooner than any adapter would have asked again.
        (30, diff(13, 14)),
        (40, snapshot(14)),
        (50, diff(15, 16)),
        (60, diff(17, 18)),
        // A hole, and its snapshot is not among the answers.
        (500, diff(21, 22)),
        (600, Body::Closed { line: 0, reason: "silence".into() }),
        (900, connect()),
        (910, snapshot(30)),
        (920, received("{}")),
    ]);
    assert_eq!(
        lines,
        [
            "Starting",
            "AB: HTTP status 503",
            "Resyncing",
            "book true 3",
            "book false 1",
            "book false 1",
            "Live",
            "AB: 2 book updates missing before 21",
            "Resyncing",
            "book true 3",
            "Live",
        ]
    );
}

#[test]
fn a_survey_knows_how_fine_the_numbers_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let lines = concat!(
        r#"1000000 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":7,"u":9,"b":[["61000.50000000","0.00000000"]],"a":[]}}"#,
        "\n",
        r#"2000000 {"lastUpdateId":8,"bids":[["60000.00000000","0.01000000"]],"asks":[]}"#,
        "\n",
        r#"3000000 {"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","s":"BTCUSDT","a":1,"p":"61000.00000000","q":"0.12300000","T":1,"m":true}}"#,
        "\n",
    );
    std::fs::write(&path, lines).unwrap();
    let survey = Survey::take(&[path], registry::dialect("binance").unwrap()).unwrap();
    let symbol = &survey.notes.symbols["BTCUSDT"];
    assert_eq!((symbol.price_exponent, symbol.size_exponent), (-1, -3));
    assert!(survey.only_aggregated_trades() && !survey.notes.has_listing && survey.entries == 3);
    let made = survey.instruments();
    assert_eq!((made[0].symbol.as_str(), made[0].native.as_str()), ("BTC-USDT", "BTCUSDT"));
    assert_eq!((made[0].tick, made[0].lot), (Decimal::new(1, -1), Decimal::new(1, -3)));
}
