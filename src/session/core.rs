//! A session without its transport. In: request texts, the shard's wake-ups. Out: replies (one a request) and frames of due data.
//! Bounded: subscriptions by `max_subscriptions`, commands and output by token buckets; data waits as cursors, never as bytes.
//! One request is in hand at a time, done in parts (`work`), so that a long one delays nobody.

mod ages;
mod answers;
mod change;
mod listing;
mod quality;
mod start;
mod tickets;
mod waits;
mod work;

pub use work::{Parsed, read};

use crate::config::{self, MAX_PATTERNS};
use crate::encode::FrameBuilder;
use crate::session::Client;
use crate::session::core::ages::Ages;
use crate::session::core::start::{missing, start_of};
use crate::session::core::work::{Action, Work};
use crate::shard::Shard;
use crate::subs::bucket::{Admission, CommandBucket, OutLimit, Outbound};
use crate::subs::throttle::Throttle;
use crate::subs::{Handle, SessionKey, Terms};
use crate::topic::{Cursor, Resolve, Topic};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use wire::answer::Qos;
use wire::code::{Close, Code};
use wire::kind::Class;
use wire::request::{Hello, LADDER_MS, Limits, MaxAge, Pace, Reply, Since, Start, TopicResult};
use wire::topic::{MAX_NAME, Pattern, TopicKey};

/// A write that takes longer waited for the client.
const OWN_WAIT_NS: i64 = 2_000_000;

/// Enough for the fastest screens.
const GRANTS_PER_SECOND: u32 = 240;

/// A topic of a venue that has not listed all its instruments yet.
struct Pending {
    terms: Terms,
    cursor: Cursor,
    paused: bool,
}

struct Standing {
    pattern: Pattern,
    terms: Terms,
    /// Where its later listings start.
    cursor: Cursor,
    /// They join paused.
    paused: bool,
}

/// What a `sub` asks for, the same for all its topics.
#[derive(Default)]
struct Wish {
    terms: Terms,
    snapshot: bool,
    /// Begin with so many of the last events.
    since: Option<Since>,
    resume: BTreeMap<String, (u64, u64)>,
}

impl Wish {
    /// Where a topic starts. What is held of it may stand under the name it was asked by or under its own.
    fn cursor(&self, asked: &str, canonical: Option<&str>) -> Cursor {
        match self.resume.get(asked).or_else(|| self.resume.get(canonical?)) {
            Some((epoch, sequence)) => Cursor::resume(*epoch, *sequence),
            None => self.fresh(),
        }
    }

    fn fresh(&self) -> Cursor {
        match self.since {
            Some(Since(count)) => Cursor::back(count),
            None if self.snapshot => Cursor::NEW,
            None => Cursor::NOW,
        }
    }
}

pub struct SessionCore {
    shard: Rc<Shard>,
    client: Client,
    name: String,
    key: SessionKey,
    wake: Rc<Notify>,
    held: BTreeMap<u32, Handle>,
    /// Topics that were asked for once (`get`) and not yet told.
    once: BTreeMap<u32, Handle>,
    /// The request in hand. Boxed: most sessions have none.
    work: Option<Box<Work>>,
    pending: BTreeMap<TopicKey, Pending>,
    patterns: Vec<Standing>,
    /// Topics with smaller ids were matched against the patterns already.
    seen_topics: u32,
    /// The shard's listings that were looked at.
    seen_listings: u64,
    commands: CommandBucket,
    /// Boxed: most sessions grant nothing.
    grants: Option<Box<CommandBucket>>,
    outbound: Outbound,
    /// Monotonic ns until which an empty outbound bucket holds back the next flush.
    held_back_until: i64,
    held_back_by: Option<OutLimit>,
    /// Bytes a second that it may be sent: its own budget, or the configured limit; 0 = no limit.
    bytes_per_second: u32,
    throttle: Throttle,
    /// What the client knows of what slows it.
    told: Qos,
    ages: Ages,
    next_frame: u64,
    /// Monotonic ns at which the frame on its way was filled.
    filled_at: i64,
    /// What goes with the next frame waited for the client: its link or its buckets.
    waited: bool,
    /// Payload of all frames.
    sent_bytes: u64,
}

impl SessionCore {
    pub fn open(client: Client, shard: &Rc<Shard>) -> Self {
        let limits = &shard.context.session;
        let wake = Rc::new(Notify::new());
        let key = shard.manager.borrow_mut().join(client.encoding, wake.clone());
        shard.context.metrics.sessions.add(1);
        let core = Self {
            name: shard.session_name(),
            key,
            wake,
            held: BTreeMap::new(),
            once: BTreeMap::new(),
            work: None,
            pending: BTreeMap::new(),
            patterns: Vec::new(),
            seen_topics: shard.context.map.len(),
            seen_listings: shard.listings(),
            commands: CommandBucket::new(limits.commands_per_second, limits.commands_burst),
            grants: None,
            outbound: Outbound::new(limits.updates_per_second, limits.bytes_per_second),
            held_back_until: 0,
            held_back_by: None,
            bytes_per_second: limits.bytes_per_second,
            throttle: Throttle::new(shard.context.clock.mono_ns()),
            told: Qos { floor: Pace::Realtime, cause: None, deep_snapshots_deferred: false, stalled_ms: None },
            ages: Ages::default(),
            next_frame: 1,
            filled_at: 0,
            waited: false,
            sent_bytes: 0,
            client,
            shard: shard.clone(),
        };
        shard.manager.borrow_mut().set_floor(key, core.entitled());
        core
    }

    /// The reply that opens the session. Subscriptions of the query string are then in hand like a first request.
    pub fn greet(&mut self) -> Reply {
        if let Some(bare) = self.client.bare.take() {
            let terms = Terms { pace: bare.pace, mode: bare.trades, ..Terms::default() };
            let wish = Wish { terms, snapshot: true, ..Wish::default() };
            self.work = Some(Box::new(Work::new(None, Action::Sub(wish), bare.topics, false)));
        }
        let context = &self.shard.context;
        let limits = &context.session;
        Reply::Hello(Hello {
            protocol: "tickwire.v1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: context.node.to_string(),
            session: self.name.clone(),
            time: context.clock.wall_ns().to_string(),
            encoding: self.client.encoding.subprotocol().to_owned(),
            heartbeat_ms: limits.ping_interval_ms,
            paces: [Pace::Realtime, Pace::Credit]
                .into_iter()
                .chain(LADDER_MS.map(Pace::EveryMs))
                .map(|pace| pace.to_string())
                .collect(),
            limits: Limits {
                subscriptions: limits.max_subscriptions as u64,
                commands_per_second: limits.commands_per_second,
                grants_per_second: GRANTS_PER_SECOND,
                updates_per_second: limits.updates_per_second,
                bytes_per_second: limits.bytes_per_second,
                request_bytes: limits.request_bytes as u64,
                write_timeout_ms: limits.write_timeout_ms,
            },
            route: context.map.route(),
            starting: context.map.is_starting(),
        })
    }

    /// Counts a ping of the client: answering it costs as much as a command. `Err`: the connection has to be closed.
    pub fn on_ping(&mut self) -> Result<(), Close> {
        match self.commands.admit() {
            Admission::Granted => Ok(()),
            // Answered all the same: only a flood is a reason to part.
            Admission::Refused { .. } => {
                self.shard.context.metrics.rate_limited_commands.add(1);
                Ok(())
            }
            Admission::Hopeless => Err(Close::TooManyCommands),
        }
    }

    /// True if topics were listed, since the last look, that this session may be waiting for.
    pub fn has_listings(&self) -> bool {
        self.awaits_listings() && self.seen_listings != self.shard.listings()
    }

    /// Puts what is due into `frame`. False if nothing is due or an outbound bucket is empty.
    pub fn fill(&mut self, frame: &mut FrameBuilder) -> bool {
        let shard = self.shard.clone();
        let context = &shard.context;
        let time = context.clock.now();
        let now = time.mono;
        if now < self.held_back_until || !self.shard.manager.borrow().is_due(self.key) {
            return false;
        }
        self.look(now);
        if let Some((wait, limit)) = self.outbound.settle() {
            self.held_back_until = now + wait.as_nanos() as i64;
            self.held_back_by = Some(limit);
            self.throttle.held(wait.as_nanos() as i64, limit);
            self.waited = true;
            match limit {
                OutLimit::Updates => context.metrics.rate_limited_updates.add(1),
                OutLimit::Bytes => context.metrics.rate_limited_bytes.add(1),
            }
            return false;
        }
        frame.set_limit(self.frame_bytes());
        frame.begin(self.next_frame, time.wall);
        let flushed = self.shard.manager.borrow_mut().flush(&context.map, self.key, now, frame);
        context.metrics.chunk_hits.add(flushed.chunk_hits);
        context.metrics.chunk_misses.add(flushed.chunk_misses);
        for id in &flushed.ended {
            self.once.remove(id);
        }
        if frame.is_empty() {
            return false;
        }
        let bytes = frame.end();
        self.next_frame += 1;
        self.filled_at = now;
        self.sent_bytes += bytes as u64;
        self.outbound.charge(frame.records, bytes as u64);
        true
    }

    /// Counts a frame that has been written whole, and may have waited for that.
    pub fn wrote(&mut self, frame: &FrameBuilder, bytes: usize) {
        self.count(frame, bytes, Some(self.filled_at));
    }

    /// Counts a frame that the link took whole when it was offered.
    pub fn wrote_at_once(&mut self, frame: &FrameBuilder, bytes: usize) {
        self.count(frame, bytes, None);
    }

    /// `waited_since`: by the monotonic clock, where the frame may have waited for the link.
    fn count(&mut self, frame: &FrameBuilder, bytes: usize, waited_since: Option<i64>) {
        let context = &self.shard.context;
        let now = context.clock.now();
        let took_ns = waited_since.map_or(0, |since| now.mono - since);
        self.throttle.wrote(took_ns);
        // Data that waited for the link or a bucket of this client says nothing about the node.
        let is_late = took_ns >= OWN_WAIT_NS;
        let is_own = std::mem::replace(&mut self.waited, is_late) || is_late;
        let metrics = &context.metrics;
        metrics.frames.add(1);
        metrics.bytes_out.add(bytes as u64);
        metrics.frame_bytes.record(bytes as u64);
        metrics.records.add(frame.records);
        metrics.merged_updates.add(frame.merged);
        metrics.gaps.add(frame.gaps);
        metrics.snapshots.add(frame.snapshots);
        metrics.checks_sent.add(frame.checks);
        if let Some(oldest) = frame.realtime_published.iter().min() {
            metrics.published_to_written.record_spans_ns(&frame.realtime_published, now.wall);
            if !is_own {
                metrics.lag.observe((now.wall - oldest).unsigned_abs());
            }
        }
    }

    /// True if `fill` has something to look at now.
    pub fn is_ready(&self) -> bool {
        self.shard.manager.borrow().is_due(self.key) && self.shard.context.clock.mono_ns() >= self.held_back_until
    }

    /// How soon `fill` or `news` will find something; none: nobody knows.
    pub fn due_in(&self) -> Option<Duration> {
        if self.has_slowed() {
            return Some(Duration::ZERO);
        }
        let wait_ns = self.held_back_until - self.shard.context.clock.mono_ns();
        let is_due = self.shard.manager.borrow().is_due(self.key);
        is_due.then(|| Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(0)))
    }

    /// Time until the client's token expires, zero once it has. By the wall clock, which may step: ask again now and then.
    pub fn expires_in(&self) -> Option<Duration> {
        let identity = self.client.identity.as_ref()?;
        let left_ns = identity.expires_at.saturating_sub(self.shard.context.clock.wall_ns());
        Some(Duration::from_nanos(u64::try_from(left_ns).unwrap_or(0)))
    }

    /// When this client should come back after a drain: clients are spread, so that they do not all come at once.
    pub fn reconnect_slot_ms(&self) -> u64 {
        fastrand::u64(0..=self.shard.context.session.drain_timeout_ms)
    }

    pub fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// Wakes the session's task.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn key(&self) -> SessionKey {
        self.key
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `name` is how the client spells `key`.
    fn subscribe_topic(&mut self, key: TopicKey, name: &str, wish: &Wish) -> TopicResult {
        // Asked for again, a pending topic gets new terms, not a second place.
        self.pending.remove(&key);
        let map = self.shard.context.map.clone();
        let resolved = map.resolve(&key);
        match resolved {
            // Judged by the canonical key: the venue's own spelling must not be a way around.
            Resolve::Found(id) if !self.may_see(id) => not_entitled(name),
            Resolve::Found(id) if self.held.contains_key(&id) || self.room() => {
                self.start(id, wish.terms, wish.cursor(name, map.get(id).map(Topic::name)))
            }
            Resolve::Pending if self.room() => {
                let cursor = wish.cursor(name, None);
                self.pending.insert(key, Pending { terms: wish.terms, cursor, paused: false });
                TopicResult::Pending { topic: name.to_owned() }
            }
            Resolve::Found(_) | Resolve::Pending => self.too_many(name),
            missing => refuse_missing(&key, &missing),
        }
    }

    /// Takes the pattern in; the topics it matches now are still to be started.
    fn subscribe_pattern(&mut self, name: &str, wish: &Wish) -> Result<Vec<u32>, TopicResult> {
        let pattern = pattern(name)?;
        self.patterns.retain(|standing| standing.pattern != pattern);
        if self.patterns.len() >= MAX_PATTERNS {
            return Err(too_many_patterns(name));
        }
        if self.patterns.is_empty() {
            // Nobody looked at listings while there was no pattern, and what is there now is matched below.
            self.seen_topics = self.shard.context.map.len();
        }
        let matched = self.matching(&pattern);
        self.patterns.push(Standing { pattern, terms: wish.terms, cursor: wish.fresh(), paused: false });
        Ok(matched)
    }

    /// What the client may see of what matches.
    fn matching(&self, pattern: &Pattern) -> Vec<u32> {
        let mut matched = Vec::new();
        self.shard.context.map.matching(pattern, &mut |id| matched.push(id));
        matched.retain(|id| self.may_see(*id));
        matched
    }

    /// Starts a subscription, or changes the one that is there.
    fn start(&mut self, id: u32, terms: Terms, cursor: Cursor) -> TopicResult {
        let shard = self.shard.clone();
        let map = &shard.context.map;
        let topic = map.get(id).expect("resolved ids stay valid");
        let mut missed = None;
        let mut manager = shard.manager.borrow_mut();
        let now = shard.context.clock.mono_ns();
        let start = if let Some(held) = self.held.get(&id) {
            let restarts = is_stream(topic) && manager.set_mode(map, *held, terms.mode, now);
            manager.set_terms(map, *held, terms, now);
            manager.unpause(map, *held, now);
            if restarts { Start::Snapshot } else { Start::Delta }
        } else {
            // Depth views are kept only while they are watched: watch first, then see where the cursor stands.
            let handle = manager.subscribe(map, self.key, id, cursor, terms, now);
            self.held.insert(id, handle);
            shard.context.metrics.subscriptions.add(1);
            // Two answers about one topic would contradict each other: this subscription now owes the snapshot of a `get`.
            if let Some(once) = self.once.remove(&id) {
                manager.unsubscribe(map, once);
                manager.promise_snapshot(map, handle, now);
            }
            missed = missing(topic, &cursor);
            start_of(topic, &cursor)
        };
        drop(manager);
        self.note_age(id, terms.max_age);
        let mut result = self.live(topic, terms, start);
        if let TopicResult::Live { missing, .. } = &mut result {
            *missing = missed;
        }
        result
    }

    /// In force, at the pace that really holds.
    fn live(&self, topic: &Topic, terms: Terms, start: Start) -> TopicResult {
        let (pace, limited_by) = self.shard.manager.borrow().in_force(self.key, &terms);
        TopicResult::Live {
            topic: topic.name().to_owned(),
            topic_id: topic.id(),
            pace,
            trades: is_stream(topic).then_some(terms.mode),
            start,
            limited_by,
            missing: None,
            from: None,
            replaces: None,
        }
    }

    fn end(&mut self, id: u32) {
        let Some(handle) = self.held.remove(&id) else { return };
        self.note_age(id, MaxAge::Off);
        let context = &self.shard.context;
        let mut manager = self.shard.manager.borrow_mut();
        let promised = manager.is_promised(handle);
        manager.unsubscribe(&context.map, handle);
        if promised {
            self.once.insert(id, manager.subscribe_once(&context.map, self.key, id, context.clock.mono_ns()));
        }
        context.metrics.subscriptions.add(-1);
    }

    fn may_see(&self, id: u32) -> bool {
        self.shard.context.map.get(id).is_some_and(|topic| self.client.may_see(topic.key()))
    }

    fn awaits_listings(&self) -> bool {
        !self.pending.is_empty() || !self.patterns.is_empty()
    }

    fn room(&self) -> bool {
        self.held.len() + self.pending.len() + self.once.len() < self.shard.context.session.max_subscriptions
    }

    fn too_many(&self, name: &str) -> TopicResult {
        let limit = self.shard.context.session.max_subscriptions;
        refused(name, Code::TooManyTopics, format!("at most {limit} subscriptions per session"))
    }

    /// More topics than a session can hold make no sense in one request, and its answer would have no bound.
    fn refuse_crowd(&self, id: Option<u64>, topics: &[String]) -> Option<Reply> {
        let limit = self.shard.context.session.topics_per_request();
        (topics.len() > limit)
            .then(|| self.refuse(id, Code::TooManyTopics, &format!("{} topics in one request; at most {limit}", topics.len())))
    }

    fn refuse(&self, id: Option<u64>, code: Code, message: &str) -> Reply {
        self.shard.context.metrics.refused(code);
        Reply::Error { id, code: code.name().to_owned(), message: cut(message, config::REPLY_TEXT_BYTES).to_owned() }
    }
}

impl Drop for SessionCore {
    fn drop(&mut self) {
        let mut manager = self.shard.manager.borrow_mut();
        manager.leave(self.key);
        for handle in self.held.values().chain(self.once.values()) {
            manager.unsubscribe(&self.shard.context.map, *handle);
        }
        self.shard.context.metrics.subscriptions.add(-(self.held.len() as i64));
        self.shard.context.metrics.sessions.add(-1);
    }
}

fn topic_key(name: &str) -> Result<TopicKey, TopicResult> {
    TopicKey::parse(name).map_err(|problem| refused(name, problem.code(), problem.to_string()))
}

fn pattern(name: &str) -> Result<Pattern, TopicResult> {
    Pattern::parse(name).map_err(|problem| refused(name, problem.code(), problem.to_string()))
}

fn refuse_missing(key: &TopicKey, missing: &Resolve) -> TopicResult {
    let (code, message) = match missing {
        Resolve::UnknownVenue => (Code::UnknownVenue, format!("no feed of venue '{}' is configured on this node", key.venue)),
        _ => (Code::UnknownSymbol, format!("venue '{}' lists no '{}' on this node", key.venue, key.symbol)),
    };
    refused(&key.to_string(), code, message)
}

fn is_stream(topic: &Topic) -> bool {
    topic.kind().row().class == Class::Stream
}

fn not_entitled(name: &str) -> TopicResult {
    refused(name, Code::NotEntitled, "the token does not cover this topic")
}

fn too_many_patterns(name: &str) -> TopicResult {
    refused(name, Code::TooManyTopics, format!("at most {MAX_PATTERNS} patterns per session"))
}

/// Names what was refused only as far as a good name goes: an answer must not grow with the mistake.
fn refused(name: &str, code: Code, message: impl Into<String>) -> TopicResult {
    TopicResult::refused(cut(name, MAX_NAME), code, message)
}

/// At most so many bytes of it, whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
