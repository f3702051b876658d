//! OKX v5: spot, swaps, futures and options. In: `bbo-tbt`, `trades`, `books`. Out: see `decode`; here are addresses, requests, facts.
//! Each book update names its predecessor. The checksum beside it is dead since June 2026 (always 0) and is only checked where it is not.
//!
//! Source: www.okx.com/docs-v5, order book channel; notice of 2026-05-21 about the checksum.

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
use std::fmt::Write as _;
use wire::event::{Channel, Nanos};

pub const VENUE: Venue = Venue {
    name: "okx",
    aliases: &[],
    ws_url: "wss://ws.okx.com:8443",
    rest_url: "https://www.okx.com",
    protocol: |settings| Box::new(Okx { streams: chosen(&STREAMS, settings), parser: Parser::default() }),
};

const CHECKSUM_DEPTH: usize = 25;

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // The venue answers a ping; without one it may say nothing for long.
        silence_ms: 30_000,
        // 480 requests an hour, in bursts.
        messages_per_second: 3,
        connects_per_five_minutes: 300,
        weight_per_minute: 600,
        ..COMMON.caps
    },
    proofs: &[Proof::Chain, Proof::Crc { depth: CHECKSUM_DEPTH }],
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    // A recording of 2022 deletes levels right after the snapshot that this did not hold, and its checksums agree.
    orphan_delete: OrphanDelete::Ignored,
    // The last of the executions that were merged.
    trade_ids: TradeIds::Rising,
    answered_by: AnsweredBy::Topic,
    topics_per_request: 100,
    topics_per_line: 300,
    symbols_per_line: 100,
    keepalive: Some(Keepalive { every_ms: 15_000, when_silent: true }),
    ..COMMON
};

const STREAMS: [Stream; 3] = [
    Stream { name: "bbo-tbt", carries: &[Channel::Quote], endpoint: 0 },
    Stream { name: "trades", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "books", carries: &[Channel::Book], endpoint: 0 },
];

struct Okx {
    streams: Vec<Stream>,
    parser: Parser,
}

impl Protocol for Okx {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/ws/v5/public")]
    }

    fn ping(&self, _id: u64, _time: Nanos) -> String {
        "ping".to_owned()
    }

    fn request(&self, request: &Request<'_>) -> String {
        let operation = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let mut text = format!(r#"{{"id":"{}","op":"{operation}","args":["#, request.id);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, r#"{comma}{{"channel":"{}","instId":"{}"}}"#, topic.stream.name, topic.native);
        }
        text.push_str("]}");
        text
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        if payload == b"pong" {
            return Ok(());
        }
        self.parser.parse(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
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
        let mut kinds: Vec<String> = wanted.iter().map(|name| decode::list_of(name.trim_start_matches('!'))).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.into_iter().map(|kind| format!("{base}/api/v5/public/instruments?{kind}")).collect()
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
        message.starts_with(br#"{"event""#) || message.starts_with(br#"{"id""#)
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
