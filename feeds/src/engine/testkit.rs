//! A venue's adapter on a bench, for tests of any venue. In: messages, answers, time. Out: what was sent, the books, a readable log of
//! the events. Lines open at once; requests are granted in the venue's own words unless a test wants otherwise.

use crate::adapter::{Action, Adapter, FaultKind, Fetch, FetchError, Line, Now, Output, Race};
use crate::emulation::{ClientId, Exchange, Told};
use crate::engine::Dialect;
use crate::recording::{Body, Recording};
use crate::registry;
use crate::settings::FeedSettings;
use std::collections::BTreeMap;
use std::path::PathBuf;
use wire::decimal::plain;
use wire::event::{Cause, EventBody, Level};

pub struct Bench {
    pub adapter: Box<dyn Adapter>,
    pub now: Now,
    /// Lines in the order in which they were opened; closed ones are taken out.
    pub lines: Vec<Line>,
    /// Their addresses, of all that ever were.
    pub urls: Vec<String>,
    pub sent: Vec<(Line, String)>,
    pub fetches: Vec<(Fetch, String)>,
    /// `Quote 1.5 2 1.6 3`, `Trade 1.5 2 buy 7`, `Gap Trade 3`, `Book live`, `Link 0 down`, `fault kind: detail`.
    pub log: Vec<String>,
    /// By instrument: bids and asks by price.
    pub books: Vec<[BTreeMap<i64, i64>; 2]>,
    pub exponents: Vec<(i8, i8)>,
    /// What was told of several lines.
    pub races: Vec<Race>,
    /// Answer requests with a yes.
    pub grant: bool,
    /// Answers in place of the dialect: the whole venue, and which of its clients a line is.
    pub venue: Option<(Exchange, Vec<(Line, ClientId)>)>,
    dialect: Box<dyn Dialect>,
    out: Output,
}

impl Bench {
    /// Started, and nothing answered yet.
    pub fn start(settings: &FeedSettings) -> Self {
        let adapter = registry::adapter(&settings.venue, settings).unwrap();
        Self::of(adapter, registry::dialect(&settings.venue).unwrap())
    }

    /// The same for a protocol that is not registered.
    pub fn of(adapter: Box<dyn Adapter>, dialect: Box<dyn Dialect>) -> Self {
        Self::at(adapter, dialect, None)
    }

    /// Connected to an emulated venue.
    pub fn emulated(settings: &FeedSettings, exchange: Exchange) -> Self {
        let adapter = registry::adapter(&settings.venue, settings).unwrap();
        Self::at(adapter, registry::dialect(&settings.venue).unwrap(), Some((exchange, Vec::new())))
    }

    fn at(adapter: Box<dyn Adapter>, dialect: Box<dyn Dialect>, venue: Option<(Exchange, Vec<(Line, ClientId)>)>) -> Self {
        let mut bench = Self {
            adapter,
            venue,
            now: Now { wall: 1_000_000_000_000, mono: 0 },
            lines: Vec::new(),
            urls: Vec::new(),
            sent: Vec::new(),
            fetches: Vec::new(),
            log: Vec::new(),
            books: Vec::new(),
            exponents: Vec::new(),
            races: Vec::new(),
            grant: true,
            dialect,
            out: Output::default(),
        };
        bench.adapter.start(bench.now, &mut bench.out);
        bench.settle();
        bench
    }

    pub fn message(&mut self, line: Line, text: &str) {
        self.bytes(line, text.as_bytes().to_vec());
    }

    pub fn bytes(&mut self, line: Line, mut bytes: Vec<u8>) {
        self.adapter.on_message(self.now, line, &mut bytes, &mut self.out);
        self.settle();
    }

    /// Answers the open request whose address contains `part`.
    pub fn answer(&mut self, part: &str, body: &str) {
        self.respond(part, Ok(body.as_bytes().to_vec()));
    }

    /// The same with an HTTP status that is none of success.
    pub fn refuse(&mut self, part: &str, status: u16) {
        self.respond(part, Err(FetchError::Status { status, retry_after_s: None }));
    }

    fn respond(&mut self, part: &str, result: Result<Vec<u8>, FetchError>) {
        let at = self.fetches.iter().position(|(_, url)| url.contains(part)).unwrap_or_else(|| panic!("no request for {part}"));
        let (fetch, _) = self.fetches.remove(at);
        self.adapter.on_response(self.now, fetch, result, &mut self.out);
        self.settle();
    }

    pub fn lose(&mut self, line: Line, cause: Cause) {
        self.adapter.on_close(self.now, line, cause, &mut self.out);
        self.settle();
        if self.lines.contains(&line) {
            self.adapter.on_open(self.now, line, &mut self.out);
            self.rejoin(line);
            self.settle();
        }
    }

    pub fn wait_ms(&mut self, ms: i64) {
        for _ in 0..ms / 100 {
            self.now.mono += 100_000_000;
            self.now.wall += 100_000_000;
            self.adapter.on_tick(self.now, &mut self.out);
            self.settle();
        }
    }

    /// The log since the last call.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// What was sent since the last call.
    pub fn take_sent(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|(_, text)| text).collect()
    }

    /// Best levels of one side (0 bids, 1 asks) as texts.
    pub fn levels(&self, instrument: usize, side: usize) -> Vec<[String; 2]> {
        let (price, size) = self.exponents[instrument];
        let text = |(p, s): (&i64, &i64)| [plain(i128::from(*p), price), plain(i128::from(*s), size)];
        let levels = &self.books[instrument][side];
        if side == 0 { levels.iter().rev().map(text).collect() } else { levels.iter().map(text).collect() }
    }

    /// Plays one recorded entry at the emulated venue.
    pub fn play(&mut self, entry: &crate::recording::Entry) {
        let (exchange, clients) = self.venue.as_mut().expect("an emulated venue");
        let mut told = Vec::new();
        exchange.play(entry.time, &entry.body, &mut told);
        let cut = exchange.take_cut();
        let told = told.into_iter().filter_map(|(to, told)| {
            let (line, _) = clients.iter().find(|(_, client)| *client == to)?;
            Some((*line, told))
        });
        for (line, told) in told.collect::<Vec<_>>() {
            self.bytes(line, told.bytes().to_vec());
        }
        if cut {
            self.lines.clone().into_iter().for_each(|line| self.lose(line, Cause::Disconnected));
        }
    }

    /// The line's connection to the emulated venue, as it begins.
    fn join(&mut self, line: Line, url: &str) {
        let Some((exchange, clients)) = &mut self.venue else { return };
        if let Some(at) = clients.iter().position(|(known, _)| *known == line) {
            exchange.leave(clients.swap_remove(at).1);
        }
        let (path, query) = split(url);
        let (client, told) = exchange.join(path, query).unwrap_or_else(|| panic!("{url} is no address of the venue"));
        clients.push((line, client));
        self.hear(line, told);
    }

    fn hear(&mut self, line: Line, told: Vec<Told>) {
        for told in told {
            self.adapter.on_message(self.now, line, &mut told.bytes().to_vec(), &mut self.out);
        }
    }

    fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut out = std::mem::take(&mut self.out);
            self.note(&out);
            for action in out.actions.drain(..) {
                self.act(action);
            }
            if self.out.batch.is_empty() && self.out.actions.is_empty() && self.out.faults.is_empty() {
                return;
            }
        }
        panic!("the adapter never comes to rest");
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open { line, url } => {
                self.lines.push(line);
                self.urls.push(url.clone());
                self.adapter.on_open(self.now, line, &mut self.out);
                self.join(line, &url);
            }
            Action::Send { line, text } if self.venue.is_some() => {
                let Some((exchange, clients)) = &mut self.venue else { return };
                let Some((_, client)) = clients.iter().find(|(known, _)| *known == line) else { return };
                let heard = exchange.hear(*client, &text);
                self.sent.push((line, text));
                self.hear(line, heard.answers);
                self.hear(line, heard.data);
            }
            Action::Send { line, text } => {
                let grants = if self.grant { self.dialect.grants(&text) } else { Vec::new() };
                self.sent.push((line, text));
                for grant in grants {
                    self.adapter.on_message(self.now, line, &mut grant.into_bytes(), &mut self.out);
                }
            }
            Action::Fetch { fetch, url, .. } => {
                let Some((exchange, _)) = &mut self.venue else { return self.fetches.push((fetch, url)) };
                let (path, query) = split(&url);
                let answer = exchange.answer("x", path, query);
                let refused = FetchError::Status { status: answer.status, retry_after_s: None };
                let result = if answer.status == 200 { Ok(answer.body.into_bytes()) } else { Err(refused) };
                self.adapter.on_response(self.now, fetch, result, &mut self.out);
            }
            Action::Close { line } => self.lines.retain(|known| *known != line),
            Action::Reconnect { line, cause } => {
                self.log.push(format!("reconnect {} {cause}", line.0));
                self.adapter.on_close(self.now, line, cause, &mut self.out);
                self.adapter.on_open(self.now, line, &mut self.out);
                self.rejoin(line);
            }
        }
    }

    /// A connection of its own number, anew.
    fn rejoin(&mut self, line: Line) {
        if self.venue.is_some() {
            let url = self.urls.get(line.0 as usize).cloned().expect("lines are numbered as they are opened");
            self.join(line, &url);
        }
    }

    fn note(&mut self, out: &Output) {
        self.races.extend_from_slice(&out.races);
        for fault in &out.faults {
            self.log.push(format!("fault {}: {}", FaultKind::name(fault.kind), fault.detail));
        }
        for event in &out.batch.events {
            let index = event.instrument as usize;
            let number = |value: Option<i64>, exponent: i8| value.map_or("-".to_owned(), |v| plain(i128::from(v), exponent));
            match &event.body {
                EventBody::Instrument(instrument) => {
                    self.books.resize_with(self.books.len().max(index + 1), Default::default);
                    self.exponents.resize(self.exponents.len().max(index + 1), (0, 0));
                    self.exponents[index] = (instrument.price_exponent, instrument.size_exponent);
                    self.books[index] = Default::default();
                    self.log.push(format!("Instrument {} {}", instrument.symbol, instrument.native));
                }
                EventBody::Quote(quote) => {
                    let (price, size) = self.exponents[index];
                    let bid = format!("{} {}", number(quote.bid_price, price), number(quote.bid_size, size));
                    let ask = format!("{} {}", number(quote.ask_price, price), number(quote.ask_size, size));
                    self.log.push(format!("Quote {bid} {ask}"));
                }
                EventBody::Trade(trade) => {
                    let (price, size) = self.exponents[index];
                    let (price, size) = (number(Some(trade.price), price), number(Some(trade.size), size));
                    self.log.push(format!("Trade {price} {size} {} {}", trade.aggressor, trade.id.unwrap_or(-1)));
                }
                EventBody::Book { bids, asks, snapshot } => {
                    for (side, range) in self.books[index].iter_mut().zip([bids, asks]) {
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
                EventBody::State { channel, state, cause } => {
                    self.log.push(format!("{:?} {state} {cause}", channel.expect("one channel")));
                }
                EventBody::Link { link, state, cause } => self.log.push(format!("Link {link} {state} {cause}")),
                EventBody::Gap { channel, missing, .. } => self.log.push(format!("Gap {channel:?} {missing:?}")),
                EventBody::Carrier { .. } | EventBody::Trading(_) => {}
            }
        }
    }
}

/// Path and parameters of an address.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |slash| &rest[slash..]);
    path.split_once('?').unwrap_or((path, ""))
}

/// A file of `../shared/data`; `None`, said aloud, where the data is not there (in CI a failure).
pub fn shared(path: &str) -> Option<PathBuf> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    if !file.exists() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", file.display());
        println!("SKIPPED: no {}", file.display());
        return None;
    }
    Some(file)
}

/// All messages that a recording of `../shared/data` received.
pub fn recorded(path: &str) -> Option<Vec<String>> {
    let text = |bytes| String::from_utf8(bytes).expect("messages are texts");
    Some(recorded_bytes(path)?.into_iter().map(text).collect())
}

/// The same for venues whose messages are no texts.
pub fn recorded_bytes(path: &str) -> Option<Vec<Vec<u8>>> {
    let file = shared(path)?;
    let message = |entry: crate::recording::Entry| match entry.body {
        Body::Received { bytes, .. } => Some(bytes),
        _ => None,
    };
    Some(Recording::open(&[file]).unwrap().filter_map(|entry| message(entry.unwrap())).collect())
}
