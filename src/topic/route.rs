//! Whose data comes through this node. In: what nodes upstream say of theirs. Out: this node's route; and that data goes round in a
//! circle. Bounded: `MAX_NODES` ids of `MAX_ID` bytes a node upstream.

use super::map::TopicMap;
use super::relay::Upstream;
use parking_lot::Mutex;
use std::hash::BuildHasher;

/// Far more than there are nodes between a venue and a client.
const MAX_NODES: usize = 64;
/// Ids are 16 hexadecimal digits.
const MAX_ID: usize = 64;

/// What this node relays has come from itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looped;

#[derive(Debug)]
pub(super) struct Route {
    /// Of this run of this node, random: names that operators give are often the same.
    id: String,
    /// By the index of the upstream node's link.
    upstream: Mutex<Vec<(u32, Vec<String>)>>,
}

impl Route {
    pub fn new(epoch: u64) -> Self {
        let random = std::hash::RandomState::new().hash_one((epoch, std::process::id()));
        Self { id: format!("{random:016x}"), upstream: Mutex::default() }
    }
}

impl TopicMap {
    /// Ids of the nodes that data may come through, this one first.
    pub fn route(&self) -> Vec<String> {
        let mut route = vec![self.route.id.clone()];
        for id in self.route.upstream.lock().iter().flat_map(|(_, ids)| ids) {
            if route.len() < MAX_NODES && !route.contains(id) {
                route.push(id.clone());
            }
        }
        route
    }

    /// What a node upstream says of its route. An error if this node is on it.
    pub fn follow(&self, upstream: &Upstream, route: &[String]) -> Result<(), Looped> {
        if route.contains(&self.route.id) {
            return Err(Looped);
        }
        let route = route.iter().filter(|id| id.len() <= MAX_ID).take(MAX_NODES).cloned().collect();
        let link = upstream.link().index;
        let mut known = self.route.upstream.lock();
        match known.iter_mut().find(|(index, _)| *index == link) {
            Some((_, ids)) => *ids = route,
            None => known.push((link, route)),
        }
        Ok(())
    }

    /// Nothing comes from there any more.
    pub fn unfollow(&self, upstream: &Upstream) {
        let link = upstream.link().index;
        self.route.upstream.lock().retain(|(index, _)| *index != link);
    }
}
