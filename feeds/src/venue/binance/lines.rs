//! The connections of a Binance feed. In: what opened, closed, was acknowledged. Out: which to open, what to subscribe, when to
//! replace one. Bounded: 1,024 streams a line, two lines a slot while one replaces the other.

use crate::adapter::{Action, Line, Now, Output};
use std::fmt::Write as _;
use wire::event::Cause;

/// The venue's limit for one connection.
const MAX_STREAMS: usize = 1_024;
/// Streams in one SUBSCRIBE: keeps the message near 3 KB.
const STREAMS_A_REQUEST: usize = 100;
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

/// A SUBSCRIBE that is not acknowledged yet.
struct Request {
    id: u64,
    markets: Vec<u32>,
    /// Sent: when to give up. Refused: when to send again (`resend`).
    at: i64,
    resend: bool,
}

/// One connection of a slot.
struct Connection {
    line: Line,
    opened: Option<i64>,
    requests: Vec<Request>,
    /// All of it was acknowledged.
    complete: Option<i64>,
    first_data: Option<i64>,
}

/// A share of the instruments, carried by one line, or by two while one replaces the other.
struct Slot {
    markets: Vec<u32>,
    current: Connection,
    next: Option<Connection>,
}

pub struct Lines {
    url: String,
    /// Stream suffixes of every instrument: `@bookTicker`, …
    suffixes: Vec<&'static str>,
    max_age_s: u64,
    slots: Vec<Slot>,
    next_line: u32,
    next_request: u64,
}

/// What became of an answer to a SUBSCRIBE.
pub enum Answered {
    Unknown,
    /// These instruments' data flows now.
    Subscribed(Vec<u32>),
    /// It will be asked again.
    Refused,
}

/// What became of a lost line.
pub enum Lost {
    /// Another line carries its instruments.
    Covered,
    /// Nothing carries these instruments now; they are some of their link.
    Uncovered(Vec<u32>),
    /// Nothing carries anything of this link now, and no line to do so is open.
    Link(u32, Vec<u32>),
}

impl Lines {
    pub fn new(url: String, suffixes: Vec<&'static str>, max_age_s: u64) -> Self {
        Self { url, suffixes, max_age_s, slots: Vec::new(), next_line: 0, next_request: 0 }
    }

    /// Gives `market` a place, which is told: its link, for good. The streams are subscribed when its line opens, or now if it is open. `native` names all markets.
    pub fn add(&mut self, now: Now, market: u32, native: &dyn Fn(u32) -> String, out: &mut Output) -> u32 {
        let room = (MAX_STREAMS / self.suffixes.len().max(1)).max(1);
        if self.slots.last().is_none_or(|slot| slot.markets.len() >= room) {
            let current = self.connect(out);
            self.slots.push(Slot { markets: Vec::new(), current, next: None });
        }
        let link = self.slots.len() as u32 - 1;
        let slot = &mut self.slots[link as usize];
        slot.markets.push(market);
        for connection in std::iter::once(&mut slot.current).chain(&mut slot.next) {
            if connection.opened.is_some() {
                subscribe(connection, &[market], &self.suffixes, &mut self.next_request, now, native, out);
            }
        }
        link
    }

    fn connect(&mut self, out: &mut Output) -> Connection {
        let line = Line(self.next_line);
        self.next_line += 1;
        out.actions.push(Action::Open { line, url: self.url.clone() });
        Connection { line, opened: None, requests: Vec::new(), complete: None, first_data: None }
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

    pub fn opened(&mut self, now: Now, line: Line, native: &dyn Fn(u32) -> String, out: &mut Output) {
        let Some((index, _)) = self.find(line) else { return };
        let slot = &mut self.slots[index];
        let connection = if slot.current.line == line { Some(&mut slot.current) } else { slot.next.as_mut() };
        let Some(connection) = connection else { return };
        connection.opened = Some(now.mono);
        connection.requests.clear();
        (connection.complete, connection.first_data) = (None, None);
        subscribe(connection, &slot.markets, &self.suffixes, &mut self.next_request, now, native, out);
    }

    pub fn answered(&mut self, now: Now, line: Line, id: u64, accepted: bool) -> Answered {
        let Some((_, connection)) = self.find(line) else { return Answered::Unknown };
        let Some(at) = connection.requests.iter().position(|request| request.id == id && !request.resend) else {
            return Answered::Unknown;
        };
        if !accepted {
            let request = &mut connection.requests[at];
            request.resend = true;
            let alone = request.markets.len() == 1;
            request.at = now.mono + if alone { RETRY_REFUSED_ALONE_NS } else { RETRY_REFUSED_NS };
            return Answered::Refused;
        }
        let request = connection.requests.swap_remove(at);
        if connection.requests.is_empty() {
            connection.complete = Some(now.mono);
        }
        Answered::Subscribed(request.markets)
    }

    /// Data came on `line`. `None`: the line is not (or no longer) ours. `Some(true)`: two lines carry the same data now.
    pub fn data(&mut self, now: Now, line: Line) -> Option<bool> {
        let (index, connection) = self.find(line)?;
        connection.first_data.get_or_insert(now.mono);
        Some(self.slots[index].next.as_ref().is_some_and(|next| next.first_data.is_some()))
    }

    /// The venue is about to close `line`: open its replacement now.
    pub fn shutdown(&mut self, line: Line, out: &mut Output) {
        let Some((index, _)) = self.find(line) else { return };
        match &self.slots[index].next {
            None => {
                let next = self.connect(out);
                self.slots[index].next = Some(next);
            }
            Some(next) if next.line == line => out.actions.push(Action::Reconnect { line, cause: Cause::VenueShutdown }),
            Some(_) => {}
        }
    }

    pub fn lost(&mut self, line: Line, out: &mut Output) -> Option<Lost> {
        let (index, connection) = self.find(line)?;
        connection.opened = None;
        connection.requests.clear();
        (connection.complete, connection.first_data) = (None, None);
        let slot = &mut self.slots[index];
        if slot.current.line != line {
            // The replacement failed; the supervisor is already trying again, and the old line still delivers.
            return Some(Lost::Covered);
        }
        let link = |slot: &Slot| Some(Lost::Link(index as u32, slot.markets.clone()));
        let Some(next) = slot.next.take() else { return link(slot) };
        // The replacement takes over, ready or not: it is closer to being open than the lost one. What it was granted it carries.
        slot.current = next;
        out.actions.push(Action::Close { line });
        let next = &slot.current;
        if next.opened.is_none() {
            return link(slot);
        }
        let uncovered: Vec<u32> = next.requests.iter().flat_map(|request| request.markets.iter().copied()).collect();
        Some(if uncovered.is_empty() { Lost::Covered } else { Lost::Uncovered(uncovered) })
    }

    /// Time-outs, refused requests, planned replacements. Returns the instruments whose overlap of two lines ended.
    pub fn tick(
        &mut self,
        now: Now,
        native: &dyn Fn(u32) -> String,
        caught_up: &dyn Fn(u32) -> bool,
        out: &mut Output,
    ) -> Vec<u32> {
        let mut ended = Vec::new();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            for connection in std::iter::once(&mut slot.current).chain(&mut slot.next) {
                tend_requests(connection, &self.suffixes, &mut self.next_request, now, native, out);
            }
            if slot.next.as_ref().is_some_and(|next| may_take_over(next, &slot.markets, now, caught_up)) {
                if let Some(next) = slot.next.take() {
                    out.actions.push(Action::Close { line: slot.current.line });
                    slot.current = next;
                    ended.extend_from_slice(&slot.markets);
                }
            } else if slot.next.is_none() && old(&slot.current, index, self.max_age_s, now) {
                let next = self.connect(out);
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

fn tend_requests(
    connection: &mut Connection,
    suffixes: &[&'static str],
    next_request: &mut u64,
    now: Now,
    native: &dyn Fn(u32) -> String,
    out: &mut Output,
) {
    let Some(at) = connection.requests.iter().position(|request| request.at <= now.mono) else { return };
    if !connection.requests[at].resend {
        connection.requests.clear();
        out.actions.push(Action::Reconnect { line: connection.line, cause: Cause::Silence });
        return;
    }
    // Halves, so that one name the venue will not have does not take the others with it.
    let markets = connection.requests.swap_remove(at).markets;
    let (left, right) = markets.split_at(markets.len().div_ceil(2));
    for half in [left, right].into_iter().filter(|half| !half.is_empty()) {
        subscribe(connection, half, suffixes, next_request, now, native, out);
    }
}

fn subscribe(
    connection: &mut Connection,
    markets: &[u32],
    suffixes: &[&'static str],
    next_request: &mut u64,
    now: Now,
    native: &dyn Fn(u32) -> String,
    out: &mut Output,
) {
    connection.complete = None;
    for chunk in markets.chunks((STREAMS_A_REQUEST / suffixes.len().max(1)).max(1)) {
        *next_request += 1;
        let mut text = String::from(r#"{"method":"SUBSCRIBE","params":["#);
        for (at, market) in chunk.iter().enumerate() {
            let name = native(*market).to_lowercase();
            for (nth, suffix) in suffixes.iter().enumerate() {
                let comma = if at + nth == 0 { "" } else { "," };
                // Writing to a String cannot fail.
                let _ = write!(text, "{comma}\"{name}{suffix}\"");
            }
        }
        let _ = write!(text, "],\"id\":{}}}", *next_request);
        out.actions.push(Action::Send { line: connection.line, text });
        let at = now.mono.saturating_add(ACK_TIMEOUT_NS);
        connection.requests.push(Request { id: *next_request, markets: chunk.to_vec(), at, resend: false });
    }
}
