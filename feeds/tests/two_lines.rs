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
/// What a venue lets two lines make good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heals {
    /// All that one line misses, the other brings.
    All,
    /// Books have no numbers that both lines share: they are those of one line, the leader, and nothing proves that it missed an update in
    /// between, or only that it did. (No line of a connection does, so the test does not ask for it.)
    AllButBooks,
    /// The same of trades: those that come while the leader is lost are told as a gap.
    Quotes,
    /// Messages of each connection are numbered, and a hole ends it; or quotes are told in parts, of which one may be missed unseen.
    Nothing,
}

/// `docs/venues/arbitration.md` has them all.
const HEALS: &[(&str, Heals)] = &[
    ("bitfinex", Heals::Nothing),
    ("bitget", Heals::AllButBooks),
    ("bitstamp", Heals::AllButBooks),
    ("bybit", Heals::Nothing),
    ("coinbase", Heals::Nothing),
    ("coinbase-exchange", Heals::AllButBooks),
    ("gemini", Heals::AllButBooks),
    ("htx", Heals::AllButBooks),
    ("htx-swap", Heals::AllButBooks),
    ("kraken", Heals::AllButBooks),
    ("kraken-futures", Heals::Quotes),
    ("kraken-v1", Heals::Quotes),
    // Its recording is older than its numbers.
    ("okx", Heals::AllButBooks),
];
/// Their trades have no ids that both lines share.
const TRADES_FOLLOWED: &[&str] = &["bitget", "bybit", "kraken-futures", "kraken-v1"];
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

/// What is in the one and not in the other, as often as it is.
fn less<T: Ord + Clone>(all: &[T], without: &[T]) -> Vec<T> {
    let mut count = BTreeMap::<&T, i32>::new();
    without.iter().for_each(|one| *count.entry(one).or_default() -= 1);
    all.iter().for_each(|one| *count.entry(one).or_default() += 1);
    count.into_iter().flat_map(|(one, count)| std::iter::repeat_n(one.clone(), count.max(0) as usize)).collect()
}

/// What one undisturbed line gives, and which messages another line makes good if one misses them.
fn undisturbed<'a>(tape: &'a Tape, heals: Heals) -> (Rig<'a>, Vec<bool>) {
    let mut rig = Rig::new(tape);
    let may_miss = tape.messages.iter().map(|message| {
        let before = rig.told;
        rig.message(message);
        let [quotes, trades, books] = [0, 1, 2].map(|kind| rig.told[kind] > before[kind]);
        match heals {
            Heals::All => true,
            Heals::AllButBooks => (quotes || trades) && !books,
            Heals::Quotes => quotes && !trades && !books,
            Heals::Nothing => false,
        }
    });
    let may_miss = may_miss.collect();
    (rig, may_miss)
}

fn disturbed<'a>(tape: &'a Tape, disturbance: &Disturbance, may_miss: &[bool]) -> Rig<'a> {
    let mut rig = Rig::new(tape);
    let Disturbance { ref missed, ahead, late, ends } = *disturbance;
    let behind = 1 - ahead;
    let mut waiting = VecDeque::new();
    for (at, message) in tape.messages.iter().enumerate() {
        let misses = |line| may_miss[at] && at < ends && missed.get(&at) == Some(&line);
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

fn compare(tape: &Tape, rig: &Rig<'_>, alone: &Rig<'_>) -> Result<(), TestCaseError> {
    if !TIMELESS.contains(&tape.venue) {
        for (index, (found, expected)) in rig.books.iter().zip(&alone.books).enumerate() {
            prop_assert!(found == expected, "book {index} is another");
        }
        prop_assert!(rig.resyncs <= alone.resyncs, "{} resyncs", rig.resyncs);
    }
    if !TRADES_FOLLOWED.contains(&tape.venue) {
        let (missing, unheard_of) = (less(&alone.trades, &rig.trades), less(&rig.trades, &alone.trades));
        prop_assert!(missing.is_empty() && unheard_of.is_empty(), "trades {missing:?} are missing, {unheard_of:?} too many");
        prop_assert_eq!(rig.gaps, alone.gaps, "gaps");
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
        let heals = HEALS.iter().find(|(venue, _)| *venue == tape.venue).map_or(Heals::All, |(_, heals)| *heals);
        let (alone, may_miss) = undisturbed(&single, heals);
        tape.settings.lines = Some(2);
        let config = Config { cases, max_shrink_time: 20_000, failure_persistence: None, ..Config::default() };
        let seed_bytes = seed.to_le_bytes().repeat(4);
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes));
        let result = runner.run(&Disturbance::any(), |disturbance| {
            let rig = disturbed(&tape, &disturbance, &may_miss);
            let told = rig.faults.last().map(|fault| &fault.detail);
            compare(&tape, &rig, &alone).map_err(|error| TestCaseError::fail(format!("{error} (last fault: {told:?})")))
        });
        println!("{}: {} trades, {} quotes", tape.venue, alone.trades.len(), alone.quotes.len());
        if let Err(error) = result {
            complaints.push(format!("PROPTEST_CASES={cases} TWO_LINES_VENUE={} TWO_LINES_SEED={seed}: {error}", tape.venue));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
