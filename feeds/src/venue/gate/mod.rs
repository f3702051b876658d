//! Gate.io spot, WebSocket v4. In: `spot.book_ticker`, `spot.trades`, `spot.order_book_update`, order books and pairs by REST. Out: see
//! `decode`; here are addresses, requests and facts. Book updates cover ranges of ids; the book has the best 100 levels of each side.
//!
//! Source: www.gate.com/docs/developers/apiv4/ws/en, "Spot WebSocket v4"; REST "Retrieve order book", "List all currency pairs".

mod decode;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Grouping, Keepalive, Listed, Operation, OrphanDelete, Proof, Protocol,
    QuoteIds, Request, SnapshotFrom, Stream, TradeIds, address_key, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use std::fmt::Write as _;
use wire::event::{Channel, Nanos};

pub const VENUE: Venue = Venue {
    name: "gate",
    aliases: &["gateio", "gate-io"],
    ws_url: "wss://api.gateio.ws",
    rest_url: "https://api.gateio.ws",
    protocol: |settings| Box::new(Gate { streams: chosen(&STREAMS, settings), parser: Parser::default() }),
};

/// Updates every 100 ms are of this many levels a side.
const DEPTH_LIMIT: u32 = 100;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A ping is answered.
        silence_ms: 30_000,
        messages_per_second: 10,
        connects_per_five_minutes: 250,
        // 200 in ten seconds.
        weight_per_minute: 900,
        ..COMMON.caps
    },
    proofs: &[Proof::Range],
    snapshot: SnapshotFrom::Rest { weight: 1, equal: false },
    orphan_delete: OrphanDelete::Ignored,
    // Counted over all pairs.
    trade_ids: TradeIds::Rising,
    quote_ids: QuoteIds::Rising,
    answered_by: AnsweredBy::Id,
    grouping: Grouping::OneStream,
    // Each book is a request of its own; a line's requests are to be through before the first counts as unanswered.
    topics_per_request: 1,
    topics_per_line: 90,
    symbols_per_line: 30,
    keepalive: Some(Keepalive { every_ms: 10_000, when_silent: true }),
    ..COMMON
};

const STREAMS: [Stream; 3] = [
    Stream { name: "spot.book_ticker", carries: &[Channel::Quote], endpoint: 0 },
    Stream { name: "spot.trades", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "spot.order_book_update", carries: &[Channel::Book], endpoint: 0 },
];

struct Gate {
    streams: Vec<Stream>,
    parser: Parser,
}

impl Protocol for Gate {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/ws/v4/")]
    }

    fn request(&self, request: &Request<'_>) -> String {
        let event = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let channel = request.topics.first().map_or("", |topic| topic.stream.name);
        let seconds = request.time / NANOS_PER_SECOND;
        let mut text = format!(r#"{{"time":{seconds},"id":{},"channel":"{channel}","event":"{event}","payload":["#, request.id);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{}\"", topic.native);
        }
        text.push_str(if channel == STREAMS[2].name { r#","100ms"]}"# } else { "]}" });
        text
    }

    fn ping(&self, id: u64, time: Nanos) -> String {
        format!(r#"{{"time":{},"id":{id},"channel":"spot.ping"}}"#, time / NANOS_PER_SECOND)
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}/api/v4/spot/currency_pairs")]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(|error| error.to_string())
    }

    fn snapshot_url(&self, base: &str, native: &str) -> String {
        format!("{base}/api/v4/spot/order_book?currency_pair={native}&limit={DEPTH_LIMIT}&with_id=true")
    }

    fn snapshot(&mut self, native: &str, body: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(body, |root| decode::snapshot(root, native, out)).unwrap_or(Err("not JSON"))
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["currency_pairs?"]
    }

    fn snapshot_native(&self, key: &str) -> Option<String> {
        key.strip_prefix("order_book?currency_pair=").map(str::to_owned)
    }

    fn address_key(&self, url: &str) -> String {
        address_key(url, &["limit", "with_id"])
    }

    fn guess(&self, native: &str) -> Listed {
        let (base, quote) = native.split_once('_').unwrap_or((native, ""));
        Listed::spot(native, base, quote)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.len() < 1_024 && memchr::memmem::find(message, b"subscribe\"").is_some()
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
