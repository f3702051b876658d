//! One topic of one client. In: its records, in order. Out: counts, latencies, and every fault they show.
//! Bounded: a sequence and a trade id; with `Verify::Full` a view, but for trades, whose check is about the sequence alone.

use crate::plan::Verify;
use crate::tally::{Faults, Tally};
use wire::event::{Flags, Nanos};
use wire::kind::Kind;
use wire::record::{Meta, Record, RecordBody, TradeRecord};
use wire::view::{View, ViewError, trade_hash};

/// What is wanted of all topics.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub verify: Verify,
    pub consecutive_ids: bool,
}

/// One line of the cache: who has many topics is measured in looks at these.
#[derive(Debug)]
#[repr(align(64))]
pub struct Held {
    /// Index into the plan's topics; `None` for what a pattern brought.
    pub topic: Option<u32>,
    pub epoch: u64,
    pub sequence: Option<u64>,
    last_id: Option<i64>,
    /// A gap was told since the newest trade.
    after_gap: bool,
    view: Option<Box<View>>,
}

const _: () = assert!(size_of::<Held>() == 64, "it has grown");

impl Held {
    pub fn new(topic: Option<u32>) -> Self {
        Self { topic, epoch: 0, sequence: None, last_id: None, after_gap: false, view: None }
    }

    /// A new connection, or a new epoch of the topic.
    pub fn announce(&mut self, meta: &Meta, record: &Record<'_>, rules: Rules) {
        if meta.epoch != self.epoch {
            *self = Self { epoch: meta.epoch, ..Self::new(self.topic) };
        }
        if rules.verify == Verify::Full && meta.kind != Kind::Trade {
            let view = self.view.get_or_insert_with(|| Box::new(View::new(meta)));
            // A meta cannot fail.
            let _ = view.apply(record);
        }
    }

    /// Takes in one record that is not a meta.
    #[inline]
    pub fn apply(&mut self, meta: &Meta, record: &Record<'_>, rules: Rules, now: Nanos, tally: &mut Tally, faults: &mut Faults) {
        if !self.next_trade(record, now, tally) {
            self.any(meta, record, rules, now, tally, faults);
        }
    }

    /// Nearly every record of a tape: one trade, and the very next one by the venue's count too, which is no fault by any rule. `false`, and
    /// nothing is done, for all else.
    #[inline]
    fn next_trade(&mut self, record: &Record<'_>, now: Nanos, tally: &mut Tally) -> bool {
        let RecordBody::Trade(TradeRecord { id: Some(id), .. }) = record.body else { return false };
        let (Some(last), Some(sequence)) = (self.last_id, self.sequence) else { return false };
        let is_next = record.sequence == 1 && last.checked_add(1) == Some(id) && sequence < u64::MAX;
        if !is_next || record.flags.has(Flags::SNAPSHOT) || record.time == 0 || self.after_gap || self.view.is_some() {
            return false;
        }
        (self.last_id, self.sequence) = (Some(id), Some(sequence + 1));
        tally.records += 1;
        tally.updates += 1;
        tally.event.record(record.time, now);
        true
    }

    #[inline(never)]
    fn any(&mut self, meta: &Meta, record: &Record<'_>, rules: Rules, now: Nanos, tally: &mut Tally, faults: &mut Faults) {
        match record.body {
            RecordBody::Check { hash } => return self.check(meta, hash, rules, tally, faults),
            RecordBody::State(_) => {}
            _ => self.moved(meta, record, rules, now, tally, faults),
        }
        if let Some(view) = &mut self.view
            && let Err(error @ (ViewError::WrongKind(_) | ViewError::Overflow)) = view.apply(record)
        {
            faults.decode_errors += 1;
            faults.note(|| format!("{}: {error}", meta.name));
        }
    }

    fn moved(&mut self, meta: &Meta, record: &Record<'_>, rules: Rules, now: Nanos, tally: &mut Tally, faults: &mut Faults) {
        tally.records += 1;
        if record.flags.has(Flags::SNAPSHOT) {
            tally.snapshots += 1;
            if self.sequence.is_some_and(|held| held > record.sequence) {
                faults.order_errors += 1;
                faults.note(|| format!("{}: a snapshot at {} after {:?}", meta.name, record.sequence, self.sequence));
            }
            self.sequence = Some(record.sequence);
            if let RecordBody::Trade(trade) = record.body {
                (self.last_id, self.after_gap) = (trade.id, false);
            } else {
                self.after_gap = true;
            }
            return;
        }
        if record.time != 0 {
            tally.event.record(record.time, now);
        }
        tally.updates += record.sequence;
        match record.body {
            RecordBody::Gap { missing, .. } => {
                tally.gaps += 1;
                tally.missing += missing.unwrap_or(0);
                self.after_gap = true;
            }
            RecordBody::Trade(trade) if rules.verify != Verify::Off => {
                let holes = record.sequence.abs_diff(1) + self.trade(meta, &trade, rules, faults);
                if holes > 0 {
                    faults.lost += holes;
                    faults.note(|| format!("{}: {holes} trades missing before {trade:?}", meta.name));
                }
            }
            RecordBody::Summary(_) => {
                tally.merged += record.sequence.saturating_sub(1);
                self.after_gap = true;
            }
            _ => tally.merged += record.sequence.saturating_sub(1),
        }
        match &mut self.sequence {
            Some(sequence) => *sequence = sequence.saturating_add(record.sequence),
            None => {
                faults.lost += 1;
                faults.note(|| format!("{}: an update before any snapshot", meta.name));
            }
        }
    }

    /// Trades that lack before this one by the venue's own count.
    fn trade(&mut self, meta: &Meta, trade: &TradeRecord, rules: Rules, faults: &mut Faults) -> u64 {
        let last = std::mem::replace(&mut self.last_id, trade.id);
        let after_gap = std::mem::take(&mut self.after_gap);
        let (Some(last), Some(id)) = (last, trade.id) else { return 0 };
        if id <= last {
            faults.order_errors += 1;
            faults.note(|| format!("{}: trade {id} after {last}", meta.name));
        }
        if rules.consecutive_ids && !after_gap { id.saturating_sub(last).saturating_sub(1).max(0).unsigned_abs() } else { 0 }
    }

    fn check(&mut self, meta: &Meta, expected: u32, rules: Rules, tally: &mut Tally, faults: &mut Faults) {
        let actual = match (&self.view, meta.kind) {
            (Some(view), _) => view.hash(),
            (None, Kind::Trade) if rules.verify != Verify::Off => trade_hash(self.sequence.unwrap_or_default()),
            _ => return,
        };
        if actual == expected {
            tally.checks_ok += 1;
        } else {
            faults.check_mismatches += 1;
            faults.note(|| format!("{}: check {expected:#010x}, view {actual:#010x}", meta.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::event::Cause;
    use wire::record::{Clock, QuoteChange};

    fn meta(kind: Kind, epoch: u64) -> Meta {
        Meta {
            topic: 7,
            name: format!("{kind}/sim:A"),
            kind,
            epoch,
            price_exponent: -2,
            size_exponent: -2,
            tick: 1,
            lot: 1,
            base: 0,
            clock: Clock::Event,
            time_exponent: -6,
        }
    }

    struct Bench {
        meta: Meta,
        held: Held,
        rules: Rules,
        tally: Tally,
        faults: Faults,
    }

    impl Bench {
        fn new(kind: Kind) -> Self {
            let rules = Rules { verify: Verify::Full, consecutive_ids: true };
            let mut bench =
                Self { meta: meta(kind, 1), held: Held::new(Some(0)), rules, tally: Tally::default(), faults: Faults::default() };
            bench.announce(1);
            bench
        }

        fn announce(&mut self, epoch: u64) {
            self.meta = meta(self.meta.kind, epoch);
            let meta = self.meta.clone();
            self.held.announce(&meta, &record(0, 0, RecordBody::Meta(&meta)), self.rules);
        }

        fn put(&mut self, flags: u8, sequence: u64, body: RecordBody<'_>) {
            let record = record(flags, sequence, body);
            self.held.apply(&self.meta, &record, self.rules, 3_000, &mut self.tally, &mut self.faults);
        }

        fn trade(&mut self, flags: u8, sequence: u64, id: i64) {
            self.put(flags, sequence, trade(id));
        }
    }

    fn record(flags: u8, sequence: u64, body: RecordBody<'_>) -> Record<'_> {
        Record { topic: 7, flags: Flags(flags), sequence, time: 1_000, body }
    }

    fn trade<'a>(id: i64) -> RecordBody<'a> {
        let aggressor = Default::default();
        RecordBody::Trade(TradeRecord { price: 1, size: 1, aggressor, id: Some(id), previous_id: None, aggregated: false })
    }

    const SNAPSHOT: u8 = Flags::SNAPSHOT.0;

    #[test]
    fn trades_in_turn_are_no_fault() {
        let mut bench = Bench::new(Kind::Trade);
        bench.trade(SNAPSHOT, 10, 100);
        bench.trade(0, 1, 101);
        bench.put(0, 5, RecordBody::Gap { cause: Cause::Overrun, missing: Some(5) });
        bench.trade(0, 1, 107);
        bench.put(0, 0, RecordBody::Check { hash: trade_hash(17) });
        assert!(bench.faults.is_none(), "{:?}", bench.faults);
        let Tally { records, snapshots, gaps, missing, checks_ok, updates, .. } = bench.tally;
        assert_eq!((records, snapshots, gaps, missing, checks_ok, updates), (4, 1, 1, 5, 1, 7));
        assert_eq!((bench.tally.event.count(), bench.tally.event.max_us()), (3, 2), "snapshots are as old as they are");
    }

    #[test]
    fn each_kind_of_loss_is_found() {
        let mut bench = Bench::new(Kind::Trade);
        bench.trade(SNAPSHOT, 10, 100);
        bench.trade(0, 3, 101);
        assert_eq!(bench.faults.lost, 2, "an advance above one");
        bench.trade(0, 1, 104);
        assert_eq!(bench.faults.lost, 4, "ids with a hole");
        bench.trade(0, 1, 104);
        assert_eq!(bench.faults.order_errors, 1, "the same again");
        bench.put(0, 0, RecordBody::Check { hash: trade_hash(9) });
        assert_eq!(bench.faults.check_mismatches, 1);
        bench.trade(SNAPSHOT, 3, 105);
        assert_eq!(bench.faults.order_errors, 2, "back in time");
        bench.announce(2);
        bench.trade(0, 1, 1);
        assert_eq!(bench.faults.lost, 5, "nothing to add to");
        assert!(bench.faults.first.unwrap().contains("2 trades missing"));
    }

    #[test]
    fn views_are_checked_and_merges_counted() {
        let mut bench = Bench::new(Kind::Quote);
        let quote = QuoteChange { bid_price: Some(Some(5)), ..QuoteChange::default() };
        bench.put(SNAPSHOT, 4, RecordBody::Quote(quote));
        bench.put(1, 7, RecordBody::Quote(QuoteChange { bid_price: Some(Some(6)), ..quote }));
        let hash = bench.held.view.as_ref().unwrap().hash();
        bench.put(0, 0, RecordBody::Check { hash });
        assert_eq!((bench.tally.merged, bench.tally.updates, bench.held.sequence), (6, 7, Some(11)));
        assert!(bench.faults.is_none());
        bench.put(0, 0, RecordBody::Check { hash: hash ^ 1 });
        assert_eq!((bench.tally.checks_ok, bench.faults.check_mismatches), (1, 1));
    }

    #[test]
    fn the_short_way_finds_what_the_long_one_does() {
        for _ in 0..200 {
            let (mut short, mut long) = (Bench::new(Kind::Trade), Bench::new(Kind::Trade));
            short.rules.consecutive_ids = fastrand::bool();
            let mut last = fastrand::i64(-9..9);
            for _ in 0..20 {
                // Mostly the next one; else anything near the edges.
                let odd = |usual: u64, other: u64| if fastrand::u8(..8) == 0 { other } else { usual };
                last = last.saturating_add([1, 1, 1, 1, 1, 0, -1, 2, i64::MAX][fastrand::usize(..9)]);
                let id = (odd(1, 0) == 1).then_some(last);
                let body = match fastrand::u8(..12) {
                    0 => RecordBody::Gap { cause: Cause::Overrun, missing: Some(2) },
                    1 => RecordBody::Check { hash: trade_hash(3) },
                    _ => {
                        let aggressor = Default::default();
                        RecordBody::Trade(TradeRecord { price: 1, size: 1, aggressor, id, previous_id: None, aggregated: false })
                    }
                };
                let flags = odd(0, u64::from(SNAPSHOT)) as u8;
                let far = if flags == SNAPSHOT { u64::MAX } else { 1 << 58 };
                let mut record = record(flags, odd(1, [0, 2, 7, far][fastrand::usize(..4)]), body);
                record.time = odd(1_000, 0) as i64;
                short.held.apply(&short.meta, &record, short.rules, 3_000, &mut short.tally, &mut short.faults);
                long.held.any(&long.meta, &record, short.rules, 3_000, &mut long.tally, &mut long.faults);
                assert_eq!(format!("{:?}", short.held), format!("{:?}", long.held));
            }
            assert_eq!(short.faults, long.faults);
            assert_eq!(serde_json::to_string(&short.tally).unwrap(), serde_json::to_string(&long.tally).unwrap());
        }
    }

    #[test]
    fn off_only_counts() {
        let mut bench = Bench::new(Kind::Trade);
        bench.rules.verify = Verify::Off;
        bench.trade(SNAPSHOT, 10, 100);
        bench.trade(0, 3, 50);
        bench.put(0, 0, RecordBody::Check { hash: 0 });
        assert!(bench.faults.is_none() && bench.tally.records == 2);
    }
}
