//! The Binance adapter against messages of the real venue and against what others made of them. Reads `../shared/data`.

use feeds::adapter::{Action, Adapter, Fetch, Line, Now, Output};
use feeds::registry;
use feeds::settings::FeedSettings;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use wire::decimal;
use wire::event::{Aggressor, EventBody, FeedState};

/// The shared data, or `None` (and a word about it) where it is not installed. CI must have it.
fn data(path: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    if root.exists() {
        return Some(root);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", root.display());
    println!("SKIPPED: no {}", root.display());
    None
}

fn lines(path: PathBuf) -> impl Iterator<Item = String> {
    let file = std::fs::File::open(path).unwrap();
    BufReader::new(MultiGzDecoder::new(file)).lines().map(Result::unwrap)
}

/// An adapter with its line open and subscribed, and everything it asked for.
struct Feed {
    adapter: Box<dyn Adapter>,
    out: Output,
    now: Now,
    exponents: (i8, i8),
    fetch: Option<Fetch>,
}

impl Feed {
    fn new(native: &str, base: &str, quote: &str, tick: &str, lot: &str) -> Self {
        let json = format!(r#"{{"venue":"binance","symbols":["!{native}"]}}"#);
        let settings: FeedSettings = serde_json::from_str(&json).unwrap();
        let mut feed = Self {
            adapter: registry::adapter("binance", &settings).unwrap(),
            out: Output::default(),
            now: Now { wall: 0, mono: 0 },
            exponents: (0, 0),
            fetch: None,
        };
        feed.adapter.start(feed.now, &mut feed.out);
        let list = format!(
            r#"{{"symbols":[{{"symbol":"{native}","status":"TRADING","baseAsset":"{base}","quoteAsset":"{quote}","filters":[
            {{"filterType":"PRICE_FILTER","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","stepSize":"{lot}"}}]}}]}}"#
        );
        feed.adapter.on_response(feed.now, Fetch(1), Ok(list.into_bytes()), &mut feed.out);
        feed.take();
        feed.adapter.on_open(feed.now, Line(0), &mut feed.out);
        feed.message(br#"{"result":null,"id":1}"#);
        feed.take();
        feed
    }

    fn message(&mut self, bytes: &[u8]) {
        self.adapter.on_message(self.now, Line(0), &mut bytes.to_vec(), &mut self.out);
    }

    /// Notes exponents and requests, and empties the output.
    fn take(&mut self) {
        for event in &self.out.batch.events {
            if let EventBody::Instrument(instrument) = &event.body {
                self.exponents = (instrument.price_exponent, instrument.size_exponent);
            }
        }
        for action in &self.out.actions {
            if let Action::Fetch { fetch, .. } = action {
                self.fetch = Some(*fetch);
            }
        }
        assert_eq!(self.out.faults, []);
        self.out.clear();
    }
}

fn same(mantissa: i64, exponent: i8, expected: &Value) -> bool {
    decimal::plain(mantissa.into(), exponent).parse::<f64>().unwrap() == expected.as_f64().unwrap()
}

#[test]
fn trades_and_quotes_mean_what_others_say() {
    let Some(path) = data("_golden/tardis_mappers_golden.jsonl.gz") else { return };
    let mut pairs = 0;
    for line in lines(path) {
        let pair: Value = serde_json::from_str(&line).unwrap();
        let Some(expected) = pair["expected"].get(0).filter(|_| pair["exchange"] == "binance") else { continue };
        let native = pair["message"]["data"]["s"].as_str().unwrap_or("");
        if !["trade", "book_ticker"].contains(&expected["type"].as_str().unwrap()) {
            continue;
        }
        // The scale is left to the messages: the instrument is redefined as they need it.
        let mut feed = Feed::new(native, "A", "B", "1", "1");
        feed.message(pair["message"].to_string().as_bytes());
        let batch = &feed.out.batch;
        let (mut price, mut size) = (0, 0);
        let mut seen = false;
        for event in &batch.events {
            match &event.body {
                EventBody::Instrument(instrument) => {
                    (price, size) = (instrument.price_exponent, instrument.size_exponent);
                }
                EventBody::Trade(trade) => {
                    assert!(same(trade.price, price, &expected["price"]) && same(trade.size, size, &expected["amount"]));
                    assert_eq!(trade.id.unwrap().to_string(), expected["id"].as_str().unwrap());
                    assert_eq!(trade.aggressor, Aggressor::from_name(expected["side"].as_str().unwrap()).unwrap());
                    assert_eq!(event.event_time, 1_554_076_800_940_000_000, "{}", expected["timestamp"]);
                    seen = true;
                }
                EventBody::Quote(quote) => {
                    assert!(same(quote.bid_price.unwrap(), price, &expected["bidPrice"]));
                    assert!(same(quote.bid_size.unwrap(), size, &expected["bidAmount"]));
                    assert!(same(quote.ask_price.unwrap(), price, &expected["askPrice"]));
                    assert!(same(quote.ask_size.unwrap(), size, &expected["askAmount"]));
                    assert_eq!(event.event_time, 0);
                    seen = true;
                }
                _ => {}
            }
        }
        assert!(seen, "{line}");
        pairs += 1;
    }
    assert_eq!(pairs, 2);
}

#[test]
fn ten_minutes_of_a_busy_book_end_as_they_should() {
    let Some(golden) = data("_golden/books_golden.json") else { return };
    let files = ["binance-spot/hft_btcusdt_20240808.gz", "binance-spot/hft_btcusdt_20240809.gz"];
    let files: Vec<PathBuf> = files.iter().filter_map(|file| data(file)).collect();
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let golden = &golden["binance-spot/hft_btcusdt_202408"]["symbols"]["BTCUSDT"];
    // The venue's own lot is ten times this, but its book holds leftovers below the lot.
    let mut feed = Feed::new("BTCUSDT", "BTC", "USDT", "0.01000000", "0.00000100");
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    let (mut books, mut snapshots, mut trades, mut size_sum, mut quotes) = (0, 0, 0, 0i128, 0);
    for line in files.into_iter().flat_map(lines) {
        let (time, message) = line.split_once(' ').unwrap();
        feed.now.wall = time.parse().unwrap();
        feed.now.mono = feed.now.wall;
        if message.starts_with(r#"{"lastUpdateId""#) {
            let fetch = feed.fetch.take().expect("a snapshot was asked for");
            feed.adapter.on_response(feed.now, fetch, Ok(message.as_bytes().to_vec()), &mut feed.out);
        } else {
            feed.message(message.as_bytes());
        }
        for event in &feed.out.batch.events {
            match &event.body {
                EventBody::Book { bids, asks, snapshot } => {
                    books += 1;
                    snapshots += u32::from(*snapshot);
                    for (side, range) in sides.iter_mut().zip([bids, asks]) {
                        for level in feed.out.batch.levels(range) {
                            if level.size == 0 {
                                side.remove(&level.price)
                            } else {
                                side.insert(level.price, level.size)
                            };
                        }
                    }
                }
                EventBody::Trade(trade) => {
                    trades += 1;
                    size_sum += i128::from(trade.size);
                }
                EventBody::Quote(_) => quotes += 1,
                EventBody::State { state, .. } => assert_eq!(*state, FeedState::Live),
                other => panic!("{other:?}"),
            }
        }
        feed.take();
    }
    let (price, size) = feed.exponents;
    let text = |(p, s): (&i64, &i64)| serde_json::json!([decimal::plain((*p).into(), price), decimal::plain((*s).into(), size)]);
    let [bids, asks] = &sides;
    assert_eq!(golden["final_bids"], bids.iter().rev().take(5).map(text).collect::<Value>());
    assert_eq!(golden["final_asks"], asks.iter().take(5).map(text).collect::<Value>());
    assert_eq!(golden["levels"], serde_json::json!([bids.len(), asks.len()]));
    assert_eq!((golden["book_messages"].as_u64(), golden["snapshots"].as_u64()), (Some(books), Some(snapshots.into())));
    assert_eq!(golden["trades"].as_u64(), Some(trades));
    assert_eq!(golden["trade_qty_sum"], decimal::plain(size_sum, size));
    assert_eq!(quotes, 73_174);
}
