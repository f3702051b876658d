//! Binance: spot, Binance.US, futures margined in stablecoins (USD-M) and in coins (COIN-M). In: `exchangeInfo`, `bookTicker`, `trade` or
//! `aggTrade`, `depth@100ms`, depth snapshots; spot also as binary streams. Out: see `decode`, which reads messages, `binary`, which reads
//! frames, and `listing`; here are addresses, requests and facts. Levels are handed on in the order in which the venue sends them.
//!
//! The binary streams of spot are a venue of their own: recordings, replays and audits choose the protocol by the venue's name, the streams
//! have other names and another pace, and only they ask for a key. REST and the proof of loss are spot's.
//!
//! Spot's book updates cover ranges of ids. Those of futures name their predecessor (`pu`), and the first to follow a snapshot is the
//! one that contains its id. USD-M streams are split over two addresses; at the wrong one a subscription is granted and stays silent.
//!
//! Source: github.com/binance/binance-spot-api-docs, "Web Socket Streams", "SBE Market Data Streams"; developers.binance.com, derivatives, "WebSocket Market
//! Streams" and "How to manage a local order book correctly".

mod binary;
mod decode;
mod listing;
pub mod sbe;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    About, AnsweredBy, BAD, BookUpdate, COMMON, Complaint, Decoded, Facts, Keepalive, Listed, Operation, OrphanDelete, Part,
    Proof, Protocol, QuoteIds, QuoteUpdate, RawLevel, Request, SnapshotFrom, Stream, TradeIds, TradeUpdate, chosen, number,
};
use crate::json::Parser;
use crate::registry::Venue;
use crate::replay::binance::{acknowledgement, address_key, is_answer};
use crate::settings::FeedSettings;
use decode::Message;
use std::fmt::Write as _;
use wire::event::{Aggressor, Channel, Nanos};

pub const SPOT: Venue = Venue {
    name: "binance",
    aliases: &["binance-spot"],
    ws_url: "wss://stream.binance.com:9443",
    rest_url: "https://api.binance.com",
    protocol: |settings| Box::new(Binance::new(&SPOT_MARKET, settings)),
};

pub const SBE: Venue = Venue {
    name: "binance-sbe",
    aliases: &["binance-binary"],
    ws_url: "wss://stream-sbe.binance.com:9443",
    rest_url: SPOT.rest_url,
    protocol: |settings| Box::new(Binance::new(&SBE_MARKET, settings)),
};

pub const US: Venue = Venue {
    name: "binance-us",
    aliases: &[],
    ws_url: "wss://stream.binance.us:9443",
    rest_url: "https://api.binance.us",
    protocol: |settings| Box::new(Binance::new(&US_MARKET, settings)),
};

pub const USD_M: Venue = Venue {
    name: "binance-usdm",
    aliases: &["binance-futures"],
    ws_url: "wss://fstream.binance.com",
    rest_url: "https://fapi.binance.com",
    protocol: |settings| Box::new(Binance::new(&USD_M_MARKET, settings)),
};

pub const COIN_M: Venue = Venue {
    name: "binance-coinm",
    aliases: &["binance-delivery"],
    ws_url: "wss://dstream.binance.com",
    rest_url: "https://dapi.binance.com",
    protocol: |settings| Box::new(Binance::new(&COIN_M_MARKET, settings)),
};

const SPOT_FACTS: Facts = Facts {
    caps: VenueCaps {
        // The streams of even one busy symbol are never silent for long; operators of quiet ones set `silence_ms`.
        silence_ms: 5_000,
        // The venue takes five, and its pings' pongs count among them.
        messages_per_second: 4,
        connects_per_five_minutes: 300,
        weight_per_minute: 6_000,
        max_connection_age_s: 24 * 60 * 60,
        // A depth message is 10 KB when it is large.
        max_message_bytes: 4 << 20,
        key_header: None,
    },
    proofs: &[Proof::Range],
    snapshot: SnapshotFrom::Rest { weight: 250, equal: false },
    orphan_delete: OrphanDelete::Ignored,
    // Both `trade` and `aggTrade` count by one, each in its own numbering.
    trade_ids: TradeIds::Counted,
    quote_ids: QuoteIds::AsBook,
    listing_weight: 20,
    answered_by: AnsweredBy::Id,
    topics_per_request: 100,
    topics_per_line: 1_024,
    symbols_per_line: 1_024,
    // The venue's numbers have at most eight decimals.
    finest_exponent: -8,
    // Spot `bookTicker` carries no time at all.
    quote_has_time: false,
    ..COMMON
};

const SBE_FACTS: Facts = Facts {
    caps: VenueCaps { key_header: Some("x-mbx-apikey"), ..SPOT_FACTS.caps },
    quote_has_time: true,
    time_exponent: -6,
    ..SPOT_FACTS
};

const US_FACTS: Facts = Facts {
    caps: VenueCaps { weight_per_minute: 1_200, ..SPOT_FACTS.caps },
    snapshot: SnapshotFrom::Rest { weight: 50, equal: false },
    listing_weight: 10,
    ..SPOT_FACTS
};

const FUTURES_FACTS: Facts = Facts {
    caps: VenueCaps {
        // Contracts of a far month may say nothing for long; `LIST_SUBSCRIPTIONS` is answered then.
        silence_ms: 30_000,
        // The venue takes ten, and pongs count among them.
        messages_per_second: 8,
        weight_per_minute: 2_400,
        ..SPOT_FACTS.caps
    },
    proofs: &[Proof::Chain],
    snapshot: SnapshotFrom::Rest { weight: 20, equal: true },
    listing_weight: 1,
    // 1,024 would be allowed; 200 was the limit for years.
    topics_per_line: 200,
    symbols_per_line: 100,
    keepalive: Some(Keepalive { every_ms: 10_000, when_silent: true }),
    finest_exponent: COMMON.finest_exponent,
    quote_has_time: true,
    ..SPOT_FACTS
};

/// What differs between the venues of this protocol.
struct Market {
    facts: Facts,
    streams: [Stream; 3],
    /// Of the endpoints.
    paths: &'static [&'static str],
    rest: &'static str,
    /// Levels a side of a snapshot.
    depth: u32,
    /// Contracts, not spot.
    futures: bool,
    /// Data comes in binary frames.
    binary: bool,
}

const SPOT_MARKET: Market = Market {
    facts: SPOT_FACTS,
    streams: streams("trade", 0),
    paths: &["/stream"],
    rest: "/api/v3",
    depth: 5_000,
    futures: false,
    binary: false,
};

const SBE_MARKET: Market = Market {
    facts: SBE_FACTS,
    streams: [
        Stream { name: "bestBidAsk", carries: &[Channel::Quote], endpoint: 0 },
        Stream { name: "trade", carries: &[Channel::Trade], endpoint: 0 },
        Stream { name: "depth", carries: &[Channel::Book], endpoint: 0 },
    ],
    // Frames name their symbol, so they need no wrapper.
    paths: &["/ws"],
    binary: true,
    ..SPOT_MARKET
};

const US_MARKET: Market = Market { facts: US_FACTS, ..SPOT_MARKET };

// Futures have no trades but those of one taker order at one price, merged.
const USD_M_MARKET: Market = Market {
    facts: FUTURES_FACTS,
    streams: streams(MERGED, 1),
    paths: &["/public/ws", "/market/ws"],
    rest: "/fapi/v1",
    depth: 1_000,
    futures: true,
    binary: false,
};

const COIN_M_MARKET: Market = Market { streams: streams(MERGED, 0), paths: &["/ws"], rest: "/dapi/v1", ..USD_M_MARKET };

const MERGED: &str = "aggTrade";

const fn streams(trades: &'static str, trades_at: usize) -> [Stream; 3] {
    [
        Stream { name: "bookTicker", carries: &[Channel::Quote], endpoint: 0 },
        Stream { name: trades, carries: &[Channel::Trade], endpoint: trades_at },
        Stream { name: "depth@100ms", carries: &[Channel::Book], endpoint: 0 },
    ]
}

struct Binance {
    market: &'static Market,
    streams: Vec<Stream>,
    parser: Parser,
}

impl Binance {
    fn new(market: &'static Market, settings: &FeedSettings) -> Self {
        let mut streams = market.streams;
        // There is no binary stream of merged trades.
        if settings.aggregated_trades && !market.binary {
            streams[1].name = MERGED;
        }
        // Those of one address next to each other.
        streams.sort_by_key(|stream| stream.endpoint);
        Self { market, streams: chosen(&streams, settings), parser: Parser::default() }
    }
}

impl Protocol for Binance {
    fn facts(&self) -> &Facts {
        &self.market.facts
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        self.market.paths.iter().map(|path| format!("{base}{path}")).collect()
    }

    fn request(&self, request: &Request<'_>) -> String {
        let method = if request.operation == Operation::Subscribe { "SUBSCRIBE" } else { "UNSUBSCRIBE" };
        let mut text = format!(r#"{{"method":"{method}","params":["#);
        for (at, topic) in request.topics.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, r#"{comma}"{}@{}""#, topic.native.to_ascii_lowercase(), topic.stream.name);
        }
        let _ = write!(text, r#"],"id":{}}}"#, request.id);
        text
    }

    fn ping(&self, id: u64, _time: Nanos) -> String {
        format!(r#"{{"method":"LIST_SUBSCRIPTIONS","id":{id}}}"#)
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        if self.market.binary && binary::is_frame(payload) {
            return binary::frame(payload, out);
        }
        self.parser.parse(payload, |root| decode::message(root).map(|message| say(message, out))).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}{}/exchangeInfo", self.market.rest)]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        listing::listing(json, self.market.futures).map_err(|error| error.to_string())
    }

    fn snapshot_url(&self, base: &str, native: &str) -> String {
        format!("{base}{}/depth?symbol={native}&limit={}", self.market.rest, self.market.depth)
    }

    fn snapshot(&mut self, native: &str, body: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.parser
            .parse(body, |root| {
                let snapshot = decode::snapshot(root)?;
                let id = snapshot.last_update_id;
                out.book(native, BookUpdate { snapshot: true, first: id, last: id, ..BookUpdate::default() });
                levels(snapshot.bids, snapshot.asks, out);
                Ok(())
            })
            .unwrap_or(Err("not JSON"))
    }

    fn guess(&self, native: &str) -> Listed {
        listing::guess(native, self.market.futures)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        is_answer(message)
    }

    fn grants(&self, request: &str) -> Vec<String> {
        acknowledgement(request).into_iter().collect()
    }

    fn address_key(&self, url: &str) -> String {
        address_key(url)
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["exchangeInfo"]
    }

    fn snapshot_native(&self, key: &str) -> Option<String> {
        key.strip_prefix("depth?symbol=").map(str::to_owned)
    }

    fn voice(&self) -> Option<Box<dyn Voice>> {
        // Its recordings are spoken by nobody yet: there are none.
        if self.market.binary { None } else { Some(Box::new(voice::Words { market: self.market })) }
    }
}

fn say(message: Message<'_, '_>, out: &mut Decoded) {
    let side = |price, size| Part::At(RawLevel { price: number(price), size: number(size) });
    match message {
        Message::Quote(quote) => {
            let bid = side(quote.bid_price, quote.bid_size);
            let ask = side(quote.ask_price, quote.ask_size);
            out.quote(quote.symbol, QuoteUpdate { id: quote.update_id, time: quote.time, bid, ask });
        }
        Message::Trade(trade) => {
            let update = TradeUpdate {
                id: Some(trade.id),
                time: trade.time,
                price: number(trade.price),
                size: number(trade.size),
                aggressor: if trade.buyer_is_maker { Aggressor::Sell } else { Aggressor::Buy },
                aggregated: trade.aggregated,
                past: false,
                off_book: trade.off_book,
            };
            out.trade(trade.symbol, update);
        }
        Message::Depth(depth) => {
            let (first, last, previous) = (depth.first, depth.last, depth.previous);
            let update = BookUpdate { first, last, previous, time: depth.time, ..BookUpdate::default() };
            out.book(depth.symbol, update);
            levels(depth.bids, depth.asks, out);
        }
        Message::Ack { id } => out.granted(id.map_or(About::Unknown, About::Id)),
        Message::Refused { id, code, reason } => {
            out.refused(id.map_or(About::Unknown, About::Id), &format!("{code} {reason}"));
        }
        Message::Shutdown => out.shutdown(),
        Message::Other => {}
    }
}

fn levels(bids: decode::Levels<'_, '_>, asks: decode::Levels<'_, '_>, out: &mut Decoded) {
    let read = |level: Option<(&str, &str)>| level.map_or((BAD, BAD), |(price, size)| (number(price), number(size)));
    for (price, size) in bids.map(read) {
        out.bid(price, size);
    }
    for (price, size) in asks.map(read) {
        out.ask(price, size);
    }
}

#[cfg(test)]
#[path = "adapter_tests.rs"]
mod tests;

#[cfg(test)]
mod binary_tests;
#[cfg(test)]
#[path = "../../../tests/support/sbe_frames.rs"]
mod sbe_frames;

#[cfg(test)]
mod futures_tests;
