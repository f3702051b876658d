//! The contract between a venue's protocol and the rest: messages, responses and clock ticks in; events and actions out.
//! Adapters do no I/O and own no clock, so every fault is a plain function call in a test. Bounded by the message at hand.

use crate::engine::Listed;
use wire::event::{Batch, Cause, Nanos};

/// What time it is, told by the caller. `wall` stamps events; `mono` (ns since an arbitrary start) drives timers.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub wall: Nanos,
    pub mono: Nanos,
}

/// One connection of a feed, numbered by the adapter. A replacement line gets a new number (make before break).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line(pub u32);

/// One outstanding REST request, numbered by the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fetch(pub u64);

/// What an adapter asks the supervisor to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect this line. The supervisor retries with jittered back-off until `Close`.
    Open { line: Line, url: String },
    /// Send a text message; the supervisor spaces messages by `VenueCaps::messages_per_second`.
    Send { line: Line, text: String },
    /// GET `url` (`post`: an empty POST); answered by exactly one `on_response`. `weight` counts against the venue's request budget.
    Fetch { fetch: Fetch, url: String, weight: u32, post: bool },
    /// Drop the line and do not open it again.
    Close { line: Line },
    /// Drop the line and open it again after back-off.
    Reconnect { line: Line, cause: Cause },
}

/// What an adapter produced for one input. Reused: the caller clears it.
#[derive(Debug, Default)]
pub struct Output {
    pub batch: Batch,
    pub actions: Vec<Action>,
    /// Things that went wrong and were survived, to be counted and logged.
    pub faults: Vec<Fault>,
}

impl Output {
    pub fn clear(&mut self) {
        self.batch.clear();
        self.actions.clear();
        self.faults.clear();
    }
}

/// One survived mishap. `kind` is a metric label (few values), `detail` is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Bytes that are not what the venue's protocol says.
    BadMessage,
    /// The venue answered a request with an error.
    Refused,
    /// A hole in the venue's sequence.
    SequenceGap,
    /// Seen before; ignored.
    Duplicate,
    /// Best bid at or above best ask.
    CrossedBook,
    /// A message for an instrument that was not asked for.
    UnknownInstrument,
    /// A bounded buffer was full and the book was resynced.
    BufferFull,
    /// A snapshot request failed.
    SnapshotFailed,
    /// The venue's checksum is not that of the book.
    ChecksumMismatch,
    /// A message about an order that cannot be: unknown, known already, smaller than what was taken from it.
    UnknownOrder,
    /// An execution among the trades that is none of the market (an insurance fund's, a deleveraging's): left out.
    OffBookTrade,
}

impl FaultKind {
    pub const ALL: [Self; 11] = [
        Self::BadMessage,
        Self::Refused,
        Self::SequenceGap,
        Self::Duplicate,
        Self::CrossedBook,
        Self::UnknownInstrument,
        Self::BufferFull,
        Self::SnapshotFailed,
        Self::ChecksumMismatch,
        Self::UnknownOrder,
        Self::OffBookTrade,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::Refused => "refused",
            Self::SequenceGap => "sequence_gap",
            Self::Duplicate => "duplicate",
            Self::CrossedBook => "crossed_book",
            Self::UnknownInstrument => "unknown_instrument",
            Self::BufferFull => "buffer_full",
            Self::SnapshotFailed => "snapshot_failed",
            Self::ChecksumMismatch => "checksum_mismatch",
            Self::UnknownOrder => "unknown_order",
            Self::OffBookTrade => "off_book_trade",
        }
    }
}

/// Why a REST request brought no body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("HTTP status {status}")]
    Status { status: u16, retry_after_s: Option<u32> },
    #[error("no answer within {0} ms")]
    Timeout(u64),
    #[error("{0}")]
    Io(String),
    /// The circuit breaker is open: the request was not sent.
    #[error("not sent: too many failures, next try in {0} ms")]
    CircuitOpen(u64),
}

/// The facts of a venue that the supervisor needs. Data, not code.
#[derive(Clone, Debug)]
pub struct VenueCaps {
    /// Silence on a line after which its data counts as stale and the line is reopened.
    pub silence_ms: u64,
    /// Outgoing messages per second and line (subscribe, ping and pong each count).
    pub messages_per_second: u32,
    /// Connection attempts per five minutes.
    pub connects_per_five_minutes: u32,
    /// REST request weight per minute.
    pub weight_per_minute: u32,
    /// The venue drops a connection after this long; replaced shortly before. 0 = never.
    pub max_connection_age_s: u64,
    /// Largest message accepted from the venue.
    pub max_message_bytes: usize,
    /// Streams are for holders of an API key, which goes into this header of the handshake (`FeedSettings::api_key_file`).
    pub key_header: Option<&'static str>,
}

/// One venue's protocol. All methods append to `out` and never fail: what cannot be used is a `Fault`.
pub trait Adapter: Send {
    /// Venue name as it stands in topics: `binance`.
    fn venue(&self) -> &str;
    fn caps(&self) -> &VenueCaps;
    /// Called once before anything else; opens lines and fetches instruments.
    fn start(&mut self, now: Now, out: &mut Output);
    fn on_open(&mut self, now: Now, line: Line, out: &mut Output);
    /// `payload` may be altered in place (simd-json does); its capacity beyond the length is not used.
    fn on_message(&mut self, now: Now, line: Line, payload: &mut Vec<u8>, out: &mut Output);
    fn on_response(&mut self, now: Now, fetch: Fetch, result: Result<Vec<u8>, FetchError>, out: &mut Output);
    /// The line is gone (closed by the venue, by an error, by silence, or by `Action::Reconnect`), or an attempt to open it failed.
    /// The supervisor is already reopening it. Not called after `Action::Close`.
    fn on_close(&mut self, now: Now, line: Line, cause: Cause, out: &mut Output);
    /// At least every 100 ms: retries, time-outs, planned replacement of lines.
    fn on_tick(&mut self, now: Now, out: &mut Output);
    /// Before `start`: a recording is going to be played. `instruments` were made from its data, for what its list does not have;
    /// `listed`: it has a list.
    fn replayed(&mut self, _instruments: Vec<Listed>, _listed: bool) {}
    /// True once every configured instrument is known: until then unknown symbols may still turn up.
    fn instruments_known(&self) -> bool;
}

/// Where a feed's events go. Called on the feed's own thread; must not block.
pub trait Sink: Send {
    fn publish(&mut self, batch: &Batch);
    /// All configured instruments have been announced.
    fn instruments_known(&mut self) {}
    fn faults(&mut self, _faults: &[Fault]) {}
    /// A message of this size came from the venue, or from the recording of one. (A simulator makes events, not messages.)
    fn message(&mut self, _bytes: usize) {}
    /// A connection is gone and will be opened again.
    fn line_lost(&mut self, _cause: Cause) {}
}
