//! Whether clients know how fresh their data is: a feed that goes down, comes back, falls silent; an instrument that is quiet.

use crate::harness::{Market, TestClient, TestServer, VENUE};
use feeds::replay::Pace as Speed;
use feeds::settings::FeedSettings;
use std::path::Path;
use std::time::Duration;
use tickwire::emulate::{Emulator, Faults, Options};
use tickwire::topic::QuietAfter;
use wire::event::{Cause, Channel, FeedState, Flags};
use wire::request::Encoding;

const INSTRUMENTS: u32 = 30;

fn symbol(index: u32) -> String {
    if index == 0 { "BTC-USD".to_owned() } else { format!("S{index}-USD") }
}

fn topics(venue: &str, symbol: &str) -> Vec<String> {
    ["quote/{}", "trade/{}", "book/{}/5", "book/{}/full", "bar/{}/1m", "stats/{}", "status/{}"]
        .map(|form| form.replace("{}", &format!("{venue}:{symbol}")))
        .to_vec()
}

async fn subscribe(server: &TestServer, topics: &[String]) -> TestClient {
    let mut client = TestClient::connect(server, Encoding::Binary).await;
    client.sub(&topics.iter().map(String::as_str).collect::<Vec<_>>(), |_| ()).await;
    client
}

/// All of the topics are told this, and why.
async fn all_are(client: &mut TestClient, topics: &[String], feed: FeedState, cause: Cause) {
    let are = |client: &TestClient| {
        topics.iter().all(|topic| client.state(topic).is_some_and(|state| (state.feed, state.cause) == (feed, cause)))
    };
    client.until(&format!("{feed} {cause}"), are).await;
}

#[tokio::test]
async fn all_topics_of_a_feed_go_down_and_come_back_one_by_one() {
    let server = TestServer::start().await;
    let mut market = server.market();
    for index in 1..INSTRUMENTS {
        market.list(&symbol(index));
    }
    for index in 0..INSTRUMENTS {
        market.quote(index, (100, 1), (101, 1));
        market.trade(index, 100, 1);
        market.book(index, true, &[(100, 1)], &[(101, 1)]);
    }
    let topics: Vec<String> = (0..INSTRUMENTS).flat_map(|index| topics(VENUE, &symbol(index))).collect();
    let mut clients = [subscribe(&server, &topics).await, subscribe(&server, &topics).await, subscribe(&server, &topics).await];
    for client in &mut clients {
        all_are(client, &topics, FeedState::Live, Cause::None).await;
    }
    market.link(FeedState::Down, Cause::Disconnected);
    for client in &mut clients {
        all_are(client, &topics, FeedState::Down, Cause::Disconnected).await;
    }
    let mut late = subscribe(&server, &topics).await;
    all_are(&mut late, &topics, FeedState::Down, Cause::Disconnected).await;
    let (quote, status) = (&topics[0], &topics[6]);
    assert!(late.view(quote).flags.has(Flags::STALE), "the snapshot is known to be old");
    market.link(FeedState::Resyncing, Cause::Disconnected);
    for client in &mut clients {
        all_are(client, &topics, FeedState::Resyncing, Cause::Disconnected).await;
    }
    market.quote(0, (102, 1), (103, 1));
    market.state(0, Some(Channel::Quote), FeedState::Live, Cause::None);
    for client in &mut clients {
        client.until("one is live", |client| client.state(quote).unwrap().feed == FeedState::Live).await;
        assert!(topics[1..].iter().all(|topic| client.state(topic).unwrap().feed == FeedState::Resyncing), "and only that");
    }
    for index in 0..INSTRUMENTS {
        market.state(index, None, FeedState::Live, Cause::None);
    }
    for client in clients.iter_mut().chain([&mut late]) {
        all_are(client, &topics, FeedState::Live, Cause::None).await;
    }
    use FeedState::{Down, Live, Resyncing};
    assert_eq!(clients[0].states(quote), [Live, Down, Resyncing, Live]);
    // The status topic's value is checked against the server's hash, as all views are.
    assert!(clients[0].checks > 0 && clients[0].state(status).is_some());
}

#[tokio::test]
async fn an_instrument_without_updates_is_quiet_until_the_next_one() {
    let server = TestServer::start().await;
    let ingest = server.server.ingest(VENUE).quiet_after(QuietAfter::of_quotes_ms(1_500));
    let mut market = Market::open(ingest);
    market.quote(0, (100, 1), (101, 1));
    let topics = topics(VENUE, &symbol(0));
    let quote = &topics[0];
    let mut client = subscribe(&server, &topics).await;
    client.until("quiet", |client| client.state(quote).is_some_and(|state| state.feed == FeedState::Quiet)).await;
    assert_eq!(client.state(&topics[1]).unwrap().feed, FeedState::Live, "trades have more patience");
    market.quote(0, (100, 1), (102, 1));
    client.until("live again", |client| client.state(quote).unwrap().feed == FeedState::Live).await;
    assert!(client.states(quote).ends_with(&[FeedState::Quiet, FeedState::Live]), "{:?}", client.states(quote));
}

/// The venue's connection stays open and says nothing any more: no data, no ping, no pong.
#[tokio::test]
async fn a_line_that_falls_silent_makes_all_it_carries_stale() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("feeds/samples/binance.twr");
    let mut options = Options::new("binance", vec![sample], Speed::new(1.0).unwrap(), ([127, 0, 0, 1], 0).into());
    options.start_delay = Duration::from_millis(1_000);
    options.repeat = true;
    options.faults = Faults { mute_at: Some(40), ..Faults::default() };
    let venue = tokio::task::spawn_blocking(|| Emulator::bind(options)).await.unwrap().unwrap().spawn().unwrap();
    let server = TestServer::start_with(|config| {
        config.feeds.push(FeedSettings {
            symbols: vec!["BTC-USDT".to_owned(), "LRC-BTC".to_owned()],
            ws_url: Some(format!("ws://{}", venue.address)),
            rest_url: Some(format!("http://{}", venue.address)),
            silence_ms: Some(1_500),
            ..FeedSettings::of_venue("binance")
        });
    })
    .await;
    let topics: Vec<String> = ["BTC-USDT", "LRC-BTC"].into_iter().flat_map(|symbol| topics("binance", symbol)).collect();
    let mut client = subscribe(&server, &topics).await;
    all_are(&mut client, &topics, FeedState::Stale, Cause::Silence).await;
    // Back on a new connection. How long it is resyncing depends on the machine, and states are conflated like all data.
    let (trade, book) = (&topics[1], &topics[3]);
    let live = |client: &TestClient| [trade, book].into_iter().all(|topic| client.state(topic).unwrap().feed == FeedState::Live);
    client.until("the busy one is live on a new connection", live).await;
}
