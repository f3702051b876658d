//! Single orders (`mbo`). In: one order record. Out: its trade, and at the last record of an event the levels that changed and the quote.
//! Bounded by the limits of `OrderBooks`, and by `MAX_PENDING` changed levels of an event without an end.
//!
//! `A` adds, `C` takes away (its size, not what is left), `M` moves (its size is what is left), `R` clears; `T` is a trade, `F` the part
//! of a resting order in it, which a `C` or `M` follows: only the latter change the book.

use super::market::{At, Market, OrderBookState, fault, put, scale};
use super::scale::defined;
use crate::adapter::{FaultKind, Output};
use crate::orders::Refusal;
use dbn::{FlagSet, MboMsg};
use wire::event::{Cause, Channel, FeedState, Flags, Nanos, Side};

/// An event changes a few levels; one without an end is put out in parts.
const MAX_PENDING: usize = 4_096;

impl OrderBookState {
    /// Nothing of it is known any more.
    pub fn begin_anew(&mut self, cause: Cause) {
        self.changes.clear();
        (self.pending, self.whole, self.in_snapshot) = (0, true, false);
        self.doubt = Some(cause);
    }
}

impl Market {
    pub(super) fn mbo(&mut self, message: &MboMsg, received: Option<Nanos>, out: &mut Output) {
        let action = message.action.cast_unsigned();
        self.counts.actions[usize::from(action)] += 1;
        let flags = message.flags;
        let Some(at) = self.at(&message.hd, message.ts_recv, flags.raw(), received, out) else { return };
        if action == b'T' {
            self.trade(at, message.price, message.size, message.side, out);
        }
        if !self.wants(Channel::Book) && !self.wants(Channel::Quote) {
            return;
        }
        if matches!(action, b'A' | b'C' | b'M' | b'R') {
            if flags.is_tob() || flags.is_mbp() {
                self.counts.no_orders += 1;
                return fault(out, FaultKind::BadMessage, || {
                    format!("{}: a level instead of an order", message.hd.instrument_id)
                });
            }
            self.change(at, action, message, flags, out);
        }
        let state = &mut self.listed[at.index as usize].order_book;
        if flags.is_maybe_bad_book() && state.doubt.is_none() {
            state.doubt = Some(Cause::SequenceGap);
        }
        if flags.is_last() && std::mem::take(&mut state.in_snapshot) {
            // The whole book is here.
            state.doubt = None;
        }
        if !state.in_snapshot && (flags.is_last() || state.pending > MAX_PENDING) {
            self.put_orders(at, out);
        }
    }

    fn change(&mut self, at: At, action: u8, message: &MboMsg, flags: FlagSet, out: &mut Output) {
        let is_clear = action == b'R';
        let begins = flags.is_snapshot() && !self.listed[at.index as usize].order_book.in_snapshot;
        if is_clear || begins {
            self.orders.clear(at.index);
            let state = &mut self.listed[at.index as usize].order_book;
            state.begin_anew(Cause::Startup);
            state.in_snapshot = flags.is_snapshot();
            if !state.in_snapshot {
                // Empty, and known to be.
                state.doubt = None;
            }
        }
        if is_clear {
            return;
        }
        let side = match message.side.cast_unsigned() {
            b'B' => Side::Bid,
            b'A' => Side::Ask,
            _ if action == b'C' => Side::Bid,
            _ => return self.misfit(at, message, "has no side", out),
        };
        let (id, size) = (message.order_id, message.size);
        let price = match (action, defined(message.price)) {
            (b'C', _) => 0,
            (_, Some(price)) => price,
            (_, None) => return self.misfit(at, message, "has no price", out),
        };
        self.fit(at, [price], out);
        let orders = &mut self.orders;
        let state = &mut self.listed[at.index as usize].order_book;
        let result = match action {
            b'A' => orders.add(at.index, id, side, price, size).map(|change| state.changes.note(&change)),
            b'C' => orders.reduce(at.index, id, size).map(|change| state.changes.note(&change)),
            _ if size == 0 => orders.remove(at.index, id).map(|change| state.changes.note(&change)),
            _ => match orders.replace(at.index, id, id, price, size) {
                // An order that is moved from where it was not shown.
                Err(Refusal::Unknown) => orders.add(at.index, id, side, price, size).map(|change| state.changes.note(&change)),
                moved => moved.map(|moved| state.changes.note_moved(&moved)),
            },
        };
        state.pending += 1;
        if let Err(refusal) = result {
            self.misfit(at, message, &refusal.to_string(), out);
        }
    }

    /// An order that cannot be: in a book that was whole until now, something was lost.
    fn misfit(&mut self, at: At, message: &MboMsg, what: &str, out: &mut Output) {
        let listed = &mut self.listed[at.index as usize];
        if listed.order_book.doubt.is_some() {
            return;
        }
        listed.order_book.doubt = Some(Cause::SequenceGap);
        self.counts.misfits += 1;
        let native = self.listed[at.index as usize].native();
        let action = char::from(message.action.cast_unsigned()).escape_default();
        fault(out, FaultKind::SequenceGap, || format!("{native}: order {:#x} ({action}): {what}", message.order_id));
    }

    /// The event is complete: what it changed.
    fn put_orders(&mut self, at: At, out: &mut Output) {
        let listed = &mut self.listed[at.index as usize];
        let unit = listed.unit();
        let state = &mut listed.order_book;
        state.pending = 0;
        let Some(book) = self.orders.book(at.index) else { return };
        let touches_best = state.changes.touch_best() || state.whole;
        let start = out.batch.levels.len();
        let body = if std::mem::take(&mut state.whole) {
            state.changes.clear();
            Some(book.snapshot(&mut out.batch))
        } else {
            state.changes.put(&mut out.batch)
        };
        scale(&mut out.batch.levels[start..], unit);
        let Some(body) = body else { return };
        let (bid, ask, doubt) = (book.bids.best(), book.asks.best(), state.doubt);
        let flags = if doubt.is_some() { at.flags.with(Flags::MAYBE_BAD_BOOK) } else { at.flags };
        let at = At { flags, ..at };
        for channel in [Channel::Quote, Channel::Book] {
            if self.wants(channel) {
                match doubt {
                    Some(cause) => self.tell(at, channel, FeedState::Resyncing, cause, out),
                    None => self.tell(at, channel, FeedState::Live, Cause::None, out),
                }
            }
        }
        if self.wants(Channel::Book) {
            put(out, at, body);
        } else {
            out.batch.levels.truncate(start);
        }
        if touches_best && self.wants(Channel::Quote) {
            self.put_quote(at, bid, ask, out);
        }
    }
}
