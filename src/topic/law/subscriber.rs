//! A virtual subscriber: it polls when it likes, keeps a `wire::view::View`, and checks every record it is given against the truth.
//! In: records of one topic. Out: a panic at the first that is not right. Bounded by the test.

use super::super::{Cursor, Missing};
use super::world::{Item, World};
use wire::event::{Cause, Flags, Side, Trade};
use wire::kind::{Argument, Kind};
use wire::record::{Meta, Record, RecordBody, TradeSummary};
use wire::request::TradeMode;
use wire::view::{Applied, View};

/// How a subscriber comes back on a new connection.
#[derive(Clone, Copy, Debug)]
pub enum Comeback {
    New,
    Now,
    /// For the newest entries first, so many.
    Back(u32),
    /// With the view it has.
    Resume,
    /// With a position that never was: a later sequence, or another epoch.
    Lie {
        epoch: u64,
        ahead: u64,
    },
}

pub struct Subscriber {
    pub id: u32,
    pub shard: usize,
    pub mode: TradeMode,
    watching: bool,
    cursor: Cursor,
    view: Option<View>,
    /// What the decoder of this connection knows.
    meta: Option<Meta>,
    previous_id: Option<i64>,
    /// Resumed and not yet answered: the server cannot know its totals.
    resumed: bool,
    /// Came back with a position that never was, and was not yet answered.
    lied: bool,
    seen_version: u64,
}

impl Subscriber {
    pub fn new(id: u32, shard: usize, mode: TradeMode) -> Self {
        Self {
            id,
            shard,
            mode,
            watching: false,
            cursor: Cursor::NEW,
            view: None,
            meta: None,
            previous_id: None,
            resumed: false,
            lied: false,
            seen_version: 0,
        }
    }

    pub fn watch(&mut self, world: &World, watching: bool) {
        self.watching = watching;
        if watching {
            world.map.watch(self.shard, self.id);
        } else {
            world.map.unwatch(self.shard, self.id);
        }
    }

    pub fn is_watching(&self) -> bool {
        self.watching
    }

    pub fn come_back(&mut self, how: Comeback) {
        (self.meta, self.previous_id, self.resumed, self.lied, self.seen_version) = (None, None, false, false, 0);
        let held = self.view.as_ref().and_then(|view| Some((view.epoch, view.sequence?)));
        self.cursor = match (how, held) {
            (Comeback::Resume, Some((epoch, sequence))) => {
                self.resumed = true;
                Cursor::resume(epoch, sequence)
            }
            (Comeback::Lie { epoch, ahead }, held) => {
                self.view = None;
                self.lied = true;
                Cursor::resume(epoch, held.map_or(1_000, |held| held.1).saturating_add(1_000).saturating_add(ahead))
            }
            (Comeback::Now, _) => {
                self.view = None;
                Cursor::NOW
            }
            (Comeback::Back(n), _) => {
                self.view = None;
                Cursor::back(n)
            }
            _ => {
                self.view = None;
                Cursor::NEW
            }
        };
    }

    /// One call of `since`.
    pub fn poll(&mut self, world: &World, max_records: usize) {
        let Some(topic) = world.map.get(self.id) else { panic!("no topic {}", self.id) };
        let version = topic.version();
        let asleep = topic.kind() == Kind::Book && topic.watchers() == 0;
        let quiet = version == self.seen_version && !asleep;
        let wants_past = self.cursor != Cursor::NOW;
        let behind = (self.cursor.is_placed()).then_some((self.cursor.epoch(), self.cursor.seq()));
        let back = self.cursor.starts_back().filter(|_| topic.kind() == Kind::Trade);
        let mut window = Window { start: behind, back, ..Window::default() };
        let mut cursor = self.cursor;
        let mode = self.mode;
        let missing = topic.missing(&cursor);
        cursor = topic.since(&cursor, mode, max_records, &mut |meta, record| {
            assert!(!quiet, "the version did not change, yet there is {record:?}");
            self.take(world, meta, record, &mut window);
        });
        if let Some((epoch, seq)) = behind
            && topic.kind() == Kind::Trade
            && (world.epoch.saturating_sub(8)..world.epoch).contains(&epoch)
            && world.tapes.get(&epoch).is_some_and(|tape| seq <= tape.len() as u64)
            && (seq < world.tapes[&epoch].len() as u64
                || (epoch + 1..world.epoch).any(|later| world.tapes.get(&later).is_some_and(|tape| !tape.is_empty())))
        {
            assert!(window.cut_off, "trades were cut off by a redefinition and nothing said so");
        }
        match (behind, topic.kind()) {
            (Some((epoch, _)), Kind::Trade) if self.lied || epoch + 8 < world.epoch => assert_eq!(missing, Missing::Unknown),
            // The rest may come with the next call.
            (Some(_), Kind::Trade) if mode == TradeMode::Summary || max_records < 2 => {}
            (Some(_), Kind::Trade) => assert_eq!(missing, window.missing()),
            _ => assert_eq!(missing, Missing::None),
        }
        let partial = mode == TradeMode::Every && window.stream_records >= max_records;
        if mode == TradeMode::Every {
            assert!(window.stream_records <= max_records, "{} of at most {max_records}", window.stream_records);
        }
        self.cursor = cursor;
        (self.resumed, self.lied) = (false, false);
        let Some(view) = &self.view else { panic!("no Meta came") };
        assert_eq!((view.epoch, view.sequence), (cursor.epoch(), Some(cursor.seq())));
        assert!(back.is_none() || window.tape, "the newest entries follow an empty tape");
        assert!(wants_past || view.tape().is_none_or(|tape| tape.total().is_none()), "NOW shows nothing of the past");
        if partial {
            return;
        }
        self.seen_version = version;
        self.holds_the_truth(world);
        let again = topic.since(&cursor, mode, max_records, &mut |_, record| panic!("nothing is missing, yet {record:?}"));
        assert_eq!(again, cursor);
        match topic.check(&cursor) {
            Some(hash) => assert_eq!(hash, self.view.as_ref().map_or(0, View::hash)),
            None => assert!(topic.kind() == Kind::Book && topic.watchers() == 0, "a check of who is at the head"),
        }
    }

    fn take(&mut self, world: &World, meta: &Meta, record: &Record<'_>, window: &mut Window) {
        assert_eq!((record.topic, meta.topic), (self.id, self.id));
        window.in_order(world, meta, record);
        if let RecordBody::Meta(new) = record.body {
            assert_eq!(new, meta);
            self.previous_id = None;
            self.meta = Some(new.clone());
            self.view.get_or_insert_with(|| View::new(new));
        }
        assert_eq!(self.meta.as_ref(), Some(meta), "the decoder must know what the encoder uses");
        self.check_stream(world, record, window);
        if let (RecordBody::Quote(_) | RecordBody::Book { .. } | RecordBody::Bars(_) | RecordBody::Stats(_), kind) =
            (record.body, meta.kind)
        {
            assert_eq!(record.flags.has(Flags::STALE), world.is_stale(kind), "{record:?}");
        }
        let Some(view) = &mut self.view else { panic!("Meta comes first") };
        match view.apply(record) {
            Ok(Applied::Unknown) | Err(_) => panic!("{:?} on {record:?}", view.apply(record)),
            Ok(Applied::Delta { updates }) => {
                assert!(updates > 0, "{record:?}");
                assert_eq!(record.flags.has(Flags::CONFLATED), self.is_conflated(record), "{record:?}");
            }
            Ok(_) => {}
        }
    }

    fn is_conflated(&self, record: &Record<'_>) -> bool {
        match record.body {
            RecordBody::Summary(summary) => summary.count > 1,
            _ => record.sequence > 1,
        }
    }

    /// Trades, summaries and gaps against the tape as it was.
    fn check_stream(&mut self, world: &World, record: &Record<'_>, window: &mut Window) {
        let Some(view) = &self.view else { return };
        let tape = world.tapes.get(&view.epoch).map_or(&[][..], Vec::as_slice);
        let from = view.sequence.unwrap_or_default() as usize;
        let to = from + record.sequence as usize;
        match record.body {
            RecordBody::Trade(trade) => {
                let at = if record.flags.has(Flags::SNAPSHOT) {
                    tape[..record.sequence as usize].iter().rposition(|item| matches!(item, Item::Trade(_)))
                } else {
                    window.stream_records += 1;
                    Some(to - 1)
                };
                let Some(Item::Trade(truth)) = at.map(|at| tape[at]) else { panic!("no trade there: {record:?}") };
                let told = Trade {
                    price: trade.price,
                    size: trade.size,
                    aggressor: trade.aggressor,
                    id: trade.id,
                    aggregated: trade.aggregated,
                };
                assert_eq!(told, truth);
                assert!(trade.previous_id.is_none_or(|id| self.previous_id == Some(id)), "{record:?}");
                self.previous_id = trade.id.or(self.previous_id);
            }
            RecordBody::Summary(summary) => {
                let told = summary.count as usize;
                let trades: Vec<Trade> = tape.iter().filter_map(Item::trade).collect();
                assert_eq!(record.sequence, summary.count);
                let mut truth = TradeSummary::default_of(&trades[trades.len() - told..]);
                truth.last = trades.last().map_or(0, |trade| trade.price);
                assert_eq!(summary, truth);
                let start = window.start.filter(|start| start.0 == view.epoch).map_or(0, |start| start.1 as usize);
                let in_window = tape[start..].iter().filter_map(Item::trade).count();
                assert!(told == in_window || window.overrun, "{told} of {in_window} trades and no gap told");
            }
            RecordBody::Gap { cause, missing } => {
                window.stream_records += 1;
                window.overrun |= cause == Cause::Overrun;
                if matches!(cause, Cause::Overrun | Cause::Redefinition) {
                    window.lost = window.lost.zip(missing).map(|(lost, missing)| lost + missing);
                }
                self.check_gap(world, tape, (from, to), cause, missing);
            }
            RecordBody::Book { .. } => {
                let said = record.flags.has(Flags::MAYBE_BAD_BOOK);
                assert!(world.crossed.is_none_or(|crossed| crossed == said), "a crossed book goes unnoticed");
            }
            RecordBody::Tape => {
                window.tape = true;
                if let Some(n) = window.back {
                    let kept = tape.len().min(world.limits.trade_ring).min(n as usize);
                    assert_eq!(record.sequence, (tape.len() - kept) as u64);
                    // What follows is the window of somebody who stood there.
                    window.start = Some((view.epoch, record.sequence));
                }
            }
            _ => {}
        }
    }

    fn check_gap(&self, world: &World, tape: &[Item], (from, to): (usize, usize), cause: Cause, missing: Option<u64>) {
        // A summary tells the markers of the whole window at once, before its trades.
        let view_epoch = self.view.as_ref().map_or(world.epoch, |view| view.epoch);
        let summarized = self.mode == TradeMode::Summary && cause != Cause::Redefinition;
        let covered = if summarized {
            let trades_told = tape.len() - to;
            let mut left = trades_told;
            let mut covered: Vec<Item> = Vec::new();
            for item in tape[from..].iter().rev() {
                match item {
                    Item::Trade(_) if left > 0 => left -= 1,
                    item => covered.push(*item),
                }
            }
            covered
        } else {
            let later = (view_epoch + 1..world.epoch).filter(|_| cause == Cause::Redefinition);
            let later = later.filter_map(|epoch| world.tapes.get(&epoch)).flatten();
            tape[from..to.min(tape.len())].iter().chain(later).copied().collect()
        };
        let truth = covered.iter().try_fold(0, |sum, item| match item {
            Item::Trade(_) => Some(sum + 1),
            Item::Gap(_, missing) => missing.map(|missing| sum + missing),
        });
        match cause {
            Cause::Overrun => assert!(from + world.limits.trade_ring < tape.len(), "the ring still had it"),
            Cause::Redefinition => {}
            cause => assert!(covered.iter().any(|item| matches!(item, Item::Gap(held, _) if *held == cause))),
        }
        match missing {
            Some(missing) => assert_eq!(Some(missing), truth),
            None => assert!(truth.is_none() || self.resumed, "{truth:?} is known to be missing in {covered:?}"),
        }
    }

    fn holds_the_truth(&self, world: &World) {
        let Some(view) = &self.view else { return };
        let Some(topic) = world.map.get(self.id) else { return };
        assert_eq!(view.epoch, world.epoch);
        assert_eq!(view.state, world.status_of(topic.kind()));
        match topic.kind() {
            Kind::Quote => {
                assert_eq!(view.quote(), Some(&world.quote));
                assert_eq!(view.time, world.quote_time);
            }
            Kind::Trade => {
                assert_eq!(view.sequence, world.tapes.get(&world.epoch).map(|tape| tape.len() as u64));
            }
            Kind::Book => {
                let Some((book, depth)) = view.book().zip(topic.key().depth()) else { panic!("a book has a depth") };
                for side in [Side::Bid, Side::Ask] {
                    assert_eq!(book.levels(side, usize::MAX).collect::<Vec<_>>(), world.levels(side, depth));
                }
            }
            Kind::Bar => {
                let interval = topic.key().argument.and_then(Argument::interval);
                let Some((bars, interval)) = view.bars().zip(interval) else { panic!("a bar has an interval") };
                assert_eq!(bars.bars(), world.derived.bars(interval));
            }
            Kind::Stats => assert_eq!(view.stats(), Some(&world.derived.stats())),
            Kind::Status => assert_eq!(view.status(), Some(&world.status())),
            Kind::Instrument => assert_eq!(view.instrument(), Some(&world.instrument)),
        }
    }
}

/// What one call of `since` has told so far.
struct Window {
    start: Option<(u64, u64)>,
    /// So many of the newest entries were asked for.
    back: Option<u32>,
    /// An empty tape was told.
    tape: bool,
    /// Trades that gaps of our own making count; `None` once one could not say how many.
    lost: Option<u64>,
    stream_records: usize,
    overrun: bool,
    cut_off: bool,
    rank: Option<u8>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            start: None,
            back: None,
            tape: false,
            lost: Some(0),
            stream_records: 0,
            overrun: false,
            cut_off: false,
            rank: None,
        }
    }
}

impl Window {
    fn missing(&self) -> Missing {
        match self.lost {
            Some(0) => Missing::None,
            Some(lost) => Missing::Count(lost),
            None => Missing::Unknown,
        }
    }

    /// `Meta`, `State`, data; before them perhaps the end of the former epoch: `Meta`, `Gap`.
    fn in_order(&mut self, world: &World, meta: &Meta, record: &Record<'_>) {
        let cut_off = matches!(record.body, RecordBody::Gap { cause: Cause::Redefinition, .. });
        let rank = match record.body {
            RecordBody::Meta(_) if meta.epoch < world.epoch => 0,
            _ if cut_off => 1,
            RecordBody::Meta(_) => 2,
            RecordBody::State(_) => 3,
            _ => 4,
        };
        assert_eq!(cut_off, rank == 1);
        self.cut_off |= cut_off;
        assert!(self.rank.is_none_or(|last| rank > last || rank == 4), "{record:?} comes too late");
        assert_eq!(meta.epoch == world.epoch, rank > 1);
        self.rank = Some(rank);
        match rank {
            0 | 2 | 3 => assert_eq!(record.sequence, 0),
            _ => assert!(record.sequence > 0 || record.flags.has(Flags::SNAPSHOT)),
        }
    }
}

impl Item {
    pub fn trade(&self) -> Option<Trade> {
        if let Self::Trade(trade) = self { Some(*trade) } else { None }
    }
}

trait Summarize {
    fn default_of(trades: &[Trade]) -> Self;
}

impl Summarize for TradeSummary {
    fn default_of(trades: &[Trade]) -> Self {
        Self {
            last: 0,
            high: trades.iter().map(|trade| trade.price).max().unwrap_or_default(),
            low: trades.iter().map(|trade| trade.price).min().unwrap_or_default(),
            count: trades.len() as u64,
            volume: trades.iter().map(|trade| trade.size as u128).sum(),
            notional: trades.iter().map(|trade| i128::from(trade.price) * i128::from(trade.size)).sum(),
        }
    }
}
