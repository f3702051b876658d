//! What a client asks of the way it is served, over the wire: credits, its own budget, ages, last events, another depth of a book, and
//! what it is told when its link is slow.

use crate::harness::{Market, TestClient, TestServer};
use std::time::Duration;
use tokio::time::Instant;
use wire::answer::{Limiting, OldCause, Qos, Standing};
use wire::event::{Cause, FeedState};
use wire::kind::Depth;
use wire::request::{Encoding, MaxAge, Missing, Mod, Pace, Reply, Request, Since, Start, Sub, TopicResult, TradeMode};

const QUOTE: &str = "quote/test:BTC-USD";
const TRADE: &str = "trade/test:BTC-USD";
const BOOK: &str = "book/test:BTC-USD/5";

fn with(change: impl FnOnce(&mut Sub)) -> impl FnOnce(&mut Request) {
    |request| {
        if let Request::Sub(sub) = request {
            change(sub);
        }
    }
}

async fn explain(client: &mut TestClient, topic: &str) -> Box<wire::answer::Explained> {
    match client.ask(Request::Explain { id: None, topic: topic.to_owned() }).await {
        Reply::Explained(explained) => explained,
        other => panic!("{other:?}"),
    }
}

/// The next message that tells what slows the session.
async fn qos(client: &mut TestClient) -> Qos {
    loop {
        if let Reply::Qos(qos) = client.reply().await {
            return qos;
        }
    }
}

#[tokio::test]
async fn a_page_that_paints_gets_one_frame_a_grant() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    let results = client.sub(&[QUOTE], with(|sub| sub.pace = Pace::Credit)).await;
    assert!(matches!(&results[..], [TopicResult::Live { pace: Pace::Credit, .. }]), "{results:?}");
    client.during(Duration::from_millis(100)).await;
    assert_eq!(client.sequence(QUOTE), None, "nothing without a grant");
    assert_eq!(explain(&mut client, QUOTE).await.state, Standing::Unpaid);
    let granted = client.ask(Request::Grant { id: None, frames: 2 }).await;
    assert!(matches!(granted, Reply::Granted { frames: 2, .. }), "{granted:?}");
    client.until("the first frame", |client| client.sequence(QUOTE) == Some(1)).await;
    for price in 2..=10 {
        market.quote(0, (price, 1), (price + 1, 1));
        client.during(Duration::from_millis(5)).await;
    }
    let explained = explain(&mut client, QUOTE).await;
    assert_eq!((explained.credits, client.sequence(QUOTE)), (Some(0), Some(2)), "one more, at once; the rest waits");
    client.send_text(r#"{"type":"grant","frames":1}"#).await;
    client.until("the newest", |client| client.view(QUOTE).quote().unwrap().bid_price == Some(10)).await;
    assert_eq!(client.sequence(QUOTE), Some(10));
}

#[tokio::test]
async fn the_last_events_come_first() {
    let server = TestServer::start().await;
    let mut market = server.market();
    (1..=10).for_each(|price| market.trade(0, price, 1));
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    let results = client.sub(&[TRADE], with(|sub| sub.since = Some(Since(3)))).await;
    assert!(matches!(&results[..], [TopicResult::Live { start: Start::Back, .. }]), "{results:?}");
    client.until("the last three", |client| client.trades.len() == 3).await;
    market.trade(0, 11, 1);
    client.until("the next", |client| client.trades.len() == 4).await;
    let prices: Vec<_> = client.trades.iter().map(|trade| trade.price).collect();
    assert_eq!(prices, [8, 9, 10, 11]);
    // A summary begins there as well.
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    let change = |sub: &mut Sub| (sub.since, sub.trades) = (Some(Since(4)), TradeMode::Summary);
    client.sub(&[TRADE], with(change)).await;
    client.until("the last four in one", |client| client.total_count() == 4).await;
    assert_eq!(client.summaries.len(), 1);
    let refused = client.ask(Request::Ping { id: None }).await;
    assert!(matches!(refused, Reply::Pong { .. }));
    client.send_text(r#"{"type":"sub","id":99,"topics":["trade/test:BTC-USD"],"since":"50"}"#).await;
    let Reply::Error { id: Some(99), message, .. } = client.reply().await else { panic!("an error") };
    assert!(message.contains("such as '-50'"), "{message}");
}

#[tokio::test]
async fn what_a_resumed_stream_misses_is_said_in_the_answer() {
    let server = TestServer::start_with(|config| config.topics.trade_ring = 16).await;
    let mut market = server.market();
    market.trade(0, 1, 1);
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[TRADE], |_| ()).await;
    client.until("a trade", |client| client.sequence(TRADE) == Some(1)).await;
    let epoch = explain(&mut client, TRADE).await.epoch.unwrap();
    drop(client);
    (2..=41).for_each(|price| market.trade(0, price, 1));
    for (from, missing) in [((epoch, 30), None), ((epoch, 1), Some(Missing::Count(24)))] {
        let mut client = TestClient::connect(&server, Encoding::Binary).await;
        let results = client.sub(&[TRADE], with(|sub| sub.resume = [(TRADE.to_owned(), from)].into())).await;
        let [TopicResult::Live { start: Start::Delta, missing: told, .. }] = &results[..] else { panic!("{results:?}") };
        assert_eq!(*told, missing);
    }
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    let results = client.sub(&[TRADE], with(|sub| sub.resume = [(TRADE.to_owned(), (3, 1))].into())).await;
    let [TopicResult::Live { start: Start::Snapshot, missing, .. }] = &results[..] else { panic!("{results:?}") };
    assert_eq!(serde_json::to_string(missing).unwrap(), "\"unknown\"");
}

#[tokio::test]
async fn another_depth_takes_the_place_of_the_one_before() {
    let server = TestServer::start().await;
    let mut market = server.market();
    let levels: Vec<_> = (1..=12).map(|price| (price, 1)).collect();
    market.book(0, true, &levels, &[]);
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[BOOK], with(|sub| sub.pace = Pace::EveryMs(50))).await;
    client.until("five levels", |client| client.sequence(BOOK).is_some()).await;
    let deeper = || Request::Mod(Mod { topics: vec![BOOK.to_owned()], depth: Some(Depth::Top10), ..Mod::default() });
    let Reply::Ack { results, .. } = client.ask(deeper()).await else { panic!("an ack") };
    let [TopicResult::Live { topic, pace, replaces, .. }] = &results[..] else { panic!("{results:?}") };
    let ten = "book/test:BTC-USD/10";
    assert_eq!((topic.as_str(), *pace, replaces.as_deref()), (ten, Pace::EveryMs(50), Some(BOOK)));
    client.until("ten levels", |client| client.sequence(ten).is_some()).await;
    let Reply::Ack { results, .. } = client.ask(deeper()).await else { panic!("an ack") };
    assert!(matches!(&results[..], [TopicResult::Refused { code, .. }] if code == "not_subscribed"), "{results:?}");
    client.send_text(r#"{"type":"mod","id":99,"topics":["book/test:BTC-USD/10"],"depth":"7"}"#).await;
    let Reply::Error { id: Some(99), code, message } = client.reply().await else { panic!("an error") };
    assert_eq!(code, "bad_request");
    assert!(message.contains("'7' is not a depth: 5, 10, 20, 50 or full"), "{message}");
}

#[tokio::test]
async fn data_that_grows_old_is_told_with_its_cause() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    client.sub(&[QUOTE], with(|sub| sub.max_age = MaxAge::Ms(200))).await;
    let Reply::Aged(aged) = client.reply().await else { panic!("told that it is old") };
    assert_eq!((aged.old.len(), aged.young.len()), (1, 0));
    assert_eq!((aged.old[0].topic.as_str(), aged.old[0].cause), (QUOTE, OldCause::Quiet));
    assert!((200..5_000).contains(&aged.old[0].age_ms), "{aged:?}");
    market.quote(0, (3, 1), (4, 1));
    let Reply::Aged(aged) = client.reply().await else { panic!("told that it is young") };
    assert_eq!((aged.old.len(), aged.young.len()), (0, 1));
    market.state(0, None, FeedState::Down, Cause::Disconnected);
    let Reply::Aged(aged) = client.reply().await else { panic!("told that it is old") };
    assert_eq!(aged.old[0].cause, OldCause::Down);
    let off = Request::Mod(Mod { topics: vec![QUOTE.to_owned()], max_age: Some(MaxAge::Off), ..Mod::default() });
    assert!(matches!(client.ask(off).await, Reply::Ack { .. }));
    market.quote(0, (3, 1), (4, 1));
    client.during(Duration::from_millis(300)).await;
    assert!(client.replies.is_empty(), "{:?}", client.replies);
}

/// A client may ask for fewer bytes than it may have, and is told what that comes to.
#[tokio::test]
async fn a_budget_is_kept_and_explained() {
    const BUDGET: u32 = 2_000;
    let server = TestServer::start().await;
    let mut market = server.market();
    for number in 0..20 {
        market.list(&format!("S{number}-USD"));
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publisher = busy(market, 20, stop.clone());
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    let answer = client.ask(Request::Budget { id: None, bytes_per_second: BUDGET }).await;
    assert!(matches!(answer, Reply::Budget { bytes_per_second: BUDGET, .. }), "{answer:?}");
    client.sub(&["quote/test:*"], |_| ()).await;
    let told = qos(&mut client).await;
    assert_eq!(told.cause, Some(Limiting::BytesPerSecond), "{told:?}");
    assert_ne!(told.floor, Pace::Realtime);
    let bytes = |server: &TestServer| server.server.metrics().shards().iter().map(|shard| shard.bytes_out.get()).sum::<u64>();
    let (before, begun) = (bytes(&server), Instant::now());
    client.during(Duration::from_secs(2)).await;
    let rate = (bytes(&server) - before) as f64 / begun.elapsed().as_secs_f64();
    assert!(rate < 1.5 * f64::from(BUDGET), "{rate} bytes a second");
    let explained = explain(&mut client, "quote/test:S3-USD").await;
    assert!(explained.session_bytes > 0 && explained.bytes > 0, "{explained:?}");
    assert!(explained.merged > 0, "what waits is merged: {explained:?}");
    // Undone when the client takes its budget back.
    assert!(matches!(client.ask(Request::Budget { id: None, bytes_per_second: 0 }).await, Reply::Budget { .. }));
    while qos(&mut client).await.floor != Pace::Realtime {}
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    publisher.join().unwrap();
}

/// A link that takes nothing is told to its client as soon as it takes something again.
#[tokio::test]
async fn a_slow_link_is_told_to_its_client() {
    let server = TestServer::start_with_small_buffers(30_000, |_| ()).await;
    let mut market = server.market();
    let levels: Vec<_> = (1..=5_000).map(|price| (price, 1)).collect();
    market.book(0, true, &levels, &[]);
    let mut client = TestClient::open_with(&server, "/v1/stream", Some(Encoding::Binary), Some(8_192)).await.unwrap();
    client.reply().await;
    client.sub(&["book/test:BTC-USD/full"], |_| ()).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publisher = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut number = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                let levels: Vec<_> = (1..=2_000).map(|price| (price, 1 + (price + number) % 97)).collect();
                market.book(0, false, &levels, &[]);
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told = qos(&mut client).await;
    assert_eq!((told.floor, told.cause), (Pace::EveryMs(100), Some(Limiting::OwnLink)));
    assert!(told.stalled_ms >= Some(1_000), "{told:?}");
    let explained = explain(&mut client, "book/test:BTC-USD/full").await;
    assert_eq!((explained.requested_pace, explained.limited_by), (Pace::Realtime, Some(Limiting::OwnLink)));
    assert_ne!(explained.pace, Pace::Realtime);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    publisher.join().unwrap();
}

fn busy(
    mut market: Market,
    instruments: u32,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut number = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            number += 1;
            (0..=instruments).for_each(|index| market.quote(index, (number, number), (number + 1, number)));
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}
