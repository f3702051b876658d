//! Single messages through the venues' decoders, against what another implementation (tardis) made of them. Reads `../shared/data`.
//! Prints a table by `cargo test -p tickwire-feeds mapper -- --nocapture`.

use super::decoded::{Item, Part};
use super::testkit::shared;
use super::*;
use crate::adapter::Line;
use crate::registry::{self, Speaks};
use crate::settings::FeedSettings;
use crate::time::rfc3339;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use wire::decimal::plain;

/// Their exchanges, and our venues for them. Where an exchange had two interfaces, lists are of the first and objects of the second.
const VENUES: &[(&str, &[&str])] = &[
    ("bitstamp", &["bitstamp"]),
    ("coinbase", &["coinbase-exchange"]),
    ("cryptofacilities", &["kraken-futures"]),
    ("gemini", &["gemini"]),
    ("kraken", &["kraken-v1", "kraken"]),
    ("okex", &["okx"]),
    ("okex-futures", &["okx"]),
    ("okex-options", &["okx"]),
    ("okex-spreads", &["okx"]),
    ("okex-swap", &["okx"]),
];

/// One trade, quote or book change in a form that both sides can be brought to. Numbers are compared as numbers: theirs have lost
/// their trailing zeros.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Trade { price: f64, size: f64, side: String, id: Option<u64> },
    Quote { bid: [Option<f64>; 2], ask: [Option<f64>; 2] },
    Book { snapshot: bool, bids: Vec<[f64; 2]>, asks: Vec<[f64; 2]> },
}

/// With symbol and time, where known.
type Event = (String, Said, i64);

fn decimal(number: Number) -> f64 {
    plain(i128::from(number.mantissa), number.exponent).parse().unwrap()
}

/// What we make of a message; trades of before the subscription are left out, as they do.
fn ours(venue: &str, message: &Value) -> Result<Vec<Event>, Complaint> {
    let Speaks::Engine(make) = &registry::venue(venue).unwrap().speaks else { panic!("{venue} has an adapter of its own") };
    let mut decoded = Decoded::surveying();
    make(&FeedSettings::of_venue(venue)).decode(Line(0), &mut message.to_string().into_bytes(), &mut decoded)?;
    let names: BTreeMap<u32, String> = decoded.names().map(|(name, index)| (index, name.to_ascii_uppercase())).collect();
    let event = |item: &Item| match item {
        Item::Trade { trade, .. } if trade.past => None,
        Item::Trade { instrument, trade } => {
            let (price, size) = (decimal(trade.price), decimal(trade.size));
            let said = Said::Trade { price, size, side: trade.aggressor.to_string(), id: trade.id };
            Some((names[instrument].clone(), said, trade.time))
        }
        Item::Quote { instrument, quote } => {
            let part = |part| match part {
                Part::At(raw) => [Some(decimal(raw.price)), Some(decimal(raw.size))],
                Part::Same | Part::Nothing => [None; 2],
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
                bid: [number(&one["bidPrice"]), number(&one["bidAmount"])],
                ask: [number(&one["askPrice"]), number(&one["askAmount"])],
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

fn agree(ours: &[Event], theirs: &[Event]) -> bool {
    let said = |ours: &Said, theirs: &Said| match (ours, theirs) {
        // Where the venue's id is no number, ours is another.
        (Said::Trade { price, size, side, .. }, Said::Trade { id: None, price: p, size: s, side: d }) => {
            (price, size, side) == (p, s, d)
        }
        _ => ours == theirs,
    };
    ours.len() == theirs.len()
        && ours
            .iter()
            .zip(theirs)
            .all(|(one, other)| one.0 == other.0 && said(&one.1, &other.1) && (one.2 == 0 || other.2 == 0 || one.2 == other.2))
}

/// Why our decoder may say something else than theirs, or nothing.
fn reason(venue: &str, message: &Value) -> Option<&'static str> {
    let channel = message["arg"]["channel"].as_str().unwrap_or("");
    let kind = message["type"].as_str().or(message["feed"].as_str()).unwrap_or("");
    match venue {
        "okx" if message["table"].is_string() => Some("an interface that is no more (v3)"),
        "okx" if matches!(channel, "books-l2-tbt" | "trades-all") => Some("a channel that wants a login or is served elsewhere"),
        "okx" if channel == "sprd-public-trades" || channel == "sprd-bbo-tbt" => Some("spreads are not taken"),
        "gemini" if message["E"].is_u64() => Some("another interface of the venue"),
        "coinbase-exchange" | "kraken-futures" if kind == "ticker" => Some("quotes are made from the book"),
        "bitstamp" if message["event"] == "data" => {
            Some("they keep updates until the snapshot; our engine does, not the decoder")
        }
        "bitstamp" if message["generated"] == true => Some("made by their recorder, not by the venue"),
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
        let row = table.entry(venue).or_default();
        row.pairs += 1;
        let (ours, theirs) = (ours(venue, message), theirs(&pair));
        // A message that we refuse says nothing.
        let equal = agree(ours.as_deref().unwrap_or(&[]), &theirs);
        match reason(venue, message) {
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
        assert!(row.equal > 0, "{venue}: nothing was compared");
    }
    assert_eq!(table.len(), 7);
}
