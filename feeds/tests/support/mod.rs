//! A venue's adapter and a recording of the venue, for tests of all venues alike. In: the recordings of `../shared/data`. Out: what an
//! adapter makes of their messages, as they are or altered. Bounded: the first so many messages of a recording.
#![allow(dead_code, reason = "each test program uses a part of it")]

use feeds::adapter::{Action, Adapter, Fault, Fetch, FetchError, Line, Now, Output};
use feeds::engine::{Dialect, Listed};
use feeds::recording::{Body, Recording};
use feeds::registry;
use feeds::replay::adapter_settings;
use feeds::settings::FeedSettings;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use wire::decimal::{Decimal, plain};
use wire::event::{Cause, EventBody, FeedState, Level, Quote};

/// What a venue said, and to whom.
#[derive(Clone)]
pub struct Message {
    pub connection: u32,
    pub bytes: Vec<u8>,
}

/// The beginning of a recording.
#[derive(Clone)]
pub struct Tape {
    pub venue: &'static str,
    pub messages: Vec<Message>,
    pub settings: FeedSettings,
    /// Instruments made from its data, and whether it has a list of its own.
    made: Vec<Listed>,
    listed: bool,
    /// Addresses of the recorded connections.
    urls: HashMap<u32, String>,
    responses: Vec<(String, Vec<u8>)>,
}

/// The tapes of all registered venues of which there is a recording. Empty, said aloud, where the data is not there; in CI a failure.
pub fn tapes(limit: usize) -> Vec<Tape> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !root.exists() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", root.display());
        println!("SKIPPED: no {}", root.display());
        return Vec::new();
    }
    registry::VENUES.iter().filter_map(|venue| Tape::of(venue, &root, limit)).collect()
}

impl Tape {
    /// The recording in the folder of its name or of one of its aliases; of several the smallest. Cryptofeed's are one, in parts.
    fn of(venue: &registry::Venue, root: &Path, limit: usize) -> Option<Self> {
        let folders = std::iter::once(&venue.name).chain(venue.aliases);
        let entries = folders.filter_map(|name| std::fs::read_dir(root.join(name)).ok()).flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        files.sort();
        let is_part = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cryptofeed_"));
        let (parts, mut others): (Vec<_>, Vec<_>) = files.into_iter().partition(is_part);
        others.sort_by_key(|path| path.metadata().map_or(u64::MAX, |metadata| metadata.len()));
        let choices = std::iter::once(parts).chain(others.into_iter().map(|path| vec![path]));
        choices.filter(|files| !files.is_empty()).find_map(|files| Self::read(venue.name, &files, limit))
    }

    fn read(venue: &'static str, files: &[PathBuf], limit: usize) -> Option<Self> {
        let survey = registry::survey(venue, files).ok()?;
        let settings = adapter_settings(&FeedSettings::of_venue(venue), venue, &survey);
        let scales = survey.notes.symbols.iter();
        let scales = scales.map(|(name, symbol)| (name.clone(), (symbol.price_exponent, symbol.size_exponent))).collect();
        let made = registry::dialect(venue).unwrap().instruments(&scales);
        let (messages, urls, responses) = (Vec::new(), HashMap::new(), Vec::new());
        let mut tape = Self { venue, messages, settings, made, listed: survey.notes.has_listing, urls, responses };
        for entry in Recording::open(files).ok()? {
            match entry.unwrap().body {
                Body::Connect { line, url } => drop(tape.urls.insert(line, url)),
                Body::Received { line, bytes } if tape.messages.len() < limit => {
                    tape.messages.push(Message { connection: line, bytes });
                }
                Body::Response { url, status: 200, bytes } => tape.responses.push((url, bytes)),
                _ => {}
            }
        }
        (!tape.messages.is_empty()).then_some(tape)
    }
}

/// Best-priced last; prices and sizes at the instrument's exponents.
pub type Side = BTreeMap<i64, i64>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub exponents: (i8, i8),
    pub sides: [Side; 2],
    pub live: bool,
}

pub struct Rig<'a> {
    tape: &'a Tape,
    pub adapter: Box<dyn Adapter>,
    dialect: Box<dyn Dialect>,
    pub out: Output,
    pub now: Now,
    pub lines: Vec<(Line, String)>,
    fetches: Vec<(Fetch, String)>,
    pub books: Vec<Book>,
    pub faults: Vec<Fault>,
    /// Instrument, and the trade: id, price, size. (The instrument may have got finer exponents before the trade was told, or after.)
    pub trades: Vec<(u32, Option<i64>, String, String)>,
    /// The last of each instrument.
    pub quotes: BTreeMap<u32, Quote>,
    /// How many quotes, trades and book updates came.
    pub told: [u32; 3],
    /// Books that were not live any more.
    pub resyncs: u32,
    /// Times that something was told to be missing.
    pub gaps: u32,
}

impl<'a> Rig<'a> {
    /// Started, its instruments known, its lines open, its requests granted.
    pub fn new(tape: &'a Tape) -> Self {
        let mut adapter = registry::adapter(tape.venue, &tape.settings).unwrap();
        let dialect = registry::dialect(tape.venue).unwrap();
        adapter.replayed(tape.made.clone(), tape.listed);
        let now = Now { wall: 1_600_000_000_000_000_000, mono: 0 };
        let (out, lines, fetches) = (Output::default(), Vec::new(), Vec::new());
        let mut rig = Self {
            tape,
            adapter,
            dialect,
            out,
            now,
            lines,
            fetches,
            books: Vec::new(),
            faults: Vec::new(),
            trades: Vec::new(),
            quotes: BTreeMap::new(),
            told: [0; 3],
            resyncs: 0,
            gaps: 0,
        };
        rig.adapter.start(rig.now, &mut rig.out);
        rig.settle();
        rig
    }

    pub fn message(&mut self, message: &Message) {
        let Some(line) = self.line_for(message) else { return };
        self.now.mono += 1_000_000;
        self.now.wall += 1_000_000;
        self.adapter.on_message(self.now, line, &mut message.bytes.clone(), &mut self.out);
        self.settle();
    }

    /// The line it comes on; `None` for answers to others' requests, which carry others' numbers.
    pub fn line_for(&self, message: &Message) -> Option<Line> {
        if self.dialect.is_answer(&message.bytes) {
            return None;
        }
        let url = self.tape.urls.get(&message.connection).map_or("", String::as_str);
        let same = self.lines.iter().find(|(_, known)| path_of(known) == path_of(url)).or(self.lines.first());
        same.map(|(line, _)| *line)
    }

    /// Of a feed with several lines: the one of this leg.
    pub fn leg_for(&self, message: &Message, leg: usize) -> Option<Line> {
        let first = self.line_for(message)?;
        Some(Line(first.0 + leg as u32))
    }

    pub fn message_on(&mut self, message: &Message, leg: usize) {
        let Some(line) = self.leg_for(message, leg) else { return };
        self.now.mono += 1_000_000;
        self.now.wall += 1_000_000;
        self.adapter.on_message(self.now, line, &mut message.bytes.clone(), &mut self.out);
        self.settle();
    }

    /// All lines of this leg are lost, for good.
    pub fn lose_leg(&mut self, leg: usize, legs: usize) {
        for (line, _) in self.lines.clone().into_iter().filter(|(line, _)| line.0 as usize % legs == leg) {
            self.adapter.on_close(self.now, line, Cause::Disconnected, &mut self.out);
            self.settle();
        }
    }

    /// Every line is lost, and then opened again.
    pub fn reopen(&mut self) {
        for (line, _) in self.lines.clone() {
            self.adapter.on_close(self.now, line, Cause::Disconnected, &mut self.out);
            self.settle();
        }
        for (line, _) in self.lines.clone() {
            self.adapter.on_open(self.now, line, &mut self.out);
            self.settle();
        }
    }

    pub fn wait_s(&mut self, seconds: u32) {
        for _ in 0..seconds * 2 {
            self.now.mono += 500_000_000;
            self.now.wall += 500_000_000;
            self.adapter.on_tick(self.now, &mut self.out);
            self.settle();
        }
    }

    /// Notes what came out and does what is to be done, until nothing is left.
    pub fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut out = std::mem::take(&mut self.out);
            self.note(&mut out);
            for action in out.actions.drain(..) {
                self.act(action);
            }
            for (fetch, url) in std::mem::take(&mut self.fetches) {
                let result = self.answer(&url);
                self.adapter.on_response(self.now, fetch, result, &mut self.out);
            }
            if self.out.batch.is_empty() && self.out.actions.is_empty() && self.out.faults.is_empty() {
                out.clear();
                self.out = out;
                return;
            }
        }
        panic!("{}: the adapter never comes to rest", self.tape.venue);
    }

    /// What was recorded for this address.
    fn answer(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let key = self.dialect.address_key(url);
        let same = |(known, _): &&(String, Vec<u8>)| self.dialect.address_key(known) == key;
        let found = self.tape.responses.iter().find(same).map(|(_, body)| body.clone());
        found.ok_or(FetchError::Status { status: 404, retry_after_s: None })
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open { line, url } => {
                self.lines.push((line, url));
                self.adapter.on_open(self.now, line, &mut self.out);
            }
            Action::Send { line, text } => {
                for grant in self.dialect.grants(&text) {
                    self.adapter.on_message(self.now, line, &mut grant.into_bytes(), &mut self.out);
                }
            }
            Action::Fetch { fetch, url, .. } => self.fetches.push((fetch, url)),
            Action::Close { line } => self.lines.retain(|(known, _)| *known != line),
            Action::Reconnect { line, cause } => {
                self.adapter.on_close(self.now, line, cause, &mut self.out);
                if self.lines.iter().any(|(known, _)| *known == line) {
                    self.adapter.on_open(self.now, line, &mut self.out);
                }
            }
        }
    }

    fn note(&mut self, out: &mut Output) {
        self.faults.append(&mut out.faults);
        for event in &out.batch.events {
            if matches!(event.body, EventBody::Link { .. }) {
                continue;
            }
            let index = event.instrument as usize;
            self.books.resize_with(self.books.len().max(index + 1), Book::default);
            let book = &mut self.books[index];
            match &event.body {
                EventBody::Quote(_) => self.told[0] += 1,
                EventBody::Trade(_) => self.told[1] += 1,
                EventBody::Book { .. } => self.told[2] += 1,
                _ => {}
            }
            match &event.body {
                EventBody::Instrument(instrument) => {
                    book.exponents = (instrument.price_exponent, instrument.size_exponent);
                    book.sides = Default::default();
                }
                EventBody::State { channel: Some(wire::event::Channel::Book), state, .. } => {
                    self.resyncs += u32::from(book.live && *state != FeedState::Live);
                    book.live = *state == FeedState::Live;
                }
                EventBody::Trade(trade) => {
                    let (price, size) = book.exponents;
                    let [price, size] = [(trade.price, price), (trade.size, size)].map(|(mantissa, exponent)| {
                        let number = Decimal::new(mantissa, exponent).normalized();
                        plain(i128::from(number.mantissa), number.exponent)
                    });
                    self.trades.push((event.instrument, trade.id, price, size));
                }
                EventBody::Quote(quote) => drop(self.quotes.insert(event.instrument, *quote)),
                EventBody::Gap { .. } => self.gaps += 1,
                EventBody::Book { bids, asks, snapshot } => {
                    for (side, range) in book.sides.iter_mut().zip([bids, asks]) {
                        if *snapshot {
                            side.clear();
                        }
                        for Level { price, size } in out.batch.levels(range) {
                            if *size == 0 {
                                side.remove(price)
                            } else {
                                side.insert(*price, *size)
                            };
                        }
                    }
                }
                _ => {}
            }
        }
        out.batch.clear();
    }
}

fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |slash| &rest[slash..])
}
