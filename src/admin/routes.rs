//! In: one request. Out: its answer. Bounded: bodies of requests are not read, answers are made from the metrics alone.

use super::Ready;
use crate::metrics::{FeedMetrics, Metrics, PressureLevel};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use std::sync::Arc;
use wire::event::FeedState;

pub(super) struct Context {
    pub metrics: Arc<Metrics>,
    pub ready: Ready,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Prometheus' text format, version and all.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn answer<B>(context: Arc<Context>, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => metrics(context).await,
        "/healthz" => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" => match (context.ready)() {
            Ok(()) => response(StatusCode::OK, TEXT, "ready\n".to_owned()),
            Err(reason) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {reason}\n")),
        },
        "/version" => response(StatusCode::OK, JSON, version().to_string() + "\n"),
        "/status" => response(StatusCode::OK, JSON, status(&context).to_string() + "\n"),
        "/" => response(StatusCode::OK, TEXT, "/metrics /healthz /readyz /version /status\n".to_owned()),
        _ => response(StatusCode::NOT_FOUND, TEXT, "not found; see /\n".to_owned()),
    }
}

/// Rendering takes some ms with many shards; accepting clients, on the same thread, must not wait for it.
async fn metrics(context: Arc<Context>) -> Response<Full<Bytes>> {
    match tokio::task::spawn_blocking(move || context.metrics.render()).await {
        Ok(text) => response(StatusCode::OK, METRICS, text),
        Err(error) => {
            tracing::error!(%error, "metrics could not be rendered");
            response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "metrics could not be rendered\n".to_owned())
        }
    }
}

fn version() -> serde_json::Value {
    json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") })
}

/// What an operator looks at first, without a Prometheus.
fn status(context: &Context) -> serde_json::Value {
    let metrics = &context.metrics;
    let ready = (context.ready)();
    let feeds: Vec<_> = metrics
        .feeds()
        .iter()
        .map(|(venue, feed)| {
            json!({
                "venue": venue,
                "channels": channels(feed),
                "instruments": feed.instruments.get(),
                "messages": feed.messages.get(),
                "events": feed.events.get(),
                "reconnects": feed.reconnects.get(),
                "faults": feed.fault_count(),
            })
        })
        .collect();
    let shards: Vec<_> = metrics
        .shards()
        .iter()
        .map(|shard| {
            let written = shard.published_to_written.read();
            let quantile_us = |quantile| written.quantile(quantile).map(|ns| ns / 1_000);
            json!({
                "sessions": shard.sessions.get(),
                "subscriptions": shard.subscriptions.get(),
                "frames": shard.frames.get(),
                "records": shard.records.get(),
                "published_to_written_us": { "p50": quantile_us(0.5), "p99": quantile_us(0.99), "p999": quantile_us(0.999) },
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": metrics.process.uptime_s() as u64,
        "ready": ready.is_ok(),
        "not_ready_because": ready.err(),
        "pressure": pressure(metrics),
        "topics": metrics.topics.topics.get(),
        "connections": metrics.gate.connections.get(),
        "feeds": feeds,
        "shards": shards,
    })
}

/// Name of the level that is in force.
fn pressure(metrics: &Metrics) -> &'static str {
    let level = usize::try_from(metrics.pressure.level.get()).ok().and_then(|level| PressureLevel::ALL.get(level));
    level.map_or("", |level| level.name())
}

/// How many quote, trade and book channels are in which state; states of none are left out.
fn channels(feed: &FeedMetrics) -> serde_json::Map<String, serde_json::Value> {
    let count = |state: &FeedState| (state.name().to_owned(), feed.channels(*state).into());
    FeedState::ALL.iter().filter(|state| feed.channels(**state) != 0).map(count).collect()
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
