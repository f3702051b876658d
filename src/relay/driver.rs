//! The connection to the upstream node. In: settings. Out: what comes, handed to `Carry`; and its loss, once, until it is back.
//! Bounded: one message in hand, one question a pause; pauses between attempts grow.

use super::carry::Carry;
use client::{Client, ClientError, Step};
use feeds::settings::FeedSettings;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use wire::event::FeedState;
use wire::request::{Hello, Reply, TopicResult};

/// The protocol that both sides must speak.
const PROTOCOL: &str = "tickwire.v1";
/// After an answer that does not change by itself: a token that is refused, a loop.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// Well within the commands that a node allows by default.
const STARTING_PINGS: Duration = Duration::from_millis(500);
/// Between requests about single topics; with the pings, within the same.
const ASKS_EVERY: Duration = Duration::from_secs(1);
/// A node that greets and then says nothing is not to be tried again as fast as that can be found out.
const LONGEST_SILENT_PAUSE: Duration = Duration::from_secs(30);
/// After the end of a session that was good: a token has expired, and there may be another one in its place.
const ENDED_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Driver {
    settings: FeedSettings,
    silence: Duration,
    carry: Carry,
    /// When topics were last asked for, or given up.
    asked: Option<Instant>,
    /// Since when the upstream node is there; and the pause after it fell silent soon after that.
    connected: Instant,
    silent_pause: Duration,
}

/// Why a client is given up, and when to try with another one.
struct GivenUp {
    state: FeedState,
    why: String,
    pause: Duration,
}

impl Driver {
    pub(super) fn new(settings: FeedSettings, silence: Duration, carry: Carry) -> Self {
        Self { settings, silence, carry, asked: None, connected: Instant::now(), silent_pause: Duration::ZERO }
    }

    pub(super) async fn run(mut self, first: Client) -> Infallible {
        let mut client = Ok(first);
        loop {
            let GivenUp { state, why, pause } = match client {
                Ok(client) => self.use_up(client).await,
                Err(error) => not_wanted(error),
            };
            let (venue, url) = (self.carry.name(), &self.settings.ws_url);
            tracing::error!(venue, url, why, retry_s = pause.as_secs(), "not relaying");
            if pause == REFUSED_PAUSE {
                self.carry.refused();
            }
            self.carry.lost(state);
            sleep(pause).await;
            client = super::client(&self.settings).map_err(|error| error.to_string());
        }
    }

    /// The client connects again by itself. Until nothing but a new one will do.
    async fn use_up(&mut self, mut client: Client) -> GivenUp {
        let id = client.subscribe(super::subscription(&self.settings));
        let mut heard = Instant::now();
        let mut asked = heard;
        loop {
            let step = if client.is_connected() {
                let (due, end) = (asked + self.pings_every(), heard + self.silence);
                match timeout_at(due.min(end), client.next(|update| self.carry.on_record(update))).await {
                    Ok(step) => step,
                    Err(_) if Instant::now() >= end => {
                        let why = format!("nothing came for {} ms, no answer either", self.silence.as_millis());
                        return GivenUp { state: FeedState::Stale, why, pause: self.pause_after_silence(heard) };
                    }
                    Err(_) => {
                        client.ping();
                        asked = Instant::now();
                        continue;
                    }
                }
            } else {
                // Connecting has time limits of its own.
                client.next(|update| self.carry.on_record(update)).await
            };
            heard = Instant::now();
            let given_up = match step {
                Ok(step) => self.on_step(&mut client, id, step).err(),
                Err(error) => Some(refused(&error)),
            };
            if let Some(given_up) = given_up {
                return given_up;
            }
            self.ask_about_topics(&mut client);
            // Also in a lively market: the answer tells where its data comes from.
            if heard >= asked + self.pings_every() && client.is_connected() {
                client.ping();
                asked = heard;
            }
        }
    }

    /// More than once in the time that counts as silence; and while the upstream node starts, so that this one is ready soon after it.
    fn pings_every(&self) -> Duration {
        let longest = self.silence / 2;
        if self.carry.is_known() { longest } else { longest.min(STARTING_PINGS) }
    }

    fn on_step(&mut self, client: &mut Client, id: u64, step: Step) -> Result<(), GivenUp> {
        match step {
            Step::Connected(hello) => {
                self.greeted(&hello)?;
                tracing::info!(venue = self.carry.name(), url = self.settings.ws_url, node = hello.node, "relaying");
                self.carry.connected();
                self.connected = Instant::now();
            }
            Step::Frame(header) => {
                self.carry.on_frame(&header, client.stats().bytes);
            }
            Step::Reply(reply) => self.on_reply(id, reply)?,
            Step::Qos(qos) => {
                let cause = qos.cause.map(|cause| format!("{cause:?}"));
                tracing::warn!(venue = self.carry.name(), floor = %qos.floor, cause, "what slows the relay at the upstream node");
            }
            Step::Aged(_) => {}
            Step::Disconnected { why, retry_in } => {
                tracing::warn!(venue = self.carry.name(), %why, retry_ms = retry_in.as_millis(), "the upstream node is lost");
                self.carry.lost(state_of(&why));
            }
        }
        Ok(())
    }

    /// None if the connection was good for as long as it takes to find out that one is not.
    fn pause_after_silence(&mut self, heard: Instant) -> Duration {
        self.silent_pause = match heard.duration_since(self.connected) < self.silence {
            true => (self.silent_pause * 2).clamp(Duration::from_secs(1), LONGEST_SILENT_PAUSE),
            false => Duration::ZERO,
        };
        self.silent_pause
    }

    fn ask_about_topics(&mut self, client: &mut Client) {
        if !client.is_connected() || self.asked.is_some_and(|asked| asked.elapsed() < ASKS_EVERY) {
            return;
        }
        let (missing, unwanted) = (self.carry.take_missing(), self.carry.take_unwanted());
        if missing.is_empty() && unwanted.is_empty() {
            return;
        }
        self.asked = Some(Instant::now());
        if !missing.is_empty() {
            client.get(&missing.iter().map(String::as_str).collect::<Vec<_>>());
        }
        if !unwanted.is_empty() {
            client.unsubscribe(&unwanted.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    fn greeted(&mut self, hello: &Hello) -> Result<(), GivenUp> {
        if hello.protocol != PROTOCOL {
            let Hello { node, protocol, version, .. } = hello;
            return Err(not_wanted(format!("node '{node}' (version {version}) speaks '{protocol}', not {PROTOCOL}")));
        }
        self.carry.greeted(hello.starting);
        self.follow(&hello.route)
    }

    /// Where the data comes from.
    fn follow(&mut self, route: &[String]) -> Result<(), GivenUp> {
        let looped = "its data comes from this very node: the relays form a loop; take one of them out";
        self.carry.follow(route).map_err(|_| not_wanted(looped.to_owned()))
    }

    fn on_reply(&mut self, subscribed: u64, reply: Reply) -> Result<(), GivenUp> {
        match reply {
            Reply::Ack { id, results, more, .. } => {
                for result in &results {
                    if let TopicResult::Refused { topic, code, message } = result {
                        tracing::error!(venue = self.carry.name(), topic, code, message, "the upstream node refuses a topic");
                        self.carry.refused();
                    }
                }
                self.carry.granted(results.iter().filter_map(live_instrument), id == Some(subscribed) && !more);
            }
            Reply::Error { code, message, .. } => {
                tracing::error!(venue = self.carry.name(), code, message, "the upstream node refuses a request");
                self.carry.refused();
            }
            Reply::Pong { route, starting, .. } => {
                self.carry.told_starting(starting);
                self.follow(&route)?;
            }
            Reply::Notice { code, message, .. } => {
                tracing::warn!(venue = self.carry.name(), code, message, "the upstream node says");
            }
            _ => {}
        }
        Ok(())
    }
}

fn live_instrument(result: &TopicResult) -> Option<u32> {
    match result {
        TopicResult::Live { topic, topic_id, .. } if topic.starts_with("instrument/") => Some(*topic_id),
        _ => None,
    }
}

/// What the same client with the same words will not get.
fn refused(error: &ClientError) -> GivenUp {
    let pause = if matches!(error, ClientError::Closed { .. }) { ENDED_PAUSE } else { REFUSED_PAUSE };
    GivenUp { state: state_of(error), why: error.to_string(), pause }
}

fn not_wanted(why: String) -> GivenUp {
    GivenUp { state: FeedState::Down, why, pause: REFUSED_PAUSE }
}

fn state_of(error: &ClientError) -> FeedState {
    if matches!(error, ClientError::Silent { .. }) { FeedState::Stale } else { FeedState::Down }
}
