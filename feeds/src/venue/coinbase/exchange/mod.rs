//! Coinbase Exchange. In: `level2_batch`, `matches`, `heartbeat`. Out: see `decode`; here are addresses, requests and facts.
//! Books carry no number and no checksum, and `level2` itself wants a key: Advanced Trade is the better choice where it will do.
//!
//! Source: docs.cdp.coinbase.com/exchange/websocket-feed; a recording of 2021.

mod decode;
mod voice;

use super::named;
use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Grouping, Listed, Operation, Protocol, Request, SnapshotFrom, Stream,
    TradeIds, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use std::fmt::Write as _;
use wire::event::Channel;

pub const EXCHANGE: Venue = Venue {
    name: "coinbase-exchange",
    aliases: &[],
    ws_url: "wss://ws-feed.exchange.coinbase.com",
    rest_url: "https://api.exchange.coinbase.com",
    protocol: |settings| Box::new(Exchange { streams: chosen(&STREAMS, settings), parser: Parser::default() }),
};

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A heartbeat comes every second and product.
        silence_ms: 10_000,
        // 8 requests a second and address in bursts of 20.
        messages_per_second: 4,
        ..COMMON.caps
    },
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    trade_ids: TradeIds::Counted,
    // An answer tells all that is subscribed, not what was asked.
    answered_by: AnsweredBy::Order,
    grouping: Grouping::OneStream,
    topics_per_request: 20,
    topics_per_line: 40,
    symbols_per_line: 20,
    time_exponent: -6,
    ..COMMON
};

/// Quotes are made from the book: `ticker` speaks only when there is a trade.
const STREAMS: [Stream; 2] = [
    Stream { name: "level2_batch", carries: &[Channel::Book], endpoint: 0 },
    Stream { name: "matches", carries: &[Channel::Trade], endpoint: 0 },
];

struct Exchange {
    streams: Vec<Stream>,
    parser: Parser,
}

impl Protocol for Exchange {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![base.to_owned()]
    }

    fn request(&self, request: &Request<'_>) -> String {
        let kind = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let channel = request.topics.first().map_or("", |topic| topic.stream.name);
        let mut text = format!(r#"{{"type":"{kind}","product_ids":["#);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{}\"", topic.native);
        }
        let alive = if request.operation == Operation::Subscribe { r#","heartbeat""# } else { "" };
        let _ = write!(text, r#"],"channels":["{channel}"{alive}]}}"#);
        text
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}/products")]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(|error| error.to_string())
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["products?"]
    }

    fn guess(&self, native: &str) -> Listed {
        named(native)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.starts_with(br#"{"type":"subscriptions""#) || message.starts_with(br#"{"type":"error""#)
    }

    fn grants(&self, request: &str) -> Vec<String> {
        let answer = r#"{"type":"subscriptions","channels":[]}"#;
        if request.contains("subscribe") { vec![answer.to_owned()] } else { Vec::new() }
    }

    fn voice(&self) -> Option<Box<dyn Voice>> {
        Some(Box::new(voice::Words))
    }
}

#[cfg(test)]
mod tests;
