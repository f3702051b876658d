//! In: two recorded hours of a venue (`../shared/data`). Out: what its quotes, trades and book changes cost on the wire, with
//! budgets. Bounded by the recordings; without the folder the test is skipped, except in CI.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use wire::codec::{Context, put};
use wire::decimal::{DecimalError, parse_at};
use wire::event::{Aggressor, Flags, Level, Quote};
use wire::kind::Kind;
use wire::record::{Clock, Meta, QuoteChange, Record, RecordBody, TradeRecord};
use wire::request::Encoding;

const PRICE_EXPONENT: i8 = -2;
/// The venue's lot size. Some seven sizes in these recordings are finer: then the instrument is redefined, as the server does.
const SIZE_EXPONENT: i8 = -5;

/// Two bytes on the wire: a node with more than 127 topics is the normal case.
const TOPIC: u32 = 300;

#[derive(Default)]
struct Cost {
    count: usize,
    binary: usize,
    json: usize,
}

impl Cost {
    fn mean(&self) -> f64 {
        self.binary as f64 / self.count.max(1) as f64
    }

    fn print(&self, what: &str) {
        let json = self.json as f64 / self.count.max(1) as f64;
        println!("{what:20} {:>7}   binary {:5.2} bytes   json {json:6.2} bytes", self.count, self.mean());
    }

    fn add(&mut self, out: &mut Vec<u8>, context: &Context<'_>, time: i64, body: RecordBody<'_>, count: usize) {
        let record = Record { topic: TOPIC, flags: Flags::default(), sequence: 1, time, body };
        for (encoding, sum) in [(Encoding::Binary, &mut self.binary), (Encoding::Json, &mut self.json)] {
            out.clear();
            put(out, encoding, context, &record);
            *sum += out.len();
        }
        self.count += count;
    }
}

struct Run {
    quote: Meta,
    trade: Meta,
    book: Meta,
    last_quote: Quote,
    last_id: Option<i64>,
    quotes: Cost,
    trades: Cost,
    levels: Cost,
    out: Vec<u8>,
}

fn meta(kind: Kind, base: i64, clock: Clock, time_exponent: i8) -> Meta {
    let name = format!("{kind}/binance:BTC-USDT");
    let (price_exponent, size_exponent) = (PRICE_EXPONENT, SIZE_EXPONENT);
    Meta { topic: TOPIC, name, kind, epoch: 1, price_exponent, size_exponent, tick: 1, lot: 1, base, clock, time_exponent }
}

fn price(value: &Value) -> i64 {
    parse_at(value.as_str().unwrap().as_bytes(), PRICE_EXPONENT).unwrap()
}

fn size(value: &Value, exponent: i8) -> Result<i64, DecimalError> {
    parse_at(value.as_str().unwrap().as_bytes(), exponent)
}

fn levels(value: &Value, exponent: i8) -> Result<Vec<Level>, DecimalError> {
    let level = |pair: &Value| Ok(Level { price: price(&pair[0]), size: size(&pair[1], exponent)? });
    value.as_array().unwrap().iter().map(level).collect()
}

impl Run {
    fn new(base: i64) -> Self {
        Self {
            // Binance's spot bookTicker has no event time, so quotes carry the received one.
            quote: meta(Kind::Quote, base, Clock::Received, -6),
            trade: meta(Kind::Trade, base, Clock::Event, -3),
            book: meta(Kind::Book, base, Clock::Event, -3),
            last_quote: Quote::default(),
            last_id: None,
            quotes: Cost::default(),
            trades: Cost::default(),
            levels: Cost::default(),
            out: Vec::new(),
        }
    }

    fn message(&mut self, received: i64, stream: &str, data: &Value) {
        if let Err(DecimalError::Inexact { needs }) = self.try_message(received, stream, data) {
            for meta in [&mut self.quote, &mut self.trade, &mut self.book] {
                meta.size_exponent = needs;
            }
            self.last_quote = Quote::default();
            self.try_message(received, stream, data).unwrap();
        }
    }

    fn try_message(&mut self, received: i64, stream: &str, data: &Value) -> Result<(), DecimalError> {
        // A frame leaves within a millisecond of the bytes that made it.
        let base_second = (received + 1_000_000) / 1_000_000_000;
        if stream.ends_with("@bookTicker") {
            self.quote(base_second, received, data)
        } else if stream.ends_with("@trade") {
            self.trade(base_second, data)
        } else if stream.contains("@depth") {
            self.depth(base_second, data)
        } else {
            Ok(())
        }
    }

    fn quote(&mut self, base_second: i64, received: i64, data: &Value) -> Result<(), DecimalError> {
        let exponent = self.quote.size_exponent;
        let quote = Quote {
            bid_price: Some(price(&data["b"])),
            bid_size: Some(size(&data["B"], exponent)?),
            ask_price: Some(price(&data["a"])),
            ask_size: Some(size(&data["A"], exponent)?),
        };
        if quote != self.last_quote {
            let body = RecordBody::Quote(QuoteChange::between(&self.last_quote, &quote));
            self.last_quote = quote;
            self.quotes.add(&mut self.out, &Context { base_second, meta: &self.quote }, received, body, 1);
        }
        Ok(())
    }

    fn trade(&mut self, base_second: i64, data: &Value) -> Result<(), DecimalError> {
        let trade = TradeRecord {
            price: price(&data["p"]),
            size: size(&data["q"], self.trade.size_exponent)?,
            aggressor: if data["m"].as_bool().unwrap() { Aggressor::Sell } else { Aggressor::Buy },
            id: data["t"].as_i64(),
            previous_id: self.last_id,
            aggregated: false,
        };
        self.last_id = trade.id;
        let time = data["T"].as_i64().unwrap() * 1_000_000;
        self.trades.add(&mut self.out, &Context { base_second, meta: &self.trade }, time, RecordBody::Trade(trade), 1);
        Ok(())
    }

    fn depth(&mut self, base_second: i64, data: &Value) -> Result<(), DecimalError> {
        let exponent = self.book.size_exponent;
        let (mut bids, mut asks) = (levels(&data["b"], exponent)?, levels(&data["a"], exponent)?);
        bids.sort_by_key(|level| std::cmp::Reverse(level.price));
        asks.sort_by_key(|level| level.price);
        let count = bids.len() + asks.len();
        if count > 0 {
            let time = data["E"].as_i64().unwrap() * 1_000_000;
            let body = RecordBody::Book { bids: &bids, asks: &asks };
            self.levels.add(&mut self.out, &Context { base_second, meta: &self.book }, time, body, count);
        }
        Ok(())
    }
}

#[test]
fn real_data_stays_within_its_bytes() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/binance-spot");
    for day in ["hft_btcusdt_20240808.gz", "hft_btcusdt_20240809.gz"] {
        let path = data.join(day);
        let Ok(file) = File::open(&path) else {
            assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
            println!("SKIPPED: {} is not there", path.display());
            return;
        };
        let mut run: Option<Run> = None;
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let line = line.unwrap();
            let (received, message) = line.split_once(' ').unwrap();
            let message: Value = serde_json::from_str(message).unwrap();
            let Some(stream) = message["stream"].as_str() else { continue };
            if run.is_none() && stream.ends_with("@bookTicker") {
                // The base is the first price the server saw.
                run = Some(Run::new(price(&message["data"]["b"])));
            }
            if let Some(run) = &mut run {
                run.message(received.parse().unwrap(), stream, &message["data"]);
            }
        }
        let run = run.expect("quotes in the recording");
        println!("{day}, sizes at exponent {}", run.book.size_exponent);
        run.quotes.print("quote change");
        run.trades.print("trade");
        run.levels.print("book level change");
        assert!(run.quotes.mean() <= 10.0, "quote {}", run.quotes.mean());
        assert!(run.trades.mean() <= 16.0, "trade {}", run.trades.mean());
        assert!(run.levels.mean() <= 8.0, "level {}", run.levels.mean());
    }
}
