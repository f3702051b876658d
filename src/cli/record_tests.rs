//! Each venue of which there is a capture, played by a small venue on loopback, recorded over real sockets, and audited: the recording holds
//! every byte in order, and adds up to what the capture adds up to.

use crate::cli::audit::audit;
use crate::cli::audit::tests::captured;
use feeds::adapter::Sink;
use feeds::engine::Dialect;
use feeds::recording::{Body, Entry, Recorder, Recording, Rotation, Tally, Writer};
use feeds::replay::adapter_settings;
use feeds::settings::FeedSettings;
use feeds::supervisor::{Options, start};
use feeds::{FeedError, registry};
use futures_util::{SinkExt, StreamExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use wire::event::Batch;

/// Of each capture.
const MESSAGES: usize = 1_500;
const PATIENCE: Duration = Duration::from_secs(60);

/// The beginning of a capture that came over one connection.
struct Tape {
    venue: &'static str,
    entries: Vec<Entry>,
    played: AtomicBool,
}

impl Tape {
    fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter_map(|entry| match &entry.body {
            Body::Received { bytes, .. } => Some(&bytes[..]),
            _ => None,
        })
    }

    fn dialect(&self) -> Box<dyn Dialect> {
        registry::dialect(self.venue).unwrap()
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).connection(stream));
        }
    }

    async fn connection(self: Arc<Self>, mut stream: TcpStream) {
        let mut head = [0u8; 4_096];
        let read = loop {
            let read = stream.peek(&mut head).await.unwrap_or(0);
            if read == 0 || head[..read].windows(4).any(|end| end == b"\r\n\r\n") {
                break read;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        if head.to_lowercase().contains("upgrade: websocket") {
            return self.stream(stream).await;
        }
        stream.read_exact(&mut vec![0u8; read]).await.unwrap();
        let (dialect, path) = (self.dialect(), head.split(' ').nth(1).unwrap_or_default());
        let answer = self.entries.iter().find_map(|entry| match &entry.body {
            Body::Response { url, status: 200, bytes } if dialect.address_key(url) == dialect.address_key(path) => Some(bytes),
            _ => None,
        });
        let (status, body) = answer.map_or((404, &[][..]), |bytes| (200, &bytes[..]));
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    }

    /// The first who asks for anything gets all of the capture, but for the answers to others' requests.
    async fn stream(&self, stream: TcpStream) {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let dialect = self.dialect();
            for grant in dialect.grants(&text) {
                if socket.send(Message::text(grant)).await.is_err() {
                    return;
                }
            }
            if self.played.swap(true, Ordering::Relaxed) {
                continue;
            }
            let answers: Vec<bool> = self.messages().map(|bytes| dialect.is_answer(bytes)).collect();
            for (bytes, _) in self.messages().zip(answers).filter(|(_, is_answer)| !is_answer) {
                let text = String::from_utf8(bytes.to_vec());
                let message = text.map_or_else(|binary| Message::binary(binary.into_bytes()), Message::text);
                if socket.feed(message).await.is_err() {
                    return;
                }
            }
            let _ = socket.flush().await;
        }
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn publish(&mut self, _: &Batch) {}
}

fn read(files: &[PathBuf]) -> Vec<Entry> {
    let mut recording = Recording::open(files).unwrap();
    let entries = recording.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    assert!(recording.tears().is_empty());
    entries
}

/// Records the venue that plays `tape` until all of it is there.
async fn record(tape: &Arc<Tape>, original: &Path, folder: &Path) -> Result<Vec<PathBuf>, FeedError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(Arc::clone(tape).serve(listener));
    let survey = registry::survey(tape.venue, &[original.to_owned()]).unwrap();
    let settings = FeedSettings {
        ws_url: Some(format!("ws://{address}")),
        rest_url: Some(format!("http://{address}")),
        ..adapter_settings(&FeedSettings::of_venue(tape.venue), tape.venue, &survey)
    };
    let mut adapter = registry::adapter(tape.venue, &settings)?;
    let scales = survey.notes.symbols.iter().map(|(name, of)| (name.clone(), (of.price_exponent, of.size_exponent)));
    adapter.replayed(tape.dialect().instruments(&scales.collect()), survey.notes.has_listing);
    // So small that the capture takes several.
    let rotation = Rotation { file_bytes: 100_000, ..Rotation::default() };
    let (tap, recorder) = Recorder::start(folder, tape.venue, rotation).unwrap();
    let (stop, stopped) = watch::channel(false);
    let feed = start(adapter, &settings, Box::new(Nowhere), stopped, Options { tap: Some(Box::new(tap)), ..Options::default() })?;
    let sent = tape.messages().count() as u64;
    let dialect = tape.dialect();
    let answers = tape.messages().filter(|bytes| dialect.is_answer(bytes)).count() as u64;
    let end = async {
        let begun = Instant::now();
        while recorder.tally().recorded < sent - answers || !tape.played.load(Ordering::Relaxed) {
            assert!(begun.elapsed() < PATIENCE, "{}: {:?} of {sent}", tape.venue, recorder.tally());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Connects, requests and answers count as well: what is on the way has time to arrive.
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.send_replace(true);
    };
    tokio::join!(feed, end);
    serving.abort();
    let (files, tally) = recorder.finish().unwrap();
    assert_eq!(tally, Tally { recorded: tally.recorded, ..Tally::default() }, "{}", tape.venue);
    Ok(files)
}

/// `None` where the capture is not there.
async fn round_trip(venue: &'static str, capture: &str) -> Option<[crate::cli::audit::Report; 2]> {
    let capture = captured(capture)?;
    let folder = tempfile::tempdir().unwrap();
    let mut original = Writer::create(&folder.path().join("original"), venue, Rotation::default()).unwrap();
    let mut received = 0;
    let whole = Recording::open(&[capture]).unwrap().map(Result::unwrap).take_while(|entry| {
        received += usize::from(matches!(entry.body, Body::Received { .. }));
        received <= MESSAGES
    });
    let entries: Vec<_> = whole.collect();
    entries.iter().for_each(|entry| original.write(entry).unwrap());
    original.finish().unwrap();
    let tape = Arc::new(Tape { venue, entries, played: AtomicBool::new(false) });
    let recorded = record(&tape, &original.files()[0], &folder.path().join("recorded")).await.unwrap();
    assert!(recorded.len() > 1 || tape.messages().map(<[u8]>::len).sum::<usize>() < 100_000, "{venue}: {recorded:?}");
    // To the byte and in order.
    let entries = read(&recorded);
    let dialect = tape.dialect();
    let mut found = entries.iter().filter_map(|entry| match &entry.body {
        Body::Received { bytes, .. } => Some(&bytes[..]),
        _ => None,
    });
    for message in tape.messages().filter(|bytes| !dialect.is_answer(bytes)) {
        assert!(found.any(|bytes| bytes == message), "{venue}: not recorded: {:?}", String::from_utf8_lossy(message));
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let recent = |entry: &Entry| entry.time <= now && now - entry.time < 300_000_000_000;
    assert!(entries.iter().all(recent) && entries.is_sorted_by_key(|entry| entry.time), "{venue}: received now");
    Some([audit(venue, original.files()).unwrap(), audit(venue, &recorded).unwrap()])
}

macro_rules! round_trips {
    ($($test:ident: $venue:literal, $capture:literal;)+) => {$(
        #[tokio::test]
        async fn $test() {
            let Some([original, recorded]) = round_trip($venue, $capture).await else { return };
            assert!(!original.symbols.is_empty());
            assert_eq!(recorded.symbols, original.symbols, "{:?}", recorded.remarks);
        }
    )+};
}

// Venues whose books begin in band over one connection, so that nothing depends on when a request was answered.
round_trips! {
    bitfinex: "bitfinex", "bitfinex/cryptofeed_BITFINEX.jsonl.zst";
    bitget: "bitget", "bitget/cryptofeed_BITGET.jsonl.zst";
    coinbase: "coinbase", "coinbase-advanced/cryptofeed_COINBASE.first60pct.jsonl.zst";
    deribit: "deribit", "deribit/cryptofeed_DERIBIT.jsonl.zst";
    gemini: "gemini", "gemini/cryptofeed_GEMINI.jsonl.zst";
    htx: "htx", "htx/cryptofeed_HUOBI.jsonl.zst";
    kraken: "kraken", "kraken-v2/captured_raw_text_btcusd_d10_20260719T1754.json.gz";
    kraken_v1: "kraken-v1", "kraken-v1/cryptofeed_KRAKEN.jsonl.zst";
    kraken_futures: "kraken-futures", "kraken-futures/cryptofeed_KRAKEN_FUTURES.jsonl.zst";
    okx: "okx", "okx/cryptofeed_OKX.jsonl.zst";
}
