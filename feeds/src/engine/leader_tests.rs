//! What no number tells apart, on several lines: one leads. In: quotes, trades and books of a made-up venue, some on one line only, and lines
//! that are lost. Out: the newest quote and book whoever has it, and a gap where trades may be missing. Bounded: what is written here.

use super::arbitration_tests::{A, B, in_band, prices, say, told};
use super::testkit::Bench;
use super::words::Words;
use super::*;
use wire::event::Cause;

fn followed() -> Facts {
    Facts { trade_ids: TradeIds::None, quote_ids: QuoteIds::None, grouping: Grouping::OneStream, ..in_band(&[Proof::None]) }
}

#[test]
fn a_quote_that_the_leader_lacks_is_told() {
    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    say(&mut bench, &[(A, "quote A 0 5 @10"), (B, "quote A 0 5 @11")]);
    bench.wait_ms(1_500);
    say(&mut bench, &[(B, "quote A 0 6 @20"), (A, "quote A 0 6 @20"), (B, "quote A 0 7 @30")]);
    assert_eq!(told(&mut bench), ["Quote 5 1 - -", "Quote 6 1 - -"], "a still leads");
    bench.wait_ms(1_100);
    assert_eq!(told(&mut bench), ["Quote 7 1 - -"]);
    say(&mut bench, &[(B, "quote A 0 8 @40"), (A, "quote A 0 7 @30"), (A, "quote A 0 8 @40")]);
    bench.wait_ms(1_500);
    assert_eq!(told(&mut bench), ["Quote 8 1 - -"]);
    // The line that alone has it is lost.
    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    bench.grant = false;
    say(&mut bench, &[(A, "quote A 0 5 @10"), (B, "quote A 0 6 @20")]);
    bench.lose(B, Cause::Disconnected);
    say(&mut bench, &[(A, "quote A 0 5 @10"), (A, "quote A 0 6 @20"), (A, "quote A 0 7 @30")]);
    assert_eq!(told(&mut bench), ["Quote 5 1 - -", "Quote 6 1 - -", "Quote 7 1 - -"]);
}

#[test]
fn a_leader_that_says_something_may_lack_the_newest_quote() {
    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    say(&mut bench, &[(A, "quote A 0 8 @40"), (B, "quote A 0 8 @40"), (B, "quote A 0 10 @60"), (A, "quote A 0 9 @50")]);
    assert_eq!(told(&mut bench), ["Quote 8 1 - -", "Quote 9 1 - -"]);
    bench.wait_ms(1_100);
    assert_eq!(told(&mut bench), ["Quote 10 1 - -"]);
    // It has none at all, and the venue gives no time.
    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    bench.message(B, "quote A 0 5");
    bench.wait_ms(1_100);
    assert_eq!(told(&mut bench), ["Quote 5 1 - -"]);
}

#[test]
fn what_the_new_leader_holds_is_the_quote() {
    // The lost leader had said nothing yet.
    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    bench.grant = false;
    bench.message(B, "quote A 0 5 @10");
    bench.lose(A, Cause::Disconnected);
    assert_eq!(told(&mut bench), ["Quote 5 1 - -"]);
    // Two of one time: which is newer shows when the new leader says no more.
    for times in [["@10", "@10"], ["", ""]] {
        let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
        let quotes = [format!("quote A 0 5 {}", times[0]), format!("quote A 0 6 {}", times[1])];
        let quotes = quotes.map(|quote| quote.trim().to_owned());
        say(&mut bench, &[(A, &quotes[0]), (B, &quotes[0]), (B, &quotes[1])]);
        bench.grant = false;
        bench.lose(A, Cause::Disconnected);
        assert_eq!(told(&mut bench), ["Quote 5 1 - -"]);
        bench.wait_ms(1_100);
        assert_eq!(told(&mut bench), ["Quote 6 1 - -"]);
    }
}

/// The second line, opened anew, was granted only these streams so far.
fn granted_only(bench: &mut Bench, streams: &[&str]) {
    bench.grant = false;
    bench.sent.clear();
    bench.lose(B, Cause::Disconnected);
    for (line, text) in bench.sent.clone() {
        if line == B && streams.iter().any(|stream| text.ends_with(&format!("{stream}.A"))) {
            bench.message(B, &format!("ok {}", text.split(' ').nth(1).unwrap()));
        }
    }
}

#[test]
fn quotes_are_not_forgotten_with_a_book_that_is_lost() {
    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    granted_only(&mut bench, &["quote"]);
    say(&mut bench, &[(A, "quote A 0 5 @10"), (B, "quote A 0 5 @10")]);
    bench.lose(A, Cause::Disconnected);
    bench.message(B, "ask A 0 9 @20");
    assert_eq!(told(&mut bench), ["Quote 5 1 - -", "Quote 5 1 9 1"]);
}

#[test]
fn trades_that_the_leader_lacks_are_told_as_a_gap() {
    // Before it said anything, after it did, and with nobody to take its place at once.
    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    bench.message(B, "trade A 0 @10");
    bench.wait_ms(1_100);
    assert_eq!(told(&mut bench), ["Gap Trade None"]);
    say(&mut bench, &[(B, "trade A 0 @20"), (A, "trade A 0 @30")]);
    bench.lose(B, Cause::Disconnected);
    say(&mut bench, &[(A, "trade A 0 @40"), (B, "trade A 0 @40")]);
    bench.wait_ms(1_500);
    assert_eq!(told(&mut bench), ["Trade 1 1 buy -1", "Gap Trade None", "Trade 1 1 buy -1"]);

    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    bench.message(B, "trade A 0 @10");
    bench.grant = false;
    bench.lose(A, Cause::Disconnected);
    assert_eq!(told(&mut bench), ["Gap Trade None"]);

    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    granted_only(&mut bench, &["trade"]);
    bench.message(A, "trade A 0 @10");
    bench.lose(A, Cause::Disconnected);
    bench.message(B, "trade A 0 @30");
    let down = "Quote down disconnected";
    assert_eq!(told(&mut bench), ["Trade 1 1 buy -1", down, "Gap Trade None", "Trade 1 1 buy -1"]);
}

#[test]
fn a_book_that_the_leader_lacks_is_told_whole() {
    let mut bench = Words::on_lines(followed(), 2).bench(&["A"]);
    say(&mut bench, &[(A, "snap A 0 1 1 @10"), (B, "snap A 0 1 1 @11")]);
    bench.wait_ms(1_500);
    say(&mut bench, &[(A, "book A 0 0 0 2 1 @20"), (B, "book A 0 0 0 2 1 @20"), (B, "book A 0 0 0 3 1 @30")]);
    assert_eq!(prices(&bench), ["2", "1"], "a still leads");
    bench.wait_ms(1_100);
    assert_eq!(prices(&bench), ["3", "2", "1"]);
    bench.message(B, "book A 0 0 0 3 0 @40");
    assert_eq!(prices(&bench), ["2", "1"]);
    // The line that lacked it is asked for its book again.
    bench.take_sent();
    bench.wait_ms(11_000);
    assert!(bench.take_sent().iter().any(|text| text.starts_with("unsub") && text.ends_with("book.A")));
    assert!(!bench.take_log().iter().any(|line| line.contains("resyncing")));
}
