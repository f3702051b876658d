//! One shard: one OS thread, one current-thread runtime, and all that its sessions share. In: marks of the topic map and accepted
//! sockets. Out: woken sessions. Bounded by the sessions' own limits; nothing here is shared with other shards but the topic map.

use crate::clock::Clock;
use crate::config;
use crate::encode::FrameBuilder;
use crate::fetch;
use crate::metrics::ShardMetrics;
use crate::pressure::Pressure;
use crate::session::ticket::Tickets;
use crate::subs::{Manager, SessionKey};
use crate::topic::TopicMap;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use wire::request::Encoding;

/// Frames kept for the next flush. A session holds one only while it is on its way.
const POOLED_FRAMES: usize = 32;
/// A frame that a deep snapshot has blown up is not kept.
const POOLED_FRAME_BYTES: usize = 256 * 1024;

/// What a session's turn needs is asked for in steps, as one leads to the next: so many turns lie between them.
const FETCH_STEP: usize = 2;

/// So many turns of a round go together: their frames are made, then sent, then the marks are looked at again. Some 100 us, as each is a system
/// call. What makes frames and what the kernel does to send one push each other out of the processor's caches, and so do it less often.
const TURNS_AT_ONCE: usize = 8;

const DAY_MS: u64 = 86_400_000;

/// How often the shard measures how long its tasks wait, and says that it is alive.
const PROBE_INTERVAL_NS: i64 = 100_000_000;
/// What a frame costs, whatever is in it (docs/performance.md): most of it is the kernel's. Fewer frames are what a pause saves.
const FRAME_NS: i64 = 4_000;
/// Timers count whole milliseconds: a shorter pause would be longer than meant, and saves little.
const LEAST_PAUSE_NS: i64 = 1_000_000;
/// A shard is busy when it wrote for this share of the time …
const BUSY: f64 = 0.75;
/// … over about as long as this.
const BUSY_OVER_NS: f64 = 50e6;
/// What a timer of an idle runtime is late by: it counts whole milliseconds and rounds up.
const TIMER_GRAIN_NS: i64 = 2_000_000;

/// What the shards of one server share.
#[derive(Clone)]
pub struct ShardContext {
    pub map: Arc<TopicMap>,
    pub clock: Clock,
    pub session: Arc<config::Session>,
    pub metrics: Arc<ShardMetrics>,
    pub pressure: Arc<Pressure>,
    pub tickets: Arc<Tickets>,
    pub node: Arc<str>,
    /// Turns true when the server drains.
    pub draining: watch::Receiver<bool>,
}

/// A session that a round can write to.
pub trait Round {
    /// A frame of what is due, all of it ready to be sent; none where nothing is, or where the session's task has to do it.
    fn prepare(&self) -> Option<FrameBuilder>;

    /// Sends what was prepared, as far as that goes without waiting.
    fn send(&self);

    /// Counts what was sent, and leaves the rest to the session's task.
    fn finish(&self, frame: FrameBuilder);

    /// Its turn comes soon: asks for its memory.
    fn fetch(&self);

    /// Its turn comes very soon.
    fn fetch_connection(&self);
}

/// A session's place in the rounds.
pub struct Seat {
    shard: Rc<Shard>,
    key: SessionKey,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shard.rounds.borrow_mut()[self.key.index()] = None;
    }
}

pub struct Shard {
    pub index: usize,
    pub context: ShardContext,
    pub manager: RefCell<Manager>,
    /// How often topics were listed; sessions with patterns or pending topics look again when it has moved.
    listings: Cell<u64>,
    listed: Notify,
    next_session: Cell<u64>,
    /// By the index of their keys: sessions that rounds may write to.
    rounds: RefCell<Vec<Option<Rc<dyn Round>>>>,
    /// Sessions of the round under way; its memory is used again.
    woken: RefCell<Vec<SessionKey>>,
    /// Those of them whose frames are prepared; its memory is used again.
    prepared: RefCell<Vec<(Rc<dyn Round>, FrameBuilder)>>,
    pool: RefCell<Vec<FrameBuilder>>,
}

impl Shard {
    pub fn new(index: usize, context: ShardContext) -> Rc<Self> {
        // A day is never, and cannot overflow.
        let check_interval_ns = (context.session.check_interval_ms.min(DAY_MS) * 1_000_000) as i64;
        Rc::new(Self {
            index,
            manager: RefCell::new(Manager::new(index, check_interval_ns)),
            context,
            listings: Cell::new(0),
            listed: Notify::new(),
            next_session: Cell::new(0),
            rounds: RefCell::default(),
            woken: RefCell::default(),
            prepared: RefCell::default(),
            pool: RefCell::new(Vec::new()),
        })
    }

    /// Dispatches marks to due sessions for as long as the shard lives.
    pub async fn run(self: Rc<Self>) {
        tokio::join!(self.dispatch_all(), self.probe());
    }

    /// A timer whose delay is the time that every task of this shard waits for its turn.
    async fn probe(&self) {
        let (clock, lag) = (self.context.clock, &self.context.metrics.lag);
        let _silent = Silent(&self.context.metrics);
        loop {
            let due = clock.mono_ns() + PROBE_INTERVAL_NS;
            lag.expect(due + TIMER_GRAIN_NS);
            sleep_until(&clock, Some(due)).await;
            lag.observe(u64::try_from(clock.mono_ns() - due - TIMER_GRAIN_NS).unwrap_or(0));
        }
    }

    async fn dispatch_all(&self) {
        let marks = self.context.map.marks(self.index);
        let mut pressure = self.context.pressure.subscribe();
        pressure.mark_changed();
        let mut pace = RoundPace::new(self.context.session.gather_ms);
        loop {
            let (window, is_woken) = (self.manager.borrow().next_window(), self.manager.borrow().has_woken());
            tokio::select! {
                () = marks.wait() => {}
                () = sleep_until(&self.context.clock, window) => {}
                _ = pressure.changed() => self.bear_pressure(),
                // Found on the way of the last round.
                () = std::future::ready(()), if is_woken => {}
            }
            let began = self.context.clock.mono_ns();
            self.dispatch();
            // However many sessions there are, their sockets may be written to.
            let frames = tokio::task::unconstrained(async { self.flush() }).await;
            let now = self.context.clock.mono_ns();
            // Tasks run before the next look at the marks: what they wait for is not starved by data.
            match pace.pause_ns(began, now, frames) {
                0 => tokio::task::yield_now().await,
                pause => sleep_until(&self.context.clock, Some(now + pause)).await,
            }
        }
    }

    fn bear_pressure(&self) {
        let Self { context, manager, .. } = self;
        let (floor_ms, defers_deep) = (context.pressure.floor_ms(), context.pressure.defers_deep());
        manager.borrow_mut().set_pressure(floor_ms, defers_deep, context.clock.mono_ns());
    }

    /// Writes one frame to each session that has something due since the last time; to how many. What changes on the way is in the frames of
    /// those whose turn has not come; who had his is visited in the next round.
    fn flush(&self) -> usize {
        let (mut woken, mut prepared) = (self.woken.borrow_mut(), self.prepared.borrow_mut());
        self.manager.borrow_mut().take_woken(&mut woken);
        let marks = self.context.map.marks(self.index);
        for begin in (0..woken.len()).step_by(TURNS_AT_ONCE) {
            if begin > 0 && marks.has_news() {
                self.dispatch();
            }
            let turns = begin..woken.len().min(begin + TURNS_AT_ONCE);
            prepared.extend(turns.filter_map(|at| self.prepare(&woken[at..])));
            prepared.iter().for_each(|(session, _)| session.send());
            prepared.drain(..).for_each(|(session, frame)| session.finish(frame));
        }
        woken.len()
    }

    /// The turn of the first of these: its frame.
    fn prepare(&self, woken: &[SessionKey]) -> Option<(Rc<dyn Round>, FrameBuilder)> {
        self.fetch(woken);
        let key = *woken.first()?;
        self.manager.borrow_mut().begin_turn(key);
        let Some(session) = self.rounds.borrow().get(key.index()).cloned().flatten() else {
            self.manager.borrow().wake(key);
            return None;
        };
        let frame = session.prepare()?;
        Some((session, frame))
    }

    /// Asks for the memory of the sessions behind the first one of these: each step leads to what the next one asks for.
    fn fetch(&self, woken: &[SessionKey]) {
        let (rounds, manager) = (self.rounds.borrow(), self.manager.borrow());
        let coming = |turns: usize| woken.get(turns).map(|key| (*key, rounds.get(key.index())));
        if let Some((_, Some(seat))) = coming(4 * FETCH_STEP) {
            fetch::whole(seat);
        }
        if let Some((key, seat)) = coming(3 * FETCH_STEP) {
            manager.fetch(key);
            seat.into_iter().flatten().for_each(|session| session.fetch());
        }
        if let Some((key, seat)) = coming(2 * FETCH_STEP) {
            manager.fetch_lines(key);
            seat.into_iter().flatten().for_each(|session| session.fetch_connection());
        }
        if let Some((key, _)) = coming(FETCH_STEP) {
            manager.fetch_first(key);
        }
    }

    /// Rounds write to this session for as long as it keeps its seat.
    pub fn join_rounds(self: &Rc<Self>, key: SessionKey, session: Rc<dyn Round>) -> Seat {
        let mut rounds = self.rounds.borrow_mut();
        let seats = rounds.len().max(key.index() + 1);
        rounds.resize(seats, None);
        rounds[key.index()] = Some(session);
        Seat { shard: self.clone(), key }
    }

    /// Hands the marks since the last time to whom they concern, and wakes whose window has begun.
    pub fn dispatch(&self) {
        let marks = self.context.map.marks(self.index);
        let now = self.context.clock.mono_ns();
        let mut manager = self.manager.borrow_mut();
        marks.drain(|topic| manager.mark(topic, now));
        let links = marks.take_links();
        if !links.is_empty() {
            manager.mark_links(&self.context.map, &links, now);
        }
        manager.tick(now);
        if marks.listing_changed() {
            self.listings.set(self.listings.get() + 1);
            self.listed.notify_waiters();
        }
    }

    /// A number that moves with every listing. A session that was busy meanwhile sees by it that it missed one.
    pub fn listings(&self) -> u64 {
        self.listings.get()
    }

    /// Returns once `listings` is another number than `seen`.
    pub async fn listed_since(&self, seen: u64) {
        while self.listings.get() == seen {
            self.listed.notified().await;
        }
    }

    pub fn session_name(&self) -> String {
        let number = self.next_session.get() + 1;
        self.next_session.set(number);
        format!("{}-{}-{number}", self.context.node, self.index)
    }

    pub fn take_frame(&self, encoding: Encoding) -> FrameBuilder {
        let pooled = self.pool.borrow_mut().pop();
        let mut frame = pooled.unwrap_or_else(|| FrameBuilder::new(encoding, self.context.session.frame_bytes));
        frame.set_encoding(encoding);
        frame
    }

    pub fn give_frame(&self, frame: FrameBuilder) {
        let mut pool = self.pool.borrow_mut();
        if pool.len() < POOLED_FRAMES && frame.capacity() <= POOLED_FRAME_BYTES {
            pool.push(frame);
        }
    }
}

/// How long to wait between two rounds. A shard that has been writing for most of the time waits after a round about as long as its frames
/// took, apart from what was in them, within the limit: what changes meanwhile shares frames, which is what makes them cheap, and new
/// connections and requests get their turn. (Waiting as long as the whole round took would feed itself: a longer wait makes a longer round,
/// and where many updates go to few sessions it saves next to nothing.)
struct RoundPace {
    longest_ns: i64,
    /// When the last round, and the pause after it, ended.
    ended: i64,
    /// Share of the time spent in rounds, pauses apart: a moving average.
    busy: f64,
}

impl RoundPace {
    fn new(gather_ms: u64) -> Self {
        Self { longest_ns: (gather_ms.min(DAY_MS) * 1_000_000) as i64, ended: 0, busy: 0.0 }
    }

    /// For a round of so many frames from `began` to `now`. 0: none.
    fn pause_ns(&mut self, began: i64, now: i64, frames: usize) -> i64 {
        let (took, waited) = (now - began, (began - self.ended).max(0));
        if took + waited > 0 {
            // Some ten rounds, but a long one weighs at once, and a long wait ends it.
            let weight = ((took + waited) as f64 / BUSY_OVER_NS).min(1.0);
            self.busy += weight * (took as f64 / (took + waited) as f64 - self.busy);
        }
        let saves = (frames as i64).saturating_mul(FRAME_NS).min(self.longest_ns);
        let pause = if self.busy >= BUSY && saves >= LEAST_PAUSE_NS { saves } else { 0 };
        self.ended = now + pause;
        pause
    }
}

/// A shard that has ended is not stuck.
struct Silent<'a>(&'a ShardMetrics);

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        self.0.lag.expect(i64::MAX);
    }
}

/// Sleeps until `at` (monotonic ns of `clock`); for ever if there is no such time.
async fn sleep_until(clock: &Clock, at: Option<i64>) {
    match at {
        Some(at) => tokio::time::sleep(Duration::from_nanos(u64::try_from(at - clock.mono_ns()).unwrap_or(0))).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subs::Terms;
    use crate::topic::{Cursor, InstrumentTopics, Stamp, TopicLimits};
    use tokio::task::{LocalSet, spawn_local};
    use wire::event::Quote;
    use wire::instrument::Instrument;

    const MS: u64 = 1_000_000;

    #[test]
    fn only_a_busy_shard_waits_between_its_rounds() {
        const US: i64 = 1_000;
        let mut pace = RoundPace::new(5);
        let mut now = 1_000_000 * US;
        let mut rounds = |pace: &mut RoundPace, count: u32, waited: i64, took: i64, frames: usize| {
            let mut pause = 0;
            for _ in 0..count {
                now += pause + waited * US;
                let began = now;
                now += took * US;
                pause = pace.pause_ns(began, now, frames);
            }
            now += pause;
            pause / US
        };
        assert_eq!(rounds(&mut pace, 100, 1_200, 800, 1_000), 0, "busy for less than half of the time");
        assert_eq!(rounds(&mut pace, 1, 0, 3_000, 1_000), 0, "one burst is not busy");
        assert_eq!(rounds(&mut pace, 100, 300, 3_000, 500), 2_000);
        assert_eq!(rounds(&mut pace, 100, 100, 800, 100), 0, "shorter than a timer's step");
        assert_eq!(rounds(&mut pace, 100, 10, 12_000, 2_000), 5_000, "not longer than the limit");
        assert_eq!(rounds(&mut pace, 1, 10, 9_000, 200), 0, "few frames are cheap anyway");
        assert_eq!(rounds(&mut pace, 1, 100_000, 3_000, 1_000), 0, "it had nothing to do for long");
        assert_eq!(rounds(&mut RoundPace::new(0), 100, 0, 9_000, 1_000), 0);
    }

    fn context() -> ShardContext {
        ShardContext {
            map: TopicMap::new(TopicLimits::default(), 1, 7),
            clock: Clock::new(),
            session: Arc::default(),
            metrics: Arc::default(),
            pressure: Pressure::new(&config::Pressure::default()),
            tickets: Arc::new(Tickets::new(&config::Session::default()).unwrap()),
            node: "test".into(),
            draining: watch::channel(false).1,
        }
    }

    fn run_local(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    /// What a frame for the session holds.
    fn frame_of(shard: &Shard, key: SessionKey) -> u64 {
        let mut frame = shard.take_frame(Encoding::Binary);
        frame.begin(1, 0);
        let ShardContext { map, clock, .. } = &shard.context;
        shard.manager.borrow_mut().flush(map, key, clock.mono_ns(), &mut frame);
        let records = frame.records;
        shard.give_frame(frame);
        records
    }

    /// A session without a socket. `then` happens on its first turn.
    struct Reader {
        shard: Rc<Shard>,
        key: SessionKey,
        turns: Cell<usize>,
        records: Cell<u64>,
        then: Box<dyn Fn()>,
    }

    impl Round for Reader {
        fn prepare(&self) -> Option<FrameBuilder> {
            self.records.set(self.records.get() + frame_of(&self.shard, self.key));
            Some(self.shard.take_frame(Encoding::Binary))
        }

        fn send(&self) {}

        fn finish(&self, frame: FrameBuilder) {
            self.shard.give_frame(frame);
            if self.turns.replace(self.turns.get() + 1) == 0 {
                (self.then)();
            }
        }

        fn fetch(&self) {}

        fn fetch_connection(&self) {}
    }

    #[test]
    fn what_changes_on_the_way_of_a_round_is_in_the_frames_behind_and_in_the_next_round() {
        const READERS: usize = 3 * TURNS_AT_ONCE;
        // The first quote of each of two topics, with its meta.
        const RECORDS: u64 = 4;
        let map = context().map;
        let context = ShardContext { map: map.clone(), ..context() };
        let list = |symbol: &str| {
            let instrument = Instrument { symbol: symbol.into(), native: symbol.into(), ..Instrument::default() };
            map.list("sim", &instrument).unwrap()
        };
        let (early, late) = (Rc::new(list("A")), Rc::new(list("B")));
        let publish = |map: Arc<TopicMap>, of: Rc<InstrumentTopics>| {
            let quote = Quote { bid_price: Some(1), ..Quote::default() };
            move || map.publish_quote(&of, &quote, &Stamp::default())
        };
        let shard = Shard::new(0, context);
        let mut seats = Vec::new();
        let mut readers = Vec::new();
        for at in 0..READERS {
            let mut manager = shard.manager.borrow_mut();
            let key = manager.join(Encoding::Binary, Rc::new(Notify::new()));
            for topic in [early.quote, late.quote] {
                manager.subscribe(&map, key, topic, Cursor::NEW, Terms::default(), 0);
            }
            drop(manager);
            frame_of(&shard, key);
            let then: Box<dyn Fn()> = if at == 0 { Box::new(publish(map.clone(), late.clone())) } else { Box::new(|| ()) };
            let reader = Rc::new(Reader { shard: shard.clone(), key, turns: Cell::default(), records: Cell::default(), then });
            seats.push(shard.join_rounds(key, reader.clone()));
            readers.push(reader);
        }
        run_local(async {
            let running = spawn_local(shard.run());
            // It has looked at everything that is there by then.
            tokio::time::sleep(Duration::from_millis(20)).await;
            publish(map.clone(), early)();
            // There is no mark after the one that comes on the way: whom it concerns must not have to wait for another one.
            for _ in 0..500 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if readers.iter().all(|reader| reader.records.get() == RECORDS) {
                    break;
                }
            }
            running.abort();
            drop(running.await);
        });
        let seen: Vec<_> = readers.iter().map(|reader| (reader.turns.get(), reader.records.get())).collect();
        // In order of their turns: the first ones had theirs before the marks were looked at again.
        let (before, behind) = seen.split_at(TURNS_AT_ONCE);
        assert!(before.iter().all(|seen| *seen == (2, RECORDS)), "{seen:?}");
        assert!(behind.iter().all(|seen| *seen == (1, RECORDS)), "{seen:?}");
    }

    #[test]
    fn a_shard_that_computes_for_long_is_late_for_all_its_tasks() {
        let context = context();
        let (metrics, clock) = (context.metrics.clone(), context.clock);
        run_local(async {
            let running = spawn_local(Shard::new(0, context).run());
            tokio::time::sleep(Duration::from_millis(20)).await;
            // The probe is due within 100 ms of this; the rest of the time it waits.
            std::thread::sleep(Duration::from_millis(400));
            let stuck_ns = metrics.lag.take(clock.mono_ns());
            assert!(stuck_ns >= 250 * MS, "seen from outside while it lasts: {stuck_ns}");
            std::thread::sleep(Duration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
            let late_ns = metrics.lag.take(clock.mono_ns());
            assert!(late_ns >= 250 * MS, "and told by the shard afterwards: {late_ns}");
            running.abort();
            drop(running.await);
        });
        assert_eq!(metrics.lag.take(i64::MAX - 1), 0, "a shard that has ended is not late");
    }
}
