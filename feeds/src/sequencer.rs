//! Keeps one book's updates in their order. In: a venue's diffs, each numbered by a range of update ids, and snapshots numbered by
//! the last id they contain. Out: a verdict on each: apply, keep, ignore, or the book must be rebuilt.
//! Bounded by `Limits`: 2,048 diffs and 32,768 levels (512 KiB) a book, and only while a snapshot is on its way.
//!
//! The splice: diffs are kept while the snapshot is fetched; those the snapshot contains are dropped; the first one left must
//! reach back to the snapshot (`first <= last_id + 1 <= last`); from there on each diff must begin at or before the id after the
//! last one. Sizes are absolute, so an overlap is harmless; deleting a level that is not there is fine.
//!
//! Whether the book is *crossed* is not judged here: that takes the book, and the sequencer holds none. The topic map, which
//! does, looks at the best prices after each update.

use wire::event::{Level, Nanos};

/// How much may be kept while a snapshot is on its way. A depth stream of ten messages a second fills neither within three
/// minutes unless a message holds more than sixteen levels; what does not fit is dropped whole, and the splice starts later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub diffs: usize,
    pub levels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { diffs: 2_048, levels: 32_768 }
    }
}

/// Diffs in a row that lie wholly in the past before the numbering counts as restarted: more than a lagging second line brings.
const RESTART_AFTER: u32 = 256;

/// How one diff follows another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// It begins at or before the id after the last one.
    #[default]
    Range,
    /// It names the last one as its predecessor.
    Chain,
    /// Its number is so much above the last one.
    Counter { step: u64 },
    /// In no way that could be checked; what lies before the snapshot is known by its id.
    Free,
}

/// One message of changes: all update ids from `first` to `last`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Diff<'a> {
    pub first: u64,
    pub last: u64,
    /// For `Rule::Chain`; without it the diff is taken to follow.
    pub previous: Option<u64>,
    pub event_time: Nanos,
    pub received: Nanos,
    pub bids: &'a [Level],
    pub asks: &'a [Level],
}

/// What to do with a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It continues the book.
    Apply,
    /// Kept until the snapshot is here.
    Kept,
    /// No snapshot is asked for: ignored.
    Ignored,
    /// The book has it already, or it is wholly in the past: ignored.
    Duplicate,
    /// `missing` ids were skipped. A live book is no longer one: the sequencer is idle again and wants `begin`.
    /// Among kept diffs: those before the hole are dropped, this one is kept.
    Gap { missing: u64 },
    /// No room: the kept diffs are dropped, the splice starts after them.
    Full,
    /// `last` lies before `first`: ignored.
    Malformed,
}

/// Where a diff stands to what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// There is nothing it could be measured against.
    Alone,
    Past,
    Next,
    /// Something lies between.
    Ahead,
}

/// What a snapshot led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splice {
    /// Publish the snapshot, then the diffs of `Sequencer::replay`. The book is live.
    Live,
    /// It is older than the first kept diff: fetch another one.
    TooOld,
    /// No snapshot was asked for.
    Unasked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    /// A snapshot is on its way.
    Keeping,
    /// The book contains all ids up to `last`. `spliced`: it is a snapshot's, and the next diff is measured against that.
    Live {
        last: u64,
        spliced: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    first: u64,
    last: u64,
    previous: Option<u64>,
    event_time: Nanos,
    received: Nanos,
    bids: usize,
    asks: usize,
}

#[derive(Debug)]
pub struct Sequencer {
    stage: Stage,
    limits: Limits,
    rule: Rule,
    /// The first diff after a snapshot is the one that contains its id, not the one after it.
    equal: bool,
    covers: bool,
    kept: Vec<Kept>,
    /// Levels of the kept diffs in order, bids before asks.
    levels: Vec<Level>,
    stale_in_a_row: u32,
}

impl Sequencer {
    /// For ranges of ids.
    pub fn new(limits: Limits) -> Self {
        Self::with_rule(limits, Rule::Range, false)
    }

    /// `equal`: the first diff after a snapshot is the one that contains its id.
    pub fn with_rule(limits: Limits, rule: Rule, equal: bool) -> Self {
        Self { stage: Stage::Idle, limits, rule, equal, covers: false, kept: Vec::new(), levels: Vec::new(), stale_in_a_row: 0 }
    }

    /// The book is given up: connection lost, or the caller knows better.
    pub fn reset(&mut self) {
        self.stage = Stage::Idle;
        self.stale_in_a_row = 0;
        self.drop_kept();
    }

    /// A snapshot is being asked for: keep diffs from now on.
    pub fn begin(&mut self) {
        self.reset();
        self.stage = Stage::Keeping;
    }

    /// A snapshot is on its way.
    pub fn is_keeping(&self) -> bool {
        self.stage == Stage::Keeping
    }

    pub fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live { .. })
    }

    /// The last update id the live book contains.
    pub fn last(&self) -> Option<u64> {
        match self.stage {
            Stage::Live { last, .. } => Some(last),
            _ => None,
        }
    }

    /// The last update id of the live book, or of what is kept for one.
    pub fn newest(&self) -> Option<u64> {
        self.last().or(self.kept.last().map(|kept| kept.last))
    }

    /// The venue sent the whole book unasked, as of `last`.
    pub fn restart(&mut self, last: u64) {
        self.reset();
        self.stage = Stage::Live { last, spliced: false };
    }

    /// A diff also follows if its range holds the last id. Of two lines one may cut its ranges elsewhere.
    pub fn cover(&mut self) {
        self.covers = true;
    }

    /// Where this diff stands to the book, or to the newest diff that is kept for it.
    pub fn stand(&self, diff: &Diff<'_>) -> Stand {
        let step = match self.stage {
            Stage::Live { last, spliced } => self.step(last, spliced, diff),
            Stage::Keeping => match self.kept.last() {
                Some(newest) => self.step(newest.last, false, diff),
                None => return Stand::Alone,
            },
            Stage::Idle => return Stand::Alone,
        };
        match step {
            None => Stand::Past,
            Some(0) => Stand::Next,
            Some(_) => Stand::Ahead,
        }
    }

    /// Is something missing between `last` and this diff, both of one line?
    pub fn is_hole(&self, last: u64, diff: &Diff<'_>) -> bool {
        self.step(last, false, diff).is_some_and(|missing| missing > 0)
    }

    /// Would this diff tear a hole into a live book? Lets a caller with two lines wait for the other one first.
    pub fn skips(&self, diff: &Diff<'_>) -> bool {
        matches!(self.stage, Stage::Live { last, spliced } if self.step(last, spliced, diff).is_some_and(|missing| missing > 0))
    }

    /// What lies between the book and this diff: `Some(0)` nothing, `Some(n)` a hole (of `n` ids, or of at least one), `None` the diff
    /// lies in the past.
    fn step(&self, last: u64, spliced: bool, diff: &Diff<'_>) -> Option<u64> {
        if spliced {
            return if self.equal {
                (diff.last >= last).then(|| diff.first.saturating_sub(last))
            } else {
                (diff.last > last).then(|| diff.first.saturating_sub(last.saturating_add(1)))
            };
        }
        match self.rule {
            Rule::Chain => match diff.previous {
                Some(previous) if self.covers && previous < last => (diff.last > last).then_some(0),
                Some(previous) if previous != last => (diff.last > last).then_some(1),
                _ => Some(0),
            },
            _ if diff.last <= last => None,
            Rule::Range => Some(diff.first.saturating_sub(last.saturating_add(1))),
            Rule::Counter { step } => Some(diff.last.abs_diff(last.saturating_add(step))),
            Rule::Free => Some(0),
        }
    }

    pub fn on_diff(&mut self, diff: &Diff<'_>) -> Verdict {
        if diff.last < diff.first {
            return Verdict::Malformed;
        }
        match self.stage {
            Stage::Idle => Verdict::Ignored,
            Stage::Keeping => self.keep(diff),
            Stage::Live { last, spliced } => match self.step(last, spliced, diff) {
                None => self.stale(),
                Some(0) => {
                    self.stale_in_a_row = 0;
                    self.stage = Stage::Live { last: diff.last, spliced: false };
                    Verdict::Apply
                }
                Some(missing) => {
                    self.reset();
                    Verdict::Gap { missing }
                }
            },
        }
    }

    /// A long row of old diffs and never a new one: the venue numbers anew, and this book will never be continued.
    fn stale(&mut self) -> Verdict {
        self.stale_in_a_row += 1;
        if self.stale_in_a_row < RESTART_AFTER {
            return Verdict::Duplicate;
        }
        self.reset();
        Verdict::Gap { missing: 0 }
    }

    fn keep(&mut self, diff: &Diff<'_>) -> Verdict {
        let mut verdict = Verdict::Kept;
        if let Some(newest) = self.kept.last() {
            match self.step(newest.last, false, diff) {
                None => return Verdict::Duplicate,
                Some(0) => {}
                Some(missing) => {
                    self.drop_kept();
                    verdict = Verdict::Gap { missing };
                }
            }
        }
        let levels = diff.bids.len() + diff.asks.len();
        if self.kept.len() >= self.limits.diffs || self.levels.len() + levels > self.limits.levels {
            self.drop_kept();
            verdict = Verdict::Full;
            if levels > self.limits.levels {
                return verdict;
            }
        }
        self.kept.push(Kept {
            first: diff.first,
            last: diff.last,
            previous: diff.previous,
            event_time: diff.event_time,
            received: diff.received,
            bids: diff.bids.len(),
            asks: diff.asks.len(),
        });
        self.levels.extend_from_slice(diff.bids);
        self.levels.extend_from_slice(diff.asks);
        verdict
    }

    /// `last_id`: the last update id contained in the snapshot.
    pub fn on_snapshot(&mut self, last_id: u64) -> Splice {
        if self.stage != Stage::Keeping {
            return Splice::Unasked;
        }
        // `first == last_id + 1` is contiguous and so proves itself; only an older snapshot leaves ids between the two.
        // With nothing kept there is nothing to compare: the next diff will be, against `last_id`.
        let reach = if self.equal { last_id } else { last_id.saturating_add(1) };
        if self.rule != Rule::Free && self.kept.first().is_some_and(|kept| kept.first > reach) {
            return Splice::TooOld;
        }
        // A range that follows a snapshot follows it like any other.
        self.stage = Stage::Live { last: last_id, spliced: !matches!(self.rule, Rule::Range | Rule::Free) || self.equal };
        Splice::Live
    }

    /// After `Splice::Live`: hands out the kept diffs that the snapshot does not contain, in order, and forgets all.
    pub fn replay(&mut self, mut each: impl FnMut(&Diff<'_>)) {
        let Stage::Live { mut last, mut spliced } = self.stage else { return };
        let mut at = 0;
        for kept in &self.kept {
            let (bids, rest) = self.levels[at..].split_at(kept.bids);
            at += kept.bids + kept.asks;
            // They follow each other, or would not have been kept: only the past of the snapshot is left out.
            if kept.last < last || (kept.last == last && !(self.equal && spliced)) {
                continue;
            }
            (last, spliced) = (kept.last, false);
            each(&Diff {
                first: kept.first,
                last: kept.last,
                previous: kept.previous,
                event_time: kept.event_time,
                received: kept.received,
                bids,
                asks: &rest[..kept.asks],
            });
        }
        self.stage = Stage::Live { last, spliced };
        self.drop_kept();
        // A splice happens rarely: give the memory back.
        self.kept.shrink_to(64);
        self.levels.shrink_to(1_024);
    }

    /// The instrument got finer exponents: kept levels are multiplied. False: they do not fit, and were dropped.
    pub fn rescale(&mut self, price_factor: i64, size_factor: i64) -> bool {
        for level in &mut self.levels {
            match (level.price.checked_mul(price_factor), level.size.checked_mul(size_factor)) {
                (Some(price), Some(size)) => *level = Level { price, size },
                _ => {
                    self.drop_kept();
                    return false;
                }
            }
        }
        true
    }

    fn drop_kept(&mut self) {
        self.kept.clear();
        self.levels.clear();
    }
}

#[cfg(test)]
#[path = "sequencer_tests.rs"]
mod tests;
