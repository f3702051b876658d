//! The request in hand. In: a request text. Out: its one answer, in parts of bounded size, each with the topics that are in force by it.
//! Bounded: one request a session, one part a call; between two parts the session writes data and the shard serves others.

use super::listing::Listing;
use super::tickets::{Gathering, Opener, Redeeming};
use super::{GRANTS_PER_SECOND, SessionCore, Wish, not_entitled, pattern, refuse_missing, refused, too_many_patterns, topic_key};
use crate::config::{MAX_PATTERNS, REPLY_PART_BYTES};
use crate::session::ticket::{Ticket, TicketError};
use crate::subs::Terms;
use crate::subs::bucket::{Admission, CommandBucket};
use crate::topic::{Resolve, Topic};
use std::collections::BTreeSet;
use wire::code::{Close, Code};
use wire::request::{Change, Reply, Request, Sub, TopicResult};
use wire::topic::Pattern;

/// Topics handled in one part.
const TOPICS_A_PART: usize = 256;
/// Names looked up in one part of the check of a strict request.
const CHECKS_A_PART: usize = 512;

const CHANGES_NOTHING: &str = "'mod' needs one of 'pace', 'trades', 'depth', 'trade_safe', 'focus' and 'max_age'";

/// A request text that was read. Reading needs no session, so that of a long text may happen on another thread.
pub struct Parsed {
    request: Result<Request, Unread>,
    /// Of a `resume`, if it was opened already.
    ticket: Option<Result<Ticket, TicketError>>,
}

impl Parsed {
    /// Opens the ticket that the request may hold: a long one takes its time.
    pub fn opened(mut self, opener: &Opener) -> Self {
        if let Ok(Request::Resume { ticket, .. }) = &self.request {
            self.ticket = Some(opener.open(ticket));
        }
        self
    }
}

struct Unread {
    id: Option<u64>,
    code: Code,
    message: String,
}

pub fn read(text: &str) -> Parsed {
    let request = serde_json::from_str(text).map_err(|problem| {
        let message = problem.to_string();
        let code = if message.starts_with("unknown variant") { Code::UnknownRequest } else { Code::BadRequest };
        Unread { id: id_of(text), code, message }
    });
    Parsed { request, ticket: None }
}

/// The `id` of a request that could not be read as a whole.
fn id_of(text: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(text).ok()?.get("id")?.as_u64()
}

pub(super) enum Work {
    Asked(Asked),
    Listing(Listing),
    Gathering(Gathering),
    Redeeming(Redeeming),
}

/// A request about topics.
pub(super) struct Asked {
    id: Option<u64>,
    action: Action,
    names: Vec<String>,
    /// The next of `names`.
    at: usize,
    /// Topics of the pattern in hand that are still to be handled.
    matched: std::vec::IntoIter<u32>,
    /// Patterns so far, and what they matched: one topic that several match is answered once.
    patterns: usize,
    told: BTreeSet<u32>,
    phase: Phase,
}

pub(super) enum Action {
    Sub(Wish),
    Unsub,
    Mod(Change),
    Pause,
    Continue,
    Get {
        /// A client found a mismatch.
        heal: bool,
    },
}

enum Phase {
    /// A strict request is gone through without effect first.
    Check(Plan),
    /// Something was refused: say for each topic what.
    Refuse(Plan),
    Do,
}

/// What a strict request would take.
#[derive(Default)]
struct Plan {
    topics: BTreeSet<u32>,
    patterns: usize,
    refused: bool,
}

impl SessionCore {
    /// Takes a request in. The reply is its answer, the first part of it, or none yet: then `work` goes on.
    /// `Err`: the connection has to be closed.
    pub fn on_request(&mut self, parsed: Parsed) -> Result<Option<Reply>, Close> {
        let context = &self.shard.context;
        context.metrics.commands.add(1);
        // Grants are as frequent as frames; they have a bucket of their own.
        let Parsed { request, ticket } = parsed;
        let (bucket, per_second) = match request {
            Ok(Request::Grant { .. }) => {
                let bucket = || Box::new(CommandBucket::new(GRANTS_PER_SECOND, GRANTS_PER_SECOND));
                (self.grants.get_or_insert_with(bucket).as_mut(), GRANTS_PER_SECOND)
            }
            _ => (&mut self.commands, context.session.commands_per_second),
        };
        match bucket.admit() {
            Admission::Granted => {}
            Admission::Hopeless => return Err(Close::TooManyCommands),
            Admission::Refused { retry_in } => {
                context.metrics.rate_limited_commands.add(1);
                let wait_ms = retry_in.as_millis() + 1;
                let message = format!("more than {per_second} commands per second; next one in {wait_ms} ms");
                let id = request.map_or_else(|unread| unread.id, |request| request.id());
                return Ok(Some(self.refuse(id, Code::RateLimited, &message)));
            }
        }
        let (id, action, topics, strict) = match request {
            Ok(Request::Sub(asked)) => {
                let Sub { id, topics, pace, trades, snapshot, resume, strict, since, trade_safe, focus, max_age } = asked;
                let terms = Terms { pace, mode: trades, trade_safe, focus, max_age };
                (id, Action::Sub(Wish { terms, snapshot, since, resume }), Some(topics), strict)
            }
            Ok(Request::Unsub { id, topics }) => (id, Action::Unsub, Some(topics), false),
            Ok(Request::Mod(news)) if news.change() == Change::default() => {
                return Ok(Some(self.refuse(news.id, Code::BadRequest, CHANGES_NOTHING)));
            }
            Ok(Request::Mod(news)) => (news.id, Action::Mod(news.change()), Some(news.topics), false),
            Ok(Request::Pause { id, topics }) => (id, Action::Pause, topics, false),
            Ok(Request::Continue { id, topics }) => (id, Action::Continue, topics, false),
            Ok(Request::Ticket { id }) => {
                return Ok(self.begin(Work::Gathering(self.gather(id))));
            }
            Ok(Request::Resume { id, ticket: text, resume }) => {
                return Ok(match ticket.unwrap_or_else(|| self.opener().open(&text)) {
                    Ok(ticket) => {
                        let redeeming = self.redeem(id, ticket, resume);
                        self.begin(Work::Redeeming(redeeming))
                    }
                    Err(problem) => Some(self.refuse(id, problem.code(), &problem.to_string())),
                });
            }
            Ok(Request::Get { id, topics, heal }) => (id, Action::Get { heal }, Some(topics), false),
            // As frequent as frames are: answered only if it asks for that.
            Ok(Request::Grant { id, frames }) => {
                let frames = self.grant(frames);
                return Ok(id.map(|id| Reply::Granted { id: Some(id), frames }));
            }
            Ok(Request::Budget { id, bytes_per_second }) => return Ok(Some(self.budget(id, bytes_per_second))),
            Ok(Request::List { id, pattern, limit, after }) => return Ok(Some(self.list(id, &pattern, limit, after))),
            Ok(Request::Explain { id, topic }) => return Ok(Some(self.explain(id, &topic))),
            Ok(Request::Ping { id }) => {
                let (route, starting) = (context.map.route(), context.map.is_starting());
                return Ok(Some(Reply::Pong { id, time: context.clock.wall_ns().to_string(), route, starting }));
            }
            Err(Unread { id, code, message }) => return Ok(Some(self.refuse(id, code, &message))),
        };
        if let Some(refused) = topics.as_deref().and_then(|topics| self.refuse_crowd(id, topics)) {
            return Ok(Some(refused));
        }
        let work = match topics {
            Some(topics) => Work::new(id, action, topics, strict),
            None => self.about_all(id, action),
        };
        Ok(self.begin(work))
    }

    /// Takes it in hand and does its first part.
    fn begin(&mut self, work: Work) -> Option<Reply> {
        self.work = Some(Box::new(work));
        self.work()
    }

    pub fn is_working(&self) -> bool {
        self.work.is_some()
    }

    /// Does the next part of what is in hand. None: nothing is to be said about it.
    pub fn work(&mut self) -> Option<Reply> {
        let mut work = self.work.take()?;
        let (mut reply, is_done) = match &mut *work {
            Work::Asked(asked) => (asked.part(self), asked.is_done()),
            Work::Gathering(gathering) => {
                gathering.gather(self);
                (None, gathering.is_done())
            }
            Work::Redeeming(redeeming) => (Some(redeeming.part(self)), redeeming.is_done()),
            Work::Listing(listing) => (listing.part(self), listing.is_done()),
        };
        if !is_done {
            self.work = Some(work);
        } else if let Work::Gathering(gathering) = *work {
            reply = Some(gathering.seal(self));
        }
        if let Some(Reply::Ack { results, .. }) = &reply {
            self.count_refusals(results);
        }
        reply
    }

    fn count_refusals(&self, results: &[TopicResult]) {
        for result in results {
            if let TopicResult::Refused { code, .. } = result
                && let Some(code) = Code::from_name(code)
            {
                self.shard.context.metrics.refused(code);
            }
        }
    }

    /// Would this name of a strict request be granted, besides those planned before it?
    fn judge(&self, name: &str, plan: &mut Plan) -> Result<(), TopicResult> {
        let room = |plan: &Plan| self.held.len() + self.pending.len() + self.once.len() + plan.topics.len();
        let most = self.shard.context.session.max_subscriptions;
        if Pattern::is_pattern(name) {
            let pattern = pattern(name)?;
            if self.patterns.len() + plan.patterns >= MAX_PATTERNS {
                return Err(too_many_patterns(name));
            }
            plan.patterns += 1;
            for id in self.matching(&pattern) {
                if !self.held.contains_key(&id) && plan.topics.insert(id) && room(plan) > most {
                    plan.topics.remove(&id);
                    return Err(self.too_many(name));
                }
            }
            return Ok(());
        }
        let key = topic_key(name)?;
        match self.shard.context.map.resolve(&key) {
            Resolve::Found(id) if !self.may_see(id) => Err(not_entitled(name)),
            Resolve::Found(id) => {
                if !self.held.contains_key(&id) && plan.topics.insert(id) && room(plan) > most {
                    plan.topics.remove(&id);
                    return Err(self.too_many(name));
                }
                Ok(())
            }
            Resolve::Pending => Err(not_ready(name)),
            missing => Err(refuse_missing(&key, &missing)),
        }
    }
}

impl Work {
    pub fn new(id: Option<u64>, action: Action, names: Vec<String>, strict: bool) -> Self {
        let phase = if strict { Phase::Check(Plan::default()) } else { Phase::Do };
        Self::asked(id, action, names, Vec::new(), phase)
    }

    /// For topics that are known by their ids.
    pub fn about(id: Option<u64>, action: Action, topics: Vec<u32>) -> Self {
        Self::asked(id, action, Vec::new(), topics, Phase::Do)
    }

    fn asked(id: Option<u64>, action: Action, names: Vec<String>, topics: Vec<u32>, phase: Phase) -> Self {
        let matched = topics.into_iter();
        Self::Asked(Asked { id, action, names, at: 0, matched, patterns: 0, told: BTreeSet::new(), phase })
    }
}

impl Asked {
    fn is_done(&self) -> bool {
        !matches!(self.phase, Phase::Check(_)) && self.at >= self.names.len() && self.matched.as_slice().is_empty()
    }

    fn part(&mut self, core: &mut SessionCore) -> Option<Reply> {
        if let Phase::Check(plan) = &mut self.phase {
            for _ in 0..CHECKS_A_PART {
                let Some(name) = self.names.get(self.at) else { break };
                self.at += 1;
                plan.refused |= core.judge(name, plan).is_err();
                if Pattern::is_pattern(name) {
                    break;
                }
            }
            if self.at < self.names.len() {
                return None;
            }
            self.at = 0;
            self.phase = if plan.refused { Phase::Refuse(Plan::default()) } else { Phase::Do };
        }
        let (mut results, mut bytes) = (Vec::new(), 0);
        for _ in 0..TOPICS_A_PART {
            let Some(expanded) = self.next(core, &mut results) else { break };
            bytes += results.last().map_or(0, size);
            // Matching looks at every topic there is.
            if expanded || bytes >= REPLY_PART_BYTES {
                break;
            }
        }
        Some(Reply::Ack { id: self.id, results, more: !self.is_done() })
    }

    /// Handles one topic or name. True if it was a pattern that was expanded; none if there is nothing left.
    fn next(&mut self, core: &mut SessionCore, results: &mut Vec<TopicResult>) -> Option<bool> {
        if let Some(id) = self.matched.next() {
            let name = self.at.checked_sub(1).and_then(|at| self.names.get(at)).map_or("", String::as_str);
            let result = core.apply(&self.action, id, name);
            if matches!(&result, Some(TopicResult::Refused { code, .. }) if code == Code::TooManyTopics.name()) {
                // One refusal stands for the rest of the pattern.
                self.matched = Vec::new().into_iter();
            }
            results.extend(result);
            return Some(false);
        }
        let name = self.names.get(self.at)?;
        self.at += 1;
        if let Phase::Refuse(plan) = &mut self.phase {
            let granted = |()| refused(name, Code::NotAllGranted, "another topic of this strict request was refused");
            results.push(core.judge(name, plan).map_or_else(|refused| refused, granted));
            return Some(Pattern::is_pattern(name));
        }
        if !Pattern::is_pattern(name) {
            results.push(core.apply_to_name(&self.action, name));
            return Some(false);
        }
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            results.push(too_many_patterns(name));
            return Some(false);
        }
        match core.expand(&self.action, name) {
            Ok(mut matched) => {
                results.push(match self.action {
                    Action::Unsub => TopicResult::Ended { topic: name.clone() },
                    _ => TopicResult::Pattern { topic: name.clone(), matched: matched.len() as u64 },
                });
                matched.retain(|id| self.told.insert(*id));
                self.matched = matched.into_iter();
            }
            Err(refused) => results.push(refused),
        }
        Some(true)
    }
}

impl SessionCore {
    /// One topic, by its id; of a pattern called `name`.
    fn apply(&mut self, action: &Action, id: u32, name: &str) -> Option<TopicResult> {
        Some(match action {
            Action::Sub(_) if !self.held.contains_key(&id) && !self.room() => self.too_many(name),
            Action::Sub(wish) => self.apply_wish(id, wish),
            Action::Unsub => {
                self.end(id);
                return None;
            }
            Action::Mod(news) => self.modify(id, news),
            Action::Pause => self.pause(id),
            Action::Continue => self.proceed(id),
            Action::Get { heal } => self.get(id, name, *heal),
        })
    }

    pub(super) fn apply_wish(&mut self, id: u32, wish: &Wish) -> TopicResult {
        let name = self.shard.context.map.get(id).map(Topic::name);
        let cursor = name.map_or(wish.fresh(), |name| wish.cursor(name, None));
        self.start(id, wish.terms, cursor)
    }

    fn apply_to_name(&mut self, action: &Action, name: &str) -> TopicResult {
        let key = match topic_key(name) {
            Ok(key) => key,
            Err(refused) => return refused,
        };
        match action {
            Action::Sub(wish) => self.subscribe_topic(key, name, wish),
            Action::Unsub => self.unsubscribe(&key, name),
            Action::Get { heal } => self.get_named(&key, name, *heal),
            Action::Mod { .. } | Action::Pause | Action::Continue => self.change_named(action, &key, name),
        }
    }

    /// Takes a pattern in and gives the topics to go on with.
    fn expand(&mut self, action: &Action, name: &str) -> Result<Vec<u32>, TopicResult> {
        match action {
            Action::Sub(wish) => self.subscribe_pattern(name, wish),
            Action::Get { .. } => Ok(self.matching(&pattern(name)?)),
            Action::Unsub | Action::Mod { .. } | Action::Pause | Action::Continue => self.change_pattern(action, name),
        }
    }
}

pub(super) fn not_ready(name: &str) -> TopicResult {
    refused(name, Code::NotReady, "the venue has not listed its instruments yet")
}

/// About the bytes of a result in JSON.
pub(super) fn size(result: &TopicResult) -> usize {
    /// Keys, numbers and braces.
    const REST: usize = 128;
    let message = if let TopicResult::Refused { message, .. } = result { message } else { "" };
    spelled(result.topic()) + spelled(message) + REST
}

/// The bytes of a text in JSON.
fn spelled(text: &str) -> usize {
    let each = text.bytes().map(|byte| match byte {
        0..=0x1f => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    });
    each.sum()
}
