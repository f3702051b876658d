//! Streams of a made-up venue on two lines. In: random books, trades and quotes, each on one line at least, in any turns, and one line that
//! ends. Out: the same as of one undisturbed line, each thing once, and no resync. Bounded: 80 words a stream, 400 streams
//! (`PROPTEST_CASES=20000` for a longer look).

use super::arbitration_tests::{in_band, rest};
use super::testkit::Bench;
use super::words::Words;
use super::*;
use crate::adapter::Line;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use wire::event::Cause;

/// What a venue says, one thing after the other.
#[derive(Clone, Debug)]
enum Said {
    Book { first: u64, last: u64, previous: u64, price: u64, size: u64 },
    Trade(u64),
    Quote(u64, u64),
}

/// Its numbers go on by `jump`.
fn stream_of(facts: &Facts, steps: &[(u8, u64, u64, u64)]) -> Vec<Said> {
    let (mut book, mut trade, mut quote) = (10, 0, 0);
    let mut say = |&(kind, price, size, jump): &(u8, u64, u64, u64)| match kind {
        0..4 => {
            let previous = book;
            book += if matches!(facts.proofs[0], Proof::Counter { .. }) { 1 } else { jump };
            let ranges = !matches!(facts.snapshot, SnapshotFrom::Subscription { .. });
            Said::Book { first: if ranges { previous + 1 } else { book }, last: book, previous, price, size }
        }
        4..7 => {
            trade += if facts.trade_ids == TradeIds::Counted { 1 } else { jump };
            Said::Trade(trade)
        }
        _ => {
            quote += jump;
            Said::Quote(quote, quote)
        }
    };
    steps.iter().map(&mut say).collect()
}

/// The venue's book after so many of its words.
fn book_after(stream: &[Said]) -> (u64, BTreeMap<u64, u64>) {
    let (mut id, mut levels) = (10, BTreeMap::from([(100, 1)]));
    for said in stream {
        if let Said::Book { last, price, size, .. } = said {
            id = *last;
            if *size == 0 {
                levels.remove(price)
            } else {
                levels.insert(*price, *size)
            };
        }
    }
    (id, levels)
}

fn snapshot(stream: &[Said]) -> String {
    let (id, levels) = book_after(stream);
    let levels: Vec<String> = levels.iter().map(|(price, size)| format!("{price} {size}")).collect();
    format!("snap A {id} {}", levels.join(" "))
}

/// `at`: its place in the stream, which is the venue's time too.
fn text(at: usize, said: &Said) -> String {
    match said {
        Said::Book { first, last, previous, price, size } => format!("book A {first} {last} {previous} {price} {size} @{at}"),
        Said::Trade(id) => format!("trade A {id} @{at}"),
        Said::Quote(id, bid) => format!("quote A {id} {bid} @{at}"),
    }
}

/// How often each line brings a word: at least one of them does.
fn copies() -> impl Strategy<Value = [u8; 2]> {
    prop_oneof![6 => Just([1u8, 1]), 1 => Just([0, 1]), 1 => Just([1, 0]), 1 => Just([2, 1]), 1 => Just([1, 2])]
}

/// A run of one line's messages before the other has its turn.
fn turns() -> impl Strategy<Value = Vec<(bool, usize)>> {
    vec((any::<bool>(), 1usize..12), 1..60)
}

/// What the venue numbers for all connections alike, in all ways that differ here, and at last what is followed on one line.
fn venues() -> [Facts; 8] {
    let counter = &[Proof::Counter { step: 1, restart_floor: 1 }];
    [
        rest(&[Proof::Range], false),
        Facts { trade_ids: TradeIds::Rising, ..rest(&[Proof::Range], false) },
        rest(&[Proof::Chain], true),
        in_band(&[Proof::Chain]),
        in_band(counter),
        Facts { trade_ids: TradeIds::Counted, ..in_band(&[Proof::Chain]) },
        Facts { quote_ids: QuoteIds::None, ..in_band(&[Proof::Chain]) },
        Facts { quote_ids: QuoteIds::None, trade_ids: TradeIds::None, ..in_band(&[Proof::None]) },
    ]
}

/// What was told, compared with what the venue said.
fn look(bench: &Bench, stream: &[Said], facts: &Facts) -> Result<(), TestCaseError> {
    let is_state = |line: &str| line.ends_with("startup") || line.ends_with("none");
    let told =
        |word: &str| bench.log.iter().filter(|line| line.starts_with(word) && !is_state(line)).cloned().collect::<Vec<_>>();
    let gaps = told("Gap").len();
    prop_assert!(!bench.log.iter().any(|line| line.contains("resyncing")) && bench.fetches.is_empty(), "{:?}", bench.log);
    let mut levels = book_after(stream).1;
    levels.retain(|_, size| *size > 0);
    let found: BTreeMap<u64, u64> = bench.books[0][0].iter().map(|(price, size)| (*price as u64, *size as u64)).collect();
    prop_assert_eq!(found, levels);
    let mut trades = told("Trade 1");
    let mut expected: Vec<String> = Vec::new();
    let mut quotes = vec![];
    for said in stream {
        match said {
            Said::Trade(id) => expected.push(format!("Trade 1 1 buy {id}")),
            Said::Quote(_, bid) => quotes.push(format!("Quote {bid} 1 - -")),
            Said::Book { .. } => {}
        }
    }
    if facts.trade_ids == TradeIds::None {
        let mut left = expected.iter();
        prop_assert!(trades.iter().all(|trade| left.any(|known| known == trade)), "each once, in order: {trades:?}");
        prop_assert!(trades == expected || gaps > 0, "{trades:?} of {expected:?}");
    } else {
        if facts.trade_ids == TradeIds::Rising {
            trades.sort();
            expected.sort();
        }
        prop_assert_eq!((trades, gaps), (expected, 0));
    }
    let found = told("Quote");
    let mut left = quotes.iter();
    prop_assert!(found.iter().all(|quote| left.any(|known| known == quote)), "an older quote over a newer one: {found:?}");
    prop_assert_eq!(found.last(), quotes.last());
    Ok(())
}

/// `None`: its line is lost here.
type Queue = Vec<(usize, Option<String>)>;

/// What comes on each line. In band the second one begins at `late`, and before that only the first one has anything; from `ends` to `back`
/// only the second one has.
fn queues(stream: &[Said], facts: &Facts, copied: &[[u8; 2]], late: usize, ends: usize, back: usize) -> [Queue; 2] {
    let mut queues: [Queue; 2] = Default::default();
    if !facts.by_rest() {
        queues[0].push((0, Some(snapshot(&[]))));
        queues[1].push((late, Some(snapshot(&stream[..late]))));
    }
    for (at, (said, copies)) in stream.iter().zip(copied).enumerate() {
        // What nothing proves to be missing does not go missing: no line of a connection leaves out something in between.
        let is_proven = facts.trade_ids != TradeIds::None || matches!(said, Said::Quote(..));
        let [first, second] = if is_proven { *copies } else { [1, 1] };
        let copies = match at {
            _ if at < late => [first.max(1), 0],
            // What the second one lacks when the first one is lost is given up, even if that comes back with it.
            _ if at >= ends => [if at < back { 0 } else { first }, second.max(1)],
            _ => [first, second],
        };
        if at == ends {
            queues[0].push((at, None));
        }
        if at == back && !facts.by_rest() {
            queues[0].push((at, Some(snapshot(&stream[..at]))));
        }
        for (queue, copies) in queues.iter_mut().zip(copies) {
            queue.extend((0..copies).map(|_| (at + 1, Some(text(at + 1, said)))));
        }
    }
    queues
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    /// Each word comes on one line at least: then all of them come, once, and nothing starts over.
    #[test]
    fn two_lines_are_as_good_as_an_undisturbed_one(
        which in 0usize..8,
        steps in vec((0u8..9, 1u64..9, 0u64..3, 1u64..5), 4..80),
        copied in vec(copies(), 80),
        turns in turns(),
        late in 0usize..20,
        ends in prop_oneof![Just(usize::MAX), 1usize..80],
        away in prop_oneof![Just(80), 1usize..40],
        answered in 1usize..40,
    ) {
        let facts = venues()[which].clone();
        // So that there is a book to continue.
        let mut steps = steps;
        steps[0].0 = 0;
        let stream = stream_of(&facts, &steps);
        let late = if facts.by_rest() { 0 } else { late.min(stream.len()) };
        let ends = ends.max(late + 1);
        let back = ends.saturating_add(away);
        let mut bench = Words::on_lines(facts.clone(), 2).bench(&["A"]);
        let mut queues = queues(&stream, &facts, &copied, late, ends, back).map(Vec::into_iter);
        let (mut newest, mut delivered, mut had_book) = (0, 0, false);
        let mut turn = turns.iter().copied().chain(std::iter::repeat([(false, 3), (true, 2)]).flatten());
        while queues.iter().any(|queue| queue.len() > 0) {
            let (second, run) = turn.next().unwrap();
            for _ in 0..run {
                let Some((at, text)) = queues[usize::from(second)].next() else { break };
                let line = Line(u32::from(second));
                let Some(text) = text else {
                    bench.grant = back < stream.len();
                    bench.lose(line, Cause::Disconnected);
                    break;
                };
                bench.message(line, &text);
                had_book |= text.starts_with("book");
                (newest, delivered) = (newest.max(at), delivered + 1);
                if had_book && delivered >= answered && !bench.fetches.is_empty() {
                    bench.answer("/book/A", &snapshot(&stream[..newest]));
                }
            }
        }
        if !bench.fetches.is_empty() {
            bench.answer("/book/A", &snapshot(&stream[..newest]));
        }
        // At once, unless a line that has ended, or has brought less, or leads may still bring something.
        let numbered = facts.trade_ids != TradeIds::None && facts.quote_ids != QuoteIds::None;
        let last = stream.iter().rposition(|said| facts.trade_ids == TradeIds::Counted && matches!(said, Said::Trade(_)));
        let both_have = |last: usize| last >= late && copied[last].iter().all(|copies| *copies > 0);
        if numbered && ends >= stream.len() && last.is_none_or(both_have) {
            look(&bench, &stream, &facts)?;
        }
        bench.wait_ms(3_000);
        look(&bench, &stream, &facts)?;
    }
}

/// As many as is usual here, or as is wanted.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}
