//! What one instrument says, kept the plain way. In: what its feed says. Out: what any view of its topics must show now.
//! Bounded: the length of a case.

use super::derived::Derived;
use super::operation::{Redefine, Shot};
use super::world::{BOOKS_ONLY, CHANNELS, FIRST_EPOCH, MS, QUIET_AFTER_MS, REMEMBERED_EPOCHS};
use crate::topic::{InstrumentTopics, Stamp, TopicMap};
use std::collections::BTreeMap;
use wire::event::{Cause, Channel, FeedState, Level, Quote, Side, Status, Trade, TradingState};
use wire::instrument::Instrument;
use wire::kind::{Argument, Depth, Interval, Kind};
use wire::record::Bar;
use wire::topic::TopicKey;
use wire::view::View;

/// One place of a tape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item {
    Trade(Trade),
    Gap { cause: Cause, missing: Option<u64> },
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub item: Item,
    pub time: i64,
}

/// What a stream lost for who goes on from some place, before its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lack {
    /// None: nobody knows.
    pub truth: Option<u64>,
    /// The place alone says too little.
    pub may_be_unknown: bool,
}

/// One instrument.
pub struct Truth {
    pub venue: &'static str,
    pub instrument: Instrument,
    pub topics: InstrumentTopics,
    pub epoch: u64,
    pub quote: (Quote, u64, i64),
    /// With its sequence, and when it last changed by this instrument's own doing.
    pub status: (Status, u64, i64),
    pub instrument_seq: u64,
    /// Of quote, trade, book.
    pub channels: [ChannelTruth; 3],
    pub link: LinkTruth,
    pub trading: TradingState,
    /// All tapes there ever were, by epoch.
    pub tapes: BTreeMap<u64, Vec<Entry>>,
    pub book: [BTreeMap<i64, i64>; 2],
    pub depths: [DepthTruth; 5],
    pub derived: Derived,
}

/// What was said of a channel, or found out by its silence.
#[derive(Clone, Copy, Default)]
pub struct ChannelTruth {
    pub feed: FeedState,
    pub cause: Cause,
    pub since: i64,
    /// So often had the link changed then; none: nothing was ever said.
    pub said_at: Option<u32>,
    /// When its newest bytes came.
    pub received: i64,
}

/// Each instrument knows the link that carries it; all of one link know the same.
#[derive(Clone, Copy)]
pub struct LinkTruth {
    pub number: u32,
    pub changes: u32,
    pub feed: FeedState,
    pub cause: Cause,
    pub since: i64,
}

/// A depth view keeps count only while it is watched, so its sequence is known only up to what happened meanwhile.
#[derive(Default)]
pub struct DepthTruth {
    pub changes: u64,
    /// Changes while perhaps nobody watched.
    pub doubts: u64,
    pub seen: Option<Seen>,
}

pub struct Seen {
    pub seq: u64,
    pub changes: u64,
    pub doubts: u64,
    pub sides: [Vec<Level>; 2],
}

impl Default for LinkTruth {
    /// Never lost.
    fn default() -> Self {
        Self { number: 0, changes: 0, feed: FeedState::Live, cause: Cause::None, since: 0 }
    }
}

impl LinkTruth {
    pub fn is_lost(&self) -> bool {
        matches!(self.feed, FeedState::Down | FeedState::Stale)
    }
}

impl Truth {
    pub fn new(venue: &'static str, instrument: Instrument, topics: InstrumentTopics, link: LinkTruth) -> Self {
        Self {
            venue,
            instrument,
            topics,
            epoch: FIRST_EPOCH,
            quote: Default::default(),
            status: Default::default(),
            instrument_seq: 1,
            channels: Default::default(),
            link,
            trading: TradingState::Unknown,
            tapes: BTreeMap::from([(FIRST_EPOCH, Vec::new())]),
            book: Default::default(),
            depths: Default::default(),
            derived: Derived::default(),
        }
    }

    pub fn quote_id(&self) -> u32 {
        self.topics.quote
    }

    pub fn trade_id(&self) -> u32 {
        self.topics.trade
    }

    pub fn id(&self, kind: Kind, argument: Option<Argument>) -> u32 {
        let place = |known: &[Argument]| known.iter().position(|known| Some(*known) == argument).unwrap_or_default();
        match kind {
            Kind::Quote => self.topics.quote,
            Kind::Trade => self.topics.trade,
            Kind::Book => self.topics.book[place(kind.row().arguments)],
            Kind::Status => self.topics.status,
            Kind::Instrument => self.topics.instrument,
            Kind::Bar => self.topics.bar[place(kind.row().arguments)],
            Kind::Stats => self.topics.stats,
        }
    }

    pub fn key(&self, id: u32) -> TopicKey {
        let none = [None];
        let named = |kind: Kind| {
            let arguments: Vec<_> = kind.row().arguments.iter().map(|argument| Some(*argument)).collect();
            let arguments = if arguments.is_empty() { none.to_vec() } else { arguments };
            arguments.into_iter().map(move |argument| (kind, argument))
        };
        let mut all = wire::kind::KINDS.iter().flat_map(|row| named(row.kind));
        let (kind, argument) = all.find(|(kind, argument)| self.id(*kind, *argument) == id).expect("an id of this instrument");
        TopicKey::new(kind, self.venue, &self.instrument.symbol, argument)
    }

    pub fn tape(&self) -> &[Entry] {
        &self.tapes[&self.epoch]
    }

    /// What who stands at this place can not be told any more.
    pub fn lack(&self, (epoch, seq): (u64, u64), ring: usize) -> Lack {
        let seq = seq as usize;
        let Some(tape) = self.tapes.get(&epoch).filter(|tape| seq <= tape.len() && self.epoch - epoch <= REMEMBERED_EPOCHS)
        else {
            return Lack { truth: None, may_be_unknown: true };
        };
        let tail = self.tape().len().saturating_sub(ring);
        let gone: Vec<&Entry> = if epoch == self.epoch {
            tape[seq.min(tail)..tail].iter().collect()
        } else {
            let later = self.tapes.range(epoch + 1..self.epoch).flat_map(|(_, tape)| tape);
            tape[seq..].iter().chain(later).chain(&self.tape()[..tail]).collect()
        };
        let has_gaps = self.tapes.range(epoch..).flat_map(|(_, tape)| tape).any(|entry| matches!(entry.item, Item::Gap { .. }));
        Lack { truth: lost(gone), may_be_unknown: has_gaps }
    }

    pub fn enter(&mut self, item: Item, stamp: &Stamp) {
        let known = self.tape().last().map_or(0, |entry| entry.time);
        let time = time(self.instrument.trade_has_event_time, stamp, known);
        self.tapes.entry(self.epoch).or_default().push(Entry { item, time });
    }

    pub fn has_quotes(&self) -> bool {
        self.venue != BOOKS_ONLY
    }

    pub fn quote(&mut self, map: &TopicMap, quote: &Quote, stamp: &Stamp) {
        if self.has_quotes() {
            map.publish_quote(&self.topics, quote, stamp);
            self.update(Channel::Quote, stamp);
            self.set_quote(quote, stamp);
        }
    }

    pub fn set_quote(&mut self, quote: &Quote, stamp: &Stamp) {
        let (held, seq, known) = &mut self.quote;
        if held != quote {
            (*held, *seq, *known) = (*quote, *seq + 1, time(self.instrument.quote_has_event_time, stamp, *known));
        }
    }

    pub fn trade(&mut self, map: &TopicMap, shot: &Shot, stamp: &Stamp) {
        let stamp = Stamp { event: shot.late_ms.map_or(0, |late_ms| stamp.event - late_ms * MS), ..*stamp };
        map.publish_trade(&self.topics, &shot.trade, &stamp);
        self.update(Channel::Trade, &stamp);
        self.enter(Item::Trade(shot.trade), &stamp);
        // A trade without a time was made when the newest one was.
        let known = self.derived.newest_time().unwrap_or(stamp.received);
        self.derived.trade(time(self.instrument.trade_has_event_time, &stamp, known), shot.trade, stamp.published);
    }

    pub fn book(
        &mut self,
        map: &TopicMap,
        sides: [&Vec<Level>; 2],
        snapshot: bool,
        stamp: &Stamp,
        is_watched: &dyn Fn(u32) -> bool,
    ) {
        match self.has_quotes() {
            true => map.publish_book(&self.topics, sides[0], sides[1], snapshot, stamp),
            false => map.publish_book_and_quote(&self.topics, sides[0], sides[1], snapshot, stamp),
        }
        self.update(Channel::Book, stamp);
        let before = [Side::Bid, Side::Ask].map(|side| self.levels(side, Depth::Full));
        for (held, levels) in self.book.iter_mut().zip(sides) {
            if snapshot {
                held.clear();
            }
            for Level { price, size } in levels {
                match size {
                    0 => held.remove(price),
                    _ => held.insert(*price, *size),
                };
            }
        }
        let after = [Side::Bid, Side::Ask].map(|side| self.levels(side, Depth::Full));
        for (at, depth) in Depth::ALL.into_iter().enumerate() {
            let shown = |levels: &Vec<Level>| levels.len().min(depth.levels());
            let differs = |(before, after): (&Vec<Level>, &Vec<Level>)| before[..shown(before)] != after[..shown(after)];
            if before.iter().zip(&after).any(differs) {
                self.depths[at].changes += 1;
                self.depths[at].doubts += u64::from(!is_watched(self.topics.book[at]));
            }
        }
        if !self.has_quotes() {
            let [bid, ask] = after.map(|levels| levels.first().copied());
            let (price, size) = (|level: Level| level.price, |level: Level| level.size);
            let (bid_price, bid_size) = (bid.map(price), bid.map(size));
            self.set_quote(&Quote { bid_price, bid_size, ask_price: ask.map(price), ask_size: ask.map(size) }, stamp);
        }
    }

    pub fn levels(&self, side: Side, depth: Depth) -> Vec<Level> {
        let levels = self.book[side as usize].iter().map(|(&price, &size)| Level { price, size });
        match side {
            Side::Bid => levels.rev().take(depth.levels()).collect(),
            Side::Ask => levels.take(depth.levels()).collect(),
        }
    }

    pub fn state(&mut self, map: &TopicMap, channel: Option<Channel>, feed: FeedState, cause: Cause, stamp: &Stamp) {
        map.publish_state(&self.topics, channel, feed, cause, stamp);
        let (has_quotes, said_at) = (self.has_quotes(), Some(self.link.changes));
        for at in CHANNELS.into_iter().filter(|at| has_quotes || *at != Channel::Quote) {
            let held = &mut self.channels[at as usize];
            if channel.is_none_or(|channel| channel == at) && (held.feed, held.cause, held.said_at) != (feed, cause, said_at) {
                *held = ChannelTruth { feed, cause, since: stamp.received, said_at, received: held.received };
            }
        }
        self.set_status(stamp.received);
    }

    /// Data came, so it is not quiet.
    pub fn update(&mut self, channel: Channel, stamp: &Stamp) {
        let held = &mut self.channels[channel as usize];
        held.received = stamp.received;
        if held.feed == FeedState::Quiet {
            (held.feed, held.since) = (FeedState::Live, stamp.received);
        }
        self.set_status(stamp.received);
    }

    pub fn pass(&mut self, wall: i64) {
        self.derived.pass(wall);
        for channel in CHANNELS {
            let is_live = self.channel(channel).feed == FeedState::Live;
            let held = &mut self.channels[channel as usize];
            let last = held.received.max(held.since);
            if is_live && wall - last >= QUIET_AFTER_MS[channel as usize] * MS {
                (held.feed, held.cause, held.since) = (FeedState::Quiet, Cause::None, last);
                self.set_status(wall);
            }
        }
    }

    pub fn set_link(&mut self, feed: FeedState, cause: Cause, stamp: &Stamp) {
        let is_lost = matches!(feed, FeedState::Down | FeedState::Stale);
        let feed = if is_lost { feed } else { FeedState::Resyncing };
        let same = if is_lost { (self.link.feed, self.link.cause) == (feed, cause) } else { !self.link.is_lost() };
        if !same {
            let LinkTruth { number, changes, .. } = self.link;
            self.link = LinkTruth { number, changes: changes + 1, feed, cause, since: stamp.received };
            // It counts, even where something else is worse.
            self.status.0 = self.worst();
            self.status.1 += 1;
        }
    }

    /// How far a channel can be trusted: what was said of it counts until its link changes.
    pub fn channel(&self, channel: Channel) -> Status {
        let (held, link) = (self.channels[channel as usize], self.link);
        let counts = held.said_at.is_none_or(|said_at| said_at == link.changes && !link.is_lost());
        let (feed, cause, since) = if counts { (held.feed, held.cause, held.since) } else { (link.feed, link.cause, link.since) };
        Status { feed, cause, since, trading: self.trading }
    }

    /// The worst channel, of equally bad ones the one that has been so the longest.
    pub fn worst(&self) -> Status {
        use FeedState::{Down, Live, Quiet, Replay, Resyncing, Stale, Starting};
        let badness = [Starting, Live, Replay, Quiet, Stale, Resyncing, Down];
        let rank = |held: &Status| badness.iter().position(|state| *state == held.feed);
        let [mut worst, others @ ..] = CHANNELS.map(|channel| self.channel(channel));
        for held in others {
            if rank(&held) > rank(&worst) || (rank(&held) == rank(&worst) && held.since <= worst.since) {
                worst = held;
            }
        }
        worst
    }

    pub fn set_status(&mut self, now: i64) {
        let value = self.worst();
        if value != self.status.0 {
            self.status = (value, self.status.1 + 1, now);
        }
    }

    pub fn redefine(&mut self, map: &TopicMap, how: &Redefine) {
        let former = self.instrument.clone();
        match how {
            Redefine::Exponent(exponent) => self.instrument.price_exponent = *exponent,
            Redefine::Tick(tick) => self.instrument.tick = *tick,
            Redefine::Timed(timed) => {
                self.instrument.quote_has_event_time = *timed;
                self.instrument.trade_has_event_time = *timed;
                self.instrument.book_has_event_time = *timed;
            }
            Redefine::Native(native) => self.instrument.native = format!("{native}{}", self.instrument.symbol),
        }
        map.list(self.venue, &self.instrument).expect("it is there already");
        if self.instrument == former {
            return;
        }
        self.instrument_seq += 1;
        let scale = |of: &Instrument| (of.price_exponent, of.size_exponent, of.tick, of.lot);
        if scale(&self.instrument) == scale(&former) {
            return;
        }
        self.epoch += 1;
        self.instrument_seq = 1;
        self.status.1 = 0;
        self.quote = Default::default();
        self.tapes.insert(self.epoch, Vec::new());
        self.book = Default::default();
        self.depths = Default::default();
        self.derived = Derived::default();
    }

    /// The newest sequence; none for books, see `DepthTruth`.
    pub fn head(&self, key: &TopicKey) -> Option<u64> {
        match key.kind {
            Kind::Quote => Some(self.quote.1),
            Kind::Trade => Some(self.tape().len() as u64),
            Kind::Book => None,
            Kind::Status => Some(self.status.1),
            Kind::Instrument => Some(self.instrument_seq),
            Kind::Bar => Some(self.derived.series[place(key)].seq),
            Kind::Stats => Some(self.derived.day.seq),
        }
    }

    /// What the topic's `State` records must have said.
    pub fn trust(&self, kind: Kind) -> Option<Status> {
        match kind {
            Kind::Quote if self.has_quotes() => Some(self.channel(Channel::Quote)),
            Kind::Trade | Kind::Bar | Kind::Stats => Some(self.channel(Channel::Trade)),
            Kind::Quote | Kind::Book => Some(self.channel(Channel::Book)),
            Kind::Status | Kind::Instrument => None,
        }
    }

    /// Are values of this kind known to be old?
    pub fn is_stale(&self, kind: Kind) -> bool {
        let feed = self.trust(kind).map(|status| status.feed);
        matches!(feed, Some(FeedState::Stale | FeedState::Resyncing | FeedState::Down))
    }

    /// The time that a record of the newest value carries, where that is known.
    pub fn time(&self, kind: Kind) -> Option<i64> {
        match kind {
            Kind::Quote => Some(self.quote.2),
            Kind::Status => Some(self.status.2.max(self.link.since)),
            Kind::Bar | Kind::Stats => Some(self.derived.newest_time().unwrap_or_default()),
            Kind::Trade | Kind::Book | Kind::Instrument => None,
        }
    }

    /// Is this view what the topic says now?
    pub fn is_shown(&self, key: &TopicKey, view: &View) -> Result<(), String> {
        let same = match key.kind {
            Kind::Quote => view.quote() == Some(&self.quote.0),
            Kind::Trade => true,
            Kind::Book => view.book().is_some_and(|book| {
                let shown = |side| book.levels(side, usize::MAX).collect::<Vec<_>>();
                let depth = key.depth().expect("a book has a depth");
                [Side::Bid, Side::Ask].into_iter().all(|side| shown(side) == self.levels(side, depth))
            }),
            Kind::Status => view.status() == Some(&self.status.0),
            Kind::Instrument => view.instrument() == Some(&self.instrument),
            Kind::Bar => view.bars().is_some_and(|bars| bars.bars() == self.bars(key)),
            Kind::Stats => view.stats() == Some(&self.derived.day.value),
        };
        let place = self.head(key).is_none_or(|head| view.sequence == Some(head));
        let trust = view.state == self.trust(key.kind);
        if same && place && trust && view.epoch == self.epoch && view.sequence.is_some() {
            return Ok(());
        }
        Err(format!("{key} is at {}:{:?} (value {same}, place {place}, state {trust}):\n{view:?}", self.epoch, self.head(key)))
    }

    pub fn bars(&self, key: &TopicKey) -> Vec<Bar> {
        self.derived.series[place(key)].bars()
    }

    /// A depth view was told at this sequence: it must have moved by as many changes as there were.
    pub fn note_book(&mut self, key: &TopicKey, seq: u64) {
        let depth = key.depth().expect("a book has a depth");
        let sides = [Side::Bid, Side::Ask].map(|side| self.levels(side, depth));
        let truth = &mut self.depths[depth as usize];
        let (changes, doubts) = (truth.changes, truth.doubts);
        let from = truth.seen.take().unwrap_or(Seen { seq: 0, changes: 0, doubts: 0, sides: Default::default() });
        let (moved, changed) = (seq.checked_sub(from.seq), changes - from.changes);
        let exact = from.doubts == doubts;
        let right = moved.is_some_and(|moved| if exact { moved == changed } else { moved <= changed });
        assert!(right, "{key} went from {} to {seq} in {changed} changes (all seen: {exact})", from.seq);
        assert!(moved != Some(0) || sides == from.sides, "{key} shows something else at {seq} than before");
        truth.seen = Some(Seen { seq, changes, doubts, sides });
    }
}

fn place(key: &TopicKey) -> usize {
    let interval = key.argument.and_then(Argument::interval);
    Interval::ALL.iter().position(|known| Some(*known) == interval).expect("a bar has an interval")
}

/// How many trades these places stand for, those included that were lost upstream; `None` if nobody knows.
pub fn lost<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<u64> {
    entries.into_iter().try_fold(0, |sum, entry| match entry.item {
        Item::Trade(_) => Some(sum + 1),
        Item::Gap { missing, .. } => missing.map(|missing| sum + missing),
    })
}

/// The time of a record: the venue's own where it gives one, what is known before where it does not for this once.
fn time(has_event_time: bool, stamp: &Stamp, known: i64) -> i64 {
    match (has_event_time, stamp.event) {
        (false, _) => stamp.received,
        (true, 0) => known,
        (true, event) => event,
    }
}
