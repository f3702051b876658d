//! In: a frame's number and the time it is sent. Out: the bytes around its records; and back.
//! Bounded: at most 31 header bytes in binary, 80 in JSON.

use super::error::Problem;
use super::varint::{Reader, put_u64};
use crate::event::Nanos;
use crate::request::Encoding;

/// Protocol version in the high nibble of a binary frame's first byte.
pub const VERSION: u8 = 1;

const SECOND_NS: i64 = 1_000_000_000;

/// What stands before the records of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHeader {
    /// Counts the data frames of the connection from 1; a jump is a loss.
    pub number: u64,
    /// Unix second the frame was sent in; binary record times are relative to it.
    pub base_second: i64,
    /// When the frame was handed to the socket; whole microseconds in binary.
    pub sent: Nanos,
}

/// The second to encode records against that go into a frame sent at `sent`.
pub const fn base_second(sent: Nanos) -> i64 {
    // Frames are never sent before 1970; a broken clock must still make a readable frame.
    if sent < 0 { 0 } else { sent / SECOND_NS }
}

pub fn put_header(out: &mut Vec<u8>, encoding: Encoding, number: u64, sent: Nanos) {
    let sent = sent.max(0);
    match encoding {
        Encoding::Binary => {
            out.push(VERSION << 4);
            put_u64(out, number);
            put_u64(out, (sent / SECOND_NS) as u64);
            put_u64(out, (sent % SECOND_NS / 1000) as u64);
        }
        Encoding::Json => {
            let mut digits = itoa::Buffer::new();
            out.extend_from_slice(b"{\"frame\":");
            out.extend_from_slice(digits.format(number).as_bytes());
            out.extend_from_slice(b",\"sent\":\"");
            out.extend_from_slice(digits.format(sent).as_bytes());
            out.extend_from_slice(b"\",\"data\":[");
        }
    }
}

/// Ends a frame: nothing in binary; in JSON the last record's comma goes and the brackets close.
pub fn put_trailer(out: &mut Vec<u8>, encoding: Encoding) {
    if encoding == Encoding::Json {
        if out.last() == Some(&b',') {
            out.pop();
        }
        out.extend_from_slice(b"]}");
    }
}

pub(super) fn read_header(reader: &mut Reader<'_>) -> Result<FrameHeader, Problem> {
    let head = reader.u8()?;
    if head >> 4 != VERSION {
        return Err(Problem::Version(head >> 4));
    }
    if head & 0x0f != 0 {
        return Err(Problem::FrameFlags(head & 0x0f));
    }
    let number = reader.u64("frame number")?;
    let base_second = reader.u64("base second")?;
    let micros = reader.u64("microseconds")?;
    let sent = i128::from(base_second) * i128::from(SECOND_NS) + i128::from(micros) * 1000;
    let sent = Nanos::try_from(sent).map_err(|_| Problem::OutOfRange("sent"))?;
    Ok(FrameHeader { number, base_second: base_second as i64, sent })
}
