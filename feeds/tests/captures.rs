//! Captures of IEX that others recorded, against what others counted in them. In: files under `../shared/data/iex`. Out: nothing but
//! failures. Bounded by one datagram; without the files the tests say SKIPPED, which counts as a failure in CI.

use feeds::adapter::{FaultKind, Output};
use feeds::files::{IexTape, Tape};
use feeds::settings::FeedSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use wire::event::{Cause, Channel, EventBody, FeedState, Flags, TradingState};

fn captured(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/iex").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    println!("SKIPPED: {} is missing", path.display());
    None
}

/// What one pass over captures brings.
#[derive(Default)]
struct Seen {
    counts: BTreeMap<String, u64>,
    faults: BTreeMap<&'static str, u64>,
    instruments: BTreeMap<u32, String>,
    books: BTreeMap<u32, u64>,
    doubtful: u64,
    snapshots: u64,
    trades: u64,
    traded: BTreeMap<u32, u64>,
    shares: i64,
    quotes: u64,
    trade_gaps: u64,
    breaks: u64,
    live_books: BTreeSet<u32>,
    trading: BTreeMap<&'static str, u64>,
    remarks: Vec<String>,
    bytes: u64,
}

impl Seen {
    fn of(files: &[PathBuf], settings: &FeedSettings) -> Self {
        let mut tape = IexTape::open(files, settings).unwrap().unwrap();
        let mut out = Output::default();
        let mut seen = Self::default();
        while let Some(step) = tape.next(&mut out).unwrap() {
            assert!(step.time > 0);
            seen.bytes += step.bytes as u64;
            seen.take(&out);
            out.clear();
        }
        seen.counts = tape.counts().into_iter().collect();
        seen.remarks = tape.remarks();
        seen
    }

    fn take(&mut self, out: &Output) {
        for fault in &out.faults {
            *self.faults.entry(FaultKind::name(fault.kind)).or_default() += 1;
        }
        for event in &out.batch.events {
            let index = event.instrument;
            match &event.body {
                EventBody::Instrument(instrument) => {
                    assert_eq!(index as usize, self.instruments.len(), "instruments are numbered densely");
                    assert_eq!((instrument.price_exponent, instrument.size_exponent), (-4, 0));
                    self.instruments.insert(index, instrument.symbol.clone());
                }
                EventBody::Book { snapshot: true, .. } => self.snapshots += 1,
                EventBody::Book { bids, asks, .. } => {
                    assert!(out.batch.levels(bids).iter().chain(out.batch.levels(asks)).all(|level| level.price > 0));
                    assert!(event.event_time > 0 && event.flags.has(Flags::LAST));
                    *self.books.entry(index).or_default() += 1;
                    self.doubtful += u64::from(event.flags.has(Flags::MAYBE_BAD_BOOK));
                }
                EventBody::Trade(trade) => {
                    assert!(trade.price > 0 && trade.size > 0 && trade.id.is_some());
                    self.trades += 1;
                    *self.traded.entry(index).or_default() += 1;
                    self.shares += trade.size;
                }
                EventBody::Quote(_) => self.quotes += 1,
                EventBody::Gap { channel: Channel::Trade, missing: Some(0), cause: Cause::BadData } => self.breaks += 1,
                EventBody::Gap { channel: Channel::Trade, .. } => self.trade_gaps += 1,
                EventBody::Trading(state) => *self.trading.entry(TradingState::name(*state)).or_default() += 1,
                EventBody::State { channel: Some(Channel::Book), state, .. } => {
                    if *state == FeedState::Live {
                        self.live_books.insert(index);
                    } else {
                        self.live_books.remove(&index);
                    }
                }
                _ => {}
            }
        }
    }

    fn has(&self, expected: &[(&str, u64)]) {
        for (name, count) in expected {
            assert_eq!(self.counts.get(*name).copied().unwrap_or(0), *count, "{name}: {:?}", self.counts);
        }
    }
}

#[test]
fn deep_of_2017_adds_up() {
    let Some(file) = captured("DEEP10.pcap.gz") else { return };
    let seen = Seen::of(&[file], &FeedSettings::of_venue("iex"));
    seen.has(&[
        ("messages H", 93_638),
        ("messages O", 93_638),
        ("messages P", 93_636),
        ("messages T", 83_343),
        ("messages 5", 14_630),
        ("messages 8", 12_949),
        ("messages B", 73),
        ("messages E", 59),
        ("messages S", 44),
        ("packets", 121_315),
        ("segments of DEEP 1.0", 121_315),
        ("segments in sequence", 121_303),
        // Each time the numbers run back to 1 and what follows was sent later: the sender began anew within its session.
        ("restarts", 11),
        ("gaps", 0),
        ("segments cut short", 1),
        ("messages too short", 0),
        ("messages of unknown type", 0),
    ]);
    assert_eq!(seen.books.len(), 20);
    assert_eq!((seen.trades, seen.breaks), (83_343, 73));
    assert!(seen.trade_gaps > 0, "a restart ends the tape of each symbol that was traded");
    // An update that is not the last of its event waits for the one that is.
    assert_eq!(seen.books.values().sum::<u64>(), 14_060 + 12_366);
    // The stream began with its first message each time, so no book is in doubt until the cut end.
    assert_eq!(seen.doubtful, 0);
    assert_eq!(seen.live_books.len(), 0);
    assert!(seen.remarks.iter().any(|remark| remark.contains("books miss updates")), "{:?}", seen.remarks);
    assert_eq!(seen.faults.get("bad_message"), Some(&1));
    assert_eq!((seen.instruments.len(), seen.shares), (7_802, 19_782_510));
    // At the end of each of the two sessions all that was open is closed.
    assert_eq!((seen.trading["open"], seen.trading["halted"], seen.trading["closed"]), (15_600, 14, 15_604));
}

#[test]
fn tops_of_2017_adds_up() {
    let Some(file) = captured("TOPS16.pcapng.gz") else { return };
    let seen = Seen::of(&[file], &FeedSettings::of_venue("iex"));
    seen.has(&[
        ("messages Q", 27_217),
        ("messages H", 7_803),
        ("messages P", 7_802),
        ("messages O", 7_801),
        ("messages T", 6_390),
        ("messages A", 642),
        ("messages D", 10),
        ("messages S", 6),
        ("messages B", 3),
        ("packets", 13_022),
        ("segments of TOPS 1.6", 13_022),
        ("segments in sequence", 13_021),
        ("restarts", 0),
        ("gaps", 0),
        ("segments cut short", 0),
        ("messages too short", 0),
        ("messages of unknown type", 0),
    ]);
    assert_eq!((seen.quotes, seen.trades, seen.breaks, seen.trade_gaps), (27_217, 6_390, 3, 0));
    assert!(seen.faults.is_empty() && seen.remarks.is_empty(), "{:?} {:?}", seen.faults, seen.remarks);
    assert_eq!((seen.instruments.len(), seen.shares), (7_799, 1_427_907));
    assert_eq!((seen.trading["open"], seen.trading["halted"], seen.trading["closed"]), (7_801, 4, 7_799));
}

/// Single packets of another collection: DEEP, and DEEP+, which is counted and not read.
#[test]
fn the_other_collection_adds_up() {
    let Some(folder) = captured("omi") else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 17);
    let mut sum: BTreeMap<String, u64> = BTreeMap::new();
    let mut books = 0;
    for file in files {
        let seen = Seen::of(&[file], &FeedSettings::of_venue("iex"));
        seen.counts.iter().for_each(|(name, count)| *sum.entry(name.clone()).or_default() += count);
        books += seen.books.values().sum::<u64>();
        // All of these begin in the middle of a session.
        assert_eq!(seen.doubtful, seen.books.values().sum::<u64>());
        assert!(seen.live_books.is_empty());
    }
    let types = [
        ("P", 202),
        ("O", 202),
        ("H", 194),
        ("I", 192),
        ("E", 70),
        ("S", 10),
        ("T", 8),
        ("L", 6),
        ("B", 2),
        ("D", 2),
        ("M", 2),
        ("R", 2),
    ];
    for (kind, count) in types {
        assert_eq!(sum[&format!("messages {kind}")], count, "{kind}");
    }
    let segments = [("packets", 29), ("segments of DEEP 1.0", 3), ("segments of DEEP+", 26), ("segments cut short", 0)];
    for (name, count) in segments {
        assert_eq!(sum[name], count, "{name}");
    }
    assert_eq!(books, 2);
}

#[test]
fn named_symbols_and_channels_keep_their_say() {
    let Some(file) = captured("TOPS16.pcapng.gz") else { return };
    let all = Seen::of(std::slice::from_ref(&file), &FeedSettings::of_venue("iex"));
    let (index, trades) = all.traded.iter().next().unwrap();
    let symbol = &all.instruments[index];
    let symbols = vec!["!0NOSUCH".to_owned(), symbol.clone()];
    let settings = FeedSettings { symbols, channels: vec![feeds::settings::ChannelName::Trade], ..FeedSettings::of_venue("iex") };
    let some = Seen::of(&[file], &settings);
    assert_eq!(some.instruments.values().collect::<Vec<_>>(), ["0NOSUCH", symbol]);
    assert_eq!((some.trades, some.quotes, some.bytes), (*trades, 0, all.bytes));
}
