//! What can be wrong with a recording, naming file and line. Bounded by one path and one sentence.

use std::path::{Path, PathBuf};

/// A recording that cannot be read (on).
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {kind}", file.display(), at_line(*line))]
pub struct RecordingError {
    pub file: PathBuf,
    /// Line (own format: record) the trouble is in; 0 = the file as a whole.
    pub line: u64,
    pub kind: ErrorKind,
}

#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("not a recording: expected tickwire's own format, cryptofeed JSON lines, or '<ns> <message>' lines")]
    UnknownFormat,
    #[error("the file is empty")]
    Empty,
    #[error("longer than {} bytes", super::MAX_RECORD_BYTES)]
    TooLong,
    #[error("more than {0} connections in one file")]
    TooManyConnections(usize),
    #[error("{0}")]
    Malformed(String),
}

impl RecordingError {
    pub(super) fn new(file: &Path, line: u64, kind: impl Into<ErrorKind>) -> Self {
        Self { file: file.to_owned(), line, kind: kind.into() }
    }

    pub(super) fn malformed(file: &Path, line: u64, text: impl Into<String>) -> Self {
        Self::new(file, line, ErrorKind::Malformed(text.into()))
    }
}

/// A file that ends in the middle: everything before was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tear {
    pub file: PathBuf,
    /// The last whole line (own format: record).
    pub line: u64,
    pub reason: String,
}

impl std::fmt::Display for Tear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: torn after line {}: {}; everything before it was read", self.file.display(), self.line, self.reason)
    }
}

fn at_line(line: u64) -> String {
    if line == 0 { String::new() } else { format!(": line {line}") }
}
