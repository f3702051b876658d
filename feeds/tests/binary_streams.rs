//! Binance's binary streams over loopback: a venue that wants a key, answers in text frames and sends its data in binary ones.

#[path = "support/sbe_frames.rs"]
mod sbe_frames;

use feeds::adapter::{Fault, Sink};
use feeds::settings::FeedSettings;
use feeds::supervisor::{Options, Timing};
use feeds::{FeedError, registry, supervisor};
use futures_util::{SinkExt, StreamExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use wire::event::{Batch, EventBody};

const KEY: &str = "Ed25519aaaaBBBBccccDDDDeeeeFFFF1234";
const INFO: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
    {"filterType":"PRICE_FILTER","tickSize":"0.01"},{"filterType":"LOT_SIZE","stepSize":"0.00001"}]}]}"#;

#[derive(Default)]
struct Seen {
    /// The key of each handshake.
    keys: Vec<String>,
    /// Was a key sent with a request that needs none?
    key_by_rest: bool,
    subscriptions: Vec<String>,
    /// The id of the last update of the book; one is left out where `skip` is set.
    id: i64,
    skip: bool,
    pongs: u32,
}

#[derive(Clone, Default)]
struct Venue(Arc<Mutex<Seen>>);

impl Venue {
    async fn start() -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (venue, port) = (Self::default(), listener.local_addr().unwrap().port());
        let serving = venue.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (venue, port)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut head = [0u8; 1_024];
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
        self.seen().key_by_rest |= head.contains(KEY);
        stream.read_exact(&mut vec![0u8; read]).await.unwrap();
        let id = self.seen().id;
        let depth = format!(r#"{{"lastUpdateId":{id},"bids":[["9.00","1"]],"asks":[["11.00","1"]]}}"#);
        let body = if head.contains("/exchangeInfo") { INFO.to_owned() } else { depth };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    #[expect(clippy::result_large_err, reason = "the library's signature")]
    async fn stream(&self, stream: TcpStream) {
        let admit = |request: &Request, response: Response| {
            let key = request.headers().get("X-MBX-APIKEY").map_or("", |key| key.to_str().unwrap());
            self.seen().keys.push(key.to_owned());
            let refusal = tokio_tungstenite::tungstenite::http::Response::builder().status(401).body(None).unwrap();
            if key == KEY { Ok(response) } else { Err(refusal) }
        };
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, admit).await else { return };
        let mut subscribed = false;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            let messages = tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let id = text.rsplit_once(':').unwrap().1.trim_end_matches('}').to_owned();
                        self.seen().subscriptions.push(text.to_string());
                        subscribed = true;
                        vec![Message::text(format!(r#"{{"result":null,"id":{id}}}"#)), Message::Ping("alive".into())]
                    }
                    Some(Ok(Message::Pong(payload))) if payload == "alive" => {
                        self.seen().pongs += 1;
                        continue;
                    }
                    Some(Ok(_)) => continue,
                    _ => return,
                },
                _ = ticks.tick() => if subscribed { self.frames() } else { continue },
            };
            for message in messages {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        }
    }

    fn frames(&self) -> Vec<Message> {
        let mut seen = self.seen();
        seen.id += if std::mem::take(&mut seen.skip) { 2 } else { 1 };
        let (id, time) = (seen.id, 1_767_225_600_000_000 + seen.id);
        let quote = sbe_frames::best("BTCUSDT", time, id, (900 + id % 50, 5), (1_100, 7), 0);
        let trades = sbe_frames::trades("BTCUSDT", time, &[(id, 1_000, 150, true)], 0);
        let depth = sbe_frames::depth("BTCUSDT", time, &[id, id], &[(900 + id % 50, 5)], &[], 0);
        [quote, trades, depth].map(Message::binary).into()
    }
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// Takes all up to `wanted`.
    async fn wait(&self, wanted: &str) {
        let started = Instant::now();
        loop {
            {
                let mut words = self.0.lock().unwrap();
                if let Some(at) = words.iter().position(|word| word == wanted) {
                    words.drain(..=at);
                    return;
                }
                words.dedup();
                assert!(started.elapsed() < Duration::from_secs(10), "no '{wanted}' in {:?}", &words[..words.len().min(40)]);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Sink for Heard {
    fn publish(&mut self, batch: &Batch) {
        self.0.lock().unwrap().extend(batch.events.iter().map(|event| match &event.body {
            EventBody::State { channel, state, .. } => format!("{:?} {state}", channel.unwrap()),
            EventBody::Trade(trade) => format!("trade at {} {}", trade.price, event.event_time > 1_767_225_600_000_000_000),
            EventBody::Quote(quote) => format!("quote {:?}", quote.ask_price),
            EventBody::Link { state, .. } => format!("link {state}"),
            EventBody::Book { snapshot, .. } => format!("book {snapshot}"),
            _ => "other".to_owned(),
        }));
    }

    fn faults(&mut self, faults: &[Fault]) {
        self.0.lock().unwrap().extend(faults.iter().map(|fault| format!("fault {}", fault.kind.name())));
    }
}

/// With a key of this content.
fn settings(port: u16, folder: &Path, key: &str) -> FeedSettings {
    let file = folder.join("key");
    std::fs::write(&file, key).unwrap();
    FeedSettings {
        symbols: vec!["BTC-USDT".to_owned()],
        ws_url: Some(format!("ws://127.0.0.1:{port}")),
        rest_url: Some(format!("http://127.0.0.1:{port}")),
        api_key_file: Some(file),
        ..FeedSettings::of_venue("binance-sbe")
    }
}

fn start(settings: &FeedSettings) -> Result<(Heard, watch::Sender<bool>), FeedError> {
    let timing =
        Timing { back_off_first: Duration::from_millis(20), back_off_last: Duration::from_millis(50), ..Timing::default() };
    let heard = Heard::default();
    let (stop, stopped) = watch::channel(false);
    let adapter = registry::adapter("binance-sbe", settings)?;
    let options = Options { timing, tap: None };
    tokio::spawn(supervisor::start(adapter, settings, Box::new(heard.clone()), stopped, options)?);
    Ok((heard, stop))
}

#[tokio::test]
async fn frames_of_a_key_holder_are_followed_and_healed() {
    let folder = tempfile::tempdir().unwrap();
    let (venue, port) = Venue::start().await;
    let (heard, _stop) = start(&settings(port, folder.path(), &format!("{KEY}\r\n"))).unwrap();
    for word in ["Book live", "trade at 1000 true", "quote Some(1100)", "book false"] {
        heard.wait(word).await;
    }
    venue.seen().skip = true;
    heard.wait("Book resyncing").await;
    heard.wait("Book live").await;
    let seen = venue.seen();
    assert_eq!(seen.keys, [KEY]);
    assert_eq!(seen.subscriptions.len(), 1, "{:?}", seen.subscriptions);
    assert!(seen.pongs > 0 && !seen.key_by_rest);
}

#[tokio::test]
async fn without_the_right_key_nothing_comes_and_nothing_is_said_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (venue, port) = Venue::start().await;
    let wrong = settings(port, folder.path(), "not-the-right-one");
    let (heard, _stop) = start(&wrong).unwrap();
    heard.wait("link down").await;
    assert_eq!(venue.seen().keys[0], "not-the-right-one");
    assert!(venue.seen().subscriptions.is_empty());
    for (settings, told) in [
        (FeedSettings { api_key_file: None, ..wrong.clone() }, "name a file that holds it, api_key_file"),
        (FeedSettings { api_key_file: Some(folder.path().join("none")), ..wrong.clone() }, "cannot be read: No such file"),
        (settings(port, folder.path(), " \n"), "holds no key"),
        (settings(port, folder.path(), "two\nlines-of-secrets"), "holds no key"),
    ] {
        let error = start(&settings).err().unwrap().to_string();
        assert!(error.starts_with("the API key of feed 'binance-sbe': ") && error.contains(told), "{error}");
        assert!(!error.contains("secrets"));
    }
}
