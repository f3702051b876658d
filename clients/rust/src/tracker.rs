//! In: data frames and control replies of one client, over all its connections. Out: exact views, and each record with what it did.
//! Bounded: one view a topic the server announced, given up when its subscription ends.

use crate::heal::Heals;
use crate::stats::Stats;
use std::collections::{BTreeMap, HashMap};
use wire::answer::{Aged, Old, Qos};
use wire::codec::{DecodeError, Decoder, FrameHeader};
use wire::event::{Flags, Nanos};
use wire::kind::Kind;
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
    heals: Heals,
    /// Trade topics without a view that go on from these places, `(epoch, sequence)`, with their first record.
    begins: HashMap<String, (u64, u64)>,
    /// Topics that go on though there is no view to go on from.
    blank: Vec<String>,
    /// Topics whose data is older than the client allows, by their ids.
    aged: HashMap<u32, Old>,
    qos: Option<Qos>,
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
            heals: Heals::default(),
            begins: HashMap::new(),
            blank: Vec::new(),
            aged: HashMap::new(),
            qos: None,
            stats: Stats::default(),
        }
    }

    /// A new connection: ids and frame numbers begin anew, views stay for the resume, unless they are known to be wrong.
    pub fn connected(&mut self) {
        self.decoder = Decoder::new(self.decoder.encoding());
        self.next_frame = 1;
        self.names.clear();
        self.begins.clear();
        self.blank.clear();
        self.aged.clear();
        self.qos = None;
        for name in self.heals.take() {
            self.views.remove(&name);
        }
        self.stats.connections += 1;
    }

    pub fn on_reply(&mut self, reply: &Reply) {
        self.stats.replies += 1;
        match reply {
            Reply::Ack { id, results, .. } => results.iter().for_each(|result| self.on_result(*id, result)),
            Reply::Error { id: Some(id), .. } => self.heals.refused(*id, None),
            Reply::Qos(qos) => self.qos = Some(qos.clone()),
            Reply::Aged(Aged { old, young }) => {
                young.iter().for_each(|id| drop(self.aged.remove(id)));
                self.aged.extend(old.iter().map(|old| (old.topic_id, old.clone())));
            }
            _ => {}
        }
    }

    fn on_result(&mut self, id: Option<u64>, result: &TopicResult) {
        match result {
            TopicResult::Ended { topic } => self.forget(topic),
            TopicResult::Live { replaces: Some(former), .. } | TopicResult::Paused { replaces: Some(former), .. } => {
                self.forget(former)
            }
            TopicResult::Live { topic, from: Some(place), .. } => self.goes_on_from(topic, *place),
            TopicResult::Refused { topic, .. } => {
                if let Some(id) = id {
                    self.heals.refused(id, Some(topic));
                }
            }
            _ => {}
        }
    }

    /// The place that a ticket named may be behind the view. Values are absolute, so what comes from there applies on top of it.
    fn goes_on_from(&mut self, topic: &str, (epoch, sequence): (u64, u64)) {
        if let Some(view) = self.views.get_mut(topic).filter(|view| view.epoch == epoch && view.sequence.is_some()) {
            view.sequence = Some(sequence);
        } else if wire::topic::TopicKey::parse(topic).is_ok_and(|key| key.kind == Kind::Trade) {
            // Trades are news whatever was before them: only the place is needed.
            self.views.remove(topic);
            self.begins.insert(topic.to_owned(), (epoch, sequence));
        } else {
            self.blank.push(topic.to_owned());
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
        self.aged.retain(|_, old| !ended(&old.topic));
        self.heals.retain(|name| !ended(name));
        self.begins.retain(|name, _| !ended(name));
        self.blank.retain(|name| !ended(name));
    }

    /// Takes one frame in. `now` is the wall clock, for latencies.
    pub fn on_frame(&mut self, bytes: &[u8], now: Nanos, mut each: impl FnMut(&Update<'_>)) -> Result<FrameHeader, Problem> {
        let Self { decoder, views, names, heals, begins, stats, next_frame, .. } = self;
        stats.frames += 1;
        stats.bytes += bytes.len() as u64;
        let decoded = decoder.decode(bytes, &mut |header, meta, record| {
            if matches!(record.body, RecordBody::Meta(_)) {
                names.insert(meta.topic, meta.name.clone());
                if !views.contains_key(&meta.name) {
                    let begin = begins.remove(&meta.name).filter(|(epoch, _)| *epoch == meta.epoch);
                    let mut view = View::new(meta);
                    view.sequence = begin.map(|(_, sequence)| sequence);
                    views.insert(meta.name.clone(), view);
                }
            }
            // No name: a topic that was given up while its last records were on their way.
            let Some((name, view)) = names.get(&record.topic).and_then(|name| Some((name, views.get_mut(name)?))) else { return };
            let is_sick = heals.has(name);
            if is_sick && !heals_with(view, record) {
                if matches!(record.body, RecordBody::Check { .. }) {
                    heals.disagreed(name);
                }
                stats.withheld += 1;
                return;
            }
            let outcome = view.apply(record);
            count(stats, meta, record, &outcome, now);
            if is_sick && outcome == Ok(Applied::Snapshot) && heals.healed(name) {
                stats.healed += 1;
            }
            let disagrees = matches!(outcome, Err(ViewError::CheckMismatch { .. }));
            each(&Update { header, meta, record, view, outcome });
            if disagrees {
                heals.disagreed(name);
                // Of trades, nothing that was handed out is wrong: only the place is, and the snapshot sets it.
                if view.kind != Kind::Trade {
                    let state = view.state;
                    *view = View::new(meta);
                    view.state = state;
                }
            }
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

    /// Topics whose views disagreed with a check: a `get` with `heal` is to be sent for them; `heal_asked` takes its id.
    pub fn heals_wanted(&self) -> Vec<String> {
        self.heals.wanted().map(str::to_owned).collect()
    }

    pub fn heal_asked(&mut self, id: u64) {
        self.stats.heals += self.heals.wanted().count() as u64;
        self.heals.asked(id);
    }

    /// Topics of a ticket that go on from a place of which there is no view: a `get` is to be sent for them; `snapshots_asked` takes its
    /// id. Until it is answered nothing of them is handed out.
    pub fn take_blank(&mut self) -> Vec<String> {
        std::mem::take(&mut self.blank)
    }

    pub fn snapshots_asked(&mut self, topics: Vec<String>, id: u64) {
        self.stats.heals += topics.len() as u64;
        topics.into_iter().for_each(|topic| self.heals.ask(topic, id));
    }

    /// What slows the session; none as long as nothing did on this connection.
    pub fn qos(&self) -> Option<&Qos> {
        self.qos.as_ref()
    }

    /// Topics whose data is older than their `max_age`.
    pub fn aged(&self) -> impl Iterator<Item = &Old> {
        self.aged.values()
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

    /// Where the trade topics stand, for a ticket: from an older place their trades would come twice. All other values are absolute.
    pub fn trade_places(&self) -> BTreeMap<String, (u64, u64)> {
        let trades = self.views.iter().filter(|(_, view)| view.kind == Kind::Trade);
        trades.filter_map(|(name, view)| Some((name.clone(), (view.epoch, view.sequence?)))).collect()
    }
}

/// A view that disagreed takes nothing on top of it until a snapshot comes. Trades are news all the same.
fn heals_with(view: &View, record: &Record<'_>) -> bool {
    match record.body {
        RecordBody::Meta(_) | RecordBody::State(_) => true,
        RecordBody::Check { .. } => view.kind == Kind::Trade,
        _ => view.kind == Kind::Trade || record.flags.has(Flags::SNAPSHOT),
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
