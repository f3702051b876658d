//! Which book snapshots to fetch when. In: instruments that need one, answers, ticks. Out: which to ask for now.
//! Bounded: `MAX_IN_FLIGHT` requests at once (of a recording, one for each book); one entry an instrument, waiting or in flight, never both.

use crate::adapter::{Fetch, FetchError, Now};
use std::collections::VecDeque;

/// Few, because each answer is some 400 KB and the books behind them keep their diffs meanwhile; more than one, because an answer
/// takes 50 to 500 ms.
const MAX_IN_FLIGHT: usize = 8;
const BACK_OFF_FIRST_NS: i64 = 500_000_000;
const BACK_OFF_LAST_NS: i64 = 30_000_000_000;
/// A book that lived this long before it broke is rebuilt at once again.
const FORGIVEN_AFTER_NS: i64 = 60_000_000_000;
/// Until the next tick.
const SOON_NS: i64 = 1;
/// What "slow down" (429, 418) means where the venue does not say for how long.
const SLOW_DOWN_NS: i64 = 10_000_000_000;
const BANNED_NS: i64 = 120_000_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Waiting {
        until: i64,
    },
    Queued,
    InFlight(Fetch),
}

#[derive(Clone, Copy, Debug, Default)]
struct Book {
    stage: Stage,
    /// Attempts since the book was last live for long.
    attempts: u32,
    last_attempt: i64,
    live_since: Option<i64>,
}

pub struct Snapshots {
    books: Vec<Book>,
    queue: VecDeque<u32>,
    in_flight: usize,
    /// The venue said to slow down: nothing is asked for before this time.
    hold_until: i64,
    random: fastrand::Rng,
    /// Answers come when a recording has them, however early they are asked for.
    recorded: bool,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            books: Vec::new(),
            queue: VecDeque::new(),
            in_flight: 0,
            hold_until: i64::MIN,
            random: fastrand::Rng::new(),
            recorded: false,
        }
    }
}

impl Snapshots {
    /// A recording is played: what is made of it is the same each time. `answers`: snapshots are answers in it, and come at their own
    /// time; a pause of ours could only end after that, without the updates in between.
    pub fn replayed(&mut self, answers: bool) {
        self.random = fastrand::Rng::with_seed(0);
        self.recorded = answers;
    }

    pub fn add_instrument(&mut self) {
        self.books.push(Book::default());
    }

    /// This book needs a snapshot, at once if it has not needed many lately.
    pub fn want(&mut self, now: Now, index: u32) {
        let book = &mut self.books[index as usize];
        if book.stage != Stage::Idle {
            return;
        }
        if book.live_since.take().is_some_and(|since| now.mono.saturating_sub(since) > FORGIVEN_AFTER_NS) {
            book.attempts = 0;
        }
        // Once may happen to any book; one that breaks again and again must not eat the budget of the others. Its pause counts from
        // the last attempt: what was lost in the meantime and comes back owes none that is over.
        let passed = now.mono.saturating_sub(book.last_attempt);
        let pause = if book.attempts <= 1 { 0 } else { self.pause(index).saturating_sub(passed).max(0) };
        self.wait(now, index, pause);
    }

    /// This book needs none any more (its line is gone); an answer under way is forgotten.
    pub fn forget(&mut self, index: u32) {
        let book = &mut self.books[index as usize];
        if let Stage::InFlight(_) = book.stage {
            self.in_flight -= 1;
        }
        book.stage = Stage::Idle;
        self.queue.retain(|queued| *queued != index);
    }

    /// Waits that are over become requests.
    pub fn tick(&mut self, now: Now) {
        for (index, book) in self.books.iter_mut().enumerate() {
            if matches!(book.stage, Stage::Waiting { until } if until <= now.mono) {
                book.stage = Stage::Queued;
                self.queue.push_back(index as u32);
            }
        }
    }

    /// The next book to ask for, if one may be asked for now.
    pub fn next(&mut self, now: Now, fetch: Fetch) -> Option<u32> {
        // A recorded answer comes when it comes: who waits for one must keep nobody else from asking.
        let is_full = self.in_flight >= MAX_IN_FLIGHT && !self.recorded;
        if is_full || now.mono < self.hold_until {
            return None;
        }
        let index = self.queue.pop_front()?;
        self.in_flight += 1;
        let book = &mut self.books[index as usize];
        book.attempts = book.attempts.saturating_add(1);
        book.last_attempt = now.mono;
        book.stage = Stage::InFlight(fetch);
        Some(index)
    }

    /// Whose answer is this? `None`: nobody waits for it any more.
    pub fn answered(&mut self, fetch: Fetch) -> Option<u32> {
        let index = self.books.iter().position(|book| book.stage == Stage::InFlight(fetch))?;
        self.in_flight -= 1;
        self.books[index].stage = Stage::Idle;
        Some(index as u32)
    }

    pub fn live(&mut self, now: Now, index: u32) {
        self.books[index as usize].live_since = Some(now.mono);
    }

    /// The answer was of no use: again after a pause.
    pub fn again(&mut self, now: Now, index: u32) {
        let pause = self.pause(index);
        self.wait(now, index, pause);
    }

    /// There was no answer: again when the venue, the circuit breaker or the back-off says so.
    pub fn failed(&mut self, now: Now, index: u32, error: &FetchError) {
        let mut pause = self.pause(index);
        match error {
            FetchError::Status { .. } if self.recorded => {}
            // A recording without any answer must not be asked in a loop.
            FetchError::Io(_) if self.recorded => pause = BACK_OFF_LAST_NS,
            FetchError::Status { status, retry_after_s } => {
                let said = retry_after_s.map(|seconds| i64::from(seconds).saturating_mul(1_000_000_000));
                match status {
                    429 => self.hold(now, said.unwrap_or(SLOW_DOWN_NS)),
                    418 => self.hold(now, said.unwrap_or(BANNED_NS)),
                    _ => pause = pause.max(said.unwrap_or(0)),
                }
            }
            // The breaker is open for everyone; come back a little apart.
            FetchError::CircuitOpen(ms) => {
                let ms = i64::try_from(*ms).unwrap_or(i64::MAX / 1_000_000);
                pause = ms.saturating_mul(1_000_000).saturating_add(self.random.i64(0..100_000_000));
            }
            FetchError::Timeout(_) | FetchError::Io(_) => {}
        }
        self.wait(now, index, pause);
    }

    fn hold(&mut self, now: Now, pause: i64) {
        self.hold_until = self.hold_until.max(now.mono.saturating_add(pause));
    }

    fn wait(&mut self, now: Now, index: u32, pause: i64) {
        let book = &mut self.books[index as usize];
        if pause == 0 {
            book.stage = Stage::Queued;
            self.queue.push_back(index);
        } else {
            book.stage = Stage::Waiting { until: now.mono.saturating_add(pause) };
        }
    }

    /// Doubling, half of it random; none to speak of where a recording says when.
    fn pause(&mut self, index: u32) -> i64 {
        if self.recorded {
            return SOON_NS;
        }
        let attempts = self.books[index as usize].attempts;
        let full = BACK_OFF_FIRST_NS.saturating_mul(1 << attempts.saturating_sub(1).min(6)).min(BACK_OFF_LAST_NS);
        full / 2 + self.random.i64(0..=full / 2)
    }
}
