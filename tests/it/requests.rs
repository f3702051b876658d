//! Requests beyond `sub` and `unsub`: changes in place, pauses, single snapshots, lists, explanations, and very long subscriptions.

use crate::harness::{Market, PATIENCE, TestClient, TestServer};
use std::time::{Duration, Instant};
use wire::answer::{Explained, Listed, Standing};
use wire::request::{Encoding, Mod, Pace, Reply, Request, Start, Sub, TopicResult, TradeMode};
use wire::view::Applied;

const QUOTE: &str = "quote/test:BTC-USD";
const TRADE: &str = "trade/test:BTC-USD";
const BOOK_5: &str = "book/test:BTC-USD/5";
const BOOK_FULL: &str = "book/test:BTC-USD/full";
const ENCODINGS: [Encoding; 2] = [Encoding::Binary, Encoding::Json];

fn names(topics: &[&str]) -> Vec<String> {
    topics.iter().map(|topic| (*topic).to_owned()).collect()
}

fn modify(topics: &[&str], pace: Option<Pace>, trades: Option<TradeMode>) -> Request {
    Request::Mod(Mod { topics: names(topics), pace, trades, ..Mod::default() })
}

fn pause(topics: &[&str]) -> Request {
    Request::Pause { id: None, topics: Some(names(topics)) }
}

fn proceed(topics: &[&str]) -> Request {
    Request::Continue { id: None, topics: Some(names(topics)) }
}

fn get(topics: &[&str]) -> Request {
    Request::Get { id: None, topics: names(topics), heal: false }
}

fn summary(request: &mut Request) {
    if let Request::Sub(Sub { trades, .. }) = request {
        *trades = TradeMode::Summary;
    }
}

async fn results(client: &mut TestClient, request: Request) -> Vec<TopicResult> {
    match client.ask(request).await {
        Reply::Ack { results, .. } => results,
        other => panic!("an ack was due, not {other:?}"),
    }
}

async fn explain(client: &mut TestClient, topic: &str) -> Explained {
    match client.ask(Request::Explain { id: None, topic: topic.to_owned() }).await {
        Reply::Explained(explained) => *explained,
        other => panic!("an explanation was due, not {other:?}"),
    }
}

async fn refused(client: &mut TestClient, request: Request, wanted: &str) {
    match client.ask(request).await {
        Reply::Error { code, .. } => assert_eq!(code, wanted),
        Reply::Ack { results, .. } => assert!(
            results.iter().all(|result| matches!(result, TopicResult::Refused { code, .. } if code == wanted)),
            "{results:?}"
        ),
        other => panic!("{other:?}"),
    }
}

/// Commands are cheap here: the bucket has its own tests.
async fn server() -> TestServer {
    TestServer::start_with(|config| {
        config.session.commands_per_second = 1_000;
        config.session.commands_burst = 1_000;
    })
    .await
}

#[tokio::test]
async fn a_change_in_place_is_told_before_the_first_update_at_it() {
    let server = server().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    market.trade(0, 100, 1);
    for encoding in ENCODINGS {
        let mut client = TestClient::connect(&server, encoding).await;
        client.sub(&[QUOTE, TRADE], |_| ()).await;
        client.until("the snapshots", |client| [QUOTE, TRADE].iter().all(|topic| client.sequence(topic).is_some())).await;
        let first = client.seen.len();
        let changed = results(&mut client, modify(&[QUOTE, TRADE], Some(Pace::EveryMs(250)), Some(TradeMode::Summary))).await;
        assert!(
            matches!(
                &changed[..],
                [
                    TopicResult::Live { pace: Pace::EveryMs(250), trades: None, start: Start::Delta, .. },
                    TopicResult::Live { pace: Pace::EveryMs(250), trades: Some(TradeMode::Summary), start: Start::Delta, .. },
                ]
            ),
            "{changed:?}"
        );
        assert_eq!(client.seen.len(), first, "nothing came before the ack, which was asked for in a quiet market");
        let (before, every) = (client.total_count(), client.trades.len());
        let begun = Instant::now();
        for number in 0..60 {
            market.trade(0, 100 + number, 2);
            market.quote(0, (1, 10 + number), (2, 1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.until("every trade, merged", |client| client.total_count() - before == 60).await;
        assert_eq!(client.trades.len(), every, "no single trades any more");
        let windows = begun.elapsed().as_millis() as usize / 250 + 2;
        let quotes = client.seen[first..].iter().filter(|seen| seen.topic == QUOTE && is_data(&seen.applied)).count();
        assert!(quotes <= windows, "{quotes} updates in {windows} windows");
        // Back again: the tape still has what comes next, so nothing is lost and nothing starts anew.
        let changed = results(&mut client, modify(&[TRADE], Some(Pace::Realtime), Some(TradeMode::Every))).await;
        assert!(matches!(&changed[..], [TopicResult::Live { start: Start::Delta, .. }]), "{changed:?}");
        (0..5).for_each(|number| market.trade(0, 200 + number, 1));
        client.until("single trades", |client| client.trades.len() == every + 5).await;
    }
}

fn is_data(applied: &Applied) -> bool {
    matches!(applied, Applied::Delta { .. } | Applied::Snapshot)
}

#[tokio::test]
async fn a_change_to_single_trades_that_would_lose_some_starts_anew() {
    let server = TestServer::start_with(|config| config.topics.trade_ring = 16).await;
    let mut market = server.market();
    market.trade(0, 100, 1);
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[TRADE], summary).await;
    client.until("the snapshot", |client| client.sequence(TRADE).is_some()).await;
    results(&mut client, pause(&[TRADE])).await;
    (0..50).for_each(|number| market.trade(0, 100 + number, 1));
    results(&mut client, modify(&[TRADE], None, Some(TradeMode::Every))).await;
    let live = results(&mut client, proceed(&[TRADE])).await;
    assert!(matches!(&live[..], [TopicResult::Live { start: Start::Snapshot, trades: Some(TradeMode::Every), .. }]), "{live:?}");
    client.until("the snapshot", |client| client.sequence(TRADE) == Some(51)).await;
    assert_eq!(client.gaps, 0, "told by the ack, not by a gap");
}

#[tokio::test]
async fn a_pattern_is_changed_with_all_that_it_holds_and_will_hold() {
    let server = server().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    client.sub(&["quote/test:*"], |_| ()).await;
    let changed = results(&mut client, modify(&["quote/test:*"], Some(Pace::EveryMs(100)), None)).await;
    assert!(
        matches!(&changed[..], [TopicResult::Pattern { matched: 1, .. }, TopicResult::Live { pace: Pace::EveryMs(100), .. }]),
        "{changed:?}"
    );
    results(&mut client, pause(&["quote/test:*"])).await;
    let index = market.list("ETH-USD");
    market.quote(index, (5, 1), (6, 1));
    let Reply::Ack { id: None, results: joined, .. } = client.reply().await else { panic!("an ack without id") };
    assert!(matches!(&joined[..], [TopicResult::Paused { pace: Pace::EveryMs(100), .. }]), "{joined:?}");
    client.during(Duration::from_millis(100)).await;
    assert!(client.sequence("quote/test:ETH-USD").is_none(), "paused from the beginning");
    let live = results(&mut client, Request::Continue { id: None, topics: None }).await;
    assert_eq!(live.len(), 2, "{live:?}");
    client.until("the new listing", |client| client.sequence("quote/test:ETH-USD").is_some()).await;
    refused(
        &mut client,
        modify(&["quote/test:*-EUR", QUOTE.replace("BTC", "XRP").as_str()], Some(Pace::Realtime), None),
        "not_subscribed",
    )
    .await;
    refused(&mut client, modify(&[QUOTE], None, None), "bad_request").await;
}

#[tokio::test]
async fn a_pause_costs_nothing_and_ends_with_one_exact_update() {
    let server = TestServer::start_with(|config| config.topics.trade_ring = 64).await;
    let mut market = server.market();
    let mut totals = Vec::new();
    for encoding in ENCODINGS {
        market.quote(0, (1, 1), (2, 1));
        market.trade(0, 100, 1);
        market.book(0, true, &[(90, 1), (80, 1)], &[(110, 1)]);
        let topics = [QUOTE, TRADE, BOOK_FULL];
        let mut client = TestClient::connect(&server, encoding).await;
        client.sub(&topics, summary).await;
        client.until("the snapshots", |client| topics.iter().all(|topic| client.sequence(topic).is_some())).await;
        let paused = results(&mut client, pause(&topics)).await;
        assert!(paused.iter().all(|result| matches!(result, TopicResult::Paused { topic_id: Some(_), .. })), "{paused:?}");
        client.seen.clear();
        let (mut volume, mut notional) = (0u128, 0i128);
        for number in 0..200 {
            let (price, size) = (100 + number % 17, 1 + number % 5);
            market.trade(0, price, size);
            volume += size as u128;
            notional += i128::from(price * size);
            market.quote(0, (price - 1, size), (price + 1, size));
            market.book(0, false, &[(90 - number % 7, number % 3)], &[]);
        }
        client.during(Duration::from_millis(200)).await;
        assert!(client.seen.is_empty(), "nothing comes while paused: {:?}", client.seen);
        assert_eq!(explain(&mut client, TRADE).await.lag, Some(200));
        let live = results(&mut client, Request::Continue { id: None, topics: None }).await;
        assert!(live.iter().all(|result| matches!(result, TopicResult::Live { .. })), "{live:?}");
        client.until("every trade", |client| client.total_count() == 200).await;
        client
            .until("the newest of all", |client| {
                client.view(QUOTE).quote().is_some_and(|quote| quote.bid_size == Some(1 + 199 % 5))
                    && client.seen.iter().any(|seen| seen.topic == BOOK_FULL && is_data(&seen.applied))
            })
            .await;
        client.during(Duration::from_millis(50)).await;
        for topic in topics {
            let updates = client.seen.iter().filter(|seen| seen.topic == topic && is_data(&seen.applied)).count();
            assert_eq!(updates, 1, "one update for the whole pause of {topic}");
        }
        let high = client.summaries.iter().map(|summary| summary.high).max();
        assert_eq!((client.total_volume(), client.summaries[0].notional, high), (volume, notional, Some(116)));
        totals.push(client.view(BOOK_FULL).hash());
        // Live again.
        market.quote(0, (7, 7), (8, 8));
        client.until("the next quote", |client| client.view(QUOTE).quote().unwrap().bid_price == Some(7)).await;
    }
    assert_eq!(totals[0], totals[1], "the same book in both encodings");
}

#[tokio::test]
async fn a_pause_of_single_trades_ends_with_each_of_them_or_a_stated_gap() {
    let server = TestServer::start_with(|config| config.topics.trade_ring = 100).await;
    let mut market = server.market();
    market.trade(0, 100, 1);
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[TRADE], |_| ()).await;
    client.until("the snapshot", |client| client.trades.len() == 1).await;
    for (trades, lost) in [(80, 0), (130, 30)] {
        client.trades.clear();
        client.seen.clear();
        results(&mut client, pause(&[TRADE])).await;
        (0..trades).for_each(|number| market.trade(0, 100 + number, 1));
        results(&mut client, proceed(&[TRADE])).await;
        client.until("what was missed", |client| client.trades.len() as i64 == trades - lost).await;
        let missing: u64 = client
            .seen
            .iter()
            .map(|seen| if let Applied::Gap { missing, .. } = seen.applied { missing.unwrap_or(0) } else { 0 })
            .sum();
        assert_eq!(missing as i64, lost);
    }
}

#[tokio::test]
async fn one_snapshot_without_a_stream() {
    let server = server().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    market.trade(0, 100, 1);
    market.book(0, true, &[(90, 1), (80, 1)], &[(110, 1)]);
    for encoding in ENCODINGS {
        let mut client = TestClient::connect(&server, encoding).await;
        let topics = [QUOTE, TRADE, BOOK_5];
        let once = results(&mut client, get(&topics)).await;
        assert!(once.iter().all(|result| matches!(result, TopicResult::Once { .. })), "{once:?}");
        assert!(client.views.is_empty(), "the ack is first");
        client.until("the snapshots", |client| topics.iter().all(|topic| client.sequence(topic).is_some())).await;
        assert_eq!(client.view(BOOK_5).book().unwrap().len(wire::event::Side::Bid), 2);
        client.seen.clear();
        market.quote(0, (5, 5), (6, 6));
        market.trade(0, 101, 1);
        client.during(Duration::from_millis(100)).await;
        assert!(client.seen.is_empty(), "no stream: {:?}", client.seen);
        refused(&mut client, Request::Explain { id: None, topic: QUOTE.to_owned() }, "not_subscribed").await;
        refused(&mut client, get(&["quote/test:NO-SUCH"]), "unknown_symbol").await;
        let all = results(&mut client, get(&["quote/test:*"])).await;
        assert!(matches!(&all[..], [TopicResult::Pattern { matched: 1, .. }, TopicResult::Once { .. }]), "{all:?}");
        client.until("the newest", |client| client.view(QUOTE).quote().unwrap().bid_price == Some(5)).await;
    }
}

#[tokio::test]
async fn one_snapshot_of_what_is_held_disturbs_nothing() {
    let server = TestServer::start_with(|config| {
        config.session.commands_per_second = 1_000;
        config.session.commands_burst = 1_000;
        config.topics.trade_ring = 100_000;
    })
    .await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    market.trade(0, 100, 1);
    let mut every = TestClient::connect(&server, Encoding::Binary).await;
    every.sub(&[QUOTE, TRADE], |_| ()).await;
    let mut summed = TestClient::connect(&server, Encoding::Json).await;
    summed
        .sub(&[TRADE], |request| {
            summary(request);
            if let Request::Sub(Sub { pace, .. }) = request {
                *pace = Pace::EveryMs(500);
            }
        })
        .await;
    for client in [&mut every, &mut summed] {
        client.until("the snapshot", |client| client.sequence(TRADE).is_some()).await;
    }
    const TRADES: i64 = 4_000;
    let publisher = std::thread::spawn(move || {
        for number in 0..TRADES {
            market.trade(0, 100 + number % 9, 3);
            market.quote(0, (1, number), (2, 1));
            if number % 20 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        market
    });
    for _ in 0..10 {
        for client in [&mut every, &mut summed] {
            let once = results(client, get(&[TRADE])).await;
            assert!(matches!(&once[..], [TopicResult::Once { .. }]), "{once:?}");
            client.during(Duration::from_millis(20)).await;
        }
    }
    let mut market = publisher.join().unwrap();
    every.until("the last trade", |client| client.sequence(TRADE) == Some(1 + TRADES as u64)).await;
    // Each trade once by itself; snapshots repeat one that was told already.
    let snapshots = every.seen.iter().filter(|seen| seen.topic == TRADE && seen.applied == Applied::Snapshot).count();
    assert_eq!(snapshots, 11);
    assert_eq!(every.trades.len() as i64, TRADES + snapshots as i64, "no trade is swallowed by a snapshot");
    summed.until("every trade, merged", |client| client.total_count() == TRADES as u64).await;
    assert_eq!(summed.total_volume(), 3 * TRADES as u128);
    // What is paused stays paused.
    results(&mut every, pause(&[TRADE])).await;
    market.trade(0, 500, 1);
    results(&mut every, get(&[TRADE])).await;
    every.until("the snapshot", |client| client.sequence(TRADE) == Some(2 + TRADES as u64)).await;
    assert_eq!(explain(&mut every, TRADE).await.state, Standing::Paused);
    every.seen.clear();
    market.trade(0, 501, 1);
    every.during(Duration::from_millis(100)).await;
    assert!(every.seen.is_empty(), "{:?}", every.seen);
    results(&mut every, proceed(&[TRADE])).await;
    every.until("the trade of the pause", |client| client.sequence(TRADE) == Some(3 + TRADES as u64)).await;
}

#[tokio::test]
async fn instruments_come_in_pages() {
    let server = server().await;
    let mut market = server.market();
    for number in 0..230 {
        market.list(&format!("S{number:03}-USD"));
    }
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    let (mut all, mut after, mut pages): (Vec<Listed>, _, _) = (Vec::new(), None, 0);
    loop {
        let request = Request::List { id: None, pattern: "quote/*:S*".to_owned(), limit: Some(50), after };
        let Reply::Instruments { instruments, next, .. } = client.ask(request).await else { panic!("a page") };
        assert!(instruments.len() <= 50);
        pages += 1;
        all.extend(instruments);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((all.len(), pages), (230, 5));
    let symbols: Vec<_> = all.iter().map(|listed| listed.symbol.clone()).collect();
    assert_eq!(symbols, (0..230).map(|number| format!("S{number:03}-USD")).collect::<Vec<_>>());
    let first = &all[0];
    assert_eq!((first.venue.as_str(), first.native.as_str(), first.class.as_str()), ("test", "S000USD", "spot"));
    assert_eq!((first.tick.as_str(), first.lot.as_str(), first.price_exponent, first.size_exponent), ("0.01", "0.001", -2, -3));
    let one = Request::List { id: None, pattern: "instrument/test:BTC-USD".to_owned(), limit: None, after: None };
    assert!(matches!(client.ask(one).await, Reply::Instruments { instruments, next: None, .. } if instruments.len() == 1));
    refused(&mut client, Request::List { id: None, pattern: "BTC*".to_owned(), limit: None, after: None }, "bad_topic").await;
}

#[tokio::test]
async fn an_explanation_says_how_a_subscription_stands() {
    let server = TestServer::start_with(|config| {
        config.session.commands_per_second = 1_000;
        config.session.commands_burst = 1_000;
        config.session.updates_per_second = 50;
    })
    .await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client
        .sub(&[QUOTE], |request| {
            if let Request::Sub(Sub { pace, .. }) = request {
                *pace = Pace::EveryMs(2000);
            }
        })
        .await;
    client.until("the snapshot", |client| client.sequence(QUOTE).is_some()).await;
    let quiet = explain(&mut client, QUOTE).await;
    assert_eq!((quiet.state, quiet.pace, quiet.lag, quiet.trades), (Standing::Live, Pace::EveryMs(2000), Some(0), None));
    assert!(quiet.bytes > 10 && quiet.records == 3 && quiet.held_back.is_none(), "{quiet:?}");
    assert_eq!((quiet.epoch, quiet.sequence), (Some(client.view(QUOTE).epoch), client.sequence(QUOTE)));
    // A window may begin anywhere among these, but not twice.
    let (mut size, mut waiting) = (10, None);
    while waiting.is_none() && size < 40 {
        size += 1;
        market.quote(0, (1, size), (2, 1));
        client.during(Duration::from_millis(20)).await;
        waiting = Some(explain(&mut client, QUOTE).await).filter(|told| told.lag.is_some_and(|lag| lag >= 5));
    }
    assert_eq!(waiting.expect("it lags").state, Standing::Waiting);
    results(&mut client, modify(&[QUOTE], Some(Pace::Realtime), None)).await;
    client.until("all of it", |client| client.view(QUOTE).quote().unwrap().bid_size == Some(size)).await;
    let told = explain(&mut client, QUOTE).await;
    assert!(told.merged >= 4 && told.lag == Some(0), "{told:?}");
    let mut held_back = None;
    for number in 0..300 {
        market.quote(0, (1, 100 + number), (2, 1));
        client.during(Duration::from_millis(2)).await;
        held_back = held_back.or(explain(&mut client, QUOTE).await.held_back);
    }
    assert_eq!(held_back.expect("the bucket is empty at times").limit, "updates_per_second");
}

#[tokio::test]
async fn strict_is_all_or_nothing() {
    let server = TestServer::start_with(|config| config.session.max_subscriptions = 3).await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    let strict = |request: &mut Request| {
        if let Request::Sub(Sub { strict, .. }) = request {
            *strict = true;
        }
    };
    let codes = |results: Vec<TopicResult>| {
        let code = |result: TopicResult| match result {
            TopicResult::Refused { code, .. } => code,
            other => panic!("{other:?}"),
        };
        results.into_iter().map(code).collect::<Vec<_>>()
    };
    let some = client.try_sub(&[QUOTE, "quote/test:NO-SUCH", TRADE], strict).await;
    assert_eq!(codes(some), ["not_all_granted", "unknown_symbol", "not_all_granted"]);
    let many = client.try_sub(&[QUOTE, QUOTE, TRADE, BOOK_5, BOOK_FULL], strict).await;
    let expected = ["not_all_granted", "not_all_granted", "not_all_granted", "not_all_granted", "too_many_topics"];
    assert_eq!(codes(many), expected);
    client.during(Duration::from_millis(50)).await;
    assert!(client.views.is_empty());
    let all = client.sub(&[QUOTE, "trade/test:*", BOOK_5], strict).await;
    assert_eq!(all.len(), 4, "{all:?}");
    client.until("data", |client| client.sequence(QUOTE).is_some()).await;
}

/// The widest and the 99th percentile of the gaps between quotes that a second client saw, until told to stop.
async fn gaps(
    server: &TestServer,
    stop: tokio::sync::oneshot::Receiver<()>,
    ready: tokio::sync::oneshot::Sender<()>,
) -> Vec<Duration> {
    let mut client = TestClient::connect(server, Encoding::Binary).await;
    client.sub(&[QUOTE], |_| ()).await;
    client.until("the snapshot", |client| client.sequence(QUOTE).is_some()).await;
    ready.send(()).unwrap();
    let (mut gaps, mut last) = (Vec::new(), Instant::now());
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            _ = &mut stop => break,
            open = client.step() => {
                assert!(open);
                gaps.push(last.elapsed());
                last = Instant::now();
                client.seen.clear();
            }
        }
    }
    gaps.sort_unstable();
    gaps
}

#[tokio::test]
async fn fifty_thousand_topics_in_one_strict_request_delay_nobody() {
    const INSTRUMENTS: usize = 5_600;
    const TOPICS: usize = 50_000;
    let server = TestServer::start_with(|config| {
        config.node.shards = 1;
        config.topics.max_topics = tickwire::config::TOPICS_PER_INSTRUMENT as u32 * (INSTRUMENTS as u32 + 1);
        config.session.max_subscriptions = TOPICS;
        config.session.request_bytes = 2 << 20;
        config.session.check_interval_ms = 0;
    })
    .await;
    let mut market = server.market();
    let symbols: Vec<_> = (0..INSTRUMENTS).map(|number| format!("S{number:04}-USD")).collect();
    for symbol in &symbols {
        market.list(symbol);
    }
    let kinds = ["quote", "trade", "status", "instrument"];
    let all = symbols.iter().flat_map(|symbol| {
        let books = ["5", "10", "20", "50", "full"].map(|depth| format!("book/test:{symbol}/{depth}"));
        kinds.map(|kind| format!("{kind}/test:{symbol}")).into_iter().chain(books)
    });
    let topics: Vec<_> = all.take(TOPICS).collect();
    market.quote(0, (1, 1), (2, 1));
    let quotes = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let publisher = publish_quotes(market, quotes.clone());
    let server = std::sync::Arc::new(server);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (ready, readied) = tokio::sync::oneshot::channel();
    // On its own thread: the work of the large client's side must not count.
    let watcher = std::thread::spawn({
        let server = server.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(gaps(&server, stopped, ready))
        }
    });
    readied.await.unwrap();

    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    let begun = Instant::now();
    let request = Request::Sub(Sub { id: None, topics, resume: Default::default(), strict: true, ..Sub::default() });
    let granted = results(&mut client, request).await;
    assert_eq!(granted.len(), TOPICS);
    assert!(granted.iter().all(|result| matches!(result, TopicResult::Live { .. })));
    let acked = begun.elapsed();
    client.until_within(PATIENCE, "every snapshot", |client| client.views.len() == TOPICS).await;
    let told = begun.elapsed();
    stop.send(()).unwrap();
    let gaps = tokio::task::spawn_blocking(|| watcher.join().unwrap()).await.unwrap();
    quotes.store(false, std::sync::atomic::Ordering::Relaxed);
    publisher.join().unwrap();
    assert!(client.views.values().all(|view| view.sequence.is_some()));
    let (worst, p99) = (gaps[gaps.len() - 1], gaps[gaps.len() * 99 / 100]);
    println!("{TOPICS} topics: acked after {acked:?}, told after {told:?}; others: p99 {p99:?}, widest {worst:?}");
    assert!(p99 < Duration::from_millis(250), "p99 of the gaps between quotes: {p99:?}, widest {worst:?}");
}

/// A quote every 5 ms.
fn publish_quotes(mut market: Market, go_on: std::sync::Arc<std::sync::atomic::AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut number = 1;
        while go_on.load(std::sync::atomic::Ordering::Relaxed) {
            number += 1;
            market.quote(0, (1, number), (2, 1));
            std::thread::sleep(Duration::from_millis(5));
        }
    })
}
