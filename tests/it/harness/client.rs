//! A client that shares nothing with the server but the `wire` crate. It keeps views, verifies every check and every frame number,
//! and panics at once when anything is wrong.

use super::{PATIENCE, TestServer, soon};
use futures_util::{SinkExt, StreamExt};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::codec::Decoder;
use wire::event::{FeedState, Status};
use wire::record::{RecordBody, TradeRecord, TradeSummary};
use wire::request::{Encoding, Reply, Request, Sub, TopicResult};
use wire::view::{Applied, View};

/// What one record was, for tests that look at the stream itself.
#[derive(Clone, Debug)]
pub struct Seen {
    pub topic: String,
    pub applied: Applied,
}

pub struct TestClient {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    decoder: Decoder,
    next_frame: u64,
    next_id: u64,
    pub views: BTreeMap<String, View>,
    pub seen: Vec<Seen>,
    pub trades: Vec<TradeRecord>,
    pub summaries: Vec<TradeSummary>,
    /// Count and volume over all summaries.
    summed: (u64, u128),
    scales: BTreeMap<String, (i8, i8)>,
    states: Vec<(String, Status)>,
    pub gaps: u64,
    pub checks: u64,
    pub replies: VecDeque<Reply>,
    pub closed: Option<u16>,
}

impl TestClient {
    pub async fn connect(server: &TestServer, encoding: Encoding) -> Self {
        let mut client = Self::open(server, "/v1/stream", Some(encoding)).await.expect("the handshake succeeds");
        assert!(matches!(client.reply().await, Reply::Hello(_)));
        client
    }

    /// The bare handshake: any path, any subprotocol or none.
    pub async fn open(server: &TestServer, path: &str, encoding: Option<Encoding>) -> Result<Self, Error> {
        Self::open_with(server, path, encoding, None).await
    }

    /// `receive_buffer`: size of the kernel's buffer on our side; small ones make a stalled client felt early.
    pub async fn open_with(
        server: &TestServer,
        path: &str,
        encoding: Option<Encoding>,
        receive_buffer: Option<u32>,
    ) -> Result<Self, Error> {
        let mut request = server.url(path).into_client_request()?;
        if let Some(encoding) = encoding {
            let name = encoding.subprotocol().parse().expect("a header value");
            request.headers_mut().insert("Sec-WebSocket-Protocol", name);
        }
        let tls = tls(server, receive_buffer).await?;
        let (socket, _) = tokio_tungstenite::client_async(request, tls).await?;
        Ok(Self {
            socket,
            decoder: Decoder::new(encoding.unwrap_or(Encoding::Json)),
            next_frame: 1,
            next_id: 1,
            views: BTreeMap::new(),
            seen: Vec::new(),
            trades: Vec::new(),
            summaries: Vec::new(),
            summed: (0, 0),
            scales: BTreeMap::new(),
            states: Vec::new(),
            gaps: 0,
            checks: 0,
            replies: VecDeque::new(),
            closed: None,
        })
    }

    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("the request is sent");
    }

    /// Sends to a server that may have closed already.
    pub async fn try_send(&mut self, message: Message) -> Result<(), Error> {
        self.socket.send(message).await
    }

    pub async fn until_closed(&mut self) {
        soon("the close", async { while self.step().await {} }).await;
    }

    /// Trades that all summaries so far stand for.
    pub fn total_count(&self) -> u64 {
        self.summed.0
    }

    pub fn total_volume(&self) -> u128 {
        self.summed.1
    }

    /// Sends a request and returns the one reply with its id, its parts put together.
    pub async fn ask(&mut self, mut request: Request) -> Reply {
        let number = self.next_id;
        self.next_id += 1;
        request.set_id(number);
        self.send_text(&serde_json::to_string(&request).expect("requests are plain data")).await;
        let (mut parts, mut unasked) = (Vec::new(), Vec::new());
        loop {
            let mut reply = self.reply().await;
            let id = match &reply {
                Reply::Ack { id, .. } | Reply::Pong { id, .. } | Reply::Error { id, .. } | Reply::Instruments { id, .. } => *id,
                Reply::Granted { id, .. } | Reply::Budget { id, .. } | Reply::Ticket { id, .. } => *id,
                // Told unasked.
                Reply::Qos(_) | Reply::Aged(_) => {
                    unasked.push(reply);
                    continue;
                }
                Reply::Explained(explained) => explained.id,
                _ => None,
            };
            assert_eq!(id, Some(number), "{reply:?}");
            if let Reply::Ack { results, more, .. } = &mut reply {
                parts.append(results);
                if std::mem::take(more) {
                    continue;
                }
                std::mem::swap(results, &mut parts);
            }
            self.replies.extend(unasked);
            return reply;
        }
    }

    /// Subscribes; every topic must be granted.
    pub async fn sub(&mut self, topics: &[&str], change: impl FnOnce(&mut Request)) -> Vec<TopicResult> {
        let results = self.try_sub(topics, change).await;
        assert!(!results.iter().any(|result| matches!(result, TopicResult::Refused { .. })), "{results:?}");
        results
    }

    pub async fn try_sub(&mut self, topics: &[&str], change: impl FnOnce(&mut Request)) -> Vec<TopicResult> {
        let mut request = sub(topics);
        change(&mut request);
        match self.ask(request).await {
            Reply::Ack { results, .. } => results,
            other => panic!("an ack was due, not {other:?}"),
        }
    }

    /// The next reply, data in between being taken in.
    pub async fn reply(&mut self) -> Reply {
        soon("a reply", async {
            loop {
                if let Some(reply) = self.replies.pop_front() {
                    return reply;
                }
                assert!(self.step().await, "closed with {:?} instead of a reply", self.closed);
            }
        })
        .await
    }

    /// Takes messages in until `done`.
    pub async fn until(&mut self, what: &str, done: impl FnMut(&Self) -> bool) {
        self.until_within(PATIENCE, what, done).await;
    }

    pub async fn until_within(&mut self, patience: Duration, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + patience;
        while !done(self) {
            match tokio::time::timeout_at(deadline, self.step()).await {
                Ok(true) => {}
                Ok(false) => panic!("closed with {:?} before: {what}", self.closed),
                Err(_) => panic!("not within {patience:?}: {what}; topics: {:?}", self.views.keys()),
            }
        }
    }

    /// Price and size exponents of a topic that data came of.
    pub fn scale(&self, topic: &str) -> (i8, i8) {
        self.scales[topic]
    }

    /// The feed states that were told of a topic, in order.
    pub fn states(&self, topic: &str) -> Vec<FeedState> {
        self.states.iter().filter(|(name, _)| name == topic).map(|(_, state)| state.feed).collect()
    }

    /// The newest state that was told of a topic: by `State` records, or by the status topic's value.
    pub fn state(&self, topic: &str) -> Option<Status> {
        let view = self.views.get(topic)?;
        view.status().copied().or(view.state)
    }

    /// Takes in whatever comes for a while.
    pub async fn during(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(true) = tokio::time::timeout_at(end, self.step()).await {}
    }

    pub fn view(&self, topic: &str) -> &View {
        self.views.get(topic).unwrap_or_else(|| panic!("no data of {topic} yet"))
    }

    pub fn sequence(&self, topic: &str) -> Option<u64> {
        self.views.get(topic).and_then(|view| view.sequence)
    }

    /// One message. False once the connection is closed.
    pub async fn step(&mut self) -> bool {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => {
                if self.decoder.encoding() == Encoding::Json && text.starts_with("{\"frame\"") {
                    self.frame(text.as_bytes());
                } else {
                    let reply = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                    self.replies.push_back(reply);
                }
                true
            }
            Some(Ok(Message::Binary(bytes))) => {
                self.frame(&bytes);
                true
            }
            Some(Ok(Message::Close(frame))) => {
                self.closed = frame.map(|frame| frame.code.into());
                // Lets the library answer the close.
                self.socket.next().await.is_some()
            }
            Some(Ok(_)) => true,
            Some(Err(_)) | None => false,
        }
    }

    fn frame(&mut self, bytes: &[u8]) {
        let Self { decoder, views, seen, trades, summaries, summed, scales, states, gaps, checks, .. } = self;
        let header = decoder
            .decode(bytes, &mut |_, meta, record| {
                let view = views.entry(meta.name.clone()).or_insert_with(|| View::new(meta));
                let applied = view.apply(record).unwrap_or_else(|error| panic!("{}: {error}: {record:?}", meta.name));
                match record.body {
                    RecordBody::Trade(trade) => trades.push(trade),
                    RecordBody::Summary(summary) => {
                        summed.0 += summary.count;
                        summed.1 += summary.volume;
                        summaries.push(summary);
                    }
                    RecordBody::Check { .. } => *checks += 1,
                    RecordBody::Gap { .. } => *gaps += 1,
                    RecordBody::State(state) => states.push((meta.name.clone(), state)),
                    RecordBody::Meta(meta) => {
                        scales.insert(meta.name.clone(), (meta.price_exponent, meta.size_exponent));
                    }
                    _ => {}
                }
                seen.push(Seen { topic: meta.name.clone(), applied });
            })
            .unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
        assert_eq!(header.number, self.next_frame, "frames are numbered without holes");
        self.next_frame += 1;
    }
}

pub fn sub(topics: &[&str]) -> Request {
    Request::Sub(Sub {
        id: None,
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        pace: Default::default(),
        trades: Default::default(),
        ..Sub::default()
    })
}

/// The connection alone, for clients that speak something else.
pub async fn tls(server: &TestServer, receive_buffer: Option<u32>) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(server.server.public_address()).await?;
    let name = "localhost".try_into().expect("a server name");
    TlsConnector::from(tls_config(&server.server.certificate_pem())).connect(name, stream).await
}

/// Trusts exactly this server's certificate.
fn tls_config(certificate_pem: &str) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificate_pem.as_bytes()) {
        roots.add(certificate.expect("a certificate")).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
