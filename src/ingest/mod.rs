//! From a feed into the topic map. In: batches of one venue's events, on the feed's own thread. Out: new versions of topics, and the
//! latencies up to here. Bounded: one small entry an instrument; nothing is queued.

#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::metrics::{FeedMetrics, Metrics, TopicMetrics};
use crate::topic::{InstrumentTopics, QuietAfter, Stamp, TopicMap};
use feeds::adapter::{Fault, FaultKind, Race, Sink};
use std::sync::Arc;
use wire::event::{Batch, Cause, Event, EventBody};
use wire::instrument::Instrument;

/// The sink of one venue.
pub struct Ingest {
    map: Arc<TopicMap>,
    venue: String,
    metrics: Arc<FeedMetrics>,
    topic_metrics: Arc<TopicMetrics>,
    clock: Clock,
    /// Data was received when it was recorded, which says nothing about latency.
    recorded: bool,
    /// The feed takes books but no quotes.
    quotes_from_books: bool,
    /// By the feed's own index; `None` where the topic map was full.
    instruments: Vec<Option<InstrumentTopics>>,
    /// The link of the next instrument to be announced.
    carrier: u32,
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
            recorded: false,
            quotes_from_books: false,
            instruments: Vec::new(),
            carrier: 0,
        }
    }

    /// What comes is a recording: its times are kept, and not measured.
    pub fn of_recording(self) -> Self {
        Self { recorded: true, ..self }
    }

    /// The feed has no quotes of its own: they are the best levels of its books, and as trustworthy as those. For instruments that are
    /// listed from now on.
    pub fn with_quotes_from_books(self) -> Self {
        self.map.set_quotes_from_books(&self.venue);
        Self { quotes_from_books: true, ..self }
    }

    /// A channel without an update for so long is quiet. For instruments that are listed from now on.
    pub fn quiet_after(self, quiet_after: QuietAfter) -> Self {
        self.map.set_quiet_after(&self.venue, quiet_after);
        self
    }

    fn list(&mut self, index: u32, instrument: &Instrument) {
        let index = index as usize;
        // Feeds number densely; one that does not must neither make us allocate what it likes nor take room in the map.
        if index > self.instruments.len() {
            return self.metrics.fault(FaultKind::UnknownInstrument);
        }
        let link = if index == self.instruments.len() { std::mem::take(&mut self.carrier) } else { 0 };
        let topics = match self.map.list_on(&self.venue, link, instrument) {
            Ok(topics) => Some(topics),
            Err(full) => {
                tracing::error!(venue = %self.venue, symbol = %instrument.symbol, error = %full, "instrument not listed");
                self.topic_metrics.refused.add(1);
                None
            }
        };
        if let Some(listed) = self.instruments.get_mut(index) {
            *listed = topics;
        } else {
            self.instruments.push(topics);
            self.metrics.instruments.add(1);
        }
    }

    fn publish_event(&mut self, batch: &Batch, event: &Event) {
        let now = self.clock.wall_ns();
        let stamp = Stamp { event: event.event_time, received: event.received, published: now, flags: event.flags };
        match &event.body {
            EventBody::Instrument(instrument) => return self.list(event.instrument, instrument),
            EventBody::Carrier { link } => {
                // Of one that is listed it is known, and holds for good.
                if event.instrument as usize == self.instruments.len() {
                    self.carrier = *link;
                }
                return;
            }
            EventBody::Link { link, state, cause } => {
                self.metrics.events.add(1);
                return self.map.publish_link(&self.venue, *link, *state, *cause, &stamp);
            }
            _ => {}
        }
        let topics = match self.instruments.get(event.instrument as usize) {
            Some(Some(topics)) => *topics,
            // Refused for want of room: counted when it was listed.
            Some(None) => return,
            None => return self.metrics.fault(FaultKind::UnknownInstrument),
        };
        let map = &self.map;
        match &event.body {
            EventBody::Instrument(_) | EventBody::Carrier { .. } | EventBody::Link { .. } => {}
            EventBody::Quote(quote) => map.publish_quote(&topics, quote, &stamp),
            EventBody::Trade(trade) => map.publish_trade(&topics, trade, &stamp),
            EventBody::Book { bids, asks, snapshot } => {
                let (bids, asks) = (batch.levels(bids), batch.levels(asks));
                if self.quotes_from_books {
                    map.publish_book_and_quote(&topics, bids, asks, *snapshot, &stamp);
                } else {
                    map.publish_book(&topics, bids, asks, *snapshot, &stamp);
                }
            }
            EventBody::State { channel, state, cause } => {
                map.publish_state(&topics, *channel, *state, *cause, &stamp);
            }
            EventBody::Trading(trading) => map.publish_trading(&topics, *trading, &stamp),
            EventBody::Gap { channel, missing, cause } => map.publish_gap(&topics, *channel, *missing, *cause, &stamp),
        }
        self.metrics.events.add(1);
        if self.recorded {
            return;
        }
        self.metrics.received(event.event_time, event.received);
        // Up to the stamp, where `published -> written` begins: the stages tile, and the clock is read once.
        self.metrics.received_to_published.record_span_ns(event.received, stamp.published);
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

    fn races(&mut self, races: &[Race]) {
        self.metrics.races(races);
    }

    fn message(&mut self, bytes: usize) {
        self.metrics.messages.add(1);
        self.metrics.bytes.add(bytes as u64);
    }

    fn line_lost(&mut self, _cause: Cause) {
        self.metrics.reconnects.add(1);
    }
}
