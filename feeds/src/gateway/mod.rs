//! Databento's live gateway as a feed. In: settings, a key, a sink. Out: the market of one dataset, over one TCP connection that is opened
//! again whenever it breaks and goes on where it broke. Bounded: one buffer of 64 KiB, and what market and resumption keep.
//!
//! The protocol is plain TCP. The key does not travel: the gateway asks a question that only its owner can answer.

mod connection;
mod driver;

use crate::adapter::Sink;
use crate::error::FeedError;
use crate::run::Running;
use crate::settings::FeedSettings;
use crate::venue::databento::{self, Request};
use std::time::Duration;
use tokio::sync::watch;

/// Schemas whose records become something here. (`ohlcv-*`, `statistics` and `imbalance` would only cost traffic.)
const SCHEMAS: &[&str] = &[
    "mbo",
    "mbp-1",
    "mbp-10",
    "trades",
    "tbbo",
    "bbo-1s",
    "bbo-1m",
    "cmbp-1",
    "cbbo-1s",
    "cbbo-1m",
    "tcbbo",
    "definition",
    "status",
];
const STYPES: &[&str] = &["raw_symbol", "parent", "continuous", "instrument_id"];
/// What the gateway accepts for its heartbeat.
const HEARTBEAT_S: std::ops::RangeInclusive<u32> = 5..=1_800;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub connect: Duration,
    /// From the connection to the gateway's yes.
    pub authentication: Duration,
    /// Silence beyond the heartbeat after which the connection is given up.
    pub silence: Duration,
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// After a refusal, which is seldom over soon.
    pub refused_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            authentication: Duration::from_secs(30),
            silence: Duration::from_secs(10),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            refused_pause: Duration::from_secs(60),
        }
    }
}

/// An API key, which no log shows.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// What `settings` ask for and where; or what is wrong with them.
pub fn check(settings: &FeedSettings) -> Result<(Request, String), FeedError> {
    let complaint = |reason: String| FeedError::Settings { venue: "databento".to_owned(), reason };
    let own = settings.databento.clone().unwrap_or_default();
    if own.dataset.is_empty() || !own.dataset.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
        return Err(complaint("needs files, or a dataset such as \"GLBX.MDP3\" for the live gateway".to_owned()));
    }
    if own.schemas.is_empty() {
        return Err(complaint(format!("names no schemas; known: {}", SCHEMAS.join(", "))));
    }
    if let Some(unknown) = own.schemas.iter().find(|schema| !SCHEMAS.contains(&schema.as_str())) {
        return Err(complaint(format!("'{unknown}' is no schema that is read here; known: {}", SCHEMAS.join(", "))));
    }
    if !STYPES.contains(&own.stype_in.as_str()) {
        return Err(complaint(format!("stype_in '{}' is none of {}", own.stype_in, STYPES.join(", "))));
    }
    if !HEARTBEAT_S.contains(&own.heartbeat_s) {
        return Err(complaint(format!("heartbeat_s must be {} to {}", HEARTBEAT_S.start(), HEARTBEAT_S.end())));
    }
    if settings.symbols.is_empty() {
        return Err(FeedError::NoSymbols { venue: "databento".to_owned() });
    }
    databento::market(settings)?;
    let symbols = settings.symbols.iter().map(|symbol| symbol.strip_prefix('!').unwrap_or(symbol).to_owned());
    let host = || format!("{}.lsg.databento.com:13000", own.dataset.to_ascii_lowercase().replace('.', "-"));
    let address = own.gateway.clone().unwrap_or_else(host);
    let request = Request {
        dataset: own.dataset,
        schemas: own.schemas,
        stype_in: own.stype_in,
        symbols: symbols.collect(),
        heartbeat_s: own.heartbeat_s,
    };
    Ok((request, address))
}

/// The feed, with the key of the environment.
pub fn start(settings: &FeedSettings, sink: Box<dyn Sink>, stop: watch::Receiver<bool>) -> Result<Running, FeedError> {
    check(settings)?;
    let name = settings.databento.clone().unwrap_or_default().key_env;
    let key = std::env::var(&name).ok().and_then(|text| Key::new(&text)).ok_or_else(|| FeedError::Settings {
        venue: "databento".to_owned(),
        reason: format!("the environment variable {name} holds no API key"),
    })?;
    start_with(settings, key, Timing::default(), sink, stop)
}

/// The feed, with a key and limits of the caller's own.
pub fn start_with(
    settings: &FeedSettings,
    key: Key,
    timing: Timing,
    sink: Box<dyn Sink>,
    stop: watch::Receiver<bool>,
) -> Result<Running, FeedError> {
    let (request, address) = check(settings)?;
    // The gateway sends what was asked for: there is nothing to choose from.
    let market = databento::market(&FeedSettings { symbols: Vec::new(), ..settings.clone() })?;
    let driver = driver::Driver::new(request, address, key, timing, market, sink);
    let mut stopped = stop;
    Ok(Box::pin(async move {
        tokio::select! {
            never = driver.run() => match never {},
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }))
}
