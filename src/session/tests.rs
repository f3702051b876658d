//! Sessions without a socket: requests in, replies and frames out; and both transports over memory, where time or a silent peer ends them.
//! Bounded: everything waits at most `PATIENCE`.

use super::*;
use crate::clock::Clock;
use crate::config;
use crate::encode::FrameBuilder;
use crate::fetch::Fetch;
use crate::metrics::ShardMetrics;
use crate::pressure::Pressure;
use crate::shard::{Shard, ShardContext};
use crate::topic::{InstrumentTopics, Stamp, TopicLimits, TopicMap};
use futures_util::{SinkExt, Stream, StreamExt};
use http_body_util::BodyExt;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::DuplexStream;
use tokio::sync::{Notify, watch};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::code::{Close, Code};
use wire::codec::Decoder;
use wire::event::{Aggressor, Quote, Trade};
use wire::instrument::Instrument;
use wire::kind::Depth;
use wire::record::RecordBody;
use wire::request::{Change, Mod, Request, Start, Sub, TopicResult};
use wire::view::{Applied, View};

const PATIENCE: Duration = Duration::from_secs(10);

/// A shard, its dispatcher running, and the one feed of its map.
struct Rig {
    shard: Rc<Shard>,
    topics: Vec<InstrumentTopics>,
    published: Cell<i64>,
    _draining: watch::Sender<bool>,
}

fn run<F: Future<Output = ()>>(limits: config::Session, test: impl FnOnce(Rig) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async move {
        let (draining, seen) = watch::channel(false);
        let map = TopicMap::new(TopicLimits { max_topics: 1_400, ..TopicLimits::default() }, 1, 7);
        map.add_venue("sim");
        let context = ShardContext {
            pressure: Pressure::new(&config::Pressure::default()),
            tickets: Arc::new(ticket::Tickets::new(&limits).unwrap()),
            map,
            clock: Clock::new(),
            session: Arc::new(limits),
            metrics: Arc::<ShardMetrics>::default(),
            node: "test".into(),
            draining: seen,
        };
        let shard = Shard::new(0, context);
        spawn_local(shard.clone().run());
        let rig = Rig { shard, topics: Vec::new(), published: Cell::new(0), _draining: draining };
        timeout(3 * PATIENCE, test(rig)).await.expect("the test hangs");
    };
    LocalSet::new().block_on(&runtime, work);
}

impl Rig {
    fn list(&mut self, symbol: &str) -> usize {
        let instrument = Instrument { symbol: symbol.to_owned(), native: format!("N{symbol}"), ..Instrument::default() };
        self.topics.push(self.shard.context.map.list("sim", &instrument).unwrap());
        self.topics.len() - 1
    }

    fn quote(&self, instrument: usize) {
        self.published.set(self.published.get() + 1);
        let quote = Quote { bid_price: Some(self.published.get()), ..Quote::default() };
        self.shard.context.map.publish_quote(&self.topics[instrument], &quote, &Stamp::default());
    }

    fn trade(&self, instrument: usize) {
        let trade = Trade { price: 5, size: 1, aggressor: Aggressor::Buy, id: Some(3), aggregated: false };
        self.shard.context.map.publish_trade(&self.topics[instrument], &trade, &Stamp::default());
    }

    /// Lets the dispatcher see what was listed and published.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    fn core(&self) -> SessionCore {
        SessionCore::open(client(None, None), &self.shard)
    }
}

fn client(bare: Option<&str>, lives_for: Option<Duration>) -> Client {
    let expires_at = |left: Duration| Clock::new().wall_ns() + left.as_nanos() as i64;
    Client {
        peer: ([127, 0, 0, 1], 1).into(),
        encoding: Encoding::Json,
        bare: bare.map(|topic| BareSubscription {
            topics: vec![topic.to_owned()],
            pace: Pace::Realtime,
            trades: TradeMode::Every,
        }),
        identity: lives_for.map(|left| Identity {
            subject: "alice".to_owned(),
            expires_at: expires_at(left),
            topics: Vec::new(),
            fastest: Pace::Realtime,
        }),
    }
}

/// No limit on commands, and one place for what a test changes.
fn limits(change: impl FnOnce(&mut config::Session)) -> config::Session {
    let mut limits = config::Session { commands_per_second: 0, check_interval_ms: 0, ..config::Session::default() };
    change(&mut limits);
    limits
}

fn sub(topics: &[&str]) -> Request {
    Request::Sub(Sub { id: Some(1), topics: topics.iter().map(|topic| (*topic).to_owned()).collect(), ..Sub::default() })
}

/// The answer to a request text, its parts put together.
fn answer(core: &mut SessionCore, text: &str) -> Reply {
    let first = core.on_request(read(text)).unwrap();
    whole(core, first).expect("each request is answered")
}

/// What new listings bring.
fn listing(core: &mut SessionCore) -> Option<Reply> {
    core.on_listing();
    whole(core, None)
}

fn whole(core: &mut SessionCore, mut answer: Option<Reply>) -> Option<Reply> {
    while core.is_working() {
        match (&mut answer, core.work()) {
            (Some(Reply::Ack { results, more, .. }), Some(Reply::Ack { results: part, more: further, .. })) => {
                results.extend(part);
                *more = further;
            }
            (None, part) => answer = part,
            (_, None) => {}
            (answer, part) => panic!("{part:?} behind {answer:?}"),
        }
    }
    answer
}

fn ask(core: &mut SessionCore, request: &Request) -> Vec<TopicResult> {
    match answer(core, &serde_json::to_string(request).unwrap()) {
        Reply::Ack { id: Some(1), results, more: false } => results,
        other => panic!("{other:?}"),
    }
}

fn unsub(topic: &str) -> Request {
    Request::Unsub { id: Some(1), topics: vec![topic.to_owned()] }
}

/// One word a result: what it is, and of which topic.
fn words(results: &[TopicResult]) -> Vec<String> {
    let word = |result: &TopicResult| match result {
        TopicResult::Live { topic, start, pace, .. } => format!("{start:?} {topic} {pace}"),
        TopicResult::Pending { topic } => format!("Pending {topic}"),
        TopicResult::Pattern { topic, matched } => format!("{matched} of {topic}"),
        TopicResult::Paused { topic, .. } => format!("Paused {topic}"),
        TopicResult::Once { topic, .. } => format!("Once {topic}"),
        TopicResult::Ended { topic } => format!("Ended {topic}"),
        TopicResult::Refused { topic, code, .. } => format!("{code} {topic}"),
    };
    results.iter().map(word).collect()
}

/// What one frame said, record by record, without meta and state.
fn said(core: &mut SessionCore, decoder: &mut Decoder, views: &mut BTreeMap<u32, View>) -> Vec<(String, Applied)> {
    let mut frame = FrameBuilder::new(Encoding::Json, 1 << 20);
    let mut said = Vec::new();
    if core.fill(&mut frame) {
        let decoded = decoder.decode(frame.payload(), &mut |_, meta, record| {
            let view = views.entry(meta.topic).or_insert_with(|| View::new(meta));
            let applied = view.apply(record).unwrap();
            if !matches!(record.body, RecordBody::Meta(_) | RecordBody::State(_)) {
                said.push((meta.name.clone(), applied));
            }
        });
        decoded.unwrap();
    }
    said
}

#[test]
fn a_listing_that_comes_while_a_session_is_busy_is_not_missed() {
    run(limits(|_| ()), async |mut rig| {
        let mut core = rig.core();
        assert_eq!(words(&ask(&mut core, &sub(&["quote/sim:A"]))), ["Pending quote/sim:A"]);
        assert!(!core.has_listings());
        // Nobody waits in `listed` now: the session is writing its ack.
        rig.list("A");
        rig.settle().await;
        assert!(core.has_listings());
        timeout(PATIENCE, core.waits().listed()).await.expect("a listing that was there before is news all the same");
        let Some(Reply::Ack { id: None, results, .. }) = listing(&mut core) else { panic!("an ack") };
        assert_eq!(words(&results), ["Snapshot quote/sim:A realtime"]);
        assert!(!core.has_listings());
        assert!(listing(&mut core).is_none());
    });
}

#[test]
fn a_pending_topic_asked_for_twice_takes_one_place() {
    run(limits(|limits| limits.max_subscriptions = 1), async |mut rig| {
        let mut core = rig.core();
        ask(&mut core, &sub(&["quote/sim:A"]));
        let mut again = sub(&["quote/sim:A"]);
        if let Request::Sub(Sub { pace, .. }) = &mut again {
            *pace = Pace::EveryMs(1000);
        }
        assert_eq!(words(&ask(&mut core, &again)), ["Pending quote/sim:A"]);
        rig.list("A");
        let Some(Reply::Ack { results, .. }) = listing(&mut core) else { panic!("an ack") };
        assert_eq!(words(&results), ["Snapshot quote/sim:A 1s"], "once, at the newer terms");
    });
}

/// A snapshot that was asked for comes also of a book that another depth replaces, so for a moment both take a place.
#[test]
fn another_depth_takes_no_place_that_is_not_there() {
    run(limits(|limits| limits.max_subscriptions = 1), async |mut rig| {
        rig.list("A");
        let (mut core, mut decoder, mut views) = (rig.core(), Decoder::new(Encoding::Json), BTreeMap::new());
        ask(&mut core, &sub(&["book/sim:A/5"]));
        said(&mut core, &mut decoder, &mut views);
        let get = Request::Get { id: Some(1), topics: vec!["book/sim:A/5".to_owned()], heal: false };
        assert_eq!(words(&ask(&mut core, &get)), ["Once book/sim:A/5"]);
        let change = Change { depth: Some(Depth::Top10), ..Change::default() };
        let deeper = Request::Mod(Mod::new(Some(1), vec!["book/sim:A/5".to_owned()], change));
        assert_eq!(words(&ask(&mut core, &deeper)), ["too_many_topics book/sim:A/5"]);
        assert_eq!(rig.shard.manager.borrow().subscription_count(), 1);
        // Once the snapshot has come there is room.
        said(&mut core, &mut decoder, &mut views);
        assert_eq!(words(&ask(&mut core, &deeper)), ["Snapshot book/sim:A/10 realtime"]);
        assert_eq!(rig.shard.manager.borrow().subscription_count(), 1);
    });
}

#[test]
fn a_pattern_takes_in_later_listings_but_not_what_was_ended() {
    run(limits(|limits| limits.max_subscriptions = 3), async |mut rig| {
        let mut core = rig.core();
        rig.list("A");
        rig.list("B");
        rig.settle().await;
        let all = ask(&mut core, &sub(&["quote/sim:*", "quote/*:A"]));
        let expected = ["2 of quote/sim:*", "Snapshot quote/sim:A realtime", "Snapshot quote/sim:B realtime", "1 of quote/*:A"];
        assert_eq!(words(&all), expected, "what two patterns match is answered once");
        assert_eq!(words(&ask(&mut core, &unsub("quote/sim:A"))), ["Ended quote/sim:A"]);
        rig.list("C");
        rig.settle().await;
        let Some(Reply::Ack { results, .. }) = listing(&mut core) else { panic!("an ack") };
        assert_eq!(words(&results), ["Snapshot quote/sim:C realtime"], "not A, which the client ended");
        // The third place, and the one that does not fit: told, not skipped.
        rig.list("D");
        rig.list("E");
        rig.list("F");
        rig.settle().await;
        let Some(Reply::Ack { results, .. }) = listing(&mut core) else { panic!("an ack") };
        assert_eq!(words(&results), ["Snapshot quote/sim:D realtime", "too_many_topics quote/sim:*"]);
    });
}

#[test]
fn a_pattern_asked_for_again_has_its_new_pace_for_later_listings_too() {
    run(limits(|_| ()), async |mut rig| {
        let mut core = rig.core();
        rig.list("A");
        for _ in 0..=config::MAX_PATTERNS {
            ask(&mut core, &sub(&["quote/sim:*"]));
        }
        let mut slower = sub(&["quote/sim:*"]);
        if let Request::Sub(Sub { pace, .. }) = &mut slower {
            *pace = Pace::EveryMs(1000);
        }
        assert_eq!(words(&ask(&mut core, &slower)), ["1 of quote/sim:*", "Delta quote/sim:A 1s"]);
        rig.list("B");
        let Some(Reply::Ack { results, .. }) = listing(&mut core) else { panic!("an ack") };
        assert_eq!(words(&results), ["Snapshot quote/sim:B 1s"]);
    });
}

#[test]
fn patterns_resume_and_say_how_their_topics_start() {
    run(limits(|_| ()), async |mut rig| {
        let mut core = rig.core();
        for symbol in ["A", "B"] {
            let at = rig.list(symbol);
            rig.quote(at);
            rig.quote(at);
        }
        let mut request = sub(&["quote/sim:*"]);
        if let Request::Sub(Sub { resume, snapshot, .. }) = &mut request {
            *snapshot = false;
            resume.insert("quote/sim:A".to_owned(), (7, 1));
        }
        let results = words(&ask(&mut core, &request));
        // Only streams start without a snapshot.
        assert_eq!(results, ["2 of quote/sim:*", "Delta quote/sim:A realtime", "Snapshot quote/sim:B realtime"]);
    });
}

#[test]
fn a_stream_asked_to_go_on_from_where_it_has_not_been_says_that_it_begins_anew() {
    run(limits(|_| ()), async |mut rig| {
        let mut core = rig.core();
        let at = rig.list("A");
        rig.trade(at);
        let mut request = sub(&["trade/sim:A"]);
        if let Request::Sub(Sub { resume, .. }) = &mut request {
            resume.insert("trade/sim:A".to_owned(), (7, 2));
        }
        assert_eq!(words(&ask(&mut core, &request)), ["Snapshot trade/sim:A realtime"]);
        let said = said(&mut core, &mut Decoder::new(Encoding::Json), &mut BTreeMap::new());
        assert_eq!(said, [("trade/sim:A".to_owned(), Applied::Snapshot)]);
    });
}

#[test]
fn a_ticket_given_back_where_its_topics_are_held_moves_none_of_them() {
    run(limits(|_| ()), async |mut rig| {
        let mut core = rig.core();
        let (mut decoder, mut views) = (Decoder::new(Encoding::Json), BTreeMap::new());
        let at = rig.list("A");
        ask(&mut core, &sub(&["quote/sim:A"]));
        said(&mut core, &mut decoder, &mut views);
        let ticket = answer(&mut core, r#"{"type":"ticket"}"#);
        let Reply::Ticket { ticket, .. } = ticket else { panic!("{ticket:?}") };
        rig.quote(at);
        rig.settle().await;
        said(&mut core, &mut decoder, &mut views);
        let results = ask(&mut core, &Request::Resume { id: Some(1), ticket, resume: BTreeMap::new() });
        // The ticket's place would be one behind that of the client.
        assert!(matches!(&results[..], [TopicResult::Live { start: Start::Delta, from: None, .. }]), "{results:?}");
    });
}

#[test]
fn another_trade_mode_loses_no_trade() {
    run(limits(|_| ()), async |mut rig| {
        let mut core = rig.core();
        let (mut decoder, mut views) = (Decoder::new(Encoding::Json), BTreeMap::new());
        let at = rig.list("A");
        rig.trade(at);
        ask(&mut core, &sub(&["trade/sim:A"]));
        assert_eq!(said(&mut core, &mut decoder, &mut views), [("trade/sim:A".to_owned(), Applied::Snapshot)]);
        rig.trade(at);
        rig.trade(at);
        let mut request = sub(&["trade/sim:A"]);
        if let Request::Sub(Sub { trades, .. }) = &mut request {
            *trades = TradeMode::Summary;
        }
        assert!(matches!(
            ask(&mut core, &request)[..],
            [TopicResult::Live { start: Start::Delta, trades: Some(TradeMode::Summary), .. }]
        ));
        rig.settle().await;
        let summary = [("trade/sim:A".to_owned(), Applied::Delta { updates: 2 })];
        assert_eq!(said(&mut core, &mut decoder, &mut views), summary);
    });
}

#[test]
fn answers_do_not_grow_with_the_mistake() {
    run(limits(|_| ()), async |mut rig| {
        let mut core = rig.core();
        rig.list("A");
        let long = "é".repeat(5_000);
        for (text, code) in [
            (format!(r#"{{"type":"{long}"}}"#), Code::UnknownRequest),
            (format!(r#"{{"type":"sub","topics":[],"{long}":1}}"#), Code::BadRequest),
            (format!(r#"{{"type":"sub","topics":[],"pace":"{long}"}}"#), Code::BadRequest),
            (format!(r#"{{"type":"sub","topics":[{}""]}}"#, r#""","#.repeat(5_000)), Code::TooManyTopics),
            (format!(r#"{{"type":"unsub","topics":[{}""]}}"#, r#""","#.repeat(5_000)), Code::TooManyTopics),
        ] {
            let reply = answer(&mut core, &text);
            assert!(serde_json::to_string(&reply).unwrap().len() < 512, "{reply:?}");
            assert!(matches!(reply, Reply::Error { code: told, .. } if told == code.name()));
        }
        let results = ask(&mut core, &sub(&[&long, &format!("{long}*")]));
        assert!(serde_json::to_string(&results).unwrap().len() < 1_024, "{results:?}");
        // The longest ack there may be: everything refused at length, and all patterns over all topics.
        let session = rig.shard.context.session.clone();
        for at in 0..99 {
            rig.list(&format!("{at}{}", "X".repeat(100)));
        }
        let patterns = (0..config::MAX_PATTERNS).map(|at| if at % 2 == 0 { "quote/*:*" } else { "book/sim:*/full" });
        let names = patterns.chain(std::iter::repeat_n("unknown-and-rather-long/x", 500)).collect::<Vec<_>>();
        let text = serde_json::to_string(&sub(&names)).unwrap();
        assert!(text.len() <= session.request_bytes, "{}", text.len());
        let (mut part, mut parts) = (core.on_request(read(&text)).unwrap(), 0);
        loop {
            let bytes = serde_json::to_string(&part).unwrap().len();
            assert!(bytes <= session.largest_reply_bytes(), "{bytes} > {}", session.largest_reply_bytes());
            parts += 1;
            if !core.is_working() {
                break;
            }
            part = core.work();
        }
        assert!(parts > 2);
    });
}

impl Fetch for DuplexStream {}

/// A WebSocket session over memory, and its client's end.
fn websocket(rig: &Rig, client: Client) -> impl Future<Output = WebSocketStream<DuplexStream>> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let shard = rig.shard.clone();
    spawn_local(async move {
        let stream = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        super::websocket::run(Box::new(stream), client, shard).await;
    });
    WebSocketStream::from_raw_socket(theirs, Role::Client, None)
}

async fn close_code(socket: &mut (impl Stream<Item = Result<Message, Error>> + Unpin)) -> Option<u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            other => panic!("{other:?} instead of a close frame"),
        }
    }
}

#[test]
fn a_token_that_expires_before_the_first_ping_ends_the_session() {
    run(limits(|_| ()), async |rig| {
        let began = Instant::now();
        let mut socket = websocket(&rig, client(None, Some(Duration::from_millis(300)))).await;
        assert_eq!(close_code(&mut socket).await, Some(Close::TokenExpired.row().number));
        assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    });
}

#[test]
fn a_session_that_always_has_data_still_hears_of_time_and_listings() {
    // One topic a frame: while the session writes one, the others are due.
    let busy = limits(|limits| (limits.ping_interval_ms, limits.frame_bytes) = (50, 1));
    run(busy, async |mut rig| {
        (0..8).for_each(|at| _ = rig.list(&format!("S{at}")));
        let mut socket = websocket(&rig, client(Some("quote/sim:*"), Some(Duration::from_millis(600)))).await;
        let publisher = spawn_local(async move {
            let began = Instant::now();
            loop {
                (0..8).for_each(|at| rig.quote(at));
                if rig.topics.len() == 8 && began.elapsed() > Duration::from_millis(100) {
                    rig.list("LATE");
                }
                yield_now().await;
            }
        });
        let (mut pings, mut frames, mut late) = (0, 0, false);
        let code = loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => break frame.map(|frame| frame.code.into()),
                Some(Ok(Message::Ping(_))) => pings += 1,
                Some(Ok(Message::Text(text))) => {
                    frames += usize::from(text.starts_with("{\"frame\""));
                    late |= text.starts_with("{\"type\":\"ack\"") && text.contains("quote/sim:LATE");
                }
                other => panic!("{other:?}"),
            }
        };
        publisher.abort();
        assert_eq!(code, Some(Close::TokenExpired.row().number));
        assert!(pings > 2 && frames > 20 && late, "{pings} pings, {frames} frames, listing told: {late}");
    });
}

#[test]
fn a_flood_of_pings_is_ended() {
    run(limits(|limits| limits.commands_per_second = 5), async |rig| {
        let (mut writer, mut reader) = websocket(&rig, client(None, None)).await.split();
        spawn_local(async move { while writer.send(Message::Ping(Default::default())).await.is_ok() {} });
        assert_eq!(close_code(&mut reader).await, Some(Close::TooManyCommands.row().number));
    });
}

#[test]
fn an_event_stream_ends_with_its_token() {
    run(limits(|_| ()), async |mut rig| {
        let at = rig.list("A");
        rig.quote(at);
        let cut = Rc::new(Notify::new());
        let mut body = sse::body(client(Some("quote/sim:A"), Some(Duration::from_millis(300))), rig.shard.clone(), cut.clone());
        let mut text = String::new();
        while let Some(frame) = timeout(PATIENCE, body.frame()).await.expect("the body ends") {
            text.push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
        }
        assert!(text.contains(r#""kind":"quote""#) && text.contains(r#""code":"token_expired""#), "{text}");
        assert_eq!(rig.shard.context.metrics.close_count(Close::TokenExpired), 1);
        assert_eq!(rig.shard.manager.borrow().session_count(), 0);
    });
}

#[test]
fn an_event_stream_that_nobody_reads_is_cut() {
    for (lives_for, close) in [(None, Close::SlowConsumer), (Some(Duration::from_millis(200)), Close::TokenExpired)] {
        run(limits(|limits| limits.write_timeout_ms = 300), async |mut rig| {
            let at = rig.list("A");
            rig.quote(at);
            let cut = Rc::new(Notify::new());
            let _body = sse::body(client(Some("quote/sim:A"), lives_for), rig.shard.clone(), cut.clone());
            timeout(PATIENCE, cut.notified()).await.expect("the connection is to be dropped");
            assert_eq!(rig.shard.context.metrics.close_count(close), 1);
        });
    }
}

#[test]
fn an_event_stream_learns_of_listings_and_ends_with_its_reader() {
    run(limits(|_| ()), async |mut rig| {
        let cut = Rc::new(Notify::new());
        let mut body = sse::body(client(Some("quote/sim:A"), None), rig.shard.clone(), cut);
        let mut text = String::new();
        let mut listed = false;
        while !text.contains(r#""kind":"quote""#) {
            let frame = timeout(PATIENCE, body.frame()).await.expect("an event").unwrap().unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            if !listed && text.contains(r#""status":"pending""#) {
                // While the session is about to wait.
                rig.list("A");
                listed = true;
            }
        }
        assert!(text.contains(r#""status":"live""#), "{text}");
        drop(body);
        rig.settle().await;
        assert_eq!(rig.shard.manager.borrow().session_count(), 0);
        assert_eq!(rig.shard.context.metrics.closed_by_client.get(), 1);
    });
}
