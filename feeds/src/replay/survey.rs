//! One pass over a recording before it is replayed. In: entries. Out: which symbols and channels it holds, how fine their numbers
//! are, which REST answers it has, and instruments made from the data. Bounded by the number of symbols.

use super::ReplayError;
use crate::engine::{Dialect, Listed};
use crate::recording::{Body, Recording, Tear};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use wire::decimal::Decimal;
use wire::event::Nanos;

/// What a recording holds.
pub struct Survey {
    pub first: Nanos,
    pub last: Nanos,
    pub entries: u64,
    pub notes: Notes,
    pub tears: Vec<Tear>,
    /// Entries the recorder had to leave out.
    pub dropped: u64,
    answers: HashMap<String, u32>,
    pub(super) dialect: Box<dyn Dialect>,
}

/// What the messages of a recording amount to.
#[derive(Debug, Default)]
pub struct Notes {
    /// By native symbol.
    pub symbols: BTreeMap<String, SurveyedSymbol>,
    /// There is a list of instruments.
    pub has_listing: bool,
    /// Levels a side that the recorder had subscribed, where the venue says so.
    pub depth: Option<u32>,
}

/// What a recorded message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    Book,
    Trade,
    AggregatedTrade,
    Quote,
    /// Levels of a snapshot by REST: they count for the scale only.
    Levels,
}

#[derive(Clone, Debug, Default)]
pub struct SurveyedSymbol {
    pub books: u64,
    pub trades: u64,
    pub aggregated_trades: u64,
    pub quotes: u64,
    /// Exponents of the finest price and size seen.
    pub price_exponent: i8,
    pub size_exponent: i8,
}

impl Survey {
    pub fn take(files: &[PathBuf], dialect: Box<dyn Dialect>) -> Result<Self, ReplayError> {
        let mut recording = Recording::open(files)?;
        let mut survey = Self {
            first: 0,
            last: 0,
            entries: 0,
            notes: Notes::default(),
            tears: Vec::new(),
            dropped: 0,
            answers: HashMap::new(),
            dialect,
        };
        for entry in recording.by_ref() {
            let entry = entry?;
            if survey.entries == 0 {
                survey.first = entry.time;
            }
            survey.entries += 1;
            survey.last = survey.last.max(entry.time);
            survey.note(&entry.body);
        }
        survey.tears = recording.tears().to_vec();
        Ok(survey)
    }

    /// How many answers to this address the recording holds, refusals included.
    pub(super) fn answers(&self, key: &str) -> u32 {
        self.answers.get(key).copied().unwrap_or(0)
    }

    /// True if the recording holds merged trades and no single ones.
    pub fn only_aggregated_trades(&self) -> bool {
        let any = |count: fn(&SurveyedSymbol) -> u64| self.notes.symbols.values().any(|symbol| count(symbol) > 0);
        any(|symbol| symbol.aggregated_trades) && !any(|symbol| symbol.trades)
    }

    /// Instruments made from the data: tick and lot are the largest powers of ten that divide every price and size of the recording.
    pub(crate) fn instruments(&self) -> Vec<Listed> {
        let scale =
            |(native, symbol): (&String, &SurveyedSymbol)| (native.clone(), (symbol.price_exponent, symbol.size_exponent));
        self.dialect.instruments(&self.notes.symbols.iter().map(scale).collect())
    }

    fn note(&mut self, body: &Body) {
        match body {
            Body::Connect { line, url } => self.dialect.connected(*line, url),
            Body::Received { line, bytes } => self.dialect.message(*line, bytes, &mut self.notes),
            Body::Response { url, status, bytes } => {
                let key = self.dialect.address_key(url);
                if *status == 200 {
                    self.dialect.response(&key, bytes, &mut self.notes);
                }
                *self.answers.entry(key).or_default() += 1;
            }
            Body::Dropped { entries } => self.dropped += entries,
            _ => {}
        }
    }
}

impl Notes {
    pub fn add(&mut self, native: &str, kind: Noted, levels: impl Iterator<Item = (Decimal, Decimal)>) {
        if !self.symbols.contains_key(native) {
            self.symbols.insert(native.to_owned(), SurveyedSymbol::default());
        }
        let symbol = self.symbols.get_mut(native).expect("it was put there just now");
        match kind {
            Noted::Book => symbol.books += 1,
            Noted::Trade => symbol.trades += 1,
            Noted::AggregatedTrade => symbol.aggregated_trades += 1,
            Noted::Quote => symbol.quotes += 1,
            Noted::Levels => {}
        }
        for (price, size) in levels {
            symbol.price_exponent = symbol.price_exponent.min(finest(price));
            symbol.size_exponent = symbol.size_exponent.min(finest(size));
        }
    }
}

/// The exponent that holds this number; what is no number asks for none.
fn finest(number: Decimal) -> i8 {
    if number == crate::engine::BAD { 0 } else { number.normalized().exponent }
}
