//! The adapter as a script, continued: how lines come and go, what is asked of the venue and what is refused. See `adapter_tests`.

use super::*;

#[test]
fn a_shutdown_notice_opens_the_next_line_before_the_old_one_goes() {
    let mut script = Script::live();
    script.message(0, r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#);
    script.message(0, r#"{"e":"serverShutdown","E":1}"#);
    assert_eq!(script.opened(), [1]);
    script.message(0, &diff(101, 102, ("9.00", "1")));
    script.open(1);
    script.ack(1);
    script.forget();
    // The new line is ahead: its data waits for what the old line still brings.
    script.message(1, &diff(105, 106, ("9.20", "1")));
    script.message(1, &trade(502));
    script.says(&[]);
    script.message(0, &diff(103, 104, ("9.10", "1")));
    script.message(0, &trade(501));
    script.says(&["diff [9.1x1] []", "trade 501 10.5x0.5 sell"]);
    script.pass(2_000);
    assert_eq!(script.actions, [], "the old line has not brought all yet");
    script.message(0, &diff(105, 106, ("9.20", "1")));
    script.message(0, &trade(502));
    script.message(1, &trade(502));
    script.message(1, &quote(101, "10.01"));
    script.message(0, &quote(101, "10.01"));
    script.says(&["diff [9.2x1] []", "trade 502 10.5x0.5 sell", "quote 10.01x1 11x2"]);
    script.pass(100);
    assert_eq!(script.actions, [Action::Close { line: Line(0) }]);
    script.message(0, &trade(503));
    script.says(&[]);
    script.message(1, &trade(503));
    script.message(1, &diff(107, 107, ("9.30", "1")));
    script.says(&["trade 503 10.5x0.5 sell", "diff [9.3x1] []"]);
    script.faulted(&[]);
}

#[test]
fn a_line_is_replaced_before_the_venue_drops_it() {
    let mut script = Script::live();
    script.now.mono += 23 * 3_600 * 1_000_000_000;
    script.message(0, &trade(501));
    script.pass(100);
    assert!(script.opened().is_empty());
    script.now.mono += 40 * 60 * 1_000_000_000;
    script.pass(100);
    assert_eq!(script.opened(), [1]);
    // The old one dies before the new one is open: told, and the new one takes over.
    script.forget();
    script.close(0, Cause::Disconnected);
    assert_eq!(script.events, ["link 0 down disconnected"]);
    assert_eq!(script.actions, [Action::Close { line: Line(0) }]);
    script.open(1);
    assert_eq!(script.sent(1).len(), 1);
}

#[test]
fn the_old_line_may_die_once_the_new_one_is_subscribed() {
    let mut script = Script::live();
    script.message(0, r#"{"e":"serverShutdown","E":1}"#);
    script.open(1);
    script.ack(1);
    script.close(0, Cause::Disconnected);
    script.says(&[]);
    script.message(1, &diff(101, 101, ("9.30", "1")));
    script.says(&["diff [9.3x1] []"]);
}

#[test]
fn what_neither_line_brings_does_not_hold_up_the_rest() {
    let mut script = Script::live();
    script.message(0, r#"{"e":"serverShutdown","E":1}"#);
    script.open(1);
    script.ack(1);
    script.forget();
    // The venue skips 501 and the book's 101 for everybody.
    for line in [1, 0] {
        for id in [502, 503] {
            script.message(line, &trade(id));
        }
        script.message(line, &diff(102, 102, ("9.30", "1")));
    }
    script.says(&[
        "gap Trade Some(1) sequence_gap",
        "trade 502 10.5x0.5 sell",
        "trade 503 10.5x0.5 sell",
        "book resyncing sequence_gap",
    ]);
}

#[test]
fn a_replacement_that_takes_over_half_subscribed_carries_its_half() {
    let mut script = Script::new(&settings(&["BTC-USDT", "ETH-USDT"]));
    script.answer("exchangeInfo", INFO);
    script.open(0);
    script.ack(0);
    script.message(0, r#"{"e":"serverShutdown","E":1}"#);
    script.open(1);
    // Refused together, then BTC alone is accepted.
    let id = script.sent(1)[0];
    script.message(1, &format!(r#"{{"code":2,"msg":"no","id":{id}}}"#));
    script.pass(2_100);
    let id = script.sent(1)[1];
    script.message(1, &format!(r#"{{"result":null,"id":{id}}}"#));
    script.forget();
    script.close(0, Cause::Disconnected);
    // A line of the link is open, so only some of its instruments are lost.
    let channels = ["quote", "trade", "book"].map(|channel| format!("{channel} down disconnected"));
    assert_eq!(script.events, channels, "those of ETH only");
}

#[test]
fn refused_requests_are_halved_and_repeated() {
    let mut script = Script::new(&settings(&["BTC-USDT", "ETH-USDT"]));
    script.answer("exchangeInfo", INFO);
    script.open(0);
    let ids = script.sent(0);
    script.forget();
    script.message(0, &format!(r#"{{"code":2,"msg":"Invalid request","id":{}}}"#, ids[0]));
    script.message(0, r#"{"code":3,"msg":"Invalid JSON"}"#);
    script.faulted(&[FaultKind::Refused, FaultKind::Refused]);
    script.pass(2_100);
    assert_eq!(script.sent(0).len(), 2);
    script.ack(0);
    assert!(script.asked("symbol=BTCUSDT").is_some() && script.asked("symbol=ETHUSDT").is_some());
}

#[test]
fn an_unanswered_request_ends_the_line() {
    let mut script = Script::new(&settings(&["BTC-USDT"]));
    script.answer("exchangeInfo", INFO);
    script.open(0);
    script.forget();
    script.pass(15_100);
    assert_eq!(script.actions, [Action::Reconnect { line: Line(0), cause: Cause::Silence }]);
}

#[test]
fn the_list_of_instruments_is_retried_and_refreshed() {
    let mut script = Script::new(&settings(&["BTC-USDT", "SOL-USDT"]));
    script.fail("exchangeInfo", FetchError::Timeout(10_000));
    script.faulted(&[FaultKind::Refused]);
    script.pass(1_100);
    script.answer("exchangeInfo", "{}");
    script.pass(2_100);
    script.answer("exchangeInfo", INFO);
    script.open(0);
    script.ack(0);
    let mut script = Script::live();
    script.now.mono += 16 * 60 * 1_000_000_000;
    script.pass(100);
    script.forget_events();
    script.answer("exchangeInfo", &INFO.replacen("TRADING", "BREAK", 1).replacen("0.01000000", "0.00100000", 1));
    script.says(&["trading halted", "0 is BTC-USDT 1e-3", "trading halted", "quote 10x1 11x2", "book resyncing redefinition"]);
}

#[test]
fn a_new_listing_is_taken_up() {
    let mut script = Script::new(&settings(&["BTC-USDT", "SOL-USDT"]));
    script.answer("exchangeInfo", INFO);
    script.open(0);
    script.ack(0);
    script.forget();
    script.now.mono += 16 * 60 * 1_000_000_000;
    script.pass(100);
    script.forget_events();
    script.answer("exchangeInfo", &INFO.replace("ETH", "SOL"));
    let states = ["quote", "trade", "book"].map(|channel| format!("{channel} starting startup"));
    assert_eq!(script.events[..3], ["1 on link 0", "1 is SOL-USDT 1e-1", "trading open"]);
    assert_eq!(script.events[3..], states);
    assert_eq!(script.sent(0).len(), 1);
}
