//! A simulated client. In: a server. Out: a subscribed session that has its snapshot; of a few, what they were sent. Bounded: some are
//! being opened at the same time.

use crate::memory::{ClientEnd, ServerEnd, connection};
use crate::server::Server;
use crate::{READERS, TOPICS};
use ::client::{Trust, tls_config};
use futures_util::{FutureExt, SinkExt, StreamExt, stream};
use rustls::pki_types::ServerName;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};
use wire::request::BINARY_SUBPROTOCOL;

/// As in a storm of reconnects, but without one.
const AT_ONCE: usize = 64;

pub struct Opener {
    connector: TlsConnector,
    inbox: mpsc::Sender<ServerEnd>,
    opened: AtomicUsize,
}

/// One that stayed.
pub struct Client(WebSocketStream<TlsStream<ClientEnd>>);

impl Opener {
    pub fn new(server: &Server) -> Self {
        let mut config = (*tls_config(&Trust::AnyCertificate).expect("nothing to read")).clone();
        // Each comes for the first time.
        config.resumption = rustls::client::Resumption::disabled();
        Self {
            connector: TlsConnector::from(std::sync::Arc::new(config)),
            inbox: server.inbox.clone(),
            opened: AtomicUsize::new(0),
        }
    }

    /// So many more; those that stay.
    pub async fn open(&self, count: usize) -> Vec<Client> {
        let opening = stream::iter(0..count).map(|_| self.open_one()).buffer_unordered(AT_ONCE);
        opening.filter_map(std::future::ready).collect().await
    }

    async fn open_one(&self) -> Option<Client> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let (server, end) = connection();
        self.inbox.send(server).await.expect("the shard runs");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = self.connector.connect(name, end).await.expect("a good server");
        let mut request = "wss://localhost/v1/stream".into_client_request().expect("an address");
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(BINARY_SUBPROTOCOL));
        let (mut socket, _) = client_async(request, tls).await.expect("it is a WebSocket");
        let topic = number % TOPICS;
        let subscribe = format!(r#"{{"type":"sub","id":1,"topics":["trade/sim:S{topic:05}-USD"]}}"#);
        socket.send(Message::text(subscribe)).await.expect("it is open");
        loop {
            match socket.next().await.expect("it stays open").expect("a good frame") {
                Message::Binary(_) => break,
                Message::Text(text) => assert!(!text.contains(r#""type":"error""#), "{text}"),
                _ => {}
            }
        }
        (number % 1_000 < READERS).then_some(Client(socket))
    }
}

impl Client {
    /// What has come is good, and holds frames of data.
    pub async fn verify(&mut self) {
        let mut frames = 0;
        while let Some(Some(message)) = self.0.next().now_or_never() {
            frames += usize::from(message.expect("a good frame").is_binary());
        }
        assert!(frames > 0, "no data came");
    }
}
