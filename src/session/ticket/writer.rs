//! In: subscriptions one by one, so that a shard serves others in between. Out: their bytes, compressed as they come.
//! Bounded: what is written by the limit of a ticket, the compressor by its window: some 100 KiB, only of a long ticket in the making.

use super::entries::{Entry, Written};
use super::keys::{EXPIRY_BYTES, HEAD_BYTES};
use crate::subs::Terms;
use std::io::Write;
use wire::event::Nanos;
use zstd::stream::write::Encoder;

/// Names are like those just before them: 50,000 quotes take 10.2 bytes each with this window, 10.0 with one eight times as large.
pub(super) const WINDOW_LOG: u32 = 12;
const LEVEL: i32 = 1;
/// Handed to the compressor at once; a call for each entry costs more than the entry.
const PART_BYTES: usize = 4 << 10;

/// A finished ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub text: String,
    /// Wall clock, ns.
    pub expires: Nanos,
    /// Topics and patterns in it.
    pub entries: u64,
}

/// A ticket in the making.
pub struct TicketWriter {
    /// None before the first part, so that a short ticket needs one for a moment only.
    encoder: Option<Encoder<'static, Vec<u8>>>,
    is_too_large: bool,
    part: Vec<u8>,
    written: Written,
    entries: u64,
    limit_bytes: usize,
}

impl TicketWriter {
    /// `limit_bytes`: the most that `finish` may give.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { encoder: None, is_too_large: false, part: Vec::new(), written: Written::default(), entries: 0, limit_bytes }
    }

    /// A topic that is held, and where it stands.
    pub fn topic(&mut self, name: &str, terms: Terms, paused: bool, place: Option<(u64, u64)>) {
        self.entry(name, Entry::Topic { terms, paused, place });
    }

    pub fn pattern(&mut self, pattern: &str, terms: Terms, paused: bool, snapshot: bool) {
        self.entry(pattern, Entry::Pattern { terms, paused, snapshot });
    }

    /// True once nothing more has to be gathered: it will never be a ticket.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    fn entry(&mut self, name: &str, entry: Entry) {
        if self.is_too_large {
            return;
        }
        self.written.put(&mut self.part, name, entry);
        self.entries += 1;
        if self.part.len() >= PART_BYTES {
            self.pass_on();
        }
    }

    fn pass_on(&mut self) {
        let encoder = self.encoder.get_or_insert_with(encoder);
        encoder.write_all(&self.part).expect("memory takes all");
        self.part.clear();
        if encoder.get_ref().len() > self.limit_bytes {
            self.is_too_large = true;
            self.encoder = None;
        }
    }

    /// Room for head and expiry and the entries behind them, and how many there are; none if that is too much.
    pub(super) fn finish(mut self) -> Option<(Vec<u8>, u64)> {
        if self.is_too_large {
            return None;
        }
        self.pass_on();
        let bytes = self.encoder?.finish().expect("memory takes all");
        (bytes.len() <= self.limit_bytes).then_some((bytes, self.entries))
    }
}

/// Writes behind the room for head and expiry.
fn encoder() -> Encoder<'static, Vec<u8>> {
    let encoder = Encoder::new(vec![0; HEAD_BYTES + EXPIRY_BYTES], LEVEL).and_then(|mut encoder| {
        encoder.window_log(WINDOW_LOG)?;
        // The seal is checksum enough.
        encoder.include_checksum(false)?;
        Ok(encoder)
    });
    encoder.expect("level and window are within the library's bounds")
}
