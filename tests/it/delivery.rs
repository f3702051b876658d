//! Delivery: every kind in both encodings, snapshot then deltas, nothing lost or reordered at realtime, exact conflation at each pace.

use crate::harness::{Market, TestClient, TestServer};
use std::time::Duration;
use wire::event::{Aggressor, Cause, Channel, FeedState, Level, Side};
use wire::request::{Encoding, Pace, Request, Start, Sub, TopicResult, TradeMode};
use wire::view::Applied;

const QUOTE: &str = "quote/test:BTC-USD";
const TRADE: &str = "trade/test:BTC-USD";
const BOOK_5: &str = "book/test:BTC-USD/5";
const BOOK_FULL: &str = "book/test:BTC-USD/full";
const BAR_1S: &str = "bar/test:BTC-USD/1s";
const BAR_1H: &str = "bar/test:BTC-USD/1h";
const STATS: &str = "stats/test:BTC-USD";
const STATUS: &str = "status/test:BTC-USD";
const INSTRUMENT: &str = "instrument/test:BTC-USD";
const ENCODINGS: [Encoding; 2] = [Encoding::Binary, Encoding::Json];

fn set_pace(pace: Pace) -> impl FnOnce(&mut Request) {
    move |request| {
        if let Request::Sub(Sub { pace: wanted, .. }) = request {
            *wanted = pace;
        }
    }
}

fn set_trades(mode: TradeMode) -> impl FnOnce(&mut Request) {
    move |request| {
        if let Request::Sub(Sub { trades, .. }) = request {
            *trades = mode;
        }
    }
}

fn full_book(market: &mut Market) {
    let bids: Vec<_> = (0..30).map(|rank| (10_000 - rank, 100 + rank)).collect();
    let asks: Vec<_> = (0..30).map(|rank| (10_001 + rank, 200 + rank)).collect();
    market.book(0, true, &bids, &asks);
}

#[tokio::test]
async fn every_kind_in_both_encodings() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (9_999, 1_000), (10_001, 2_500));
    market.trade(0, 10_000, 7);
    full_book(&mut market);
    for encoding in ENCODINGS {
        let mut client = TestClient::connect(&server, encoding).await;
        let topics = [QUOTE, TRADE, BOOK_5, BOOK_FULL, STATUS, INSTRUMENT, BAR_1S, BAR_1H, STATS];
        let results = client.sub(&topics, |_| ()).await;
        for (result, name) in results.iter().zip(topics) {
            assert!(
                matches!(result, TopicResult::Live { topic, start: Start::Snapshot, pace: Pace::Realtime, .. } if topic == name),
                "{result:?}"
            );
        }
        client.until("a snapshot of each", |client| topics.iter().all(|topic| client.sequence(topic).is_some())).await;

        let quote = *client.view(QUOTE).quote().unwrap();
        assert_eq!((quote.bid_price, quote.ask_size), (Some(9_999), Some(2_500)));
        let trade = client.view(TRADE).tape().unwrap().entries().next_back().unwrap().trade;
        assert_eq!((trade.price, trade.size, trade.aggressor, trade.id), (10_000, 7, Aggressor::Buy, Some(1)));
        let book = client.view(BOOK_5).book().unwrap();
        assert_eq!((book.len(Side::Bid), book.len(Side::Ask)), (5, 5));
        assert_eq!(book.best(Side::Ask), Some(Level { price: 10_001, size: 200 }));
        assert_eq!(client.view(BOOK_FULL).book().unwrap().len(Side::Bid), 30);
        assert_eq!(client.view(STATUS).status().unwrap().feed, FeedState::Live);
        let instrument = client.view(INSTRUMENT).instrument().unwrap();
        assert_eq!((instrument.native.as_str(), instrument.price_exponent, instrument.size_exponent), ("BTCUSD", -2, -3));
        let hour = client.view(BAR_1H).bars().unwrap().newest().unwrap();
        assert_eq!((hour.open, hour.close, hour.count, hour.volume, hour.notional), (10_000, 10_000, 1, 7, 70_000));
        let stats = client.view(STATS).stats().unwrap();
        assert_eq!((stats.last, stats.high, stats.volume, stats.gaps), (Some(10_000), Some(10_000), 7, 0));
        for topic in [QUOTE, TRADE, BOOK_5, BOOK_FULL, BAR_1S, STATS] {
            assert_eq!(client.view(topic).state.unwrap().feed, FeedState::Live, "{topic}");
        }
    }
}

#[tokio::test]
async fn bars_close_by_the_servers_clock_and_stay_exact() {
    let server = TestServer::start().await;
    let mut market = server.market();
    for encoding in ENCODINGS {
        let mut client = TestClient::connect(&server, encoding).await;
        client.sub(&[BAR_1S, BAR_1H, STATS, TRADE], |_| ()).await;
        client.until("a snapshot of each", |client| client.sequence(STATS).is_some() && client.sequence(BAR_1S).is_some()).await;
        let (count, before) = client.view(STATS).stats().map_or((0, 0), |stats| (stats.count, stats.volume));
        for size in 1..=100 {
            market.trade(0, 10_000 + size % 7, size);
        }
        client.until("all trades in the day", |client| client.view(STATS).stats().unwrap().count == count + 100).await;
        assert_eq!(client.view(STATS).stats().unwrap().volume, before + 5_050);
        let all_closed = |client: &TestClient| client.view(BAR_1S).bars().unwrap().newest().is_some_and(|newest| newest.closed);
        client.until_within(Duration::from_secs(20), "the second to be closed", all_closed).await;
        // The change that closed it came later than the check interval, so a check goes with it; a wrong one panics.
        client.until("a check", |client| client.checks > 0).await;
        assert_eq!(client.gaps, 0);
    }
}

#[tokio::test]
async fn nothing_is_lost_or_reordered_at_realtime() {
    const TRADES: i64 = 20_000;
    let server = TestServer::start_with(|config| config.topics.trade_ring = TRADES as usize).await;
    let mut market = server.market();
    market.trade(0, 10_000, 1);
    let mut clients = Vec::new();
    for encoding in ENCODINGS {
        let mut client = TestClient::connect(&server, encoding).await;
        client.sub(&[TRADE, BOOK_FULL], |_| ()).await;
        client.until("the snapshot", |client| client.sequence(TRADE).is_some()).await;
        clients.push(client);
    }
    let publisher = std::thread::spawn(move || {
        for number in 1..TRADES {
            market.trade(0, 10_000 + number % 50, number);
            market.book(0, false, &[(9_000 + number % 40, number % 7)], &[(11_000 + number % 40, number % 5)]);
            if number % 500 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        market
    });
    for client in &mut clients {
        client.until("every trade", |client| client.trades.len() as i64 == TRADES).await;
        for (number, trade) in client.trades.iter().enumerate().skip(1) {
            let number = number as i64;
            assert_eq!((trade.id, trade.price, trade.size), (Some(number + 1), 10_000 + number % 50, number));
        }
        assert!(client.checks > 0, "checks came and agreed");
    }
    let mut market = publisher.join().unwrap();
    market.book(0, false, &[(8_000, 1)], &[(12_000, 1)]);
    for client in &mut clients {
        client
            .until("the last level", |client| {
                client.view(BOOK_FULL).book().is_some_and(|book| book.size_at(Side::Ask, 12_000) == 1)
            })
            .await;
    }
    let books: Vec<_> = clients.iter().map(|client| client.view(BOOK_FULL).hash()).collect();
    assert_eq!(books[0], books[1], "both encodings end at the same book");
}

#[tokio::test]
async fn conflation_is_exact_at_each_pace() {
    const TRADES: i64 = 3_000;
    let server = TestServer::start_with(|config| config.topics.trade_ring = 64).await;
    let mut market = server.market();
    full_book(&mut market);
    market.quote(0, (9_999, 1), (10_001, 1));
    let paces = [Pace::Realtime, Pace::EveryMs(10), Pace::EveryMs(100), Pace::EveryMs(250), Pace::EveryMs(1000)];
    let mut clients = Vec::new();
    for (number, pace) in paces.into_iter().enumerate() {
        let mut client = TestClient::connect(&server, ENCODINGS[number % 2]).await;
        client.sub(&[QUOTE, BOOK_5, BOOK_FULL], set_pace(pace)).await;
        client
            .sub(&[TRADE], |request| {
                set_pace(pace)(request);
                set_trades(TradeMode::Summary)(request);
            })
            .await;
        client
            .until("the snapshots", |client| [QUOTE, TRADE, BOOK_5, BOOK_FULL].iter().all(|t| client.sequence(t).is_some()))
            .await;
        client.seen.clear();
        clients.push((pace, client));
    }
    let started = tokio::time::Instant::now();
    let publisher = std::thread::spawn(move || {
        let (mut volume, mut notional) = (0u128, 0i128);
        for number in 1..=TRADES {
            let (price, size) = (10_000 + (number * 37) % 101 - 50, 1 + number % 13);
            market.trade(0, price, size);
            volume += size as u128;
            notional += i128::from(price) * i128::from(size);
            market.quote(0, (price - 1, size), (price + 1, size));
            market.book(0, false, &[(9_990 + number % 12, number % 4)], &[(10_001 + number % 12, number % 3)]);
            if number % 10 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // The end that everybody must see.
        market.quote(0, (1, 1), (2, 2));
        market.book(0, true, &[(1, 1)], &[(2, 2)]);
        (volume, notional)
    });
    let mut totals = Vec::new();
    for (pace, client) in &mut clients {
        let last = |client: &TestClient| client.view(QUOTE).quote().is_some_and(|quote| quote.ask_price == Some(2));
        client.until("the last quote", last).await;
        client
            .until("the last books", |client| {
                [BOOK_5, BOOK_FULL].iter().all(|topic| client.view(topic).book().is_some_and(|book| book.len(Side::Bid) == 1))
            })
            .await;
        let count = |client: &TestClient| client.summaries.iter().map(|summary| summary.count).sum::<u64>();
        client.until("every trade, merged or not", |client| count(client) == TRADES as u64).await;
        let windows = pace.interval().map(|interval| (started.elapsed().as_nanos() / interval.as_nanos()) as usize + 2);
        for topic in [QUOTE, BOOK_5, BOOK_FULL, TRADE] {
            let updates = client
                .seen
                .iter()
                .filter(|seen| seen.topic == topic && matches!(seen.applied, Applied::Delta { .. } | Applied::Snapshot));
            let updates = updates.count();
            assert!(updates <= windows.unwrap_or(usize::MAX), "{pace}: {updates} updates of {topic} in {windows:?} windows");
        }
        let volume: u128 = client.summaries.iter().map(|summary| summary.volume).sum();
        let notional: i128 = client.summaries.iter().map(|summary| summary.notional).sum();
        let high = client.summaries.iter().map(|summary| summary.high).max();
        let low = client.summaries.iter().map(|summary| summary.low).min();
        totals.push((volume, notional, high, low));
        assert!(client.checks > 0);
    }
    let (volume, notional) = publisher.join().unwrap();
    for total in totals {
        assert_eq!(total, (volume, notional, Some(10_050), Some(9_950)), "no pace loses volume, turnover, high or low");
    }
}

#[tokio::test]
async fn the_first_change_after_quiet_goes_at_once_and_the_last_one_always_arrives() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[QUOTE], set_pace(Pace::EveryMs(1000))).await;
    client.until("the snapshot", |client| client.sequence(QUOTE).is_some()).await;
    // Past the window of the snapshot: quiet.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let asked = tokio::time::Instant::now();
    market.quote(0, (1, 5), (2, 1));
    client.until("the leading edge", |client| client.view(QUOTE).quote().unwrap().bid_size == Some(5)).await;
    assert!(asked.elapsed() < Duration::from_millis(400), "after {:?}", asked.elapsed());
    market.quote(0, (1, 6), (2, 1));
    market.quote(0, (1, 7), (2, 1));
    client.until("the trailing edge", |client| client.view(QUOTE).quote().unwrap().bid_size == Some(7)).await;
    assert!(asked.elapsed() < Duration::from_millis(2_000), "after {:?}", asked.elapsed());
    assert!(client.seen.iter().any(|seen| matches!(seen.applied, Applied::Delta { updates: 2 })), "two were merged into one");
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_where_it_was() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    for number in 0..5 {
        market.trade(0, 100 + number, 1);
    }
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[QUOTE, TRADE], |_| ()).await;
    client.until("the snapshots", |client| [QUOTE, TRADE].iter().all(|topic| client.sequence(topic).is_some())).await;
    let held: std::collections::BTreeMap<_, _> = [QUOTE, TRADE]
        .iter()
        .map(|topic| ((*topic).to_owned(), (client.view(topic).epoch, client.sequence(topic).unwrap())))
        .collect();
    let views = std::mem::take(&mut client.views);
    drop(client);
    market.quote(0, (1, 9), (2, 1));
    for number in 0..7 {
        market.trade(0, 200 + number, 1);
    }
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.views = views;
    // One comes by a pattern, the other by the venue's own spelling; what is held stands under the canonical names.
    let results = client
        .sub(&["quote/test:*-USD", "trade/test:!BTCUSD"], |request| {
            if let Request::Sub(Sub { resume, .. }) = request {
                *resume = held;
            }
        })
        .await;
    let live: Vec<_> = results.iter().filter(|result| !matches!(result, TopicResult::Pattern { .. })).collect();
    assert_eq!(live.len(), 2);
    assert!(live.iter().all(|result| matches!(result, TopicResult::Live { start: Start::Delta, .. })), "{results:?}");
    client
        .until("what was missed", |client| client.trades.len() == 7 && client.view(QUOTE).quote().unwrap().bid_size == Some(9))
        .await;
    assert!(client.seen.iter().all(|seen| seen.applied != Applied::Snapshot), "no snapshot was needed");
}

#[tokio::test]
async fn upstream_gaps_and_states_are_told_in_the_stream() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.trade(0, 100, 1);
    for encoding in ENCODINGS {
        let mut client = TestClient::connect(&server, encoding).await;
        client.sub(&[TRADE, BOOK_5, STATUS], |_| ()).await;
        client.until("the snapshot", |client| client.sequence(TRADE).is_some() && client.sequence(BOOK_5).is_some()).await;
        market.trade_gap(0, 41);
        market.trade(0, 101, 1);
        market.state(0, Some(Channel::Book), FeedState::Resyncing, Cause::SequenceGap);
        client
            .until("the gap and the state", |client| {
                client.view(BOOK_5).state.is_some_and(|state| state.feed == FeedState::Resyncing)
                    && client
                        .seen
                        .iter()
                        .any(|seen| seen.applied == Applied::Gap { cause: Cause::SequenceGap, missing: Some(41) })
            })
            .await;
        full_book(&mut market);
        market.state(0, Some(Channel::Book), FeedState::Live, Cause::None);
        client.until("live again", |client| client.view(BOOK_5).state.is_some_and(|state| state.feed == FeedState::Live)).await;
    }
}

#[tokio::test]
async fn a_pattern_takes_in_later_listings() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    let results = client.sub(&["quote/test:*-USD"], |_| ()).await;
    assert_eq!(results[0], TopicResult::Pattern { topic: "quote/test:*-USD".to_owned(), matched: 1 });
    let index = market.list("ETH-USD");
    market.list("ETH-EUR");
    market.quote(index, (5, 1), (6, 1));
    client.until("the new listing", |client| client.sequence("quote/test:ETH-USD").is_some()).await;
    assert!(!client.views.contains_key("quote/test:ETH-EUR"));
}
