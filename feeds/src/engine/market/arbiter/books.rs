//! Books of several lines whose updates are numbered by the venue. In: updates and snapshots of each line. Out: one book, continued by
//! whichever line has the next update first. Bounded by `EarlyUpdates`.
//!
//! The book never steps back: an update is applied only if it continues what there is, and a snapshot only if the book waits for one, or
//! nobody else could bring what lies between.

use super::super::super::decoded::BookUpdate;
use super::super::super::ladder::Ladder;
use super::super::super::lines::Came;
use super::super::book::{BookMessage, diff};
use super::super::{Market, Need};
use super::early::Kept;
use super::followed::Followed;
use super::{Arbiter, Books, LOST_ON_ALL, Leaving, PATIENCE_NS, best_of, bit, first_of, is_in, legs, memo};
use crate::adapter::{Now, Output, Race};
use crate::sequencer::{Diff, Rule, Stand};

/// A book that no line has continued for so long, while lines bring updates of its past, follows numbers that are no more.
const STUCK_NS: i64 = 10_000_000_000;

type Checksum<'a> = dyn FnMut(&Ladder) -> u32 + 'a;

impl Market {
    pub fn arbitrate_book(
        &mut self,
        now: Now,
        message: BookMessage<'_>,
        came: Came,
        checksum: &mut Checksum<'_>,
        out: &mut Output,
    ) -> Need {
        let book = |market: &mut Self, arbiter: &mut Arbiter| match market.followed(arbiter, message.update) {
            Some(followed) => market.followed_book(followed, now, message, came, checksum, out),
            None => market.numbered_book(&mut arbiter.books, now, message, came, checksum, out),
        };
        self.with_arbiter(book).unwrap_or(Need::Nothing)
    }

    /// Books without numbers. (OKX has not always sent them.)
    fn followed<'a>(&mut self, arbiter: &'a mut Arbiter, update: &BookUpdate) -> Option<&'a mut Followed> {
        if self.rules.in_band && update.snapshot && update.last == 0 && arbiter.followed.is_none() {
            self.rules.ladder = true;
            arbiter.followed = Some(Followed::default());
        }
        arbiter.followed.as_mut()
    }

    fn numbered_book(
        &mut self,
        books: &mut Books,
        now: Now,
        message: BookMessage<'_>,
        came: Came,
        checksum: &mut Checksum<'_>,
        out: &mut Output,
    ) -> Need {
        let (update, leg) = (message.update, usize::from(came.leg));
        let at = books.at[leg];
        if self.rules.in_band && (update.snapshot || self.begins_anew(update)) {
            books.at[leg] = update.last;
            return self.arbitrated_snapshot(books, now, message, came, checksum, out);
        }
        books.at[leg] = at.max(update.last);
        let this = diff(now, update, &[], &[]);
        if at > 0 && self.sequencer.is_hole(at, &this) {
            self.skipped(came, "book update", update.last, out);
        }
        if update.last < update.first {
            // That is no update: the fault is told.
            return self.continue_book(books, now, message, checksum, out);
        }
        if is_in(books.outside, came.leg) {
            return Need::Nothing;
        }
        let hash = memo::of_book(message);
        match self.sequencer.stand(&this) {
            Stand::Alone if self.rules.in_band => Need::Nothing,
            // It is the first of those to keep, once a snapshot is asked for.
            Stand::Alone if !self.sequencer.is_keeping() => {
                books.early.clear();
                books.early.keep(message);
                Need::SnapshotAndRepeat
            }
            Stand::Alone | Stand::Next => {
                win(books, now, update.last, hash, came, out);
                if self.rules.rule == Rule::Free {
                    books.seen.add(update.last);
                }
                let need = self.continue_book(books, now, message, checksum, out);
                need.max(self.settle_book(books, now, came.delivering, checksum, out))
            }
            Stand::Past => {
                let again = books.memo.again(update.last, hash, came.leg, now.mono);
                self.second(again, came, "book update", update.last, out);
                if self.rules.rule == Rule::Free && self.sequencer.is_live() && books.seen.is_new(update.last) {
                    // No number tells what the line that is ahead has skipped, but this line does.
                    self.skipped(came, "book update beyond", update.last, out);
                    return self.give_up(now, LOST_ON_ALL, out);
                }
                if again.is_none() && self.sequencer.is_live() && now.mono.saturating_sub(books.advanced) >= STUCK_NS {
                    books.early.clear();
                    return self.give_up(now, LOST_ON_ALL, out);
                }
                Need::Nothing
            }
            Stand::Ahead => {
                match books.early.keep(message) {
                    Kept::New => win(books, now, update.last, hash, came, out),
                    Kept::Again => {
                        let again = books.memo.again(update.last, hash, came.leg, now.mono);
                        self.second(again, came, "book update", update.last, out);
                    }
                    Kept::Full => return self.skip_to_early_update(books, now, checksum, out),
                }
                books.waiting_since.get_or_insert(now.mono);
                self.settle_book(books, now, came.delivering, checksum, out)
            }
        }
    }

    /// One that follows what there is.
    fn continue_book(
        &mut self,
        books: &mut Books,
        now: Now,
        message: BookMessage<'_>,
        checksum: &mut Checksum<'_>,
        out: &mut Output,
    ) -> Need {
        books.advanced = now.mono;
        books.waiting_since = None;
        if self.rules.in_band {
            self.on_change(now, message, true, checksum, out)
        } else {
            self.on_diff(now, message, false, out)
        }
    }

    /// The venue numbers from the beginning: a snapshot, whatever it calls itself.
    pub(super) fn begins_anew(&self, update: &BookUpdate) -> bool {
        self.rules.restart_floor.is_some_and(|floor| update.last <= floor)
    }

    fn arbitrated_snapshot(
        &mut self,
        books: &mut Books,
        now: Now,
        message: BookMessage<'_>,
        came: Came,
        checksum: &mut Checksum<'_>,
        out: &mut Output,
    ) -> Need {
        let (joins, begins_anew) = (is_in(books.outside, came.leg), self.begins_anew(message.update));
        books.outside &= !bit(came.leg);
        if let Some(last) = self.sequencer.last() {
            let alone = came.delivering & !books.outside & !bit(came.leg) == 0;
            let is_news = if begins_anew { !joins } else { alone && message.update.last > last };
            if !is_news {
                // The line is in step from here on.
                return Need::Nothing;
            }
        }
        if begins_anew {
            books.outside = !bit(came.leg);
            books.early.clear();
        }
        books.memo.clear();
        (books.advanced, books.waiting_since) = (now.mono, None);
        out.races.push(Race::Won { line: came.leg });
        let need = self.on_whole(now, message, checksum, out);
        need.max(self.settle_book(books, now, came.delivering, checksum, out))
    }

    /// Applies what has its turn now. What is missing is given up when no line can bring it any more, or none has for too long.
    fn settle_book(
        &mut self,
        books: &mut Books,
        now: Now,
        delivering: u8,
        checksum: &mut Checksum<'_>,
        out: &mut Output,
    ) -> Need {
        let mut need = Need::Nothing;
        // Taken out for the time, so that what it lends can be applied.
        while !books.early.is_empty() && need == Need::Nothing {
            let early = std::mem::take(&mut books.early);
            let next = early.all().find(|early| self.stand(now, *early) == Stand::Next);
            let mut done = None;
            if let Some(next) = next {
                done = Some(*next.update);
                need = self.continue_book(books, now, next, checksum, out);
            }
            books.early = early;
            let is_done = |early: &BookUpdate| done.is_some_and(|done| (done.first, done.last) == (early.first, early.last));
            books
                .early
                .retain(|early| self.stand(now, early) != Stand::Past && !is_done(early.update) && !self.is_unreachable(early));
            if done.is_none() {
                break;
            }
        }
        if books.early.is_empty() || need != Need::Nothing {
            books.waiting_since = None;
            return need;
        }
        let last = self.sequencer.newest().unwrap_or(0);
        let all_past = legs(delivering & !books.outside).all(|leg| books.at[leg] > last);
        let since = *books.waiting_since.get_or_insert(now.mono);
        if (all_past || now.mono.saturating_sub(since) >= PATIENCE_NS) && self.sequencer.newest().is_some() {
            return self.skip_to_early_update(books, now, checksum, out);
        }
        need
    }

    fn stand(&self, now: Now, message: BookMessage<'_>) -> Stand {
        self.sequencer.stand(&Diff { first: message.update.first, ..diff(now, message.update, &[], &[]) })
    }

    /// It began before where the book is, on a line that cuts updates elsewhere: it will never be next.
    fn is_unreachable(&self, message: BookMessage<'_>) -> bool {
        self.rules.in_band && message.update.previous.zip(self.sequencer.last()).is_some_and(|(previous, last)| previous < last)
    }

    /// Nobody has what lies before the first early update: the book starts over. (The sequencer finds the hole.)
    fn skip_to_early_update(&mut self, books: &mut Books, now: Now, checksum: &mut Checksum<'_>, out: &mut Output) -> Need {
        let early = std::mem::take(&mut books.early);
        let need = match early.first() {
            Some(first) => self.continue_book(books, now, first, checksum, out),
            None => Need::Nothing,
        };
        books.early = early;
        if self.sequencer.is_keeping() {
            // What was kept before the hole was dropped; what is left has its turn with the next update.
            books.early.retain(|early| self.stand(now, early) != Stand::Past);
        } else if self.rules.in_band || need != Need::SnapshotAndRepeat {
            books.early.clear();
        }
        need
    }

    /// A snapshot that was asked for is here.
    pub fn spliced(&mut self, now: Now, last_id: u64, out: &mut Output) {
        let settle = |market: &mut Self, arbiter: &mut Arbiter| {
            arbiter.books.advanced = now.mono;
            arbiter.books.seen.begin_above(last_id);
            // Every line may still bring something.
            market.settle_book(&mut arbiter.books, now, u8::MAX, &mut |_| 0, out)
        };
        self.with_arbiter(settle);
    }

    /// A snapshot was asked for: what came meanwhile is kept for it.
    pub fn keep_early(&mut self, now: Now, delivering: u8, out: &mut Output) {
        let keep = |market: &mut Self, arbiter: &mut Arbiter| {
            let early = std::mem::take(&mut arbiter.books.early);
            for message in early.all() {
                market.continue_book(&mut arbiter.books, now, message, &mut |_| 0, out);
            }
            arbiter.books.early = early;
            arbiter.books.early.clear();
            market.settle_book(&mut arbiter.books, now, delivering, &mut |_| 0, out);
        };
        self.with_arbiter(keep);
    }

    pub(super) fn tend_arbitrated_book(
        &mut self,
        arbiter: &mut Arbiter,
        now: Now,
        delivering: u8,
        behind: u8,
        out: &mut Output,
    ) -> Need {
        if let Some(followed) = &mut arbiter.followed {
            return self.tend_followed(followed, now, best_of(delivering, behind), out);
        }
        if arbiter.books.waiting_since.is_none() {
            return Need::Nothing;
        }
        self.settle_late(&mut arbiter.books, now, delivering, out)
    }

    fn settle_late(&mut self, books: &mut Books, now: Now, delivering: u8, out: &mut Output) -> Need {
        // Nothing can have become next without a message: only patience ends here, and a hole is found before any checksum is.
        self.settle_book(books, now, delivering, &mut |_| 0, out)
    }

    pub(super) fn leave_books(&mut self, arbiter: &mut Arbiter, now: Now, leaving: Leaving, out: &mut Output) -> Need {
        if let Some(followed) = &mut arbiter.followed {
            return self.leave_followed(followed, now, leaving, out);
        }
        let (books, Leaving { leg, is_lost, others, heirs }) = (&mut arbiter.books, leaving);
        if is_lost {
            books.outside &= !bit(leg);
        }
        if books.asked == leg {
            books.asked = first_of(heirs);
        }
        if self.sequencer.is_live() && others != 0 && others & !books.outside == 0 {
            books.early.clear();
            return self.give_up(now, LOST_ON_ALL, out);
        }
        // One that lags may still bring what is waited for.
        if is_lost { self.settle_late(books, now, others, out) } else { Need::Nothing }
    }

    /// The line to ask for a snapshot in band: the one whose book it is, or the first that may be asked.
    pub fn line_to_ask(&self, askable: u8) -> u8 {
        let Some(arbiter) = &self.arbiter else { return 0 };
        let wanted = arbiter.followed.as_ref().map_or(arbiter.books.asked, |followed| followed.asked());
        if is_in(askable, wanted) { wanted } else { first_of(askable).min(7) }
    }

    /// It brought none.
    pub fn ask_another_line(&mut self, askable: u8) {
        let wanted = self.line_to_ask(askable);
        let later = askable & !(bit(wanted) | bit(wanted).wrapping_sub(1));
        let next = if later == 0 { first_of(askable) } else { first_of(later) };
        if let Some(arbiter) = &mut self.arbiter {
            match &mut arbiter.followed {
                Some(followed) => followed.ask(next),
                None => arbiter.books.asked = next,
            }
        }
    }
}

fn win(books: &mut Books, now: Now, id: u64, hash: u64, came: Came, out: &mut Output) {
    books.memo.first(id, hash, came.leg, now.mono);
    out.races.push(Race::Won { line: came.leg });
}
