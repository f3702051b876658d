//! Follows the ids of a stream. In: one id after the other. Out: new, seen before, or how many were skipped.
//! Bounded: one number.

/// Ids in a row that lie in the past before the numbering counts as restarted: more than a lagging second line brings.
const RESTART_AFTER: u32 = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first one, or the one after the last.
    Next,
    /// `missing` ids lie between the last one and this one.
    Jump {
        missing: u64,
    },
    Duplicate,
    /// The venue numbers anew; how much is missing is unknown.
    Restart,
}

/// For streams whose ids grow by one (`Jump` is a loss) or just grow (`Jump` means nothing).
#[derive(Clone, Copy, Debug, Default)]
pub struct Trail {
    last: Option<u64>,
    stale_in_a_row: u32,
}

impl Trail {
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// What `id` would be, without following it.
    pub fn look(&self, id: u64) -> Step {
        match self.last {
            None => Step::Next,
            Some(last) if id <= last => {
                if self.stale_in_a_row + 1 < RESTART_AFTER {
                    Step::Duplicate
                } else {
                    Step::Restart
                }
            }
            Some(last) if id == last + 1 => Step::Next,
            Some(last) => Step::Jump { missing: id - last - 1 },
        }
    }

    pub fn step(&mut self, id: u64) -> Step {
        let step = self.look(id);
        if step == Step::Duplicate {
            self.stale_in_a_row += 1;
        } else {
            self.stale_in_a_row = 0;
            self.last = Some(id);
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_ids() {
        let mut trail = Trail::default();
        assert_eq!(trail.step(u64::MAX - 3), Step::Next);
        assert_eq!(trail.step(u64::MAX - 2), Step::Next);
        assert_eq!(trail.step(u64::MAX - 2), Step::Duplicate);
        assert_eq!(trail.step(u64::MAX), Step::Jump { missing: 1 });
        assert_eq!(trail.step(u64::MAX), Step::Duplicate);
    }

    #[test]
    fn a_long_past_is_a_restart() {
        let mut trail = Trail::default();
        trail.step(1_000_000);
        for id in 1..u64::from(RESTART_AFTER) {
            assert_eq!(trail.step(id), Step::Duplicate);
        }
        assert_eq!(trail.step(u64::from(RESTART_AFTER)), Step::Restart);
        assert_eq!(trail.step(u64::from(RESTART_AFTER) + 1), Step::Next);
    }
}
