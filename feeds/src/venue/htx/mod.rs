//! HTX (formerly Huobi): spot, and perpetual swaps, linear and coin-margined. In: `bbo`, `trade.detail`, `depth.step0`. Out: see
//! `decode`; here are addresses, requests, facts. Every message is packed with gzip; every book message is the whole book, so a lost
//! one heals with the next.
//!
//! Source: huobiapi.github.io/docs/spot/v1/en (market data by websocket), www.htx.com/en-us/opend/newApiPages for swaps.

mod decode;
mod voice;

use crate::adapter::{Line, VenueCaps};
use crate::emulation::Voice;
use crate::engine::{
    AnsweredBy, COMMON, Complaint, Decoded, Facts, Listed, Operation, OrphanDelete, Proof, Protocol, Request, SnapshotFrom,
    Stream, TradeIds, TradeUpdate, address_key, chosen,
};
use crate::gzip::Unpacker;
use crate::json::Parser;
use crate::registry::Venue;
use crate::settings::FeedSettings;
use wire::event::Channel;

pub const SPOT: Venue = Venue {
    name: "htx",
    aliases: &["huobi"],
    ws_url: "wss://api.huobi.pro",
    rest_url: "https://api.huobi.pro",
    protocol: |settings| Box::new(Htx::new(Kind::Spot, settings)),
};

pub const SWAP: Venue = Venue {
    name: "htx-swap",
    aliases: &["huobi-swap"],
    ws_url: "wss://api.hbdm.com",
    rest_url: "https://api.hbdm.com",
    protocol: |settings| Box::new(Htx::new(Kind::Swap, settings)),
};

/// An unpacked message may have so many bytes; the largest book seen has 20 KB.
const UNPACKED_BYTES: usize = 4 << 20;

const FACTS: Facts = Facts {
    caps: VenueCaps {
        // The venue pings every five seconds.
        silence_ms: 15_000,
        messages_per_second: 10,
        connects_per_five_minutes: 60,
        weight_per_minute: 300,
        ..COMMON.caps
    },
    proofs: &[Proof::None],
    snapshot: SnapshotFrom::Subscription { unsubscribe: true },
    orphan_delete: OrphanDelete::Ignored,
    answered_by: AnsweredBy::Topic,
    topics_per_request: 1,
    topics_per_line: 90,
    symbols_per_line: 30,
    ..COMMON
};

/// Trades of a spot instrument are numbered one by one (so are all 73 of a recording). Orders by value leave remainders of up to 17
/// digits (`4493208.1828904385` where a lot is 0.0001).
const SPOT_FACTS: Facts = Facts { trade_ids: TradeIds::Counted, size_noise: Some(6), ..FACTS };
const SWAP_FACTS: Facts = Facts { trade_ids: TradeIds::Rising, ..FACTS };

/// Addresses of swaps: linear, coin-margined.
const LINEAR: usize = 0;
const COIN: usize = 1;

const fn streams(endpoint: usize) -> [Stream; 3] {
    [
        Stream { name: "bbo", carries: &[Channel::Quote], endpoint },
        Stream { name: "trade.detail", carries: &[Channel::Trade], endpoint },
        Stream { name: "depth.step0", carries: &[Channel::Book], endpoint },
    ]
}

const STREAMS: [[Stream; 3]; 2] = [streams(LINEAR), streams(COIN)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Spot,
    Swap,
}

struct Htx {
    kind: Kind,
    streams: Vec<Stream>,
    parser: Parser,
    unpacker: Unpacker,
    /// Reused: the trades of one message, to be put in order.
    trades: Vec<TradeUpdate>,
}

impl Htx {
    fn new(kind: Kind, settings: &FeedSettings) -> Self {
        let streams = match kind {
            Kind::Spot => chosen(&STREAMS[LINEAR], settings),
            Kind::Swap => chosen(STREAMS.as_flattened(), settings),
        };
        Self { kind, streams, parser: Parser::default(), unpacker: Unpacker::default(), trades: Vec::new() }
    }
}

impl Protocol for Htx {
    fn facts(&self) -> &Facts {
        match self.kind {
            Kind::Spot => &SPOT_FACTS,
            Kind::Swap => &SWAP_FACTS,
        }
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        match self.kind {
            Kind::Spot => vec![format!("{base}/ws")],
            Kind::Swap => vec![format!("{base}/linear-swap-ws"), format!("{base}/swap-ws")],
        }
    }

    fn serves(&self, endpoint: usize, native: &str) -> bool {
        self.kind == Kind::Spot || (endpoint == COIN) == decode::is_coin_margined(native)
    }

    fn request(&self, request: &Request<'_>) -> String {
        let verb = if request.operation == Operation::Subscribe { "sub" } else { "unsub" };
        let Some(topic) = request.topics.first() else { return String::new() };
        format!(r#"{{"{verb}":"market.{}.{}","id":"{}"}}"#, topic.native, topic.stream.name, request.id)
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        let Self { parser, unpacker, trades, .. } = self;
        let text = if Unpacker::is_packed(payload) {
            unpacker.unpack(payload, UNPACKED_BYTES).ok_or("packed, but torn or too long")?
        } else {
            payload
        };
        parser.parse_exact(text, |root| decode::message(root, trades, out)).unwrap_or(Err("not JSON"))
    }

    fn listings(&self, base: &str, wanted: &[String]) -> Vec<String> {
        if self.kind == Kind::Spot {
            return vec![format!("{base}/v1/common/symbols")];
        }
        let wanted = |coin: bool| {
            let name = |name: &String| decode::is_coin_margined(name.trim_start_matches('!').trim_end_matches("-PERP"));
            wanted.iter().any(|wanted| name(wanted) == coin)
        };
        let lists = [(false, "linear-swap-api"), (true, "swap-api")];
        let url = |(_, api)| format!("{base}/{api}/v1/swap_contract_info");
        lists.into_iter().filter(|(coin, _)| wanted(*coin)).map(url).collect()
    }

    fn listing(&self, json: &[u8]) -> Result<Vec<Listed>, String> {
        decode::listing(json).map_err(str::to_owned)
    }

    fn listing_keys(&self) -> &'static [&'static str] {
        &["symbols?", "linear swap_contract_info?", "swap_contract_info?"]
    }

    /// The two lists of swaps differ in their folder only.
    fn address_key(&self, url: &str) -> String {
        let linear = if url.contains("/linear-swap-api/") { "linear " } else { "" };
        format!("{linear}{}", address_key(url, &[]))
    }

    fn guess(&self, native: &str) -> Listed {
        match self.kind {
            Kind::Spot => decode::spot(native),
            Kind::Swap => decode::swap(native),
        }
    }

    fn is_answer(&self, _message: &[u8]) -> bool {
        // Packed; but they name what they grant, so that others' do no harm.
        false
    }

    fn grants(&self, request: &str) -> Vec<String> {
        decode::grants(request)
    }

    fn voice(&self) -> Option<Box<dyn Voice>> {
        Some(Box::new(voice::Words { swaps: self.kind == Kind::Swap }))
    }
}

#[cfg(test)]
mod tests;
