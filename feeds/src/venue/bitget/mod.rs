//! Bitget v2: spot and perpetual futures. In: `books1`, `trade`, `books`. Out: see `decode`; here are addresses, requests, facts.
//! One address serves all categories, whose symbols are spelled alike: an instrument's native name is `category:symbol`
//! (`SPOT:BTCUSDT`, `USDT-FUTURES:BTCUSDT`). Each book message carries a checksum over the best 25 levels.
//!
//! Source: www.bitget.com/api-doc, websocket intro (limits, ping) and depth channel (checksum). Messages of v1, which the venue has
//! switched off, are read too, for recordings.

mod decode;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Keepalive, Ladder, Listed, Operation, OrphanDelete, Proof, Protocol, Request,
    SnapshotFrom, Stream, TradeIds, chosen, put_text,
};
use crate::json::Parser;
use crate::registry::Venue;
use decode::Reused;
use std::fmt::Write as _;
use wire::event::{Channel, Nanos};

pub const VENUE: Venue = Venue {
    name: "bitget",
    aliases: &[],
    ws_url: "wss://ws.bitget.com",
    rest_url: "https://api.bitget.com",
    protocol: |settings| {
        Box::new(Bitget { streams: chosen(&STREAMS, settings), parser: Parser::default(), reused: Reused::default() })
    },
};

const CHECKSUM_DEPTH: usize = 25;

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // The venue answers a ping.
        silence_ms: 30_000,
        messages_per_second: 5,
        connects_per_five_minutes: 250,
        weight_per_minute: 600,
        max_connection_age_s: 24 * 3_600,
        ..COMMON.caps
    },
    proofs: &[Proof::Crc { depth: CHECKSUM_DEPTH }],
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    orphan_delete: OrphanDelete::Ignored,
    trade_ids: TradeIds::Rising,
    answered_by: AnsweredBy::Topic,
    // A request may have 4,096 bytes.
    topics_per_request: 40,
    // The venue asks for fewer than 50 channels a connection.
    topics_per_line: 48,
    symbols_per_line: 48,
    // Without a ping for two minutes the venue hangs up, data or not.
    keepalive: Some(Keepalive { every_ms: 20_000, when_silent: false }),
    ..COMMON
};

const STREAMS: [Stream; 3] = [
    Stream { name: "books1", carries: &[Channel::Quote], endpoint: 0 },
    Stream { name: "trade", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "books", carries: &[Channel::Book], endpoint: 0 },
];

struct Bitget {
    streams: Vec<Stream>,
    parser: Parser,
    reused: Reused,
}

impl Protocol for Bitget {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/v2/ws/public")]
    }

    fn ping(&self, _id: u64, _time: Nanos) -> String {
        "ping".to_owned()
    }

    fn request(&self, request: &Request<'_>) -> String {
        let operation = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let mut text = format!(r#"{{"op":"{operation}","args":["#);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let (category, symbol) = decode::parts(topic.native);
            // Writing to a String cannot fail.
            let _ = write!(text, r#"{comma}{{"instType":"{category}","channel":"{}","instId":"{symbol}"}}"#, topic.stream.name);
        }
        text.push_str("]}");
        text
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        if payload == b"pong" {
            return Ok(());
        }
        let Self { parser, reused, .. } = self;
        parser.parse(payload, |root| decode::message(root, reused, out)).unwrap_or(Err("not JSON"))
    }

    /// The best 25 of each side in turn, bid first, as the venue wrote them: `price:size:price:size:…`.
    fn checksum(&self, book: &Ladder, scratch: &mut Vec<u8>) -> u32 {
        let (mut bids, mut asks) = (book.bids(), book.asks());
        for _ in 0..CHECKSUM_DEPTH {
            for raw in [bids.next(), asks.next()].into_iter().flatten() {
                if !scratch.is_empty() {
                    scratch.push(b':');
                }
                put_text(scratch, raw.price);
                scratch.push(b':');
                put_text(scratch, raw.size);
            }
        }
        crc32fast::hash(scratch)
    }

    fn listings(&self, base: &str, wanted: &[String]) -> Vec<String> {
        let mut lists: Vec<&str> = wanted.iter().map(|name| decode::list_of(name)).collect();
        lists.sort_unstable();
        lists.dedup();
        lists.into_iter().map(|list| format!("{base}/api/v2/{list}")).collect()
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(|error| error.to_string())
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["symbols?", "contracts?"]
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
