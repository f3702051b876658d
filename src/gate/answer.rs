//! In: what a route decided. Out: an HTTP response with the headers every answer of ours carries.
//! Bounded: one line of text, one embedded file, or an event stream that bounds itself.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body that is there, or one that comes as things happen.
pub(super) enum Answer<E> {
    Whole(Full<Bytes>),
    Events(Pin<Box<E>>),
}

impl<E: Body<Data = Bytes, Error = Infallible>> Body for Answer<E> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Events(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(body) => body.size_hint(),
        }
    }
}

/// A request that gets no more than a status and a sentence.
#[derive(Debug)]
pub(super) struct Refused {
    pub status: StatusCode,
    pub message: String,
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl Refused {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn with(self, name: HeaderName, value: &'static str) -> Self {
        self.with_value(name, HeaderValue::from_static(value))
    }

    pub fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub fn into_response<E>(self) -> Response<Answer<E>> {
        let mut response = text(self.status, self.message);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// One line of plain text.
pub(super) fn text<E>(status: StatusCode, mut line: String) -> Response<Answer<E>> {
    line.push('\n');
    whole(status, "text/plain; charset=utf-8", Bytes::from(line))
}

pub(super) fn whole<E>(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Answer<E>> {
    respond(status, content_type, Answer::Whole(Full::new(body)))
}

pub(super) fn events<E>(body: E) -> Response<Answer<E>> {
    let mut response = respond(StatusCode::OK, "text/event-stream", Answer::Events(Box::pin(body)));
    // nginx and its kin would otherwise collect the stream before they pass it on.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn respond<E>(status: StatusCode, content_type: &'static str, body: Answer<E>) -> Response<Answer<E>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
