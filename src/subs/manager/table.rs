//! The subscriptions of a shard by the index of their handles. In: subscriptions. Out: a place for each, used again once it has ended.
//! Bounded by what is put in.

use super::Handle;
#[cfg(test)]
use super::NO_GENERATION;
use super::subscription::Subscription;
use crate::fetch;

/// So many turns before its own a subscription's memory is asked for.
pub(super) const FETCH_AHEAD: usize = 8;

/// Empty places hold a subscription whose generation no handle has.
#[derive(Default)]
pub(super) struct Table {
    places: Vec<Subscription>,
    free: Vec<u32>,
}

impl Table {
    pub fn insert(&mut self, subscription: Subscription) -> Handle {
        let generation = subscription.generation;
        if let Some(index) = self.free.pop() {
            self.places[index as usize] = subscription;
            return Handle { index, generation };
        }
        self.places.push(subscription);
        Handle { index: self.places.len() as u32 - 1, generation }
    }

    /// Takes out what is there and leaves `empty` in its place.
    pub fn remove(&mut self, handle: Handle, empty: impl FnOnce() -> Subscription) -> Option<Subscription> {
        let removed = std::mem::replace(self.get_mut(handle)?, empty());
        self.free.push(handle.index);
        Some(removed)
    }

    pub fn get(&self, handle: Handle) -> Option<&Subscription> {
        self.places.get(handle.index as usize).filter(|found| found.generation == handle.generation)
    }

    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut Subscription> {
        self.places.get_mut(handle.index as usize).filter(|found| found.generation == handle.generation)
    }

    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &Subscription)> {
        let held = (0..).zip(&self.places).filter(|(_, found)| found.generation != NO_GENERATION);
        held.map(|(index, found)| (Handle { index, generation: found.generation }, found))
    }

    /// They are going to be looked at soon.
    #[inline]
    pub fn fetch(&self, coming: impl IntoIterator<Item = Handle>) {
        for handle in coming {
            if let Some(coming) = self.places.get(handle.index as usize) {
                fetch::whole(coming);
            }
        }
    }
}
