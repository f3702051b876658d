//! Requests as texts, and their answers. In: what a client wants. Out: the JSON it sends, what must be answered, and a panic where the
//! answer is another. Bounded by the request.

use super::client::{Client, Connection};
use super::held::{Begins, Place};
use super::operation::{Ask, Resume};
use super::reference::Account;
use super::script::{Action, Script};
use super::tickets::{Ticket, later};
use super::world::World;
use crate::subs::Terms;
use crate::topic::Resolve;
use std::collections::BTreeMap;
use wire::answer::{Explained, Standing};
use wire::code::Code;
use wire::kind::Kind;
use wire::request::{Change, Mod, Pace, Reply, Request, Since, Sub, TopicResult};
use wire::topic::{Pattern, TopicKey};
use wire::view::View;

/// Frames that may be granted ahead.
const MOST_CREDITS: u32 = 1_000;

type Places = BTreeMap<String, Place>;

impl Client {
    /// The places that the client offers to go on from.
    pub fn places(&self, world: &World, ask: &Ask) -> Places {
        if let (Ask::Redeem { with_places: true }, Some(ticket)) = (ask, &self.ticket) {
            let named = |(id, view): (&u32, &View)| (world.key(*id).to_string(), view.clone());
            return later(ticket, &self.kept.iter().map(named).collect());
        }
        let Ask::Sub { topics, resume, .. } = ask else { return Places::new() };
        let mut places = Places::new();
        for name in topics {
            let Ok(ids) = ids(world, name) else { continue };
            for id in ids {
                let key = world.key(id);
                let truth = world.at(id);
                let view = match resume {
                    Resume::Newest => self.kept.get(&id),
                    Resume::Saved => self.saved.get(&id),
                    Resume::Not | Resume::Ahead | Resume::Foreign => None,
                };
                let place = match (resume, view) {
                    (_, Some(view)) => view.sequence.map(|seq| Place { epoch: view.epoch, seq, view: Some(view.clone()) }),
                    (Resume::Ahead, _) => {
                        Some(Place { epoch: truth.epoch, seq: truth.head(key).unwrap_or(0) + 1_000_000, view: None })
                    }
                    (Resume::Foreign, _) => Some(Place { epoch: 1, seq: 3, view: None }),
                    _ => None,
                };
                if let Some(place) = place {
                    // By the name that was asked for or by its own: both count.
                    let by = if Pattern::is_pattern(name) || id % 2 == 0 { key.to_string() } else { name.clone() };
                    places.insert(by, place);
                }
            }
        }
        places
    }
}

fn ids(world: &World, name: &str) -> Result<Vec<u32>, ()> {
    if Pattern::is_pattern(name) {
        return Pattern::parse(name).map(|pattern| world.matching(&pattern)).map_err(|_| ());
    }
    match world.resolve(&TopicKey::parse(name).map_err(|_| ())?) {
        Resolve::Found(id) => Ok(vec![id]),
        _ => Err(()),
    }
}

impl Ask {
    /// As the client sends it.
    pub fn text(&self, number: u64, places: &Places, ticket: Option<&Ticket>) -> String {
        let id = Some(number);
        let request = match self.clone() {
            Self::Sub { topics, terms, snapshot, since, strict, .. } => {
                let resume = places.iter().map(|(name, place)| (name.clone(), (place.epoch, place.seq))).collect();
                let Terms { pace, mode: trades, trade_safe, focus, max_age } = terms;
                let since = since.map(Since);
                Request::Sub(Sub { id, topics, pace, trades, snapshot, resume, strict, since, trade_safe, focus, max_age })
            }
            Self::Unsub(topics) => Request::Unsub { id, topics },
            Self::Mod { topics, change } => Request::Mod(Mod::new(id, topics, change)),
            Self::Pause(topics) => Request::Pause { id, topics },
            Self::Continue(topics) => Request::Continue { id, topics },
            Self::Get { topics, heal } => Request::Get { id, topics, heal },
            Self::Grant { frames, answered } => Request::Grant { id: id.filter(|_| answered), frames },
            Self::Budget { bytes_per_second } => Request::Budget { id, bytes_per_second },
            Self::List { pattern, limit } => Request::List { id, pattern, limit, after: None },
            Self::Explain(topic) => Request::Explain { id, topic },
            Self::Ping => Request::Ping { id },
            Self::Ticket => Request::Ticket { id },
            Self::Redeem { .. } => {
                let resume = places.iter().map(|(name, place)| (name.clone(), (place.epoch, place.seq))).collect();
                Request::Resume { id, ticket: ticket.map_or("none", |ticket| &*ticket.text).to_owned(), resume }
            }
            Self::Garbage(text) => return text.replace("ID", &number.to_string()),
        };
        serde_json::to_string(&request).expect("requests are plain data")
    }

    /// What must be answered, topic by topic; none for what has one answer of its own.
    pub fn script(&self, account: &mut Account, world: &World, places: Places, ticket: Option<&Ticket>) -> Option<Script> {
        Some(match self.clone() {
            Self::Sub { topics, terms, snapshot, since, strict, .. } => {
                let begins = match since {
                    Some(count) => Begins::Back(count),
                    None if snapshot => Begins::Newest,
                    None => Begins::Now,
                };
                account.ask(world, Action::Sub { terms, begins, resume: places }, topics, strict)
            }
            Self::Unsub(topics) => account.ask(world, Action::Unsub, topics, false),
            Self::Mod { change, .. } if change == Change::default() => return None,
            Self::Mod { topics, change } => account.ask(world, Action::Mod(change), topics, false),
            Self::Pause(Some(topics)) => account.ask(world, Action::Pause, topics, false),
            Self::Continue(Some(topics)) => account.ask(world, Action::Continue, topics, false),
            Self::Pause(None) => account.ask_all(Action::Pause),
            Self::Continue(None) => account.ask_all(Action::Continue),
            Self::Get { topics, .. } => account.ask(world, Action::Get, topics, false),
            Self::Redeem { .. } => Account::ask_ticket(ticket.filter(|ticket| ticket.expires > world.wall())?, &places),
            Self::Ticket
            | Self::Grant { .. }
            | Self::Budget { .. }
            | Self::List { .. }
            | Self::Explain(_)
            | Self::Ping
            | Self::Garbage(_) => {
                return None;
            }
        })
    }

    /// True if what is told of each topic is done by then. A strict request is judged before, and a pattern's end is told before its topics'.
    pub fn is_told_as_done(&self) -> bool {
        !matches!(self, Self::Unsub(_) | Self::Sub { strict: true, .. })
    }
}

impl Connection {
    /// One part of an answer.
    pub fn answered(&mut self, world: &World, script: &mut Script, asked: Option<u64>, reply: Option<Reply>) {
        match reply {
            None => {}
            Some(Reply::Ack { id, results, more }) => {
                assert_eq!(id, asked);
                assert_eq!(more, self.core.is_working(), "the last part says so");
                self.agree(world, script, &results);
            }
            Some(other) => panic!("{other:?} to a request of topics"),
        }
    }

    pub fn agree(&mut self, world: &World, script: &mut Script, results: &[TopicResult]) {
        for actual in results {
            let told = script.next(&mut self.account, world);
            let told = told.unwrap_or_else(|| panic!("nothing more was to be said, but it is {actual:?}"));
            assert!(told.agrees(actual), "expected {told:?}\n but it is {actual:?}");
        }
    }

    pub fn finish(&mut self, world: &World, script: &mut Script) {
        let missing = script.next(&mut self.account, world);
        assert_eq!(missing, None, "the answer lacks this");
        assert!(self.account.is_within_limits(), "more is held than may be");
    }

    /// The answer to a question.
    pub fn check_answer(&mut self, world: &World, ask: &Ask, asked: u64, reply: Option<&Reply>, has_ticket: bool) {
        let asked = Some(asked);
        if let Ask::Grant { frames, answered } = ask {
            self.account.credits = self.account.credits.saturating_add(*frames).min(MOST_CREDITS);
            let expected = Reply::Granted { id: asked, frames: self.account.credits };
            return assert_eq!(reply, answered.then_some(&expected));
        }
        let reply = reply.expect("a question is answered at once");
        match (ask, reply) {
            (Ask::Budget { bytes_per_second }, reply) => {
                let bytes_per_second = self.budget(*bytes_per_second, world.mono());
                assert_eq!(*reply, Reply::Budget { id: asked, bytes_per_second });
            }
            (Ask::Ping, Reply::Pong { id, time, .. }) => {
                assert_eq!((*id, time.parse()), (asked, Ok(world.wall())));
            }
            (Ask::Redeem { .. }, Reply::Error { id, code, .. }) => {
                let expected = if has_ticket { Code::TicketExpired } else { Code::BadTicket };
                assert_eq!((*id, code.as_str()), (asked, expected.name()));
            }
            (Ask::Garbage(text), Reply::Error { id, code, .. }) => {
                let expected = if text.contains("dance") { Code::UnknownRequest } else { Code::BadRequest };
                assert_eq!((*id, code.as_str()), (asked, expected.name()));
            }
            (Ask::Mod { .. }, Reply::Error { id, code, .. }) => {
                assert_eq!((*id, code.as_str()), (asked, Code::BadRequest.name()), "a change of nothing");
            }
            (Ask::List { pattern, limit }, Reply::Instruments { id, instruments, next }) => {
                let pattern = Pattern::parse(pattern).expect("it was made as one");
                let sees = |first: u32| (first..first + 14).any(|id| self.account.may_see_key(world.key(id)));
                let listed =
                    world.symbols().filter(|(first, venue, symbol)| pattern.matches_instrument(venue, symbol) && sees(*first));
                let all: Vec<_> = listed.map(|(_, venue, symbol)| (venue, symbol)).collect();
                let most = limit.map_or(100, |limit| limit.max(1)) as usize;
                let told: Vec<_> = instruments.iter().map(|listed| (&*listed.venue, &*listed.symbol)).collect();
                assert_eq!((*id, &told[..]), (asked, &all[..all.len().min(most)]));
                assert!(next.is_some() || all.len() <= most);
            }
            (Ask::Explain(name), reply) => self.explained(world, name, asked, reply),
            _ => panic!("{reply:?} to {ask:?}"),
        }
    }

    fn explained(&self, world: &World, name: &str, asked: Option<u64>, reply: &Reply) {
        let key = TopicKey::parse(name);
        let found = key.as_ref().map(|key| world.resolve(key));
        let held = match found {
            Ok(Resolve::Found(id)) => self.account.held.get(&id).map(|held| (id, held)),
            _ => None,
        };
        match (reply, held) {
            (Reply::Explained(told), Some((topic, held))) => {
                let key = world.key(topic);
                let Explained { id, topic: named, topic_id, state, trades, epoch, sequence, head, lag, .. } = &**told;
                assert_eq!((id, named, topic_id), (&asked, &key.to_string(), &Some(topic)));
                assert_eq!((told.requested_pace, told.pace), (held.terms.pace, self.account.pace_of(held)));
                assert_eq!((told.focus, told.max_age), (held.terms.focus, held.terms.max_age));
                assert_eq!(*trades, (key.kind == Kind::Trade).then_some(held.terms.mode));
                assert_eq!(told.credits, (held.terms.pace == Pace::Credit).then_some(self.account.credits));
                assert_eq!((epoch.zip(*sequence), told.records, told.merged), (held.place, held.records, held.merged));
                assert_eq!(*state == Standing::Paused, held.paused);
                let truth = world.at(topic);
                assert!(truth.head(key).is_none_or(|truth| *head == Some(truth)));
                let place = held.place.filter(|(epoch, _)| *epoch == truth.epoch);
                assert_eq!(*lag, place.zip(*head).map(|((_, at), head)| head.saturating_sub(at)));
            }
            (Reply::Explained(told), None) => {
                let is_paused = key.ok().and_then(|key| self.account.waits(&key)).expect("it is neither held nor pending");
                assert_eq!((told.id, &*told.topic, told.topic_id), (asked, name, None));
                assert_eq!(told.state == Standing::Paused, is_paused);
            }
            (Reply::Error { id, code, .. }, None) => {
                let expected = key.as_ref().err().map_or(Code::NotSubscribed, |problem| problem.code());
                assert!(key.is_err() || key.is_ok_and(|key| self.account.waits(&key).is_none()), "it is pending");
                assert_eq!((*id, code.as_str()), (asked, expected.name()));
            }
            _ => panic!("{reply:?}"),
        }
    }
}
