//! Kraken Futures: perpetuals and dated futures. In: `book`, `trade`, `heartbeat`. Out: see `decode`; here are addresses, requests, facts.
//! Each book update is one level, numbered per product; prices are bare JSON numbers.
//!
//! Source: docs.kraken.com/api/docs/futures-api/websocket; a recording of 2021.

mod decode;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Grouping, Keepalive, Listed, Operation, Proof, Protocol, Request,
    SnapshotFrom, Stream, TradeIds, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use std::fmt::Write as _;
use wire::event::{Channel, Nanos};

pub const FUTURES: Venue = Venue {
    name: "kraken-futures",
    aliases: &["cryptofacilities"],
    ws_url: "wss://futures.kraken.com",
    rest_url: "https://futures.kraken.com",
    protocol: |settings| Box::new(Futures { streams: chosen(&STREAMS, settings), parser: Parser::default() }),
};

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A heartbeat comes every second.
        silence_ms: 10_000,
        // 100 a second and connection.
        messages_per_second: 20,
        // 100 connections at once.
        connects_per_five_minutes: 60,
        weight_per_minute: 60,
        ..COMMON.caps
    },
    proofs: &[Proof::Counter { step: 1, restart_floor: 0 }],
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    trade_ids: TradeIds::Counted,
    // `seq` is "the subscription message sequence number".
    shared_numbers: false,
    answered_by: AnsweredBy::Topic,
    grouping: Grouping::OneStream,
    topics_per_request: 50,
    topics_per_line: 200,
    symbols_per_line: 100,
    // The venue wants some message at least every minute.
    keepalive: Some(Keepalive { every_ms: 30_000, when_silent: false }),
    ..COMMON
};

/// Quotes are made from the book: `ticker` comes once a second.
const STREAMS: [Stream; 2] = [
    Stream { name: "trade", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "book", carries: &[Channel::Book], endpoint: 0 },
];

const HEARTBEAT: &str = r#"{"event":"subscribe","feed":"heartbeat"}"#;

struct Futures {
    streams: Vec<Stream>,
    parser: Parser,
}

impl Protocol for Futures {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/ws/v1")]
    }

    fn greeting(&mut self, _line: Line, _endpoint: usize, _first: bool) -> Vec<String> {
        vec![HEARTBEAT.to_owned()]
    }

    /// The venue has no message that only asks for a sign of life; asking for heartbeats again does no harm.
    fn ping(&self, _id: u64, _time: Nanos) -> String {
        HEARTBEAT.to_owned()
    }

    fn request(&self, request: &Request<'_>) -> String {
        let event = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let feed = request.topics.first().map_or("", |topic| topic.stream.name);
        let mut text = format!(r#"{{"event":"{event}","feed":"{feed}","product_ids":["#);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{}\"", topic.native);
        }
        text.push_str("]}");
        text
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse_exact(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}/derivatives/api/v3/instruments")]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(|error| error.to_string())
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["instruments?"]
    }

    fn guess(&self, native: &str) -> Listed {
        decode::named(native)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.starts_with(br#"{"event""#)
    }

    fn grants(&self, request: &str) -> Vec<String> {
        decode::grants(request)
    }

    fn voice(&self) -> Option<Box<dyn Voice>> {
        Some(Box::new(voice::Words))
    }
}

#[cfg(test)]
mod tests;
