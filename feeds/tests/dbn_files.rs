//! DBN files that others recorded, against what others counted in them. In: files under `../shared/data/databento`. Out: nothing but
//! failures. Without the files the tests say SKIPPED, which counts as a failure in CI.

use feeds::adapter::{FaultKind, Output};
use feeds::files::{DatabentoTape, Tape};
use feeds::settings::FeedSettings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use wire::decimal::plain;
use wire::event::{Channel, EventBody, FeedState, Flags, Side};
use wire::instrument::{Instrument, InstrumentClass};
use wire::view::book::Book;

fn captured(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/databento").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    println!("SKIPPED: {} is missing", path.display());
    None
}

/// What one pass over a file of one instrument brings.
struct Seen {
    counts: BTreeMap<String, u64>,
    instruments: Vec<Instrument>,
    book: Book,
    books: u64,
    snapshots: u64,
    doubtful: u64,
    crossed: u64,
    states: Vec<FeedState>,
    quotes: u64,
    trades: Vec<(i64, i64)>,
    remarks: Vec<String>,
}

impl Seen {
    fn of(file: PathBuf) -> Self {
        let mut tape = DatabentoTape::open(&[file], &FeedSettings::of_venue("databento")).unwrap().unwrap();
        let mut seen = Self {
            counts: BTreeMap::new(),
            instruments: Vec::new(),
            book: Book::new(),
            books: 0,
            snapshots: 0,
            doubtful: 0,
            crossed: 0,
            states: Vec::new(),
            quotes: 0,
            trades: Vec::new(),
            remarks: Vec::new(),
        };
        let mut out = Output::default();
        let mut time = 0;
        while let Some(step) = tape.next(&mut out).unwrap() {
            assert!(step.time >= time);
            time = step.time;
            assert!(
                out.faults.is_empty(),
                "{:?}",
                out.faults.iter().map(|fault| FaultKind::name(fault.kind)).collect::<Vec<_>>()
            );
            seen.take(&out);
            out.clear();
        }
        seen.counts = tape.counts().into_iter().collect();
        seen.remarks = tape.remarks();
        seen
    }

    fn take(&mut self, out: &Output) {
        for event in &out.batch.events {
            assert_eq!(event.instrument, 0);
            match &event.body {
                EventBody::Instrument(instrument) => self.instruments.push((**instrument).clone()),
                EventBody::Book { bids, asks, snapshot } => {
                    let (bids, asks) = (out.batch.levels(bids), out.batch.levels(asks));
                    if *snapshot {
                        self.book.replace(bids, asks);
                        self.snapshots += 1;
                    } else {
                        self.book.apply(bids, asks);
                    }
                    self.books += 1;
                    self.doubtful += u64::from(event.flags.has(Flags::MAYBE_BAD_BOOK));
                    let best = |side| self.book.best(side).map(|level| level.price);
                    self.crossed += u64::from(best(Side::Bid).zip(best(Side::Ask)).is_some_and(|(bid, ask)| bid >= ask));
                }
                EventBody::Quote(quote) => {
                    let level =
                        |side| self.book.best(side).map(|level| (Some(level.price), Some(level.size))).unwrap_or_default();
                    assert_eq!((quote.bid_price, quote.bid_size), level(Side::Bid), "a quote is the best of its book");
                    assert_eq!((quote.ask_price, quote.ask_size), level(Side::Ask));
                    self.quotes += 1;
                }
                EventBody::Trade(trade) => self.trades.push((trade.price, trade.size)),
                EventBody::State { state, channel: Some(Channel::Book), .. } => self.states.push(*state),
                _ => {}
            }
        }
    }

    fn best(&self, side: Side) -> String {
        let exponent = self.instruments.last().unwrap().price_exponent;
        self.book
            .best(side)
            .map_or("-".to_owned(), |level| format!("{} x {}", plain(i128::from(level.price), exponent), level.size))
    }

    /// As a plain dictionary of orders, in another language, has it: best prices, levels and sizes a side, changes of the best prices.
    fn ends_with(&self, best: (&str, &str), levels: (usize, usize), sizes: (i64, i64), quotes: u64) {
        assert_eq!((self.best(Side::Bid).as_str(), self.best(Side::Ask).as_str()), best);
        assert_eq!((self.book.len(Side::Bid), self.book.len(Side::Ask)), levels);
        let sum = |side| self.book.levels(side, usize::MAX).map(|level| level.size).sum::<i64>();
        assert_eq!((sum(Side::Bid), sum(Side::Ask)), sizes);
        assert_eq!(self.quotes, quotes);
    }

    fn has(&self, expected: &[(&str, u64)]) {
        for (name, count) in expected {
            assert_eq!(self.counts.get(*name).copied().unwrap_or(0), *count, "{name}: {:?}", self.counts);
        }
    }
}

#[test]
fn a_snapshot_of_orders_is_one_book() {
    let Some(file) = captured("esh4-glbx-mdp3-20231224.mbo.dbn.zst") else { return };
    let seen = Seen::of(file);
    seen.has(&[("records mbo", 8_725), ("mbo A", 8_725), ("records too short", 0), ("orders that do not add up", 0)]);
    assert_eq!(seen.instruments.len(), 1, "cents hold every price, so nothing is redefined");
    let instrument = &seen.instruments[0];
    assert_eq!((instrument.symbol.as_str(), instrument.class), ("ESH4", InstrumentClass::Future));
    assert_eq!((instrument.price_exponent, instrument.size_exponent), (-2, 0));
    assert_eq!((seen.books, seen.snapshots, seen.doubtful, seen.quotes), (1, 1, 0, 1));
    assert_eq!(seen.states, [FeedState::Live]);
    seen.ends_with(("4799 x 16", "4799.5 x 23"), (892, 559), (19_424, 18_880), 1);
}

#[test]
fn orders_of_two_seconds_add_up() {
    let Some(file) = captured("orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst") else { return };
    let seen = Seen::of(file);
    seen.has(&[
        ("records mbo", 13_796),
        ("mbo A", 13_678),
        ("mbo C", 80),
        ("mbo M", 27),
        ("mbo T", 5),
        ("mbo F", 5),
        ("mbo R", 1),
        // Every order that goes or moves was there.
        ("orders that do not add up", 0),
        ("levels instead of orders", 0),
    ]);
    assert_eq!((seen.instruments.len(), seen.instruments[0].symbol.as_str()), (1, "ESM4"));
    assert_eq!((seen.snapshots, seen.doubtful, seen.crossed), (1, 0, 0));
    assert_eq!(seen.books, 1 + 79 + 78 + 27, "one book update an event, by the flag of its last record");
    let ticks = |price| (price, seen.trades.iter().filter(|trade| trade.0 == price).map(|trade| trade.1).sum::<i64>());
    assert_eq!((seen.trades.len(), ticks(521_425)), (5, (521_425, 6)));
    assert!(seen.remarks.is_empty(), "{:?}", seen.remarks);
    seen.ends_with(("5214 x 28", "5214.25 x 17"), (976, 571), (26_220, 19_752), 136);
}
