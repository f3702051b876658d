//! What happens because nothing happens. In: the time, about once a second. Out: bars that are over, days that moved on, channels that are
//! quiet, depth views that sleep. Bounded: one look at each instrument a tick; a lock only where there may be something to do.

use super::map::{InstrumentTopics, TopicMap};
use super::publish::Stamp;
use super::slot::{State, Topic};
use super::standing::CHANNELS;
use std::sync::atomic::Ordering;
use wire::event::Nanos;

impl TopicMap {
    /// Closes bars that are over, moves the windows of a day on, finds out who is quiet, and puts depth views to sleep that nobody has
    /// watched for long. Call it about once a second, from any one thread.
    pub fn tick(&self, now: Nanos) {
        let stamp = Stamp { published: now, ..Stamp::default() };
        let lingering = self.lingering.swap(false, Ordering::AcqRel);
        for first in (0..self.len()).step_by(InstrumentTopics::COUNT as usize) {
            let of = InstrumentTopics::from_first(first);
            self.derive(&of, &stamp, |derived| derived.pass(now));
            self.find_quiet(&of, &stamp);
            if lingering && self.lull(&of, now) {
                self.lingering.store(true, Ordering::Release);
            }
        }
    }

    fn find_quiet(&self, of: &InstrumentTopics, now: &Stamp) {
        for channel in CHANNELS {
            let Some(topic) = self.of_channel(of, channel) else { continue };
            let after = topic.standing.link().quiet_after(channel);
            let busy = now.published.saturating_sub(topic.received()) < after;
            if after == 0 || busy || topic.standing.is_quiet(channel) {
                continue;
            }
            self.mark_standing(of, topic.pass(now));
        }
    }

    /// True if a view of this book is awake though nobody watches.
    fn lull(&self, of: &InstrumentTopics, now: Nanos) -> bool {
        let Some(Topic { state: State::Book(book, _), .. }) = self.get(of.book[0]) else { return false };
        let linger = i64::try_from(self.limits.view_linger_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        // Watchers come and go under this lock.
        let mut book = book.lock();
        let unwatched = |id: u32| self.get(id).is_some_and(|topic| topic.watchers() == 0);
        of.book.into_iter().enumerate().fold(false, |awake, (at, id)| awake | (unwatched(id) && book.lull(at, now, linger)))
    }
}
