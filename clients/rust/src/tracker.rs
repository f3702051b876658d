//! In: data frames and control replies of one client, over all its connections. Out: exact views, and each record with what it did.
//! Bounded: one view a topic the server announced, given up when its subscription ends.

use crate::stats::Stats;
use std::collections::{BTreeMap, HashMap};
use wire::codec::{DecodeError, Decoder, FrameHeader};
use wire::event::{Flags, Nanos};
use wire::record::{Clock, Meta, Record, RecordBody};
use wire::request::{Encoding, Reply, TopicResult};
use wire::view::{Applied, View, ViewError};

/// One record, after it was applied.
#[derive(Debug)]
pub struct Update<'a> {
    pub header: &'a FrameHeader,
    pub meta: &'a Meta,
    pub record: &'a Record<'a>,
    /// The topic's view with this record in it.
    pub view: &'a View,
    pub outcome: Result<Applied, ViewError>,
}

/// The protocol without I/O.
#[derive(Debug)]
pub struct Tracker {
    decoder: Decoder,
    next_frame: u64,
    views: BTreeMap<String, View>,
    /// Names by topic id, of this connection.
    names: HashMap<u32, String>,
    pub stats: Stats,
}

/// A frame that breaks the connection's continuity.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("frame {expected} was due, {got} came")]
    FrameNumber { expected: u64, got: u64 },
}

impl Tracker {
    pub fn new(encoding: Encoding) -> Self {
        Self {
            decoder: Decoder::new(encoding),
            next_frame: 1,
            views: BTreeMap::new(),
            names: HashMap::new(),
            stats: Stats::default(),
        }
    }

    /// A new connection: ids and frame numbers begin anew, views stay for the resume.
    pub fn connected(&mut self) {
        self.decoder = Decoder::new(self.decoder.encoding());
        self.next_frame = 1;
        self.names.clear();
        self.stats.connections += 1;
    }

    pub fn on_reply(&mut self, reply: &Reply) {
        self.stats.replies += 1;
        if let Reply::Ack { results, .. } = reply {
            for result in results {
                if let TopicResult::Ended { topic } = result {
                    self.forget(topic);
                }
            }
        }
    }

    /// Gives up the views of a topic or pattern.
    pub fn forget(&mut self, topic: &str) {
        let pattern = wire::topic::Pattern::parse(topic).ok();
        let ended = |name: &str| {
            let matches =
                || wire::topic::TopicKey::parse(name).is_ok_and(|key| pattern.as_ref().is_some_and(|p| p.matches(&key)));
            name == topic || matches()
        };
        self.views.retain(|name, _| !ended(name));
        self.names.retain(|_, name| !ended(name));
    }

    /// Takes one frame in. `now` is the wall clock, for latencies.
    pub fn on_frame(&mut self, bytes: &[u8], now: Nanos, mut each: impl FnMut(&Update<'_>)) -> Result<FrameHeader, Problem> {
        let Self { decoder, views, names, stats, next_frame } = self;
        stats.frames += 1;
        stats.bytes += bytes.len() as u64;
        let decoded = decoder.decode(bytes, &mut |header, meta, record| {
            if matches!(record.body, RecordBody::Meta(_)) {
                names.insert(meta.topic, meta.name.clone());
                if !views.contains_key(&meta.name) {
                    views.insert(meta.name.clone(), View::new(meta));
                }
            }
            // No name: a topic that was given up while its last records were on their way.
            let Some(view) = names.get(&record.topic).and_then(|name| views.get_mut(name)) else { return };
            let outcome = view.apply(record);
            count(stats, meta, record, &outcome, now);
            each(&Update { header, meta, record, view, outcome });
        });
        let header = decoded.inspect_err(|_| stats.decode_errors += 1)?;
        stats.sent.record(header.sent, now);
        let expected = std::mem::replace(next_frame, header.number + 1);
        if header.number != expected {
            stats.unexplained_gaps += 1;
            return Err(Problem::FrameNumber { expected, got: header.number });
        }
        Ok(header)
    }

    /// The view of a topic, by its canonical name.
    pub fn view(&self, topic: &str) -> Option<&View> {
        self.views.get(topic)
    }

    pub fn views(&self) -> impl Iterator<Item = (&str, &View)> {
        self.views.iter().map(|(name, view)| (name.as_str(), view))
    }

    /// The newest meta of a topic on this connection.
    pub fn meta(&self, topic: &str) -> Option<&Meta> {
        let id = self.names.iter().find(|(_, name)| *name == topic).map(|(id, _)| *id)?;
        self.decoder.meta(id)
    }

    /// `(epoch, sequence)` of those of `topics` that have a view.
    pub fn places(&self, topics: &[String]) -> BTreeMap<String, (u64, u64)> {
        let place = |name: &String| {
            let view = self.views.get(name)?;
            Some((name.clone(), (view.epoch, view.sequence?)))
        };
        topics.iter().filter_map(place).collect()
    }
}

fn count(stats: &mut Stats, meta: &Meta, record: &Record<'_>, outcome: &Result<Applied, ViewError>, now: Nanos) {
    stats.record(&record.body);
    match outcome {
        Ok(Applied::Snapshot) => stats.snapshots += 1,
        Ok(Applied::Delta { updates }) => {
            stats.merged += updates.saturating_sub(1);
            if record.time != 0 && !record.flags.has(Flags::SNAPSHOT) {
                let latency = if meta.clock == Clock::Event { &mut stats.event } else { &mut stats.received };
                latency.record(record.time, now);
            }
        }
        Ok(Applied::Gap { missing, .. }) => {
            stats.gaps += 1;
            stats.missing = stats.missing.saturating_add(missing.unwrap_or(0));
        }
        Ok(Applied::Checked) => stats.checks_ok += 1,
        Ok(Applied::Meta | Applied::State | Applied::Unknown) => {}
        Err(ViewError::CheckMismatch { .. }) => stats.check_mismatches += 1,
        Err(_) => stats.unexplained_gaps += 1,
    }
}
