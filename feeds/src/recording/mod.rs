//! In: files of recorded venue traffic in one of five formats. Out: one `Entry` after the other, in time order; and the writer
//! of our own format. Bounded: files are streamed, one line or record at a time, and none may be longer than `MAX_RECORD_BYTES`.
//!
//! | format | looks like | written by |
//! |---|---|---|
//! | own | `tickwire-recording 1 VENUE`, then framed records ([`own`]) | `tickwire record` |
//! | cryptofeed | JSON lines `{t, conn, ts, url or addr, data or b64}` | cryptofeed's raw capture |
//! | cryptofeed, old | `time: message` lines, and `URL <- time: message` in a file of its own | cryptofeed's raw capture of old |
//! | hft | `<receive ns> <message>` lines, REST snapshots inline | hftbacktest's collector |
//! | frames | one JSON object `{captured_utc, endpoint, raw_text: […]}` over several lines | single captures |
//!
//! The format is recognised by content; each may be plain, gzip or zstd. Several files are read one after the other.

mod cryptofeed;
mod cryptofeed_old;
mod disk;
#[cfg(test)]
mod disk_tests;
mod error;
mod frames;
mod hft;
mod lines;
mod own;
mod reader;
mod recorder;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{RecordingError, Tear};
pub(crate) use lines::decompressed;
pub use reader::Recording;
pub use recorder::{Recorder, RecordingTap, Tally};
pub use writer::{Rotation, Writer};

use wire::event::Nanos;

/// The longest line or record that is read. The largest seen in the wild is an instrument list of 2 MB.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// One thing that happened between a venue and whoever recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was seen, by the recorder's clock.
    pub time: Nanos,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A connection was opened. Lines are numbered per recording, in order of appearance.
    Connect { line: u32, url: String },
    /// A connection ended.
    Closed { line: u32, reason: String },
    /// One message of the venue, to the byte.
    Received { line: u32, bytes: Vec<u8> },
    /// One message to the venue.
    Sent { line: u32, bytes: Vec<u8> },
    /// The answer to a REST request.
    Response { url: String, status: u16, bytes: Vec<u8> },
    /// The recorder could not keep up and left out this many entries here.
    Dropped { entries: u64 },
}
