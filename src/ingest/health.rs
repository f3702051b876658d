//! How a feed is doing as a whole. In: states of single channels of single instruments. Out: the worst of them all.
//! Bounded: three bytes an instrument.

use crate::topic::severity;
use wire::event::{Channel, FeedState};

#[derive(Debug, Default)]
pub(super) struct Health {
    /// By the feed's index of the instrument; quote, trade, book.
    states: Vec<[FeedState; 3]>,
    /// How many channels are in each state, so that nothing is searched.
    counts: [usize; FeedState::ALL.len()],
}

impl Health {
    /// Takes a state and returns the worst one of the feed. Channels that never started do not count.
    pub fn note(&mut self, instrument: u32, channel: Option<Channel>, state: FeedState) -> FeedState {
        let instrument = instrument as usize;
        if instrument >= self.states.len() {
            // The caller knows the instrument, so this is no more than it holds itself.
            self.counts[FeedState::Starting as usize] += 3 * (instrument + 1 - self.states.len());
            self.states.resize(instrument + 1, Default::default());
        }
        for at in [Channel::Quote, Channel::Trade, Channel::Book] {
            if channel.is_none_or(|channel| channel == at) {
                let held = &mut self.states[instrument][at as usize];
                self.counts[*held as usize] -= 1;
                self.counts[state as usize] += 1;
                *held = state;
            }
        }
        let present = FeedState::ALL.iter().copied().filter(|state| self.counts[*state as usize] > 0);
        present.max_by_key(|state| severity(*state)).unwrap_or_default()
    }
}
