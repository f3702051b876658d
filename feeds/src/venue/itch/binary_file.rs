//! Nasdaq's BinaryFILE: a length of two bytes, that many bytes of a message, and so on; a length of 0 ends the session.
//! In: any source of bytes. Out: one message at a time. Bounded by `BUFFER_BYTES`.

use std::io::{self, ErrorKind, Read};

/// Many times the longest frame (64 KiB), so that little is moved for what is cut at its end.
const BUFFER_BYTES: usize = 1 << 20;

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Framing<'a> {
    Message(&'a [u8]),
    EndOfSession,
    EndOfFile,
    /// The file ends in the middle of a message, this many bytes after its last whole one.
    Torn(usize),
}

pub struct BinaryFile<R> {
    source: R,
    buffer: Vec<u8>,
    /// What was read and not handed out yet.
    from: usize,
    to: usize,
    over: bool,
}

impl<R: Read> BinaryFile<R> {
    pub fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BUFFER_BYTES], from: 0, to: 0, over: false }
    }

    #[inline]
    pub fn read(&mut self) -> io::Result<Framing<'_>> {
        let Some(length) = self.length(2)?.then(|| u16::from_be_bytes([self.buffer[self.from], self.buffer[self.from + 1]]))
        else {
            return Ok(if self.to == self.from { Framing::EndOfFile } else { Framing::Torn(self.to - self.from) });
        };
        let end = 2 + usize::from(length);
        if !self.length(end)? {
            return Ok(Framing::Torn(self.to - self.from));
        }
        let start = self.from + 2;
        self.from += end;
        match length {
            0 => Ok(Framing::EndOfSession),
            _ => Ok(Framing::Message(&self.buffer[start..self.from])),
        }
    }

    /// True if so many bytes are there.
    #[inline]
    fn length(&mut self, wanted: usize) -> io::Result<bool> {
        if self.to - self.from < wanted {
            self.fill(wanted)?;
        }
        Ok(self.to - self.from >= wanted)
    }

    #[cold]
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        while self.to < wanted && !self.over {
            match self.source.read(&mut self.buffer[self.to..]) {
                Ok(0) => self.over = true,
                Ok(read) => self.to += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Appends a message as it stands in a file.
pub fn put(message: &[u8], file: &mut Vec<u8>) {
    // Longer ones cannot be written; ITCH has none.
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    file.extend_from_slice(&length.to_be_bytes());
    file.extend_from_slice(&message[..usize::from(length)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives few bytes at a time, and says so.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.0.len().min(3).min(buffer.len());
            buffer[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    #[test]
    fn messages_come_whole() {
        let mut bytes = Vec::new();
        put(b"hello", &mut bytes);
        put(&[7; 3_000], &mut bytes);
        put(b"", &mut bytes);
        put(b"x", &mut bytes);
        let mut file = BinaryFile::new(Trickle(&bytes));
        assert_eq!(file.read().unwrap(), Framing::Message(b"hello"));
        assert_eq!(file.read().unwrap(), Framing::Message(&[7; 3_000]));
        assert_eq!(file.read().unwrap(), Framing::EndOfSession);
        assert_eq!(file.read().unwrap(), Framing::Message(b"x"));
        assert_eq!(file.read().unwrap(), Framing::EndOfFile);
        assert_eq!(file.read().unwrap(), Framing::EndOfFile);
        for (cut, left) in [(bytes.len() - 1, 2), (bytes.len() - 2, 1), (4, 4)] {
            let mut file = BinaryFile::new(&bytes[..cut]);
            let torn = loop {
                match file.read().unwrap() {
                    Framing::Torn(left) => break left,
                    Framing::EndOfFile => panic!("the tear was missed"),
                    _ => {}
                }
            };
            assert_eq!(torn, left);
        }
    }
}
