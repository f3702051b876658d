//! What the upstream node says becomes what this node says. In: each record that the client has applied to its view. Out: the same
//! version of the same topic in the topic map, and states, faults and latencies of the link. Bounded by the topics that are carried.

use crate::clock::Clock;
use crate::metrics::{FeedMetrics, Metrics, TopicMetrics};
use crate::topic::{InstrumentTopics, Looped, NotCarried, Place, Stamp, TopicMap, Upstream};
use client::Update;
use feeds::adapter::FaultKind;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use wire::codec::FrameHeader;
use wire::event::{Cause, Channel, FeedState, Flags, Nanos, Status, Trade};
use wire::instrument::Instrument;
use wire::kind::Kind;
use wire::record::{Clock as TimeOf, Meta, RecordBody};
use wire::topic::TopicKey;
use wire::view::{View, ViewError};

/// Topics in one request: well within what a node reads as one.
const MAX_NAMES: usize = 128;
/// Venues about which it is logged that they are not carried; all are counted.
const MAX_LOGGED: usize = 16;

pub(super) struct Carry {
    map: Arc<TopicMap>,
    name: String,
    upstream: Upstream,
    metrics: Arc<FeedMetrics>,
    topic_metrics: Arc<TopicMetrics>,
    clock: Clock,
    /// By the upstream's topic id, of this connection.
    carried: HashMap<u32, Carried, foldhash::fast::RandomState>,
    /// By `venue:SYMBOL`; `None`: it has no place here.
    instruments: HashMap<String, Option<InstrumentTopics>>,
    /// A state that is good: it is told once the data that may come with it is there.
    good: Option<(InstrumentTopics, Channel, Status)>,
    /// Topics that came before their instrument, by its `venue:SYMBOL`.
    early: HashMap<String, Vec<Meta>>,
    /// Topics whose snapshot is to be asked for; and those that have no place here, so that they need not be sent.
    missing: BTreeSet<String>,
    unwanted: BTreeSet<String>,
    /// Venues that were found to be another feed's.
    taken: Vec<String>,
    /// Instrument topics that the upstream node grants, by its ids, however often; and how many of them came, on this connection.
    granted: HashSet<u32, foldhash::fast::RandomState>,
    all_granted: bool,
    /// How often the upstream node has yet to say that it is not starting.
    unsettled: u32,
    listed: usize,
    known: bool,
    is_lost: bool,
    cut_is_told: bool,
    /// When the frame in hand was read; 0 between frames.
    received: Nanos,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Carried {
    /// `None`: it has no place here.
    of: Option<InstrumentTopics>,
    kind: Kind,
    /// A snapshot came, so there is something that changes can be made to.
    placed: bool,
    /// The client's view was found to be wrong, or came before its instrument: no good state until the next snapshot.
    sick: bool,
}

impl Carry {
    pub(super) fn new(map: Arc<TopicMap>, name: &str, metrics: &Metrics, clock: Clock) -> Self {
        Self {
            upstream: map.add_upstream(name),
            map,
            name: name.to_owned(),
            metrics: metrics.feed(name),
            topic_metrics: metrics.topics.clone(),
            clock,
            carried: HashMap::default(),
            instruments: HashMap::new(),
            good: None,
            early: HashMap::new(),
            missing: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            taken: Vec::new(),
            granted: HashSet::default(),
            all_granted: false,
            unsettled: 0,
            listed: 0,
            known: false,
            is_lost: false,
            cut_is_told: false,
            received: 0,
            bytes: 0,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A connection is there. Its topics are good again one by one.
    pub(super) fn connected(&mut self) {
        self.carried.clear();
        self.early.clear();
        self.missing.clear();
        self.unwanted.clear();
        self.granted.clear();
        (self.all_granted, self.listed) = (false, 0);
        if std::mem::take(&mut self.is_lost) {
            self.publish_link(FeedState::Resyncing);
        }
    }

    /// Told once for each loss.
    pub(super) fn lost(&mut self, state: FeedState) {
        (self.good, self.received) = (None, 0);
        if !std::mem::replace(&mut self.is_lost, true) {
            self.publish_link(state);
            self.metrics.reconnects.add(1);
            self.map.unfollow(&self.upstream);
        }
    }

    /// Whose data it is that comes; an error if it is this node's own.
    pub(super) fn follow(&mut self, route: &[String]) -> Result<(), Looped> {
        self.map.follow(&self.upstream, route)
    }

    pub(super) fn refused(&mut self) {
        self.metrics.fault(FaultKind::Refused);
    }

    /// What it has at this moment it grants as soon as it is asked; what is listed later comes some time after it was listed.
    pub(super) fn greeted(&mut self, starting: bool) {
        self.unsettled = if starting { 2 } else { 0 };
    }

    pub(super) fn told_starting(&mut self, starting: bool) {
        self.unsettled = if starting { 2 } else { self.unsettled.saturating_sub(1) };
        self.look_if_known();
    }

    /// All that the upstream node has is listed here.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// These instrument topics are granted; `all`: of those that are there now, these were the last.
    pub(super) fn granted(&mut self, instruments: impl Iterator<Item = u32>, all: bool) {
        // One that is named twice is granted twice.
        self.granted.extend(instruments);
        self.all_granted |= all;
        self.look_if_known();
    }

    /// After the records of a frame.
    pub(super) fn on_frame(&mut self, header: &FrameHeader, bytes: u64) {
        self.tell_good();
        let received = std::mem::take(&mut self.received);
        self.metrics.messages.add(1);
        // The client counts on over all its connections; a new one begins anew.
        self.metrics.bytes.add(bytes.checked_sub(self.bytes).unwrap_or(bytes));
        self.bytes = bytes;
        if received != 0 {
            self.metrics.received(header.sent, received);
        }
        self.look_if_known();
    }

    /// Topics to ask a snapshot of, in one request.
    pub(super) fn take_missing(&mut self) -> Vec<String> {
        take_some(&mut self.missing)
    }

    /// Topics to unsubscribe, in one request. None before all is listed: what is unsubscribed is granted no more.
    pub(super) fn take_unwanted(&mut self) -> Vec<String> {
        if self.known { take_some(&mut self.unwanted) } else { Vec::new() }
    }

    pub(super) fn on_record(&mut self, update: &Update<'_>) {
        let now = self.clock.wall_ns();
        if self.received == 0 {
            self.received = now;
        }
        let id = update.record.topic;
        if let RecordBody::Meta(meta) = update.record.body {
            return self.on_meta(meta);
        }
        let Some(carried) = self.carried.get(&id).copied() else { return };
        if let (Kind::Instrument, RecordBody::Instrument(instrument)) = (carried.kind, update.record.body) {
            return self.on_instrument(update, instrument);
        }
        let (Some(of), Some(channel)) = (carried.of, channel(carried.kind)) else { return };
        if self.good.is_some_and(|(held, about, _)| (held, about) != (of, channel)) {
            self.tell_good();
        }
        match (update.record.body, update.outcome) {
            (RecordBody::State(status), _) => self.on_state(carried, of, channel, status),
            (RecordBody::Check { .. }, Err(ViewError::CheckMismatch { .. })) => self.on_mismatch(id, of, channel),
            (RecordBody::Check { .. } | RecordBody::Unknown { .. }, _) => {}
            (_, Err(error @ (ViewError::NoSnapshot | ViewError::WrongKind(_) | ViewError::Overflow))) => {
                tracing::warn!(venue = self.name, topic = update.meta.name, %error, "not carried");
                self.metrics.fault(FaultKind::BadMessage);
            }
            _ => self.on_data(update, carried, of, channel, now),
        }
    }

    fn on_meta(&mut self, meta: &Meta) {
        let Ok(key) = TopicKey::parse(&meta.name) else { return self.metrics.fault(FaultKind::BadMessage) };
        let instrument = format!("{}:{}", key.venue, key.symbol);
        let known = self.instruments.get(&instrument).copied();
        let is_new = !self.carried.contains_key(&meta.topic);
        match (known, channel(meta.kind)) {
            (Some(Some(of)), Some(_)) => self.map.relay_meta(&of, meta, is_new),
            (Some(None), Some(_)) if is_new => drop(self.unwanted.insert(meta.name.clone())),
            (None, Some(_)) => {
                let waiting = self.early.entry(instrument).or_default();
                waiting.retain(|former| former.topic != meta.topic);
                waiting.push(meta.clone());
            }
            // An instrument comes with its value.
            _ => {}
        }
        let of = known.flatten();
        // A later one, of the same epoch, has nothing that a view has to begin anew for.
        let before = self.carried.get(&meta.topic).filter(|before| before.of == of).copied();
        self.carried.insert(meta.topic, before.unwrap_or(Carried { of, kind: meta.kind, placed: false, sick: false }));
    }

    fn on_instrument(&mut self, update: &Update<'_>, instrument: &Instrument) {
        let (Ok(key), Some(place)) = (TopicKey::parse(&update.meta.name), place(update.view)) else { return };
        self.metrics.events.add(1);
        let result = self.map.relay_instrument(&self.upstream, &key.venue, instrument, place, update.record.time);
        let of = match result {
            Ok(of) => Some(of),
            Err(why) => {
                self.not_carried(&key, &why);
                None
            }
        };
        if let Some(carried) = self.carried.get_mut(&update.record.topic)
            && !std::mem::replace(&mut carried.placed, true)
        {
            self.listed += 1;
        }
        let name = format!("{}:{}", key.venue, key.symbol);
        let early = self.early.remove(&name).unwrap_or_default();
        let is_first = self.instruments.insert(name, of).flatten().is_none();
        self.metrics.instruments.add(i64::from(is_first && of.is_some()));
        early.iter().for_each(|meta| self.on_early(meta, of));
    }

    /// The instrument of this topic is there now. What came before it, data and state, went by.
    fn on_early(&mut self, meta: &Meta, of: Option<InstrumentTopics>) {
        if of.is_none() {
            self.unwanted.insert(meta.name.clone());
        } else if let Some(carried) = self.carried.get_mut(&meta.topic) {
            // What this meta says may be over by now: the snapshot brings its own.
            (carried.of, carried.sick) = (of, true);
            self.ask_for(&meta.name);
        }
    }

    fn not_carried(&mut self, key: &TopicKey, why: &NotCarried) {
        self.metrics.fault(FaultKind::Refused);
        if matches!(why, NotCarried::Full(_)) {
            self.topic_metrics.refused.add(1);
        }
        if self.taken.len() < MAX_LOGGED && !self.taken.contains(&key.venue) {
            tracing::error!(relay = self.name, venue = key.venue, symbol = key.symbol, %why, "not carried; nor others of its venue, maybe");
            self.taken.push(key.venue.clone());
        }
    }

    /// A bad state holds at once. A good one says that the data is, too.
    fn on_state(&mut self, carried: Carried, of: InstrumentTopics, channel: Channel, status: Status) {
        self.tell_good();
        match status.feed {
            // Told once it is healed.
            FeedState::Live | FeedState::Quiet | FeedState::Replay if carried.sick => {}
            FeedState::Live | FeedState::Quiet | FeedState::Replay => self.good = Some((of, channel, status)),
            FeedState::Starting | FeedState::Stale | FeedState::Resyncing | FeedState::Down => {
                self.map.relay_state(&of, channel, &status, &self.now());
            }
        }
    }

    fn tell_good(&mut self) {
        if let Some((of, channel, status)) = self.good.take() {
            self.map.relay_state(&of, channel, &status, &self.now());
        }
    }

    /// The client asks for a snapshot; until that comes the value is in doubt.
    fn on_mismatch(&mut self, id: u32, of: InstrumentTopics, channel: Channel) {
        self.metrics.fault(FaultKind::ChecksumMismatch);
        // That of others is told by now.
        self.good = None;
        let now = self.now();
        let status =
            Status { feed: FeedState::Resyncing, cause: Cause::ChecksumMismatch, since: now.published, ..Status::default() };
        self.map.relay_state(&of, channel, &status, &now);
        if let Some(carried) = self.carried.get_mut(&id) {
            carried.sick = true;
        }
    }

    fn on_data(&mut self, update: &Update<'_>, carried: Carried, of: InstrumentTopics, channel: Channel, now: Nanos) {
        let (record, meta) = (update.record, update.meta);
        let Some(place) = place(update.view) else { return };
        let snapshot = record.flags.has(Flags::SNAPSHOT);
        if !carried.placed && !snapshot {
            // The snapshot came before its instrument; or what was asked for has not come yet.
            return self.ask_for(&meta.name);
        }
        if !carried.placed && carried.sick {
            self.map.relay_meta(&of, meta, false);
        }
        let (event, received) = match meta.clock {
            TimeOf::Event => (record.time, self.received),
            TimeOf::Received => (0, record.time),
        };
        let stamp = Stamp { event, received, published: now, flags: record.flags };
        match record.body {
            RecordBody::Quote(change) => self.map.relay_quote(&of, &change, snapshot, place, &stamp),
            RecordBody::Trade(trade) => {
                let wire::record::TradeRecord { price, size, aggressor, id, aggregated, .. } = trade;
                let trade = Trade { price, size, aggressor, id, aggregated };
                match snapshot {
                    // At this place, or before it: gaps may lie between.
                    true => self.map.relay_tape(&of, Some(&trade), place, &stamp),
                    false => self.map.relay_trade(&of, &trade, place, &stamp),
                }
            }
            RecordBody::Tape => self.map.relay_tape(&of, None, place, &stamp),
            RecordBody::Gap { cause, missing } => self.map.relay_gap(&of, missing, cause, record.sequence, place, &stamp),
            // Not asked for; if it comes all the same, its trades are not here one by one.
            RecordBody::Summary(summary) => {
                self.map.relay_gap(&of, Some(summary.count), Cause::Overrun, record.sequence, place, &stamp);
            }
            RecordBody::Book { bids, asks } => {
                if self.map.relay_book(&of, [bids, asks], snapshot, place, &stamp).dropped > 0 {
                    self.is_cut(&meta.name);
                }
            }
            _ => return,
        }
        self.metrics.events.add(1);
        self.metrics.received_to_published.record_span_ns(self.received, now);
        if snapshot && (!carried.placed || carried.sick) {
            self.settle(update, of, channel);
        }
    }

    /// A first snapshot, or one that heals.
    fn settle(&mut self, update: &Update<'_>, of: InstrumentTopics, channel: Channel) {
        let Some(carried) = self.carried.get_mut(&update.record.topic) else { return };
        let was_sick = std::mem::take(&mut carried.sick);
        carried.placed = true;
        if let (true, Some(status)) = (was_sick, update.view.state) {
            self.map.relay_state(&of, channel, &status, &self.now());
        }
    }

    /// This node keeps less of a book than the upstream node.
    fn is_cut(&mut self, topic: &str) {
        self.metrics.fault(FaultKind::BufferFull);
        if !std::mem::replace(&mut self.cut_is_told, true) {
            let why = "it has more levels than topics.book_levels of this node allows";
            tracing::error!(venue = self.name, topic, why, "this book, and maybe others, is not the upstream node's");
        }
    }

    fn ask_for(&mut self, topic: &str) {
        if !self.missing.contains(topic) {
            self.metrics.fault(FaultKind::UnknownInstrument);
            self.missing.insert(topic.to_owned());
        }
    }

    fn look_if_known(&mut self) {
        if !self.known && self.unsettled == 0 && self.all_granted && self.listed >= self.granted.len() {
            self.known = true;
            self.map.venue_known(&self.name);
        }
    }

    fn publish_link(&self, state: FeedState) {
        let stamp = Stamp { received: self.clock.wall_ns(), ..self.now() };
        self.map.publish_link(&self.name, 0, state, Cause::UpstreamLost, &stamp);
    }

    fn now(&self) -> Stamp {
        Stamp { published: self.clock.wall_ns(), ..Stamp::default() }
    }
}

fn channel(kind: Kind) -> Option<Channel> {
    match kind {
        Kind::Quote => Some(Channel::Quote),
        Kind::Trade => Some(Channel::Trade),
        Kind::Book => Some(Channel::Book),
        Kind::Status | Kind::Instrument | Kind::Bar | Kind::Stats => None,
    }
}

fn take_some(names: &mut BTreeSet<String>) -> Vec<String> {
    std::iter::from_fn(|| names.pop_first()).take(MAX_NAMES).collect()
}

fn place(view: &View) -> Option<Place> {
    view.sequence.map(|seq| Place { epoch: view.epoch, seq })
}
