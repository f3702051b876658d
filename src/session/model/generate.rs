//! How likely what is. In: a seed. Out: the setup of a case and its operations. Bounded: `MOST` operations a case, small values, few
//! names, so that much happens to each.

use super::operation::{Ask, Bare, ClientSetup, Feed, Operation, Redefine, Resume, Setup, Shot};
use crate::config;
use crate::subs::Terms;
use crate::topic::{InstrumentTopics, TopicLimits};
use fastrand::Rng;
use wire::event::{Aggressor, Cause, Channel, FeedState, Level, Quote, Trade, TradingState};
use wire::kind::Depth;
use wire::request::{Change, Encoding, Focus, LADDER_MS, MaxAge, Pace, TradeMode};
use wire::topic::Pattern;

const LEAST: usize = 10;
const MOST: usize = 60;

/// The instruments of a case, in the order in which they are listed.
const INSTRUMENTS: [(&str, &str); 4] = [("sim", "A"), ("sim", "AB"), ("ven", "A"), ("sim", "B")];

/// A case: its setup, and its operations.
pub fn case(seed: u64) -> (Setup, Vec<Operation>) {
    let mut rng = Rng::with_seed(mix(seed));
    let setup = setup(&mut rng);
    let mut generator =
        Generator { weights: weights(&mut rng), clients: setup.clients.len(), ring: setup.topics.trade_ring, rng };
    let count = generator.rng.usize(LEAST..=MOST);
    let mut operations = Vec::with_capacity(count + setup.clients.len());
    for who in 0..setup.clients.len() {
        operations.push(Operation::Connect { who, bare: None });
    }
    operations.extend((0..count).map(|_| generator.operation()));
    (setup, operations)
}

/// Neighbouring seeds must not give similar cases.
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn setup(rng: &mut Rng) -> Setup {
    let large = rng.u8(..50) == 0;
    let instruments = INSTRUMENTS[..rng.usize(2..=4)].to_vec();
    let max_topics = instruments.len() as u32 * InstrumentTopics::COUNT;
    let topics = TopicLimits {
        max_topics,
        trade_ring: if large { 600 } else { [8, 8, 3, 16][rng.usize(..4)] },
        book_log: [16, 16, 4, 64][rng.usize(..4)],
        book_levels: 100,
        ..TopicLimits::default()
    };
    let mut session = config::Session {
        commands_per_second: 0,
        check_interval_ms: [0, 1, 100, 1_000][rng.usize(..4)],
        ..config::Session::default()
    };
    if rng.u8(..4) == 0 {
        session.max_subscriptions = rng.usize(1..8);
    }
    if rng.u8(..4) == 0 {
        session.frame_bytes = rng.usize(1..800);
    }
    if rng.u8(..6) == 0 {
        session.updates_per_second = rng.u32(5..60);
    }
    if rng.u8(..6) == 0 {
        session.bytes_per_second = rng.u32(200..4_000);
    }
    if rng.u8(..16) == 0 {
        (session.commands_per_second, session.commands_burst) = (rng.u32(1..10), rng.u32(1..5));
    }
    let clients = (0..[1, 2, 2, 3, 3, 6][rng.usize(..6)]).map(|_| client(rng)).collect();
    let listed = rng.usize(1..=instruments.len());
    Setup { topics, session, venues: [("sim", rng.bool()), ("ven", rng.bool())], instruments, listed, clients }
}

fn client(rng: &mut Rng) -> ClientSetup {
    let covered = match rng.u8(..12) {
        0 => &["quote/*:*", "trade/sim:*", "book/*:A/5"][..],
        _ => &[],
    };
    ClientSetup {
        encoding: if rng.u8(..3) == 0 { Encoding::Json } else { Encoding::Binary },
        covered: covered.iter().map(|pattern| Pattern::parse(pattern).expect("a pattern")).collect(),
        fastest: if rng.u8(..10) == 0 { Pace::EveryMs(LADDER_MS[rng.usize(..LADDER_MS.len())]) } else { Pace::Realtime },
    }
}

/// Kinds of operations, with their usual weights. A case leaves some out, so that others come close upon each other.
const KINDS: [(Make, u32); 26] = [
    (Generator::quote, 14),
    (Generator::trades, 16),
    (Generator::gap, 2),
    (Generator::book, 12),
    (Generator::state, 4),
    (Generator::link, 3),
    (Generator::redefine, 2),
    (Generator::list, 2),
    (Generator::time, 14),
    (Generator::wall_step, 1),
    (Generator::tick, 4),
    (Generator::dispatch, 6),
    (Generator::fill, 10),
    (Generator::drain, 12),
    (Generator::stall, 5),
    (Generator::reconnect, 5),
    (Generator::sub, 20),
    (Generator::unsub, 5),
    (Generator::modify, 5),
    (Generator::pause, 5),
    (Generator::proceed, 4),
    (Generator::get, 4),
    (Generator::question, 4),
    (Generator::grant, 5),
    (Generator::slow_fill, 2),
    (Generator::pressure, 1),
];

type Make = fn(&mut Generator) -> Operation;

fn weights(rng: &mut Rng) -> Vec<(Make, u32)> {
    KINDS.iter().map(|(make, weight)| (*make, if rng.u8(..6) == 0 { 0 } else { *weight })).collect()
}

struct Generator {
    weights: Vec<(Make, u32)>,
    clients: usize,
    ring: usize,
    rng: Rng,
}

impl Generator {
    fn operation(&mut self) -> Operation {
        let total: u32 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = self.rng.u32(..total.max(1));
        for (make, weight) in self.weights.clone() {
            if at < weight {
                return make(self);
            }
            at -= weight;
        }
        Operation::DrainAll
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    fn who(&mut self) -> usize {
        self.rng.usize(..self.clients)
    }

    fn publish(&mut self, feed: Feed) -> Operation {
        // The first instrument most often, so that cursors fall behind.
        let at = if self.rng.bool() { 0 } else { self.rng.usize(..4) };
        Operation::Publish { at, feed }
    }

    fn quote(&mut self) -> Operation {
        let mut field = || (self.rng.u8(..8) > 0).then(|| self.rng.i64(1..6));
        let quote = Quote { bid_price: field(), bid_size: field(), ask_price: field(), ask_size: field() };
        self.publish(Feed::Quote(quote))
    }

    fn trades(&mut self) -> Operation {
        let count = match self.rng.u8(..20) {
            0..12 => 1,
            12..17 => self.rng.usize(2..6),
            _ if self.ring > 100 => self.rng.usize(200..700),
            _ => self.rng.usize(6..24),
        };
        // A long one-way move is what a summary's high and low cannot reach back over.
        let rises = self.one_in(6);
        let late = self.one_in(5);
        let shots = (0..count).map(|at| self.shot(rises.then_some(at as i64), late)).collect();
        self.publish(Feed::Trades(shots))
    }

    fn shot(&mut self, price: Option<i64>, late: bool) -> Shot {
        let price = price.unwrap_or_else(|| self.rng.i64(-3..12));
        let size = if self.one_in(40) { 1 << 50 } else { self.rng.i64(0..9) };
        let id = (!self.one_in(6)).then(|| self.rng.i64(0..1_000));
        let aggressor = self.pick(Aggressor::ALL);
        let trade = Trade { price, size, aggressor, id, aggregated: self.rng.bool() };
        let late_ms = match late {
            false => Some(0),
            true if self.one_in(4) => None,
            true => Some(self.span_ms(3_600_000)),
        };
        Shot { trade, late_ms }
    }

    /// Of any order of magnitude.
    fn span_ms(&mut self, most: i64) -> i64 {
        let digits = self.rng.u32(0..=most.ilog10());
        self.rng.i64(0..=10i64.pow(digits)).min(most)
    }

    fn gap(&mut self) -> Operation {
        let missing = (!self.one_in(3)).then(|| self.rng.u64(0..9));
        let cause = self.pick(&[Cause::SequenceGap, Cause::Disconnected]);
        self.publish(Feed::Gap { missing, cause })
    }

    fn book(&mut self) -> Operation {
        let snapshot = self.one_in(8);
        let most = if snapshot { 30 } else { 5 };
        let mut side = || {
            let mut levels: Vec<Level> = Vec::new();
            for _ in 0..self.rng.usize(..most) {
                let (price, size) = (self.rng.i64(0..60), self.rng.i64(0..4));
                if levels.iter().all(|level| level.price != price) {
                    levels.push(Level { price, size });
                }
            }
            levels
        };
        let (bids, asks) = (side(), side());
        self.publish(Feed::Book { bids, asks, snapshot })
    }

    fn state(&mut self) -> Operation {
        if self.one_in(3) {
            let trading = self.pick(TradingState::ALL);
            return self.publish(Feed::Trading(trading));
        }
        let channel = self.pick(&[None, None, Some(Channel::Quote), Some(Channel::Trade), Some(Channel::Book)]);
        let feed = if self.rng.bool() { FeedState::Live } else { self.pick(FeedState::ALL) };
        let cause = self.pick(&[Cause::None, Cause::Silence, Cause::Disconnected]);
        self.publish(Feed::State { channel, feed, cause })
    }

    fn link(&mut self) -> Operation {
        let feed = self.pick(&[FeedState::Down, FeedState::Down, FeedState::Stale, FeedState::Resyncing, FeedState::Live]);
        let cause = self.pick(&[Cause::Disconnected, Cause::Silence]);
        self.publish(Feed::Link { feed, cause })
    }

    fn redefine(&mut self) -> Operation {
        let how = match self.rng.u8(..8) {
            0..4 => Redefine::Exponent(self.rng.i8(-4..-1)),
            4 => Redefine::Tick(self.rng.i64(0..3)),
            5 | 6 => Redefine::Timed(self.rng.bool()),
            _ => Redefine::Native(self.pick(&["N", "O"])),
        };
        self.publish(Feed::Redefine(how))
    }

    fn list(&mut self) -> Operation {
        if self.one_in(3) { Operation::VenueKnown(self.rng.usize(..2)) } else { Operation::List }
    }

    fn time(&mut self) -> Operation {
        let ms = match self.rng.u8(..20) {
            0..9 => self.rng.i64(0..40),
            9..14 => self.rng.i64(40..600),
            14..19 => self.rng.i64(600..6_000),
            _ => self.span_ms(90_000_000),
        };
        Operation::Pass { ms }
    }

    fn wall_step(&mut self) -> Operation {
        Operation::WallStep { ms: self.rng.i64(-3_000..3_000) }
    }

    fn tick(&mut self) -> Operation {
        Operation::Tick
    }

    fn dispatch(&mut self) -> Operation {
        Operation::Dispatch
    }

    fn fill(&mut self) -> Operation {
        Operation::Fill { who: self.who() }
    }

    fn drain(&mut self) -> Operation {
        if self.one_in(3) { Operation::DrainAll } else { Operation::Drain { who: self.who() } }
    }

    fn stall(&mut self) -> Operation {
        Operation::Stall { who: self.who() }
    }

    fn reconnect(&mut self) -> Operation {
        let who = self.who();
        match self.rng.u8(..6) {
            0 => Operation::Save { who },
            1 | 2 => Operation::Leave { who, loses_frame: self.rng.bool() },
            _ => {
                let bare = self.one_in(3).then(|| Bare { topics: self.names(), pace: self.pace(), trades: self.mode() });
                Operation::Connect { who, bare }
            }
        }
    }

    fn ask(&mut self, ask: Ask) -> Operation {
        Operation::Ask { who: self.who(), ask, fills_between: self.rng.bool() }
    }

    fn sub(&mut self) -> Operation {
        let resume = self.pick(&[
            Resume::Not,
            Resume::Not,
            Resume::Not,
            Resume::Newest,
            Resume::Newest,
            Resume::Newest,
            Resume::Saved,
            Resume::Saved,
            Resume::Ahead,
            Resume::Foreign,
        ]);
        let (topics, terms) = (self.names(), self.terms());
        let (snapshot, strict) = (!self.one_in(5), self.one_in(6));
        let since = self.one_in(6).then(|| self.rng.u32(0..20));
        self.ask(Ask::Sub { topics, terms, snapshot, since, strict, resume })
    }

    fn unsub(&mut self) -> Operation {
        let topics = self.names();
        self.ask(Ask::Unsub(topics))
    }

    fn modify(&mut self) -> Operation {
        let mut topics = self.names();
        let Terms { pace, mode, trade_safe, focus, max_age } = self.terms();
        let depth = self.one_in(4).then(|| self.pick(&Depth::ALL));
        if depth.is_some() {
            // Only books have one, so only names of books say much.
            let (of, argument) = (self.pick(&["sim:A", "sim:A", "sim:AB", "*:A"]), self.pick(&Depth::ALL));
            topics.push(format!("book/{of}/{argument}"));
        }
        let change = Change {
            pace: self.rng.bool().then_some(pace),
            trades: self.rng.bool().then_some(mode),
            depth,
            trade_safe: self.one_in(3).then_some(trade_safe),
            focus: self.one_in(4).then_some(focus),
            max_age: self.one_in(4).then_some(max_age),
        };
        self.ask(Ask::Mod { topics, change })
    }

    fn pause(&mut self) -> Operation {
        let topics = self.rng.bool().then(|| self.names());
        self.ask(Ask::Pause(topics))
    }

    fn proceed(&mut self) -> Operation {
        let topics = self.rng.bool().then(|| self.names());
        self.ask(Ask::Continue(topics))
    }

    fn get(&mut self) -> Operation {
        let (topics, heal) = (self.names(), self.one_in(3));
        self.ask(Ask::Get { topics, heal })
    }

    fn question(&mut self) -> Operation {
        let ask = match self.rng.u8(..10) {
            0 => Ask::List { pattern: self.pattern(), limit: self.rng.bool().then(|| self.rng.u32(0..4)) },
            1 => Ask::Ping,
            3..5 => Ask::Ticket,
            5..8 => Ask::Redeem { with_places: self.rng.bool() },
            2 => Ask::Garbage(self.pick(&[
                r#"{"type":"sub","id":ID,"topic":["quote/sim:A"]}"#,
                r#"{"type":"dance","id":ID}"#,
                r#"{"type":"sub","id":ID,"topics":["quote/sim:A"],"pace":"fast"}"#,
                r#"{"type":"mod","id":ID,"topics":["book/sim:A/5"],"depth":"7"}"#,
                r#"{"type":"pause","id":ID,"topics":7}"#,
            ])),
            _ => Ask::Explain(self.name()),
        };
        self.ask(ask)
    }

    fn grant(&mut self) -> Operation {
        if self.one_in(6) {
            let bytes_per_second = self.pick(&[0, 300, 2_000, 1_000_000]);
            return self.ask(Ask::Budget { bytes_per_second });
        }
        let (frames, answered) = (self.pick(&[0, 1, 1, 2, 5, u32::MAX]), self.rng.bool());
        self.ask(Ask::Grant { frames, answered })
    }

    fn slow_fill(&mut self) -> Operation {
        Operation::SlowFill { who: self.who(), ms: self.rng.i64(1..6_000) }
    }

    fn pressure(&mut self) -> Operation {
        Operation::Pressure { floor_ms: self.pick(&[0, 0, 50, 500, 2_000]), defers_deep: self.one_in(3) }
    }

    fn terms(&mut self) -> Terms {
        let max_age = if self.one_in(4) { MaxAge::Ms(self.pick(&[100, 1_000, 5_000])) } else { MaxAge::Off };
        let focus = if self.rng.bool() { Focus::Visible } else { self.pick(&Focus::ALL) };
        Terms { pace: self.pace(), mode: self.mode(), trade_safe: self.one_in(3), focus, max_age }
    }

    fn pace(&mut self) -> Pace {
        match self.rng.u8(..12) {
            0..4 => Pace::Realtime,
            4 => Pace::Credit,
            _ => Pace::EveryMs(self.pick(&LADDER_MS)),
        }
    }

    fn mode(&mut self) -> TradeMode {
        if self.rng.bool() { TradeMode::Every } else { TradeMode::Summary }
    }

    fn names(&mut self) -> Vec<String> {
        let count = self.pick(&[1, 1, 2, 3, 5]);
        (0..count).map(|_| if self.one_in(4) { self.pattern() } else { self.name() }).collect()
    }

    fn kind(&mut self) -> (&'static str, &'static str) {
        match self.rng.u8(..40) {
            0..8 => ("quote", ""),
            8..19 => ("trade", ""),
            19..22 => ("book", "/5"),
            22..24 => ("book", "/10"),
            24 => ("book", "/20"),
            25 => ("book", "/50"),
            26..29 => ("book", "/full"),
            29..31 => ("status", ""),
            31 => ("instrument", ""),
            32..34 => ("bar", "/1s"),
            34..36 => ("bar", "/1m"),
            36 => ("bar", "/5m"),
            37 => ("bar", "/1h"),
            _ => ("stats", ""),
        }
    }

    fn name(&mut self) -> String {
        let (kind, argument) = self.kind();
        let (venue, symbol) = if self.rng.bool() { INSTRUMENTS[0] } else { self.pick(&INSTRUMENTS) };
        match self.rng.u8(..40) {
            0 => format!("{kind}/nope:{symbol}{argument}"),
            1 => format!("{kind}/{venue}:NONE{argument}"),
            2 => format!("{kind}s/{venue}:{symbol}{argument}"),
            3 => format!("{kind}/{venue}{symbol}{argument}"),
            4..8 => format!("{kind}/{venue}:!N{symbol}{argument}"),
            8 => format!("{kind}/{venue}:!O{symbol}{argument}"),
            _ => format!("{kind}/{venue}:{symbol}{argument}"),
        }
    }

    fn pattern(&mut self) -> String {
        let (kind, argument) = self.kind();
        let venue = self.pick(&["sim", "*", "*", "v*", "s*m"]);
        let symbol = match venue {
            "sim" => self.pick(&["*", "A*", "*B"]),
            _ => self.pick(&["*", "A*", "*B", "A"]),
        };
        format!("{kind}/{venue}:{symbol}{argument}")
    }
}
