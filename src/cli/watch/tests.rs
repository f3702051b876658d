//! Lines for people and for scripts, from frames as a server would send them.

use super::totals::Totals;
use super::{Args, human, json, subscription};
use clap::Parser;
use client::Tracker;
use client::wire::request::Encoding;

const META: &str = r#"{"topic":"book/sim:A/10","id":1,"kind":"meta","topic_kind":"book","epoch":3,"price_exponent":-2,"size_exponent":-5,"tick":"0.01","lot":"0.00001","base":"1","clock":"event","time_exponent":-6}"#;

/// The lines of a frame that follows a book's meta.
fn lines(records: &str) -> Vec<[String; 2]> {
    lines_after(META, records)
}

fn lines_after(meta: &str, records: &str) -> Vec<[String; 2]> {
    let frame = format!(r#"{{"frame":1,"sent":"1723161600000000000","data":[{meta},{records}]}}"#);
    let mut tracker = Tracker::new(Encoding::Json);
    let mut lines = Vec::new();
    let taken = tracker.on_frame(frame.as_bytes(), 1_723_161_600_000_000_000, |update| {
        let mut pair = [String::new(), String::new()];
        human::line(&mut pair[0], update);
        json::line(&mut pair[1], update);
        lines.push(pair);
    });
    taken.expect("a good frame");
    lines.split_off(1)
}

#[test]
fn a_book_shows_the_view_after_each_record() {
    let head = r#"{"topic":"book/sim:A/10","id":1"#;
    let lines = lines(&format!(
        r#"{head},"kind":"state","feed":"live","trading":"open","cause":"none","since":"1723161599000000000"}},
        {head},"kind":"book","seq":7,"snapshot":true,"time":"1723161600000000000","bids":[["10.5","2"],["10","1"]],"asks":[["11","3"]]}},
        {head},"kind":"book","adv":3,"conflated":true,"time":"1723161600250000000","bids":[["10.5","0"]]}},
        {head},"kind":"gap","adv":1,"time":"1723161600250000000","cause":"overrun","missing":4}},
        {head},"kind":"check","hash":1}}"#
    ));
    let [human, json]: [Vec<_>; 2] = [0, 1].map(|at| lines.iter().map(|pair| pair[at].as_str()).collect());
    assert_eq!(human[0], "-- book/sim:A/10 feed live (none), trading open, since 23:59:59.000000");
    assert_eq!(human[2], "00:00:00.250000 book/sim:A/10                1@10  |  3@11   1+1 levels");
    assert_eq!(human[3], "!! book/sim:A/10: 4 updates are missing (overrun)");
    assert!(human[4].starts_with("!! book/sim:A/10: check failed"), "{}", human[4]);
    assert_eq!(
        json[2],
        r#"{"topic":"book/sim:A/10","kind":"book","seq":10,"time":"1723161600250000000","state":"live","merged":2,"bids":[["10","1"]],"asks":[["11","3"]],"levels":[1,1]}"#
    );
    assert!(json[4].contains(r#""kind":"check","seq":11,"state":"live","ok":false,"error":"check failed"#), "{}", json[4]);
    assert!(json.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

/// The lines of frames about one topic, whose first record is its meta.
fn lines_of(topic: &str, kind: &str, records: &str) -> Vec<[String; 2]> {
    let meta = META.replace("book/sim:A/10", topic).replace(r#""topic_kind":"book""#, &format!(r#""topic_kind":"{kind}""#));
    lines_after(&meta, records)
}

#[test]
fn bars_show_one_line_each() {
    let lines = lines_of(
        "bar/sim:A/1m",
        "bar",
        r#"{"topic":"bar/sim:A/1m","id":1,"kind":"bar","seq":9,"snapshot":true,"time":"1723161661000000000","bars":[
        {"start":"1723161600000000000","closed":true,"incomplete":true,"open":"10","high":"12.5","low":"9","close":"11","count":3,"volume":"7","notional":"73"},
        {"start":"1723161660000000000","open":"11","high":"11","low":"11","close":"11","count":1,"volume":"1","notional":"11"}]}"#,
    );
    assert_eq!(
        lines[0][0],
        "00:01:01.000000 bar/sim:A/1m                 [00:00:00] 10 12.5 9 11  volume 7, 3 trades, closed, incomplete\n                bar/sim:A/1m                 [00:01:00] 11 11 11 11  volume 1, 1 trades"
    );
    assert_eq!(
        lines[0][1],
        r#"{"topic":"bar/sim:A/1m","kind":"bar","seq":9,"time":"1723161661000000000","snapshot":true,"bars":[{"start":"1723161600000000000","closed":true,"incomplete":true,"open":"10","high":"12.5","low":"9","close":"11","count":3,"volume":"7","notional":"73"},{"start":"1723161660000000000","closed":false,"incomplete":false,"open":"11","high":"11","low":"11","close":"11","count":1,"volume":"1","notional":"11"}]}"#
    );
}

#[test]
fn stats_show_the_value_after_each_record() {
    let head = r#"{"topic":"stats/sim:A","id":1,"kind":"stats""#;
    let lines = lines_of(
        "stats/sim:A",
        "stats",
        &format!(
            r#"{head},"seq":1,"snapshot":true,"time":"0","last":"5","open":"4","high":"6","low":null,"volume":"7","notional":"35","count":2,"gaps":0,"from":"1"}},
            {head},"adv":1,"time":"1723161600000000000","last":"5.5","gaps":1}}"#
        ),
    );
    assert_eq!(
        lines[1][0],
        "00:00:00.000000 stats/sim:A                  last 5.5, 24 h: open 4, high 6, low -, volume 7, 2 trades, 1 gaps"
    );
    assert_eq!(
        lines[1][1],
        r#"{"topic":"stats/sim:A","kind":"stats","seq":2,"time":"1723161600000000000","last":"5.5","open":"4","high":"6","low":null,"volume":"7","notional":"35","count":2,"gaps":1,"from":"1"}"#
    );
}

/// One by one or in summaries, before and after an instrument became finer: the sums are the same, to the last digit.
#[test]
fn totals_of_trades_do_not_depend_on_how_they_are_told() {
    let head = r#"{"topic":"trade/sim:A","id":1"#;
    let meta = |price: i8| {
        let meta = META.replace("book/sim:A/10", "trade/sim:A").replace(r#""topic_kind":"book""#, r#""topic_kind":"trade""#);
        meta.replace(r#""price_exponent":-2"#, &format!(r#""price_exponent":{price}"#)).replace("\"0.01\"", "\"1\"")
    };
    let totals = |records: &[String]| {
        let frame = format!(r#"{{"frame":1,"sent":"1723161600000000000","data":[{}]}}"#, records.join(","));
        let (mut tracker, mut totals) = (Tracker::new(Encoding::Json), Totals::default());
        tracker.on_frame(frame.as_bytes(), 0, |update| totals.update(update)).expect("a good frame");
        serde_json::to_value(totals.report()).unwrap()
    };
    let trade = |price: &str, size: &str, how: &str| {
        format!(r#"{head},"kind":"trade",{how},"time":"1","price":"{price}","size":"{size}","aggressor":"buy","trade_id":null}}"#)
    };
    let tape = format!(r#"{head},"kind":"tape","seq":0,"snapshot":true,"time":"1"}}"#);
    let each = totals(&[
        meta(-2),
        trade("99", "7", r#""seq":4,"snapshot":true"#),
        trade("10.5", "0.00001", r#""adv":1"#),
        trade("9.25", "2", r#""adv":1"#),
        format!(r#"{head},"kind":"gap","adv":1,"time":"1","cause":"overrun","missing":3}}"#),
        meta(-4),
        tape.clone(),
        trade("12.0001", "1", r#""adv":1"#),
    ]);
    assert_eq!(
        each,
        serde_json::json!({"trade/sim:A": {"count": 3, "volume": "3.00001", "notional": "30.500205", "high": "12.0001", "low": "9.25", "missing": 3}})
    );
    let summary = format!(
        r#"{head},"kind":"summary","adv":3,"conflated":true,"time":"1","last":"12.0001","high":"12.0001","low":"9.25","count":3,"volume":"3.00001","notional":"30.500205"}}"#
    );
    let mut expected = each;
    expected["trade/sim:A"]["missing"] = 0.into();
    assert_eq!(totals(&[meta(-4), tape, summary]), expected);
}

#[test]
fn what_would_wait_for_ever_is_refused_with_a_hint() {
    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }
    let ask = |options: &str| {
        let words = format!("watch trade/sim:A {options}");
        let command = Command::try_parse_from(words.split_whitespace()).map_err(|error| error.to_string())?;
        subscription(&command.args).map_err(|error| error.to_string())
    };
    assert!(ask("--pace credit").unwrap_err().contains("--fps 10"));
    assert!(ask("--fps 10").unwrap_err().contains("--pace credit"));
    assert!(ask("--focus bright").unwrap_err().contains("'background'"));
    assert!(ask("--max-age old").unwrap_err().contains("500ms"));
    assert!(ask("--since x").unwrap_err().contains("such as 50"));
    let asked = ask("--pace credit --fps 10 --since 50 --max-age 2s --trade-safe --focus focused").unwrap();
    assert_eq!((asked.pace.to_string(), asked.max_age.to_string(), asked.trade_safe), ("credit".into(), "2s".into(), true));
    assert_eq!((asked.since.unwrap().0, asked.snapshot), (50, true));
    assert!(!ask("--no-snapshot").unwrap().snapshot);
}
