//! What the server makes of an instrument's trades: bars of four intervals and the statistics of a day. In: trades, upstream gaps,
//! the passing of time. Out: which of the five topics have news. Bounded by `bars` and `day`; a trade costs integer adds.
//!
//! They are kept whether anybody watches or not: what was not added up cannot be told later. The trades of the newest second are added
//! up once and given to the five topics together, when somebody looks at one of them, or at the latest when time goes on.

use super::bars::{BarState, TooLate};
use super::cursor::Cursor;
use super::day::StatsState;
use super::head::{Emit, Head, Redefined};
use super::publish::Stamp;
use super::span::Span;
use wire::event::{Flags, Nanos, Trade};
use wire::kind::Interval;
use wire::record::{Clock, Meta};

/// Topics of one instrument that are derived: a bar for each of `Interval::ALL`, then stats.
pub(super) const DERIVED: usize = Interval::ALL.len() + 1;
/// The place of stats among them.
pub(super) const STATS: usize = DERIVED - 1;
/// One bit per topic.
pub(super) const ALL_DERIVED: u8 = (1 << DERIVED) - 1;

const SECOND_NS: Nanos = 1_000_000_000;

#[derive(Debug)]
pub(super) struct DerivedState {
    /// One bit per topic that is watched.
    pub watched: u8,
    run: Run,
    /// That of `Meta`, whose memory is cold in a large market.
    clock: Clock,
    bars: [BarState; Interval::ALL.len()],
    stats: StatsState,
    newest: Option<Newest>,
    /// Trades were missed since the newest one. True at first: nobody knows what came before the first trade.
    after_gap: bool,
}

/// Trades of one second that are not in the bars and the day yet. It begins with a trade that is the newest and too late for none of
/// the topics, so none of its trades is.
#[derive(Debug, Default)]
struct Run {
    start: Nanos,
    trades: Span,
    flags: Flags,
}

/// The newest trade in the venue's time, and when it was published here.
#[derive(Clone, Copy, Debug)]
struct Newest {
    time: Nanos,
    published: Nanos,
}

/// What a publication did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DerivedStep {
    /// One bit per topic that has news.
    pub topics: u8,
    /// Topics for which a trade came too late.
    pub too_late: u64,
}

impl DerivedState {
    /// `heads` in the order of the topics.
    pub fn new(heads: [Head; DERIVED]) -> Self {
        let clock = heads[STATS].meta.clock;
        let [second, minute, five_minutes, hour, of_stats] = heads;
        let bars = [
            BarState::new(second, Interval::Second),
            BarState::new(minute, Interval::Minute),
            BarState::new(five_minutes, Interval::FiveMinutes),
            BarState::new(hour, Interval::Hour),
        ];
        Self { watched: 0, run: Run::default(), clock, bars, stats: StatsState::new(of_stats), newest: None, after_gap: true }
    }

    /// A new epoch starts from nothing, for all topics in one step.
    pub fn redefine(&mut self, metas: &[Meta; DERIVED]) -> DerivedStep {
        let [of_bars @ .., of_stats] = metas;
        self.settle();
        self.clock = of_stats.clock;
        let redefined = self.stats.redefine(of_stats);
        let mut step = DerivedStep { topics: u8::from(redefined != Redefined::Nothing) << STATS, too_late: 0 };
        for (at, (bars, meta)) in self.bars.iter_mut().zip(of_bars).enumerate() {
            step.topics |= u8::from(bars.redefine(meta) != Redefined::Nothing) << at;
        }
        if redefined == Redefined::Epoch {
            (self.newest, self.after_gap) = (None, true);
        }
        step
    }

    pub fn trade(&mut self, trade: &Trade, stamp: &Stamp) -> DerivedStep {
        let time = self.time(stamp);
        let is_newest = self.newest.is_none_or(|newest| time >= newest.time);
        let one = Span::of(time, trade);
        let step = if self.run.takes(time) || self.begin_run(time, is_newest) {
            self.run.trades.add(&one);
            self.run.flags = stamp.quality();
            DerivedStep { topics: ALL_DERIVED, too_late: 0 }
        } else {
            self.add(&one, stamp.quality())
        };
        if is_newest {
            self.newest = Some(Newest { time, published: stamp.published });
            self.after_gap = false;
        }
        step
    }

    /// False if a trade of this time has to go to each topic by itself.
    fn begin_run(&mut self, time: Nanos, is_newest: bool) -> bool {
        self.settle();
        let begins = is_newest && !self.after_gap && self.stats.reaches(time);
        if begins {
            self.run.start = time.saturating_sub(time.rem_euclid(SECOND_NS));
        }
        begins
    }

    /// Brings the topics up to date. Before anybody looks at their data, and before anything but a trade of the same second.
    pub fn settle(&mut self) {
        let Run { trades, flags, .. } = std::mem::take(&mut self.run);
        if trades.count > 0 {
            self.add(&trades, flags);
        }
    }

    fn add(&mut self, trades: &Span, flags: Flags) -> DerivedStep {
        let mut step = DerivedStep::default();
        let mut count = |at: usize, result: Result<(), TooLate>| match result {
            Ok(()) => step.topics |= 1 << at,
            Err(TooLate) => step.too_late += trades.count,
        };
        for (at, bars) in self.bars.iter_mut().enumerate() {
            count(at, bars.add(trades, self.after_gap, flags));
        }
        count(STATS, self.stats.add(trades, flags));
        step
    }

    /// Trades were missed between the newest one and now.
    pub fn gap(&mut self, stamp: &Stamp) -> DerivedStep {
        let mut step = self.pass(stamp.published);
        self.after_gap = true;
        let Some(now) = self.venue_now(stamp.published) else { return step };
        for (at, bars) in self.bars.iter_mut().enumerate() {
            step.topics |= u8::from(bars.miss()) << at;
        }
        step.topics |= u8::from(self.stats.miss(now)) << STATS;
        step
    }

    /// Time passes without trades.
    pub fn pass(&mut self, now: Nanos) -> DerivedStep {
        self.settle();
        let mut step = DerivedStep::default();
        let Some(now) = self.venue_now(now) else { return step };
        for (at, bars) in self.bars.iter_mut().enumerate() {
            step.topics |= u8::from(bars.pass(now)) << at;
        }
        step.topics |= u8::from(self.stats.pass(now)) << STATS;
        step
    }

    /// When a trade was made, on the clock of the trade topic. A trade without a time was made when the newest one was.
    fn time(&self, stamp: &Stamp) -> Nanos {
        stamp.time(self.clock, self.newest.map_or(stamp.received, |newest| newest.time))
    }

    /// The venue's time, as far as the newest trade tells: so a skewed clock closes no bar early, and neither does a recording.
    fn venue_now(&self, now: Nanos) -> Option<Nanos> {
        self.newest.map(|newest| newest.time.saturating_add(now.saturating_sub(newest.published).max(0)))
    }

    pub fn head(&self, topic: usize) -> &Head {
        self.bars.get(topic).map_or(&self.stats.head, |bars| &bars.head)
    }

    /// Of what is settled.
    pub fn seq(&self, topic: usize) -> u64 {
        self.bars.get(topic).map_or(self.stats.seq(), BarState::seq)
    }

    pub fn since(&mut self, topic: usize, cursor: &Cursor, emit: &mut Emit<'_>) -> Cursor {
        self.settle();
        let time = self.newest.map_or(0, |newest| newest.time);
        match self.bars.get(topic) {
            Some(bars) => bars.since(time, cursor, emit),
            None => self.stats.since(time, cursor, emit),
        }
    }

    /// `wire::view` hash of what a topic shows, once it is settled.
    pub fn hash(&self, topic: usize) -> u32 {
        self.bars.get(topic).map_or_else(|| self.stats.hash(), BarState::hash)
    }
}

impl Run {
    #[inline]
    fn takes(&self, time: Nanos) -> bool {
        self.trades.count > 0 && time >= self.start && time.saturating_sub(self.start) < SECOND_NS
    }
}
