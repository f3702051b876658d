//! What is known of a session as a whole. In: what the line below says: lost, back, begun anew. Out: states, gaps and empty books, told to
//! every stock. Bounded by the stocks.

use super::{Market, NONE, Phase, Stamp};
use crate::adapter::{FaultKind, Output};
use crate::venue::itch::SessionDate;
use wire::event::{Cause, EventBody, FeedState, Flags, Nanos};

impl Market {
    /// Says of every stock how far its data can be trusted; stocks that come later are announced so.
    pub fn set_state(&mut self, now: Nanos, state: FeedState, cause: Cause, out: &mut Output) {
        let cause = if cause == Cause::None && !self.whole { Cause::SequenceGap } else { cause };
        if self.state == (state, cause) {
            return;
        }
        self.state = (state, cause);
        let at = Stamp { event: 0, received: now };
        for index in 0..self.stocks.len() as u32 {
            at.put(index, Flags::default(), EventBody::State { channel: None, state, cause }, out);
        }
    }

    /// The connection that carries all stocks is lost or back. Nothing counts until `set_state` says that it does.
    pub fn link(&mut self, now: Nanos, state: FeedState, cause: Cause, out: &mut Output) {
        self.state = (FeedState::Resyncing, cause);
        Stamp { event: 0, received: now }.put(0, Flags::default(), EventBody::Link { link: 0, state, cause }, out);
    }

    /// The messages so far are not all there were: orders rest that we do not know.
    pub fn begin_in_the_middle(&mut self) {
        self.whole = false;
        self.directory_over = true;
    }

    /// `missing` messages of the session will never come.
    pub fn lost(&mut self, now: Nanos, missing: u64, out: &mut Output) {
        self.begin_in_the_middle();
        self.counts.lost += missing;
        self.fault(FaultKind::SequenceGap, out, || format!("{missing} messages are lost"));
        let at = Stamp { event: 0, received: now };
        for index in 0..self.stocks.len() as u32 {
            self.put_gap(at, index, None, Cause::SequenceGap, out);
        }
        let (state, _) = self.state;
        self.set_state(now, state, Cause::SequenceGap, out);
    }

    /// Another session begins: no order of the former one rests, locates are given out anew, stocks keep their index.
    pub fn begin_session(&mut self, now: Nanos, date: SessionDate, out: &mut Output) {
        (self.options.date, self.midnight) = (date, date.midnight());
        self.books.clear_all();
        self.locates.fill(NONE);
        (self.phase, self.whole, self.directory_over, self.told) = (Phase::Unknown, true, false, 0);
        let at = Stamp { event: 0, received: now };
        for index in 0..self.stocks.len() as u32 {
            self.stocks[index as usize].begin_session();
            if self.options.books
                && let Some(book) = self.books.book(index)
            {
                let body = book.snapshot(&mut out.batch);
                at.put(index, Flags::default(), body, out);
            }
            if self.options.quotes {
                self.put_quote(at, index, Flags::default(), out);
            }
            self.put_trading(at, index, out);
        }
    }
}
