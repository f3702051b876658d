//! In: cryptofeed's raw capture in its older format, one file a connection. Out: entries. Bounded by one line.
//!
//! `X.0` holds what was sent and fetched: `URL <-> time` (a connect), `URL <- time: message` (sent), `URL -> time: answer` (REST) and
//! one `configuration: …`. `X.ws.N.0` holds what came on connection N: `time: message`. A file tells its connection by name only; the
//! connects are numbered from 0 in the other file, and a replay finds the line for either. Files are read one after the other, so a
//! capture of several connections comes connection by connection.

use super::error::RecordingError;
use super::lines::Lines;
use super::{Body, Entry};
use crate::time::seconds;
use wire::event::Nanos;

pub(super) struct OldCryptofeedReader {
    lines: Lines,
    /// Of received messages.
    line: u32,
    connects: u32,
}

/// True if `line` is one of this format.
pub(super) fn recognises(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| line.starts_with(CONFIGURATION) || parse(line).is_some())
}

const CONFIGURATION: &str = "configuration: ";

enum Parsed<'a> {
    Connect(&'a str),
    Sent(&'a str),
    Response { url: &'a str, text: &'a str },
    Received(&'a str),
}

fn parse(line: &str) -> Option<(Nanos, Parsed<'_>)> {
    if line.starts_with(|first: char| first.is_ascii_digit()) {
        let (time, text) = line.split_once(": ")?;
        // Whole nanoseconds are another format's.
        return Some((seconds(time).filter(|_| time.contains('.'))?, Parsed::Received(text)));
    }
    let (url, rest) = line.split_once(' ').filter(|(url, _)| url.contains("://"))?;
    let (arrow, rest) = rest.split_once(' ')?;
    if arrow == "<->" {
        return Some((seconds(rest)?, Parsed::Connect(url)));
    }
    let (time, text) = rest.split_once(": ")?;
    let parsed = match arrow {
        "<-" => Parsed::Sent(text),
        "->" => Parsed::Response { url, text },
        _ => return None,
    };
    Some((seconds(time)?, parsed))
}

/// The N of `….ws.N.…`.
fn number_in(name: &str) -> Option<u32> {
    name.split_once(".ws.").and_then(|(_, rest)| rest.split('.').next()).and_then(|number| number.parse().ok())
}

impl OldCryptofeedReader {
    pub(super) fn new(lines: Lines) -> Self {
        let line = lines.file().file_name().and_then(|name| number_in(&name.to_string_lossy())).unwrap_or(0);
        Self { lines, line, connects: 0 }
    }

    pub(super) fn take_tear(&mut self) -> Option<super::Tear> {
        self.lines.take_tear()
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, RecordingError> {
        loop {
            let number = self.lines.number() + 1;
            let file = self.lines.file().to_owned();
            let Some(line) = self.lines.next()? else { return Ok(None) };
            let text = std::str::from_utf8(line).map_err(|error| RecordingError::malformed(&file, number, error.to_string()))?;
            if text.starts_with(CONFIGURATION) {
                continue;
            }
            let (time, parsed) =
                parse(text).ok_or_else(|| RecordingError::malformed(&file, number, "neither a message nor a request"))?;
            let body = match parsed {
                Parsed::Connect(url) => {
                    self.connects += 1;
                    Body::Connect { line: self.connects - 1, url: url.to_owned() }
                }
                Parsed::Sent(text) => Body::Sent { line: self.connects.saturating_sub(1), bytes: text.as_bytes().to_vec() },
                Parsed::Response { url, text } => {
                    Body::Response { url: url.to_owned(), status: 200, bytes: text.as_bytes().to_vec() }
                }
                Parsed::Received(text) => Body::Received { line: self.line, bytes: text.as_bytes().to_vec() },
            };
            return Ok(Some(Entry { time, body }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| -> Vec<Entry> {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            let mut reader = OldCryptofeedReader::new(Lines::open(&file).unwrap());
            std::iter::from_fn(|| reader.next().unwrap()).collect()
        };
        let first =
            "https://a/products -> 1.5: [{}]\nconfiguration: {}\nwss://a <-> 2.5\nwss://a <- 3.25: {\"type\":\"subscribe\"}\n";
        let second = 1_000_000_000;
        assert_eq!(
            read("A.0", first),
            [
                Entry {
                    time: second * 3 / 2,
                    body: Body::Response { url: "https://a/products".to_owned(), status: 200, bytes: b"[{}]".to_vec() }
                },
                Entry { time: second * 5 / 2, body: Body::Connect { line: 0, url: "wss://a".to_owned() } },
                Entry { time: second * 13 / 4, body: Body::Sent { line: 0, bytes: b"{\"type\":\"subscribe\"}".to_vec() } },
            ]
        );
        let received = read("A.ws.28.0", "4.5: {\"a\": 1}\n");
        assert_eq!(received, [Entry { time: second * 9 / 2, body: Body::Received { line: 28, bytes: b"{\"a\": 1}".to_vec() } }]);
        assert!(recognises(first.as_bytes()) && recognises(b"1618677817.061845: {}"));
        for other in ["1723161255030314667 {\"a\":1}", "{\"t\":\"header\"}", "[package]", "name: value", "2021: x", ""] {
            assert!(!recognises(other.as_bytes()), "{other}");
        }
    }
}
