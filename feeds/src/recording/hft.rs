//! In: hftbacktest's capture, `<receive ns> <message>` lines with REST snapshots inline. Out: entries.
//! Bounded by `MAX_WAITING` snapshots that came before the first message, and `MAX_SYMBOLS` remembered symbols.
//!
//! An inline snapshot (`{"lastUpdateId":…`) does not say whose it is. Its symbol is the one whose update ids run closest to it:
//! ids of different symbols lie far apart, and a capture of one symbol needs no guess at all.

use super::error::{ErrorKind, RecordingError, Tear};
use super::lines::Lines;
use super::{Body, Entry};
use std::collections::VecDeque;
use wire::event::Nanos;

const SNAPSHOT: &[u8] = b"{\"lastUpdateId\":";
const MAX_WAITING: usize = 64;
const MAX_SYMBOLS: usize = 4096;

pub(super) struct HftReader {
    lines: Lines,
    /// Newest update id of each symbol seen so far.
    symbols: Vec<(String, u64)>,
    /// Snapshots whose symbol is not known yet, and what came after them.
    waiting: VecDeque<(Nanos, Vec<u8>)>,
    ready: VecDeque<Entry>,
}

/// True if `line` is one of this format.
pub(super) fn recognises(line: &[u8]) -> bool {
    split(line).is_some()
}

impl HftReader {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, symbols: Vec::new(), waiting: VecDeque::new(), ready: VecDeque::new() }
    }

    pub(super) fn take_tear(&mut self) -> Option<Tear> {
        self.lines.take_tear()
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, RecordingError> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            let number = self.lines.number() + 1;
            let file = self.lines.file().to_owned();
            let Some(line) = self.lines.next()? else {
                return Ok(self.waiting.pop_front().map(|(time, bytes)| snapshot(time, "", bytes)));
            };
            let (time, message) =
                split(line).ok_or_else(|| RecordingError::malformed(&file, number, "expected '<receive ns> <message>'"))?;
            if message.starts_with(SNAPSHOT) {
                let bytes = message.to_vec();
                match self.owner_of(&bytes) {
                    Some(symbol) => return Ok(Some(snapshot(time, &symbol, bytes))),
                    None if self.waiting.len() < MAX_WAITING => self.waiting.push_back((time, bytes)),
                    None => return Err(RecordingError::new(&file, number, ErrorKind::TooLong)),
                }
                continue;
            }
            let entry = Entry { time, body: Body::Received { line: 0, bytes: message.to_vec() } };
            if let Some((symbol, id)) = symbol_and_id(message) {
                note(&mut self.symbols, symbol, id);
            }
            self.release();
            self.ready.push_back(entry);
        }
    }

    /// The first message tells whose the snapshots before it are.
    fn release(&mut self) {
        while !self.symbols.is_empty()
            && let Some((time, bytes)) = self.waiting.pop_front()
        {
            let symbol = self.owner_of(&bytes).unwrap_or_default();
            self.ready.push_back(snapshot(time, &symbol, bytes));
        }
    }

    fn owner_of(&self, bytes: &[u8]) -> Option<String> {
        let id = number_after(bytes, SNAPSHOT)?;
        self.symbols.iter().min_by_key(|(_, last)| last.abs_diff(id)).map(|(symbol, _)| symbol.clone())
    }
}

fn snapshot(time: Nanos, symbol: &str, bytes: Vec<u8>) -> Entry {
    Entry { time, body: Body::Response { url: format!("/api/v3/depth?symbol={symbol}"), status: 200, bytes } }
}

fn split(line: &[u8]) -> Option<(Nanos, &[u8])> {
    let space = memchr::memchr(b' ', line)?;
    let (time, message) = (&line[..space], &line[space + 1..]);
    let time: Nanos = std::str::from_utf8(time).ok()?.parse().ok()?;
    (time > 0 && message.first() == Some(&b'{')).then_some((time, message))
}

fn note(symbols: &mut Vec<(String, u64)>, symbol: &str, id: Option<u64>) {
    let at = match symbols.iter().position(|(known, _)| known == symbol) {
        Some(at) => at,
        None if symbols.len() < MAX_SYMBOLS => {
            symbols.push((symbol.to_owned(), 0));
            symbols.len() - 1
        }
        None => return,
    };
    if let Some(id) = id {
        symbols[at].1 = id;
    }
}

/// `"s":"BTCUSDT"` and `"u":123` of a message, found without parsing it.
fn symbol_and_id(message: &[u8]) -> Option<(&str, Option<u64>)> {
    let start = memchr::memmem::find(message, b"\"s\":\"")? + 5;
    let end = start + memchr::memchr(b'"', &message[start..])?;
    let symbol = std::str::from_utf8(&message[start..end]).ok()?;
    Some((symbol, number_after(message, b"\"u\":")))
}

fn number_after(bytes: &[u8], key: &[u8]) -> Option<u64> {
    let rest = &bytes[memchr::memmem::find(bytes, key)? + key.len()..];
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}
