//! In: one JSON record object. Out: its fields, then the record they spell. No floating point: decimals are text.
//! Bounded by the object; texts borrow from the frame where they hold no escapes.

use super::super::decoder::Scratch;
use super::super::error::Problem;
use super::{NAMED_FLAGS, kind};
use crate::decimal::{MAX_EXPONENT, MIN_EXPONENT, parse_plain};
use crate::event::{Aggressor, Cause, FeedState, Flags, Level, Nanos, Status, TradingState};
use crate::instrument::{Instrument, InstrumentClass};
use crate::kind::Kind;
use crate::record::{Bar, Clock, Meta, QuoteChange, RecordBody, StatsChange, TradeRecord, TradeSummary};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Every key of every record. Unknown keys are ignored.
#[derive(Deserialize)]
pub struct Fields<'a> {
    #[serde(borrow)]
    pub topic: Text<'a>,
    pub id: u32,
    #[serde(borrow)]
    pub kind: Text<'a>,
    seq: Option<u64>,
    adv: Option<u64>,
    #[serde(default)]
    snapshot: bool,
    #[serde(default)]
    last_of_event: bool,
    #[serde(default)]
    bad_receive_time: bool,
    #[serde(default)]
    maybe_bad_book: bool,
    #[serde(default)]
    stale: bool,
    #[serde(default)]
    conflated: bool,
    #[serde(default)]
    flags: u8,
    #[serde(borrow)]
    time: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    bid: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    bid_size: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    ask: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    ask_size: Option<Option<Text<'a>>>,
    #[serde(borrow)]
    price: Option<Text<'a>>,
    #[serde(borrow)]
    size: Option<Text<'a>>,
    #[serde(borrow)]
    aggressor: Option<Text<'a>>,
    #[serde(borrow)]
    trade_id: Option<Text<'a>>,
    #[serde(default)]
    aggregated: bool,
    #[serde(borrow, default, deserialize_with = "present")]
    last: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    open: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    high: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    low: Option<Option<Text<'a>>>,
    count: Option<u64>,
    gaps: Option<u64>,
    #[serde(borrow)]
    from: Option<Text<'a>>,
    #[serde(borrow, default)]
    bars: Vec<BarFields<'a>>,
    #[serde(borrow)]
    volume: Option<Text<'a>>,
    #[serde(borrow)]
    notional: Option<Text<'a>>,
    #[serde(borrow, default)]
    bids: Vec<(Text<'a>, Text<'a>)>,
    #[serde(borrow, default)]
    asks: Vec<(Text<'a>, Text<'a>)>,
    #[serde(borrow)]
    feed: Option<Text<'a>>,
    #[serde(borrow)]
    trading: Option<Text<'a>>,
    #[serde(borrow)]
    cause: Option<Text<'a>>,
    #[serde(borrow)]
    since: Option<Text<'a>>,
    missing: Option<u64>,
    hash: Option<u32>,
    number: Option<u64>,
    #[serde(borrow)]
    topic_kind: Option<Text<'a>>,
    epoch: Option<u64>,
    price_exponent: Option<i8>,
    size_exponent: Option<i8>,
    #[serde(borrow)]
    tick: Option<Text<'a>>,
    #[serde(borrow)]
    lot: Option<Text<'a>>,
    #[serde(borrow)]
    base: Option<Text<'a>>,
    #[serde(borrow)]
    clock: Option<Text<'a>>,
    time_exponent: Option<i8>,
    #[serde(borrow)]
    symbol: Option<Text<'a>>,
    #[serde(borrow)]
    native: Option<Text<'a>>,
    #[serde(borrow)]
    class: Option<Text<'a>>,
    #[serde(borrow, default)]
    event_times: Vec<Text<'a>>,
    event_time_exponent: Option<i8>,
}

/// Every key of a bar.
#[derive(Deserialize)]
struct BarFields<'a> {
    #[serde(borrow)]
    start: Option<Text<'a>>,
    #[serde(default)]
    closed: bool,
    #[serde(default)]
    incomplete: bool,
    #[serde(borrow)]
    open: Option<Text<'a>>,
    #[serde(borrow)]
    high: Option<Text<'a>>,
    #[serde(borrow)]
    low: Option<Text<'a>>,
    #[serde(borrow)]
    close: Option<Text<'a>>,
    count: Option<u64>,
    #[serde(borrow)]
    volume: Option<Text<'a>>,
    #[serde(borrow)]
    notional: Option<Text<'a>>,
}

impl BarFields<'_> {
    fn bar(&self, meta: &Meta) -> Result<Bar, Problem> {
        let price = meta.price_exponent;
        Ok(Bar {
            start: need(integer(&self.start, "start")?, "start")?,
            closed: self.closed,
            incomplete: self.incomplete,
            open: decimal(&self.open, price, "open")?,
            high: decimal(&self.high, price, "high")?,
            low: decimal(&self.low, price, "low")?,
            close: decimal(&self.close, price, "close")?,
            count: need(self.count, "count")?,
            volume: volume(&self.volume, meta)?,
            notional: notional(&self.notional, meta)?,
        })
    }
}

impl Fields<'_> {
    pub fn is_known(&self) -> bool {
        matches!(
            &*self.kind.0,
            kind::QUOTE
                | kind::TRADE
                | kind::SUMMARY
                | kind::BOOK
                | kind::TAPE
                | kind::BAR
                | kind::STATS
                | kind::STATUS
                | kind::INSTRUMENT
                | kind::STATE
                | kind::GAP
                | kind::CHECK
                | kind::META
        )
    }

    pub fn flags(&self) -> Flags {
        let named = [self.snapshot, self.last_of_event, self.bad_receive_time, self.maybe_bad_book, self.stale, self.conflated];
        NAMED_FLAGS.iter().zip(named).filter(|(_, set)| *set).fold(Flags(self.flags), |flags, ((flag, _), _)| flags.with(*flag))
    }

    pub fn sequence(&self, flags: Flags) -> Result<u64, Problem> {
        if flags.has(Flags::SNAPSHOT) { need(self.seq, "seq") } else { need(self.adv, "adv") }
    }

    pub fn time(&self) -> Result<Nanos, Problem> {
        integer(&self.time, "time")?.ok_or(Problem::Missing("time"))
    }

    /// The body of any record but `meta` and `instrument`, whose bodies somebody must own.
    pub fn body<'s>(&self, meta: &Meta, scratch: &'s mut Scratch) -> Result<RecordBody<'s>, Problem> {
        let (price, size) = (meta.price_exponent, meta.size_exponent);
        Ok(match &*self.kind.0 {
            kind::QUOTE => RecordBody::Quote(QuoteChange {
                bid_price: change(&self.bid, price, "bid")?,
                bid_size: change(&self.bid_size, size, "bid_size")?,
                ask_price: change(&self.ask, price, "ask")?,
                ask_size: change(&self.ask_size, size, "ask_size")?,
            }),
            kind::TRADE => RecordBody::Trade(TradeRecord {
                price: decimal(&self.price, price, "price")?,
                size: decimal(&self.size, size, "size")?,
                aggressor: self.aggressor.as_ref().and_then(|name| Aggressor::from_name(&name.0)).unwrap_or_default(),
                id: integer(&self.trade_id, "trade_id")?,
                previous_id: None,
                aggregated: self.aggregated,
            }),
            kind::SUMMARY => RecordBody::Summary(TradeSummary {
                last: present_decimal(&self.last, price, "last")?,
                high: present_decimal(&self.high, price, "high")?,
                low: present_decimal(&self.low, price, "low")?,
                count: need(self.count, "count")?,
                volume: volume(&self.volume, meta)?,
                notional: notional(&self.notional, meta)?,
            }),
            kind::BAR => {
                let bars = &mut scratch.bars;
                bars.clear();
                for fields in &self.bars {
                    bars.push(fields.bar(meta)?);
                }
                if bars.is_sorted_by(|a, b| a.start < b.start) {
                    RecordBody::Bars(bars)
                } else {
                    return Err(Problem::BarOrder);
                }
            }
            kind::STATS => {
                scratch.stats = StatsChange {
                    last: change(&self.last, price, "last")?,
                    open: change(&self.open, price, "open")?,
                    high: change(&self.high, price, "high")?,
                    low: change(&self.low, price, "low")?,
                    volume: self.volume.is_some().then(|| volume(&self.volume, meta)).transpose()?,
                    notional: self.notional.is_some().then(|| notional(&self.notional, meta)).transpose()?,
                    count: self.count,
                    gaps: self.gaps,
                    from: integer(&self.from, "from")?,
                };
                RecordBody::Stats(&scratch.stats)
            }
            kind::BOOK => {
                let levels = &mut scratch.levels;
                levels.clear();
                side(&self.bids, meta, levels)?;
                let bids = levels.len();
                side(&self.asks, meta, levels)?;
                let (bids, asks) = levels.split_at(bids);
                if bids.is_sorted_by(|a, b| a.price > b.price) && asks.is_sorted_by(|a, b| a.price < b.price) {
                    RecordBody::Book { bids, asks }
                } else {
                    return Err(Problem::LevelOrder);
                }
            }
            kind::TAPE => RecordBody::Tape,
            kind::STATUS => RecordBody::Status(self.status()?),
            kind::STATE => RecordBody::State(self.status()?),
            kind::GAP => RecordBody::Gap { cause: self.cause(), missing: self.missing },
            kind::CHECK => RecordBody::Check { hash: need(self.hash, "hash")? },
            _ => RecordBody::Unknown { number: self.number.unwrap_or_default() },
        })
    }

    fn status(&self) -> Result<Status, Problem> {
        let feed = self.feed.as_ref().ok_or(Problem::Missing("feed"))?;
        Ok(Status {
            feed: FeedState::from_name(&feed.0).ok_or(Problem::UnknownValue("feed"))?,
            trading: self.trading.as_ref().and_then(|name| TradingState::from_name(&name.0)).unwrap_or_default(),
            cause: self.cause(),
            since: integer(&self.since, "since")?.unwrap_or_default(),
        })
    }

    /// Causes may be added to the protocol; a reader that does not know one knows no cause.
    fn cause(&self) -> Cause {
        self.cause.as_ref().and_then(|name| Cause::from_name(&name.0)).unwrap_or_default()
    }

    /// `None` for a kind of topic that this build does not know.
    pub fn meta(&self) -> Result<Option<Meta>, Problem> {
        let kind = self.topic_kind.as_ref().ok_or(Problem::Missing("topic_kind"))?;
        let Some(kind) = Kind::from_name(&kind.0) else { return Ok(None) };
        let price_exponent = exponent(self.price_exponent, "price_exponent")?;
        let size_exponent = exponent(self.size_exponent, "size_exponent")?;
        let clock = self.clock.as_ref().ok_or(Problem::Missing("clock"))?;
        let time_exponent = need(self.time_exponent, "time_exponent")?;
        if !(-9..=0).contains(&time_exponent) {
            return Err(Problem::OutOfRange("time_exponent"));
        }
        Ok(Some(Meta {
            topic: self.id,
            name: self.topic.0.clone().into_owned(),
            kind,
            epoch: need(self.epoch, "epoch")?,
            price_exponent,
            size_exponent,
            tick: decimal(&self.tick, price_exponent, "tick")?,
            lot: decimal(&self.lot, size_exponent, "lot")?,
            base: decimal(&self.base, price_exponent, "base")?,
            clock: Clock::from_name(&clock.0).ok_or(Problem::UnknownValue("clock"))?,
            time_exponent,
        }))
    }

    /// `None` for a class that this build does not know.
    pub fn instrument(&self) -> Result<Option<Instrument>, Problem> {
        let class = self.class.as_ref().ok_or(Problem::Missing("class"))?;
        let Some(class) = InstrumentClass::from_name(&class.0) else { return Ok(None) };
        let price_exponent = exponent(self.price_exponent, "price_exponent")?;
        let size_exponent = exponent(self.size_exponent, "size_exponent")?;
        let has = |name: &str| self.event_times.iter().any(|given| given.0 == name);
        Ok(Some(Instrument {
            symbol: text(&self.symbol, "symbol")?,
            native: text(&self.native, "native")?,
            class,
            price_exponent,
            size_exponent,
            tick: decimal(&self.tick, price_exponent, "tick")?,
            lot: decimal(&self.lot, size_exponent, "lot")?,
            quote_has_event_time: has("quote"),
            trade_has_event_time: has("trade"),
            book_has_event_time: has("book"),
            event_time_exponent: need(self.event_time_exponent, "event_time_exponent")?,
        }))
    }
}

fn need<T>(value: Option<T>, field: &'static str) -> Result<T, Problem> {
    value.ok_or(Problem::Missing(field))
}

fn text(value: &Option<Text<'_>>, field: &'static str) -> Result<String, Problem> {
    value.as_ref().map(|text| text.0.clone().into_owned()).ok_or(Problem::Missing(field))
}

fn exponent(value: Option<i8>, field: &'static str) -> Result<i8, Problem> {
    let exponent = need(value, field)?;
    if (MIN_EXPONENT..=MAX_EXPONENT).contains(&exponent) { Ok(exponent) } else { Err(Problem::OutOfRange(field)) }
}

fn integer(value: &Option<Text<'_>>, field: &'static str) -> Result<Option<i64>, Problem> {
    value.as_ref().map(|text| text.0.parse().map_err(|_| Problem::OutOfRange(field))).transpose()
}

fn wide(value: &Option<Text<'_>>, exponent: i8, field: &'static str) -> Result<(bool, u128), Problem> {
    let text = value.as_ref().ok_or(Problem::Missing(field))?;
    parse_plain(text.0.as_bytes(), exponent).ok_or(Problem::Decimal(field))
}

fn signed((negative, magnitude): (bool, u128), field: &'static str) -> Result<i128, Problem> {
    let value = if negative { 0i128.checked_sub_unsigned(magnitude) } else { 0i128.checked_add_unsigned(magnitude) };
    value.ok_or(Problem::OutOfRange(field))
}

fn mantissa(text: &Text<'_>, exponent: i8, field: &'static str) -> Result<i64, Problem> {
    let value = parse_plain(text.0.as_bytes(), exponent).ok_or(Problem::Decimal(field))?;
    i64::try_from(signed(value, field)?).map_err(|_| Problem::OutOfRange(field))
}

fn decimal(value: &Option<Text<'_>>, exponent: i8, field: &'static str) -> Result<i64, Problem> {
    mantissa(value.as_ref().ok_or(Problem::Missing(field))?, exponent, field)
}

/// A decimal whose key other records may set to `null`.
fn present_decimal(value: &Option<Option<Text<'_>>>, exponent: i8, field: &'static str) -> Result<i64, Problem> {
    mantissa(value.as_ref().and_then(Option::as_ref).ok_or(Problem::Missing(field))?, exponent, field)
}

fn volume(value: &Option<Text<'_>>, meta: &Meta) -> Result<u128, Problem> {
    match wide(value, meta.size_exponent, "volume")? {
        (false, volume) => Ok(volume),
        (true, _) => Err(Problem::Decimal("volume")),
    }
}

fn notional(value: &Option<Text<'_>>, meta: &Meta) -> Result<i128, Problem> {
    signed(wide(value, meta.price_exponent.saturating_add(meta.size_exponent), "notional")?, "notional")
}

fn change(value: &Option<Option<Text<'_>>>, exponent: i8, field: &'static str) -> Result<Option<Option<i64>>, Problem> {
    match value {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(text)) => mantissa(text, exponent, field).map(|value| Some(Some(value))),
    }
}

fn side(texts: &[(Text<'_>, Text<'_>)], meta: &Meta, levels: &mut Vec<Level>) -> Result<(), Problem> {
    for (price, size) in texts {
        levels.push(Level {
            price: mantissa(price, meta.price_exponent, "price")?,
            size: mantissa(size, meta.size_exponent, "size")?,
        });
    }
    Ok(())
}

/// Tells `null` (now missing) from an absent key (unchanged).
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Text<'de>>>, D::Error> {
    Option::<Text<'de>>::deserialize(deserializer).map(Some)
}

/// Text of the frame, borrowed if it holds no escapes.
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Visit).map(Text)
    }
}
