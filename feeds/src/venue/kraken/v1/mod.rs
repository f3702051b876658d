//! Kraken spot, WebSocket v1. In: `spread`, `trade`, `book`. Out: see `decode`; here are addresses, requests and facts.
//! Prices are texts; each book update carries a checksum over the best ten levels. Trades have no ids: v2 is the better choice.
//!
//! Source: docs.kraken.com/api/docs/websocket-v1; a recording of 2021, all of whose 4,269 checksums agree.

mod decode;
mod voice;

use super::{CHECKSUM_DEPTH, checksum, depth, named};
use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Grouping, Keepalive, Ladder, Listed, Operation, OrphanDelete, Proof, Protocol,
    Request, SnapshotFrom, Stream, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use crate::settings::FeedSettings;
use std::fmt::Write as _;
use wire::event::{Channel, Nanos};

pub const V1: Venue = Venue {
    name: "kraken-v1",
    aliases: &[],
    ws_url: "wss://ws.kraken.com",
    rest_url: "https://api.kraken.com",
    protocol: |settings| Box::new(KrakenV1::new(settings)),
};

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A heartbeat comes every second.
        silence_ms: 5_000,
        messages_per_second: 10,
        connects_per_five_minutes: 60,
        weight_per_minute: 60,
        ..COMMON.caps
    },
    proofs: &[Proof::Crc { depth: CHECKSUM_DEPTH }],
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    orphan_delete: OrphanDelete::Loss,
    answered_by: AnsweredBy::Topic,
    grouping: Grouping::OneStream,
    topics_per_request: 50,
    topics_per_line: 300,
    symbols_per_line: 100,
    keepalive: Some(Keepalive { every_ms: 30_000, when_silent: false }),
    time_exponent: -6,
    ..COMMON
};

const STREAMS: [Stream; 3] = [
    Stream { name: "spread", carries: &[Channel::Quote], endpoint: 0 },
    Stream { name: "trade", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "book", carries: &[Channel::Book], endpoint: 0 },
];

struct KrakenV1 {
    streams: Vec<Stream>,
    depth: u32,
    parser: Parser,
}

impl KrakenV1 {
    fn new(settings: &FeedSettings) -> Self {
        Self { streams: chosen(&STREAMS, settings), depth: depth(settings), parser: Parser::default() }
    }
}

impl Protocol for KrakenV1 {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![base.to_owned()]
    }

    fn depth(&self) -> Option<u32> {
        Some(self.depth)
    }

    fn ping(&self, id: u64, _time: Nanos) -> String {
        format!(r#"{{"event":"ping","reqid":{id}}}"#)
    }

    fn request(&self, request: &Request<'_>) -> String {
        let event = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let channel = request.topics.first().map_or("", |topic| topic.stream.name);
        let mut text = format!(r#"{{"event":"{event}","reqid":{},"pair":["#, request.id);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{}\"", topic.native);
        }
        let _ = write!(text, r#"],"subscription":{{"name":"{channel}""#);
        if channel == "book" {
            let _ = write!(text, r#","depth":{}"#, self.depth);
        }
        text.push_str("}}");
        text
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}/0/public/AssetPairs")]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json)
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["AssetPairs?"]
    }

    fn checksum(&self, book: &Ladder, scratch: &mut Vec<u8>) -> u32 {
        checksum(book, scratch)
    }

    fn guess(&self, native: &str) -> Listed {
        named(native)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.windows(20).any(|part| part == b"\"subscriptionStatus\"")
    }

    fn grants(&self, request: &str) -> Vec<String> {
        decode::grants(request)
    }

    fn voice(&self) -> Option<Box<dyn Voice>> {
        Some(Box::new(voice::Words { depth: self.depth }))
    }
}

#[cfg(test)]
mod tests;
