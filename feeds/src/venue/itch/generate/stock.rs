//! One stock of a made day. In: chance. Out: orders that come, go and trade so that the book is never crossed, and what they come to.
//! Bounded: about `usual` orders rest.

use super::super::message::{
    Add, AddAttributed, AuctionCollar, Body, BrokenTrade, Cancel, CrossTrade, Delete, DirectListing, Executed, ExecutedAtPrice,
    HiddenTrade, Imbalance, IpoQuoting, OperationalHalt, Replace, RetailInterest, Stock, TradingAction,
};
use super::{Numbers, Tally};
use crate::sim::random::Random;
use std::collections::{BTreeMap, VecDeque};
use wire::event::{Level, Side};

/// A cent in 1/10,000 dollar.
const CENT: u32 = 100;

#[derive(Clone, Copy)]
struct Order {
    id: u64,
    side: Side,
    price: u32,
    shares: u32,
}

pub(super) struct Trader {
    pub(super) stock: Stock,
    pub(super) locate: u16,
    pub(super) tally: Tally,
    /// Bids are below it, asks above.
    middle: u32,
    /// Orders around which their number stays.
    usual: u64,
    /// In no order.
    orders: Vec<Order>,
    last_match: u64,
}

type Pending = VecDeque<(u16, Body)>;

impl Trader {
    pub(super) fn new(number: u32, random: &mut Random) -> Self {
        let middle = CENT * (500 + random.below(20_000) as u32);
        let usual = 20 + random.below(300);
        let locate = (number + 1) as u16;
        Self { stock: name(number), locate, tally: Tally::default(), middle, usual, orders: Vec::new(), last_match: 0 }
    }

    pub(super) fn levels(&self, side: Side) -> Vec<Level> {
        let mut levels: BTreeMap<u32, i64> = BTreeMap::new();
        for order in self.orders.iter().filter(|order| order.side == side) {
            *levels.entry(order.price).or_default() += i64::from(order.shares);
        }
        let levels = levels.into_iter().map(|(price, size)| Level { price: i64::from(price), size });
        if side == Side::Bid { levels.rev().collect() } else { levels.collect() }
    }

    /// One order comes, goes, moves or trades.
    pub(super) fn act(&mut self, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let few = (self.orders.len() as u64) < self.usual;
        match random.below(1_000) {
            0..480 if few => self.add(numbers, random, pending),
            0..400 => self.add(numbers, random, pending),
            400..820 => self.delete(random, pending),
            820..900 => self.replace(numbers, random, pending),
            900..950 => self.execute(numbers, random, pending),
            950..965 => self.cancel(random, pending),
            965..980 => self.hidden(numbers, random, pending),
            980..985 => self.execute_at_price(numbers, random, pending),
            985..995 => self.wander(numbers, random, pending),
            995..998 => self.tell(pending, Body::RetailInterest(RetailInterest { stock: self.stock, interest: b'A' })),
            _ => self.break_trade(pending),
        }
    }

    fn tell(&self, pending: &mut Pending, body: Body) {
        pending.push_back((self.locate, body));
    }

    fn add(&mut self, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let side = if random.chance(50) { Side::Bid } else { Side::Ask };
        let price = self.price(side, random);
        // Mostly round lots; now and then anything.
        let shares = if random.chance(80) { 100 * (1 + random.below(9) as u32) } else { 1 + random.below(5_000) as u32 };
        let order = Order { id: numbers.order(random), side, price, shares };
        self.orders.push(order);
        let Order { id, price, shares, .. } = order;
        let (order, side, stock) = (id, letter(side), self.stock);
        let body = if random.chance(5) {
            Body::AddAttributed(AddAttributed { order, side, shares, stock, price, mpid: *b"NITE" })
        } else {
            Body::Add(Add { order, side, shares, stock, price })
        };
        self.tell(pending, body);
    }

    /// Near the middle rather than far from it; once in a while a stub at the end of the world.
    fn price(&self, side: Side, random: &mut Random) -> u32 {
        if random.below(500) == 0 {
            return if side == Side::Bid { 1 } else { 1_999_999_900 };
        }
        let away = CENT * (1 + (random.below(40) * random.below(40) / 40) as u32);
        match side {
            Side::Bid => self.middle.saturating_sub(away).max(1),
            Side::Ask => self.middle + away,
        }
    }

    fn any(&self, random: &mut Random) -> Option<usize> {
        (!self.orders.is_empty()).then(|| random.below(self.orders.len() as u64) as usize)
    }

    /// The first order at the best price of a side.
    fn best(&self, side: Side) -> Option<usize> {
        let of_side = self.orders.iter().enumerate().filter(|(_, order)| order.side == side);
        let rank = |order: &Order| if side == Side::Bid { u32::MAX - order.price } else { order.price };
        of_side.min_by_key(|(_, order)| (rank(order), order.id)).map(|(at, _)| at)
    }

    fn delete(&mut self, random: &mut Random, pending: &mut Pending) {
        if let Some(at) = self.any(random) {
            let order = self.orders.swap_remove(at);
            self.tell(pending, Body::Delete(Delete { order: order.id }));
        }
    }

    fn cancel(&mut self, random: &mut Random, pending: &mut Pending) {
        if let Some(at) = self.any(random)
            && self.orders[at].shares > 1
        {
            let shares = 1 + random.below(u64::from(self.orders[at].shares) - 1) as u32;
            self.orders[at].shares -= shares;
            self.tell(pending, Body::Cancel(Cancel { order: self.orders[at].id, shares }));
        }
    }

    fn replace(&mut self, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let Some(at) = self.any(random) else { return };
        let former = self.orders[at];
        // Half of them change their size only.
        let price = if random.chance(50) { former.price } else { self.price(former.side, random) };
        let shares = 1 + random.below(2_000) as u32;
        let id = numbers.order(random);
        self.orders[at] = Order { id, price, shares, ..former };
        self.tell(pending, Body::Replace(Replace { order: former.id, new_order: id, shares, price }));
    }

    /// Takes from the order at this place. Out: how much, and whose it was.
    fn take(&mut self, at: usize, all: bool, random: &mut Random) -> (u64, u32) {
        let order = &mut self.orders[at];
        let id = order.id;
        let shares = if all { order.shares } else { 1 + random.below(u64::from(order.shares)) as u32 };
        order.shares -= shares;
        if order.shares == 0 {
            self.orders.swap_remove(at);
        }
        (id, shares)
    }

    fn note_trade(&mut self, shares: u64, numbers: &mut Numbers) -> u64 {
        self.tally.trades += 1;
        self.tally.shares += shares;
        self.last_match = numbers.match_number();
        self.last_match
    }

    fn execute(&mut self, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let side = if random.chance(50) { Side::Bid } else { Side::Ask };
        if let Some(at) = self.best(side) {
            let all = random.chance(40);
            self.execute_order(at, all, numbers, random, pending);
        }
    }

    fn execute_order(&mut self, at: usize, all: bool, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let (order, shares) = self.take(at, all, random);
        let match_number = self.note_trade(u64::from(shares), numbers);
        self.tell(pending, Body::Executed(Executed { order, shares, match_number }));
    }

    /// At a better price than the order's own; one in five is part of a cross and does not count as a trade.
    fn execute_at_price(&mut self, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let Some(at) = self.best(Side::Ask) else { return };
        let (order, shares) = self.take(at, false, random);
        let printable = random.chance(80);
        let match_number = if printable { self.note_trade(u64::from(shares), numbers) } else { numbers.match_number() };
        let printable = if printable { b'Y' } else { b'N' };
        let body = ExecutedAtPrice { order, shares, match_number, printable, price: self.middle + CENT / 2 };
        self.tell(pending, Body::ExecutedAtPrice(body));
    }

    fn hidden(&mut self, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let shares = 1 + random.below(1_000) as u32;
        let match_number = self.note_trade(u64::from(shares), numbers);
        // In the middle of a cent, as midpoint orders trade.
        let body = HiddenTrade { order: 0, side: b'B', shares, stock: self.stock, price: self.middle + CENT / 2, match_number };
        self.tell(pending, Body::HiddenTrade(body));
    }

    pub(super) fn break_trade(&mut self, pending: &mut Pending) {
        if self.last_match > 0 {
            self.tally.broken += 1;
            self.tell(pending, Body::BrokenTrade(BrokenTrade { match_number: self.last_match }));
        }
    }

    /// The price goes a cent up or down, once the orders in its way have traded.
    fn wander(&mut self, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let up = random.chance(50);
        let middle = if up { self.middle + CENT } else { self.middle.saturating_sub(CENT).max(200 * CENT) };
        let side = if up { Side::Ask } else { Side::Bid };
        let in_the_way = |order: Order| if up { order.price <= middle } else { order.price >= middle };
        while let Some(at) = self.best(side)
            && in_the_way(self.orders[at])
        {
            self.execute_order(at, true, numbers, random, pending);
        }
        self.middle = middle;
    }

    /// An auction: told as an imbalance, the orders taken by it (which do not count one by one), and one trade.
    pub(super) fn cross(&mut self, cross: u8, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let middle = self.middle;
        let imbalance = Imbalance {
            paired: 1_000,
            imbalance: 300,
            direction: b'B',
            stock: self.stock,
            far: middle - CENT,
            near: middle + CENT,
            reference: middle,
            cross,
            variation: b'1',
        };
        self.tell(pending, Body::Imbalance(imbalance));
        let mut shares = 0;
        for side in [Side::Bid, Side::Ask] {
            if let Some(at) = self.best(side) {
                let (order, taken) = self.take(at, true, random);
                shares += u64::from(taken);
                let match_number = numbers.match_number();
                let body = ExecutedAtPrice { order, shares: taken, match_number, printable: b'N', price: middle };
                self.tell(pending, Body::ExecutedAtPrice(body));
            }
        }
        // With nothing to trade the cross is told all the same, with no shares.
        let match_number = if shares > 0 { self.note_trade(shares, numbers) } else { numbers.match_number() };
        self.tell(pending, Body::CrossTrade(CrossTrade { shares, stock: self.stock, price: middle, match_number, cross }));
    }

    /// Trouble of this market alone.
    pub(super) fn halt_here(&self, pending: &mut Pending) {
        for action in [b'H', b'T'] {
            self.tell(pending, Body::OperationalHalt(OperationalHalt { stock: self.stock, market: b'Q', action }));
        }
    }

    /// A pause of trading and the auction that ends it.
    pub(super) fn pause(&mut self, numbers: &mut Numbers, random: &mut Random, pending: &mut Pending) {
        let stock = self.stock;
        let action = |state| Body::TradingAction(TradingAction { stock, state, reserved: b' ', reason: *b"LUDP" });
        self.tell(pending, action(b'P'));
        self.tell(pending, action(b'Q'));
        let (reference, middle) = (self.middle, self.middle);
        let collar = AuctionCollar { stock, reference, upper: middle + 10 * CENT, lower: middle - 10 * CENT, extensions: 0 };
        self.tell(pending, Body::AuctionCollar(collar));
        self.cross(b'H', numbers, random, pending);
        self.tell(pending, action(b'T'));
    }

    pub(super) fn ipo(&self) -> Body {
        Body::IpoQuoting(IpoQuoting { stock: self.stock, release_s: 36_000, qualifier: b'A', price: self.middle })
    }

    pub(super) fn direct_listing(&self) -> Body {
        let (lowest, near, highest) = (self.middle / 2, self.middle, self.middle * 2);
        let (near_time_ns, lower_collar, upper_collar) = (36_000_000_000_000, lowest, highest);
        Body::DirectListing(DirectListing {
            stock: self.stock,
            open: b'Y',
            lowest,
            highest,
            near,
            near_time_ns,
            lower_collar,
            upper_collar,
        })
    }
}

fn letter(side: Side) -> u8 {
    if side == Side::Bid { b'B' } else { b'S' }
}

/// `AAAA`, `AAAB` and so on.
fn name(number: u32) -> Stock {
    let mut stock = *b"        ";
    for (at, place) in [26u32.pow(3), 26u32.pow(2), 26, 1].into_iter().enumerate() {
        stock[at] = b'A' + (number / place % 26) as u8;
    }
    stock
}
