//! Kraken spot, WebSocket v2. In: `instrument`, `ticker`, `trade`, `book`. Out: see `decode`; here are addresses, requests and facts.
//! Prices are bare JSON numbers whose trailing zeros count: each book message carries a checksum over the best ten levels as text.
//!
//! Source: docs.kraken.com/api/docs/websocket-v2 and guides/spot-ws-book-v2 (checksum).

mod decode;
mod voice;

use super::{CHECKSUM_DEPTH, checksum, depth, named};
use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Grouping, Keepalive, Ladder, Listed, ListingFrom, Operation, OrphanDelete,
    Proof, Protocol, Request, SnapshotFrom, Stream, TradeIds, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use crate::settings::FeedSettings;
use std::fmt::Write as _;
use wire::event::{Channel, Nanos};

pub const V2: Venue = Venue {
    name: "kraken",
    aliases: &["kraken-v2"],
    ws_url: "wss://ws.kraken.com",
    rest_url: "https://api.kraken.com",
    protocol: |settings| Box::new(KrakenV2::new(settings)),
};

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A heartbeat comes every second.
        silence_ms: 5_000,
        messages_per_second: 10,
        connects_per_five_minutes: 60,
        ..COMMON.caps
    },
    proofs: &[Proof::Crc { depth: CHECKSUM_DEPTH }],
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    orphan_delete: OrphanDelete::Loss,
    trade_ids: TradeIds::Counted,
    listing: ListingFrom::Subscription,
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
    Stream { name: "ticker", carries: &[Channel::Quote], endpoint: 0 },
    Stream { name: "trade", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "book", carries: &[Channel::Book], endpoint: 0 },
];

struct KrakenV2 {
    streams: Vec<Stream>,
    depth: u32,
    parser: Parser,
}

impl KrakenV2 {
    fn new(settings: &FeedSettings) -> Self {
        Self { streams: chosen(&STREAMS, settings), depth: depth(settings), parser: Parser::default() }
    }
}

impl Protocol for KrakenV2 {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/v2")]
    }

    fn depth(&self) -> Option<u32> {
        Some(self.depth)
    }

    fn greeting(&mut self, _line: Line, _endpoint: usize, first: bool) -> Vec<String> {
        let instruments = r#"{"method":"subscribe","params":{"channel":"instrument","snapshot":true}}"#;
        if first { vec![instruments.to_owned()] } else { Vec::new() }
    }

    fn ping(&self, id: u64, _time: Nanos) -> String {
        format!(r#"{{"method":"ping","req_id":{id}}}"#)
    }

    fn request(&self, request: &Request<'_>) -> String {
        let method = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let channel = request.topics.first().map_or("", |topic| topic.stream.name);
        let mut text = format!(r#"{{"method":"{method}","params":{{"channel":"{channel}","symbol":["#);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{}\"", topic.native);
        }
        text.push(']');
        match (channel, request.operation) {
            ("book", Operation::Subscribe) => {
                let _ = write!(text, r#","depth":{},"snapshot":true"#, self.depth);
            }
            ("book", Operation::Unsubscribe) => {
                let _ = write!(text, r#","depth":{}"#, self.depth);
            }
            ("ticker", _) => text.push_str(r#","event_trigger":"bbo""#),
            _ => {}
        }
        let _ = write!(text, r#"}},"req_id":{}}}"#, request.id);
        text
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse_exact(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
    }

    fn checksum(&self, book: &Ladder, scratch: &mut Vec<u8>) -> u32 {
        checksum(book, scratch)
    }

    fn guess(&self, native: &str) -> Listed {
        named(native)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.starts_with(br#"{"method""#) || message.starts_with(br#"{"error""#)
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
