//! In: what is wrong with a configuration. Out: one line with file, line, column, key, fault and remedy. Bounded: one fault, the first.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where the faulty value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File(PathBuf),
    /// Line and column count from 1; the column counts characters.
    Line {
        file: PathBuf,
        line: usize,
        column: usize,
    },
    /// An environment variable.
    Variable(String),
}

/// `FILE:LINE:COLUMN: KEY: what is wrong; how to mend it`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) origin: Origin,
    /// Path of the key, for example `feeds[0].venue`; empty for faults of the file as a whole.
    pub(super) key: String,
    pub(super) what: String,
    /// Empty where the fault says it all.
    pub(super) remedy: String,
}

impl ConfigError {
    pub(super) fn file(file: &Path, what: impl fmt::Display, remedy: &str) -> Self {
        Self { origin: Origin::File(file.to_owned()), key: String::new(), what: what.to_string(), remedy: remedy.to_owned() }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn line(&self) -> Option<usize> {
        match self.origin {
            Origin::Line { line, .. } => Some(line),
            _ => None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(file) => write!(f, "{}: ", file.display())?,
            Origin::Line { file, line, column } => write!(f, "{}:{line}:{column}: ", file.display())?,
            Origin::Variable(name) => write!(f, "environment variable {name}: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        // Parsers may answer with several lines; a fault is one.
        let mut lines = self.what.lines().map(str::trim).filter(|line| !line.is_empty());
        f.write_str(lines.next().unwrap_or("not usable"))?;
        lines.try_for_each(|line| write!(f, ", {line}"))?;
        match self.remedy.as_str() {
            "" => Ok(()),
            remedy => write!(f, "; {remedy}"),
        }
    }
}

impl std::error::Error for ConfigError {}
