//! Every registered venue against bytes that no venue should send. In: recorded messages of `../shared/data`, mutated, and random bytes.
//! Out: no panic, sound batches, faults that are counted. A venue's recording is in the folder of its name or of one of its aliases.

#[path = "support/sbe_frames.rs"]
mod sbe_frames;

use feeds::adapter::{Action, Adapter, Fault, FaultKind, Fetch, FetchError, Line, Now, Output};
use feeds::engine::Dialect;
use feeds::recording::{Body, Recording};
use feeds::registry::{self, VENUES, Venue};
use feeds::replay::Notes;
use feeds::settings::FeedSettings;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::path::PathBuf;
use wire::event::{Cause, EventBody};

/// Of one recording: enough to have each kind of message among them.
const MAX_MESSAGES: usize = 600;
const MAX_MESSAGE_BYTES: usize = 64 << 10;
const CASES: u32 = 8;

/// What is known of a venue from its recording, or of none from a few made-up messages.
#[derive(Default)]
struct Known {
    messages: Vec<Vec<u8>>,
    /// By the dialect's key.
    answers: BTreeMap<String, Vec<u8>>,
    notes: Notes,
}

/// Small recordings first: the whole folder of the venue.
fn recordings(venue: &Venue) -> Vec<PathBuf> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    assert!(data.exists() || std::env::var_os("CI").is_none(), "{} is missing", data.display());
    let folders = std::iter::once(&venue.name).chain(venue.aliases).filter_map(|name| std::fs::read_dir(data.join(name)).ok());
    let mut files: Vec<PathBuf> = folders.flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort_by_key(|file| file.metadata().map_or(u64::MAX, |metadata| metadata.len()));
    files
}

fn known(venue: &Venue) -> Known {
    let mut known = Known::default();
    let mut dialect = registry::dialect(venue.name).unwrap();
    for file in recordings(venue) {
        let Ok(recording) = Recording::open(&[file]) else { continue };
        for entry in recording.map_while(Result::ok) {
            match entry.body {
                Body::Connect { line, url } => dialect.connected(line, &url),
                Body::Received { line, bytes } => {
                    dialect.message(line, &bytes, &mut known.notes);
                    if bytes.len() <= MAX_MESSAGE_BYTES {
                        known.messages.push(bytes);
                    }
                }
                Body::Response { url, bytes, .. } => {
                    let key = dialect.address_key(&url);
                    dialect.response(&key, &bytes, &mut known.notes);
                    known.answers.insert(key, bytes);
                }
                _ => {}
            }
            if known.messages.len() >= MAX_MESSAGES {
                break;
            }
        }
        if !known.messages.is_empty() {
            return known;
        }
    }
    println!("SKIPPED: no recording of {}; only made-up messages", venue.name);
    known
        .messages
        .push(br#"{"channel":"book","data":[{"s":"BTCUSDT","b":[["1.5","2"]],"a":[],"u":7}],"result":null,"id":1}"#.to_vec());
    if venue.name == "binance-sbe" {
        let level = |at: i64| (6_421_000 + at, at % 3);
        known.messages.extend((1..40).flat_map(|at| {
            let quote = sbe_frames::best("BTCUSDT", at, at, level(at), level(at + 1), 0);
            let trades = sbe_frames::trades("BTCUSDT", at + 9, &[(at, 6_421_000, at, at % 2 == 0)], 0);
            [quote, trades, sbe_frames::depth("BTCUSDT", at, &[at, at], &[level(at)], &[level(at + 9)], 0)]
        }));
        for message in &known.messages {
            dialect.message(0, message, &mut known.notes);
        }
        known.answers.insert(
            dialect.address_key("/api/v3/depth?symbol=BTCUSDT"),
            br#"{"lastUpdateId":5,"bids":[["64000","1"]],"asks":[["64999","1"]]}"#.to_vec(),
        );
    }
    known
}

/// A feed of the venue with all lines open and all requests granted.
struct World<'k> {
    adapter: Box<dyn Adapter>,
    dialect: Box<dyn Dialect>,
    known: &'k Known,
    lines: Vec<Line>,
    fetches: Vec<(Fetch, String)>,
    now: Now,
    out: Output,
    faults: Vec<Fault>,
    /// Quotes, trades and books.
    data: u64,
}

impl<'k> World<'k> {
    fn new(venue: &Venue, known: &'k Known) -> Self {
        let mut symbols: Vec<String> = known.notes.symbols.keys().map(|native| format!("!{native}")).collect();
        if symbols.is_empty() {
            symbols.push("!BTCUSDT".to_owned());
        }
        let settings = FeedSettings { symbols, ..FeedSettings::of_venue(venue.name) };
        let mut adapter = registry::adapter(venue.name, &settings).unwrap();
        let dialect = registry::dialect(venue.name).unwrap();
        let scale = |(native, symbol): (&String, &feeds::replay::SurveyedSymbol)| {
            (native.clone(), (symbol.price_exponent, symbol.size_exponent))
        };
        adapter.replayed(dialect.instruments(&known.notes.symbols.iter().map(scale).collect()), known.notes.has_listing);
        let now = Now { wall: 1_000_000_000_000, mono: 0 };
        let mut out = Output::default();
        adapter.start(now, &mut out);
        let mut world =
            Self { adapter, dialect, known, lines: Vec::new(), fetches: Vec::new(), now, out, faults: Vec::new(), data: 0 };
        world.settle();
        world.answer_all();
        world
    }

    /// Does what the adapter asks for until it asks for nothing more.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.look();
            let actions = std::mem::take(&mut self.out.actions);
            self.faults.append(&mut self.out.faults);
            self.out.clear();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Open { line, .. } => {
                        self.lines.push(line);
                        self.adapter.on_open(self.now, line, &mut self.out);
                    }
                    Action::Send { line, text } => {
                        for mut grant in self.dialect.grants(&text).into_iter().map(String::into_bytes) {
                            self.adapter.on_message(self.now, line, &mut grant, &mut self.out);
                        }
                    }
                    Action::Fetch { fetch, url, .. } => self.fetches.push((fetch, url)),
                    Action::Close { line } => self.lines.retain(|known| *known != line),
                    Action::Reconnect { line, cause } => {
                        self.adapter.on_close(self.now, line, cause, &mut self.out);
                        self.adapter.on_open(self.now, line, &mut self.out);
                    }
                }
            }
        }
        panic!("the adapter never comes to rest");
    }

    /// What is in the batch must be there.
    fn look(&mut self) {
        for event in &self.out.batch.events {
            self.data += u64::from(matches!(event.body, EventBody::Quote(_) | EventBody::Trade(_) | EventBody::Book { .. }));
            if let EventBody::Book { bids, asks, .. } = &event.body {
                let levels = self.out.batch.levels(bids).iter().chain(self.out.batch.levels(asks));
                assert!(levels.clone().count() <= self.out.batch.levels.len());
            }
        }
    }

    fn answer_all(&mut self) {
        for (fetch, url) in std::mem::take(&mut self.fetches) {
            let key = self.dialect.address_key(&url);
            let body = self.known.answers.get(&key).cloned();
            let refused = FetchError::Status { status: 404, retry_after_s: None };
            self.adapter.on_response(self.now, fetch, body.ok_or(refused), &mut self.out);
            self.settle();
        }
    }

    fn message(&mut self, line: u8, mut bytes: Vec<u8>) {
        let Some(line) = self.lines.get(usize::from(line) % self.lines.len().max(1)).copied() else { return };
        self.adapter.on_message(self.now, line, &mut bytes, &mut self.out);
        self.settle();
    }

    fn act(&mut self, step: &Step) {
        let messages = &self.known.messages;
        let message = |at: &prop::sample::Index| at.get(messages).clone();
        match step {
            Step::Message { line, at, harm } => self.message(*line, harm.done_to(message(at), &message(&harm.other))),
            Step::Random { line, bytes } => self.message(*line, bytes.clone()),
            Step::Answer { at, harm } => {
                if let Some((fetch, url)) = self.fetches.pop() {
                    let answer = self.known.answers.get(&self.dialect.address_key(&url)).cloned().unwrap_or_else(|| message(at));
                    let answer = answer[..answer.len().min(65_536)].to_vec();
                    self.adapter.on_response(self.now, fetch, Ok(harm.done_to(answer, &message(at))), &mut self.out);
                    self.settle();
                }
            }
            Step::AnswerAll => self.answer_all(),
            Step::Lose { line } => {
                if let Some(line) = self.lines.get(usize::from(*line) % self.lines.len().max(1)).copied() {
                    self.adapter.on_close(self.now, line, Cause::Disconnected, &mut self.out);
                    if !self.out.actions.contains(&Action::Close { line }) {
                        self.adapter.on_open(self.now, line, &mut self.out);
                    }
                    self.settle();
                }
            }
            Step::Wait { ms } => {
                self.now =
                    Now { wall: self.now.wall + i64::from(*ms) * 1_000_000, mono: self.now.mono + i64::from(*ms) * 1_000_000 };
                self.adapter.on_tick(self.now, &mut self.out);
                self.settle();
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Message { line: u8, at: prop::sample::Index, harm: Harm },
    Random { line: u8, bytes: Vec<u8> },
    Answer { at: prop::sample::Index, harm: Harm },
    AnswerAll,
    Lose { line: u8 },
    Wait { ms: u16 },
}

/// Something done to a message, or nothing.
#[derive(Clone, Debug)]
struct Harm {
    kind: u8,
    from: prop::sample::Index,
    length: usize,
    bytes: Vec<u8>,
    other: prop::sample::Index,
}

impl Harm {
    fn done_to(&self, mut message: Vec<u8>, other: &[u8]) -> Vec<u8> {
        if message.is_empty() {
            return self.bytes.clone();
        }
        let from = self.from.index(message.len());
        let to = (from + self.length).min(message.len());
        match self.kind {
            0 => message.truncate(from),
            1 => message[from] ^= self.bytes.first().copied().unwrap_or(1),
            2 => drop(message.splice(from..from, self.bytes.iter().copied())),
            3 => drop(message.drain(from..to)),
            4 => drop(message.splice(from..to, other.iter().copied().skip(from).take(self.length))),
            // Another number, or none, in the place of one.
            5 | 6 => {
                let words: [&[u8]; 10] = [
                    b"0",
                    b"-1",
                    b"18446744073709551616",
                    b"99999999999999999999.99999999999",
                    b"1e400",
                    b"null",
                    b"[]",
                    b"{}",
                    b"\"\"",
                    b"true",
                ];
                let start = message[from..].iter().position(u8::is_ascii_digit).map_or(from, |at| from + at);
                let digits = message[start..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
                let word = words[self.length % words.len()];
                message.splice(start..start + digits, word.iter().copied());
            }
            _ => {}
        }
        message
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    let bytes = prop::collection::vec(any::<u8>(), 1..12);
    (0u8..10, any::<prop::sample::Index>(), 0usize..40, bytes, any::<prop::sample::Index>())
        .prop_map(|(kind, from, length, bytes, other)| Harm { kind, from, length, bytes, other })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (any::<u8>(), any::<prop::sample::Index>(), harm()).prop_map(|(line, at, harm)| Step::Message { line, at, harm }),
        2 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(line, bytes)| Step::Random { line, bytes }),
        2 => (any::<prop::sample::Index>(), harm()).prop_map(|(at, harm)| Step::Answer { at, harm }),
        1 => Just(Step::AnswerAll),
        1 => any::<u8>().prop_map(|line| Step::Lose { line }),
        2 => (0u16..20_000).prop_map(|ms| Step::Wait { ms }),
    ]
}

#[test]
fn recorded_messages_are_taken() {
    for venue in VENUES.iter().filter(|venue| !recordings(venue).is_empty()) {
        let known = known(venue);
        let mut world = World::new(venue, &known);
        // Each on each line: categories may have lines of their own.
        for message in &known.messages {
            (0..world.lines.len() as u8).for_each(|line| world.message(line, message.clone()));
        }
        world.answer_all();
        let bad = world.faults.iter().find(|fault| fault.kind == FaultKind::BadMessage);
        assert!(world.data > 0 && bad.is_none(), "{}: {} events, {bad:?}", venue.name, world.data);
    }
}

#[test]
fn no_message_brings_an_adapter_down() {
    for venue in VENUES {
        let known = known(venue);
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..120), |steps| {
            let mut world = World::new(venue, &known);
            steps.iter().for_each(|step| world.act(step));
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", venue.name);
        }
    }
}

#[test]
fn what_is_no_message_is_a_counted_fault() {
    for venue in VENUES {
        let known = known(venue);
        let mut world = World::new(venue, &known);
        assert!(!world.lines.is_empty(), "{}", venue.name);
        for garbage in [&b""[..], b"{", b"\xff\xfe\x00", b"<html>502</html>", b"[[[[[[[[[[[[[[[[[[[[[[[[["] {
            world.faults.clear();
            world.message(0, garbage.to_vec());
            let counted = world.faults.iter().filter(|fault| fault.kind == FaultKind::BadMessage).count();
            assert!(counted == 1, "{}: {:?} after {garbage:?}", venue.name, world.faults);
        }
    }
}
