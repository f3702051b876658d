//! OKX on the bench: the venue's own messages, and what happens when one is missing.

use crate::adapter::Line;
use crate::engine::testkit::{Bench, recorded};
use crate::settings::FeedSettings;
use wire::event::Cause;

const RECORDING: &str = "okx/cryptofeed_OKX.jsonl.zst";

fn bench() -> Bench {
    let settings = FeedSettings { symbols: vec!["BTC-USDT".to_owned()], ..FeedSettings::of_venue("okx") };
    let mut bench = Bench::start(&settings);
    bench.answer(
        "/api/v5/public/instruments?instType=SPOT",
        r#"{"code":"0","data":[{"instId":"BTC-USDT","tickSz":"0.1","lotSz":"0.00000001","state":"live"}]}"#,
    );
    bench
}

fn books(action: &str, previous: i64, id: i64, bids: &str, asks: &str) -> String {
    format!(
        r#"{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"{action}","data":[{{"asks":[{asks}],"bids":[{bids}],"ts":"1652459225464","checksum":0,"prevSeqId":{previous},"seqId":{id}}}]}}"#
    )
}

#[test]
fn the_chain_of_ids_is_followed() {
    let mut bench = bench();
    assert_eq!(
        bench.take_sent(),
        [concat!(
            r#"{"id":"1","op":"subscribe","args":[{"channel":"bbo-tbt","instId":"BTC-USDT"},"#,
            r#"{"channel":"trades","instId":"BTC-USDT"},{"channel":"books","instId":"BTC-USDT"}]}"#
        )]
    );
    bench.take_log();
    bench.message(Line(0), &books("snapshot", -1, 100, r#"["10.5","1","0","1"]"#, r#"["10.6","2","0","1"]"#));
    bench.message(Line(0), &books("update", 100, 176, r#"["10.5","0","0","0"],["10.4","3","0","1"]"#, ""));
    // Nothing changed for a minute; and a renumbering for maintenance.
    bench.message(Line(0), &books("update", 176, 176, "", ""));
    bench.message(Line(0), &books("update", 176, 3, "", r#"["10.7","1","0","1"]"#));
    bench.message(Line(0), &books("update", 3, 5, "", r#"["10.8","1","0","1"]"#));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!(bench.levels(0, 0), [["10.4", "3"]]);
    assert_eq!(bench.levels(0, 1).len(), 3);
    bench.message(Line(0), &books("update", 6, 9, "", r#"["10.9","1","0","1"]"#));
    assert_eq!(
        bench.take_log(),
        ["fault sequence_gap: BTC-USDT: some book updates missing before 9", "Book resyncing sequence_gap"]
    );
    let arg = r#"{"channel":"books","instId":"BTC-USDT"}"#;
    assert_eq!(
        bench.take_sent(),
        [
            format!(r#"{{"id":"2","op":"unsubscribe","args":[{arg}]}}"#),
            format!(r#"{{"id":"3","op":"subscribe","args":[{arg}]}}"#)
        ]
    );
    bench.message(Line(0), &books("update", 9, 11, "", r#"["10.9","1","0","1"]"#));
    assert_eq!(bench.take_log(), [""; 0], "nothing is taken before the snapshot");
    bench.message(Line(0), &books("snapshot", -1, 12, r#"["10.1","1","0","1"]"#, ""));
    assert_eq!(bench.take_log(), ["Book live none"]);
    assert_eq!((bench.levels(0, 0), bench.levels(0, 1).len()), (vec![["10.1".to_owned(), "1".to_owned()]], 0));
}

#[test]
fn without_a_snapshot_the_subscription_is_made_again() {
    let mut bench = bench();
    bench.take_sent();
    bench.wait_ms(11_000);
    assert!(bench.take_log().iter().any(|line| line == "fault snapshot_failed: BTC-USDT: subscribed, but no snapshot came"));
    bench.wait_ms(1_000);
    assert!(bench.take_sent().iter().any(|text| text.contains("\"unsubscribe\"")));
}

#[test]
fn a_notice_of_an_upgrade_brings_a_new_line_before_the_old_one_goes() {
    let mut bench = bench();
    bench.message(Line(0), &books("snapshot", -1, 100, r#"["10.5","1","0","1"]"#, ""));
    bench.take_log();
    bench.message(Line(0), r#"{"event":"notice","code":"64008","msg":"soon","connId":"a"}"#);
    assert_eq!(bench.lines, [Line(0), Line(1)]);
    bench.message(Line(0), &books("update", 100, 101, r#"["10.4","1","0","1"]"#, ""));
    bench.message(Line(1), &books("snapshot", -1, 101, r#"["10.5","1","0","1"],["10.4","1","0","1"]"#, ""));
    bench.message(Line(0), &books("update", 101, 102, r#"["10.3","1","0","1"]"#, ""));
    bench.message(Line(1), &books("update", 101, 102, r#"["10.3","1","0","1"]"#, ""));
    assert_eq!((bench.take_log().len(), bench.levels(0, 0).len()), (0, 3), "the book never stopped being live");
    bench.wait_ms(1_200);
    assert_eq!(bench.lines, [Line(1)]);
    bench.message(Line(1), &books("update", 102, 103, r#"["10.2","1","0","1"]"#, ""));
    assert_eq!((bench.take_log().len(), bench.levels(0, 0).len()), (0, 4));
}

#[test]
fn a_lost_update_is_seen_by_its_checksum() {
    let Some(messages) = recorded(RECORDING) else { return };
    let mine = |message: &&String| message.contains("\"instId\":\"BTC-USDT\"}") && message.contains("\"books\"");
    let messages: Vec<String> = messages.iter().filter(mine).cloned().collect();
    for dropped in (10..90).step_by(8) {
        let mut bench = bench();
        bench.take_log();
        for (at, message) in messages.iter().enumerate() {
            if at != dropped {
                bench.message(Line(0), message);
            }
        }
        let faults: Vec<&String> = bench.log.iter().filter(|line| line.starts_with("fault checksum_mismatch")).collect();
        assert_eq!(faults.len(), 1, "dropped {dropped}: {:?}", bench.log);
    }
}

#[test]
fn a_lost_line_is_told_once_and_made_good() {
    let mut bench = bench();
    bench.message(Line(0), &books("snapshot", -1, 100, r#"["10.5","1","0","1"]"#, ""));
    bench.take_log();
    bench.lose(Line(0), Cause::Disconnected);
    assert_eq!(bench.take_log(), ["Link 0 down disconnected", "Link 0 resyncing disconnected", "Trade live none"]);
    bench.message(Line(0), &books("snapshot", -1, 7, r#"["10.5","1","0","1"]"#, ""));
    assert_eq!(bench.take_log(), ["Book live none"]);
}
