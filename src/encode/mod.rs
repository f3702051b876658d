//! Encode once: `since(cursor)` of a topic as bytes, made once per shard for everybody who stands at the same cursor.
//! In: a topic, a cursor, an encoding. Out: a shared `Chunk`. Bounded: a few chunks a topic, none above `MAX_CACHED_BYTES`.

mod cache;
mod frame;

pub use cache::{Chunk, Chunks, Request};
pub use frame::FrameBuilder;
