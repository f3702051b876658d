//! A client that stops reading: memory stays bounded, the others do not notice, and it is exact again when it reads on.

use crate::harness::client::tls;
use crate::harness::{Market, TestClient, TestServer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tickwire::config::Config;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use wire::code::Close;
use wire::request::{Encoding, Request, Sub, TradeMode};

const QUOTE: &str = "quote/test:BTC-USD";
const TRADE: &str = "trade/test:BTC-USD";
const BOOK: &str = "book/test:BTC-USD/full";

/// A server whose clients are soon stuck, and something of each topic.
async fn start(write_timeout_ms: u64, change: impl FnOnce(&mut Config)) -> (TestServer, Market) {
    let server = TestServer::start_with_small_buffers(write_timeout_ms, change).await;
    let mut market = server.market();
    market.trade(0, 10_000, 1);
    market.quote(0, (1, 1), (2, 1));
    market.book(0, true, &[(1, 1)], &[(20_000, 1)]);
    (server, market)
}

/// Makes as much data as it can until told to stop; the totals of what it traded.
fn storm(mut market: Market, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<(Market, u64, u128)> {
    std::thread::spawn(move || {
        let (mut count, mut volume) = (0u64, 0u128);
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..20 {
                count += 1;
                let number = count as i64;
                let size = 1 + number % 9;
                market.trade(0, 10_000 + number % 40, size);
                volume += size as u128;
                market.quote(0, (9_000 + number % 500, number), (10_000 + number % 500, number));
                let levels: Vec<_> = (0..10).map(|step| (8_000 + (number * 7 + step) % 900, number % 11)).collect();
                market.book(0, false, &levels, &[]);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        (market, count, volume)
    })
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

async fn subscriber(server: &TestServer, receive_buffer: Option<u32>) -> TestClient {
    let mut client = TestClient::open_with(server, "/v1/stream", Some(Encoding::Binary), receive_buffer).await.unwrap();
    client.reply().await;
    client.sub(&[QUOTE, BOOK], |_| ()).await;
    client
        .sub(&[TRADE], |request| {
            if let Request::Sub(Sub { trades, .. }) = request {
                *trades = TradeMode::Summary;
            }
        })
        .await;
    client.until("the snapshots", |client| [QUOTE, TRADE, BOOK].iter().all(|topic| client.sequence(topic).is_some())).await;
    client
}

#[tokio::test]
async fn a_client_that_stops_reading_for_ten_seconds_costs_nothing_and_is_exact_after() {
    let (server, market) = start(30_000, |config| config.session.idle_timeout_ms = 60_000).await;
    let mut stuck = subscriber(&server, Some(8_192)).await;
    let mut healthy = subscriber(&server, None).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = storm(market, stop.clone());
    // Warm: buffers of the healthy path have their size.
    healthy.during(Duration::from_secs(2)).await;
    let before = resident_bytes();
    let frames_before = healthy.seen.len();
    healthy.seen.clear();
    let mut widest = Duration::ZERO;
    let mut last = tokio::time::Instant::now();
    let end = last + Duration::from_secs(10);
    while tokio::time::Instant::now() < end {
        assert!(healthy.step().await);
        widest = widest.max(last.elapsed());
        last = tokio::time::Instant::now();
        healthy.seen.clear();
        healthy.summaries.clear();
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(frames_before > 0);
    assert!(widest < Duration::from_secs(2), "the healthy client once waited {widest:?}");
    assert!(grown < 16 << 20, "memory grew by {grown} bytes while one client was stuck");

    stop.store(true, Ordering::Relaxed);
    let (mut market, count, volume) = publisher.join().unwrap();
    market.quote(0, (777, 1), (778, 1));
    for client in [&mut healthy, &mut stuck] {
        client.until("the newest quote", |client| client.view(QUOTE).quote().unwrap().bid_price == Some(777)).await;
        client.until("every trade, merged", |client| client.total_count() == count).await;
        assert_eq!(client.total_volume(), volume, "no volume is lost");
    }
    assert_eq!(stuck.view(BOOK).hash(), healthy.view(BOOK).hash(), "the same book");
    assert_eq!(stuck.sequence(BOOK), healthy.sequence(BOOK));
    let merged = server.server.metrics().shards().iter().map(|shard| shard.merged_updates.get()).sum::<u64>();
    assert!(merged > 0, "what the stuck client did not see one by one was merged, and counted");
}

/// Pongs leave in between frames, never inside of one, however full the link is.
#[tokio::test]
async fn pings_over_a_full_link_break_no_frame() {
    let (server, market) = start(30_000, |config| config.session.commands_per_second = 0).await;
    let mut slow = subscriber(&server, Some(8_192)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = storm(market, stop.clone());
    for round in 0..1_500 {
        slow.try_send(Message::Ping(vec![7; 100].into())).await.unwrap();
        // Reads less than what comes: the socket is full most of the time.
        if round % 5 == 0 {
            assert!(slow.step().await);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut market, count, volume) = publisher.join().unwrap();
    market.quote(0, (777, 1), (778, 1));
    slow.until("the newest quote", |client| client.view(QUOTE).quote().unwrap().bid_price == Some(777)).await;
    slow.until("every trade, merged", |client| client.total_count() == count).await;
    assert_eq!(slow.total_volume(), volume);
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_as_a_slow_consumer() {
    let (server, market) = start(500, |_| ()).await;
    let mut stuck = subscriber(&server, Some(8_192)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = storm(market, stop.clone());
    let closed = || server.server.metrics().shards().iter().map(|shard| shard.close_count(Close::SlowConsumer)).sum::<u64>();
    crate::harness::soon("the close of the stuck client", async {
        while closed() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    publisher.join().unwrap();
    while stuck.step().await {}
    assert!(matches!(stuck.closed, None | Some(4001)), "{:?}", stuck.closed);
}

#[tokio::test]
async fn an_event_stream_that_is_never_read_is_dropped() {
    let (server, market) = start(500, |_| ()).await;
    let mut stuck = tls(&server, Some(8_192)).await.unwrap();
    let request = format!("GET /v1/sse?sub={QUOTE},{TRADE},{BOOK} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stuck.write_all(request.as_bytes()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = storm(market, stop.clone());
    let metrics = server.server.metrics();
    let closed = || metrics.shards().iter().map(|shard| shard.close_count(Close::SlowConsumer)).sum::<u64>();
    crate::harness::soon("the end of the stuck session", async {
        while closed() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let ended = tokio::time::Instant::now();
    while metrics.gate.connections.get() > 0 {
        // The kernel's own end of such a connection takes more than 10 s.
        assert!(ended.elapsed() < Duration::from_secs(5), "the session is over, the connection is not");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::Relaxed);
    publisher.join().unwrap();
}
