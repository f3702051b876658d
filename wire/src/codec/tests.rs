//! Property tests of both encodings: round trips of any record, and no panic on any bytes.

use super::frame::{base_second, put_header, put_trailer};
use super::*;
use crate::event::{Aggressor, Cause, FeedState, Flags, Level, Status, TradingState};
use crate::instrument::{Instrument, InstrumentClass};
use crate::kind::KINDS;
use crate::record::{Bar, Clock, QuoteChange, RecordBody, StatsChange, TradeRecord, TradeSummary};
use proptest::prelude::*;
use proptest::sample::select;

/// `RecordBody` that owns what it shows.
#[derive(Clone, Debug)]
enum Owned {
    Meta(Meta),
    Instrument(Instrument),
    Book(Vec<Level>, Vec<Level>),
    Bars(Vec<Bar>),
    Stats(StatsChange),
    Plain(RecordBody<'static>),
}

#[derive(Clone, Debug)]
struct OwnedRecord {
    flags: Flags,
    sequence: u64,
    time: i64,
    body: Owned,
}

impl OwnedRecord {
    fn record(&self) -> Record<'_> {
        let body = match &self.body {
            Owned::Meta(meta) => RecordBody::Meta(meta),
            Owned::Instrument(instrument) => RecordBody::Instrument(instrument),
            Owned::Book(bids, asks) => RecordBody::Book { bids, asks },
            Owned::Bars(bars) => RecordBody::Bars(bars),
            Owned::Stats(change) => RecordBody::Stats(change),
            Owned::Plain(body) => *body,
        };
        Record { topic: 3, flags: self.flags, sequence: self.sequence, time: self.time, body }
    }

    fn of(record: &Record<'_>) -> Self {
        let body = match record.body {
            RecordBody::Meta(meta) => Owned::Meta(meta.clone()),
            RecordBody::Instrument(instrument) => Owned::Instrument(instrument.clone()),
            RecordBody::Book { bids, asks } => Owned::Book(bids.to_vec(), asks.to_vec()),
            RecordBody::Quote(body) => Owned::Plain(RecordBody::Quote(body)),
            RecordBody::Trade(body) => Owned::Plain(RecordBody::Trade(body)),
            RecordBody::Summary(body) => Owned::Plain(RecordBody::Summary(body)),
            RecordBody::Bars(bars) => Owned::Bars(bars.to_vec()),
            RecordBody::Stats(change) => Owned::Stats(*change),
            RecordBody::Tape => Owned::Plain(RecordBody::Tape),
            RecordBody::Status(body) => Owned::Plain(RecordBody::Status(body)),
            RecordBody::State(body) => Owned::Plain(RecordBody::State(body)),
            RecordBody::Gap { cause, missing } => Owned::Plain(RecordBody::Gap { cause, missing }),
            RecordBody::Check { hash } => Owned::Plain(RecordBody::Check { hash }),
            RecordBody::Unknown { number } => Owned::Plain(RecordBody::Unknown { number }),
        };
        Self { flags: record.flags, sequence: record.sequence, time: record.time, body }
    }
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -1000i64..1000, 2 => any::<i64>(), 1 => select(vec![i64::MIN, i64::MAX, 0])]
}

fn nullable() -> impl Strategy<Value = Option<i64>> {
    proptest::option::of(number())
}

fn levels() -> impl Strategy<Value = Vec<Level>> {
    proptest::collection::btree_map(number(), number(), 0..12)
        .prop_map(|levels| levels.into_iter().map(|(price, size)| Level { price, size }).collect())
}

fn status() -> impl Strategy<Value = Status> {
    let feed = select(FeedState::ALL);
    (feed, select(TradingState::ALL), select(Cause::ALL), number()).prop_map(|(feed, trading, cause, since)| Status {
        feed,
        trading,
        cause,
        since,
    })
}

fn meta() -> impl Strategy<Value = Meta> {
    let scale = (-18i8..=18, -18i8..=18, number(), number(), number());
    (select(KINDS.map(|row| row.kind).to_vec()), "\\PC{0,20}|[\"\\\\\n]{2}", any::<u64>(), scale, select(Clock::ALL), -9i8..=0)
        .prop_map(|(kind, name, epoch, (price_exponent, size_exponent, tick, lot, base), clock, time_exponent)| Meta {
            topic: 3,
            name,
            kind,
            epoch,
            price_exponent,
            size_exponent,
            tick,
            lot,
            base,
            clock,
            time_exponent,
        })
}

fn instrument() -> impl Strategy<Value = Instrument> {
    let names = ("\\PC{0,9}", "[A-Z\"]{0,9}");
    let scale = (-18i8..=18, -18i8..=18, number(), number());
    (names, select(InstrumentClass::ALL), scale, any::<[bool; 3]>(), any::<i8>()).prop_map(
        |((symbol, native), class, (price_exponent, size_exponent, tick, lot), has, event_time_exponent)| Instrument {
            symbol,
            native,
            class,
            price_exponent,
            size_exponent,
            tick,
            lot,
            quote_has_event_time: has[0],
            trade_has_event_time: has[1],
            book_has_event_time: has[2],
            event_time_exponent,
        },
    )
}

fn quote() -> impl Strategy<Value = QuoteChange> {
    let field = || proptest::option::of(nullable());
    (field(), field(), field(), field()).prop_map(|(bid_price, bid_size, ask_price, ask_size)| QuoteChange {
        bid_price,
        bid_size,
        ask_price,
        ask_size,
    })
}

/// Ids are written absolute here; steps have a test of their own.
fn trade() -> impl Strategy<Value = TradeRecord> {
    (number(), number(), select(Aggressor::ALL), nullable(), any::<bool>()).prop_map(
        |(price, size, aggressor, id, aggregated)| TradeRecord { price, size, aggressor, id, previous_id: None, aggregated },
    )
}

fn summary() -> impl Strategy<Value = TradeSummary> {
    (number(), number(), number(), any::<u64>(), any::<u128>(), any::<i128>())
        .prop_map(|(last, high, low, count, volume, notional)| TradeSummary { last, high, low, count, volume, notional })
}

fn bar() -> impl Strategy<Value = Bar> {
    let prices = (number(), number(), number(), number());
    (any::<bool>(), any::<bool>(), prices, any::<u64>(), any::<u128>(), any::<i128>()).prop_map(
        |(closed, incomplete, (open, high, low, close), count, volume, notional)| Bar {
            start: 0,
            closed,
            incomplete,
            open,
            high,
            low,
            close,
            count,
            volume,
            notional,
        },
    )
}

fn bars() -> impl Strategy<Value = Vec<Bar>> {
    let start = prop_oneof![4 => 1_700_000_000i64..1_700_000_100, 1 => -9_223_372_036i64..9_223_372_036];
    proptest::collection::btree_map(start, bar(), 0..9)
        .prop_map(|bars| bars.into_iter().map(|(second, bar)| Bar { start: second * 1_000_000_000, ..bar }).collect())
}

fn stats() -> impl Strategy<Value = StatsChange> {
    use proptest::option::of;
    let prices = (of(nullable()), of(nullable()), of(nullable()), of(nullable()));
    (prices, of(any::<u128>()), of(any::<i128>()), of(any::<u64>()), of(any::<u64>()), of(number())).prop_map(
        |((last, open, high, low), volume, notional, count, gaps, from)| StatsChange {
            last,
            open,
            high,
            low,
            volume,
            notional,
            count,
            gaps,
            from,
        },
    )
}

fn body() -> impl Strategy<Value = Owned> {
    prop_oneof![
        meta().prop_map(Owned::Meta),
        instrument().prop_map(Owned::Instrument),
        (levels(), levels()).prop_map(|(mut bids, asks)| {
            bids.reverse();
            Owned::Book(bids, asks)
        }),
        quote().prop_map(|body| Owned::Plain(RecordBody::Quote(body))),
        trade().prop_map(|body| Owned::Plain(RecordBody::Trade(body))),
        summary().prop_map(|body| Owned::Plain(RecordBody::Summary(body))),
        Just(Owned::Plain(RecordBody::Tape)),
        bars().prop_map(Owned::Bars),
        stats().prop_map(Owned::Stats),
        status().prop_map(|body| Owned::Plain(RecordBody::Status(body))),
        status().prop_map(|body| Owned::Plain(RecordBody::State(body))),
        (select(Cause::ALL), proptest::option::of(any::<u64>()))
            .prop_map(|(cause, missing)| Owned::Plain(RecordBody::Gap { cause, missing })),
        any::<u32>().prop_map(|hash| Owned::Plain(RecordBody::Check { hash })),
        (64u64..).prop_map(|number| Owned::Plain(RecordBody::Unknown { number })),
    ]
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    (any::<u8>(), any::<u64>(), number(), body()).prop_map(|(flags, sequence, time, body)| {
        // 0x10 belongs to the codec in trades.
        let flags = Flags(if matches!(body, Owned::Plain(RecordBody::Trade(_))) { flags & !0x10 } else { flags });
        let still = matches!(body, Owned::Meta(_) | Owned::Plain(RecordBody::State(_) | RecordBody::Check { .. }));
        let (sequence, time) = if still { (0, 0) } else { (sequence, time) };
        OwnedRecord { flags, sequence, time, body }
    })
}

fn frame(encoding: Encoding, number: u64, sent: i64, meta: &Meta, records: &[OwnedRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    put_header(&mut out, encoding, number, sent);
    let base_second = base_second(sent);
    put(&mut out, encoding, &Context { base_second, meta }, &OwnedRecord::of(&announcing(meta)).record());
    let mut meta = meta;
    for record in records {
        if let Owned::Meta(new) = &record.body {
            meta = new;
        }
        put(&mut out, encoding, &Context { base_second, meta }, &record.record());
    }
    put_trailer(&mut out, encoding);
    out
}

fn announcing(meta: &Meta) -> Record<'_> {
    Record { topic: 3, flags: Flags(0), sequence: 0, time: 0, body: RecordBody::Meta(meta) }
}

fn decode(encoding: Encoding, bytes: &[u8]) -> Result<(FrameHeader, Vec<OwnedRecord>), DecodeError> {
    let mut records = Vec::new();
    let header = Decoder::new(encoding).decode(bytes, &mut |_, _, record| records.push(OwnedRecord::of(record)))?;
    Ok((header, records))
}

/// Times are cut to the topic's resolution on the binary wire.
fn cut(records: &[OwnedRecord], meta: &Meta) -> Vec<OwnedRecord> {
    let mut exponent = meta.time_exponent;
    let cut = |record: &OwnedRecord| {
        if let Owned::Meta(new) = &record.body {
            exponent = new.time_exponent;
        }
        let unit = 10i64.pow((9 + exponent) as u32);
        OwnedRecord { time: record.time.div_euclid(unit) * unit, ..record.clone() }
    };
    records.iter().map(cut).collect()
}

fn shown(records: &[OwnedRecord]) -> Vec<String> {
    records.iter().map(|record| format!("{record:?}")).collect()
}

proptest! {
    #[test]
    fn any_record_round_trips(meta in meta(), records in proptest::collection::vec(record(), 0..6), sent in 0..i64::MAX, number: u64) {
        // The last whole unit before the smallest time cannot be told in 64 bits.
        prop_assume!(records.iter().all(|record| record.time > i64::MIN + 1_000_000_000));
        for encoding in [Encoding::Binary, Encoding::Json] {
            let bytes = frame(encoding, number, sent, &meta, &records);
            let (header, decoded) = decode(encoding, &bytes).map_err(|error| TestCaseError::fail(format!("{error}")))?;
            prop_assert_eq!((header.number, header.base_second), (number, base_second(sent)));
            match encoding {
                Encoding::Binary => {
                    prop_assert_eq!(header.sent, sent / 1000 * 1000);
                    prop_assert_eq!(shown(&decoded[1..]), shown(&cut(&records, &meta)));
                }
                Encoding::Json => {
                    prop_assert_eq!(header.sent, sent);
                    prop_assert_eq!(shown(&decoded[1..]), shown(&records));
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
                }
            }
        }
    }

    /// In whatever order they are announced, and told of later.
    #[test]
    fn each_record_meets_its_own_topic(
        topics in proptest::collection::btree_set(0u32..300, 1..40).prop_map(|topics| topics.into_iter().collect::<Vec<_>>()).prop_shuffle(),
        told in proptest::collection::vec(any::<proptest::sample::Index>(), 0..80),
        in_turn: bool,
    ) {
        let metas: Vec<Meta> = topics.iter().map(|topic| Meta { topic: *topic, base: i64::from(*topic) << 8, ..plain_meta() }).collect();
        let told: Vec<usize> = told.iter().enumerate().map(|(at, told)| if in_turn { at % topics.len() } else { told.index(topics.len()) }).collect();
        for encoding in [Encoding::Binary, Encoding::Json] {
            let mut bytes = Vec::new();
            put_header(&mut bytes, encoding, 1, 0);
            for meta in &metas {
                put(&mut bytes, encoding, &Context { base_second: 0, meta }, &Record { topic: meta.topic, ..announcing(meta) });
            }
            for meta in told.iter().map(|at| &metas[*at]) {
                let trade = TradeRecord { price: meta.base + 1, size: 5, aggressor: Aggressor::Sell, id: None, previous_id: None, aggregated: false };
                put(&mut bytes, encoding, &Context { base_second: 0, meta }, &Record { topic: meta.topic, ..owned(1, RecordBody::Trade(trade)).record() });
            }
            put_trailer(&mut bytes, encoding);
            let mut seen = Vec::new();
            Decoder::new(encoding).decode(&bytes, &mut |_, announced, record| {
                if let RecordBody::Trade(trade) = record.body {
                    seen.push((record.topic, announced.topic, announced.place(), trade.price - announced.base));
                }
            }).unwrap();
            let expected: Vec<_> = told.iter().map(|at| (topics[*at], topics[*at], *at, 1)).collect();
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(Encoding::Binary, &bytes);
        let _ = decode(Encoding::Json, &bytes);
        let _ = decode(Encoding::Binary, &[&[0x10, 1, 1, 1], &bytes[..]].concat());
    }

    #[test]
    fn no_damage_makes_it_panic(
        meta in meta(),
        records in proptest::collection::vec(record(), 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end: prop::sample::Index,
    ) {
        for encoding in [Encoding::Binary, Encoding::Json] {
            let mut bytes = frame(encoding, 1, 1_700_000_000_123_456_789, &meta, &records);
            let cut = decode(encoding, &bytes[..end.index(bytes.len())]);
            prop_assert!(encoding == Encoding::Binary || cut.is_err());
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            if let Err(error) = decode(encoding, &bytes) {
                prop_assert!(error.to_string().contains("byte"));
            }
        }
    }
}

fn plain_meta() -> Meta {
    Meta {
        topic: 3,
        name: "trade/sim:A".into(),
        kind: crate::kind::Kind::Trade,
        epoch: 1,
        price_exponent: -2,
        size_exponent: -5,
        tick: 1,
        lot: 1,
        base: 6_000_000,
        clock: Clock::Event,
        time_exponent: -6,
    }
}

fn owned(sequence: u64, body: RecordBody<'static>) -> OwnedRecord {
    OwnedRecord { flags: Flags(0), sequence, time: 1_000_000, body: Owned::Plain(body) }
}

#[test]
fn trade_ids_travel_as_steps() {
    let meta = plain_meta();
    let trade = TradeRecord {
        price: 6_000_001,
        size: 5,
        aggressor: Aggressor::Sell,
        id: Some(3_735_683_259),
        previous_id: None,
        aggregated: true,
    };
    let next = TradeRecord { id: Some(3_735_683_260), previous_id: trade.id, aggregated: false, ..trade };
    let records = [owned(1, RecordBody::Trade(trade)), owned(1, RecordBody::Trade(next))];
    let (_, decoded) = decode(Encoding::Binary, &frame(Encoding::Binary, 1, 0, &meta, &records)).unwrap();
    let plain = TradeRecord { previous_id: None, ..next };
    assert_eq!(shown(&decoded[1..]), shown(&[records[0].clone(), owned(1, RecordBody::Trade(plain))]));

    let bytes = frame(Encoding::Binary, 1, 0, &meta, &records[1..]);
    assert_eq!(decode(Encoding::Binary, &bytes).unwrap_err().problem, Problem::NoPreviousTrade);
}

#[test]
fn counts_of_levels_are_not_believed() {
    let mut bytes = frame(Encoding::Binary, 1, 0, &plain_meta(), &[]);
    // Topic 3, book, bids; at time 0; 2^62 levels.
    bytes.extend([3, 2 << 5 | 1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0, 0, 1, 1]);
    let error = decode(Encoding::Binary, &bytes).unwrap_err();
    assert_eq!(error.problem, Problem::Truncated);
    assert!(error.to_string().contains("record 1, byte"), "{error}");
}

#[test]
fn errors_say_what_is_wrong() {
    let meta = plain_meta();
    let head = frame(Encoding::Binary, 1, 0, &meta, &[]);
    for (bytes, problem) in [
        (vec![0x20], Problem::Version(2)),
        (vec![0x11], Problem::FrameFlags(1)),
        (vec![0x10, 0x80], Problem::Truncated),
        (vec![0x10, 1, 0, 0, 9, 0], Problem::UnknownTopic(9)),
        ([&head[..], &[3, 3 << 5 | 1, 1, 0]].concat(), Problem::Mask(1)),
        ([&head[..], &[3, 2 << 5 | 1, 0, 2, 0, 1, 0, 1]].concat(), Problem::LevelOrder),
        ([&head[..], &[3, 6 << 5, 99, 0, 0, 0]].concat(), Problem::UnknownValue("feed")),
    ] {
        assert_eq!(decode(Encoding::Binary, &bytes).unwrap_err().problem, problem);
    }
    let head = r#"{"frame":1,"sent":"5","data":["#;
    let meta = frame(Encoding::Json, 1, 5, &meta, &[]);
    let meta = std::str::from_utf8(&meta).unwrap().strip_suffix("]}").unwrap();
    for (text, problem) in [
        (r#"{"type":"ack"}"#.to_owned(), Problem::Missing("frame or sent")),
        (r#"{"frame":1,"sent":"5"}"#.to_owned(), Problem::Missing("data")),
        (format!(r#"{head}{{"topic":"x","id":9,"kind":"quote","adv":1,"time":"1"}}]}}"#), Problem::UnknownTopic(9)),
        (format!(r#"{meta},{{"topic":"x","id":3,"kind":"quote","adv":1,"time":"1"}}]}}"#), Problem::TopicName),
        (format!(r#"{meta},{{"topic":"trade/sim:A","id":3,"kind":"gap","time":"1"}}]}}"#), Problem::Missing("adv")),
        (
            format!(r#"{meta},{{"topic":"trade/sim:A","id":3,"kind":"quote","adv":1,"time":"1","bid":"1.234"}}]}}"#),
            Problem::Decimal("bid"),
        ),
    ] {
        assert_eq!(decode(Encoding::Json, text.as_bytes()).unwrap_err().problem, problem, "{text}");
    }
    let error = decode(Encoding::Json, b"{\"frame\":1,").unwrap_err().to_string();
    assert!(error.contains("not a data frame"), "{error}");
}

#[test]
fn unknown_records_are_skipped_by_their_length() {
    let mut bytes = frame(Encoding::Binary, 1, 0, &plain_meta(), &[]);
    // Extended type 99 with sequence and time, three bytes long; the same about a topic nobody announced; then a check.
    bytes.extend([3, 7 << 5 | 3, 2, 0, 99, 3, 1, 2, 3]);
    bytes.extend([77, 7 << 5, 99, 1, 0]);
    bytes.extend([3, 5 << 5, 0xef, 0xbe, 0xad, 0xde]);
    let (_, records) = decode(Encoding::Binary, &bytes).unwrap();
    assert!(matches!(records[1], OwnedRecord { sequence: 2, body: Owned::Plain(RecordBody::Unknown { number: 99 }), .. }));
    assert!(matches!(records[2].body, Owned::Plain(RecordBody::Check { hash: 0xdead_beef })));
    let text = br#"{"frame":1,"sent":"5","new":[{}],"data":[{"topic":"x","id":9,"kind":"greeks","delta":"1"}]}"#;
    assert!(decode(Encoding::Json, text).unwrap().1.is_empty());
}
