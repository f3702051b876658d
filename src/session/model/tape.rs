//! A stream told to one client in one frame, against the tape as it was. In: the records of a trade topic, in order. Out: a panic at the
//! first one that skips, repeats or miscounts something. Bounded by the frame.

use super::derived::sums;
use super::held::{Begins, Held};
use super::truth::{Entry, Item, Truth, lost};
use super::world::REMEMBERED_EPOCHS;
use wire::event::{Cause, Flags, Trade};
use wire::record::{Record, RecordBody, TradeSummary};
use wire::request::TradeMode;
use wire::view::View;

/// Trades and gaps that one chunk may hold: who is further behind gets several.
const CHUNK: usize = 256;

/// What a frame has told of one stream so far.
#[derive(Debug, Default)]
pub struct Telling {
    records: usize,
    cut_off: bool,
    /// A gap of a summary: from where, how far, and what it said. The summary behind it may belong to it.
    gap: Option<Gap>,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    from: u64,
    steps: u64,
    cause: Cause,
    missing: Option<u64>,
}

/// What the check of a stream needs to know.
pub struct Stream<'a> {
    pub truth: &'a Truth,
    pub ring: usize,
    /// None: asked for once.
    pub held: Option<&'a Held>,
}

impl Stream<'_> {
    fn mode(&self) -> TradeMode {
        self.held.map_or(TradeMode::Every, |held| held.terms.mode)
    }

    fn place(&self) -> Option<(u64, u64)> {
        self.held.and_then(|held| held.place)
    }

    fn is_promised(&self) -> bool {
        self.held.is_none_or(|held| held.promised)
    }

    fn was_resumed(&self) -> bool {
        self.held.is_some_and(|held| held.resumed)
    }

    /// Before the view takes the record in.
    pub fn check(&self, telling: &mut Telling, view: &View, record: &Record<'_>) {
        let tape = self.truth.tapes.get(&view.epoch).map_or(&[][..], Vec::as_slice);
        let from = view.sequence.unwrap_or_default();
        match record.body {
            RecordBody::Meta(_) | RecordBody::State(_) | RecordBody::Check { .. } => {}
            RecordBody::Trade(_) | RecordBody::Tape if record.flags.has(Flags::SNAPSHOT) => {
                self.snapshot(telling, view, tape, record);
            }
            RecordBody::Trade(told) => {
                assert_eq!(self.mode(), TradeMode::Every);
                assert_eq!(record.sequence, 1, "a trade is one step");
                telling.records += 1;
                let entry = tape.get(from as usize).unwrap_or_else(|| panic!("no trade has been at {from}: {record:?}"));
                let told = Item::Trade(Trade {
                    price: told.price,
                    size: told.size,
                    aggressor: told.aggressor,
                    id: told.id,
                    aggregated: told.aggregated,
                });
                assert_eq!((told, record.time), (entry.item, entry.time), "behind {from}");
            }
            RecordBody::Gap { cause, missing } => {
                telling.records += 1;
                let gap = Gap { from, steps: record.sequence, cause, missing };
                match (cause, self.mode()) {
                    (Cause::Redefinition, _) => self.cut_off(telling, view.epoch, tape, gap),
                    (_, TradeMode::Every) => self.gap(tape, gap),
                    (_, TradeMode::Summary) => assert!(telling.gap.replace(gap).is_none(), "two gaps of one summary"),
                }
            }
            RecordBody::Summary(told) => {
                assert_eq!(self.mode(), TradeMode::Summary);
                assert_eq!(record.flags.has(Flags::CONFLATED), told.count > 1);
                self.summary(telling.gap.take(), tape, from + record.sequence, Some((record.sequence, told)));
            }
            _ => panic!("{record:?} on a stream"),
        }
    }

    /// After the frame. True if more of the stream is to come.
    pub fn end(&self, telling: &mut Telling, view: &View) -> bool {
        let length = self.truth.tape().len() as u64;
        if let Some(gap) = telling.gap.take() {
            self.summary(Some(gap), self.truth.tape(), gap.from + gap.steps, None);
        }
        let partial = self.mode() == TradeMode::Every && telling.records >= CHUNK;
        assert!(partial || view.sequence == Some(length), "told up to {:?} of {length}", view.sequence);
        partial
    }

    fn snapshot(&self, telling: &Telling, view: &View, tape: &[Entry], record: &Record<'_>) {
        let length = tape.len() as u64;
        assert_eq!(view.epoch, self.truth.epoch);
        let former = self.place().filter(|(epoch, _)| *epoch != view.epoch && self.truth.tapes.contains_key(epoch));
        if let Some((epoch, seq)) = former.filter(|(epoch, _)| view.epoch - epoch <= REMEMBERED_EPOCHS)
            && view.sequence.is_none()
        {
            // Who was there before the redefinition gets the new epoch from its first trade on, and the end of the former one before.
            assert!(matches!(record.body, RecordBody::Tape) && record.sequence == 0, "{record:?}");
            let rest = self.truth.tapes[&epoch].get(seq as usize..);
            let later = self.truth.tapes.range(epoch + 1..view.epoch).flat_map(|(_, tape)| tape);
            let owed = rest.is_some_and(|rest| !rest.is_empty() || lost(later) != Some(0));
            assert_eq!(telling.cut_off, owed, "a redefinition cut off what came after {epoch}:{seq}");
            return;
        }
        let fresh = self.place().is_none_or(|(epoch, seq)| epoch != view.epoch || seq > length);
        assert!(fresh || self.is_promised(), "a snapshot that nobody asked for: {record:?}");
        assert!(fresh || view.sequence == Some(record.sequence), "the snapshot skips what came before it");
        let begins = self.held.filter(|held| held.place.is_none()).map_or(Begins::Newest, |held| held.begins);
        if let Begins::Back(count) = begins {
            let back = u64::from(count).min(length).min(self.ring as u64);
            assert!(matches!(record.body, RecordBody::Tape), "{record:?}");
            assert_eq!(record.sequence, length - back, "{count} places before the end");
            return;
        }
        assert_eq!(record.sequence, length, "a snapshot shows the end of the tape");
        let wants_last = begins == Begins::Newest;
        let last = tape.iter().rev().find(|entry| matches!(entry.item, Item::Trade(_))).filter(|_| wants_last);
        match (record.body, last) {
            (RecordBody::Tape, None) => {}
            (RecordBody::Trade(told), Some(Entry { item: Item::Trade(trade), time })) => {
                assert_eq!((told.price, told.size, told.id, record.time), (trade.price, trade.size, trade.id, *time));
            }
            _ => panic!("{record:?}, but the last trade is {last:?}"),
        }
    }

    /// A gap between single trades: one told by the feed, or what the ring had to let go.
    fn gap(&self, tape: &[Entry], gap: Gap) {
        let (from, to) = (gap.from as usize, (gap.from + gap.steps) as usize);
        if gap.cause == Cause::Overrun {
            assert_eq!(to + self.ring, tape.len(), "the ring has all behind {to}");
            self.agrees(gap.missing, lost(&tape[from..to]), &tape[..to]);
        } else {
            assert_eq!(tape[from].item, Item::Gap { cause: gap.cause, missing: gap.missing });
            assert_eq!(gap.steps, 1);
        }
    }

    fn cut_off(&self, telling: &mut Telling, epoch: u64, tape: &[Entry], gap: Gap) {
        telling.cut_off = true;
        let from = gap.from as usize;
        assert_eq!(gap.from + gap.steps, (tape.len() as u64).max(gap.from + 1), "up to the end of its epoch");
        let later = self.truth.tapes.range(epoch + 1..self.truth.epoch).flat_map(|(_, tape)| tape);
        self.agrees(gap.missing, lost(tape[from..].iter().chain(later)), tape);
    }

    /// All of a window: what could not be summed up, in `gap`, and the sums of the rest.
    fn summary(&self, gap: Option<Gap>, tape: &[Entry], to: u64, told: Option<(u64, TradeSummary)>) {
        assert_eq!(to, tape.len() as u64, "a summary goes to the end of the tape");
        let steps = gap.map_or(0, |gap| gap.steps) + told.map_or(0, |told| told.0);
        let window = &tape[(to - steps) as usize..];
        let trades: Vec<Trade> = window.iter().filter_map(|entry| entry.trade()).collect();
        let count = told.map_or(0, |told| told.1.count) as usize;
        assert!(count <= trades.len(), "{count} trades of {} in the window", trades.len());
        let untold = (trades.len() - count) as u64;
        if let Some((steps, summary)) = told {
            assert_eq!(steps, summary.count);
            assert_eq!(summary, summed_up(&trades[untold as usize..]));
        }
        let Some(gap) = gap else {
            assert_eq!(window.len(), count, "{untold} trades of the window are in no summary, and no gap says so");
            return;
        };
        let upstream = lost(window.iter().filter(|entry| entry.trade().is_none()));
        self.agrees(gap.missing, upstream.map(|upstream| upstream + untold), tape);
        if gap.cause == Cause::Overrun {
            assert!(steps as usize > self.ring, "the ring still has them");
            assert!(self.was_resumed() || moves_far(tape, self.ring), "high and low were known");
        } else {
            assert_eq!(untold, 0);
            let newest = window.iter().rev().find_map(|entry| match entry.item {
                Item::Gap { cause, .. } => Some(cause),
                Item::Trade(_) => None,
            });
            assert_eq!(Some(gap.cause), newest);
        }
    }

    /// What a gap says is missing must be the truth. Only who came with nothing but a place may be told that nobody knows, if gaps stand
    /// between the places.
    fn agrees(&self, told: Option<u64>, truth: Option<u64>, tape: &[Entry]) {
        let has_gaps = || tape.iter().any(|entry| entry.trade().is_none());
        assert!(told == truth || (told.is_none() && self.was_resumed() && has_gaps()), "{told:?} missing, but it is {truth:?}");
    }
}

impl Entry {
    fn trade(&self) -> Option<Trade> {
        if let Item::Trade(trade) = self.item { Some(trade) } else { None }
    }
}

fn summed_up(trades: &[Trade]) -> TradeSummary {
    let (count, volume, notional) = sums(trades.iter());
    TradeSummary {
        last: trades.last().map_or(0, |trade| trade.price),
        high: trades.iter().map(|trade| trade.price).max().unwrap_or_default(),
        low: trades.iter().map(|trade| trade.price).min().unwrap_or_default(),
        count,
        volume,
        notional,
    }
}

/// Did prices ever move one way through more prices than the ring has places? Then the server may have let go of a high or a low.
fn moves_far(tape: &[Entry], ring: usize) -> bool {
    let prices: Vec<i64> = tape.iter().filter_map(|entry| entry.trade()).map(|trade| trade.price).collect();
    let records = |prices: &[i64], beats: fn(i64, i64) -> bool| {
        let mut best: Option<i64> = None;
        let newest_first = prices.iter().rev();
        newest_first
            .filter(|price| best.is_none_or(|held| beats(**price, held)) && best.replace(**price) != Some(**price))
            .count()
    };
    (1..=prices.len()).any(|to| {
        let prices = &prices[..to];
        records(prices, |price, held| price > held) > ring || records(prices, |price, held| price < held) > ring
    })
}
