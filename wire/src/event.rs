//! In: what adapters learned from a venue. Out: one `Batch` of normalized events, reused from message to message.
//! Bounded by the venue message it was made from; levels live in one arena, so a batch allocates only while it warms up.

use crate::instrument::Instrument;
use std::ops::Range;

/// Nanoseconds since the Unix epoch. 0 means "the venue gives none" where the field says so.
pub type Nanos = i64;

/// Flag bits of a record; the layout is Databento's (`flags` of DBN records), the two lowest bits are ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    pub const LAST: Self = Self(0x80);
    /// The record replaces the whole view, and its sequence is absolute.
    pub const SNAPSHOT: Self = Self(0x20);
    pub const BAD_RECEIVE_TIME: Self = Self(0x08);
    pub const MAYBE_BAD_BOOK: Self = Self(0x04);
    /// The value is known to be old: its feed is down, resyncing or silent.
    pub const STALE: Self = Self(0x02);
    /// More than one update was merged into this record.
    pub const CONFLATED: Self = Self(0x01);

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One price level. `size` is absolute; 0 deletes the level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Level {
    /// Mantissa at the instrument's price exponent.
    pub price: i64,
    /// Mantissa at the instrument's size exponent.
    pub size: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Bid,
    Ask,
}

/// Who took the liquidity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aggressor {
    #[default]
    Unknown,
    Buy,
    Sell,
}

/// Best bid and ask. `None` means "there is none", never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quote {
    pub bid_price: Option<i64>,
    pub bid_size: Option<i64>,
    pub ask_price: Option<i64>,
    pub ask_size: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trade {
    pub price: i64,
    pub size: i64,
    pub aggressor: Aggressor,
    /// The venue's own id where it is a number.
    pub id: Option<i64>,
    /// The venue merged several executions into this one itself (Binance `aggTrade`).
    pub aggregated: bool,
}

/// How far the data of a topic can be trusted right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FeedState {
    /// Nothing was received yet.
    #[default]
    Starting,
    Live,
    /// The feed is alive, the instrument has had no update for long.
    Quiet,
    /// The feed is connected but silent past its deadline.
    Stale,
    /// A loss was detected; the view is being rebuilt.
    Resyncing,
    /// Not connected.
    Down,
    /// The data comes from a recording.
    Replay,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TradingState {
    #[default]
    Unknown,
    Open,
    Halted,
    Auction,
    Closed,
}

/// Why a feed state, a gap or a change of pace came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cause {
    #[default]
    None,
    Startup,
    /// No message within the venue's silence limit.
    Silence,
    Disconnected,
    /// The venue's sequence numbers show a hole.
    SequenceGap,
    ChecksumMismatch,
    /// The REST snapshot could not be had (error, limit, timeout).
    SnapshotUnavailable,
    /// Best bid at or above best ask for longer than tolerated.
    CrossedBook,
    /// Exponents, tick or lot changed.
    Redefinition,
    VenueShutdown,
    VenueHalt,
    /// The bounded ring or change log moved past this cursor.
    Overrun,
    /// Could not be decoded exactly.
    BadData,
    ServerShutdown,
    /// The connection to the node that this one relays from broke.
    UpstreamLost,
}

macro_rules! wire_enum {
    ($name:ident { $($variant:ident = $number:literal $text:literal),+ $(,)? }) => {
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Number on the wire.
            pub const fn number(self) -> u8 {
                match self { $(Self::$variant => $number),+ }
            }
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
            /// Stable text of the JSON encoding.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use wire_enum;

wire_enum!(Aggressor { Unknown = 0 "unknown", Buy = 1 "buy", Sell = 2 "sell" });
wire_enum!(FeedState {
    Starting = 0 "starting", Live = 1 "live", Quiet = 2 "quiet", Stale = 3 "stale", Resyncing = 4 "resyncing",
    Down = 5 "down", Replay = 6 "replay",
});
wire_enum!(TradingState { Unknown = 0 "unknown", Open = 1 "open", Halted = 2 "halted", Auction = 3 "auction", Closed = 4 "closed" });
wire_enum!(Cause {
    None = 0 "none", Startup = 1 "startup", Silence = 2 "silence", Disconnected = 3 "disconnected",
    SequenceGap = 4 "sequence_gap", ChecksumMismatch = 5 "checksum_mismatch", SnapshotUnavailable = 6 "snapshot_unavailable",
    CrossedBook = 7 "crossed_book", Redefinition = 8 "redefinition", VenueShutdown = 9 "venue_shutdown",
    VenueHalt = 10 "venue_halt", Overrun = 11 "overrun", BadData = 12 "bad_data", ServerShutdown = 13 "server_shutdown",
    UpstreamLost = 14 "upstream_lost",
});

/// Feed and trading state of one instrument, with the reason and the time it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status {
    pub feed: FeedState,
    pub trading: TradingState,
    pub cause: Cause,
    /// When this state began; 0 if unknown.
    pub since: Nanos,
}

/// Which of an instrument's data a status or a gap is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Quote,
    Trade,
    Book,
}

/// What happened. Instruments are named by the feed's own dense index, given out in `EventBody::Instrument`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Feed-local dense index of the instrument: 0, 1, 2, … in the order in which the feed announced them.
    pub instrument: u32,
    /// The venue's own time of the event; 0 where it gives none.
    pub event_time: Nanos,
    /// When its bytes were read from our socket. Never corrected for skew: it may lie before `event_time`.
    pub received: Nanos,
    pub flags: Flags,
    pub body: EventBody,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EventBody {
    /// Announces the instrument of this index, or redefines it (new exponents end the epoch of all its topics).
    Instrument(Box<Instrument>),
    /// Which connection carries this instrument, by the feed's own dense number. Comes before the instrument is announced, and holds
    /// for good: a connection that is replaced keeps its number. Without it: 0.
    Carrier {
        link: u32,
    },
    /// A connection is lost (`Down`, `Stale`), or back (`Resyncing`), and with it all the instruments it carries: nothing they said
    /// before counts any more, nor what they say while it is lost. Once it is back, each channel says by `State` when its data is good
    /// again. (`Event::instrument` says nothing here.)
    Link {
        link: u32,
        state: FeedState,
        cause: Cause,
    },
    Quote(Quote),
    Trade(Trade),
    /// Levels of one venue message, already in sequence; ranges of `Batch::levels`.
    /// `snapshot`: they replace the whole book; otherwise sizes are absolute and 0 deletes (unknown deletes are fine).
    Book {
        bids: Range<u32>,
        asks: Range<u32>,
        snapshot: bool,
    },
    /// State of this channel of this instrument changed; `channel: None` means all of them.
    State {
        channel: Option<Channel>,
        state: FeedState,
        cause: Cause,
    },
    /// Trading phase of the instrument changed.
    Trading(TradingState),
    /// Events of a stream are lost for good; `missing` where the venue's ids tell how many.
    Gap {
        channel: Channel,
        missing: Option<u64>,
        cause: Cause,
    },
}

/// The events of one venue message, in order.
#[derive(Debug, Default)]
pub struct Batch {
    pub events: Vec<Event>,
    pub levels: Vec<Level>,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.levels.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn levels(&self, range: &Range<u32>) -> &[Level] {
        &self.levels[range.start as usize..range.end as usize]
    }
}
