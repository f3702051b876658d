//! The connections of a feed. In: what opened, closed, was answered. Out: which to open, what to subscribe, when to replace one.
//! Bounded: the venue's limits of symbols and topics a line, `MAX_LINES` lines a slot, or two while one replaces the other.
//!
//! A slot is a share of the instruments at one endpoint, with all streams of that endpoint. An instrument has one slot at each
//! endpoint; the first is its link. Usually a slot has one line, and for a while a second one that is about to replace it; a feed with
//! several lines has so many for good, each with all of the slot (its *legs*), and then a leg that grows old is simply opened anew.

mod answers;
mod requests;

use super::facts::{Facts, Stream};
use super::protocol::{Operation, Protocol};
use crate::adapter::{Action, Line, Now, Output};
use requests::{Connection, Sender};
use wire::event::{Cause, Channel};

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

struct Slot {
    endpoint: usize,
    /// Its instruments' link; else the second place of instruments whose streams are spread over endpoints.
    is_link: bool,
    markets: Vec<u32>,
    /// All carry the same; one, unless the feed has several lines.
    legs: Vec<Connection>,
    /// About to replace the only leg.
    next: Option<Connection>,
}

impl Slot {
    fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.legs.iter().chain(&self.next)
    }

    fn connections_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.legs.iter_mut().chain(&mut self.next)
    }

    fn has(&self, line: Line) -> bool {
        self.connections().any(|connection| connection.line == line)
    }
}

/// Whose data it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// Which of the slot's legs brought it.
    pub leg: u8,
    /// The legs that bring data, one bit each.
    pub delivering: u8,
    /// The legs that lag, one bit each.
    pub behind: u8,
    /// A second line is about to replace the only leg, and both bring the same now.
    pub overlap: bool,
    /// It is that second line.
    pub is_next: bool,
}

pub struct Lines {
    /// By leg, then by endpoint.
    urls: Vec<Vec<String>>,
    streams: Vec<Stream>,
    facts: Facts,
    slots: Vec<Slot>,
    next_line: u32,
    next_request: u64,
    /// Lines whose address must be asked for first.
    pub unaddressed: Vec<Line>,
    /// The legs that lag, one bit each.
    pub behind: u8,
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
    /// `urls`: for each leg the addresses of the endpoints.
    pub fn new(urls: Vec<Vec<String>>, streams: Vec<Stream>, facts: Facts) -> Self {
        let (slots, unaddressed) = (Vec::new(), Vec::new());
        Self { urls, streams, facts, slots, next_line: 0, next_request: 0, unaddressed, behind: 0 }
    }

    /// A recording stands in for the venue: it knows no tokens.
    pub fn without_tokens(&mut self) {
        self.facts.token = false;
    }

    /// How many lines carry the same.
    pub fn legs(&self) -> usize {
        self.urls.len()
    }

    /// A line to hear the list of instruments on, before any is known.
    pub fn open_first(&mut self, out: &mut Output) {
        if self.slots.is_empty() {
            let endpoint = self.streams.first().map_or(0, |stream| stream.endpoint);
            self.open_slot(endpoint, true, out);
        }
    }

    fn open_slot(&mut self, endpoint: usize, is_link: bool, out: &mut Output) -> usize {
        let legs = (0..self.legs()).map(|leg| self.connect(endpoint, leg, out)).collect();
        self.slots.push(Slot { endpoint, is_link, markets: Vec::new(), legs, next: None });
        self.slots.len() - 1
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
            let at = free.unwrap_or_else(|| self.open_slot(endpoint, is_link, out));
            link.get_or_insert(at as u32);
            let topics = self.topics(endpoint, &[market]);
            let Self { slots, streams, facts, next_request, .. } = self;
            let slot = &mut slots[at];
            slot.markets.push(market);
            for connection in slot.connections_mut().filter(|connection| connection.greeted) {
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

    fn connect(&mut self, endpoint: usize, leg: usize, out: &mut Output) -> Connection {
        let line = Line(self.next_line);
        self.next_line += 1;
        if self.facts.token {
            self.unaddressed.push(line);
        } else {
            let url = self.urls.get(leg).and_then(|urls| urls.get(endpoint)).cloned().unwrap_or_default();
            out.actions.push(Action::Open { line, url });
        }
        Connection::new(line)
    }

    fn find(&mut self, line: Line) -> Option<(usize, &mut Connection)> {
        self.slots.iter_mut().enumerate().find_map(|(index, slot)| {
            slot.connections_mut().find(|connection| connection.line == line).map(|connection| (index, connection))
        })
    }

    fn slot_of(&self, line: Line) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.has(line))
    }

    /// The link whose data this line brings; `None` for one that is not ours, or only about to replace another.
    pub fn link_of(&self, line: Line) -> Option<u32> {
        let link = self.slots.iter().position(|slot| slot.legs.iter().any(|leg| leg.line == line))?;
        Some(link as u32)
    }

    /// Which leg of its slot this line is.
    pub fn leg_of(&self, line: Line) -> Option<u8> {
        let leg = self.slot_of(line)?.legs.iter().position(|leg| leg.line == line)?;
        Some(leg as u8)
    }

    /// This leg, and which of its slot bring data.
    pub fn left(&self, line: Line) -> Option<Came> {
        let delivering = delivering(self.slot_of(line)?);
        Some(Came { leg: self.leg_of(line)?, delivering, behind: self.behind, overlap: false, is_next: false })
    }

    /// The lines that are this leg, of all slots.
    pub fn of_leg(&self, leg: usize) -> Vec<Line> {
        self.slots.iter().filter_map(|slot| slot.legs.get(leg)).map(|leg| leg.line).collect()
    }

    /// What comes at an endpoint.
    pub fn channels_at(&self, endpoint: usize) -> Vec<Channel> {
        let here =
            |channel: &Channel| self.streams.iter().any(|stream| stream.endpoint == endpoint && stream.carries.contains(channel));
        [Channel::Quote, Channel::Trade, Channel::Book].into_iter().filter(here).collect()
    }

    /// What the slot of this line carries.
    pub fn markets_of(&self, line: Line) -> &[u32] {
        self.slot_of(line).map_or(&[], |slot| &slot.markets)
    }

    /// One of the lines of the first slot.
    pub fn is_first(&self, line: Line) -> bool {
        self.slots.first().is_some_and(|slot| slot.has(line))
    }

    /// Which address it is connected to.
    pub fn endpoint_of(&self, line: Line) -> usize {
        self.slot_of(line).map_or(0, |slot| slot.endpoint)
    }

    /// All topics of this line's slot; `channel`: those that carry it.
    pub fn topics_of(&self, line: Line, channel: Option<Channel>) -> Vec<TopicKey> {
        let Some(slot) = self.slot_of(line) else { return Vec::new() };
        let mut topics = self.topics(slot.endpoint, &slot.markets);
        topics.retain(|topic| channel.is_none_or(|channel| self.channels_of(*topic).contains(&channel)));
        topics
    }

    fn slot_for(&self, market: u32, channel: Channel) -> Option<&Slot> {
        let carries =
            |endpoint| self.streams.iter().any(|stream| stream.endpoint == endpoint && stream.carries.contains(&channel));
        self.slots.iter().find(|slot| slot.markets.contains(&market) && carries(slot.endpoint))
    }

    /// The line that carries this channel of this market (the older of two, or this leg's).
    pub fn line_of(&self, market: u32, channel: Channel, leg: u8) -> Option<Line> {
        Some(self.slot_for(market, channel)?.legs.get(usize::from(leg))?.line)
    }

    /// The legs that bring this channel of this market, one bit each.
    pub fn delivering(&self, market: u32, channel: Channel) -> u8 {
        self.slot_for(market, channel).map_or(0, delivering)
    }

    /// The legs that may be asked for this channel of this market, one bit each.
    pub fn askable(&self, market: u32, channel: Channel) -> u8 {
        self.slot_for(market, channel).map_or(0, |slot| mask(slot, |leg| leg.greeted))
    }

    /// The lines of this market that may be spoken to already.
    pub fn greeted_lines_of(&self, market: u32) -> Vec<Line> {
        let slots = self.slots.iter().filter(|slot| slot.markets.contains(&market));
        slots.flat_map(|slot| slot.legs.iter().filter(|leg| leg.greeted).map(|leg| leg.line)).collect()
    }

    /// `greeting` is said first.
    pub fn opened(&mut self, now: Now, line: Line, greeting: Vec<String>, words: &Words<'_>, out: &mut Output) {
        let waits = self.facts.waits_for_hello;
        let Some((_, connection)) = self.find(line) else { return };
        connection.clear();
        connection.opened = Some(now.mono);
        (connection.last_heard, connection.last_ping) = (now.mono, now.mono);
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
        let Some(connection) = slot.connections_mut().find(|connection| connection.line == line) else { return };
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

    /// Data came on `line`. `None`: the line is not (or no longer) ours.
    pub fn data(&mut self, now: Now, line: Line) -> Option<Came> {
        let slot = self.slots.iter_mut().find(|slot| slot.has(line))?;
        let connection = slot.connections_mut().find(|connection| connection.line == line)?;
        connection.first_data.get_or_insert(now.mono);
        if slot.legs.len() == 1 {
            let next = slot.next.as_ref().filter(|next| next.first_data.is_some());
            let (overlap, is_next) = (next.is_some(), next.is_some_and(|next| next.line == line));
            return Some(Came { leg: 0, delivering: 1, behind: 0, overlap, is_next });
        }
        let mut came = Came { leg: 0, delivering: delivering(slot), behind: self.behind, overlap: false, is_next: false };
        for (at, leg) in slot.legs.iter_mut().enumerate() {
            if leg.line == line {
                (came.leg, leg.behind_since) = (at as u8, None);
            } else if leg.delivers() {
                leg.behind_since.get_or_insert(now.mono);
                leg.behind_until = now.mono;
            }
        }
        Some(came)
    }

    /// For how long this leg has brought nothing while another did: the longest of all slots. And its lines: open, and lost.
    pub fn health(&self, leg: usize) -> (i64, u32, u32) {
        let legs = || self.slots.iter().filter_map(|slot| slot.legs.get(leg));
        let behind = legs().filter_map(|leg| Some(leg.behind_until.saturating_sub(leg.behind_since?))).max();
        let open = legs().filter(|leg| leg.opened.is_some()).count() as u32;
        (behind.unwrap_or(0), open, legs().count() as u32 - open)
    }

    /// The venue is about to close `line`: open its replacement now.
    pub fn shutdown(&mut self, line: Line, out: &mut Output) {
        let Some((index, connection)) = self.find(line) else { return };
        connection.leaving = true;
        let (endpoint, legs) = (self.slots[index].endpoint, self.slots[index].legs.len());
        match &self.slots[index].next {
            // Others carry the same: it is opened anew by `tick`.
            None if legs > 1 => {}
            None => {
                let next = self.connect(endpoint, 0, out);
                self.slots[index].next = Some(next);
            }
            Some(next) if next.line == line => out.actions.push(Action::Reconnect { line, cause: Cause::VenueShutdown }),
            Some(_) => {}
        }
    }

    pub fn lost(&mut self, line: Line, out: &mut Output) -> Option<Lost> {
        let (index, connection) = self.find(line)?;
        connection.clear();
        let endpoint = self.slots[index].endpoint;
        if self.facts.token {
            // Its address may have expired with it.
            out.actions.push(Action::Close { line });
            let leg = self.slots[index].legs.iter().position(|leg| leg.line == line);
            let fresh = self.connect(endpoint, leg.unwrap_or(0), out);
            let slot = &mut self.slots[index];
            match leg {
                Some(leg) => slot.legs[leg] = fresh,
                None => slot.next = Some(fresh),
            }
            let covered = slot.next.is_some();
            if slot.legs.len() == 1 {
                return Some(if covered { Lost::Covered(Vec::new()) } else { self.uncarried(index) });
            }
        }
        if self.slots[index].legs.len() > 1 {
            return Some(self.left_to_others(index));
        }
        let slot = &mut self.slots[index];
        if slot.legs[0].line != line {
            // The replacement failed; the supervisor is already trying again, and the old line still delivers.
            return Some(Lost::Covered(Vec::new()));
        }
        let Some(next) = slot.next.take() else { return Some(self.uncarried(index)) };
        // The replacement takes over, ready or not: it is closer to being open than the lost one. What it was granted it carries.
        slot.legs[0] = next;
        out.actions.push(Action::Close { line });
        let next = &slot.legs[0];
        if next.opened.is_none() {
            return Some(self.uncarried(index));
        }
        let uncovered: Vec<TopicKey> = next.requests.iter().flat_map(|request| request.topics.iter().copied()).collect();
        Some(if uncovered.is_empty() { Lost::Covered(slot.markets.clone()) } else { Lost::Uncovered(uncovered) })
    }

    /// One of several legs is lost: what do the others carry?
    fn left_to_others(&self, index: usize) -> Lost {
        let slot = &self.slots[index];
        let mut topics = self.topics(slot.endpoint, &slot.markets);
        let all = topics.len();
        topics.retain(|topic| !slot.legs.iter().any(|leg| leg.carries(topic)));
        if topics.len() == all {
            return self.uncarried(index);
        }
        if topics.is_empty() { Lost::Covered(slot.markets.clone()) } else { Lost::Uncovered(topics) }
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
            for connection in slot.connections_mut() {
                let mut sender = Sender { streams, facts, next_request };
                sender.tend(connection, now, words, out);
                sender.keep_alive(connection, now, words, out);
            }
            let max_age_s = facts.caps.max_connection_age_s;
            if slot.legs.len() > 1 {
                renew(slot, index, max_age_s, now, out);
            } else if slot.next.as_ref().is_some_and(|next| may_take_over(next, &slot.markets, now, caught_up)) {
                if let Some(next) = slot.next.take() {
                    out.actions.push(Action::Close { line: slot.legs[0].line });
                    slot.legs[0] = next;
                    ended.extend_from_slice(&slot.markets);
                }
            } else if slot.next.is_none() && old(&slot.legs[0], index, max_age_s, now) {
                let endpoint = slot.endpoint;
                let next = self.connect(endpoint, 0, out);
                self.slots[index].next = Some(next);
            }
        }
        ended
    }
}

fn mask(slot: &Slot, is: impl Fn(&Connection) -> bool) -> u8 {
    slot.legs.iter().enumerate().fold(0, |mask, (at, leg)| mask | (u8::from(is(leg)) << at))
}

fn delivering(slot: &Slot) -> u8 {
    mask(slot, Connection::delivers)
}

/// Legs that the venue is about to drop are opened anew, one at a time, while another one carries the same.
fn renew(slot: &Slot, index: usize, max_age_s: u64, now: Now, out: &mut Output) {
    let settled = |leg: &Connection| leg.complete.is_some_and(|at| now.mono.saturating_sub(at) >= OVERLAP_QUIET_NS);
    for (at, leg) in slot.legs.iter().enumerate() {
        // Ten minutes apart, so that legs of one age are not renewed together.
        let ends = leg.leaving || old(leg, index, max_age_s.saturating_sub(600 * at as u64), now);
        let others = || slot.legs.iter().filter(|other| other.line != leg.line);
        if ends && leg.opened.is_some() && others().any(settled) {
            out.actions.push(Action::Reconnect { line: leg.line, cause: Cause::VenueShutdown });
            return;
        }
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
