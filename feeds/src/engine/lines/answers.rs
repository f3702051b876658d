//! What a venue answers to the requests of a line. In: answers, books that must start over. Out: topics that flow now, further requests.
//! Bounded by the requests that are open.

use super::super::decoded::About;
use super::super::facts::{AnsweredBy, Stream};
use super::super::protocol::Operation;
use super::requests::{Open, Sender};
use super::{Lines, Slot, TopicKey, Words};
use crate::adapter::{Line, Now, Output};
use wire::event::Channel;

const RETRY_REFUSED_NS: i64 = 2_000_000_000;
const RETRY_REFUSED_ALONE_NS: i64 = 60_000_000_000;

impl Lines {
    /// Topics whose data flows now, because the venue said so.
    pub fn granted(&mut self, now: Now, line: Line, about: &About, words: &Words<'_>, out: &mut Output) -> Vec<TopicKey> {
        let Some((topics, operation)) = self.answered(line, about, words.native) else { return Vec::new() };
        if operation == Operation::Unsubscribe {
            let Self { slots, streams, facts, next_request, .. } = self;
            for connection in slots.iter_mut().flat_map(Slot::connections_mut) {
                if connection.line == line {
                    let mut sender = Sender { streams, facts, next_request };
                    sender.send(connection, Operation::Subscribe, &topics, now, words, out);
                }
            }
            return Vec::new();
        }
        if let Some((_, connection)) = self.find(line)
            && connection.requests.is_empty()
        {
            connection.complete = Some(now.mono);
        }
        topics
    }

    /// Is this request open, in whole or in part?
    pub fn is_open(&mut self, line: Line, id: u64) -> bool {
        self.find(line).is_some_and(|(_, connection)| connection.requests.iter().any(|open| open.id == id && !open.resend))
    }

    /// It will be asked for again, in parts.
    pub fn refused(&mut self, now: Now, line: Line, about: &About, words: &Words<'_>) {
        let Some((topics, operation)) = self.answered(line, about, words.native) else { return };
        let Some((_, connection)) = self.find(line) else { return };
        // What cannot be taken off is put on again all the same.
        let pause =
            if topics.len() == 1 && operation == Operation::Subscribe { RETRY_REFUSED_ALONE_NS } else { RETRY_REFUSED_NS };
        let at = now.mono.saturating_add(pause);
        connection.requests.push(Open { id: 0, operation: Operation::Subscribe, topics, at, resend: true });
    }

    /// Takes what this answer is about from the open requests.
    fn answered(&mut self, line: Line, about: &About, native: &dyn Fn(u32) -> String) -> Option<(Vec<TopicKey>, Operation)> {
        let streams = std::mem::take(&mut self.streams);
        let found = self.find(line).and_then(|(_, connection)| {
            let mut sent = connection.requests.iter_mut().enumerate().filter(|(_, open)| !open.resend);
            match about {
                About::Id(id) | About::Rest(id) => {
                    let at = sent.find(|(_, open)| open.id == *id)?.0;
                    let open = connection.requests.swap_remove(at);
                    Some((open.topics, open.operation))
                }
                About::Oldest => {
                    let at = sent.min_by_key(|(_, open)| open.id)?.0;
                    let open = connection.requests.swap_remove(at);
                    Some((open.topics, open.operation))
                }
                About::Topic { native: named, .. } | About::Part { native: named, .. } => {
                    let is_stream = |topic: &TopicKey| match about {
                        About::Topic { stream, .. } => {
                            streams.get(usize::from(topic.stream)).is_some_and(|known| known.name == *stream)
                        }
                        _ => true,
                    };
                    let is = |topic: &TopicKey| is_stream(topic) && native(topic.market).eq_ignore_ascii_case(named);
                    let is_request = |open: &Open| !matches!(about, About::Part { id, .. } if open.id != *id);
                    let (at, open) = sent.find(|(_, open)| is_request(open) && open.topics.iter().any(is))?;
                    let topic = open.topics.iter().position(is)?;
                    let (topic, operation) = (open.topics.swap_remove(topic), open.operation);
                    if open.topics.is_empty() {
                        connection.requests.swap_remove(at);
                    }
                    Some((vec![topic], operation))
                }
                About::Unknown => None,
            }
        });
        self.streams = streams;
        found
    }

    /// Takes the streams that carry `channel` of `market` off and on again, unless that is being done.
    pub fn resubscribe(&mut self, now: Now, market: u32, channel: Channel, leg: u8, words: &Words<'_>, out: &mut Output) {
        let Self { slots, streams, facts, next_request, .. } = self;
        for slot in slots.iter_mut().filter(|slot| slot.markets.contains(&market)) {
            let carried = |(at, stream): (usize, &Stream)| {
                let carries = stream.endpoint == slot.endpoint && stream.carries.contains(&channel);
                carries.then_some(TopicKey { market, stream: at as u8 })
            };
            let topics: Vec<TopicKey> = streams.iter().enumerate().filter_map(carried).collect();
            let Some(connection) = slot.legs.get_mut(usize::from(leg)).filter(|leg| leg.greeted && !topics.is_empty()) else {
                continue;
            };
            if !connection.requests.iter().any(|open| open.topics.iter().any(|topic| topics.contains(topic))) {
                let mut sender = Sender { streams, facts, next_request };
                sender.send(connection, Operation::Unsubscribe, &topics, now, words, out);
                if facts.answered_by == AnsweredBy::Nothing {
                    sender.send(connection, Operation::Subscribe, &topics, now, words, out);
                }
            }
            return;
        }
    }
}
