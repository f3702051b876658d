//! How fast a session really gets its data. In: how long its frames waited for its client's link and for its own buckets.
//! Out: a pace floor for a slow link, and what an empty bucket amounts to, both with hysteresis. Bounded: a few words a session.
//!
//! A slow link without a floor would get each frame as soon as it has taken the one before, so it would always be full: whatever is
//! urgent, a ping or an answer, stands behind data. At a slower step the link is idle in between, and a step merges more.

use crate::subs::Floor;
use crate::subs::bucket::OutLimit;
use wire::answer::Limiting;
use wire::request::LADDER_MS;

/// The times are looked at so often.
const LOOK_NS: i64 = 1_000_000_000;
/// Waiting for more than this part of the time is too much; for less than that, no more trouble.
const MUCH_PERCENT: i64 = 50;
const LITTLE_PERCENT: i64 = 10;
/// So long there has to be no trouble before a step is taken back.
const CALM_NS: i64 = 5_000_000_000;
/// Floors of a slow link, in the steps of the ladder.
const LINK_MS: [u32; 7] = [0, 100, 250, 500, 1000, 2000, 5000];

#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    looked_at: i64,
    /// Since the last look.
    blocked_ns: i64,
    held_ns: i64,
    flushes: i64,
    held_by: Option<OutLimit>,
    link: Trouble,
    bucket: Trouble,
    link_step: usize,
    /// What the empty bucket amounts to.
    bucket_floor: Floor,
    /// The longest that the link took for one frame since it became slow.
    stalled_ns: i64,
}

#[derive(Clone, Copy, Debug)]
struct Trouble {
    calm_since: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    More,
    Same,
    Less,
}

impl Trouble {
    fn judge(&mut self, now: i64, waited_ns: i64, of_ns: i64) -> Verdict {
        let percent = waited_ns.saturating_mul(100) / of_ns.max(1);
        if percent >= LITTLE_PERCENT {
            self.calm_since = now;
            return if percent >= MUCH_PERCENT { Verdict::More } else { Verdict::Same };
        }
        if now - self.calm_since < CALM_NS {
            return Verdict::Same;
        }
        self.calm_since = now;
        Verdict::Less
    }
}

impl Throttle {
    pub fn new(now: i64) -> Self {
        let trouble = Trouble { calm_since: now };
        Self {
            looked_at: now,
            blocked_ns: 0,
            held_ns: 0,
            flushes: 0,
            held_by: None,
            link: trouble,
            bucket: trouble,
            link_step: 0,
            bucket_floor: Floor::default(),
            stalled_ns: 0,
        }
    }

    /// A frame was written; the link took so long to take it.
    pub fn wrote(&mut self, took_ns: i64) {
        self.flushes += 1;
        self.blocked_ns += took_ns.max(0);
        self.stalled_ns = self.stalled_ns.max(took_ns);
    }

    /// A bucket is empty: what is due has to wait so long.
    pub fn held(&mut self, wait_ns: i64, limit: OutLimit) {
        self.held_ns += wait_ns.max(0);
        self.held_by = Some(limit);
    }

    /// Draws conclusions, about once a second; between two looks nothing changes.
    pub fn look(&mut self, now: i64) {
        let of_ns = now - self.looked_at;
        if of_ns < LOOK_NS {
            return;
        }
        match self.link.judge(now, self.blocked_ns, of_ns) {
            Verdict::More => self.link_step = (self.link_step + 1).min(LINK_MS.len() - 1),
            Verdict::Same => {}
            Verdict::Less => self.link_step = self.link_step.saturating_sub(1),
        }
        if self.link_step == 0 {
            self.stalled_ns = 0;
        }
        match self.bucket.judge(now, self.held_ns, of_ns) {
            Verdict::More => {
                let each_ms = of_ns / self.flushes.max(1) / 1_000_000;
                let step = LADDER_MS.into_iter().find(|step| i64::from(*step) >= each_ms);
                let ms = step.unwrap_or(LADDER_MS[LADDER_MS.len() - 1]);
                let cause = self.held_by.map(|limit| match limit {
                    OutLimit::Updates => Limiting::UpdatesPerSecond,
                    OutLimit::Bytes => Limiting::BytesPerSecond,
                });
                // One step to and fro is no news.
                if ms > self.bucket_floor.ms || ms * 2 < self.bucket_floor.ms || cause != self.bucket_floor.cause {
                    self.bucket_floor = Floor { ms, cause };
                }
            }
            Verdict::Same => {}
            Verdict::Less => self.bucket_floor = Floor::default(),
        }
        (self.looked_at, self.blocked_ns, self.held_ns, self.flushes) = (now, 0, 0, 0);
    }

    /// To be enforced.
    pub fn link_floor(&self) -> Floor {
        match LINK_MS[self.link_step] {
            0 => Floor::default(),
            ms => Floor { ms, cause: Some(Limiting::OwnLink) },
        }
    }

    /// To be told: the bucket enforces itself.
    pub fn bucket_floor(&self) -> Floor {
        self.bucket_floor
    }

    /// The longest that one frame took since the link became slow.
    pub fn stalled_ms(&self) -> u64 {
        (self.stalled_ns / 1_000_000).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_slow_link_climbs_step_by_step_and_comes_back_slowly() {
        let mut throttle = Throttle::new(0);
        let mut now = 0;
        for step in LINK_MS.into_iter().skip(1).chain([5000]) {
            throttle.wrote(SECOND);
            now += SECOND;
            throttle.look(now);
            assert_eq!(throttle.link_floor(), Floor { ms: step, cause: Some(Limiting::OwnLink) });
        }
        assert_eq!(throttle.stalled_ms(), 1000);
        // A third of the time is neither: it stays.
        for _ in 0..20 {
            throttle.wrote(SECOND / 3);
            now += SECOND;
            throttle.look(now);
        }
        assert_eq!(throttle.link_floor().ms, 5000);
        for step in LINK_MS.into_iter().rev().skip(1) {
            for _ in 0..5 {
                assert_ne!(throttle.link_floor().ms, step);
                now += SECOND;
                throttle.look(now);
            }
            assert_eq!(throttle.link_floor().ms, step);
        }
        assert_eq!(throttle.stalled_ms(), 0);
    }

    #[test]
    fn an_empty_bucket_is_told_as_the_pace_it_amounts_to() {
        let mut throttle = Throttle::new(0);
        for _ in 0..5 {
            throttle.wrote(0);
            throttle.held(SECOND / 5, OutLimit::Bytes);
        }
        throttle.look(SECOND);
        assert_eq!(throttle.bucket_floor(), Floor { ms: 250, cause: Some(Limiting::BytesPerSecond) });
        assert_eq!(throttle.link_floor(), Floor::default());
        (2..7).for_each(|second| throttle.look(second * SECOND));
        assert_eq!(throttle.bucket_floor(), Floor::default());
    }

    proptest! {
        /// Whatever the load, a floor moves one step at a time, and never twice within a second.
        #[test]
        fn steps_are_single(writes in prop::collection::vec((0i64..2_000, 1i64..3_000), 1..200)) {
            let (mut throttle, mut now, mut last) = (Throttle::new(0), 0, 0usize);
            for (took_ms, gap_ms) in writes {
                throttle.wrote(took_ms * 1_000_000);
                now += (took_ms + gap_ms) * 1_000_000;
                throttle.look(now);
                let step = LINK_MS.iter().position(|ms| *ms == throttle.link_floor().ms).unwrap();
                prop_assert!(step.abs_diff(last) <= 1);
                last = step;
            }
        }
    }
}
