//! In: paths of recordings. Out: their entries as one sequence, each file in its own format. Bounded by one open file.

use super::Entry;
use super::cryptofeed::{self, CryptofeedReader};
use super::cryptofeed_old::{self, OldCryptofeedReader};
use super::error::{ErrorKind, RecordingError, Tear};
use super::frames::{self, FramesReader};
use super::hft::{self, HftReader};
use super::lines::Lines;
use super::own::{OwnReader, SIGNATURE};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// An iterator over the entries of several files, one after the other.
pub struct Recording {
    files: VecDeque<PathBuf>,
    reader: Option<Reader>,
    tears: Vec<Tear>,
}

enum Reader {
    Own(OwnReader),
    Cryptofeed(CryptofeedReader),
    OldCryptofeed(OldCryptofeedReader),
    Hft(HftReader),
    Frames(FramesReader),
}

impl Recording {
    /// Opens the files and recognises each one's format, so that a wrong path is known before anything is replayed.
    pub fn open(files: &[PathBuf]) -> Result<Self, RecordingError> {
        for file in files {
            Reader::check(file)?;
        }
        Ok(Self { files: files.iter().cloned().collect(), reader: None, tears: Vec::new() })
    }

    /// The places so far where a file ended in the middle.
    pub fn tears(&self) -> &[Tear] {
        &self.tears
    }

    fn advance(&mut self) -> Result<Option<Entry>, RecordingError> {
        loop {
            if self.reader.is_none() {
                let Some(file) = self.files.pop_front() else { return Ok(None) };
                self.reader = Some(Reader::open(&file)?);
            }
            let Some(reader) = &mut self.reader else { return Ok(None) };
            let entry = reader.next();
            self.tears.extend(reader.take_tear());
            match entry {
                Ok(None) => self.reader = None,
                other => return other,
            }
        }
    }
}

impl Iterator for Recording {
    type Item = Result<Entry, RecordingError>;

    /// Ends after the first error: what follows in a broken file cannot be trusted.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if let Some(Err(_)) = &next {
            self.reader = None;
            self.files.clear();
        }
        next
    }
}

#[derive(Clone, Copy)]
enum Format {
    Own,
    Cryptofeed,
    OldCryptofeed,
    Hft,
    Frames,
}

impl Reader {
    fn check(file: &Path) -> Result<Format, RecordingError> {
        let mut lines = Lines::open(file)?;
        let format = lines.next()?.map(|line| {
            let known = [
                (Format::Own, line.starts_with(SIGNATURE)),
                (Format::Hft, hft::recognises(line)),
                (Format::Cryptofeed, cryptofeed::recognises(line)),
                (Format::OldCryptofeed, cryptofeed_old::recognises(line)),
                (Format::Frames, frames::recognises(line)),
            ];
            known.into_iter().find(|(_, recognised)| *recognised).map(|(format, _)| format)
        });
        if format.is_none() && lines.take_tear().is_none() {
            return Err(RecordingError::new(file, 0, ErrorKind::Empty));
        }
        format.flatten().ok_or_else(|| RecordingError::new(file, 0, ErrorKind::UnknownFormat))
    }

    fn open(file: &Path) -> Result<Self, RecordingError> {
        Ok(match Self::check(file)? {
            Format::Own => Self::Own(OwnReader::new(Lines::open(file)?)?),
            Format::Cryptofeed => Self::Cryptofeed(CryptofeedReader::open(file)?),
            Format::OldCryptofeed => Self::OldCryptofeed(OldCryptofeedReader::new(Lines::open(file)?)),
            Format::Hft => Self::Hft(HftReader::new(Lines::open(file)?)),
            Format::Frames => Self::Frames(FramesReader::open(file)?),
        })
    }

    fn next(&mut self) -> Result<Option<Entry>, RecordingError> {
        match self {
            Self::Own(reader) => reader.next(),
            Self::Cryptofeed(reader) => reader.next(),
            Self::OldCryptofeed(reader) => reader.next(),
            Self::Hft(reader) => reader.next(),
            Self::Frames(reader) => Ok(reader.next()),
        }
    }

    fn take_tear(&mut self) -> Option<Tear> {
        match self {
            Self::Own(reader) => reader.take_tear(),
            Self::Cryptofeed(reader) => reader.take_tear(),
            Self::OldCryptofeed(reader) => reader.take_tear(),
            Self::Hft(reader) => reader.take_tear(),
            Self::Frames(_) => None,
        }
    }
}
