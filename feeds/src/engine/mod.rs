//! The adapter of every venue that is described by `Facts` and a decoder. In: messages, answers and ticks of one feed. Out: instruments,
//! quotes, trades, books, and the state of each. Bounded by the venue's limits, the sequencers' limits and the requests in flight.
//!
//! A venue's author writes a [`Protocol`] and nothing else (`feeds/ADDING_A_FEED.md`). `decoded` is what its decoder fills, `lines` keeps
//! the connections and subscriptions, `legs` watches several that carry the same, `snapshots` decides which book to ask for when, `market`
//! turns one instrument's updates into events, `ladder` is the book where a checksum needs one, `dialect` is what replays know of a venue.

#[cfg(test)]
mod arbitration_tests;
mod books;
mod decoded;
mod dialect;
mod facts;
mod feed;
mod instruments;
mod ladder;
#[cfg(test)]
mod leader_tests;
mod legs;
mod lines;
mod links;
mod listing;
#[cfg(test)]
mod mapper_tests;
mod market;
mod protocol;
mod snapshots;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod two_lines_tests;
mod values;
#[cfg(test)]
mod words;

pub(crate) use decoded::Item;
pub use decoded::{About, BAD, BookUpdate, Decoded, Number, Part, QuoteUpdate, RawLevel, TradeUpdate, number};
pub use dialect::{Dialect, EngineDialect};
pub use facts::{
    AnsweredBy, COMMON, Facts, Grouping, Keepalive, ListingFrom, OrphanDelete, Proof, QuoteIds, Scope, SnapshotFrom, Stream,
    TradeIds,
};
pub use feed::{Addresses, engine};
pub use ladder::{Ladder, put_digits, put_text};
pub use listing::{Listed, decimals};
pub use protocol::{Complaint, MakeProtocol, Operation, Protocol, Request, Topic, address_key, chosen};
pub use values::{aggressor, level};
