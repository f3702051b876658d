//! The writer's side of how far data can be trusted. In: what feeds say of a channel, an instrument or a whole link. Out: new states, and
//! marks for the shards that watch. Bounded: a link is one mark a shard, whatever it carries.

use super::map::{InstrumentTopics, TopicMap};
use super::publish::Stamp;
use super::slot::Topic;
use super::standing::{About, CHANNELS, Changed, Standing};
use wire::event::{Cause, Channel, FeedState, TradingState};

impl TopicMap {
    /// State of one channel, or of all (`None`). The status topic shows the worst of the three.
    pub fn publish_state(&self, of: &InstrumentTopics, channel: Option<Channel>, feed: FeedState, cause: Cause, stamp: &Stamp) {
        if let Some(standing) = self.standing(of) {
            self.mark_standing(of, standing.tell(channel, feed, cause, stamp));
            if feed == FeedState::Quiet {
                CHANNELS.into_iter().filter_map(|at| self.of_channel(of, at)).for_each(Topic::expect_wake);
            }
        }
    }

    /// Trading phase of the instrument: told by its status topic and by the `State` of all its data topics.
    pub fn publish_trading(&self, of: &InstrumentTopics, trading: TradingState, stamp: &Stamp) {
        if let Some(standing) = self.standing(of) {
            self.mark_standing(of, standing.tell_trading(trading, stamp));
        }
    }

    /// A venue's link is lost (`Down`, `Stale`) or back (any other state). All that it carries is so at once; and once it is back, each
    /// channel is `Resyncing` until `publish_state` says otherwise. A link that carries nothing has nobody to tell.
    pub fn publish_link(&self, venue: &str, number: u32, feed: FeedState, cause: Cause, stamp: &Stamp) {
        if let Some(link) = self.known_link(venue, number)
            && link.set(feed, cause, stamp)
        {
            // All shards: who watches what of it they know themselves, and who comes to watch later sees the change.
            self.marks.iter().for_each(|marks| marks.mark_link(link.index));
        }
    }

    /// How many channels of instruments are in each state, by venue. Channels that a feed does not take are not counted.
    pub fn channels(&self) -> Vec<(String, [u32; FeedState::ALL.len()])> {
        let mut venues: Vec<_> = self.venue_names().into_iter().map(|venue| (venue, [0; FeedState::ALL.len()])).collect();
        for first in (0..self.len()).step_by(InstrumentTopics::COUNT as usize) {
            let Some(topic) = self.get(first) else { continue };
            let Some((_, counts)) = venues.iter_mut().find(|venue| venue.0 == *topic.standing.link().venue) else { continue };
            topic.standing.states().for_each(|state| counts[state as usize] += 1);
        }
        venues
    }

    /// The topic under whose lock the updates of a channel are published; none if the feed does not have this channel.
    pub(super) fn of_channel(&self, of: &InstrumentTopics, channel: Channel) -> Option<&Topic> {
        self.get(of.of_channel(channel)).filter(|topic| topic.about() == About::Channel(channel))
    }

    fn standing(&self, of: &InstrumentTopics) -> Option<&Standing> {
        self.get(of.status).map(|topic| &*topic.standing)
    }

    /// Makes a change of standing known to the topics that depend on it.
    pub(super) fn mark_standing(&self, of: &InstrumentTopics, changed: Changed) {
        if changed.is_nothing() {
            return;
        }
        let first = of.instrument;
        let topics = (first..first + InstrumentTopics::COUNT).filter_map(|id| self.get(id));
        topics.filter(|topic| changed.has(topic.about())).for_each(|topic| self.mark(topic));
    }
}
