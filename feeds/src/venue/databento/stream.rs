//! DBN bytes to records. In: bytes as they come. Out: metadata once, then one record after the other.
//! Bounded by the longest record, and by `MAX_METADATA_BYTES` for the metadata.

use dbn::decode::dbn::fsm::{DbnFsm, ProcessResult};
use dbn::{Metadata, RecordHeader, RecordRef, rtype, v1, v2};
use std::mem::size_of;

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
    pub fn advance(&mut self) -> Result<Found, String> {
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
        if self.fsm.has_decoded_metadata()
            && let Some(what) = flaw(self.fsm.data(), self.fsm.input_dbn_version().unwrap_or(dbn::DBN_VERSION), self.fsm.ts_out())
        {
            self.failed = true;
            return Err(what);
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

    /// The record that `advance` found.
    pub fn record(&self) -> Option<RecordRef<'_>> {
        self.fsm.last_record()
    }
}

/// What is wrong with the record at the start of `data`. The decoder takes it as given that records are aligned and that those of older
/// versions have their size: damaged data would lead it to panic, or astray.
fn flaw(data: &[u8], version: u8, ts_out: bool) -> Option<String> {
    let &[words, kind, ..] = data else { return None };
    let size = usize::from(words) * 4;
    let least = match (version, kind) {
        (1, rtype::INSTRUMENT_DEF) => size_of::<v1::InstrumentDefMsg>(),
        (2, rtype::INSTRUMENT_DEF) => size_of::<v2::InstrumentDefMsg>(),
        (1 | 2, rtype::STATISTICS) => size_of::<v1::StatMsg>(),
        (1, rtype::SYMBOL_MAPPING) => size_of::<v1::SymbolMappingMsg>(),
        (1, rtype::ERROR) => size_of::<v1::ErrorMsg>(),
        (1, rtype::SYSTEM) => size_of::<v1::SystemMsg>(),
        _ => size_of::<RecordHeader>(),
    };
    let least = least + if ts_out { size_of::<u64>() } else { 0 };
    (size < least || !size.is_multiple_of(size_of::<u64>())).then(|| format!("a record of type {kind:#04x} of {size} bytes"))
}
