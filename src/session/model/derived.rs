//! What bars and the day's statistics must say, the plain way: from lists of trades, anew after each change. In: trades, upstream gaps,
//! the passing of time. Out: the values and their sequences. Bounded by the length of a case.

use std::collections::BTreeMap;
use wire::event::Trade;
use wire::kind::Interval;
use wire::record::{Bar, DayStats};

/// As `docs/protocol.md` says.
const KEPT: usize = 8;
const GRACE: i64 = 2_000_000_000;
const MINUTE: i64 = 60_000_000_000;
const DAY_MINUTES: i64 = 24 * 60;

#[derive(Debug)]
pub struct Derived {
    pub series: [Series; 4],
    pub day: Day,
    /// Newest trade: when it was made, when it was published.
    newest: Option<(i64, i64)>,
    after_gap: bool,
}

impl Default for Derived {
    fn default() -> Self {
        Self { series: Interval::ALL.map(Series::new), day: Day::default(), newest: None, after_gap: true }
    }
}

impl Derived {
    pub fn newest_time(&self) -> Option<i64> {
        self.newest.map(|newest| newest.0)
    }

    pub fn trade(&mut self, time: i64, trade: Trade, published: i64) {
        for series in &mut self.series {
            series.trade(time, trade, self.after_gap);
        }
        self.day.trade(time, trade);
        if self.newest.is_none_or(|newest| time >= newest.0) {
            self.newest = Some((time, published));
            self.after_gap = false;
        }
    }

    pub fn gap(&mut self, published: i64) {
        self.pass(published);
        self.after_gap = true;
        let Some(now) = self.venue_time(published) else { return };
        self.series.iter_mut().for_each(Series::miss);
        self.day.miss(now);
    }

    pub fn pass(&mut self, clock: i64) {
        let Some(now) = self.venue_time(clock) else { return };
        self.series.iter_mut().for_each(|series| series.pass(now));
        self.day.pass(now);
    }

    fn venue_time(&self, clock: i64) -> Option<i64> {
        self.newest.map(|(time, published)| time + (clock - published).max(0))
    }
}

/// The bars of one interval.
#[derive(Debug)]
pub struct Series {
    length: i64,
    bars: BTreeMap<i64, PlainBar>,
    suspect: Option<i64>,
    pub seq: u64,
}

#[derive(Debug, Default)]
struct PlainBar {
    /// In the order of arrival.
    trades: Vec<(i64, Trade)>,
    closed: bool,
    incomplete: bool,
}

impl Series {
    fn new(interval: Interval) -> Self {
        Self { length: interval.seconds() * 1_000_000_000, bars: BTreeMap::new(), suspect: None, seq: 0 }
    }

    fn trade(&mut self, time: i64, trade: Trade, after_gap: bool) {
        let start = time.div_euclid(self.length) * self.length;
        let is_new = !self.bars.contains_key(&start);
        if is_new && self.bars.len() == KEPT && self.bars.first_key_value().is_some_and(|first| start < *first.0) {
            return;
        }
        if is_new {
            let closed = self.bars.range(start..).next().is_some();
            let incomplete = self.suspect.is_some_and(|suspect| start <= suspect);
            self.bars.range_mut(..start).for_each(|(_, before)| before.closed = true);
            self.bars.insert(start, PlainBar { trades: Vec::new(), closed, incomplete });
            if self.bars.len() > KEPT {
                self.bars.pop_first();
            }
        }
        let bar = self.bars.get_mut(&start).expect("it was put there");
        bar.trades.push((time, trade));
        if after_gap {
            bar.incomplete = true;
            self.suspect = self.suspect.max(Some(start));
        }
        self.seq += 1;
    }

    fn miss(&mut self) {
        if let Some(mut newest) = self.bars.last_entry()
            && !newest.get().incomplete
        {
            newest.get_mut().incomplete = true;
            self.seq += 1;
        }
    }

    fn pass(&mut self, now: i64) {
        let over = now - GRACE - self.length;
        let mut news = false;
        for (_, bar) in self.bars.range_mut(..=over) {
            news |= !std::mem::replace(&mut bar.closed, true);
        }
        self.seq += u64::from(news);
    }

    pub fn bars(&self) -> Vec<Bar> {
        self.bars.iter().map(|(start, bar)| bar.told(*start)).collect()
    }
}

impl PlainBar {
    fn told(&self, start: i64) -> Bar {
        let mut by_time: Vec<&(i64, Trade)> = self.trades.iter().collect();
        by_time.sort_by_key(|(time, _)| *time);
        let mut bar = Bar { start, closed: self.closed, incomplete: self.incomplete, ..Bar::default() };
        (bar.count, bar.volume, bar.notional) = sums(self.trades.iter().map(|(_, trade)| trade));
        bar.open = by_time.first().map_or(0, |(_, trade)| trade.price);
        bar.close = by_time.last().map_or(0, |(_, trade)| trade.price);
        bar.high = by_time.iter().map(|(_, trade)| trade.price).max().unwrap_or_default();
        bar.low = by_time.iter().map(|(_, trade)| trade.price).min().unwrap_or_default();
        bar
    }
}

/// Number, volume and notional.
pub fn sums<'a>(trades: impl Iterator<Item = &'a Trade>) -> (u64, u128, i128) {
    trades.fold((0, 0, 0), |(count, volume, notional), trade| {
        let (price, size) = (i128::from(trade.price), i128::from(trade.size));
        (count + 1, volume + size.unsigned_abs(), notional + price * size)
    })
}

/// The last 24 hours.
#[derive(Debug, Default)]
pub struct Day {
    trades: Vec<(i64, Trade)>,
    /// Minutes in which a gap was told.
    gaps: Vec<i64>,
    /// Newest minute of the window.
    minute: Option<i64>,
    pub value: DayStats,
    pub seq: u64,
}

impl Day {
    fn trade(&mut self, time: i64, trade: Trade) {
        let minute = time.div_euclid(MINUTE);
        if self.minute.is_some_and(|newest| minute <= newest - DAY_MINUTES) {
            return;
        }
        self.minute = self.minute.max(Some(minute));
        self.trades.push((time, trade));
        self.look();
    }

    fn pass(&mut self, now: i64) {
        let minute = now.div_euclid(MINUTE);
        if self.minute.is_none_or(|newest| minute > newest) {
            self.minute = Some(minute);
            self.look();
        }
    }

    fn miss(&mut self, now: i64) {
        self.minute = self.minute.max(Some(now.div_euclid(MINUTE)));
        self.gaps.extend(self.minute);
        self.look();
    }

    fn look(&mut self) {
        let value = self.told();
        self.seq += u64::from(value != self.value);
        self.value = value;
    }

    fn told(&self) -> DayStats {
        let oldest = self.minute.map_or(i64::MIN, |newest| newest - DAY_MINUTES + 1);
        let mut stats = DayStats { from: self.trades.first().map_or(0, |(time, _)| *time), ..DayStats::default() };
        let (mut opened, mut last) = (i64::MAX, i64::MIN);
        for (time, trade) in &self.trades {
            if *time >= last {
                (last, stats.last) = (*time, Some(trade.price));
            }
            if time.div_euclid(MINUTE) < oldest {
                continue;
            }
            if *time < opened {
                (opened, stats.open) = (*time, Some(trade.price));
            }
            stats.high = stats.high.max(Some(trade.price));
            stats.low = Some(stats.low.map_or(trade.price, |low| low.min(trade.price)));
            stats.count += 1;
            stats.volume += u128::from(trade.size.unsigned_abs());
            stats.notional += i128::from(trade.price) * i128::from(trade.size);
        }
        stats.gaps = self.gaps.iter().filter(|minute| **minute >= oldest).count() as u64;
        stats
    }
}
