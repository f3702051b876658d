//! Another Tickwire as a venue. In: a feed block with its address. Out: its topics as topics of this node, each at the same place
//! `(epoch, sequence)`, for as long as the connection holds. Bounded: one connection and one view a carried topic; nothing queues here.
//!
//! A relay is a client whose views are topics: `clients/rust` connects, decodes, checks and heals, `carry` publishes what it hands out,
//! `driver` watches the connection. What keeps its places and what this node makes by itself: `docs/decisions/0015-relayed-places.md`.

mod carry;
mod driver;
#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::topic::TopicMap;
use carry::Carry;
use client::{Client, Options, Reconnect, Subscription, Trust};
use driver::Driver;
use feeds::error::FeedError;
use feeds::relay;
use feeds::run::Running;
use feeds::settings::{ChannelName, FeedSettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use wire::request::Since;

/// The name of the protocol in `FeedSettings::venue`.
pub const VENUE: &str = "tickwire";

/// Trades that are asked for before those to come, so that clients' cursors find their places here, and ours after a lost connection.
/// What is there already is known by its place. A ring of the default size; 10 KB an instrument and connection.
const TRADES_BEFORE: u32 = 1_024;

/// A quiet market says nothing; then this node asks.
const SILENCE: Duration = Duration::from_millis(6_000);

/// The future that relays as `settings` say, under `name`, until it is told to stop. What the operator got wrong is said now.
pub fn start(
    settings: &FeedSettings,
    name: &str,
    map: &Arc<TopicMap>,
    metrics: &Metrics,
    clock: Clock,
    stop: watch::Receiver<bool>,
) -> Result<Running, FeedError> {
    relay::check(settings)?;
    // Before the first connection: a wrong address or CA file does not mend itself.
    let client = client(settings)?;
    let silence = settings.silence_ms.map_or(SILENCE, Duration::from_millis);
    let carry = Carry::new(map.clone(), name, metrics, clock);
    let driver = Driver::new(settings.clone(), silence, carry);
    let mut stopped = stop;
    Ok(Box::pin(async move {
        tokio::select! {
            never = driver.run(client) => match never {},
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }))
}

/// A client that has not connected yet. Reads the token and the certificates: they may be others than the last time.
fn client(settings: &FeedSettings) -> Result<Client, FeedError> {
    let own = settings.tickwire.clone().unwrap_or_default();
    let mut options = Options::new(settings.ws_url.clone().unwrap_or_default());
    options.token = relay::token(settings)?;
    options.trust = own.ca_file.map_or(Trust::SystemRoots, Trust::CaFile);
    options.reconnect = Some(Reconnect::default());
    // From a place on, only what changed would come: nothing of what did not, and `Carry` could not say that it is there.
    options.resumes = false;
    Client::new(&options).map_err(|error| FeedError::Settings { venue: VENUE.to_owned(), reason: error.to_string() })
}

/// Instruments first: what stands behind a name must be listed before its data. Only full books: the others are made of them.
fn subscription(settings: &FeedSettings) -> Subscription {
    let channels = settings.channels.iter().map(|channel| match channel {
        ChannelName::Quote => ("quote", ""),
        ChannelName::Trade => ("trade", ""),
        ChannelName::Book => ("book", "/full"),
    });
    let kinds = [("instrument", "")].into_iter().chain(channels);
    let names = relay::carried(settings);
    let topics = kinds.flat_map(|(kind, depth)| names.iter().map(move |name| format!("{kind}/{name}{depth}")));
    Subscription { since: Some(Since(TRADES_BEFORE)), ..Subscription::new(topics) }
}
