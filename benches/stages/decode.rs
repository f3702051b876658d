//! From a venue's bytes to events. In: Binance messages of usual size, written here, with numbers that go on. Out: the cost of
//! `Adapter::on_message`, sequence checks and exact decimals included. Bounded: one message at a time.

use criterion::{Criterion, Throughput};
use feeds::adapter::{Action, Adapter, Line, Now, Output};
use feeds::registry;
use feeds::settings::FeedSettings;
use std::hint::black_box;
use wire::event::Event;

const LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
    {"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00001000"}]}]}"#;
/// Twelve digits, so that the numbers in the messages keep their width.
const FIRST: u64 = 100_000_000_000;
const LINE: Line = Line(0);
const NOW: Now = Now { wall: 1_767_225_600_000_000_000, mono: 0 };

pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, message) in messages() {
        let mut feed = Feed::new();
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| feed.take(&message)));
    }
    group.finish();
}

pub fn messages() -> [(&'static str, Message); 4] {
    [("book_ticker", book_ticker()), ("trade", trade()), ("depth_5_5", depth(5)), ("depth_25_25", depth(25))]
}

fn book_ticker() -> Message {
    Message::new(
        r#"{"stream":"btcusdt@bookTicker","data":{"u":#,"s":"BTCUSDT","b":"64210.51000000","B":"0.78213000","a":"64210.52000000","A":"3.10020000"}}"#,
    )
}

fn trade() -> Message {
    Message::new(
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1767225600001,"s":"BTCUSDT","t":#,"p":"64210.51000000","q":"0.00150000","T":1767225600000,"m":true,"M":true}}"#,
    )
}

fn depth(levels: u64) -> Message {
    let side = |first: u64| {
        let level = |at| format!(r#"["{}.{:02}000000","{}.{:05}000"]"#, first + at / 100, at % 100, at % 3, 10_000 + at * 77);
        (0..levels).map(level).collect::<Vec<_>>().join(",")
    };
    Message::new(&format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1767225600001,"s":"BTCUSDT","U":#,"u":#,"b":[{}],"a":[{}]}}}}"#,
        side(64_200),
        side(64_300)
    ))
}

/// A message with holes for its number.
pub struct Message {
    text: Vec<u8>,
    holes: Vec<usize>,
}

impl Message {
    fn new(with_holes: &str) -> Self {
        let text = with_holes.replace('#', &FIRST.to_string()).into_bytes();
        let number = FIRST.to_string();
        let holes = text.windows(number.len()).enumerate().filter(|(_, found)| *found == number.as_bytes()).map(|(at, _)| at);
        Self { holes: holes.collect(), text }
    }

    fn len(&self) -> usize {
        self.text.len()
    }

    fn write(&self, number: u64, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.text);
        for hole in &self.holes {
            let mut rest = number;
            for digit in into[*hole..*hole + 12].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
    }
}

/// An adapter with one instrument whose channels are all live.
pub struct Feed {
    adapter: Box<dyn Adapter>,
    out: Output,
    payload: Vec<u8>,
    number: u64,
}

impl Feed {
    pub fn new() -> Self {
        let settings = FeedSettings { symbols: vec!["BTC-USDT".to_owned()], ..FeedSettings::of_venue("binance") };
        let adapter = registry::adapter("binance", &settings).expect("the settings are good");
        let mut feed = Self { adapter, out: Output::default(), payload: Vec::new(), number: FIRST };
        feed.adapter.start(NOW, &mut feed.out);
        feed.answer("exchangeInfo", LIST);
        feed.adapter.on_open(NOW, LINE, &mut feed.out);
        feed.text(r#"{"result":null,"id":1}"#);
        // Of a book, the first snapshot is asked for when the first change has come.
        let depth = depth(1);
        feed.take_unchecked(&depth);
        feed.answer(
            "/depth",
            &format!(r#"{{"lastUpdateId":{},"bids":[["64200.00","1"]],"asks":[["64300.00","2"]]}}"#, feed.number),
        );
        feed
    }

    fn answer(&mut self, part: &str, json: &str) {
        let asked = |action: &Action| match action {
            Action::Fetch { fetch, url, .. } if url.contains(part) => Some(*fetch),
            _ => None,
        };
        let fetch = self.out.actions.iter().find_map(asked).expect("the adapter asked for it");
        self.adapter.on_response(NOW, fetch, Ok(json.as_bytes().to_vec()), &mut self.out);
    }

    fn text(&mut self, text: &str) {
        self.payload = text.as_bytes().to_vec();
        self.adapter.on_message(NOW, LINE, &mut self.payload, &mut self.out);
    }

    /// The next message of its kind. It must become one event, or the benchmark measures something else.
    pub fn take(&mut self, message: &Message) {
        self.out.clear();
        self.take_unchecked(message);
        let events: &[Event] = black_box(&self.out.batch.events);
        assert!(!events.is_empty() && self.out.faults.is_empty(), "{:?} {:?}", events, self.out.faults);
    }

    fn take_unchecked(&mut self, message: &Message) {
        self.number += 1;
        message.write(self.number, &mut self.payload);
        self.adapter.on_message(NOW, LINE, &mut self.payload, &mut self.out);
    }
}
