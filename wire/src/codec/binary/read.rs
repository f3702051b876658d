//! In: the bytes of a binary frame. Out: its records, one at a time, borrowed from the decoder's scratch.
//! Bounded by the frame: a count of levels is believed only as far as the bytes behind it reach.

use super::super::decoder::{Each, Scratch, Topics};
use super::super::error::{At, DecodeError, Problem};
use super::super::frame::{self, FrameHeader};
use super::super::varint::{Reader, Word, unzigzag, unzigzag_wide};
use super::{ABSOLUTE_ID, AGGREGATED, AGGRESSOR, FLAGS_FOLLOW, HAS_ASKS, HAS_BIDS, HAS_SEQUENCE, HAS_TIME, SUMMARY};
use super::{SECOND_NS, extended, number, stats, unit_ns};
use crate::decimal::{MAX_EXPONENT, MIN_EXPONENT};
use crate::event::{Aggressor, Cause, FeedState, Flags, Level, Nanos, Status, TradingState};
use crate::instrument::{Instrument, InstrumentClass};
use crate::kind::Kind;
use crate::record::{Bar, Clock, Meta, QuoteChange, Record, RecordBody, StatsChange, TradeRecord, TradeSummary};

pub fn frame(topics: &mut Topics, scratch: &mut Scratch, bytes: &[u8], each: Each<'_>) -> Result<FrameHeader, DecodeError> {
    let mut reader = Reader::new(bytes);
    let header = frame::read_header(&mut reader).map_err(|problem| DecodeError {
        length: bytes.len(),
        at: At::Header { offset: reader.at() },
        problem,
    })?;
    let mut count = 0;
    while reader.remaining() > 0 {
        if plain_trade(&mut reader, &header, topics, each).is_some() {
            count += 1;
            continue;
        }
        record(&mut reader, &header, topics, scratch, each).map_err(|problem| DecodeError {
            length: bytes.len(),
            at: At::Record { record: count, offset: reader.at() },
            problem,
        })?;
        count += 1;
    }
    Ok(header)
}

/// Topic id and head, and four values of at most four bytes each; the word that holds the last two may reach beyond them.
const PLAIN_BYTES: usize = 3 + 16;

/// Single trades are most of what there is, and small, so their way is short: a trade without flags, of a known topic, whose numbers have at
/// most four bytes each and nothing unusual. `None`, and nothing is read, of anything else.
#[inline]
fn plain_trade(reader: &mut Reader<'_>, header: &FrameHeader, topics: &mut Topics, each: Each<'_>) -> Option<()> {
    // Asked once for all fields: are there bytes enough?
    match reader.rest().first_chunk() {
        Some(window) => plain_trade_within(window, reader, header, topics, each),
        None => {
            // The last one of a frame. No value ends among bytes of ones.
            let (rest, mut window) = (reader.rest(), [0xff; PLAIN_BYTES]);
            window[..rest.len()].copy_from_slice(rest);
            plain_trade_within(&window, reader, header, topics, each)
        }
    }
}

#[inline]
fn plain_trade_within(
    window: &[u8; PLAIN_BYTES],
    reader: &mut Reader<'_>,
    header: &FrameHeader,
    topics: &mut Topics,
    each: Each<'_>,
) -> Option<()> {
    let (topic, at) = match *window {
        [id @ ..0x80, ..] => (u32::from(id), 1),
        [low, high @ ..0x80, ..] => (u32::from(low & 0x7f) | u32::from(high) << 7, 2),
        _ => return None,
    };
    let head = window[at];
    if head & !AGGRESSOR != number::TRADE << 5 {
        return None;
    }
    let word = |at: usize| Some(Word::new(*window.get(at..)?.first_chunk()?));
    let mut first = word(at + 1)?;
    let (time, price) = (first.next()?, first.next()?);
    let mut second = word(at + 1 + first.taken)?;
    let (size, id) = (second.next()?, second.next()?);

    let state = topics.find(topic)?;
    // Four bytes hold less than 2^27 units of at most a second: the product fits.
    let time = header.base_second.checked_mul(SECOND_NS)?.checked_add(unzigzag(time) * state.unit_ns)?;
    let price = state.base.checked_add(unzigzag(price))?;
    let id = match id {
        0 => None,
        shifted => Some(state.previous_id?.checked_add(unzigzag(shifted - 1))?),
    };
    reader.skip(at + 1 + first.taken + second.taken);
    state.previous_id = id.or(state.previous_id);
    let aggressor = Aggressor::from_number(head & AGGRESSOR).unwrap_or_default();
    let trade = TradeRecord { price, size: size as i64, aggressor, id, previous_id: None, aggregated: false };
    each(header, state, &Record { topic, flags: Flags::default(), sequence: 1, time, body: RecordBody::Trade(trade) });
    Some(())
}

#[inline(never)]
fn record(
    reader: &mut Reader<'_>,
    header: &FrameHeader,
    topics: &mut Topics,
    scratch: &mut Scratch,
    each: Each<'_>,
) -> Result<(), Problem> {
    let topic = reader.u32("topic id")?;
    let head = reader.u8()?;
    let flags = if head & FLAGS_FOLLOW == 0 { Flags::default() } else { Flags(reader.u8()?) };
    let (kind, mask) = (head >> 5, head & 0x0f);
    let is_trade = kind == number::TRADE && mask & SUMMARY == 0;
    if kind == number::EXTENDED {
        return extended_record(reader, header, topics, scratch, (topic, flags, mask), each);
    }
    let state = topics.get_mut(topic)?;
    let meta: &Meta = state;
    let (sequence, time) = match kind {
        number::CHECK | number::STATE => (0, 0),
        _ => {
            let sequence = if head & FLAGS_FOLLOW == 0 { 1 } else { reader.u64("sequence")? };
            (sequence, time(reader, header, Some(meta))?)
        }
    };
    let body = match kind {
        number::QUOTE => RecordBody::Quote(quote(reader, meta.base, mask)?),
        number::TRADE if is_trade => {
            let mut trade = trade(reader, meta.base, mask, state.previous_id)?;
            trade.aggregated = flags.has(AGGREGATED);
            state.previous_id = trade.id.or(state.previous_id);
            RecordBody::Trade(trade)
        }
        number::TRADE => {
            no_bits(mask, !SUMMARY)?;
            RecordBody::Summary(summary(reader, meta.base)?)
        }
        number::BOOK => {
            no_bits(mask, !(HAS_BIDS | HAS_ASKS))?;
            let levels = &mut scratch.levels;
            levels.clear();
            if mask & HAS_BIDS != 0 {
                side(reader, meta.base, levels, i64::checked_sub_unsigned)?;
            }
            let bids = levels.len();
            if mask & HAS_ASKS != 0 {
                side(reader, meta.base, levels, i64::checked_add_unsigned)?;
            }
            let (bids, asks) = levels.split_at(bids);
            RecordBody::Book { bids, asks }
        }
        number::STATUS => {
            no_bits(mask, 0x0f)?;
            RecordBody::Status(status(reader)?)
        }
        number::GAP => {
            no_bits(mask, 0x0f)?;
            RecordBody::Gap { cause: cause(reader.u64("cause")?), missing: reader.nullable("missing")? }
        }
        number::CHECK => {
            no_bits(mask, 0x0f)?;
            let bytes = reader.take(4)?;
            RecordBody::Check { hash: bytes.iter().rev().fold(0, |hash, byte| hash << 8 | u32::from(*byte)) }
        }
        _ => {
            no_bits(mask, 0x0f)?;
            RecordBody::State(status(reader)?)
        }
    };
    // What it says is in the trade.
    let flags = if is_trade { Flags(flags.0 & !AGGREGATED.0) } else { flags };
    each(header, state, &Record { topic, flags, sequence, time, body });
    Ok(())
}

/// A record with its length: known ones are read, bytes behind the fields we know are left alone, unknown ones are reported
/// (where the topic is known) and skipped.
fn extended_record(
    reader: &mut Reader<'_>,
    header: &FrameHeader,
    topics: &mut Topics,
    scratch: &mut Scratch,
    (topic, flags, mask): (u32, Flags, u8),
    each: Each<'_>,
) -> Result<(), Problem> {
    no_bits(mask, !(HAS_SEQUENCE | HAS_TIME))?;
    let sequence = if mask & HAS_SEQUENCE != 0 { reader.u64("sequence")? } else { 0 };
    let time = if mask & HAS_TIME != 0 { time(reader, header, topics.get(topic).map(|state| &**state))? } else { 0 };
    let number = reader.u64("extended type")?;
    let length = reader.u64("length")?;
    let mut body = Reader::new(reader.take(length)?);
    if number == extended::META
        && let Some(meta) = read_meta(&mut body, topic)?
    {
        let meta = topics.announce(meta)?;
        each(header, meta, &Record { topic, flags, sequence, time, body: RecordBody::Meta(meta) });
        return Ok(());
    }
    // An unknown record may well be about no topic at all, so a missing meta is an error only for those we know.
    let Some(state) = topics.get(topic) else {
        return if extended::ABOUT_TOPICS.contains(&number) { Err(Problem::UnknownTopic(topic)) } else { Ok(()) };
    };
    let instrument = if number == extended::INSTRUMENT { read_instrument(&mut body)? } else { None };
    let body = match (&instrument, number) {
        (Some(instrument), _) => RecordBody::Instrument(instrument),
        (None, extended::TAPE) => RecordBody::Tape,
        (None, extended::BARS) => {
            bars(&mut body, header.base_second, state.base, &mut scratch.bars)?;
            RecordBody::Bars(&scratch.bars)
        }
        (None, extended::STATS) => {
            scratch.stats = day_stats(&mut body, state.base)?;
            RecordBody::Stats(&scratch.stats)
        }
        (None, number) => RecordBody::Unknown { number },
    };
    each(header, state, &Record { topic, flags, sequence, time, body });
    Ok(())
}

fn no_bits(mask: u8, reserved: u8) -> Result<(), Problem> {
    if mask & reserved & 0x0f == 0 { Ok(()) } else { Err(Problem::Mask(mask)) }
}

/// Without a meta nobody will see the time, and it reads as 0.
#[inline]
fn time(reader: &mut Reader<'_>, header: &FrameHeader, meta: Option<&Meta>) -> Result<Nanos, Problem> {
    let Some(offset) = reader.short().map(unzigzag) else {
        let offset = unzigzag_wide(reader.u128("time")?);
        return meta.map_or(Ok(0), |meta| any_time(header, meta, offset));
    };
    let Some(meta) = meta else { return Ok(0) };
    // All but absurd times fit 64 bits on the way too.
    let near = offset.checked_mul(unit_ns(meta.time_exponent));
    let near = near.and_then(|offset| header.base_second.checked_mul(SECOND_NS)?.checked_add(offset));
    near.map_or_else(|| any_time(header, meta, offset.into()), Ok)
}

#[cold]
fn any_time(header: &FrameHeader, meta: &Meta, offset: i128) -> Result<Nanos, Problem> {
    let unit = unit_ns(meta.time_exponent);
    let base = i128::from(header.base_second) * i128::from(SECOND_NS / unit);
    base.checked_add(offset)
        .and_then(|units| units.checked_mul(i128::from(unit)))
        .and_then(|time| Nanos::try_from(time).ok())
        .ok_or(Problem::OutOfRange("time"))
}

fn quote(reader: &mut Reader<'_>, base: i64, mask: u8) -> Result<QuoteChange, Problem> {
    let mut change = QuoteChange::default();
    if mask & 1 != 0 {
        change.bid_price = Some(reader.nullable_difference(base, "bid price")?);
    }
    if mask & 2 != 0 {
        change.bid_size = Some(reader.nullable("bid size")?.map(|size| size as i64));
    }
    if mask & 4 != 0 {
        change.ask_price = Some(reader.nullable_difference(base, "ask price")?);
    }
    if mask & 8 != 0 {
        change.ask_size = Some(reader.nullable("ask size")?.map(|size| size as i64));
    }
    Ok(change)
}

fn trade(reader: &mut Reader<'_>, base: i64, mask: u8, previous_id: Option<i64>) -> Result<TradeRecord, Problem> {
    let price = reader.difference(base, "price")?;
    let size = reader.u64("size")? as i64;
    // Value 3 is free for later; until then it says nothing we know.
    let aggressor = Aggressor::from_number(mask & AGGRESSOR).unwrap_or_default();
    let from = if mask & ABSOLUTE_ID != 0 { Some(0) } else { previous_id };
    let id = reader.nullable_difference_from(from, "trade id")?;
    Ok(TradeRecord { price, size, aggressor, id, previous_id: None, aggregated: false })
}

fn summary(reader: &mut Reader<'_>, base: i64) -> Result<TradeSummary, Problem> {
    let last = reader.difference(base, "last")?;
    Ok(TradeSummary {
        last,
        high: reader.difference(last, "high")?,
        low: reader.difference(last, "low")?,
        count: reader.u64("count")?,
        volume: reader.u128("volume")?,
        notional: reader.zigzag_i128("notional")?,
    })
}

fn side(reader: &mut Reader<'_>, base: i64, levels: &mut Vec<Level>, next: fn(i64, u64) -> Option<i64>) -> Result<(), Problem> {
    let count = reader.u64("levels")?;
    // A level takes at least two bytes.
    if count > reader.remaining() as u64 / 2 {
        return Err(Problem::Truncated);
    }
    levels.reserve(count as usize);
    let mut better = None;
    for _ in 0..count {
        let price = match better {
            None => reader.difference(base, "price")?,
            Some(better) => match reader.u64("price")? {
                0 => return Err(Problem::LevelOrder),
                gap => next(better, gap).ok_or(Problem::OutOfRange("price"))?,
            },
        };
        levels.push(Level { price, size: reader.u64("size")? as i64 });
        better = Some(price);
    }
    Ok(())
}

fn bars(reader: &mut Reader<'_>, base_second: i64, base: i64, bars: &mut Vec<Bar>) -> Result<(), Problem> {
    let count = reader.u64("bars")?;
    // A bar takes at least nine bytes.
    if count > reader.remaining() as u64 / 9 {
        return Err(Problem::Truncated);
    }
    bars.clear();
    let mut from = base_second;
    for at in 0..count {
        let second = reader.difference(from, "start")?;
        if at > 0 && second <= from {
            return Err(Problem::BarOrder);
        }
        from = second;
        let mut bar = Bar { start: second.checked_mul(SECOND_NS).ok_or(Problem::OutOfRange("start"))?, ..Bar::default() };
        bar.set_state(reader.u8()?);
        bar.open = reader.difference(base, "open")?;
        bar.high = reader.difference(bar.open, "high")?;
        bar.low = reader.difference(bar.open, "low")?;
        bar.close = reader.difference(bar.open, "close")?;
        bar.count = reader.u64("count")?;
        bar.volume = reader.u128("volume")?;
        bar.notional = reader.zigzag_i128("notional")?;
        bars.push(bar);
    }
    Ok(())
}

fn day_stats(reader: &mut Reader<'_>, base: i64) -> Result<StatsChange, Problem> {
    let mask = reader.u64("fields")?;
    let mut change = StatsChange::default();
    for (bit, field, name) in [
        (stats::LAST, &mut change.last, "last"),
        (stats::OPEN, &mut change.open, "open"),
        (stats::HIGH, &mut change.high, "high"),
        (stats::LOW, &mut change.low, "low"),
    ] {
        if mask & bit != 0 {
            *field = Some(reader.nullable_difference(base, name)?);
        }
    }
    if mask & stats::VOLUME != 0 {
        change.volume = Some(reader.u128("volume")?);
    }
    if mask & stats::NOTIONAL != 0 {
        change.notional = Some(reader.zigzag_i128("notional")?);
    }
    if mask & stats::COUNT != 0 {
        change.count = Some(reader.u64("count")?);
    }
    if mask & stats::GAPS != 0 {
        change.gaps = Some(reader.u64("gaps")?);
    }
    if mask & stats::FROM != 0 {
        change.from = Some(reader.zigzag("from")?);
    }
    Ok(change)
}

fn status(reader: &mut Reader<'_>) -> Result<Status, Problem> {
    Ok(Status {
        feed: FeedState::from_number(reader.u8()?).ok_or(Problem::UnknownValue("feed"))?,
        trading: TradingState::from_number(reader.u8()?).unwrap_or_default(),
        cause: cause(u64::from(reader.u8()?)),
        since: reader.zigzag("since")?,
    })
}

/// Causes may be added to the protocol; a reader that does not know one knows no cause.
fn cause(number: u64) -> Cause {
    u8::try_from(number).ok().and_then(Cause::from_number).unwrap_or_default()
}

/// `None` for a kind of topic that this build does not know.
fn read_meta(reader: &mut Reader<'_>, topic: u32) -> Result<Option<Meta>, Problem> {
    let Some(kind) = u8::try_from(reader.u64("kind")?).ok().and_then(Kind::from_number) else { return Ok(None) };
    let meta = Meta {
        topic,
        kind,
        name: reader.text("name")?.to_owned(),
        epoch: reader.u64("epoch")?,
        price_exponent: exponent(reader, "price exponent")?,
        size_exponent: exponent(reader, "size exponent")?,
        tick: reader.zigzag("tick")?,
        lot: reader.zigzag("lot")?,
        base: reader.zigzag("base")?,
        clock: clock(reader.u64("clock")?)?,
        time_exponent: reader.zigzag_i8("time exponent")?,
    };
    if (-9..=0).contains(&meta.time_exponent) { Ok(Some(meta)) } else { Err(Problem::OutOfRange("time exponent")) }
}

fn clock(number: u64) -> Result<Clock, Problem> {
    u8::try_from(number).ok().and_then(Clock::from_number).ok_or(Problem::UnknownValue("clock"))
}

/// `None` for a class that this build does not know.
fn read_instrument(reader: &mut Reader<'_>) -> Result<Option<Instrument>, Problem> {
    let (symbol, native) = (reader.text("symbol")?.to_owned(), reader.text("native")?.to_owned());
    let class = u8::try_from(reader.u64("class")?).ok().and_then(InstrumentClass::from_number);
    let Some(class) = class else { return Ok(None) };
    let mut instrument = Instrument {
        symbol,
        native,
        class,
        price_exponent: exponent(reader, "price exponent")?,
        size_exponent: exponent(reader, "size exponent")?,
        tick: reader.zigzag("tick")?,
        lot: reader.zigzag("lot")?,
        ..Instrument::default()
    };
    let bits = reader.u8()?;
    instrument.quote_has_event_time = bits & 1 != 0;
    instrument.trade_has_event_time = bits & 2 != 0;
    instrument.book_has_event_time = bits & 4 != 0;
    instrument.event_time_exponent = reader.zigzag_i8("event time exponent")?;
    Ok(Some(instrument))
}

fn exponent(reader: &mut Reader<'_>, field: &'static str) -> Result<i8, Problem> {
    let exponent = reader.zigzag_i8(field)?;
    if (MIN_EXPONENT..=MAX_EXPONENT).contains(&exponent) { Ok(exponent) } else { Err(Problem::OutOfRange(field)) }
}

#[cfg(test)]
mod tests {
    use super::super::super::varint::put_u64;
    use super::super::put;
    use super::*;
    use crate::codec::Context;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// Topics 3 and 300, of which the second has had a trade.
    fn known() -> Topics {
        let mut topics = Topics::default();
        for (topic, base, time_exponent) in [(3, 1_000_000, -6), (300, i64::MAX - 70, 0)] {
            let (name, kind) = (format!("trade/sim:{topic}"), Kind::Trade);
            let scale =
                Meta { topic, name, kind, epoch: 1, price_exponent: -2, size_exponent: -5, tick: 1, lot: 1, base, ..meta() };
            topics.announce(Meta { time_exponent, ..scale }).unwrap();
        }
        topics.find(300).unwrap().previous_id = Some(i64::MAX - 70);
        topics
    }

    fn meta() -> Meta {
        let (name, kind, clock) = (String::new(), Kind::Trade, Clock::Event);
        let (price_exponent, size_exponent, time_exponent) = (0, 0, 0);
        Meta { topic: 0, name, kind, epoch: 0, price_exponent, size_exponent, tick: 0, lot: 0, base: 0, clock, time_exponent }
    }

    /// Shows each record, or what is wrong, and what is known of the topics then.
    fn read_all(bytes: &[u8], base_second: i64, by_short_way: bool) -> Vec<String> {
        let (mut topics, mut scratch, mut shown) = (known(), Scratch::default(), Vec::new());
        let header = FrameHeader { number: 1, base_second, sent: 0 };
        let mut reader = Reader::new(bytes);
        while reader.remaining() > 0 {
            let each: Each<'_> = &mut |_, _, record| shown.push(format!("{record:?}"));
            if by_short_way && plain_trade(&mut reader, &header, &mut topics, each).is_some() {
                continue;
            }
            if let Err(problem) = record(&mut reader, &header, &mut topics, &mut scratch, each) {
                shown.push(format!("{problem} at {}", reader.at()));
                break;
            }
        }
        let ids: Vec<_> = [3, 300].map(|topic| topics.get(topic).unwrap().previous_id).into();
        shown.push(format!("{ids:?}"));
        shown
    }

    prop_compose! {
        /// A trade's bytes: head, then four values of any length. Of the heads some mean something else.
        fn trade_like()(
            topic in select(vec![3u64, 3, 300, 300, 9, 70_000]),
            head in select(vec![0x20u8, 0x20, 0x21, 0x22, 0x23, 0x24, 0x28, 0x30, 0xa0]),
            values in any::<[u64; 4]>(),
            bits in [0u32..36, 0u32..36, 0u32..36, 0u32..70],
        ) -> Vec<u8> {
            let mut out = Vec::new();
            put_u64(&mut out, topic);
            out.push(head);
            for (value, bits) in values.into_iter().zip(bits) {
                put_u64(&mut out, value & 1u64.checked_shl(bits).map_or(u64::MAX, |bit| bit - 1));
            }
            out
        }
    }

    proptest! {
        #[test]
        fn the_short_way_reads_what_the_long_one_does(
            records in proptest::collection::vec(prop_oneof![9 => trade_like(), 1 => proptest::collection::vec(any::<u8>(), 1..20)], 1..9),
            base_second in select(vec![0, 1_700_000_000, 9_223_372_036, i64::MAX]),
        ) {
            // Wherever it ends: the short way looks further than a record reaches.
            let bytes = records.concat();
            for end in 0..=bytes.len() {
                let bytes = &bytes[..end];
                prop_assert_eq!(read_all(bytes, base_second, true), read_all(bytes, base_second, false));
            }
        }
    }

    #[test]
    fn plain_trades_go_the_short_way() {
        let meta = Meta::clone(known().get(300).unwrap());
        let (base_second, sequence, time) = (1_700_000_000, 1, 1_700_000_100_000_000_000);
        let id = Some(i64::MAX - 69);
        let trade =
            TradeRecord { price: i64::MAX, size: 50_000, aggressor: Aggressor::Sell, id, previous_id: None, aggregated: false };
        let body = RecordBody::Trade(TradeRecord { previous_id: Some(i64::MAX - 70), ..trade });
        let mut bytes = Vec::new();
        let record = Record { topic: 300, flags: Flags::default(), sequence, time, body };
        put::put(&mut bytes, &Context { base_second, meta: &meta }, &record);
        let header = FrameHeader { number: 1, base_second, sent: 0 };
        let trade = Record { body: RecordBody::Trade(trade), ..record };
        for more in [0, 1, PLAIN_BYTES] {
            let mut topics = known();
            let bytes = [&bytes[..], &vec![0xff; more]].concat();
            let (mut reader, mut seen) = (Reader::new(&bytes), 0);
            let each: Each<'_> = &mut |_, _, read| {
                assert_eq!(*read, trade);
                seen += 1;
            };
            let read = plain_trade(&mut reader, &header, &mut topics, each);
            assert_eq!((read, reader.remaining(), seen), (Some(()), more, 1));
        }
    }
}
