//! The plain subscription manager: what one connection holds, and what each request must be answered. In: requests, listings. Out: the
//! results one by one, in the order in which the session works. Bounded by `max_subscriptions`.

use super::held::{Begins, Held, Origin, Place, interval};
use super::script::{Action, Script, Step, change};
use super::told::{Told, missed, refuse};
use super::world::World;
use crate::config::MAX_PATTERNS;
use crate::subs::Terms;
use crate::topic::Resolve;
use std::collections::{BTreeMap, BTreeSet};
use wire::code::Code;
use wire::kind::Kind;
use wire::request::{Change, Pace, Start};
use wire::topic::{Pattern, TopicKey};
use wire::view::View;

#[derive(Debug)]
pub struct Waiting {
    pub terms: Terms,
    pub origin: Origin,
    pub paused: bool,
}

#[derive(Debug)]
pub struct Standing {
    pub pattern: Pattern,
    pub terms: Terms,
    pub origin: Origin,
    pub paused: bool,
}

pub struct Account {
    pub held: BTreeMap<u32, Held>,
    /// Topics asked for once, with what came of them so far.
    pub once: BTreeMap<u32, Option<View>>,
    pub pending: BTreeMap<TopicKey, Waiting>,
    pub patterns: Vec<Standing>,
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
            held.intervals.insert(interval(held.terms.pace, floor_ms));
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
        held.intervals = BTreeSet::from([interval(held.terms.pace, floor_ms)]);
        (held.updated, held.at_once) = (Some(now), false);
    }

    fn live(&self, world: &World, id: u32, terms: Terms, start: Option<Start>) -> Told {
        let key = world.key(id);
        let trades = (key.kind == Kind::Trade).then_some(terms.mode);
        let (pace, is_limited) = self.pace(&terms);
        Told::Live { topic: key.to_string(), id, pace, is_limited, trades, start, lack: None, from: None, replaces: None }
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

    pub fn has_room(&self) -> bool {
        self.taken() < self.most
    }

    pub fn is_within_limits(&self) -> bool {
        self.taken() <= self.most
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

    pub fn named(&mut self, world: &World, action: &Action, name: &str) -> Told {
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
                if matches!(action, Action::Mod(Change { depth: Some(_), .. })) {
                    return refuse(name, Code::NotReady);
                }
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
    pub fn subscribe(
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

    pub fn expand(&mut self, world: &World, action: &Action, name: &str) -> Result<Vec<u32>, Told> {
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
        if matches!(action, Action::Mod(Change { depth: Some(_), .. })) {
            return Err(refuse(name, Code::BadRequest));
        }
        if matches!(action, Action::Unsub) {
            self.patterns.remove(at);
        } else {
            let standing = &mut self.patterns[at];
            change(&mut standing.terms, &mut standing.paused, action);
        }
        Ok(self.held.keys().copied().filter(|id| pattern.matches(world.key(*id))).collect())
    }

    /// One topic of a pattern.
    pub fn topic(&mut self, world: &World, action: &Action, id: u32, pattern: &str) -> Option<Told> {
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

    pub fn settle(&mut self, world: &World, key: TopicKey, waiting: Waiting) -> Option<Told> {
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

    pub fn join(&mut self, world: &World, id: u32) -> Option<Told> {
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

    pub fn pause(&mut self, world: &World, id: u32) -> Told {
        self.alter(world, &Action::Pause, id)
    }

    pub fn start(&mut self, world: &World, id: u32, terms: Terms, origin: Origin) -> Told {
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
        let takes_another = self.held[&id].promised && !self.held.contains_key(&another) && !self.once.contains_key(&another);
        if takes_another && !self.has_room() {
            return refuse(&world.key(id).to_string(), Code::TooManyTopics);
        }
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
