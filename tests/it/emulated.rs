//! The whole way on real input: a recording, the venue's own protocol on loopback, the real adapter, the server, TLS, a client. What the
//! client ends with is what the recording says, faults or not.

use crate::harness::{TestClient, TestServer};
use feeds::emulation::Exchange;
use feeds::recording::Recording;
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

/// Twenty feeds and their client take a while to come up.
const START_DELAY: Duration = Duration::from_millis(3_000);
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
    _venues: Vec<Handle>,
    server: TestServer,
}

/// A venue on loopback, and the settings of a feed that goes there.
async fn venue(venue: &str, files: &[PathBuf], speed: f64, symbols: &[&str], faults: Faults) -> (Handle, FeedSettings) {
    let mut options = Options::new(venue, files.to_vec(), Speed::new(speed).unwrap(), ([127, 0, 0, 1], 0).into());
    // Time to subscribe before the first message.
    options.start_delay = START_DELAY;
    options.faults = faults;
    let handle = tokio::task::spawn_blocking(|| Emulator::bind(options)).await.unwrap().unwrap().spawn().unwrap();
    let feed = FeedSettings {
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        ws_url: Some(format!("ws://{}", handle.address)),
        rest_url: Some(format!("http://{}", handle.address)),
        // The recording ends before the test does.
        quiet_after_ms: 0,
        ..FeedSettings::of_venue(venue)
    };
    (handle, feed)
}

async fn start(files: &[PathBuf], speed: f64, symbols: &[&str], faults: Faults) -> Run {
    let (venue, feed) = venue("binance", files, speed, symbols, faults).await;
    let server = TestServer::start_with(|config| {
        config.feeds.push(feed);
        config.topics.book_levels = 20_000;
        config.topics.book_log = 100_000;
        config.topics.trade_ring = 30_000;
    })
    .await;
    Run { _venues: vec![venue], server }
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

/// Is this the golden book?
fn is_golden(client: &TestClient, topic: &str, golden: &Value) -> bool {
    let Some(view) = client.views.get(topic) else { return false };
    let side = |side| top_five(view, side, client.scale(topic));
    view.sequence.is_some() && side(Side::Bid) == golden["final_bids"] && side(Side::Ask) == golden["final_asks"]
}

/// Takes data in until the book is the golden one, which it then must stay.
async fn ends_golden(client: &mut TestClient, topic: &str, golden: &Value) {
    let matches = |client: &TestClient| is_golden(client, topic, golden);
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

/// Venue, recording, an instrument as the venue calls it today, and as the golden answer calls it if otherwise.
type Venue = (&'static str, &'static [&'static str], &'static str, &'static str);

const VENUES: &[Venue] = &[
    ("binance", &["binance-spot/cryptofeed_BINANCE.jsonl.zst"], "NKNUSDT", ""),
    ("binance-coinm", &["binance-coinm/cryptofeed_BINANCE_DELIVERY.jsonl.zst"], "BCHUSD_PERP", ""),
    ("binance-us", &["binance-us/cryptofeed_BINANCE_US.jsonl.zst"], "COMPUSDT", ""),
    ("binance-usdm", &["binance-usdm/cryptofeed_BINANCE_FUTURES.jsonl.zst"], "SUSHIUSDT", ""),
    ("bitfinex", &["bitfinex/cryptofeed_BITFINEX.jsonl.zst"], "tIOTETH", ""),
    ("bitget", &["bitget/cryptofeed_BITGET.jsonl.zst"], "SPOT:AVAXUSDT", "sp:AVAXUSDT"),
    ("bitstamp", &["bitstamp/cryptofeed_BITSTAMP.jsonl.zst"], "usdteur", ""),
    ("bybit", &["bybit/cryptofeed_BYBIT.jsonl.zst"], "spot:BTCUSDT", ""),
    ("coinbase", &["coinbase-advanced/cryptofeed_COINBASE.first60pct.jsonl.zst"], "ETH-USD", ""),
    (
        "coinbase-exchange",
        &[
            "coinbase-exchange/cryptofeed_20210417_COINBASE.0.gz",
            "coinbase-exchange/cryptofeed_20210417_COINBASE.ws.28.0.first60pct.gz",
        ],
        "SKL-USD",
        "",
    ),
    ("deribit", &["deribit/cryptofeed_DERIBIT.jsonl.zst"], "BTC-24SEP21-8000-P", ""),
    ("gate", &["gateio/cryptofeed_GATEIO.jsonl.zst"], "OMG_USDT", ""),
    ("gemini", &["gemini/cryptofeed_GEMINI.jsonl.zst"], "BTCUSD", ""),
    ("htx", &["htx/cryptofeed_HUOBI.jsonl.zst"], "borusdt", ""),
    ("htx-swap", &["htx-swap/cryptofeed_HUOBI_SWAP.jsonl.zst"], "SNX-USDT", ""),
    ("kraken", &["kraken-v2/captured_raw_text_btcusd_d10_20260719T1754.json.gz"], "BTC/USD", ""),
    ("kraken-futures", &["kraken-futures/cryptofeed_KRAKEN_FUTURES.jsonl.zst"], "PI_ETHUSD", ""),
    ("kraken-v1", &["kraken-v1/cryptofeed_KRAKEN.jsonl.zst"], "XMR/USD", ""),
    ("kucoin", &["kucoin/cryptofeed_KUCOIN.jsonl.zst"], "BCHSV-USDT", ""),
    ("okx", &["okx/cryptofeed_OKX.jsonl.zst"], "BTC-USDT", ""),
];

/// What nobody else computed: the recording played to its end, without a client.
fn own_golden(venue: &str, files: &[PathBuf], native: &str) -> Value {
    let mut exchange = Exchange::open(venue, files, Faults::default()).unwrap();
    for entry in Recording::open(files).unwrap() {
        let entry = entry.unwrap();
        exchange.play(entry.time, &entry.body, &mut Vec::new());
    }
    let spell = |number: decimal::Decimal| Value::from(decimal::plain(number.mantissa.into(), number.exponent));
    let [bids, asks] = exchange
        .best(native, 5)
        .unwrap()
        .map(|side| side.into_iter().map(|(price, size)| Value::from(vec![spell(price), spell(size)])).collect::<Value>());
    serde_json::json!({ "final_bids": bids, "final_asks": asks })
}

/// Venues all at once: each emulated on a port of its own, each with a feed of one server, and one client for all books.
async fn venues_end_golden(venues: &[&Venue], speed: f64, faults: &Faults) -> Option<(TestClient, Vec<String>)> {
    let starts = venues.iter().map(async |(name, files, native, recorded)| {
        let paths = files.iter().map(|file| recording(file)).collect::<Option<Vec<_>>>()?;
        let key = if files.len() > 1 { "coinbase-exchange/cryptofeed_20210417_COINBASE" } else { files[0] };
        let golden = golden(key, if recorded.is_empty() { native } else { recorded })?;
        let golden = if golden.is_null() { own_golden(name, &paths, native) } else { golden };
        let (handle, feed) = venue(name, &paths, speed, &[&format!("!{native}")], faults.clone()).await;
        // Kraken's recording is of this depth, and no other is to be had.
        let depth = (*name == "kraken-v1").then_some(1_000);
        // Recordings end while others go on.
        Some((handle, (FeedSettings { depth, silence_ms: Some(120_000), ..feed }, golden)))
    });
    let started = futures_util::future::join_all(starts).await.into_iter().collect::<Option<Vec<_>>>()?;
    let (handles, (feeds, goldens)): (Vec<_>, (Vec<_>, Vec<_>)) = started.into_iter().unzip();
    let server = TestServer::start_with(|config| {
        config.feeds.extend(feeds);
        config.topics.book_levels = 60_000;
        config.topics.book_log = 100_000;
    })
    .await;
    // Of each venue there is one instrument.
    let wanted: Vec<String> = venues.iter().map(|(venue, ..)| format!("book/{venue}:*/5")).collect();
    let run = Run { _venues: handles, server };
    let mut client = TestClient::connect(&run.server, Encoding::Binary).await;
    let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
    client.sub(&names, |_| ()).await;
    let mut topics = vec![String::new(); venues.len()];
    let deadline = tokio::time::Instant::now() + WHOLE_RECORDING;
    loop {
        // Named as the server names them.
        for ((venue, ..), topic) in venues.iter().zip(&mut topics) {
            let front = format!("book/{venue}:");
            if let Some(name) = client.views.keys().find(|name| name.starts_with(&front)) {
                topic.clone_from(name);
            }
        }
        let missing: Vec<&str> = topics
            .iter()
            .zip(venues.iter().zip(&goldens))
            .filter(|(topic, (_, golden))| !is_golden(&client, topic, golden))
            .map(|(_, ((venue, ..), _))| *venue)
            .collect();
        if missing.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "not golden: {missing:?} with {faults:?}");
        client.during(Duration::from_millis(300)).await;
    }
    client.during(Duration::from_millis(1_000)).await;
    for (topic, golden) in topics.iter().zip(&goldens) {
        assert!(is_golden(&client, topic, golden), "{topic} moved on from the golden book");
    }
    Some((client, topics))
}

/// Those whose connections differ from all others'.
#[tokio::test]
async fn without_faults_no_book_is_resynced() {
    const SPECIAL: [&str; 7] = ["binance-usdm", "bitfinex", "bybit", "coinbase", "htx", "kraken", "kucoin"];
    let venues: Vec<_> = VENUES.iter().filter(|(venue, ..)| SPECIAL.contains(venue)).collect();
    let Some((client, topics)) = venues_end_golden(&venues, 8.0, &Faults::default()).await else { return };
    for topic in &topics {
        let states = client.states(topic);
        assert!(!states.contains(&FeedState::Resyncing), "{topic}: {states:?}");
    }
}

#[tokio::test]
async fn every_venue_ends_with_its_golden_book_in_spite_of_faults() {
    let faults = Faults {
        duplicate_diff: Some(4),
        drop_diff: Some(6),
        bad_checksum: Some(9),
        swap_diff: Some(12),
        cut_at: Some(25),
        snapshot_503: 1,
        slow_ack: Duration::from_millis(50),
        ..Faults::default()
    };
    let all: Vec<_> = VENUES.iter().collect();
    let Some((client, topics)) = venues_end_golden(&all, 8.0, &faults).await else { return };
    // A machine that is busy may let the client come when the faults of a short recording are over.
    let felt = |topic: &&String| client.states(topic).iter().any(|state| [FeedState::Resyncing, FeedState::Down].contains(state));
    assert!(topics.iter().filter(felt).count() > topics.len() / 2);
}
