//! In: one plain, gzip or zstd file. Out: its lines and byte runs, and the place where it is torn if it ends in the middle.
//! Bounded by `MAX_RECORD_BYTES` a line and the decompressor's window.

use super::MAX_RECORD_BYTES;
use super::error::{ErrorKind, RecordingError, Tear};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};

/// Larger than the default 8 KiB: messages come in runs, and a decompressor call costs more than the memory.
const BUFFER_BYTES: usize = 64 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

pub(super) struct Lines {
    file: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    number: u64,
    line: Vec<u8>,
    tear: Option<Tear>,
}

impl Lines {
    pub(super) fn open(file: &Path) -> Result<Self, RecordingError> {
        let reader = decompressed(file).map_err(|error| RecordingError::new(file, 0, error))?;
        Ok(Self {
            file: file.to_owned(),
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            number: 0,
            line: Vec::new(),
            tear: None,
        })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Number of the line returned last; the first is 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn count_record(&mut self) {
        self.number += 1;
    }

    pub(super) fn take_tear(&mut self) -> Option<Tear> {
        self.tear.take()
    }

    /// The next line without its end, or `None` at the end of the file (`take_tear` tells whether that was a clean end).
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, RecordingError> {
        if !self.fill_line()? {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(&self.line))
    }

    /// A line that is part of a record: not counted, and torn if it has no end.
    pub(super) fn header(&mut self) -> Result<Option<&[u8]>, RecordingError> {
        Ok(if self.fill_line()? { Some(&self.line) } else { None })
    }

    /// Exactly `length` bytes and a line end, or `None` if the file ends before.
    pub(super) fn run(&mut self, length: usize) -> Result<Option<Vec<u8>>, RecordingError> {
        if length > MAX_RECORD_BYTES {
            return Err(RecordingError::new(&self.file, self.number + 1, ErrorKind::TooLong));
        }
        let mut bytes = vec![0; length + 1];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) if bytes.pop() == Some(b'\n') => Ok(Some(bytes)),
            Ok(()) => Err(RecordingError::malformed(&self.file, self.number + 1, "a record does not end where its length says")),
            Err(error) => self.torn(error).map(|()| None),
        }
    }

    /// All that is left of the file.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, RecordingError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(MAX_RECORD_BYTES as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| RecordingError::new(&self.file, self.number + 1, error))?;
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordingError::new(&self.file, self.number + 1, ErrorKind::TooLong));
        }
        Ok(bytes)
    }

    /// Notes that the file ends in the middle of something.
    pub(super) fn tear_here(&mut self, reason: &str) {
        self.tear = Some(Tear { file: self.file.clone(), line: self.number, reason: reason.to_owned() });
    }

    fn fill_line(&mut self) -> Result<bool, RecordingError> {
        self.line.clear();
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == IoKind::Interrupted => continue,
                Err(error) => return self.torn(error).map(|()| false),
            };
            if chunk.is_empty() {
                if !self.line.is_empty() {
                    // A last line without an end: whole only if its writer meant it so, which nobody can tell.
                    self.tear_here("the last line has no end");
                }
                return Ok(false);
            }
            let end = memchr::memchr(b'\n', chunk);
            let length = end.unwrap_or(chunk.len());
            if self.line.len() + length > MAX_RECORD_BYTES {
                return Err(RecordingError::new(&self.file, self.number + 1, ErrorKind::TooLong));
            }
            self.line.extend_from_slice(&chunk[..length]);
            self.reader.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// A compressed file that stops in the middle is torn (its recorder was killed); anything else is an error.
    fn torn(&mut self, error: io::Error) -> Result<(), RecordingError> {
        if error.kind() != IoKind::UnexpectedEof {
            return Err(RecordingError::new(&self.file, self.number + 1, error));
        }
        self.tear_here("the file ends early");
        Ok(())
    }
}

/// The file as bytes, unpacked if it is packed.
pub(crate) fn decompressed(file: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut input = File::open(file)?;
    let mut magic = Vec::with_capacity(ZSTD_MAGIC.len());
    input.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let whole: Chain<Cursor<Vec<u8>>, File> = Cursor::new(magic.clone()).chain(input);
    Ok(if magic.starts_with(&ZSTD_MAGIC) {
        Box::new(zstd::stream::read::Decoder::new(whole)?)
    } else if magic.starts_with(&GZIP_MAGIC) {
        // Rotated captures are often several gzip members one after the other.
        Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(whole)))
    } else {
        Box::new(whole)
    })
}
