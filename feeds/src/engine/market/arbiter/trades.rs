//! Trades of several lines. In: trades with or without ids. Out: each once: in order where ids count by one, as they come where ids only
//! rise; from the leader alone where there are none. Bounded by `EarlyTrades` and `Seen`.

use super::super::super::decoded::TradeUpdate;
use super::super::super::facts::TradeIds;
use super::super::super::lines::Came;
use super::super::{Market, Need};
use super::early::Kept;
use super::{Arbiter, Leaving, PATIENCE_NS, Place, Trades, Untold, first_of, is_in, legs, memo};
use crate::adapter::{Now, Output, Race};
use crate::trail::Step;
use wire::event::Cause;

impl Market {
    pub fn arbitrate_trade(&mut self, now: Now, update: &TradeUpdate, came: Came, out: &mut Output) -> Need {
        let is_numbered = self.rules.trade_ids != TradeIds::None && self.rules.shared_numbers;
        let id = update.id.filter(|_| is_numbered);
        let trade = |market: &mut Self, arbiter: &mut Arbiter| match id {
            Some(id) => market.numbered_trade(&mut arbiter.trades, now, id, update, came, out),
            None => market.followed_trade(&mut arbiter.trades, now, update, came, out),
        };
        self.with_arbiter(trade).unwrap_or(Need::Nothing)
    }

    fn numbered_trade(
        &mut self,
        trades: &mut Trades,
        now: Now,
        id: u64,
        update: &TradeUpdate,
        came: Came,
        out: &mut Output,
    ) -> Need {
        if self.is_history(id, update, came.leg) {
            return Need::Nothing;
        }
        let (at, counted) = (trades.at.at[usize::from(came.leg)], self.rules.trade_ids == TradeIds::Counted);
        if counted && at > 0 && id > at + 1 {
            self.skipped(came, "trade", id, out);
        }
        let (hash, step) = (memo::of_trade(update), self.trades.look(id));
        if matches!(step, Step::Next | Step::Jump { .. }) {
            trades.at.advance(came.leg, id);
        }
        match step {
            Step::Duplicate | Step::Restart if !counted && trades.seen.is_new(id) => {
                // The line that is ahead never had it.
                trades.at.advance(came.leg, id);
                self.win(trades, now, id, hash, came, out);
                trades.seen.add(id);
                return self.tell_trade(now, update, out);
            }
            Step::Duplicate | Step::Restart => {
                let again = trades.memo.again(id, hash, came.leg, now.mono);
                self.second(again, came, "trade", id, out);
                // Where ids stay low, the venue numbers anew.
                if trades.at.lags(came.leg, id, again.is_some()) || self.trades.step(id) != Step::Restart {
                    return Need::Nothing;
                }
                trades.early.clear();
                trades.seen.clear();
                trades.at = Place::default();
                trades.at.advance(came.leg, id);
                self.trade_gap(now, None, Some(id), out);
            }
            Step::Next | Step::Jump { .. } if counted && self.trade_before(id).is_some() => {
                match trades.early.keep(id, update) {
                    Kept::New => self.win(trades, now, id, hash, came, out),
                    Kept::Again => self.second(trades.memo.again(id, hash, came.leg, now.mono), came, "trade", id, out),
                    Kept::Full => {
                        let need = self.skip_to_early(trades, now, out);
                        let kept = trades.early.keep(id, update);
                        debug_assert!(kept != Kept::Full, "the first early one has just been taken out");
                        return need;
                    }
                }
                trades.waiting_since.get_or_insert(now.mono);
                return self.settle_trades(trades, now, came.delivering, out);
            }
            // Where ids only rise, a lost link is all that tells of a loss.
            Step::Jump { .. } if self.lost != Cause::None => {
                self.trade_gap(now, None, Some(id), out);
                self.trades.step(id);
            }
            Step::Jump { .. } | Step::Next => drop(self.trades.step(id)),
        }
        self.win(trades, now, id, hash, came, out);
        if !counted {
            trades.seen.add(id);
        }
        let need = self.tell_trade(now, update, out);
        need.max(self.settle_trades(trades, now, came.delivering, out))
    }

    fn win(&self, trades: &mut Trades, now: Now, id: u64, hash: u64, came: Came, out: &mut Output) {
        trades.memo.first(id, hash, came.leg, now.mono);
        out.races.push(Race::Won { line: came.leg });
    }

    /// What a line may still bring that was not told, and that comes before `id`: the first such number, and of the very first trade the one
    /// below it, as another line may have begun earlier.
    fn trade_before(&self, id: u64) -> Option<u64> {
        match self.trades.last() {
            None => id.checked_sub(1),
            Some(last) => Some(last.saturating_add(1)).filter(|next| *next < id),
        }
    }

    /// Tells what has its turn now. What is missing is given up when no line can bring it any more, or none has for too long.
    pub(super) fn settle_trades(&mut self, trades: &mut Trades, now: Now, delivering: u8, out: &mut Output) -> Need {
        let mut need = Need::Nothing;
        while let Some((id, update)) = trades.early.first() {
            match (self.trades.look(id), self.trade_before(id)) {
                (Step::Next | Step::Jump { .. }, Some(missing)) => {
                    let all_past = legs(delivering).all(|leg| trades.at.at[leg] > missing);
                    let since = *trades.waiting_since.get_or_insert(now.mono);
                    if !all_past && now.mono.saturating_sub(since) < PATIENCE_NS {
                        return need;
                    }
                    need = need.max(self.skip_to_early(trades, now, out));
                }
                (Step::Next | Step::Jump { .. }, None) => {
                    self.trades.step(id);
                    trades.early.drop_first();
                    need = need.max(self.tell_trade(now, &update, out));
                }
                (Step::Duplicate | Step::Restart, _) => trades.early.drop_first(),
            }
            trades.waiting_since = None;
        }
        trades.waiting_since = None;
        need
    }

    /// No line has what lies before the first early trade.
    fn skip_to_early(&mut self, trades: &mut Trades, now: Now, out: &mut Output) -> Need {
        let Some((id, update)) = trades.early.first() else { return Need::Nothing };
        trades.early.drop_first();
        if let Step::Jump { missing } = self.trades.step(id) {
            self.trade_gap(now, Some(missing), Some(id), out);
        }
        self.tell_trade(now, &update, out)
    }

    fn followed_trade(&mut self, trades: &mut Trades, now: Now, update: &TradeUpdate, came: Came, out: &mut Output) -> Need {
        if !is_in(came.delivering, trades.leader) {
            // The last one was lost while nobody could take its place. (If the link was lost with it, that was told.)
            if trades.time != 0 && self.lost == Cause::None {
                self.trade_gap(now, None, None, out);
            }
            (trades.leader, trades.waits, trades.untold) = (came.leg, trades.time != 0, None);
        }
        let id = update.id.filter(|_| self.rules.trade_ids != TradeIds::None && !update.past);
        let at = trades.at.at[usize::from(came.leg)];
        trades.at.advance(came.leg, id.unwrap_or(0));
        if update.past {
            return Need::Nothing;
        }
        if trades.leader != came.leg {
            let newest = trades.untold.map_or(trades.newest, |untold| untold.time);
            if update.time > newest {
                let since = trades.untold.map_or(now.mono, |untold| untold.since);
                trades.untold = Some(Untold { time: update.time, leg: came.leg, since });
            }
            return Need::Nothing;
        }
        // What has the time of the last one may have been told already; that trades may be missing was said when the leader was lost.
        if trades.waits && update.time != 0 && update.time <= trades.time {
            return Need::Nothing;
        }
        if let Some(id) = id {
            // The leader's own numbers.
            if at > 0 && id <= at {
                self.duplicate(false, "trade", id, out);
                return Need::Nothing;
            }
            if at > 0 && id > at + 1 && self.rules.trade_ids == TradeIds::Counted {
                self.trade_gap(now, Some(id - at - 1), Some(id), out);
            }
            // All lines were lost, and numbers of a new connection do not tell what was missed.
            if self.lost != Cause::None && trades.time != 0 {
                self.trade_gap(now, None, None, out);
            }
        }
        (trades.waits, trades.time, trades.newest) = (false, update.time, trades.newest.max(update.time));
        trades.untold =
            trades.untold.filter(|untold| untold.time > update.time).map(|untold| Untold { since: now.mono, ..untold });
        out.races.push(Race::Won { line: came.leg });
        self.tell_trade(now, update, out)
    }

    /// The leader is no more, or not good: trades that it brought or not may be missing.
    fn follow_other_trades(&mut self, trades: &mut Trades, now: Now, leg: u8, cause: Cause, out: &mut Output) {
        if trades.time != 0 || trades.untold.is_some() {
            self.lost = cause;
            self.trade_gap(now, None, None, out);
            self.lost = Cause::None;
        }
        (trades.leader, trades.waits, trades.untold) = (leg, true, None);
    }

    pub(super) fn tend_trades(&mut self, trades: &mut Trades, now: Now, delivering: u8, out: &mut Output) -> Need {
        let is_over = |untold: &Untold| now.mono.saturating_sub(untold.since) >= PATIENCE_NS;
        if let Some(Untold { leg, .. }) = trades.untold.filter(is_over) {
            let leader = if is_in(delivering, leg) { leg } else { trades.leader };
            self.follow_other_trades(trades, now, leader, Cause::SequenceGap, out);
        }
        self.settle_trades(trades, now, delivering, out)
    }

    pub(super) fn leave_trades(&mut self, trades: &mut Trades, now: Now, leaving: Leaving, out: &mut Output) -> Need {
        if trades.leader == leaving.leg && leaving.heirs != 0 {
            self.follow_other_trades(trades, now, first_of(leaving.heirs), Cause::Disconnected, out);
        }
        // One that lags may still bring what is waited for.
        if leaving.is_lost { self.settle_trades(trades, now, leaving.others, out) } else { Need::Nothing }
    }
}
