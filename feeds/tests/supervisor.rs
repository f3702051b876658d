//! The supervisor on loopback against a small venue that misbehaves on command.

use feeds::adapter::{Fault, FetchError, Line, Now, Sink};
use feeds::settings::FeedSettings;
use feeds::supervisor::{Options, Tap, Timing};
use feeds::{FeedError, registry, supervisor};
use futures_util::{SinkExt, StreamExt};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use wire::event::{Batch, Cause, EventBody};

const INFO: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
    {"filterType":"PRICE_FILTER","tickSize":"0.01"},{"filterType":"LOT_SIZE","stepSize":"0.01"}]}]}"#;

/// What the venue does; changed by the tests while it runs.
struct Plan {
    /// Trades go on; each takes the next id.
    trading: bool,
    next_trade: u64,
    refuse: bool,
    /// Status of the answers to depth requests.
    depth_status: u16,
    /// Bumped: every connection open now is closed.
    cut: u64,
    shutdown_notice: bool,
    attempts: Vec<Instant>,
    depth_requests: u32,
    open: u32,
}

#[derive(Clone)]
struct Venue {
    plan: Arc<Mutex<Plan>>,
    port: u16,
}

impl Venue {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plan = Plan {
            trading: true,
            next_trade: 1,
            refuse: false,
            depth_status: 200,
            cut: 0,
            shutdown_notice: false,
            attempts: Vec::new(),
            depth_requests: 0,
            open: 0,
        };
        let venue = Self { plan: Arc::new(Mutex::new(plan)), port: listener.local_addr().unwrap().port() };
        let serving = venue.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        venue
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
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
            let refuse = {
                let mut plan = self.plan();
                plan.attempts.push(Instant::now());
                plan.refuse
            };
            if !refuse {
                self.stream(stream).await;
            }
            return;
        }
        let mut scratch = vec![0u8; read];
        stream.read_exact(&mut scratch).await.unwrap();
        let (status, body) = if head.contains("/exchangeInfo") {
            (200, INFO.to_owned())
        } else {
            let mut plan = self.plan();
            plan.depth_requests += 1;
            (plan.depth_status, r#"{"lastUpdateId":10,"bids":[["9.00","1"]],"asks":[["11.00","1"]]}"#.to_owned())
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    async fn stream(&self, stream: TcpStream) {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        self.plan().open += 1;
        let cut = self.plan().cut;
        let mut noticed = false;
        let mut subscribed = false;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            let mut messages = Vec::new();
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) if text.contains("SUBSCRIBE") => {
                        let id = text.rsplit_once(':').unwrap().1.trim_end_matches('}').to_owned();
                        messages.push(format!(r#"{{"result":null,"id":{id}}}"#));
                        subscribed = true;
                    }
                    Some(Ok(_)) => {}
                    _ => break,
                },
                _ = ticks.tick() => {
                    let mut plan = self.plan();
                    if plan.cut != cut {
                        break;
                    }
                    if plan.shutdown_notice && !noticed {
                        noticed = true;
                        plan.shutdown_notice = false;
                        messages.push(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#.to_owned());
                    }
                    if plan.trading && subscribed {
                        // Two lines get the same ids: they follow the clock of the plan, not their own.
                        let id = plan.next_trade;
                        if plan.open == 1 {
                            plan.next_trade += 1;
                        }
                        messages.push(format!(r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1,"s":"BTCUSDT","t":{id},"p":"10.00","q":"1","T":1,"m":true}}}}"#));
                    }
                },
            }
            for message in messages {
                if socket.send(Message::text(message)).await.is_err() {
                    break;
                }
            }
        }
        self.plan().open -= 1;
    }
}

/// What the sink was told, as words.
#[derive(Clone, Default)]
struct Heard {
    words: Arc<Mutex<Vec<String>>>,
}

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.words.lock().unwrap())
    }

    /// Waits until all of `wanted` were heard in this order, and takes all up to there.
    async fn wait(&self, wanted: &[&str]) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        let started = Instant::now();
        loop {
            seen.extend(self.take());
            let mut left = wanted.iter().peekable();
            for word in &seen {
                left.next_if(|next| **next == word);
            }
            if left.peek().is_none() {
                return seen;
            }
            if started.elapsed() > Duration::from_secs(10) {
                seen.dedup();
                panic!("not heard: {:?} in {seen:?}", left.collect::<Vec<_>>());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Sink for Heard {
    fn publish(&mut self, batch: &Batch) {
        let mut words = self.words.lock().unwrap();
        words.extend(batch.events.iter().map(|event| match &event.body {
            EventBody::Link { link, state, cause } => format!("link {link} {state} {cause}"),
            EventBody::State { channel, state, cause } => format!("{:?} {state} {cause}", channel.unwrap()),
            EventBody::Trade(_) => "trade".to_owned(),
            EventBody::Gap { missing, cause, .. } => format!("gap {} {cause}", missing.is_some_and(|missing| missing > 0)),
            EventBody::Book { snapshot, .. } => if *snapshot { "snapshot" } else { "diff" }.to_owned(),
            EventBody::Instrument(instrument) => instrument.symbol.clone(),
            _ => "other".to_owned(),
        }));
    }

    fn instruments_known(&mut self) {
        self.words.lock().unwrap().push("known".to_owned());
    }

    fn faults(&mut self, faults: &[Fault]) {
        self.words.lock().unwrap().extend(faults.iter().map(|fault| format!("fault {}", fault.kind.name())));
    }
}

struct Feed {
    venue: Venue,
    heard: Heard,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn settings(port: u16) -> FeedSettings {
    let json = format!(
        r#"{{"venue":"binance","symbols":["BTC-USDT"],"channels":["trade","book"],"silence_ms":300,
        "ws_url":"ws://127.0.0.1:{port}","rest_url":"http://127.0.0.1:{port}"}}"#
    );
    serde_json::from_str(&json).unwrap()
}

fn timing() -> Timing {
    Timing {
        back_off_first: Duration::from_millis(40),
        back_off_last: Duration::from_millis(320),
        settled_after: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        fetch_timeout: Duration::from_secs(2),
    }
}

impl Feed {
    async fn start(tap: Option<Box<dyn Tap>>) -> Self {
        let venue = Venue::start().await;
        let heard = Heard::default();
        let (stop, stopped) = watch::channel(false);
        let settings = settings(venue.port);
        let adapter = registry::adapter("binance", &settings).unwrap();
        let options = Options { timing: timing(), tap };
        let running = supervisor::start(adapter, &settings, Box::new(heard.clone()), stopped, options).unwrap();
        Self { venue, heard, stop, task: tokio::spawn(running) }
    }

    async fn live(tap: Option<Box<dyn Tap>>) -> Self {
        let feed = Self::start(tap).await;
        feed.heard.wait(&["BTC-USDT", "known", "Trade live none"]).await;
        feed.heard.wait(&["trade"]).await;
        feed
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(1), self.task).await.expect("stops at once").unwrap();
    }
}

#[tokio::test]
async fn a_cut_connection_is_told_and_mended() {
    let feed = Feed::start(None).await;
    feed.heard.wait(&["BTC-USDT", "known", "snapshot", "Book live none"]).await;
    feed.heard.wait(&["trade", "trade"]).await;
    {
        let mut plan = feed.venue.plan();
        plan.cut += 1;
        plan.next_trade += 7;
    }
    let lost = ["link 0 down disconnected", "link 0 resyncing disconnected", "Trade live none", "gap true disconnected", "trade"];
    feed.heard.wait(&lost).await;
    assert_eq!(feed.venue.plan().attempts.len(), 2);
    feed.stop().await;
}

#[tokio::test]
async fn silence_is_stale_and_reconnects() {
    let feed = Feed::live(None).await;
    feed.venue.plan().trading = false;
    let since = Instant::now();
    feed.heard.wait(&["link 0 stale silence"]).await;
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(4), "{took:?}");
    feed.venue.plan().trading = true;
    feed.heard.wait(&["Trade live none", "trade"]).await;
    assert!(feed.venue.plan().attempts.len() >= 2);
    feed.stop().await;
}

#[tokio::test]
async fn a_venue_that_refuses_is_not_hammered() {
    let feed = Feed::live(None).await;
    {
        let mut plan = feed.venue.plan();
        plan.refuse = true;
        plan.cut += 1;
        plan.attempts.clear();
    }
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    let attempts = feed.venue.plan().attempts.clone();
    // Pauses of 40, 80, 160 and then up to 320 ms, on average half of it.
    assert!((5..=40).contains(&attempts.len()), "{}", attempts.len());
    feed.venue.plan().refuse = false;
    feed.heard.wait(&["link 0 down disconnected", "Trade live none", "trade"]).await;
    feed.stop().await;
}

#[tokio::test]
async fn failing_snapshots_open_the_circuit_and_heal() {
    let feed = Feed::start(None).await;
    feed.venue.plan().depth_status = 503;
    feed.heard.wait(&["Book resyncing snapshot_unavailable", "fault snapshot_failed"]).await;
    let requests = feed.venue.plan().depth_requests;
    assert!((1..=2).contains(&requests), "{requests}");
    feed.venue.plan().depth_status = 200;
    feed.heard.wait(&["snapshot", "Book live none"]).await;
    feed.stop().await;
}

#[tokio::test]
async fn a_shutdown_notice_costs_nothing() {
    let feed = Feed::live(None).await;
    feed.heard.take();
    feed.venue.plan().shutdown_notice = true;
    let since = Instant::now();
    // The new line, then the old one closed by us, one second later.
    while feed.venue.plan().attempts.len() < 2 || feed.venue.plan().open != 1 {
        assert!(since.elapsed() < Duration::from_secs(8), "not replaced");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    feed.heard.wait(&["trade", "trade"]).await;
    let bad: Vec<_> = feed.heard.take().into_iter().filter(|word| word != "trade").collect();
    assert!(bad.is_empty(), "{bad:?}");
    feed.stop().await;
}

#[derive(Clone, Default)]
struct Taped(Arc<Mutex<Vec<String>>>);

impl Tap for Taped {
    fn opened(&mut self, _now: Now, line: Line, url: &str) {
        self.0.lock().unwrap().push(format!("opened {} {}", line.0, url.contains("/stream")));
    }

    fn received(&mut self, now: Now, _line: Line, bytes: &[u8]) {
        assert!(now.wall > 1_600_000_000_000_000_000);
        self.0.lock().unwrap().push(format!("received {}", bytes.starts_with(b"{")));
    }

    fn sent(&mut self, _now: Now, _line: Line, text: &str) {
        self.0.lock().unwrap().push(format!("sent {}", text.contains("SUBSCRIBE")));
    }

    fn response(&mut self, _now: Now, url: &str, result: &Result<Vec<u8>, FetchError>) {
        self.0.lock().unwrap().push(format!("response {} {}", url.rsplit('/').next().unwrap(), result.is_ok()));
    }

    fn closed(&mut self, _now: Now, line: Line, cause: Cause, _reason: &str) {
        self.0.lock().unwrap().push(format!("closed {} {cause}", line.0));
    }
}

#[tokio::test]
async fn a_tap_sees_the_wire() {
    let tap = Taped::default();
    let feed = Feed::live(Some(Box::new(tap.clone()))).await;
    feed.venue.plan().cut += 1;
    feed.heard.wait(&["link 0 down disconnected"]).await;
    feed.stop().await;
    let seen = tap.0.lock().unwrap().clone();
    for word in ["response exchangeInfo true", "opened 0 true", "sent true", "received true", "closed 0 disconnected"] {
        assert!(seen.iter().any(|seen| seen == word), "{word} in {seen:?}");
    }
}

#[tokio::test]
async fn wrong_settings_never_start() {
    let start = |settings: &FeedSettings| {
        let (_stop, stopped) = watch::channel(false);
        feeds::start(settings, Box::new(Heard::default()), stopped).err().map(|error| error.to_string()).unwrap()
    };
    let good = settings(1);
    assert!(
        start(&FeedSettings { venue: "nowhere".into(), ..good.clone() })
            .starts_with("unknown venue 'nowhere'; known venues: binance")
    );
    let far = FeedSettings { ws_url: Some("ws://example.com".into()), ..good.clone() };
    assert!(start(&far).contains("loopback only"));
    let mixed = FeedSettings { rest_url: Some("wss://127.0.0.1:1".into()), ..good.clone() };
    assert!(matches!(
        supervisor::start(
            registry::adapter("binance", &mixed).unwrap(),
            &mixed,
            Box::new(Heard::default()),
            watch::channel(false).1,
            Options::default()
        ),
        Err(FeedError::BadAddress { .. })
    ));
    assert!(start(&FeedSettings { symbols: vec!["BTC/USDT".into()], ..good }).contains("'BTC/USDT' is not a symbol of binance"));
}
