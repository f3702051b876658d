//! The chunk cache of one topic on one shard. In: where a subscriber stands. Out: the bytes that bring it forward.
//! Bounded: `SLOTS` chunks a topic, each at most `MAX_CACHED_BYTES`; larger ones (deep snapshots) are made anew each time.

use crate::topic::{Cursor, Topic};
use wire::codec::{self, Context};
use wire::event::{Flags, Nanos};
use wire::record::{Record, RecordBody};
use wire::request::{Encoding, TradeMode};

/// Subscribers of one topic stand at few places: realtime ones at the head, each pace and phase at its own.
const SLOTS: usize = 4;
const MAX_CACHED_BYTES: usize = 8 * 1024;
/// Trades in one chunk; who is further behind gets several chunks.
const MAX_STREAM_RECORDS: usize = 256;

/// Where a subscriber stands and how it wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub cursor: Cursor,
    pub mode: TradeMode,
    pub encoding: Encoding,
    /// The whole second that record times are relative to; part of what makes bytes shareable.
    pub base_second: i64,
}

/// The bytes of all records that bring a subscriber from one cursor to another.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    pub to: Cursor,
    /// Updates that were merged away (sequence advance beyond one per record).
    pub merged: u64,
    pub records: u32,
    pub gaps: u32,
    pub snapshots: u32,
    /// When the newest of it was published.
    pub published: Nanos,
    /// There is more behind it than one chunk may hold.
    pub more: bool,
}

impl Default for Chunk {
    fn default() -> Self {
        Self { bytes: Vec::new(), to: Cursor::NEW, merged: 0, records: 0, gaps: 0, snapshots: 0, published: 0, more: false }
    }
}

struct Slot {
    request: Request,
    version: u64,
    chunk: Chunk,
}

/// Recent chunks of one topic.
#[derive(Default)]
pub struct Chunks {
    slots: Vec<Slot>,
    next: usize,
    check: Option<(u64, u64, Option<u32>)>,
}

impl Chunks {
    /// The chunk for `request`, and whether it was made before. `spare` is working memory, and holds what is not kept.
    pub fn get<'a>(&'a mut self, topic: &Topic, request: Request, spare: &'a mut Chunk) -> (&'a Chunk, bool) {
        // Read before the state: a change in between makes this chunk newer than its version says, never older.
        let version = topic.version();
        if let Some(at) = self.slots.iter().position(|slot| slot.version == version && slot.request == request) {
            return (&self.slots[at].chunk, true);
        }
        encode(topic, request, spare);
        if spare.bytes.len() > MAX_CACHED_BYTES {
            return (spare, false);
        }
        (self.keep(request, version, spare), false)
    }

    /// Hash of the view at `cursor`, worked out once per sequence; `None` unless the cursor is at the head.
    pub fn check(&mut self, topic: &Topic, cursor: &Cursor) -> Option<u32> {
        match self.check {
            Some((epoch, sequence, hash)) if (epoch, sequence) == (cursor.epoch(), cursor.seq()) => hash,
            _ => {
                let hash = topic.check(cursor);
                if hash.is_some() {
                    self.check = Some((cursor.epoch(), cursor.seq(), hash));
                }
                hash
            }
        }
    }

    /// Puts a copy into the next slot. A slot keeps its buffer, so that nothing is allocated once it has its size.
    fn keep(&mut self, request: Request, version: u64, chunk: &Chunk) -> &Chunk {
        if self.slots.len() < SLOTS {
            self.slots.push(Slot { request, version, chunk: chunk.clone() });
            return &self.slots[self.slots.len() - 1].chunk;
        }
        let slot = &mut self.slots[self.next];
        self.next = (self.next + 1) % SLOTS;
        (slot.request, slot.version) = (request, version);
        let mut bytes = std::mem::take(&mut slot.chunk.bytes);
        bytes.clear();
        // Exactly, so that no slot holds more than `MAX_CACHED_BYTES`.
        bytes.reserve_exact(chunk.bytes.len());
        bytes.extend_from_slice(&chunk.bytes);
        slot.chunk = Chunk { bytes, ..*chunk };
        &slot.chunk
    }
}

fn encode(topic: &Topic, request: Request, chunk: &mut Chunk) {
    let mut bytes = std::mem::take(&mut chunk.bytes);
    bytes.clear();
    let (mut merged, mut records, mut gaps, mut snapshots, mut stream) = (0, 0, 0, 0, 0);
    let published = topic.published();
    let to = topic.since(&request.cursor, request.mode, MAX_STREAM_RECORDS, &mut |meta, record: &Record<'_>| {
        codec::put(&mut bytes, request.encoding, &Context { base_second: request.base_second, meta }, record);
        records += 1;
        match record.body {
            RecordBody::Gap { .. } => {
                gaps += 1;
                stream += 1;
            }
            RecordBody::Trade(_) => stream += 1,
            _ => {}
        }
        if record.flags.has(Flags::SNAPSHOT) {
            snapshots += 1;
        } else if !matches!(record.body, RecordBody::Gap { .. }) {
            merged += record.sequence.saturating_sub(1);
        }
    });
    *chunk = Chunk { bytes, to, merged, records, gaps, snapshots, published, more: stream >= MAX_STREAM_RECORDS };
}
