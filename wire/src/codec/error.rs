//! In: nothing. Out: what is wrong with a frame, and where.
//! Bounded: positions and fixed texts; only JSON syntax errors carry text of their own.

use std::fmt;

/// A frame that could not be read to its end. Records before the place were handed out; the rest is lost, so the
/// connection's continuity is too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of {length} bytes, {at}: {problem}")]
pub struct DecodeError {
    pub length: usize,
    pub at: At,
    pub problem: Problem,
}

/// Where in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Header {
        offset: usize,
    },
    /// `record` counts from 0; `offset` is where the reader stood.
    Record {
        record: usize,
        offset: usize,
    },
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { offset } => write!(f, "header, byte {offset}"),
            Self::Record { record, offset } => write!(f, "record {record}, byte {offset}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("ends too early")]
    Truncated,
    #[error("version {0} is not spoken here (1 is)")]
    Version(u8),
    #[error("frame flags {0:#x} are not known")]
    FrameFlags(u8),
    #[error("topic id {0} was not announced by a meta record")]
    UnknownTopic(u32),
    #[error("more than {max} topics on one connection", max = super::MAX_TOPICS)]
    TooManyTopics,
    #[error("field mask {0:#06b} has reserved bits")]
    Mask(u8),
    #[error("'{0}' is out of range")]
    OutOfRange(&'static str),
    #[error("'{0}' is not UTF-8 text")]
    NotText(&'static str),
    #[error("levels are not in best-first order")]
    LevelOrder,
    #[error("bars are not in the order of their starts")]
    BarOrder,
    #[error("trade id is a step, but no trade came before")]
    NoPreviousTrade,
    #[error("'{0}' is missing")]
    Missing(&'static str),
    #[error("'{0}' has a value that is not known")]
    UnknownValue(&'static str),
    #[error("'{0}' is not a decimal at the topic's exponent")]
    Decimal(&'static str),
    #[error("topic name is not the one its meta gave")]
    TopicName,
    #[error("not a data frame: {0}")]
    Json(String),
}
