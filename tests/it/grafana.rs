//! The dashboard on a real server under load: Prometheus scrapes its admin port, every query answers, and the numbers are right.

use crate::harness::{Market, TestClient, TestServer, soon};
use crate::prometheus::{MAY_BE_EMPTY, Prometheus, has_tool, run_dashboard};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use wire::request::{Encoding, Pace, Request, Sub};

const TOPICS: [&str; 3] = ["quote/test:BTC-USD", "trade/test:BTC-USD", "book/test:BTC-USD/5"];

/// Ends are told apart: a goodbye, a broken connection.
#[tokio::test]
async fn ends_of_sessions_are_counted_by_how_they_came() {
    let server = TestServer::start().await;
    let mut polite = TestClient::connect(&server, Encoding::Binary).await;
    let rude = TestClient::connect(&server, Encoding::Json).await;
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    polite.try_send(Message::Close(Some(goodbye))).await.expect("the goodbye is sent");
    while polite.step().await {}
    assert_eq!(polite.closed, Some(1000), "a goodbye is answered");
    drop(rude);
    let count = |code: &str| {
        let text = server.server.metrics().render();
        let lines =
            text.lines().filter(|line| line.starts_with("tickwire_closes_total") && line.contains(&format!("\"{code}\"")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    soon("both ends are counted", async {
        while (count("client"), count("lost")) != (1, 1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_dashboard_shows_a_server_under_load() {
    if !has_tool("prometheus") {
        return;
    }
    let server = TestServer::start().await;
    let market = server.market();
    let mut clients = Vec::new();
    for pace in [Pace::Realtime, Pace::Realtime, Pace::EveryMs(250)] {
        let mut client = TestClient::connect(&server, Encoding::Binary).await;
        client
            .sub(&TOPICS, |request| {
                if let Request::Sub(Sub { pace: wanted, .. }) = request {
                    *wanted = pace;
                }
            })
            .await;
        clients.push(client);
    }
    let admin = server.server.admin_address();
    let watch = tokio::task::spawn_blocking(move || {
        let prometheus = Prometheus::start(admin);
        let is = |query: &str, expected: &str| prometheus.query(query).is_ok_and(|found| found == [expected]);
        prometheus.wait_until("two scrapes under load", || is("sum(rate(tickwire_records_total[5s])) > bool 100", "1"));
        assert!(is("sum(tickwire_sessions)", "3"), "{:?}", prometheus.query("sum(tickwire_sessions)"));
        assert!(is("sum(tickwire_subscriptions)", "9"), "{:?}", prometheus.query("sum(tickwire_subscriptions)"));
        let all_stages = "count(count by (__name__) ({__name__=~\"tickwire_latency_.*_count\"} > 0))";
        assert!(is(all_stages, "3"), "{:?}", prometheus.query(all_stages));
        assert!(is("sum(rate(tickwire_merged_updates_total[5s])) > bool 0", "1"), "the slow client's updates are merged");
        assert!(is("sum(tickwire_feed_channels{state=\"live\"}) > bool 0", "1"), "channels are live");
        prometheus.wait_until("the rules", || prometheus.bad_rules().is_ok());
        assert_eq!(prometheus.bad_rules(), Ok(Vec::new()));
        run_dashboard(&prometheus, MAY_BE_EMPTY)
    });
    let wrong = under_load(market, clients, watch).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Moves the market a thousand times a second and reads what the clients get, until `watch` is done.
async fn under_load<T>(mut market: Market, mut clients: Vec<TestClient>, mut watch: tokio::task::JoinHandle<T>) -> T {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut price = 10_000;
    market.book(0, true, &[(price - 1, 10)], &[(price + 1, 10)]);
    loop {
        tokio::select! {
            done = &mut watch => return done.expect("the queries run"),
            _ = tick.tick() => {}
        }
        for step in 0..10 {
            price += if step % 3 == 0 { -2 } else { 1 };
            market.quote(0, (price - 1, 10 + step), (price + 1, 20 + step));
            market.trade(0, price, 1 + step);
            market.book(0, false, &[(price - 1, 5 + step)], &[(price + 1, 7 + step)]);
        }
        for client in &mut clients {
            client.during(Duration::from_millis(1)).await;
            client.seen.clear();
            client.trades.clear();
        }
    }
}
