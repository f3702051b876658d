//! Single messages through the venues' decoders, against what another implementation (tardis) made of them. Reads `../shared/data`.
//! Prints a table by `cargo test -p tickwire-feeds mapper -- --nocapture`.

use super::decoded::{Item, Part};
use super::testkit::shared;
use super::*;
use crate::adapter::Line;
use crate::registry;
use crate::settings::FeedSettings;
use crate::time::rfc3339;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use wire::decimal::plain;

/// Their exchanges, and our venues for them (those that are not registered are left out). Where an exchange had two interfaces, lists are
/// of the first and objects of the second.
const VENUES: &[(&str, &[&str])] = &[
    ("binance-delivery", &["binance-coinm"]),
    ("binance-futures", &["binance-usdm"]),
    ("bitfinex", &["bitfinex"]),
    ("bitfinex-derivatives", &["bitfinex"]),
    ("bitget", &["bitget"]),
    ("bitget-futures", &["bitget"]),
    ("bitstamp", &["bitstamp"]),
    ("bybit", &["bybit"]),
    ("bybit-options", &["bybit"]),
    ("bybit-spot", &["bybit"]),
    ("coinbase", &["coinbase-exchange"]),
    ("cryptofacilities", &["kraken-futures"]),
    ("deribit", &["deribit"]),
    ("gate-io", &["gate"]),
    ("gate-io-futures", &["gate"]),
    ("gemini", &["gemini"]),
    ("huobi", &["htx"]),
    ("huobi-dm", &["htx-swap"]),
    ("huobi-dm-linear-swap", &["htx-swap"]),
    ("huobi-dm-options", &["htx-swap"]),
    ("huobi-dm-swap", &["htx-swap"]),
    ("kraken", &["kraken-v1", "kraken"]),
    ("kucoin", &["kucoin"]),
    ("okex", &["okx"]),
    ("okex-futures", &["okx"]),
    ("okex-options", &["okx"]),
    ("okex-spreads", &["okx"]),
    ("okex-swap", &["okx"]),
];

/// Venues that give two times: we take the matching engine's, they the sender's, or the other way round.
const TWO_TIMES: &[&str] = &["binance-coinm", "binance-usdm", "htx", "htx-swap"];
const NEAR_NS: i64 = 1_000_000_000;

/// One trade, quote or book change in a form that both sides can be brought to. Numbers are compared as numbers: theirs have lost
/// their trailing zeros.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Trade {
        price: f64,
        size: f64,
        side: String,
        id: Option<u64>,
    },
    /// Price and size; no side at all: the message does not speak of it.
    Quote {
        bid: Option<[Option<f64>; 2]>,
        ask: Option<[Option<f64>; 2]>,
    },
    Book {
        snapshot: bool,
        bids: Vec<[f64; 2]>,
        asks: Vec<[f64; 2]>,
    },
}

/// With symbol and time, where known.
type Event = (String, Said, i64);

fn decimal(number: Number) -> f64 {
    plain(i128::from(number.mantissa), number.exponent).parse().unwrap()
}

/// What we make of a message; trades of before the subscription are left out, as they do.
fn ours(venue: &str, message: &Value) -> Result<Vec<Event>, Complaint> {
    let make = registry::venue(venue).unwrap().protocol;
    let mut decoded = Decoded::surveying();
    make(&FeedSettings::of_venue(venue)).decode(Line(0), &mut message.to_string().into_bytes(), &mut decoded)?;
    // Bitget's categories are part of our names.
    let name =
        |name: &str| name.split_once(':').filter(|_| venue == "bitget").map_or(name, |(_, name)| name).to_ascii_uppercase();
    let names: BTreeMap<u32, String> = decoded.names().map(|(known, index)| (index, name(known))).collect();
    let event = |item: &Item| match item {
        Item::Trade { trade, .. } if trade.past => None,
        Item::Trade { instrument, trade } => {
            let (price, size) = (decimal(trade.price), decimal(trade.size));
            let said =
                Said::Trade { price, size, side: trade.aggressor.to_string(), id: trade.id.filter(|_| venue != "deribit") };
            Some((names[instrument].clone(), said, trade.time))
        }
        Item::Quote { instrument, quote } => {
            let part = |part| match part {
                Part::At(raw) if raw.price.mantissa != 0 => Some([Some(decimal(raw.price)), Some(decimal(raw.size))]),
                Part::At(_) | Part::Nothing => Some([None; 2]),
                Part::Same => None,
            };
            Some((names[instrument].clone(), Said::Quote { bid: part(quote.bid), ask: part(quote.ask) }, quote.time))
        }
        Item::Book { instrument, book, bids, asks } => {
            let levels = |side: &[RawLevel]| side.iter().map(|raw| [decimal(raw.price), decimal(raw.size)]).collect();
            let (bids, asks) = (levels(&decoded.bids[bids.clone()]), levels(&decoded.asks[asks.clone()]));
            Some((names[instrument].clone(), Said::Book { snapshot: book.snapshot, bids, asks }, book.time))
        }
        _ => None,
    };
    Ok(decoded.items.iter().filter_map(event).collect())
}

/// What they make of it, as far as we have such a thing. A time that they could only take from the receipt is none.
fn theirs(pair: &Value) -> Vec<Event> {
    let number = |value: &Value| value.as_f64();
    let levels = |side: &Value| -> Vec<[f64; 2]> {
        let level = |level: &Value| [level["price"].as_f64().unwrap(), level["amount"].as_f64().unwrap()];
        side.as_array().unwrap().iter().map(level).collect()
    };
    let event = |one: &Value| {
        let said = match one["type"].as_str().unwrap() {
            "trade" => Said::Trade {
                price: one["price"].as_f64().unwrap(),
                size: one["amount"].as_f64().unwrap(),
                side: one["side"].as_str().unwrap().to_owned(),
                id: one["id"].as_str().and_then(|id| id.parse().ok()),
            },
            "book_ticker" => Said::Quote {
                bid: Some([number(&one["bidPrice"]), number(&one["bidAmount"])]),
                ask: Some([number(&one["askPrice"]), number(&one["askAmount"])]),
            },
            "book_change" => Said::Book {
                snapshot: one["isSnapshot"].as_bool().unwrap(),
                bids: levels(&one["bids"]),
                asks: levels(&one["asks"]),
            },
            _ => return None,
        };
        let received = one["timestamp"] == one["localTimestamp"];
        let time = if received { 0 } else { rfc3339(one["timestamp"].as_str().unwrap()) };
        Some((one["symbol"].as_str().unwrap().to_ascii_uppercase(), said, time))
    };
    pair["expected"].as_array().unwrap().iter().filter_map(event).collect()
}

fn agree(venue: &str, ours: &[Event], theirs: &[Event]) -> bool {
    let said = |ours: &Said, theirs: &Said| match (ours, theirs) {
        // Deribit has two, and we take the one that is counted; where the venue's id is no number, ours is another.
        (Said::Trade { price, size, side, id }, Said::Trade { price: p, size: s, side: d, id: i }) => {
            (price, size, side) == (p, s, d) && (id.is_none() || i.is_none() || id == i)
        }
        (Said::Quote { bid, ask }, Said::Quote { bid: b, ask: a }) => (bid.is_none() || bid == b) && (ask.is_none() || ask == a),
        _ => ours == theirs,
    };
    let off = if TWO_TIMES.contains(&venue) { NEAR_NS } else { 0 };
    let time = |ours: i64, theirs: i64| ours == 0 || theirs == 0 || (ours - theirs).abs() <= off;
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(one, other)| one.0 == other.0 && said(&one.1, &other.1) && time(one.2, other.2))
}

const UNSUBSCRIBED: &str = "a channel that is not subscribed";
const GONE: &str = "another interface of the venue";
const WAITING: &str = "they keep or drop updates until the snapshot; our engine does, not the decoder";

/// Why our decoder may say something else than theirs, or nothing.
fn reason(venue: &str, message: &Value, theirs: &[Event]) -> Option<&'static str> {
    let text = |value: &'static str| message[value].as_str().unwrap_or("");
    let argument = message["arg"]["channel"].as_str().unwrap_or("");
    let topic = text("topic");
    match venue {
        _ if message["generated"] == true => Some("made by their recorder, not by the venue"),
        "bitfinex" if message.is_array() => Some("channels are known by a number that an earlier message gave"),
        "bitget" if message["arg"]["topic"].is_string() => Some(GONE),
        "bitget" if argument == "books15" => Some(UNSUBSCRIBED),
        "bitget" if argument == "books" && theirs.is_empty() => Some(WAITING),
        "bitstamp" if text("event") == "data" => Some(WAITING),
        "bybit" if ["orderBookL2", "trade.", "depth", "bookTicker"].iter().any(|old| topic.starts_with(old)) => Some(GONE),
        "bybit" if topic.starts_with("tickers.") && theirs.is_empty() => Some("they take no quotes from it"),
        "coinbase-exchange" if text("type") == "ticker" => Some("quotes are made from the book"),
        "deribit" if message["params"]["data"]["prev_change_id"].as_u64().is_none_or(|id| id == 0) => {
            message["params"]["data"]["change_id"]
                .is_u64()
                .then_some("a change without a predecessor: they take it for a whole book")
        }
        "gate" if message["method"].is_string() => Some(GONE),
        "gate" if text("channel").starts_with("futures.") => Some("futures are not taken"),
        "gate" if text("channel") == "spot.obu" => Some(UNSUBSCRIBED),
        "gemini" if message["E"].is_u64() => Some(GONE),
        "htx" | "htx-swap" if text("ch").contains("high_freq") || text("rep").contains(".mbp.") => Some(UNSUBSCRIBED),
        "htx" | "htx-swap" if message["update"] == true => Some("a whole book each time: they take it for a change"),
        "kraken-futures" if text("feed") == "ticker" => Some("quotes are made from the book"),
        "kucoin" if text("subject") == "trade.l2update" && theirs.is_empty() => Some(WAITING),
        "okx" if message["table"].is_string() => Some(GONE),
        "okx" if matches!(argument, "books-l2-tbt" | "trades-all") => Some(UNSUBSCRIBED),
        "okx" if argument.starts_with("sprd-") => Some("spreads are not taken"),
        _ => None,
    }
}

#[derive(Default)]
struct Row {
    pairs: u32,
    equal: u32,
    nothing: u32,
    reasons: BTreeMap<&'static str, u32>,
}

#[test]
fn decoders_say_what_other_mappers_say() {
    let Some(file) = shared("_golden/tardis_mappers_golden.jsonl.gz") else { return };
    let file = flate2::read::MultiGzDecoder::new(std::fs::File::open(file).unwrap());
    let mut table: BTreeMap<&str, Row> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let pair: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let Some((_, venues)) = VENUES.iter().find(|(exchange, _)| pair["exchange"] == *exchange) else { continue };
        let message = &pair["message"];
        let venue = if message.is_array() { venues[0] } else { venues[venues.len() - 1] };
        if registry::venue(venue).is_err() {
            continue;
        }
        let row = table.entry(venue).or_default();
        row.pairs += 1;
        let (ours, theirs) = (ours(venue, message), theirs(&pair));
        // A message that we refuse says nothing.
        let equal = agree(venue, ours.as_deref().unwrap_or(&[]), &theirs);
        match reason(venue, message, &theirs) {
            Some(reason) => {
                assert!(!equal || theirs.is_empty(), "{venue} says the same, in spite of '{reason}': {message}");
                *row.reasons.entry(reason).or_default() += 1;
            }
            // What they make of it is nothing that we have: then we make nothing of it.
            None if equal && theirs.is_empty() => row.nothing += 1,
            None => {
                assert!(equal, "{venue}: {message}\nours   {ours:?}\ntheirs {theirs:?}");
                row.equal += 1;
            }
        }
    }
    println!("| venue | pairs | equal | no trade, quote or book in either | not comparable |\n|---|---|---|---|---|");
    for (venue, row) in &table {
        let reasons: Vec<String> = row.reasons.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
        println!("| {venue} | {} | {} | {} | {} |", row.pairs, row.equal, row.nothing, reasons.join("; "));
        assert_eq!(row.pairs, row.equal + row.nothing + row.reasons.values().sum::<u32>());
    }
    assert!(["bitstamp", "kraken", "kraken-v1", "okx"].iter().all(|venue| table.get(venue).is_some_and(|row| row.equal > 0)));
}
