//! In: the frames of one connection, in order. Out: their records with the meta each needs.
//! Bounded: metas of `MAX_TOPICS` topics and one scratch of levels and bars no larger than a frame.

use super::error::{DecodeError, Problem};
use super::frame::FrameHeader;
use super::{binary, json};
use crate::event::{Level, Nanos};
use crate::record::{Bar, Meta, Record, StatsChange};
use crate::request::Encoding;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::ops::Deref;

/// Most topics one connection may announce: far above what a server lets one session subscribe to.
pub const MAX_TOPICS: usize = 1 << 18;

/// Called for each record, with its topic's newest meta; for a `Meta` record, that one itself.
pub type Each<'a> = &'a mut dyn FnMut(&FrameHeader, &Announced, &Record<'_>);

/// Decodes the data frames of one connection. A new connection needs a new one.
#[derive(Debug)]
pub struct Decoder {
    encoding: Encoding,
    topics: Topics,
    scratch: Scratch,
}

/// What the record that is being handed out borrows.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub levels: Vec<Level>,
    pub bars: Vec<Bar>,
    pub stats: StatsChange,
}

impl Decoder {
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, topics: Topics::default(), scratch: Scratch::default() }
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Decodes one frame and hands out its records in order. After an error the rest of the frame is lost.
    pub fn decode(&mut self, bytes: &[u8], each: Each<'_>) -> Result<FrameHeader, DecodeError> {
        match self.encoding {
            Encoding::Binary => binary::read::frame(&mut self.topics, &mut self.scratch, bytes, each),
            Encoding::Json => json::read::frame(&mut self.topics, &mut self.scratch, bytes, each),
        }
    }

    /// The newest meta of a topic.
    pub fn meta(&self, topic: u32) -> Option<&Meta> {
        self.topics.get(topic).map(|topic| &**topic)
    }
}

/// A topic of the connection: its meta, and what else is known of it.
#[derive(Debug)]
pub struct Announced {
    /// Not in line: most records need none of it.
    meta: Box<Meta>,
    /// `Meta::topic`.
    topic: u32,
    place: u32,
    /// `Meta::base`.
    pub(super) base: i64,
    /// `Meta::time_exponent` in nanoseconds.
    pub(super) unit_ns: Nanos,
    /// Id of the newest trade that had one; steps count from it (binary).
    pub(super) previous_id: Option<i64>,
}

impl Announced {
    /// How many topics of the connection were announced before it: finds what else is kept of it without a search.
    pub fn place(&self) -> usize {
        self.place as usize
    }
}

impl Deref for Announced {
    type Target = Meta;

    fn deref(&self) -> &Meta {
        &self.meta
    }
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    states: Vec<Announced>,
    /// Topic id -> place in `states`.
    places: HashMap<u32, u32, RandomState>,
    /// Place of the one that was looked up last.
    newest: usize,
}

impl Topics {
    pub fn get(&self, topic: u32) -> Option<&Announced> {
        self.places.get(&topic).and_then(|place| self.states.get(*place as usize))
    }

    /// Records of one topic come in a row, and topics often in the order in which they were announced. Who is looked for there first spares the way
    /// from memory of all others' hashes.
    #[inline]
    pub fn find(&mut self, topic: u32) -> Option<&mut Announced> {
        let is_at = |place: usize| self.states.get(place).is_some_and(|state| state.topic == topic);
        if !is_at(self.newest) {
            let next = self.newest + 1;
            self.newest = if is_at(next) { next } else { *self.places.get(&topic)? as usize };
        }
        self.states.get_mut(self.newest)
    }

    pub fn get_mut(&mut self, topic: u32) -> Result<&mut Announced, Problem> {
        self.find(topic).ok_or(Problem::UnknownTopic(topic))
    }

    pub fn announce(&mut self, meta: Meta) -> Result<&Announced, Problem> {
        let (topic, base, unit_ns) = (meta.topic, meta.base, binary::unit_ns(meta.time_exponent));
        if let Ok(state) = self.get_mut(topic) {
            if state.meta.epoch != meta.epoch {
                // Told again within an epoch (a base that became known), the stream goes on where it was.
                state.previous_id = None;
            }
            (*state.meta, state.base, state.unit_ns) = (meta, base, unit_ns);
        } else if self.states.len() < MAX_TOPICS {
            let place = self.states.len() as u32;
            self.newest = place as usize;
            self.places.insert(topic, place);
            self.states.push(Announced { meta: Box::new(meta), topic, place, base, unit_ns, previous_id: None });
        } else {
            return Err(Problem::TooManyTopics);
        }
        self.get_mut(topic).map(|topic| &*topic)
    }
}
