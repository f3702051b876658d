//! The feed of Databento's live gateway against a gateway of our own on loopback, which speaks the protocol: accepts, refuses, breaks in the
//! middle, resumes. Bounded: a few records, and a deadline for each wait.

use dbn::encode::dbn::MetadataEncoder;
use dbn::{
    ErrorCode, ErrorMsg, FlagSet, MboMsg, Metadata, MetadataBuilder, RecordHeader, RecordRef, SType, SymbolMappingMsg,
    SystemCode, SystemMsg, TradeMsg, rtype,
};
use feeds::adapter::{Fault, FaultKind, Sink};
use feeds::files::settings::DatabentoSettings;
use feeds::gateway::{self, Key, Timing};
use feeds::settings::FeedSettings;

use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use wire::event::{Batch, Cause, Channel, EventBody};

const KEY: &str = "db-abcdefghijklmnop";
const CHALLENGE: &str = "t7kNhwj4xqR0QYjzFKtBEG2ec2pXJ4FK";
/// As Python's hashlib has it for these two.
const ANSWER: &str =
    "auth=5a79a4042c863bf7f562767c28b494afb64a20a3d915327062614540e553668f-lmnop|dataset=GLBX.MDP3|encoding=dbn|";
const NOW: u64 = 1_715_126_400_000_000_000;
const DEADLINE: Duration = Duration::from_secs(10);

/// What the sink was told, in a few words each.
#[derive(Clone)]
struct Told(mpsc::Sender<String>);

impl Sink for Told {
    fn publish(&mut self, batch: &Batch) {
        for event in &batch.events {
            let text = match &event.body {
                EventBody::Instrument(instrument) => format!("instrument {}", instrument.symbol),
                EventBody::Link { state, cause, .. } => format!("link {state} {cause}"),
                EventBody::Trade(trade) => format!("trade {}", trade.price),
                EventBody::Quote(quote) => format!("quote {:?} {:?}", quote.bid_price, quote.ask_price),
                EventBody::Book { bids, asks, snapshot } => {
                    format!("book {} {} {snapshot}", batch.levels(bids).len(), batch.levels(asks).len())
                }
                EventBody::State { channel, state, .. } => format!("{} {state}", name(*channel)),
                EventBody::Gap { .. } => "gap".to_owned(),
                other => format!("{other:?}"),
            };
            self.say(text);
        }
    }

    fn instruments_known(&mut self) {
        self.say("known".to_owned());
    }

    fn faults(&mut self, faults: &[Fault]) {
        faults.iter().for_each(|fault| self.say(format!("fault {}: {}", FaultKind::name(fault.kind), fault.detail)));
    }

    fn line_lost(&mut self, cause: Cause) {
        self.say(format!("lost {cause}"));
    }
}

impl Told {
    fn say(&self, text: String) {
        // The test may be over.
        let _ = self.0.try_send(text);
    }
}

fn name(channel: Option<Channel>) -> &'static str {
    match channel {
        None => "all",
        Some(Channel::Quote) => "quotes",
        Some(Channel::Trade) => "trades",
        Some(Channel::Book) => "books",
    }
}

/// A feed at work, the gateway it talks to, and what comes of it.
struct Rig {
    listener: TcpListener,
    told: mpsc::Receiver<String>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

impl Rig {
    async fn new(schemas: &[&str]) -> Self {
        Self::with_silence(schemas, Timing::default().silence).await
    }

    async fn with_silence(schemas: &[&str], silence: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let databento = DatabentoSettings {
            dataset: "GLBX.MDP3".to_owned(),
            schemas: schemas.iter().map(|schema| (*schema).to_owned()).collect(),
            gateway: Some(listener.local_addr().unwrap().to_string()),
            heartbeat_s: 5,
            ..DatabentoSettings::default()
        };
        let settings =
            FeedSettings { symbols: vec!["!ESM4".to_owned()], databento: Some(databento), ..FeedSettings::of_venue("databento") };
        let timing = Timing {
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(20),
            refused_pause: Duration::from_millis(20),
            silence,
            ..Timing::default()
        };
        let (sender, told) = mpsc::channel(1_000);
        let (stop, stopped) = watch::channel(false);
        let running = gateway::start_with(&settings, Key::new(KEY).unwrap(), timing, Box::new(Told(sender)), stopped).unwrap();
        Self { listener, told, stop, running: tokio::spawn(running) }
    }

    /// The next connection.
    async fn accept(&self) -> Gateway {
        let (socket, _) = tokio::time::timeout(DEADLINE, self.listener.accept()).await.expect("the feed connects").unwrap();
        Gateway { socket: BufReader::new(socket) }
    }

    /// All that is told up to `last`, which must come.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        while all.last().map(String::as_str) != Some(last) {
            match tokio::time::timeout(DEADLINE, self.told.recv()).await {
                Ok(Some(text)) => all.push(text),
                _ => panic!("'{last}' was not told, only {all:?}"),
            }
        }
        all
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(DEADLINE, self.running).await.expect("the feed stops").unwrap();
    }
}

struct Gateway {
    socket: BufReader<TcpStream>,
}

impl Gateway {
    async fn say(&mut self, text: &str) {
        self.socket.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(DEADLINE, self.socket.read_line(&mut line)).await.expect("a line in time").unwrap();
        line.trim_end().to_owned()
    }

    /// Asks, hears the answer, says yes; what is subscribed to.
    async fn welcome(&mut self) -> Vec<String> {
        self.challenge().await;
        self.say("success=1|session_id=5\n").await;
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                line if line == "start_session" => break,
                line => lines.push(line),
            }
        }
        let mut bytes = Vec::new();
        MetadataEncoder::new(&mut bytes).encode(&metadata()).unwrap();
        self.socket.get_mut().write_all(&bytes).await.unwrap();
        self.send(&SymbolMappingMsg::new(7, NOW, SType::RawSymbol, "ESM4", SType::RawSymbol, "ESM4", NOW, u64::MAX).unwrap())
            .await;
        lines
    }

    async fn challenge(&mut self) {
        self.say(&format!("lsg_version=0.7.0\ncram={CHALLENGE}\n")).await;
        let answer = self.line().await;
        assert!(answer.starts_with(ANSWER) && !answer.contains(KEY), "{answer}");
    }

    async fn send<'a, T>(&mut self, record: &'a T)
    where
        RecordRef<'a>: From<&'a T>,
    {
        self.socket.get_mut().write_all(RecordRef::from(record).as_ref()).await.unwrap();
    }

    async fn trades(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.send(&trade(number)).await;
        }
    }

    async fn replayed(&mut self) {
        self.send(&SystemMsg::new(NOW, Some(SystemCode::ReplayCompleted), "Finished trades replay").unwrap()).await;
    }
}

fn metadata() -> Metadata {
    MetadataBuilder::new()
        .dataset("GLBX.MDP3".to_owned())
        .schema(None)
        .start(NOW)
        .stype_in(None)
        .stype_out(SType::InstrumentId)
        .build()
}

fn trade(number: u32) -> TradeMsg {
    TradeMsg {
        hd: RecordHeader::new::<TradeMsg>(rtype::MBP_0, 1, 7, NOW + u64::from(number) * 1_000_000_000),
        price: i64::from(number) * 10_000_000,
        size: 1,
        action: b'T'.cast_signed(),
        side: b'B'.cast_signed(),
        sequence: number,
        ..TradeMsg::default()
    }
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_broke() {
    let mut rig = Rig::new(&["trades"]).await;
    let mut gateway = rig.accept().await;
    assert_eq!(gateway.welcome().await, ["schema=trades|stype_in=raw_symbol|symbols=ESM4|snapshot=0|id=1|is_last=1"]);
    assert_eq!(rig.until("instrument ESM4").await, ["instrument ESM4"], "what is mapped is listed, trade or no trade");
    gateway.send(&SystemMsg::heartbeat(NOW)).await;
    gateway.trades(1..4).await;
    assert_eq!(rig.until("trade 3").await, ["known", "trades live", "trade 1", "trade 2", "trade 3"]);
    // In the middle of a record.
    let cut = trade(4);
    gateway.socket.get_mut().write_all(&RecordRef::from(&cut).as_ref()[..17]).await.unwrap();
    drop(gateway);
    assert_eq!(rig.until("lost disconnected").await, ["link down disconnected", "lost disconnected"]);
    let mut gateway = rig.accept().await;
    // A second before the newest, because records of several instruments are not in order.
    let start = NOW + 2 * 1_000_000_000;
    let subscribed = format!("schema=trades|stype_in=raw_symbol|symbols=ESM4|snapshot=0|start={start}|id=1|is_last=1");
    assert_eq!(gateway.welcome().await, [subscribed]);
    gateway.trades(2..6).await;
    // What was missed comes before all is well again, and nothing twice.
    assert_eq!(rig.until("trade 5").await, ["link resyncing disconnected", "trade 4", "trade 5"]);
    gateway.replayed().await;
    gateway.trades(6..7).await;
    assert_eq!(rig.until("trade 6").await, ["trades live", "trade 6"]);
    rig.end().await;
}

#[tokio::test]
async fn a_refusal_is_told_and_tried_again() {
    let mut rig = Rig::new(&["trades"]).await;
    let mut gateway = rig.accept().await;
    gateway.challenge().await;
    gateway.say("success=0|error=Authentication failed.\n").await;
    let told = rig.until("lost disconnected").await;
    assert_eq!(told, ["fault refused: Authentication failed.", "link down disconnected", "lost disconnected"]);
    // A gateway that is none.
    let mut gateway = rig.accept().await;
    gateway.say("HTTP/1.1 400 Bad Request\n").await;
    let mut gateway = rig.accept().await;
    gateway.welcome().await;
    gateway.trades(1..2).await;
    let told = rig.until("trade 1").await;
    assert_eq!(told, ["link resyncing disconnected", "instrument ESM4", "known", "trades live", "trade 1"]);
    // Thrown out of a running session, by the gateway's own word.
    gateway.send(&ErrorMsg::new(NOW, Some(ErrorCode::ConnectionLimitExceeded), "too many connections", true)).await;
    let told = rig.until("lost disconnected").await;
    assert_eq!(told, ["fault refused: too many connections", "link down disconnected", "lost disconnected"]);
    rig.end().await;
}

#[tokio::test]
async fn what_is_lost_for_good_is_a_gap() {
    let mut rig = Rig::new(&["trades"]).await;
    let mut gateway = rig.accept().await;
    gateway.welcome().await;
    gateway.trades(1..2).await;
    rig.until("trade 1").await;
    gateway.send(&ErrorMsg::new(NOW, Some(ErrorCode::SymbolResolutionFailed), "no such symbol: ESM9", true)).await;
    gateway.trades(2..3).await;
    // One bad symbol does not end what the others bring.
    assert_eq!(rig.until("trade 2").await, ["fault refused: no such symbol: ESM9", "trade 2"]);
    gateway.send(&ErrorMsg::new(NOW, Some(ErrorCode::SkippedRecordsAfterSlowReading), "skipped", true)).await;
    rig.until("lost sequence_gap").await;
    let mut gateway = rig.accept().await;
    assert!(!gateway.welcome().await[0].contains("start="));
    gateway.trades(9..10).await;
    assert_eq!(rig.until("trade 9").await, ["link resyncing sequence_gap", "gap", "trades live", "trade 9"]);
    rig.end().await;
}

fn order(action: u8, side: u8, id: u64, cents: i64, flags: u8) -> MboMsg {
    MboMsg {
        hd: RecordHeader::new::<MboMsg>(rtype::MBO, 1, 7, NOW),
        order_id: id,
        price: cents * 10_000_000,
        size: 5,
        flags: FlagSet::new(flags),
        action: action.cast_signed(),
        side: side.cast_signed(),
        sequence: u32::try_from(id).unwrap(),
        ..MboMsg::default()
    }
}

#[tokio::test]
async fn a_book_of_orders_is_kept_over_a_break() {
    let mut rig = Rig::new(&["mbo"]).await;
    let mut gateway = rig.accept().await;
    assert_eq!(gateway.welcome().await, ["schema=mbo|stype_in=raw_symbol|symbols=ESM4|snapshot=1|id=1|is_last=1"]);
    for record in [order(b'R', b'N', 0, 0, 0x20), order(b'A', b'B', 1, 100, 0x20), order(b'A', b'A', 2, 101, 0xa0)] {
        gateway.send(&record).await;
    }
    gateway.send(&order(b'A', b'B', 3, 99, 0x80)).await;
    let told = rig.until("book 1 0 false").await;
    assert_eq!(
        told,
        ["instrument ESM4", "known", "quotes live", "books live", "book 1 1 true", "quote Some(100) Some(101)", "book 1 0 false"]
    );
    drop(gateway);
    let mut gateway = rig.accept().await;
    assert!(gateway.welcome().await[0].contains("|snapshot=0|start="), "the book is here: only what was missed is needed");
    for record in [order(b'A', b'B', 3, 99, 0x80), order(b'A', b'A', 4, 102, 0x80)] {
        gateway.send(&record).await;
    }
    let told = rig.until("book 0 1 false").await;
    assert_eq!(told, ["link down disconnected", "lost disconnected", "link resyncing disconnected", "book 0 1 false"]);
    gateway.replayed().await;
    assert_eq!(rig.until("books live").await, ["quotes live", "books live"]);
    // Bytes that are no records end the connection, not the feed.
    gateway.socket.get_mut().write_all(&[3; 64]).await.unwrap();
    let told = rig.until("lost bad_data").await;
    assert!(told[0].starts_with("fault bad_message: the gateway's stream is damaged"), "{told:?}");
    rig.accept().await;
    rig.end().await;
}

#[tokio::test]
async fn silence_is_a_loss() {
    // The shortest heartbeat there is, and nothing beyond it.
    let mut rig = Rig::with_silence(&["trades"], Duration::ZERO).await;
    let mut gateway = rig.accept().await;
    gateway.welcome().await;
    gateway.trades(1..2).await;
    rig.until("trade 1").await;
    assert_eq!(rig.until("lost silence").await, ["link stale silence", "lost silence"]);
    rig.end().await;
}

#[test]
fn settings_are_checked() {
    let good = || DatabentoSettings { dataset: "GLBX.MDP3".to_owned(), ..DatabentoSettings::default() };
    let check = |databento: DatabentoSettings, symbols: &[&str]| {
        let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
        gateway::check(&FeedSettings { symbols, databento: Some(databento), ..FeedSettings::of_venue("databento") })
    };
    let (request, address) = check(good(), &["!ESM4"]).unwrap();
    assert_eq!((address.as_str(), request.symbols), ("glbx-mdp3.lsg.databento.com:13000", vec!["ESM4".to_owned()]));
    for (databento, symbols, part) in [
        (DatabentoSettings::default(), &["ESM4"][..], "needs files, or a dataset"),
        (good(), &[], "names no symbols"),
        (
            DatabentoSettings { schemas: vec!["ohlcv-1s".to_owned()], ..good() },
            &["ESM4"],
            "'ohlcv-1s' is no schema that is read here",
        ),
        (DatabentoSettings { stype_in: "isin".to_owned(), ..good() }, &["ESM4"], "stype_in 'isin' is none of raw_symbol"),
        (DatabentoSettings { heartbeat_s: 1, ..good() }, &["ESM4"], "heartbeat_s must be 5 to 1800"),
    ] {
        let error = check(databento, symbols).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(Key::new("short").is_none() && Key::new("db-with a space").is_none());
    assert_eq!(format!("{:?}", Key::new(KEY).unwrap()), "Key(hidden)");
    // A feed without its key does not start, and names the variable.
    let databento = DatabentoSettings { key_env: "TICKWIRE_TEST_NO_SUCH_KEY".to_owned(), ..good() };
    let settings =
        FeedSettings { symbols: vec!["ESM4".to_owned()], databento: Some(databento), ..FeedSettings::of_venue("databento") };
    let sink = Told(mpsc::channel(1_000).0);
    let error = feeds::start(&settings, Box::new(sink), watch::channel(false).1).err().unwrap().to_string();
    assert!(error.contains("the environment variable TICKWIRE_TEST_NO_SUCH_KEY holds no API key"), "{error}");
}
