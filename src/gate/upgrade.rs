//! In: a request for `/v1/stream`. Out: the encoding it shall speak and the 101 answer, or what is wrong with it.
//! Bounded by the request head. Every mistake gets an HTTP answer, because a silent close is the hardest error to find.

use super::answer::{Answer, Refused, text};
use super::auth::BEARER_PROTOCOL;
use hyper::body::Body;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use wire::request::{BINARY_SUBPROTOCOL, Encoding, JSON_SUBPROTOCOL};

/// A good upgrade request.
#[derive(Debug)]
pub(super) struct Upgrade {
    pub encoding: Encoding,
    /// To be named in the answer; `None` if the client offered none, which browsers and libraries then insist on.
    chosen: Option<&'static str>,
    accept: String,
}

pub(super) fn check<B: Body>(request: &Request<B>) -> Result<Upgrade, Refused> {
    let headers = request.headers();
    if request.version() != Version::HTTP_11 {
        return Err(Refused::bad_request("a WebSocket needs HTTP/1.1"));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") || !has_token(headers, &header::UPGRADE, "websocket") {
        let message =
            "a WebSocket address: send 'Connection: Upgrade' and 'Upgrade: websocket', or use /v1/sse without WebSocket";
        return Err(Refused::new(StatusCode::UPGRADE_REQUIRED, message).with(header::UPGRADE, "websocket"));
    }
    // A body before the frames would be read as frames by one side and skipped by a proxy.
    if headers.contains_key(header::TRANSFER_ENCODING) || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
    {
        return Err(Refused::bad_request("an upgrade request has no body"));
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION)? != Some("13") {
        let refused = Refused::new(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13");
        return Err(refused.with(header::SEC_WEBSOCKET_VERSION, "13"));
    }
    let key = single(headers, &header::SEC_WEBSOCKET_KEY)?.filter(|key| is_key(key));
    let key = key.ok_or_else(|| Refused::bad_request("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    let (encoding, chosen) = choose(headers)?;
    Ok(Upgrade { encoding, chosen, accept: derive_accept_key(key.as_bytes()) })
}

impl Upgrade {
    pub fn into_response<E>(self) -> Response<Answer<E>> {
        let mut response = text(StatusCode::SWITCHING_PROTOCOLS, String::new());
        *response.body_mut() = Answer::Whole(http_body_util::Full::default());
        let headers = response.headers_mut();
        headers.clear();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(chosen) = self.chosen {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
        }
        response
    }
}

/// The client's first offer that we know. Offering nothing means JSON, so that the simplest client works.
fn choose(headers: &HeaderMap) -> Result<(Encoding, Option<&'static str>), Refused> {
    let mut offered = false;
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let value = value.to_str().map_err(|_| Refused::bad_request("Sec-WebSocket-Protocol is not text"))?;
        for protocol in value.split(',').map(str::trim).filter(|protocol| !protocol.is_empty()) {
            if let Some(encoding) = [Encoding::Binary, Encoding::Json].into_iter().find(|known| known.subprotocol() == protocol) {
                return Ok((encoding, Some(encoding.subprotocol())));
            }
            // A token in disguise, see `auth`.
            offered |= !protocol.starts_with(BEARER_PROTOCOL);
        }
    }
    if offered {
        let message = format!("none of the offered subprotocols is known; known: {BINARY_SUBPROTOCOL}, {JSON_SUBPROTOCOL}");
        return Err(Refused::bad_request(message));
    }
    Ok((Encoding::Json, None))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// A header that two parties must not read differently, so it may be there once only.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (values.next(), value.to_str()) {
        (None, Ok(text)) => Ok(Some(text)),
        _ => Err(Refused::bad_request(format!("header '{name}' must be given once, as text"))),
    }
}

fn is_key(key: &str) -> bool {
    let Some(body) = key.strip_suffix("==") else { return false };
    body.len() == 22 && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}
