//! The topic map: the newest truth of every instrument, as versioned values. In: normalized events of the feeds. Out: what a
//! cursor lacks (`Topic::since`), and dirty marks that tell each shard where to look. Bounded by `TopicLimits`.
//!
//! This is the narrow waist: feeds publish without knowing who listens, subscribers ask without knowing who feeds. Between the
//! two travel marks (one bit per topic and shard), never ticks, so nothing here grows with the tick rate.
//!
//! The law, kept by a property test for each kind: for any cursor `s <= t`, `apply(view at s, since(s)) == view at t`.
//!
//! What `since` emits, always in this order, each only where the cursor lacks it:
//! 1. `Gap` in the former epoch, for trades that a redefinition cut off (after that epoch's `Meta`, if it has not got that);
//! 2. `Meta`, for an unknown topic, a new epoch, or a price base that became known;
//! 3. `State`, if the feed's or the trading state changed, of this instrument or of the link that carries it: before the data, also on
//!    the way back to live;
//! 4. data: a snapshot, a delta, or the stream's records.

mod bars;
mod book;
mod cursor;
mod day;
mod depth;
mod derived;
#[cfg(test)]
mod derived_tests;
mod extremes;
mod head;
mod last;
#[cfg(test)]
mod law;
mod link;
mod listing;
mod map;
mod marks;
mod news;
mod publish;
mod quote;
mod relay;
mod route;
mod slot;
mod span;
mod standing;
mod states;
#[cfg(test)]
mod states_tests;
mod tape;
#[cfg(test)]
mod tests;
mod tick;
mod trades;

pub use cursor::{Cursor, Missing};
pub use link::QuietAfter;
pub use map::{InstrumentTopics, Resolve, TopicLimits, TopicMap, TopicsFull};
pub use marks::Marks;
pub use publish::Stamp;
pub use relay::{NotCarried, Place, Upstream};
pub use route::Looped;
pub use slot::Topic;
