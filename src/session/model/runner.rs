//! Runs cases from seeds, and cuts down the one that fails. In: `MODEL_SEED`, `MODEL_CASES`. Out: a panic that names the seed and the
//! operations. Bounded: a case is cut down in at most `MOST_TRIES` further runs.

use super::generate::case;
use super::operation::{Feed, Operation, Setup};
use super::stage::play;
use crate::clock::manual;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

const MOST_TRIES: usize = 3_000;
/// Of an operation in a report. The seed has the rest.
const LONGEST_LINE: usize = 1_000;

thread_local! {
    /// Panics of this thread are expected and kept here instead of being printed.
    static IS_TRYING: Cell<bool> = const { Cell::new(false) };
    static PROBLEM: RefCell<String> = const { RefCell::new(String::new()) };
}

/// As many cases as the environment says, or `usual`. A number of cases that was asked for runs on all cores.
pub fn run(usual: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let asked = number("MODEL_CASES");
    let (seed, cases) = (number("MODEL_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48)), asked.unwrap_or(usual));
    say(&format!("model: MODEL_SEED={seed} MODEL_CASES={cases}"));
    catch_quietly();
    let threads = asked.map_or(1, |asked| asked.min(std::thread::available_parallelism().map_or(1, usize::from) as u64)).max(1);
    let (next, failed, started) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    let work = || {
        loop {
            let at = next.fetch_add(1, Relaxed);
            if at >= cases || failed.load(Relaxed) {
                return None;
            }
            if at > 0 && at.is_multiple_of(100_000) {
                say(&format!("model: {at} cases in {} s", started.elapsed().as_secs()));
            }
            let seed = seed.wrapping_add(at);
            let (setup, operations) = case(seed);
            if let Some(problem) = fails(&setup, &operations) {
                failed.store(true, Relaxed);
                return Some(report(seed, &setup, operations, &problem));
            }
        }
    };
    let reports: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("cases are caught")).collect()
    });
    say(&format!("model: {} cases in {:.1} s", next.load(Relaxed).min(cases), started.elapsed().as_secs_f32()));
    assert!(reports.is_empty(), "{}", reports.join("\n\n"));
}

/// Past what the test harness keeps to itself: the seed must be there even if the run is killed.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn catch_quietly() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if IS_TRYING.get() {
                PROBLEM.set(panic.to_string());
            } else {
                usual(panic);
            }
        }));
    });
}

/// Plays a case; what went wrong, if anything did.
fn fails(setup: &Setup, operations: &[Operation]) -> Option<String> {
    IS_TRYING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| play(setup, operations)));
    IS_TRYING.set(false);
    manual::release();
    outcome.err().map(|_| PROBLEM.take())
}

fn report(seed: u64, setup: &Setup, operations: Vec<Operation>, problem: &str) -> String {
    let count = operations.len();
    let (operations, last) = cut_down(setup, operations);
    let line = |operation: &Operation| format!("  {:.LONGEST_LINE$}\n", format!("{operation:?}"));
    let list: String = operations.iter().map(line).collect();
    format!(
        "MODEL_SEED={seed} MODEL_CASES=1 fails:\n{problem}\n\nCut down from {count} to {} operations:\n{list}\n{setup:?}\n\nThen: {}",
        operations.len(),
        last.unwrap_or_default()
    )
}

/// Leaves out what is not needed to fail: halves first, then ever smaller pieces.
fn cut_down(setup: &Setup, mut operations: Vec<Operation>) -> (Vec<Operation>, Option<String>) {
    let (mut last, mut tries) = (None, 0);
    let mut size = operations.len() / 2;
    while size > 0 && tries < MOST_TRIES {
        let (mut at, before) = (0, operations.len());
        while at < operations.len() && tries < MOST_TRIES {
            let end = operations.len().min(at + size);
            let fewer: Vec<_> = operations[..at].iter().chain(&operations[end..]).cloned().collect();
            tries += 1;
            match fails(setup, &fewer) {
                Some(problem) => (operations, last) = (fewer, Some(problem)),
                None => at = end,
            }
        }
        if size > 1 || operations.len() == before {
            size /= 2;
        }
    }
    for at in 0..operations.len() {
        while let Some(smaller) = operations[at].half() {
            let fewer = [&operations[..at], &[smaller], &operations[at + 1..]].concat();
            let Some(problem) = fails(setup, &fewer) else { break };
            (operations, last) = (fewer, Some(problem));
        }
    }
    (operations, last)
}

impl Operation {
    /// The same with half as many trades.
    fn half(&self) -> Option<Self> {
        let Self::Publish { at, feed: Feed::Trades(shots) } = self else { return None };
        (shots.len() > 1).then(|| Self::Publish { at: *at, feed: Feed::Trades(shots[..shots.len() / 2].to_vec()) })
    }
}
