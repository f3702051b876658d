//! What is live and what is not, for each channel of one instrument. In: data, lost lines, time. Out: a state event for each change.
//! Bounded: three small records.

use super::Market;
use crate::adapter::{Now, Output};
use wire::event::{Cause, Channel, EventBody, FeedState};

/// An instrument from which nothing came for this long is quiet: told, but no fault.
const QUIET_AFTER_NS: i64 = 30_000_000_000;

/// State of one channel of one instrument, as told to the sink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) state: FeedState,
    pub(super) cause: Cause,
    /// Last data, or the moment from which data may be expected (subscribed). `None`: not subscribed.
    pub(super) since: Option<i64>,
}

pub(super) fn slot(channel: Channel) -> usize {
    match channel {
        Channel::Quote => 0,
        Channel::Trade => 1,
        Channel::Book => 2,
    }
}

pub(super) const CHANNELS: [Channel; 3] = [Channel::Quote, Channel::Trade, Channel::Book];

impl Market {
    /// The line that carried this instrument is gone.
    pub fn line_lost(&mut self, now: Now, cause: Cause, out: &mut Output) {
        let state = if cause == Cause::Silence { FeedState::Stale } else { FeedState::Down };
        self.sequencer.reset();
        self.lost = cause;
        self.overlap_ended();
        self.quote_floor = 0;
        for channel in CHANNELS {
            self.tell(now, channel, state, cause, out);
            if let Some(told) = &mut self.told[slot(channel)] {
                told.since = None;
            }
        }
    }

    /// The venue acknowledged: data may be expected from now on. Quotes and books are being made good; trades need nothing but the
    /// subscription: how many were missed the next one's id tells.
    pub fn subscribed(&mut self, now: Now, out: &mut Output) {
        for channel in CHANNELS {
            let Some(told) = &mut self.told[slot(channel)] else { continue };
            told.since.get_or_insert(now.mono);
            if matches!(told.state, FeedState::Down | FeedState::Stale) {
                let (state, cause) = match channel {
                    Channel::Trade => (FeedState::Live, Cause::None),
                    Channel::Quote | Channel::Book => (FeedState::Resyncing, told.cause),
                };
                self.tell(now, channel, state, cause, out);
            }
        }
    }

    /// The old of two lines ends: has it brought all that the new one brought too early?
    pub fn caught_up(&self) -> bool {
        self.trades.last().is_none_or(|last| last >= self.early_trade)
            && self.sequencer.last().is_none_or(|last| last >= self.early_diff)
    }

    pub fn overlap_ended(&mut self) {
        (self.early_trade, self.early_diff) = (0, 0);
    }

    /// Once a second: who has been silent for long on a line that is not?
    pub fn check_quiet(&mut self, now: Now, out: &mut Output) {
        for channel in CHANNELS {
            let Some(told) = self.told[slot(channel)] else { continue };
            let silent = told.since.is_some_and(|since| now.mono.saturating_sub(since) > QUIET_AFTER_NS);
            let may = match channel {
                // It may have changed while the line was lost, and nothing has shown it since.
                Channel::Quote => told.state != FeedState::Resyncing,
                Channel::Trade => true,
                // Without its snapshot a book is not quiet but late.
                Channel::Book => self.sequencer.is_live(),
            };
            if silent && may && told.state != FeedState::Quiet {
                self.tell(now, channel, FeedState::Quiet, Cause::None, out);
            }
        }
    }

    /// Nothing has said what the quote is since the line was (re)opened.
    pub(super) fn quote_is_awaited(&self) -> bool {
        self.told[slot(Channel::Quote)].is_some_and(|told| !matches!(told.state, FeedState::Live | FeedState::Quiet))
    }

    pub fn tell_book(&mut self, now: Now, state: FeedState, cause: Cause, out: &mut Output) {
        self.tell(now, Channel::Book, state, cause, out);
    }

    pub fn wants_book(&self) -> bool {
        self.told[slot(Channel::Book)].is_some()
    }

    pub(super) fn tell(&mut self, now: Now, channel: Channel, state: FeedState, cause: Cause, out: &mut Output) {
        let Some(told) = &mut self.told[slot(channel)] else { return };
        if (told.state, told.cause) == (state, cause) {
            return;
        }
        (told.state, told.cause) = (state, cause);
        self.emit(out, 0, now.wall, EventBody::State { channel: Some(channel), state, cause });
    }

    /// Data of this channel is in hand: whatever it was, it is live now.
    pub(super) fn data(&mut self, now: Now, channel: Channel, out: &mut Output) {
        if let Some(told) = &mut self.told[slot(channel)] {
            told.since = Some(now.mono);
            if told.state != FeedState::Live {
                self.tell(now, channel, FeedState::Live, Cause::None, out);
            }
        }
    }
}
