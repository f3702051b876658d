//! What is live and what is not, for each channel of one instrument. In: data, lost lines. Out: a state event for each change that its
//! link does not tell already. Bounded: three small records.

use super::{Market, Need};
use crate::adapter::{Now, Output};
use wire::event::{Cause, Channel, EventBody, FeedState};

/// State of one channel of one instrument, as told to the sink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) state: FeedState,
    pub(super) cause: Cause,
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
    /// The line that carried these channels is gone; `None`: with it all that the link carries, which is told once for all.
    pub fn line_lost(&mut self, now: Now, state: FeedState, cause: Cause, channels: Option<&[Channel]>, out: &mut Output) {
        for channel in channels.unwrap_or(&CHANNELS) {
            self.forget_lines(*channel);
            match channel {
                Channel::Quote => (self.quote_floor, self.next_quote) = (0, None),
                Channel::Trade => {
                    // What the next history has beyond this one was missed.
                    self.history_ends();
                    self.trade_overlap_ended();
                    self.lost = cause;
                }
                Channel::Book => {
                    self.sequencer.reset();
                    self.ladder.clear();
                    (self.awaited_since, self.book_line, self.early_diff) = (None, None, 0);
                }
            }
            if channels.is_some() {
                self.tell(now, *channel, state, cause, out);
            } else if let Some(told) = &mut self.told[slot(*channel)] {
                // As the link will say once it is back.
                (told.state, told.cause) = (FeedState::Resyncing, cause);
            }
        }
    }

    /// The venue acknowledged: data may be expected from now on. Quotes and books are being made good; trades need nothing but the
    /// subscription: how many were missed the next one's id tells, where ids are counted.
    pub fn subscribed(&mut self, now: Now, channels: &[Channel], out: &mut Output) {
        for channel in channels {
            if *channel == Channel::Trade {
                self.tell(now, Channel::Trade, FeedState::Live, Cause::None, out);
            } else if let Some(told) = self.told[slot(*channel)]
                && matches!(told.state, FeedState::Down | FeedState::Stale)
            {
                self.tell(now, *channel, FeedState::Resyncing, told.cause, out);
            }
        }
    }

    /// The old of two lines ends: has it brought all that the new one brought too early?
    pub fn caught_up(&self) -> bool {
        self.trades.last().unwrap_or(0) >= self.early_trade
            && (!self.rules.in_band || !self.takes(Channel::Book) || self.sequencer.is_live())
            && self.sequencer.last().is_none_or(|last| last >= self.early_diff)
    }

    /// The new one of two lines goes on alone.
    pub fn overlap_ended(&mut self, now: Now, out: &mut Output) -> Need {
        self.trade_overlap_ended();
        self.early_diff = 0;
        let held = self.next_quote.take().filter(|held| held.time == 0 || held.time >= self.quote_time);
        held.map_or(Need::Nothing, |held| self.tell_quote(now, &held, out))
    }

    fn trade_overlap_ended(&mut self) {
        if let Some(before) = self.first_trade.take().and_then(|first| first.checked_sub(1))
            && self.trades.last().is_none()
        {
            // The old line never brought it: the next one shows that it is missing.
            self.trades.step(before);
        }
        (self.early_trade, self.both_seen) = (0, None);
    }

    /// The new one of two lines is no more: the old one goes on.
    pub fn next_lost(&mut self) {
        (self.first_trade, self.next_quote) = (None, None);
    }

    /// Nothing has said what the quote is since the line was (re)opened.
    pub(super) fn quote_is_awaited(&self) -> bool {
        self.told[slot(Channel::Quote)].is_some_and(|told| told.state != FeedState::Live)
    }

    pub fn tell_book(&mut self, now: Now, state: FeedState, cause: Cause, out: &mut Output) {
        self.tell(now, Channel::Book, state, cause, out);
    }

    pub fn takes(&self, channel: Channel) -> bool {
        self.told[slot(channel)].is_some()
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
        self.tell(now, channel, FeedState::Live, Cause::None, out);
    }
}
