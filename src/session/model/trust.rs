//! How far the data of one instrument can be trusted, the plain way: what its feed said of each channel, what became of the link that
//! carries it, who is silent. In: the same that the topic map is told. Out: what `State` records and the status topic must say.
//! Bounded: fixed size.

use super::world::MS;
use wire::event::{Cause, Channel, FeedState, Status, TradingState};
use wire::kind::Kind;

const CHANNELS: [Channel; 3] = [Channel::Quote, Channel::Trade, Channel::Book];
/// In their order.
pub const QUIET_AFTER_MS: [i64; 3] = [1_000, 4_000, 2_000];

pub struct Trust {
    /// Otherwise they are made from its books.
    has_quotes: bool,
    channels: [Told; 3],
    link: Link,
    trading: TradingState,
    status: Status,
    /// Of the status topic.
    seq: u64,
    /// When the status last changed by this instrument's own doing.
    changed: i64,
}

/// What was said of a channel, or found out by its silence.
#[derive(Clone, Copy, Default)]
struct Told {
    feed: FeedState,
    cause: Cause,
    since: i64,
    /// So often had the link changed then; none: nothing was ever said.
    said_at: Option<u32>,
    /// When its newest bytes came.
    received: i64,
}

/// Each instrument keeps it for itself; all that one link carries know the same.
#[derive(Clone, Copy)]
pub struct Link {
    pub number: u32,
    changes: u32,
    feed: FeedState,
    cause: Cause,
    since: i64,
}

impl Link {
    /// Never lost.
    pub fn new(number: u32) -> Self {
        Self { number, changes: 0, feed: FeedState::Live, cause: Cause::None, since: 0 }
    }

    fn is_lost(&self) -> bool {
        is_lost(self.feed)
    }
}

impl Trust {
    pub fn new(has_quotes: bool, link: Link) -> Self {
        Self {
            has_quotes,
            channels: Default::default(),
            link,
            trading: TradingState::Unknown,
            status: Status::default(),
            seq: 0,
            changed: 0,
        }
    }

    pub fn has_quotes(&self) -> bool {
        self.has_quotes
    }

    pub fn link(&self) -> Link {
        self.link
    }

    pub fn say(&mut self, channel: Option<Channel>, feed: FeedState, cause: Cause, now: i64) {
        let said_at = Some(self.link.changes);
        for at in CHANNELS.into_iter().filter(|at| channel.is_none_or(|channel| channel == *at)) {
            let held = &mut self.channels[at as usize];
            let is_there = self.has_quotes || at != Channel::Quote;
            if is_there && (held.feed, held.cause, held.said_at) != (feed, cause, said_at) {
                *held = Told { feed, cause, since: now, said_at, received: held.received };
            }
        }
        self.settle(now);
    }

    pub fn set_trading(&mut self, trading: TradingState, now: i64) {
        self.trading = trading;
        self.settle(now);
    }

    /// Something came on a channel that is no data.
    pub fn hear(&mut self, channel: Channel, now: i64) {
        self.channels[channel as usize].received = now;
    }

    /// Data came, so it is not quiet.
    pub fn update(&mut self, channel: Channel, now: i64) {
        self.hear(channel, now);
        let held = &mut self.channels[channel as usize];
        if held.feed == FeedState::Quiet {
            (held.feed, held.since) = (FeedState::Live, now);
        }
        self.settle(now);
    }

    pub fn pass(&mut self, now: i64) {
        for channel in CHANNELS {
            let is_live = self.channel(channel).feed == FeedState::Live;
            let held = &mut self.channels[channel as usize];
            let last = held.received.max(held.since);
            if is_live && now - last >= QUIET_AFTER_MS[channel as usize] * MS {
                (held.feed, held.cause, held.since) = (FeedState::Quiet, Cause::None, last);
                self.settle(now);
            }
        }
    }

    /// The link is lost, or back: whatever is not lost.
    pub fn set_link(&mut self, feed: FeedState, cause: Cause, now: i64) {
        let feed = if is_lost(feed) { feed } else { FeedState::Resyncing };
        let same = if is_lost(feed) { (self.link.feed, self.link.cause) == (feed, cause) } else { !self.link.is_lost() };
        if !same {
            let Link { number, changes, .. } = self.link;
            self.link = Link { number, changes: changes + 1, feed, cause, since: now };
            // A step of the status topic, even where something else is worse.
            (self.status, self.seq) = (self.worst(), self.seq + 1);
        }
    }

    /// The status topic begins anew, with the same value.
    pub fn begin_epoch(&mut self) {
        self.seq = 0;
    }

    pub fn status(&self) -> &Status {
        &self.status
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The time that a record of the status carries.
    pub fn time(&self) -> i64 {
        self.changed.max(self.link.since)
    }

    /// What `State` records of this kind must have said.
    pub fn of(&self, kind: Kind) -> Option<Status> {
        match kind {
            Kind::Quote if self.has_quotes => Some(self.channel(Channel::Quote)),
            Kind::Trade | Kind::Bar | Kind::Stats => Some(self.channel(Channel::Trade)),
            Kind::Quote | Kind::Book => Some(self.channel(Channel::Book)),
            Kind::Status | Kind::Instrument => None,
        }
    }

    /// Are values of this kind known to be old?
    pub fn is_stale(&self, kind: Kind) -> bool {
        let feed = self.of(kind).map(|status| status.feed);
        matches!(feed, Some(FeedState::Stale | FeedState::Resyncing | FeedState::Down))
    }

    /// What was said of a channel counts until its link changes.
    fn channel(&self, channel: Channel) -> Status {
        let (held, link) = (self.channels[channel as usize], self.link);
        let counts = held.said_at.is_none_or(|said_at| said_at == link.changes && !link.is_lost());
        let (feed, cause, since) = if counts { (held.feed, held.cause, held.since) } else { (link.feed, link.cause, link.since) };
        Status { feed, cause, since, trading: self.trading }
    }

    /// The worst channel, of equally bad ones the one that has been so the longest.
    fn worst(&self) -> Status {
        use FeedState::{Down, Live, Quiet, Replay, Resyncing, Stale, Starting};
        let badness = [Starting, Live, Replay, Quiet, Stale, Resyncing, Down];
        let rank = |held: &Status| badness.iter().position(|state| *state == held.feed);
        let [mut worst, others @ ..] = CHANNELS.map(|channel| self.channel(channel));
        for held in others {
            if rank(&held) > rank(&worst) || (rank(&held) == rank(&worst) && held.since <= worst.since) {
                worst = held;
            }
        }
        worst
    }

    fn settle(&mut self, now: i64) {
        let worst = self.worst();
        if worst != self.status {
            (self.status, self.seq, self.changed) = (worst, self.seq + 1, now);
        }
    }
}

fn is_lost(feed: FeedState) -> bool {
    matches!(feed, FeedState::Down | FeedState::Stale)
}
