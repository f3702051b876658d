//! A day of TotalView-ITCH 5.0 made from a seed. In: how many stocks and messages. Out: the messages of a whole session in their order, every
//! type among them, and the books and trades they must lead to. Bounded by `MAX_STOCKS` and by the orders that rest at each.
//!
//! The same seed makes the same day, on every machine. The generator's own books are plain lists of orders, summed up when asked for: they
//! share nothing with `crate::orders`, which is tested against them.

mod schedule;
mod stock;

use super::message::{
    Body, BreakerLevels, BreakerStatus, Header, MAX_BYTES, Message, ParticipantPosition, RegSho, RetailInterest, StockDirectory,
    SystemEvent, TradingAction,
};
use crate::sim::random::Random;
use schedule::Clock;
use std::collections::VecDeque;
use stock::Trader;
use wire::event::{Level, Side};

const MAX_STOCKS: u32 = 20_000;

/// What day it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub seed: u64,
    pub stocks: u32,
    /// Messages between the start and the end of system hours, about: an action that was begun is told to its end.
    pub messages: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, stocks: 100, messages: 100_000 }
    }
}

/// What all trades of a stock must come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub trades: u64,
    pub shares: u64,
    pub broken: u64,
}

/// Numbers that are given out over all stocks.
struct Numbers {
    order: u64,
    match_number: u64,
}

impl Numbers {
    /// Ids ascend, with holes for orders that are not displayed.
    fn order(&mut self, random: &mut Random) -> u64 {
        self.order += 1 + random.below(4);
        self.order
    }

    fn match_number(&mut self) -> u64 {
        self.match_number += 1;
        self.match_number
    }
}

/// Where the day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Directory,
    /// Orders before the opening cross, trading, orders after the closing cross: told by how many messages are left.
    PreMarket,
    Market,
    AfterHours,
    Over,
}

/// The day, on its way.
pub struct Day {
    settings: Settings,
    random: Random,
    clock: Clock,
    numbers: Numbers,
    traders: Vec<Trader>,
    stage: Stage,
    made: u64,
    /// Bodies with the locate they belong to, made and not handed out yet.
    pending: VecDeque<(u16, Body)>,
}

impl Day {
    /// Out-of-range settings are taken as the nearest possible ones.
    pub fn new(settings: Settings) -> Self {
        let mut random = Random::new(settings.seed);
        let stocks = settings.stocks.clamp(1, MAX_STOCKS);
        let traders = (0..stocks).map(|number| Trader::new(number, &mut random)).collect();
        let clock = Clock::new(settings.messages);
        let numbers = Numbers { order: 0, match_number: 0 };
        Self { settings, random, clock, numbers, traders, stage: Stage::Directory, made: 0, pending: VecDeque::new() }
    }

    /// The rest of the day as a BinaryFILE.
    pub fn write(&mut self, into: &mut impl std::io::Write) -> std::io::Result<u64> {
        let mut bytes = Vec::with_capacity(2 + MAX_BYTES);
        let mut messages = 0;
        for message in self.by_ref() {
            bytes.clear();
            super::binary_file::put(message.encode(&mut [0; MAX_BYTES]), &mut bytes);
            into.write_all(&bytes)?;
            messages += 1;
        }
        into.write_all(&[0, 0])?;
        Ok(messages)
    }

    /// One side of the book of a stock, best first, after all messages that were handed out. (While an action is being told: after all of it.)
    pub fn levels(&self, stock: u32, side: Side) -> Vec<Level> {
        self.traders[stock as usize].levels(side)
    }

    pub fn tally(&self, stock: u32) -> Tally {
        self.traders[stock as usize].tally
    }

    pub fn stocks(&self) -> u32 {
        self.traders.len() as u32
    }

    /// True between two actions: books and messages agree.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    fn advance(&mut self) -> Option<()> {
        let total = self.settings.messages;
        match self.stage {
            Stage::Directory => {
                self.directory();
                self.stage = Stage::PreMarket;
            }
            Stage::PreMarket if self.made >= total / 10 => {
                self.cross_all(b'O');
                self.system(b'Q');
                self.what_is_rare();
                self.stage = Stage::Market;
            }
            Stage::Market if self.made >= total - total / 20 => {
                self.cross_all(b'C');
                self.system(b'M');
                self.stage = Stage::AfterHours;
            }
            Stage::AfterHours if self.made >= total => {
                self.system(b'E');
                self.system(b'C');
                self.stage = Stage::Over;
            }
            Stage::Over => return None,
            Stage::PreMarket | Stage::Market | Stage::AfterHours => self.act(),
        }
        Some(())
    }

    fn system(&mut self, event: u8) {
        self.pending.push_back((0, Body::SystemEvent(SystemEvent { event })));
    }

    fn directory(&mut self) {
        self.system(b'O');
        for trader in &self.traders {
            let directory = StockDirectory {
                stock: trader.stock,
                market_category: b'Q',
                financial_status: b'N',
                round_lot: 100,
                round_lots_only: b'N',
                issue_class: b'C',
                issue_subtype: *b"Z ",
                authenticity: b'T',
                short_sale_threshold: b'N',
                ipo: b'N',
                luld_tier: b'1',
                etp: b'N',
                etp_leverage: 0,
                inverse: b'N',
            };
            let trading = TradingAction { stock: trader.stock, state: b'T', reserved: b' ', reason: *b"    " };
            let position = ParticipantPosition { mpid: *b"NITE", stock: trader.stock, primary: b'Y', mode: b'N', state: b'A' };
            self.pending.extend([
                (trader.locate, Body::StockDirectory(directory)),
                (trader.locate, Body::TradingAction(trading)),
                (trader.locate, Body::RegSho(RegSho { stock: trader.stock, action: b'0' })),
                (trader.locate, Body::ParticipantPosition(position)),
            ]);
        }
        let levels = BreakerLevels { level_1: 4_000 * 100_000_000, level_2: 3_700 * 100_000_000, level_3: 3_400 * 100_000_000 };
        self.pending.push_back((0, Body::BreakerLevels(levels)));
        // Two that come once a year; here once a day.
        let first = &self.traders[0];
        self.pending.push_back((first.locate, first.ipo()));
        self.pending.push_back((first.locate, first.direct_listing()));
        self.system(b'S');
    }

    fn cross_all(&mut self, cross: u8) {
        for trader in &mut self.traders {
            trader.cross(cross, &mut self.numbers, &mut self.random, &mut self.pending);
        }
    }

    /// What a day may not have at all, each once, so that every type is in every day.
    fn what_is_rare(&mut self) {
        self.pending.push_back((0, Body::BreakerStatus(BreakerStatus { level: b'1' })));
        let first = &mut self.traders[0];
        first.halt_here(&mut self.pending);
        first.pause(&mut self.numbers, &mut self.random, &mut self.pending);
        first.break_trade(&mut self.pending);
        let tell = Body::RetailInterest(RetailInterest { stock: first.stock, interest: b'N' });
        self.pending.push_back((first.locate, tell));
    }

    /// Something happens at one stock. Half of all at one tenth of them, as in real life, and so on within that tenth.
    fn act(&mut self) {
        let mut range = self.traders.len() as u64;
        while range > 10 && self.random.chance(50) {
            range /= 10;
        }
        let at = self.random.below(range) as usize;
        let before = self.pending.len();
        let rare = self.stage == Stage::Market && self.random.below(2_000) == 0;
        let trader = &mut self.traders[at];
        if rare {
            trader.pause(&mut self.numbers, &mut self.random, &mut self.pending);
        } else {
            trader.act(&mut self.numbers, &mut self.random, &mut self.pending);
        }
        self.made += (self.pending.len() - before) as u64;
    }
}

/// The messages of the day, in their order.
impl Iterator for Day {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        while self.pending.is_empty() {
            self.advance()?;
        }
        let (locate, body) = self.pending.pop_front()?;
        if matches!(body, Body::SystemEvent(SystemEvent { event: b'S' })) {
            self.clock.open();
        }
        let time_ns = self.clock.next(&mut self.random);
        Some(Message { header: Header { locate, tracking: 0, time_ns }, body })
    }
}
