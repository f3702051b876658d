//! Where a line's messages go. In: messages, notices, the time. Out: batches into a sink, and the state of the feed. Bounded: a batch is
//! published when it holds `MAX_EVENTS`, whatever came at once.

use crate::adapter::{FaultKind, Output, Sink};
use crate::venue::itch::{Market, SessionDate};
use wire::event::{Cause, FeedState, Nanos};

const MAX_EVENTS: usize = 1_024;
/// A message that is younger than this was not waited for: all before it was heard.
const UP_TO_DATE: Nanos = 2_000_000_000;

pub(super) struct Outlet {
    market: Market,
    /// Of the first session, where it is configured.
    date: Option<SessionDate>,
    sink: Box<dyn Sink>,
    out: Output,
    state: FeedState,
    known: bool,
    /// When the message at hand came.
    pub(super) now: Nanos,
}

impl Outlet {
    pub(super) fn new(market: Market, date: Option<SessionDate>, sink: Box<dyn Sink>) -> Self {
        Self { market, date, sink, out: Output::default(), state: FeedState::Resyncing, known: false, now: 0 }
    }

    /// Something was read from a socket.
    pub(super) fn read(&mut self, now: Nanos, bytes: usize) {
        self.now = now;
        self.sink.message(bytes);
    }

    /// Out: true if it happened just now.
    pub(super) fn message(&mut self, message: &[u8]) -> bool {
        let event = self.market.on_message(self.now, message, &mut self.out);
        if self.out.batch.events.len() >= MAX_EVENTS {
            self.publish();
        }
        event.is_some_and(|event| self.now.saturating_sub(event) < UP_TO_DATE)
    }

    /// A session begins, or is heard of for the first time; `unheard` of its messages never will be.
    pub(super) fn session(&mut self, unheard: u64) {
        let date = self.date.take().unwrap_or_else(|| SessionDate::at(self.now));
        self.market.begin_session(self.now, date, &mut self.out);
        if unheard > 0 {
            tracing::warn!(unheard, "the session is heard from its middle: books miss the orders from before");
            self.market.begin_in_the_middle();
        }
        self.state(FeedState::Resyncing, Cause::Startup);
    }

    pub(super) fn lost(&mut self, missing: u64) {
        tracing::error!(missing, "messages are lost for good: books may be wrong until the next session");
        self.market.lost(self.now, missing, &mut self.out);
    }

    pub(super) fn fault(&mut self, kind: FaultKind, detail: &str) {
        self.market.fault(kind, &mut self.out, || detail.to_owned());
    }

    /// How far the data can be trusted from now on, told to every stock where it changes.
    pub(super) fn state(&mut self, state: FeedState, cause: Cause) {
        self.state = state;
        self.market.set_state(self.now, state, cause, &mut self.out);
    }

    pub(super) fn is_live(&self) -> bool {
        self.state == FeedState::Live
    }

    /// The line is gone, or silent (`Down`, `Stale`), or back (`Resyncing`).
    pub(super) fn link(&mut self, state: FeedState, cause: Cause) {
        if self.state == state {
            return;
        }
        self.state = state;
        if state == FeedState::Down {
            self.sink.line_lost(cause);
        }
        self.market.link(self.now, state, cause, &mut self.out);
        self.publish();
    }

    /// The line, if it was lost, is there again; what it carries is not good yet.
    pub(super) fn back(&mut self) {
        if matches!(self.state, FeedState::Down | FeedState::Stale) {
            self.link(FeedState::Resyncing, Cause::None);
        }
    }

    pub(super) fn publish(&mut self) {
        if !self.out.batch.is_empty() {
            self.sink.publish(&self.out.batch);
        }
        if !self.out.faults.is_empty() {
            self.sink.faults(&self.out.faults);
        }
        self.out.clear();
        if !self.known && self.market.instruments_known() {
            self.known = true;
            self.sink.instruments_known();
        }
    }
}
