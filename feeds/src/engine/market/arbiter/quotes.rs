//! Quotes of several lines. In: quotes with or without update ids. Out: by id the newest, from whichever line has it first; without ids the
//! leader's. Bounded: one quote a line.
//!
//! The leader may miss what another line has: a subscription that a venue has forgotten, a message it left out for this connection. A quote
//! that is newer than the last one told, and that the leader has not brought within `PATIENCE_NS`, makes its line the leader.

use super::super::super::decoded::QuoteUpdate;
use super::super::super::facts::QuoteIds;
use super::super::super::lines::Came;
use super::super::{Market, Need};
use super::{Leaving, PATIENCE_NS, Place, Quotes, first_of, is_in, legs, memo};
use crate::adapter::{Now, Output, Race};
use crate::trail::{Step, Trail};

impl Market {
    pub fn arbitrate_quote(&mut self, now: Now, update: &QuoteUpdate, came: Came, out: &mut Output) -> Need {
        let numbered = self.rules.quote_ids != QuoteIds::None && self.rules.shared_numbers;
        self.with_arbiter(|market, arbiter| match numbered {
            true => market.numbered_quote(&mut arbiter.quotes, now, update, came, out),
            false => market.followed_quote(&mut arbiter.quotes, now, update, came, out),
        })
        .unwrap_or(Need::Nothing)
    }

    fn numbered_quote(&mut self, quotes: &mut Quotes, now: Now, update: &QuoteUpdate, came: Came, out: &mut Output) -> Need {
        if self.quote_is_awaited() {
            // What a new connection brings is newer than what the old ones brought, even if the venue numbers anew.
            self.quotes = Trail::default();
        }
        let hash = memo::of_quote(update);
        if matches!(self.quotes.look(update.id), Step::Duplicate | Step::Restart) {
            let again = quotes.memo.again(update.id, hash, came.leg, now.mono);
            self.second(again, came, "quote", update.id, out);
            // Where ids stay low, the venue numbers anew.
            if quotes.at.lags(came.leg, update.id, again.is_some()) || self.quotes.step(update.id) == Step::Duplicate {
                return Need::Nothing;
            }
            quotes.at = Place::default();
        } else {
            self.quotes.step(update.id);
        }
        quotes.at.advance(came.leg, update.id);
        if self.rules.quote_ids == QuoteIds::AsBook && update.id <= self.quote_floor {
            return Need::Nothing;
        }
        quotes.memo.first(update.id, hash, came.leg, now.mono);
        out.races.push(Race::Won { line: came.leg });
        self.tell_quote(now, update, out)
    }

    fn followed_quote(&mut self, quotes: &mut Quotes, now: Now, update: &QuoteUpdate, came: Came, out: &mut Output) -> Need {
        let held = &mut quotes.held[usize::from(came.leg)];
        let whole = update.whole(*held);
        *held = Some(whole);
        if !is_in(came.delivering, quotes.leader) {
            (quotes.leader, quotes.waits) = (came.leg, true);
        }
        if quotes.leader != came.leg {
            if whole.time > quotes.time || self.quote_is_awaited() {
                quotes.untold_since.get_or_insert(now.mono);
            }
            return Need::Nothing;
        }
        if quotes.waits && whole.time != 0 && whole.time < quotes.time {
            return Need::Nothing;
        }
        out.races.push(Race::Won { line: came.leg });
        self.tell_held_quote(quotes, now, &whole, out)
    }

    /// Of the line that leads from now on.
    fn tell_held_quote(&mut self, quotes: &mut Quotes, now: Now, held: &QuoteUpdate, out: &mut Output) -> Need {
        quotes.waits = false;
        if held.time != 0 {
            quotes.time = held.time;
        }
        let time = quotes.time;
        let is_newer = |other: &QuoteUpdate| other.time > time;
        quotes.untold_since = quotes.held.iter().flatten().any(is_newer).then_some(now.mono);
        self.tell_quote(now, held, out)
    }

    pub(super) fn leave_quotes(&mut self, quotes: &mut Quotes, now: Now, leaving: Leaving, out: &mut Output) -> Need {
        let leg = usize::from(leaving.leg);
        let last = if leaving.is_lost { quotes.held[leg].take() } else { None };
        if quotes.leader != leaving.leg {
            let Some(last) = last.filter(|last| self.is_untold(quotes, last)) else { return Need::Nothing };
            // Nobody else may have it. The leader has to come up to it.
            let need = self.tell_held_quote(quotes, now, &last, out);
            quotes.waits = true;
            return need;
        }
        if leaving.heirs == 0 {
            return Need::Nothing;
        }
        (quotes.leader, quotes.waits) = (first_of(leaving.heirs), true);
        let Some(held) = quotes.held[usize::from(quotes.leader)] else { return Need::Nothing };
        if held.time > quotes.time || self.quote_is_awaited() {
            return self.tell_held_quote(quotes, now, &held, out);
        }
        // It may be the last one told, one before it, or another of the same time: what the new leader does not take back holds.
        quotes.untold_since = Some(now.mono);
        Need::Nothing
    }

    /// It is newer than what was told, and says something else.
    fn is_untold(&self, quotes: &Quotes, other: &QuoteUpdate) -> bool {
        let said = quotes.held.get(usize::from(quotes.leader)).copied().flatten().filter(|_| !quotes.waits);
        let is_said = said.is_some_and(|said| (said.bid, said.ask) == (other.bid, other.ask));
        self.quote_is_awaited() || (other.time > quotes.time && !is_said)
    }

    /// What the leader has not brought for too long.
    pub(super) fn tend_quotes(&mut self, quotes: &mut Quotes, now: Now, delivering: u8, out: &mut Output) -> Need {
        if quotes.untold_since.is_none_or(|since| now.mono.saturating_sub(since) < PATIENCE_NS) {
            return Need::Nothing;
        }
        quotes.untold_since = None;
        let held = |leg: usize| quotes.held[leg].map(|held| (leg as u8, held));
        let leaders = held(usize::from(quotes.leader)).filter(|(leg, held)| {
            let may_lead = quotes.waits && is_in(delivering, *leg);
            may_lead && (held.time == 0 || held.time >= quotes.time)
        });
        let is_newer = |(_, held): &(u8, QuoteUpdate)| self.is_untold(quotes, held);
        let newest = legs(delivering).filter_map(held).filter(is_newer).max_by_key(|(_, held)| held.time);
        let Some((leg, held)) = newest.or(leaders) else { return Need::Nothing };
        quotes.leader = leg;
        self.tell_held_quote(quotes, now, &held, out)
    }
}
