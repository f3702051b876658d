//! One topic on one shard. In: who subscribes it, who has been told all there is. Out: whom a mark concerns, without a look at those who
//! wait already; chunks that its subscribers share. Bounded by its subscribers.

use super::Handle;
use super::subscription::{Queue, Subscription};
use crate::encode::Chunks;
use slab::Slab;

#[derive(Default)]
pub(super) struct LocalTopic {
    /// Whoever is idle stands among the first `idle`; who stands there need not be any more.
    subscribers: Vec<Handle>,
    idle: usize,
    pub chunks: Chunks,
}

impl LocalTopic {
    pub fn is_empty(&self) -> bool {
        self.subscribers.is_empty()
    }

    /// One who is not idle. Returns its place.
    pub fn add(&mut self, handle: Handle) -> usize {
        self.subscribers.push(handle);
        self.subscribers.len() - 1
    }

    /// A subscriber has been told all there is. They are in the order in which they are served, which is that of the last mark: as a rule
    /// nobody moves.
    pub fn rest(&mut self, handle: Handle, subscriptions: &mut Slab<Subscription>) {
        let Some(subscription) = subscriptions.get_mut(handle.index as usize) else { return };
        subscription.queue = Queue::Idle;
        let place = subscription.place;
        if place >= self.idle {
            self.swap(place, self.idle, subscriptions);
            self.idle += 1;
        }
    }

    /// Among them all who are idle. The caller finds each of them something to wait for.
    pub fn take_idle(&mut self) -> &[Handle] {
        let idle = std::mem::take(&mut self.idle);
        &self.subscribers[..idle]
    }

    /// No search: when a server drains, everybody leaves the same topics at once.
    pub fn remove(&mut self, mut place: usize, subscriptions: &mut Slab<Subscription>) {
        if place < self.idle {
            self.idle -= 1;
            self.swap(place, self.idle, subscriptions);
            place = self.idle;
        }
        self.subscribers.swap_remove(place);
        self.note_place(place, subscriptions);
    }

    fn swap(&mut self, a: usize, b: usize, subscriptions: &mut Slab<Subscription>) {
        if a != b {
            self.subscribers.swap(a, b);
            self.note_place(a, subscriptions);
            self.note_place(b, subscriptions);
        }
    }

    /// Who stands there must know.
    fn note_place(&self, place: usize, subscriptions: &mut Slab<Subscription>) {
        if let Some(handle) = self.subscribers.get(place)
            && let Some(subscription) = subscriptions.get_mut(handle.index as usize)
        {
            subscription.place = place;
        }
    }

    /// Does everybody know its place, and who is idle stand where a mark finds him?
    #[cfg(test)]
    pub fn is_sound(&self, subscriptions: &Slab<Subscription>) -> bool {
        self.subscribers.iter().enumerate().all(|(place, handle)| {
            let found = &subscriptions[handle.index as usize];
            found.place == place && (place < self.idle || found.queue != Queue::Idle)
        })
    }
}
