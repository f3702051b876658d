//! In: options. Out: one WebSocket over TLS to the server (to this machine also without), its handshake done. Bounded by the connect
//! timeout and the message size.

use crate::error::ClientError;
use crate::options::Options;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{Response, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self};

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub type Socket = WebSocketStream<Box<dyn Io>>;

/// A server, checked once: connecting again needs no parsing.
#[derive(Clone)]
pub struct Target {
    request: Request,
    host: String,
    port: u16,
    /// `None`: in the clear, for a proxy on this machine that does the TLS.
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
    websocket: WebSocketConfig,
}

impl Target {
    pub fn new(options: &Options) -> Result<Self, ClientError> {
        let bad = |why: &str| ClientError::Url { url: options.url.clone(), why: why.to_owned() };
        let uri: Uri = options.url.parse().map_err(|error| bad(&format!("{error}")))?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "wss" | "ws"));
        let scheme = scheme.ok_or_else(|| bad("the scheme must be wss"))?;
        let host = uri.host().ok_or_else(|| bad("there is no host"))?.to_owned();
        if scheme == "ws" && !is_loopback(&host) {
            return Err(bad("the scheme must be wss; ws is for loopback addresses only"));
        }
        let has_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
        let port = match uri.port_u16() {
            Some(port) => port,
            None if has_port => return Err(bad("the port is not a number up to 65535")),
            None if scheme == "wss" => 443,
            None => 80,
        };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = if matches!(uri.path(), "" | "/") { "/v1/stream" } else { uri.path() };
        let full = format!("{scheme}://{host}:{port}{path}{query}");
        let mut request = full.into_client_request().map_err(|error| bad(&format!("{error}")))?;
        let headers = request.headers_mut();
        let protocol = header::HeaderValue::from_static(options.encoding.subprotocol());
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        if let Some(token) = &options.token {
            let mut value = header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        // The library reads into its buffer and hands messages out whole; we write little.
        let websocket = WebSocketConfig::default()
            .read_buffer_size(64 << 10)
            .write_buffer_size(4 << 10)
            .max_message_size(Some(options.max_message_bytes))
            .max_frame_size(Some(options.max_message_bytes));
        let tls = if scheme == "wss" { Some(crate::tls::config(&options.trust)?) } else { None };
        Ok(Self { request, host, port, tls, timeout: options.connect_timeout, websocket })
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub async fn connect(&self) -> Result<Socket, ClientError> {
        tokio::time::timeout(self.timeout, self.open())
            .await
            .unwrap_or_else(|_| Err(ClientError::Timeout { address: self.address(), after: self.timeout }))
    }

    async fn open(&self) -> Result<Socket, ClientError> {
        // Brackets belong to the URL, not to the address.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let connected = TcpStream::connect((host, self.port)).await;
        let tcp = connected.map_err(|why| ClientError::Connect { address: self.address(), why })?;
        // Requests are small and wait for nothing.
        let _ = tcp.set_nodelay(true);
        let stream: Box<dyn Io> = match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|error| ClientError::Url { url: self.request.uri().to_string(), why: error.to_string() })?;
                let tls = TlsConnector::from(tls.clone()).connect(name, tcp).await;
                Box::new(tls.map_err(|why| ClientError::Tls { address: self.address(), why })?)
            }
            None => Box::new(tcp),
        };
        let opened = tokio_tungstenite::client_async_with_config(self.request.clone(), stream, Some(self.websocket)).await;
        opened.map(|(socket, _)| socket).map_err(|error| match error {
            tungstenite::Error::Http(response) => refused(&response),
            other => ClientError::Handshake(other.to_string()),
        })
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The server's own sentence, if it gave one.
fn refused(response: &Response<Option<Vec<u8>>>) -> ClientError {
    let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let message = match body.trim().lines().next() {
        Some(line) => line.chars().filter(|c| !c.is_control()).take(300).collect(),
        None => response.status().canonical_reason().unwrap_or("no reason given").to_owned(),
    };
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    ClientError::Refused { status: response.status().as_u16(), message, retry_after: retry_after.map(Duration::from_secs) }
}
