//! Bitstamp. In: `diff_order_book`, `live_trades`, order books by REST. Out: see `decode`; here are addresses, requests and facts.
//! Book updates are known by a time in microseconds: it tells what lies before a snapshot, but not whether one was lost.
//!
//! Source: www.bitstamp.net/websocket/v2 and /api; a recording of 2022.

mod decode;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Keepalive, Listed, Operation, Protocol, Request, SnapshotFrom, Stream,
    TradeIds, address_key, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use wire::event::{Channel, Nanos};

pub const VENUE: Venue = Venue {
    name: "bitstamp",
    aliases: &[],
    ws_url: "wss://ws.bitstamp.net",
    rest_url: "https://www.bitstamp.net",
    protocol: |settings| Box::new(Bitstamp { streams: chosen(&STREAMS, settings), parser: Parser::default() }),
};

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // The venue answers our heartbeats; without one it may say nothing for long.
        silence_ms: 30_000,
        messages_per_second: 10,
        // 10,000 requests in ten minutes.
        weight_per_minute: 600,
        // 90 days.
        max_connection_age_s: 90 * 86_400,
        ..COMMON.caps
    },
    snapshot: SnapshotFrom::Rest { weight: 1, equal: false },
    // Counted over all instruments.
    trade_ids: TradeIds::Rising,
    answered_by: AnsweredBy::Topic,
    topics_per_request: 1,
    topics_per_line: 200,
    symbols_per_line: 100,
    keepalive: Some(Keepalive { every_ms: 10_000, when_silent: true }),
    time_exponent: -6,
    ..COMMON
};

/// The venue has no best prices: quotes are made from the book.
const STREAMS: [Stream; 2] = [
    Stream { name: "diff_order_book", carries: &[Channel::Book], endpoint: 0 },
    Stream { name: "live_trades", carries: &[Channel::Trade], endpoint: 0 },
];

struct Bitstamp {
    streams: Vec<Stream>,
    parser: Parser,
}

impl Protocol for Bitstamp {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![base.to_owned()]
    }

    fn ping(&self, _id: u64, _time: Nanos) -> String {
        r#"{"event":"bts:heartbeat"}"#.to_owned()
    }

    fn request(&self, request: &Request<'_>) -> String {
        let event = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let channel = request.topics.first().map_or(String::new(), |topic| format!("{}_{}", topic.stream.name, topic.native));
        format!(r#"{{"event":"bts:{event}","data":{{"channel":"{channel}"}}}}"#)
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}/api/v2/trading-pairs-info/")]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(|error| error.to_string())
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["trading-pairs-info?"]
    }

    fn snapshot_url(&self, base: &str, native: &str) -> String {
        format!("{base}/api/v2/order_book/{native}")
    }

    fn snapshot(&mut self, native: &str, body: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(body, |root| decode::book(root, native, true, out)).unwrap_or(Err("not JSON"))
    }

    fn address_key(&self, url: &str) -> String {
        let book = url.split_once("/order_book/").map(|(_, native)| native.trim_end_matches('/'));
        book.map_or_else(|| address_key(url, &[]), |native| format!("{BOOK_KEY}{native}"))
    }

    fn snapshot_native(&self, key: &str) -> Option<String> {
        key.strip_prefix(BOOK_KEY).map(str::to_owned)
    }

    fn guess(&self, native: &str) -> Listed {
        decode::named(native)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.starts_with(br#"{"event":"bts:"#)
    }

    fn grants(&self, request: &str) -> Vec<String> {
        decode::grants(request)
    }

    fn voice(&self) -> Option<Box<dyn Voice>> {
        Some(Box::new(voice::Words))
    }
}

const BOOK_KEY: &str = "order_book/";

#[cfg(test)]
mod tests;
