//! Books of several lines whose updates have no numbers in common: the book follows one line. In: updates and snapshots of each line. Out:
//! the leader's book; when it is lost or wrong, that of another line, which was kept beside it. Bounded: one book a line.
//!
//! Another line takes over at once where it holds the very same book and is no older, which then goes on without a word; or where its last
//! update is newer, and then its book is told whole. If it is older, it is waited for (`TAKE_OVER_NS`): no older state is ever told over a
//! newer one. A leader that does not bring within `PATIENCE_NS` what another line has is left like one that is lost.

use super::super::super::ladder::Ladder;
use super::super::super::lines::Came;
use super::super::book::{BookMessage, diff};
use super::super::scale::Misfit;
use super::super::{Market, Need};
use super::{Each, Leaving, NOBODY, PATIENCE_NS, bit, first_of, legs, name};
use crate::adapter::{Fault, FaultKind, Now, Output, Race};
use crate::sequencer::Rule;
use wire::event::{Cause, Nanos};

/// How long another line may take to come up to where the lost one was, before the book is asked for again.
const TAKE_OVER_NS: i64 = 2_000_000_000;
/// A line whose book is not good is asked for a new one, so often at most.
const RENEW_NS: i64 = 10_000_000_000;

type Checksum<'a> = dyn FnMut(&Ladder) -> u32 + 'a;

#[derive(Debug)]
pub(super) struct Followed {
    leader: u8,
    /// Of the leader's last update.
    time: Nanos,
    shadows: Each<Shadow>,
    /// The exponent their prices are at.
    price_exponent: i8,
    /// The leader is gone, and another line has to come up to it.
    waiting_since: Option<i64>,
    lacking_since: Option<i64>,
    /// Another line's book is newer.
    overtaken_since: Option<i64>,
    asked: u8,
}

/// The book as one line tells it.
#[derive(Debug, Default)]
struct Shadow {
    is_live: bool,
    ladder: Ladder,
    time: Nanos,
    last: u64,
}

impl Default for Followed {
    fn default() -> Self {
        Self {
            leader: NOBODY,
            time: 0,
            shadows: Each::default(),
            price_exponent: 0,
            waiting_since: None,
            lacking_since: None,
            overtaken_since: None,
            asked: 0,
        }
    }
}

impl Followed {
    pub fn clear(&mut self) {
        (0..self.shadows.len()).for_each(|leg| self.end(leg as u8));
        (self.leader, self.time) = (NOBODY, 0);
        (self.waiting_since, self.lacking_since, self.overtaken_since) = (None, None, None);
    }

    pub fn asked(&self) -> u8 {
        self.asked
    }

    pub fn ask(&mut self, leg: u8) {
        self.asked = leg;
    }

    fn is_overtaken(&self) -> bool {
        self.time != 0 && self.shadows.iter().any(|shadow| shadow.is_live && shadow.time > self.time)
    }

    fn end(&mut self, leg: u8) {
        if let Some(shadow) = self.shadows.get_mut(usize::from(leg)) {
            // Its memory stays: the next book is as large.
            shadow.ladder.clear();
            shadow.is_live = false;
        }
    }
}

impl Market {
    pub(super) fn followed_book(
        &mut self,
        followed: &mut Followed,
        now: Now,
        message: BookMessage<'_>,
        came: Came,
        checksum: &mut Checksum<'_>,
        out: &mut Output,
    ) -> Need {
        let update = message.update;
        let is_whole = update.snapshot || self.begins_anew(update);
        let takes = followed.leader == came.leg || (is_whole && !self.sequencer.is_live());
        if !takes {
            self.shadow(followed, now, message, is_whole, came, checksum, out);
            if followed.waiting_since.is_some() && self.take_over(followed, now, came.leg, out) {
                out.races.push(Race::Won { line: came.leg });
            }
            return Need::Nothing;
        }
        if !is_whole && !self.sequencer.is_live() {
            return Need::Nothing;
        }
        (followed.leader, followed.asked, followed.waiting_since) = (came.leg, came.leg, None);
        followed.end(came.leg);
        let need = if is_whole {
            self.on_whole(now, message, checksum, out)
        } else {
            self.on_change(now, message, false, checksum, out)
        };
        if self.sequencer.is_live() {
            followed.time = update.time;
            followed.overtaken_since = followed.is_overtaken().then_some(now.mono);
            out.races.push(Race::Won { line: came.leg });
            return need;
        }
        (followed.leader, followed.waiting_since) = (NOBODY, Some(now.mono));
        let others = came.delivering & !bit(came.leg);
        let mut in_turn = legs(others & !came.behind).chain(legs(others & came.behind));
        if in_turn.any(|leg| self.take_over(followed, now, leg as u8, out)) { Need::Nothing } else { need }
    }

    /// What a line that does not lead says of the book.
    #[expect(clippy::too_many_arguments, reason = "one message, and all it is measured against")]
    fn shadow(
        &mut self,
        followed: &mut Followed,
        now: Now,
        message: BookMessage<'_>,
        is_whole: bool,
        came: Came,
        checksum: &mut Checksum<'_>,
        out: &mut Output,
    ) {
        if message.levels().any(|raw| matches!(self.priced(raw), Err(Misfit::Finer))) {
            // The leader would bring it next. (What cannot be read at all is found below.)
            let _ = self.fit(now, Misfit::Finer, message.levels(), out);
        }
        self.rescale(followed);
        let Some(shadow) = followed.shadows.get_mut(usize::from(came.leg)) else { return };
        if is_whole {
            shadow.ladder.clear();
            shadow.is_live = true;
        } else if !shadow.is_live {
            return;
        }
        if !self.climbs(shadow, message, is_whole, now, checksum) {
            followed.end(came.leg);
            let detail = format!("{}: the book of line {} is not right", self.instrument.native, name(came.leg));
            out.faults.push(Fault { kind: FaultKind::LineGap, detail });
        } else if followed.is_overtaken() {
            followed.overtaken_since.get_or_insert(now.mono);
        }
    }

    /// False: the line's book is wrong, or its numbers have a hole.
    fn climbs(
        &self,
        shadow: &mut Shadow,
        message: BookMessage<'_>,
        is_whole: bool,
        now: Now,
        checksum: &mut Checksum<'_>,
    ) -> bool {
        let update = message.update;
        if !is_whole && self.rules.rule != Rule::Free && self.sequencer.is_hole(shadow.last, &diff(now, update, &[], &[])) {
            return false;
        }
        for (is_bid, side) in [(true, message.bids), (false, message.asks)] {
            for raw in side {
                let Ok(level) = self.priced(*raw) else { return false };
                if !shadow.ladder.apply(is_bid, level.price, *raw) && self.rules.orphans_count && !is_whole {
                    return false;
                }
            }
            if let Some(depth) = self.rules.depth {
                while shadow.ladder.cut(is_bid, depth).is_some() {}
            }
        }
        (shadow.time, shadow.last) = (update.time, update.last);
        update.checksum.is_none_or(|expected| expected == checksum(&shadow.ladder))
    }

    /// The instrument may have got finer prices since.
    fn rescale(&self, followed: &mut Followed) {
        let finer = followed.price_exponent.saturating_sub(self.instrument.price_exponent);
        let factor = u32::try_from(finer).ok().and_then(|finer| 10i64.checked_pow(finer));
        match factor {
            Some(1) => {}
            Some(factor) => {
                followed.shadows.iter_mut().for_each(|shadow| shadow.ladder.rescale(factor));
            }
            _ => {}
        }
        followed.price_exponent = self.instrument.price_exponent;
    }

    /// True: this line leads from now on.
    fn take_over(&mut self, followed: &mut Followed, now: Now, leg: u8, out: &mut Output) -> bool {
        self.rescale(followed);
        let Some(shadow) = followed.shadows.get_mut(usize::from(leg)).filter(|shadow| shadow.is_live) else { return false };
        // The same levels may be those of before the last two updates, which cancel out.
        let is_older = followed.time != 0 && shadow.time != 0 && shadow.time < followed.time;
        let is_same = self.sequencer.is_live() && shadow.ladder == self.ladder && !is_older;
        let is_newer = followed.time != 0 && shadow.time > followed.time;
        if !is_same && !is_newer {
            return false;
        }
        std::mem::swap(&mut self.ladder, &mut shadow.ladder);
        self.sequencer.restart(shadow.last);
        self.awaited_since = None;
        let time = shadow.time;
        if !is_same {
            self.tell_whole_book(now, time, out);
        }
        followed.end(leg);
        (followed.leader, followed.asked, followed.waiting_since) = (leg, leg, None);
        followed.time = time.max(followed.time);
        true
    }

    pub(super) fn leave_followed(&mut self, followed: &mut Followed, now: Now, leaving: Leaving, out: &mut Output) -> Need {
        let Leaving { leg, is_lost, others, heirs } = leaving;
        if is_lost {
            followed.end(leg);
        }
        if followed.leader != leg || !self.sequencer.is_live() {
            return Need::Nothing;
        }
        let mut in_turn = legs(heirs).chain(legs(if is_lost { others & !heirs } else { 0 }));
        let taken = in_turn.any(|other| self.take_over(followed, now, other as u8, out));
        if !taken && is_lost {
            (followed.leader, followed.waiting_since) = (NOBODY, Some(now.mono));
        }
        Need::Nothing
    }

    pub(super) fn tend_followed(&mut self, followed: &mut Followed, now: Now, delivering: u8, out: &mut Output) -> Need {
        if followed.overtaken_since.is_some_and(|since| now.mono.saturating_sub(since) >= PATIENCE_NS) {
            followed.overtaken_since = None;
            self.overtake(followed, now, delivering, out);
        }
        if followed.waiting_since.is_none_or(|since| now.mono.saturating_sub(since) < TAKE_OVER_NS) {
            return Need::Nothing;
        }
        followed.waiting_since = None;
        if !self.sequencer.is_live() {
            // It has been asked for already.
            return Need::Nothing;
        }
        followed.asked = first_of(delivering);
        self.give_up(now, Cause::Disconnected, out)
    }

    /// The leader has not brought for too long what another line has: a subscription that the venue has forgotten.
    fn overtake(&mut self, followed: &mut Followed, now: Now, delivering: u8, out: &mut Output) {
        self.rescale(followed);
        let newest = |leg: &usize| {
            let shadow = &followed.shadows[*leg];
            (shadow.is_live && shadow.time > followed.time && shadow.ladder != self.ladder).then_some(shadow.time)
        };
        let leg = legs(delivering).filter(|leg| newest(leg).is_some()).max_by_key(newest);
        if let Some(leg) = leg.filter(|_| self.sequencer.is_live() && followed.time != 0) {
            self.take_over(followed, now, leg as u8, out);
        }
    }

    /// The lines that should be asked for their book again, because what they told of it is of no use.
    pub fn lines_to_renew(&mut self, now: Now, delivering: u8) -> u8 {
        let is_live = self.sequencer.is_live();
        let Some(followed) = self.arbiter.as_mut().and_then(|arbiter| arbiter.followed.as_mut()) else { return 0 };
        let lacks = |leg: &usize| *leg != usize::from(followed.leader) && !followed.shadows[*leg].is_live;
        let lacking = legs(delivering).filter(lacks).fold(0, |mask, leg| mask | bit(leg as u8));
        if lacking == 0 || !is_live {
            followed.lacking_since = None;
            return 0;
        }
        let since = *followed.lacking_since.get_or_insert(now.mono);
        if now.mono.saturating_sub(since) < RENEW_NS {
            return 0;
        }
        followed.lacking_since = None;
        lacking
    }
}
