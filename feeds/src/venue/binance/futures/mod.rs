//! Binance futures, margined in USD stablecoins (USD-M) and in coins (COIN-M). In: `exchangeInfo`, `bookTicker`, `aggTrade`,
//! `depth@100ms`, depth snapshots. Out: see `super::decode` for what they say; here are addresses, requests and facts.
//! Each book update names its predecessor (`pu`); the first to follow a snapshot is the one that contains its id.
//!
//! Source: developers.binance.com, derivatives, "WebSocket Market Streams" and "How to manage a local order book correctly".
//! USD-M streams are split over two addresses, and at the wrong one a subscription is granted and stays silent.

mod listing;

use super::decode::{self, Message};
use crate::adapter::{Line, VenueCaps};
use crate::engine::{
    About, AnsweredBy, BAD, BookUpdate, COMMON, Complaint, Decoded, Facts, Keepalive, Listed, Operation, OrphanDelete, Part,
    Proof, Protocol, QuoteIds, QuoteUpdate, RawLevel, Request, SnapshotFrom, Stream, TradeIds, TradeUpdate, chosen, number,
};
use crate::json::Parser;
use crate::registry::{Speaks, Venue};
use crate::replay::binance::{acknowledgement, address_key, is_answer};
use crate::settings::FeedSettings;
use std::fmt::Write as _;
use wire::event::{Aggressor, Channel, Nanos};

pub const USD_M: Venue = Venue {
    name: "binance-usdm",
    aliases: &["binance-futures"],
    ws_url: "wss://fstream.binance.com",
    rest_url: "https://fapi.binance.com",
    speaks: Speaks::Engine(|settings| Box::new(Futures::new(&USD, settings))),
};

pub const COIN_M: Venue = Venue {
    name: "binance-coinm",
    aliases: &["binance-delivery"],
    ws_url: "wss://dstream.binance.com",
    rest_url: "https://dapi.binance.com",
    speaks: Speaks::Engine(|settings| Box::new(Futures::new(&COIN, settings))),
};

/// Levels a side of a snapshot: the most there are.
const DEPTH_LIMIT: u32 = 1_000;

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // Contracts of a far month may say nothing for long; `LIST_SUBSCRIPTIONS` is answered then.
        silence_ms: 30_000,
        // The venue takes ten, and pongs count among them.
        messages_per_second: 8,
        connects_per_five_minutes: 300,
        weight_per_minute: 2_400,
        max_connection_age_s: 24 * 60 * 60,
        max_message_bytes: 4 << 20,
    },
    proofs: &[Proof::Chain],
    snapshot: SnapshotFrom::Rest { weight: 20, equal: true },
    orphan_delete: OrphanDelete::Ignored,
    // Both `aggTrade` and the `trade` of older recordings count by one, each in its own numbering.
    trade_ids: TradeIds::Counted,
    quote_ids: QuoteIds::AsBook,
    listing_weight: 1,
    answered_by: AnsweredBy::Id,
    topics_per_request: 100,
    // 1,024 would be allowed; 200 was the limit for years.
    topics_per_line: 200,
    symbols_per_line: 100,
    keepalive: Some(Keepalive { every_ms: 10_000, when_silent: true }),
    ..COMMON
};

/// What differs between the two.
struct Margin {
    streams: [Stream; 3],
    /// Of the endpoints.
    paths: &'static [&'static str],
    rest: &'static str,
}

static USD: Margin = Margin { streams: streams(1), paths: &["/public/stream", "/market/stream"], rest: "/fapi/v1" };
static COIN: Margin = Margin { streams: streams(0), paths: &["/stream"], rest: "/dapi/v1" };

const fn streams(trades_at: usize) -> [Stream; 3] {
    [
        Stream { name: "bookTicker", carries: &[Channel::Quote], endpoint: 0 },
        Stream { name: "depth@100ms", carries: &[Channel::Book], endpoint: 0 },
        // The only trades there are: those of one taker order at one price, merged.
        Stream { name: "aggTrade", carries: &[Channel::Trade], endpoint: trades_at },
    ]
}

struct Futures {
    margin: &'static Margin,
    streams: Vec<Stream>,
    parser: Parser,
}

impl Futures {
    fn new(margin: &'static Margin, settings: &FeedSettings) -> Self {
        Self { margin, streams: chosen(&margin.streams, settings), parser: Parser::default() }
    }
}

impl Protocol for Futures {
    fn facts(&self) -> &Facts {
        &FACTS
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        self.margin.paths.iter().map(|path| format!("{base}{path}")).collect()
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
        self.parser.parse(payload, |root| decode::message(root).map(|message| say(message, out))).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, _wanted: &[String]) -> Vec<String> {
        vec![format!("{base}{}/exchangeInfo", self.margin.rest)]
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        listing::listing(json).map_err(|error| error.to_string())
    }

    fn snapshot_url(&self, base: &str, native: &str) -> String {
        format!("{base}{}/depth?symbol={native}&limit={DEPTH_LIMIT}", self.margin.rest)
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
        listing::guess(native)
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
mod tests;
