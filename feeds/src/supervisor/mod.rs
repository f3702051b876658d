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
use crate::transport::{self, Key, Transport};
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

/// Makes the future that runs `adapter`. `settings` tell which addresses and which key it will use, so that TLS and key are ready or
/// refused now.
pub fn start(
    adapter: Box<dyn Adapter>,
    settings: &FeedSettings,
    sink: Box<dyn Sink>,
    stop: watch::Receiver<bool>,
    options: Options,
) -> Result<Running, FeedError> {
    let own = registry::venue(&settings.venue)?;
    let ws = transport::check(&settings.venue, settings.ws_url.as_deref().unwrap_or(own.ws_url), ["wss", "ws"])?;
    let rest = transport::check(&settings.venue, settings.rest_url.as_deref().unwrap_or(own.rest_url), ["https", "http"])?;
    let timing = options.timing;
    let key = key(adapter.as_ref(), settings)?;
    let transport = Transport::new(ws || rest, key, timing.connect_timeout, timing.fetch_timeout)?;
    Ok(Box::pin(driver::Driver::new(adapter, transport, sink, stop, options)))
}

/// Is the API key there, if the venue asks for one?
pub fn check_key(adapter: &dyn Adapter, settings: &FeedSettings) -> Result<(), FeedError> {
    key(adapter, settings).map(drop)
}

fn key(adapter: &dyn Adapter, settings: &FeedSettings) -> Result<Option<Key>, FeedError> {
    let Some(header) = adapter.caps().key_header else { return Ok(None) };
    let wrong = |reason| FeedError::ApiKey { venue: adapter.venue().to_owned(), reason };
    let missing = || wrong("name a file that holds it, api_key_file".to_owned());
    let file = settings.api_key_file.as_ref().ok_or_else(missing)?;
    Key::from_file(header, file).map(Some).map_err(wrong)
}
