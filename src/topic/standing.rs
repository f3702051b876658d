//! How far the data of one instrument can be trusted: what its feed said of each channel, what is true of the link that carries it, and
//! the trading phase. In: states, silence. Out: one status a channel, and the worst of them; each with a version that only grows.
//! Bounded: fixed size, one an instrument; all its topics refer to it, so a change is made once.
//!
//! Lock order: a topic's own lock, then `held`, then the link's.

use super::link::{Link, LinkState};
use super::publish::Stamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use wire::event::{Cause, Channel, FeedState, Nanos, Status, TradingState};
use wire::kind::Kind;

pub(super) const CHANNELS: [Channel; 3] = [Channel::Quote, Channel::Trade, Channel::Book];

#[derive(Debug)]
pub(super) struct Standing {
    link: Arc<Link>,
    /// False: they are made from the books, whose channel speaks for them.
    has_quotes: bool,
    held: Mutex<Held>,
    /// Changes by this instrument's own doing, by `About`; written under `held`. Those by the link are counted there.
    versions: [AtomicU32; 4],
    /// One bit a channel that is quiet.
    quiet: AtomicU8,
    /// Of each channel: the link's version at which its data was last said to be good; or one of the two below.
    good_at: [AtomicU64; 3],
    published: AtomicI64,
}

/// Its data was never said to be anything.
const UNTOLD: u64 = u64::MAX;
/// Its feed says that its data is not good.
const NOT_GOOD: u64 = u64::MAX - 1;

/// What a topic's records depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Channel(Channel),
    /// The worst of the channels: the status topic.
    Whole,
    /// Nothing of all this.
    Nothing,
}

#[derive(Debug, Default)]
struct Held {
    channels: [Told; 3],
    trading: TradingState,
    /// When the worst of the channels last changed by this instrument's own doing.
    changed: Nanos,
}

/// What the feed said of a channel.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    feed: FeedState,
    cause: Cause,
    since: Nanos,
    /// The link's version then. `None`: it never said anything, so it does not take this channel.
    at: Option<u32>,
}

/// The value of the status topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub status: Status,
    pub version: u64,
    pub time: Nanos,
}

/// What a change changed: one bit per `About` with a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed(u8);

impl About {
    fn slot(self) -> Option<usize> {
        match self {
            Self::Channel(channel) => Some(channel as usize),
            Self::Whole => Some(CHANNELS.len()),
            Self::Nothing => None,
        }
    }
}

impl Changed {
    pub fn has(self, about: About) -> bool {
        about.slot().is_some_and(|slot| self.0 & (1 << slot) != 0)
    }

    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

impl Standing {
    pub fn new(link: Arc<Link>, has_quotes: bool) -> Self {
        Self {
            link,
            has_quotes,
            held: Mutex::default(),
            // A cursor that has seen nothing is at 0.
            versions: [const { AtomicU32::new(1) }; 4],
            quiet: AtomicU8::new(0),
            good_at: [const { AtomicU64::new(UNTOLD) }; 3],
            published: AtomicI64::new(0),
        }
    }

    /// What a topic of this kind depends on. What is made from trades, or from a book, is as good as they are.
    pub fn about(&self, kind: Kind) -> About {
        match kind {
            Kind::Quote if self.has_quotes => About::Channel(Channel::Quote),
            Kind::Trade | Kind::Bar | Kind::Stats => About::Channel(Channel::Trade),
            Kind::Quote | Kind::Book => About::Channel(Channel::Book),
            Kind::Status => About::Whole,
            Kind::Instrument => About::Nothing,
        }
    }

    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Grows whenever `status` would say something new. The sum of two numbers that only grow is the same only if both are.
    pub fn version(&self, about: About) -> u32 {
        about.slot().map_or(0, |slot| self.versions[slot].load(Ordering::SeqCst).wrapping_add(self.link.version()))
    }

    /// When something last changed that this topic depends on; 0 = never.
    pub fn published(&self, about: About) -> Nanos {
        if about == About::Nothing { 0 } else { self.published.load(Ordering::Relaxed).max(self.link.published()) }
    }

    /// The status of a channel and its version.
    pub fn status(&self, channel: Channel) -> (Status, u32) {
        let held = self.held.lock();
        let link = self.link.now();
        let version = self.versions[channel as usize].load(Ordering::Relaxed).wrapping_add(link.version);
        (held.status(channel, &link), version)
    }

    /// The values of this channel are known to be old. Two loads, because every record of a value asks.
    pub fn is_stale(&self, channel: Channel) -> bool {
        match self.good_at[channel as usize].load(Ordering::Acquire) {
            UNTOLD => false,
            good_at => good_at != u64::from(self.link.version()),
        }
    }

    /// The worst of the channels.
    pub fn whole(&self) -> Whole {
        let held = self.held.lock();
        let link = self.link.now();
        let version = self.versions[CHANNELS.len()].load(Ordering::Relaxed);
        Whole {
            status: held.worst(&link),
            version: u64::from(version) + u64::from(link.version),
            time: held.changed.max(link.since),
        }
    }

    /// The states of the channels that the feed takes.
    pub fn states(&self) -> impl Iterator<Item = FeedState> {
        let held = self.held.lock();
        let link = self.link.now();
        CHANNELS.map(|channel| held.channels[channel as usize].at.map(|_| held.status(channel, &link).feed)).into_iter().flatten()
    }

    /// The trading phase.
    pub fn trading(&self) -> TradingState {
        self.held.lock().trading
    }

    /// The feed says how a channel is, or all of them (`None`).
    pub fn tell(&self, channel: Option<Channel>, feed: FeedState, cause: Cause, stamp: &Stamp) -> Changed {
        self.change(stamp, |held, link| {
            let is_meant = |at: &Channel| channel.is_none_or(|channel| channel == *at);
            let is_there = |at: &Channel| self.has_quotes || *at != Channel::Quote;
            for at in CHANNELS.into_iter().filter(|at| is_meant(at) && is_there(at)) {
                let told = &mut held.channels[at as usize];
                // A repeated state keeps the time since when it holds; unless what was said before no longer counts.
                if (told.feed, told.cause, told.at) != (feed, cause, Some(link.version)) {
                    *told = Told { feed, cause, since: stamp.received, at: Some(link.version) };
                    let good_at = if link.is_lost() || is_stale(feed) { NOT_GOOD } else { u64::from(link.version) };
                    self.good_at[at as usize].store(good_at, Ordering::Release);
                    if feed == FeedState::Quiet {
                        self.quiet.fetch_or(bit(at), Ordering::Relaxed);
                    } else {
                        self.quiet.fetch_and(!bit(at), Ordering::Relaxed);
                    }
                }
            }
        })
    }

    /// What another node says of a channel, with its time; and of trading.
    pub fn relay(&self, channel: Channel, status: &Status, stamp: &Stamp) -> Changed {
        self.change(stamp, |held, link| {
            let Status { feed, trading, cause, since } = *status;
            held.trading = trading;
            let told = &mut held.channels[channel as usize];
            // As from a feed that does not take this channel.
            if feed == FeedState::Starting && told.at.is_none() {
                return;
            }
            *told = Told { feed, cause, since, at: Some(link.version) };
            let good_at = if link.is_lost() || is_stale(feed) { NOT_GOOD } else { u64::from(link.version) };
            self.good_at[channel as usize].store(good_at, Ordering::Release);
        })
    }

    pub fn tell_trading(&self, trading: TradingState, stamp: &Stamp) -> Changed {
        self.change(stamp, |held, _| held.trading = trading)
    }

    pub fn is_quiet(&self, channel: Channel) -> bool {
        self.quiet.load(Ordering::Relaxed) & bit(channel) != 0
    }

    /// Time passes. A channel that is live, but had no update for long, is quiet. The caller holds the lock under which this channel's
    /// updates are published, and read the time of the last one under it: so none comes in between unseen.
    pub fn pass(&self, channel: Channel, last: Nanos, now: &Stamp) -> Changed {
        let after = self.link.quiet_after(channel);
        self.change(now, |held, link| {
            let live = held.status(channel, link).feed == FeedState::Live;
            let told = &mut held.channels[channel as usize];
            let last = last.max(told.since);
            if after > 0 && live && now.published.saturating_sub(last) >= after {
                (told.feed, told.cause, told.since) = (FeedState::Quiet, Cause::None, last);
                self.quiet.fetch_or(bit(channel), Ordering::Relaxed);
            }
        })
    }

    /// An update of a channel that was quiet. The caller holds the same lock.
    pub fn wake(&self, channel: Channel, stamp: &Stamp) -> Changed {
        self.change(stamp, |held, _| {
            if self.quiet.fetch_and(!bit(channel), Ordering::Relaxed) & bit(channel) != 0 {
                let told = &mut held.channels[channel as usize];
                (told.feed, told.since) = (FeedState::Live, stamp.received);
            }
        })
    }

    /// Versions grow where the outcome is another one, as things are with the link now. What the link changes it counts itself.
    fn change(&self, stamp: &Stamp, change: impl FnOnce(&mut Held, &LinkState)) -> Changed {
        let mut held = self.held.lock();
        let link = self.link.now();
        let outcome = |held: &Held| (CHANNELS.map(|channel| held.status(channel, &link)), held.worst(&link));
        let (channels, worst) = outcome(&held);
        change(&mut held, &link);
        let (channels_now, worst_now) = outcome(&held);
        let mut changed = Changed::default();
        for (slot, (before, after)) in channels.iter().zip(&channels_now).enumerate() {
            changed.0 |= u8::from(before != after) << slot;
        }
        if worst != worst_now {
            changed.0 |= 1 << CHANNELS.len();
            held.changed = if stamp.received == 0 { stamp.published } else { stamp.received };
        }
        if !changed.is_nothing() {
            self.published.store(stamp.published, Ordering::Relaxed);
        }
        for (slot, version) in self.versions.iter().enumerate() {
            if changed.0 & (1 << slot) != 0 {
                version.fetch_add(1, Ordering::SeqCst);
            }
        }
        changed
    }
}

impl Held {
    /// What was said of a channel counts as long as the link has not changed since; then the link speaks for it. So data is live again
    /// only when its feed says so after the link came back.
    fn status(&self, channel: Channel, link: &LinkState) -> Status {
        let Told { feed, cause, since, at } = self.channels[channel as usize];
        let own_counts = at.is_none_or(|at| at == link.version && !link.is_lost());
        let (feed, cause, since) = if own_counts { (feed, cause, since) } else { (link.feed, link.cause, link.since) };
        Status { feed, trading: self.trading, cause, since }
    }

    /// Of equally bad channels the one that has been so the longest speaks.
    fn worst(&self, link: &LinkState) -> Status {
        let channels = CHANNELS.map(|channel| self.status(channel, link));
        let worst = channels.into_iter().max_by_key(|status| (severity(status.feed), std::cmp::Reverse(status.since)));
        worst.unwrap_or_default()
    }
}

/// How bad a state is for a subscriber. A channel that has not started does not hide one that has: an operator may leave
/// channels out.
fn severity(feed: FeedState) -> u8 {
    match feed {
        FeedState::Starting => 0,
        FeedState::Live => 1,
        FeedState::Replay => 2,
        FeedState::Quiet => 3,
        FeedState::Stale => 4,
        FeedState::Resyncing => 5,
        FeedState::Down => 6,
    }
}

fn is_stale(feed: FeedState) -> bool {
    match feed {
        FeedState::Stale | FeedState::Resyncing | FeedState::Down => true,
        FeedState::Starting | FeedState::Live | FeedState::Quiet | FeedState::Replay => false,
    }
}

fn bit(channel: Channel) -> u8 {
    1 << channel as u8
}
