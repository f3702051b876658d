//! The chunk cache of one topic on one shard. In: where a subscriber stands. Out: the bytes that bring it forward.
//! Bounded: `SLOTS` chunks a topic, each at most `MAX_CACHED_BYTES`; larger ones (deep snapshots) are made anew each time.

use crate::topic::{Cursor, Topic};
use std::rc::Rc;
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
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who is told the same shares it, so that most of a topic's subscribers hold a few of them between them.
    pub cursor: &'a Rc<Cursor>,
    pub mode: TradeMode,
    pub encoding: Encoding,
    /// The whole second that record times are relative to; part of what makes bytes shareable.
    pub base_second: i64,
}

/// The bytes of all records that bring a subscriber from one cursor to another.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    pub to: Rc<Cursor>,
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

impl Chunk {
    /// Takes what somebody stood at until now, to make another cursor of it if he was the last one there.
    pub fn reuse(&mut self, former: Rc<Cursor>) {
        if Rc::strong_count(&former) == 1 && Rc::strong_count(&self.to) > 1 {
            self.to = former;
        }
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            to: Rc::new(Cursor::NEW),
            merged: 0,
            records: 0,
            gaps: 0,
            snapshots: 0,
            published: 0,
            more: false,
        }
    }
}

struct Slot {
    cursor: Rc<Cursor>,
    mode: TradeMode,
    encoding: Encoding,
    base_second: i64,
    version: u64,
    chunk: Chunk,
}

impl Slot {
    fn answers(&self, request: Request<'_>, version: u64) -> bool {
        let is_for = (self.version, self.base_second) == (version, request.base_second)
            && (self.mode, self.encoding) == (request.mode, request.encoding);
        is_for && (Rc::ptr_eq(&self.cursor, request.cursor) || self.cursor == *request.cursor)
    }
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
    pub fn get<'a>(&'a mut self, topic: &Topic, request: Request<'_>, spare: &'a mut Chunk) -> (&'a Chunk, bool) {
        // Read before the state: a change in between makes this chunk newer than its version says, never older.
        let version = topic.version();
        // The newest first, which most ask for: who is at one place comes one after another.
        let mut places = (0..self.slots.len()).map(|back| (self.next + 2 * SLOTS - 1 - back) % SLOTS);
        if let Some(at) = places.find(|at| self.slots[*at].answers(request, version)) {
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

    /// Puts a copy into the next slot. A slot keeps its buffer, and `made` gets its cursor, where nobody stands any more as a rule: so nothing
    /// is allocated once each has its size.
    fn keep(&mut self, request: Request<'_>, version: u64, made: &mut Chunk) -> &Chunk {
        let Request { cursor, mode, encoding, base_second } = request;
        if self.slots.len() < SLOTS {
            self.slots.push(Slot { cursor: cursor.clone(), mode, encoding, base_second, version, chunk: Chunk::default() });
            self.next = self.slots.len() - 1;
        }
        let slot = &mut self.slots[self.next];
        self.next = (self.next + 1) % SLOTS;
        let former = std::mem::replace(&mut slot.cursor, cursor.clone());
        (slot.mode, slot.encoding, slot.base_second, slot.version) = (mode, encoding, base_second, version);
        let mut bytes = std::mem::take(&mut slot.chunk.bytes);
        bytes.clear();
        // Exactly, so that no slot holds more than `MAX_CACHED_BYTES`.
        bytes.reserve_exact(made.bytes.len());
        bytes.extend_from_slice(&made.bytes);
        let Chunk { merged, records, gaps, snapshots, published, more, .. } = *made;
        slot.chunk =
            Chunk { bytes, to: std::mem::replace(&mut made.to, former), merged, records, gaps, snapshots, published, more };
        &slot.chunk
    }
}

fn encode(topic: &Topic, request: Request<'_>, chunk: &mut Chunk) {
    let mut bytes = std::mem::take(&mut chunk.bytes);
    bytes.clear();
    let (mut merged, mut records, mut gaps, mut snapshots, mut stream) = (0, 0, 0, 0, 0);
    let published = topic.published();
    let to = topic.since(request.cursor, request.mode, MAX_STREAM_RECORDS, &mut |meta, record: &Record<'_>| {
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
    match Rc::get_mut(&mut chunk.to) {
        Some(unused) => *unused = to,
        None => chunk.to = Rc::new(to),
    }
    chunk.bytes = bytes;
    (chunk.merged, chunk.records, chunk.gaps, chunk.snapshots) = (merged, records, gaps, snapshots);
    (chunk.published, chunk.more) = (published, stream >= MAX_STREAM_RECORDS);
}
