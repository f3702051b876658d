//! What bars and stats must say, made the plain way: from a list of all trades of the epoch, anew each time.
//! In: trades, gaps, time. Out: the bars and the day's statistics. Bounded by the length of the test.

use std::collections::BTreeSet;
use wire::event::Trade;
use wire::kind::Interval;
use wire::record::{Bar, DayStats};
use wire::view::bars::KEPT;

const GRACE: i64 = 2_000_000_000;
const MINUTE: i64 = 60_000_000_000;

#[derive(Debug, Default)]
pub struct DerivedTruth {
    /// Time and trade, in the order of arrival.
    trades: Vec<(i64, Trade)>,
    /// Newest trade: when it was made, when it was published.
    newest: Option<(i64, i64)>,
    had_gap: bool,
    series: [Series; Interval::ALL.len()],
    /// Minutes in which a gap was told.
    gaps: Vec<i64>,
    /// Newest minute of the day's window.
    minute: Option<i64>,
}

#[derive(Debug, Default)]
struct Series {
    closed: BTreeSet<i64>,
    incomplete: BTreeSet<i64>,
    /// Bars that existed, to see which one comes into being.
    seen: BTreeSet<i64>,
    suspect: Option<i64>,
}

fn start_of(time: i64, interval: Interval) -> i64 {
    let length = interval.seconds() * 1_000_000_000;
    time.div_euclid(length) * length
}

impl DerivedTruth {
    /// Time of a trade for which the venue gives none.
    pub fn newest_time(&self) -> Option<i64> {
        self.newest.map(|newest| newest.0)
    }

    /// Gives for each of the five topics whether the trade came in time for it.
    pub fn trade(&mut self, time: i64, trade: Trade, published: i64) -> [bool; 5] {
        let after_gap = self.had_gap || self.newest.is_none();
        let minute = time.div_euclid(MINUTE);
        let mut in_time = [true; 5];
        for (at, interval) in Interval::ALL.into_iter().enumerate() {
            let start = start_of(time, interval);
            let kept = self.starts(interval);
            in_time[at] = kept.contains(&start) || kept.len() < KEPT || kept.first() < Some(&start);
            let series = &mut self.series[at];
            if in_time[at] {
                if after_gap || !series.seen.contains(&start) && series.suspect.is_some_and(|suspect| start <= suspect) {
                    series.incomplete.insert(start);
                }
                if after_gap {
                    series.suspect = series.suspect.max(Some(start));
                }
                series.seen.insert(start);
            }
        }
        in_time[4] = self.minute.is_none_or(|newest| minute > newest - 1_440);
        self.minute = self.minute.max(Some(minute));
        self.trades.push((time, trade));
        if self.newest.is_none_or(|newest| time >= newest.0) {
            self.newest = Some((time, published));
            self.had_gap = false;
        }
        in_time
    }

    pub fn gap(&mut self, published: i64) {
        self.pass(published);
        self.had_gap = true;
        let Some(now) = self.now(published) else { return };
        for (at, interval) in Interval::ALL.into_iter().enumerate() {
            let newest = self.starts(interval).last().copied();
            self.series[at].incomplete.extend(newest);
        }
        self.gaps.push(now.div_euclid(MINUTE).max(self.minute.unwrap_or(i64::MIN)));
    }

    pub fn pass(&mut self, clock: i64) {
        let Some(now) = self.now(clock) else { return };
        for (at, interval) in Interval::ALL.into_iter().enumerate() {
            let over = now - GRACE - interval.seconds() * 1_000_000_000;
            let closed: Vec<_> = self.starts(interval).into_iter().filter(|start| *start <= over).collect();
            self.series[at].closed.extend(closed);
        }
        self.minute = self.minute.max(Some(now.div_euclid(MINUTE)));
    }

    fn now(&self, clock: i64) -> Option<i64> {
        self.newest.map(|(time, published)| time + (clock - published).max(0))
    }

    /// The newest starts of all trades there were.
    fn starts(&self, interval: Interval) -> BTreeSet<i64> {
        let all: BTreeSet<i64> = self.trades.iter().map(|(time, _)| start_of(*time, interval)).collect();
        all.into_iter().rev().take(KEPT).collect()
    }

    pub fn bars(&self, interval: Interval) -> Vec<Bar> {
        let series = &self.series[Interval::ALL.iter().position(|at| *at == interval).unwrap_or_default()];
        let starts = self.starts(interval);
        let newest = starts.last().copied();
        let bar = |start: i64| {
            let mut trades: Vec<_> = self.trades.iter().filter(|(time, _)| start_of(*time, interval) == start).collect();
            trades.sort_by_key(|(time, _)| *time);
            let prices = || trades.iter().map(|(_, trade)| trade.price);
            Bar {
                start,
                closed: series.closed.contains(&start) || Some(start) < newest,
                incomplete: series.incomplete.contains(&start),
                open: prices().next().unwrap_or_default(),
                high: prices().max().unwrap_or_default(),
                low: prices().min().unwrap_or_default(),
                close: prices().next_back().unwrap_or_default(),
                count: trades.len() as u64,
                volume: trades.iter().map(|(_, trade)| trade.size as u128).sum(),
                notional: trades.iter().map(|(_, trade)| i128::from(trade.price) * i128::from(trade.size)).sum(),
            }
        };
        starts.into_iter().map(bar).collect()
    }

    pub fn stats(&self) -> DayStats {
        let is_in = |minute: i64| self.minute.is_some_and(|newest| minute > newest - 1_440);
        let mut all: Vec<_> = self.trades.iter().collect();
        all.sort_by_key(|(time, _)| *time);
        let trades: Vec<_> = all.iter().filter(|(time, _)| is_in(time.div_euclid(MINUTE))).map(|(_, trade)| trade).collect();
        let prices = || trades.iter().map(|trade| trade.price);
        DayStats {
            last: all.last().map(|(_, trade)| trade.price),
            open: prices().next(),
            high: prices().max(),
            low: prices().min(),
            volume: trades.iter().map(|trade| trade.size as u128).sum(),
            notional: trades.iter().map(|trade| i128::from(trade.price) * i128::from(trade.size)).sum(),
            count: trades.len() as u64,
            gaps: self.gaps.iter().filter(|minute| is_in(**minute)).count() as u64,
            from: self.trades.first().map_or(0, |(time, _)| *time),
        }
    }
}
