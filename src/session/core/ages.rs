//! Subscriptions whose client wants to know when what it shows is old (`max_age`). In: the clock, and when the venue was last heard.
//! Out: `aged` messages: what became old and why, and what is young again. Bounded by what is held; looked at a few times a `max_age`.

use super::SessionCore;
use crate::subs::Account;
use crate::topic::Topic;
use std::collections::BTreeMap;
use wire::answer::{Aged, Limiting, Old, OldCause, Standing};
use wire::event::FeedState;
use wire::request::MaxAge;

/// An age is noticed within this part of it.
const LOOKS_AN_AGE: i64 = 4;
/// Topics in one message.
const OLD_A_MESSAGE: usize = 256;

#[derive(Default)]
pub(super) struct Ages {
    watched: BTreeMap<u32, Watched>,
    /// Monotonic ns.
    next_look: i64,
    step_ns: i64,
}

struct Watched {
    max_age_ns: i64,
    is_old: bool,
}

impl Ages {
    fn set(&mut self, topic: u32, max_age: MaxAge) {
        match max_age {
            MaxAge::Off => {
                self.watched.remove(&topic);
            }
            MaxAge::Ms(ms) => {
                let max_age_ns = i64::from(ms) * 1_000_000;
                let is_old = self.watched.get(&topic).is_some_and(|watched| watched.is_old);
                self.watched.insert(topic, Watched { max_age_ns, is_old });
                // The shortest age sets the step, until nobody watches any more.
                let step_ns = max_age_ns / LOOKS_AN_AGE;
                if self.step_ns == 0 || step_ns < self.step_ns {
                    (self.step_ns, self.next_look) = (step_ns, 0);
                }
            }
        }
        if self.watched.is_empty() {
            self.step_ns = 0;
        }
    }
}

impl SessionCore {
    /// A subscription began, changed or ended.
    pub(super) fn note_age(&mut self, topic: u32, max_age: MaxAge) {
        self.ages.set(topic, max_age);
    }

    /// Monotonic ns of the next look; none while nobody wants to know.
    pub fn next_look(&self) -> Option<i64> {
        (!self.ages.watched.is_empty()).then_some(self.ages.next_look)
    }

    pub(super) fn look_at_ages(&mut self) -> Option<Aged> {
        let context = &self.shard.context;
        let now = context.clock.mono_ns();
        if self.ages.watched.is_empty() || now < self.ages.next_look {
            return None;
        }
        let (wall, manager) = (context.clock.wall_ns(), self.shard.manager.borrow());
        let mut aged = Aged::default();
        for (id, watched) in &mut self.ages.watched {
            let account = self.held.get(id).and_then(|handle| manager.account(&context.map, *handle));
            let (Some(account), Some(topic)) = (account, context.map.get(*id)) else { continue };
            let Some(age_ns) = age_ns(&account, topic, wall) else { continue };
            let is_old = age_ns > watched.max_age_ns;
            if is_old == watched.is_old {
                continue;
            }
            if aged.old.len() + aged.young.len() == OLD_A_MESSAGE {
                // The rest at once, with the next message.
                return Some(aged);
            }
            watched.is_old = is_old;
            if is_old {
                let age_ms = (age_ns / 1_000_000).unsigned_abs();
                let cause = cause(&account, topic, self.held_back_by.is_some() && now < self.held_back_until);
                aged.old.push(Old { topic: topic.name().to_owned(), topic_id: *id, age_ms, cause });
            } else {
                aged.young.push(*id);
            }
        }
        self.ages.next_look = now + self.ages.step_ns;
        (aged != Aged::default()).then_some(aged)
    }
}

/// How old what the client shows is: since the venue was last heard, or of data that it has not been sent yet, since the bytes of what
/// it has were received. None while it has nothing.
fn age_ns(account: &Account, topic: &Topic, wall: i64) -> Option<i64> {
    let heard = if account.standing == Standing::Live { topic.received() } else { account.held_from };
    (heard > 0 && account.held_from > 0).then(|| wall - heard)
}

fn cause(account: &Account, topic: &Topic, is_held_back: bool) -> OldCause {
    match account.standing {
        Standing::Paused => OldCause::Paused,
        Standing::Unpaid => OldCause::Credit,
        Standing::Deferred => OldCause::Limit,
        Standing::Due if is_held_back => OldCause::Limit,
        Standing::Due => OldCause::OwnLink,
        Standing::Waiting => match account.limited_by {
            None => OldCause::Pace,
            Some(Limiting::OwnLink) => OldCause::OwnLink,
            Some(_) => OldCause::Limit,
        },
        Standing::Live | Standing::Pending => match topic.status().feed {
            FeedState::Live | FeedState::Quiet | FeedState::Replay => OldCause::Quiet,
            FeedState::Starting | FeedState::Stale => OldCause::Stale,
            FeedState::Resyncing => OldCause::Resyncing,
            FeedState::Down => OldCause::Down,
        },
    }
}
