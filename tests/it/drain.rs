//! Drain: clients are told, get what is due, are closed with the code that says "come back", and the port is free again.

use crate::harness::{TestClient, TestServer, soon};
use wire::code::Close;
use wire::request::{Encoding, Reply};

const QUOTE: &str = "quote/test:BTC-USD";

#[tokio::test]
async fn a_drain_tells_every_client_and_loses_nothing() {
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (1, 1), (2, 1));
    let mut clients = Vec::new();
    for number in 0..6 {
        let encoding = if number % 2 == 0 { Encoding::Binary } else { Encoding::Json };
        let mut client = TestClient::connect(&server, encoding).await;
        client.sub(&[QUOTE], |_| ()).await;
        client.until("the snapshot", |client| client.sequence(QUOTE).is_some()).await;
        clients.push(client);
    }
    let address = server.server.public_address();
    market.quote(0, (1, 99), (2, 1));
    let drained = tokio::spawn(server.server.drain());
    for client in &mut clients {
        client.until_closed().await;
        assert_eq!(client.closed, Some(Close::Draining.row().number));
        let notice = client.replies.iter().find_map(|reply| match reply {
            Reply::Notice { code, reconnect_in_ms, .. } if code == "draining" => *reconnect_in_ms,
            _ => None,
        });
        assert!(notice.is_some(), "a notice with a slot: {:?}", client.replies);
        assert_eq!(client.view(QUOTE).quote().unwrap().bid_size, Some(99), "the last update came before the close");
    }
    soon("the drain", drained).await.unwrap();
    std::net::TcpListener::bind(address).expect("the port is free again");
}
