//! Runs one adapter against the world. In: an adapter, settings, a sink, a stop signal. Out: a future that connects, subscribes,
//! fetches, watches for silence, backs off, and hands every message's events to the sink on the spot.
//!
//! One future on one thread: sockets are polled, a message is read, decoded and published before the next one is looked at, so no
//! queue lies between the socket and the sink. Bounded: `driver::MESSAGES_A_TURN` a turn, the limits of `line` and `requests`.

mod breaker;
mod driver;
mod line;
mod pacing;
mod requests;

pub(crate) use pacing::BackOff;

use crate::adapter::{Adapter, FetchError, Line, Now, Sink};
use crate::error::FeedError;
use crate::registry;
use crate::run::Running;
use crate::settings::FeedSettings;
use crate::transport::{self, Transport};
use std::time::Duration;
use tokio::sync::watch;
use wire::event::Cause;

/// Sees what goes over the wire, for recordings. Called on the feed's thread; must not block.
pub trait Tap: Send {
    fn opened(&mut self, _now: Now, _line: Line, _url: &str) {}
    fn received(&mut self, now: Now, line: Line, bytes: &[u8]);
    fn sent(&mut self, _now: Now, _line: Line, _text: &str) {}
    fn response(&mut self, _now: Now, _url: &str, _result: &Result<Vec<u8>, FetchError>) {}
    fn closed(&mut self, _now: Now, _line: Line, _cause: Cause, _reason: &str) {}
}

/// Pauses and time-outs. The defaults are for real venues; tests have less patience.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Pause before the first new attempt to connect; doubles up to `back_off_last`, with full jitter.
    pub back_off_first: Duration,
    pub back_off_last: Duration,
    /// A line that stayed open this long starts again with the first pause.
    pub settled_after: Duration,
    pub connect_timeout: Duration,
    pub fetch_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            back_off_first: Duration::from_millis(500),
            back_off_last: Duration::from_secs(30),
            settled_after: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            fetch_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Default)]
pub struct Options {
    pub timing: Timing,
    pub tap: Option<Box<dyn Tap>>,
}

/// Makes the future that runs `adapter`. `settings` tell which addresses it will use, so that TLS is ready or refused now.
pub fn start(
    adapter: Box<dyn Adapter>,
    settings: &FeedSettings,
    sink: Box<dyn Sink>,
    stop: watch::Receiver<bool>,
    options: Options,
) -> Result<Running, FeedError> {
    let own = registry::venue(&settings.venue)?;
    let mut ws = transport::check(&settings.venue, settings.ws_url.as_deref().unwrap_or(own.ws_url), ["wss", "ws"])?;
    for url in &settings.ws_urls {
        ws |= transport::check(&settings.venue, url, ["wss", "ws"])?;
    }
    let rest = transport::check(&settings.venue, settings.rest_url.as_deref().unwrap_or(own.rest_url), ["https", "http"])?;
    let timing = options.timing;
    let transport = Transport::new(ws || rest, timing.connect_timeout, timing.fetch_timeout)?;
    Ok(Box::pin(driver::Driver::new(adapter, transport, sink, stop, options)))
}
