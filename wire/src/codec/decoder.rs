//! In: the frames of one connection, in order. Out: their records with the meta each needs.
//! Bounded: metas of `MAX_TOPICS` topics and one scratch of levels and bars no larger than a frame.

use super::error::{DecodeError, Problem};
use super::frame::FrameHeader;
use super::{binary, json};
use crate::event::Level;
use crate::record::{Bar, Meta, Record, StatsChange};
use crate::request::Encoding;
use std::collections::HashMap;

/// Most topics one connection may announce: far above what a server lets one session subscribe to.
pub const MAX_TOPICS: usize = 1 << 18;

/// Called for each record. The meta is the topic's newest one; for a `Meta` record, that one itself.
pub type Each<'a> = &'a mut dyn FnMut(&FrameHeader, &Meta, &Record<'_>);

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
    pub fn decode(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(&FrameHeader, &Meta, &Record<'_>),
    ) -> Result<FrameHeader, DecodeError> {
        match self.encoding {
            Encoding::Binary => binary::read::frame(&mut self.topics, &mut self.scratch, bytes, each),
            Encoding::Json => json::read::frame(&mut self.topics, &mut self.scratch, bytes, each),
        }
    }

    /// The newest meta of a topic.
    pub fn meta(&self, topic: u32) -> Option<&Meta> {
        self.topics.get(topic).map(|state| &state.meta)
    }
}

/// What is known of one topic of the connection.
#[derive(Debug)]
pub(super) struct TopicState {
    pub meta: Meta,
    /// Id of the newest trade that had one; steps count from it (binary).
    pub previous_id: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    states: Vec<TopicState>,
    /// Topic id -> place in `states`.
    places: HashMap<u32, usize>,
    /// Id and place of the newest one that was looked up: records of one topic come in a row.
    newest: (u32, usize),
}

impl Topics {
    pub fn get(&self, topic: u32) -> Option<&TopicState> {
        self.places.get(&topic).and_then(|place| self.states.get(*place))
    }

    #[inline]
    pub fn find(&mut self, topic: u32) -> Option<&mut TopicState> {
        if self.newest.0 != topic || self.states.is_empty() {
            self.newest = (topic, *self.places.get(&topic)?);
        }
        self.states.get_mut(self.newest.1)
    }

    pub fn get_mut(&mut self, topic: u32) -> Result<&mut TopicState, Problem> {
        self.find(topic).ok_or(Problem::UnknownTopic(topic))
    }

    pub fn announce(&mut self, meta: Meta) -> Result<&Meta, Problem> {
        let topic = meta.topic;
        if let Ok(state) = self.get_mut(topic) {
            if state.meta.epoch != meta.epoch {
                // Told again within an epoch (a base that became known), the stream goes on where it was.
                state.previous_id = None;
            }
            state.meta = meta;
        } else if self.states.len() < MAX_TOPICS {
            self.newest = (topic, self.states.len());
            self.places.insert(topic, self.states.len());
            self.states.push(TopicState { meta, previous_id: None });
        } else {
            return Err(Problem::TooManyTopics);
        }
        self.get_mut(topic).map(|state| &state.meta)
    }
}
