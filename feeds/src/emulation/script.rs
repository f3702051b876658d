//! What is known of a recording before it is played. In: one pass over its files. Out: instruments, recorded lists of instruments and
//! snapshots. Bounded by the recorded answers.

use super::truth::Whole;
use crate::adapter::Line;
use crate::engine::{Decoded, Item, Listed, Protocol};
use crate::recording::{Body, Recording};
use crate::registry;
use crate::replay::{ReplayError, Survey, adapter_settings};
use crate::settings::FeedSettings;
use std::collections::BTreeMap;
use std::path::PathBuf;
use wire::event::Nanos;

#[derive(Debug, thiserror::Error)]
pub enum EmulationError {
    #[error(transparent)]
    Venue(#[from] crate::FeedError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("the recording holds no market data of venue '{0}'")]
    NoData(String),
    #[error("venue '{0}' cannot be emulated")]
    NoVoice(String),
}

impl From<crate::recording::RecordingError> for EmulationError {
    fn from(error: crate::recording::RecordingError) -> Self {
        Self::Replay(error.into())
    }
}

pub(super) struct Script {
    pub venue: &'static str,
    pub settings: FeedSettings,
    pub first: Nanos,
    pub entries: u64,
    /// Levels a side that were subscribed, where the recording says so.
    pub depth: Option<u32>,
    /// As far as the data tells; ticks and lots are the finest seen.
    pub listed: Vec<Listed>,
    /// Recorded lists of instruments, by `Protocol::address_key`.
    pub lists: BTreeMap<String, String>,
    /// Recorded order books, in order; in band the first of each instrument.
    pub snapshots: Vec<(String, Whole)>,
    /// What is worth saying about the recording.
    pub remarks: Vec<String>,
}

impl Script {
    pub fn read(venue: &str, files: &[PathBuf]) -> Result<Self, EmulationError> {
        let venue = registry::venue(venue)?;
        let survey = registry::survey(venue.name, files)?;
        if survey.notes.symbols.is_empty() {
            return Err(EmulationError::NoData(venue.name.to_owned()));
        }
        let settings = adapter_settings(&FeedSettings::of_venue(venue.name), venue.name, &survey);
        let mut protocol = (venue.protocol)(&settings);
        let (lists, mut snapshots) = answers(protocol.as_mut(), files)?;
        if !protocol.facts().by_rest() {
            let books = survey.notes.symbols.values().filter(|symbol| symbol.books > 0).count();
            snapshots = first_books(protocol.as_mut(), files, books)?;
        }
        Ok(Self {
            venue: venue.name,
            settings,
            first: survey.first,
            entries: survey.entries,
            depth: survey.notes.depth,
            remarks: remarks(&survey, protocol.as_ref(), &snapshots, lists.is_empty()),
            listed: survey.instruments(),
            lists,
            snapshots,
        })
    }
}

type Recorded = (BTreeMap<String, String>, Vec<(String, Whole)>);

fn answers(protocol: &mut dyn Protocol, files: &[PathBuf]) -> Result<Recorded, EmulationError> {
    let (mut lists, mut snapshots) = (BTreeMap::new(), Vec::new());
    let mut decoded = Decoded::surveying();
    for entry in Recording::open(files)? {
        let Body::Response { url, status: 200, mut bytes } = entry?.body else { continue };
        let key = protocol.address_key(&url);
        if protocol.listing_keys().iter().any(|known| key.starts_with(known)) {
            if protocol.listing(&bytes).is_ok_and(|found| !found.is_empty())
                && let Ok(text) = String::from_utf8(bytes)
            {
                lists.entry(key).or_insert(text);
            }
        } else if let Some(native) = protocol.snapshot_native(&key) {
            decoded.clear();
            if protocol.snapshot(&native, &mut bytes, &mut decoded).is_ok()
                && let Some(Item::Book { book, bids, asks, .. }) = decoded.items.first()
            {
                let (bids, asks) = (decoded.bids[bids.clone()].to_vec(), decoded.asks[asks.clone()].to_vec());
                snapshots.push((native, Whole { update: *book, bids, asks }));
            }
        }
    }
    Ok((lists, snapshots))
}

/// The first whole book of each instrument, of `count` in all.
fn first_books(protocol: &mut dyn Protocol, files: &[PathBuf], count: usize) -> Result<Vec<(String, Whole)>, EmulationError> {
    let (mut found, mut names) = (Vec::<(String, Whole)>::new(), Vec::new());
    let mut decoded = Decoded::surveying();
    for entry in Recording::open(files)? {
        match entry?.body {
            Body::Connect { line, url } => protocol.connected(Line(line), &url),
            Body::Received { line, mut bytes } => {
                decoded.clear();
                if protocol.decode(Line(line), &mut bytes, &mut decoded).is_err() {
                    continue;
                }
                for item in &decoded.items {
                    let Item::Book { instrument, book, bids, asks } = item else { continue };
                    if book.snapshot && !names.contains(instrument) {
                        names.push(*instrument);
                        let native = decoded.names().find(|(_, index)| index == instrument).map_or("", |(native, _)| native);
                        let (bids, asks) = (decoded.bids[bids.clone()].to_vec(), decoded.asks[asks.clone()].to_vec());
                        found.push((native.to_owned(), Whole { update: *book, bids, asks }));
                    }
                }
            }
            _ => {}
        }
        if found.len() >= count {
            break;
        }
    }
    Ok(found)
}

fn remarks(survey: &Survey, protocol: &dyn Protocol, snapshots: &[(String, Whole)], no_list: bool) -> Vec<String> {
    let mut remarks: Vec<String> = survey.tears.iter().map(ToString::to_string).collect();
    if survey.dropped > 0 {
        remarks.push(format!("the recorder left out {} entries", survey.dropped));
    }
    if no_list {
        remarks.push("no list of instruments in the recording; this one is made from its data".to_owned());
    }
    if protocol.facts().by_rest() {
        let has = |native: &String| snapshots.iter().any(|(known, _)| known == native);
        let without: Vec<&str> = survey.notes.symbols.keys().filter(|native| !has(native)).map(String::as_str).collect();
        if !without.is_empty() {
            remarks.push(format!("no snapshot recorded of {}: there is no book of them", without.join(", ")));
        }
    }
    remarks
}
