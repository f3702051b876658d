//! In: files of Nasdaq ITCH: BinaryFILE, or captures of MoldUDP64. Out: their events, one message or datagram a step.
//! Bounded by one datagram, by what the receiver of a captured line keeps, and by the market's stocks and orders.

use super::{Capture, CaptureCounts, FileError, FileFault, Step, Tape};
use crate::adapter::{FaultKind, Output};
use crate::error::FeedError;
use crate::itch::settings;
use crate::settings::FeedSettings;
use crate::venue::itch::message::MAX_BYTES;
use crate::venue::itch::mold::{self, HEADER_BYTES, Listener, Notice, Packet, Receiver};
use crate::venue::itch::{BinaryFile, Framing, Market, SessionDate};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use wire::event::{FeedState, Nanos};

/// First bytes of a pcap (both byte orders, both resolutions) and of a pcap-ng file. As the length of a first message they would be
/// longer than any.
const CAPTURES: [[u8; 4]; 5] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0x0a, 0x0d, 0x0d, 0x0a],
];
/// How far the two lines of a capture may be apart.
const PATIENCE: mold::Options = mold::Options { can_request: false, patience: 1_000_000_000 };

/// Files, one after the other.
pub struct ItchTape {
    files: VecDeque<PathBuf>,
    open: Option<(PathBuf, Reading)>,
    market: Market,
    /// As it is configured; of the session at hand.
    configured: Option<SessionDate>,
    date: Option<SessionDate>,
    /// The next message is the first one of its session.
    begins: bool,
    session_over: bool,
    receiver: Receiver,
    captured: CaptureCounts,
    remarks: Vec<String>,
}

enum Reading {
    Binary(BinaryFile<Box<dyn Read + Send>>),
    Capture(Capture),
}

impl ItchTape {
    /// Opens each file once, so that a wrong path is known before anything is read.
    pub fn open(files: &[PathBuf], settings: &FeedSettings) -> Result<Result<Self, FileError>, FeedError> {
        let itch = settings.itch.clone().unwrap_or_default();
        let complaint = |reason| FeedError::Settings { venue: "itch".to_owned(), reason };
        let configured = itch.session_date().map_err(complaint)?;
        // Replaced with the first message.
        let options = settings::options(settings, &itch, SessionDate::at(0))?;
        let market = Market::new(options, FeedState::Replay);
        let opened = files.iter().try_for_each(|file| Reading::open(file).map(drop));
        Ok(opened.map(|()| Self {
            files: files.iter().cloned().collect(),
            open: None,
            market,
            configured,
            date: None,
            begins: true,
            session_over: true,
            receiver: Receiver::new(PATIENCE),
            captured: CaptureCounts::default(),
            remarks: Vec::new(),
        }))
    }

    pub fn market(&self) -> &Market {
        &self.market
    }

    /// The day of what comes next, from the settings, the file's name, or the time of a capture.
    fn begin(&mut self, file: &Path, captured: Option<Nanos>, out: &mut Output) {
        let found = self.configured.or_else(|| SessionDate::of_file(file)).or_else(|| captured.map(SessionDate::at));
        if found.is_none() && self.date.is_none() {
            self.remarks.push(format!("note: {}: no day is known, times begin at 1970-01-01; set date", file.display()));
        }
        let date = found.or(self.date).unwrap_or_else(|| SessionDate::at(0));
        // Several files may hold one session.
        if self.session_over || self.date != Some(date) {
            (self.date, self.session_over, self.begins) = (Some(date), false, true);
            self.market.begin_session(0, date, out);
        }
    }

    fn binary(
        &mut self,
        file: &Path,
        reader: &mut BinaryFile<Box<dyn Read + Send>>,
        out: &mut Output,
    ) -> Result<Option<Step>, FileError> {
        loop {
            let message = match reader.read() {
                Ok(Framing::Message(message)) => message,
                Ok(Framing::EndOfSession) => {
                    self.session_over = true;
                    continue;
                }
                Ok(Framing::EndOfFile) => return Ok(None),
                Ok(Framing::Torn(bytes)) => {
                    self.remarks.push(format!("warning: {}: ends in the middle of a message ({bytes} bytes)", file.display()));
                    return Ok(None);
                }
                // A compressed file that was not copied to its end.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.remarks.push(format!("warning: {}: the compressed file is cut short", file.display()));
                    return Ok(None);
                }
                Err(error) => return Err(FileError::new(file, FileFault::Io(error))),
            };
            if self.date.is_none() || self.session_over {
                self.begin(file, None, out);
            }
            // A session that is told from its start begins with this system event.
            if std::mem::take(&mut self.begins) && !(message.first() == Some(&b'S') && message.get(11) == Some(&b'O')) {
                self.market.begin_in_the_middle();
            }
            let time = self.market.on_message(0, message, out).unwrap_or_default();
            return Ok(Some(Step { time, bytes: message.len() }));
        }
    }

    fn captured(&mut self, file: &Path, capture: &mut Capture, out: &mut Output) -> Result<Option<Step>, FileError> {
        let Some(datagram) = capture.datagram()? else {
            // What has not come will not.
            let mut ear = Ear { market: &mut self.market, out, received: 0, date: self.configured };
            self.receiver.on_tick(Nanos::MAX, &mut ear);
            return Ok(None);
        };
        if self.date.is_none() {
            self.begin(file, Some(datagram.time), out);
        }
        let mut ear = Ear { market: &mut self.market, out, received: datagram.time, date: self.configured };
        match Packet::parse(datagram.payload) {
            // No server numbers from 0: samples, whose numbers were wiped out. Each stands for itself.
            Some(packet) if packet.sequence == 0 => {
                ear.market.begin_in_the_middle();
                packet.messages().for_each(|message| ear.message(message));
            }
            _ => self.receiver.on_datagram(datagram.time, datagram.payload, &mut ear),
        }
        Ok(Some(Step { time: datagram.time, bytes: datagram.payload.len() }))
    }
}

/// What a captured line says, on its way into the market.
struct Ear<'a> {
    market: &'a mut Market,
    out: &'a mut Output,
    received: Nanos,
    /// As it is configured.
    date: Option<SessionDate>,
}

impl Listener for Ear<'_> {
    fn message(&mut self, message: &[u8]) {
        self.market.on_message(self.received, message, self.out);
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Session { unheard, .. } => {
                let date = self.date.unwrap_or_else(|| SessionDate::at(self.received));
                self.market.begin_session(self.received, date, self.out);
                if unheard > 0 {
                    self.market.begin_in_the_middle();
                }
            }
            Notice::Lost { missing } => self.market.lost(self.received, missing, self.out),
            Notice::Malformed => {
                self.market.fault(FaultKind::BadMessage, self.out, || "a datagram is shorter than it says".to_owned());
            }
            Notice::Gap { .. } | Notice::Healed | Notice::EndOfSession => {}
        }
    }

    /// There is nobody to be asked.
    fn request(&mut self, _request: [u8; HEADER_BYTES]) {}
}

impl Reading {
    fn open(file: &Path) -> Result<Self, FileError> {
        let mut first = Vec::with_capacity(4);
        let source = super::open(file)?;
        let io = |error| FileError::new(file, FileFault::Io(error));
        source.take(4).read_to_end(&mut first).map_err(io)?;
        if CAPTURES.iter().any(|magic| first == magic) {
            return Ok(Self::Capture(Capture::open(file)?));
        }
        // The first message tells its length and its type.
        let is_binary = first.is_empty() || matches!(first[..], [0, length, ..] if usize::from(length) <= MAX_BYTES);
        if !is_binary {
            return Err(FileError::new(file, FileFault::NoData("Nasdaq ITCH")));
        }
        Ok(Self::Binary(BinaryFile::new(super::open(file)?)))
    }
}

impl Tape for ItchTape {
    fn next(&mut self, out: &mut Output) -> Result<Option<Step>, FileError> {
        loop {
            let (file, mut reading) = match self.open.take() {
                Some(open) => open,
                None => {
                    let Some(file) = self.files.pop_front() else { return Ok(None) };
                    let reading = Reading::open(&file)?;
                    if self.date.is_some() {
                        self.begin(&file, None, out);
                    }
                    (file, reading)
                }
            };
            let step = match &mut reading {
                Reading::Binary(binary) => self.binary(&file, binary, out)?,
                Reading::Capture(capture) => self.captured(&file, capture, out)?,
            };
            if step.is_some() {
                self.open = Some((file, reading));
                return Ok(step);
            }
            if let Reading::Capture(capture) = reading {
                let counts = capture.counts();
                self.captured.packets += counts.packets;
                self.captured.foreign += counts.foreign;
                self.captured.fragments += counts.fragments;
                if capture.is_torn() {
                    self.remarks.push(format!("warning: {}: the capture ends in the middle of a packet", file.display()));
                }
            }
        }
    }

    fn instruments_known(&self) -> bool {
        self.market.instruments_known()
    }

    fn counts(&self) -> Vec<(String, u64)> {
        let mut counts = self.market.counts().by_name();
        let of_line = self.receiver.counts;
        let captured = [
            ("packets", self.captured.packets),
            ("packets that are not UDP", self.captured.foreign),
            ("fragments", self.captured.fragments),
            ("duplicate datagrams", of_line.duplicates),
            ("gaps", of_line.gaps),
            ("datagrams cut short", of_line.malformed),
        ];
        counts.extend(captured.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)));
        counts
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

#[cfg(test)]
#[path = "itch_tests.rs"]
mod tests;
