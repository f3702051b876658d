//! One connection of a feed, as all topics of the instruments it carries refer to it. In: lost, and back. Out: one version and one
//! state for all of them, so that a feed goes down with one store, however many topics it has. Bounded: fixed size; at most one link an
//! instrument.

use super::publish::Stamp;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use wire::event::{Cause, Channel, FeedState, Nanos};

#[derive(Debug)]
pub(super) struct Link {
    /// Its place among the links of all venues.
    pub index: u32,
    pub venue: Box<str>,
    /// The feed's own number.
    pub number: u32,
    quiet_after: QuietAfter,
    /// That of `now`, to be read without its lock.
    version: AtomicU32,
    published: AtomicI64,
    now: RwLock<LinkState>,
}

/// What is true of a link since `version`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkState {
    /// Grows with every change, from 0: never lost. What a channel said at an earlier version no longer counts.
    pub version: u32,
    /// `Down` or `Stale` while lost, `Resyncing` ever after.
    pub feed: FeedState,
    pub cause: Cause,
    pub since: Nanos,
}

/// How long a channel may have no update before it is called quiet; 0 = for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuietAfter {
    pub quote: Nanos,
    pub trade: Nanos,
    pub book: Nanos,
}

impl QuietAfter {
    /// Trades are rarer than quotes, and their pauses longer.
    const TRADES: i64 = 6;

    /// Of a feed whose quotes and books are quiet after so many milliseconds.
    pub fn of_quotes_ms(ms: u64) -> Self {
        let after = i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Self { quote: after, trade: after.saturating_mul(Self::TRADES), book: after }
    }
}

impl Link {
    pub fn new(index: u32, venue: &str, number: u32, quiet_after: QuietAfter) -> Self {
        let never_lost = LinkState { version: 0, feed: FeedState::Live, cause: Cause::None, since: 0 };
        Self {
            index,
            venue: venue.into(),
            number,
            quiet_after,
            version: AtomicU32::new(0),
            published: AtomicI64::new(0),
            now: RwLock::new(never_lost),
        }
    }

    pub fn version(&self) -> u32 {
        self.version.load(Ordering::SeqCst)
    }

    pub fn now(&self) -> LinkState {
        *self.now.read()
    }

    /// When it last changed; 0 = never.
    pub fn published(&self) -> Nanos {
        self.published.load(Ordering::Relaxed)
    }

    pub fn quiet_after(&self, channel: Channel) -> Nanos {
        match channel {
            Channel::Quote => self.quiet_after.quote,
            Channel::Trade => self.quiet_after.trade,
            Channel::Book => self.quiet_after.book,
        }
    }

    /// True if this is news. Any state but the two of a lost link says that it is back; one that was not lost is not back either.
    pub fn set(&self, feed: FeedState, cause: Cause, stamp: &Stamp) -> bool {
        let mut now = self.now.write();
        let feed = if is_lost(feed) { feed } else { FeedState::Resyncing };
        let same = if is_lost(feed) { (now.feed, now.cause) == (feed, cause) } else { !is_lost(now.feed) };
        if same {
            return false;
        }
        *now = LinkState { version: now.version + 1, feed, cause, since: stamp.received };
        self.published.store(stamp.published, Ordering::Relaxed);
        self.version.store(now.version, Ordering::SeqCst);
        true
    }
}

impl LinkState {
    pub fn is_lost(&self) -> bool {
        is_lost(self.feed)
    }
}

fn is_lost(feed: FeedState) -> bool {
    matches!(feed, FeedState::Down | FeedState::Stale)
}
