//! KuCoin spot. In: `/market/ticker`, `/market/match`, `/market/level2`, order books and symbols by REST. Out: see `decode`; here are
//! addresses, requests and facts. Where to connect is asked for by POST, and the venue greets first. Updates cover ranges of ids.
//!
//! Source: www.kucoin.com/docs-new, "Introduction" (WebSocket), "Ticker", "Trade", "Orderbook - Increment", "Get Part OrderBook".

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
    name: "kucoin",
    aliases: &[],
    // Only where no address is asked for: in replays.
    ws_url: "wss://ws-api-spot.kucoin.com",
    rest_url: "https://api.kucoin.com",
    protocol: |settings| Box::new(KuCoin { streams: chosen(&STREAMS, settings), parser: Parser::default() }),
};

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A ping is answered.
        silence_ms: 30_000,
        // 100 in ten seconds.
        messages_per_second: 8,
        connects_per_five_minutes: 150,
        // 2,000 in half a minute.
        weight_per_minute: 3_000,
        ..COMMON.caps
    },
    proofs: &[Proof::Range],
    snapshot: SnapshotFrom::Rest { weight: 4, equal: false },
    orphan_delete: OrphanDelete::Ignored,
    // Numbers of the matching engine, with holes.
    trade_ids: TradeIds::Rising,
    quote_ids: QuoteIds::Rising,
    listing_weight: 4,
    answered_by: AnsweredBy::Id,
    grouping: Grouping::OneStream,
    topics_per_request: 100,
    topics_per_line: 300,
    symbols_per_line: 100,
    waits_for_hello: true,
    token: true,
    keepalive: Some(Keepalive { every_ms: 15_000, when_silent: false }),
    ..COMMON
};

const STREAMS: [Stream; 3] = [
    Stream { name: "/market/ticker", carries: &[Channel::Quote], endpoint: 0 },
    Stream { name: "/market/match", carries: &[Channel::Trade], endpoint: 0 },
    Stream { name: "/market/level2", carries: &[Channel::Book], endpoint: 0 },
];

struct KuCoin {
    streams: Vec<Stream>,
    parser: Parser,
}

impl Protocol for KuCoin {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![base.to_owned()]
    }

    fn token_request(&self, base: &str) -> String {
        format!("{base}/api/v1/bullet-public")
    }

    fn token_url(&self, json: &[u8]) -> Option<String> {
        decode::address(json)
    }

    fn request(&self, request: &Request<'_>) -> String {
        let kind = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let channel = request.topics.first().map_or("", |topic| topic.stream.name);
        let mut text = format!(r#"{{"id":"{}","type":"{kind}","topic":"{channel}:"#, request.id);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{}", topic.native);
        }
        text.push_str(r#"","privateChannel":false,"response":true}"#);
        text
    }

    fn ping(&self, id: u64, _time: Nanos) -> String {
        format!(r#"{{"id":"{id}","type":"ping"}}"#)
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(payload, |root| decode::message(root, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}/api/v2/symbols")]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(|error| error.to_string())
    }

    /// The deepest that is to be had without an account.
    fn snapshot_url(&self, base: &str, native: &str) -> String {
        format!("{base}/api/v1/market/orderbook/level2_100?symbol={native}")
    }

    fn snapshot(&mut self, native: &str, body: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser.parse(body, |root| decode::snapshot(root, native, out)).unwrap_or(Err("not JSON"))
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["symbols?"]
    }

    fn snapshot_native(&self, key: &str) -> Option<String> {
        key.strip_prefix("level2?symbol=").map(str::to_owned)
    }

    /// Recordings may hold the whole book where we ask for a part.
    fn address_key(&self, url: &str) -> String {
        address_key(url, &[]).replace("level2_100?", "level2?").replace("level2_20?", "level2?")
    }

    fn guess(&self, native: &str) -> Listed {
        let (base, quote) = native.split_once('-').unwrap_or((native, ""));
        Listed::spot(native, base, quote)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        let said = |kind: &[u8]| memchr::memmem::find(message, kind).is_some();
        message.len() < 512 && (said(br#""type":"ack""#) || said(br#""type":"error""#))
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
