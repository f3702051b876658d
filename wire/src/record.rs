//! In: what the server says about a topic. Out: the one data model that the binary and the JSON codec both spell.
//! Bounded by the frame a record travels in; borrowed levels point into the codec's scratch.

use crate::event::{Aggressor, Cause, Flags, Level, Nanos, Status};
use crate::instrument::Instrument;
use crate::kind::Kind;

/// How the time of a topic's records is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Clock {
    /// The venue's own time of the event.
    #[default]
    Event,
    /// The venue gives none: when the server read the bytes.
    Received,
}

crate::event::wire_enum!(Clock { Event = 0 "event", Received = 1 "received" });

/// What must be known of a topic id before its records can be read. Precedes the id's first use on a connection;
/// a later one for the same id replaces it (new epoch, new scale).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub topic: u32,
    /// Canonical topic name.
    pub name: String,
    pub kind: Kind,
    /// `(epoch, sequence)` names a state of the topic.
    pub epoch: u64,
    pub price_exponent: i8,
    pub size_exponent: i8,
    pub tick: i64,
    pub lot: i64,
    /// Anchor of all prices of this topic on the wire (binary encoding).
    pub base: i64,
    pub clock: Clock,
    /// Resolution of record times: -3 ms, -6 us, -9 ns. Times are cut to it (toward negative infinity) on the wire.
    pub time_exponent: i8,
}

/// One statement about one topic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    pub topic: u32,
    pub flags: Flags,
    /// With `Flags::SNAPSHOT`: the absolute sequence. Otherwise: how far the record moves the sequence (0 for `Check`,
    /// `State`; more than 1 = that many updates were merged).
    pub sequence: u64,
    /// Time of the newest change in it, see `Meta::clock`. 0 for records without a time (`Meta`).
    pub time: Nanos,
    pub body: RecordBody<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RecordBody<'a> {
    Meta(&'a Meta),
    Quote(QuoteChange),
    Trade(TradeRecord),
    Summary(TradeSummary),
    /// Best level first on both sides. With `Flags::SNAPSHOT` they are the whole view.
    Book {
        bids: &'a [Level],
        asks: &'a [Level],
    },
    /// A stream topic at this sequence without any event to show (the snapshot of an empty tape).
    Tape,
    /// Bars that changed, oldest first, each whole. With `Flags::SNAPSHOT` they are the whole view.
    Bars(&'a [Bar]),
    Stats(&'a StatsChange),
    Status(Status),
    Instrument(&'a Instrument),
    /// On any topic: how far its data can be trusted from here on. Moves no sequence.
    State(Status),
    /// Events are missing between the record before and the record after.
    Gap {
        cause: Cause,
        missing: Option<u64>,
    },
    /// `view::View::hash` of what the subscriber should hold at this point. Moves no sequence.
    Check {
        hash: u32,
    },
    /// A type this build does not know; skipped by its length.
    Unknown {
        number: u64,
    },
}

/// Fields that changed; `Some(None)` means "now missing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuoteChange {
    pub bid_price: Option<Option<i64>>,
    pub bid_size: Option<Option<i64>>,
    pub ask_price: Option<Option<i64>>,
    pub ask_size: Option<Option<i64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeRecord {
    pub price: i64,
    pub size: i64,
    pub aggressor: Aggressor,
    pub id: Option<i64>,
    /// Id of the trade that stands before it on the tape, if the receiver has that one: the binary encoding then writes
    /// the step only. Decoders give `None`.
    pub previous_id: Option<i64>,
    pub aggregated: bool,
}

/// All trades of a window in one record; nothing of volume, count, high or low is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeSummary {
    /// Price of the newest trade of the window.
    pub last: i64,
    pub high: i64,
    pub low: i64,
    /// Number of trades in the window.
    pub count: u64,
    /// Sum of sizes, at the size exponent.
    pub volume: u128,
    /// Sum of price * size, at price exponent + size exponent. Signed: prices may be negative.
    pub notional: i128,
}

/// The trades of one interval. There is none for an interval without trades. Its volume-weighted mean price is
/// `notional / volume`, which is left to who needs it, because it is no decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// When the interval begins: a whole multiple of its length since the Unix epoch.
    pub start: Nanos,
    /// The interval is over. A late trade may still correct the bar.
    pub closed: bool,
    /// Trades of this interval were missed.
    pub incomplete: bool,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// Number of trades.
    pub count: u64,
    /// Sum of sizes, at the size exponent.
    pub volume: u128,
    /// Sum of price * size, at price exponent + size exponent.
    pub notional: i128,
}

/// The trades of the last 24 hours. The volume-weighted mean price is `notional / volume`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayStats {
    /// Price of the newest trade, however old it is.
    pub last: Option<i64>,
    /// Of the trades in the window; `None` where it holds none.
    pub open: Option<i64>,
    pub high: Option<i64>,
    pub low: Option<i64>,
    pub volume: u128,
    pub notional: i128,
    pub count: u64,
    /// Gaps upstream inside the window: so often trades were missed.
    pub gaps: u64,
    /// Trades before this time were not seen: the window begins here if that is later. 0 until the first trade.
    pub from: Nanos,
}

/// Fields of `DayStats` that changed; `Some(None)` means "now missing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsChange {
    pub last: Option<Option<i64>>,
    pub open: Option<Option<i64>>,
    pub high: Option<Option<i64>>,
    pub low: Option<Option<i64>>,
    pub volume: Option<u128>,
    pub notional: Option<i128>,
    pub count: Option<u64>,
    pub gaps: Option<u64>,
    pub from: Option<Nanos>,
}
