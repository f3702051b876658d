//! The sample recording as a feed: marked as a replay, complete, down at its end, and without new epochs when repeated.

use super::*;
use crate::adapter::Fault;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
struct Seen {
    announced: Vec<String>,
    states: Vec<(u32, FeedState)>,
    links: Vec<(u32, FeedState)>,
    trades: usize,
    snapshots: usize,
    gaps: usize,
    known: usize,
    faults: usize,
    messages: usize,
    bytes: usize,
}

struct Recorder(Arc<Mutex<Seen>>);

impl Sink for Recorder {
    fn publish(&mut self, batch: &Batch) {
        let mut seen = self.0.lock().unwrap();
        for event in &batch.events {
            match &event.body {
                EventBody::Instrument(instrument) => seen.announced.push(instrument.symbol.clone()),
                EventBody::State { state, .. } => seen.states.push((event.instrument, *state)),
                EventBody::Link { link, state, .. } => seen.links.push((*link, *state)),
                EventBody::Trade(_) => seen.trades += 1,
                EventBody::Book { snapshot: true, .. } => seen.snapshots += 1,
                EventBody::Gap { channel: Channel::Trade, .. } => seen.gaps += 1,
                _ => {}
            }
        }
    }

    fn instruments_known(&mut self) {
        self.0.lock().unwrap().known += 1;
    }

    fn faults(&mut self, faults: &[Fault]) {
        self.0.lock().unwrap().faults += faults.len();
    }

    fn message(&mut self, bytes: usize) {
        let mut seen = self.0.lock().unwrap();
        seen.messages += 1;
        seen.bytes += bytes;
    }
}

fn settings(symbols: &[&str], speed: f64, repeat: bool) -> FeedSettings {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/binance.twr");
    let replay = ReplaySettings { venue: "binance-spot".to_owned(), files: vec![sample], speed, repeat };
    let symbols = symbols.iter().map(ToString::to_string).collect();
    FeedSettings { symbols, replay: Some(replay), ..FeedSettings::of_venue("replay") }
}

async fn run_for(settings: &FeedSettings, time: Duration) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (stop, stopped) = watch::channel(false);
    let feed = start(settings, Box::new(Recorder(Arc::clone(&seen))), stopped).unwrap();
    let end = async {
        tokio::time::sleep(time).await;
        stop.send_replace(true);
    };
    tokio::join!(feed, end);
    let mut seen = seen.lock().unwrap();
    std::mem::take(&mut *seen)
}

#[tokio::test]
async fn everything_comes_marked_as_a_replay() {
    let settings = settings(&[], 0.0, false);
    assert_eq!(registry::topic_venue(&settings), "binance");
    let seen = run_for(&settings, Duration::from_secs(1)).await;
    // LRC-BTC a second time: its snapshot is finer than its tick.
    assert_eq!(seen.announced, ["BTC-USDT", "LRC-BTC", "LRC-BTC"]);
    assert_eq!((seen.known, seen.snapshots, seen.gaps), (1, 3, 0));
    assert!(seen.trades > 20 && seen.faults > 0);
    assert!(seen.messages > seen.trades && seen.bytes > 100 * seen.trades, "{} of {} bytes", seen.messages, seen.bytes);
    assert!(seen.states.contains(&(0, FeedState::Replay)) && !seen.states.iter().any(|(_, state)| *state == FeedState::Live));
    assert_eq!(seen.links, [(0, FeedState::Down)], "at the end");
}

#[tokio::test]
async fn a_repeat_is_told_and_changes_no_instrument() {
    let seen = run_for(&settings(&["BTC-USDT"], 200.0, true), Duration::from_millis(600)).await;
    assert_eq!(seen.announced, ["BTC-USDT"]);
    assert!(seen.gaps >= 1 && seen.snapshots > 2 && seen.known == 1);
}

#[test]
fn wrong_settings_are_said_before_it_starts() {
    let refused = |settings: &FeedSettings| {
        let (_stop, stopped) = watch::channel(false);
        let sink = Box::new(Recorder(Arc::default()));
        start(settings, sink, stopped).err().expect("refused").to_string()
    };
    let mut wrong = settings(&[], -1.0, false);
    assert!(refused(&wrong).contains("speed -1"));
    wrong = settings(&[], 1.0, false);
    wrong.replay.as_mut().unwrap().venue = "bimance".into();
    assert!(refused(&wrong).contains("unknown venue 'bimance'"));
    wrong = settings(&[], 1.0, false);
    wrong.replay.as_mut().unwrap().files = vec!["nowhere".into()];
    assert!(refused(&wrong).contains("nowhere: No such file"));
}
