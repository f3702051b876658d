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
    ("binance", &["binance-spot/cryptofeed_BINANCE.jsonl.zst"]),
    ("binance-coinm", &["binance-coinm/cryptofeed_BINANCE_DELIVERY.jsonl.zst"]),
    ("binance-us", &["binance-us/cryptofeed_BINANCE_US.jsonl.zst"]),
    ("binance-usdm", &["binance-usdm/cryptofeed_BINANCE_FUTURES.jsonl.zst"]),
    ("bitfinex", &["bitfinex/cryptofeed_BITFINEX.jsonl.zst"]),
    ("bitget", &["bitget/cryptofeed_BITGET.jsonl.zst"]),
    ("bitstamp", &["bitstamp/cryptofeed_BITSTAMP.jsonl.zst"]),
    ("bybit", &["bybit/cryptofeed_BYBIT.jsonl.zst"]),
    ("coinbase", &["coinbase-advanced/cryptofeed_COINBASE.first60pct.jsonl.zst"]),
    (
        "coinbase-exchange",
        &[
            "coinbase-exchange/cryptofeed_20210417_COINBASE.0.gz",
            "coinbase-exchange/cryptofeed_20210417_COINBASE.ws.28.0.first60pct.gz",
        ],
    ),
    ("deribit", &["deribit/cryptofeed_DERIBIT.jsonl.zst"]),
    ("gate", &["gateio/cryptofeed_GATEIO.jsonl.zst"]),
    ("gemini", &["gemini/cryptofeed_GEMINI.jsonl.zst"]),
    ("htx", &["htx/cryptofeed_HUOBI.jsonl.zst"]),
    ("htx-swap", &["htx-swap/cryptofeed_HUOBI_SWAP.jsonl.zst"]),
    ("kraken", &["kraken-v2/captured_raw_text_btcusd_d10_20260719T1754.json.gz"]),
    ("kraken-futures", &["kraken-futures/cryptofeed_KRAKEN_FUTURES.jsonl.zst"]),
    ("kraken-v1", &["kraken-v1/cryptofeed_KRAKEN.jsonl.zst"]),
    ("kucoin", &["kucoin/cryptofeed_KUCOIN.jsonl.zst"]),
    ("okx", &["okx/cryptofeed_OKX.jsonl.zst"]),
];

/// Enough of a recording for tests that do not need all of it.
const SOME: usize = 700;

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

    /// Plays the recording up to so many entries; `lost` says before which all connections are lost.
    fn play(&self, bench: &mut Bench, limit: usize, lost: impl Fn(usize) -> bool) {
        for (at, entry) in self.entries().iter().take(limit).enumerate() {
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
                let ours: Vec<[String; 2]> = bench.levels(at, side).into_iter().take(5).collect();
                // Digits that are noise are cut (HTX).
                let same = |(ours, theirs): (&[String; 2], &[String; 2])| ours[0] == theirs[0] && theirs[1].starts_with(&ours[1]);
                let equal = ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same);
                let log = &bench.log[bench.log.len().saturating_sub(40)..];
                assert!(equal, "{} {} side {side}: {what}: {ours:?} for {theirs:?}: {log:#?}", self.venue, truth.native);
            }
            checked += 1;
        }
        assert!(checked > 0, "{}: no book at all", self.venue);
    }

    /// No update was missing. (Those that a snapshot by REST holds already are duplicates.)
    fn lost_nothing(&self, bench: &Bench) {
        let harmless = ["fault duplicate", "trade ids restart"];
        let is = |line: &&String| line.starts_with("fault") && !harmless.iter().any(|part| line.contains(part));
        let faults: Vec<_> = bench.log.iter().filter(is).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", self.venue);
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

/// Each case, so that one that fails does not hide the next.
fn each(check: impl Fn(&Case)) {
    let failed: Vec<_> = cases()
        .iter()
        .filter(|case| {
            let started = std::time::Instant::now();
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case))).is_err();
            println!("{}: {:?}", case.venue, started.elapsed());
            failed
        })
        .map(|case| case.venue)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_client_ends_with_the_recordings_books() {
    each(|case| {
        let mut bench = case.bench(Faults::default());
        case.play(&mut bench, usize::MAX, |_| false);
        case.agrees(&bench, "clean");
        case.is_golden(&bench);
        case.lost_nothing(&bench);
    });
}

#[test]
fn who_comes_in_the_middle_gets_a_book_that_goes_on() {
    each(|case| {
        let mut bench = case.bench(Faults::default());
        case.play(&mut bench, SOME, |at| [1, 2, 4].iter().any(|part| at == SOME * part / 5));
        case.agrees(&bench, "connections lost");
        case.lost_nothing(&bench);
    });
}

/// What each kind of fault must lead to, where the venue lets it be seen.
#[test]
fn faults_are_seen_and_healed() {
    each(|case| {
        for (faults, what) in [
            (Faults { drop_diff_every: Some(9), ..Faults::default() }, "dropped"),
            (Faults { duplicate_diff: Some(4), ..Faults::default() }, "duplicated"),
            (Faults { swap_diff: Some(5), ..Faults::default() }, "swapped"),
            (Faults { bad_checksum: Some(4), ..Faults::default() }, "checksum"),
            (Faults { restart_at: Some(20), ..Faults::default() }, "restarted"),
        ] {
            let mut bench = case.bench(faults);
            case.play(&mut bench, SOME, |_| false);
            let (proofs, scope) = {
                let (exchange, _) = bench.venue.as_ref().unwrap();
                let facts = exchange.protocol.facts();
                (facts.proofs, facts.scope)
            };
            println!("{} {what}: {:?} {scope:?}", case.venue, proofs);
            let mut kinds: Vec<&str> = bench.log.iter().filter_map(|line| line.strip_prefix("fault ")?.split(':').next()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            println!("   {kinds:?}");
            // Where nothing proves a loss, a lost update stays unseen: then the end of the connection heals it.
            bench.lines.clone().into_iter().for_each(|line| bench.lose(line, Cause::Disconnected));
            bench.wait_ms(20_000);
            case.agrees(&bench, what);
        }
    });
}
