//! Resume tickets of the plain manager. In: what a connection holds. Out: an account of it, as a ticket must have it, and what must be
//! answered to who gives it back. Bounded by what is held.

use super::held::{Begins, Origin, Place};
use super::reference::{Account, Waiting};
use super::script::{Action, Script, Step};
use super::told::{Told, refuse};
use super::world::World;
use crate::subs::Terms;
use std::collections::BTreeMap;
use wire::code::Code;
use wire::topic::TopicKey;
use wire::view::View;

/// A ticket that a client has, and what the model knows to be in it.
#[derive(Clone, Debug)]
pub struct Ticket {
    pub text: String,
    /// Wall clock, ns.
    pub expires: i64,
    pub topics: Vec<Entry>,
    pub patterns: Vec<StandingEntry>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    terms: Terms,
    paused: bool,
    pub place: Option<Place>,
}

#[derive(Clone, Debug)]
pub struct StandingEntry {
    pattern: String,
    terms: Terms,
    begins: Begins,
    paused: bool,
}

impl Account {
    /// What a ticket of now must hold.
    pub fn ticket(&self, world: &World, text: &str, expires: i64) -> Ticket {
        let pending = self.pending.iter().map(|(key, waiting)| {
            let Waiting { terms, origin, paused } = waiting;
            let place = if let Origin::At(place) = origin { Some(place.clone()) } else { None };
            Entry { name: key.to_string(), terms: *terms, paused: *paused, place }
        });
        let held = self.held.iter().map(|(id, held)| {
            let place = held.place.map(|(epoch, seq)| {
                let view = held.view.clone().filter(|view| (view.epoch, view.sequence) == (epoch, Some(seq)));
                Place { epoch, seq, view }
            });
            Entry { name: world.key(*id).to_string(), terms: held.terms, paused: held.paused, place }
        });
        let patterns = self.patterns.iter().map(|standing| StandingEntry {
            pattern: standing.pattern.to_string(),
            terms: standing.terms,
            // Only whether it is with a snapshot.
            begins: match standing.origin {
                Origin::Fresh(Begins::Now) => Begins::Now,
                _ => Begins::Newest,
            },
            paused: standing.paused,
        });
        Ticket { text: text.to_owned(), expires, topics: pending.chain(held).collect(), patterns: patterns.collect() }
    }

    /// All subscriptions of a ticket. `later` has places that count before those of the ticket.
    pub fn ask_ticket(ticket: &Ticket, later: &BTreeMap<String, Place>) -> Script {
        let topics = ticket.topics.iter().cloned().map(|mut entry| {
            entry.place = later.get(&entry.name).cloned().or(entry.place);
            Step::TakeUp(entry)
        });
        let patterns = ticket.patterns.iter().cloned().map(Step::Stand);
        Script::new(Action::Unsub, topics.chain(patterns))
    }

    pub fn take_up(&mut self, world: &World, entry: Entry) -> Told {
        let Entry { name, terms, paused, place } = entry;
        let key = TopicKey::parse(&name).expect("the names of tickets are those of topics");
        self.pending.remove(&key);
        let resume: BTreeMap<String, Place> = place.into_iter().map(|place| (name.clone(), place)).collect();
        let before: Vec<u32> = self.held.keys().copied().collect();
        let resolved = world.resolve(&key);
        let mut told = self.subscribe(world, key.clone(), &name, resolved, terms, Begins::Newest, &resume);
        match &mut told {
            Told::Live { id, from, .. } => {
                // What was held already goes on from where it is.
                *from = resume.get(&name).map(|place| (place.epoch, place.seq)).filter(|_| !before.contains(id));
                if paused {
                    let id = *id;
                    return self.pause(world, id);
                }
            }
            Told::Pending(_) => {
                if let Some(waiting) = self.pending.get_mut(&key) {
                    waiting.paused |= paused;
                }
            }
            _ => {}
        }
        told
    }

    /// Takes a pattern in, and gives what it matches besides what is held.
    pub fn stand(&mut self, world: &World, entry: &StandingEntry) -> Result<(Told, Vec<u32>), Told> {
        let action = Action::Sub { terms: entry.terms, begins: entry.begins, resume: BTreeMap::new() };
        let matched = self.expand(world, &action, &entry.pattern)?;
        let last = self.patterns.last_mut().expect("it was just taken in");
        last.paused = entry.paused;
        Ok((Told::Pattern(entry.pattern.clone(), matched.len() as u64), matched))
    }

    /// A topic of a ticket's pattern, unless it is held.
    pub fn follow(&mut self, world: &World, id: u32, entry: &StandingEntry) -> Option<Told> {
        if self.held.contains_key(&id) {
            return None;
        }
        if !self.has_room() {
            return Some(refuse(&world.key(id).to_string(), Code::TooManyTopics));
        }
        let told = self.start(world, id, entry.terms, Origin::Fresh(entry.begins));
        Some(if entry.paused { self.pause(world, id) } else { told })
    }
}

/// The later places that a client may give along with a ticket: of views that it has.
pub fn later(ticket: &Ticket, views: &BTreeMap<String, View>) -> BTreeMap<String, Place> {
    let place = |entry: &Entry| {
        let view = views.get(&entry.name)?;
        let seq = view.sequence?;
        Some((entry.name.clone(), Place { epoch: view.epoch, seq, view: Some(view.clone()) }))
    };
    ticket.topics.iter().filter_map(place).collect()
}
