//! What becomes of an instrument's trades, behind one lock: its tape, its bars, its day. In: publications of one feed thread, and the
//! passing of time. Out: each part under the lock. Bounded by its parts.

use super::derived::DerivedState;
use super::news::News;
use super::tape::TapeState;
use parking_lot::{Mutex, MutexGuard};

#[derive(Debug)]
pub(super) struct Trades {
    state: Mutex<TradesState>,
    /// What happened to all topics of these trades at once, as a trade does. Each topic has news of its own besides.
    pub news: News,
}

#[derive(Debug)]
pub(super) struct TradesState {
    pub tape: TapeState,
    pub derived: DerivedState,
}

impl Trades {
    pub fn new(tape: TapeState, derived: DerivedState) -> Self {
        Self { state: Mutex::new(TradesState { tape, derived }), news: News::new(0) }
    }

    pub fn lock(&self) -> MutexGuard<'_, TradesState> {
        self.state.lock()
    }
}
