//! Lines for people and for scripts, from frames as a server would send them.

use super::{human, json};
use client::Tracker;
use client::wire::request::Encoding;

const META: &str = r#"{"topic":"book/sim:A/10","id":1,"kind":"meta","topic_kind":"book","epoch":3,"price_exponent":-2,"size_exponent":-5,"tick":"0.01","lot":"0.00001","base":"1","clock":"event","time_exponent":-6}"#;

/// The lines of a frame that follows a book's meta.
fn lines(records: &str) -> Vec<[String; 2]> {
    let frame = format!(r#"{{"frame":1,"sent":"1723161600000000000","data":[{META},{records}]}}"#);
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
