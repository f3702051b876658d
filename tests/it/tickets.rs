//! Resume tickets over the wire: one message brings all subscriptions back, where they stood, to who may have them.

use crate::harness::{TestClient, TestServer, VENUE, soon};
use client::{Client, Options, Step, Subscription, Trust, Update};
use wire::record::RecordBody;
use wire::request::{Encoding, Pace, Reply, Request, Start, Sub, TopicResult, TradeMode};

const QUOTE: &str = "quote/test:BTC-USD";
const TRADE: &str = "trade/test:BTC-USD";
const BOOK: &str = "book/test:BTC-USD/10";

async fn ticket(client: &mut TestClient) -> (String, u64) {
    match client.ask(Request::Ticket { id: None }).await {
        Reply::Ticket { ticket, topics, .. } => (ticket, topics),
        other => panic!("{other:?}"),
    }
}

async fn resume(client: &mut TestClient, ticket: &str, places: &[(&str, (u64, u64))]) -> Vec<TopicResult> {
    let resume = places.iter().map(|(topic, place)| ((*topic).to_owned(), *place)).collect();
    match client.ask(Request::Resume { id: None, ticket: ticket.to_owned(), resume }).await {
        Reply::Ack { results, .. } => results,
        other => panic!("{other:?}"),
    }
}

fn pace(client_pace: Pace) -> impl FnOnce(&mut Request) {
    move |request| {
        if let Request::Sub(Sub { pace, .. }) = request {
            *pace = client_pace;
        }
    }
}

#[tokio::test]
async fn one_message_brings_everything_back_where_it_stood() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    market.book(0, true, &[(1, 5)], &[(2, 5)]);
    (1..=3).for_each(|price| market.trade(0, price, 1));
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[QUOTE], pace(Pace::EveryMs(50))).await;
    client.sub(&[TRADE, "stats/test:*"], |_| ()).await;
    client.sub(&[BOOK], |_| ()).await;
    client.until("all of it", |client| [QUOTE, TRADE, BOOK].iter().all(|topic| client.sequence(topic).is_some())).await;
    client.ask(Request::Pause { id: None, topics: Some(vec![BOOK.to_owned()]) }).await;
    let (text, topics) = ticket(&mut client).await;
    assert_eq!(topics, 5, "four topics and a pattern");
    let before: Vec<_> = [QUOTE, TRADE].map(|topic| client.sequence(topic).unwrap()).to_vec();
    let views = client.views.clone();
    drop(client);
    market.quote(0, (7, 1), (8, 1));
    (4..=6).for_each(|price| market.trade(0, price, 1));
    market.list("NEW-USD");

    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.views = views.clone();
    let results = resume(&mut client, &text, &[]).await;
    let of = |name: &str| results.iter().find(|result| result.topic() == name).unwrap_or_else(|| panic!("{results:?}"));
    let TopicResult::Live { start: Start::Delta, from: Some((_, at)), pace, .. } = of(QUOTE) else { panic!("{results:?}") };
    assert_eq!((*at, *pace), (before[0], Pace::EveryMs(50)));
    let TopicResult::Live { start: Start::Delta, from: Some((epoch, at)), trades, missing: None, .. } = of(TRADE) else {
        panic!("{results:?}")
    };
    assert_eq!((*at, *trades), (before[1], Some(TradeMode::Every)));
    assert!(matches!(of(BOOK), TopicResult::Paused { .. }), "{results:?}");
    assert!(matches!(of("stats/test:*"), TopicResult::Pattern { .. }), "{results:?}");
    assert!(matches!(of("stats/test:NEW-USD"), TopicResult::Live { start: Start::Snapshot, .. }), "{results:?}");
    client.until("the trades in between", |client| client.trades.len() == 3).await;
    assert_eq!(client.trades.iter().map(|trade| trade.price).collect::<Vec<_>>(), [4, 5, 6]);

    // Who holds more says so, and gets nothing twice.
    let mut ahead = TestClient::connect(&server, Encoding::Binary).await;
    ahead.views = views;
    ahead.views.get_mut(TRADE).unwrap().sequence = Some(at + 2);
    let mut client = ahead;
    resume(&mut client, &text, &[(TRADE, (*epoch, at + 2))]).await;
    client.until("the rest", |client| client.trades.len() == 1).await;
    assert_eq!(client.trades[0].price, 6);
}

#[tokio::test]
async fn a_ticket_that_is_not_good_is_refused_with_its_reason() {
    let server = TestServer::start().await;
    let _market = server.market();
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    client.sub(&[QUOTE], |_| ()).await;
    let (text, _) = ticket(&mut client).await;
    let damaged = damaged(&text);
    let other = TestServer::start().await;
    let mut stranger = TestClient::connect(&other, Encoding::Json).await;
    for (client, text) in [(&mut client, damaged.as_str()), (&mut stranger, text.as_str())] {
        let answer = client.ask(Request::Resume { id: None, ticket: text.to_owned(), resume: Default::default() }).await;
        assert!(matches!(&answer, Reply::Error { code, .. } if code == "bad_ticket"), "{answer:?}");
    }
}

/// A list of the largest size, made and taken up in parts while data flows.
#[tokio::test]
async fn a_ticket_of_a_thousand_topics_goes_both_ways() {
    const INSTRUMENTS: usize = 1_000;
    let server = TestServer::start().await;
    let mut market = server.market();
    for number in 1..INSTRUMENTS {
        market.list(&format!("S{number}-USD"));
    }
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.sub(&[&format!("quote/{VENUE}:*")], |_| ()).await;
    client.until("all snapshots", |client| client.views.len() == INSTRUMENTS).await;
    let (text, topics) = ticket(&mut client).await;
    assert_eq!(topics as usize, INSTRUMENTS + 1);
    market.quote(3, (1, 1), (2, 1));
    let views = std::mem::take(&mut client.views);
    let mut client = TestClient::connect(&server, Encoding::Binary).await;
    client.views = views;
    let results = resume(&mut client, &text, &[]).await;
    let live = results.iter().filter(|result| matches!(result, TopicResult::Live { start: Start::Delta, from: Some(_), .. }));
    assert_eq!(live.count(), INSTRUMENTS);
}

/// Where nodes share a key, a draining one gives its clients a ticket for the next.
#[tokio::test]
async fn a_draining_node_hands_out_tickets() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("ticket.key");
    std::fs::write(&key, [7; 32]).unwrap();
    let with_key = |config: &mut tickwire::config::Config| config.session.ticket_key_file = Some(key.clone());
    let server = TestServer::start_with(with_key).await;
    let _market = server.market();
    let mut client = TestClient::connect(&server, Encoding::Json).await;
    client.sub(&[QUOTE], |_| ()).await;
    let drained = tokio::spawn(server.server.drain());
    let Reply::Notice { ticket: Some(text), .. } = client.reply().await else { panic!("a notice with a ticket") };
    client.until_closed().await;
    drained.await.unwrap();
    let next = TestServer::start_with(with_key).await;
    let _market = next.market();
    let mut client = TestClient::connect(&next, Encoding::Json).await;
    let results = resume(&mut client, &text, &[]).await;
    assert!(matches!(&results[..], [TopicResult::Live { topic, start: Start::Snapshot, .. }] if topic == QUOTE), "{results:?}");
}

/// The Rust client, which keeps its views: what it has seen comes no second time, and its views are exact. A new one, without any view,
/// gets the trades since the ticket and asks for what it needs to begin with.
#[tokio::test]
async fn the_rust_client_takes_up_a_ticket() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    market.book(0, true, &[(1, 5)], &[(2, 5)]);
    (1..=3).for_each(|price| market.trade(0, price, 1));
    let options = Options { trust: Trust::AnyCertificate, ..Options::new(server.url("/v1/stream")) };
    let mut client = Client::new(&options).unwrap();
    client.subscribe(Subscription::new([QUOTE, TRADE, BOOK]));
    let mut prices = Vec::new();
    let place = |client: &Client, topic: &str| client.view(topic).and_then(|view| view.sequence);
    follow(&mut client, &mut prices, |client| [QUOTE, TRADE, BOOK].iter().all(|topic| place(client, topic).is_some())).await;
    let id = client.ticket();
    let ticket = soon("the ticket", async {
        loop {
            if let Step::Reply(Reply::Ticket { id: of, ticket, topics: 3, .. }) = client.next(|_| ()).await.unwrap() {
                assert_eq!(of, Some(id));
                break ticket;
            }
        }
    });
    let text = ticket.await;
    // Seen, but later than the ticket.
    market.trade(0, 4, 1);
    market.quote(0, (3, 1), (4, 1));
    follow(&mut client, &mut prices, |client| (place(client, TRADE), place(client, QUOTE)) == (Some(4), Some(2))).await;

    // The same subscriptions once more, by a client that holds nothing.
    let mut fresh = Client::new(&options).unwrap();
    fresh.resume(text.as_str());
    let mut since = Vec::new();
    follow(&mut fresh, &mut since, |client| (place(client, TRADE), client.stats().healed) == (Some(4), 2)).await;
    assert_eq!(since, [4], "the trade since the ticket");
    market.quote(0, (5, 1), (6, 1));
    market.book(0, false, &[(1, 7)], &[]);
    market.trade(0, 5, 1);
    for (client, prices) in [(&mut client, &mut prices), (&mut fresh, &mut since)] {
        let settled =
            |client: &Client| [(QUOTE, 3), (TRADE, 5), (BOOK, 2)].iter().all(|(topic, at)| place(client, topic) == Some(*at));
        follow(client, prices, settled).await;
        let stats = client.stats();
        assert_eq!((stats.check_mismatches, stats.unexplained_gaps), (0, 0), "{stats:?}");
    }
    assert_eq!((&prices[..], &since[..]), (&[3, 4, 5][..], &[4, 5][..]));
    let view = |client: &Client, topic: &str| client.view(topic).unwrap().hash();
    assert!([QUOTE, TRADE, BOOK].iter().all(|topic| view(&client, topic) == view(&fresh, topic)));

    client.resume(damaged(&text));
    let refused = soon("the refusal", async {
        loop {
            if let Step::Reply(Reply::Error { code, .. }) = client.next(|_| ()).await.unwrap() {
                break code;
            }
        }
    });
    assert_eq!(refused.await, "bad_ticket");
}

/// One of its letters is another.
fn damaged(ticket: &str) -> String {
    let letter = if &ticket[40..41] == "A" { "B" } else { "A" };
    format!("{}{letter}{}", &ticket[..40], &ticket[41..])
}

/// Steps until it is `done`; the prices of all trades.
async fn follow(client: &mut Client, prices: &mut Vec<i64>, done: impl Fn(&Client) -> bool) {
    soon("what the client waits for", async {
        while !done(client) {
            let each = |update: &Update<'_>| {
                if let RecordBody::Trade(trade) = update.record.body {
                    prices.push(trade.price);
                }
            };
            client.next(each).await.unwrap();
        }
    })
    .await;
}
