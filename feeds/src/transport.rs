//! Sockets of a feed. In: addresses. Out: WebSocket connections and the bodies of REST answers. TLS by rustls with the system's
//! roots; plain `ws://` and `http://` for loopback only. Bounded by time-outs, message and response sizes.

use crate::adapter::FetchError;
use crate::error::FeedError;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::Uri;
use hyper::header::{ACCEPT_ENCODING, CONNECTION, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, tungstenite};

/// `exchangeInfo` of a venue with some thousand symbols is 10 to 20 MB.
const MAX_RESPONSE_BYTES: usize = 64 << 20;
/// Keys are 64 characters; a larger file is no key.
const MAX_KEY_BYTES: u64 = 4_096;
const AGENT: &str = concat!("tickwire/", env!("CARGO_PKG_VERSION"));

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub type Socket = WebSocketStream<Box<dyn Io>>;

#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("{0}")]
    Address(&'static str),
    #[error("no address for {host}: {error}")]
    Resolve { host: String, error: std::io::Error },
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no TLS for this feed")]
    NoTls,
    #[error("WebSocket handshake: {0}")]
    Handshake(String),
    #[error("no connection within {0} ms")]
    Timeout(u128),
}

/// An API key and the header it goes into. Its value says nothing of itself when it is printed.
#[derive(Clone, Debug)]
pub struct Key {
    header: HeaderName,
    value: HeaderValue,
}

impl Key {
    /// The error names the file, but never what is in it.
    pub fn from_file(header: &'static str, file: &Path) -> Result<Self, String> {
        let mut text = String::new();
        let read = std::fs::File::open(file).and_then(|file| file.take(MAX_KEY_BYTES).read_to_string(&mut text));
        read.map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
        let bad = || format!("{}: holds no key: one line of letters and digits", file.display());
        let mut value = HeaderValue::from_str(text.trim()).ok().filter(|value| !value.is_empty()).ok_or_else(bad)?;
        value.set_sensitive(true);
        Ok(Self { header: HeaderName::from_static(header), value })
    }
}

/// Where to connect to, taken out of a URL.
#[derive(Debug)]
struct Address {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Address {
    fn parse(url: &str) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "not a URL")?;
        let tls = match uri.scheme_str() {
            Some("wss" | "https") => true,
            Some("ws" | "http") => false,
            _ => return Err("starts with none of wss://, https://, ws://, http://"),
        };
        let authority = uri.authority().ok_or("names no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !tls && !loopback {
            return Err("unencrypted addresses are for loopback only");
        }
        Ok(Self {
            tls,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            host,
        })
    }
}

/// Checks an address from the settings and says whether it wants TLS.
pub fn check(venue: &str, url: &str, schemes: [&str; 2]) -> Result<bool, FeedError> {
    let bad = |reason| FeedError::BadAddress { venue: venue.to_owned(), url: url.to_owned(), reason };
    let address = Address::parse(url).map_err(bad)?;
    if !schemes.iter().any(|scheme| url.starts_with(&format!("{scheme}://"))) {
        return Err(bad(if schemes[0] == "wss" {
            "starts with neither wss:// nor ws://"
        } else {
            "starts with neither https:// nor http://"
        }));
    }
    Ok(address.tls)
}

pub struct Transport {
    tls: Option<TlsConnector>,
    /// Of the streams. REST requests of ours are all public and go without.
    key: Option<Key>,
    connect_timeout: Duration,
    fetch_timeout: Duration,
    /// Last known addresses, for when the resolver fails. As many entries as the feed has hosts: two.
    known: Mutex<HashMap<(String, u16), Vec<SocketAddr>>>,
}

impl Transport {
    pub fn new(tls: bool, key: Option<Key>, connect_timeout: Duration, fetch_timeout: Duration) -> Result<Arc<Self>, FeedError> {
        let tls = if tls { Some(connector(native_roots()?)?) } else { None };
        Ok(Arc::new(Self { tls, key, connect_timeout, fetch_timeout, known: Mutex::new(HashMap::new()) }))
    }

    pub async fn websocket(self: Arc<Self>, url: String, max_message_bytes: usize) -> Result<Socket, TransportError> {
        let connect = async {
            let stream = self.connect(&Address::parse(&url).map_err(TransportError::Address)?).await?;
            let config = websocket_config(max_message_bytes);
            let handshake = |error: tungstenite::Error| TransportError::Handshake(error.to_string());
            let mut request = url.as_str().into_client_request().map_err(handshake)?;
            if let Some(Key { header, value }) = &self.key {
                request.headers_mut().insert(header, value.clone());
            }
            let (socket, _) =
                tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await.map_err(handshake)?;
            Ok(socket)
        };
        match tokio::time::timeout(self.connect_timeout, connect).await {
            Ok(result) => result,
            Err(_) => Err(TransportError::Timeout(self.connect_timeout.as_millis())),
        }
    }

    /// One GET (or empty POST) on a connection of its own: snapshots are rare, and a kept connection would only die unnoticed.
    pub async fn fetch(self: Arc<Self>, url: String, post: bool) -> Result<Vec<u8>, FetchError> {
        let timeout = self.fetch_timeout;
        match tokio::time::timeout(timeout, self.fetch_unhurried(&url, post)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::Timeout(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))),
        }
    }

    async fn fetch_unhurried(&self, url: &str, post: bool) -> Result<Vec<u8>, FetchError> {
        let io = |error: &dyn std::fmt::Display| FetchError::Io(error.to_string());
        let address = Address::parse(url).map_err(|error| io(&error))?;
        let stream = self.connect(&address).await.map_err(|error| io(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| io(&error))?;
        // Ends with the response or when this future is dropped, because `sender` and the body go with it.
        tokio::spawn(connection);
        let method = if post { hyper::Method::POST } else { hyper::Method::GET };
        let request = hyper::Request::builder()
            .method(method)
            .uri(&address.path)
            .header(HOST, &address.authority)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT_ENCODING, "identity")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| io(&error))?;
        let response = sender.send_request(request).await.map_err(|error| io(&error))?;
        if response.status() != hyper::StatusCode::OK {
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            return Err(FetchError::Status {
                status: response.status().as_u16(),
                retry_after_s: retry_after.and_then(|seconds| seconds.trim().parse().ok()),
            });
        }
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                FetchError::Io(format!("more than {MAX_RESPONSE_BYTES} bytes"))
            } else {
                io(&error)
            }
        })?;
        Ok(body.to_bytes().into())
    }

    async fn connect(&self, address: &Address) -> Result<Box<dyn Io>, TransportError> {
        let addresses = self.resolve(address).await?;
        let stream = TcpStream::connect(&addresses[..]).await?;
        // Subscriptions and pongs are small and should not wait for each other.
        stream.set_nodelay(true)?;
        if !address.tls {
            return Ok(Box::new(stream));
        }
        let connector = self.tls.as_ref().ok_or(TransportError::NoTls)?;
        let name = ServerName::try_from(address.host.clone()).map_err(|_| TransportError::Address("not a host name"))?;
        Ok(Box::new(connector.connect(name, stream).await?))
    }

    async fn resolve(&self, address: &Address) -> Result<Vec<SocketAddr>, TransportError> {
        let key = (address.host.clone(), address.port);
        // The resolver runs on tokio's blocking threads, so a slow one stops no feed.
        match tokio::net::lookup_host((address.host.as_str(), address.port)).await {
            Ok(found) => {
                let found: Vec<SocketAddr> = found.collect();
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
                Ok(found)
            }
            Err(error) => {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
                known.ok_or_else(|| TransportError::Resolve { host: address.host.clone(), error })
            }
        }
    }
}

fn native_roots() -> Result<rustls::RootCertStore, FeedError> {
    let mut roots = rustls::RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let why = loaded.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
        return Err(FeedError::Tls(format!("no root certificates: {why}")));
    }
    Ok(roots)
}

/// The provider is named, because a process in which two are compiled in has no default.
fn connector(roots: rustls::RootCertStore) -> Result<TlsConnector, FeedError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FeedError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn websocket_config(max_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        // A burst of some hundred messages in one read. It is zeroed before each read, so not larger.
        .read_buffer_size(64 * 1024)
        // Subscriptions are 3 KB each and flushed at once.
        .write_buffer_size(4 * 1024)
        // What is not flushed is a venue that does not read: 256 KB, then the line counts as broken.
        .max_write_buffer_size(256 * 1024)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes))
        // Applies to servers only; written out because the default is relied upon.
        .accept_unmasked_frames(false)
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
