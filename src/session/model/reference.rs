//! The plain subscription manager: what one connection holds, and what each request must be answered. In: requests, listings. Out: the
//! results one by one, in the order in which the session works. Bounded by `max_subscriptions`.

use super::operation::Change;
use super::world::{Lack, World};
use crate::config::MAX_PATTERNS;
use crate::subs::Terms;
use crate::topic::Resolve;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::code::Code;
use wire::kind::{Class, Kind};
use wire::request::{MaxAge, Missing, Pace, Start, TopicResult, TradeMode};
use wire::topic::{MAX_NAME, Pattern, TopicKey};
use wire::view::View;

/// One subscription, as its client knows it.
#[derive(Debug)]
pub struct Held {
    pub terms: Terms,
    pub paused: bool,
    /// A `get` was answered and its snapshot has not come yet.
    pub promised: bool,
    /// The place that the server has brought the client to, or was told that the client has; none: it must begin with a snapshot.
    pub place: Option<(u64, u64)>,
    /// How a stream begins that has no place.
    pub begins: Begins,
    /// Came with a place, and has not been told anything yet.
    pub resumed: bool,
    pub view: Option<View>,
    /// The next update may come in the same window as the last one.
    pub is_free: bool,
    /// What is new comes now, not at the next window.
    pub at_once: bool,
    /// When the last update came, monotonic ns.
    pub updated: Option<i64>,
    /// The shortest and the longest interval that was in force since then; 0: none.
    pub least_ms: u32,
    pub most_ms: u32,
    /// The client was told that what it shows is old.
    pub is_old: bool,
    pub records: u64,
    pub merged: u64,
}

/// A place from which a client wants to go on, with the view if it has one.
#[derive(Clone, Debug)]
pub struct Place {
    pub epoch: u64,
    pub seq: u64,
    pub view: Option<View>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Begins {
    /// With its newest event.
    Newest,
    /// With none.
    Now,
    /// With so many of the last ones.
    Back(u32),
}

#[derive(Clone, Debug)]
pub enum Origin {
    Fresh(Begins),
    At(Place),
}

#[derive(Debug)]
struct Waiting {
    terms: Terms,
    origin: Origin,
    paused: bool,
}

#[derive(Debug)]
struct Standing {
    pattern: Pattern,
    terms: Terms,
    origin: Origin,
    paused: bool,
}

pub struct Account {
    pub held: BTreeMap<u32, Held>,
    /// Topics asked for once, with what came of them so far.
    pub once: BTreeMap<u32, Option<View>>,
    pending: BTreeMap<TopicKey, Waiting>,
    patterns: Vec<Standing>,
    /// Topics with smaller ids were matched already.
    seen: u32,
    covered: Vec<Pattern>,
    most: usize,
    /// No pace is faster than this.
    floor_ms: u32,
    pub defers_deep: bool,
    /// Frames that the client has granted.
    pub credits: u32,
}

/// What a result must say. `start: None`: a delta or a snapshot, as the server's log reaches.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Live {
        topic: String,
        id: u32,
        pace: Pace,
        is_limited: bool,
        trades: Option<TradeMode>,
        start: Option<Start>,
        lack: Option<Lack>,
        replaces: Option<String>,
    },
    Pending(String),
    Pattern(String, u64),
    Paused {
        topic: String,
        id: Option<u32>,
        pace: Pace,
        trades: Option<TradeMode>,
        replaces: Option<String>,
    },
    Once(String, u32),
    Ended(String),
    Refused(String, Code),
}

#[derive(Debug)]
pub enum Action {
    Sub { terms: Terms, begins: Begins, resume: BTreeMap<String, Place> },
    Unsub,
    Mod(Change),
    Pause,
    Continue,
    Get,
}

#[derive(Debug)]
enum Step {
    Name(String),
    /// One topic of this pattern; of none: all that is held.
    Topic(u32, String),
    Refuse(Told),
    Settle(TopicKey, Waiting),
    Join(u32),
}

/// What is still to be answered of a request or a listing.
#[derive(Debug)]
pub struct Script {
    action: Action,
    steps: VecDeque<Step>,
    told: BTreeSet<u32>,
}

impl Told {
    pub fn agrees(&self, actual: &TopicResult) -> bool {
        match (self, actual) {
            (
                Self::Live { topic, id, pace, is_limited, trades, start, lack, replaces },
                TopicResult::Live {
                    topic: named,
                    topic_id,
                    pace: at,
                    limited_by,
                    trades: mode,
                    start: begins,
                    missing,
                    replaces: of,
                    ..
                },
            ) => {
                let either = matches!(begins, Start::Delta | Start::Snapshot);
                (topic, id, pace, trades, replaces) == (named, topic_id, at, mode, of)
                    && limited_by.is_some() == *is_limited
                    && start.map_or(either, |start| start == *begins)
                    && match (lack, missing) {
                        (None, None) => true,
                        (Some(lack), None) => lack.truth == Some(0),
                        (Some(lack), Some(Missing::Count(told))) => lack.truth == Some(*told) && *told > 0,
                        (Some(lack), Some(Missing::Unknown(_))) => lack.truth.is_none() || lack.may_be_unknown,
                        (None, Some(_)) => false,
                    }
            }
            (Self::Pending(topic), TopicResult::Pending { topic: named }) => topic == named,
            (Self::Pattern(topic, count), TopicResult::Pattern { topic: named, matched }) => (topic, count) == (named, matched),
            (
                Self::Paused { topic, id, pace, trades, replaces },
                TopicResult::Paused { topic: named, topic_id, pace: at, trades: mode, replaces: of },
            ) => (topic, id, pace, trades, replaces) == (named, topic_id, at, mode, of),
            (Self::Once(topic, id), TopicResult::Once { topic: named, topic_id }) => (topic, id) == (named, topic_id),
            (Self::Ended(topic), TopicResult::Ended { topic: named }) => topic == named,
            (Self::Refused(topic, code), TopicResult::Refused { topic: named, code: told, .. }) => {
                topic == named && code.name() == told
            }
            _ => false,
        }
    }
}

impl Script {
    fn new(action: Action, steps: impl Iterator<Item = Step>) -> Self {
        Self { action, steps: steps.collect(), told: BTreeSet::new() }
    }

    /// The result that must come next; none: nothing is left to be said.
    pub fn next(&mut self, account: &mut Account, world: &World) -> Option<Told> {
        loop {
            let told = match self.steps.pop_front()? {
                Step::Name(name) if Pattern::is_pattern(&name) => Some(self.pattern(account, world, name)),
                Step::Name(name) => Some(account.named(world, &self.action, &name)),
                Step::Topic(id, pattern) => {
                    let told = account.topic(world, &self.action, id, &pattern);
                    if matches!(told, Some(Told::Refused(_, Code::TooManyTopics))) {
                        // One refusal stands for the rest of the pattern.
                        self.steps.retain(|step| !matches!(step, Step::Topic(_, of) if *of == pattern));
                    }
                    told
                }
                Step::Refuse(told) => Some(told),
                Step::Settle(key, waiting) => account.settle(world, key, waiting),
                Step::Join(id) => {
                    let told = account.join(world, id);
                    if matches!(told, Some(Told::Refused(..))) {
                        self.steps.clear();
                    }
                    told
                }
            };
            if told.is_some() {
                return told;
            }
        }
    }

    fn pattern(&mut self, account: &mut Account, world: &World, name: String) -> Told {
        match account.expand(world, &self.action, &name) {
            Ok(matched) => {
                let told = match self.action {
                    Action::Unsub => Told::Ended(name.clone()),
                    _ => Told::Pattern(name.clone(), matched.len() as u64),
                };
                for id in matched.into_iter().rev() {
                    if !self.told.contains(&id) {
                        self.steps.push_front(Step::Topic(id, name.clone()));
                    }
                }
                let of = |step: &Step| if let Step::Topic(id, _) = step { Some(*id) } else { None };
                self.told.extend(self.steps.iter().filter_map(of));
                told
            }
            Err(told) => told,
        }
    }
}

impl Account {
    pub fn new(world: &World, covered: Vec<Pattern>, most: usize) -> Self {
        Self {
            held: BTreeMap::new(),
            once: BTreeMap::new(),
            pending: BTreeMap::new(),
            patterns: Vec::new(),
            seen: world.keys.len() as u32,
            covered,
            most,
            floor_ms: 0,
            defers_deep: false,
            credits: 0,
        }
    }

    /// From now on no pace is faster than this.
    pub fn set_floor(&mut self, floor_ms: u32) {
        self.floor_ms = floor_ms;
        for held in self.held.values_mut() {
            let ms = interval(held.terms.pace, floor_ms);
            (held.least_ms, held.most_ms) = (held.least_ms.min(ms), held.most_ms.max(ms));
        }
    }

    /// The pace that is in force for these terms, and whether it is not what was asked for.
    fn pace(&self, terms: &Terms) -> (Pace, bool) {
        match terms.pace {
            Pace::Credit => (Pace::Credit, self.floor_ms > 0),
            Pace::EveryMs(ms) if ms >= self.floor_ms => (terms.pace, false),
            pace if self.floor_ms == 0 => (pace, false),
            _ => (Pace::EveryMs(self.floor_ms), true),
        }
    }

    /// `explain`: the pace in force of what is held.
    pub fn pace_of(&self, held: &Held) -> Pace {
        self.pace(&held.terms).0
    }

    /// An update was told.
    pub fn note_update(&mut self, id: u32, now: i64) {
        let floor_ms = self.floor_ms;
        let Some(held) = self.held.get_mut(&id) else { return };
        (held.least_ms, held.most_ms) = (interval(held.terms.pace, floor_ms), interval(held.terms.pace, floor_ms));
        (held.updated, held.at_once) = (Some(now), false);
    }

    fn live(&self, world: &World, id: u32, terms: Terms, start: Option<Start>) -> Told {
        let key = world.key(id);
        let trades = (key.kind == Kind::Trade).then_some(terms.mode);
        let (pace, is_limited) = self.pace(&terms);
        Told::Live { topic: key.to_string(), id, pace, is_limited, trades, start, lack: None, replaces: None }
    }

    pub fn ask(&self, world: &World, action: Action, names: Vec<String>, strict: bool) -> Script {
        if strict && let Some(refusals) = self.refusals(world, &names) {
            return Script::new(action, refusals.into_iter().map(Step::Refuse));
        }
        Script::new(action, names.into_iter().map(Step::Name))
    }

    /// `pause` or `continue` of everything.
    pub fn ask_all(&mut self, action: Action) -> Script {
        let paused = matches!(action, Action::Pause);
        self.patterns.iter_mut().for_each(|standing| standing.paused = paused);
        self.pending.values_mut().for_each(|waiting| waiting.paused = paused);
        Script::new(action, self.held.keys().map(|id| Step::Topic(*id, String::new())))
    }

    pub fn on_listing(&mut self, world: &World) -> Script {
        let pending = std::mem::take(&mut self.pending).into_iter().map(|(key, waiting)| Step::Settle(key, waiting));
        let new = std::mem::replace(&mut self.seen, world.keys.len() as u32)..world.keys.len() as u32;
        Script::new(Action::Get, pending.chain(new.map(Step::Join)))
    }

    /// Explains a pending topic: is it paused?
    pub fn waits(&self, key: &TopicKey) -> Option<bool> {
        self.pending.get(key).map(|waiting| waiting.paused)
    }

    fn may_see(&self, world: &World, id: u32) -> bool {
        self.may_see_key(world.key(id))
    }

    pub fn may_see_key(&self, key: &TopicKey) -> bool {
        self.covered.is_empty() || self.covered.iter().any(|pattern| pattern.matches(key))
    }

    fn taken(&self) -> usize {
        self.held.len() + self.pending.len() + self.once.len()
    }

    fn has_room(&self) -> bool {
        self.taken() < self.most
    }

    /// The answer to a strict request of which something cannot be granted.
    fn refusals(&self, world: &World, names: &[String]) -> Option<Vec<Told>> {
        let (mut planned, mut patterns) = (BTreeSet::new(), 0);
        let judged: Vec<_> = names.iter().map(|name| self.judge(world, name, &mut planned, &mut patterns)).collect();
        let refused = judged.iter().any(Option::is_some);
        let all = |(told, name): (Option<Told>, &String)| told.unwrap_or_else(|| refuse(name, Code::NotAllGranted));
        refused.then(|| judged.into_iter().zip(names).map(all).collect())
    }

    fn judge(&self, world: &World, name: &str, planned: &mut BTreeSet<u32>, patterns: &mut usize) -> Option<Told> {
        let matched = if Pattern::is_pattern(name) {
            let matched = match self.matching(world, name) {
                Ok(matched) => matched,
                Err(told) => return Some(told),
            };
            if self.patterns.len() + *patterns >= MAX_PATTERNS {
                return Some(refuse(name, Code::TooManyTopics));
            }
            *patterns += 1;
            matched
        } else {
            match self.find(world, name) {
                Ok((_, Resolve::Found(id))) => vec![id],
                Ok((_, Resolve::Pending)) => return Some(refuse(name, Code::NotReady)),
                Ok((key, missing)) => return Some(missed(&key, &missing)),
                Err(told) => return Some(told),
            }
        };
        for id in matched {
            if !self.held.contains_key(&id) && !planned.contains(&id) {
                if self.taken() + planned.len() >= self.most {
                    return Some(refuse(name, Code::TooManyTopics));
                }
                planned.insert(id);
            }
        }
        None
    }

    fn find(&self, world: &World, name: &str) -> Result<(TopicKey, Resolve), Told> {
        let key = TopicKey::parse(name).map_err(|problem| refuse(name, problem.code()))?;
        match world.resolve(&key) {
            Resolve::Found(id) if !self.may_see(world, id) => Err(refuse(name, Code::NotEntitled)),
            resolved => Ok((key, resolved)),
        }
    }

    fn matching(&self, world: &World, name: &str) -> Result<Vec<u32>, Told> {
        let pattern = Pattern::parse(name).map_err(|problem| refuse(name, problem.code()))?;
        Ok(world.matching(&pattern).into_iter().filter(|id| self.may_see(world, *id)).collect())
    }

    fn named(&mut self, world: &World, action: &Action, name: &str) -> Told {
        let key = match TopicKey::parse(name) {
            Ok(key) => key,
            Err(problem) => return refuse(name, problem.code()),
        };
        let resolved = world.resolve(&key);
        match (action, resolved) {
            (Action::Sub { terms, begins, resume }, _) => {
                self.pending.remove(&key);
                self.subscribe(world, key, name, resolved, *terms, *begins, resume)
            }
            (Action::Get, Resolve::Found(id)) if !self.may_see(world, id) => refuse(name, Code::NotEntitled),
            (Action::Get, Resolve::Found(id)) => self.get(world, id, name),
            (Action::Get, Resolve::Pending) => refuse(name, Code::NotReady),
            (Action::Get, missing) => missed(&key, &missing),
            (Action::Unsub, _) => {
                let was_pending = self.pending.remove(&key).is_some();
                match resolved {
                    Resolve::Found(id) if self.held.contains_key(&id) => self.end(id),
                    _ if was_pending => {}
                    _ => return refuse(name, Code::NotSubscribed),
                }
                Told::Ended(name.to_owned())
            }
            (_, Resolve::Found(id)) if self.held.contains_key(&id) => self.alter(world, action, id),
            _ => {
                let Some(waiting) = self.pending.get_mut(&key) else { return refuse(name, Code::NotSubscribed) };
                change(&mut waiting.terms, &mut waiting.paused, action);
                if !waiting.paused {
                    return Told::Pending(name.to_owned());
                }
                let trades = (key.kind == Kind::Trade).then_some(waiting.terms.mode);
                Told::Paused { topic: name.to_owned(), id: None, pace: waiting.terms.pace, trades, replaces: None }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    fn subscribe(
        &mut self,
        world: &World,
        key: TopicKey,
        name: &str,
        resolved: Resolve,
        terms: Terms,
        begins: Begins,
        resume: &BTreeMap<String, Place>,
    ) -> Told {
        let origin = |own: Option<String>| {
            let place = resume.get(name).or_else(|| resume.get(&own?));
            place.map_or(Origin::Fresh(begins), |place| Origin::At(place.clone()))
        };
        match resolved {
            Resolve::Found(id) if !self.may_see(world, id) => refuse(name, Code::NotEntitled),
            Resolve::Found(id) if self.held.contains_key(&id) || self.has_room() => {
                self.start(world, id, terms, origin(Some(world.key(id).to_string())))
            }
            Resolve::Pending if self.has_room() => {
                self.pending.insert(key, Waiting { terms, origin: origin(None), paused: false });
                Told::Pending(name.to_owned())
            }
            Resolve::Found(_) | Resolve::Pending => refuse(name, Code::TooManyTopics),
            missing => missed(&key, &missing),
        }
    }

    fn expand(&mut self, world: &World, action: &Action, name: &str) -> Result<Vec<u32>, Told> {
        let pattern = Pattern::parse(name).map_err(|problem| refuse(name, problem.code()))?;
        match action {
            Action::Get => return self.matching(world, name),
            Action::Sub { terms, begins, .. } => {
                self.patterns.retain(|standing| standing.pattern != pattern);
                if self.patterns.len() >= MAX_PATTERNS {
                    return Err(refuse(name, Code::TooManyTopics));
                }
                if self.patterns.is_empty() {
                    self.seen = world.keys.len() as u32;
                }
                self.patterns.push(Standing { pattern, terms: *terms, origin: Origin::Fresh(*begins), paused: false });
                return self.matching(world, name);
            }
            _ => {}
        }
        let at = self.patterns.iter().position(|standing| standing.pattern == pattern);
        let at = at.ok_or_else(|| refuse(name, Code::NotSubscribed))?;
        if matches!(action, Action::Unsub) {
            self.patterns.remove(at);
        } else {
            let standing = &mut self.patterns[at];
            change(&mut standing.terms, &mut standing.paused, action);
        }
        Ok(self.held.keys().copied().filter(|id| pattern.matches(world.key(*id))).collect())
    }

    /// One topic of a pattern.
    fn topic(&mut self, world: &World, action: &Action, id: u32, pattern: &str) -> Option<Told> {
        Some(match action {
            Action::Sub { .. } if !self.held.contains_key(&id) && !self.has_room() => refuse(pattern, Code::TooManyTopics),
            Action::Sub { terms, begins, resume } => {
                let place = resume.get(&world.key(id).to_string());
                let origin = place.map_or(Origin::Fresh(*begins), |place| Origin::At(place.clone()));
                self.start(world, id, *terms, origin)
            }
            Action::Unsub => {
                self.end(id);
                return None;
            }
            Action::Get => self.get(world, id, pattern),
            Action::Mod(_) | Action::Pause | Action::Continue => self.alter(world, action, id),
        })
    }

    fn settle(&mut self, world: &World, key: TopicKey, waiting: Waiting) -> Option<Told> {
        match world.resolve(&key) {
            Resolve::Found(id) if self.may_see(world, id) => {
                let told = self.start(world, id, waiting.terms, waiting.origin);
                Some(if waiting.paused { self.pause(world, id) } else { told })
            }
            Resolve::Found(_) => Some(refuse(&key.to_string(), Code::NotEntitled)),
            Resolve::Pending => {
                self.pending.insert(key, waiting);
                None
            }
            missing => Some(missed(&key, &missing)),
        }
    }

    fn join(&mut self, world: &World, id: u32) -> Option<Told> {
        let standing = self.patterns.iter().rfind(|standing| standing.pattern.matches(world.key(id)))?;
        if self.held.contains_key(&id) || !self.may_see(world, id) {
            return None;
        }
        if !self.has_room() {
            return Some(refuse(&standing.pattern.to_string(), Code::TooManyTopics));
        }
        let (terms, origin, paused) = (standing.terms, standing.origin.clone(), standing.paused);
        let told = self.start(world, id, terms, origin);
        Some(if paused { self.pause(world, id) } else { told })
    }

    fn pause(&mut self, world: &World, id: u32) -> Told {
        self.alter(world, &Action::Pause, id)
    }

    fn start(&mut self, world: &World, id: u32, terms: Terms, origin: Origin) -> Told {
        let floor_ms = self.floor_ms;
        if let Some(held) = self.held.get_mut(&id) {
            let restarts = held.set(world, id, terms, floor_ms);
            held.resume();
            let start = if restarts { Start::Snapshot } else { Start::Delta };
            return self.live(world, id, terms, Some(start));
        }
        let mut held = Held::new(terms, origin, floor_ms);
        let start = held.start(world, id);
        let lost = held.place.filter(|_| world.key(id).kind == Kind::Trade).map(|place| world.at(id).lack(place, world.ring));
        if self.once.remove(&id).is_some() {
            held.promise(world, id);
        }
        self.held.insert(id, held);
        let mut told = self.live(world, id, terms, start);
        if let Told::Live { lack, .. } = &mut told {
            *lack = lost;
        }
        told
    }

    fn end(&mut self, id: u32) {
        if let Some(held) = self.held.remove(&id)
            && held.promised
        {
            self.once.insert(id, None);
        }
    }

    fn get(&mut self, world: &World, id: u32, name: &str) -> Told {
        if let Some(held) = self.held.get_mut(&id) {
            held.promise(world, id);
        } else if !self.once.contains_key(&id) {
            if !self.has_room() {
                return refuse(name, Code::TooManyTopics);
            }
            self.once.insert(id, None);
        }
        Told::Once(world.key(id).to_string(), id)
    }

    /// `mod`, `pause` or `continue` of what is held.
    fn alter(&mut self, world: &World, action: &Action, id: u32) -> Told {
        let floor_ms = self.floor_ms;
        let Some(held) = self.held.get_mut(&id) else { return refuse(&world.key(id).to_string(), Code::NotSubscribed) };
        let (mut terms, mut paused) = (held.terms, held.paused);
        change(&mut terms, &mut paused, action);
        match action {
            Action::Mod(Change { depth: Some(depth), .. }) if world.key(id).depth() != Some(*depth) => {
                let key = world.key(id);
                if key.kind != Kind::Book {
                    return refuse(&key.to_string(), Code::BadRequest);
                }
                let another = TopicKey { argument: Some((*depth).into()), ..key.clone() };
                let Resolve::Found(another) = world.resolve(&another) else { panic!("a book has all depths") };
                if !self.may_see(world, another) {
                    return refuse(&key.to_string(), Code::NotEntitled);
                }
                return self.replace(world, id, another, terms, paused);
            }
            Action::Mod(_) => _ = held.set(world, id, terms, floor_ms),
            Action::Continue => held.resume(),
            _ => held.paused = paused,
        }
        self.in_force(world, id)
    }

    /// A book of another depth takes the place of this one.
    fn replace(&mut self, world: &World, id: u32, another: u32, terms: Terms, paused: bool) -> Told {
        self.end(id);
        let mut told = self.start(world, another, terms, Origin::Fresh(Begins::Newest));
        if paused {
            told = self.pause(world, another);
        }
        if let Told::Live { replaces, .. } | Told::Paused { replaces, .. } = &mut told {
            *replaces = Some(world.key(id).to_string());
        }
        told
    }

    fn in_force(&self, world: &World, id: u32) -> Told {
        let held = &self.held[&id];
        match self.live(world, id, held.terms, held.start(world, id)) {
            Told::Live { topic, id, pace, trades, replaces, .. } if held.paused => {
                Told::Paused { topic, id: Some(id), pace, trades, replaces }
            }
            told => told,
        }
    }
}

impl Held {
    fn new(terms: Terms, origin: Origin, floor_ms: u32) -> Self {
        let (place, view, begins) = match origin {
            Origin::At(place) => (Some((place.epoch, place.seq)), place.view, Begins::Newest),
            Origin::Fresh(begins) => (None, None, begins),
        };
        Self {
            terms,
            paused: false,
            promised: false,
            place,
            begins,
            resumed: place.is_some(),
            view,
            is_free: true,
            at_once: true,
            updated: None,
            least_ms: interval(terms.pace, floor_ms),
            most_ms: interval(terms.pace, floor_ms),
            is_old: false,
            records: 0,
            merged: 0,
        }
    }

    /// How data begins, or goes on, from where the subscription stands; none: only the server's log can tell.
    fn start(&self, world: &World, id: u32) -> Option<Start> {
        let key = world.key(id);
        let truth = world.at(id);
        match self.place {
            None if self.begins == Begins::Now && key.kind == Kind::Trade => Some(Start::Now),
            None if self.begins != Begins::Newest && key.kind == Kind::Trade => Some(Start::Back),
            Some((epoch, seq)) if epoch == truth.epoch => match truth.head(key) {
                Some(head) if seq <= head => Some(Start::Delta),
                Some(_) => Some(Start::Snapshot),
                None => None,
            },
            _ => Some(Start::Snapshot),
        }
    }

    /// New terms. True if it has to begin anew, because trades that a summary had cannot be told one by one any more.
    fn set(&mut self, world: &World, id: u32, terms: Terms, floor_ms: u32) -> bool {
        let former = self.terms;
        let is_stream = world.key(id).kind.row().class == Class::Stream;
        self.terms = Terms { mode: if is_stream { terms.mode } else { former.mode }, ..terms };
        let truth = world.at(id);
        let reaches = |(epoch, seq): (u64, u64)| {
            let length = truth.tape().len();
            epoch == truth.epoch && seq as usize <= length && seq as usize + world.ring >= length
        };
        let to_every = former.mode == TradeMode::Summary && self.terms.mode == TradeMode::Every;
        let restarts = to_every && self.place.is_some_and(|place| !reaches(place));
        if restarts {
            (self.place, self.begins) = (None, Begins::Newest);
        }
        if former.pace != self.terms.pace {
            (self.is_free, self.at_once) = (true, true);
            (self.least_ms, self.most_ms) = (interval(terms.pace, floor_ms), interval(terms.pace, floor_ms));
        }
        self.is_free |= restarts;
        self.is_old &= self.terms.max_age != MaxAge::Off;
        restarts
    }

    /// Ends a pause.
    fn resume(&mut self) {
        if std::mem::replace(&mut self.paused, false) {
            (self.is_free, self.at_once) = (true, true);
        }
    }

    fn promise(&mut self, world: &World, id: u32) {
        self.promised = true;
        (self.is_free, self.at_once) = (true, true);
        if !(world.key(id).kind == Kind::Trade && self.place.is_some()) {
            (self.place, self.begins) = (None, Begins::Newest);
        }
    }
}

fn change(terms: &mut Terms, paused: &mut bool, action: &Action) {
    match action {
        Action::Mod(Change { pace, trades, trade_safe, focus, max_age, .. }) => {
            *terms = Terms {
                pace: pace.unwrap_or(terms.pace),
                mode: trades.unwrap_or(terms.mode),
                trade_safe: trade_safe.unwrap_or(terms.trade_safe),
                focus: focus.unwrap_or(terms.focus),
                max_age: max_age.unwrap_or(terms.max_age),
            };
        }
        Action::Pause => *paused = true,
        Action::Continue => *paused = false,
        Action::Sub { .. } | Action::Unsub | Action::Get => {}
    }
}

/// The interval of this pace under a floor, in ms; 0: none.
fn interval(pace: Pace, floor_ms: u32) -> u32 {
    match pace {
        Pace::EveryMs(ms) => ms.max(floor_ms),
        Pace::Realtime | Pace::Credit => floor_ms,
    }
}

fn refuse(name: &str, code: Code) -> Told {
    Told::Refused(name[..name.len().min(MAX_NAME)].to_owned(), code)
}

fn missed(key: &TopicKey, missing: &Resolve) -> Told {
    refuse(&key.to_string(), if *missing == Resolve::UnknownVenue { Code::UnknownVenue } else { Code::UnknownSymbol })
}
