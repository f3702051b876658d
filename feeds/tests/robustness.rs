//! Every registered venue against bytes that nobody should send: random ones, and recorded messages with something changed. Nothing may
//! panic, everything odd is counted, each event can be used, and afterwards the feed does its work again. Reads `../shared/data`.

use feeds::adapter::{Action, Adapter, FaultKind, FetchError, Line, Now, Output};
use feeds::engine::Dialect;
use feeds::recording::{Body, Recording};
use feeds::registry;
use feeds::replay::adapter_settings;
use feeds::settings::FeedSettings;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use wire::event::{Cause, EventBody, Level};

/// Recordings to take messages from; a venue that is not here gets random bytes only.
const RECORDINGS: &[(&str, &[&str])] = &[
    ("binance", &["binance-spot/cryptofeed_BINANCE.jsonl.zst"]),
    ("binance-us", &["binance-us/cryptofeed_BINANCE_US.jsonl.zst"]),
    ("bitstamp", &["bitstamp/cryptofeed_BITSTAMP.jsonl.zst"]),
    ("coinbase", &["coinbase-advanced/cryptofeed_COINBASE.first60pct.jsonl.zst"]),
    (
        "coinbase-exchange",
        &[
            "coinbase-exchange/cryptofeed_20210417_COINBASE.0.gz",
            "coinbase-exchange/cryptofeed_20210417_COINBASE.ws.28.0.first60pct.gz",
        ],
    ),
    ("gemini", &["gemini/cryptofeed_GEMINI.jsonl.zst"]),
    ("kraken", &["kraken-v2/captured_raw_text_btcusd_d10_20260719T1754.json.gz"]),
    ("kraken-futures", &["kraken-futures/cryptofeed_KRAKEN_FUTURES.jsonl.zst"]),
    ("kraken-v1", &["kraken-v1/cryptofeed_KRAKEN.jsonl.zst"]),
    ("okx", &["okx/cryptofeed_OKX.jsonl.zst"]),
];

/// Whole books of megabytes are not worth the time here.
const LONGEST: usize = 32 << 10;
const KEPT_MESSAGES: usize = 400;
/// Messages that each case begins with: the longest, which are snapshots, so that there are books to disturb.
const OPENING_BYTES: usize = 128 << 10;
const CASES: u32 = 32;

/// The files, or `None` (and a word about it) where they are not installed. CI must have them.
fn files(venue: &str) -> Option<Vec<PathBuf>> {
    let names = RECORDINGS.iter().find(|(name, _)| *name == venue).map_or(&[][..], |(_, files)| files);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let files: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
    if let Some(missing) = files.iter().find(|file| !file.exists()) {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", missing.display());
        println!("SKIPPED: no {}", missing.display());
        return None;
    }
    Some(files).filter(|files| !files.is_empty())
}

/// A feed whose lines open at once, whose requests are granted, and whose fetches the recording answers.
struct Subject {
    adapter: Box<dyn Adapter>,
    dialect: Box<dyn Dialect>,
    answers: HashMap<String, Vec<u8>>,
    messages: Vec<Vec<u8>>,
    now: Now,
    out: Output,
    lines: Vec<Line>,
    faults: BTreeMap<&'static str, u64>,
    data: u64,
}

impl Subject {
    fn start(venue: &str) -> Self {
        let dialect = registry::dialect(venue).unwrap();
        let (mut answers, mut messages) = (HashMap::new(), Vec::new());
        let mut settings = FeedSettings { symbols: vec!["!BTCUSDT".to_owned()], ..FeedSettings::of_venue(venue) };
        let mut made = dialect.instruments(&BTreeMap::from([("BTCUSDT".to_owned(), (-2, -8))]));
        let mut listed = false;
        if let Some(files) = files(venue) {
            let survey = registry::survey(venue, &files).unwrap();
            listed = survey.notes.has_listing;
            let scale = |(native, one): (&String, &feeds::replay::SurveyedSymbol)| {
                (native.clone(), (one.price_exponent, one.size_exponent))
            };
            made = dialect.instruments(&survey.notes.symbols.iter().map(scale).collect());
            settings = adapter_settings(&FeedSettings::of_venue(venue), venue, &survey);
            for entry in Recording::open(&files).unwrap() {
                match entry.unwrap().body {
                    Body::Response { url, bytes, .. } => {
                        answers.insert(dialect.address_key(&url), bytes);
                    }
                    Body::Received { bytes, .. } => messages.push(bytes),
                    _ => {}
                }
            }
        }
        let mut adapter = registry::adapter(venue, &settings).unwrap();
        adapter.replayed(made, listed);
        let (now, out) = (Now { wall: 1_700_000_000_000_000_000, mono: 0 }, Output::default());
        let (lines, faults) = (Vec::new(), BTreeMap::new());
        let mut subject = Self { adapter, dialect, answers, messages, now, out, lines, faults, data: 0 };
        subject.adapter.start(subject.now, &mut subject.out);
        subject.settle();
        subject
    }

    fn message(&mut self, bytes: &[u8]) {
        let line = self.lines.first().copied().unwrap_or(Line(0));
        self.adapter.on_message(self.now, line, &mut bytes.to_vec(), &mut self.out);
        self.settle();
    }

    fn wait(&mut self, ms: i64) {
        self.now.mono += ms * 1_000_000;
        self.now.wall += ms * 1_000_000;
        self.adapter.on_tick(self.now, &mut self.out);
        self.settle();
    }

    fn reconnect(&mut self) {
        for line in self.lines.clone() {
            self.adapter.on_close(self.now, line, Cause::Disconnected, &mut self.out);
            self.adapter.on_open(self.now, line, &mut self.out);
            self.settle();
        }
    }

    fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut out = std::mem::take(&mut self.out);
            self.note(&out);
            if out.actions.is_empty() {
                out.clear();
                self.out = out;
                return;
            }
            for action in out.actions {
                self.act(action);
            }
        }
        panic!("the adapter never comes to rest");
    }

    fn act(&mut self, action: Action) {
        let Self { adapter, dialect, answers, now, out, lines, .. } = self;
        match action {
            Action::Open { line, .. } => {
                lines.push(line);
                adapter.on_open(*now, line, out);
            }
            Action::Send { line, text } => {
                for grant in dialect.grants(&text) {
                    adapter.on_message(*now, line, &mut grant.into_bytes(), out);
                }
            }
            Action::Fetch { fetch, url, .. } => {
                let answer = answers.get(&dialect.address_key(&url)).cloned();
                adapter.on_response(*now, fetch, answer.ok_or(FetchError::Timeout(1)), out);
            }
            Action::Close { line } => lines.retain(|known| *known != line),
            Action::Reconnect { line, cause } => {
                adapter.on_close(*now, line, cause, out);
                adapter.on_open(*now, line, out);
            }
        }
    }

    /// Looks at all there is to look at, as a sink would.
    fn note(&mut self, out: &Output) {
        for fault in &out.faults {
            *self.faults.entry(FaultKind::name(fault.kind)).or_default() += 1;
        }
        for event in &out.batch.events {
            match &event.body {
                EventBody::Book { bids, asks, .. } => {
                    let good = |level: &Level| level.price > 0 && level.size >= 0;
                    assert!(out.batch.levels(bids).iter().chain(out.batch.levels(asks)).all(good), "{event:?}");
                }
                EventBody::Trade(trade) => assert!(trade.price > 0 && trade.size >= 0, "{event:?}"),
                EventBody::Quote(quote) => {
                    assert_eq!(quote.bid_price.is_some(), quote.bid_size.is_some(), "{event:?}");
                    assert_eq!(quote.ask_price.is_some(), quote.ask_size.is_some(), "{event:?}");
                }
                _ => continue,
            }
            self.data += 1;
        }
    }
}

/// The longest messages, in their order.
fn opening(all: &[Vec<u8>]) -> Vec<&Vec<u8>> {
    let mut by_length: Vec<usize> = (0..all.len()).filter(|at| all[*at].len() <= OPENING_BYTES).collect();
    by_length.sort_by_key(|at| std::cmp::Reverse(all[*at].len()));
    let mut room = OPENING_BYTES;
    by_length.retain(|at| {
        let fits = room >= all[*at].len();
        room -= if fits { all[*at].len() } else { 0 };
        fits
    });
    by_length.truncate(50);
    by_length.sort_unstable();
    by_length.into_iter().map(|at| &all[at]).collect()
}

/// What is done to a message; places are taken modulo its length.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Put(usize, Vec<u8>),
    Cut(usize),
    Leave(usize, usize),
    Splice(usize),
    Replace(Vec<u8>),
    /// Of the number nearest behind this place.
    Number(usize, &'static str),
    Wait(i64),
}

const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1e400",
    "1e-400",
    "99999999999999999999999",
    "0.00000000000000000000000001",
    "9223372036854775807",
    "18446744073709551615",
    "null",
    "\"\"",
    "\"NaN\"",
    "[]",
    "1.7976931348623157e308",
    "0.000000000001",
];

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Nothing),
        2 => (any::<usize>(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        2 => (any::<usize>(), "[\\[\\]{}\",:0-9a-z.-]{1,3}").prop_map(|(at, text)| Change::Put(at, text.into_bytes())),
        1 => any::<usize>().prop_map(Change::Cut),
        2 => (any::<usize>(), 1usize..40).prop_map(|(at, count)| Change::Leave(at, count)),
        1 => any::<usize>().prop_map(Change::Splice),
        1 => vec(any::<u8>(), 0..64).prop_map(Change::Replace),
        4 => (any::<usize>(), prop::sample::select(NUMBERS)).prop_map(|(at, number)| Change::Number(at, number)),
        1 => (1i64..12_000).prop_map(Change::Wait),
    ]
}

fn changed(mut bytes: Vec<u8>, change: &Change, other: &[u8]) -> Vec<u8> {
    let place = |at: usize| if bytes.is_empty() { 0 } else { at % bytes.len() };
    match change {
        Change::Put(at, put) => {
            let at = place(*at);
            let end = (at + put.len()).min(bytes.len());
            bytes.splice(at..end, put.iter().copied());
        }
        Change::Cut(at) => bytes.truncate(place(*at)),
        Change::Leave(at, count) => {
            let at = place(*at);
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Change::Splice(at) => {
            let at = place(*at);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[at.min(other.len())..]);
        }
        Change::Replace(with) => bytes.clone_from(with),
        Change::Number(at, number) => {
            let at = place(*at);
            let digit = |byte: &u8| byte.is_ascii_digit();
            if let Some(start) = bytes[at..].iter().position(digit).map(|start| at + start) {
                let end =
                    bytes[start..].iter().position(|byte| !digit(byte) && *byte != b'.').map_or(bytes.len(), |end| start + end);
                bytes.splice(start..end, number.bytes());
            }
        }
        Change::Nothing | Change::Wait(_) => {}
    }
    bytes
}

fn endure(venue: &str) {
    let mut subject = Subject::start(venue);
    // What is plainly no message of anybody is counted, each time.
    for garbage in [&b"{"[..], b"\xff\xfe\xfd", b"[1,", b"{\"a\":", b"nonsense"] {
        let before = subject.faults.get("bad_message").copied().unwrap_or(0);
        subject.message(garbage);
        assert_eq!(subject.faults.get("bad_message"), Some(&(before + 1)), "{venue}: {garbage:?}");
    }
    let all = std::mem::take(&mut subject.messages);
    let step = (all.len() / KEPT_MESSAGES).max(1);
    let kept: Vec<&Vec<u8>> = all.iter().filter(|message| message.len() <= LONGEST).step_by(step).collect();
    let opening = opening(&all);
    let subject = RefCell::new(subject);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let steps = vec((any::<usize>(), change()), 1..40);
    let result = TestRunner::new(config).run(&steps, |steps| {
        let mut subject = subject.borrow_mut();
        subject.reconnect();
        opening.iter().for_each(|message| subject.message(message));
        for (which, change) in &steps {
            let (message, other) = match kept.len() {
                0 => (Vec::new(), &[][..]),
                count => (kept[which % count].clone(), kept[(which / count) % count].as_slice()),
            };
            match change {
                Change::Wait(ms) => subject.wait(*ms),
                _ => subject.message(&changed(message, change, other)),
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{venue}: {error}"));
    let mut subject = subject.into_inner();
    let storm = (subject.data, subject.faults.clone());
    subject.wait(60_000);
    subject.reconnect();
    // Snapshots that failed in the storm are asked for again after a pause.
    subject.wait(60_000);
    all.iter().for_each(|message| subject.message(message));
    println!("{venue}: {} events in the storm, {} after it; {:?}", storm.0, subject.data - storm.0, storm.1);
    assert!(all.is_empty() || subject.data > storm.0, "{venue} does not work any more");
}

/// One test for each half of the table, so that they run side by side.
#[test]
fn odd_bytes_do_no_harm_to_every_second_venue() {
    registry::VENUES.iter().step_by(2).for_each(|venue| endure(venue.name));
}

#[test]
fn odd_bytes_do_no_harm_to_the_other_venues() {
    registry::VENUES.iter().skip(1).step_by(2).for_each(|venue| endure(venue.name));
}
