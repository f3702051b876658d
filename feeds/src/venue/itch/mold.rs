//! MoldUDP64: numbered messages in datagrams that may be lost. In: datagrams of one or two lines, the time. Out: every message once and in
//! order, requests for those that are missing, and what could not be had. Bounded by `MAX_KEPT_BYTES` of datagrams that came too early.
//!
//! A datagram is `session[10] sequence u64 count u16`, then `count` times `length u16, message`. Count 0 is a heartbeat (its sequence is the
//! next one), 0xFFFF the end of the session. A request is the same 20 bytes with the first and the number of the missing messages; it is
//! answered by a datagram with as many of them as fit.

use std::collections::BTreeMap;
use wire::event::Nanos;

pub const HEADER_BYTES: usize = 20;
const END_OF_SESSION: u16 = 0xffff;
/// A second of the busiest feed; while a hole is being filled, what comes behind it waits here. What finds no room is asked for later.
const MAX_KEPT_BYTES: usize = 16 << 20;
/// How long a request may stay without an answer.
const ANSWER_WITHIN: Nanos = 1_000_000_000;
/// More of an answer comes at once or not at all.
const REST_WITHIN: Nanos = 5_000_000;
/// Requests without an answer after which what is missing is given up.
const MAX_TRIES: u32 = 5;
/// Messages of one request, at first; a server that sends less at a time teaches us.
const FIRST_REQUEST: u64 = 1_000;
/// A thousand days of the busiest feed; more is damage.
const MAX_SEQUENCE: u64 = 1 << 40;
/// Datagrams in a row of another session after which ours is over.
const TAKE_OVER: u32 = 3;

pub type Session = [u8; 10];

/// One datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub session: Session,
    pub sequence: u64,
    pub count: u16,
    messages: &'a [u8],
}

impl<'a> Packet<'a> {
    /// `None`: shorter than its header.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (header, messages) = datagram.split_first_chunk::<HEADER_BYTES>()?;
        let [.., a, b, c, d, e, f, g, h, high, low] = *header;
        let session = *header.first_chunk().expect("ten of twenty bytes");
        let sequence = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Some(Self { session, sequence, count: u16::from_be_bytes([high, low]), messages })
    }

    pub fn is_end_of_session(&self) -> bool {
        self.count == END_OF_SESSION
    }

    /// Its messages; fewer than `count` if the datagram was cut.
    pub fn messages(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut left = if self.is_end_of_session() { 0 } else { self.count };
        let mut rest = self.messages;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let (length, behind) = rest.split_first_chunk()?;
            let (message, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = behind;
            Some(message)
        })
    }
}

/// A datagram, or with `messages` empty and `count` set a request, a heartbeat or an end of session.
pub fn put_header(session: &Session, sequence: u64, count: u16) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..10].copy_from_slice(session);
    bytes[10..18].copy_from_slice(&sequence.to_be_bytes());
    bytes[18..].copy_from_slice(&count.to_be_bytes());
    bytes
}

/// What the receiver has to say between messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The first datagram of a session. `unheard` messages came before it and are not asked for.
    Session {
        session: Session,
        unheard: u64,
    },
    /// So many messages are missing; they are waited for.
    Gap {
        missing: u64,
    },
    /// Nothing is missing any more.
    Healed,
    /// So many messages will never come.
    Lost {
        missing: u64,
    },
    /// A datagram that is none, or holds less than it says.
    Malformed,
    EndOfSession,
}

/// Who listens to a receiver.
pub trait Listener {
    fn message(&mut self, message: &[u8]);
    fn notice(&mut self, notice: Notice);
    /// Send this to the request server.
    fn request(&mut self, request: [u8; HEADER_BYTES]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// There is a server for requests: what is missing is asked for, the session's beginning included.
    pub can_request: bool,
    /// How long a missing message may still come by itself: from the other line, or out of order.
    pub patience: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    since: Nanos,
    /// When something has to happen next.
    due: Nanos,
    tries: u32,
    /// The first message behind the last request; 0: nothing was asked for yet.
    asked_to: u64,
    /// Where `next` stood at the last request.
    asked_from: u64,
}

pub struct Receiver {
    options: Options,
    session: Option<Session>,
    /// The message that has to come next.
    next: u64,
    /// The first message that nobody has spoken of yet.
    end: u64,
    hole: Option<Hole>,
    at_once: u64,
    kept: BTreeMap<u64, (u16, Box<[u8]>)>,
    kept_bytes: usize,
    /// The end of the session was told; and all before it was heard, or given up.
    ended: bool,
    over: bool,
    /// Another session, and how often it was heard since ours was.
    rival: Option<(Session, u32)>,
    pub counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub datagrams: u64,
    pub heartbeats: u64,
    pub duplicates: u64,
    pub gaps: u64,
    pub requests: u64,
    pub malformed: u64,
    /// Of another session.
    pub foreign: u64,
    pub lost: u64,
    /// Datagrams behind a hole for which there was no room.
    pub dropped: u64,
}

impl Receiver {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            session: None,
            next: 0,
            end: 0,
            hole: None,
            at_once: FIRST_REQUEST,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            ended: false,
            over: false,
            rival: None,
            counts: Counts::default(),
        }
    }

    /// True if every message that exists was handed out.
    pub fn is_complete(&self) -> bool {
        self.session.is_some() && self.next >= self.end
    }

    pub fn on_datagram(&mut self, now: Nanos, datagram: &[u8], listener: &mut impl Listener) {
        self.counts.datagrams += 1;
        let Some(packet) = Packet::parse(datagram) else {
            self.counts.malformed += 1;
            return listener.notice(Notice::Malformed);
        };
        if packet.sequence > MAX_SEQUENCE {
            self.counts.malformed += 1;
            return listener.notice(Notice::Malformed);
        }
        if self.session == Some(packet.session) {
            self.rival = None;
        } else if !self.takes_over(&packet) {
            return;
        } else {
            self.begin(&packet, listener);
        }
        let count = if packet.is_end_of_session() { 0 } else { u64::from(packet.count) };
        self.end = self.end.max(packet.sequence.saturating_add(count));
        if count == 0 {
            self.counts.heartbeats += 1;
        } else if packet.sequence.saturating_add(count) <= self.next {
            self.counts.duplicates += 1;
        } else if packet.sequence <= self.next {
            self.deliver(packet.sequence, packet.messages(), count, listener);
            self.deliver_kept(listener);
        } else {
            self.keep(&packet);
        }
        self.ended |= packet.is_end_of_session();
        self.look(now, listener);
    }

    /// To be called while there is a hole, every few milliseconds.
    pub fn on_tick(&mut self, now: Nanos, listener: &mut impl Listener) {
        self.look(now, listener);
    }

    /// Something is missing.
    pub fn is_waiting(&self) -> bool {
        self.hole.is_some()
    }

    /// Another session: at once if ours is over, else when it is heard again and again and ours is not. One stray datagram must not cost
    /// all the books.
    fn takes_over(&mut self, packet: &Packet<'_>) -> bool {
        if self.session.is_none() || self.over {
            return true;
        }
        let heard = match self.rival {
            Some((session, heard)) if session == packet.session => heard + 1,
            _ => 1,
        };
        self.rival = Some((packet.session, heard));
        self.counts.foreign += 1;
        heard >= TAKE_OVER
    }

    fn begin(&mut self, packet: &Packet<'_>, listener: &mut impl Listener) {
        let first = if self.options.can_request { 1 } else { packet.sequence };
        (self.session, self.next, self.end) = (Some(packet.session), first, first);
        (self.hole, self.at_once) = (None, FIRST_REQUEST);
        (self.ended, self.over, self.rival) = (false, false, None);
        self.kept.clear();
        self.kept_bytes = 0;
        listener.notice(Notice::Session { session: packet.session, unheard: first.saturating_sub(1) });
    }

    fn deliver<'a>(&mut self, sequence: u64, messages: impl Iterator<Item = &'a [u8]>, count: u64, listener: &mut impl Listener) {
        let known = self.next - sequence;
        let mut whole = 0;
        for (at, message) in (0..).zip(messages) {
            whole = at + 1;
            if at >= known {
                self.next += 1;
                listener.message(message);
            }
        }
        if whole < count {
            self.counts.malformed += 1;
            listener.notice(Notice::Malformed);
        }
    }

    fn deliver_kept(&mut self, listener: &mut impl Listener) {
        while let Some(entry) = self.kept.first_entry()
            && *entry.key() <= self.next
        {
            let (sequence, (count, bytes)) = entry.remove_entry();
            self.kept_bytes -= bytes.len();
            if sequence + u64::from(count) > self.next {
                let packet = Packet { session: Session::default(), sequence, count, messages: &bytes };
                self.deliver(sequence, packet.messages(), u64::from(count), listener);
            }
        }
    }

    fn keep(&mut self, packet: &Packet<'_>) {
        if self.kept.contains_key(&packet.sequence) {
            self.counts.duplicates += 1;
        } else if self.kept_bytes + packet.messages.len() > MAX_KEPT_BYTES {
            self.counts.dropped += 1;
        } else {
            self.kept_bytes += packet.messages.len();
            self.kept.insert(packet.sequence, (packet.count, packet.messages.into()));
        }
    }

    /// The first message behind the hole.
    fn hole_end(&self) -> u64 {
        self.kept.first_key_value().map_or(self.end, |(sequence, _)| (*sequence).min(self.end))
    }

    /// Does what is due. A hole that was given up may have another one behind it.
    fn look(&mut self, now: Nanos, listener: &mut impl Listener) {
        while self.next < self.end {
            let missing = self.hole_end() - self.next;
            let mut hole = self.hole.unwrap_or_else(|| {
                self.counts.gaps += 1;
                listener.notice(Notice::Gap { missing });
                let due = now.saturating_add(self.options.patience);
                Hole { since: now, due, tries: 0, asked_to: 0, asked_from: 0 }
            });
            self.judge_answer(now, &mut hole);
            let is_due = now >= hole.due;
            let can_ask = self.options.can_request && hole.tries < MAX_TRIES;
            if is_due && can_ask {
                self.ask(now, &mut hole, missing, listener);
            }
            self.hole = Some(hole);
            if !is_due || can_ask {
                return;
            }
            self.give_up(listener);
        }
        if self.hole.take().is_some() {
            listener.notice(Notice::Healed);
        }
        if self.ended && !std::mem::replace(&mut self.over, true) {
            listener.notice(Notice::EndOfSession);
        }
    }

    fn judge_answer(&mut self, now: Nanos, hole: &mut Hole) {
        if hole.asked_to == 0 || self.next == hole.asked_from {
            return;
        }
        if self.next >= hole.asked_to {
            // All that was asked for has come, and there is more.
            self.at_once += self.at_once / 8;
            (hole.due, hole.tries, hole.asked_to) = (now, 0, 0);
            return;
        }
        // Some of it: the rest comes at once, or the server gives so much at a time.
        (hole.due, hole.tries) = (hole.due.min(now.saturating_add(REST_WITHIN)), 0);
        if now >= hole.due {
            self.at_once = (self.next - hole.asked_from).max(1);
        }
    }

    fn ask(&mut self, now: Nanos, hole: &mut Hole, missing: u64, listener: &mut impl Listener) {
        // 0xFFFF would be the end of the session.
        let count = missing.min(self.at_once).clamp(1, u64::from(END_OF_SESSION - 1));
        self.counts.requests += 1;
        let session = self.session.unwrap_or_default();
        listener.request(put_header(&session, self.next, count as u16));
        hole.due = now.saturating_add(ANSWER_WITHIN);
        hole.tries += 1;
        (hole.asked_from, hole.asked_to) = (self.next, self.next.saturating_add(count));
    }

    fn give_up(&mut self, listener: &mut impl Listener) {
        let end = self.hole_end();
        let missing = end - self.next;
        self.counts.lost += missing;
        self.next = end;
        self.hole = None;
        listener.notice(Notice::Lost { missing });
        self.deliver_kept(listener);
    }

    /// How long something is missing already.
    pub fn waiting_since(&self) -> Option<Nanos> {
        self.hole.map(|hole| hole.since)
    }
}

#[cfg(test)]
#[path = "mold_tests.rs"]
mod tests;
