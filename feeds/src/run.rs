//! The way into a feed. In: settings, a sink, a stop signal. Out: a future that runs the feed until it is told to stop.
//! Everything an operator can get wrong is said before the future exists.

use crate::adapter::Sink;
use crate::error::FeedError;
use crate::files;
use crate::settings::FeedSettings;
use crate::supervisor;
use std::future::Future;
use std::pin::Pin;
use tokio::sync::watch;

/// A feed at work. Runs on the caller's current-thread runtime.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Checks `settings` and makes the feed. The future ends when `stop` becomes true (or its sender is gone).
pub fn start(settings: &FeedSettings, sink: Box<dyn Sink>, stop: watch::Receiver<bool>) -> Result<Running, FeedError> {
    if let Some((venue, files)) = files::of(settings) {
        return files::start(venue, &files, settings, sink, stop);
    }
    match settings.venue.as_str() {
        // These speak no venue's protocol and bring their own loop.
        "sim" => crate::sim::start(settings, sink, stop),
        "replay" => crate::replay::start(settings, sink, stop),
        "itch" => crate::itch::start(settings, sink, stop),
        "iex" => Err(FeedError::Settings { venue: "iex".to_owned(), reason: "needs a [feeds.iex] block with files".to_owned() }),
        "tickwire" => Err(FeedError::Settings { venue: "tickwire".to_owned(), reason: "is relayed by a server only".to_owned() }),
        "databento" => crate::gateway::start(settings, sink, stop),
        venue => {
            let adapter = crate::registry::adapter(venue, settings)?;
            supervisor::start(adapter, settings, sink, stop, supervisor::Options::default())
        }
    }
}
