//! What differs between venues, as data. In: nothing. Out: the tables a venue is described by. Bounded: constants.

use crate::adapter::VenueCaps;
use wire::event::Channel;

/// How a venue lets its subscribers see that a book update was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Each update is numbered `step` above the one before. At or below `restart_floor` the venue begins anew: such an update is a
    /// snapshot, whatever it calls itself.
    Counter { step: u64, restart_floor: u64 },
    /// Each update names its predecessor.
    Chain,
    /// Each update covers a range of ids, which must begin at or before the one after the last.
    Range,
    /// A checksum over the best `depth` levels of each side after the update.
    Crc { depth: usize },
    /// Nothing: a loss stays unseen until the next snapshot.
    None,
}

impl Proof {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter { .. } => "counter",
            Self::Chain => "chain",
            Self::Range => "range",
            Self::Crc { .. } => "crc",
            Self::None => "none",
        }
    }
}

/// What a hole in the numbering is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Symbol,
    /// Messages of one connection are numbered together (`Decoded::frame`), `step` 1: a hole condemns everything it carries.
    Connection,
}

/// Where a book starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFrom {
    /// The first message of the subscription. `unsubscribe`: one symbol can be taken off and on again; else the line is reopened.
    Subscription { unsubscribe: bool },
    /// A REST request, spliced with the updates that were kept meanwhile. `equal`: the first update to apply is the one that
    /// contains the snapshot's id (Binance futures), not the one after it.
    Rest { weight: u32, equal: bool },
}

/// What it means if a level is deleted that the book does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanDelete {
    /// Ordinary (Coinbase, Binance.US).
    Ignored,
    /// An update was lost. (The feed then keeps the book's levels, as it does for a checksum.)
    Loss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeIds {
    /// Each id is one above the last of its instrument: a jump is a loss.
    Counted,
    /// Ids only rise: what was seen before is known, a loss is not.
    Rising,
    /// No ids, or such as say nothing.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteIds {
    /// Rising, from the same numbering as the book's update ids.
    AsBook,
    Rising,
    None,
}

/// How an answer tells which request it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// It repeats the request's number.
    Id,
    /// It names channel and symbol.
    Topic,
    /// Answers come in the order of the requests.
    Order,
    /// There are none: what was sent counts as granted.
    Nothing,
}

/// Which subscriptions may stand in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    Any,
    /// One channel, several symbols.
    OneStream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingFrom {
    /// GET `Protocol::listings`, again every 15 minutes.
    Rest,
    /// A channel of the first line, subscribed by `Protocol::greeting`.
    Subscription,
    /// The venue has none: instruments are what the settings name, at the scale their data turns out to need.
    Nothing,
}

/// An application's own sign of life (`Protocol::ping`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    pub every_ms: u64,
    /// Only if the venue said nothing for so long.
    pub when_silent: bool,
}

/// One of the venue's channels that is subscribed symbol by symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// As the venue calls it.
    pub name: &'static str,
    pub carries: &'static [Channel],
    /// Which of `Protocol::urls` it is served at.
    pub endpoint: usize,
}

/// All that the engine must know of a venue. `caps` is what the supervisor must know.
#[derive(Clone, Debug)]
pub struct Facts {
    pub caps: VenueCaps,
    /// All that are given; at most one numbering beside a checksum.
    pub proofs: &'static [Proof],
    pub scope: Scope,
    pub snapshot: SnapshotFrom,
    pub orphan_delete: OrphanDelete,
    pub trade_ids: TradeIds,
    pub quote_ids: QuoteIds,
    pub listing: ListingFrom,
    /// Weight of one listing request.
    pub listing_weight: u32,
    /// Each instrument has a list of its own: a refused one (400, 404) is of an instrument that does not exist.
    pub listing_each: bool,
    pub answered_by: AnsweredBy,
    pub grouping: Grouping,
    pub topics_per_request: usize,
    pub topics_per_line: usize,
    pub symbols_per_line: usize,
    /// The venue greets first (`Decoded::hello`); nothing may be sent before.
    pub waits_for_hello: bool,
    /// An address must be asked for before each connect (`Protocol::token_request`).
    pub token: bool,
    pub keepalive: Option<Keepalive>,
    /// Numbers finer than this are bad data: room for them would leave none for ordinary numbers.
    pub finest_exponent: i8,
    /// The venue adds sizes up in floating point, and their last digits are what that leaves: so many decimals beyond the listed lot
    /// are kept, what is finer is cut. (64 bits do not hold the whole of both a small and a large one.) `None`: nothing is ever cut.
    pub size_noise: Option<u8>,
    /// Does the venue give a time with quotes, trades, books?
    pub quote_has_time: bool,
    pub trade_has_time: bool,
    pub book_has_time: bool,
    /// -3 ms, -6 µs, -9 ns.
    pub time_exponent: i8,
}

/// What most venues have in common, to be completed by `..COMMON`.
pub const COMMON: Facts = Facts {
    caps: VenueCaps {
        silence_ms: 10_000,
        messages_per_second: 4,
        connects_per_five_minutes: 60,
        weight_per_minute: 600,
        max_connection_age_s: 0,
        max_message_bytes: 16 << 20,
        key_header: None,
    },
    proofs: &[Proof::None],
    scope: Scope::Symbol,
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    orphan_delete: OrphanDelete::Ignored,
    trade_ids: TradeIds::None,
    quote_ids: QuoteIds::None,
    listing: ListingFrom::Rest,
    listing_weight: 1,
    listing_each: false,
    answered_by: AnsweredBy::Topic,
    grouping: Grouping::Any,
    topics_per_request: 50,
    topics_per_line: 200,
    symbols_per_line: 100,
    waits_for_hello: false,
    token: false,
    keepalive: None,
    finest_exponent: -12,
    size_noise: None,
    quote_has_time: true,
    trade_has_time: true,
    book_has_time: true,
    time_exponent: -3,
};

impl Facts {
    /// The numbering of each symbol's updates, if the venue has one.
    pub fn numbering(&self) -> Option<Proof> {
        let numbers = |proof: &Proof| !matches!(proof, Proof::Crc { .. } | Proof::None);
        self.proofs.iter().copied().find(numbers).filter(|_| self.scope == Scope::Symbol)
    }

    pub fn checksum_depth(&self) -> Option<usize> {
        self.proofs.iter().find_map(|proof| if let Proof::Crc { depth } = proof { Some(*depth) } else { None })
    }
}
