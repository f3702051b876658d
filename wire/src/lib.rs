//! What Tickwire's bytes mean: decimals, topics, events, requests, codes, records and their two encodings.
//! Pure functions over bytes and values: nothing here does I/O, knows tokio, or is unsafe.

pub mod answer;
pub mod code;
pub mod codec;
pub mod decimal;
pub mod event;
pub mod instrument;
pub mod kind;
pub mod record;
pub mod request;
pub mod terms;
pub mod topic;
pub mod view;
