//! What a subscriber holds of a topic: the views that records apply to, and their hashes. Server tests, client and audit
//! share them, so that "exact" means the same everywhere.

pub mod bars;
pub mod book;
mod stats;
pub mod tape;

#[cfg(test)]
mod tests;

use crate::event::{Cause, Flags, Nanos, Quote, Status};
use crate::instrument::Instrument;
use crate::kind::Kind;
use crate::record::{DayStats, Meta, QuoteChange, Record, RecordBody};
use bars::Bars;
use book::Book;
pub use stats::stats_hash;
use tape::Tape;

/// The client side of one topic: where it stands (`epoch`, `sequence`), how far it can be trusted (`state`), what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub kind: Kind,
    pub epoch: u64,
    /// `None` until a snapshot came.
    pub sequence: Option<u64>,
    /// Newest `State` record.
    pub state: Option<Status>,
    /// Time of the newest record that had one, see `Meta::clock`.
    pub time: Nanos,
    /// Flags of the newest record that moved the sequence.
    pub flags: Flags,
    scale: (i8, i8),
    body: Body,
}

#[derive(Clone, Debug, PartialEq)]
enum Body {
    Quote(Quote),
    Trade(Tape),
    Book(Book),
    Status(Status),
    Instrument(Box<Instrument>),
    Bars(Bars),
    Stats(Box<DayStats>),
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Scale or epoch is known; a new epoch or scale emptied the view.
    Meta,
    /// The whole view is replaced.
    Snapshot,
    /// The view moved on by `updates`; all but one of them were merged.
    Delta {
        updates: u64,
    },
    /// The server told that events are missing.
    Gap {
        cause: Cause,
        missing: Option<u64>,
    },
    State,
    /// The view's hash is the server's.
    Checked,
    /// A record of a type this build does not know.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error("an update came before any snapshot")]
    NoSnapshot,
    #[error("this record does not belong to a {0} topic")]
    WrongKind(Kind),
    /// The record was applied all the same.
    #[error("{missing} trades are missing without a gap record")]
    Hole { missing: u64 },
    #[error("sequence leaves 64 bits")]
    Overflow,
    #[error("check failed: the server has {expected:#010x}, this view {actual:#010x}")]
    CheckMismatch { expected: u32, actual: u32 },
}

impl View {
    pub fn new(meta: &Meta) -> Self {
        Self {
            kind: meta.kind,
            epoch: meta.epoch,
            sequence: None,
            state: None,
            time: 0,
            flags: Flags::default(),
            scale: (meta.price_exponent, meta.size_exponent),
            body: Body::new(meta.kind),
        }
    }

    /// Applies one record of this topic.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<Applied, ViewError> {
        match record.body {
            RecordBody::Meta(meta) => {
                let scale = (meta.price_exponent, meta.size_exponent);
                if (meta.kind, meta.epoch, scale) != (self.kind, self.epoch, self.scale) {
                    *self = Self { state: self.state, ..Self::new(meta) };
                }
                return Ok(Applied::Meta);
            }
            RecordBody::State(state) => {
                self.state = Some(state);
                return Ok(Applied::State);
            }
            RecordBody::Check { hash } => {
                let actual = self.hash();
                return if actual == hash {
                    Ok(Applied::Checked)
                } else {
                    Err(ViewError::CheckMismatch { expected: hash, actual })
                };
            }
            _ => {}
        }
        let snapshot = record.flags.has(Flags::SNAPSHOT);
        let sequence = match self.sequence {
            _ if snapshot => record.sequence,
            Some(sequence) => sequence.checked_add(record.sequence).ok_or(ViewError::Overflow)?,
            None if matches!(record.body, RecordBody::Unknown { .. }) => return Ok(Applied::Unknown),
            None => return Err(ViewError::NoSnapshot),
        };
        self.body.apply(record, snapshot, sequence).map_err(|_| ViewError::WrongKind(self.kind))?;
        self.sequence = Some(sequence);
        self.time = record.time;
        self.flags = record.flags;
        match record.body {
            RecordBody::Gap { cause, missing } => Ok(Applied::Gap { cause, missing }),
            RecordBody::Unknown { .. } => Ok(Applied::Unknown),
            _ if snapshot => Ok(Applied::Snapshot),
            RecordBody::Trade(_) if record.sequence != 1 => Err(ViewError::Hole { missing: record.sequence.saturating_sub(1) }),
            _ => Ok(Applied::Delta { updates: record.sequence }),
        }
    }

    /// What `Check` records carry: CRC-32 (IEEE) over the view's fields in little-endian order, see `docs/protocol.md`.
    pub fn hash(&self) -> u32 {
        match &self.body {
            Body::Quote(quote) => quote_hash(quote),
            Body::Trade(_) => trade_hash(self.sequence.unwrap_or_default()),
            Body::Book(book) => book.hash(usize::MAX),
            Body::Status(status) => status_hash(status),
            Body::Instrument(instrument) => instrument_hash(instrument),
            Body::Bars(bars) => bars.hash(),
            Body::Stats(stats) => stats_hash(stats),
        }
    }

    pub fn quote(&self) -> Option<&Quote> {
        if let Body::Quote(quote) = &self.body { Some(quote) } else { None }
    }

    pub fn book(&self) -> Option<&Book> {
        if let Body::Book(book) = &self.body { Some(book) } else { None }
    }

    pub fn tape(&self) -> Option<&Tape> {
        if let Body::Trade(tape) = &self.body { Some(tape) } else { None }
    }

    /// The value of a `status` topic. How far any other topic can be trusted is in `state`.
    pub fn status(&self) -> Option<&Status> {
        if let Body::Status(status) = &self.body { Some(status) } else { None }
    }

    pub fn instrument(&self) -> Option<&Instrument> {
        if let Body::Instrument(instrument) = &self.body { Some(instrument) } else { None }
    }

    pub fn bars(&self) -> Option<&Bars> {
        if let Body::Bars(bars) = &self.body { Some(bars) } else { None }
    }

    pub fn stats(&self) -> Option<&DayStats> {
        if let Body::Stats(stats) = &self.body { Some(stats) } else { None }
    }
}

struct WrongKind;

impl Body {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Quote => Self::Quote(Quote::default()),
            Kind::Trade => Self::Trade(Tape::default()),
            Kind::Book => Self::Book(Book::default()),
            Kind::Status => Self::Status(Status::default()),
            Kind::Instrument => Self::Instrument(Box::default()),
            Kind::Bar => Self::Bars(Bars::default()),
            Kind::Stats => Self::Stats(Box::default()),
        }
    }

    fn apply(&mut self, record: &Record<'_>, snapshot: bool, sequence: u64) -> Result<(), WrongKind> {
        match (self, record.body) {
            (Self::Quote(quote), RecordBody::Quote(change)) => {
                if snapshot {
                    *quote = Quote::default();
                }
                change.apply(quote);
            }
            (Self::Book(book), RecordBody::Book { bids, asks }) => {
                if snapshot {
                    book.replace(bids, asks);
                } else {
                    book.apply(bids, asks);
                }
            }
            (Self::Trade(tape), body @ (RecordBody::Trade(_) | RecordBody::Summary(_) | RecordBody::Tape)) => {
                if snapshot {
                    *tape = Tape::default();
                }
                match body {
                    RecordBody::Trade(trade) => tape.push(sequence, record.time, &trade),
                    RecordBody::Summary(summary) => tape.add(&summary),
                    _ => {}
                }
            }
            (Self::Bars(bars), RecordBody::Bars(changed)) => {
                if snapshot {
                    bars.replace(changed);
                } else {
                    bars.apply(changed);
                }
            }
            (Self::Stats(stats), RecordBody::Stats(change)) => {
                if snapshot {
                    **stats = DayStats::default();
                }
                change.apply(stats);
            }
            (Self::Status(status), RecordBody::Status(new)) => *status = new,
            (Self::Instrument(instrument), RecordBody::Instrument(new)) => **instrument = new.clone(),
            (_, RecordBody::Gap { .. } | RecordBody::Unknown { .. }) => {}
            _ => return Err(WrongKind),
        }
        Ok(())
    }
}

impl QuoteChange {
    /// Every field, as a snapshot has them.
    pub fn full(quote: &Quote) -> Self {
        Self {
            bid_price: Some(quote.bid_price),
            bid_size: Some(quote.bid_size),
            ask_price: Some(quote.ask_price),
            ask_size: Some(quote.ask_size),
        }
    }

    /// What turns `from` into `to`.
    pub fn between(from: &Quote, to: &Quote) -> Self {
        fn field(from: Option<i64>, to: Option<i64>) -> Option<Option<i64>> {
            (from != to).then_some(to)
        }
        Self {
            bid_price: field(from.bid_price, to.bid_price),
            bid_size: field(from.bid_size, to.bid_size),
            ask_price: field(from.ask_price, to.ask_price),
            ask_size: field(from.ask_size, to.ask_size),
        }
    }

    pub fn apply(&self, quote: &mut Quote) {
        for (change, field) in [
            (self.bid_price, &mut quote.bid_price),
            (self.bid_size, &mut quote.bid_size),
            (self.ask_price, &mut quote.ask_price),
            (self.ask_size, &mut quote.ask_size),
        ] {
            if let Some(value) = change {
                *field = value;
            }
        }
    }
}

/// The `check` hash of a quote: its four fields as `i64`, missing as the smallest one.
pub fn quote_hash(quote: &Quote) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for field in [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size] {
        hasher.update(&field.unwrap_or(i64::MIN).to_le_bytes());
    }
    hasher.finalize()
}

/// The `check` hash of a tape: only how far it goes.
pub fn trade_hash(sequence: u64) -> u32 {
    crc32fast::hash(&sequence.to_le_bytes())
}

/// The `check` hash of a status: feed, trading, cause as one byte each, then `since`.
pub fn status_hash(status: &Status) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[status.feed.number(), status.trading.number(), status.cause.number()]);
    hasher.update(&status.since.to_le_bytes());
    hasher.finalize()
}

/// The `check` hash of an instrument: its fields in the order of the binary record, texts with a `u16` length.
pub fn instrument_hash(instrument: &Instrument) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for text in [&instrument.symbol, &instrument.native] {
        // Names have at most `topic::MAX_NAME` bytes.
        hasher.update(&(text.len() as u16).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let event_times = u8::from(instrument.quote_has_event_time)
        | u8::from(instrument.trade_has_event_time) << 1
        | u8::from(instrument.book_has_event_time) << 2;
    hasher.update(&[instrument.class.number()]);
    hasher.update(&instrument.price_exponent.to_le_bytes());
    hasher.update(&instrument.size_exponent.to_le_bytes());
    hasher.update(&instrument.tick.to_le_bytes());
    hasher.update(&instrument.lot.to_le_bytes());
    hasher.update(&[event_times]);
    hasher.update(&instrument.event_time_exponent.to_le_bytes());
    hasher.finalize()
}
