//! Records written here, against what the market makes of them: every schema, scales, doubt, resumption, damage.

use super::*;
use crate::adapter::{FaultKind, Output};
use crate::settings::FeedSettings;
use dbn::encode::EncodeRecord;
use dbn::encode::dbn::Encoder;
use dbn::{
    BidAskPair, FlagSet, HasRType, InstrumentDefMsg, MboMsg, Mbp1Msg, Mbp10Msg, MetadataBuilder, Record, RecordHeader, RecordRef,
    SType, Schema, StatusMsg, SymbolMappingMsg, TradeMsg, UNDEF_PRICE, rtype,
};
use proptest::prelude::*;
use wire::event::{Aggressor, Cause, Channel, EventBody, FeedState, Flags, Level, Quote, Trade, TradingState};

const NOW: u64 = 1_715_126_400_000_000_000;
const LAST: u8 = 0x80;
const SNAPSHOT: u8 = 0x20;
const MAYBE_BAD: u8 = 0x04;

fn header<T: HasRType>(kind: u8, id: u32, time: u64) -> RecordHeader {
    RecordHeader::new::<T>(kind, 1, id, time)
}

/// A price in cents.
fn cents(price: i64) -> i64 {
    price * 10_000_000
}

fn order(action: u8, side: u8, id: u64, price: i64, size: u32, flags: u8) -> MboMsg {
    MboMsg {
        hd: header::<MboMsg>(rtype::MBO, 7, NOW),
        order_id: id,
        price,
        size,
        flags: FlagSet::new(flags),
        action: action.cast_signed(),
        side: side.cast_signed(),
        ts_recv: NOW + 5,
        ..MboMsg::default()
    }
}

fn pair(bid: (i64, u32), ask: (i64, u32)) -> BidAskPair {
    BidAskPair { bid_px: bid.0, bid_sz: bid.1, ask_px: ask.0, ask_sz: ask.1, ..BidAskPair::default() }
}

fn mbp1(action: u8, price: i64, levels: BidAskPair, flags: u8) -> Mbp1Msg {
    Mbp1Msg {
        hd: header::<Mbp1Msg>(rtype::MBP_1, 7, NOW),
        price,
        size: 3,
        action: action.cast_signed(),
        side: b'A'.cast_signed(),
        flags: FlagSet::new(flags),
        ts_recv: NOW + 5,
        levels: [levels],
        ..Mbp1Msg::default()
    }
}

struct Rig {
    market: Market,
    out: Output,
}

impl Rig {
    fn new() -> Self {
        Self { market: market(&FeedSettings::of_venue("databento")).unwrap(), out: Output::default() }
    }

    fn take<T: HasRType<Header = RecordHeader>>(&mut self, record: &T) -> Vec<EventBody> {
        self.out.clear();
        self.market.on_record(RecordRef::from(record), None, &mut self.out);
        self.out.batch.events.iter().map(|event| event.body.clone()).collect()
    }

    /// The one book among the events: its levels, is it whole, its flags.
    fn book(&self) -> (Vec<Level>, Vec<Level>, bool, Flags) {
        let found = self.out.batch.events.iter().find_map(|event| match &event.body {
            EventBody::Book { bids, asks, snapshot } => Some((bids, asks, *snapshot, event.flags)),
            _ => None,
        });
        let (bids, asks, snapshot, flags) = found.unwrap_or_else(|| panic!("no book in {:?}", self.out.batch.events));
        (self.out.batch.levels(bids).to_vec(), self.out.batch.levels(asks).to_vec(), snapshot, flags)
    }

    fn faults(&self) -> Vec<FaultKind> {
        self.out.faults.iter().map(|fault| fault.kind).collect()
    }
}

fn level(price: i64, size: i64) -> Level {
    Level { price, size }
}

fn state(channel: Channel, state: FeedState, cause: Cause) -> EventBody {
    EventBody::State { channel: Some(channel), state, cause }
}

#[test]
fn quotes_and_trades_of_mbp_1() {
    let mut rig = Rig::new();
    let levels = pair((cents(520_000), 5), (cents(520_025), 7));
    let events = rig.take(&mbp1(b'T', cents(520_025), levels.clone(), LAST));
    let quote = Quote { bid_price: Some(520_000), bid_size: Some(5), ask_price: Some(520_025), ask_size: Some(7) };
    let trade = Trade { price: 520_025, size: 3, aggressor: Aggressor::Sell, id: None, aggregated: false };
    assert!(
        matches!(&events[0], EventBody::Instrument(instrument) if instrument.symbol == "7"),
        "an id without a name is its name"
    );
    assert_eq!(
        events[1..],
        [
            state(Channel::Trade, FeedState::Live, Cause::None),
            EventBody::Trade(trade),
            EventBody::Quote(quote),
            state(Channel::Quote, FeedState::Live, Cause::None)
        ]
    );
    let event = rig.out.batch.events.last().unwrap();
    assert_eq!((event.received, event.event_time), ((NOW + 5).cast_signed(), 0), "a state has no time of the venue");
    assert_eq!(rig.take(&mbp1(b'A', cents(520_000), levels, LAST)), [], "the same quote is said once");
    let one_sided = pair((UNDEF_PRICE, 0), (cents(520_025), 7));
    let expected = Quote { bid_price: None, bid_size: None, ..quote };
    assert_eq!(rig.take(&mbp1(b'C', cents(520_000), one_sided, LAST)), [EventBody::Quote(expected)]);
    // Databento's own doubt is passed on, and ends when it ends.
    let bad = rig.take(&mbp1(b'A', cents(520_000), pair((cents(519_000), 1), (cents(520_025), 7)), LAST | MAYBE_BAD));
    assert_eq!(bad[1], state(Channel::Quote, FeedState::Resyncing, Cause::SequenceGap));
    assert!(rig.out.batch.events[0].flags.has(Flags::MAYBE_BAD_BOOK));
    let good = rig.take(&mbp1(b'A', cents(520_000), pair((cents(519_025), 1), (cents(520_025), 7)), LAST));
    assert_eq!(good[1], state(Channel::Quote, FeedState::Live, Cause::None));
}

#[test]
fn ten_levels_tell_what_changed() {
    let mut rig = Rig::new();
    let message = |bids: &[(i64, u32)]| {
        let levels = std::array::from_fn(|at| {
            let (price, size) = bids.get(at).copied().unwrap_or((UNDEF_PRICE, 0));
            pair((price, size), if at == 0 { (cents(10_100), 4) } else { (UNDEF_PRICE, 0) })
        });
        Mbp10Msg {
            hd: header::<Mbp10Msg>(rtype::MBP_10, 7, NOW),
            action: b'A'.cast_signed(),
            flags: FlagSet::new(LAST),
            levels,
            ..Mbp10Msg::default()
        }
    };
    rig.take(&message(&[(cents(10_000), 1), (cents(9_900), 2)]));
    assert_eq!(rig.book(), (vec![level(10_000, 1), level(9_900, 2)], vec![level(10_100, 4)], true, Flags::LAST));
    let events = rig.take(&message(&[(cents(10_050), 9), (cents(10_000), 3)]));
    assert_eq!(rig.book(), (vec![level(9_900, 0), level(10_050, 9), level(10_000, 3)], vec![], false, Flags::LAST));
    assert!(matches!(events[0], EventBody::Quote(Quote { bid_price: Some(10_050), .. })));
    assert_eq!(rig.take(&message(&[(cents(10_050), 9), (cents(10_000), 3)])), []);
    // A finer price: the instrument is announced again, and its book is whole.
    let finer = cents(10_050) + 2_500_000;
    let events = rig.take(&message(&[(finer, 9)]));
    assert!(matches!(&events[0], EventBody::Instrument(instrument) if instrument.price_exponent == -4), "{events:?}");
    assert_eq!(rig.book(), (vec![level(1_005_025, 9)], vec![level(1_010_000, 4)], true, Flags::LAST));
}

#[test]
fn orders_become_levels_at_the_end_of_an_event() {
    let mut rig = Rig::new();
    assert_eq!(rig.take(&order(b'R', b'N', 0, UNDEF_PRICE, 0, SNAPSHOT)).len(), 1, "the instrument");
    assert_eq!(rig.take(&order(b'A', b'B', 1, cents(100), 5, SNAPSHOT)), []);
    assert_eq!(rig.take(&order(b'A', b'A', 2, cents(101), 6, SNAPSHOT)), []);
    let events = rig.take(&order(b'A', b'B', 3, cents(100), 7, SNAPSHOT | LAST));
    assert_eq!(events[0], state(Channel::Quote, FeedState::Live, Cause::None));
    assert_eq!(rig.book(), (vec![level(100, 12)], vec![level(101, 6)], true, Flags::LAST));
    // A trade, the order it hit, and what is left of that; the event ends with the last of them.
    let traded = rig.take(&order(b'T', b'B', 9, cents(101), 2, 0));
    assert!(matches!(traded[1], EventBody::Trade(Trade { price: 101, size: 2, aggressor: Aggressor::Buy, .. })), "{traded:?}");
    assert_eq!(rig.take(&order(b'F', b'A', 2, cents(101), 2, 0)), []);
    let events = rig.take(&order(b'C', b'A', 2, cents(101), 2, LAST));
    assert_eq!(rig.book(), (vec![], vec![level(101, 4)], false, Flags::LAST));
    assert!(matches!(events[1], EventBody::Quote(Quote { ask_size: Some(4), .. })), "{events:?}");
    rig.take(&order(b'M', b'B', 3, cents(99), 1, LAST));
    assert_eq!(rig.book().0, [level(100, 5), level(99, 1)]);
    // What stands behind the best is no quote.
    assert_eq!(rig.take(&order(b'A', b'B', 4, cents(90), 1, LAST)).len(), 1);
    // An order that is not there: in a whole book that is a loss.
    let events = rig.take(&order(b'C', b'B', 77, cents(99), 1, LAST));
    assert_eq!((events, rig.faults()), (vec![], vec![FaultKind::SequenceGap]));
    let events = rig.take(&order(b'A', b'B', 5, cents(90), 1, LAST));
    assert_eq!(events[1], state(Channel::Book, FeedState::Resyncing, Cause::SequenceGap));
    assert!(rig.book().3.has(Flags::MAYBE_BAD_BOOK));
    assert_eq!((rig.market.counts().misfits, rig.market.doubtful_books()), (1, 1));
    let events = rig.take(&order(b'R', b'N', 0, UNDEF_PRICE, 0, LAST));
    assert!(events.contains(&state(Channel::Book, FeedState::Live, Cause::None)), "{events:?}");
    assert_eq!(rig.book(), (vec![], vec![], true, Flags::LAST));
    assert!(events.contains(&EventBody::Quote(Quote::default())));
}

#[test]
fn orders_without_a_beginning_are_in_doubt() {
    let mut rig = Rig::new();
    let events = rig.take(&order(b'A', b'B', 1, cents(100), 5, LAST));
    assert_eq!(events[2], state(Channel::Book, FeedState::Resyncing, Cause::Startup), "{events:?}");
    assert!(rig.book().3.has(Flags::MAYBE_BAD_BOOK) && rig.faults().is_empty());
    assert_eq!(rig.take(&order(b'C', b'B', 2, cents(100), 5, LAST)), [], "an order from before is no fault");
    assert!(rig.faults().is_empty());
    // A level is no order.
    rig.take(&order(b'A', b'B', 0, cents(100), 5, LAST | 0x40));
    assert_eq!((rig.faults(), rig.market.counts().no_orders), (vec![FaultKind::BadMessage], 1));
}

#[test]
fn definitions_and_mappings_name_and_scale() {
    let mut rig = Rig::new();
    let mapping = SymbolMappingMsg::new(7, NOW, SType::RawSymbol, "ESM4", SType::InstrumentId, "ESM4", NOW, NOW).unwrap();
    assert_eq!(rig.take(&mapping), []);
    rig.take(&mbp1(b'A', 0, pair((cents(520_000), 5), (cents(520_025), 7)), LAST));
    let definition = |step: i64| InstrumentDefMsg {
        hd: header::<InstrumentDefMsg>(rtype::INSTRUMENT_DEF, 7, NOW),
        min_price_increment: step,
        instrument_class: b'F'.cast_signed(),
        ..InstrumentDefMsg::default()
    };
    let events = rig.take(&definition(cents(25)));
    let EventBody::Instrument(instrument) = &events[0] else { panic!("{events:?}") };
    assert_eq!((instrument.symbol.as_str(), instrument.price_exponent, instrument.tick), ("ESM4", -2, 25));
    assert_eq!(rig.take(&definition(cents(25))), [], "the same again says nothing");
    let events = rig.take(&definition(1_000_000));
    assert!(matches!(&events[0], EventBody::Instrument(instrument) if (instrument.price_exponent, instrument.tick) == (-3, 1)));
    let quote = rig.take(&mbp1(b'A', 0, pair((cents(520_000), 5), (cents(520_025), 7)), LAST));
    assert!(
        matches!(quote[0], EventBody::Quote(Quote { bid_price: Some(5_200_000), .. })),
        "said again at the new scale: {quote:?}"
    );
    let coarser = rig.take(&definition(cents(100)));
    assert!(
        matches!(&coarser[0], EventBody::Instrument(instrument) if (instrument.price_exponent, instrument.tick) == (-3, 1_000))
    );
    let status = |action| StatusMsg { hd: header::<StatusMsg>(rtype::STATUS, 7, NOW), action, ..StatusMsg::default() };
    assert_eq!(rig.take(&status(8)), [EventBody::Trading(TradingState::Halted)]);
    assert_eq!(rig.take(&status(7)), [EventBody::Trading(TradingState::Open)]);
    assert_eq!(rig.take(&status(14)), []);
}

#[test]
fn another_publisher_is_another_instrument() {
    let mut rig = Rig::new();
    let mut trade = TradeMsg { price: cents(100), size: 1, ..TradeMsg::default() };
    let mut names = Vec::new();
    for publisher in [2, 2, 39] {
        trade.hd = RecordHeader::new::<TradeMsg>(rtype::MBP_0, publisher, 7, NOW);
        let events = rig.take(&trade);
        names.extend(
            events.into_iter().filter_map(|body| if let EventBody::Instrument(one) = body { Some(one.symbol) } else { None }),
        );
    }
    assert_eq!(names, ["7", "7.DBEQ"].map(|name| name.replace("DBEQ", dbn::Publisher::try_from(39).unwrap().venue().as_str())));
}

#[test]
fn symbols_that_are_named_keep_their_say() {
    let settings = FeedSettings { symbols: vec!["!ESM4".to_owned()], ..FeedSettings::of_venue("databento") };
    let mut rig = Rig { market: market(&settings).unwrap(), out: Output::default() };
    for (id, name) in [(7, "ESM4"), (8, "NQM4")] {
        rig.take(&SymbolMappingMsg::new(id, NOW, SType::RawSymbol, name, SType::InstrumentId, name, NOW, NOW).unwrap());
    }
    let mut message = mbp1(b'T', cents(100), pair((cents(100), 5), (cents(101), 7)), LAST);
    assert!(!rig.take(&message).is_empty());
    message.hd.instrument_id = 8;
    assert_eq!(rig.take(&message), []);
    assert_eq!(rig.market.instruments(), 1);
}

#[test]
fn what_comes_again_counts_once() {
    let trade = |id: u32, time: u64, sequence: u32| TradeMsg {
        hd: header::<TradeMsg>(rtype::MBP_0, id, NOW + time),
        sequence,
        price: cents(100),
        size: 1,
        ..TradeMsg::default()
    };
    let mut resume = Resume::default();
    assert_eq!(resume.start(), None);
    let before = [trade(7, 1, 1), trade(8, 2, 2), trade(7, 3, 3), trade(7, 3, 3)];
    assert!(before.iter().all(|record| resume.take(RecordRef::from(record))));
    assert_eq!(resume.start(), Some(NOW + 3 - 1_000_000_000));
    for _ in 0..2 {
        resume.resumed();
        let again: Vec<_> = before.iter().map(|record| resume.take(RecordRef::from(record))).collect();
        assert_eq!(again, [false; 4]);
    }
    // The third of three of one time and sequence, cut off before; and one that another instrument's overtook.
    for record in [trade(7, 3, 3), trade(8, 3, 1), trade(7, 3, 3)] {
        assert!(resume.take(RecordRef::from(&record)));
    }
    resume.forget();
    assert!(resume.start().is_none() && resume.take(RecordRef::from(&before[0])));
}

#[test]
fn the_gateway_is_answered_without_the_key() {
    let request = Request {
        dataset: "GLBX.MDP3".to_owned(),
        schemas: vec!["mbo".to_owned(), "trades".to_owned()],
        stype_in: "raw_symbol".to_owned(),
        symbols: (0..501).map(|number| format!("S{number}")).collect(),
        heartbeat_s: 10,
    };
    let key = "db-abcdefghijklmnop";
    let Ok(Reply::Challenge(challenge)) = greeting("cram=t7kNhwj4xqR0QYjzFKtBEG2ec2pXJ4FK") else { panic!("no challenge") };
    let line = request.authentication(&challenge, key);
    // As Python's hashlib has it.
    let hash = "5a79a4042c863bf7f562767c28b494afb64a20a3d915327062614540e553668f";
    assert!(
        line.starts_with(&format!("auth={hash}-lmnop|dataset=GLBX.MDP3|encoding=dbn|compression=none|ts_out=0|client=Tickwire ")),
        "{line}"
    );
    assert!(line.ends_with("|heartbeat_interval_s=10\n") && !line.contains(key));
    let text = request.subscriptions(None);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(
        lines[0].starts_with("schema=mbo|stype_in=raw_symbol|symbols=S0,S1,") && lines[0].ends_with("|snapshot=1|id=1|is_last=0")
    );
    assert_eq!(lines[1], "schema=mbo|stype_in=raw_symbol|symbols=S500|snapshot=1|id=1|is_last=1");
    assert_eq!(lines[3], "schema=trades|stype_in=raw_symbol|symbols=S500|snapshot=0|id=2|is_last=1");
    assert_eq!(lines[4], "start_session");
    let resumed = request.subscriptions(Some(17));
    assert!(resumed.lines().nth(1).unwrap().ends_with("|snapshot=0|start=17|id=1|is_last=1"), "{resumed}");
    assert_eq!(greeting("lsg_version=0.7.0"), Ok(Reply::Version("0.7.0".to_owned())));
    assert_eq!(greeting("success=1|session_id=5"), Ok(Reply::Accepted { session: "5".to_owned() }));
    assert_eq!(greeting("success=0|error=User exceeded limit"), Err(Refusal::Refused("User exceeded limit".to_owned())));
    assert!(matches!(greeting("HTTP/1.1 400"), Err(Refusal::Unexpected(_))));
}

/// A stream with some of every record.
fn stream_bytes() -> Vec<u8> {
    let metadata = MetadataBuilder::new()
        .dataset("GLBX.MDP3".to_owned())
        .schema(Some(Schema::Mbo))
        .start(NOW)
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .build();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, &metadata).unwrap();
    encoder
        .encode_record(&SymbolMappingMsg::new(7, NOW, SType::RawSymbol, "A", SType::InstrumentId, "A", NOW, NOW).unwrap())
        .unwrap();
    encoder
        .encode_record(&InstrumentDefMsg { hd: header::<InstrumentDefMsg>(rtype::INSTRUMENT_DEF, 7, NOW), ..Default::default() })
        .unwrap();
    for number in 0..20u8 {
        encoder
            .encode_record(&order(
                b"RACMTFAA"[usize::from(number % 8)],
                b"BAN"[usize::from(number % 3)],
                u64::from(number / 3),
                cents(i64::from(number)),
                3,
                number.wrapping_mul(37),
            ))
            .unwrap();
        encoder.encode_record(&mbp1(b'T', cents(100), pair((cents(99), 1), (cents(100), u32::from(number))), LAST)).unwrap();
        encoder.encode_record(&Mbp10Msg { hd: header::<Mbp10Msg>(rtype::MBP_10, 7, NOW), ..Mbp10Msg::default() }).unwrap();
        encoder.encode_record(&StatusMsg { hd: header::<StatusMsg>(rtype::STATUS, 7, NOW), ..StatusMsg::default() }).unwrap();
    }
    bytes
}

/// Reads as a file or a connection would; what is damaged ends it.
fn read(bytes: &[u8]) -> (Market, Option<String>) {
    let mut rig = Rig::new();
    let mut stream = Stream::default();
    let mut rest = bytes;
    loop {
        match stream.advance() {
            Ok(Found::More) => {
                let space = stream.space();
                let length = space.len().min(rest.len()).min(997);
                if length == 0 {
                    return (rig.market, None);
                }
                space[..length].copy_from_slice(&rest[..length]);
                stream.fill(length);
                rest = &rest[length..];
            }
            Ok(Found::Metadata(metadata)) => drop(rig.market.on_metadata(&metadata)),
            Ok(Found::Record) => {
                let Some(record) = stream.record() else { continue };
                assert!(record.record_size() <= dbn::MAX_RECORD_LEN.max(1_020));
                rig.out.clear();
                rig.market.on_record(record, None, &mut rig.out);
            }
            Err(what) => return (rig.market, Some(what)),
        }
    }
}

#[test]
fn a_stream_is_read_to_its_end() {
    let (market, error) = read(&stream_bytes());
    assert_eq!(error, None);
    let records = &market.counts().records;
    assert_eq!((records[usize::from(rtype::MBO)], records[usize::from(rtype::STATUS)], market.counts().short), (20, 20, 0));
    let mut endless = b"DBN\x03\xff\xff\xff\xff".to_vec();
    endless.resize(100, 0);
    assert!(read(&endless).1.unwrap().contains("metadata of 4294967295 bytes"));
}

proptest! {
    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        read(&bytes);
        let mut whole = stream_bytes();
        whole.extend(bytes);
        read(&whole);
    }

    #[test]
    fn damaged_streams_are_survived(changes in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..40)) {
        let mut bytes = stream_bytes();
        for (at, to) in changes {
            let at = at as usize % bytes.len();
            bytes[at] = to;
        }
        read(&bytes);
    }
}
