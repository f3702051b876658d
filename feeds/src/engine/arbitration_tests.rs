//! A feed with several lines, against a made-up venue. In: the venue's stream on each line, with losses, repetitions and delays, and lines that
//! are lost, lag or lie. Out: what one undisturbed line would have brought, each thing once, and no resync where nothing was lost on all.
//! Bounded: what is written here; `leader_tests` has more of what follows one line, `two_lines_tests` the streams nobody thought of.

use super::testkit::Bench;
use super::words::Words;
use super::*;
use crate::adapter::{Line, Race};
use wire::event::Cause;

pub(super) const A: Line = Line(0);
pub(super) const B: Line = Line(1);
const C: Line = Line(2);

pub(super) fn rest(proofs: &'static [Proof], equal: bool) -> Facts {
    let (trade_ids, quote_ids) = (TradeIds::Counted, QuoteIds::Rising);
    Facts { proofs, snapshot: SnapshotFrom::Rest { weight: 1, equal }, trade_ids, quote_ids, ..COMMON }
}

pub(super) fn in_band(proofs: &'static [Proof]) -> Facts {
    Facts { proofs, trade_ids: TradeIds::Rising, quote_ids: QuoteIds::Rising, ..COMMON }
}

pub(super) fn prices(bench: &Bench) -> Vec<String> {
    bench.levels(0, 0).into_iter().map(|[price, _]| price).collect()
}

pub(super) fn say(bench: &mut Bench, messages: &[(Line, &str)]) {
    messages.iter().for_each(|(line, text)| bench.message(*line, text));
}

pub(super) fn told(bench: &mut Bench) -> Vec<String> {
    let is_told = |line: &String| ["Trade 1", "Gap", "Quote"].iter().any(|word| line.starts_with(word));
    let is_state = |line: &String| line.ends_with("startup") || line.ends_with("none");
    bench.take_log().into_iter().filter(|line| is_told(line) && !is_state(line)).collect()
}

/// Live, by REST: `snap A 0`.
fn live(facts: Facts) -> Bench {
    let mut bench = Words::on_lines(facts, 2).bench(&["A"]);
    say(&mut bench, &[(A, "book A 1 1 0 1 1"), (B, "book A 1 1 0 1 1")]);
    bench.answer("/book/A", "snap A 1 1 1");
    say(&mut bench, &[(A, "trade A 1"), (A, "quote A 1 5"), (B, "trade A 1"), (B, "quote A 1 5")]);
    bench.take_log();
    bench.take_sent();
    bench.races.clear();
    bench
}

#[test]
fn the_first_arrival_wins_and_the_second_is_no_fault() {
    let mut bench = live(rest(&[Proof::Range], false));
    say(&mut bench, &[(A, "trade A 2"), (B, "quote A 2 6"), (A, "book A 2 3 0 2 1")]);
    bench.now.mono += 40_000_000;
    say(&mut bench, &[(B, "trade A 2"), (A, "quote A 2 6"), (B, "book A 2 3 0 2 1")]);
    assert_eq!(bench.take_log(), ["Trade 1 1 buy 2", "Quote 6 1 - -"]);
    assert_eq!(prices(&bench), ["2", "1"]);
    let lead = |line, over| Race::Lead { line, over, lead_ns: 40_000_000 };
    let won = |line| Race::Won { line };
    assert_eq!(bench.races, [won(0), won(1), won(0), lead(0, 1), lead(1, 0), lead(0, 1)]);
}

#[test]
fn what_one_line_skips_the_other_heals() {
    let mut bench = live(rest(&[Proof::Range], false));
    say(&mut bench, &[(A, "trade A 3"), (A, "book A 3 3 0 3 1"), (A, "trade A 4"), (A, "book A 4 4 0 4 1")]);
    assert_eq!(prices(&bench), ["1"], "it waits for the other line");
    say(&mut bench, &[(B, "trade A 2"), (B, "book A 2 2 0 2 1")]);
    assert_eq!(prices(&bench), ["4", "3", "2", "1"]);
    let told = ["fault line_gap: A: line a skipped to trade 3", "fault line_gap: A: line a skipped to book update 3"];
    let trades = ["Trade 1 1 buy 2", "Trade 1 1 buy 3", "Trade 1 1 buy 4"];
    assert_eq!(bench.take_log(), [&told[..], &trades[..]].concat());
    assert!(bench.fetches.is_empty());
}

#[test]
fn what_all_lines_skip_is_lost_at_once() {
    let mut bench = live(rest(&[Proof::Range], false));
    say(&mut bench, &[(A, "trade A 4"), (A, "book A 3 3 0 3 1"), (B, "trade A 4"), (B, "book A 3 3 0 3 1")]);
    let log = bench.take_log();
    assert!(log.contains(&"Gap Trade Some(2)".to_owned()), "{log:?}");
    assert!(log.contains(&"Book resyncing sequence_gap".to_owned()), "{log:?}");
    say(&mut bench, &[(B, "book A 4 4 0 4 1")]);
    bench.answer("/book/A", "snap A 3 9 1");
    assert_eq!((prices(&bench), bench.take_log()), (vec!["9".to_owned(), "4".to_owned()], vec!["Book live none".to_owned()]));
}

#[test]
fn patience_ends() {
    let mut bench = live(rest(&[Proof::Range], false));
    say(&mut bench, &[(A, "trade A 3"), (A, "book A 3 3 0 3 1")]);
    bench.wait_ms(900);
    assert!(!bench.take_log().iter().any(|line| line.contains("Gap") || line.contains("resyncing")));
    bench.wait_ms(200);
    let log = bench.take_log();
    for told in ["Gap Trade Some(1)", "Trade 1 1 buy 3", "Book resyncing sequence_gap"] {
        assert!(log.contains(&told.to_owned()), "{told} in {log:?}");
    }
    // What was kept while the snapshot was on its way is not lost.
    bench.answer("/book/A", "snap A 2 9 1");
    assert_eq!(prices(&bench), ["9", "3"]);
    say(&mut bench, &[(B, "trade A 2"), (B, "trade A 3"), (B, "book A 2 2 0 2 1"), (B, "book A 3 4 0 4 1")]);
    assert_eq!((prices(&bench), bench.take_log().len()), (vec!["9".to_owned(), "4".to_owned(), "3".to_owned()], 1));
}

/// Nobody knows yet which is the first trade: another line may have begun before.
#[test]
fn the_first_trade_waits_for_the_other_line() {
    let mut bench = Words::on_lines(rest(&[Proof::Range], false), 2).bench(&["A"]);
    bench.take_log();
    say(&mut bench, &[(A, "trade A 8"), (A, "trade A 9")]);
    assert_eq!(bench.take_log(), [""; 0]);
    say(&mut bench, &[(B, "trade A 7"), (B, "trade A 8"), (B, "trade A 9")]);
    assert_eq!(bench.take_log(), ["Trade 1 1 buy 7", "Trade 1 1 buy 8", "Trade 1 1 buy 9"]);
    // Not for ever, and not for one that is gone.
    for is_lost in [false, true] {
        let mut bench = Words::on_lines(rest(&[Proof::Range], false), 2).bench(&["A"]);
        bench.message(A, "trade A 8");
        bench.take_log();
        if is_lost {
            bench.lose(B, Cause::Disconnected)
        } else {
            bench.wait_ms(1_100)
        }
        assert!(bench.take_log().contains(&"Trade 1 1 buy 8".to_owned()));
    }
}

/// What one line calls past the other one brings.
#[test]
fn a_line_that_was_subscribed_later_has_more_history() {
    let facts = Facts { trade_ids: TradeIds::Counted, ..in_band(&[Proof::Chain]) };
    let mut bench = Words::on_lines(facts, 2).bench(&["A"]);
    say(&mut bench, &[(A, "past A 5"), (B, "past A 7"), (B, "trade A 8"), (A, "trade A 6"), (A, "trade A 7"), (A, "trade A 8")]);
    assert_eq!(told(&mut bench), ["Trade 1 1 buy 6", "Trade 1 1 buy 7", "Trade 1 1 buy 8"]);
}

/// Each line is opened anew, but never both at once.
#[test]
fn numbers_that_begin_anew_on_new_lines_are_followed() {
    for trade_ids in [TradeIds::Counted, TradeIds::Rising] {
        let mut bench = live(Facts { trade_ids, ..rest(&[Proof::Range], false) });
        for id in 100_000..105_000 {
            say(&mut bench, &[(A, &format!("trade A {id}")), (A, &format!("quote A {id} 5"))]);
        }
        bench.lose(A, Cause::Disconnected);
        bench.lose(B, Cause::Disconnected);
        bench.take_log();
        for id in 1..6_000 {
            let (trade, quote) = (format!("trade A {id}"), format!("quote A {id} 6"));
            say(&mut bench, &[(A, &trade), (A, &quote), (B, &trade), (B, &quote)]);
        }
        let log = told(&mut bench);
        assert!(log.contains(&"Gap Trade None".to_owned()), "{trade_ids:?}");
        assert!(log.ends_with(&["Trade 1 1 buy 5999".to_owned(), "Quote 6 1 - -".to_owned()]), "{:?}", log.last());
        let trades: Vec<&String> = log.iter().filter(|line| line.starts_with("Trade")).collect();
        assert!(trades.windows(2).all(|pair| pair[0] != pair[1]), "each once");
    }
}

#[test]
fn one_line_lost_is_not_told_and_both_are() {
    for facts in [rest(&[Proof::Range], false), Facts { trade_ids: TradeIds::Rising, ..rest(&[Proof::Chain], true) }] {
        let mut bench = live(facts);
        bench.grant = false;
        bench.lose(A, Cause::Disconnected);
        say(&mut bench, &[(B, "trade A 2"), (B, "book A 2 2 1 2 1"), (B, "quote A 2 6")]);
        assert_eq!(bench.take_log(), ["Trade 1 1 buy 2", "Quote 6 1 - -"]);
        assert_eq!(prices(&bench), ["2", "1"]);
        bench.lose(B, Cause::Silence);
        assert_eq!(bench.take_log(), ["Link 0 stale silence"]);
        bench.grant = true;
        bench.lose(B, Cause::Disconnected);
        let log = bench.take_log();
        assert!(log.contains(&"Link 0 resyncing disconnected".to_owned()), "{log:?}");
    }
}

#[test]
fn lines_that_differ_raise_an_alarm() {
    let mut bench = live(rest(&[Proof::Range], false));
    say(&mut bench, &[(A, "quote A 2 6"), (B, "quote A 2 7"), (A, "book A 2 2 0 2 1"), (B, "book A 2 2 0 2 9")]);
    let told = [
        "fault line_diverged: A: lines a and b differ about quote 2",
        "fault line_diverged: A: lines a and b differ about book update 2",
    ];
    assert_eq!(bench.take_log(), ["Quote 6 1 - -", told[0], told[1]]);
}

#[test]
fn without_a_proof_the_other_line_proves_a_loss() {
    let mut bench = live(rest(&[Proof::None], false));
    say(&mut bench, &[(A, "book A 5 5 0 2 1"), (B, "book A 5 5 0 2 1"), (A, "book A 9 9 0 3 1"), (B, "book A 7 7 0 4 1")]);
    let log = bench.take_log();
    assert_eq!(log.last().unwrap(), "Book resyncing sequence_gap");
    say(&mut bench, &[(B, "book A 9 9 0 3 1")]);
    bench.answer("/book/A", "snap A 9 4 1 3 1");
    assert_eq!(prices(&bench), ["4", "3"]);
}

#[test]
fn a_line_that_lags_raises_one_alarm() {
    let mut bench = live(rest(&[Proof::Range], false));
    for id in 2..30 {
        bench.message(A, &format!("trade A {id}"));
        bench.wait_ms(100);
    }
    let faults: Vec<String> = bench.take_log().into_iter().filter(|line| line.starts_with("fault")).collect();
    assert!(faults.len() == 1 && faults[0].starts_with("fault line_behind: words: line b is "), "{faults:?}");
    let health =
        |race: &Race| matches!(race, Race::Health { line: 1, behind_ns, open: 1, lost: 0 } if *behind_ns > 1_000_000_000);
    assert!(bench.races.iter().any(health));
}

#[test]
fn quotes_and_trades_without_numbers_follow_one_line() {
    let facts = Facts { trade_ids: TradeIds::None, quote_ids: QuoteIds::None, ..rest(&[Proof::Range], false) };
    let mut bench = Words::on_lines(facts, 2).bench(&["A"]);
    say(&mut bench, &[(A, "quote A 0 5 @10"), (B, "quote A 0 5 @10"), (A, "trade A 0 @10"), (B, "trade A 0 @10")]);
    say(&mut bench, &[(B, "quote A 0 6 @20"), (B, "trade A 0 @20")]);
    let log = bench.take_log();
    assert_eq!(log.iter().filter(|line| line.starts_with("Quote 5") || line.starts_with("Trade 1")).count(), 2, "{log:?}");
    assert!(!log.iter().any(|line| line.starts_with("Quote 6")), "{log:?}");
    bench.grant = false;
    bench.lose(A, Cause::Disconnected);
    let log = bench.take_log();
    assert_eq!(log, ["fault sequence_gap: A: trades may be missing", "Quote 6 1 - -", "Gap Trade None"]);
    say(&mut bench, &[(B, "trade A 0 @10"), (B, "trade A 0 @30"), (B, "quote A 0 7 @30")]);
    assert_eq!(bench.take_log(), ["Trade 1 1 buy -1", "Quote 7 1 - -"]);
}

#[test]
fn a_line_that_lags_does_not_lead_while_another_is_good() {
    let facts = Facts { trade_ids: TradeIds::None, quote_ids: QuoteIds::None, ..rest(&[Proof::Range], false) };
    let mut bench = Words::on_lines(facts, 3).bench(&["A"]);
    say(&mut bench, &[(A, "trade A 0 @10"), (B, "trade A 0 @10"), (C, "trade A 0 @10")]);
    for at in 2..22 {
        say(&mut bench, &[(B, &format!("trade A 0 @{at}0")), (C, &format!("trade A 0 @{at}0"))]);
        bench.wait_ms(100);
    }
    let log = bench.take_log();
    assert!(log.contains(&"Gap Trade None".to_owned()), "b leads in place of a: {log:?}");
    bench.grant = false;
    bench.lose(B, Cause::Disconnected);
    say(&mut bench, &[(C, "trade A 0 @300"), (C, "quote A 0 5 @300")]);
    let lost = ["fault sequence_gap: A: trades may be missing", "Gap Trade None", "Trade 1 1 buy -1"];
    assert_eq!(bench.take_log(), [&lost[..], &["Quote live none", "Quote 5 1 - -"]].concat());
}

#[test]
fn a_leader_that_lags_is_left_as_soon_as_another_is_ready() {
    let mut bench = Words::on_lines(in_band(&[Proof::Crc { depth: 10 }]), 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1 @10"), (A, "trade A 1")]);
    for id in 2..22 {
        bench.message(B, &format!("trade A {id}"));
        bench.wait_ms(100);
    }
    bench.message(B, "snap A 0 1 1 2 1 @20");
    assert_eq!(prices(&bench), ["1"], "a still leads");
    bench.wait_ms(1_000);
    assert_eq!(prices(&bench), ["2", "1"]);
    bench.message(B, "book A 0 0 0 3 1 @30");
    assert_eq!(prices(&bench), ["3", "2", "1"]);
    let log = bench.take_log();
    assert!(!log.iter().any(|line| line.contains("resyncing")), "{log:?}");
}

/// Three lines with books, of which `a` lags and `b` leads.
fn first_lags(proofs: &'static [Proof]) -> Bench {
    let mut bench = Words::on_lines(in_band(proofs), 3).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1"), (B, "snap A 0 1 1"), (C, "snap A 0 1 1")]);
    others_speak(&mut bench, 1..22);
    bench.sent.clear();
    bench
}

fn others_speak(bench: &mut Bench, ids: std::ops::Range<u32>) {
    for id in ids {
        say(bench, &[(B, &format!("trade A {id}")), (C, &format!("trade A {id}"))]);
        bench.wait_ms(100);
    }
}

#[test]
fn a_line_that_lags_is_not_asked_for_the_book_while_another_is_good() {
    let mut bench = first_lags(&[Proof::None]);
    bench.message(B, "book A 0 0 0 2 1");
    bench.grant = false;
    bench.lose(B, Cause::Disconnected);
    bench.sent.clear();
    for id in 22..44 {
        bench.message(C, &format!("trade A {id}"));
        bench.wait_ms(100);
    }
    let asked: Vec<Line> = bench.sent.iter().filter(|(_, text)| text.starts_with("unsub")).map(|(line, _)| *line).collect();
    assert_eq!(asked, [C], "{:?}", bench.sent);
}

#[test]
fn a_book_that_is_wrong_goes_over_to_a_line_that_does_not_lag() {
    let mut bench = first_lags(&[Proof::Crc { depth: 10 }]);
    bench.message(B, "book A 0 0 0 2 1 @20");
    say(&mut bench, &[(A, "snap A 0 1 1 2 1 @30"), (C, "book A 0 0 0 2 1 @30"), (B, "book A 0 0 0 9 1 @30 #1")]);
    bench.message(C, "book A 0 0 0 3 1 @40");
    assert_eq!(prices(&bench), ["3", "2", "1"], "{:?}", bench.log);
}

#[test]
fn a_line_that_lags_may_still_bring_what_is_waited_for() {
    let mut bench = live(rest(&[Proof::Range], false));
    for id in 2..27 {
        bench.message(A, &format!("trade A {id}"));
        bench.wait_ms(100);
    }
    say(&mut bench, &[(A, "trade A 28"), (A, "book A 3 3 0 3 1")]);
    bench.wait_ms(900);
    say(&mut bench, &[(B, "trade A 27"), (B, "book A 2 2 0 2 1")]);
    assert_eq!(prices(&bench), ["3", "2", "1"]);
    let log = bench.take_log();
    assert!(log.iter().any(|line| line.contains("line_behind")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("Gap") || line.contains("resyncing")), "{log:?}");
}

/// All lines are lost, and one is back.
fn lost_and_back(facts: &Facts, said_before: bool) -> Vec<String> {
    let mut bench = Words::on_lines(facts.clone(), 2).bench(&["A"]);
    if said_before {
        say(&mut bench, &[(A, "trade A 1 @10"), (B, "trade A 1 @10")]);
    }
    bench.grant = false;
    bench.lose(B, Cause::Disconnected);
    bench.lose(A, Cause::Disconnected);
    say(&mut bench, &[(A, "trade A 5 @50"), (A, "trade A 6 @60")]);
    bench.take_log().into_iter().filter(|line| line.starts_with("Gap") || line.starts_with("Trade 1")).collect()
}

#[test]
fn trades_that_all_lines_missed_are_told_as_a_gap() {
    let counted = Facts { trade_ids: TradeIds::Counted, shared_numbers: false, ..in_band(&[Proof::None]) };
    let trades = ["Trade 1 1 buy 5", "Trade 1 1 buy 6"];
    assert_eq!(lost_and_back(&counted, true), ["Trade 1 1 buy 1", "Gap Trade None", trades[0], trades[1]]);
    assert_eq!(lost_and_back(&counted, false), trades);
    // Without ids the link's state says it, as with one line.
    let without = Facts { trade_ids: TradeIds::None, ..counted };
    assert_eq!(lost_and_back(&without, true), ["Trade 1 1 buy 1", trades[0], trades[1]]);
}

/// No numbers, but a checksum: `#` is the sum of price * 1000 + size.
#[test]
fn a_followed_book_goes_over_to_a_line_that_holds_the_same() {
    let mut bench = Words::on_lines(in_band(&[Proof::Crc { depth: 10 }]), 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1 @10 #1001"), (B, "snap A 0 1 1 @10 #1001")]);
    say(&mut bench, &[(A, "book A 0 0 0 2 1 @20 #3002"), (B, "book A 0 0 0 2 1 @20 #3002")]);
    bench.take_log();
    bench.grant = false;
    bench.lose(A, Cause::Disconnected);
    assert_eq!(bench.take_log(), [""; 0], "the same book goes on without a word");
    bench.message(B, "book A 0 0 0 3 1 @30 #6003");
    assert_eq!(prices(&bench), ["3", "2", "1"]);
}

#[test]
fn a_followed_book_never_steps_back() {
    let mut bench = Words::on_lines(in_band(&[Proof::Crc { depth: 10 }]), 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1 @10 #1001"), (B, "snap A 0 1 1 @10 #1001")]);
    say(&mut bench, &[(A, "book A 0 0 0 2 1 @20"), (A, "book A 0 0 0 3 1 @30")]);
    bench.take_log();
    bench.grant = false;
    bench.lose(A, Cause::Disconnected);
    bench.message(B, "book A 0 0 0 2 1 @20");
    assert_eq!(prices(&bench), ["3", "2", "1"], "the other line is behind");
    bench.message(B, "book A 0 0 0 3 1 @30");
    bench.message(B, "book A 0 0 0 4 1 @40");
    assert_eq!((prices(&bench).len(), bench.take_log()), (4, Vec::new()));
    // And one that is ahead is told whole.
    bench.grant = true;
    bench.lose(A, Cause::Disconnected);
    say(&mut bench, &[(A, "snap A 0 1 1 2 1 3 1 4 1 @40"), (A, "book A 0 0 0 5 1 @50")]);
    bench.grant = false;
    bench.lose(B, Cause::Disconnected);
    assert_eq!((prices(&bench).len(), bench.take_log()), (5, Vec::new()));
}

#[test]
fn a_followed_book_that_is_the_same_may_be_older() {
    let mut bench = Words::on_lines(in_band(&[Proof::Crc { depth: 10 }]), 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1 @10"), (B, "snap A 0 1 1 @10")]);
    say(&mut bench, &[(A, "book A 0 0 0 2 1 @20"), (A, "book A 0 0 0 2 0 @30")]);
    bench.take_log();
    bench.grant = false;
    bench.lose(A, Cause::Disconnected);
    bench.message(B, "book A 0 0 0 2 1 @20");
    assert_eq!(prices(&bench), ["1"], "what was is not told again");
    say(&mut bench, &[(B, "book A 0 0 0 2 0 @30"), (B, "book A 0 0 0 3 1 @40")]);
    assert_eq!((prices(&bench), bench.take_log()), (vec!["3".to_owned(), "1".to_owned()], Vec::new()));
}

#[test]
fn a_followed_book_that_is_wrong_is_replaced_by_the_other_lines() {
    let mut bench = Words::on_lines(in_band(&[Proof::Crc { depth: 10 }]), 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1 @10"), (B, "snap A 0 1 1 @10"), (B, "book A 0 0 0 2 1 @20 #3002")]);
    bench.take_log();
    bench.take_sent();
    bench.message(A, "book A 0 0 0 9 1 @20 #3002");
    assert_eq!(prices(&bench), ["2", "1"]);
    let log = bench.take_log();
    assert_eq!(log.last().unwrap(), "Book live none", "{log:?}");
    assert_eq!(bench.take_sent(), [""; 0]);
    // The line that was wrong is asked for its book again.
    bench.wait_ms(11_000);
    assert_eq!(bench.take_sent(), ["unsub 3 book.A", "sub 4 book.A"]);
}

#[test]
fn a_followed_book_nobody_can_take_over_is_asked_for_again() {
    let mut bench = Words::on_lines(in_band(&[Proof::None]), 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1"), (B, "snap A 0 1 1"), (A, "book A 0 0 0 2 1")]);
    bench.take_log();
    bench.take_sent();
    bench.grant = false;
    bench.lose(A, Cause::Disconnected);
    bench.wait_ms(2_100);
    assert_eq!(bench.take_log(), ["Book resyncing disconnected"]);
    assert!(bench.take_sent().iter().any(|text| text.starts_with("unsub") && text.ends_with("book.A")));
    bench.message(B, "snap A 0 1 1 2 1");
    assert_eq!(prices(&bench), ["2", "1"]);
}

#[test]
fn who_has_nothing_to_say_does_not_lag() {
    let mut bench = Words::on_lines(in_band(&[Proof::None]), 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1"), (B, "snap A 0 1 1")]);
    bench.take_log();
    for turn in 0..4 {
        let book = format!("book A 0 0 0 {} 1", turn + 2);
        for line in if turn % 2 == 0 { [A, B] } else { [B, A] } {
            bench.message(line, &book);
            bench.wait_ms(50);
        }
        bench.wait_ms(2_500);
    }
    let log = bench.take_log();
    assert!(!log.iter().any(|line| line.contains("fault") || line.contains("Gap")), "{log:?}");
}

#[test]
fn a_counter_that_begins_anew_is_followed_once() {
    let facts = in_band(&[Proof::Counter { step: 1, restart_floor: 1 }]);
    let mut bench = Words::on_lines(facts, 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 7 9 1"), (B, "snap A 7 9 1"), (A, "book A 8 8 0 8 1")]);
    say(&mut bench, &[(A, "snap A 1 5 1"), (A, "book A 2 2 0 6 1"), (B, "book A 8 8 0 8 1"), (B, "book A 9 9 0 7 1")]);
    assert_eq!(prices(&bench), ["6", "5"]);
    say(&mut bench, &[(B, "snap A 1 5 1"), (B, "book A 2 2 0 6 1"), (B, "book A 3 3 0 7 1"), (A, "book A 3 3 0 7 1")]);
    assert_eq!(prices(&bench), ["7", "6", "5"]);
    assert!(!bench.take_log().iter().any(|line| line.contains("resyncing")));
}

#[test]
fn a_line_that_is_about_to_be_dropped_is_renewed_beside_the_other() {
    let mut bench = live(rest(&[Proof::Range], false));
    bench.wait_ms(10_000);
    bench.take_log();
    bench.message(A, "bye");
    bench.wait_ms(100);
    assert_eq!(bench.take_log(), ["reconnect 0 venue_shutdown"]);
    assert_eq!(bench.urls.len(), 2, "no third line");
}

#[test]
fn settings_are_checked() {
    use crate::settings::FeedSettings;
    let refused = |venue: &str, lines: Option<u32>, ws_urls: &[&str]| {
        let ws_urls = ws_urls.iter().map(|url| (*url).to_owned()).collect();
        let settings = FeedSettings { symbols: vec!["BTC-USDT".to_owned()], lines, ws_urls, ..FeedSettings::of_venue(venue) };
        crate::registry::adapter(venue, &settings).err().map(|error| error.to_string())
    };
    assert_eq!(refused("binance", Some(2), &[]), None);
    assert_eq!(refused("binance", None, &["wss://b", "wss://c"]), None);
    assert_eq!(refused("binance", Some(5), &[]).unwrap(), "feed 'binance': 5 lines; use 1 to 4");
    let few = "feed 'binance': 1 lines for 2 addresses; use one line an address at least";
    assert_eq!(refused("binance", Some(1), &["wss://b"]).unwrap(), few);
    assert!(refused("kucoin", None, &["wss://b"]).unwrap().contains("leave ws_urls out"));
}
