//! Messages about orders and trades. In: their fields. Out: levels, quotes, trades, and what is doubtful from now on.
//! Bounded by the limit of resting orders.

use super::{Market, Stamp};
use crate::adapter::{FaultKind, Output};
use crate::orders::{Moved, Refusal};
use crate::venue::itch::message::{Header, Stock};
use wire::event::{Aggressor, Cause, Channel, EventBody, Flags, Side, Trade};

impl Market {
    pub(super) fn add(&mut self, at: Stamp, header: &Header, stock: Stock, order: (u64, u8, u32, u32), out: &mut Output) {
        self.directory_over = true;
        let Some(index) = self.find_or_list(at, header, stock, out) else { return };
        let (id, side, price, shares) = order;
        let side = match side {
            b'B' => Side::Bid,
            b'S' => Side::Ask,
            other => return self.fault(FaultKind::BadMessage, out, || format!("side '{}' of order {id}", other.escape_ascii())),
        };
        match self.books.add(index, id, side, i64::from(price), shares) {
            Ok(change) => {
                self.changes.note(&change);
                self.publish(at, index, out);
            }
            Err(refusal) => self.refused(index, id, refusal, out),
        }
    }

    /// Some or all of an order was taken. `terms`: price and whether it counts as a trade, where they are not the order's own.
    #[allow(clippy::too_many_arguments, reason = "the fields of the message")]
    pub(super) fn executed(
        &mut self,
        at: Stamp,
        header: &Header,
        id: u64,
        shares: u32,
        match_number: u64,
        terms: Option<(u32, bool)>,
        out: &mut Output,
    ) {
        let Some(index) = self.find(header, out) else { return };
        let change = match self.books.reduce(index, id, shares) {
            Ok(change) => change,
            Err(refusal) => {
                self.refused(index, id, refusal, out);
                match terms {
                    Some((price, true)) => {
                        self.put_trade(at, index, i64::from(price), i64::from(shares), Aggressor::Unknown, match_number, out);
                    }
                    Some((_, false)) => {}
                    // It traded at the order's price, which nobody told us.
                    None => self.put_gap(at, index, Some(1), Cause::SequenceGap, out),
                }
                return;
            }
        };
        if change.excess > 0 {
            self.excess(index, id, change.excess, out);
        }
        let (price, printable) = terms.map_or((change.level.price, true), |(price, printable)| (i64::from(price), printable));
        if printable {
            let aggressor = if change.side == Side::Bid { Aggressor::Sell } else { Aggressor::Buy };
            self.put_trade(at, index, price, i64::from(shares), aggressor, match_number, out);
        }
        self.changes.note(&change);
        self.publish(at, index, out);
    }

    /// `by`: `None` for all of it.
    pub(super) fn reduce(&mut self, at: Stamp, header: &Header, id: u64, by: Option<u32>, out: &mut Output) {
        let Some(index) = self.find(header, out) else { return };
        let done = match by {
            Some(by) => self.books.reduce(index, id, by),
            None => self.books.remove(index, id),
        };
        match done {
            Ok(change) => {
                if change.excess > 0 {
                    self.excess(index, id, change.excess, out);
                }
                self.changes.note(&change);
                self.publish(at, index, out);
            }
            Err(refusal) => self.refused(index, id, refusal, out),
        }
    }

    pub(super) fn replace(
        &mut self,
        at: Stamp,
        header: &Header,
        (id, new_id): (u64, u64),
        (price, shares): (u32, u32),
        out: &mut Output,
    ) {
        let Some(index) = self.find(header, out) else { return };
        match self.books.replace(index, id, new_id, i64::from(price), shares) {
            Ok(Moved { from, to }) => {
                self.changes.note(&from);
                self.changes.note(&to);
                self.publish(at, index, out);
            }
            Err(refusal) => {
                self.refused(index, id, refusal, out);
                // Whatever was wrong with the new order: the former one is gone.
                if let Ok(change) = self.books.remove(index, id) {
                    self.changes.note(&change);
                    self.publish(at, index, out);
                }
            }
        }
    }

    /// Tells what `changes` holds, and the quote if it is another one.
    pub(super) fn publish(&mut self, at: Stamp, index: u32, out: &mut Output) {
        let touch_best = self.changes.touch_best();
        let flags = self.quality(index);
        if !self.options.books {
            self.changes.clear();
        } else if let Some(body) = self.changes.put(&mut out.batch) {
            at.put(index, flags, body, out);
        }
        if touch_best && self.options.quotes {
            self.put_quote(at, index, flags, out);
        }
    }

    pub(super) fn put_quote(&mut self, at: Stamp, index: u32, flags: Flags, out: &mut Output) {
        let listed = &mut self.stocks[index as usize];
        if let Some(quote) = listed.new_quote(self.books.book(index)) {
            at.put(index, flags, EventBody::Quote(quote), out);
        }
    }

    pub(super) fn quality(&self, index: u32) -> Flags {
        let doubtful = !self.whole || self.stocks[index as usize].doubtful;
        if doubtful { Flags::MAYBE_BAD_BOOK } else { Flags::default() }
    }

    /// The order book would not do it: from now on it is not known to be right.
    #[cold]
    pub(super) fn refused(&mut self, index: u32, id: u64, refusal: Refusal, out: &mut Output) {
        self.counts.add_refused(refusal);
        // Orders from before we listened: there are millions of them.
        if !self.whole && refusal == Refusal::Unknown {
            return;
        }
        self.stocks[index as usize].doubtful = true;
        let kind = match refusal {
            Refusal::Full => FaultKind::BufferFull,
            Refusal::Unknown | Refusal::Duplicate | Refusal::NoSize => FaultKind::UnknownOrder,
        };
        let name = self.stocks[index as usize].native();
        self.fault(kind, out, || format!("{name}: order {id}: {refusal}"));
    }

    #[cold]
    pub(super) fn excess(&mut self, index: u32, id: u64, excess: u32, out: &mut Output) {
        self.counts.excess += 1;
        self.stocks[index as usize].doubtful = true;
        let name = self.stocks[index as usize].native();
        self.fault(FaultKind::UnknownOrder, out, || format!("{name}: order {id} is {excess} shares smaller than what was taken"));
    }

    pub(super) fn trade_of(&mut self, at: Stamp, header: &Header, stock: Stock, terms: (u32, i64, u64), out: &mut Output) {
        let (price, shares, match_number) = terms;
        if let Some(index) = self.find_or_list(at, header, stock, out) {
            // A cross in which nothing was traded is told with no shares.
            self.put_trade(at, index, i64::from(price), shares, Aggressor::Unknown, match_number, out);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of a trade")]
    pub(super) fn put_trade(
        &mut self,
        at: Stamp,
        index: u32,
        price: i64,
        size: i64,
        aggressor: Aggressor,
        id: u64,
        out: &mut Output,
    ) {
        if !self.options.trades || size == 0 {
            return;
        }
        let trade = Trade { price, size, aggressor, id: i64::try_from(id).ok(), aggregated: false };
        at.put(index, Flags::default(), EventBody::Trade(trade), out);
    }

    /// A trade that was told before does not count any more. What is made of trades cannot be undone; it is told not to be exact.
    pub(super) fn broken(&mut self, at: Stamp, header: &Header, out: &mut Output) {
        if let Some(index) = self.find(header, out) {
            self.put_gap(at, index, Some(0), Cause::BadData, out);
        }
    }

    pub(super) fn put_gap(&self, at: Stamp, index: u32, missing: Option<u64>, cause: Cause, out: &mut Output) {
        if self.options.trades {
            at.put(index, Flags::default(), EventBody::Gap { channel: Channel::Trade, missing, cause }, out);
        }
    }
}
