//! Limits: each bucket and cap bites with its own code, and nothing is lost by it.

use crate::harness::{TestClient, TestServer};
use std::time::Duration;
use tickwire::config::Config;
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::code::Close;
use wire::request::{Encoding, Reply, TopicResult};
use wire::view::Applied;

const QUOTE: &str = "quote/test:BTC-USD";

fn codes(results: &[TopicResult]) -> Vec<&str> {
    fn code(result: &TopicResult) -> &str {
        match result {
            TopicResult::Refused { code, .. } => code,
            _ => "granted",
        }
    }
    results.iter().map(code).collect()
}

fn deltas(client: &TestClient) -> u64 {
    client.seen.iter().filter(|seen| matches!(seen.applied, Applied::Delta { .. })).count() as u64
}

#[tokio::test]
async fn one_bad_topic_never_fails_the_rest() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    let topics = [
        QUOTE,
        "quote/test:NO-SUCH",
        "quote/nowhere:BTC-USD",
        "quotes/test:BTC-USD",
        "book/test:BTC-USD/7",
        "quote/test:BTC USD",
        "quote/test:!BTCUSD",
    ];
    let results = client.try_sub(&topics, |_| ()).await;
    let expected = ["granted", "unknown_symbol", "unknown_venue", "unknown_kind", "bad_topic", "bad_topic", "granted"];
    assert_eq!(codes(&results), expected);
    assert!(matches!(&results[6], TopicResult::Live { topic, .. } if topic == QUOTE), "the venue's own name finds the topic");
    client.until("data all the same", |client| client.sequence(QUOTE).is_some()).await;
}

#[tokio::test]
async fn bad_requests_are_answered_by_name() {
    let server = TestServer::start().await;
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    for (text, wanted, part) in [
        (r#"{"type":"sub","id":4,"topics":["x"],"speed":1}"#, "bad_request", "speed"),
        (r#"{"type":"sub","id":4,"topics":["x"],"pace":"soon"}"#, "bad_request", "'soon' is not a pace"),
        (r#"{"type":"dance","id":4}"#, "unknown_request", "dance"),
        ("not json", "bad_request", "line 1"),
    ] {
        client.send_text(text).await;
        let reply = client.reply().await;
        let Reply::Error { id, code, message } = reply else { panic!("{reply:?}") };
        assert_eq!(code, wanted, "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
        assert_eq!(id, text.starts_with('{').then_some(4), "{text}");
    }
}

#[tokio::test]
async fn subscriptions_are_capped() {
    let server = TestServer::start_with(|config| config.session.max_subscriptions = 3).await;
    let _market = server.market();
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    let topics = [QUOTE, "trade/test:BTC-USD", "book/test:BTC-USD/5", "book/test:BTC-USD/10"];
    let results = client.try_sub(&topics, |_| ()).await;
    assert_eq!(codes(&results), ["granted", "granted", "granted", "too_many_topics"]);
    // What is held already may be asked for again, and room that is given back can be used.
    assert_eq!(codes(&client.try_sub(&[QUOTE], |_| ()).await), ["granted"]);
    client.ask(wire::request::Request::Unsub { id: None, topics: vec![QUOTE.to_owned()] }).await;
    assert_eq!(codes(&client.try_sub(&["book/test:BTC-USD/10"], |_| ()).await), ["granted"]);
}

#[tokio::test]
async fn a_pattern_may_match_as_many_topics_as_a_session_may_hold() {
    let server = TestServer::start().await;
    let mut market = server.market();
    for number in 0..900 {
        market.list(&format!("N{number}-USD"));
    }
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    let results = client.sub(&["quote/test:N*"], |_| ()).await;
    assert_eq!(results.len(), 901, "the pattern and each of its topics, in one ack");
    client.until("all snapshots", |client| client.views.len() == 900).await;
}

#[tokio::test]
async fn commands_are_limited_and_a_deaf_client_is_closed() {
    let server = TestServer::start_with(|config| {
        config.session.commands_per_second = 1;
        config.session.commands_burst = 3;
    })
    .await;
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    let mut refused = 0;
    for number in 0..6 {
        client.send_text(&format!(r#"{{"type":"ping","id":{number}}}"#)).await;
        match client.reply().await {
            Reply::Pong { id, .. } => assert_eq!(id, Some(number)),
            Reply::Error { id, code, .. } => {
                assert_eq!((id, code.as_str()), (Some(number), "rate_limited"));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 3, "three go at once, the rest is refused");
    for _ in 0..400 {
        if client.closed.is_some() {
            break;
        }
        let _ = client.try_send(Message::text(r#"{"type":"ping"}"#)).await;
        tokio::time::timeout(Duration::from_millis(1), client.step()).await.ok();
    }
    client.until_closed().await;
    assert_eq!(client.closed, Some(Close::TooManyCommands.row().number));
}

/// A thousand quotes in some two seconds to one client, which must end at the last of them with at most some 20 updates a second.
async fn conflates(encoding: Encoding, limit: impl FnOnce(&mut Config)) {
    let server = TestServer::start_with(limit).await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, encoding).await;
    client.sub(&[QUOTE], |_| ()).await;
    client.until("the snapshot", |client| client.sequence(QUOTE).is_some()).await;
    client.seen.clear();
    let started = std::time::Instant::now();
    let publisher = std::thread::spawn(move || {
        for number in 1..=1_000 {
            market.quote(0, (1, number), (2, 1));
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    client.until("the last value", |client| client.view(QUOTE).quote().unwrap().bid_size == Some(1_000)).await;
    publisher.join().unwrap();
    // A burst of a second's worth, the rate after it, and frames that may overdraw.
    let allowed = 20 + 20 * (started.elapsed().as_secs() + 1) + 5;
    let updates = deltas(&client);
    assert!(updates <= allowed, "{updates} updates where {allowed} are allowed");
}

#[tokio::test]
async fn updates_out_are_limited_by_conflation_not_by_loss() {
    conflates(Encoding::Binary, |config| config.session.updates_per_second = 20).await;
}

/// A frame with one quote has more than 100 bytes.
#[tokio::test]
async fn bytes_out_are_limited_by_conflation_not_by_loss() {
    conflates(Encoding::Json, |config| config.session.bytes_per_second = 2_000).await;
}

#[tokio::test]
async fn clients_may_not_send_binary_or_large_frames() {
    let server = TestServer::start_with(|config| config.session.request_bytes = 1_000).await;
    for (message, close) in
        [(Message::binary(vec![1, 2, 3]), Close::BadFrame), (Message::text("x".repeat(2_000)), Close::FrameTooLarge)]
    {
        let mut client = TestClient::connect(&server, Encoding::Binary).await;
        let _ = client.try_send(message).await;
        client.until_closed().await;
        assert_eq!(client.closed, Some(close.row().number), "{close:?}");
    }
}

#[tokio::test]
async fn query_strings_are_checked_before_the_upgrade() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    for path in ["/v1/stream?pace=soon&sub=quote/test:BTC-USD", "/v1/stream?subb=quote/test:BTC-USD"] {
        match TestClient::open(&server, path, None).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400, "{path}"),
            other => panic!("{path}: {:?}", other.err()),
        }
    }
    let path = "/v1/stream?sub=quote/test:BTC-USD,quote/test:NO-SUCH&pace=100ms";
    let mut client = TestClient::open(&server, path, None).await.unwrap();
    assert!(matches!(client.reply().await, Reply::Hello(_)));
    let Reply::Ack { id: None, results, .. } = client.reply().await else { panic!("an ack without id") };
    assert_eq!(codes(&results), ["granted", "unknown_symbol"]);
    client.until("data", |client| client.sequence(QUOTE).is_some()).await;
}
