//! One frame: header, chunks of all due topics, trailer. In: chunks. Out: one contiguous buffer, reused from frame to frame.
//! Bounded by the session's `frame_bytes`, beyond which only a first chunk may go.

use crate::encode::Chunk;
use wire::codec::frame as layout;
use wire::codec::{self, Context};
use wire::event::{Flags, Nanos};
use wire::record::{Meta, Record, RecordBody};
use wire::request::{Encoding, Reply};

/// Room for the largest WebSocket header of an unmasked frame, in front of the payload.
const HEADER_ROOM: usize = 10;

/// Builds one frame after another. It belongs to the shard's pool, and to a session only while its frame is on its way.
pub struct FrameBuilder {
    buffer: Vec<u8>,
    encoding: Encoding,
    base_second: i64,
    limit: usize,
    /// Publish times of its realtime chunks, for the latency histogram: a chosen pace is no latency.
    pub realtime_published: Vec<Nanos>,
    pub records: u64,
    pub merged: u64,
    pub gaps: u64,
    pub snapshots: u64,
    pub checks: u64,
}

impl FrameBuilder {
    pub fn new(encoding: Encoding, limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            encoding,
            base_second: 0,
            limit,
            realtime_published: Vec::new(),
            records: 0,
            merged: 0,
            gaps: 0,
            snapshots: 0,
            checks: 0,
        }
    }

    /// Begins frame `number`, to be sent at `sent`.
    pub fn begin(&mut self, number: u64, sent: Nanos) {
        self.buffer.clear();
        self.buffer.resize(HEADER_ROOM, 0);
        self.realtime_published.clear();
        (self.records, self.merged, self.gaps, self.snapshots, self.checks) = (0, 0, 0, 0, 0);
        self.base_second = layout::base_second(sent);
        layout::put_header(&mut self.buffer, self.encoding, number, sent);
    }

    /// A whole frame with this and no data.
    pub fn put_reply(&mut self, reply: &Reply) {
        self.buffer.clear();
        self.buffer.resize(HEADER_ROOM, 0);
        self.encoding = Encoding::Json;
        serde_json::to_writer(&mut self.buffer, reply).expect("replies are plain data");
    }

    pub fn base_second(&self) -> i64 {
        // JSON spells absolute times: one chunk serves every second.
        match self.encoding {
            Encoding::Binary => self.base_second,
            Encoding::Json => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of payload so far.
    pub fn len(&self) -> usize {
        self.buffer.len() - HEADER_ROOM
    }

    pub fn fits(&self, bytes: usize) -> bool {
        self.is_empty() || self.len() + bytes <= self.limit
    }

    #[inline]
    pub fn push(&mut self, chunk: &Chunk, realtime: bool) {
        self.buffer.extend_from_slice(&chunk.bytes);
        // A snapshot answers a request: its value may be old, which says nothing about how fast we are.
        if realtime && chunk.snapshots == 0 {
            self.realtime_published.push(chunk.published);
        }
        self.records += u64::from(chunk.records);
        self.merged += chunk.merged;
        self.gaps += u64::from(chunk.gaps);
        self.snapshots += u64::from(chunk.snapshots);
    }

    pub fn push_check(&mut self, meta: &Meta, hash: u32) {
        let record =
            Record { topic: meta.topic, flags: Flags::default(), sequence: 0, time: 0, body: RecordBody::Check { hash } };
        codec::put(&mut self.buffer, self.encoding, &Context { base_second: self.base_second, meta }, &record);
        self.checks += 1;
    }

    /// Ends the frame; payload size in bytes.
    pub fn end(&mut self) -> usize {
        layout::put_trailer(&mut self.buffer, self.encoding);
        self.len()
    }

    /// The payload alone (server-sent events).
    pub fn payload(&self) -> &[u8] {
        &self.buffer[HEADER_ROOM..]
    }

    /// The payload behind its WebSocket header (RFC 6455, 5.2: FIN, no mask), ready to be written as it is.
    pub fn websocket(&mut self) -> &[u8] {
        let length = self.len();
        let opcode = match self.encoding {
            Encoding::Binary => 0x82,
            Encoding::Json => 0x81,
        };
        let start = match length {
            0..=125 => {
                self.buffer[HEADER_ROOM - 1] = length as u8;
                HEADER_ROOM - 2
            }
            126..=0xffff => {
                self.buffer[HEADER_ROOM - 3] = 126;
                self.buffer[HEADER_ROOM - 2..HEADER_ROOM].copy_from_slice(&(length as u16).to_be_bytes());
                HEADER_ROOM - 4
            }
            _ => {
                self.buffer[HEADER_ROOM - 9] = 127;
                self.buffer[HEADER_ROOM - 8..HEADER_ROOM].copy_from_slice(&(length as u64).to_be_bytes());
                HEADER_ROOM - 10
            }
        };
        self.buffer[start] = opcode;
        &self.buffer[start..]
    }

    /// The next frames hold no more than this, but for a first chunk that is larger.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// The next frame is for a session of this encoding.
    pub fn set_encoding(&mut self, encoding: Encoding) {
        self.encoding = encoding;
    }

    /// Memory that it holds on to.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity() + self.realtime_published.capacity() * size_of::<Nanos>()
    }
}
