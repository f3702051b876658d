//! In: a TOML file and `TICKWIRE__SECTION__KEY` variables. Out: a checked `Config`, or one line that names file, line, key and remedy.
//! Bounded: a file of at most 1 MiB; every limit of the server is set here, and their sum is `Config::memory_budget`.

mod budget;
mod check;
mod error;
mod feed_check;
mod load;
mod locate;
mod pressure_check;
mod secret;
#[cfg(test)]
mod tests;
mod types;

pub use budget::{Bound, MAX_PATTERNS, REPLY_PART_BYTES, REPLY_TEXT_BYTES};
pub use error::ConfigError;
pub use feed_check::TOPICS_PER_INSTRUMENT;
pub use secret::{KEY_BYTES, KEY_REMEDY, read_key};
pub use types::{Admin, Auth, Config, Listen, Log, LogFormat, MAX_SHARDS, Node, Pressure, Session, Topics};
