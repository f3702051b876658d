//! The recording of each venue on two lines that carry the same. In: its messages, on the second line later, each line without some that the
//! other has, and at last one line alone. Out: the books, trades and quotes of one undisturbed line, and no resync where none is due.
//!
//! A failure names what to set to see it again: `TWO_LINES_VENUE=okx TWO_LINES_SEED=7`. `PROPTEST_CASES=100` for a longer look.

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use support::{Message, Rig, Tape, tapes};

/// Of each recording.
const MESSAGES: usize = 300;
/// What has no numbers that both lines share is followed on one line, so a loss there is one.
const FOLLOWED: &[&str] = &[
    "bitfinex",
    "bitget",
    "bitstamp",
    "bybit",
    "coinbase",
    "coinbase-exchange",
    "gemini",
    "htx",
    "htx-swap",
    "kraken",
    "kraken-futures",
    "kraken-v1",
    // Its recording is older than its numbers.
    "okx",
];
/// Their books carry no time: another line can go on only with the very same book.
const TIMELESS: &[&str] = &["bitfinex", "gemini"];

/// What is done to the lines.
#[derive(Clone, Debug)]
struct Disturbance {
    /// Which line misses which message. The first ones, with snapshots and answers, come on both.
    missed: BTreeMap<usize, usize>,
    ahead: usize,
    /// The other one is so many messages behind.
    late: usize,
    /// Where the line that is ahead is lost; before, each misses some.
    ends: usize,
}

impl Disturbance {
    fn any() -> impl Strategy<Value = Self> {
        let missed = prop::collection::btree_map(41..MESSAGES, 0usize..2, 0..90);
        (missed, 0usize..2, 0usize..40, 0..MESSAGES).prop_map(|(missed, ahead, late, ends)| Self { missed, ahead, late, ends })
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn sorted<T: Ord + Clone>(all: &[T]) -> Vec<T> {
    let mut all = all.to_vec();
    all.sort();
    all
}

fn undisturbed(tape: &Tape) -> Rig<'_> {
    let mut rig = Rig::new(tape);
    tape.messages.iter().for_each(|message| rig.message(message));
    rig
}

fn disturbed<'a>(tape: &'a Tape, disturbance: &Disturbance, is_whole: bool) -> Rig<'a> {
    let mut rig = Rig::new(tape);
    let Disturbance { ref missed, ahead, late, ends } = *disturbance;
    let behind = 1 - ahead;
    let mut waiting = VecDeque::new();
    for (at, message) in tape.messages.iter().enumerate() {
        let misses = |line| !is_whole && at < ends && missed.get(&at) == Some(&line);
        if at < ends && !misses(ahead) {
            rig.message_on(message, ahead);
        }
        waiting.push_back((message, misses(behind)));
        if at == ends {
            rig.lose_leg(ahead, 2);
        }
        while waiting.len() > if at < ends { late } else { 0 } {
            deliver(&mut rig, waiting.pop_front(), behind);
        }
    }
    while !waiting.is_empty() {
        deliver(&mut rig, waiting.pop_front(), behind);
    }
    // Nothing waits for anything any more.
    rig.wait_s(3);
    rig
}

fn deliver(rig: &mut Rig<'_>, waiting: Option<(&Message, bool)>, leg: usize) {
    if let Some((message, false)) = waiting {
        rig.message_on(message, leg);
    }
}

fn compare(tape: &Tape, rig: &Rig<'_>, alone: &Rig<'_>, is_followed: bool) -> Result<(), TestCaseError> {
    if !TIMELESS.contains(&tape.venue) {
        for (index, (found, expected)) in rig.books.iter().zip(&alone.books).enumerate() {
            prop_assert!(found == expected, "book {index} is another");
        }
        prop_assert!(rig.resyncs <= alone.resyncs, "{} resyncs", rig.resyncs);
    }
    if !is_followed {
        prop_assert_eq!(rig.gaps, alone.gaps, "gaps");
        prop_assert_eq!(sorted(&rig.trades), sorted(&alone.trades), "trades");
    }
    for (index, expected) in &alone.quotes {
        prop_assert_eq!(rig.quotes.get(index), Some(expected), "quote {}", index);
    }
    prop_assert_eq!(rig.quotes.len(), alone.quotes.len(), "quotes");
    Ok(())
}

#[test]
fn two_lines_of_every_recording_are_as_good_as_one() {
    let seed = number("TWO_LINES_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let cases = number("PROPTEST_CASES").map_or(3, |cases| cases as u32);
    let only = std::env::var("TWO_LINES_VENUE").ok();
    let mut complaints = Vec::new();
    for mut tape in tapes(MESSAGES).into_iter().filter(|tape| only.as_ref().is_none_or(|only| only == tape.venue)) {
        let single = tape.clone();
        let alone = undisturbed(&single);
        tape.settings.lines = Some(2);
        let is_followed = FOLLOWED.contains(&tape.venue);
        let config = Config { cases, max_shrink_time: 20_000, failure_persistence: None, ..Config::default() };
        let seed_bytes = seed.to_le_bytes().repeat(4);
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes));
        let result = runner.run(&Disturbance::any(), |disturbance| {
            let rig = disturbed(&tape, &disturbance, is_followed);
            let told = rig.faults.last().map(|fault| &fault.detail);
            compare(&tape, &rig, &alone, is_followed)
                .map_err(|error| TestCaseError::fail(format!("{error} (last fault: {told:?})")))
        });
        println!("{}: {} trades, {} quotes", tape.venue, alone.trades.len(), alone.quotes.len());
        if let Err(error) = result {
            complaints.push(format!("PROPTEST_CASES={cases} TWO_LINES_VENUE={} TWO_LINES_SEED={seed}: {error}", tape.venue));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
