//! Addresses, and the client ends of TLS, WebSocket and HTTP against small servers on loopback.

use super::*;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

#[test]
fn plain_addresses_are_for_loopback_only() {
    let check_ws = |url| check("binance", url, ["wss", "ws"]).map_err(|error| error.to_string());
    assert_eq!(check_ws("wss://stream.binance.com:9443"), Ok(true));
    for url in ["ws://127.0.0.1:9/stream", "ws://localhost:9", "ws://[::1]:9"] {
        assert_eq!(check_ws(url), Ok(false), "{url}");
    }
    assert!(check_ws("ws://example.com").unwrap_err().contains("loopback only"));
    assert!(check_ws("https://example.com").unwrap_err().contains("neither wss:// nor ws://"));
    assert!(check_ws("ftp://example.com").unwrap_err().contains("none of"));
    assert!(check_ws("not an address").unwrap_err().contains("not a URL"));
    let address = Address::parse("wss://stream.binance.com/stream?a=b").unwrap();
    assert_eq!((address.port, &*address.path, &*address.authority), (443, "/stream?a=b", "stream.binance.com"));
}

fn transport(tls: Option<TlsConnector>) -> Arc<Transport> {
    let timeout = Duration::from_millis(2_000);
    Arc::new(Transport { tls, key: None, connect_timeout: timeout, fetch_timeout: timeout, known: Mutex::new(HashMap::new()) })
}

/// Answers every request with these bytes; hangs after them if they are empty.
async fn http(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0u8; 1_024];
            let _ = stream.read(&mut request).await;
            if answer.is_empty() {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

async fn get(answer: &'static str) -> Result<Vec<u8>, FetchError> {
    let port = http(answer).await;
    transport(None).fetch(format!("http://127.0.0.1:{port}/x?y=z"), false).await
}

#[tokio::test]
async fn answers_are_bodies_or_typed_errors() {
    assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await, Ok(b"hello".to_vec()));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    assert_eq!(get(chunked).await, Ok(b"hello".to_vec()));
    let slow_down = get("HTTP/1.1 429 Too Many\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(slow_down, Err(FetchError::Status { status: 429, retry_after_s: Some(17) }));
    let moved = get("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(moved, Err(FetchError::Status { status: 301, retry_after_s: None }));
    assert!(matches!(get("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx").await, Err(FetchError::Io(_))));
    assert!(matches!(get("no HTTP at all\r\n\r\n").await, Err(FetchError::Io(_))));
    assert_eq!(get("").await, Err(FetchError::Timeout(2_000)));
    assert!(matches!(transport(None).fetch("http://127.0.0.1:1/".into(), false).await, Err(FetchError::Io(_))));
}

#[tokio::test]
async fn speaks_tls_to_a_server_it_can_verify() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = own.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { continue };
            let _ = futures_util::SinkExt::send(&mut socket, Message::text("hello")).await;
        }
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let url = format!("wss://localhost:{port}/stream");
    let trusting = transport(Some(connector(roots).unwrap()));
    let mut socket = trusting.websocket(url.clone(), 1 << 20).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    // The same server, without a reason to trust it.
    let mut others = rustls::RootCertStore::empty();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    others.add(other.cert.der().clone()).unwrap();
    let wary = transport(Some(connector(others).unwrap()));
    assert!(matches!(wary.websocket(url.clone(), 1 << 20).await, Err(TransportError::Io(_))));
    assert!(matches!(transport(None).websocket(url, 1 << 20).await, Err(TransportError::NoTls)));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let result = transport(None).websocket(format!("ws://127.0.0.1:{port}/"), 1_024).await;
    assert!(matches!(result, Err(TransportError::Timeout(2_000))));
}

#[tokio::test]
async fn the_last_known_address_outlives_the_resolver() {
    let transport = transport(None);
    let known = vec![SocketAddr::from(([127, 0, 0, 1], 9))];
    let address =
        Address { tls: false, host: "no-such-host.invalid".into(), port: 9, authority: String::new(), path: String::new() };
    assert!(matches!(transport.resolve(&address).await, Err(TransportError::Resolve { .. })));
    transport.known.lock().unwrap().insert((address.host.clone(), 9), known.clone());
    assert_eq!(transport.resolve(&address).await.unwrap(), known);
}
