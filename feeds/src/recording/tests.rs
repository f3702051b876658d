//! Recordings of every format, whole, torn and broken.

use super::*;
use std::io::Write;
use std::path::{Path, PathBuf};

fn entries(files: &[PathBuf]) -> (Vec<Entry>, Vec<Tear>) {
    let mut recording = Recording::open(files).unwrap();
    let entries = recording.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    (entries, recording.tears().to_vec())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn sample() -> Vec<Entry> {
    let bodies = [
        Body::Connect { line: 0, url: "wss://venue/stream".into() },
        Body::Sent { line: 0, bytes: b"{\"method\":\"SUBSCRIBE\"}".to_vec() },
        Body::Response { url: "https://venue/api/v3/depth?symbol=A".into(), status: 503, bytes: Vec::new() },
        Body::Received { line: 0, bytes: b"{\"e\":1}\n{}".to_vec() },
        Body::Received { line: 1, bytes: vec![0, 255, 10, 13, 0] },
        Body::Dropped { entries: 7 },
        Body::Closed { line: 0, reason: "disconnected".into() },
    ];
    bodies.into_iter().enumerate().map(|(at, body)| Entry { time: 1_723_161_253_937_085_768 + at as i64, body }).collect()
}

#[test]
fn own_format_keeps_every_byte_across_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), "binance", Rotation { file_bytes: 200, ..Rotation::default() }).unwrap();
    for entry in sample().iter().chain(&sample()) {
        writer.write(entry).unwrap();
    }
    writer.finish().unwrap();
    assert!(writer.files().len() > 1);
    let (read, tears) = entries(writer.files());
    assert_eq!(read, [sample(), sample()].concat());
    assert!(tears.is_empty());
}

#[test]
fn a_killed_recorder_loses_only_what_was_not_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), "binance", Rotation::default()).unwrap();
    for entry in &sample() {
        writer.write(entry).unwrap();
    }
    writer.flush().unwrap();
    // What is on disk now, with the frame still open: the state a SIGKILL leaves behind.
    let killed = write(folder.path(), "killed", &std::fs::read(&writer.files()[0]).unwrap());
    let (read, tears) = entries(std::slice::from_ref(&killed));
    assert_eq!(read, sample());
    assert_eq!((tears.len(), tears[0].line), (1, 7));
    assert!(tears[0].to_string().contains("torn after line 7"), "{}", tears[0]);
    // A tear in the middle of a record, in a plain file.
    let mut plain = b"tickwire-recording 1 binance\n".to_vec();
    for entry in &sample() {
        own::put(&mut plain, entry).unwrap();
    }
    for cut in 30..plain.len() {
        let torn = write(folder.path(), "torn", &plain[..cut]);
        let (read, tears) = entries(std::slice::from_ref(&torn));
        assert_eq!(read, sample()[..read.len()], "cut at {cut}");
        assert!(read.len() == tears.first().map_or(read.len(), |tear| tear.line as usize));
    }
}

#[test]
fn the_recorder_thread_writes_what_it_was_given_and_counts_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (tap, recorder) = Recorder::start(folder.path(), "binance", Rotation::default()).unwrap();
    for entry in sample() {
        tap.record(entry);
    }
    // Larger than the queue may hold: dropped and marked, not waited for.
    tap.record(Entry { time: 1, body: Body::Received { line: 0, bytes: vec![0; 65 << 20] } });
    assert_eq!(recorder.tally().dropped, 1);
    tap.record(Entry { time: 2, body: Body::Received { line: 0, bytes: vec![1] } });
    drop(tap);
    let (files, tally) = recorder.finish().unwrap();
    assert_eq!(tally, Tally { recorded: 8, dropped: 1, ..Tally::default() });
    let (read, _) = entries(&files);
    assert!(read.contains(&Entry { time: 2, body: Body::Received { line: 0, bytes: vec![1] } }));
    assert!(read.iter().any(|entry| entry.body == Body::Dropped { entries: 1 }));
}

#[test]
fn cryptofeed_lines_are_merged_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let text = concat!(
        "{\"t\":\"header\",\"format\":2,\"exchange\":\"X\"}\n",
        "{\"t\":\"http\",\"conn\":\"X.http.0\",\"ts\":3.5,\"url\":\"https://x/api/v3/depth?symbol=A&limit=10\",\"data\":\"{\\\"a\\\":\\\"\\u00e9\\\"}\"}\n",
        "{\"t\":\"connect\",\"conn\":\"X.ws.1\",\"ts\":1.000000001,\"addr\":\"wss://x/stream\"}\n",
        "{\"t\":\"recv\",\"conn\":\"X.ws.1\",\"ts\":4.5,\"data\":\"late\"}\n",
        "{\"t\":\"connect\",\"conn\":\"X.ws.2\",\"ts\":2,\"addr\":\"wss://x/b\"}\n",
        "{\"t\":\"recv\",\"conn\":\"X.ws.2\",\"ts\":3,\"b64\":\"AAE=\"}\n",
        "{\"t\":\"recv\",\"conn\":\"X.ws.2\",\"ts\":4.5,\"data\":\"later\"}\n",
    );
    let file = write(folder.path(), "x.jsonl.zst", &zstd::encode_all(text.as_bytes(), 3).unwrap());
    let (read, tears) = entries(&[file]);
    assert!(tears.is_empty());
    let second = 1_000_000_000;
    let expected = [
        (second + 1, Body::Connect { line: 0, url: "wss://x/stream".into() }),
        (2 * second, Body::Connect { line: 1, url: "wss://x/b".into() }),
        (3 * second, Body::Received { line: 1, bytes: vec![0, 1] }),
        (
            3 * second + second / 2,
            Body::Response {
                url: "https://x/api/v3/depth?symbol=A&limit=10".into(),
                status: 200,
                bytes: "{\"a\":\"é\"}".as_bytes().to_vec(),
            },
        ),
        (4 * second + second / 2, Body::Received { line: 0, bytes: b"late".to_vec() }),
        (4 * second + second / 2, Body::Received { line: 1, bytes: b"later".to_vec() }),
    ];
    assert_eq!(read, expected.map(|(time, body)| Entry { time, body }));
}

#[test]
fn hft_snapshots_get_the_symbol_whose_ids_are_near() {
    let folder = tempfile::tempdir().unwrap();
    let text = concat!(
        "10 {\"lastUpdateId\":99,\"bids\":[],\"asks\":[]}\n",
        "11 {\"stream\":\"a@depth\",\"data\":{\"e\":\"depthUpdate\",\"s\":\"A\",\"U\":98,\"u\":100}}\n",
        "12 {\"stream\":\"b@depth\",\"data\":{\"e\":\"depthUpdate\",\"s\":\"B\",\"U\":7000,\"u\":7100}}\n",
        "13 {\"lastUpdateId\":105,\"bids\":[],\"asks\":[]}\n",
        "14 {\"lastUpdateId\":7101,\"bids\":[],\"asks\":[]}\n",
    );
    let two_members = [gzip(&text.as_bytes()[..60]), gzip(&text.as_bytes()[60..])].concat();
    let (read, _) = entries(&[write(folder.path(), "x.gz", &two_members)]);
    let urls: Vec<_> = read
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::Response { url, .. } => Some((entry.time, url.as_str())),
            _ => None,
        })
        .collect();
    let depth = ["/api/v3/depth?symbol=A", "/api/v3/depth?symbol=A", "/api/v3/depth?symbol=B"];
    assert_eq!(urls, [(10, depth[0]), (13, depth[1]), (14, depth[2])]);
    assert_eq!(read.len(), 5);
}

#[test]
fn says_which_file_and_line_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |name: &str, bytes: &[u8]| -> String {
        let file = write(folder.path(), name, bytes);
        match Recording::open(&[file]) {
            Ok(recording) => recording.filter_map(Result::err).next().unwrap().to_string(),
            Err(error) => error.to_string(),
        }
    };
    for (name, bytes, parts) in [
        ("empty", &b""[..], ["empty", "the file is empty"]),
        ("text", b"hello\nworld\n", ["text", "not a recording"]),
        ("hft", b"1 {}\nx {}\n", ["hft: line 2", "expected '<receive ns> <message>'"]),
        ("json", b"{\"t\":\"recv\",\"conn\":\"a\",\"ts\":1}\n{oops\n", ["json: line 2", "key must be a string"]),
        ("json2", b"{\"t\":\"recv\",\"conn\":\"a\",\"ts\":\"1\"}\n", ["json2: line 1", "'ts' is not a time"]),
        ("own", b"tickwire-recording 1 x\nR 1 0 2\nabc\n", ["own: line 1", "does not end where its length says"]),
        ("own2", b"tickwire-recording 1 x\nR 1 0 99999999999\n", ["own2: line 1", "longer than"]),
        ("own3", b"tickwire-recording 1 x\nQ 1 0 2\nab\n", ["own3: line 1", "'Q 1 0 2' does not start a record"]),
    ] {
        let error = fails(name, bytes);
        assert!(parts.iter().all(|part| error.contains(part)), "{name}: {error}");
    }
    let missing = Recording::open(&[folder.path().join("nowhere")]).err().unwrap().to_string();
    assert!(missing.contains("nowhere: No such file"), "{missing}");
    // A damaged gzip file is an error, not a tear: its bytes cannot be trusted.
    let mut damaged = gzip("1 {\"a\":1}\n".repeat(5000).as_bytes());
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    assert!(fails("damaged.gz", &damaged).contains("damaged.gz"));
}
