//! The recording of each venue on two lines that carry the same. In: its messages, on the second line later, each line without some that the
//! other has, and at last one line alone. Out: the books, trades and quotes of one undisturbed line, and no resync where none is due.

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::VecDeque;
use support::{Rig, Tape, tapes};

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

/// `PROPTEST_CASES=100` for a longer look.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3)
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

#[test]
fn two_lines_of_every_recording_are_as_good_as_one() {
    let mut complaints = Vec::new();
    for mut tape in tapes(MESSAGES) {
        let single = tape.clone();
        let alone = undisturbed(&single);
        tape.settings.lines = Some(2);
        let followed = FOLLOWED.contains(&tape.venue);
        let strategy = (prop::collection::vec(0u8..12, MESSAGES), 0usize..40, any::<bool>(), 0usize..MESSAGES);
        let config = Config { cases: cases(), max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let result = runner.run(&strategy, |(lost, late, first, ends)| {
            let mut rig = Rig::new(&tape);
            let (ahead, behind) = if first { (0, 1) } else { (1, 0) };
            let mut waiting = VecDeque::new();
            for (at, message) in tape.messages.iter().enumerate() {
                // A line that brings snapshots and answers without loss.
                let losses = !followed && at > 40 && at < ends;
                if !(losses && lost[at] == 0) && at < ends {
                    rig.message_on(message, ahead);
                }
                waiting.push_back((message, losses && lost[at] == 1));
                if waiting.len() > late || at >= ends {
                    if at == ends {
                        rig.lose_leg(ahead, 2);
                    }
                    let drained = if at >= ends { waiting.len() } else { 1 };
                    for (message, is_lost) in waiting.drain(..drained) {
                        if !is_lost {
                            rig.message_on(message, behind);
                        }
                    }
                }
            }
            waiting.into_iter().filter(|(_, is_lost)| !is_lost).for_each(|(message, _)| rig.message_on(message, behind));
            // Nothing waits for anything any more.
            rig.wait_s(3);
            let context = format!("{}: late {late}, first {first}, ends {ends}, {:?}", tape.venue, rig.faults.last());
            if !TIMELESS.contains(&tape.venue) {
                for (index, (found, expected)) in rig.books.iter().zip(&alone.books).enumerate() {
                    prop_assert!(found == expected, "book {index} is another: {context}");
                }
                prop_assert!(rig.resyncs <= alone.resyncs, "{} resyncs: {context}", rig.resyncs);
            }
            if !followed {
                prop_assert_eq!(rig.gaps, alone.gaps, "{}", context);
                prop_assert_eq!(sorted(&rig.trades), sorted(&alone.trades), "{}", context);
            }
            prop_assert_eq!(&rig.quotes, &alone.quotes, "{}", context);
            Ok(())
        });
        println!("{}: {} trades, {} quotes", tape.venue, alone.trades.len(), alone.quotes.len());
        if let Err(error) = result {
            complaints.push(error.to_string().chars().take(600).collect::<String>());
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
