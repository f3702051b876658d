//! From binary messages to events. In: segments of IEX (TOPS, DEEP) and frames of Binance's SBE streams, written here, of usual size. Out: the
//! cost of decoding them; of IEX with continuity, books' events and states. Bounded: one datagram or frame at a time.

use criterion::{Criterion, Throughput};
use feeds::adapter::Output;
use feeds::settings::FeedSettings;
use feeds::venue::binance::sbe::{self, Frame};
use feeds::venue::iex;
use std::hint::black_box;

const NOW: i64 = 1_767_225_600_000_000_000;

pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("binary");
    for (name, protocol, messages) in [
        ("iex_tops_quote_1", 0x8003, vec![quote()]),
        ("iex_tops_quotes_trades_20", 0x8003, repeated(&[quote(), trade()], 10)),
        ("iex_deep_levels_trades_20", 0x8004, repeated(&[level(b'8'), level(b'5'), level(b'8'), trade()], 5)),
    ] {
        let mut feed = Feed::new(protocol, &messages);
        group.throughput(Throughput::Elements(messages.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| feed.step()));
    }
    for (name, frame, elements) in [
        ("sbe_best_bid_ask", best_bid_ask(), 1),
        ("sbe_trades_1", trades(1), 1),
        ("sbe_depth_5_5", depth(5), 1),
        ("sbe_depth_25_25", depth(25), 1),
    ] {
        group.throughput(Throughput::Elements(elements));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(walk(black_box(&frame)))));
    }
    group.finish();
}

/// A stream of IEX that goes on for ever, one segment a step.
struct Feed {
    market: iex::Market,
    segment: Vec<u8>,
    messages: u64,
    steps: u64,
    out: Output,
}

impl Feed {
    fn new(protocol: u16, messages: &[Vec<u8>]) -> Self {
        let body: Vec<u8> =
            messages.iter().flat_map(|message| [&(message.len() as u16).to_le_bytes()[..], message].concat()).collect();
        let mut segment = vec![0; 40];
        segment[0] = 1;
        segment[2..4].copy_from_slice(&protocol.to_le_bytes());
        segment[12..14].copy_from_slice(&(body.len() as u16).to_le_bytes());
        segment[14..16].copy_from_slice(&(messages.len() as u16).to_le_bytes());
        segment.extend(body);
        let market = iex::market(&FeedSettings::of_venue("iex")).expect("the settings are good");
        Self { market, segment, messages: messages.len() as u64, steps: 0, out: Output::default() }
    }

    /// The next segment. It must be in sequence, or the benchmark measures something else.
    fn step(&mut self) {
        let offset = self.steps * (self.segment.len() as u64 - 40);
        self.segment[16..24].copy_from_slice(&offset.to_le_bytes());
        self.segment[24..32].copy_from_slice(&(1 + self.steps * self.messages).to_le_bytes());
        self.segment[32..40].copy_from_slice(&(NOW as u64 + self.steps).to_le_bytes());
        self.steps += 1;
        self.out.clear();
        self.market.on_payload(NOW, &self.segment, &mut self.out);
        let events = black_box(&self.out.batch.events);
        assert!(events.len() as u64 >= self.messages && self.out.faults.is_empty());
    }
}

fn repeated(messages: &[Vec<u8>], times: usize) -> Vec<Vec<u8>> {
    std::iter::repeat_n(messages, times).flatten().cloned().collect()
}

fn head(kind: u8, second: u8) -> Vec<u8> {
    [&[kind, second][..], &NOW.to_le_bytes(), b"AAPL    "].concat()
}

fn priced(kind: u8, second: u8) -> Vec<u8> {
    [&head(kind, second)[..], &100u32.to_le_bytes(), &1_435_000i64.to_le_bytes()].concat()
}

fn trade() -> Vec<u8> {
    [priced(b'T', 0), 9i64.to_le_bytes().to_vec()].concat()
}

fn level(kind: u8) -> Vec<u8> {
    priced(kind, 1)
}

fn quote() -> Vec<u8> {
    [&priced(b'Q', 0)[..], &1_435_100i64.to_le_bytes(), &700u32.to_le_bytes()].concat()
}

fn frame(template: u16, root: &[&[u8]], rest: &[u8]) -> Vec<u8> {
    let root = root.concat();
    let header = [root.len() as u16, template, 1, 0].map(u16::to_le_bytes).concat();
    [&header[..], &root, rest, b"\x07BTCUSDT"].concat()
}

const TIME: [u8; 8] = (NOW / 1_000).to_le_bytes();
/// -2 and -5.
const EXPONENTS: [u8; 2] = [0xfe, 0xfb];

fn best_bid_ask() -> Vec<u8> {
    let levels = [6_421_051i64, 78_213, 6_421_052, 310_020].map(i64::to_le_bytes).concat();
    frame(10_001, &[&TIME, &TIME, &EXPONENTS, &levels], &[])
}

fn trades(count: u32) -> Vec<u8> {
    let entry = [&[6_421_051i64, 150, 9].map(i64::to_le_bytes).concat()[..], &[1]].concat();
    let group = [&25u16.to_le_bytes()[..], &count.to_le_bytes(), &entry.repeat(count as usize)].concat();
    frame(10_000, &[&TIME, &TIME, &EXPONENTS], &group)
}

fn depth(levels: u16) -> Vec<u8> {
    let group = || {
        let levels: Vec<u8> =
            (0..i64::from(levels)).flat_map(|at| [6_421_051 + at, 150 * at].map(i64::to_le_bytes).concat()).collect();
        [&16u16.to_le_bytes()[..], &((levels.len() / 16) as u16).to_le_bytes(), &levels].concat()
    };
    frame(10_003, &[&TIME, &TIME, &TIME, &EXPONENTS], &[group(), group()].concat())
}

/// Reads all that is in a frame.
fn walk(frame: &[u8]) -> i64 {
    match sbe::parse(frame).expect("the frame is good") {
        Frame::BestBidAsk(best) => best.bid.price + best.ask.size,
        Frame::Trades(trades) => trades.entries().flatten().map(|trade| trade.level.price ^ trade.id).sum(),
        Frame::DepthSnapshot(depth) | Frame::DepthDiff(depth) => {
            depth.bids().chain(depth.asks()).flatten().map(|level| level.price ^ level.size).sum()
        }
        Frame::Unknown { .. } => 0,
    }
}
