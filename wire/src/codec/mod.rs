//! In: records. Out: the bytes of a frame in either encoding, and from such bytes the records again.
//! Bounded: encoding appends to the caller's buffer and allocates nothing else; decoding holds one level scratch and the metas
//! of at most `MAX_TOPICS` topics, and never reserves more than the bytes it was given could fill.
//!
//! `docs/protocol.md` is the specification; `wire/golden/` holds the vectors that all decoders are tested against.

mod binary;
mod decoder;
pub mod error;
pub mod frame;
mod json;
mod varint;

#[cfg(test)]
mod tests;

pub use decoder::{Announced, Decoder, Each, MAX_TOPICS};
pub use error::{At, DecodeError, Problem};
pub use frame::FrameHeader;

use crate::record::{Meta, Record};
use crate::request::Encoding;

/// What the bytes of a record depend on beside the record itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Unix second of the frame the record will travel in; binary times are relative to it.
    pub base_second: i64,
    /// The topic's meta. `Meta` records bring their own.
    pub meta: &'a Meta,
}

/// Appends one record. JSON records end in a comma, which `frame::put_trailer` drops after the last one, so that chunks of
/// records can be put together freely.
///
/// Binary levels must be sorted best first without duplicates.
pub fn put(out: &mut Vec<u8>, encoding: Encoding, context: &Context<'_>, record: &Record<'_>) {
    match encoding {
        Encoding::Binary => binary::put::put(out, context, record),
        Encoding::Json => json::put::put(out, context, record),
    }
}
