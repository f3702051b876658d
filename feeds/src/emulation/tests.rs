//! The real adapter against the emulated venue, without a network, for every venue of which there is a recording: the books at the end are
//! those of the recording, and those that others computed from it, whatever goes wrong on the way. Reads `../shared/data`.

use super::{BookSaid, Exchange, Faults};
use crate::adapter::Line;
use crate::engine::testkit::{Bench, shared};
use crate::engine::{BookUpdate, Decoded, Item, ListingFrom, Operation, Part, Proof, QuoteUpdate, RawLevel, Request, Topic};
use crate::recording::{Body, Entry, Recording, Rotation, Writer};
use crate::registry;
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

/// Entries of a recording that are enough for tests that do not need all of it.
const SOME: usize = 700;

/// Digits that are noise are cut (HTX).
fn is_same(ours: &[[String; 2]], theirs: &[[String; 2]]) -> bool {
    let same = |(ours, theirs): (&[String; 2], &[String; 2])| ours[0] == theirs[0] && theirs[1].starts_with(&ours[1]);
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
}

struct Case {
    venue: &'static str,
    files: Vec<PathBuf>,
    golden: Value,
    /// Of a recording that was cut short.
    _folder: Option<tempfile::TempDir>,
}

fn cases() -> Vec<Case> {
    let case = |(venue, names): &(&'static str, &[&str])| {
        let files = names.iter().map(|name| shared(name)).collect::<Option<Vec<_>>>()?;
        let golden: Value = serde_json::from_slice(&std::fs::read(shared("_golden/books_golden.json")?).unwrap()).unwrap();
        // Nobody computed Bitfinex's.
        let golden = golden.as_object().unwrap().iter().find(|(key, _)| names[0].starts_with(key.as_str()));
        Some(Case { venue, files, golden: golden.map_or(Value::Null, |(_, golden)| golden["symbols"].clone()), _folder: None })
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

    /// The beginning of it. (Coinbase's snapshots have 46,000 levels each.)
    fn cut(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut writer =
            Writer::create(folder.path(), self.venue, Rotation { file_age_s: u64::MAX >> 40, ..Rotation::default() }).unwrap();
        let some = if self.venue == "coinbase" { SOME / 4 } else { SOME };
        Recording::open(&self.files).unwrap().take(some).for_each(|entry| writer.write(&entry.unwrap()).unwrap());
        writer.finish().unwrap();
        Self { venue: self.venue, files: writer.files().to_vec(), golden: Value::Null, _folder: Some(folder) }
    }

    fn entries(&self) -> Vec<Entry> {
        Recording::open(&self.files).unwrap().map(Result::unwrap).collect()
    }

    /// Plays the recording; `lost` says before which entries, of how many, all connections are lost.
    fn play(&self, bench: &mut Bench, lost: impl Fn(usize, usize) -> bool) {
        let entries = self.entries();
        for (at, entry) in entries.iter().enumerate() {
            if lost(at, entries.len()) {
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
            // Its last one was not told.
            if [exchange.faults.drop_diff, exchange.faults.swap_diff].contains(&Some(truth.updates)) {
                continue;
            }
            for (side, levels) in [whole.bids, whole.asks].iter().enumerate() {
                let theirs: Vec<[String; 2]> = levels
                    .iter()
                    .map(|raw| [raw.price, raw.size].map(|number| plain(number.mantissa.into(), number.exponent)))
                    .take(5)
                    .collect();
                let ours: Vec<[String; 2]> = bench.levels(at, side).into_iter().take(5).collect();
                let log = &bench.log[bench.log.len().saturating_sub(40)..];
                assert!(
                    is_same(&ours, &theirs),
                    "{} {} side {side}: {what}: {ours:?} for {theirs:?}: {log:#?}",
                    self.venue,
                    truth.native
                );
            }
            checked += 1;
        }
        assert!(checked > 0, "{}: no book at all", self.venue);
    }

    /// No update was missing. (Those that a snapshot by REST holds already are duplicates.)
    fn lost_nothing(&self, bench: &Bench) {
        let harmless = ["fault duplicate", "trade ids restart"];
        // The recording has none of theirs.
        let bookless: Vec<String> = bench
            .venue
            .as_ref()
            .unwrap()
            .0
            .truths
            .iter()
            .filter(|truth| !truth.is_known())
            .map(|truth| format!(" {}:", truth.native))
            .collect();
        let is = |line: &&String| {
            line.starts_with("fault")
                && !harmless.iter().any(|part| line.contains(part))
                && !bookless.iter().any(|native| line.contains(native))
        };
        let faults: Vec<_> = bench.log.iter().filter(is).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", self.venue);
    }

    /// And those that others computed.
    fn is_golden(&self, bench: &Bench) {
        let (exchange, _) = bench.venue.as_ref().unwrap();
        for (at, truth) in exchange.truths.iter().enumerate() {
            let Some(golden) = self.golden.get(&truth.recorded).filter(|golden| golden.get("final_bids").is_some()) else {
                continue;
            };
            for (side, name) in ["final_bids", "final_asks"].iter().enumerate() {
                let ours: Vec<[String; 2]> = bench.levels(at, side).into_iter().take(5).collect();
                let theirs: Vec<[String; 2]> = serde_json::from_value(golden[*name].clone()).unwrap();
                assert!(is_same(&ours, &theirs), "{} {} {name}: {ours:?} for {theirs:?}", self.venue, truth.native);
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
        case.play(&mut bench, |_, _| false);
        case.agrees(&bench, "clean");
        case.is_golden(&bench);
        case.lost_nothing(&bench);
    });
}

#[test]
fn who_comes_in_the_middle_gets_a_book_that_goes_on() {
    each(|case| {
        let case = &case.cut();
        let mut bench = case.bench(Faults::default());
        case.play(&mut bench, |at, all| [2, 3, 4].iter().any(|part| at == all * part / 5));
        case.agrees(&bench, "connections lost");
        case.lost_nothing(&bench);
    });
}

/// What each kind of fault leads to, where the venue lets it be seen.
#[test]
fn faults_are_seen_and_healed() {
    each(|case| {
        let case = &case.cut();
        let crc = |proofs: &[Proof]| proofs.iter().any(|proof| matches!(proof, Proof::Crc { .. }));
        for (faults, what) in [
            (Faults { duplicate_diff: Some(4), swap_diff: Some(9), drop_diff: Some(15), ..Faults::default() }, "dropped"),
            (Faults { bad_checksum: Some(4), restart_at: Some(40), ..Faults::default() }, "numbered anew"),
        ] {
            let mut bench = case.bench(faults);
            let facts = bench.venue.as_ref().unwrap().0.protocol.facts().clone();
            let proven = facts.proofs != [Proof::None];
            if what == "numbered anew" && !proven {
                continue;
            }
            case.play(&mut bench, |_, _| false);
            let seen = |kind: &str| bench.log.iter().any(|line| line.starts_with(&format!("fault {kind}")));
            let lost = seen("sequence_gap") || seen("checksum_mismatch");
            match what {
                "dropped" => assert_eq!(lost, proven, "{} {what}: {:#?}", case.venue, bench.log),
                _ => assert_eq!(seen("checksum_mismatch"), crc(facts.proofs), "{} {what}: {:#?}", case.venue, bench.log),
            }
            if !proven {
                // It stays unseen until the connection ends.
                bench.lines.clone().into_iter().for_each(|line| bench.lose(line, Cause::Disconnected));
                bench.wait_ms(20_000);
            }
            case.agrees(&bench, what);
        }
    });
}

/// What is said is what was to be said: each recorded item in the venue's words, read by the venue's decoder.
#[test]
fn words_mean_what_they_should() {
    each(|case| {
        let case = &case.cut();
        let exchange = Exchange::open(case.venue, &case.files, Faults::default()).unwrap();
        let voice = exchange.voice();
        let mut protocol = (registry::venue(case.venue).unwrap().protocol)(&exchange.script.settings);
        let mut again = (registry::venue(case.venue).unwrap().protocol)(&exchange.script.settings);
        let (mut decoded, mut heard) = (Decoded::surveying(), Decoded::surveying());
        let exact = protocol.facts().checksum_depth().is_some();
        let mut counts = [0u32; 3];
        for truth in &exchange.truths {
            decoded.know(&truth.recorded, counts[0]);
            heard.know(&truth.native, counts[0]);
            counts[0] += 1;
            // Channels that are known by number.
            for stream in protocol.streams().to_vec() {
                let topic = Topic { stream: &stream, native: &truth.native };
                let (id, line, operation) = (1, Line(0), Operation::Subscribe);
                let request = again.request(&Request { id, line, time: 0, operation, topics: &[topic] });
                for grant in again.grants(&request) {
                    again.decode(line, &mut grant.into_bytes(), &mut heard).unwrap();
                }
            }
        }
        counts = [0; 3];
        for entry in case.entries() {
            let Body::Received { line, bytes } = entry.body else { continue };
            decoded.clear();
            if protocol.decode(Line(line), &mut bytes.clone(), &mut decoded).is_err() {
                continue;
            }
            for item in &decoded.items {
                let (kind, text) = match item {
                    Item::Quote { instrument, quote } if quote.bid != Part::Same && quote.ask != Part::Same => {
                        let Some(text) = voice.quote(&exchange.truths[*instrument as usize].native, quote) else { continue };
                        (0, text)
                    }
                    Item::Trade { instrument, trade } if !trade.past => {
                        (1, voice.trade(&exchange.truths[*instrument as usize].native, trade))
                    }
                    Item::Book { instrument, book, bids, asks } => {
                        let native = exchange.truths[*instrument as usize].native.as_str();
                        let (bids, asks) = (&decoded.bids[bids.clone()], &decoded.asks[asks.clone()]);
                        (2, voice.book(&BookSaid { native, update: book, bids, asks }))
                    }
                    _ => continue,
                };
                heard.clear();
                let read = again.decode(Line(0), &mut voice.numbered(text.clone(), 7).into_bytes(), &mut heard);
                assert_eq!(read, Ok(()), "{}: {text}", case.venue);
                let said = heard.items.iter().find(|item| !matches!(item, Item::Frame(_))).unwrap_or_else(|| panic!("{text}"));
                // HTX writes `4E7`; where no checksum is made of them zeros do not count.
                let level = |raw: &RawLevel| match exact {
                    true => *raw,
                    false => RawLevel { price: raw.price.normalized(), size: raw.size.normalized() },
                };
                let levels = |decoded: &Decoded, item: &Item| match item {
                    Item::Book { bids, asks, .. } => {
                        let side = |side: &[RawLevel]| side.iter().map(level).collect::<Vec<_>>();
                        (side(&decoded.bids[bids.clone()]), side(&decoded.asks[asks.clone()]))
                    }
                    _ => Default::default(),
                };
                assert_eq!(levels(&heard, said), levels(&decoded, item), "{}: {text}", case.venue);
                assert_eq!(plainly(said), plainly(item), "{}: {text}", case.venue);
                counts[kind] += 1;
            }
        }
        assert!(counts[2] > 0, "{}: no book in the recording", case.venue);
        println!("{}: {} quotes, {} trades, {} books", case.venue, counts[0], counts[1], counts[2]);
        listings_mean_what_they_should(&exchange);
    });
}

/// Without places in buffers, and without what the voice leaves out on purpose.
fn plainly(item: &Item) -> String {
    match item {
        Item::Quote { instrument, quote } => format!("{instrument} {:?}", QuoteUpdate { time: 0, ..*quote }),
        Item::Trade { instrument, trade } => format!("{instrument} {trade:?}"),
        // A snapshot has no predecessor, and Kraken v1's no checksum.
        Item::Book { instrument, book, .. } if book.snapshot => {
            format!("{instrument} {:?}", BookUpdate { previous: None, checksum: None, ..*book })
        }
        Item::Book { instrument, book, .. } => format!("{instrument} {book:?}"),
        _ => String::new(),
    }
}

/// A list made from the data lists what the data holds.
fn listings_mean_what_they_should(exchange: &Exchange) {
    for truth in &exchange.truths {
        let wanted = &truth.listed;
        let mut protocol = (registry::venue(exchange.venue()).unwrap().protocol)(&exchange.script.settings);
        let text = exchange.voice().listing(std::slice::from_ref(wanted));
        let listed = if protocol.facts().listing == ListingFrom::Subscription {
            let mut heard = Decoded::surveying();
            protocol.decode(Line(0), &mut text.clone().into_bytes(), &mut heard).unwrap();
            heard.items.into_iter().find_map(|item| if let Item::Listed(one) = item { Some(*one) } else { None })
        } else {
            protocol.listing(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}")).into_iter().next()
        };
        let listed = listed.unwrap_or_else(|| panic!("{}: nothing listed in {text}", exchange.venue()));
        assert_eq!((&listed.native, &listed.symbol), (&wanted.native, &wanted.symbol), "{text}");
    }
}

/// A request for something that there is not, and for something that there is.
#[test]
fn what_does_not_exist_is_refused() {
    each(|case| {
        let case = &case.cut();
        let mut bench = case.bench(Faults::default());
        let (exchange, clients) = bench.venue.as_mut().unwrap();
        let (silent, heartbeats) = (case.venue.starts_with("binance"), exchange.voice().heartbeat_ms());
        let client = clients[0].1;
        let bad = Topic { stream: &exchange.protocol.streams()[0].clone(), native: "NOSUCH" };
        let request = Request { id: 77, line: Line(0), time: 0, operation: Operation::Subscribe, topics: &[bad] };
        let text = exchange.protocol.request(&request);
        let heard = exchange.hear(client, &text);
        assert!(heard.data.is_empty());
        let mut protocol = (registry::venue(case.venue).unwrap().protocol)(&exchange.script.settings);
        let mut decoded = Decoded::surveying();
        for answer in heard.answers {
            protocol.decode(Line(9), &mut answer.bytes().to_vec(), &mut decoded).unwrap();
        }
        let refused = decoded.items.iter().any(|item| matches!(item, Item::Refused(..)));
        assert_eq!(refused, !silent, "{}: {text}: {:?}", case.venue, decoded.items);
        if heartbeats.is_some() {
            let told = exchange.heartbeats(client);
            for beat in &told {
                decoded.clear();
                protocol.decode(Line(0), &mut beat.bytes().to_vec(), &mut decoded).unwrap();
            }
            assert!(!told.is_empty(), "{}: no sign of life", case.venue);
        }
        decoded.clear();
        if let Some(told) = exchange.shutdown_notice(client) {
            protocol.decode(Line(0), &mut told.bytes().to_vec(), &mut decoded).unwrap();
        }
        let announced = decoded.items.iter().any(|item| matches!(item, Item::Shutdown));
        let announces = silent || ["bitfinex", "bitstamp", "okx"].contains(&case.venue);
        assert_eq!(announced, announces, "{}: {:?}", case.venue, decoded.items);
        exchange.hear(client, r#"{"no":"sense"}"#);
        exchange.hear(client, "[");
    });
}

/// As large as the largest that were seen.
#[test]
fn a_snapshot_of_many_megabytes_is_taken() {
    for case in cases().iter().filter(|case| case.venue == "gemini").map(Case::cut) {
        let mut bench = case.bench(Faults { far_levels: 85_000, ..Faults::default() });
        let (exchange, clients) = bench.venue.as_mut().unwrap();
        let client = clients[0].1;
        let request = r#"{"type":"subscribe","subscriptions":[{"name":"l2","symbols":["BTCUSD"]}]}"#;
        let bytes: usize = exchange.hear(client, request).data.iter().map(|told| told.bytes().len()).sum();
        assert!(bytes > 4_800_000, "{bytes}");
        case.play(&mut bench, |_, _| false);
        case.agrees(&bench, "many megabytes");
        case.lost_nothing(&bench);
    }
}
