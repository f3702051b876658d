//! DBN bytes to records. In: bytes as they come. Out: metadata once, then one record after the other.
//! Bounded by the longest record, and by `MAX_METADATA_BYTES` for the metadata.

use dbn::decode::dbn::fsm::{DbnFsm, ProcessResult};
use dbn::{Metadata, RecordRef};

/// All symbols of OPRA with their mappings are a fraction of this.
const MAX_METADATA_BYTES: u32 = 64 << 20;
const BUFFER_BYTES: usize = 64 << 10;
const PRELUDE_BYTES: usize = 8;

pub struct Stream {
    fsm: DbnFsm,
    failed: bool,
}

/// What the bytes so far hold.
pub enum Found {
    /// Nothing more: read on into `space`.
    More,
    Metadata(Box<Metadata>),
    /// See `record`.
    Record,
}

impl Default for Stream {
    fn default() -> Self {
        Self { fsm: DbnFsm::new(BUFFER_BYTES, 0), failed: false }
    }
}

impl Stream {
    /// Where to put bytes; call `fill` with how many.
    pub fn space(&mut self) -> &mut [u8] {
        self.fsm.space()
    }

    pub fn fill(&mut self, bytes: usize) {
        self.fsm.fill(bytes);
    }

    /// True between records: a stream that ends here ends cleanly.
    pub fn is_between_records(&self) -> bool {
        self.fsm.has_decoded_metadata() && self.fsm.data().is_empty()
    }

    /// The next thing in the bytes so far; after an error nothing more can be read.
    pub fn next(&mut self) -> Result<Found, String> {
        if self.failed {
            return Err("an earlier record was damaged".to_owned());
        }
        if !self.fsm.has_decoded_metadata() {
            let data = self.fsm.data();
            // The decoder makes room for what the length says: it must not be any length.
            if data.starts_with(b"DBN")
                && let Some(length) = data.get(4..PRELUDE_BYTES).and_then(|bytes| bytes.first_chunk())
                && u32::from_le_bytes(*length) > MAX_METADATA_BYTES
            {
                self.failed = true;
                return Err(format!("metadata of {} bytes", u32::from_le_bytes(*length)));
            }
        }
        match self.fsm.process() {
            ProcessResult::ReadMore(_) => Ok(Found::More),
            ProcessResult::Metadata(metadata) => Ok(Found::Metadata(Box::new(metadata))),
            ProcessResult::Record(()) => Ok(Found::Record),
            ProcessResult::Err(error) => {
                self.failed = true;
                Err(error.to_string())
            }
        }
    }

    /// The record that `next` found.
    pub fn record(&self) -> Option<RecordRef<'_>> {
        self.fsm.last_record()
    }
}
