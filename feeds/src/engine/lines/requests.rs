//! The requests of one connection. In: what to subscribe, the time. Out: texts to send, again after a refusal, or the connection is given up.
//! Bounded: one entry a request that is not answered yet, of at most all topics of the line.

use super::super::facts::{AnsweredBy, Facts, Grouping, Stream};
use super::super::protocol::{Operation, Request, Topic};
use super::{TopicKey, Words};
use crate::adapter::{Action, Line, Now, Output};
use wire::event::Cause;

const ACK_TIMEOUT_NS: i64 = 15_000_000_000;

/// A request that is not answered yet.
pub(super) struct Open {
    pub id: u64,
    pub operation: Operation,
    pub topics: Vec<TopicKey>,
    /// Sent: when to give up. Refused: when to send again (`resend`).
    pub at: i64,
    pub resend: bool,
}

pub(super) struct Connection {
    pub line: Line,
    pub opened: Option<i64>,
    pub greeted: bool,
    pub requests: Vec<Open>,
    /// All of it was acknowledged.
    pub complete: Option<i64>,
    pub first_data: Option<i64>,
    pub last_heard: i64,
    pub last_ping: i64,
    /// `Scope::Connection`: the number of the last message.
    pub frame: Option<u64>,
    /// Among several lines: since when another has brought something and this one nothing.
    pub behind_since: Option<i64>,
    /// When another did so last.
    pub behind_until: i64,
    /// The venue is about to close it: it is opened anew as soon as another line carries the same.
    pub leaving: bool,
}

impl Connection {
    pub fn new(line: Line) -> Self {
        Self {
            line,
            opened: None,
            greeted: false,
            requests: Vec::new(),
            complete: None,
            first_data: None,
            last_heard: 0,
            last_ping: 0,
            frame: None,
            behind_since: None,
            behind_until: 0,
            leaving: false,
        }
    }

    /// It is gone, or begins.
    pub fn clear(&mut self) {
        *self = Self { requests: std::mem::take(&mut self.requests), ..Self::new(self.line) };
        self.requests.clear();
    }

    /// What the others bring may be expected from it too.
    pub fn delivers(&self) -> bool {
        self.first_data.is_some() || self.complete.is_some()
    }

    /// Was its subscription granted?
    pub fn carries(&self, topic: &TopicKey) -> bool {
        self.greeted && !self.requests.iter().any(|request| request.topics.contains(topic))
    }
}

/// What is needed to word a request and to remember it.
pub(super) struct Sender<'a> {
    pub streams: &'a [Stream],
    pub facts: &'a Facts,
    pub next_request: &'a mut u64,
}

impl Sender<'_> {
    pub fn send(
        &mut self,
        connection: &mut Connection,
        operation: Operation,
        topics: &[TopicKey],
        now: Now,
        words: &Words<'_>,
        out: &mut Output,
    ) {
        connection.complete = None;
        let mut topics = topics.to_vec();
        let one_stream = self.facts.grouping == Grouping::OneStream;
        if one_stream {
            topics.sort_by_key(|topic| topic.stream);
        }
        let groups = topics.chunk_by(|a, b| !one_stream || a.stream == b.stream);
        for chunk in groups.flat_map(|group| group.chunks(self.facts.topics_per_request.max(1))) {
            *self.next_request += 1;
            let natives: Vec<String> = chunk.iter().map(|topic| (words.native)(topic.market)).collect();
            let named: Vec<Topic<'_>> = chunk
                .iter()
                .zip(&natives)
                .map(|(topic, native)| Topic { stream: &self.streams[usize::from(topic.stream)], native })
                .collect();
            let (id, line) = (*self.next_request, connection.line);
            let request = Request { id, line, time: now.wall, operation, topics: &named };
            out.actions.push(Action::Send { line: connection.line, text: words.protocol.request(&request) });
            let at = now.mono.saturating_add(ACK_TIMEOUT_NS);
            connection.requests.push(Open { id: *self.next_request, operation, topics: chunk.to_vec(), at, resend: false });
        }
        if self.facts.answered_by == AnsweredBy::Nothing {
            connection.requests.clear();
            connection.complete = Some(now.mono);
        }
    }

    pub fn tend(&mut self, connection: &mut Connection, now: Now, words: &Words<'_>, out: &mut Output) {
        let Some(at) = connection.requests.iter().position(|request| request.at <= now.mono) else { return };
        if !connection.requests[at].resend {
            connection.requests.clear();
            out.actions.push(Action::Reconnect { line: connection.line, cause: Cause::Silence });
            return;
        }
        // Halves, so that one name the venue will not have does not take the others with it.
        let Open { topics, operation, .. } = connection.requests.swap_remove(at);
        let (left, right) = topics.split_at(topics.len().div_ceil(2));
        for half in [left, right].into_iter().filter(|half| !half.is_empty()) {
            self.send(connection, operation, half, now, words, out);
        }
    }

    pub fn keep_alive(&mut self, connection: &mut Connection, now: Now, words: &Words<'_>, out: &mut Output) {
        let Some(keepalive) = self.facts.keepalive.filter(|_| connection.opened.is_some()) else { return };
        let every = i64::try_from(keepalive.every_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let since = if keepalive.when_silent { connection.last_ping.max(connection.last_heard) } else { connection.last_ping };
        if now.mono.saturating_sub(since) >= every {
            connection.last_ping = now.mono;
            *self.next_request += 1;
            out.actions.push(Action::Send { line: connection.line, text: words.protocol.ping(*self.next_request, now.wall) });
        }
    }
}
