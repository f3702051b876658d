//! In: connections made of known records. Out: the files of `wire/golden/`: each frame in both encodings, and the view they leave.
//! Bounded: by hand. Whoever adds a record type adds it here.

use crate::{blessing, root};
use std::fmt::Write as _;
use wire::codec::frame::{base_second, put_header, put_trailer};
use wire::codec::{Announced, Context, Decoder, put};
use wire::event::{Aggressor, Cause, FeedState, Flags, Level, Quote, Status, TradingState};
use wire::instrument::{Instrument, InstrumentClass};
use wire::kind::Kind;
use wire::record::{Bar, Clock, DayStats, Meta, QuoteChange, Record, RecordBody, StatsChange, TradeRecord, TradeSummary};
use wire::request::Encoding;
use wire::view::bars::bars_hash;
use wire::view::{View, quote_hash, stats_hash, trade_hash};

/// 2024-08-09 00:00:00 UTC.
const SECOND: i64 = 1_723_161_600;
const SECOND_NS: i64 = SECOND * 1_000_000_000;

pub struct Frame {
    pub name: &'static str,
    what: &'static str,
    pub binary: Vec<u8>,
    pub json: String,
}

/// The frames of one connection about one topic, in order.
pub struct Connection {
    pub file: &'static str,
    what: &'static str,
    meta: Meta,
    pub frames: Vec<Frame>,
}

/// Flags, sequence, time as ns after `SECOND`, body.
type Part<'a> = (Flags, u64, i64, RecordBody<'a>);

const PLAIN: Flags = Flags(0);

fn meta(topic: u32, kind: Kind, base: i64) -> Meta {
    let argument = match kind {
        Kind::Book => "/10",
        Kind::Bar => "/1m",
        _ => "",
    };
    Meta {
        topic,
        name: format!("{kind}/binance:BTC-USDT{argument}"),
        kind,
        epoch: 1_723_161_253_937,
        price_exponent: -2,
        size_exponent: -5,
        tick: 1,
        lot: 1,
        base,
        clock: if kind == Kind::Quote { Clock::Received } else { Clock::Event },
        time_exponent: if kind == Kind::Quote { -6 } else { -3 },
    }
}

impl Connection {
    fn new(file: &'static str, what: &'static str, meta: Meta) -> Self {
        Self { file, what, meta, frames: Vec::new() }
    }

    /// Adds a frame sent 250 ms into `SECOND`, or that much later for each one before it.
    fn frame(&mut self, name: &'static str, what: &'static str, parts: &[Part<'_>]) {
        let number = self.frames.len() as u64 + 1;
        let sent = SECOND_NS + number as i64 * 250_000_000;
        let [binary, json] = [Encoding::Binary, Encoding::Json].map(|encoding| {
            let mut out = Vec::new();
            put_header(&mut out, encoding, number, sent);
            for (flags, sequence, after, body) in parts {
                let still = matches!(body, RecordBody::Meta(_) | RecordBody::State(_) | RecordBody::Check { .. });
                let time = if still { 0 } else { SECOND_NS + after };
                let record = Record { topic: self.meta.topic, flags: *flags, sequence: *sequence, time, body: *body };
                put(&mut out, encoding, &Context { base_second: base_second(sent), meta: &self.meta }, &record);
            }
            put_trailer(&mut out, encoding);
            out
        });
        self.frames.push(Frame { name, what, binary, json: String::from_utf8(json).unwrap() });
    }

    /// Decodes all frames of one encoding; gives the records as text and the view they leave.
    fn replay(&self, encoding: Encoding) -> (Vec<String>, View) {
        let mut decoder = Decoder::new(encoding);
        let mut view = View::new(&self.meta);
        let mut records = Vec::new();
        for frame in &self.frames {
            let bytes = if encoding == Encoding::Binary { &frame.binary[..] } else { frame.json.as_bytes() };
            let each = &mut |_: &_, _: &Announced, record: &Record<'_>| {
                // The two spell an unknown type's number differently; nothing else may differ.
                let unknown = matches!(record.body, RecordBody::Unknown { .. });
                records.push(if unknown { format!("unknown, sequence {}", record.sequence) } else { format!("{record:?}") });
                view.apply(record).unwrap_or_else(|error| panic!("{} {}: {error}", self.file, frame.name));
            };
            decoder.decode(bytes, each).unwrap_or_else(|error| panic!("{} {}: {error}", self.file, frame.name));
        }
        (records, view)
    }

    fn text(&self) -> String {
        let (_, view) = self.replay(Encoding::Json);
        let mut out = String::new();
        writeln!(out, "{{\n  \"what\": {:?},\n  \"frames\": [", self.what).unwrap();
        for (at, frame) in self.frames.iter().enumerate() {
            let comma = if at + 1 < self.frames.len() { "," } else { "" };
            writeln!(out, "    {{\n      \"name\": {:?},\n      \"what\": {:?},", frame.name, frame.what).unwrap();
            writeln!(out, "      \"binary\": \"{}\",\n      \"json\": {}\n    }}{comma}", hex(&frame.binary), frame.json)
                .unwrap();
        }
        let (sequence, hash) = (view.sequence.unwrap(), view.hash());
        writeln!(out, "  ],\n  \"view\": {{\"topic\": {:?}, \"sequence\": {sequence}, \"hash\": {hash}}}\n}}", self.meta.name)
            .unwrap();
        out
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn live(since: i64) -> RecordBody<'static> {
    let (feed, trading) = (FeedState::Live, TradingState::Open);
    RecordBody::State(Status { feed, trading, cause: Cause::None, since: SECOND_NS + since })
}

fn quote() -> Connection {
    let meta = meta(7, Kind::Quote, 6_183_763);
    let mut all =
        Connection::new("quote.json", "A quote topic: snapshot, changed fields, missing values, a feed that stops.", meta);
    let first =
        Quote { bid_price: Some(6_183_763), bid_size: Some(378_826), ask_price: Some(6_183_764), ask_size: Some(154_698) };
    let meta = all.meta.clone();
    all.frame(
        "snapshot",
        "Meta, state and the whole quote at sequence 5021.",
        &[
            (PLAIN, 0, 0, RecordBody::Meta(&meta)),
            (PLAIN, 0, 0, live(-3_000_000_000)),
            (Flags::SNAPSHOT, 5021, 187_896_000, RecordBody::Quote(QuoteChange::full(&first))),
        ],
    );
    let change = QuoteChange { ask_size: Some(Some(160_520)), ..QuoteChange::default() };
    all.frame("delta", "One update: the ask's size.", &[(PLAIN, 1, 416_723_000, RecordBody::Quote(change))]);
    let moved =
        QuoteChange { bid_price: Some(Some(6_183_700)), bid_size: Some(Some(9)), ask_price: Some(None), ask_size: Some(None) };
    all.frame(
        "merged",
        "Seventeen updates in one record; there is no ask any more. Its time lies in the second before the frame's.",
        &[(Flags::CONFLATED, 17, -1_000, RecordBody::Quote(moved))],
    );
    let now = Quote { bid_price: Some(6_183_700), bid_size: Some(9), ask_price: None, ask_size: None };
    let stale = Status { feed: FeedState::Stale, trading: TradingState::Open, cause: Cause::Silence, since: SECOND_NS };
    all.frame(
        "stale",
        "The feed went silent; the check proves the view.",
        &[(PLAIN, 0, 0, RecordBody::State(stale)), (PLAIN, 0, 0, RecordBody::Check { hash: quote_hash(&now) })],
    );
    all
}

fn trade_of(price: i64, size: i64, aggressor: Aggressor, id: i64, previous_id: Option<i64>) -> TradeRecord {
    TradeRecord { price, size, aggressor, id: Some(id), previous_id, aggregated: false }
}

fn trade() -> Connection {
    let meta = meta(8, Kind::Trade, 6_183_763);
    let mut all = Connection::new("trade.json", "A trade topic in mode every: ids as steps, a gap, a trade without id.", meta);
    let meta = all.meta.clone();
    let first = trade_of(6_183_763, 2_000, Aggressor::Sell, 3_735_683_259, None);
    all.frame(
        "snapshot",
        "The newest trade and its place, 900; its id is absolute.",
        &[(PLAIN, 0, 0, RecordBody::Meta(&meta)), (Flags::SNAPSHOT, 900, 342_000_000, RecordBody::Trade(first))],
    );
    let second = trade_of(6_183_764, 57, Aggressor::Buy, 3_735_683_260, first.id);
    let third = TradeRecord { aggregated: true, ..trade_of(6_183_764, 12, Aggressor::Buy, 3_735_683_265, second.id) };
    let body = RecordBody::Trade;
    all.frame(
        "two",
        "Two trades; ids are steps of 1 and 5. The venue merged the second one itself.",
        &[(PLAIN, 1, 380_000_000, body(second)), (PLAIN, 1, 381_000_000, body(third))],
    );
    let gap = RecordBody::Gap { cause: Cause::Overrun, missing: Some(40) };
    let unnamed = TradeRecord { id: None, aggressor: Aggressor::Unknown, ..trade_of(6_183_000, 1, Aggressor::Buy, 0, None) };
    all.frame(
        "gap",
        "Forty trades are lost to this subscriber; then one without id or aggressor; then a check.",
        &[
            (PLAIN, 40, 700_000_000, gap),
            (PLAIN, 1, 701_000_000, body(unnamed)),
            (PLAIN, 0, 0, RecordBody::Check { hash: trade_hash(943) }),
        ],
    );
    all
}

fn summary() -> Connection {
    let meta = meta(8, Kind::Trade, 6_183_763);
    let mut all = Connection::new("summary.json", "A trade topic in mode summary, started without a snapshot of the past.", meta);
    let meta = all.meta.clone();
    all.frame(
        "tape",
        "Only the place: sequence 900.",
        &[(PLAIN, 0, 0, RecordBody::Meta(&meta)), (Flags::SNAPSHOT, 900, 342_000_000, RecordBody::Tape)],
    );
    let window = TradeSummary {
        last: 6_183_764,
        high: 6_183_900,
        low: 6_183_700,
        count: 250,
        volume: 1_234_567,
        notional: 7_634_345_671_234,
    };
    all.frame(
        "window",
        "250 trades in one record: nothing of volume, notional, high or low is lost.",
        &[(Flags::CONFLATED, 250, 490_000_000, RecordBody::Summary(window))],
    );
    all
}

fn book() -> Connection {
    let meta = meta(9, Kind::Book, 6_183_763);
    let mut all = Connection::new("book.json", "A book topic: snapshot, changed and deleted levels, a check.", meta);
    let level = |price, size| Level { price, size };
    let meta = all.meta.clone();
    let bids = [level(6_183_763, 378_826), level(6_183_737, 32_333), level(6_173_763, 1)];
    let asks = [level(6_183_764, 154_698), level(6_183_804, 32_332)];
    all.frame(
        "snapshot",
        "The whole view at sequence 77, best levels first.",
        &[
            (PLAIN, 0, 0, RecordBody::Meta(&meta)),
            (Flags::SNAPSHOT, 77, 208_000_000, RecordBody::Book { bids: &bids, asks: &asks }),
        ],
    );
    let bids = [level(6_183_737, 0), level(6_183_000, 5)];
    all.frame(
        "delta",
        "One bid is deleted (size 0), one is new; asks did not change.",
        &[(PLAIN, 1, 308_000_000, RecordBody::Book { bids: &bids, asks: &[] })],
    );
    let mut view = wire::view::book::Book::new();
    view.replace(
        &[level(6_183_763, 378_826), level(6_183_000, 5), level(6_173_763, 1)],
        &[level(6_183_764, 7), level(6_183_804, 32_332)],
    );
    all.frame(
        "checked",
        "An ask's size changes three times in one record; the check follows.",
        &[
            (Flags::CONFLATED, 3, 408_000_000, RecordBody::Book { bids: &[], asks: &[level(6_183_764, 7)] }),
            (PLAIN, 0, 0, RecordBody::Check { hash: view.hash(usize::MAX) }),
        ],
    );
    all
}

fn status() -> Connection {
    let meta = meta(10, Kind::Status, 0);
    let mut all =
        Connection::new("status.json", "A status topic: its value is what the state record says of other topics.", meta);
    let meta = all.meta.clone();
    let at = |feed, trading, cause, since| RecordBody::Status(Status { feed, trading, cause, since });
    let open = at(FeedState::Live, TradingState::Open, Cause::None, SECOND_NS - 1);
    let halted = at(FeedState::Resyncing, TradingState::Halted, Cause::SequenceGap, 0);
    all.frame("snapshot", "Live and open.", &[(PLAIN, 0, 0, RecordBody::Meta(&meta)), (Flags::SNAPSHOT, 3, 0, open)]);
    all.frame("halted", "A hole upstream, trading halted, nobody knows since when.", &[(PLAIN, 1, 0, halted)]);
    all
}

fn instrument() -> Connection {
    let meta = meta(11, Kind::Instrument, 0);
    let mut all = Connection::new("instrument.json", "An instrument topic.", meta);
    let meta = all.meta.clone();
    let instrument = Instrument {
        symbol: "BTC-USDT".into(),
        native: "BTCUSDT".into(),
        class: InstrumentClass::Spot,
        price_exponent: -2,
        size_exponent: -5,
        tick: 1,
        lot: 1,
        quote_has_event_time: false,
        trade_has_event_time: true,
        book_has_event_time: true,
        event_time_exponent: -3,
    };
    all.frame(
        "snapshot",
        "What the symbol is.",
        &[(PLAIN, 0, 0, RecordBody::Meta(&meta)), (Flags::SNAPSHOT, 1, 0, RecordBody::Instrument(&instrument))],
    );
    all
}

fn extremes() -> Connection {
    let meta = Meta { topic: u32::MAX, epoch: (1 << 53) - 1, time_exponent: -9, ..meta(12, Kind::Quote, i64::MIN) };
    let mut all = Connection::new("extremes.json", "The widest numbers: differences of 65 bits, times in whole ns.", meta);
    let meta = all.meta.clone();
    let full = QuoteChange {
        bid_price: Some(Some(i64::MAX)),
        bid_size: Some(Some(i64::MAX)),
        ask_price: Some(Some(i64::MIN)),
        ask_size: Some(Some(0)),
    };
    all.frame(
        "snapshot",
        "Largest and smallest mantissas against the smallest base. A size of 0 is not a missing size.",
        &[(PLAIN, 0, 0, RecordBody::Meta(&meta)), (Flags::SNAPSHOT, 1 << 52, 123_456_789, RecordBody::Quote(full))],
    );
    let flags = Flags(!Flags::SNAPSHOT.0);
    all.frame("flags", "All other flags at once, nothing changed.", &[(flags, 1, 0, RecordBody::Quote(QuoteChange::default()))]);
    all
}

fn evolution() -> Connection {
    let meta = meta(8, Kind::Trade, 6_183_763);
    let mut all = Connection::new("evolution.json", "What a later server may add and this decoder must skip.", meta);
    let meta = all.meta.clone();
    all.frame("tape", "The place.", &[(PLAIN, 0, 0, RecordBody::Meta(&meta)), (Flags::SNAPSHOT, 1, 0, RecordBody::Tape)]);
    all.frame("unknown", "A record of a later type, which moves the sequence by 2; then a check that counts it.", &[]);
    let frame = all.frames.last_mut().unwrap();
    let hash = trade_hash(3);
    // Topic 8, extended, sequence and time follow; sequence 2, time 0; type 200, 3 bytes.
    frame.binary.extend([8, 7 << 5 | 3, 2, 0, 0xc8, 0x01, 3, 0xaa, 0xbb, 0xcc, 8, 5 << 5]);
    frame.binary.extend(hash.to_le_bytes());
    let head = frame.json.strip_suffix("]}").unwrap();
    let topic = r#"{"topic":"trade/binance:BTC-USDT","id":8,"kind""#;
    frame.json = format!(
        r#"{head}{topic}:"greeks","adv":2,"time":"{SECOND_NS}","delta":"0.5"}},{topic}:"check","hash":{hash},"new_key":[1]}}]}}"#
    );
    all
}

/// `count` trades of 0.1 coins: one at each of the other prices, the rest at the open.
fn one_bar(minutes: i64, prices: [i64; 4], count: u64) -> Bar {
    let [open, high, low, close] = prices;
    let notional = (i128::from(open) * i128::from(count - 3) + i128::from(high + low + close)) * 10_000;
    let (start, volume) = (SECOND_NS + minutes * 60_000_000_000, u128::from(count) * 10_000);
    Bar { start, closed: false, incomplete: false, open, high, low, close, count, volume, notional }
}

fn bar() -> Connection {
    let meta = meta(12, Kind::Bar, 6_183_763);
    let mut all = Connection::new("bar.json", "A bar topic: snapshot, a bar that closes, a late trade, a check.", meta);
    let meta = all.meta.clone();
    let before = Bar { closed: true, incomplete: true, ..one_bar(-3, [6_180_000, 6_180_500, 6_179_000, 6_180_100], 4) };
    let last = one_bar(-1, [6_183_000, 6_183_900, 6_183_000, 6_183_763], 120);
    all.frame(
        "snapshot",
        "Two bars at sequence 124; nothing was traded in the minute between them. Trades of the first one were missed.",
        &[(PLAIN, 0, 0, RecordBody::Meta(&meta)), (Flags::SNAPSHOT, 124, -342_000_000, RecordBody::Bars(&[before, last]))],
    );
    let (closed, now) = (Bar { closed: true, ..last }, one_bar(0, [6_183_764, 6_183_764, 6_183_764, 6_183_764], 3));
    all.frame(
        "closed",
        "The first trade of a minute closes the bar before; two more trades are merged into the record.",
        &[(Flags::CONFLATED, 3, 342_000_000, RecordBody::Bars(&[closed, now]))],
    );
    let corrected = Bar {
        low: 6_182_900,
        count: closed.count + 1,
        volume: closed.volume + 5,
        notional: closed.notional + 6_182_900 * 5,
        ..closed
    };
    let hash = bars_hash([before, corrected, now].iter());
    all.frame(
        "corrected",
        "A late trade lowers the low of a closed bar; the check follows.",
        &[(PLAIN, 1, 342_000_000, RecordBody::Bars(&[corrected])), (PLAIN, 0, 0, RecordBody::Check { hash })],
    );
    all
}

fn stats() -> Connection {
    let meta = meta(13, Kind::Stats, 6_183_763);
    let mut all = Connection::new("stats.json", "A stats topic: snapshot, changed fields, a window without trades.", meta);
    let meta = all.meta.clone();
    let first = DayStats {
        last: Some(6_183_764),
        open: Some(5_511_200),
        high: Some(6_274_523),
        low: Some(5_472_800),
        volume: 5_023_456_789,
        notional: 29_612_345_678_901_234,
        count: 2_534_567,
        gaps: 0,
        from: SECOND_NS - 90_000_000_000_000,
    };
    all.frame(
        "snapshot",
        "Meta and all fields at sequence 2534700.",
        &[
            (PLAIN, 0, 0, RecordBody::Meta(&meta)),
            (Flags::SNAPSHOT, 2_534_700, 187_000_000, RecordBody::Stats(&StatsChange::full(&first))),
        ],
    );
    let change = StatsChange {
        last: Some(Some(6_183_763)),
        volume: Some(first.volume + 57),
        notional: Some(first.notional + 57 * 6_183_763),
        count: Some(first.count + 1),
        ..StatsChange::default()
    };
    all.frame("delta", "One trade.", &[(PLAIN, 1, 416_000_000, RecordBody::Stats(&change))]);
    let empty = StatsChange {
        open: Some(None),
        high: Some(None),
        low: Some(None),
        volume: Some(0),
        notional: Some(0),
        count: Some(0),
        gaps: Some(1),
        ..StatsChange::default()
    };
    let now = DayStats { last: Some(6_183_763), gaps: 1, from: first.from, ..DayStats::default() };
    all.frame(
        "empty",
        "A day later, after a gap: no trade is left in the window, the last price stays; the check follows.",
        &[
            (Flags::CONFLATED, 1441, 416_000_000, RecordBody::Stats(&empty)),
            (PLAIN, 0, 0, RecordBody::Check { hash: stats_hash(&now) }),
        ],
    );
    all
}

pub fn all() -> Vec<Connection> {
    vec![quote(), trade(), summary(), book(), status(), instrument(), bar(), stats(), extremes(), evolution()]
}

#[test]
fn both_encodings_say_the_same() {
    for connection in all() {
        let (binary, json) = (connection.replay(Encoding::Binary), connection.replay(Encoding::Json));
        assert_eq!(binary.0, json.0, "{}", connection.file);
        assert_eq!(binary.1.hash(), json.1.hash());
    }
}

#[test]
fn the_files_hold_these_vectors() {
    let folder = root().join("wire/golden");
    for connection in all() {
        let path = folder.join(connection.file);
        let text = connection.text();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        if blessing() {
            std::fs::write(&path, text).unwrap();
        } else {
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(stored, text, "{}: set TICKWIRE_BLESS=1 to write it anew, if the wire may change", path.display());
        }
    }
}
