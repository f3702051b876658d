//! The real adapter against the emulated venue, without a network, for every venue of which there is a recording: the books at the end are
//! those of the recording, and those that others computed from it, whatever goes wrong on the way. Reads `../shared/data`.

use super::{Exchange, Faults};
use crate::engine::testkit::{Bench, shared};
use crate::recording::{Entry, Recording};
use crate::settings::FeedSettings;
use serde_json::Value;
use std::path::PathBuf;
use wire::decimal::plain;
use wire::event::Cause;

/// Venue and recording; its golden answer goes by the name of the only file, or by the common part of several.
const RECORDINGS: &[(&str, &[&str])] = &[
    ("okx", &["okx/cryptofeed_OKX.jsonl.zst"]),
];

struct Case {
    venue: &'static str,
    files: Vec<PathBuf>,
    golden: Value,
}

fn cases() -> Vec<Case> {
    let case = |(venue, names): &(&'static str, &[&str])| {
        let files = names.iter().map(|name| shared(name)).collect::<Option<Vec<_>>>()?;
        let golden: Value = serde_json::from_slice(&std::fs::read(shared("_golden/books_golden.json")?).unwrap()).unwrap();
        let golden = golden.as_object().unwrap().iter().find(|(key, _)| names[0].starts_with(key.as_str()))?;
        Some(Case { venue, files, golden: golden.1["symbols"].clone() })
    };
    let only = std::env::var("EMULATED").ok();
    let cases = RECORDINGS.iter().filter(|(venue, _)| only.as_ref().is_none_or(|only| only == venue));
    cases.filter_map(case).collect()
}

impl Case {
    fn bench(&self, faults: Faults) -> Bench {
        let exchange = Exchange::open(self.venue, &self.files, faults).unwrap();
        let settings = FeedSettings {
            symbols: exchange.natives().map(|native| format!("!{native}")).collect(),
            ws_url: Some("ws://x".to_owned()),
            ..exchange.script.settings.clone()
        };
        Bench::emulated(&settings, exchange)
    }

    fn entries(&self) -> Vec<Entry> {
        Recording::open(&self.files).unwrap().map(Result::unwrap).collect()
    }

    /// Plays the recording; `lost` says before which entries all connections are lost.
    fn play(&self, bench: &mut Bench, lost: impl Fn(usize) -> bool) {
        for (at, entry) in self.entries().iter().enumerate() {
            if lost(at) {
                bench.lines.clone().into_iter().for_each(|line| bench.lose(line, Cause::Disconnected));
                bench.wait_ms(2_000);
            }
            bench.now.mono += 20_000_000;
            if at % 50 == 0 {
                bench.wait_ms(100);
            }
            bench.play(entry);
        }
        bench.wait_ms(30_000);
    }

    /// The client's books are the venue's.
    fn agrees(&self, bench: &Bench, what: &str) {
        let (exchange, _) = bench.venue.as_ref().unwrap();
        let mut checked = 0;
        for (at, truth) in exchange.truths.iter().enumerate() {
            let Some(whole) = truth.whole(usize::MAX) else { continue };
            for (side, levels) in [whole.bids, whole.asks].iter().enumerate() {
                let theirs: Vec<[String; 2]> = levels
                    .iter()
                    .map(|raw| [raw.price, raw.size].map(|number| plain(number.mantissa.into(), number.exponent)))
                    .take(5)
                    .collect();
                let ours = bench.levels(at, side);
                let ours = &ours[..ours.len().min(5)];
                assert_eq!(ours, theirs, "{} {} side {side}: {what}: {:?}", self.venue, truth.native, bench.log);
            }
            checked += 1;
        }
        assert!(checked > 0, "{}: no book at all", self.venue);
    }

    /// And those that others computed.
    fn is_golden(&self, bench: &Bench) {
        let (exchange, _) = bench.venue.as_ref().unwrap();
        for (at, truth) in exchange.truths.iter().enumerate() {
            let Some(golden) = self.golden.get(&truth.recorded).filter(|golden| golden.get("final_bids").is_some()) else { continue };
            for (side, name) in ["final_bids", "final_asks"].iter().enumerate() {
                let ours: Vec<Value> = bench.levels(at, side).into_iter().take(5).map(Value::from_iter).collect();
                assert_eq!(Value::from(ours), golden[*name], "{} {} {name}", self.venue, truth.native);
            }
        }
    }
}

#[test]
fn a_client_ends_with_the_recordings_books() {
    for case in cases() {
        let mut bench = case.bench(Faults::default());
        case.play(&mut bench, |_| false);
        case.agrees(&bench, "clean");
        case.is_golden(&bench);
        let faults: Vec<_> = bench.log.iter().filter(|line| line.starts_with("fault")).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", case.venue);
    }
}

#[test]
fn who_comes_in_the_middle_gets_a_book_that_goes_on() {
    for case in cases() {
        let mut bench = case.bench(Faults::default());
        let count = case.entries().len();
        case.play(&mut bench, |at| [1, 2, 3, 4].iter().any(|part| at == count * part / 5));
        case.agrees(&bench, "connections lost");
        case.is_golden(&bench);
        let gaps: Vec<_> = bench.log.iter().filter(|line| line.contains("fault") && !line.contains("duplicate")).collect();
        assert!(gaps.is_empty(), "{}: {gaps:?}", case.venue);
    }
}
