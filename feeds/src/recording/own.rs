//! Our own recording format, both ways. In: framed records. Out: entries, to the byte.
//! Bounded by `MAX_RECORD_BYTES` a record.
//!
//! The file (zstd, one or more frames) starts with the line `tickwire-recording 1 VENUE`. Then one record after the other:
//!
//! ```text
//! R <time ns> <line> <length>\n<bytes>\n                      received
//! S <time ns> <line> <length>\n<bytes>\n                      sent
//! C <time ns> <line> <length>\n<url>\n                        connected
//! X <time ns> <line> <length>\n<reason>\n                     connection ended
//! H <time ns> <status> <url length> <length>\n<url>\n<bytes>\n  REST answer
//! D <time ns> <entries>\n                                     left out: the recorder could not keep up
//! ```
//!
//! Lengths frame the bytes, so nothing is escaped and `zstdcat FILE` is still readable. A file whose recorder was killed ends in
//! the middle: it is read up to there and the tear is reported.

use super::error::{RecordingError, Tear};
use super::lines::Lines;
use super::{Body, Entry};
use std::io::{self, Write};

pub(super) const SIGNATURE: &[u8] = b"tickwire-recording 1 ";

pub(super) struct OwnReader {
    lines: Lines,
}

impl OwnReader {
    /// `lines` stands before the signature line.
    pub(super) fn new(mut lines: Lines) -> Result<Self, RecordingError> {
        lines.header()?;
        Ok(Self { lines })
    }

    pub(super) fn take_tear(&mut self) -> Option<Tear> {
        self.lines.take_tear()
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, RecordingError> {
        let Some(header) = self.lines.header()? else { return Ok(None) };
        let Some(header) = Header::parse(header) else {
            let text = String::from_utf8_lossy(&header[..header.len().min(60)]).into_owned();
            return Err(RecordingError::malformed(
                self.lines.file(),
                self.lines.number() + 1,
                format!("'{text}' does not start a record"),
            ));
        };
        let Some(body) = self.body(&header)? else { return Ok(None) };
        self.lines.count_record();
        Ok(Some(Entry { time: header.time, body }))
    }

    fn body(&mut self, header: &Header) -> Result<Option<Body>, RecordingError> {
        let [first, second, third] = header.numbers;
        if header.code == b'D' {
            return Ok(Some(Body::Dropped { entries: first }));
        }
        if header.code == b'H' {
            let Some(url) = self.text(second)? else { return Ok(None) };
            let Some(bytes) = self.run(third)? else { return Ok(None) };
            return Ok(Some(Body::Response { url, status: first as u16, bytes }));
        }
        let line = first as u32;
        Ok(match header.code {
            b'R' => self.run(second)?.map(|bytes| Body::Received { line, bytes }),
            b'S' => self.run(second)?.map(|bytes| Body::Sent { line, bytes }),
            b'C' => self.text(second)?.map(|url| Body::Connect { line, url }),
            _ => self.text(second)?.map(|reason| Body::Closed { line, reason }),
        })
    }

    fn run(&mut self, length: u64) -> Result<Option<Vec<u8>>, RecordingError> {
        self.lines.run(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn text(&mut self, length: u64) -> Result<Option<String>, RecordingError> {
        let Some(bytes) = self.run(length)? else { return Ok(None) };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(RecordingError::malformed(self.lines.file(), self.lines.number() + 1, "an address that is not UTF-8")),
        }
    }
}

struct Header {
    code: u8,
    time: i64,
    numbers: [u64; 3],
}

impl Header {
    fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let mut words = text.split(' ');
        let code = match words.next()?.as_bytes() {
            [code @ (b'R' | b'S' | b'C' | b'X' | b'H' | b'D')] => *code,
            _ => return None,
        };
        let time = words.next()?.parse().ok()?;
        let count = match code {
            b'D' => 1,
            b'H' => 3,
            _ => 2,
        };
        let mut numbers = [0; 3];
        for number in numbers.iter_mut().take(count) {
            *number = words.next()?.parse().ok()?;
        }
        let narrow = u32::try_from(numbers[0]).is_ok() && (code != b'H' || u16::try_from(numbers[0]).is_ok());
        (words.next().is_none() && (narrow || code == b'D')).then_some(Self { code, time, numbers })
    }
}

/// Writes the first line of a file.
pub(super) fn put_signature(out: &mut impl Write, venue: &str) -> io::Result<()> {
    out.write_all(SIGNATURE)?;
    writeln!(out, "{venue}")
}

/// Writes one record; tells how many bytes it took, before compression.
pub(super) fn put(out: &mut impl Write, entry: &Entry) -> io::Result<u64> {
    let time = entry.time;
    let (header, url, bytes): (String, Option<&str>, &[u8]) = match &entry.body {
        Body::Received { line, bytes } => (format!("R {time} {line} {}\n", bytes.len()), None, bytes),
        Body::Sent { line, bytes } => (format!("S {time} {line} {}\n", bytes.len()), None, bytes),
        Body::Connect { line, url } => (format!("C {time} {line} {}\n", url.len()), None, url.as_bytes()),
        Body::Closed { line, reason } => (format!("X {time} {line} {}\n", reason.len()), None, reason.as_bytes()),
        Body::Response { url, status, bytes } => (format!("H {time} {status} {} {}\n", url.len(), bytes.len()), Some(url), bytes),
        Body::Dropped { entries } => {
            let header = format!("D {time} {entries}\n");
            out.write_all(header.as_bytes())?;
            return Ok(header.len() as u64);
        }
    };
    out.write_all(header.as_bytes())?;
    let mut written = header.len() + bytes.len() + 1;
    if let Some(url) = url {
        out.write_all(url.as_bytes())?;
        out.write_all(b"\n")?;
        written += url.len() + 1;
    }
    out.write_all(bytes)?;
    out.write_all(b"\n")?;
    Ok(written as u64)
}
