//! Node pressure on a whole server: lag and memory make it withdraw level by level, new clients are told so, running ones stay, and it
//! comes back.

use crate::harness::{TestClient, TestServer, soon};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tickwire::config::Config;
use tickwire::pressure::Level;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Error;
use wire::request::Encoding;

const QUOTE: &str = "quote/test:BTC-USD";

/// The same rules in a tenth of the time. Lag thresholds are far above what a loaded machine that runs tests does to itself.
fn quick(config: &mut Config) {
    let pressure = &mut config.pressure;
    pressure.enabled = true;
    pressure.sample_interval_ms = 20;
    pressure.raise_after_ms = 60;
    pressure.lower_after_ms = 100;
    pressure.lag_ms = [20_000, 30_000, 40_000];
    pressure.lag_lower_ms = [10_000, 20_000, 30_000];
    pressure.memory_limit_bytes = Some(0);
    pressure.retry_after_s = 9;
}

async fn until_level(server: &TestServer, wanted: Level) {
    let mut changes = server.server.pressure().subscribe();
    soon("the level", changes.wait_for(|level| *level == wanted)).await.expect("the server lives");
}

/// Status, `Retry-After` and text of the answer to an upgrade.
async fn refusal(server: &TestServer) -> (u16, String, String) {
    match TestClient::open(server, "/v1/stream", Some(Encoding::Binary)).await {
        Err(Error::Http(response)) => {
            let retry_after = response.headers().get("retry-after").map_or("", |value| value.to_str().unwrap()).to_owned();
            let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            (response.status().as_u16(), retry_after, body)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => (101, String::new(), String::new()),
    }
}

/// Status and body of a GET on the admin port.
async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no line '{line}' in\n{text}");
}

#[tokio::test]
async fn lag_makes_the_node_withdraw_and_recovery_is_by_itself() {
    let server = TestServer::start_with(quick).await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[QUOTE], |_| ()).await;
    client.until("the snapshot", |client| client.sequence(QUOTE).is_some()).await;
    let admin = server.server.admin_address();
    assert_eq!(ask(admin, "/readyz").await.0, 200);

    let trouble = Arc::new(AtomicBool::new(true));
    let (metrics, goes_on) = (server.server.metrics().clone(), trouble.clone());
    let injecting = tokio::spawn(async move {
        while goes_on.load(Ordering::Relaxed) {
            metrics.shard(1).lag.observe(50_000_000_000);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    until_level(&server, Level::Slow).await;
    assert_eq!(server.server.pressure().floor_ms(), 100);
    until_level(&server, Level::Refuse).await;
    let (status, retry_after, text) = refusal(&server).await;
    assert_eq!((status, retry_after.as_str()), (503, "9"));
    // The library shows a body where it has read one with the head.
    assert!(text.is_empty() || text.contains("under pressure"), "{text}");
    assert_eq!(ask(admin, "/healthz").await.0, 200);
    let (status, reason) = ask(admin, "/readyz").await;
    assert!(status == 503 && reason.contains("under pressure"), "{status} {reason}");
    assert!(ask(admin, "/status").await.1.contains("\"pressure\":\"refuse\""));
    let (_, text) = ask(admin, "/metrics").await;
    has(&text, "tickwire_pressure_level 3");
    has(&text, "tickwire_pressure_steps_total{direction=\"up\",cause=\"lag\"} 3");
    has(&text, "tickwire_pressure_lag_seconds{shard=\"1\"} 50");
    has(&text, "tickwire_pressure_lag_threshold_seconds{level=\"slow\"} 20");
    has(&text, "tickwire_connections_refused_total{reason=\"pressure\"} 1");
    // Who is in stays in.
    market.quote(0, (1, 77), (2, 1));
    client.until("data", |client| client.view(QUOTE).quote().is_some_and(|quote| quote.bid_size == Some(77))).await;

    trouble.store(false, Ordering::Relaxed);
    soon("the end of the trouble", injecting).await.unwrap();
    until_level(&server, Level::Normal).await;
    assert_eq!(ask(admin, "/readyz").await.0, 200);
    has(&ask(admin, "/metrics").await.1, "tickwire_pressure_steps_total{direction=\"down\",cause=\"lag\"} 3");
    TestClient::connect(&server, Encoding::Json).await;
}

#[tokio::test]
async fn a_full_memory_refuses_new_clients() {
    let server = TestServer::start_with(|config| {
        quick(config);
        config.pressure.memory_limit_bytes = Some(1 << 20);
    })
    .await;
    until_level(&server, Level::Refuse).await;
    assert_eq!(refusal(&server).await.0, 503);
    let text = server.server.metrics().render();
    has(&text, "tickwire_pressure_steps_total{direction=\"up\",cause=\"memory\"} 3");
    has(&text, "tickwire_pressure_memory_limit_bytes 1048576");
    has(&text, "tickwire_pressure_memory_threshold_bytes{level=\"refuse\"} 996147");
}

#[tokio::test]
async fn an_idle_shard_has_no_lag() {
    let server = TestServer::start_with(|config| {
        quick(config);
        config.node.shards = 1;
    })
    .await;
    let lag_ms = || server.server.metrics().shard(0).lag_ns.get() / 1_000_000;
    let mut idle = Vec::new();
    soon("quiet samples", async {
        while idle.len() < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            idle.push(lag_ms());
        }
    })
    .await;
    // Neighbours may hold this machine up for a moment, but not all the time.
    assert!(idle.iter().filter(|ms| **ms == 0).count() > 5, "{idle:?}");
}
