//! In: a capture of one connection as one JSON object, `{captured_utc, endpoint, raw_text: [message, …]}`. Out: entries.
//! Bounded by `MAX_RECORD_BYTES` of JSON, which is held whole.
//!
//! The capture keeps no receive times: each message is given that of the capture's start and a millisecond more than the one before.

use super::error::RecordingError;
use super::lines::Lines;
use super::{Body, Entry};
use crate::time::rfc3339;
use serde::Deserialize;
use std::path::Path;
use wire::event::Nanos;

const STEP: Nanos = 1_000_000;

pub(super) struct FramesReader {
    entries: std::vec::IntoIter<Entry>,
}

#[derive(Deserialize)]
struct Capture {
    captured_utc: String,
    endpoint: String,
    raw_text: Vec<String>,
}

/// True if `line` is the first of this format: an object that is spread over lines.
pub(super) fn recognises(line: &[u8]) -> bool {
    line.trim_ascii() == b"{"
}

impl FramesReader {
    pub(super) fn open(file: &Path) -> Result<Self, RecordingError> {
        let json = Lines::open(file)?.rest()?;
        let capture: Capture =
            serde_json::from_slice(&json).map_err(|error| RecordingError::malformed(file, 1, error.to_string()))?;
        // `+00:00` is how Python writes UTC.
        let start = rfc3339(&capture.captured_utc.replace("+00:00", "Z"));
        let mut entries = vec![Entry { time: start, body: Body::Connect { line: 0, url: capture.endpoint } }];
        entries.extend((1i64..).zip(capture.raw_text).map(|(number, text)| Entry {
            time: start + number * STEP,
            body: Body::Received { line: 0, bytes: text.into_bytes() },
        }));
        Ok(Self { entries: entries.into_iter() })
    }

    pub(super) fn next(&mut self) -> Option<Entry> {
        self.entries.next()
    }
}
