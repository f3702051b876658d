//! In: a recording and any adapter. Out: the events that adapter would have made of it, at the times it was recorded, at any speed.
//! Bounded: one entry at a time, the newest answer of each REST address, and what the adapter itself keeps.
//!
//! The adapter cannot tell a recording from a venue: its lines open when the recording's do, its requests are answered by the
//! recorded answers, its clock is the recording's.

pub mod binance;
mod feed;
mod fetches;
mod pace;
mod player;
mod survey;
#[cfg(test)]
mod tests;
mod waits;

pub(crate) use feed::Publisher;
pub use feed::{adapter_settings, start};
pub use pace::Pace;
pub use player::Player;
pub use survey::{Noted, Notes, Survey, SurveyedSymbol};
pub(crate) use waits::Waits;

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Recording(#[from] crate::recording::RecordingError),
    #[error("the recording holds no market data of venue '{0}'")]
    NoData(String),
}
