//! What a feed's link does to the subscriptions of a shard. In: links that were lost or came back. Out: due subscriptions of the topics
//! they carry. Bounded: one look at each topic somebody here subscribes, whatever the links carry besides.

use super::Manager;
use crate::topic::TopicMap;

impl Manager {
    /// As if each topic of these links (ascending) had been marked.
    pub fn mark_links(&mut self, map: &TopicMap, links: &[u32], now: i64) {
        let is_theirs =
            |id: &u32| map.get(*id).and_then(|topic| topic.link()).is_some_and(|link| links.binary_search(&link).is_ok());
        let topics: Vec<u32> = self.locals.topics().filter(is_theirs).collect();
        topics.into_iter().for_each(|topic| self.mark(topic, now));
    }
}
