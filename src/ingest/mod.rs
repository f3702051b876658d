//! From a feed into the topic map. In: batches of one venue's events, on the feed's own thread. Out: new versions of topics, and the
//! latencies up to here. Bounded: one small entry an instrument; nothing is queued.

mod health;
#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::metrics::{FeedMetrics, Metrics, TopicMetrics};
use crate::topic::{InstrumentTopics, Stamp, TopicMap};
use feeds::adapter::{Fault, FaultKind, Sink};
use health::Health;
use std::sync::Arc;
use wire::event::{Batch, Event, EventBody};
use wire::instrument::Instrument;

/// The sink of one venue.
pub struct Ingest {
    map: Arc<TopicMap>,
    venue: String,
    metrics: Arc<FeedMetrics>,
    topic_metrics: Arc<TopicMetrics>,
    clock: Clock,
    /// By the feed's own index; `None` where the topic map was full.
    instruments: Vec<Option<InstrumentTopics>>,
    health: Health,
}

impl Ingest {
    pub fn new(map: Arc<TopicMap>, venue: &str, metrics: &Metrics, clock: Clock) -> Self {
        map.add_venue(venue);
        Self {
            map,
            venue: venue.to_owned(),
            metrics: metrics.feed(venue),
            topic_metrics: metrics.topics.clone(),
            clock,
            instruments: Vec::new(),
            health: Health::default(),
        }
    }

    fn list(&mut self, index: u32, instrument: &Instrument) {
        let index = index as usize;
        // Feeds number densely; one that does not must not make us allocate what it likes.
        if index > self.instruments.len() {
            return self.metrics.fault(FaultKind::UnknownInstrument);
        }
        let listed = match self.map.list(&self.venue, instrument) {
            Ok(topics) => Some(topics),
            Err(full) => {
                tracing::error!(venue = %self.venue, symbol = %instrument.symbol, error = %full, "instrument not listed");
                self.topic_metrics.refused.add(1);
                None
            }
        };
        if index < self.instruments.len() {
            self.instruments[index] = listed;
        } else {
            self.instruments.push(listed);
            self.metrics.instruments.add(1);
        }
    }

    fn publish_event(&mut self, batch: &Batch, event: &Event) {
        let now = self.clock.wall_ns();
        let stamp = Stamp { event: event.event_time, received: event.received, published: now, flags: event.flags };
        if let EventBody::Instrument(instrument) = &event.body {
            return self.list(event.instrument, instrument);
        }
        let topics = match self.instruments.get(event.instrument as usize) {
            Some(Some(topics)) => *topics,
            // Refused for want of room: counted when it was listed.
            Some(None) => return,
            None => return self.metrics.fault(FaultKind::UnknownInstrument),
        };
        let map = &self.map;
        match &event.body {
            EventBody::Instrument(_) => {}
            EventBody::Quote(quote) => map.publish_quote(&topics, quote, &stamp),
            EventBody::Trade(trade) => map.publish_trade(&topics, trade, &stamp),
            EventBody::Book { bids, asks, snapshot } => {
                map.publish_book(&topics, batch.levels(bids), batch.levels(asks), *snapshot, &stamp);
            }
            EventBody::State { channel, state, cause } => {
                map.publish_state(&topics, *channel, *state, *cause, &stamp);
                self.metrics.set_state(self.health.note(event.instrument, *channel, *state));
            }
            EventBody::Trading(trading) => map.publish_trading(&topics, *trading, &stamp),
            EventBody::Gap { channel, missing, cause } => map.publish_gap(&topics, *channel, *missing, *cause, &stamp),
        }
        self.metrics.events.add(1);
        self.metrics.received(event.event_time, event.received);
        self.metrics.received_to_published.record_span_ns(event.received, self.clock.wall_ns());
    }
}

impl Sink for Ingest {
    fn publish(&mut self, batch: &Batch) {
        for event in &batch.events {
            self.publish_event(batch, event);
        }
    }

    fn instruments_known(&mut self) {
        self.map.venue_known(&self.venue);
    }

    fn faults(&mut self, faults: &[Fault]) {
        self.metrics.faults(faults);
    }
}
