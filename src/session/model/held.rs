//! One subscription of the plain manager. In: terms, places, promises. Out: how it begins or goes on, and at which interval.
//! Bounded: one value each.

use super::world::World;
use crate::subs::Terms;
use std::collections::BTreeSet;
use wire::kind::{Class, Kind};
use wire::request::{MaxAge, Pace, Start, TradeMode};
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
    /// The intervals that were in force since then, in ms; 0: none.
    pub intervals: BTreeSet<u32>,
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

impl Held {
    pub fn new(terms: Terms, origin: Origin, floor_ms: u32) -> Self {
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
            intervals: BTreeSet::from([interval(terms.pace, floor_ms)]),
            is_old: false,
            records: 0,
            merged: 0,
        }
    }

    /// The longest interval that was in force since the last update, in ms.
    pub fn most_ms(&self) -> u32 {
        self.intervals.last().copied().unwrap_or(0)
    }

    /// How data begins, or goes on, from where the subscription stands; none: only the server's log can tell.
    pub fn start(&self, world: &World, id: u32) -> Option<Start> {
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
    pub fn set(&mut self, world: &World, id: u32, terms: Terms, floor_ms: u32) -> bool {
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
            self.intervals = BTreeSet::from([interval(terms.pace, floor_ms)]);
        }
        self.is_free |= restarts;
        self.is_old &= self.terms.max_age != MaxAge::Off;
        restarts
    }

    /// Ends a pause.
    pub fn resume(&mut self) {
        if std::mem::replace(&mut self.paused, false) {
            (self.is_free, self.at_once) = (true, true);
        }
    }

    pub fn promise(&mut self, world: &World, id: u32) {
        self.promised = true;
        (self.is_free, self.at_once) = (true, true);
        if !(world.key(id).kind == Kind::Trade && self.place.is_some()) {
            (self.place, self.begins) = (None, Begins::Newest);
        }
    }
}

/// The interval of this pace under a floor, in ms; 0: none.
pub fn interval(pace: Pace, floor_ms: u32) -> u32 {
    match pace {
        Pace::EveryMs(ms) => ms.max(floor_ms),
        Pace::Realtime | Pace::Credit => floor_ms,
    }
}
