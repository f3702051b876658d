//! What is still to be answered of a request or a listing. In: names and topics. Out: the results one by one, in the order in which the
//! session works. Bounded by the request.

use super::held::{Begins, Place};
use super::reference::{Account, Waiting};
use super::tickets::{Entry, StandingEntry};
use super::told::Told;
use super::world::World;
use crate::subs::Terms;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::code::Code;
use wire::request::Change;
use wire::topic::{Pattern, TopicKey};

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
pub enum Step {
    Name(String),
    /// One topic of this pattern; of none: all that is held.
    Topic(u32, String),
    Refuse(Told),
    Settle(TopicKey, Waiting),
    Join(u32),
    TakeUp(Entry),
    Stand(StandingEntry),
    Follow(u32, StandingEntry),
}

/// What is still to be answered of a request or a listing.
#[derive(Debug)]
pub struct Script {
    pub action: Action,
    pub steps: VecDeque<Step>,
    told: BTreeSet<u32>,
}

impl Script {
    pub fn new(action: Action, steps: impl Iterator<Item = Step>) -> Self {
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
                Step::TakeUp(entry) => Some(account.take_up(world, entry)),
                Step::Stand(entry) => Some(match account.stand(world, &entry) {
                    Ok((told, matched)) => {
                        let follow = |id: &u32| Step::Follow(*id, entry.clone());
                        matched.iter().rev().map(follow).for_each(|step| self.steps.push_front(step));
                        told
                    }
                    Err(told) => told,
                }),
                Step::Follow(id, entry) => {
                    let told = account.follow(world, id, &entry);
                    if matches!(told, Some(Told::Refused(..))) {
                        while matches!(self.steps.front(), Some(Step::Follow(..))) {
                            self.steps.pop_front();
                        }
                    }
                    told
                }
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

pub fn change(terms: &mut Terms, paused: &mut bool, action: &Action) {
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
