//! One thread of clients. In: which of them, and when to begin. Out: what they counted. Bounded: one scratch buffer and one set of
//! counters for all; so many handshakes at once.

use crate::LoadError;
use crate::client::Client;
use crate::conduct::Event;
use crate::dialect::{Dialect, Mark, Turn};
use crate::link::SCRATCH_BYTES;
use crate::plan::Plan;
use crate::procfs;
use crate::shape::Spread;
use crate::tally::{Faults, Outcome, Progress, Tally};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;

/// Handshakes at once. More only wait in the server's backlog.
const CONNECTING: usize = 256;
/// After the run, stalled clients may still catch up.
const SETTLE: Duration = Duration::from_secs(10);
const SETTLE_POLL: Duration = Duration::from_millis(20);
const PROGRESS: Duration = Duration::from_secs(1);

/// The same for all threads.
pub struct Setup {
    pub plan: Arc<Plan>,
    pub dialect: Arc<Dialect>,
    pub spread: Spread,
    /// By client; empty where the plan has none.
    pub stalling: Vec<bool>,
    pub storming: Vec<bool>,
    pub address: SocketAddr,
    /// As it stands in the request.
    pub host: String,
    pub path: String,
    pub name: ServerName<'static>,
    pub tls: Arc<ClientConfig>,
}

pub struct Worker {
    pub setup: Arc<Setup>,
    /// What sockets are read into.
    pub scratch: RefCell<Vec<u8>>,
    pub counts: RefCell<Counts>,
    pub connecting: Semaphore,
    /// Wakes clients that wait for data; those that do not look at `storm_begun` before they wait.
    pub storm: Notify,
    pub storm_begun: Cell<bool>,
    /// Begin of the measured time.
    begin: Cell<Option<Instant>>,
    /// This thread's processor time up to then.
    cpu_before: Cell<f64>,
    /// Clients whose first attempt is over.
    tried: Cell<usize>,
    settled: Notify,
    recovering: Cell<usize>,
}

pub struct Counts {
    pub outcome: Outcome,
    heads: Vec<u64>,
    /// Nobody looks at the heads of a run without stalls.
    keeps_heads: bool,
}

impl Counts {
    pub fn turn<'a>(&'a mut self, stalls: bool, now: i64, ask: &'a mut Vec<String>) -> Turn<'a> {
        let Outcome { healthy, stalled, faults, .. } = &mut self.outcome;
        let heads = (self.keeps_heads && !stalls).then_some(&mut self.heads[..]);
        Turn { now, tally: if stalls { stalled } else { healthy }, faults, heads, ask }
    }

    pub fn socket(&mut self, stalls: bool, bytes: usize) {
        let tally = if stalls { &mut self.outcome.stalled } else { &mut self.outcome.healthy };
        tally.socket_bytes += bytes as u64;
        tally.reads += 1;
    }
}

/// Runs thread `number` on its own runtime until the run is over.
pub fn run(
    setup: Arc<Setup>,
    number: usize,
    events: &SyncSender<(usize, Event)>,
    go: watch::Receiver<Option<Instant>>,
) -> Result<Outcome, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Runtime)?;
    let local = LocalSet::new();
    Ok(local.block_on(&runtime, Worker::new(setup).direct(number, events, go)))
}

impl Worker {
    fn new(setup: Arc<Setup>) -> Rc<Self> {
        let counts = Counts {
            outcome: Outcome::default(),
            heads: vec![0; setup.plan.topics.len()],
            keeps_heads: setup.plan.stall.is_some(),
        };
        Rc::new(Self {
            setup,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            counts: RefCell::new(counts),
            connecting: Semaphore::new(CONNECTING),
            storm: Notify::new(),
            storm_begun: Cell::new(false),
            begin: Cell::new(None),
            cpu_before: Cell::new(0.0),
            tried: Cell::new(0),
            settled: Notify::new(),
            recovering: Cell::new(0),
        })
    }

    async fn direct(
        self: Rc<Self>,
        number: usize,
        events: &SyncSender<(usize, Event)>,
        mut go: watch::Receiver<Option<Instant>>,
    ) -> Outcome {
        tokio::task::spawn_local(report(self.clone(), number, events.clone()));
        self.clone().connect_all(number).await;
        // An error means that whoever listens has given up.
        let _ = events.send((number, Event::Connected));
        let Ok(start) = go.wait_for(Option::is_some).await.map(|start| *start) else { return Outcome::default() };
        let plan = self.setup.plan.clone();
        let begin = start.unwrap_or_else(Instant::now) + plan.warmup;
        tokio::time::sleep_until(begin).await;
        self.begin_measuring(begin);
        let end = begin + plan.time;
        if let Some(storm) = plan.storm {
            tokio::time::sleep_until((begin + storm.at).min(end)).await;
            self.storm_begun.set(true);
            self.storm.notify_waiters();
        }
        tokio::time::sleep_until(end).await;
        self.end_measuring(begin).await
    }

    async fn connect_all(self: Rc<Self>, number: usize) {
        let plan = &self.setup.plan;
        let mine = |client: &usize| plan.part.has(*client) && client / plan.part.of % plan.threads == number;
        let clients: Vec<_> = (0..plan.clients).filter(mine).collect();
        let share = f64::from(plan.connect_rate) / (plan.threads * plan.part.of) as f64;
        let begun = Instant::now();
        for (at, client) in clients.iter().enumerate() {
            if share > 0.0 {
                tokio::time::sleep_until(begun + Duration::from_secs_f64(at as f64 / share)).await;
            }
            tokio::task::spawn_local(Client::new(&self, *client).run());
        }
        while self.tried.get() < clients.len() {
            self.settled.notified().await;
        }
        self.counts.borrow_mut().outcome.connect_seconds = begun.elapsed().as_secs_f64();
    }

    /// What was counted so far was connecting and warming up; faults stay.
    fn begin_measuring(&self, begin: Instant) {
        let mut counts = self.counts.borrow_mut();
        counts.outcome.healthy = Tally::default();
        counts.outcome.stalled = Tally::default();
        drop(counts);
        self.begin.set(Some(begin));
        self.cpu_before.set(procfs::own_thread_cpu_seconds());
    }

    async fn end_measuring(&self, begin: Instant) -> Outcome {
        let mut outcome = self.counts.borrow().outcome.clone();
        outcome.seconds = begin.elapsed().as_secs_f64();
        outcome.cpu_seconds = procfs::own_thread_cpu_seconds() - self.cpu_before.get();
        let patience = Instant::now() + SETTLE;
        while self.recovering.get() > 0 && Instant::now() < patience {
            tokio::time::sleep(SETTLE_POLL).await;
        }
        // Who came back late has done so all the same, and faults found since are faults.
        let after = self.counts.borrow();
        outcome.exact_again_us.clone_from(&after.outcome.exact_again_us);
        outcome.faults = Faults { never_exact: self.recovering.get() as u64, ..after.outcome.faults.clone() };
        outcome.closes.clone_from(&after.outcome.closes);
        outcome.back = after.outcome.back.clone();
        outcome
    }

    /// The end of the stall, while it lasts.
    pub fn stall_until(&self) -> Option<Instant> {
        let stall = self.setup.plan.stall?;
        let since = self.begin.get()? + stall.after;
        let until = since + stall.time;
        (since..until).contains(&Instant::now()).then_some(until)
    }

    /// One more client that has to become exact again.
    pub fn stalled(&self) {
        self.recovering.set(self.recovering.get() + 1);
        self.counts.borrow_mut().outcome.stalled_clients += 1;
    }

    pub fn mark(&self) -> Mark {
        Mark { time: crate::wall_ns(), heads: self.counts.borrow().heads.clone() }
    }

    pub fn exact_again(&self, after: Duration) {
        self.recovering.set(self.recovering.get().saturating_sub(1));
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.counts.borrow_mut().outcome.exact_again_us.push(micros);
    }

    pub fn connected(&self, took: Duration) {
        let mut counts = self.counts.borrow_mut();
        counts.outcome.connect.record_us(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// `dropped`: when a storm ended the connection before.
    pub fn connect_over(&self, failure: Option<&String>, dropped: Option<Instant>) {
        let Outcome { faults, connected, back, stormed, .. } = &mut self.counts.borrow_mut().outcome;
        if let Some(why) = failure {
            *faults.connect_failures.entry(why.clone()).or_default() += 1;
            faults.note(|| why.clone());
        }
        match dropped {
            Some(dropped) => {
                *stormed += 1;
                if failure.is_none() {
                    back.record_us(u64::try_from(dropped.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
            }
            None => {
                *connected += u64::from(failure.is_none());
                self.tried.set(self.tried.get() + 1);
                self.settled.notify_one();
            }
        }
    }

    /// The server ended a connection, which is its right while the client is stalled or behind.
    pub fn closed(&self, client: usize, is_behind: bool, code: Option<u16>, why: &str) {
        let Outcome { faults, closes, .. } = &mut self.counts.borrow_mut().outcome;
        if let Some(code) = code {
            *closes.entry(code).or_default() += 1;
        }
        if is_behind {
            self.recovering.set(self.recovering.get().saturating_sub(1));
        } else {
            faults.lost_connections += 1;
            faults.note(|| format!("client {client}: {why}"));
        }
    }

    fn progress(&self) -> Progress {
        let Outcome { healthy, stalled, faults, connected, .. } = &self.counts.borrow().outcome;
        Progress {
            connected: *connected,
            failed: faults.connect_failures.values().sum(),
            records: healthy.records + stalled.records,
            frames: healthy.frames + stalled.frames,
            bytes: healthy.bytes + stalled.bytes,
            lost: faults.lost,
            p99_us: healthy.event.quantile_us(0.99),
        }
    }
}

async fn report(worker: Rc<Worker>, number: usize, events: SyncSender<(usize, Event)>) {
    loop {
        tokio::time::sleep(PROGRESS).await;
        // Whoever does not listen misses a line.
        let _ = events.try_send((number, Event::Progress(worker.progress())));
    }
}
