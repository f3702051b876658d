//! The order book against a plain model: a list of orders that is summed up anew after every step.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use wire::event::{Batch, EventBody};

#[derive(Clone, Debug)]
enum Step {
    Add { book: u32, id: u64, side: Side, price: i64, size: u32 },
    Reduce { book: u32, id: u64, by: u32 },
    Remove { book: u32, id: u64 },
    Replace { book: u32, id: u64, new_id: u64, price: i64, size: u32 },
    Clear { book: u32 },
    ClearAll,
}

/// Few ids and prices, so that everything meets; multiples of a power of two, whose products share their low bits.
fn step() -> impl Strategy<Value = Step> {
    let book = 0..3u32;
    let id = (0..40u64).prop_map(|id| id << 52 | id);
    let side = prop_oneof![Just(Side::Bid), Just(Side::Ask)];
    let price = -20..20i64;
    let size = 0..6u32;
    prop_oneof![
        8 => (book.clone(), id.clone(), side, price.clone(), size.clone())
            .prop_map(|(book, id, side, price, size)| Step::Add { book, id, side, price, size }),
        4 => (book.clone(), id.clone(), size.clone()).prop_map(|(book, id, by)| Step::Reduce { book, id, by }),
        2 => (book.clone(), id.clone()).prop_map(|(book, id)| Step::Remove { book, id }),
        3 => (book.clone(), id.clone(), id, price, size)
            .prop_map(|(book, id, new_id, price, size)| Step::Replace { book, id, new_id, price, size }),
        1 => book.prop_map(|book| Step::Clear { book }),
        1 => Just(Step::ClearAll),
    ]
}

const LIMIT: usize = 24;

#[derive(Default)]
struct Model {
    orders: Vec<(u32, u64, Side, i64, u32)>,
}

impl Model {
    fn at(&self, book: u32, id: u64) -> Option<usize> {
        self.orders.iter().position(|order| (order.0, order.1) == (book, id))
    }

    fn add(&mut self, book: u32, id: u64, side: Side, price: i64, size: u32) -> Option<Refusal> {
        match (size, self.at(book, id)) {
            (0, _) => return Some(Refusal::NoSize),
            (_, Some(_)) => return Some(Refusal::Duplicate),
            _ if self.orders.len() == LIMIT => return Some(Refusal::Full),
            _ => self.orders.push((book, id, side, price, size)),
        }
        None
    }

    fn reduce(&mut self, book: u32, id: u64, by: u32) -> Option<Refusal> {
        let Some(at) = self.at(book, id) else { return Some(Refusal::Unknown) };
        self.orders[at].4 = self.orders[at].4.saturating_sub(by);
        self.orders.retain(|order| order.4 > 0);
        None
    }

    fn replace(&mut self, book: u32, id: u64, new_id: u64, price: i64, size: u32) -> Option<Refusal> {
        if new_id != id && self.at(book, new_id).is_some() {
            return Some(Refusal::Duplicate);
        }
        if size == 0 {
            return Some(Refusal::NoSize);
        }
        let Some(at) = self.at(book, id) else { return Some(Refusal::Unknown) };
        let side = self.orders.remove(at).2;
        self.add(book, new_id, side, price, size)
    }

    fn levels(&self, book: u32, side: Side) -> Vec<Level> {
        let mut levels: BTreeMap<i64, i64> = BTreeMap::new();
        for order in self.orders.iter().filter(|order| order.0 == book && order.2 == side) {
            *levels.entry(order.3).or_default() += i64::from(order.4);
        }
        let levels = levels.into_iter().map(|(price, size)| Level { price, size });
        if side == Side::Bid { levels.rev().collect() } else { levels.collect() }
    }
}

/// What a consumer of the events has.
#[derive(Default)]
struct Follower {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Follower {
    fn apply(&mut self, batch: &Batch, body: &EventBody) {
        let EventBody::Book { bids, asks, snapshot } = body else { unreachable!("only books are put") };
        if *snapshot {
            self.bids.clear();
            self.asks.clear();
        }
        for (side, range) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
            for level in batch.levels(range) {
                side.insert(level.price, level.size);
            }
            side.retain(|_, size| *size != 0);
        }
    }

    fn levels(&self, side: Side) -> Vec<Level> {
        let level = |(price, size): (&i64, &i64)| Level { price: *price, size: *size };
        match side {
            Side::Bid => self.bids.iter().rev().map(level).collect(),
            Side::Ask => self.asks.iter().map(level).collect(),
        }
    }
}

proptest! {
    #[test]
    fn levels_are_the_sums_of_the_orders(steps in prop::collection::vec(step(), 0..400)) {
        let mut books = OrderBooks::new(Limits { orders: LIMIT });
        books.open(2);
        let mut model = Model::default();
        let mut followers: [Follower; 3] = Default::default();
        let (mut changes, mut batch) = (Changes::default(), Batch::default());
        for step in steps {
            let (book, refusal, expected) = match step {
                Step::Add { book, id, side, price, size } => {
                    let done = books.add(book, id, side, price, size).map(|change| changes.note(&change));
                    (book, done.err(), model.add(book, id, side, price, size))
                }
                Step::Reduce { book, id, by } => {
                    let done = books.reduce(book, id, by).map(|change| changes.note(&change));
                    (book, done.err(), model.reduce(book, id, by))
                }
                Step::Remove { book, id } => {
                    let done = books.remove(book, id).map(|change| changes.note(&change));
                    (book, done.err(), model.reduce(book, id, u32::MAX))
                }
                Step::Replace { book, id, new_id, price, size } => {
                    let done = books.replace(book, id, new_id, price, size).map(|moved| changes.note_moved(&moved));
                    (book, done.err(), model.replace(book, id, new_id, price, size))
                }
                Step::Clear { book } => {
                    books.clear(book);
                    model.orders.retain(|order| order.0 != book);
                    (book, None, None)
                }
                Step::ClearAll => {
                    books.clear_all();
                    model.orders.clear();
                    (0, None, None)
                }
            };
            prop_assert_eq!(refusal, expected);
            let best_moved = changes.touch_best();
            let best_before = [Side::Bid, Side::Ask].map(|side| followers[book as usize].levels(side).first().copied());
            batch.clear();
            if let Some(body) = changes.put(&mut batch) {
                followers[book as usize].apply(&batch, &body);
            }
            for (at, follower) in (0..).zip(&mut followers) {
                if matches!(step, Step::Clear { .. } | Step::ClearAll) {
                    batch.clear();
                    let body = books.book(at).unwrap().snapshot(&mut batch);
                    follower.apply(&batch, &body);
                } else if at == book {
                    let best = [Side::Bid, Side::Ask].map(|side| follower.levels(side).first().copied());
                    prop_assert!(best == best_before || best_moved);
                }
                for side in [Side::Bid, Side::Ask] {
                    let ladder = books.book(at).unwrap().side(side);
                    let expected = model.levels(at, side);
                    prop_assert_eq!(ladder.best_first().copied().collect::<Vec<_>>(), &expected[..]);
                    prop_assert_eq!(ladder.best(), expected.first().copied());
                    prop_assert_eq!(follower.levels(side), expected);
                }
            }
            prop_assert_eq!(books.len(), model.orders.len());
            for order in &model.orders {
                let expected = Some((order.2, Level { price: order.3, size: i64::from(order.4) }));
                prop_assert_eq!(books.order(order.0, order.1), expected);
            }
        }
    }
}

/// Past the first size of the table, through several doublings, with a queue of orders that wanders through all places.
#[test]
fn a_large_table_finds_everything() {
    let mut books = OrderBooks::new(Limits { orders: 50_000 });
    books.open(0);
    for id in 0..200_000u64 {
        books.add(0, id, Side::Bid, (id % 100) as i64, 1 + (id % 7) as u32).unwrap();
        if id >= 50_000 - 1 {
            let change = books.remove(0, id + 1 - 50_000).unwrap();
            assert_eq!(change.by, -(1 + ((id + 1 - 50_000) % 7) as i64));
        }
    }
    assert_eq!((books.len(), books.book(0).unwrap().bids.len()), (49_999, 100));
    assert_eq!(books.remove(0, 150_000), Err(Refusal::Unknown));
    assert!(books.order(0, 150_001).is_some());
}

#[test]
fn what_is_too_much_is_told() {
    let mut books = OrderBooks::new(Limits { orders: 1 });
    assert_eq!(books.add(0, 1, Side::Ask, 5, 10), Err(Refusal::Unknown));
    books.open(0);
    let change = books.add(0, 1, Side::Ask, 5, 10).unwrap();
    assert_eq!(change, Change { side: Side::Ask, level: Level { price: 5, size: 10 }, best: true, by: 10, excess: 0 });
    assert_eq!(books.add(0, 2, Side::Ask, 5, 10), Err(Refusal::Full));
    // A full table still replaces.
    let moved = books.replace(0, 1, 3, 4, 7).unwrap();
    assert_eq!((moved.from.level.size, moved.to.level), (0, Level { price: 4, size: 7 }));
    let change = books.reduce(0, 3, 9).unwrap();
    assert_eq!((change.by, change.excess, change.level.size), (-7, 2, 0));
    assert!(books.is_empty());
}

#[test]
fn the_table_keeps_to_its_bytes() {
    for orders in [1, 2_000, 2_560, 2_561, 5_121, 40_000] {
        let mut books = OrderBooks::new(Limits { orders });
        books.open(0);
        for id in 0..orders as u64 {
            books.add(0, id, Side::Bid, 1, 1).unwrap();
        }
        assert_eq!(books.add(0, u64::MAX, Side::Bid, 1, 1), Err(Refusal::Full));
        assert_eq!(books.orders.bytes(), table::bytes(orders), "{orders}");
    }
}
