//! The links of a feed: which are lost, which are back, what was granted. In: answers, lost lines. Out: link and channel states, requests.
//! Bounded by the lines.

use super::decoded::About;
use super::facts::{AnsweredBy, SnapshotFrom};
use super::feed::{Feed, fault};
use super::lines::{Came, Lost, TopicKey, Words};
use super::market::Need;
use super::protocol::Protocol;
use crate::adapter::{Action, FaultKind, FetchError, Line, Now, Output};
use wire::event::{Cause, Channel, Event, EventBody, FeedState, Flags};

const TOKEN_RETRY_FIRST_NS: i64 = 1_000_000_000;
const TOKEN_RETRY_LAST_NS: i64 = 60_000_000_000;

impl Feed {
    /// The link is lost (`Some`) or back: told if it is news.
    fn tell_link(&mut self, now: Now, link: u32, lost: Option<(FeedState, Cause)>, out: &mut Output) {
        let Some(known) = self.lost.get_mut(link as usize) else { return };
        let former = std::mem::replace(known, lost);
        let news = if former == lost { None } else { lost.or(former.map(|(_, cause)| (FeedState::Resyncing, cause))) };
        if let Some((state, cause)) = news {
            let body = EventBody::Link { link, state, cause };
            let event = Event { instrument: 0, event_time: 0, received: now.wall, flags: Flags::default(), body };
            out.batch.events.push(event);
        }
    }

    /// The venue says something on this line: if its link was lost, it is back. (Not as soon as the line is open: a venue may take
    /// connections and say nothing.)
    fn speaks(&mut self, now: Now, line: Line, out: &mut Output) {
        if self.lost.iter().any(Option::is_some)
            && let Some(link) = self.lines.link_of(line)
        {
            self.tell_link(now, link, None, out);
        }
    }

    /// Data is here. `None`: from a line that is not ours.
    pub(super) fn data(&mut self, now: Now, line: Line, out: &mut Output) -> Option<Came> {
        let came = self.lines.data(now, line)?;
        // Data may overtake the acknowledgement.
        self.speaks(now, line, out);
        Some(came)
    }

    pub(super) fn greeted(&mut self, now: Now, line: Line, protocol: &dyn Protocol, out: &mut Output) {
        let markets = &self.markets;
        let native = |market: u32| markets[market as usize].instrument.native.clone();
        self.lines.greeted(now, line, &Words { protocol, native: &native }, out);
        self.taken_for_granted(now, line, protocol, out);
    }

    /// Where a venue answers nothing, what was sent counts as granted.
    pub(super) fn taken_for_granted(&mut self, now: Now, line: Line, protocol: &dyn Protocol, out: &mut Output) {
        if self.facts.answered_by == AnsweredBy::Nothing {
            let topics = self.lines.topics_of(line, None);
            self.topics_granted(now, &topics, protocol, out);
        }
    }

    pub(super) fn on_granted(&mut self, now: Now, line: Line, about: &About, protocol: &dyn Protocol, out: &mut Output) {
        let markets = &self.markets;
        let native = |market: u32| markets[market as usize].instrument.native.clone();
        let topics = self.lines.granted(now, line, about, &Words { protocol, native: &native }, out);
        if !topics.is_empty() {
            self.speaks(now, line, out);
            self.topics_granted(now, &topics, protocol, out);
        }
    }

    pub(super) fn on_refused(
        &mut self,
        now: Now,
        line: Line,
        about: &About,
        reason: &str,
        protocol: &dyn Protocol,
        out: &mut Output,
    ) {
        if matches!(about, About::Rest(id) if !self.lines.is_open(line, *id)) {
            return;
        }
        fault(out, FaultKind::Refused, format!("{}: request refused: {reason}", self.venue));
        let markets = &self.markets;
        let native = |market: u32| markets[market as usize].instrument.native.clone();
        self.lines.refused(now, line, about, &Words { protocol, native: &native });
    }

    pub(super) fn topics_granted(&mut self, now: Now, topics: &[TopicKey], protocol: &dyn Protocol, out: &mut Output) {
        for topic in topics {
            let channels = self.lines.channels_of(*topic);
            let market = &mut self.markets[topic.market as usize];
            market.subscribed(now, channels, out);
            let book = channels.contains(&Channel::Book) && market.takes(Channel::Book);
            if book && !market.sequencer.is_live() && !market.sequencer.is_keeping() {
                match self.facts.snapshot {
                    SnapshotFrom::Rest { .. } => self.serve(now, topic.market, Need::Snapshot, protocol, out),
                    SnapshotFrom::Subscription { .. } => market.awaited_since = Some(now.mono),
                }
            }
        }
    }

    /// Numbers of a connection's messages are missing: all it carries is in doubt.
    pub(super) fn frames_missing(&mut self, now: Now, line: Line, number: u64, missing: u64, out: &mut Output) {
        fault(out, FaultKind::SequenceGap, format!("{}: {missing} messages missing before {number}", self.venue));
        for index in self.lines.markets_of(line).to_vec() {
            // Others may have what is missing here; where trades have ids of their own those tell.
            let covered = self.lines.legs() > 1 && self.lines.delivering(index, Channel::Trade).count_ones() > 1;
            let market = &mut self.markets[index as usize];
            if market.takes(Channel::Trade) && !covered {
                market.trade_gap(now, None, None, out);
            }
        }
        out.actions.push(Action::Reconnect { line, cause: Cause::SequenceGap });
    }

    pub(super) fn on_lost(&mut self, now: Now, line: Line, cause: Cause, protocol: &dyn Protocol, out: &mut Output) {
        let state = if cause == Cause::Silence { FeedState::Stale } else { FeedState::Down };
        if self.lines.legs() > 1 {
            self.leave_line(now, line, true, protocol, out);
        }
        let (is_next, carried) = (self.lines.leg_of(line).is_none(), self.lines.markets_of(line).to_vec());
        match self.lines.lost(line, out) {
            Some(Lost::Link(link, markets)) => {
                self.tell_link(now, link, Some((state, cause)), out);
                for index in markets {
                    self.markets[index as usize].line_lost(now, state, cause, None, out);
                    self.snapshots.forget(index);
                }
            }
            Some(Lost::Uncovered(topics)) => {
                for topic in topics {
                    let channels = self.lines.channels_of(topic);
                    self.markets[topic.market as usize].line_lost(now, state, cause, Some(channels), out);
                    if channels.contains(&Channel::Book) {
                        self.snapshots.forget(topic.market);
                    }
                }
            }
            // What it led, others lead by now.
            Some(Lost::Covered(_)) if self.lines.legs() > 1 => {}
            Some(Lost::Covered(markets)) => {
                for index in markets {
                    self.retire_book(now, index, protocol, out);
                }
            }
            None => {}
        }
        for index in carried {
            // Of two lines one is left.
            if is_next {
                self.markets[index as usize].next_lost();
                continue;
            }
            let need = self.markets[index as usize].overlap_ended(now, out);
            self.serve(now, index, need, protocol, out);
        }
    }

    /// Lines that wait for an address: asks for one.
    pub(super) fn address(&mut self, now: Now, protocol: &dyn Protocol, out: &mut Output) {
        if !self.lines.unaddressed.is_empty() && self.token.fetch.is_none() && now.mono >= self.token.due {
            let url = protocol.token_request(&self.rest_url);
            self.token.fetch = Some(self.fetch(url, 1, true, out));
        }
    }

    pub(super) fn on_token(&mut self, now: Now, result: Result<Vec<u8>, FetchError>, protocol: &dyn Protocol, out: &mut Output) {
        self.token.fetch = None;
        let url = match result {
            Ok(json) => protocol.token_url(&json).ok_or_else(|| "it names no address".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        // A line may be lost at once: each address costs a pause that grows until one holds.
        match url {
            Ok(url) => {
                self.token.failures = 0;
                self.token.due = now.mono.saturating_add(TOKEN_RETRY_FIRST_NS);
                for line in self.lines.unaddressed.drain(..) {
                    out.actions.push(Action::Open { line, url: url.clone() });
                }
            }
            Err(complaint) => {
                fault(out, FaultKind::Refused, format!("{}: no address to connect to: {complaint}", self.venue));
                let pause = TOKEN_RETRY_FIRST_NS << self.token.failures.min(6);
                self.token.failures += 1;
                self.token.due = now.mono.saturating_add(pause.min(TOKEN_RETRY_LAST_NS));
            }
        }
    }
}
