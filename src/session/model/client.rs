//! A simulated client: its link, its decoder, its views. In: frames and answers. Out: a panic at the first record that is not right.
//! Bounded by what its connection may hold.

use super::held::{Held, interval};
use super::operation::ClientSetup;
use super::reference::Account;
use super::tape::{Stream, Telling};
use super::tickets::Ticket;
use super::world::{MS, World};
use crate::config;
use crate::session::SessionCore;
use std::collections::{BTreeMap, BTreeSet};
use wire::answer::{Aged, Limiting, OldCause, Qos};
use wire::codec::Decoder;
use wire::event::Flags;
use wire::kind::{Depth, Kind};
use wire::record::{Meta, Record, RecordBody};
use wire::request::{MaxAge, Pace, Reply};
use wire::view::{Applied, View};

/// A frame that may have no room for a trade behind its quote.
const SMALL_FRAME: usize = 16_384;

pub struct Client {
    pub setup: ClientSetup,
    pub connection: Option<Connection>,
    /// What it held when its last connection ended.
    pub kept: BTreeMap<u32, View>,
    pub saved: BTreeMap<u32, View>,
    pub ticket: Option<Ticket>,
}

pub struct Connection {
    pub core: SessionCore,
    pub account: Account,
    pub is_stalled: bool,
    decoder: Decoder,
    frames: u64,
    opened: i64,
    /// Records and bytes so far.
    sent: (u64, u64),
    /// The client's own limit of bytes, since when it holds, and what was sent since.
    budget: (u32, i64, u64),
    limits: config::Session,
    entitled_ms: u32,
    node_ms: u32,
    link_ms: u32,
    /// Where the windows of each interval may begin for this session: what it has been sent leaves fewer and fewer places.
    phases: BTreeMap<u32, Vec<i64>>,
    /// Time in ns that its bucket of commands holds, and when it was last looked at.
    commands: (i64, i64),
}

/// What a frame says of one topic.
#[derive(Default)]
struct InFrame {
    telling: Telling,
    records: u64,
    merged: u64,
    snapshot: bool,
    moved: bool,
}

/// What was counted of all frames, to compare with the metrics.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub frames: u64,
    pub records: u64,
    pub merged: u64,
    pub gaps: u64,
    pub snapshots: u64,
    pub checks: u64,
}

impl Connection {
    pub fn new(core: SessionCore, world: &World, setup: &ClientSetup, limits: &config::Session) -> Self {
        let account = Account::new(world, setup.covered.clone(), limits.max_subscriptions);
        let period = i64::from(1_000_000_000 / limits.commands_per_second.max(1));
        Self {
            core,
            account,
            is_stalled: false,
            decoder: Decoder::new(setup.encoding),
            frames: 0,
            opened: world.mono(),
            sent: (0, 0),
            budget: (limits.bytes_per_second, world.mono(), 0),
            entitled_ms: ms(setup.fastest),
            node_ms: 0,
            link_ms: 0,
            limits: limits.clone(),
            phases: BTreeMap::new(),
            commands: (period * i64::from(limits.commands_burst.max(1)), world.mono()),
        }
    }

    /// May this command be done, or is it one too many?
    pub fn admits(&mut self, now: i64) -> bool {
        if self.limits.commands_per_second == 0 {
            return true;
        }
        let period = i64::from(1_000_000_000 / self.limits.commands_per_second);
        let most = period * i64::from(self.limits.commands_burst.max(1));
        let (held, last) = self.commands;
        let held = most.min(held + now - last);
        let granted = held >= period;
        self.commands = (if granted { held - period } else { held }, now);
        granted
    }

    /// Nothing may hold back what is due.
    pub fn is_unlimited(&self) -> bool {
        self.limits.updates_per_second == 0 && self.budget.0 == 0
    }

    /// The limit that is in force then.
    pub fn budget(&mut self, asked: u32, now: i64) -> u32 {
        let granted = match (asked, self.limits.bytes_per_second) {
            (0, most) => most,
            (asked, 0) => asked,
            (asked, most) => asked.min(most),
        };
        self.budget = (granted, now, 0);
        granted
    }

    /// The node is in trouble, or not.
    pub fn press(&mut self, floor_ms: u32, defers_deep: bool) {
        self.node_ms = floor_ms;
        self.account.set_floor(floor_ms.max(self.entitled_ms).max(self.link_ms));
        self.account.defers_deep = defers_deep;
    }

    /// What is told unasked.
    pub fn hear_news(&mut self, world: &World) {
        while let Some(news) = self.core.news() {
            match news {
                Reply::Qos(qos) => self.hear_qos(&qos),
                Reply::Aged(aged) => self.hear_aged(world, &aged),
                _ => panic!("{news:?}, out of the blue"),
            }
        }
    }

    /// The floor under which the frame that comes was made. It is told after it.
    pub fn hear_floor(&mut self) {
        if self.core.has_slowed() {
            let Some(Reply::Qos(qos)) = self.core.news() else { panic!("it is not told what slows it") };
            self.hear_qos(&qos);
        }
    }

    fn hear_qos(&mut self, qos: &Qos) {
        let known_ms = self.node_ms.max(self.entitled_ms);
        let floor_ms = ms(qos.floor);
        let right = match qos.cause {
            None => floor_ms == 0,
            Some(Limiting::Entitlement) => floor_ms == self.entitled_ms,
            Some(Limiting::NodePressure) => floor_ms == self.node_ms && (floor_ms > 0 || qos.deep_snapshots_deferred),
            Some(Limiting::OwnLink) => self.is_unlimited() || floor_ms > 0,
            Some(Limiting::UpdatesPerSecond) => self.limits.updates_per_second > 0,
            Some(Limiting::BytesPerSecond) => true,
        };
        assert!(right && floor_ms >= known_ms && qos.deep_snapshots_deferred == self.account.defers_deep, "{qos:?}");
        // What a bucket amounts to is told, not enforced: it enforces itself.
        if !matches!(qos.cause, Some(Limiting::UpdatesPerSecond | Limiting::BytesPerSecond)) {
            // Where something else is slower, the link's floor does not show; it is told once it does.
            self.link_ms = if qos.cause == Some(Limiting::OwnLink) { floor_ms } else { 0 };
            self.account.set_floor(floor_ms);
        }
    }

    fn hear_aged(&mut self, world: &World, aged: &Aged) {
        for old in &aged.old {
            let held = self.account.held.get_mut(&old.topic_id).expect("only what is held becomes old");
            let MaxAge::Ms(most_ms) = held.terms.max_age else { panic!("nobody asked how old {} is", old.topic) };
            assert_eq!(old.topic, world.key(old.topic_id).to_string());
            assert!(!std::mem::replace(&mut held.is_old, true), "{old:?} was old before");
            assert!(old.age_ms >= u64::from(most_ms), "{old:?} is younger than {most_ms} ms");
            assert_eq!(old.cause == OldCause::Paused, held.paused, "{old:?}");
        }
        for id in &aged.young {
            let held = self.account.held.get_mut(id).expect("only what is held becomes young");
            assert!(std::mem::replace(&mut held.is_old, false), "{} was not old", world.key(*id));
        }
    }

    pub fn receive(&mut self, world: &mut World, payload: &[u8], counts: &mut Counts) {
        self.spend(world.mono(), payload.len() as u64);
        self.frames += 1;
        counts.frames += 1;
        let Self { decoder, account, .. } = self;
        let mut topics: BTreeMap<u32, InFrame> = BTreeMap::new();
        let (mut records, mut checks) = (0, 0);
        let decoded = decoder.decode(payload, &mut |_, meta, record| {
            let told = topics.entry(meta.topic).or_default();
            let (mut view, held) = account.take_view(meta);
            if matches!(record.body, RecordBody::Check { .. }) {
                checks += 1;
            } else {
                records += 1;
            }
            count(counts, record);
            told.take(world, &mut view, held, record);
            account.put_view(meta.topic, view);
        });
        let header = decoded.unwrap_or_else(|error| panic!("a frame that cannot be read: {error}"));
        assert_eq!((header.number, header.sent / 1_000), (self.frames, world.wall() / 1_000));
        // The brackets of JSON and the hashes of checks are not foreseen.
        let room = self.limits.frame_bytes + 2 + 64 * checks;
        assert!(topics.len() < 2 || payload.len() <= room, "a frame of {} bytes", payload.len());
        self.sent.0 += records;
        self.pay(world, topics.keys());
        let moved: Vec<u32> = topics.iter().filter(|(_, told)| told.moved).map(|(id, _)| *id).collect();
        for (id, told) in topics {
            self.end(world, id, told, &moved);
        }
        self.is_safe(world, &moved);
    }

    /// What goes with granted frames takes one of them.
    fn pay<'a>(&mut self, world: &World, mut topics: impl Iterator<Item = &'a u32>) {
        let Account { held, credits, .. } = &mut self.account;
        let on_credit = |id: &&u32| held.get(id).is_some_and(|held| held.terms.pace == Pace::Credit && !held.promised);
        if let Some(id) = topics.find(on_credit) {
            *credits = credits.checked_sub(1).unwrap_or_else(|| panic!("no frame was granted for {}", world.key(*id)));
        }
    }

    /// No trade overtakes a quote that is to be safe from that.
    fn is_safe(&self, world: &World, moved: &[u32]) {
        for id in moved.iter().filter(|id| world.key(**id).kind == Kind::Trade) {
            let quote = world.at(*id).quote_id();
            let Some(held) = self.account.held.get(&quote) else { continue };
            let unpaid = held.terms.pace == Pace::Credit && self.account.credits == 0;
            if held.terms.trade_safe
                && !held.paused
                && !unpaid
                && let Err(problem) = held.is_shown(world, quote)
            {
                panic!("a trade came before its quote: {problem}");
            }
        }
    }

    /// What was sent before must have been paid for: a bucket holds one second's worth and refills at its rate.
    fn spend(&mut self, now: i64, bytes: u64) {
        let passed = (now - self.opened) as u64;
        let (budget, since, spent) = self.budget;
        let limits = &self.limits;
        for (per_second, sent, passed) in [
            (limits.updates_per_second, self.sent.0, passed),
            (limits.bytes_per_second, self.sent.1, passed),
            (budget, spent, (now - since) as u64),
        ] {
            let most = |per_second: u32| u64::from(per_second) + passed / u64::from(1_000_000_000 / per_second) + 1;
            assert!(per_second == 0 || sent <= most(per_second), "{sent} sent in {passed} ns at {per_second} a second");
        }
        self.sent.1 += bytes;
        self.budget.2 += bytes;
    }

    /// After the frame: the topic must be where the truth is, and this update must have been allowed.
    fn end(&mut self, world: &mut World, id: u32, mut told: InFrame, moved: &[u32]) {
        let key = world.key(id).clone();
        let held = self.account.held.get(&id);
        let view = held.map_or_else(|| self.account.once[&id].as_ref(), |held| held.view.as_ref()).expect("it was told");
        let mut partial = false;
        if key.kind == Kind::Trade && told.moved {
            let stream = Stream { truth: world.at(id), ring: world.ring, held };
            partial = stream.end(&mut told.telling, view);
        }
        if !partial && let Err(problem) = world.at(id).is_shown(&key, view) {
            panic!("not what the truth is: {problem}");
        }
        if key.kind == Kind::Book
            && told.moved
            && let Some(seq) = view.sequence
        {
            world.at_mut(id).note_book(&key, seq);
        }
        let place = view.sequence.map(|seq| (view.epoch, seq));
        let Some(held) = self.account.held.get_mut(&id) else {
            assert!(told.snapshot, "who asked once is told once");
            self.account.once.remove(&id);
            return;
        };
        let now = world.mono();
        held.place = place;
        held.resumed = false;
        held.records += told.records;
        held.merged += told.merged;
        // A quote goes before its trade, and where the frame is small, the trade comes with the next one.
        let is_small = self.limits.frame_bytes < SMALL_FRAME || self.budget.0 > 0;
        let hurries = held.terms.trade_safe && key.kind == Kind::Quote;
        let hurries = hurries && (is_small || moved.contains(&world.at(id).trade_id()));
        let was_free = held.is_free || held.promised || hurries;
        let (last, own_ms, intervals) = (held.updated, interval(held.terms.pace, 0), std::mem::take(&mut held.intervals));
        held.is_free = partial;
        held.promised &= !told.snapshot;
        self.account.note_update(id, now);
        if let (Some(last), false) = (last, was_free) {
            self.in_another_window(own_ms, &intervals, last, now, &key.to_string());
        }
    }

    /// Windows lie on a grid that is the same for all subscriptions of a session at one interval. Where it begins nobody says, but it is
    /// one of a few places: if none of them is left, then two updates came in one window. Two updates never lie in one window of the pace
    /// that was asked for, and not in one of each interval that was in force between them.
    fn in_another_window(&mut self, own_ms: u32, intervals: &BTreeSet<u32>, last: i64, now: i64, name: &str) {
        let apart = |ms: u32, phase: i64| {
            let interval = i64::from(ms) * MS;
            (now - phase).div_euclid(interval) > (last - phase).div_euclid(interval)
        };
        let certain = if intervals.len() == 1 { intervals.first().copied() } else { None };
        for ms in [Some(own_ms), certain].into_iter().flatten().filter(|ms| *ms > 0) {
            let phases = self.phases.entry(ms).or_insert_with(|| phases(ms));
            phases.retain(|phase| apart(ms, *phase));
            assert!(!phases.is_empty(), "two updates of {name} in one window of {ms} ms: the second one after {} ns", now - last);
        }
        let phases = |ms: u32| self.phases.get(&ms).cloned().unwrap_or_else(|| phases(ms));
        let is_apart = |ms: &u32| *ms == 0 || phases(*ms).into_iter().any(|phase| apart(*ms, phase));
        assert!(
            intervals.iter().any(is_apart),
            "two updates of {name} in one window of {intervals:?} ms: the second one after {} ns",
            now - last
        );
    }

    /// Everything was flushed: who may have something newer has it.
    pub fn is_caught_up(&self, world: &World, at_rest: bool) {
        let is_deferred = |id: &u32| self.account.defers_deep && world.key(*id).depth() == Some(Depth::Full);
        let late: Vec<_> = self.account.once.keys().filter(|id| !is_deferred(id)).map(|id| world.key(*id).to_string()).collect();
        assert!(late.is_empty(), "{late:?} was asked for and has not come");
        for (id, held) in self.account.held.iter().filter(|(id, _)| !is_deferred(id)) {
            let key = world.key(*id);
            assert!(!held.promised, "the snapshot of {key} has not come");
            let waits = !held.at_once && held.updated.is_some_and(|last| world.mono() - last < i64::from(held.most_ms()) * MS);
            let waits = waits || (held.terms.pace == Pace::Credit && self.account.credits == 0);
            if held.paused || (waits && !at_rest) {
                continue;
            }
            if let Err(problem) = held.is_shown(world, *id) {
                panic!("what is due has not come: {problem}");
            }
        }
    }

    /// Is there nothing more to come?
    pub fn is_told(&self, world: &World) -> bool {
        let Account { once, held, .. } = &self.account;
        once.is_empty() && held.iter().all(|(id, held)| !held.promised && held.is_shown(world, *id).is_ok())
    }

    /// The connection is gone; what the client was told stays with it.
    pub fn into_views(self) -> impl Iterator<Item = (u32, View)> {
        let views = self.account.held.into_iter().filter_map(|(id, held)| Some((id, held.view?)));
        views.filter(|(_, view)| view.sequence.is_some())
    }
}

impl Held {
    fn is_shown(&self, world: &World, id: u32) -> Result<(), String> {
        let key = world.key(id);
        match &self.view {
            Some(view) => world.at(id).is_shown(key, view),
            None => Err(format!("nothing has come of {key}")),
        }
    }
}

impl Account {
    /// The view of a topic that may be told now.
    fn take_view(&mut self, meta: &Meta) -> (View, Option<&Held>) {
        let view = match (self.held.get_mut(&meta.topic), self.once.get_mut(&meta.topic)) {
            (Some(held), _) if !held.paused || held.promised => held.view.take(),
            (None, Some(view)) => view.take(),
            _ => panic!("{} is told to who holds it not, or paused", meta.name),
        };
        (view.unwrap_or_else(|| View::new(meta)), self.held.get(&meta.topic))
    }

    fn put_view(&mut self, id: u32, view: View) {
        match self.held.get_mut(&id) {
            Some(held) => held.view = Some(view),
            None => _ = self.once.insert(id, Some(view)),
        }
    }
}

impl InFrame {
    fn take(&mut self, world: &World, view: &mut View, held: Option<&Held>, record: &Record<'_>) {
        let (id, key) = (record.topic, world.key(record.topic));
        let is_snapshot = record.flags.has(Flags::SNAPSHOT);
        match record.body {
            RecordBody::Check { .. } => {}
            _ => self.records += 1,
        }
        if key.kind == Kind::Trade {
            let stream = Stream { truth: world.at(id), ring: world.ring, held };
            stream.check(&mut self.telling, view, record);
        } else if !matches!(record.body, RecordBody::Meta(_) | RecordBody::State(_) | RecordBody::Check { .. }) {
            self.value(world, held, record);
        }
        match view.apply(record) {
            Ok(Applied::Delta { updates }) => {
                assert!(updates > 0, "{record:?}");
                let summed_up = matches!(record.body, RecordBody::Summary(_));
                assert!(summed_up || record.flags.has(Flags::CONFLATED) == (updates > 1), "{record:?}");
                self.merged += updates - 1;
                self.moved = true;
            }
            Ok(Applied::Snapshot | Applied::Gap { .. }) => self.moved = true,
            Ok(Applied::Meta | Applied::State | Applied::Checked) => {}
            Ok(Applied::Unknown) => panic!("{record:?}"),
            Err(error) => panic!("{key}: {error}: {record:?}"),
        }
        self.snapshot |= is_snapshot;
    }

    /// A value comes whole to who has none of it, and only to them.
    fn value(&self, world: &World, held: Option<&Held>, record: &Record<'_>) {
        let (key, truth) = (world.key(record.topic), world.at(record.topic));
        assert!(!self.moved, "{key} is told twice in one frame");
        let place = held.and_then(|held| held.place).filter(|(epoch, _)| *epoch == truth.epoch);
        let continues = place.is_some_and(|(_, seq)| truth.head(key).is_none_or(|head| seq <= head));
        match record.flags.has(Flags::SNAPSHOT) {
            // Its log may not reach back to that place, or be longer than the whole book.
            true if key.kind == Kind::Book => {}
            is_snapshot => assert_eq!(is_snapshot, !continues, "{key} from {place:?}: {record:?}"),
        }
        assert_eq!(record.flags.has(Flags::STALE), truth.is_stale(key.kind), "{key}: {record:?}");
        if let Some(time) = truth.time(key.kind) {
            assert_eq!(record.time, time, "{key}: {record:?}");
        }
    }
}

fn ms(pace: Pace) -> u32 {
    if let Pace::EveryMs(ms) = pace { ms } else { 0 }
}

fn count(counts: &mut Counts, record: &Record<'_>) {
    match record.body {
        RecordBody::Check { .. } => {
            counts.checks += 1;
            return;
        }
        RecordBody::Gap { .. } => counts.gaps += 1,
        _ if record.flags.has(Flags::SNAPSHOT) => counts.snapshots += 1,
        _ => counts.merged += record.sequence.saturating_sub(1),
    }
    counts.records += 1;
}

/// Where windows of an interval may begin, in ns.
fn phases(ms: u32) -> Vec<i64> {
    let interval = i64::from(ms) * MS;
    let count = (interval / (10 * MS)).clamp(1, 8);
    (0..count).map(|at| at * (interval / count)).collect()
}
