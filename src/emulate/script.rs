//! What the emulator knows before it plays. In: one pass over the recording. Out: every symbol's book at its start, and the
//! exchangeInfo to answer with. Bounded by the recorded snapshots.

use super::book::VenueBook;
use super::options::EmulateError;
use feeds::recording::{Body, Recording};
use feeds::registry;
use feeds::replay::{ReplayError, binance};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::PathBuf;
use wire::event::Nanos;

#[derive(Clone, Debug)]
pub struct Script {
    pub first: Nanos,
    pub books: BTreeMap<String, VenueBook>,
    pub exchange_info: String,
    /// True if no exchangeInfo was recorded and this one was made from the data.
    pub synthesized: bool,
    pub entries: u64,
    /// What is worth saying about the recording: tears, left-out entries, symbols without a snapshot.
    pub remarks: Vec<String>,
}

impl Script {
    pub fn read(files: &[PathBuf]) -> Result<Self, EmulateError> {
        let survey = registry::survey("binance", files)?;
        if survey.notes.symbols.is_empty() {
            return Err(EmulateError::NoData);
        }
        let mut books: BTreeMap<String, VenueBook> =
            survey.notes.symbols.keys().map(|native| (native.clone(), VenueBook::default())).collect();
        let mut exchange_info = None;
        let mut with_snapshot = std::collections::BTreeSet::new();
        for entry in Recording::open(files).map_err(ReplayError::from)? {
            let Body::Response { url, status: 200, bytes } = entry.map_err(ReplayError::from)?.body else { continue };
            let key = binance::address_key(&url);
            if key == "exchangeInfo" && exchange_info.is_none() {
                exchange_info = String::from_utf8(bytes).ok();
            } else if let Some(native) = key.strip_prefix("depth?symbol=")
                && let Ok(snapshot) = serde_json::from_slice(&bytes)
                && let Some(book) = books.get_mut(native)
            {
                book.add_recorded(&snapshot);
                with_snapshot.insert(native.to_owned());
            }
        }
        let mut remarks: Vec<String> = survey.tears.iter().map(ToString::to_string).collect();
        if survey.dropped > 0 {
            remarks.push(format!("the recorder left out {} entries", survey.dropped));
        }
        let without: Vec<&str> = books.keys().filter(|native| !with_snapshot.contains(*native)).map(String::as_str).collect();
        if !without.is_empty() {
            remarks.push(format!("no snapshot recorded of {}: their books hold only what changed", without.join(", ")));
        }
        Ok(Self {
            first: survey.first,
            books,
            synthesized: exchange_info.is_none(),
            exchange_info: exchange_info.unwrap_or_else(|| binance::exchange_info(&survey.notes, survey.first / 1_000_000)),
            entries: survey.entries,
            remarks,
        })
    }

    /// The exchangeInfo with only `wanted` symbols in it; `None` if one of them is not listed.
    pub fn exchange_info_of(&self, wanted: &[String]) -> Option<String> {
        #[derive(Deserialize)]
        struct Info<'a> {
            #[serde(borrow)]
            symbols: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Named {
            symbol: String,
        }
        let info: Info<'_> = serde_json::from_str(&self.exchange_info).ok()?;
        let found: Vec<&str> = info
            .symbols
            .iter()
            .filter(|entry| serde_json::from_str::<Named>(entry.get()).is_ok_and(|named| wanted.contains(&named.symbol)))
            .map(|entry| entry.get())
            .collect();
        (found.len() == wanted.len()).then(|| {
            format!(
                r#"{{"timezone":"UTC","serverTime":{},"rateLimits":[],"exchangeFilters":[],"symbols":[{}]}}"#,
                self.first / 1_000_000,
                found.join(",")
            )
        })
    }
}
