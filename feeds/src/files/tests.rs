//! Files as feeds: small captures written here, played into a sink.

use super::*;
use crate::adapter::Sink;
use crate::settings::ReplaySettings;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use wire::event::{Batch, EventBody, FeedState};

/// A pcap file of datagrams, as if captured in microseconds.
fn pcap(datagrams: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(65_535_u32.to_le_bytes());
    file.extend(101_u32.to_le_bytes());
    for (second, payload) in datagrams {
        let length = payload.len() as u32 + 28;
        for field in [*second, 500, length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        file.extend([0, 1, 0, 2]);
        file.extend((payload.len() as u16 + 8).to_be_bytes());
        file.extend([0, 0]);
        file.extend(payload);
    }
    file
}

/// A segment of DEEP with one message each.
fn segment(first: i64, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0, 4, 0x80, 1, 0, 0, 0, 7, 0, 0, 0];
    bytes.extend((message.len() as u16 + 2).to_le_bytes());
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(((first - 1) * 32).to_le_bytes());
    bytes.extend(first.to_le_bytes());
    bytes.extend(first.to_le_bytes());
    bytes.extend((message.len() as u16).to_le_bytes());
    bytes.extend(message);
    bytes
}

/// A buy level of `symbol`, complete.
fn level(symbol: &str, price: i64) -> Vec<u8> {
    let mut message = vec![b'8', 1];
    message.extend(1_000_000_000i64.to_le_bytes());
    message.extend(format!("{symbol:8}").bytes());
    message.extend(7u32.to_le_bytes());
    message.extend(price.to_le_bytes());
    message
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn say(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

impl Sink for Heard {
    fn publish(&mut self, batch: &Batch) {
        for event in &batch.events {
            match &event.body {
                EventBody::Instrument(instrument) => self.say(&instrument.symbol),
                EventBody::Book { snapshot, .. } => self.say(if *snapshot { "whole" } else { "book" }),
                EventBody::State { state, .. } => self.say(state.name()),
                EventBody::Link { state, .. } => self.say(&format!("link {state}")),
                EventBody::Gap { .. } => self.say("gap"),
                _ => {}
            }
        }
    }

    fn instruments_known(&mut self) {
        self.say("known");
    }
}

/// Plays until the feed says that it is down.
async fn play(settings: &FeedSettings) -> Vec<String> {
    let heard = Heard::default();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(crate::start(settings, Box::new(heard.clone()), stopped).unwrap());
    for _ in 0..1_000 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        if heard.0.lock().unwrap().last().is_some_and(|last| last == "link down") {
            break;
        }
    }
    stop.send(true).unwrap();
    running.await.unwrap();
    heard.0.lock().unwrap().clone()
}

fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    (folder, file)
}

#[tokio::test]
async fn captures_are_played_as_a_feed() {
    let (_folder, file) = written("deep.pcap", &pcap(&[(1, segment(1, &level("AAPL", 1))), (9, segment(2, &level("AAPL", 2)))]));
    let files = FileSettings { files: vec![file.clone()], speed: 0.0, repeat: false };
    let iex = FeedSettings { iex: Some(files), ..FeedSettings::of_venue("iex") };
    // What a replay calls live is a replay; nothing is left when it is over.
    let expected = ["AAPL", "replay", "replay", "book", "book", "known", "link down"];
    assert_eq!(play(&iex).await, expected);
    // The same by the way of all recordings.
    let replay = ReplaySettings { venue: "iex".to_owned(), files: vec![file], speed: 0.0, repeat: false };
    let replay = FeedSettings { replay: Some(replay), ..FeedSettings::of_venue("replay") };
    assert_eq!(play(&replay).await, expected);
    assert!(crate::registry::quotes_from_books(&iex) && crate::registry::is_recording(&replay));
    assert_eq!(crate::registry::topic_venue(&replay), "iex");
    assert_eq!(FeedState::Replay.name(), "replay");
}

#[tokio::test]
async fn pace_is_that_of_the_capture() {
    let (_folder, file) = written("deep.pcap", &pcap(&[(1, segment(1, &level("AAPL", 1))), (3, segment(2, &level("AAPL", 2)))]));
    let files = FileSettings { files: vec![file], speed: 10.0, repeat: false };
    let started = std::time::Instant::now();
    play(&FeedSettings { iex: Some(files), ..FeedSettings::of_venue("iex") }).await;
    assert!(started.elapsed() >= std::time::Duration::from_millis(200), "two seconds at ten times the speed");
}

#[test]
fn what_cannot_be_played_is_said_before() {
    let (_folder, good) = written("deep.pcap", &pcap(&[(1, segment(1, &level("AAPL", 1)))]));
    let (_other, bad) = written("x.pcap", b"not a capture at all, but long enough to be one");
    let start = |files: Vec<PathBuf>, speed: f64, symbols: &[&str]| {
        let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
        let iex = Some(FileSettings { files, speed, repeat: false });
        let settings = FeedSettings { symbols, iex, ..FeedSettings::of_venue("iex") };
        crate::start(&settings, Box::new(Heard::default()), watch::channel(false).1).err().map(|error| error.to_string())
    };
    assert_eq!(start(vec![good.clone()], 0.0, &[]), None);
    for (error, part) in [
        (start(vec![], 0.0, &[]), "feed 'iex': names no files"),
        (start(vec![good.clone()], -1.0, &[]), "speed -1 is neither 0 nor"),
        (start(vec![bad], 0.0, &[]), "x.pcap: not a pcap or pcap-ng capture"),
        (start(vec!["nowhere.pcap".into()], 0.0, &[]), "nowhere.pcap: No such file or directory"),
        (start(vec![good], 0.0, &["TOOLONGASYMBOL"]), "'TOOLONGASYMBOL' is not a symbol of iex"),
    ] {
        assert!(error.as_ref().is_some_and(|error| error.contains(part)), "{error:?}");
    }
    let none = crate::start(&FeedSettings::of_venue("iex"), Box::new(Heard::default()), watch::channel(false).1);
    assert_eq!(none.err().unwrap().to_string(), "feed 'iex': needs a [feeds.iex] block with files");
}

/// All the tape has: steps, and the first error.
fn drain(bytes: &[u8]) -> (usize, Option<FileError>, Vec<String>) {
    let (_folder, file) = written("x", bytes);
    let opened = tape("iex", &[file], &FeedSettings::of_venue("iex")).unwrap();
    let mut tape = match opened {
        Ok(tape) => tape,
        Err(error) => return (0, Some(error), Vec::new()),
    };
    let mut out = Output::default();
    let mut steps = 0;
    loop {
        match tape.next(&mut out) {
            Ok(Some(_)) => steps += 1,
            Ok(None) => return (steps, None, tape.remarks()),
            Err(error) => return (steps, Some(error), tape.remarks()),
        }
        out.clear();
    }
}

#[test]
fn a_torn_capture_is_read_to_the_tear() {
    let whole = pcap(&[(1, segment(1, &level("AAPL", 1))), (2, segment(2, &level("AAPL", 2)))]);
    let (steps, error, remarks) = drain(&whole);
    assert!(steps == 2 && error.is_none() && remarks.is_empty(), "{error:?} {remarks:?}");
    for length in 24..whole.len() {
        let (steps, error, _) = drain(&whole[..length]);
        assert!(steps <= 2 && error.is_none(), "{length}: {error:?}");
    }
    let (steps, _, remarks) = drain(&whole[..whole.len() - 1]);
    assert_eq!(steps, 2, "the last packet is read as far as it goes");
    assert!(remarks.iter().any(|remark| remark.contains("ends in the middle of a packet")), "{remarks:?}");
    // A packed one as well.
    let many: Vec<_> = (1..3_000).map(|number| (number, segment(i64::from(number), &level("AAPL", i64::from(number))))).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &pcap(&many)).unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(drain(&packed).0, many.len());
    let (steps, error, remarks) = drain(&packed[..packed.len() / 2]);
    assert!(
        steps > many.len() / 4 && steps < many.len() && error.is_none() && remarks.len() == 1,
        "{steps} {error:?} {remarks:?}"
    );
}

proptest::proptest! {
    #[test]
    fn damaged_captures_are_survived(changes in proptest::collection::vec((proptest::prelude::any::<u16>(), proptest::prelude::any::<u8>()), 1..20)) {
        let mut bytes = pcap(&[(1, segment(1, &level("AAPL", 1))), (2, segment(2, &level("AAPL", 2))), (3, vec![7; 30])]);
        for (at, to) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = to;
        }
        drain(&bytes);
    }
}
