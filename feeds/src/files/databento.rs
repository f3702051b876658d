//! In: DBN files, plain or zstd. Out: their events, one record a step. Bounded by one buffer of bytes, and what the market keeps.

use super::{FileError, FileFault, Step, Tape, open};
use crate::adapter::Output;
use crate::error::FeedError;
use crate::settings::FeedSettings;
use crate::venue::databento::{self, Found, Market, Stream};
use dbn::RType;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use wire::event::Nanos;

const MAGIC: &[u8; 3] = b"DBN";

/// DBN files, one after the other, as one market: definitions of one file hold for the next.
pub struct DatabentoTape {
    files: VecDeque<PathBuf>,
    open: Option<OpenFile>,
    market: Market,
    time: Nanos,
    remarks: Vec<String>,
}

struct OpenFile {
    path: PathBuf,
    source: Box<dyn Read + Send>,
    stream: Stream,
}

impl DatabentoTape {
    /// Opens each file once, so that a wrong path is known before anything is read.
    pub fn open(files: &[PathBuf], settings: &FeedSettings) -> Result<Result<Self, FileError>, FeedError> {
        let market = databento::market(settings)?;
        let opened = files.iter().try_for_each(|file| {
            let mut magic = [0; 3];
            let is_dbn = open(file)?.read_exact(&mut magic).is_ok() && magic == *MAGIC;
            is_dbn.then_some(()).ok_or_else(|| FileError::new(file, FileFault::NotDbn))
        });
        let files = files.iter().cloned().collect();
        Ok(opened.map(|()| Self { files, open: None, market, time: 0, remarks: Vec::new() }))
    }

    pub fn market(&self) -> &Market {
        &self.market
    }
}

impl Tape for DatabentoTape {
    fn next(&mut self, out: &mut Output) -> Result<Option<Step>, FileError> {
        loop {
            let file = match &mut self.open {
                Some(file) => file,
                None => {
                    let Some(path) = self.files.pop_front() else { return Ok(None) };
                    let source = open(&path)?;
                    self.open.insert(OpenFile { path, source, stream: Stream::default() })
                }
            };
            let found = file.stream.advance().map_err(|what| FileError::new(&file.path, FileFault::Malformed(what)))?;
            match found {
                Found::Metadata(metadata) => {
                    if !self.market.on_metadata(&metadata) {
                        let path = file.path.display();
                        self.remarks.push(format!(
                            "note: {path}: symbols are not mapped to ids in it; instruments have numbers for names"
                        ));
                    }
                }
                Found::Record => {
                    let Some(record) = file.stream.record() else { continue };
                    let bytes = record.header().record_size();
                    self.market.on_record(record, None, out);
                    // A record without events has the time of the one before.
                    self.time = out.batch.events.last().map_or(self.time, |event| event.received.max(self.time));
                    return Ok(Some(Step { time: self.time, bytes }));
                }
                Found::More => {
                    if file.more()? {
                        continue;
                    }
                    if !file.stream.is_between_records() {
                        self.remarks.push(format!("warning: {}: the file ends in the middle of a record", file.path.display()));
                    }
                    self.open = None;
                }
            }
        }
    }

    fn instruments_known(&self) -> bool {
        false
    }

    fn counts(&self) -> Vec<(String, u64)> {
        let counts = self.market.counts();
        let name = |kind: u8| RType::try_from(kind).map_or_else(|_| format!("{kind:#04x}"), |known| known.as_str().to_owned());
        let records = (0u8..=255).map(|kind| (format!("records {}", name(kind)), counts.records[usize::from(kind)]));
        let actions = (0u8..=255)
            .map(|action| (format!("mbo {}", char::from(action).escape_default()), counts.actions[usize::from(action)]));
        let mut all = vec![
            ("records too short".to_owned(), counts.short),
            ("records of unknown type".to_owned(), counts.unknown),
            ("orders that do not add up".to_owned(), counts.misfits),
            ("levels instead of orders".to_owned(), counts.no_orders),
        ];
        all.extend(records.chain(actions).filter(|(_, count)| *count > 0));
        all
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = self.remarks.clone();
        match self.market.doubtful_books() {
            0 => {}
            books => {
                remarks.push(format!("warning: {books} books are in doubt: they began without a snapshot, or orders are missing"))
            }
        }
        remarks
    }
}

impl OpenFile {
    /// Reads on; `false` at the end.
    fn more(&mut self) -> Result<bool, FileError> {
        loop {
            match self.source.read(self.stream.space()) {
                Ok(bytes) => {
                    self.stream.fill(bytes);
                    return Ok(bytes > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A compressed file that was not written to its end.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(FileError::new(&self.path, FileFault::Io(error))),
            }
        }
    }
}
