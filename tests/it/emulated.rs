//! The whole way on real input: a recording, the venue's own protocol on loopback, the real adapter, the server, TLS, a client. What the
//! client ends with is what the recording says, faults or not.

use crate::harness::{TestClient, TestServer};
use feeds::replay::Pace as Speed;
use feeds::settings::FeedSettings;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tickwire::emulate::{Emulator, Faults, Handle, Options};
use wire::decimal;
use wire::event::{FeedState, Side};
use wire::request::{Encoding, Pace, Request, Sub};
use wire::view::View;

/// A recording of ten minutes is played in seconds, by an unoptimized build on a busy machine.
const WHOLE_RECORDING: Duration = Duration::from_secs(240);

/// A file of the recordings beside the project. `None` (said aloud) where they are absent; in CI they must be there.
fn recording(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} must be there in CI", path.display());
    println!("SKIPPED: {} is not there", path.display());
    None
}

fn golden(recording: &str, native: &str) -> Option<Value> {
    let path = self::recording("_golden/books_golden.json")?;
    let text = std::fs::read_to_string(path).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    Some(all[recording]["symbols"][native].clone())
}

/// The best five levels of a side, spelled as the golden answer spells them.
fn top_five(view: &View, side: Side, exponents: (i8, i8)) -> Value {
    let levels = view.book().unwrap().levels(side, 5);
    levels
        .map(|level| {
            let spell = |mantissa: i64, exponent| Value::from(decimal::plain(mantissa.into(), exponent));
            Value::from(vec![spell(level.price, exponents.0), spell(level.size, exponents.1)])
        })
        .collect::<Vec<_>>()
        .into()
}

struct Run {
    _venue: Handle,
    server: TestServer,
}

async fn start(files: &[PathBuf], speed: f64, symbols: &[&str], faults: Faults) -> Run {
    let mut options = Options::new(files.to_vec(), Speed::new(speed).unwrap(), ([127, 0, 0, 1], 0).into());
    // Time to subscribe before the first message.
    options.start_delay = Duration::from_millis(1_500);
    options.faults = faults;
    let venue = tokio::task::spawn_blocking(|| Emulator::bind(options)).await.unwrap().unwrap().spawn().unwrap();
    let feed = FeedSettings {
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        ws_url: Some(format!("ws://{}", venue.address)),
        rest_url: Some(format!("http://{}", venue.address)),
        // The recording ends before the test does.
        quiet_after_ms: 0,
        ..FeedSettings::of_venue("binance")
    };
    let server = TestServer::start_with(|config| {
        config.feeds.push(feed);
        config.topics.book_levels = 20_000;
        config.topics.book_log = 100_000;
        config.topics.trade_ring = 30_000;
    })
    .await;
    Run { _venue: venue, server }
}

async fn subscribe(run: &Run, encoding: Encoding, pace: Pace, topics: &[&str]) -> TestClient {
    let mut client = TestClient::connect(&run.server, encoding).await;
    client
        .sub(topics, |request| {
            if let Request::Sub(Sub { pace: wanted, .. }) = request {
                *wanted = pace;
            }
        })
        .await;
    client
}

/// Takes data in until the book is the golden one, which it then must stay.
async fn ends_golden(client: &mut TestClient, topic: &str, golden: &Value) {
    let exponents = |client: &TestClient| client.scale(topic);
    let matches = |client: &TestClient| {
        let Some(view) = client.views.get(topic) else { return false };
        view.sequence.is_some()
            && top_five(view, Side::Bid, exponents(client)) == golden["final_bids"]
            && top_five(view, Side::Ask, exponents(client)) == golden["final_asks"]
    };
    client.until_within(WHOLE_RECORDING, "the golden book", matches).await;
    client.during(Duration::from_millis(1_500)).await;
    assert!(matches(client), "the book moved on from the golden one");
    assert!(client.checks > 0, "views were checked against the server's");
}

#[tokio::test]
async fn the_clients_final_book_is_the_recordings() {
    let name = "binance-spot/hft_btcusdt_202408";
    let (Some(first), Some(second)) = (recording(&format!("{name}08.gz")), recording(&format!("{name}09.gz"))) else { return };
    let golden = golden(name, "BTCUSDT").unwrap();
    let run = start(&[first, second], 60.0, &["BTC-USDT"], Faults::default()).await;
    let (book, top, trade) = ("book/binance:BTC-USDT/full", "book/binance:BTC-USDT/5", "trade/binance:BTC-USDT");
    let mut realtime = subscribe(&run, Encoding::Binary, Pace::Realtime, &[book, trade]).await;
    let mut paced = subscribe(&run, Encoding::Json, Pace::EveryMs(250), &[book, top]).await;
    tokio::join!(ends_golden(&mut realtime, book, &golden), ends_golden(&mut paced, book, &golden));
    ends_golden(&mut paced, top, &golden).await;
    assert_eq!(realtime.trades.len() as u64, golden["trades"].as_u64().unwrap(), "every trade came, one by one");
    let sum: i128 = realtime.trades.iter().map(|trade| i128::from(trade.size)).sum();
    let (_, size_exponent) = realtime.scale(trade);
    assert_eq!(decimal::plain(sum, size_exponent), golden["trade_qty_sum"].as_str().unwrap());
    assert_eq!(realtime.gaps, 0, "nothing was missing");
}

/// Four quiet symbols in half a minute, played in three seconds.
async fn survives(faults: Faults, must_see: FeedState) {
    let name = "binance-spot/cryptofeed_BINANCE.jsonl.zst";
    let Some(file) = recording(name) else { return };
    let golden = golden(name, "NKNUSDT").unwrap();
    let what = format!("{faults:?}");
    let run = start(&[file], 10.0, &["NKN-USDT", "LRC-BTC"], faults).await;
    let book = "book/binance:NKN-USDT/full";
    let mut realtime = subscribe(&run, Encoding::Binary, Pace::Realtime, &[book]).await;
    let mut paced = subscribe(&run, Encoding::Json, Pace::EveryMs(250), &[book]).await;
    tokio::join!(ends_golden(&mut realtime, book, &golden), ends_golden(&mut paced, book, &golden));
    assert!(realtime.states(book).contains(&must_see), "{what}: states seen: {:?}", realtime.states(book));
    assert_eq!(realtime.states(book).last(), Some(&FeedState::Live), "{what}");
}

#[tokio::test]
async fn a_dropped_diff_is_resynced() {
    survives(Faults { drop_diff: Some(40), ..Faults::default() }, FeedState::Resyncing).await;
}

#[tokio::test]
async fn a_duplicated_diff_does_no_harm() {
    survives(Faults { duplicate_diff: Some(40), ..Faults::default() }, FeedState::Live).await;
}

#[tokio::test]
async fn a_cut_connection_is_resynced() {
    survives(Faults { cut_at: Some(60), ..Faults::default() }, FeedState::Down).await;
}

#[tokio::test]
async fn a_refused_snapshot_is_asked_for_again() {
    survives(Faults { snapshot_503: 2, ..Faults::default() }, FeedState::Live).await;
}

#[tokio::test]
async fn all_faults_together() {
    let faults = Faults {
        drop_diff: Some(30),
        duplicate_diff: Some(50),
        cut_at: Some(150),
        snapshot_503: 1,
        slow_ack: Duration::from_millis(200),
        ..Faults::default()
    };
    survives(faults, FeedState::Resyncing).await;
}

#[tokio::test]
async fn an_announced_shutdown_is_not_felt() {
    survives(Faults { shutdown_notice_at: Some(60), ..Faults::default() }, FeedState::Live).await;
}
