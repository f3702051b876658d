//! How data starts for a subscriber, before it does. In: a topic and a place. Out: what the answer says of it. Pure.

use super::is_stream;
use crate::topic::{self, Cursor, Topic};
use wire::request::{Missing, Start, Unknown};

/// How data will start for a subscriber at `cursor`. A stream goes on from any cursor of its epoch, with a gap if it must.
pub(super) fn start_of(topic: &Topic, cursor: &Cursor) -> Start {
    let is_stream = is_stream(topic);
    if is_stream && *cursor == Cursor::NOW {
        Start::Now
    } else if is_stream && cursor.is_back() {
        Start::Back
    } else if topic.reaches(cursor) || (is_stream && cursor.is_placed() && is_behind(topic, cursor)) {
        Start::Delta
    } else {
        Start::Snapshot
    }
}

/// Has the topic, in its present epoch, been where the cursor says that it stands?
fn is_behind(topic: &Topic, cursor: &Cursor) -> bool {
    let (epoch, head) = topic.head();
    cursor.epoch() == epoch && cursor.seq() <= head
}

/// Of a resumed stream: what cannot be told any more.
pub(super) fn missing(topic: &Topic, cursor: &Cursor) -> Option<Missing> {
    if !is_stream(topic) || !cursor.is_placed() {
        return None;
    }
    match topic.missing(cursor) {
        topic::Missing::None => None,
        topic::Missing::Count(count) => Some(Missing::Count(count)),
        topic::Missing::Unknown => Some(Missing::Unknown(Unknown::Unknown)),
    }
}
