//! In: the text of a JSON data frame. Out: its records, one at a time, borrowed from the decoder's scratch.
//! Bounded by the frame: records are handed out while it is read, so only one of them is held.

use super::super::decoder::{Each, Scratch, Topics};
use super::super::error::{At, DecodeError, Problem};
use super::super::frame::{self, FrameHeader};
use super::fields::{Fields, Text};
use super::kind;
use crate::event::Nanos;
use crate::record::{Meta, Record, RecordBody};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

pub fn frame(topics: &mut Topics, scratch: &mut Scratch, bytes: &[u8], each: Each<'_>) -> Result<FrameHeader, DecodeError> {
    let mut run =
        Run { topics, scratch, each, number: None, sent: None, in_data: false, had_data: false, records: 0, problem: None };
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let outcome = text.deserialize_map(&mut run).and_then(|()| text.end());
    let (problem, at) = match (outcome, run.header()) {
        (Ok(()), Some(header)) if run.had_data => return Ok(header),
        (Ok(()), Some(_)) => (Problem::Missing("data"), bytes.len()),
        (Ok(()), None) => (Problem::Missing("frame or sent"), bytes.len()),
        (Err(error), _) => {
            let at = offset(bytes, &error);
            (run.problem.take().unwrap_or_else(|| Problem::Json(error.to_string())), at)
        }
    };
    let at = if run.in_data { At::Record { record: run.records, offset: at } } else { At::Header { offset: at } };
    Err(DecodeError { length: bytes.len(), at, problem })
}

/// Byte offset of serde's line and column.
fn offset(bytes: &[u8], error: &serde_json::Error) -> usize {
    let before = error.line().saturating_sub(1);
    let lines: usize = bytes.split_inclusive(|byte| *byte == b'\n').take(before).map(<[u8]>::len).sum();
    (lines + error.column()).min(bytes.len())
}

struct Run<'a> {
    topics: &'a mut Topics,
    scratch: &'a mut Scratch,
    each: Each<'a>,
    number: Option<u64>,
    sent: Option<Nanos>,
    in_data: bool,
    had_data: bool,
    /// Records handed out so far.
    records: usize,
    /// What was wrong where serde only knows that something was.
    problem: Option<Problem>,
}

impl Run<'_> {
    fn header(&self) -> Option<FrameHeader> {
        let (number, sent) = (self.number?, self.sent?);
        Some(FrameHeader { number, sent, base_second: frame::base_second(sent) })
    }

    fn record(&mut self, header: &FrameHeader, fields: &Fields<'_>) -> Result<(), Problem> {
        let topic = fields.id;
        let flags = fields.flags();
        if fields.kind.0 == kind::META {
            if let Some(meta) = fields.meta()? {
                let meta = self.topics.announce(meta)?;
                (self.each)(header, meta, &Record { topic, flags, sequence: 0, time: 0, body: RecordBody::Meta(meta) });
            }
            return Ok(());
        }
        let known = fields.is_known();
        let Some(state) = self.topics.get(topic) else {
            // An unknown record may well be about no topic at all.
            return if known { Err(Problem::UnknownTopic(topic)) } else { Ok(()) };
        };
        let meta: &Meta = state;
        if known && fields.topic.0 != meta.name {
            return Err(Problem::TopicName);
        }
        let moves = fields.kind.0 != kind::STATE && fields.kind.0 != kind::CHECK;
        let (sequence, time) = match (moves, known) {
            (true, true) => (fields.sequence(flags)?, fields.time()?),
            (true, false) => (fields.sequence(flags).unwrap_or_default(), fields.time().unwrap_or_default()),
            (false, _) => (0, 0),
        };
        let instrument = if fields.kind.0 == kind::INSTRUMENT { fields.instrument()? } else { None };
        let body = match &instrument {
            Some(instrument) => RecordBody::Instrument(instrument),
            None => fields.body(meta, self.scratch)?,
        };
        (self.each)(header, state, &Record { topic, flags, sequence, time, body });
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Run<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a data frame")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key.0 {
                "frame" => self.number = Some(map.next_value()?),
                "sent" => {
                    let text = map.next_value::<Text<'de>>()?;
                    self.sent = Some(text.0.parse().map_err(|_| M::Error::custom("'sent' is not a time in ns"))?);
                }
                "data" => {
                    let Some(header) = self.header() else {
                        self.problem = Some(Problem::Missing("frame and sent before data"));
                        return Err(M::Error::custom("data without header"));
                    };
                    self.in_data = true;
                    map.next_value_seed(Data { run: self, header })?;
                    self.in_data = false;
                    self.had_data = true;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Data<'r, 'a> {
    run: &'r mut Run<'a>,
    header: FrameHeader,
}

impl<'de> DeserializeSeed<'de> for Data<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Data<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut records: S) -> Result<(), S::Error> {
        while let Some(fields) = records.next_element::<Fields<'de>>()? {
            if let Err(problem) = self.run.record(&self.header, &fields) {
                self.run.problem = Some(problem);
                return Err(S::Error::custom("bad record"));
            }
            self.run.records += 1;
        }
        Ok(())
    }
}
