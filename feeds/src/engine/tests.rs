//! The engine against a made-up venue whose facts can be set one by one: what the registered venues do not use, or not all together.

use super::testkit::Bench;
use super::words::{Words, stream};
use super::*;
use crate::adapter::Line;
use wire::event::{Cause, Channel};

fn rest(proof: &'static [Proof], equal: bool) -> Facts {
    Facts { proofs: proof, snapshot: SnapshotFrom::Rest { weight: 1, equal }, trade_ids: TradeIds::Counted, ..COMMON }
}

fn books(bench: &Bench, side: usize) -> Vec<String> {
    bench.levels(0, side).into_iter().map(|[price, _]| price).collect()
}

#[test]
fn a_range_is_spliced_with_its_snapshot() {
    let mut bench = Words::new(rest(&[Proof::Range], false)).bench(&["A"]);
    for message in ["book A 3 4 0 1 1", "book A 5 6 0 2 1", "book A 7 8 0 3 1"] {
        bench.message(Line(0), message);
    }
    // Older than what is kept: it is asked for again.
    bench.answer("/book/A", "snap A 1 9 1");
    bench.wait_ms(1_000);
    bench.answer("/book/A", "snap A 5 9 1");
    assert_eq!(books(&bench, 0), ["9", "3", "2"]);
    bench.message(Line(0), "book A 10 11 0 4 1");
    assert_eq!(bench.take_log().last().unwrap(), "Book resyncing sequence_gap");
    // The third time takes a pause.
    bench.wait_ms(2_000);
    bench.answer("/book/A", "snap A 11 9 1");
    assert_eq!((books(&bench, 0), bench.take_log()), (vec!["9".to_owned()], vec!["Book live none".to_owned()]));
}

#[test]
fn a_chain_is_spliced_at_the_update_that_holds_the_snapshot() {
    let mut bench = Words::new(rest(&[Proof::Chain], true)).bench(&["A"]);
    for message in ["book A 10 14 9 1 1", "book A 20 24 14 2 1", "book A 30 34 24 3 1"] {
        bench.message(Line(0), message);
    }
    bench.answer("/book/A", "snap A 24 9 1");
    assert_eq!(books(&bench, 0), ["9", "3", "2"]);
    bench.message(Line(0), "book A 40 44 34 4 1");
    assert_eq!(books(&bench, 0).len(), 4);
    bench.message(Line(0), "book A 60 64 50 5 1");
    assert_eq!(bench.take_log().last().unwrap(), "Book resyncing sequence_gap");
    // Nothing kept but the one after the hole: the next update has to hold the snapshot's id.
    bench.answer("/book/A", "snap A 70 9 1");
    bench.message(Line(0), "book A 66 69 64 5 1");
    bench.message(Line(0), "book A 70 74 69 6 1");
    assert_eq!(books(&bench, 0), ["9", "6"]);
    bench.message(Line(0), "book A 80 84 74 7 1");
    assert_eq!(books(&bench, 0).len(), 3);
}

#[test]
fn without_a_proof_only_the_past_is_left_out() {
    let mut bench = Words::new(rest(&[Proof::None], false)).bench(&["A"]);
    for message in ["book A 10 10 0 1 1", "book A 20 20 0 2 1"] {
        bench.message(Line(0), message);
    }
    bench.answer("/book/A", "snap A 15 9 1");
    bench.message(Line(0), "book A 90 90 0 3 1");
    assert_eq!(books(&bench, 0), ["9", "3", "2"]);
}

#[test]
fn a_counter_is_followed_and_starts_over_at_its_floor() {
    let facts = Facts { proofs: &[Proof::Counter { step: 1, restart_floor: 1 }], ..COMMON };
    let mut bench = Words::new(facts).bench(&["A"]);
    bench.message(Line(0), "snap A 7 9 1");
    bench.message(Line(0), "book A 8 8 0 1 1");
    bench.message(Line(0), "book A 1 1 0 5 1");
    assert_eq!(books(&bench, 0), ["5"], "a new beginning");
    bench.take_log();
    bench.take_sent();
    bench.message(Line(0), "book A 3 3 0 6 1");
    assert_eq!(bench.take_log(), ["fault sequence_gap: A: 1 book updates missing before 3", "Book resyncing sequence_gap"]);
    assert_eq!(bench.take_sent(), ["unsub 2 book.A", "sub 3 book.A"]);
}

#[test]
fn a_hole_in_a_connections_numbers_condemns_all_it_carries() {
    let proofs = &[Proof::Counter { step: 1, restart_floor: 0 }];
    let facts = Facts { scope: Scope::Connection, proofs, ..COMMON };
    let mut bench = Words::new(facts).bench(&["A", "B"]);
    bench.message(Line(0), "snap A 0 9 1");
    bench.message(Line(0), "snap B 0 9 1");
    bench.message(Line(0), "frame 0 A 8");
    bench.message(Line(0), "frame 1");
    bench.take_log();
    bench.message(Line(0), "frame 3 A 7");
    let log = bench.take_log();
    assert_eq!(log.iter().filter(|line| *line == "Gap Trade None").count(), 2, "{log:?}");
    assert!(
        log.contains(&"reconnect 0 sequence_gap".to_owned()) && log.contains(&"Link 0 down sequence_gap".to_owned()),
        "{log:?}"
    );
    bench.message(Line(0), "frame 0 A 7");
    bench.message(Line(0), "snap A 0 6 1");
    assert_eq!(books(&bench, 0), ["6"]);
}

#[test]
fn an_address_is_asked_for_and_a_greeting_waited_for() {
    let facts = Facts { token: true, waits_for_hello: true, ..rest(&[Proof::Range], false) };
    let mut bench = Words::new(facts).bench(&["A"]);
    assert!(bench.lines.is_empty());
    bench.answer("/token", "wss://words/secret1");
    assert_eq!(bench.urls, ["wss://words/secret1"]);
    assert_eq!(bench.take_sent(), [""; 0]);
    bench.message(Line(0), "hello");
    assert_eq!(bench.take_sent(), ["sub 1 book.A trade.A"]);
    bench.lose(Line(0), Cause::Disconnected);
    assert!(bench.lines.is_empty());
    bench.wait_ms(1_100);
    bench.answer("/token", "wss://words/secret2");
    bench.message(Line(1), "hello");
    assert_eq!(bench.take_sent(), ["sub 2 book.A trade.A"]);
    assert!(bench.take_log().contains(&"Link 0 resyncing disconnected".to_owned()));
}

#[test]
fn a_pause_before_a_snapshot_is_not_owed_again_by_a_new_line() {
    let facts = Facts { waits_for_hello: true, ..rest(&[Proof::Range], false) };
    let mut bench = Words::new(facts).bench(&["A"]);
    bench.message(Line(0), "hello");
    for _ in 0..8 {
        bench.refuse("/book/A", 500);
        bench.wait_ms(30_000);
    }
    let lose = |bench: &mut Bench, away_ms: i64| {
        bench.lose(Line(0), Cause::Disconnected);
        bench.fetches.clear();
        bench.wait_ms(away_ms);
        bench.message(Line(0), "hello");
        bench.fetches.len()
    };
    // The last pause was of 30 s at most.
    assert_eq!(lose(&mut bench, 30_100), 1, "it passed while the line was away");
    assert_eq!(lose(&mut bench, 1_000), 0, "it is not over");
    bench.wait_ms(30_000);
    bench.answer("/book/A", "snap A 5 9 1");
}

#[test]
fn of_two_lines_one_brings_the_trades_that_no_id_tells_apart() {
    for (trade_ids, log) in [
        (TradeIds::None, vec!["Trade 1 1 buy 7", "Trade 1 1 buy 8", "Trade 1 1 buy 8"]),
        (TradeIds::Rising, vec!["Trade 1 1 buy 7", "Trade 1 1 buy 8"]),
    ] {
        let mut bench = Words::new(Facts { trade_ids, ..rest(&[Proof::Range], false) }).bench(&["A"]);
        bench.message(Line(0), "bye");
        bench.take_log();
        // The ids are shown, but only the second venue promises anything of them.
        for (line, text) in [(0, "trade A 7"), (1, "trade A 7"), (0, "trade A 8"), (1, "trade A 8"), (0, "trade A 8")] {
            bench.message(Line(line), text);
        }
        assert_eq!(bench.take_log(), log);
    }
}

/// A line that the venue is about to close, and the one that replaces it.
fn replaced(facts: Facts, messages: &[(u32, &str)]) -> Bench {
    let mut words = Words::new(Facts { snapshot: SnapshotFrom::Rest { weight: 1, equal: false }, ..facts });
    words.streams.push(stream("quote", &[Channel::Quote], 0));
    let mut bench = words.bench(&["A"]);
    bench.message(Line(0), "bye");
    bench.take_log();
    messages.iter().for_each(|(line, text)| bench.message(Line(*line), text));
    bench
}

fn told(bench: &Bench) -> Vec<&str> {
    let is_told = |line: &&str| line.starts_with("Trade 1") || line.starts_with("Gap") || line.starts_with("Quote 1");
    bench.log.iter().map(String::as_str).filter(is_told).collect()
}

#[test]
fn the_line_that_is_replaced_may_still_bring_what_the_new_one_began_after() {
    let messages = [(1, "trade A 8"), (0, "trade A 7"), (0, "trade A 8"), (1, "trade A 9"), (0, "trade A 9")];
    let trades = ["Trade 1 1 buy 7", "Trade 1 1 buy 8", "Trade 1 1 buy 9"];
    let counted = Facts { trade_ids: TradeIds::Counted, ..COMMON };
    assert_eq!(told(&replaced(counted.clone(), &messages)), trades);
    let rising = Facts { trade_ids: TradeIds::Rising, ..COMMON };
    assert_eq!(told(&replaced(rising, &messages)), [trades[1], trades[0], trades[2]]);
    // It never does: that is said.
    for is_lost in [false, true] {
        let mut bench = replaced(counted.clone(), &messages[..1]);
        if is_lost {
            bench.lose(Line(0), Cause::Disconnected)
        } else {
            bench.wait_ms(11_000)
        }
        bench.message(Line(1), "trade A 9");
        assert_eq!(told(&bench), ["Gap Trade Some(1)", trades[2]], "{is_lost}");
    }
}

#[test]
fn the_newest_quote_of_two_lines_is_told_when_one_is_replaced() {
    let messages = [(1, "quote A 0 10 @10"), (0, "quote A 0 10 @10"), (1, "quote A 0 11 @20"), (1, "ask A 0 12 @30")];
    for is_lost in [false, true] {
        let mut bench = replaced(COMMON, &messages);
        assert_eq!(told(&bench), ["Quote 10 1 - -"], "the old line may be ahead");
        if is_lost {
            bench.lose(Line(0), Cause::Disconnected)
        } else {
            bench.wait_ms(11_000)
        }
        assert_eq!(told(&bench), ["Quote 10 1 - -", "Quote 11 1 12 1"], "{is_lost}");
    }
    let mut bench = replaced(COMMON, &[(1, "quote A 0 10 @10"), (0, "quote A 0 11 @20")]);
    bench.wait_ms(11_000);
    assert_eq!(told(&bench), ["Quote 11 1 - -"], "no older one over a newer one");
}

#[test]
fn what_the_history_has_beyond_the_last_one_was_missed() {
    let mut bench = Words::new(Facts { trade_ids: TradeIds::Counted, ..COMMON }).bench(&["A"]);
    bench.message(Line(0), "past A 4");
    bench.message(Line(0), "past A 5");
    bench.lose(Line(0), Cause::Disconnected);
    ["past A 5", "past A 6", "past A 7", "trade A 8"].iter().for_each(|text| bench.message(Line(0), text));
    assert_eq!(told(&bench), ["Trade 1 1 buy 6", "Trade 1 1 buy 7", "Trade 1 1 buy 8"]);
}

#[test]
fn streams_and_categories_are_spread_over_addresses() {
    let mut words = Words::new(rest(&[Proof::Range], false));
    words.streams[1].endpoint = 1;
    let mut bench = words.bench(&["A"]);
    assert_eq!(bench.urls, ["wss://words/0", "wss://words/1"]);
    assert_eq!(bench.take_sent(), ["sub 1 book.A", "sub 2 trade.A"]);
    bench.take_log();
    bench.lose(Line(1), Cause::Disconnected);
    assert_eq!(bench.take_log(), ["Trade down disconnected", "Trade live none"], "the book has its own line");

    let mut words = Words::new(rest(&[Proof::Range], false));
    words.streams = [0, 1].into_iter().flat_map(|endpoint| [stream("book", &[Channel::Book], endpoint)]).collect();
    words.categories = true;
    let mut bench = words.bench(&["A", "B"]);
    assert_eq!(bench.take_sent(), ["sub 1 book.A", "sub 2 book.B"]);
    bench.take_log();
    bench.lose(Line(1), Cause::Silence);
    assert_eq!(bench.take_log(), ["Link 1 stale silence", "Link 1 resyncing silence"]);
}
