//! The books of a feed: which need a snapshot, and how each gets one. In: what messages leave to do, answers, ticks. Out: requests,
//! resubscriptions, reconnects. Bounded by the snapshots in flight.

use super::decoded::{Decoded, Item};
use super::facts::SnapshotFrom;
use super::feed::{Feed, fault};
use super::ladder::Ladder;
use super::lines::{Came, Words};
use super::market::{BookMessage, Need, Spliced};
use super::protocol::Protocol;
use crate::adapter::{Action, FaultKind, Fetch, FetchError, Line, Now, Output};
use wire::event::{Cause, Channel, FeedState};

/// A granted subscription brings its snapshot within this time, or it is made again.
const SNAPSHOT_TIMEOUT_NS: i64 = 10_000_000_000;

impl Feed {
    #[expect(clippy::too_many_arguments, reason = "one message, and all it is measured against")]
    pub(super) fn on_book(
        &mut self,
        now: Now,
        line: Line,
        index: u32,
        message: BookMessage<'_>,
        came: Came,
        protocol: &dyn Protocol,
        scratch: &mut Vec<u8>,
        out: &mut Output,
    ) {
        let mut checksum = |ladder: &Ladder| {
            scratch.clear();
            protocol.checksum(ladder, scratch)
        };
        let market = &mut self.markets[index as usize];
        let was_live = market.sequencer.is_live();
        let need = market.on_book(now, line, message, came, &mut checksum, out);
        if !was_live && market.sequencer.is_live() {
            self.snapshots.forget(index);
            self.snapshots.live(now, index);
        }
        self.serve(now, index, need, protocol, out);
        if need == Need::SnapshotAndRepeat {
            let market = &mut self.markets[index as usize];
            if market.sequencer.is_keeping() && market.is_arbitrated() {
                market.keep_early(now, came.delivering, out);
            } else if market.sequencer.is_keeping() {
                market.on_book(now, line, message, came, &mut checksum, out);
            }
        }
    }

    /// Does what a message left to do for this book.
    pub(super) fn serve(&mut self, now: Now, index: u32, need: Need, protocol: &dyn Protocol, out: &mut Output) {
        if need != Need::Nothing && self.markets[index as usize].takes(Channel::Book) {
            self.snapshots.want(now, index);
            self.ask_for_snapshots(now, protocol, out);
        }
    }

    pub(super) fn ask_for_snapshots(&mut self, now: Now, protocol: &dyn Protocol, out: &mut Output) {
        while let Some(index) = self.snapshots.next(now, Fetch(self.next_fetch + 1)) {
            let market = &mut self.markets[index as usize];
            match self.facts.snapshot {
                SnapshotFrom::Rest { weight, .. } => {
                    if !market.sequencer.is_keeping() {
                        market.sequencer.begin();
                    }
                    let url = protocol.snapshot_url(&self.rest_url, &market.instrument.native);
                    self.fetch(url, weight, false, out);
                }
                SnapshotFrom::Subscription { unsubscribe } => {
                    // The number is spent, so that no answer can be taken for it.
                    self.next_fetch += 1;
                    market.awaited_since = Some(now.mono);
                    self.subscribe_again(now, index, unsubscribe, protocol, out);
                }
            }
        }
    }

    fn subscribe_again(&mut self, now: Now, index: u32, unsubscribe: bool, protocol: &dyn Protocol, out: &mut Output) {
        let leg = self.markets[index as usize].line_to_ask(self.lines.askable(index, Channel::Book));
        self.subscribe_leg_again(now, index, leg, unsubscribe, protocol, out);
    }

    pub(super) fn subscribe_leg_again(
        &mut self,
        now: Now,
        index: u32,
        leg: u8,
        unsubscribe: bool,
        protocol: &dyn Protocol,
        out: &mut Output,
    ) {
        let markets = &self.markets;
        let native = |market: u32| markets[market as usize].instrument.native.clone();
        if unsubscribe {
            self.lines.resubscribe(now, index, Channel::Book, leg, &Words { protocol, native: &native }, out);
        } else if let Some(line) = self.lines.line_of(index, Channel::Book, leg) {
            out.actions.push(Action::Reconnect { line, cause: Cause::SequenceGap });
        }
    }

    pub(super) fn on_snapshot(
        &mut self,
        now: Now,
        index: u32,
        result: Result<Vec<u8>, FetchError>,
        protocol: &mut dyn Protocol,
        decoded: &mut Decoded,
        out: &mut Output,
    ) {
        let market = &mut self.markets[index as usize];
        let mut body = match result {
            Ok(body) => body,
            Err(error) => {
                fault(out, FaultKind::SnapshotFailed, format!("{}: {error}", market.instrument.native));
                // Of a recording the next answer may be the next message: what comes until then is kept, where there is one.
                if !self.is_replay || matches!(error, FetchError::Io(_)) {
                    market.sequencer.reset();
                }
                market.tell_book(now, FeedState::Resyncing, Cause::SnapshotUnavailable, out);
                return self.snapshots.failed(now, index, &error);
            }
        };
        decoded.clear();
        let complaint = match protocol.snapshot(&market.instrument.native, &mut body, decoded) {
            Ok(()) => {
                match decoded.items.iter().find(|item| matches!(item, Item::Book { instrument, .. } if *instrument == index)) {
                    Some(Item::Book { book, bids, asks, .. }) => {
                        let message =
                            BookMessage { update: book, bids: &decoded.bids[bids.clone()], asks: &decoded.asks[asks.clone()] };
                        match market.on_snapshot(now, message, out) {
                            Spliced::Live => return self.snapshots.live(now, index),
                            Spliced::Unasked => return,
                            Spliced::TooOld => "snapshot is older than the updates at hand",
                            Spliced::Unusable => "snapshot has a number that cannot be read",
                        }
                    }
                    _ => "snapshot is another instrument's",
                }
            }
            Err(complaint) => complaint,
        };
        fault(out, FaultKind::SnapshotFailed, format!("{}: {complaint}", market.instrument.native));
        self.snapshots.again(now, index);
    }

    /// The line that brought this book is gone, and another has taken over without a snapshot of its own.
    pub(super) fn retire_book(&mut self, now: Now, index: u32, protocol: &dyn Protocol, out: &mut Output) {
        let market = &mut self.markets[index as usize];
        let current = self.lines.line_of(index, Channel::Book, 0);
        if market.book_line.is_some_and(|owner| Some(owner) != current) {
            market.book_line = None;
            let need = market.give_up(now, Cause::Disconnected, out);
            self.serve(now, index, need, protocol, out);
        }
    }

    /// Waits that are over, and subscriptions that brought no snapshot.
    pub(super) fn tend_books(&mut self, now: Now, protocol: &dyn Protocol, out: &mut Output) {
        self.snapshots.tick(now);
        if matches!(self.facts.snapshot, SnapshotFrom::Subscription { .. }) {
            for index in 0..self.markets.len() {
                let market = &mut self.markets[index];
                if market.awaited_since.is_some_and(|since| now.mono.saturating_sub(since) >= SNAPSHOT_TIMEOUT_NS) {
                    market.awaited_since = None;
                    market.ask_another_line(self.lines.askable(index as u32, Channel::Book));
                    let detail = format!("{}: subscribed, but no snapshot came", market.instrument.native);
                    fault(out, FaultKind::SnapshotFailed, detail);
                    market.tell_book(now, FeedState::Resyncing, Cause::SnapshotUnavailable, out);
                    self.snapshots.forget(index as u32);
                    self.snapshots.again(now, index as u32);
                }
            }
        }
        self.ask_for_snapshots(now, protocol, out);
    }
}
