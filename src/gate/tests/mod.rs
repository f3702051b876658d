//! A real gate on loopback, with TLS, in front of sessions that only say who came in. Each test reads as what a client does and sees.

mod connections;
mod http;
mod stream;
mod tokens;

use super::{Arrival, Gate, Sessions, Socket, Transport, accept, bind, serve};
use crate::config::Config;
use crate::metrics::GateMetrics;
use crate::pressure::Pressure;
use crate::session::Client;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

/// A handshake that has not ended by then never will, in these tests.
const PATIENCE: Duration = Duration::from_secs(20);
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const UPGRADE: &str = "Host: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";

struct Harness {
    address: SocketAddr,
    gate: Arc<Gate>,
    metrics: Arc<GateMetrics>,
    /// What `/readyz` is told.
    state: Arc<Mutex<Result<(), String>>>,
    pressure: Arc<Pressure>,
    connector: TlsConnector,
}

/// Tells the client in one message what the gate said of it, then echoes until the client closes.
struct Doorbell;

impl Sessions for Doorbell {
    type Events = Full<Bytes>;

    async fn stream<T: Transport>(self: Rc<Self>, mut socket: Socket<T>, client: Client) {
        let _ = socket.send(Message::text(describe(&client))).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() && socket.send(message).await.is_err() {
                return;
            }
        }
    }

    fn events(self: Rc<Self>, client: Client, _cut: Rc<Notify>) -> Full<Bytes> {
        Full::new(Bytes::from(format!("data: {}\n\n", describe(&client))))
    }
}

fn describe(client: &Client) -> String {
    let bare = client.bare.as_ref().map(|bare| format!("{} {}", bare.topics.join("+"), bare.pace));
    let subject = client.identity.as_ref().map(|identity| identity.subject.clone());
    format!("{} bare={} subject={}", client.encoding.subprotocol(), bare.unwrap_or_default(), subject.unwrap_or_default())
}

/// A configuration that works everywhere and loses no time.
fn config() -> Config {
    let mut config = Config::default();
    config.listen.address = "127.0.0.1:0".parse().unwrap();
    config.listen.self_signed = true;
    config.listen.origins = vec!["https://friend.example".to_owned()];
    config
}

fn run<F: Future<Output = ()>>(config: Config, test: impl FnOnce(Harness) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async move {
        let test = test(Harness::start(&config));
        tokio::time::timeout(PATIENCE, test).await.expect("the test hangs");
    };
    LocalSet::new().block_on(&runtime, work);
}

impl Harness {
    fn start(config: &Config) -> Self {
        let metrics = Arc::<GateMetrics>::default();
        let state = Arc::new(Mutex::new(Ok(())));
        let told = state.clone();
        let pressure = Pressure::new(&config.pressure);
        let gate = Gate::new(config, metrics.clone(), Arc::new(move || told.lock().clone()), pressure.clone()).unwrap();
        let listener = bind(config.listen.address).unwrap();
        let address = listener.local_addr().unwrap();
        let (inbox, mut arrivals) = mpsc::channel::<Arrival>(64);
        spawn_local(accept(listener, vec![inbox], gate.clone()));
        let doors = gate.clone();
        spawn_local(async move {
            while let Some(arrival) = arrivals.recv().await {
                spawn_local(serve(arrival, doors.clone(), Rc::new(Doorbell)));
            }
        });
        let connector = connector(&gate);
        Self { address, gate, metrics, state, pressure, connector }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn tls(&self) -> TlsStream<TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        self.connector.connect(name, self.tcp().await).await.unwrap()
    }

    /// Sends bytes and reads what comes until the server closes or waits for more.
    async fn talk(&self, request: &str) -> String {
        let mut stream = self.tls().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }

    /// The answer to a GET with these further header lines.
    async fn get(&self, path: &str, headers: &str) -> String {
        self.talk(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")).await
    }

    /// The answer to an upgrade with these further header lines.
    async fn upgrade(&self, query: &str, headers: &str) -> String {
        self.talk(&format!("GET /v1/stream{query} HTTP/1.1\r\n{UPGRADE}{KEY}{headers}\r\n")).await
    }

    /// A WebSocket by the library, and the first message on it.
    async fn stream(
        &self,
        query: &str,
        protocol: Option<&str>,
    ) -> (tokio_tungstenite::WebSocketStream<TlsStream<TcpStream>>, String) {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        let mut request = format!("wss://localhost:{}/v1/stream{query}", self.address.port()).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        let (mut socket, response) = tokio_tungstenite::client_async(request, self.tls().await).await.unwrap();
        let chosen = response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(chosen.as_deref(), protocol);
        let first = socket.next().await.unwrap().unwrap().into_text().unwrap().to_string();
        (socket, first)
    }
}

fn connector(gate: &Gate) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(gate.certificate_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Until the end of the stream, or of the head and the message behind it where the connection stays open.
async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut chunk)).await;
        match read {
            Ok(Ok(count)) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            _ => break,
        }
        let text = String::from_utf8_lossy(&bytes);
        let is_whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            head.starts_with("HTTP/1.1 101") || length.is_some_and(|length| body.len() >= length.parse().unwrap())
        });
        if is_whole {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("closed")
}

/// Asserts status and some text of an answer, and shows the whole of it if it is another.
#[track_caller]
fn assert_answer(answer: &str, expected: u16, part: &str) {
    assert!(status(answer) == expected.to_string() && answer.contains(part), "expected {expected} with '{part}', got: {answer}");
}
