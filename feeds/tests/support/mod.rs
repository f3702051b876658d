//! A venue's adapter and a recording of the venue, for tests of all venues alike. In: the recordings of `../shared/data`. Out: what an
//! adapter makes of their messages, as they are or altered. Bounded: the first so many messages of a recording.

use feeds::adapter::{Action, Adapter, Fault, Fetch, FetchError, Line, Now, Output};
use feeds::engine::{Dialect, Listed};
use feeds::recording::{Body, Recording};
use feeds::registry;
use feeds::replay::adapter_settings;
use feeds::settings::FeedSettings;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use wire::event::{Cause, EventBody, FeedState, Level};

/// One recording of each venue.
const RECORDINGS: &[(&str, &[&str])] = &[
    ("binance", &["binance-spot/cryptofeed_BINANCE.jsonl.zst"]),
    ("binance-coinm", &["binance-coinm/cryptofeed_BINANCE_DELIVERY.jsonl.zst"]),
    ("binance-us", &["binance-us/cryptofeed_BINANCE_US.jsonl.zst"]),
    ("binance-usdm", &["binance-usdm/cryptofeed_BINANCE_FUTURES.jsonl.zst"]),
    ("bitfinex", &["bitfinex/cryptofeed_BITFINEX.jsonl.zst"]),
    ("bitflyer", &["bitflyer/cryptofeed_BITFLYER.jsonl.zst"]),
    ("bitget", &["bitget/cryptofeed_BITGET.jsonl.zst"]),
    ("bithumb", &["bithumb/cryptofeed_BITHUMB.jsonl.zst"]),
    ("bitmex", &["bitmex/cryptofeed_20210722_BITMEX.0.gz", "bitmex/cryptofeed_20210722_BITMEX.ws.1.0.gz"]),
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
    ("crypto.com", &["crypto.com/cryptofeed_CRYPTO.COM.jsonl.zst"]),
    ("deribit", &["deribit/cryptofeed_DERIBIT.jsonl.zst"]),
    ("gateio", &["gateio/cryptofeed_GATEIO.jsonl.zst"]),
    ("gemini", &["gemini/cryptofeed_GEMINI.jsonl.zst"]),
    ("htx", &["htx/cryptofeed_HUOBI.jsonl.zst"]),
    ("htx-swap", &["htx-swap/cryptofeed_HUOBI_SWAP.jsonl.zst"]),
    ("hyperliquid", &["hyperliquid/hft_btc_20250126.gz"]),
    ("kraken", &["kraken-v2/captured_raw_text_btcusd_d10_20260719T1754.json.gz"]),
    ("kraken-futures", &["kraken-futures/cryptofeed_KRAKEN_FUTURES.jsonl.zst"]),
    ("kraken-v1", &["kraken-v1/cryptofeed_KRAKEN.jsonl.zst"]),
    ("kucoin", &["kucoin/cryptofeed_KUCOIN.jsonl.zst"]),
    ("okx", &["okx/cryptofeed_OKX.jsonl.zst"]),
    ("phemex", &["phemex/cryptofeed_PHEMEX.jsonl.zst"]),
    ("poloniex", &["poloniex/cryptofeed_POLONIEX.jsonl.zst"]),
    ("upbit", &["upbit/cryptofeed_UPBIT.jsonl.zst"]),
];

/// What a venue said, and to whom.
#[derive(Clone)]
pub struct Message {
    pub connection: u32,
    pub bytes: Vec<u8>,
}

/// The beginning of a recording.
pub struct Tape {
    pub venue: &'static str,
    pub messages: Vec<Message>,
    settings: FeedSettings,
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
    let files = |venue: &str| {
        let (_, files) = RECORDINGS.iter().find(|(name, _)| *name == venue)?;
        Some(files.iter().map(|file| root.join(file)).collect())
    };
    registry::VENUES.iter().filter_map(|venue| Some(Tape::read(venue.name, files(venue.name)?, limit))).collect()
}

impl Tape {
    fn read(venue: &'static str, files: Vec<PathBuf>, limit: usize) -> Self {
        let survey = registry::survey(venue, &files).unwrap();
        let settings = adapter_settings(&FeedSettings::of_venue(venue), venue, &survey);
        let scales = survey.notes.symbols.iter();
        let scales = scales.map(|(name, symbol)| (name.clone(), (symbol.price_exponent, symbol.size_exponent))).collect();
        let made = registry::dialect(venue).unwrap().instruments(&scales);
        let (messages, urls, responses) = (Vec::new(), HashMap::new(), Vec::new());
        let mut tape = Self { venue, messages, settings, made, listed: survey.notes.has_listing, urls, responses };
        for entry in Recording::open(&files).unwrap() {
            match entry.unwrap().body {
                Body::Connect { line, url } => drop(tape.urls.insert(line, url)),
                Body::Received { line, bytes } if tape.messages.len() < limit => {
                    tape.messages.push(Message { connection: line, bytes });
                }
                Body::Response { url, status: 200, bytes } => tape.responses.push((url, bytes)),
                _ => {}
            }
        }
        assert!(!tape.messages.is_empty(), "{venue}");
        tape
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
}

impl<'a> Rig<'a> {
    /// Started, its instruments known, its lines open, its requests granted.
    pub fn new(tape: &'a Tape) -> Self {
        let mut adapter = registry::adapter(tape.venue, &tape.settings).unwrap();
        let dialect = registry::dialect(tape.venue).unwrap();
        adapter.replayed(tape.made.clone(), tape.listed);
        let now = Now { wall: 1_600_000_000_000_000_000, mono: 0 };
        let (out, lines, fetches) = (Output::default(), Vec::new(), Vec::new());
        let mut rig = Self { tape, adapter, dialect, out, now, lines, fetches, books: Vec::new(), faults: Vec::new() };
        rig.adapter.start(rig.now, &mut rig.out);
        rig.settle();
        rig
    }

    pub fn message(&mut self, message: &Message) {
        let url = self.tape.urls.get(&message.connection).map_or("", String::as_str);
        let same = self.lines.iter().find(|(_, known)| path_of(known) == path_of(url)).or(self.lines.first());
        let Some((line, _)) = same else { return };
        // Answers to others' requests carry others' numbers.
        if self.dialect.is_answer(&message.bytes) {
            return;
        }
        self.now.mono += 1_000_000;
        self.now.wall += 1_000_000;
        self.adapter.on_message(self.now, *line, &mut message.bytes.clone(), &mut self.out);
        self.settle();
    }

    /// Every line is lost and opened again.
    pub fn reopen(&mut self) {
        for (line, _) in self.lines.clone() {
            self.adapter.on_close(self.now, line, Cause::Disconnected, &mut self.out);
            self.settle();
            if self.lines.iter().any(|(known, _)| *known == line) {
                self.adapter.on_open(self.now, line, &mut self.out);
                self.settle();
            }
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

    fn settle(&mut self) {
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
                EventBody::Instrument(instrument) => {
                    book.exponents = (instrument.price_exponent, instrument.size_exponent);
                    book.sides = Default::default();
                }
                EventBody::State { channel: Some(wire::event::Channel::Book), state, .. } => {
                    book.live = *state == FeedState::Live;
                }
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
