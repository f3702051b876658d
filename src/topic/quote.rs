//! The best bid and ask of an instrument. In: whole quotes. Out: the fields that changed since a cursor.
//! Bounded: four values and the sequence at which each last changed.

use super::cursor::Cursor;
use super::head::{Emit, Head, Redefined};
use super::publish::Stamp;
use wire::event::{Flags, Nanos, Quote};
use wire::record::{Meta, QuoteChange, RecordBody};
use wire::view::quote_hash;

#[derive(Debug)]
pub(super) struct QuoteState {
    pub head: Head,
    seq: u64,
    time: Nanos,
    flags: Flags,
    /// Bid price, bid size, ask price, ask size; each with the sequence of its last change.
    fields: [(Option<i64>, u64); 4],
}

impl QuoteState {
    pub fn new(head: Head) -> Self {
        Self { head, seq: 0, time: 0, flags: Flags::default(), fields: Default::default() }
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// A new epoch starts without a value. True if there is news.
    pub fn redefine(&mut self, meta: &Meta) -> bool {
        let redefined = self.head.redefine(meta);
        if redefined == Redefined::Epoch {
            (self.seq, self.time, self.flags, self.fields) = (0, 0, Flags::default(), Default::default());
        }
        redefined != Redefined::Nothing
    }

    /// True if anything changed. A quote that repeats the last one moves nothing, not even the time.
    pub fn publish(&mut self, quote: &Quote, stamp: &Stamp) -> bool {
        let values = [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size];
        if self.fields.iter().map(|field| field.0).eq(values) {
            return false;
        }
        self.seq += 1;
        for (field, value) in self.fields.iter_mut().zip(values) {
            if field.0 != value {
                *field = (value, self.seq);
            }
        }
        self.time = self.head.time(stamp, self.time);
        self.flags = stamp.quality();
        self.head.anchor(quote.bid_price.or(quote.ask_price));
        true
    }

    /// The same for a step that another node has numbered: it brings the quote to `seq`, or is known already. What is in `change`
    /// counts as changed, also if it changed back: who stands between the two places holds something else.
    pub fn relay(&mut self, change: &QuoteChange, snapshot: bool, seq: u64, stamp: &Stamp) -> bool {
        if seq < self.seq || (seq == self.seq && !snapshot) {
            return false;
        }
        let changes = [change.bid_price, change.bid_size, change.ask_price, change.ask_size];
        for (field, change) in self.fields.iter_mut().zip(changes) {
            match change {
                Some(value) => *field = (value, seq),
                None if snapshot => *field = (None, seq),
                None => {}
            }
        }
        self.seq = seq;
        self.time = self.head.time(stamp, self.time);
        self.flags = stamp.quality();
        self.head.anchor(self.fields[0].0.or(self.fields[2].0));
        true
    }

    pub fn since(&self, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        let (next, fresh) = self.head.begin(cursor, self.seq, emit);
        if fresh {
            let change = self.changed(|_| true);
            return self.head.snapshot(next, self.seq, self.time, self.flags, RecordBody::Quote(change), emit);
        }
        if next.seq >= self.seq {
            return next;
        }
        let change = self.changed(|seq| seq > next.seq);
        self.head.advance(next, self.seq, self.time, self.flags, RecordBody::Quote(change), emit)
    }

    /// `wire::view` hash of the value.
    pub fn hash(&self) -> u32 {
        let [bid_price, bid_size, ask_price, ask_size] = self.fields.map(|field| field.0);
        quote_hash(&Quote { bid_price, bid_size, ask_price, ask_size })
    }

    fn changed(&self, wanted: impl Fn(u64) -> bool) -> QuoteChange {
        let [bid_price, bid_size, ask_price, ask_size] = self.fields.map(|(value, seq)| wanted(seq).then_some(value));
        QuoteChange { bid_price, bid_size, ask_price, ask_size }
    }
}
