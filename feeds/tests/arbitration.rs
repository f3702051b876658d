//! One feed on two lines to two loopback servers of one venue, each of which loses, lags and breaks on command. In: numbered trades and book
//! updates, the same from both. Out: every trade once and in order, one book without a hole, and silence towards clients until both are gone.

use feeds::adapter::{Fault, Race, Sink};
use feeds::settings::FeedSettings;
use feeds::supervisor::{Options, Timing};
use feeds::{registry, supervisor};
use futures_util::{SinkExt, StreamExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use wire::event::{Batch, EventBody};

const INFO: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
    {"filterType":"PRICE_FILTER","tickSize":"0.01"},{"filterType":"LOT_SIZE","stepSize":"0.01"}]}]}"#;

/// What the venue does; changed by the test while it runs.
#[derive(Default)]
struct Plan {
    /// The newest number; trades and updates share it. Update `n` puts size `n` at price `100 + n % 10`.
    number: u64,
    /// By server.
    refuse: [bool; 2],
    /// Bumped: its connections are closed.
    cut: [u64; 2],
    /// It leaves out every so manieth number.
    skips: [u64; 2],
    lag: [Duration; 2],
    connects: [u32; 2],
    depth_requests: u32,
}

#[derive(Clone)]
struct Venue {
    plan: Arc<Mutex<Plan>>,
    /// The newest number.
    numbers: watch::Sender<u64>,
}

impl Venue {
    /// With the ports of its two servers.
    async fn start() -> (Self, [u16; 2]) {
        let venue = Self { plan: Arc::default(), numbers: watch::channel(0).0 };
        let mut ports = [0; 2];
        for (server, port) in ports.iter_mut().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            *port = listener.local_addr().unwrap().port();
            let serving = venue.clone();
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serving.clone().serve(server, stream));
                }
            });
        }
        let counting = venue.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            loop {
                ticks.tick().await;
                let number = {
                    let mut plan = counting.plan();
                    plan.number += 1;
                    plan.number
                };
                counting.numbers.send_replace(number);
            }
        });
        (venue, ports)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    async fn serve(self, server: usize, mut stream: TcpStream) {
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
            if !self.plan().refuse[server] {
                self.stream(server, stream).await;
            }
            return;
        }
        let mut scratch = vec![0u8; read];
        stream.read_exact(&mut scratch).await.unwrap();
        let body = if head.contains("/exchangeInfo") { INFO.to_owned() } else { self.depth() };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        let _ = stream.write_all(answer.as_bytes()).await;
    }

    fn depth(&self) -> String {
        let mut plan = self.plan();
        plan.depth_requests += 1;
        let bids: Vec<String> = book_at(plan.number).iter().map(|(price, size)| format!(r#"["{price}","{size}"]"#)).collect();
        format!(r#"{{"lastUpdateId":{},"bids":[{}],"asks":[]}}"#, plan.number, bids.join(","))
    }

    async fn stream(&self, server: usize, stream: TcpStream) {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        let mut numbers = self.numbers.subscribe();
        let mut newest = *numbers.borrow_and_update();
        self.plan().connects[server] += 1;
        let cut = self.plan().cut[server];
        let mut subscribed = false;
        let mut due: std::collections::VecDeque<(Instant, u64)> = Default::default();
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) if text.contains("SUBSCRIBE") => {
                        let id = text.rsplit_once(':').unwrap().1.trim_end_matches('}').to_owned();
                        let _ = socket.send(Message::text(format!(r#"{{"result":null,"id":{id}}}"#))).await;
                        subscribed = true;
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
                _ = numbers.changed() => {
                    let at = Instant::now() + self.plan().lag[server];
                    let number = *numbers.borrow_and_update();
                    due.extend((newest + 1..=number).map(|number| (at, number)));
                    newest = number;
                }
                _ = ticks.tick() => {}
            }
            if self.plan().cut[server] != cut {
                return;
            }
            while due.front().is_some_and(|(at, _)| *at <= Instant::now()) {
                let Some((_, n)) = due.pop_front() else { break };
                let skips = self.plan().skips[server];
                if !subscribed || (skips > 0 && n % skips == 0) {
                    continue;
                }
                let price = 100 + n % 10;
                let trade = format!(
                    r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1,"s":"BTCUSDT","t":{n},"p":"10.00","q":"1","T":1,"m":true}}}}"#
                );
                let diff = format!(
                    r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{n},"u":{n},"b":[["{price}","{n}"]],"a":[]}}}}"#
                );
                for text in [trade, diff] {
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn book_at(number: u64) -> BTreeMap<u64, u64> {
    (number.saturating_sub(9).max(1)..=number).map(|n| (100 + n % 10, n)).collect()
}

/// What the sink was told.
#[derive(Default)]
struct Told {
    trades: Vec<i64>,
    /// At the exponents of the instrument, which are -2 both.
    book: BTreeMap<i64, i64>,
    snapshots: u32,
    gaps: u32,
    words: Vec<String>,
    faults: BTreeMap<&'static str, u32>,
    won: [u64; 2],
    leads: [u64; 2],
    lost: [u32; 2],
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Told>>);

impl Sink for Heard {
    fn publish(&mut self, batch: &Batch) {
        let mut told = self.0.lock().unwrap();
        for event in &batch.events {
            match &event.body {
                EventBody::Trade(trade) => told.trades.push(trade.id.unwrap()),
                EventBody::Gap { .. } => told.gaps += 1,
                EventBody::Link { state, .. } => told.words.push(format!("link {state}")),
                EventBody::State { channel, state, .. } => told.words.push(format!("{:?} {state}", channel.unwrap())),
                EventBody::Book { bids, snapshot, .. } => {
                    if *snapshot {
                        told.snapshots += 1;
                        told.book.clear();
                    }
                    for level in batch.levels(bids) {
                        told.book.insert(level.price, level.size);
                    }
                    // Each book that is told is one that the venue had, whole.
                    let newest = told.book.values().max().map_or(0, |size| *size as u64 / 100);
                    let expected = book_at(newest);
                    let expected = expected.iter().map(|(price, size)| (*price as i64 * 100, *size as i64 * 100));
                    assert!(told.book.clone().into_iter().eq(expected), "{:?} at {newest}", told.book);
                }
                _ => {}
            }
        }
    }

    fn faults(&mut self, faults: &[Fault]) {
        let mut told = self.0.lock().unwrap();
        faults.iter().for_each(|fault| *told.faults.entry(fault.kind.name()).or_default() += 1);
    }

    fn races(&mut self, races: &[Race]) {
        let mut told = self.0.lock().unwrap();
        for race in races {
            match *race {
                Race::Won { line } => told.won[usize::from(line)] += 1,
                Race::Lead { line, lead_ns, .. } => told.leads[usize::from(line)] += u64::from(lead_ns >= 0),
                Race::Health { line, lost, .. } => told.lost[usize::from(line)] = lost,
            }
        }
    }
}

impl Heard {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    async fn until(&self, what: &str, is: impl Fn(&Told) -> bool) {
        let started = Instant::now();
        while !is(&self.told()) {
            let told = self.told();
            assert!(started.elapsed() < Duration::from_secs(15), "never {what}: {:?} {:?}", told.words, told.faults);
            drop(told);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn more_trades(&self, count: usize) {
        let now = self.told().trades.len();
        self.until("more trades", |told| told.trades.len() >= now + count).await;
    }

    fn is_whole(&self) {
        let told = self.told();
        assert!(told.trades.windows(2).all(|pair| pair[1] == pair[0] + 1), "{:?}", told.trades);
        assert_eq!((told.gaps, told.snapshots), (0, 1), "{:?}", told.faults);
    }
}

#[tokio::test]
async fn two_lines_are_one_feed_that_is_hard_to_break() {
    let (venue, ports) = Venue::start().await;
    let json = format!(
        r#"{{"venue":"binance","symbols":["BTC-USDT"],"channels":["trade","book"],"silence_ms":2000,
        "ws_url":"ws://127.0.0.1:{}","ws_urls":["ws://127.0.0.1:{}"],"rest_url":"http://127.0.0.1:{}"}}"#,
        ports[0], ports[1], ports[0]
    );
    let settings: FeedSettings = serde_json::from_str(&json).unwrap();
    let heard = Heard::default();
    let timing = Timing {
        back_off_first: Duration::from_millis(40),
        back_off_last: Duration::from_millis(160),
        settled_after: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        fetch_timeout: Duration::from_secs(2),
    };
    let (stop, stopped) = watch::channel(false);
    let adapter = registry::adapter("binance", &settings).unwrap();
    let options = Options { timing, tap: None };
    let running = supervisor::start(adapter, &settings, Box::new(heard.clone()), stopped, options).unwrap();
    let task = tokio::spawn(running);
    heard.until("live", |told| told.snapshots == 1 && told.trades.len() > 10).await;
    heard.until("on both lines", |told| told.leads.iter().sum::<u64>() > 10).await;
    assert_eq!(venue.plan().connects, [1, 1]);

    // First the one loses what the other has, which is late, and then the other way round.
    (venue.plan().skips, venue.plan().lag) = ([7, 0], [Duration::ZERO, Duration::from_millis(60)]);
    heard.more_trades(60).await;
    venue.plan().skips = [0, 0];
    heard.more_trades(30).await;
    (venue.plan().skips, venue.plan().lag) = ([0, 5], [Duration::from_millis(40), Duration::ZERO]);
    heard.more_trades(60).await;
    venue.plan().skips = [0, 0];
    heard.more_trades(30).await;
    heard.is_whole();
    heard.told().words.clear();

    // One server is gone: nothing is told.
    venue.plan().refuse[0] = true;
    venue.plan().cut[0] += 1;
    heard.until("a lost line", |told| told.lost[0] == 1).await;
    heard.more_trades(40).await;
    assert_eq!(heard.told().words, [""; 0], "{:?}", heard.told().faults);
    venue.plan().refuse[0] = false;
    heard.until("the line again", |told| told.lost[0] == 0).await;
    venue.plan().lag = [Duration::ZERO, Duration::from_millis(20)];
    let won = heard.told().won[0];
    heard.until("first again", |told| told.won[0] > won + 10).await;
    assert_eq!(heard.told().words, [""; 0]);
    heard.is_whole();

    // Both are gone.
    venue.plan().refuse = [true, true];
    venue.plan().cut = [10, 10];
    heard.until("down", |told| told.words.contains(&"link down".to_owned())).await;
    venue.plan().refuse = [false, false];
    heard.until("back", |told| told.words.contains(&"Book live".to_owned())).await;
    {
        let faults = &heard.told().faults;
        assert!(faults.contains_key("line_gap"), "{faults:?}");
        assert!(!faults.contains_key("duplicate") && !faults.contains_key("line_diverged"), "{faults:?}");
    }
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(1), task).await.expect("stops at once").unwrap();
}
