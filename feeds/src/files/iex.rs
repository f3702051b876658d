//! In: captures of IEX TOPS or DEEP. Out: their events, one datagram a step. Bounded by one datagram and the market's symbols.

use super::{Capture, CaptureCounts, FileError, FileFault, Step, Tape};
use crate::adapter::Output;
use crate::error::FeedError;
use crate::settings::FeedSettings;
use crate::venue::iex::{self, Counts, Market, Protocol};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Datagrams of other kinds that may stand before the first one of IEX.
const MAX_SEARCH: usize = 10_000;

/// Captures, one after the other, as one stream.
pub struct IexTape {
    files: VecDeque<PathBuf>,
    capture: Option<(PathBuf, Capture)>,
    market: Market,
    former: CaptureCounts,
    torn: Vec<String>,
}

impl IexTape {
    /// Opens each file once, so that a wrong path is known before anything is read.
    pub fn open(files: &[PathBuf], settings: &FeedSettings) -> Result<Result<Self, FileError>, FeedError> {
        let market = iex::market(settings)?;
        let opened = files.iter().try_for_each(|file| Capture::open(file).map(drop));
        Ok(opened.map(|()| Self {
            files: files.iter().cloned().collect(),
            capture: None,
            market,
            former: CaptureCounts::default(),
            torn: Vec::new(),
        }))
    }

    pub fn market(&self) -> &Market {
        &self.market
    }

    fn close(&mut self) {
        if let Some((file, capture)) = self.capture.take() {
            let counts = capture.counts();
            self.former.packets += counts.packets;
            self.former.foreign += counts.foreign;
            self.former.fragments += counts.fragments;
            if capture.is_torn() {
                self.torn.push(format!("warning: {}: the capture ends in the middle of a packet", file.display()));
            }
        }
    }
}

impl Tape for IexTape {
    fn next(&mut self, out: &mut Output) -> Result<Option<Step>, FileError> {
        loop {
            if self.capture.is_none() {
                let Some(file) = self.files.pop_front() else { return Ok(None) };
                let capture = Capture::open(&file)?;
                self.capture = Some((file, capture));
            }
            let Some((_, capture)) = &mut self.capture else { return Ok(None) };
            if let Some(datagram) = capture.datagram()? {
                self.market.on_payload(datagram.time, datagram.payload, out);
                return Ok(Some(Step { time: datagram.time, bytes: datagram.payload.len() }));
            }
            self.close();
        }
    }

    fn instruments_known(&self) -> bool {
        self.market.instruments_known()
    }

    fn counts(&self) -> Vec<(String, u64)> {
        let counts: &Counts = self.market.counts();
        let here = self.capture.as_ref().map_or(CaptureCounts::default(), |(_, capture)| capture.counts());
        let mut all = vec![
            ("packets".to_owned(), self.former.packets + here.packets),
            ("packets that are not UDP".to_owned(), self.former.foreign + here.foreign),
            ("fragments".to_owned(), self.former.fragments + here.fragments),
            ("payloads that are not IEX-TP".to_owned(), counts.not_segments),
            ("segments".to_owned(), counts.segments),
            ("heartbeats".to_owned(), counts.heartbeats),
            ("segments in sequence".to_owned(), counts.continued),
            ("restarts".to_owned(), counts.restarts),
            ("gaps".to_owned(), counts.gaps),
            ("messages missing in gaps".to_owned(), counts.missing_messages),
            ("duplicate segments".to_owned(), counts.duplicates),
            ("segments cut short".to_owned(), counts.cut),
            ("messages too short".to_owned(), counts.short),
            ("messages of unknown type".to_owned(), counts.unknown),
        ];
        let protocols = ["TOPS 1.5", "TOPS 1.6", "DEEP 1.0", "DEEP+", "an unknown protocol"];
        let protocols = protocols.iter().zip(counts.protocols).map(|(name, count)| (format!("segments of {name}"), count));
        let messages = (0u8..=255).map(|kind| (format!("messages {}", char::from(kind).escape_default()), counts.of(kind)));
        all.extend(protocols.chain(messages).filter(|(_, count)| *count > 0));
        all
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = self.torn.clone();
        match self.market.doubtful_books() {
            0 => {}
            books => remarks.push(format!("warning: {books} books miss updates, and a capture has no way to make them good")),
        }
        let counts = self.market.counts();
        let other = counts.protocols[3] + counts.protocols[4];
        if other > 0 {
            remarks.push(format!("note: {other} segments are neither TOPS nor DEEP 1.0: counted, not read"));
        }
        remarks
    }
}

/// Which of the two the first readable segment belongs to.
pub(super) fn protocol(file: &Path) -> Result<Protocol, FileError> {
    let mut capture = Capture::open(file)?;
    for _ in 0..MAX_SEARCH {
        let Some(datagram) = capture.datagram()? else { break };
        let protocol = iex::parse(datagram.payload).ok().and_then(|(header, _)| Protocol::from_number(header.protocol));
        if let Some(protocol) = protocol {
            return Ok(protocol);
        }
    }
    Err(FileError::new(file, FileFault::NoData("IEX TOPS or DEEP 1.0")))
}
