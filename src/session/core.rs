//! A session without its transport. In: request texts, the shard's wake-ups. Out: replies (one a request) and frames of due data.
//! Bounded: subscriptions by `max_subscriptions`, commands and output by token buckets; data waits as cursors, never as bytes.

use crate::config::{self, MAX_PATTERNS};
use crate::encode::FrameBuilder;
use crate::session::Client;
use crate::shard::Shard;
use crate::subs::bucket::{Admission, CommandBucket, OutLimit, Outbound};
use crate::subs::{Handle, SessionKey, Terms};
use crate::topic::{Cursor, Resolve, Topic};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use wire::code::{Close, Code};
use wire::kind::Class;
use wire::request::{Hello, LADDER_MS, Limits, Pace, Reply, Request, Start, TopicResult};
use wire::topic::{MAX_NAME, Pattern, TopicKey};

/// A topic of a venue that has not listed all its instruments yet.
struct Pending {
    key: TopicKey,
    terms: Terms,
    cursor: Cursor,
}

struct Standing {
    pattern: Pattern,
    terms: Terms,
    /// Where its later listings start.
    cursor: Cursor,
}

/// What a request asks for, the same for all its topics.
struct Wish<'a> {
    terms: Terms,
    snapshot: bool,
    resume: &'a BTreeMap<String, (u64, u64)>,
}

impl Wish<'_> {
    /// Where a topic starts. What is held of it may stand under the name it was asked by or under its own.
    fn cursor(&self, asked: &str, canonical: Option<&str>) -> Cursor {
        match self.resume.get(asked).or_else(|| self.resume.get(canonical?)) {
            Some((epoch, sequence)) => Cursor::resume(*epoch, *sequence),
            None => self.fresh(),
        }
    }

    fn fresh(&self) -> Cursor {
        if self.snapshot { Cursor::NEW } else { Cursor::NOW }
    }
}

pub struct SessionCore {
    shard: Rc<Shard>,
    client: Client,
    name: String,
    key: SessionKey,
    wake: Rc<Notify>,
    held: BTreeMap<u32, Handle>,
    pending: Vec<Pending>,
    patterns: Vec<Standing>,
    /// Topics with smaller ids were matched against the patterns already.
    seen_topics: u32,
    /// The shard's listings that were looked at.
    seen_listings: u64,
    commands: CommandBucket,
    outbound: Outbound,
    /// Monotonic ns until which an empty outbound bucket holds back the next flush.
    held_back_until: i64,
    next_frame: u64,
}

impl SessionCore {
    pub fn open(client: Client, shard: &Rc<Shard>) -> Self {
        let limits = &shard.context.session;
        let wake = Rc::new(Notify::new());
        let key = shard.manager.borrow_mut().join(client.encoding, wake.clone());
        shard.context.metrics.sessions.add(1);
        Self {
            name: shard.session_name(),
            key,
            wake,
            held: BTreeMap::new(),
            pending: Vec::new(),
            patterns: Vec::new(),
            seen_topics: shard.context.map.len(),
            seen_listings: shard.listings(),
            commands: CommandBucket::new(limits.commands_per_second, limits.commands_burst),
            outbound: Outbound::new(limits.updates_per_second, limits.bytes_per_second),
            held_back_until: 0,
            next_frame: 1,
            client,
            shard: shard.clone(),
        }
    }

    /// The replies that open the session: `hello`, and the ack of subscriptions in the query string.
    pub fn greet(&mut self) -> Vec<Reply> {
        let context = &self.shard.context;
        let limits = &context.session;
        let mut replies = vec![Reply::Hello(Hello {
            protocol: "tickwire.v1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: context.node.to_string(),
            session: self.name.clone(),
            time: context.clock.wall_ns().to_string(),
            encoding: self.client.encoding.subprotocol().to_owned(),
            heartbeat_ms: limits.ping_interval_ms,
            paces: [Pace::Realtime].into_iter().chain(LADDER_MS.map(Pace::EveryMs)).map(|pace| pace.to_string()).collect(),
            limits: Limits {
                subscriptions: limits.max_subscriptions as u64,
                commands_per_second: limits.commands_per_second,
                updates_per_second: limits.updates_per_second,
                bytes_per_second: limits.bytes_per_second,
                request_bytes: limits.request_bytes as u64,
                write_timeout_ms: limits.write_timeout_ms,
            },
        })];
        if let Some(bare) = self.client.bare.take() {
            let terms = Terms { pace: bare.pace, mode: bare.trades };
            replies.push(self.subscribe(None, &bare.topics, &Wish { terms, snapshot: true, resume: &BTreeMap::new() }));
        }
        replies
    }

    /// Answers one request. `Err`: the connection has to be closed.
    pub fn on_text(&mut self, text: &str) -> Result<Reply, Close> {
        self.shard.context.metrics.commands.add(1);
        match self.commands.admit() {
            Admission::Granted => {}
            Admission::Hopeless => return Err(Close::TooManyCommands),
            Admission::Refused { retry_in } => {
                self.shard.context.metrics.rate_limited_commands.add(1);
                let message = format!(
                    "more than {} commands per second; next one in {} ms",
                    self.shard.context.session.commands_per_second,
                    retry_in.as_millis() + 1
                );
                return Ok(self.refuse(id_of(text), Code::RateLimited, &message));
            }
        }
        Ok(match serde_json::from_str::<Request>(text) {
            Ok(Request::Sub { id, topics, pace, trades, snapshot, resume }) => {
                let terms = Terms { pace, mode: trades };
                self.subscribe(id, &topics, &Wish { terms, snapshot, resume: &resume })
            }
            Ok(Request::Unsub { id, topics }) => {
                if let Some(refused) = self.refuse_crowd(id, &topics) {
                    return Ok(refused);
                }
                let results = topics.iter().map(|topic| self.unsubscribe(topic)).collect();
                self.ack(id, results)
            }
            Ok(Request::Ping { id }) => Reply::Pong { id, time: self.shard.context.clock.wall_ns().to_string() },
            Err(problem) => {
                let message = problem.to_string();
                let unknown = message.starts_with("unknown variant");
                self.refuse(id_of(text), if unknown { Code::UnknownRequest } else { Code::BadRequest }, &message)
            }
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

    /// Topics were listed: pending ones and patterns may have become live. The ack carries no id.
    pub fn on_listing(&mut self) -> Option<Reply> {
        // Noted before the look: what is listed during it leads to another one.
        self.seen_listings = self.shard.listings();
        let map = self.shard.context.map.clone();
        let mut results = Vec::new();
        for waiting in std::mem::take(&mut self.pending) {
            match map.resolve(&waiting.key) {
                Resolve::Found(id) if self.may_see(id) => results.push(self.start(id, waiting.terms, waiting.cursor)),
                Resolve::Found(_) => {
                    let name = waiting.key.to_string();
                    results.push(refused(&name, Code::NotEntitled, "the token does not cover this topic"));
                }
                Resolve::Pending => self.pending.push(waiting),
                missing => results.push(refuse_missing(&waiting.key, &missing)),
            }
        }
        let known = map.len();
        for id in std::mem::replace(&mut self.seen_topics, known)..known {
            let Some(topic) = map.get(id) else { continue };
            // The newest pattern speaks, as it does where a client subscribes to both one after the other.
            let Some(standing) = self.patterns.iter().rfind(|standing| standing.pattern.matches(topic.key())) else { continue };
            let (terms, cursor) = (standing.terms, standing.cursor);
            if self.held.contains_key(&id) || !self.may_see(id) {
                continue;
            }
            if !self.room() {
                // Once is enough: all that follow do not fit either.
                results.push(self.too_many(&standing.pattern.to_string()));
                break;
            }
            results.push(self.start(id, terms, cursor));
        }
        (!results.is_empty()).then(|| self.ack(None, results))
    }

    /// Puts what is due into `frame`. False if nothing is due or an outbound bucket is empty.
    pub fn fill(&mut self, frame: &mut FrameBuilder) -> bool {
        let context = &self.shard.context;
        let now = context.clock.mono_ns();
        if now < self.held_back_until || !self.shard.manager.borrow().is_due(self.key) {
            return false;
        }
        if let Some((wait, limit)) = self.outbound.settle() {
            self.held_back_until = now + wait.as_nanos() as i64;
            match limit {
                OutLimit::Updates => context.metrics.rate_limited_updates.add(1),
                OutLimit::Bytes => context.metrics.rate_limited_bytes.add(1),
            }
            return false;
        }
        frame.begin(self.next_frame, context.clock.wall_ns());
        let flushed = self.shard.manager.borrow_mut().flush(&context.map, self.key, now, frame);
        context.metrics.chunk_hits.add(flushed.chunk_hits);
        context.metrics.chunk_misses.add(flushed.chunk_misses);
        if frame.is_empty() {
            return false;
        }
        let bytes = frame.end();
        self.next_frame += 1;
        self.outbound.charge(frame.records, bytes as u64);
        true
    }

    /// Counts a frame that has been written whole.
    pub fn wrote(&self, frame: &FrameBuilder, bytes: usize) {
        let context = &self.shard.context;
        let metrics = &context.metrics;
        let now = context.clock.wall_ns();
        metrics.frames.add(1);
        metrics.bytes_out.add(bytes as u64);
        metrics.frame_bytes.record(bytes as u64);
        metrics.records.add(frame.records);
        metrics.merged_updates.add(frame.merged);
        metrics.gaps.add(frame.gaps);
        metrics.snapshots.add(frame.snapshots);
        metrics.checks_sent.add(frame.checks);
        for published in &frame.realtime_published {
            metrics.published_to_written.record_span_ns(*published, now);
        }
    }

    /// Returns once `fill` would find something.
    pub async fn ready(&self) {
        loop {
            // Taken before the look, so that a wake-up in between is not lost.
            let woken = self.wake.notified();
            if self.shard.manager.borrow().is_due(self.key) {
                let wait = self.held_back_until - self.shard.context.clock.mono_ns();
                match u64::try_from(wait) {
                    Ok(wait) if wait > 0 => tokio::time::sleep(Duration::from_nanos(wait)).await,
                    _ => return,
                }
            } else {
                woken.await;
            }
        }
    }

    /// Returns when topics were listed that this session may be waiting for.
    pub async fn listed(&self) {
        if !self.awaits_listings() {
            std::future::pending::<()>().await;
        }
        self.shard.listed_since(self.seen_listings).await;
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

    pub fn client(&self) -> &Client {
        &self.client
    }

    fn subscribe(&mut self, id: Option<u64>, topics: &[String], wish: &Wish<'_>) -> Reply {
        if let Some(refused) = self.refuse_crowd(id, topics) {
            return refused;
        }
        let mut results = Vec::with_capacity(topics.len());
        let mut told = BTreeSet::new();
        let mut patterns = 0;
        for name in topics {
            if !Pattern::is_pattern(name) {
                results.push(self.subscribe_topic(name, wish));
                continue;
            }
            // Each one is a walk over all topics.
            patterns += 1;
            if patterns > MAX_PATTERNS {
                results.push(too_many_patterns(name));
            } else {
                self.subscribe_pattern(name, wish, &mut told, &mut results);
            }
        }
        self.ack(id, results)
    }

    fn subscribe_topic(&mut self, name: &str, wish: &Wish<'_>) -> TopicResult {
        let key = match TopicKey::parse(name) {
            Ok(key) => key,
            Err(problem) => return refused(name, problem.code(), problem.to_string()),
        };
        // Asked for again, a pending topic gets new terms, not a second place.
        self.pending.retain(|waiting| waiting.key != key);
        let map = self.shard.context.map.clone();
        let resolved = map.resolve(&key);
        match resolved {
            // Judged by the canonical key: the venue's own spelling must not be a way around.
            Resolve::Found(id) if !self.may_see(id) => refused(name, Code::NotEntitled, "the token does not cover this topic"),
            Resolve::Found(id) if self.held.contains_key(&id) || self.room() => {
                self.start(id, wish.terms, wish.cursor(name, map.get(id).map(Topic::name)))
            }
            Resolve::Pending if self.room() => {
                let cursor = wish.cursor(name, None);
                self.pending.push(Pending { key, terms: wish.terms, cursor });
                TopicResult::Pending { topic: name.to_owned() }
            }
            Resolve::Found(_) | Resolve::Pending => self.too_many(name),
            missing => refuse_missing(&key, &missing),
        }
    }

    /// `told` are the topics that patterns of this request have matched so far: one that several match is answered once.
    fn subscribe_pattern(&mut self, name: &str, wish: &Wish<'_>, told: &mut BTreeSet<u32>, results: &mut Vec<TopicResult>) {
        let pattern = match Pattern::parse(name) {
            Ok(pattern) => pattern,
            Err(problem) => return results.push(refused(name, problem.code(), problem.to_string())),
        };
        self.patterns.retain(|standing| standing.pattern != pattern);
        if self.patterns.len() >= MAX_PATTERNS {
            return results.push(too_many_patterns(name));
        }
        let map = self.shard.context.map.clone();
        if self.patterns.is_empty() {
            // Nobody looked at listings while there was no pattern, and what is there now is matched below.
            self.seen_topics = map.len();
        }
        let mut matched = Vec::new();
        map.matching(&pattern, &mut |id| matched.push(id));
        matched.retain(|id| self.may_see(*id));
        results.push(TopicResult::Pattern { topic: name.to_owned(), matched: matched.len() as u64 });
        for id in matched {
            if !told.insert(id) {
                continue;
            }
            if !self.held.contains_key(&id) && !self.room() {
                results.push(self.too_many(name));
                break;
            }
            let cursor = map.get(id).map_or(wish.fresh(), |topic| wish.cursor(topic.name(), None));
            results.push(self.start(id, wish.terms, cursor));
        }
        self.patterns.push(Standing { pattern, terms: wish.terms, cursor: wish.fresh() });
    }

    /// Starts a subscription, or changes the one that is there.
    fn start(&mut self, id: u32, terms: Terms, cursor: Cursor) -> TopicResult {
        let shard = &self.shard;
        let map = &shard.context.map;
        let topic = map.get(id).expect("resolved ids stay valid");
        let mut manager = shard.manager.borrow_mut();
        let start = if let Some(held) = self.held.get(&id) {
            manager.set_terms(*held, terms);
            Start::Delta
        } else {
            // Depth views are kept only while they are watched: watch first, then see where the cursor stands.
            self.held.insert(id, manager.subscribe(map, self.key, id, cursor, terms, shard.context.clock.mono_ns()));
            shard.context.metrics.subscriptions.add(1);
            start_of(topic, &cursor)
        };
        let trades = (topic.key().kind.row().class == Class::Stream).then_some(terms.mode);
        TopicResult::Live { topic: topic.name().to_owned(), topic_id: id, pace: terms.pace, trades, start }
    }

    fn unsubscribe(&mut self, name: &str) -> TopicResult {
        if Pattern::is_pattern(name) {
            return self.unsubscribe_pattern(name);
        }
        let key = match TopicKey::parse(name) {
            Ok(key) => key,
            Err(problem) => return refused(name, problem.code(), problem.to_string()),
        };
        let waiting = self.pending.len();
        self.pending.retain(|waiting| waiting.key != key);
        match self.shard.context.map.resolve(&key) {
            Resolve::Found(id) if self.held.contains_key(&id) => {
                self.end(id);
                TopicResult::Ended { topic: name.to_owned() }
            }
            _ if self.pending.len() < waiting => TopicResult::Ended { topic: name.to_owned() },
            _ => refused(name, Code::NotSubscribed, "there is no such subscription"),
        }
    }

    fn unsubscribe_pattern(&mut self, name: &str) -> TopicResult {
        let pattern = match Pattern::parse(name) {
            Ok(pattern) => pattern,
            Err(problem) => return refused(name, problem.code(), problem.to_string()),
        };
        let standing = self.patterns.len();
        self.patterns.retain(|standing| standing.pattern != pattern);
        if self.patterns.len() == standing {
            return refused(name, Code::NotSubscribed, "there is no such pattern subscription");
        }
        let map = self.shard.context.map.clone();
        let matching = |id: &u32| map.get(*id).is_some_and(|topic| pattern.matches(topic.key()));
        let ids: Vec<u32> = self.held.keys().copied().filter(matching).collect();
        ids.into_iter().for_each(|id| self.end(id));
        TopicResult::Ended { topic: name.to_owned() }
    }

    fn end(&mut self, id: u32) {
        if let Some(handle) = self.held.remove(&id) {
            self.shard.manager.borrow_mut().unsubscribe(&self.shard.context.map, handle);
            self.shard.context.metrics.subscriptions.add(-1);
        }
    }

    fn may_see(&self, id: u32) -> bool {
        self.shard.context.map.get(id).is_some_and(|topic| self.client.may_see(topic.key()))
    }

    fn awaits_listings(&self) -> bool {
        !self.pending.is_empty() || !self.patterns.is_empty()
    }

    fn room(&self) -> bool {
        self.held.len() + self.pending.len() < self.shard.context.session.max_subscriptions
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

    fn ack(&self, id: Option<u64>, results: Vec<TopicResult>) -> Reply {
        for result in &results {
            if let TopicResult::Refused { code, .. } = result
                && let Some(code) = Code::from_name(code)
            {
                self.shard.context.metrics.refused(code);
            }
        }
        Reply::Ack { id, results }
    }
}

impl Drop for SessionCore {
    fn drop(&mut self) {
        let mut manager = self.shard.manager.borrow_mut();
        manager.leave(self.key);
        for handle in self.held.values() {
            manager.unsubscribe(&self.shard.context.map, *handle);
        }
        self.shard.context.metrics.subscriptions.add(-(self.held.len() as i64));
        self.shard.context.metrics.sessions.add(-1);
    }
}

/// How data will start for a subscriber at `cursor`. A stream goes on from any cursor of its epoch, with a gap if it must.
fn start_of(topic: &Topic, cursor: &Cursor) -> Start {
    let is_stream = topic.key().kind.row().class == Class::Stream;
    if is_stream && *cursor == Cursor::NOW {
        Start::Now
    } else if topic.reaches(cursor) || (is_stream && cursor.is_placed() && cursor.epoch() == topic.meta().epoch) {
        Start::Delta
    } else {
        Start::Snapshot
    }
}

fn refuse_missing(key: &TopicKey, missing: &Resolve) -> TopicResult {
    let (code, message) = match missing {
        Resolve::UnknownVenue => (Code::UnknownVenue, format!("no feed of venue '{}' is configured on this node", key.venue)),
        _ => (Code::UnknownSymbol, format!("venue '{}' lists no '{}' on this node", key.venue, key.symbol)),
    };
    refused(&key.to_string(), code, message)
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

/// The `id` of a request that could not be read as a whole.
fn id_of(text: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(text).ok()?.get("id")?.as_u64()
}
