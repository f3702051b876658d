//! The connections of a feed. In: what opened, closed, was answered. Out: which to open, what to subscribe, when to replace one.
//! Bounded: the venue's limits of symbols and topics a line, two lines a slot while one replaces the other.
//!
//! A slot is a share of the instruments at one endpoint, with all streams of that endpoint. An instrument has one slot at each
//! endpoint; the first is its link.

use super::decoded::About;
use super::facts::{AnsweredBy, Facts, Grouping, Stream};
use super::protocol::{Operation, Protocol, Request, Topic};
use crate::adapter::{Action, Line, Now, Output};
use wire::event::{Cause, Channel};

const ACK_TIMEOUT_NS: i64 = 15_000_000_000;
const RETRY_REFUSED_NS: i64 = 2_000_000_000;
const RETRY_REFUSED_ALONE_NS: i64 = 60_000_000_000;
/// The new line must have delivered for this long before the old one goes, so that nothing sent on the old is still on its way.
const OVERLAP_NS: i64 = 1_000_000_000;
/// Quiet instruments may deliver nothing at all: then the acknowledgement has to do.
const OVERLAP_QUIET_NS: i64 = 10_000_000_000;
/// Lines are replaced this long before the venue would drop them, slot by slot.
const REPLACE_BEFORE_S: u64 = 1_800;
const REPLACE_SPREAD_S: u64 = 60;

/// One stream (by its place among the protocol's) of one market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicKey {
    pub market: u32,
    pub stream: u8,
}

/// A request that is not answered yet.
struct Open {
    id: u64,
    operation: Operation,
    topics: Vec<TopicKey>,
    /// Sent: when to give up. Refused: when to send again (`resend`).
    at: i64,
    resend: bool,
}

struct Connection {
    line: Line,
    opened: Option<i64>,
    greeted: bool,
    requests: Vec<Open>,
    /// All of it was acknowledged.
    complete: Option<i64>,
    first_data: Option<i64>,
    last_heard: i64,
    last_ping: i64,
    /// `Scope::Connection`: the number of the last message.
    frame: Option<u64>,
}

struct Slot {
    endpoint: usize,
    /// Its instruments' link; else the second place of instruments whose streams are spread over endpoints.
    is_link: bool,
    markets: Vec<u32>,
    current: Connection,
    next: Option<Connection>,
}

pub struct Lines {
    urls: Vec<String>,
    streams: Vec<Stream>,
    facts: Facts,
    slots: Vec<Slot>,
    next_line: u32,
    next_request: u64,
    /// Lines whose address must be asked for first.
    pub unaddressed: Vec<Line>,
}

/// What became of a lost line.
pub enum Lost {
    /// Another line carries its instruments; those whose book was the lost line's still need one.
    Covered(Vec<u32>),
    /// Nothing carries these topics now; they are some of their link.
    Uncovered(Vec<TopicKey>),
    /// Nothing carries anything of this link now, and no line to do so is open.
    Link(u32, Vec<u32>),
}

/// What a frame number says about its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    Next,
    Again,
    Gap { missing: u64 },
}

/// Names and requests in the venue's words.
pub struct Words<'a> {
    pub protocol: &'a dyn Protocol,
    pub native: &'a dyn Fn(u32) -> String,
}

impl Lines {
    pub fn new(urls: Vec<String>, streams: Vec<Stream>, facts: Facts) -> Self {
        Self { urls, streams, facts, slots: Vec::new(), next_line: 0, next_request: 0, unaddressed: Vec::new() }
    }

    /// A recording stands in for the venue: it knows no tokens.
    pub fn without_tokens(&mut self) {
        self.facts.token = false;
    }

    /// A line to hear the list of instruments on, before any is known.
    pub fn open_first(&mut self, out: &mut Output) {
        if self.slots.is_empty() {
            let endpoint = self.streams.first().map_or(0, |stream| stream.endpoint);
            let current = self.connect(endpoint, out);
            self.slots.push(Slot { endpoint, is_link: true, markets: Vec::new(), current, next: None });
        }
    }

    /// Gives `market` its places, of which the first is told: its link, for good. Its streams are subscribed when their lines open,
    /// or now if they are open.
    pub fn add(&mut self, now: Now, market: u32, words: &Words<'_>, out: &mut Output) -> u32 {
        let mut endpoints: Vec<usize> = self.streams.iter().map(|stream| stream.endpoint).collect();
        endpoints.dedup();
        let mut link = None;
        let native = (words.native)(market);
        endpoints.retain(|endpoint| words.protocol.serves(*endpoint, &native));
        for endpoint in endpoints {
            let is_link = link.is_none();
            let streams = self.streams.iter().filter(|stream| stream.endpoint == endpoint).count();
            let room = (self.facts.topics_per_line / streams.max(1)).min(self.facts.symbols_per_line).max(1);
            let free = self
                .slots
                .iter()
                .rposition(|slot| slot.endpoint == endpoint && slot.is_link == is_link && slot.markets.len() < room);
            let at = free.unwrap_or_else(|| {
                let current = self.connect(endpoint, out);
                self.slots.push(Slot { endpoint, is_link, markets: Vec::new(), current, next: None });
                self.slots.len() - 1
            });
            link.get_or_insert(at as u32);
            let topics = self.topics(endpoint, &[market]);
            let Self { slots, streams, facts, next_request, .. } = self;
            let slot = &mut slots[at];
            slot.markets.push(market);
            for connection in std::iter::once(&mut slot.current).chain(&mut slot.next).filter(|connection| connection.greeted) {
                Sender { streams, facts, next_request }.send(connection, Operation::Subscribe, &topics, now, words, out);
            }
        }
        link.unwrap_or(0)
    }

    fn topics(&self, endpoint: usize, markets: &[u32]) -> Vec<TopicKey> {
        let streams = || self.streams.iter().enumerate().filter(|(_, stream)| stream.endpoint == endpoint);
        let of = |market: &u32| {
            let market = *market;
            streams().map(move |(at, _)| TopicKey { market, stream: at as u8 })
        };
        markets.iter().flat_map(of).collect()
    }

    fn connect(&mut self, endpoint: usize, out: &mut Output) -> Connection {
        let line = Line(self.next_line);
        self.next_line += 1;
        if self.facts.token {
            self.unaddressed.push(line);
        } else {
            let url = self.urls.get(endpoint).cloned().unwrap_or_default();
            out.actions.push(Action::Open { line, url });
        }
        Connection {
            line,
            opened: None,
            greeted: false,
            requests: Vec::new(),
            complete: None,
            first_data: None,
            last_heard: 0,
            last_ping: 0,
            frame: None,
        }
    }

    fn find(&mut self, line: Line) -> Option<(usize, &mut Connection)> {
        self.slots.iter_mut().enumerate().find_map(|(index, slot)| {
            if slot.current.line == line {
                return Some((index, &mut slot.current));
            }
            slot.next.as_mut().filter(|next| next.line == line).map(|next| (index, next))
        })
    }

    /// The link whose data this line brings; `None` for one that is not ours, or only about to replace another.
    pub fn link_of(&self, line: Line) -> Option<u32> {
        self.slots.iter().position(|slot| slot.current.line == line).map(|link| link as u32)
    }

    /// What the slot of this line carries.
    pub fn markets_of(&self, line: Line) -> &[u32] {
        let of = |slot: &&Slot| slot.current.line == line || slot.next.as_ref().is_some_and(|next| next.line == line);
        self.slots.iter().find(of).map_or(&[], |slot| &slot.markets)
    }

    /// One of the lines of the first slot.
    pub fn is_first(&self, line: Line) -> bool {
        let of = |slot: &Slot| slot.current.line == line || slot.next.as_ref().is_some_and(|next| next.line == line);
        self.slots.first().is_some_and(of)
    }

    /// Which address it is connected to.
    pub fn endpoint_of(&self, line: Line) -> usize {
        let of = |slot: &&Slot| slot.current.line == line || slot.next.as_ref().is_some_and(|next| next.line == line);
        self.slots.iter().find(of).map_or(0, |slot| slot.endpoint)
    }

    /// All topics of this line's slot; `channel`: those that carry it.
    pub fn topics_of(&self, line: Line, channel: Option<Channel>) -> Vec<TopicKey> {
        let of = |slot: &&Slot| slot.current.line == line || slot.next.as_ref().is_some_and(|next| next.line == line);
        let Some(slot) = self.slots.iter().find(of) else { return Vec::new() };
        let mut topics = self.topics(slot.endpoint, &slot.markets);
        topics.retain(|topic| channel.is_none_or(|channel| self.channels_of(*topic).contains(&channel)));
        topics
    }

    /// The line that carries this channel of this market (the older of two).
    pub fn line_of(&self, market: u32, channel: Channel) -> Option<Line> {
        let carries =
            |endpoint| self.streams.iter().any(|stream| stream.endpoint == endpoint && stream.carries.contains(&channel));
        let slot = self.slots.iter().find(|slot| slot.markets.contains(&market) && carries(slot.endpoint))?;
        Some(slot.current.line)
    }

    /// The line of this market, if it may be spoken to already.
    pub fn greeted_line_of(&self, market: u32) -> Option<Line> {
        let slot = self.slots.iter().find(|slot| slot.markets.contains(&market) && slot.current.greeted)?;
        Some(slot.current.line)
    }

    /// `greeting` is said first.
    pub fn opened(&mut self, now: Now, line: Line, greeting: Vec<String>, words: &Words<'_>, out: &mut Output) {
        let waits = self.facts.waits_for_hello;
        let Some((_, connection)) = self.find(line) else { return };
        connection.opened = Some(now.mono);
        connection.requests.clear();
        (connection.complete, connection.first_data, connection.frame) = (None, None, None);
        (connection.last_heard, connection.last_ping, connection.greeted) = (now.mono, now.mono, false);
        for text in greeting {
            out.actions.push(Action::Send { line, text });
        }
        if !waits {
            self.greeted(now, line, words, out);
        }
    }

    /// The venue may be spoken to.
    pub fn greeted(&mut self, now: Now, line: Line, words: &Words<'_>, out: &mut Output) {
        let Some((index, connection)) = self.find(line) else { return };
        if connection.opened.is_none() || std::mem::replace(&mut connection.greeted, true) {
            return;
        }
        let topics = self.topics(self.slots[index].endpoint, &self.slots[index].markets);
        let Self { slots, streams, facts, next_request, .. } = self;
        let slot = &mut slots[index];
        let connection = if slot.current.line == line { Some(&mut slot.current) } else { slot.next.as_mut() };
        let Some(connection) = connection else { return };
        Sender { streams, facts, next_request }.send(connection, Operation::Subscribe, &topics, now, words, out);
    }

    /// Anything came on `line`.
    pub fn heard(&mut self, now: Now, line: Line) {
        if let Some((_, connection)) = self.find(line) {
            connection.last_heard = now.mono;
        }
    }

    pub fn framed(&mut self, line: Line, number: u64) -> Framed {
        let Some((_, connection)) = self.find(line) else { return Framed::Again };
        let framed = match connection.frame {
            Some(last) if number <= last => return Framed::Again,
            Some(last) if number > last + 1 => Framed::Gap { missing: number - last - 1 },
            _ => Framed::Next,
        };
        connection.frame = Some(number);
        framed
    }

    /// Topics whose data flows now, because the venue said so.
    pub fn granted(&mut self, now: Now, line: Line, about: &About, words: &Words<'_>, out: &mut Output) -> Vec<TopicKey> {
        let Some((topics, operation)) = self.answered(line, about, words.native) else { return Vec::new() };
        if operation == Operation::Unsubscribe {
            let Self { slots, streams, facts, next_request, .. } = self;
            for connection in slots.iter_mut().flat_map(|slot| std::iter::once(&mut slot.current).chain(&mut slot.next)) {
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
    pub fn resubscribe(&mut self, now: Now, market: u32, channel: Channel, words: &Words<'_>, out: &mut Output) {
        let Self { slots, streams, facts, next_request, .. } = self;
        for slot in slots.iter_mut().filter(|slot| slot.markets.contains(&market)) {
            let carried = |(at, stream): (usize, &Stream)| {
                let carries = stream.endpoint == slot.endpoint && stream.carries.contains(&channel);
                carries.then_some(TopicKey { market, stream: at as u8 })
            };
            let topics: Vec<TopicKey> = streams.iter().enumerate().filter_map(carried).collect();
            let busy = slot.current.requests.iter().any(|open| open.topics.iter().any(|topic| topics.contains(topic)));
            if topics.is_empty() || !slot.current.greeted {
                continue;
            }
            if !busy {
                let mut sender = Sender { streams, facts, next_request };
                sender.send(&mut slot.current, Operation::Unsubscribe, &topics, now, words, out);
                if facts.answered_by == AnsweredBy::Nothing {
                    sender.send(&mut slot.current, Operation::Subscribe, &topics, now, words, out);
                }
            }
            return;
        }
    }

    /// Data came on `line`. `None`: the line is not (or no longer) ours. `Some(true)`: two lines carry the same data now.
    pub fn data(&mut self, now: Now, line: Line) -> Option<bool> {
        let (index, connection) = self.find(line)?;
        connection.first_data.get_or_insert(now.mono);
        Some(self.slots[index].next.as_ref().is_some_and(|next| next.first_data.is_some()))
    }

    /// The line about to replace another: what it brings counts only where ids tell old from new.
    pub fn is_next(&self, line: Line) -> bool {
        self.slots.iter().any(|slot| slot.next.as_ref().is_some_and(|next| next.line == line))
    }

    /// The venue is about to close `line`: open its replacement now.
    pub fn shutdown(&mut self, line: Line, out: &mut Output) {
        let Some((index, _)) = self.find(line) else { return };
        let endpoint = self.slots[index].endpoint;
        match &self.slots[index].next {
            None => {
                let next = self.connect(endpoint, out);
                self.slots[index].next = Some(next);
            }
            Some(next) if next.line == line => out.actions.push(Action::Reconnect { line, cause: Cause::VenueShutdown }),
            Some(_) => {}
        }
    }

    pub fn lost(&mut self, line: Line, out: &mut Output) -> Option<Lost> {
        let (index, connection) = self.find(line)?;
        connection.opened = None;
        connection.greeted = false;
        connection.requests.clear();
        (connection.complete, connection.first_data, connection.frame) = (None, None, None);
        let endpoint = self.slots[index].endpoint;
        if self.facts.token {
            // Its address may have expired with it.
            out.actions.push(Action::Close { line });
            let fresh = self.connect(endpoint, out);
            let slot = &mut self.slots[index];
            if slot.current.line == line {
                slot.current = fresh
            } else {
                slot.next = Some(fresh)
            }
            let covered = slot.next.is_some();
            return Some(if covered { Lost::Covered(Vec::new()) } else { self.uncarried(index) });
        }
        let slot = &mut self.slots[index];
        if slot.current.line != line {
            // The replacement failed; the supervisor is already trying again, and the old line still delivers.
            return Some(Lost::Covered(Vec::new()));
        }
        let Some(next) = slot.next.take() else { return Some(self.uncarried(index)) };
        // The replacement takes over, ready or not: it is closer to being open than the lost one. What it was granted it carries.
        slot.current = next;
        out.actions.push(Action::Close { line });
        let next = &slot.current;
        if next.opened.is_none() {
            return Some(self.uncarried(index));
        }
        let uncovered: Vec<TopicKey> = next.requests.iter().flat_map(|request| request.topics.iter().copied()).collect();
        Some(if uncovered.is_empty() { Lost::Covered(slot.markets.clone()) } else { Lost::Uncovered(uncovered) })
    }

    /// All of a slot: its link, or at a second endpoint single channels.
    fn uncarried(&self, index: usize) -> Lost {
        let slot = &self.slots[index];
        if slot.is_link {
            return Lost::Link(index as u32, slot.markets.clone());
        }
        Lost::Uncovered(self.topics(slot.endpoint, &slot.markets))
    }

    pub fn channels_of(&self, topic: TopicKey) -> &'static [Channel] {
        self.streams.get(usize::from(topic.stream)).map_or(&[], |stream| stream.carries)
    }

    /// Time-outs, refused requests, signs of life, planned replacements. Returns the instruments whose overlap of two lines ended.
    pub fn tick(&mut self, now: Now, words: &Words<'_>, caught_up: &dyn Fn(u32) -> bool, out: &mut Output) -> Vec<u32> {
        let mut ended = Vec::new();
        for index in 0..self.slots.len() {
            let Self { slots, streams, facts, next_request, .. } = self;
            let slot = &mut slots[index];
            for connection in std::iter::once(&mut slot.current).chain(&mut slot.next) {
                let mut sender = Sender { streams, facts, next_request };
                sender.tend(connection, now, words, out);
                sender.keep_alive(connection, now, words, out);
            }
            if slot.next.as_ref().is_some_and(|next| may_take_over(next, &slot.markets, now, caught_up)) {
                if let Some(next) = slot.next.take() {
                    out.actions.push(Action::Close { line: slot.current.line });
                    slot.current = next;
                    ended.extend_from_slice(&slot.markets);
                }
            } else if slot.next.is_none() && old(&slot.current, index, self.facts.caps.max_connection_age_s, now) {
                let endpoint = slot.endpoint;
                let next = self.connect(endpoint, out);
                self.slots[index].next = Some(next);
            }
        }
        ended
    }
}

fn old(connection: &Connection, slot: usize, max_age_s: u64, now: Now) -> bool {
    let spread = (slot as u64 % 10) * REPLACE_SPREAD_S;
    let limit_s = max_age_s.saturating_sub(REPLACE_BEFORE_S + spread).max(max_age_s / 2);
    let limit = i64::try_from(limit_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    max_age_s > 0 && connection.opened.is_some_and(|opened| now.mono.saturating_sub(opened) >= limit)
}

fn may_take_over(next: &Connection, markets: &[u32], now: Now, caught_up: &dyn Fn(u32) -> bool) -> bool {
    let Some(complete) = next.complete else { return false };
    let since = |at: i64| now.mono.saturating_sub(at);
    if since(complete) >= OVERLAP_QUIET_NS {
        return true;
    }
    next.first_data.is_some_and(|first| since(first.max(complete)) >= OVERLAP_NS)
        && markets.iter().all(|market| caught_up(*market))
}

/// What is needed to word a request and to remember it.
struct Sender<'a> {
    streams: &'a [Stream],
    facts: &'a Facts,
    next_request: &'a mut u64,
}

impl Sender<'_> {
    fn send(
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

    fn tend(&mut self, connection: &mut Connection, now: Now, words: &Words<'_>, out: &mut Output) {
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

    fn keep_alive(&mut self, connection: &mut Connection, now: Now, words: &Words<'_>, out: &mut Output) {
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
