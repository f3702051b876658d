//! The adapter as a script: what the venue does, and what must come of it. No clock, no sockets.

use crate::adapter::{Action, Adapter, FaultKind, Fetch, FetchError, Line, Now, Output};
use crate::registry;
use crate::settings::FeedSettings;
use proptest::prelude::*;
use std::collections::BTreeMap;
use wire::decimal;
use wire::event::{Cause, Event, EventBody};

#[path = "adapter_line_tests.rs"]
mod lines;

const INFO: &str = r#"{"symbols":[
    {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
        {"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00100000"}]},
    {"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","quoteAsset":"USDT","filters":[
        {"filterType":"PRICE_FILTER","tickSize":"0.10"},{"filterType":"LOT_SIZE","stepSize":"1"}]}]}"#;

fn settings(symbols: &[&str]) -> FeedSettings {
    let list = symbols.iter().map(|symbol| format!("{symbol:?}")).collect::<Vec<_>>().join(",");
    serde_json::from_str(&format!(r#"{{"venue":"binance","symbols":[{list}]}}"#)).unwrap()
}

/// An adapter, its clock, and all it has said so far.
struct Script {
    adapter: Box<dyn Adapter>,
    now: Now,
    events: Vec<String>,
    actions: Vec<Action>,
    faults: Vec<FaultKind>,
    exponents: BTreeMap<u32, (i8, i8)>,
}

impl Script {
    fn new(settings: &FeedSettings) -> Self {
        let mut script = Self {
            adapter: registry::adapter("binance", settings).unwrap(),
            now: Now { wall: 1_700_000_000_000_000_000, mono: 0 },
            events: Vec::new(),
            actions: Vec::new(),
            faults: Vec::new(),
            exponents: BTreeMap::new(),
        };
        script.run(|adapter, now, out| adapter.start(now, out));
        script
    }

    /// Instruments known, the line open and subscribed, the book spliced at id 100.
    fn live() -> Self {
        let mut script = Self::new(&settings(&["BTC-USDT"]));
        script.answer("exchangeInfo", INFO);
        script.open(0);
        script.ack(0);
        script.answer("depth", r#"{"lastUpdateId":100,"bids":[["10.00","1"]],"asks":[["11.00","2"]]}"#);
        script.message(0, QUOTE);
        script.message(0, &trade(500));
        script.forget();
        script
    }

    fn run(&mut self, step: impl FnOnce(&mut dyn Adapter, Now, &mut Output)) {
        let mut out = Output::default();
        step(&mut *self.adapter, self.now, &mut out);
        for event in &out.batch.events {
            let line = self.say(event, &out);
            self.events.push(line);
        }
        self.actions.extend(out.actions);
        self.faults.extend(out.faults.iter().map(|fault| fault.kind));
    }

    fn say(&mut self, event: &Event, out: &Output) -> String {
        if let EventBody::Instrument(instrument) = &event.body {
            self.exponents.insert(event.instrument, (instrument.price_exponent, instrument.size_exponent));
            return format!("{} is {} {}e{}", event.instrument, instrument.symbol, instrument.tick, instrument.price_exponent);
        }
        match &event.body {
            EventBody::Carrier { link } => return format!("{} on link {link}", event.instrument),
            EventBody::Link { link, state, cause } => return format!("link {link} {state} {cause}"),
            _ => {}
        }
        let (price, size) = self.exponents[&event.instrument];
        let level = |p: i64, s: i64| format!("{}x{}", decimal::plain(p.into(), price), decimal::plain(s.into(), size));
        let side = |p: Option<i64>, s: Option<i64>| p.zip(s).map_or("-".to_owned(), |(p, s)| level(p, s));
        match &event.body {
            EventBody::Quote(q) => format!("quote {} {}", side(q.bid_price, q.bid_size), side(q.ask_price, q.ask_size)),
            EventBody::Trade(t) => format!("trade {} {} {}", t.id.unwrap(), level(t.price, t.size), t.aggressor),
            EventBody::Book { bids, asks, snapshot } => {
                let side = |range| out.batch.levels(range).iter().map(|l| level(l.price, l.size)).collect::<Vec<_>>().join(" ");
                format!("{} [{}] [{}]", if *snapshot { "snapshot" } else { "diff" }, side(bids), side(asks))
            }
            EventBody::State { channel, state, cause } => format!("{:?} {state} {cause}", channel.unwrap()).to_lowercase(),
            EventBody::Gap { channel, missing, cause } => format!("gap {channel:?} {missing:?} {cause}"),
            EventBody::Trading(state) => format!("trading {state}"),
            EventBody::Instrument(_) | EventBody::Carrier { .. } | EventBody::Link { .. } => unreachable!("handled above"),
        }
    }

    fn open(&mut self, line: u32) {
        self.run(|adapter, now, out| adapter.on_open(now, Line(line), out));
    }

    fn close(&mut self, line: u32, cause: Cause) {
        self.run(|adapter, now, out| adapter.on_close(now, Line(line), cause, out));
    }

    fn message(&mut self, line: u32, text: &str) {
        self.run(|adapter, now, out| adapter.on_message(now, Line(line), &mut text.as_bytes().to_vec(), out));
    }

    /// Time passes in steps of 100 ms.
    fn pass(&mut self, ms: i64) {
        for _ in 0..(ms + 99) / 100 {
            self.now.mono += 100_000_000;
            self.now.wall += 100_000_000;
            self.run(|adapter, now, out| adapter.on_tick(now, out));
        }
    }

    /// Acknowledges all SUBSCRIBE messages sent on `line` so far.
    fn ack(&mut self, line: u32) {
        let sent = self.sent(line);
        self.actions.retain(|action| !matches!(action, Action::Send { line: l, .. } if l.0 == line));
        for id in sent {
            self.message(line, &format!(r#"{{"result":null,"id":{id}}}"#));
        }
    }

    fn sent(&self, line: u32) -> Vec<u64> {
        let id = |text: &str| text.rsplit_once(":").unwrap().1.trim_end_matches('}').parse().unwrap();
        let sent = self.actions.iter().filter_map(|action| match action {
            Action::Send { line: l, text } if l.0 == line => Some(id(text)),
            _ => None,
        });
        sent.collect()
    }

    /// Takes the oldest request whose address holds `part`.
    fn asked(&mut self, part: &str) -> Option<Fetch> {
        let at = self.actions.iter().position(|action| matches!(action, Action::Fetch { url, .. } if url.contains(part)))?;
        match self.actions.remove(at) {
            Action::Fetch { fetch, .. } => Some(fetch),
            _ => None,
        }
    }

    fn answer(&mut self, part: &str, json: &str) {
        let fetch = self.asked(part).expect("it was asked for");
        self.run(|adapter, now, out| adapter.on_response(now, fetch, Ok(json.as_bytes().to_vec()), out));
    }

    fn fail(&mut self, part: &str, error: FetchError) {
        let fetch = self.asked(part).expect("it was asked for");
        self.run(|adapter, now, out| adapter.on_response(now, fetch, Err(error), out));
    }

    fn forget(&mut self) {
        self.events.clear();
        self.actions.clear();
        self.faults.clear();
    }

    #[track_caller]
    fn says(&mut self, events: &[&str]) {
        assert_eq!(self.events, events);
        self.events.clear();
    }

    #[track_caller]
    fn faulted(&mut self, kinds: &[FaultKind]) {
        assert_eq!(self.faults, kinds);
        self.faults.clear();
    }

    fn opened(&self) -> Vec<u32> {
        let lines = self.actions.iter().filter_map(|action| match action {
            Action::Open { line, .. } => Some(line.0),
            _ => None,
        });
        lines.collect()
    }
}

const QUOTE: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":100,"s":"BTCUSDT","b":"10.00","B":"1","a":"11.00","A":"2"}}"#;

fn quote(id: u64, bid: &str) -> String {
    format!(r#"{{"stream":"x","data":{{"u":{id},"s":"BTCUSDT","b":"{bid}","B":"1","a":"11.00","A":"2"}}}}"#)
}

fn trade(id: u64) -> String {
    trade_at(id, "10.50")
}

fn trade_at(id: u64, price: &str) -> String {
    let data =
        format!(r#"{{"e":"trade","E":1,"s":"BTCUSDT","t":{id},"p":"{price}","q":"0.5","T":1700000000000,"m":true,"M":true}}"#);
    format!(r#"{{"stream":"btcusdt@trade","data":{data}}}"#)
}

fn diff(first: u64, last: u64, bid: (&str, &str)) -> String {
    let data =
        format!(r#"{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{first},"u":{last},"b":[["{}","{}"]],"a":[]}}"#, bid.0, bid.1);
    format!(r#"{{"stream":"btcusdt@depth@100ms","data":{data}}}"#)
}

#[test]
fn starts_from_nothing_to_live() {
    let mut script = Script::new(&settings(&["btc-usdt", "!BTCUSDT", "NO-SUCH"]));
    assert!(!script.adapter.instruments_known());
    script.answer("/api/v3/exchangeInfo", INFO);
    assert!(script.adapter.instruments_known());
    script.says(&[
        "0 on link 0",
        "0 is BTC-USDT 1e-2",
        "trading open",
        "quote starting startup",
        "trade starting startup",
        "book starting startup",
    ]);
    script.faulted(&[FaultKind::UnknownInstrument]);
    assert_eq!(script.opened(), [0]);
    script.open(0);
    let sent = script.actions.iter().find_map(|action| match action {
        Action::Send { text, .. } => Some(text.clone()),
        _ => None,
    });
    assert_eq!(
        sent.unwrap(),
        r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","btcusdt@trade","btcusdt@depth@100ms"],"id":1}"#
    );
    script.ack(0);
    script.message(0, &diff(90, 99, ("9.00", "1")));
    script.message(0, &diff(100, 103, ("9.50", "1")));
    script.message(0, &diff(104, 105, ("9.60", "1")));
    script.says(&["trade live none"]);
    script.answer(
        "/api/v3/depth?symbol=BTCUSDT&limit=5000",
        r#"{"lastUpdateId":101,"bids":[["10.00","1"]],"asks":[["11.00","2"]]}"#,
    );
    script.says(&[
        "snapshot [10x1] [11x2]",
        "quote live none",
        "quote 10x1 11x2",
        "diff [9.5x1] []",
        "diff [9.6x1] []",
        "book live none",
    ]);
    script.message(0, &diff(106, 106, ("9.60", "0")));
    script.says(&["diff [9.6x0] []"]);
    script.message(0, &quote(101, "9.00"));
    script.says(&[]);
    script.message(0, &quote(106, "10.01"));
    script.message(0, &trade(7));
    script.says(&["quote 10.01x1 11x2", "trade 7 10.5x0.5 sell"]);
    script.faulted(&[]);
}

#[test]
fn nothing_steady_asks_for_anything() {
    let mut script = Script::live();
    for id in 101..200 {
        script.message(0, &diff(id, id, ("9.00", "1")));
        script.message(0, &quote(id, "10.02"));
        script.message(0, &trade(400 + id));
        script.pass(100);
    }
    assert_eq!(script.actions, []);
    script.faulted(&[]);
    assert_eq!(script.events.len(), 3 * 99);
}

#[test]
fn a_hole_in_the_book_is_told_and_mended() {
    let mut script = Script::live();
    script.message(0, &diff(101, 102, ("9.00", "1")));
    script.message(0, &diff(105, 106, ("9.10", "1")));
    script.says(&["diff [9x1] []", "book resyncing sequence_gap"]);
    script.faulted(&[FaultKind::SequenceGap]);
    script.message(0, &diff(107, 107, ("9.20", "1")));
    script.pass(1_000);
    script.says(&[]);
    script.answer("depth", r#"{"lastUpdateId":103,"bids":[],"asks":[]}"#);
    script.faulted(&[FaultKind::SnapshotFailed]);
    script.pass(4_000);
    script.answer("depth", r#"{"lastUpdateId":106,"bids":[["8.00","5"]],"asks":[]}"#);
    script.says(&["snapshot [8x5] []", "diff [9.2x1] []", "book live none"]);
    script.message(0, &diff(107, 107, ("9.20", "1")));
    script.says(&[]);
    script.faulted(&[FaultKind::Duplicate]);
}

#[test]
fn a_failing_snapshot_is_retried_when_the_venue_says() {
    let mut script = Script::live();
    script.message(0, &diff(105, 106, ("9.10", "1")));
    script.pass(1_000);
    script.fail("depth", FetchError::Status { status: 503, retry_after_s: Some(7) });
    script.says(&["book resyncing sequence_gap", "book resyncing snapshot_unavailable"]);
    script.faulted(&[FaultKind::SequenceGap, FaultKind::SnapshotFailed]);
    script.pass(6_900);
    assert_eq!(script.asked("depth"), None);
    script.pass(200);
    script.fail("depth", FetchError::Status { status: 429, retry_after_s: None });
    script.pass(9_900);
    assert_eq!(script.asked("depth"), None);
    script.pass(200);
    script.fail("depth", FetchError::CircuitOpen(1_500));
    script.pass(1_700);
    script.answer("depth", "<html>teapot</html>");
    script.pass(10_000);
    script.answer("depth", r#"{"lastUpdateId":150,"bids":[["NaN","5"]],"asks":[]}"#);
    script.pass(30_000);
    script.answer("depth", r#"{"lastUpdateId":150,"bids":[],"asks":[["12.5","3"]]}"#);
    script.says(&["snapshot [] [12.5x3]", "book live none"]);
}

#[test]
fn trades_lost_are_counted() {
    let mut script = Script::live();
    script.message(0, &trade(503));
    script.says(&["gap Trade Some(2) sequence_gap", "trade 503 10.5x0.5 sell"]);
    script.message(0, &trade(502));
    script.says(&[]);
    script.faulted(&[FaultKind::SequenceGap, FaultKind::Duplicate]);
    script.message(0, &trade_at(504, "-1"));
    script.says(&["gap Trade Some(1) bad_data"]);
    script.message(0, &trade(505));
    script.says(&["trade 505 10.5x0.5 sell"]);
}

#[test]
fn a_lost_line_is_told_and_comes_back() {
    let mut script = Script::live();
    script.close(0, Cause::Disconnected);
    script.says(&["link 0 down disconnected"]);
    script.close(0, Cause::Disconnected);
    script.says(&[]);
    script.open(0);
    script.says(&[]);
    script.ack(0);
    script.says(&["link 0 resyncing disconnected", "trade live none"]);
    script.message(0, &trade(511));
    script.says(&["gap Trade Some(10) disconnected", "trade 511 10.5x0.5 sell"]);
    script.pass(1_000);
    script.answer("depth", r#"{"lastUpdateId":200,"bids":[["10.10","1"]],"asks":[["11.00","2"]]}"#);
    script.says(&["snapshot [10.1x1] [11x2]", "quote live none", "quote 10.1x1 11x2", "book live none"]);
    script.close(0, Cause::Silence);
    script.says(&["link 0 stale silence"]);
    script.close(0, Cause::Disconnected);
    script.says(&["link 0 down disconnected"]);
}

#[test]
fn data_may_overtake_the_acknowledgement() {
    let mut script = Script::live();
    script.close(0, Cause::Disconnected);
    script.open(0);
    script.message(0, &quote(201, "10.50"));
    script.ack(0);
    script.says(&[
        "link 0 down disconnected",
        "link 0 resyncing disconnected",
        "quote live none",
        "quote 10.5x1 11x2",
        "trade live none",
    ]);
}

#[test]
fn what_did_not_change_while_the_line_was_lost_is_live_again_too() {
    let mut script = Script::live();
    script.close(0, Cause::Silence);
    script.open(0);
    script.ack(0);
    script.pass(1_000);
    script.forget_events();
    // The book stands where it stood with the last quote, and nothing trades any more.
    script.answer("depth", r#"{"lastUpdateId":100,"bids":[["10.00","1"]],"asks":[["11.00","2"]]}"#);
    script.says(&["snapshot [10x1] [11x2]", "quote live none", "quote 10x1 11x2", "book live none"]);
}

#[test]
fn quotes_that_are_numbered_anew_after_a_loss_are_taken() {
    let mut script = Script::live();
    script.close(0, Cause::Disconnected);
    script.open(0);
    script.ack(0);
    script.forget_events();
    script.message(0, &quote(7, "10.01"));
    script.message(0, &quote(6, "10.02"));
    script.message(0, &quote(8, "10.03"));
    script.says(&["quote live none", "quote 10.01x1 11x2", "quote 10.03x1 11x2"]);
    script.faulted(&[FaultKind::Duplicate]);
}

#[test]
fn an_answer_that_comes_after_its_line_is_gone_is_ignored() {
    let mut script = Script::live();
    script.message(0, &diff(105, 106, ("9.10", "1")));
    script.pass(1_000);
    let fetch = script.asked("depth").unwrap();
    script.close(0, Cause::Disconnected);
    script.forget();
    let late = br#"{"lastUpdateId":200,"bids":[],"asks":[]}"#.to_vec();
    script.run(|adapter, now, out| adapter.on_response(now, fetch, Ok(late), out));
    script.says(&[]);
}

#[test]
fn finer_numbers_redefine_the_instrument() {
    let mut script = Script::live();
    script.message(0, &quote(101, "10.005"));
    script.says(&[
        "0 is BTC-USDT 10e-3",
        "trading open",
        "quote 10x1 11x2",
        "book resyncing redefinition",
        "quote 10.005x1 11x2",
    ]);
    script.pass(1_000);
    script.message(0, &diff(101, 102, ("9.00", "1")));
    script.message(0, &diff(103, 104, ("9.00001", "1")));
    let redefined = ["0 is BTC-USDT 1000e-5", "trading open", "quote 10.005x1 11x2"];
    script.says(&redefined);
    script.answer("depth", r#"{"lastUpdateId":101,"bids":[["8.5","1.0001"]],"asks":[]}"#);
    let events = std::mem::take(&mut script.events);
    assert_eq!(
        events[events.len() - 4..],
        ["snapshot [8.5x1.0001] []", "diff [9x1] []", "diff [9.00001x1] []", "book live none"]
    );
    script.faulted(&[]);
}

#[test]
fn each_exponent_redefines_once_and_what_can_have_none_never() {
    let mut script = Script::live();
    let size = |id, size: &str| trade(id).replace("\"0.5\"", &format!("\"{size}\""));
    script.message(0, &size(501, "0.00012"));
    script.message(0, &size(502, "0.00013"));
    script.message(0, &size(503, "0.1"));
    let announced = |script: &Script| script.events.iter().filter(|event| event.contains(" is ")).count();
    assert_eq!(announced(&script), 1);
    assert_eq!(script.exponents[&0], (-2, -5));
    script.pass(1_000);
    script.answer("depth", r#"{"lastUpdateId":110,"bids":[["10.00","0.00011"]],"asks":[]}"#);
    script.forget();
    // Finer than any number of this venue: bad data, one trade of it, and the instrument stays as it is.
    script.message(0, &size(504, "0.000000000001"));
    script.message(0, &trade_at(505, "1e-18"));
    script.message(0, &trade_at(506, "0.00000000000000000001"));
    script.message(0, &trade_at(507, "9999999999999999999"));
    script.message(0, &trade_at(508, "0.00"));
    script.message(0, &trade(509));
    let lost = "gap Trade Some(1) bad_data";
    script.says(&[lost, lost, lost, lost, lost, "trade 509 10.5x0.5 sell"]);
    script.faulted(&[FaultKind::BadMessage; 5]);
    script.message(0, &diff(111, 112, ("0.0", "1")));
    script.says(&["book resyncing bad_data"]);
}

#[test]
fn a_diff_finer_than_a_live_book_starts_it_over() {
    let mut script = Script::live();
    script.message(0, &diff(101, 102, ("9.001", "1")));
    assert_eq!(script.events.last().unwrap(), "book resyncing redefinition");
    script.pass(1_000);
    script.forget_events();
    script.message(0, &diff(103, 104, ("9.002", "1")));
    script.answer("depth", r#"{"lastUpdateId":103,"bids":[["9.001","1"]],"asks":[]}"#);
    script.says(&["snapshot [9.001x1] []", "diff [9.002x1] []", "book live none"]);
}

impl Script {
    fn forget_events(&mut self) {
        self.events.clear();
    }
}

#[test]
fn a_book_message_that_cannot_be_read_ends_the_book() {
    let mut script = Script::live();
    script.message(0, &diff(101, 102, ("9.x", "1")));
    script.says(&["book resyncing bad_data"]);
    script.faulted(&[FaultKind::BadMessage]);
    script.pass(1_000);
    assert!(script.asked("depth").is_some());
}

#[test]
fn empty_sides_are_none_and_strangers_are_faults() {
    let mut script = Script::live();
    script.message(0, r#"{"u":101,"s":"BTCUSDT","b":"0.00000000","B":"0.00000000","a":"11.00","A":"2"}"#);
    script.says(&["quote - 11x2"]);
    script.message(0, &trade(1).replace("BTCUSDT", "XRPUSDT"));
    script.message(0, "nonsense");
    script.message(0, "[]");
    script.message(9, &trade(501));
    script.says(&[]);
    script.faulted(&[FaultKind::UnknownInstrument, FaultKind::BadMessage, FaultKind::BadMessage]);
}

#[test]
fn many_symbols_are_spread_over_requests_lines_and_fetches() {
    let symbols: Vec<String> = (0..800).map(|n| format!("S{n}-USDT")).collect();
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let listed: Vec<String> = (0..800)
        .map(|n| format!(r#"{{"symbol":"S{n}USDT","status":"TRADING","baseAsset":"S{n}","quoteAsset":"USDT"}}"#))
        .collect();
    let mut script = Script::new(&settings(&names));
    script.answer("exchangeInfo", &format!(r#"{{"symbols":[{}]}}"#, listed.join(",")));
    assert_eq!(script.opened(), [0, 1, 2]);
    script.forget();
    script.open(0);
    assert_eq!(script.sent(0).len(), 11);
    script.ack(0);
    let fetches = script.actions.iter().filter(|action| matches!(action, Action::Fetch { .. })).count();
    assert_eq!(fetches, 8, "never more in flight");
}

#[test]
fn settings_are_checked() {
    let error = |settings: &FeedSettings| registry::adapter("binance", settings).err().unwrap().to_string();
    assert!(error(&settings(&["BTCUSDT"])).contains("BASE-QUOTE"));
    assert!(error(&settings(&["BTC/USDT"])).contains("'BTC/USDT'"));
    assert!(error(&settings(&[])).contains("no symbols"));
    let mut none = settings(&["BTC-USDT"]);
    none.channels.clear();
    assert!(error(&none).contains("no channel"));
}

/// A scripted market, some of whose bytes are wrong.
type Frame = (u32, String, Option<(usize, u8)>);

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let frame = prop_oneof![
        (95..130u64, 0..4u64).prop_map(|(first, n)| diff(first, first + n, ("9.00", "1"))),
        (95..130u64).prop_map(|id| quote(id, "10.001")),
        (495..520u64).prop_map(trade),
        Just(r#"{"e":"serverShutdown","E":1}"#.to_owned()),
        (0..9u64).prop_map(|id| format!(r#"{{"result":null,"id":{id}}}"#)),
        (0..9u64).prop_map(|id| format!(r#"{{"code":2,"msg":"no","id":{id}}}"#)),
    ];
    prop::collection::vec((0..3u32, frame, prop::option::weighted(0.2, (0..200usize, any::<u8>()))), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes: no panic, ranges inside the batch, a trade's id never comes twice or runs back.
    #[test]
    fn no_message_breaks_it(frames in frames(), acts in prop::collection::vec(0..8u8, 60)) {
        let mut script = Script::live();
        let mut last = 500;
        for ((line, text, spoil), act) in frames.into_iter().zip(acts) {
            let mut bytes = text.into_bytes();
            if let Some((at, byte)) = spoil {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            script.run(|adapter, now, out| {
                adapter.on_message(now, Line(line), &mut bytes, out);
                for event in &out.batch.events {
                    if let EventBody::Book { bids, asks, .. } = &event.body {
                        assert!(bids.end == asks.start && asks.end as usize <= out.batch.levels.len());
                    }
                    if let EventBody::Trade(trade) = &event.body {
                        let id = trade.id.unwrap();
                        assert!(id > last || id < last - 400, "trade {id} after {last}");
                        last = id;
                    }
                }
            });
            match act {
                0 => script.open(line),
                1 => script.close(line, Cause::Disconnected),
                2 => script.pass(700),
                3 => {
                    if let Some(fetch) = script.asked("depth") {
                        let json = br#"{"lastUpdateId":110,"bids":[["1.0","1"]],"asks":[]}"#.to_vec();
                        script.run(|adapter, now, out| adapter.on_response(now, fetch, Ok(json), out));
                    }
                }
                _ => {}
            }
        }
    }
}
