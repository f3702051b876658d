//! In: subscriptions. Out: few bytes each, because most of one is like the one before it; and subscriptions again.
//! Bounded: as many entries as the reader allows; none is longer than a name and some numbers.
//!
//! ```text
//! entry       u8 bits · [shape] · [instrument] · [terms] · [place]
//! shape       uvarint: n = the n-th one so far, 0 = a new one: text before the instrument · text behind it
//! instrument  uvarint bytes of the one before kept at its start · the same at its end · text between them
//! terms       uvarint pace (0 realtime, 1 credit, 2 + ms) · u8 summary 1, trade-safe 2, focus x 4 · uvarint age (0 off, 1 + ms)
//! place       [uvarint epoch] · uvarint sequence                text: uvarint length · bytes
//! ```

use super::writer::WINDOW_LOG;
use super::{Ticket, TicketError, TicketPattern, TicketTopic};
use crate::subs::Terms;
use std::io::{BufReader, Read};
use wire::request::{Focus, LADDER_MS, MaxAge, Pace, TradeMode};
use wire::topic::MAX_NAME;
use zstd::stream::read::Decoder;

const PATTERN: u8 = 1;
const PAUSED: u8 = 2;
const SNAPSHOT: u8 = 4;
/// Otherwise as in the entry before.
const NEW_TERMS: u8 = 8;
const PLACED: u8 = 16;
/// Otherwise as in the place before.
const NEW_EPOCH: u8 = 32;
/// Otherwise as in the entry before.
const NEW_INSTRUMENT: u8 = 64;
const NEW_SHAPE: u8 = 128;

const SUMMARY: u8 = 1;
const TRADE_SAFE: u8 = 2;
const FOCUS_SHIFT: u32 = 2;

/// There are some dozen combinations of kind and argument; more are written out each time.
const MAX_SHAPES: usize = 64;

pub(super) enum Entry {
    Topic { terms: Terms, paused: bool, place: Option<(u64, u64)> },
    Pattern { terms: Terms, paused: bool, snapshot: bool },
}

/// What the entry to come is compared with, on both sides.
#[derive(Default)]
pub(super) struct Written {
    shapes: Vec<(String, String)>,
    /// Before and behind the instrument.
    shape: (String, String),
    instrument: String,
    terms: Terms,
    epoch: u64,
}

impl Written {
    pub fn put(&mut self, out: &mut Vec<u8>, name: &str, entry: Entry) {
        let (before, instrument, behind) = split(name);
        let (terms, mut bits, place) = match entry {
            Entry::Topic { terms, paused, place } => (terms, paused_bit(paused), place),
            Entry::Pattern { terms, paused, snapshot } => {
                (terms, PATTERN | paused_bit(paused) | if snapshot { SNAPSHOT } else { 0 }, None)
            }
        };
        for (bit, is_set) in [
            (NEW_TERMS, terms != self.terms),
            (PLACED, place.is_some()),
            (NEW_EPOCH, place.is_some_and(|(epoch, _)| epoch != self.epoch)),
            (NEW_INSTRUMENT, instrument != self.instrument),
            (NEW_SHAPE, (before, behind) != (&self.shape.0, &self.shape.1)),
        ] {
            bits |= if is_set { bit } else { 0 };
        }
        out.push(bits);
        if bits & NEW_SHAPE != 0 {
            self.put_shape(out, before, behind);
        }
        if bits & NEW_INSTRUMENT != 0 {
            let (start, end) = shared(&self.instrument, instrument);
            let between = &instrument[start..instrument.len() - end];
            put_number(out, start as u64);
            put_number(out, end as u64);
            put_text(out, between);
            self.instrument.replace_range(start..self.instrument.len() - end, between);
        }
        if bits & NEW_TERMS != 0 {
            put_terms(out, terms);
            self.terms = terms;
        }
        let Some((epoch, sequence)) = place else { return };
        if bits & NEW_EPOCH != 0 {
            put_number(out, epoch);
            self.epoch = epoch;
        }
        put_number(out, sequence);
    }

    fn put_shape(&mut self, out: &mut Vec<u8>, before: &str, behind: &str) {
        match self.shapes.iter().position(|shape| shape.0 == before && shape.1 == behind) {
            Some(at) => put_number(out, at as u64 + 1),
            None => {
                put_number(out, 0);
                put_text(out, before);
                put_text(out, behind);
                self.learn((before.to_owned(), behind.to_owned()));
            }
        }
        self.shape = (before.to_owned(), behind.to_owned());
    }

    fn learn(&mut self, shape: (String, String)) {
        if self.shapes.len() < MAX_SHAPES {
            self.shapes.push(shape);
        }
    }
}

/// Bytes that both texts have at their start, and of the rest at their end; whole characters.
fn shared(one: &str, other: &str) -> (usize, usize) {
    let same = |(one, other): &(u8, u8)| one == other;
    let start = one.floor_char_boundary(one.bytes().zip(other.bytes()).take_while(same).count());
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.bytes().rev().zip(other.bytes().rev()).take_while(same).count();
    (start, one.len() - one.ceil_char_boundary(one.len() - end))
}

/// `quote/`, `sim:A` and nothing; `book/`, `sim:A` and `/10`.
fn split(name: &str) -> (&str, &str, &str) {
    let (before, rest) = name.split_at(name.find('/').map_or(0, |at| at + 1));
    let (instrument, behind) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (before, instrument, behind)
}

fn paused_bit(paused: bool) -> u8 {
    if paused { PAUSED } else { 0 }
}

fn put_terms(out: &mut Vec<u8>, terms: Terms) {
    put_number(
        out,
        match terms.pace {
            Pace::Realtime => 0,
            Pace::Credit => 1,
            Pace::EveryMs(ms) => 2 + u64::from(ms),
        },
    );
    let summary = if terms.mode == TradeMode::Summary { SUMMARY } else { 0 };
    let trade_safe = if terms.trade_safe { TRADE_SAFE } else { 0 };
    out.push(summary | trade_safe | (terms.focus as u8) << FOCUS_SHIFT);
    put_number(
        out,
        match terms.max_age {
            MaxAge::Off => 0,
            MaxAge::Ms(ms) => 1 + u64::from(ms),
        },
    );
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// All entries; the seal was checked, so anything odd is a mistake of ours or of another version.
pub(super) fn read(compressed: &[u8], max_entries: usize) -> Result<Ticket, TicketError> {
    let mut decoder = Decoder::with_buffer(compressed).map_err(|_| TicketError::Malformed)?;
    decoder.window_log_max(WINDOW_LOG).map_err(|_| TicketError::Malformed)?;
    let mut reader = Reader(BufReader::new(decoder));
    let (mut ticket, mut written) = (Ticket::default(), Written::default());
    while let Some(bits) = reader.first()? {
        if ticket.topics.len() + ticket.patterns.len() >= max_entries {
            return Err(TicketError::TooLarge);
        }
        reader.entry(bits, &mut written, &mut ticket)?;
    }
    Ok(ticket)
}

struct Reader<R>(R);

impl<R: Read> Reader<R> {
    fn entry(&mut self, bits: u8, written: &mut Written, ticket: &mut Ticket) -> Result<(), TicketError> {
        if bits & NEW_SHAPE != 0 {
            written.shape = self.shape(written)?;
        }
        if bits & NEW_INSTRUMENT != 0 {
            self.instrument(&mut written.instrument)?;
        }
        let name = [&written.shape.0, written.instrument.as_str(), &written.shape.1].concat();
        if name.len() > MAX_NAME {
            return Err(TicketError::Malformed);
        }
        if bits & NEW_TERMS != 0 {
            written.terms = self.terms()?;
        }
        let (terms, paused) = (written.terms, bits & PAUSED != 0);
        if bits & PATTERN != 0 {
            ticket.patterns.push(TicketPattern { pattern: name, terms, paused, snapshot: bits & SNAPSHOT != 0 });
            return Ok(());
        }
        let place = if bits & PLACED == 0 {
            None
        } else {
            if bits & NEW_EPOCH != 0 {
                written.epoch = self.number()?;
            }
            Some((written.epoch, self.number()?))
        };
        ticket.topics.push(TicketTopic { name, terms, paused, place });
        Ok(())
    }

    fn shape(&mut self, written: &mut Written) -> Result<(String, String), TicketError> {
        let number = self.length()?;
        if let Some(at) = number.checked_sub(1) {
            return written.shapes.get(at).cloned().ok_or(TicketError::Malformed);
        }
        let shape = (self.text()?, self.text()?);
        written.learn(shape.clone());
        Ok(shape)
    }

    fn instrument(&mut self, instrument: &mut String) -> Result<(), TicketError> {
        let (start, end) = (self.length()?, self.length()?);
        let end = instrument.len().checked_sub(end).ok_or(TicketError::Malformed)?;
        instrument.get(start..end).ok_or(TicketError::Malformed)?;
        instrument.replace_range(start..end, &self.text()?);
        if instrument.len() > MAX_NAME { Err(TicketError::Malformed) } else { Ok(()) }
    }

    fn terms(&mut self) -> Result<Terms, TicketError> {
        let pace = match self.number()? {
            0 => Pace::Realtime,
            1 => Pace::Credit,
            number => {
                let ms = LADDER_MS.into_iter().find(|ms| u64::from(*ms) == number - 2);
                Pace::EveryMs(ms.ok_or(TicketError::Malformed)?)
            }
        };
        let bits = self.byte()?;
        let focus = Focus::ALL.get(usize::from(bits >> FOCUS_SHIFT)).ok_or(TicketError::Malformed)?;
        let max_age = match self.number()? {
            0 => MaxAge::Off,
            number => MaxAge::Ms(u32::try_from(number - 1).map_err(|_| TicketError::Malformed)?),
        };
        let mode = if bits & SUMMARY != 0 { TradeMode::Summary } else { TradeMode::Every };
        Ok(Terms { pace, mode, trade_safe: bits & TRADE_SAFE != 0, focus: *focus, max_age })
    }

    fn text(&mut self) -> Result<String, TicketError> {
        let mut bytes = vec![0; self.length()?];
        self.0.read_exact(&mut bytes).map_err(|_| TicketError::Malformed)?;
        String::from_utf8(bytes).map_err(|_| TicketError::Malformed)
    }

    /// Nothing in an entry is longer than a name.
    fn length(&mut self) -> Result<usize, TicketError> {
        usize::try_from(self.number()?).ok().filter(|length| *length <= MAX_NAME).ok_or(TicketError::Malformed)
    }

    fn number(&mut self) -> Result<u64, TicketError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(TicketError::Malformed)
    }

    fn byte(&mut self) -> Result<u8, TicketError> {
        self.first()?.ok_or(TicketError::Malformed)
    }

    /// None at the end.
    fn first(&mut self) -> Result<Option<u8>, TicketError> {
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(byte[0])),
            Err(_) => Err(TicketError::Malformed),
        }
    }
}
