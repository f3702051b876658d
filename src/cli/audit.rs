//! `tickwire audit`: what a recording adds up to. In: recorded files. Out: one JSON object with a hash over every best bid and offer
//! and the sums of all trades, to be compared with other people's answers. Bounded by one book a symbol.
//!
//! The recording goes through the real adapter and book sequencer, so the answer is about them, not about the file.

use super::CliError;
use aws_lc_rs::digest::{Context, SHA256};
use feeds::adapter::{FaultKind, Output};
use feeds::registry;
use feeds::replay::{Player, adapter_settings};
use feeds::settings::FeedSettings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use wire::decimal::{plain, put_plain};
use wire::event::{Batch, Channel, Event, EventBody, FeedState, Side, Trade};
use wire::view::book::Book;

/// How many of the best levels are shown.
const SHOWN_LEVELS: usize = 5;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The venue protocol the recording speaks, for example binance-spot
    #[arg(long)]
    venue: String,
    /// Recordings, read one after the other
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub fn run(args: Args) -> Result<(), CliError> {
    let report = audit(&args.venue, &args.files)?;
    for remark in &report.remarks {
        eprintln!("{remark}");
    }
    match writeln!(std::io::stdout(), "{:#}", report.json()) {
        // Whoever read it (`head`) has seen enough.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::failed(error)),
        _ => Ok(()),
    }
}

/// What a recording adds up to.
#[derive(Debug)]
pub struct Report {
    /// By native symbol (`SYMBOL aggTrade` for the venue's merged trades).
    pub symbols: Map<String, Value>,
    /// What was counted in binary files, by name.
    pub feed: Map<String, Value>,
    /// What is worth saying about how it was read.
    pub remarks: Vec<String>,
}

impl Report {
    pub fn json(&self) -> Value {
        match self.feed.is_empty() {
            true => json!({ "symbols": self.symbols }),
            false => json!({ "feed": self.feed, "symbols": self.symbols }),
        }
    }
}

/// Plays `files` through the adapter of `venue`.
pub fn audit(venue: &str, files: &[PathBuf]) -> Result<Report, CliError> {
    if feeds::files::VENUES.contains(&venue) {
        return super::audit_files::audit(venue, files);
    }
    let venue = registry::venue(venue).map_err(CliError::usage)?;
    let survey = registry::survey(venue.name, files).map_err(CliError::usage)?;
    if survey.notes.symbols.is_empty() {
        let files: Vec<_> = files.iter().map(|file: &PathBuf| Path::display(file).to_string()).collect();
        return Err(CliError::usage(format!("{}: no market data of {}", files.join(", "), venue.name)));
    }
    let mut remarks: Vec<String> = survey.tears.iter().map(|tear| format!("warning: {tear}")).collect();
    if !survey.notes.has_listing {
        remarks.push("note: no list of instruments in the recording; tick and lot were made from its data".to_owned());
    }
    if survey.dropped > 0 {
        remarks.push(format!("warning: the recorder left out {} entries", survey.dropped));
    }
    let settings = adapter_settings(&FeedSettings::of_venue(venue.name), venue.name, &survey);
    let adapter = registry::adapter(venue.name, &settings).map_err(CliError::usage)?;
    let mut player = Player::new(adapter, files, survey).map_err(CliError::usage)?;
    let mut audit = Audit::default();
    while player.next_time().is_some() {
        player.step(&mut |output| audit.take(output)).map_err(CliError::failed)?;
    }
    Ok(audit.report(remarks))
}

#[derive(Default)]
pub(super) struct Audit {
    /// By the feed's instrument index.
    instruments: Vec<Audited>,
    /// The link of the next instrument to be announced.
    carrier: u32,
    faults: BTreeMap<&'static str, (u64, String)>,
}

struct Audited {
    native: String,
    link: u32,
    price_exponent: i8,
    size_exponent: i8,
    book: Book,
    book_state: FeedState,
    messages: u64,
    snapshots: u64,
    lines: BestLines,
    single: Tape,
    aggregated: Tape,
}

impl Audit {
    pub(super) fn take(&mut self, output: &Output) {
        for fault in &output.faults {
            let (count, first) = self.faults.entry(FaultKind::name(fault.kind)).or_default();
            *count += 1;
            if *count == 1 {
                first.clone_from(&fault.detail);
            }
        }
        for event in &output.batch.events {
            self.event(&output.batch, event);
        }
    }

    fn event(&mut self, batch: &Batch, event: &Event) {
        let index = event.instrument as usize;
        if let EventBody::Instrument(instrument) = &event.body
            && index == self.instruments.len()
        {
            self.instruments.push(Audited::new(&instrument.native, std::mem::take(&mut self.carrier)));
        }
        match event.body {
            EventBody::Carrier { link } if index == self.instruments.len() => self.carrier = link,
            EventBody::Link { link, state, .. } => {
                self.instruments.iter_mut().filter(|one| one.link == link).for_each(|one| one.book_state = state);
                return;
            }
            _ => {}
        }
        let Some(audited) = self.instruments.get_mut(index) else { return };
        match &event.body {
            EventBody::Instrument(instrument) => audited.rescale(instrument.price_exponent, instrument.size_exponent),
            EventBody::Book { bids, asks, snapshot } => {
                let (bids, asks) = (batch.levels(bids), batch.levels(asks));
                if *snapshot {
                    audited.book.replace(bids, asks);
                    audited.snapshots += 1;
                } else {
                    audited.book.apply(bids, asks);
                }
                audited.messages += 1;
                audited.note_best();
            }
            EventBody::Trade(trade) => audited.trade(trade),
            EventBody::State { channel: None | Some(Channel::Book), state, .. } => audited.book_state = *state,
            _ => {}
        }
    }

    pub(super) fn report(self, mut remarks: Vec<String>) -> Report {
        for (kind, (count, first)) in &self.faults {
            remarks.push(format!("note: {count} x {kind}, first: {first}"));
        }
        let mut symbols = Map::new();
        for audited in self.instruments {
            if audited.messages > 0 && audited.book_state == FeedState::Resyncing {
                remarks.push(format!("warning: the book of {} was being rebuilt when the recording ended", audited.native));
            }
            let name = audited.native.clone();
            let aggregated = audited.aggregated.json(audited.size_exponent);
            let own = audited.json();
            if !own.is_empty() {
                symbols.insert(name.clone(), Value::Object(own));
            }
            if !aggregated.is_empty() {
                symbols.insert(format!("{name} aggTrade"), Value::Object(aggregated));
            }
        }
        Report { symbols, feed: Map::new(), remarks }
    }
}

impl Audited {
    fn new(native: &str, link: u32) -> Self {
        Self {
            native: native.to_owned(),
            link,
            price_exponent: 0,
            size_exponent: 0,
            book: Book::new(),
            book_state: FeedState::Starting,
            messages: 0,
            snapshots: 0,
            lines: BestLines::default(),
            single: Tape::default(),
            aggregated: Tape::default(),
        }
    }

    /// Announced again with finer numbers: the adapter rebuilds the book, the sums go on at the new scale.
    fn rescale(&mut self, price_exponent: i8, size_exponent: i8) {
        if (self.price_exponent, self.size_exponent) == (price_exponent, size_exponent) {
            return;
        }
        for tape in [&mut self.single, &mut self.aggregated] {
            let finer = u32::try_from(i32::from(self.size_exponent) - i32::from(size_exponent)).unwrap_or(0);
            tape.size_sum = tape.size_sum.saturating_mul(10i128.saturating_pow(finer));
        }
        self.book.clear();
        (self.price_exponent, self.size_exponent) = (price_exponent, size_exponent);
    }

    fn note_best(&mut self) {
        let mut line = std::mem::take(&mut self.lines.line);
        line.clear();
        for side in [Side::Bid, Side::Ask] {
            match self.book.best(side) {
                Some(level) => {
                    put_plain(&mut line, i128::from(level.price), self.price_exponent);
                    line.push(b' ');
                    put_plain(&mut line, i128::from(level.size), self.size_exponent);
                }
                None => line.extend_from_slice(b"- -"),
            }
            line.push(if side == Side::Bid { b' ' } else { b'\n' });
        }
        self.lines.line = line;
        self.lines.note();
    }

    fn trade(&mut self, trade: &Trade) {
        let tape = if trade.aggregated { &mut self.aggregated } else { &mut self.single };
        let price = plain(i128::from(trade.price), self.price_exponent);
        if tape.trades == 0 {
            tape.first_price.clone_from(&price);
        }
        tape.trades += 1;
        tape.size_sum += i128::from(trade.size);
        tape.last_price = price;
    }

    fn json(self) -> Map<String, Value> {
        let mut fields = self.single.json(self.size_exponent);
        if self.messages == 0 {
            return fields;
        }
        let shown = |side| -> Value {
            let level = |level: wire::event::Level| {
                json!([plain(i128::from(level.price), self.price_exponent), plain(i128::from(level.size), self.size_exponent)])
            };
            self.book.levels(side, SHOWN_LEVELS).map(level).collect()
        };
        let more = [
            ("book_messages", json!(self.messages)),
            ("snapshots", json!(self.snapshots)),
            ("bbo_changes", json!(self.lines.changes)),
            ("final_bids", shown(Side::Bid)),
            ("final_asks", shown(Side::Ask)),
            ("levels", json!([self.book.len(Side::Bid), self.book.len(Side::Ask)])),
            ("bbo_sha256", json!(hex(self.lines.every))),
            ("bbo_dedup_sha256", json!(hex(self.lines.changed))),
        ];
        fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
        fields
    }
}

/// The best bid and offer after each book message, hashed as text lines: all of them, and those that differ from the one before.
struct BestLines {
    every: Context,
    changed: Context,
    changes: u64,
    line: Vec<u8>,
    previous: Vec<u8>,
}

impl Default for BestLines {
    fn default() -> Self {
        let context = || Context::new(&SHA256);
        Self { every: context(), changed: context(), changes: 0, line: Vec::new(), previous: Vec::new() }
    }
}

impl BestLines {
    fn note(&mut self) {
        self.every.update(&self.line);
        if self.line != self.previous {
            self.changed.update(&self.line);
            self.changes += 1;
            self.previous.clone_from(&self.line);
        }
    }
}

#[derive(Default)]
struct Tape {
    trades: u64,
    size_sum: i128,
    first_price: String,
    last_price: String,
}

impl Tape {
    fn json(&self, size_exponent: i8) -> Map<String, Value> {
        if self.trades == 0 {
            return Map::new();
        }
        let fields = [
            ("trades", json!(self.trades)),
            ("trade_qty_sum", json!(plain(self.size_sum, size_exponent))),
            ("first_price", json!(self.first_price)),
            ("last_price", json!(self.last_price)),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

fn hex(context: Context) -> String {
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "audit_tests.rs"]
pub(super) mod tests;
