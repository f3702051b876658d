//! The admin port over real sockets: routes, refusals, the stop signal.

use super::*;
use crate::config::Admin;
use crate::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use wire::event::FeedState;

/// Status and body of one request on a connection of its own.
async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn on_free_port() -> Admin {
    Admin { address: "127.0.0.1:0".parse().unwrap(), allow_remote: false }
}

#[tokio::test]
async fn answers_operators() {
    let metrics = Metrics::new(1);
    metrics.feed("sim").set_channels(FeedState::Live, 1);
    let is_ready = Arc::new(AtomicBool::new(false));
    let ready: Ready = {
        let is_ready = is_ready.clone();
        Arc::new(move || is_ready.load(Ordering::Relaxed).then_some(()).ok_or_else(|| "waiting for sim".to_owned()))
    };
    let (_stop, stopped) = watch::channel(false);
    let address = start(&on_free_port(), metrics.clone(), ready, stopped).await.unwrap();

    assert_eq!(ask(address, "GET", "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(ask(address, "GET", "/readyz").await, (503, "not ready: waiting for sim\n".to_owned()));
    is_ready.store(true, Ordering::Relaxed);
    assert_eq!(ask(address, "GET", "/readyz").await, (200, "ready\n".to_owned()));
    let (status, text) = ask(address, "GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("tickwire_feed_channels{venue=\"sim\",state=\"live\"} 1"));
    let (_, version) = ask(address, "GET", "/version").await;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let (_, status) = ask(address, "GET", "/status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["ready"], &status["feeds"][0]["channels"]["live"]), (&true.into(), &1.into()));
    assert_eq!(status["pressure"], "normal");
    assert_eq!(ask(address, "HEAD", "/metrics").await, (200, String::new()));
    assert_eq!(ask(address, "POST", "/metrics").await.0, 405);
    assert_eq!(ask(address, "GET", "/nothing").await.0, 404);
}

#[tokio::test]
async fn refuses_an_address_that_others_can_reach() {
    let (_stop, stopped) = watch::channel(false);
    let remote = Admin { address: "0.0.0.0:0".parse().unwrap(), allow_remote: false };
    let error = start(&remote, Metrics::new(0), Arc::new(|| Ok(())), stopped.clone()).await.unwrap_err();
    assert!(error.to_string().contains("admin.allow_remote"), "{error}");
    let allowed = Admin { allow_remote: true, ..remote };
    assert!(start(&allowed, Metrics::new(0), Arc::new(|| Ok(())), stopped).await.is_ok());
}

#[tokio::test]
async fn the_stop_signal_frees_the_port_and_ends_connections() {
    let (stop, stopped) = watch::channel(false);
    let address = start(&on_free_port(), Metrics::new(0), Arc::new(|| Ok(())), stopped).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(address, "GET", "/healthz").await.0, 200);
    stop.send(true).unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}
