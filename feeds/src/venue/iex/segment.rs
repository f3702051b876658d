//! IEX-TP, the transport. In: one UDP payload. Out: its header, its messages, and whether it continues the stream.
//! Pure; bounded by the payload. Little-endian, see the "IEX Transport Protocol" specification.

use wire::event::Nanos;

const HEADER_BYTES: usize = 40;
const VERSION: u8 = 1;
/// No copy of a segment is so late.
const RESTART_AFTER_NS: Nanos = 1_000_000_000;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the protocol above.
    pub protocol: u16,
    pub channel: u32,
    pub session: u32,
    /// Bytes of all messages with their lengths.
    pub payload_bytes: u16,
    /// Messages in this segment; 0 is a heartbeat.
    pub count: u16,
    /// Bytes of the stream before this segment.
    pub offset: i64,
    /// Number of the first message; of a heartbeat: of the message to come.
    pub first: i64,
    pub sent: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("shorter than a segment's header")]
    Short,
    #[error("not version 1 of IEX-TP")]
    Version,
}

/// Reads the header; the messages are read one by one.
pub fn parse(payload: &[u8]) -> Result<(Header, Messages<'_>), SegmentError> {
    let header: &[u8; HEADER_BYTES] = payload.first_chunk().ok_or(SegmentError::Short)?;
    if header[0] != VERSION {
        return Err(SegmentError::Version);
    }
    let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let header = Header {
        protocol: u16_at(2),
        channel: u32_at(header, 4),
        session: u32_at(header, 8),
        payload_bytes: u16_at(12),
        count: u16_at(14),
        offset: i64_at(header, 16),
        first: i64_at(header, 24),
        sent: i64_at(header, 32),
    };
    Ok((header, Messages { rest: &payload[HEADER_BYTES..], left: header.count }))
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn i64_at(header: &[u8; HEADER_BYTES], at: usize) -> i64 {
    (u64::from(u32_at(header, at)) | u64::from(u32_at(header, at + 4)) << 32).cast_signed()
}

/// The messages of a segment, in order, each cut to its own length.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    left: u16,
}

impl Messages<'_> {
    /// How many messages the segment promised and does not hold: its capture was cut short.
    pub fn missing(&self) -> u16 {
        self.left
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let (length, rest) = self.rest.split_first_chunk()?;
        let (message, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        self.rest = rest;
        self.left -= 1;
        Some(message)
    }
}

/// Where a segment lies in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The first segment seen of a session that began earlier: what was before is not known.
    Middle,
    /// The stream begins here, with its first message.
    Begin,
    /// It continues the last one.
    Next,
    /// `missing` messages lie between the last one and this one; `None` if only the bytes say that something is missing.
    Gap { missing: Option<u64> },
    /// Seen before, wholly.
    Duplicate,
    /// So many of its first messages were seen before.
    Overlap { seen: u16 },
}

/// Follows one stream (a channel of a session).
#[derive(Clone, Copy, Debug, Default)]
pub struct Continuity {
    last: Option<Expected>,
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    channel: u32,
    session: u32,
    first: i64,
    offset: i64,
    sent: Nanos,
}

impl Continuity {
    /// Places a segment, and follows it unless it is old.
    pub fn step(&mut self, header: &Header) -> Position {
        let position = self.look(header);
        let next = Expected {
            channel: header.channel,
            session: header.session,
            first: header.first.saturating_add(i64::from(header.count)),
            offset: header.offset.saturating_add(i64::from(header.payload_bytes)),
            sent: header.sent,
        };
        self.last = match (position, self.last) {
            (Position::Duplicate, last) => last,
            // Sent again, so its time says nothing about what comes after it.
            (Position::Overlap { .. }, Some(last)) => Some(Expected { sent: last.sent.max(next.sent), ..next }),
            _ => Some(next),
        };
        position
    }

    fn look(&self, header: &Header) -> Position {
        let begins = if header.first <= 1 { Position::Begin } else { Position::Middle };
        let Some(last) = self.last else { return begins };
        if (header.channel, header.session) != (last.channel, last.session) {
            return begins;
        }
        if header.first > last.first {
            return Position::Gap { missing: Some(header.first.abs_diff(last.first)) };
        }
        if header.first == last.first {
            return if header.offset == last.offset { Position::Next } else { Position::Gap { missing: None } };
        }
        // Numbers that run back: either bytes that came twice or late, or a stream that begins anew within its session (a restart of
        // the sender). Only the latter is sent later than all before; if its first segments are lost, by the time a restart takes.
        let later = header.sent.saturating_sub(last.sent);
        if later > RESTART_AFTER_NS || (later > 0 && header.first <= 1) {
            return begins;
        }
        let seen = last.first.abs_diff(header.first);
        match u16::try_from(seen) {
            Ok(seen) if seen < header.count => Position::Overlap { seen },
            _ => Position::Duplicate,
        }
    }
}
