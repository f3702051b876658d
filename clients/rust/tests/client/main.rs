//! The client against a scripted server over TLS on loopback: what it sends, what it counts, when it comes back.

use client::wire::answer::{Aged, Limiting, Old, OldCause, Qos};
use client::wire::codec::frame::{base_second, put_header, put_trailer};
use client::wire::codec::{Context, put};
use client::wire::event::{Aggressor, Cause, FeedState, Flags, Level, Side, Status};
use client::wire::kind::{Depth, Kind};
use client::wire::record::{Clock, Meta, Record, RecordBody, TradeRecord};
use client::wire::request::{
    Encoding, Focus, Hello, Limits, MaxAge, Mod, Pace, Reply, Request, Since, Start, Sub, TopicResult, TradeMode,
};
use client::wire::view::book::Book;
use client::{Change, Client, ClientError, Options, Reconnect, Step, Subscription, Trust};
use futures_util::{SinkExt, StreamExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request as Handshake, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

mod again;

const SENT: i64 = 1_723_161_600_000_000_000;
const DELTA: Flags = Flags(0);

struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    certificate: String,
}

/// One accepted connection.
struct Peer {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    encoding: Encoding,
    frame: u64,
}

impl Server {
    async fn start() -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), certificate: certified.cert.pem() }
    }

    fn options(&self, encoding: Encoding) -> Options {
        let url = format!("wss://localhost:{}", self.listener.local_addr().unwrap().port());
        let reconnect = Reconnect { first: Duration::from_millis(10), longest: Duration::from_millis(50) };
        Options { encoding, trust: Trust::AnyCertificate, reconnect: Some(reconnect), ..Options::new(url) }
    }

    async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let (stream, _) = self.listener.accept().await?;
        self.acceptor.accept(stream).await
    }

    async fn accept(&self) -> Peer {
        let mut path = String::new();
        let mut protocol = String::new();
        let stream = self.tls().await.unwrap();
        #[expect(clippy::result_large_err, reason = "the library's own callback type")]
        let answer = |request: &Handshake, mut response: Response| {
            path = request.uri().path().to_owned();
            protocol = request.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_str(&protocol).unwrap());
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, answer).await.unwrap();
        assert_eq!(path, "/v1/stream");
        let encoding = if protocol == "tickwire.v1.bin" { Encoding::Binary } else { Encoding::Json };
        let mut peer = Peer { socket, encoding, frame: 1 };
        peer.reply(&hello()).await;
        peer
    }
}

impl Peer {
    async fn reply(&mut self, reply: &Reply) {
        self.socket.send(Message::text(serde_json::to_string(reply).unwrap())).await.unwrap();
    }

    /// The client's next request.
    async fn request(&mut self) -> Request {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn sub(&mut self) -> Sub {
        let Request::Sub(sub) = self.request().await else { panic!("no sub") };
        sub
    }

    async fn ack(&mut self, id: Option<u64>, result: TopicResult) {
        self.reply(&Reply::Ack { id, results: vec![result], more: false }).await;
    }

    async fn frame(&mut self, meta: &Meta, records: &[Record<'_>]) {
        let mut out = Vec::new();
        put_header(&mut out, self.encoding, self.frame, SENT);
        for record in records {
            put(&mut out, self.encoding, &Context { base_second: base_second(SENT), meta }, record);
        }
        put_trailer(&mut out, self.encoding);
        self.frame += 1;
        let message = match self.encoding {
            Encoding::Binary => Message::binary(out),
            Encoding::Json => Message::text(String::from_utf8(out).unwrap()),
        };
        self.socket.send(message).await.unwrap();
    }

    async fn close(mut self, number: u16) {
        let _ = self.socket.close(Some(CloseFrame { code: number.into(), reason: "for a test".into() })).await;
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

fn live(topic: &str, topic_id: u32, replaces: Option<&str>) -> TopicResult {
    TopicResult::Live {
        topic: topic.to_owned(),
        topic_id,
        pace: Pace::Realtime,
        trades: None,
        start: Start::Snapshot,
        limited_by: None,
        missing: None,
        from: None,
        replaces: replaces.map(str::to_owned),
    }
}

fn hello() -> Reply {
    Reply::Hello(Hello {
        protocol: "tickwire.v1".into(),
        version: "0".into(),
        node: "test".into(),
        session: "1".into(),
        time: SENT.to_string(),
        encoding: String::new(),
        heartbeat_ms: 1000,
        paces: Vec::new(),
        limits: Limits {
            subscriptions: 1,
            commands_per_second: 0,
            updates_per_second: 0,
            bytes_per_second: 0,
            request_bytes: 0,
            write_timeout_ms: 0,
            grants_per_second: 0,
        },
        route: Vec::new(),
        starting: false,
    })
}

fn meta(topic: u32, kind: Kind) -> Meta {
    let depth = if kind == Kind::Book { "/5" } else { "" };
    Meta {
        topic,
        name: format!("{kind}/sim:A{depth}"),
        kind,
        epoch: 3,
        price_exponent: -2,
        size_exponent: 0,
        tick: 1,
        lot: 1,
        base: 100,
        clock: Clock::Event,
        time_exponent: -6,
    }
}

fn record(meta: &Meta, flags: Flags, sequence: u64, body: RecordBody<'static>) -> Record<'static> {
    Record { topic: meta.topic, flags, sequence, time: SENT, body }
}

const BIDS: &[Level] = &[Level { price: 100, size: 5 }, Level { price: 99, size: 7 }];
const ASKS: &[Level] = &[Level { price: 101, size: 6 }];
const BID_GONE: &[Level] = &[Level { price: 100, size: 0 }];

/// `next` until `done` says so.
async fn until(client: &mut Client, mut done: impl FnMut(&Client, &Step) -> bool) -> Step {
    let waiting = async {
        loop {
            let step = client.next(|_| ()).await.expect("the client goes on");
            if done(client, &step) {
                return step;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it happens in time")
}

#[tokio::test]
async fn a_view_survives_the_loss_of_its_connection() {
    for encoding in [Encoding::Binary, Encoding::Json] {
        let server = Server::start().await;
        let mut client = Client::new(&server.options(encoding)).unwrap();
        let id = client.subscribe(Subscription { pace: Pace::EveryMs(100), ..Subscription::new(["book/sim:A/5"]) });
        let script = async {
            let mut peer = server.accept().await;
            let Sub { id: Some(got), topics, pace, resume, .. } = peer.sub().await else { panic!("no id") };
            assert_eq!((got, &topics[..], pace), (id, &["book/sim:A/5".to_owned()][..], Pace::EveryMs(100)));
            assert!(resume.is_empty());
            peer.ack(Some(id), live(&topics[0], 4, None)).await;
            let meta4 = meta(4, Kind::Book);
            let status = Status { feed: FeedState::Live, ..Status::default() };
            peer.frame(
                &meta4,
                &[
                    Record { body: RecordBody::Meta(&meta4), ..record(&meta4, DELTA, 0, RecordBody::Tape) },
                    record(&meta4, DELTA, 0, RecordBody::State(status)),
                    record(&meta4, Flags::SNAPSHOT, 10, RecordBody::Book { bids: BIDS, asks: ASKS }),
                ],
            )
            .await;
            peer.close(4000).await;

            // Another connection: the topic has another id now, the place is offered, and the stream goes on.
            let mut peer = server.accept().await;
            let resume = peer.sub().await.resume;
            assert_eq!(resume.get("book/sim:A/5"), Some(&(3, 10)));
            let meta9 = meta(9, Kind::Book);
            let mut book = Book::new();
            book.replace(&BIDS[1..], ASKS);
            peer.frame(
                &meta9,
                &[
                    Record { body: RecordBody::Meta(&meta9), ..record(&meta9, DELTA, 0, RecordBody::Tape) },
                    record(&meta9, Flags::CONFLATED, 4, RecordBody::Book { bids: BID_GONE, asks: &[] }),
                    record(&meta9, DELTA, 0, RecordBody::Check { hash: book.hash(5) }),
                ],
            )
            .await;
            peer
        };
        let seen = async {
            until(&mut client, |client, _| client.stats().checks_ok > 0).await;
            let view = client.view("book/sim:A/5").expect("the view");
            assert_eq!((view.sequence, view.state.map(|state| state.feed)), (Some(14), Some(FeedState::Live)));
            assert_eq!(view.book().expect("a book").best(Side::Bid), Some(BIDS[1]));
            let stats = client.stats();
            assert_eq!((stats.connections, stats.snapshots, stats.merged, stats.checks_ok), (2, 1, 3, 1));
            assert_eq!((stats.frames, stats.unexplained_gaps, stats.event.count()), (2, 0, 1));
        };
        let (_peer, ()) = tokio::join!(script, seen);
    }
}

fn trade() -> RecordBody<'static> {
    let aggressor = Aggressor::Buy;
    RecordBody::Trade(TradeRecord { price: 100, size: 1, aggressor, id: None, previous_id: None, aggregated: false })
}

#[tokio::test]
async fn losses_nobody_told_of_are_counted() {
    let server = Server::start().await;
    let mut client = Client::new(&server.options(Encoding::Binary)).unwrap();
    let script = async {
        let mut peer = server.accept().await;
        let meta = meta(1, Kind::Trade);
        let gap = RecordBody::Gap { cause: Cause::Overrun, missing: Some(8) };
        peer.frame(
            &meta,
            &[
                Record { body: RecordBody::Meta(&meta), ..record(&meta, DELTA, 0, RecordBody::Tape) },
                record(&meta, Flags::SNAPSHOT, 5, RecordBody::Tape),
                record(&meta, DELTA, 1, trade()),
                record(&meta, DELTA, 8, gap),
                record(&meta, DELTA, 3, trade()),
            ],
        )
        .await;
        peer.frame += 1;
        peer.frame(&meta, &[record(&meta, DELTA, 1, trade())]).await;
        peer
    };
    let seen = async {
        let step = until(&mut client, |_, step| matches!(step, Step::Disconnected { .. })).await;
        let Step::Disconnected { why, .. } = step else { unreachable!() };
        assert!(why.to_string().contains("frame 2 was due, 3 came"), "{why}");
        let stats = client.stats();
        assert_eq!((stats.gaps, stats.missing, stats.unexplained_gaps), (1, 8, 2));
    };
    let (_peer, ()) = tokio::join!(script, seen);
}

#[tokio::test]
async fn refusals_are_final_and_say_why() {
    let server = Server::start().await;
    let mut client = Client::new(&Options { token: Some("secret".into()), ..server.options(Encoding::Json) }).unwrap();
    let script = async {
        let mut stream = server.tls().await.unwrap();
        let mut request = vec![0; 4096];
        let count = stream.read(&mut request).await.unwrap();
        assert!(String::from_utf8_lossy(&request[..count]).to_lowercase().contains("authorization: bearer secret"));
        let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 22\r\n\r\nthe token has expired\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let ((), outcome) = tokio::join!(script, client.next(|_| ()));
    let error = outcome.unwrap_err();
    assert_eq!(error.to_string(), "the server refused with HTTP 401: the token has expired");

    let mut client = Client::new(&server.options(Encoding::Json)).unwrap();
    let script = async { server.accept().await.close(4504).await };
    let seen = async {
        assert!(matches!(client.next(|_| ()).await, Ok(Step::Connected(_))));
        client.next(|_| ()).await.unwrap_err()
    };
    let ((), error) = tokio::join!(script, seen);
    assert!(matches!(error, ClientError::Closed { number: 4504, .. }), "{error}");
    assert!(error.to_string().contains("unauthorized"), "{error}");
    assert!(matches!(client.next(|_| ()).await, Err(ClientError::Ended)));
}

#[tokio::test]
async fn certificates_are_checked_unless_told_otherwise() {
    let server = Server::start().await;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("client-ca-{}.pem", std::process::id()));
    std::fs::write(&path, &server.certificate).unwrap();
    let options = Options { trust: Trust::CaFile(path.clone()), reconnect: None, ..server.options(Encoding::Json) };
    let mut client = Client::new(&options).unwrap();
    let (_peer, step) = tokio::join!(server.accept(), client.next(|_| ()));
    assert!(matches!(step, Ok(Step::Connected(_))), "{step:?}");

    // The certificate is for localhost only.
    let other = Options { url: options.url.replace("localhost", "127.0.0.1"), ..options.clone() };
    let mut client = Client::new(&other).unwrap();
    let (refused, outcome) = tokio::join!(server.tls(), client.next(|_| ()));
    assert!(refused.is_err());
    assert!(matches!(outcome, Err(ClientError::Tls { .. })));

    std::fs::write(&path, "nothing").unwrap();
    assert!(matches!(Client::new(&options), Err(ClientError::CaFile { .. })));
    std::fs::remove_file(&path).unwrap();
    for (url, part) in [
        ("ws://h:1", "for loopback addresses only"),
        ("http://localhost", "wss"),
        ("localhost:1", "wss"),
        ("wss://", "address"),
        ("wss://h:99999", "address"),
    ] {
        let error = Client::new(&Options::new(url)).err().expect(url);
        assert!(matches!(error, ClientError::Url { .. }) && error.to_string().contains(part), "{url}: {error}");
    }
    // A proxy on this machine may do the TLS.
    assert!(["ws://localhost:1", "ws://127.0.0.1:1", "ws://[::1]:1"].iter().all(|url| Client::new(&Options::new(*url)).is_ok()));
}

/// A view that disagrees is asked for again at once, and only once; nothing of it is shown until the snapshot came.
#[tokio::test]
async fn a_view_that_disagrees_heals_itself() {
    let server = Server::start().await;
    let mut client = Client::new(&server.options(Encoding::Binary)).unwrap();
    client.subscribe(Subscription::new(["book/sim:A/5"]));
    let script = async {
        let mut peer = server.accept().await;
        peer.sub().await;
        let meta = meta(4, Kind::Book);
        let state = Status { feed: FeedState::Live, ..Status::default() };
        let wrong = record(&meta, DELTA, 0, RecordBody::Check { hash: 1 });
        let change = record(&meta, DELTA, 1, RecordBody::Book { bids: BID_GONE, asks: &[] });
        let records = [
            Record { body: RecordBody::Meta(&meta), ..record(&meta, DELTA, 0, RecordBody::Tape) },
            record(&meta, DELTA, 0, RecordBody::State(state)),
            record(&meta, Flags::SNAPSHOT, 10, RecordBody::Book { bids: BIDS, asks: ASKS }),
            wrong,
            change,
        ];
        peer.frame(&meta, &records).await;
        let Request::Get { id: Some(id), topics, heal: true } = peer.request().await else { panic!("no get") };
        assert_eq!(topics, ["book/sim:A/5"]);
        // Whatever comes before the answer neither shows nor asks again.
        peer.frame(&meta, &[change, wrong]).await;
        let error = Reply::Error { id: Some(id), code: "rate_limited".into(), message: String::new() };
        peer.reply(&error).await;
        // Refused: the next check asks again.
        peer.frame(&meta, &[change, wrong]).await;
        let Request::Get { id: Some(again), heal: true, .. } = peer.request().await else { panic!("no second get") };
        assert_ne!(again, id);
        peer.frame(&meta, &[record(&meta, Flags::SNAPSHOT, 13, RecordBody::Book { bids: &BIDS[1..], asks: ASKS }), change]).await;
        peer
    };
    let seen = async {
        until(&mut client, |client, _| client.stats().heals == 1).await;
        let view = client.view("book/sim:A/5").unwrap();
        assert_eq!((view.sequence, view.book().unwrap().best(Side::Bid)), (None, None));
        assert_eq!(
            view.state.map(|state| state.feed),
            Some(FeedState::Live),
            "how far the feed can be trusted is known all the same"
        );
        until(&mut client, |client, _| client.stats().healed == 1).await;
        let view = client.view("book/sim:A/5").unwrap();
        assert_eq!((view.sequence, view.book().unwrap().best(Side::Bid)), (Some(14), Some(BIDS[1])));
        let stats = client.stats();
        assert_eq!((stats.check_mismatches, stats.heals, stats.withheld, stats.unexplained_gaps), (1, 2, 5, 0));
    };
    let (_peer, ()) = tokio::join!(script, seen);
}

/// Trades are news whatever the view says: those between a check that disagreed and the snapshot are handed out.
#[tokio::test]
async fn trades_go_on_while_their_place_is_healed() {
    let server = Server::start().await;
    let mut client = Client::new(&server.options(Encoding::Json)).unwrap();
    let script = async {
        let mut peer = server.accept().await;
        let meta = meta(1, Kind::Trade);
        let records = [
            Record { body: RecordBody::Meta(&meta), ..record(&meta, DELTA, 0, RecordBody::Tape) },
            record(&meta, Flags::SNAPSHOT, 5, RecordBody::Tape),
            record(&meta, DELTA, 0, RecordBody::Check { hash: 1 }),
            record(&meta, DELTA, 1, trade()),
            record(&meta, DELTA, 1, trade()),
        ];
        peer.frame(&meta, &records).await;
        assert!(matches!(peer.request().await, Request::Get { heal: true, .. }));
        peer.frame(&meta, &[record(&meta, DELTA, 1, trade()), record(&meta, Flags::SNAPSHOT, 9, trade())]).await;
        peer
    };
    let seen = async {
        until(&mut client, |client, _| client.stats().healed == 1).await;
        assert_eq!((client.stats().trades, client.view("trade/sim:A").unwrap().sequence), (4, Some(9)));
        assert_eq!((client.stats().withheld, client.stats().unexplained_gaps), (0, 0));
    };
    let (_peer, ()) = tokio::join!(script, seen);
}

/// All that can be asked of a subscription and of a session arrives, and is asked again on the next connection.
#[tokio::test]
async fn terms_budgets_and_grants_are_told() {
    let server = Server::start().await;
    let mut client = Client::new(&server.options(Encoding::Json)).unwrap();
    let book = Subscription { pace: Pace::Credit, max_age: MaxAge::Ms(2000), ..Subscription::new(["book/sim:A/5"]) };
    let trades = Subscription { since: Some(Since(50)), trades: TradeMode::Summary, ..Subscription::new(["trade/sim:A"]) };
    client.subscribe(book);
    client.subscribe(trades);
    client.budget(16_000);
    let qos =
        Qos { floor: Pace::EveryMs(250), cause: Some(Limiting::OwnLink), deep_snapshots_deferred: false, stalled_ms: Some(1200) };
    let old = Old { topic: "book/sim:A/5".into(), topic_id: 4, age_ms: 2100, cause: OldCause::Credit };
    let script = async {
        let mut peer = server.accept().await;
        assert!(matches!(peer.request().await, Request::Budget { bytes_per_second: 16_000, .. }));
        let sub = peer.sub().await;
        assert_eq!((sub.pace, sub.max_age, sub.since, sub.trade_safe), (Pace::Credit, MaxAge::Ms(2000), None, false));
        let sub = peer.sub().await;
        assert_eq!((sub.since, sub.trades), (Some(Since(50)), TradeMode::Summary));
        assert!(matches!(peer.request().await, Request::Grant { id: None, frames: 3 }));
        let Request::Mod(asked) = peer.request().await else { panic!("no mod") };
        let expected = Mod {
            id: asked.id,
            topics: vec!["book/sim:A/5".into()],
            pace: Some(Pace::EveryMs(500)),
            depth: Some(Depth::Top10),
            focus: Some(Focus::Focused),
            ..Mod::default()
        };
        assert_eq!(asked, expected);
        peer.ack(asked.id, live("book/sim:A/10", 5, Some("book/sim:A/5"))).await;
        peer.reply(&Reply::Qos(qos.clone())).await;
        peer.reply(&Reply::Aged(Aged { old: vec![old.clone()], young: vec![] })).await;
        peer.reply(&Reply::Aged(Aged { old: vec![], young: vec![4] })).await;
        peer.close(4000).await;
        let mut peer = server.accept().await;
        assert!(matches!(peer.request().await, Request::Budget { bytes_per_second: 16_000, .. }));
        peer.sub().await;
        let sub = peer.sub().await;
        assert_eq!(
            (&sub.topics[..], sub.pace, sub.focus),
            (&["book/sim:A/10".to_owned()][..], Pace::EveryMs(500), Focus::Focused)
        );
        assert_eq!(sub.max_age, MaxAge::Ms(2000));
        peer
    };
    let seen = async {
        until(&mut client, |_, step| matches!(step, Step::Connected(_))).await;
        client.grant(3);
        let change = Change {
            pace: Some(Pace::EveryMs(500)),
            depth: Some(Depth::Top10),
            focus: Some(Focus::Focused),
            ..Change::default()
        };
        client.modify(&["book/sim:A/5"], change);
        let step = until(&mut client, |_, step| matches!(step, Step::Qos(_))).await;
        assert!(matches!(step, Step::Qos(told) if told == qos) && client.qos() == Some(&qos));
        until(&mut client, |_, step| matches!(step, Step::Aged(_))).await;
        assert_eq!(client.aged().collect::<Vec<_>>(), [&old]);
        until(&mut client, |_, step| matches!(step, Step::Aged(_))).await;
        assert_eq!(client.aged().count(), 0);
        until(&mut client, |client, step| client.stats().connections == 2 && matches!(step, Step::Connected(_))).await;
        assert_eq!(client.qos(), None);
        // The second connection's requests leave with the next step.
        until(&mut client, |_, _| false).await
    };
    tokio::select! {
        _peer = script => {}
        never = seen => unreachable!("{never:?}"),
    }
}

/// A ticket that was taken up is given back on the next connection, the newest that came, with the places of trades. Views that stand later
/// than it says go on from where it says.
#[tokio::test]
async fn the_newest_ticket_is_given_back() {
    let server = Server::start().await;
    let mut client = Client::new(&server.options(Encoding::Binary)).unwrap();
    client.resume("first");
    let (book, trades) = (meta(4, Kind::Book), meta(5, Kind::Trade));
    let from = |topic: &str, topic_id: u32, at: u64| match live(topic, topic_id, None) {
        TopicResult::Live { topic, topic_id, pace, trades, limited_by, missing, replaces, .. } => {
            let (start, from) = (Start::Delta, Some((3, at)));
            TopicResult::Live { topic, topic_id, pace, trades, start, limited_by, missing, from, replaces }
        }
        other => other,
    };
    let script = async {
        let mut peer = server.accept().await;
        let Request::Resume { id, ticket, resume } = peer.request().await else { panic!("no resume") };
        assert_eq!((ticket.as_str(), resume.len()), ("first", 0));
        // Nothing is held: of the book a snapshot is needed, of the trades only the place.
        peer.ack(id, from("book/sim:A/5", 4, 9)).await;
        peer.ack(id, from("trade/sim:A", 5, 20)).await;
        let Request::Get { topics, heal: false, .. } = peer.request().await else { panic!("no get") };
        assert_eq!(topics, ["book/sim:A/5"]);
        let snapshot = record(&book, Flags::SNAPSHOT, 10, RecordBody::Book { bids: BIDS, asks: ASKS });
        peer.frame(&book, &[Record { body: RecordBody::Meta(&book), ..snapshot }, snapshot]).await;
        let one = record(&trades, DELTA, 1, trade());
        peer.frame(&trades, &[Record { body: RecordBody::Meta(&trades), ..one }, one]).await;
        peer.reply(&Reply::Ticket { id: None, ticket: "second".into(), expires: "1".into(), topics: 2 }).await;
        let change = record(&book, DELTA, 1, RecordBody::Book { bids: BID_GONE, asks: &[] });
        peer.frame(&book, &[change]).await;
        peer.frame(&trades, &[one]).await;
        peer.close(4000).await;

        let mut peer = server.accept().await;
        let Request::Resume { id, ticket, resume } = peer.request().await else { panic!("no resume") };
        assert_eq!((ticket.as_str(), resume), ("second", [("trade/sim:A".to_owned(), (3, 22))].into()));
        peer.ack(id, from("book/sim:A/5", 4, 10)).await;
        peer.ack(id, from("trade/sim:A", 5, 22)).await;
        // Once more what is known already.
        peer.frame(&book, &[Record { body: RecordBody::Meta(&book), ..change }, change]).await;
        peer.frame(&trades, &[Record { body: RecordBody::Meta(&trades), ..one }, one]).await;
        let error = Reply::Error { id, code: "ticket_expired".into(), message: String::new() };
        peer.reply(&error).await;
        peer.close(4000).await;
        let mut peer = server.accept().await;
        assert!(matches!(peer.request().await, Request::Ping { .. }), "it is not given back any more");
        peer
    };
    let seen = async {
        let place = |client: &Client, topic: &str| client.view(topic).and_then(|view| view.sequence);
        until(&mut client, |client, _| client.stats().connections == 2 && place(client, "trade/sim:A") == Some(23)).await;
        assert_eq!(place(&client, "book/sim:A/5"), Some(11));
        assert_eq!(client.view("book/sim:A/5").unwrap().book().unwrap().best(Side::Bid), Some(BIDS[1]));
        let stats = client.stats();
        assert_eq!((stats.healed, stats.trades, stats.unexplained_gaps, stats.withheld), (1, 3, 0, 0));
        until(&mut client, |client, _| client.stats().connections == 3).await;
        client.ping();
        until(&mut client, |_, _| false).await
    };
    tokio::select! {
        _peer = script => {}
        never = seen => unreachable!("{never:?}"),
    }
}
