//! Coinbase Advanced Trade, spot. In: `level2`, `market_trades`, `heartbeats`. Out: see `decode`; here are addresses, requests, facts.
//! All messages of a connection are numbered together, answers and heartbeats included: a hole condemns everything the line carries.
//!
//! Source: docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket; a recording of 2026.

mod decode;
mod voice;

use super::named;
use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Grouping, Listed, Operation, Proof, Protocol, Request, Scope, SnapshotFrom,
    Stream, TradeIds, address_key, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use crate::settings::FeedSettings;
use std::fmt::Write as _;
use wire::event::Channel;

pub const ADVANCED: Venue = Venue {
    name: "coinbase",
    aliases: &["coinbase-advanced"],
    ws_url: "wss://advanced-trade-ws.coinbase.com",
    rest_url: "https://api.coinbase.com",
    protocol: |settings| Box::new(Advanced::new(settings)),
};

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A heartbeat comes every second.
        silence_ms: 5_000,
        // 8 a second and address.
        messages_per_second: 4,
        // 8 a second and address.
        connects_per_five_minutes: 300,
        ..COMMON.caps
    },
    proofs: &[Proof::Counter { step: 1, restart_floor: 0 }],
    scope: Scope::Connection,
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    trade_ids: TradeIds::Counted,
    // An answer tells all that is subscribed, not what was asked.
    answered_by: AnsweredBy::Order,
    grouping: Grouping::OneStream,
    topics_per_request: 10,
    topics_per_line: 16,
    // A lost message costs all snapshots of a line, of up to 5 MB each.
    symbols_per_line: 8,
    time_exponent: -9,
    ..COMMON
};

/// Quotes are made from the book: `ticker` speaks only when there is a trade.
const STREAMS: [Stream; 2] = [
    Stream { name: "level2", carries: &[Channel::Book], endpoint: 0 },
    Stream { name: "market_trades", carries: &[Channel::Trade], endpoint: 0 },
];

struct Advanced {
    streams: Vec<Stream>,
    parser: Parser,
    /// Lines whose heartbeats are not acknowledged yet: the next answer is about them.
    greeted: Vec<Line>,
}

impl Advanced {
    fn new(settings: &FeedSettings) -> Self {
        Self { streams: chosen(&STREAMS, settings), parser: Parser::default(), greeted: Vec::new() }
    }
}

impl Protocol for Advanced {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![base.to_owned()]
    }

    /// Without heartbeats a quiet line is closed after a minute or so.
    fn greeting(&mut self, line: Line, _endpoint: usize, _first: bool) -> Vec<String> {
        self.greeted.retain(|known| *known != line);
        self.greeted.push(line);
        vec![r#"{"type":"subscribe","channel":"heartbeats"}"#.to_owned()]
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
        let _ = write!(text, r#"],"channel":"{channel}"}}"#);
        text
    }

    fn decode(&mut self, line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        let answered = self.parser.parse(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))?;
        if let Some(answer) = answered {
            match self.greeted.iter().position(|known| *known == line) {
                Some(at) => {
                    self.greeted.swap_remove(at);
                    answer.tell_greeting(out);
                }
                None => answer.tell(out),
            }
        }
        Ok(())
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}/api/v3/brokerage/market/products?product_type=SPOT")]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(|error| error.to_string())
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["products?"]
    }

    fn address_key(&self, url: &str) -> String {
        address_key(url, &["product_type"])
    }

    fn guess(&self, native: &str) -> Listed {
        named(native)
    }

    /// Answers count among the numbered messages, so a replay must not leave them out; they say nothing that could mislead.
    fn is_answer(&self, _message: &[u8]) -> bool {
        false
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
