//! Bitfinex v2: spot and perpetual swaps. In: `trades`, `book`. Out: see `decode`; here are addresses, requests, facts.
//! Data names its channel by a number that the answer to the subscription gave. All messages of a connection are numbered together
//! (flag 65536), so a lost one condemns what the connection carries. There are no quotes: the ticker's sizes are sums over 25 levels.
//!
//! Source: docs.bitfinex.com/docs/ws-general (limits, flags, codes), reference/ws-public-books and ws-public-trades.

mod channels;
mod decode;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Keepalive, Listed, Operation, OrphanDelete, Proof, Protocol, Request, Scope,
    SnapshotFrom, Stream, TradeIds, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use channels::Channels;
use wire::event::{Channel, Nanos};

pub const VENUE: Venue = Venue {
    name: "bitfinex",
    aliases: &[],
    ws_url: "wss://api-pub.bitfinex.com",
    rest_url: "https://api-pub.bitfinex.com",
    protocol: |settings| {
        Box::new(Bitfinex { streams: chosen(&STREAMS, settings), parser: Parser::default(), channels: Channels::default() })
    },
};

/// Number all messages.
const CONFIGURATION: &str = r#"{"event":"conf","flags":65536}"#;
const BOOK_LEVELS: u32 = 250;

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // Each channel sends a sign of life every 15 s.
        silence_ms: 25_000,
        messages_per_second: 5,
        // 20 a minute.
        connects_per_five_minutes: 90,
        weight_per_minute: 30,
        ..COMMON.caps
    },
    proofs: &[Proof::Counter { step: 1, restart_floor: 0 }],
    scope: Scope::Connection,
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    orphan_delete: OrphanDelete::Ignored,
    trade_ids: TradeIds::Rising,
    answered_by: AnsweredBy::Topic,
    topics_per_request: 1,
    // 25 channels a connection.
    topics_per_line: 24,
    symbols_per_line: 24,
    keepalive: Some(Keepalive { every_ms: 15_000, when_silent: true }),
    ..COMMON
};

const STREAMS: [Stream; 2] = [
    Stream { name: "trades", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "book", carries: &[Channel::Book], endpoint: 0 },
];

struct Bitfinex {
    streams: Vec<Stream>,
    parser: Parser,
    channels: Channels,
}

impl Protocol for Bitfinex {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/ws/2")]
    }

    fn greeting(&mut self, line: Line, _endpoint: usize, _first: bool) -> Vec<String> {
        self.channels.begin(line);
        vec![CONFIGURATION.to_owned()]
    }

    fn ping(&self, id: u64, _time: Nanos) -> String {
        format!(r#"{{"event":"ping","cid":{id}}}"#)
    }

    fn request(&self, request: &Request<'_>) -> String {
        let Some(topic) = request.topics.first() else { return String::new() };
        let (name, native) = (topic.stream.name, topic.native);
        match (request.operation, name) {
            (Operation::Unsubscribe, _) => {
                let channel = self.channels.id_of(request.line, name, native).unwrap_or(0);
                format!(r#"{{"event":"unsubscribe","chanId":{channel}}}"#)
            }
            (_, "book") => format!(
                r#"{{"event":"subscribe","channel":"book","symbol":"{native}","prec":"P0","freq":"F0","len":"{BOOK_LEVELS}"}}"#
            ),
            _ => format!(r#"{{"event":"subscribe","channel":"{name}","symbol":"{native}"}}"#),
        }
    }

    fn decode(&mut self, line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        let Self { parser, channels, .. } = self;
        parser.parse_exact(payload, |root| decode::message(root, line, channels, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, wanted: &[String]) -> Vec<String> {
        let swap = |name: &String| name.ends_with("-PERP") || name.contains("F0:");
        let lists = [("future", wanted.iter().any(swap)), ("exchange", wanted.iter().any(|name| !swap(name)))];
        let url = |(list, _)| format!("{base}/v2/conf/pub:list:pair:{list}");
        lists.into_iter().filter(|(_, wanted)| *wanted).map(url).collect()
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(|error| error.to_string())
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["pub:list:pair:exchange?", "pub:list:pair:future?"]
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
