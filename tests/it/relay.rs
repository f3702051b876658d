//! Another Tickwire as a venue: an edge shows what its upstream node shows, at the same places; it says when it has lost it, and its
//! clients come and go with the same cursors.

use crate::harness::cut::CutLink;
use crate::harness::market::now;
use crate::harness::{Market, TestClient, TestServer, soon};
use feeds::relay::RelaySettings;
use feeds::settings::FeedSettings;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tickwire::config::Config;
use wire::event::{Cause, Channel, FeedState, Flags, Side, TradingState};
use wire::record::TradeRecord;
use wire::request::{Encoding, Request, Since, Start, TopicResult};
use wire::view::View;

const NUMBERED: [&str; 4] = ["instrument/test:BTC-USD", "quote/test:BTC-USD", "trade/test:BTC-USD", "book/test:BTC-USD/full"];
const MADE_HERE: [&str; 3] = ["book/test:BTC-USD/5", "stats/test:BTC-USD", "status/test:BTC-USD"];
/// From the cut to the last client that knows: there is nothing to wait for.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// The feed block of an edge of `server`, reached at `address`.
fn relay_of(server: &TestServer, address: SocketAddr, folder: &TempDir) -> FeedSettings {
    let ca_file = folder.path().join(format!("{}.pem", address.port()));
    std::fs::write(&ca_file, &*server.server.certificate_pem()).expect("a file of the test's own");
    FeedSettings {
        ws_url: Some(format!("wss://localhost:{}", address.port())),
        silence_ms: Some(4_000),
        tickwire: Some(RelaySettings { ca_file: Some(ca_file), ..RelaySettings::default() }),
        ..FeedSettings::of_venue("tickwire")
    }
}

async fn edge_of(server: &TestServer, address: SocketAddr, folder: &TempDir) -> TestServer {
    edge_with(server, address, folder, &[]).await
}

/// An edge that carries only these; all if there are none.
async fn edge_with(server: &TestServer, address: SocketAddr, folder: &TempDir, symbols: &[&str]) -> TestServer {
    let symbols = symbols.iter().map(|symbol| (*symbol).to_owned()).collect();
    let relay = FeedSettings { symbols, ..relay_of(server, address, folder) };
    TestServer::start_with(|config: &mut Config| config.feeds.push(relay)).await
}

async fn subscribe(server: &TestServer, topics: &[&str]) -> TestClient {
    let mut client = TestClient::connect(server, Encoding::Binary).await;
    client.sub(topics, |_| ()).await;
    client
}

/// Some trading in all three channels, gaps included.
fn trade_on(market: &mut Market, from: i64, steps: i64) {
    for at in from..from + steps {
        market.quote(0, (100 + at % 3, 1 + at % 5), (105 + at % 2, 7));
        market.trade(0, 100 + at % 7, 1 + at % 4);
        let level = |side: i64| (100 + side * 5 + at % 4 * side, at % 3);
        if at == 0 {
            // Deep enough that changes are told as such.
            let side = |sign: i64| (1..60).map(|away| (100 + sign * (10 + away), 3)).collect::<Vec<_>>();
            market.book(0, true, &side(-1), &side(1));
        }
        market.book(0, false, &[level(-1), (70, 1 + at % 7)], &[level(1), (120, 1 + at % 2)]);
        if at % 50 == 49 {
            market.trade_gap(0, 3);
        }
    }
}

/// Takes in what comes until the client stands where the other one does.
async fn level_with(client: &mut TestClient, other: &TestClient) {
    let places: Vec<_> = NUMBERED.iter().map(|topic| (other.view(topic).epoch, other.sequence(topic))).collect();
    let is_there = |client: &TestClient| {
        NUMBERED
            .iter()
            .zip(&places)
            .all(|(topic, place)| client.views.get(*topic).is_some_and(|view| (view.epoch, view.sequence) == *place))
    };
    client.until("the edge is where its upstream node is", is_there).await;
}

fn same_views(edge: &TestClient, core: &TestClient) {
    for topic in NUMBERED {
        let (edge, core) = (edge.view(topic), core.view(topic));
        assert_eq!((edge.epoch, edge.sequence, edge.time), (core.epoch, core.sequence, core.time), "{topic}");
        assert_eq!((edge.state, edge.hash()), (core.state, core.hash()), "{topic}");
        // How much was merged is each client's own matter.
        let quality = |view: &View| view.flags.0 & !(Flags::CONFLATED.0 | Flags::SNAPSHOT.0);
        assert_eq!(quality(edge), quality(core), "{topic}");
    }
    let tape = |client: &TestClient| {
        let entries: Vec<_> = client.view(NUMBERED[2]).tape().expect("a tape").entries().copied().collect();
        entries
    };
    // Each began when it came.
    let (edge, core) = (tape(edge), tape(core));
    let both = edge.len().min(core.len());
    assert!(both > 20, "{both} trades to compare");
    assert_eq!(edge[edge.len() - both..], core[core.len() - both..]);
}

fn live(client: &TestClient) -> bool {
    NUMBERED[1..].iter().all(|topic| client.state(topic).is_some_and(|state| state.feed == FeedState::Live))
}

fn lost(client: &TestClient) -> bool {
    NUMBERED[1..]
        .iter()
        .chain(&MADE_HERE)
        .all(|topic| client.state(topic).is_some_and(|state| (state.feed, state.cause) == (FeedState::Down, Cause::UpstreamLost)))
}

#[tokio::test]
async fn an_edge_shows_what_its_upstream_node_shows_and_says_when_it_cannot() {
    shows_the_same_and_says_when_it_cannot(&[]).await;
}

/// By names instead of a pattern: the topics come, and come again, in other ways.
#[tokio::test]
async fn an_edge_of_named_instruments_does_the_same() {
    shows_the_same_and_says_when_it_cannot(&["test:BTC-USD"]).await;
}

async fn shows_the_same_and_says_when_it_cannot(symbols: &[&str]) {
    let folder = TempDir::new().unwrap();
    let core = TestServer::start().await;
    let mut market = core.market();
    trade_on(&mut market, 0, 120);
    let link = CutLink::to(core.server.public_address()).await;
    let edge = edge_with(&core, link.address, &folder, symbols).await;
    let all: Vec<&str> = NUMBERED.into_iter().chain(MADE_HERE).collect();
    let mut at_core = subscribe(&core, &all).await;
    let mut at_edge = subscribe(&edge, &all).await;
    at_core.until("all is there", live).await;
    at_edge.until("all is there", live).await;
    for round in 0..20 {
        trade_on(&mut market, 120 + round * 10, 10);
        at_edge.during(Duration::from_millis(10)).await;
    }
    market.quote(0, (77, 1), (78, 1));
    at_core
        .until("the last quote", |client| client.view(NUMBERED[1]).quote().is_some_and(|quote| quote.bid_price == Some(77)))
        .await;
    at_core.during(Duration::from_millis(300)).await;
    level_with(&mut at_edge, &at_core).await;
    at_edge.during(Duration::from_millis(300)).await;
    same_views(&at_edge, &at_core);
    for side in [Side::Bid, Side::Ask] {
        let five: Vec<_> = at_edge.view(MADE_HERE[0]).book().unwrap().levels(side, usize::MAX).collect();
        assert_eq!(five, at_core.view(NUMBERED[3]).book().unwrap().levels(side, 5).collect::<Vec<_>>());
    }
    assert_ne!(at_edge.view(MADE_HERE[0]).epoch, at_core.view(MADE_HERE[0]).epoch, "numbered here, so in an epoch of its own");

    link.cut();
    at_edge.until_within(TOLD_WITHIN, "the loss is told", lost).await;
    // Meanwhile the market goes on, and trades are missing nowhere afterwards.
    trade_on(&mut market, 320, 30);
    market.state(0, Some(Channel::Book), FeedState::Resyncing, Cause::SequenceGap);
    let gaps = at_edge.gaps;
    link.mend();
    let book_is = |client: &TestClient| client.state(NUMBERED[3]).is_some_and(|state| state.cause == Cause::SequenceGap);
    at_edge.until("the edge is back, and says what its upstream node says", book_is).await;
    market.state(0, Some(Channel::Book), FeedState::Live, Cause::None);
    trade_on(&mut market, 350, 40);
    at_core.until("live", live).await;
    at_core.during(Duration::from_millis(500)).await;
    at_edge.until("live", live).await;
    level_with(&mut at_edge, &at_core).await;
    at_edge.during(Duration::from_millis(300)).await;
    same_views(&at_edge, &at_core);
    // One was made in each fifty trades; the loss itself made none.
    assert_eq!(at_edge.gaps - gaps, 1, "only the venue's own");
    assert!(at_edge.checks > 20, "{}", at_edge.checks);
    let faults = edge.server.metrics().feed("tickwire").fault_count();
    assert_eq!(faults, 0, "nothing had to be asked for again, and nothing was refused");
}

async fn asked_for(server: &TestServer, topic: &str) -> TopicResult {
    let mut client = TestClient::connect(server, Encoding::Binary).await;
    client.try_sub(&[topic], |_| ()).await.remove(0)
}

#[tokio::test]
async fn an_edge_is_ready_though_an_instrument_is_named_twice_and_the_connection_was_lost_before() {
    let folder = TempDir::new().unwrap();
    let core = TestServer::start().await;
    let link = CutLink::to(core.server.public_address()).await;
    let edge = edge_with(&core, link.address, &folder, &["test:*", "test:BTC-USD", "test:BTC-USD"]).await;
    // The upstream node is not ready itself, as long as it knows no venue's instruments.
    let ingest = core.server.ingest("late");
    let _market = core.market();
    let pause = || tokio::time::sleep(Duration::from_millis(200));
    let there = async {
        while !matches!(asked_for(&edge, NUMBERED[1]).await, TopicResult::Live { .. }) {
            pause().await;
        }
    };
    soon("the instrument", there).await;
    let unknown = "quote/test:NONE";
    for _ in 0..8 {
        pause().await;
        let result = asked_for(&edge, unknown).await;
        assert!(matches!(result, TopicResult::Pending { .. }), "more may come: {result:?}");
    }
    link.cut();
    pause().await;
    link.mend();
    let _late = Market::open(ingest);
    let ready = async {
        while !matches!(asked_for(&edge, unknown).await, TopicResult::Refused { .. }) {
            pause().await;
        }
    };
    soon("it is known that there is no such symbol", ready).await;
}

#[tokio::test]
async fn a_client_moves_to_an_edge_and_from_edge_to_edge_with_its_places() {
    let folder = TempDir::new().unwrap();
    let core = TestServer::start().await;
    let mut market = core.market();
    trade_on(&mut market, 0, 60);
    let near = edge_of(&core, core.server.public_address(), &folder).await;
    let far = edge_of(&near, near.server.public_address(), &folder).await;
    // Books keep their changes while somebody looks.
    let mut watchers = [subscribe(&near, &NUMBERED).await, subscribe(&far, &NUMBERED).await];
    for watcher in &mut watchers {
        watcher.until("all is there", live).await;
    }
    let mut client = TestClient::connect(&core, Encoding::Binary).await;
    client
        .sub(&NUMBERED, |request| {
            if let Request::Sub(sub) = request {
                sub.since = Some(Since(30))
            }
        })
        .await;
    client.until("all is there", live).await;
    let mut at = 60;
    for (server, watcher) in [(&near, 0), (&far, 1), (&core, 1), (&far, 1)] {
        trade_on(&mut market, at, 20);
        at += 20;
        let mut reference = subscribe(&core, &NUMBERED).await;
        reference.until("all is there", live).await;
        reference.during(Duration::from_millis(200)).await;
        level_with(&mut watchers[watcher], &reference).await;
        let views = std::mem::take(&mut client.views);
        let trades = std::mem::take(&mut client.trades);
        let resume: BTreeMap<_, _> =
            views.iter().map(|(topic, view)| (topic.clone(), (view.epoch, view.sequence.expect("a place")))).collect();
        client = TestClient::connect(server, Encoding::Binary).await;
        (client.views, client.trades) = (views, trades);
        let results = client
            .sub(&NUMBERED, |request| {
                if let Request::Sub(sub) = request {
                    sub.resume = resume
                }
            })
            .await;
        for result in results {
            assert!(matches!(&result, TopicResult::Live { start: Start::Delta, missing: None, .. }), "{result:?}");
        }
        level_with(&mut client, &reference).await;
    }
    let ids: Vec<i64> = client.trades.iter().filter_map(|trade: &TradeRecord| trade.id).collect();
    let holes = ids.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(ids.len() > 100 && ids.is_sorted() && holes == client_holes(&ids), "each trade once, on whatever node: {ids:?}");
}

/// Three ids are left out after each fifty trades: what `trade_on` calls a gap.
fn client_holes(ids: &[i64]) -> usize {
    ids.windows(2).filter(|pair| pair[1] == pair[0] + 4).count()
}

#[tokio::test]
async fn relays_that_go_round_in_a_circle_are_refused() {
    let folder = TempDir::new().unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("own.pem"), folder.path().join("own.key"));
    std::fs::write(&certificate, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    // Both are free, and known before there is anybody.
    let ports = [(); 2].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap());
    let relay = |upstream: SocketAddr| FeedSettings {
        ws_url: Some(format!("wss://localhost:{}", upstream.port())),
        silence_ms: Some(1_000),
        tickwire: Some(RelaySettings { ca_file: Some(certificate.clone()), ..RelaySettings::default() }),
        ..FeedSettings::of_venue("tickwire")
    };
    let mut servers = Vec::new();
    for (at, upstream) in [(0, 1), (1, 0)] {
        let server = TestServer::start_with(|config| {
            config.listen.address = ports[at];
            config.listen.self_signed = false;
            (config.listen.certificate, config.listen.key) = (Some(certificate.clone()), Some(key.clone()));
            config.feeds.push(relay(ports[upstream]));
        });
        servers.push(server.await);
    }
    let refused = async {
        while servers.iter().all(|server| server.server.metrics().feed("tickwire").fault_count() == 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the circle is noticed", refused).await;
}

#[tokio::test]
async fn what_an_upstream_node_refuses_is_counted_and_the_edge_is_not_ready() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret of at least thirty-two bytes\n").unwrap();
    let core = TestServer::start_with(|config| {
        config.auth.required = true;
        config.auth.hs256_secret_file = Some(secret);
    })
    .await;
    let _market = core.market();
    let edge = edge_of(&core, core.server.public_address(), &folder).await;
    let feed = edge.server.metrics().feed("tickwire");
    let refused = async {
        while feed.fault_count() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the refusal", refused).await;
    let mut client = TestClient::connect(&edge, Encoding::Binary).await;
    let results = client.try_sub(&NUMBERED, |_| ()).await;
    assert!(results.iter().all(|result| matches!(result, TopicResult::Pending { .. })), "it may still come: {results:?}");
}

/// What one more hop costs, told in the output. On a machine that does other things as well it says little, so there is no bound.
#[tokio::test]
async fn the_hop_is_measured() {
    let folder = TempDir::new().unwrap();
    let core = TestServer::start().await;
    let mut market = core.market();
    let edge = edge_of(&core, core.server.public_address(), &folder).await;
    let quote = [NUMBERED[1]];
    let (mut at_core, mut at_edge) = (subscribe(&core, &quote).await, subscribe(&edge, &quote).await);
    let mut delays = [Vec::new(), Vec::new()];
    market.quote(0, (1, 1), (2, 1));
    at_edge.until("data", |client| client.views.contains_key(NUMBERED[1])).await;
    for at in 1..200 {
        let begin = now();
        market.quote(0, (at, 1), (1_000, 1));
        let is_there = |client: &TestClient| {
            client.views.get(NUMBERED[1]).and_then(|view| view.quote()).is_some_and(|quote| quote.bid_price == Some(at))
        };
        let both = tokio::join!(
            async {
                at_core.until("the quote", is_there).await;
                now() - begin
            },
            async {
                at_edge.until("the quote", is_there).await;
                now() - begin
            }
        );
        delays[0].push(both.0);
        delays[1].push(both.1);
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    let [core, edge] = delays.map(|mut delays| {
        delays.sort_unstable();
        [50, 99].map(|percent| delays[delays.len() * percent / 100] as f64 / 1e3)
    });
    println!(
        "published to client, µs: p50 {:.0} and p99 {:.0} at the core, {:.0} and {:.0} at the edge",
        core[0], core[1], edge[0], edge[1]
    );
    assert_eq!(at_edge.view(NUMBERED[1]).hash(), at_core.view(NUMBERED[1]).hash());
}

/// The trading phase comes along, and so does what the venue's own link says.
#[tokio::test]
async fn what_the_upstream_node_says_of_its_venue_is_said_at_the_edge() {
    let folder = TempDir::new().unwrap();
    let core = TestServer::start().await;
    let mut market = core.market();
    trade_on(&mut market, 0, 3);
    let edge = edge_of(&core, core.server.public_address(), &folder).await;
    let (mut at_core, mut at_edge) = (subscribe(&core, &NUMBERED).await, subscribe(&edge, &NUMBERED).await);
    at_edge.until("live", live).await;
    market.trading(0, TradingState::Halted);
    market.link(FeedState::Stale, Cause::Silence);
    for client in [&mut at_core, &mut at_edge] {
        let told = |client: &TestClient| {
            NUMBERED[1..].iter().all(|topic| {
                let said = client.state(topic).map(|state| (state.feed, state.cause, state.trading));
                said == Some((FeedState::Stale, Cause::Silence, TradingState::Halted))
            })
        };
        client.until("stale and halted", told).await;
    }
    let since = |client: &TestClient| NUMBERED[1..].iter().map(|topic| client.state(topic).unwrap().since).collect::<Vec<_>>();
    assert_eq!(since(&at_edge), since(&at_core));
}
