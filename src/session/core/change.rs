//! Subscriptions of one session changed in place: `mod`, `pause`, `continue`, `unsub`, and the snapshots of `get`. In: topics. Out: a
//! result each, which says what is in force before the first update at it. Bounded by what is held.

use super::start::start_of;
use super::work::{Action, Work, not_ready};
use super::{SessionCore, is_stream, not_entitled, pattern, refuse_missing, refused};
use crate::subs::Terms;
use crate::topic::{Cursor, Resolve};
use wire::answer::Standing;
use wire::code::Code;
use wire::kind::{Class, Depth, Kind};
use wire::request::{Change, TopicResult};
use wire::topic::TopicKey;

impl SessionCore {
    /// `pause` or `continue` of everything.
    pub(super) fn about_all(&mut self, id: Option<u64>, action: Action) -> Work {
        let paused = matches!(action, Action::Pause);
        self.patterns.iter_mut().for_each(|standing| standing.paused = paused);
        self.pending.values_mut().for_each(|waiting| waiting.paused = paused);
        Work::about(id, action, self.held.keys().copied().collect())
    }

    pub(super) fn modify(&mut self, id: u32, news: &Change) -> TopicResult {
        let Some(handle) = self.held.get(&id).copied() else { return self.not_held(id) };
        if let Some(depth) = news.depth {
            let another = self.of_depth(id, depth);
            match another {
                Ok(another) if another == id => {}
                Ok(another) => return self.replace(id, another, news),
                Err(refused) => return refused,
            }
        }
        let map = &self.shard.context.map;
        let mut manager = self.shard.manager.borrow_mut();
        let Some(account) = manager.account(map, handle) else { return self.not_held(id) };
        let mut terms = account.terms.changed(news);
        if !map.get(id).is_some_and(is_stream) {
            terms.mode = account.terms.mode;
        }
        let now = self.shard.context.clock.mono_ns();
        manager.set_mode(map, handle, terms.mode, now);
        manager.set_terms(map, handle, terms, now);
        drop(manager);
        self.note_age(id, terms.max_age);
        self.in_force(id)
    }

    /// The same book at another depth.
    fn of_depth(&self, id: u32, depth: Depth) -> Result<u32, TopicResult> {
        let map = &self.shard.context.map;
        let Some(topic) = map.get(id) else { return Err(self.not_held(id)) };
        let key = topic.key();
        if key.kind != Kind::Book {
            return Err(refused(topic.name(), Code::BadRequest, "only books have a depth"));
        }
        let another = TopicKey::new(Kind::Book, &key.venue, &key.symbol, Some(depth.into()));
        match map.resolve(&another) {
            Resolve::Found(another) if self.may_see(another) => Ok(another),
            Resolve::Found(_) => Err(not_entitled(topic.name())),
            missing => Err(refuse_missing(&another, &missing)),
        }
    }

    /// Another depth is another topic: it takes the place of the one that is held, under the same terms.
    fn replace(&mut self, id: u32, another: u32, news: &Change) -> TopicResult {
        let Some(handle) = self.held.get(&id).copied() else { return self.not_held(id) };
        let (account, is_owed) = {
            let manager = self.shard.manager.borrow();
            (manager.account(&self.shard.context.map, handle), manager.is_promised(handle))
        };
        let (Some(account), Some(topic)) = (account, self.shard.context.map.get(id)) else { return self.not_held(id) };
        let name = topic.name().to_owned();
        // A snapshot that was asked for still comes of the former one, which keeps a place until then.
        let takes_another = is_owed && !self.held.contains_key(&another) && !self.once.contains_key(&another);
        if takes_another && !self.room() {
            return self.too_many(&name);
        }
        self.end(id);
        let mut result = self.start(another, account.terms.changed(news), Cursor::NEW);
        if account.standing == Standing::Paused {
            result = self.pause(another);
        }
        if let TopicResult::Live { replaces, .. } | TopicResult::Paused { replaces, .. } = &mut result {
            *replaces = Some(name);
        }
        result
    }

    pub(super) fn pause(&mut self, id: u32) -> TopicResult {
        let Some(handle) = self.held.get_mut(&id) else { return self.not_held(id) };
        *handle = self.shard.manager.borrow_mut().pause(&self.shard.context.map, *handle);
        self.in_force(id)
    }

    pub(super) fn proceed(&mut self, id: u32) -> TopicResult {
        let Some(handle) = self.held.get(&id) else { return self.not_held(id) };
        let context = &self.shard.context;
        self.shard.manager.borrow_mut().unpause(&context.map, *handle, context.clock.mono_ns());
        self.in_force(id)
    }

    pub(super) fn get(&mut self, id: u32, name: &str, heal: bool) -> TopicResult {
        let shard = self.shard.clone();
        let map = &shard.context.map;
        let Some(topic) = map.get(id) else { return self.not_held(id) };
        if heal {
            map.note_mismatch(id);
        }
        let mut manager = shard.manager.borrow_mut();
        if let Some(handle) = self.held.get(&id) {
            manager.promise_snapshot(map, *handle, shard.context.clock.mono_ns());
        } else if !self.once.contains_key(&id) {
            if !self.room() {
                return self.too_many(name);
            }
            self.once.insert(id, manager.subscribe_once(map, self.key, id, shard.context.clock.mono_ns()));
        }
        TopicResult::Once { topic: topic.name().to_owned(), topic_id: id }
    }

    pub(super) fn get_named(&mut self, key: &TopicKey, name: &str, heal: bool) -> TopicResult {
        match self.shard.context.map.resolve(key) {
            Resolve::Found(id) if self.may_see(id) => self.get(id, name, heal),
            Resolve::Found(_) => not_entitled(name),
            Resolve::Pending => not_ready(name),
            missing => refuse_missing(key, &missing),
        }
    }

    pub(super) fn unsubscribe(&mut self, key: &TopicKey, name: &str) -> TopicResult {
        let was_pending = self.pending.remove(key).is_some();
        match self.shard.context.map.resolve(key) {
            Resolve::Found(id) if self.held.contains_key(&id) => self.end(id),
            _ if was_pending => {}
            _ => return not_subscribed(name),
        }
        TopicResult::Ended { topic: name.to_owned() }
    }

    /// `mod`, `pause` or `continue` of one topic.
    pub(super) fn change_named(&mut self, action: &Action, key: &TopicKey, name: &str) -> TopicResult {
        if let Resolve::Found(id) = self.shard.context.map.resolve(key)
            && self.held.contains_key(&id)
        {
            return match action {
                Action::Mod(news) => self.modify(id, news),
                Action::Pause => self.pause(id),
                _ => self.proceed(id),
            };
        }
        let is_stream = key.kind.row().class == Class::Stream;
        let Some(waiting) = self.pending.get_mut(key) else { return not_subscribed(name) };
        if let Action::Mod(Change { depth: Some(_), .. }) = action {
            return refused(name, Code::NotReady, "the depth can be changed once the topic is live");
        }
        change(&mut waiting.terms, &mut waiting.paused, action);
        if !waiting.paused {
            return TopicResult::Pending { topic: name.to_owned() };
        }
        let trades = is_stream.then_some(waiting.terms.mode);
        let (topic, pace) = (name.to_owned(), waiting.terms.pace);
        TopicResult::Paused { topic, topic_id: None, pace, trades, replaces: None }
    }

    /// A change of a standing pattern: for later listings here, for what is held by the ids returned.
    pub(super) fn change_pattern(&mut self, action: &Action, name: &str) -> Result<Vec<u32>, TopicResult> {
        let pattern = pattern(name)?;
        let Some(at) = self.patterns.iter().position(|standing| standing.pattern == pattern) else {
            return Err(refused(name, Code::NotSubscribed, "there is no such pattern subscription"));
        };
        if let Action::Mod(Change { depth: Some(_), .. }) = action {
            return Err(refused(name, Code::BadRequest, "the depth is part of a pattern: subscribe to another one instead"));
        }
        if matches!(action, Action::Unsub) {
            self.patterns.remove(at);
        } else {
            let standing = &mut self.patterns[at];
            change(&mut standing.terms, &mut standing.paused, action);
        }
        let map = &self.shard.context.map;
        let matching = |id: &u32| map.get(*id).is_some_and(|topic| pattern.matches(topic.key()));
        Ok(self.held.keys().copied().filter(matching).collect())
    }

    /// What holds for a subscription from now on.
    fn in_force(&self, id: u32) -> TopicResult {
        let account = self.held.get(&id).and_then(|handle| self.shard.manager.borrow().account(&self.shard.context.map, *handle));
        let (Some(account), Some(topic)) = (account, self.shard.context.map.get(id)) else { return self.not_held(id) };
        if account.standing == Standing::Paused {
            return TopicResult::Paused {
                topic: topic.name().to_owned(),
                topic_id: Some(id),
                pace: account.pace,
                trades: is_stream(topic).then_some(account.terms.mode),
                replaces: None,
            };
        }
        self.live(topic, account.terms, start_of(topic, &account.cursor))
    }

    fn not_held(&self, id: u32) -> TopicResult {
        not_subscribed(self.shard.context.map.get(id).map_or("", |topic| topic.name()))
    }
}

/// A change of something that has no data yet.
fn change(terms: &mut Terms, paused: &mut bool, action: &Action) {
    match action {
        Action::Mod(news) => *terms = terms.changed(news),
        Action::Pause => *paused = true,
        Action::Continue => *paused = false,
        Action::Sub(_) | Action::Unsub | Action::Get { .. } => {}
    }
}

fn not_subscribed(name: &str) -> TopicResult {
    refused(name, Code::NotSubscribed, "there is no such subscription")
}
