//! The sessions of a shard by their keys. In: sessions. Out: a place for each, used again once it has left. Bounded by who joins.

use super::SessionKey;
use super::member::Member;
use crate::fetch;

/// A place can be asked for before anybody looks at it, which a slab does not let one do.
#[derive(Default)]
pub(super) struct Members {
    places: Vec<Option<Member>>,
    free: Vec<SessionKey>,
}

impl Members {
    pub fn insert(&mut self, member: Member) -> SessionKey {
        if let Some(key) = self.free.pop() {
            self.places[key.index()] = Some(member);
            return key;
        }
        self.places.push(Some(member));
        SessionKey(self.places.len() as u32 - 1)
    }

    pub fn remove(&mut self, key: SessionKey) {
        if self.places.get_mut(key.index()).and_then(Option::take).is_some() {
            self.free.push(key);
        }
    }

    pub fn get(&self, key: SessionKey) -> Option<&Member> {
        self.places.get(key.index())?.as_ref()
    }

    pub fn get_mut(&mut self, key: SessionKey) -> Option<&mut Member> {
        self.places.get_mut(key.index())?.as_mut()
    }

    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn all(&mut self) -> impl Iterator<Item = &mut Member> {
        self.places.iter_mut().flatten()
    }

    /// It is going to be looked at soon.
    pub fn fetch(&self, key: SessionKey) {
        if let Some(place) = self.places.get(key.index()) {
            fetch::whole(place);
        }
    }
}
