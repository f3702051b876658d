//! The REST requests of a feed. In: what the adapter asks for. Out: exactly one result each, under the venue's weight limit and
//! behind a circuit breaker. Bounded by the adapter: it has only so many requests open.

use super::breaker::Breaker;
use super::pacing::Bucket;
use crate::adapter::{Fetch, FetchError};
use crate::transport::Transport;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub struct Response {
    pub fetch: Fetch,
    pub url: String,
    pub result: Result<Vec<u8>, FetchError>,
}

struct Waiting {
    fetch: Fetch,
    url: String,
    weight: u32,
    post: bool,
}

pub struct Requests {
    transport: Arc<Transport>,
    weight: Bucket,
    breaker: Breaker,
    waiting: VecDeque<Waiting>,
    running: FuturesUnordered<Pin<Box<dyn Future<Output = Response> + Send>>>,
}

impl Requests {
    pub fn new(transport: Arc<Transport>, weight_per_minute: u32) -> Self {
        Self {
            transport,
            weight: Bucket::new(weight_per_minute, Duration::from_secs(60)),
            breaker: Breaker::default(),
            waiting: VecDeque::new(),
            running: FuturesUnordered::new(),
        }
    }

    pub fn ask(&mut self, fetch: Fetch, url: String, weight: u32, post: bool) {
        self.waiting.push_back(Waiting { fetch, url, weight, post });
    }

    /// The next result. What must wait for its weight is looked at again on the next call, so call it on every tick.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response> {
        while let Some(next) = self.waiting.front() {
            let now = Instant::now();
            let refused = self.breaker.admit(now).err();
            if refused.is_none() && !self.weight.take_weight(next.weight) {
                break;
            }
            let Some(Waiting { fetch, url, post, .. }) = self.waiting.pop_front() else { break };
            if let Some(ms) = refused {
                return Poll::Ready(Response { fetch, url, result: Err(FetchError::CircuitOpen(ms)) });
            }
            self.breaker.sent(now);
            let transport = Arc::clone(&self.transport);
            self.running.push(Box::pin(async move {
                let result = transport.fetch(url.clone(), post).await;
                Response { fetch, url, result }
            }));
        }
        match self.running.poll_next_unpin(cx) {
            Poll::Ready(Some(response)) => {
                self.breaker.outcome(Instant::now(), &response.result);
                Poll::Ready(response)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
