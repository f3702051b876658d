//! A client written from the venue's own documentation must end with the venue's own book, whatever goes wrong on the way.

use super::*;
use feeds::replay::Pace;
use feeds::replay::binance::{Snapshot, StreamKind, StreamMessage};
use futures_util::{SinkExt, StreamExt};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Sides = [BTreeMap<i64, String>; 2];

const SYMBOLS: [&str; 2] = ["BTCUSDT", "LRCBTC"];
const DIFFS: &str = "/stream?streams=btcusdt@depth@100ms/lrcbtc@depth@100ms";
/// Longer than any pause of the sample at this speed.
const SILENCE: Duration = Duration::from_millis(700);

fn emulator(faults: Faults) -> Handle {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("feeds/samples/binance.twr");
    let mut options = Options::new("binance", vec![sample], Pace::new(10.0).unwrap(), "127.0.0.1:0".parse().unwrap());
    options.start_delay = Duration::from_millis(50);
    options.ping_interval = Duration::from_millis(200);
    options.faults = faults;
    Emulator::bind(options).unwrap().spawn().unwrap()
}

async fn connect(address: SocketAddr, path: &str) -> Socket {
    tokio_tungstenite::connect_async(format!("ws://{address}{path}")).await.unwrap().0
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer[9..12].parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// One book kept by the documented rules.
#[derive(Default)]
struct Kept {
    sides: Sides,
    last: Option<u64>,
    gaps: u32,
    refused: u32,
}

impl Kept {
    async fn on_diff(&mut self, address: SocketAddr, symbol: &str, first: u64, last: u64, sides: [&[[&str; 2]]; 2]) {
        if self.last.is_some_and(|known| first > known + 1) {
            self.gaps += 1;
            self.last = None;
        }
        if self.last.is_none() {
            self.fetch(address, symbol).await;
        }
        if self.last.is_some_and(|known| last > known && first <= known + 1) {
            for (side, levels) in self.sides.iter_mut().zip(sides) {
                levels.iter().for_each(|[price, size]| set(side, price, size));
            }
            self.last = Some(last);
        }
    }

    async fn fetch(&mut self, address: SocketAddr, symbol: &str) {
        let (status, body) = get(address, &format!("/api/v3/depth?symbol={symbol}&limit=5000")).await;
        if status != 200 {
            self.refused += 1;
            return;
        }
        (self.sides, self.last) = snapshot(&body);
    }
}

fn set(side: &mut BTreeMap<i64, String>, price: &str, size: &str) {
    let key = wire::decimal::parse_at(price.as_bytes(), -8).unwrap();
    if wire::decimal::parse_at(size.as_bytes(), -8) == Ok(0) {
        side.remove(&key);
    } else {
        side.insert(key, size.to_owned());
    }
}

fn snapshot(body: &str) -> (Sides, Option<u64>) {
    let snapshot: Snapshot<'_> = serde_json::from_str(body).unwrap();
    let mut sides = Sides::default();
    for (side, levels) in sides.iter_mut().zip([snapshot.bids, snapshot.asks]) {
        levels.iter().for_each(|[price, size]| set(side, price, size));
    }
    (sides, Some(snapshot.last_update_id))
}

/// Follows the sample to its end, coming back whenever it is cut off; then compares with the venue's own books.
async fn follow(emulator: &Handle) -> BTreeMap<&'static str, Kept> {
    let mut books: BTreeMap<&str, Kept> = SYMBOLS.map(|symbol| (symbol, Kept::default())).into();
    let mut socket = connect(emulator.address, DIFFS).await;
    let mut seen = 0;
    let mut quiet_since = tokio::time::Instant::now();
    while seen == 0 || quiet_since.elapsed() < SILENCE {
        let message = match timeout(SILENCE, socket.next()).await {
            Err(_) => break,
            Ok(Some(Ok(Message::Text(text)))) => text,
            Ok(Some(Ok(_))) => continue,
            Ok(None | Some(Err(_))) => {
                socket = connect(emulator.address, DIFFS).await;
                continue;
            }
        };
        let Some(parsed) = StreamMessage::parse(message.as_bytes()) else { continue };
        let StreamKind::Depth { first, last, bids, asks } = &parsed.kind else { panic!("only diffs were asked for") };
        seen += 1;
        quiet_since = tokio::time::Instant::now();
        let book = books.get_mut(parsed.symbol.as_ref()).unwrap();
        book.on_diff(emulator.address, &parsed.symbol, *first, *last, [bids, asks]).await;
    }
    for (symbol, book) in &mut books {
        if book.last.is_none() {
            book.fetch(emulator.address, symbol).await;
        }
        let (_, body) = get(emulator.address, &format!("/api/v3/depth?symbol={symbol}&limit=5000")).await;
        assert_eq!((book.sides.clone(), book.last), snapshot(&body), "{symbol}");
    }
    books
}

/// The best five of the answer that was computed from the sample by somebody else.
fn expected_best(symbol: &str, side: &str) -> Vec<(i64, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("feeds/samples/binance_audit.json");
    let answer: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let levels = answer["symbols"][symbol][side].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    levels.iter().map(|level| (wire::decimal::parse_at(text(&level[0]).as_bytes(), -8).unwrap(), text(&level[1]))).collect()
}

#[tokio::test]
async fn a_client_ends_with_the_right_book() {
    let emulator = emulator(Faults::default());
    let books = follow(&emulator).await;
    for (symbol, book) in &books {
        let plain = |(price, size): (&i64, &String)| {
            let size = wire::decimal::Decimal::parse(size.as_bytes()).unwrap();
            (*price, wire::decimal::plain(size.mantissa.into(), size.exponent))
        };
        let bids: Vec<_> = book.sides[0].iter().rev().take(5).map(plain).collect();
        let asks: Vec<_> = book.sides[1].iter().take(5).map(plain).collect();
        assert_eq!(bids, expected_best(symbol, "final_bids"), "{symbol}");
        assert_eq!(asks, expected_best(symbol, "final_asks"), "{symbol}");
    }
    // The sample itself lost one diff.
    assert_eq!((books["BTCUSDT"].gaps, books["LRCBTC"].gaps), (1, 0));
}

#[tokio::test]
async fn whatever_goes_wrong_the_book_is_right_again() {
    let faults = Faults { drop_diff: Some(9), duplicate_diff: Some(5), cut_at: Some(20), snapshot_503: 2, ..Faults::default() };
    let books = follow(&emulator(faults)).await;
    assert!(books["LRCBTC"].gaps >= 1 && books["BTCUSDT"].gaps >= 1);
    assert_eq!(books.values().map(|book| book.refused).sum::<u32>(), 2);
    let faults = Faults { drop_diff_every: Some(3), ..Faults::default() };
    let books = follow(&emulator(faults)).await;
    assert!(books["LRCBTC"].gaps > 3);
}

#[tokio::test]
async fn speaks_and_refuses_like_the_venue() {
    let emulator = emulator(Faults { slow_ack: Duration::from_millis(300), ..Faults::default() });
    let mut socket = connect(emulator.address, "/ws").await;
    let asked = tokio::time::Instant::now();
    for request in [r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}"#, r#"{"method":"NOPE","id":2}"#] {
        socket.send(Message::text(request)).await.unwrap();
    }
    let (mut answers, mut trades, mut pings) = (Vec::new(), 0, 0);
    while answers.len() < 2 || trades == 0 || pings == 0 {
        match timeout(Duration::from_secs(10), socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) if text.contains("\"id\"") => answers.push(text.to_string()),
            Message::Text(text) => {
                assert!(text.starts_with(r#"{"e":"trade""#), "raw, not wrapped: {text}");
                trades += 1;
            }
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(asked.elapsed() >= Duration::from_millis(300));
    assert_eq!(answers[0], r#"{"result":null,"id":1}"#);
    assert!(answers[1].starts_with(r#"{"code":2,"msg":"Invalid request: unknown variant `NOPE`"#));
    // More than five messages a second: cut off without a word.
    for _ in 0..12 {
        socket.send(Message::text(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#)).await.ok();
    }
    let ended = timeout(Duration::from_secs(5), async { while socket.next().await.is_some_and(|message| message.is_ok()) {} });
    ended.await.unwrap();
}

#[tokio::test]
async fn rest_answers_for_the_symbols_asked_for() {
    let emulator = emulator(Faults::default());
    let (status, all) = get(emulator.address, "/api/v3/exchangeInfo").await;
    assert!(status == 200 && all.contains("\"BTCUSDT\"") && all.contains("\"LRCBTC\""));
    let (status, one) = get(emulator.address, "/api/v3/exchangeInfo?symbols=%5B%22LRCBTC%22%5D").await;
    assert!(status == 200 && !one.contains("\"BTCUSDT\"") && one.contains("\"LRCBTC\""));
    for (path, status, part) in [
        ("/api/v3/exchangeInfo?symbol=XXX", 400, "-1121"),
        ("/api/v3/depth?symbol=XXX", 400, "-1121"),
        ("/api/v3/depth", 400, "-1102"),
        ("/api/v3/depth?symbol=LRCBTC&limit=x", 400, "-1130"),
        ("/api/v3/time", 200, "serverTime"),
        ("/api/v3/order", 404, "-1000"),
    ] {
        let answer = get(emulator.address, path).await;
        assert!(answer.0 == status && answer.1.contains(part), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_muted_connection_stays_open_and_says_nothing() {
    let emulator = emulator(Faults { mute_at: Some(10), ..Faults::default() });
    let mut socket = connect(emulator.address, DIFFS).await;
    let mut messages = 0;
    // Pings come every 200 ms until then.
    while let Ok(message) = timeout(Duration::from_secs(1), socket.next()).await {
        messages += u32::from(message.expect("still open").unwrap().is_text());
    }
    assert_eq!(messages, 10);
    // Whoever comes anew is served.
    let mut fresh = connect(emulator.address, DIFFS).await;
    assert!(timeout(Duration::from_secs(5), fresh.next()).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_shutdown_is_announced_before_it_happens() {
    let emulator = emulator(Faults { shutdown_notice_at: Some(5), ..Faults::default() });
    let mut socket = connect(emulator.address, DIFFS).await;
    let mut noticed = None;
    while let Some(Ok(message)) = timeout(Duration::from_secs(10), socket.next()).await.unwrap() {
        if message.to_text().is_ok_and(|text| text.starts_with(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown""#)) {
            noticed = Some(tokio::time::Instant::now());
        }
    }
    assert!(noticed.unwrap().elapsed() > Duration::from_secs(2));
}

/// Counts what comes.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU64>);

impl feeds::adapter::Sink for Counting {
    fn publish(&mut self, _: &wire::event::Batch) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counting {
    /// Until something has come, and then nothing for so long.
    async fn quiet_for(&self, quiet: Duration) {
        let mut seen = 0;
        while seen == 0 || self.0.load(Ordering::Relaxed) != seen {
            seen = self.0.load(Ordering::Relaxed);
            tokio::time::sleep(quiet).await;
        }
    }
}

/// Emulator, real adapter, recorder, and the recording audited: the books at the end are those of the sample.
#[tokio::test]
async fn what_is_recorded_from_the_emulator_adds_up_to_the_same_books() {
    let emulator = emulator(Faults { snapshot_503: 1, ..Faults::default() });
    let folder = tempfile::tempdir().unwrap();
    let settings = feeds::settings::FeedSettings {
        symbols: vec!["BTC-USDT".into(), "!LRCBTC".into()],
        ws_url: Some(format!("ws://{}", emulator.address)),
        rest_url: Some(format!("http://{}", emulator.address)),
        ..feeds::settings::FeedSettings::of_venue("binance")
    };
    let (tap, recorder) =
        feeds::recording::Recorder::start(folder.path(), "binance", feeds::recording::Rotation::default()).unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let adapter = feeds::registry::adapter("binance", &settings).unwrap();
    let options = feeds::supervisor::Options { tap: Some(Box::new(tap)), ..Default::default() };
    let sink = Counting::default();
    let feed = feeds::supervisor::start(adapter, &settings, Box::new(sink.clone()), stopped, options).unwrap();
    let end = async {
        // The sample takes a second at this speed on a machine that has nothing else to do, a refused snapshot up to another.
        timeout(Duration::from_secs(60), sink.quiet_for(Duration::from_secs(3))).await.expect("the sample has an end");
        stop.send_replace(true);
    };
    tokio::join!(feed, end);
    let (files, _) = recorder.finish().unwrap();
    let report = crate::cli::audit::audit("binance", &files).unwrap();
    for symbol in SYMBOLS {
        for side in ["final_bids", "final_asks"] {
            let seen: Vec<(i64, String)> = report.symbols[symbol][side]
                .as_array()
                .unwrap()
                .iter()
                .map(|level| {
                    let price = level[0].as_str().unwrap();
                    (wire::decimal::parse_at(price.as_bytes(), -8).unwrap(), level[1].as_str().unwrap().to_owned())
                })
                .collect();
            assert_eq!(seen, expected_best(symbol, side), "{symbol} {side}");
        }
    }
}
