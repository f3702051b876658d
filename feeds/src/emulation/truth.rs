//! The venue's own book of one instrument, so that a snapshot asked for at any time is right. In: what the recording says, in order.
//! Out: the whole book of the moment, with the number of the last update in it. Bounded by the levels the recording holds.

use crate::engine::{BookUpdate, Ladder, Listed, Number, Part, Proof, QuoteUpdate, RawLevel};
use std::collections::VecDeque;

/// A book that was recorded whole.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub update: BookUpdate,
    pub bids: Vec<RawLevel>,
    pub asks: Vec<RawLevel>,
}

/// How a venue's books are to be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct BookRules {
    /// Snapshots come by REST, so that updates may be older than the book.
    pub by_rest: bool,
    pub numbering: Option<Proof>,
    /// Levels a side beyond which the venue sends no deletes.
    pub depth: Option<u32>,
}

impl BookRules {
    /// Was something left out between these two?
    fn hole(&self, last: &BookUpdate, next: &BookUpdate) -> bool {
        match self.numbering {
            Some(Proof::Chain) => next.previous.is_some_and(|previous| previous > last.last),
            Some(Proof::Range) => next.first > last.last + 1,
            _ => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Truth {
    /// As the venue calls it today, and as the recording does.
    pub native: String,
    pub recorded: String,
    /// As far as the recording tells.
    pub listed: Listed,
    ladder: Ladder,
    /// What came last: its numbers and time. `None` before anything is known.
    pub last: Option<BookUpdate>,
    /// By REST, and still ahead.
    waiting: VecDeque<Whole>,
    pub quote: QuoteUpdate,
    /// Book updates so far, for the faults.
    pub updates: u64,
    /// What numbers were before the venue began anew: told ones are this much lower.
    pub shift: u64,
    /// It is the first recorded book, whose time has not come.
    pub ahead: bool,
    /// A snapshot was given by REST since the last update, and the next one is to contain its number.
    pub anchored: bool,
    /// Levels were added that nobody traded.
    far_levels: u32,
}

impl Truth {
    pub fn new(listed: Listed, recorded: &str, far_levels: u32) -> Self {
        Self {
            native: listed.native.clone(),
            recorded: recorded.to_owned(),
            listed,
            ladder: Ladder::default(),
            last: None,
            waiting: VecDeque::new(),
            quote: QuoteUpdate::default(),
            updates: 0,
            shift: 0,
            ahead: false,
            anchored: false,
            far_levels,
        }
    }

    pub fn is_known(&self) -> bool {
        self.last.is_some()
    }

    /// One that was recorded whole. The first is where the book starts: a client that asks before the playback has come
    /// that far gets a book from slightly ahead, and the updates up to it are old news to it.
    pub fn add_recorded(&mut self, whole: Whole) {
        if self.last.is_none() {
            self.restore(&whole);
            self.ahead = true;
        } else {
            self.waiting.push_back(whole);
        }
    }

    /// What the recording says next. False: the book does not hold it, for it is older.
    pub fn take(&mut self, update: &BookUpdate, bids: &[RawLevel], asks: &[RawLevel], rules: &BookRules) -> bool {
        if update.snapshot {
            self.restore(&Whole { update: *update, bids: bids.to_vec(), asks: asks.to_vec() });
        } else if rules.by_rest {
            if self.last.is_some_and(|last| rules.hole(&last, update)) {
                self.bridge(update.first);
            }
            if self.last.is_some_and(|last| update.last <= last.last) {
                return false;
            }
            self.apply(bids, asks);
        } else if self.is_known() {
            self.apply(bids, asks);
        } else {
            return false;
        }
        self.last = Some(*update);
        if let Some(depth) = rules.depth {
            for bid in [true, false] {
                while self.ladder.cut(bid, depth as usize).is_some() {}
            }
        }
        true
    }

    /// The recording itself has a hole: the next snapshot it holds is where the book goes on.
    fn bridge(&mut self, first: u64) {
        while let Some(whole) = self.waiting.pop_front() {
            if whole.update.last + 1 >= first {
                return self.restore(&whole);
            }
        }
    }

    fn restore(&mut self, whole: &Whole) {
        self.ladder.clear();
        self.last = Some(whole.update);
        self.apply(&whole.bids, &whole.asks);
        self.add_far_levels();
    }

    fn apply(&mut self, bids: &[RawLevel], asks: &[RawLevel]) {
        let exponent = self.listed.tick.exponent;
        for (bid, side) in [(true, bids), (false, asks)] {
            for raw in side {
                if let Ok(key) = raw.price.at(exponent) {
                    self.ladder.apply(bid, key, *raw);
                }
            }
        }
    }

    /// From half the best bid down and from twice the best ask up.
    fn add_far_levels(&mut self) {
        let exponent = self.listed.tick.exponent;
        let best = |raw: Option<&RawLevel>| raw.and_then(|raw| raw.price.at(exponent).ok());
        let (bid, ask) = (best(self.ladder.bids().next()), best(self.ladder.asks().next()));
        let size = RawLevel { price: Number::new(0, 0), size: self.listed.lot };
        // The farthest first: then only the levels of the market move for each.
        for at in (0..i64::from(self.far_levels)).rev() {
            for (is_bid, key) in [(true, bid.map(|bid| bid / 2 - at)), (false, ask.map(|ask| ask * 2 + at))] {
                if let Some(key) = key.filter(|key| *key > 0) {
                    self.ladder.apply(is_bid, key, RawLevel { price: Number::new(key, exponent), ..size });
                }
            }
        }
    }

    /// The book as it stands, as of the last update; `None` before anything is known.
    pub fn whole(&self, depth: usize) -> Option<Whole> {
        let update = BookUpdate { snapshot: true, previous: None, ..self.last? };
        let bids = self.ladder.bids().take(depth).copied().collect();
        Some(Whole { update, bids, asks: self.ladder.asks().take(depth).copied().collect() })
    }

    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Both sides, where messages may leave out what did not change.
    pub fn merge(&mut self, quote: &QuoteUpdate) -> QuoteUpdate {
        let side = |told: Part, known: Part| if told == Part::Same { known } else { told };
        self.quote = QuoteUpdate { bid: side(quote.bid, self.quote.bid), ask: side(quote.ask, self.quote.ask), ..*quote };
        self.quote
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::number;

    const RULES: BookRules = BookRules { by_rest: true, numbering: Some(Proof::Range), depth: None };

    fn raw(levels: &[(&str, &str)]) -> Vec<RawLevel> {
        levels.iter().map(|(price, size)| RawLevel { price: number(price), size: number(size) }).collect()
    }

    fn whole(last: u64, bids: &[(&str, &str)], asks: &[(&str, &str)]) -> Whole {
        Whole {
            update: BookUpdate { snapshot: true, first: last, last, ..BookUpdate::default() },
            bids: raw(bids),
            asks: raw(asks),
        }
    }

    fn truth() -> Truth {
        let listed = Listed::spot("X", "X", "Y").steps(Number::new(1, -2), Number::new(1, -1));
        Truth::new(listed, "X", 0)
    }

    fn stands(truth: &Truth, last: u64, bids: &[(&str, &str)], asks: &[(&str, &str)]) {
        let found = truth.whole(5).unwrap();
        assert_eq!((found.update.last, found.bids, found.asks), (last, raw(bids), raw(asks)));
    }

    #[test]
    fn is_right_at_every_moment() {
        let mut truth = truth();
        truth.add_recorded(whole(10, &[("2.00", "1.0"), ("1.00", "1.0")], &[("3.00", "12.5")]));
        truth.add_recorded(whole(40, &[("2.50", "1.0")], &[]));
        let take = |first, last, bids: &[(&str, &str)], asks: &[(&str, &str)], truth: &mut Truth| {
            let update = BookUpdate { first, last, ..BookUpdate::default() };
            truth.take(&update, &raw(bids), &raw(asks), &RULES)
        };
        // Before the snapshot's place in the recording, and at it: it holds these already.
        assert!(!take(5, 10, &[("9.00", "1.0")], &[], &mut truth));
        stands(&truth, 10, &[("2.00", "1.0"), ("1.00", "1.0")], &[("3.00", "12.5")]);
        assert!(take(9, 12, &[("2.00", "0.00000000")], &[("3.10", "2")], &mut truth));
        stands(&truth, 12, &[("1.00", "1.0")], &[("3.00", "12.5"), ("3.10", "2")]);
        // A hole in the recording: on from the snapshot that bridges it.
        assert!(take(35, 41, &[("2.40", "7")], &[], &mut truth));
        stands(&truth, 41, &[("2.50", "1.0"), ("2.40", "7")], &[]);
    }

    #[test]
    fn levels_far_from_the_market_are_added_and_beyond_the_depth_cut() {
        let mut truth = truth();
        truth.far_levels = 2;
        truth.add_recorded(whole(1, &[("2.00", "1.0")], &[("3.00", "1.0")]));
        stands(
            &truth,
            1,
            &[("2.00", "1.0"), ("1.00", "0.1"), ("0.99", "0.1")],
            &[("3.00", "1.0"), ("6.00", "0.1"), ("6.01", "0.1")],
        );
        let update = BookUpdate { first: 2, last: 2, ..BookUpdate::default() };
        truth.take(&update, &raw(&[("2.10", "1.0")]), &[], &BookRules { depth: Some(1), ..RULES });
        stands(&truth, 2, &[("2.10", "1.0")], &[("3.00", "1.0")]);
    }
}
