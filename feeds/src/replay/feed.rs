//! A recording as a feed. In: settings with files and a speed. Out: the recorded market, marked as `replay`, into a sink.
//! Bounded: one entry at a time; as many steps at once as `Waits` allows.

use super::waits::Waits;
use super::{Pace, Player, ReplayError, Survey};
use crate::adapter::{Output, Sink};
use crate::error::FeedError;
use crate::registry;
use crate::run::Running;
use crate::settings::{FeedSettings, ReplaySettings};
use tokio::sync::watch;
use wire::event::{Batch, Cause, Channel, Event, EventBody, FeedState, Flags, Nanos};
use wire::instrument::Instrument;

/// Reads the recording once and makes the feed; says everything that is wrong with either.
pub fn start(settings: &FeedSettings, sink: Box<dyn Sink>, stop: watch::Receiver<bool>) -> Result<Running, FeedError> {
    let feed = ReplayFeed::new(settings, sink)?;
    let mut stopped = stop;
    Ok(Box::pin(async move {
        tokio::select! {
            () = feed.run() => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }))
}

/// The settings of an adapter that takes everything there is in a recording; symbols and channels that are named keep their say.
pub fn adapter_settings(base: &FeedSettings, venue: &str, survey: &Survey) -> FeedSettings {
    let mut settings = base.clone();
    settings.venue = venue.to_owned();
    settings.replay = None;
    if settings.symbols.is_empty() {
        settings.symbols = survey.notes.symbols.keys().map(|native| format!("!{native}")).collect();
    }
    settings.depth = settings.depth.or(survey.notes.depth);
    settings.aggregated_trades |= survey.only_aggregated_trades();
    settings
}

struct ReplayFeed {
    venue: String,
    replay: ReplaySettings,
    settings: FeedSettings,
    pace: Pace,
    player: Option<Player>,
    out: Publisher,
}

/// Passes batches on, with what a replay has to change in them.
pub(crate) struct Publisher {
    pub(crate) sink: Box<dyn Sink>,
    batch: Batch,
    /// By index; announced again unchanged (a repeat) they are left out, so that topics keep their epoch.
    announced: Vec<Instrument>,
    /// How many links carry them.
    links: u32,
    pub(crate) known: bool,
    pub(crate) now: Nanos,
}

impl ReplayFeed {
    fn new(settings: &FeedSettings, sink: Box<dyn Sink>) -> Result<Self, FeedError> {
        let complaint = |reason: String| FeedError::Settings { venue: "replay".to_owned(), reason };
        let replay = settings.replay.clone().ok_or_else(|| complaint("needs a [feeds.replay] block".to_owned()))?;
        if replay.files.is_empty() {
            return Err(complaint("names no files".to_owned()));
        }
        let pace = Pace::new(replay.speed)
            .ok_or_else(|| complaint(format!("speed {} is neither 0 nor between 0.001 and 1000000", replay.speed)))?;
        let venue = registry::venue(&replay.venue)?.name.to_owned();
        let survey = registry::survey(&venue, &replay.files).map_err(|error| complaint(error.to_string()))?;
        if survey.notes.symbols.is_empty() {
            return Err(complaint(ReplayError::NoData(venue).to_string()));
        }
        for tear in &survey.tears {
            tracing::warn!("{tear}");
        }
        if !survey.notes.has_listing {
            tracing::info!(venue, "no list of instruments in the recording: tick, lot and names are made from its data");
        }
        let settings = adapter_settings(settings, &venue, &survey);
        let adapter = registry::adapter(&venue, &settings)?;
        let player = Player::new(adapter, &replay.files, survey).map_err(|error| complaint(error.to_string()))?;
        let out = Publisher::new(sink);
        Ok(Self { venue, replay, settings, pace, player: Some(player), out })
    }

    async fn run(mut self) {
        loop {
            if let Err(error) = self.play().await {
                tracing::error!(venue = self.venue, %error, "the replay ends here");
                break;
            }
            if !self.replay.repeat {
                tracing::info!(venue = self.venue, "the recording is over");
                break;
            }
        }
        self.out.down();
        std::future::pending::<()>().await;
    }

    async fn play(&mut self) -> Result<(), ReplayError> {
        let mut player = match self.player.take() {
            Some(player) => player,
            None => {
                self.out.restart();
                self.again()?
            }
        };
        let mut waits = Waits::new(self.pace);
        while let Some(time) = player.next_time() {
            waits.until(time).await;
            self.out.now = time;
            if let Some(bytes) = player.step(&mut |output| self.out.publish(output))? {
                self.out.sink.message(bytes);
            }
            if player.adapter().instruments_known() && !std::mem::replace(&mut self.out.known, true) {
                self.out.sink.instruments_known();
            }
        }
        Ok(())
    }

    /// From the start again, with an adapter that remembers nothing.
    fn again(&self) -> Result<Player, ReplayError> {
        let survey = registry::survey(&self.venue, &self.replay.files)?;
        let adapter = registry::adapter(&self.venue, &self.settings).map_err(|_| ReplayError::NoData(self.venue.clone()))?;
        Player::new(adapter, &self.replay.files, survey)
    }
}

impl Publisher {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink, batch: Batch::default(), announced: Vec::new(), links: 1, known: false, now: 0 }
    }

    pub(crate) fn publish(&mut self, output: &Output) {
        if !output.faults.is_empty() {
            self.sink.faults(&output.faults);
        }
        if output.batch.is_empty() {
            return;
        }
        self.batch.clear();
        self.batch.levels.extend_from_slice(&output.batch.levels);
        for event in &output.batch.events {
            if let EventBody::Instrument(instrument) = &event.body
                && !self.announce(event.instrument as usize, instrument)
            {
                continue;
            }
            if let EventBody::Carrier { link } = event.body {
                self.links = self.links.max(link + 1);
            }
            let mut event = event.clone();
            if let EventBody::State { state: state @ FeedState::Live, .. } = &mut event.body {
                *state = FeedState::Replay;
            }
            self.batch.events.push(event);
        }
        if !self.batch.is_empty() {
            self.sink.publish(&self.batch);
        }
    }

    /// False if it is known just like this.
    fn announce(&mut self, index: usize, instrument: &Instrument) -> bool {
        if self.announced.get(index) == Some(instrument) {
            return false;
        }
        if self.announced.len() <= index {
            self.announced.resize_with(index + 1, Instrument::default);
        }
        self.announced[index] = instrument.clone();
        true
    }

    /// Nothing more will come.
    pub(crate) fn down(&mut self) {
        self.batch.clear();
        for link in 0..self.links {
            self.put(0, EventBody::Link { link, state: FeedState::Down, cause: Cause::Disconnected });
        }
        self.sink.publish(&self.batch);
    }

    /// The tape jumps back to its start.
    pub(crate) fn restart(&mut self) {
        self.batch.clear();
        for instrument in 0..self.announced.len() as u32 {
            self.put(instrument, EventBody::Gap { channel: Channel::Trade, missing: None, cause: Cause::Disconnected });
        }
        self.sink.publish(&self.batch);
    }

    fn put(&mut self, instrument: u32, body: EventBody) {
        let event = Event { instrument, event_time: 0, received: self.now, flags: Flags::default(), body };
        self.batch.events.push(event);
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
