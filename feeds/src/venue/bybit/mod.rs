//! Bybit v5: spot, linear and inverse contracts. In: `orderbook`, `publicTrade`, instrument lists. Out: see `decode`; here are addresses,
//! requests and facts. Each category has an address of its own, and spot and linear share names: a spot symbol is `spot:BTCUSDT` here.
//! A book's updates count by one; number 1 is a whole book, for the venue's service was restarted.
//!
//! Source: bybit-exchange.github.io/docs/v5, "Connect", "Orderbook", "Trade" (public), "Get Instruments Info".

mod decode;
mod listing;

use crate::adapter::{Line, VenueCaps};
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Keepalive, Listed, Operation, OrphanDelete, Proof, Protocol, QuoteIds,
    Request, SnapshotFrom, Stream, TradeIds, address_key, chosen,
};
use crate::json::Parser;
use crate::registry::Venue;
use crate::settings::FeedSettings;
use foldhash::HashMap;
use listing::Category;
use std::fmt::Write as _;
use wire::event::{Channel, Nanos};

pub const VENUE: Venue = Venue {
    name: "bybit",
    aliases: &[],
    ws_url: "wss://stream.bybit.com",
    rest_url: "https://api.bybit.com",
    protocol: |settings| Box::new(Bybit::new(settings)),
};

/// Levels a side that can be had, beside the best one alone.
const DEPTHS: [u32; 3] = [50, 200, 1_000];
const DEPTH: u32 = 200;

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // A ping is answered.
        silence_ms: 30_000,
        messages_per_second: 8,
        connects_per_five_minutes: 400,
        weight_per_minute: 600,
        ..COMMON.caps
    },
    proofs: &[Proof::Counter { step: 1, restart_floor: 1 }],
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    // None was seen, but the numbers say it all.
    orphan_delete: OrphanDelete::Ignored,
    // Texts on contracts; numbers on spot, of which the documentation promises nothing.
    trade_ids: TradeIds::None,
    // The best level is sent again with its number after three seconds without a change.
    quote_ids: QuoteIds::None,
    answered_by: AnsweredBy::Id,
    // Spot takes no more.
    topics_per_request: 10,
    // All names of a line together may be 21,000 characters long.
    topics_per_line: 300,
    symbols_per_line: 100,
    keepalive: Some(Keepalive { every_ms: 20_000, when_silent: false }),
    ..COMMON
};

/// The same at each address, in the order of `Category::ALL`.
const STREAMS: [Stream; 9] = {
    let mut streams = [Stream { name: "orderbook.1", carries: &[Channel::Quote], endpoint: 0 }; 9];
    let mut at = 0;
    while at < streams.len() {
        streams[at].endpoint = at / 3;
        match at % 3 {
            1 => (streams[at].name, streams[at].carries) = ("publicTrade", &[Channel::Trade]),
            2 => (streams[at].name, streams[at].carries) = ("orderbook", &[Channel::Book]),
            _ => {}
        }
        at += 1;
    }
    streams
};

struct Bybit {
    streams: Vec<Stream>,
    depth: u32,
    parser: Parser,
    /// Of the lines there are.
    categories: HashMap<Line, Category>,
    /// Reused: a spot symbol as it is called here.
    name: String,
}

impl Bybit {
    fn new(settings: &FeedSettings) -> Self {
        let wanted = settings.depth.unwrap_or(DEPTH);
        let depth = DEPTHS.into_iter().find(|depth| *depth >= wanted).unwrap_or(1_000);
        let streams = chosen(&STREAMS, settings);
        Self { streams, depth, parser: Parser::default(), categories: HashMap::default(), name: String::new() }
    }
}

impl Protocol for Bybit {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        Category::ALL.iter().map(|category| format!("{base}/v5/public/{}", category.name())).collect()
    }

    fn serves(&self, endpoint: usize, native: &str) -> bool {
        Category::ALL.get(endpoint) == Some(&Category::of(native))
    }

    fn greeting(&mut self, line: Line, endpoint: usize, _first: bool) -> Vec<String> {
        self.categories.insert(line, Category::ALL.get(endpoint).copied().unwrap_or(Category::Linear));
        Vec::new()
    }

    fn ping(&self, id: u64, _time: Nanos) -> String {
        format!(r#"{{"req_id":"{id}","op":"ping"}}"#)
    }

    fn request(&self, request: &Request<'_>) -> String {
        let operation = if request.operation == Operation::Subscribe { "subscribe" } else { "unsubscribe" };
        let mut text = format!(r#"{{"req_id":"{}","op":"{operation}","args":["#, request.id);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let symbol = topic.native.strip_prefix(listing::SPOT).unwrap_or(topic.native);
            // Writing to a String cannot fail.
            let _ = match topic.stream.name {
                "orderbook" => write!(text, r#"{comma}"orderbook.{}.{symbol}""#, self.depth),
                name => write!(text, r#"{comma}"{name}.{symbol}""#),
            };
        }
        text.push_str("]}");
        text
    }

    fn decode(&mut self, line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        let Self { parser, categories, name, .. } = self;
        let spot = categories.get(&line) == Some(&Category::Spot);
        parser.parse(payload, |root| decode::message(root, spot, name, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, wanted: &[String]) -> Vec<String> {
        let wanted: Vec<Category> = wanted.iter().map(|name| Category::wanted(name)).collect();
        let lists = Category::ALL.iter().filter(|category| wanted.contains(category));
        // Spot has them all on one page, contracts on several.
        lists.map(|list| format!("{base}/v5/market/instruments-info?category={}&limit=1000", list.name())).collect()
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        listing::listing(json)
    }

    fn next_listing(&self, url: &str, json: &[u8]) -> Option<String> {
        let first = url.split_once("&cursor=").map_or(url, |(first, _)| first);
        Some(format!("{first}&cursor={}", listing::next_page(json)?))
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["instruments-info?category="]
    }

    fn address_key(&self, url: &str) -> String {
        address_key(url, &["limit", "status"])
    }

    fn guess(&self, native: &str) -> Listed {
        listing::guess(native)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.starts_with(br#"{"success""#) || message.starts_with(br#"{"req_id""#)
    }

    fn grants(&self, request: &str) -> Vec<String> {
        decode::grants(request)
    }
}

#[cfg(test)]
mod tests;
