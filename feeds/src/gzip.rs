//! Messages that a venue packs one by one with gzip. In: a message. Out: what it unpacks to, with the state and the memory of the
//! message before. Bounded by the limit the caller gives. Checks length and CRC32, so a torn message is none.
//!
//! Source: RFC 1952.

use flate2::{Decompress, FlushDecompress, Status};

const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
const HAS_HEADER_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
/// What a first message is given room for.
const FIRST_BYTES: usize = 16 * 1024;

pub struct Unpacker {
    state: Decompress,
    unpacked: Vec<u8>,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { state: Decompress::new(false), unpacked: Vec::new() }
    }
}

impl Unpacker {
    /// True if it begins as gzip does.
    pub fn is_packed(payload: &[u8]) -> bool {
        payload.starts_with(&[0x1f, 0x8b])
    }

    /// What is in a packed message; `None`: it is none, torn, or longer than `limit`.
    pub fn unpack(&mut self, payload: &[u8], limit: usize) -> Option<&[u8]> {
        let (body, trailer) = body(payload)?;
        self.inflate(body, trailer, limit).then_some(&self.unpacked)
    }

    fn inflate(&mut self, body: &[u8], trailer: &[u8; TRAILER_BYTES], limit: usize) -> bool {
        self.state.reset(false);
        self.unpacked.clear();
        loop {
            if self.unpacked.len() == self.unpacked.capacity() {
                self.unpacked.reserve(self.unpacked.len().max(FIRST_BYTES));
            }
            let taken = usize::try_from(self.state.total_in()).unwrap_or(usize::MAX);
            let before = self.unpacked.len();
            let rest = body.get(taken..).unwrap_or_default();
            match self.state.decompress_vec(rest, &mut self.unpacked, FlushDecompress::None) {
                Ok(Status::StreamEnd) => break,
                // A full buffer is enlarged; without that, or with nothing left to read, no end will come.
                Ok(_) if self.unpacked.len() > limit || (self.unpacked.len() == before && rest.is_empty()) => return false,
                Ok(Status::BufError) if self.unpacked.len() < self.unpacked.capacity() => return false,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        let [a, b, c, d, length @ ..] = *trailer;
        self.unpacked.len() <= limit
            && self.unpacked.len() as u32 == u32::from_le_bytes(length)
            && crc32fast::hash(&self.unpacked) == u32::from_le_bytes([a, b, c, d])
    }
}

/// What stands between header and trailer, and the trailer.
fn body(packed: &[u8]) -> Option<(&[u8], &[u8; TRAILER_BYTES])> {
    let (packed, trailer) = packed.split_last_chunk()?;
    let (header, mut rest) = packed.split_first_chunk::<HEADER_BYTES>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else { return None };
    if flags & HAS_EXTRA != 0 {
        let (length, after) = rest.split_first_chunk()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            rest = &rest[memchr::memchr(0, rest)? + 1..];
        }
    }
    if flags & HAS_HEADER_CHECKSUM != 0 {
        rest = rest.get(2..)?;
    }
    Some((rest, trailer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder};
    use std::io::Write as _;

    fn packed(text: &[u8], builder: GzBuilder) -> Vec<u8> {
        let mut writer = builder.write(Vec::new(), Compression::default());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn unpacks_one_message_after_the_other() {
        let mut unpacker = Unpacker::default();
        let long = "0123456789".repeat(10_000);
        for text in ["", "{\"ping\":1}", &long, "x"] {
            let builder = GzBuilder::new().filename("name").comment("comment").extra(vec![1, 2, 3]);
            for payload in [packed(text.as_bytes(), GzBuilder::new()), packed(text.as_bytes(), builder)] {
                assert!(Unpacker::is_packed(&payload));
                assert_eq!(unpacker.unpack(&payload, long.len()), Some(text.as_bytes()));
            }
        }
    }

    #[test]
    fn refuses_what_is_torn_altered_or_too_long() {
        let mut unpacker = Unpacker::default();
        let text = "0123456789".repeat(5_000);
        let whole = packed(text.as_bytes(), GzBuilder::new());
        assert!(unpacker.unpack(&whole, text.len() - 1).is_none());
        for end in 0..whole.len() {
            assert!(unpacker.unpack(&whole[..end], text.len()).is_none(), "{end}");
        }
        for at in 10..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            assert!(unpacker.unpack(&altered, text.len()).is_none(), "{at}");
        }
        assert!(unpacker.unpack(&whole, text.len()).is_some(), "and then goes on");
    }
}
