//! Gemini, market data v2. In: `l2`, which brings books and trades. Out: see `decode`; here are addresses, requests and facts.
//! The venue answers no request and numbers nothing but trades: a lost update stays unseen until the next snapshot.
//!
//! Source: docs.gemini.com/websocket/market-data/v2, /rest/market-data; a recording of 2026.

mod decode;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Listed, Operation, Protocol, Request, SnapshotFrom, Stream, TradeIds, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use std::fmt::Write as _;
use wire::event::Channel;

pub const VENUE: Venue = Venue {
    name: "gemini",
    aliases: &[],
    ws_url: "wss://api.gemini.com",
    rest_url: "https://api.gemini.com",
    protocol: |settings| Box::new(Gemini { streams: chosen(&STREAMS, settings), parser: Parser::default() }),
};

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A heartbeat comes every five seconds.
        silence_ms: 15_000,
        messages_per_second: 4,
        // 120 requests a minute.
        weight_per_minute: 100,
        ..COMMON.caps
    },
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    trade_ids: TradeIds::Rising,
    listing_each: true,
    answered_by: AnsweredBy::Nothing,
    topics_per_request: 50,
    topics_per_line: 50,
    symbols_per_line: 50,
    book_has_time: false,
    ..COMMON
};

/// Quotes are made from the book.
const STREAMS: [Stream; 1] = [Stream { name: "l2", carries: &[Channel::Trade, Channel::Book], endpoint: 0 }];

struct Gemini {
    streams: Vec<Stream>,
    parser: Parser,
}

impl Protocol for Gemini {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/v2/marketdata")]
    }

    fn request(&self, request: &Request<'_>) -> String {
        let kind = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let mut text = format!(r#"{{"type":"{kind}","subscriptions":[{{"name":"l2","symbols":["#);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{}\"", topic.native);
        }
        text.push_str("]}]}");
        text
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
    }

    /// The list of all has names only; steps, base and quote come one instrument at a time.
    fn listings(&self, base: &str, wanted: &[String]) -> Vec<String> {
        let one = |name: &String| {
            let letters = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
            format!("{base}/v1/symbols/details/{}", letters.to_ascii_lowercase())
        };
        wanted.iter().map(one).collect()
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map(|listed| vec![listed]).map_err(|error| error.to_string())
    }

    fn address_key(&self, url: &str) -> String {
        url.rsplit('/').next().map_or(String::new(), |name| format!("{LISTING_KEY}{name}"))
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &[LISTING_KEY]
    }

    fn guess(&self, native: &str) -> Listed {
        decode::named(native)
    }

    fn is_answer(&self, _message: &[u8]) -> bool {
        false
    }

    fn grants(&self, _request: &str) -> Vec<String> {
        Vec::new()
    }

    fn voice(&self) -> Option<Box<dyn Voice>> {
        Some(Box::new(voice::Words))
    }
}

const LISTING_KEY: &str = "details/";

#[cfg(test)]
mod tests;
