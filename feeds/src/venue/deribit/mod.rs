//! Deribit: futures, perpetuals, options and spot. In: `quote`, `trades`, `book`. Out: see `decode`; here are addresses, requests, facts.
//! JSON-RPC: an answer repeats its request's number and names the channels it grants. Each book update names its predecessor, each
//! trade its number in the instrument. Channels are taken at 100 ms, the finest that needs no account.
//!
//! Source: docs.deribit.com, public/subscribe, public/set_heartbeat and the notifications `book.{instrument}.{interval}`,
//! `trades.{instrument}.{interval}`, `quote.{instrument}`.

mod decode;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Listed, Operation, OrphanDelete, Proof, Protocol, Request, SnapshotFrom,
    Stream, TradeIds, TradeUpdate, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use std::fmt::Write as _;
use wire::event::Channel;

pub const VENUE: Venue = Venue {
    name: "deribit",
    aliases: &[],
    ws_url: "wss://www.deribit.com",
    rest_url: "https://www.deribit.com",
    protocol: |settings| Box::new(Deribit { streams: chosen(&STREAMS, settings), parser: Parser::default(), trades: Vec::new() }),
};

/// The venue says something at least so often, and wants each of its test requests answered.
const HEARTBEAT: &str = r#"{"jsonrpc":"2.0","id":"heartbeat","method":"public/set_heartbeat","params":{"interval":10}}"#;

const FACTS: Facts = Facts {
    caps: VenueCaps {
        silence_ms: 25_000,
        messages_per_second: 5,
        connects_per_five_minutes: 60,
        weight_per_minute: 300,
        ..COMMON.caps
    },
    proofs: &[Proof::Chain],
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    orphan_delete: OrphanDelete::Ignored,
    trade_ids: TradeIds::Counted,
    answered_by: AnsweredBy::Id,
    topics_per_request: 100,
    topics_per_line: 450,
    symbols_per_line: 150,
    ..COMMON
};

const STREAMS: [Stream; 3] = [
    Stream { name: "quote", carries: &[Channel::Quote], endpoint: 0 },
    Stream { name: "trades", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "book", carries: &[Channel::Book], endpoint: 0 },
];

struct Deribit {
    streams: Vec<Stream>,
    parser: Parser,
    /// Reused: the trades of one message, to be put in order.
    trades: Vec<TradeUpdate>,
}

impl Protocol for Deribit {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/ws/api/v2")]
    }

    fn greeting(&mut self, _line: Line, _endpoint: usize, _first: bool) -> Vec<String> {
        vec![HEARTBEAT.to_owned()]
    }

    fn request(&self, request: &Request<'_>) -> String {
        let method = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let mut text = format!(r#"{{"jsonrpc":"2.0","id":{},"method":"public/{method}","params":{{"channels":["#, request.id);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let interval = if topic.stream.name == "quote" { "" } else { ".100ms" };
            // Writing to a String cannot fail.
            let _ = write!(text, r#"{comma}"{}.{}{interval}""#, topic.stream.name, topic.native);
        }
        text.push_str("]}}");
        text
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        let Self { parser, trades, .. } = self;
        parser.parse_exact(payload, |root| decode::message(root, trades, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, wanted: &[String]) -> Vec<String> {
        let mut lists: Vec<String> = wanted.iter().map(|name| decode::list_of(name)).collect();
        lists.sort_unstable();
        lists.dedup();
        lists.into_iter().map(|list| format!("{base}/api/v2/public/get_instruments?{list}&expired=false")).collect()
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(str::to_owned)
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["get_instruments?"]
    }

    fn guess(&self, native: &str) -> Listed {
        decode::named(native)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.starts_with(br#"{"jsonrpc":"2.0","id""#)
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
