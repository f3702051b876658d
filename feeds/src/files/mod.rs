//! In: files of a venue's binary data (captures, DBN files), plain, gzip or zstd. Out: the events in them, one message or datagram at
//! a time, and as a feed at any speed. Bounded by one message at hand and what the venue's own market keeps.
//!
//! | venue | files | read by |
//! |---|---|---|
//! | `itch` | BinaryFILE, and pcap and pcap-ng with MoldUDP64 | [`ItchTape`] |
//! | `iex` | pcap and pcap-ng with TOPS 1.5, 1.6 or DEEP 1.0 | [`IexTape`] |
//! | `databento` | DBN 1 to 3 of most schemas, see [`crate::venue::databento`] | [`DatabentoTape`] |
//!
//! JSON venues' recordings go another way: through an adapter, see [`crate::replay`].

mod capture;
mod databento;
mod driver;
mod iex;
mod itch;
pub mod settings;
#[cfg(test)]
mod tests;
mod udp;

pub use capture::{Capture, CaptureCounts, Datagram};
pub use databento::DatabentoTape;
pub use driver::start;
pub use iex::IexTape;
pub use itch::ItchTape;

use crate::adapter::Output;
use crate::error::FeedError;
use crate::itch::settings::ItchSettings;
use crate::recording::decompressed;
use crate::settings::{FeedSettings, ReplaySettings};
use settings::{DatabentoSettings, FileSettings};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use wire::event::Nanos;

/// One step of a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When the message was received by whoever recorded it.
    pub time: Nanos,
    pub bytes: usize,
}

/// Recorded binary data that becomes events without a connection, a clock or an answer.
pub trait Tape: Send {
    /// Reads the next message or datagram and appends what it says to `out`; `None` at the end.
    fn next(&mut self, out: &mut Output) -> Result<Option<Step>, FileError>;
    /// True once no unknown symbol can turn up any more.
    fn instruments_known(&self) -> bool;
    /// What was read so far, by name, for people.
    fn counts(&self) -> Vec<(String, u64)>;
    /// What is worth saying about the files themselves.
    fn remarks(&self) -> Vec<String>;
}

/// Venues whose files are read here.
pub const VENUES: &[&str] = &["iex", "databento", "itch"];

/// The files of `venue` as one tape: an error of the settings, or of a file.
pub fn tape(venue: &str, files: &[PathBuf], settings: &FeedSettings) -> Result<Result<Box<dyn Tape>, FileError>, FeedError> {
    fn boxed(tape: impl Tape + 'static) -> Box<dyn Tape> {
        Box::new(tape)
    }
    match venue {
        "iex" => Ok(IexTape::open(files, settings)?.map(boxed)),
        "databento" => Ok(DatabentoTape::open(files, settings)?.map(boxed)),
        "itch" => Ok(ItchTape::open(files, settings)?.map(boxed)),
        name => Err(FeedError::UnknownVenue { name: name.to_owned(), known: VENUES.join(", ") }),
    }
}

/// The files that `settings` want played, and their venue, if that is done here.
pub fn of(settings: &FeedSettings) -> Option<(&str, FileSettings)> {
    match (settings.venue.as_str(), &settings.replay) {
        ("replay", Some(replay)) if VENUES.contains(&replay.venue.as_str()) => {
            let ReplaySettings { venue, files, speed, repeat } = replay.clone();
            let venue = VENUES.iter().copied().find(|name| *name == venue)?;
            Some((venue, FileSettings { files, speed, repeat }))
        }
        ("iex", None) => Some(("iex", settings.iex.clone()?)),
        ("databento", None) => {
            let DatabentoSettings { files, speed, repeat, .. } = settings.databento.clone()?;
            (!files.is_empty()).then_some(("databento", FileSettings { files, speed, repeat }))
        }
        ("itch", None) => {
            let ItchSettings { files, speed, repeat, .. } = settings.itch.clone()?;
            (!files.is_empty()).then_some(("itch", FileSettings { files, speed, repeat }))
        }
        _ => None,
    }
}

/// True if `files` hold books but no quotes, which are then to be made from the books.
pub fn only_books(venue: &str, files: &[PathBuf]) -> bool {
    let first = files.first().filter(|_| venue == "iex").map(|file| iex::protocol(file));
    matches!(first, Some(Ok(crate::venue::iex::Protocol::Deep)))
}

/// Why a file cannot be read, or not on from here.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct FileError {
    pub file: PathBuf,
    pub fault: FileFault,
}

#[derive(Debug)]
pub enum FileFault {
    Io(io::Error),
    NotACapture,
    NotDbn,
    /// No packet or record of this venue in it.
    NoData(&'static str),
    Damaged(&'static str),
    /// A decoder's own words.
    Malformed(String),
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without "(os error 2)".
            Self::Io(error) => write!(f, "{}", error.to_string().split(" (os error").next().unwrap_or_default()),
            Self::NotACapture => f.write_str("not a pcap or pcap-ng capture"),
            Self::NotDbn => f.write_str("not a DBN file"),
            Self::NoData(venue) => write!(f, "no data of {venue} in it"),
            Self::Damaged(what) => write!(f, "damaged: {what}"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

impl FileError {
    fn new(file: &Path, fault: FileFault) -> Self {
        Self { file: file.to_owned(), fault }
    }
}

fn open(file: &Path) -> Result<Box<dyn Read + Send>, FileError> {
    decompressed(file).map_err(|error| FileError::new(file, FileFault::Io(error)))
}
