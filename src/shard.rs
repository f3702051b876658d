//! Stub.

pub struct Shard;
