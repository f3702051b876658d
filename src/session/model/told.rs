//! Results of requests as they must be. In: what a server answered. Out: whether it is that. Bounded: one topic each.

use super::truth::Lack;
use crate::topic::Resolve;
use wire::code::Code;
use wire::request::{Missing, Pace, Start, TopicResult, TradeMode};
use wire::topic::{MAX_NAME, TopicKey};

/// What a result must say. `start: None`: a delta or a snapshot, as the server's log reaches.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Live {
        topic: String,
        id: u32,
        pace: Pace,
        is_limited: bool,
        trades: Option<TradeMode>,
        start: Option<Start>,
        lack: Option<Lack>,
        /// Where data goes on from, if it is a delta.
        from: Option<(u64, u64)>,
        replaces: Option<String>,
    },
    Pending(String),
    Pattern(String, u64),
    Paused {
        topic: String,
        id: Option<u32>,
        pace: Pace,
        trades: Option<TradeMode>,
        replaces: Option<String>,
    },
    Once(String, u32),
    Ended(String),
    Refused(String, Code),
}

impl Told {
    pub fn agrees(&self, actual: &TopicResult) -> bool {
        match (self, actual) {
            (
                Self::Live { topic, id, pace, is_limited, trades, start, lack, from, replaces },
                TopicResult::Live {
                    topic: named,
                    topic_id,
                    pace: at,
                    limited_by,
                    trades: mode,
                    start: begins,
                    missing,
                    from: told_from,
                    replaces: of,
                    ..
                },
            ) => {
                let either = matches!(begins, Start::Delta | Start::Snapshot);
                (topic, id, pace, trades, replaces) == (named, topic_id, at, mode, of)
                    && limited_by.is_some() == *is_limited
                    && *told_from == from.filter(|_| *begins == Start::Delta)
                    && start.map_or(either, |start| start == *begins)
                    && match (lack, missing) {
                        (None, None) => true,
                        (Some(lack), None) => lack.truth == Some(0),
                        (Some(lack), Some(Missing::Count(told))) => lack.truth == Some(*told) && *told > 0,
                        (Some(lack), Some(Missing::Unknown(_))) => lack.truth.is_none() || lack.may_be_unknown,
                        (None, Some(_)) => false,
                    }
            }
            (Self::Pending(topic), TopicResult::Pending { topic: named }) => topic == named,
            (Self::Pattern(topic, count), TopicResult::Pattern { topic: named, matched }) => (topic, count) == (named, matched),
            (
                Self::Paused { topic, id, pace, trades, replaces },
                TopicResult::Paused { topic: named, topic_id, pace: at, trades: mode, replaces: of },
            ) => (topic, id, pace, trades, replaces) == (named, topic_id, at, mode, of),
            (Self::Once(topic, id), TopicResult::Once { topic: named, topic_id }) => (topic, id) == (named, topic_id),
            (Self::Ended(topic), TopicResult::Ended { topic: named }) => topic == named,
            (Self::Refused(topic, code), TopicResult::Refused { topic: named, code: told, .. }) => {
                topic == named && code.name() == told
            }
            _ => false,
        }
    }
}

pub fn refuse(name: &str, code: Code) -> Told {
    Told::Refused(name[..name.len().min(MAX_NAME)].to_owned(), code)
}

pub fn missed(key: &TopicKey, missing: &Resolve) -> Told {
    refuse(&key.to_string(), if *missing == Resolve::UnknownVenue { Code::UnknownVenue } else { Code::UnknownSymbol })
}
