//! Puts the server together: configuration in, running threads out, and a drain that ends them. The only file that knows all parts.
//! Bounded: one thread a shard, one for all feeds, the caller's for accepting, admin and signals.

use crate::admin;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::cores;
use crate::gate::{self, Arrival, Gate, GateError};
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::pressure::{self, Pressure};
use crate::relay;
use crate::session::ticket::{TicketKeyError, Tickets};
use crate::shard::{Shard, ShardContext};
use crate::topic::{QuietAfter, TopicLimits, TopicMap};
use feeds::settings::FeedSettings;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use wire::event::FeedState;

/// Accepted sockets on their way to a shard; a full inbox refuses, which the gate counts.
const INBOX: usize = 1024;
/// How often a drain looks whether the last session has gone.
const DRAIN_POLL: Duration = Duration::from_millis(20);

const TOPICS_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("log.filter: {0}")]
    Log(#[from] crate::logging::LogError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("admin.address {address}: {error}")]
    Admin { address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Ticket(#[from] TicketKeyError),
    #[error("feeds[{index}] ({venue}): {error}")]
    Feed { index: usize, venue: String, error: feeds::error::FeedError },
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("thread '{0}' has panicked, see the log; start the server again")]
    Panicked(String),
}

/// A running server. Dropping it without `drain` stops it at once.
pub struct Server {
    public: SocketAddr,
    admin: SocketAddr,
    gate: Arc<Gate>,
    map: Arc<TopicMap>,
    metrics: Arc<Metrics>,
    pressure: Arc<Pressure>,
    drain_timeout: Duration,
    draining: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    /// The first thread whose work ended by a panic.
    panicked: watch::Receiver<Option<String>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds the ports, starts the threads. Must be called on a tokio runtime, which then accepts connections.
    pub async fn start(config: Config) -> Result<Self, AppError> {
        let clock = Clock::new();
        let shards = config.node.shard_count();
        let metrics = Metrics::new(shards);
        metrics.process.memory_budget.set(config.memory_budget().iter().map(|bound| bound.bytes as i64).sum());
        let map = TopicMap::new(topic_limits(&config.topics), shards, epoch(clock));
        let (draining, draining_seen) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let (panics, panicked) = watch::channel(None);

        let pressure = Pressure::new(&config.pressure);
        let tickets = Arc::new(Tickets::new(&config.session)?);
        let ready = {
            let (map, draining, pressure) = (map.clone(), draining_seen.clone(), pressure.clone());
            Arc::new(move || readiness(&map, *draining.borrow(), &pressure))
        };
        let gate = Gate::new(&config, metrics.gate.clone(), ready.clone(), pressure.clone())?;
        let listener = gate::bind(config.listen.address)?;
        let public = listener.local_addr().map_err(|error| GateError::Bind { address: config.listen.address, error })?;
        let admin = admin::start(&config.admin, metrics.clone(), ready, stopped.clone())
            .await
            .map_err(|error| AppError::Admin { address: config.admin.address, error })?;

        let mut threads =
            vec![start_feeds(&config.feeds, config.node.feeds_core, &map, &metrics, clock, stopped.clone(), panics.clone())?];
        let mut inboxes = Vec::with_capacity(shards);
        for index in 0..shards {
            let context = ShardContext {
                map: map.clone(),
                clock,
                session: Arc::new(config.session.clone()),
                metrics: metrics.shard(index),
                pressure: pressure.clone(),
                tickets: tickets.clone(),
                node: config.node.name.as_str().into(),
                draining: draining_seen.clone(),
            };
            let (inbox, arrivals) = mpsc::channel(INBOX);
            inboxes.push(inbox);
            threads.push(start_shard(
                index,
                config.node.shard_core(index),
                context,
                arrivals,
                gate.clone(),
                stopped.clone(),
                panics.clone(),
            )?);
        }
        tokio::spawn(accept(listener, inboxes, gate.clone()));
        if config.pressure.enabled {
            tokio::spawn(pressure::sample(config.pressure, pressure.clone(), metrics.clone(), clock, stopped.clone()));
        }
        tokio::spawn(watch_topics(map.clone(), metrics.clone(), clock, stopped));
        Ok(Self {
            public,
            admin,
            gate,
            map,
            metrics,
            pressure,
            drain_timeout: Duration::from_millis(config.session.drain_timeout_ms),
            draining,
            stop,
            panicked,
            threads,
        })
    }

    pub fn public_address(&self) -> SocketAddr {
        self.public
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The certificate chain clients may trust, in PEM.
    pub fn certificate_pem(&self) -> Arc<String> {
        self.gate.certificate_pem()
    }

    /// Reads the certificate files again; on an error the old ones stay in force.
    pub fn reload_certificate(&self) -> Result<(), GateError> {
        self.gate.reload_certificate()
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub fn pressure(&self) -> &Arc<Pressure> {
        &self.pressure
    }

    /// A way in for events that do not come from a configured feed.
    pub fn ingest(&self, venue: &str) -> Ingest {
        Ingest::new(self.map.clone(), venue, &self.metrics, Clock::new())
    }

    /// Waits for a panic that leaves a part of the server dead. The rest still works: `drain` it and start anew.
    pub async fn panicked(&self) -> AppError {
        match self.panicked.clone().wait_for(Option::is_some).await.map(|name| name.clone()) {
            Ok(Some(name)) => AppError::Panicked(name),
            // All threads have ended without one.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Refuses new clients, tells those that are there, waits for them up to the drain time-out, then stops everything.
    pub async fn drain(mut self) {
        self.gate.drain();
        self.draining.send_replace(true);
        let gone = async {
            while self.gate.connections() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(self.drain_timeout, gone).await.is_err() {
            tracing::warn!(connections = self.gate.connections(), "drain timed out; closing what is left");
        }
        self.stop.send_replace(true);
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        drop(joined.await);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gate.drain();
        self.stop.send_replace(true);
    }
}

/// Runs a server until SIGTERM, Ctrl-C or a panic, then drains it. `started` may tell the user where it listens.
pub fn run(config: Config, started: impl FnOnce(&Server)) -> Result<(), AppError> {
    crate::logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Thread)?;
    runtime.block_on(async {
        let budget: u64 = config.memory_budget().iter().map(|item| item.bytes).sum();
        let core = config.node.main_core;
        let server = Server::start(config).await?;
        // Not before: threads begin where the one that starts them may run.
        cores::pin("main", core);
        tracing::info!(
            public = %server.public, admin = %server.admin, memory_budget_mib = budget >> 20,
            "tickwire {} is up", env!("CARGO_PKG_VERSION")
        );
        started(&server);
        let end = tokio::select! {
            () = wait_for_end(&server) => Ok(()),
            panicked = server.panicked() => Err(panicked),
        };
        if end.is_err() {
            tracing::error!("a part of the server is dead: what is left is drained, and the process ends");
        }
        tracing::info!("draining");
        server.drain().await;
        tracing::info!("stopped");
        end
    })
}

/// Returns at SIGTERM or SIGINT; SIGHUP reloads the certificate.
async fn wait_for_end(server: &Server) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        tracing::error!("cannot listen to signals; only a kill will end this process");
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => match server.reload_certificate() {
                Ok(()) => tracing::info!("certificate reloaded"),
                Err(error) => tracing::error!(%error, "certificate not reloaded; the old one stays in force"),
            },
        }
    }
}

/// Not ready while draining, while new clients would be refused, or while a feed has not announced its instruments: a client would be told "unknown symbol".
fn readiness(map: &TopicMap, draining: bool, pressure: &Pressure) -> Result<(), String> {
    if draining {
        return Err("draining".to_owned());
    }
    if pressure.refuses() {
        return Err("under pressure: new clients are refused until the node recovers".to_owned());
    }
    match map.unknown_venues() {
        waiting if waiting.is_empty() => Ok(()),
        waiting => Err(format!("waiting for the instruments of: {}", waiting.join(", "))),
    }
}

fn topic_limits(topics: &config::Topics) -> TopicLimits {
    TopicLimits {
        max_topics: topics.max_topics,
        trade_ring: topics.trade_ring,
        book_log: topics.book_log,
        book_levels: topics.book_levels,
        view_linger_ms: topics.view_linger_ms,
    }
}

/// Epochs must not repeat over restarts: the start time in ms, with room for redefinitions.
fn epoch(clock: Clock) -> u64 {
    u64::try_from(clock.wall_ns() / 1_000_000).unwrap_or(0) << 8
}

fn start_feeds(
    settings: &[FeedSettings],
    core: Option<usize>,
    map: &Arc<TopicMap>,
    metrics: &Metrics,
    clock: Clock,
    stopped: watch::Receiver<bool>,
    panics: Panics,
) -> Result<JoinHandle<()>, AppError> {
    let mut running = Vec::with_capacity(settings.len());
    for (index, feed) in settings.iter().enumerate() {
        let venue = feeds::registry::topic_venue(feed);
        if feed.venue == relay::VENUE {
            let start = relay::start(feed, &venue, map, metrics, clock, stopped.clone());
            running.push(start.map_err(|error| AppError::Feed { index, venue, error })?);
            continue;
        }
        let quiet_after = QuietAfter::of_quotes_ms(feed.quiet_after_ms);
        let ingest = Ingest::new(map.clone(), &venue, metrics, clock).quiet_after(quiet_after);
        let ingest = if feeds::registry::is_recording(feed) { ingest.of_recording() } else { ingest };
        let ingest = if feeds::registry::quotes_from_books(feed) { ingest.with_quotes_from_books() } else { ingest };
        let start = feeds::run::start(feed, Box::new(ingest), stopped.clone());
        running.push(start.map_err(|error| AppError::Feed { index, venue, error })?);
    }
    spawn("feeds".to_owned(), core, stopped, panics, move |local, tasks| {
        for feed in running {
            tasks.spawn_local_on(feed, local);
        }
    })
}

fn start_shard(
    index: usize,
    core: Option<usize>,
    context: ShardContext,
    mut arrivals: mpsc::Receiver<Arrival>,
    gate: Arc<Gate>,
    stopped: watch::Receiver<bool>,
    panics: Panics,
) -> Result<JoinHandle<()>, AppError> {
    spawn(format!("shard-{index}"), core, stopped, panics, move |local, tasks| {
        let shard = Shard::new(index, context);
        tasks.spawn_local_on(shard.clone().run(), local);
        let serve = async move {
            while let Some(arrival) = arrivals.recv().await {
                // A panic in here ends one connection.
                tokio::task::spawn_local(gate::serve(arrival, gate.clone(), shard.clone()));
            }
        };
        tasks.spawn_local_on(serve, local);
    })
}

async fn accept(listener: TcpListener, inboxes: Vec<mpsc::Sender<Arrival>>, gate: Arc<Gate>) {
    if let Err(error) = gate::accept(listener, inboxes, gate).await {
        tracing::error!(%error, "accepting connections failed for good; restart the server");
    }
}

/// Once a second: tells the topic map the time, and copies its totals, because it knows no metrics of its own.
async fn watch_topics(map: Arc<TopicMap>, metrics: Arc<Metrics>, clock: Clock, stopped: watch::Receiver<bool>) {
    let capacity = map.limits().max_topics;
    metrics.topics.capacity.set(i64::from(capacity));
    let of = &metrics.topics;
    let counters = [&of.levels_dropped, &of.redefinitions, &of.overruns, &of.trades_too_late, &of.crossed_books];
    let mut told = [0; 5];
    while !*stopped.borrow() {
        map.tick(clock.wall_ns());
        for (venue, counts) in map.channels() {
            let feed = metrics.feed(&venue);
            FeedState::ALL.iter().for_each(|state| feed.set_channels(*state, counts[*state as usize]));
        }
        metrics.topics.topics.set(i64::from(map.len()));
        let totals = [map.levels_dropped(), map.redefinitions(), map.overruns(), map.trades_too_late(), map.crossed_books()];
        for ((counter, held), now) in counters.iter().zip(&mut told).zip(totals) {
            counter.add(now - *held);
            *held = now;
        }
        for (venue, now) in map.mismatches() {
            let counter = &metrics.feed(&venue).mismatches;
            counter.add(now - counter.get());
        }
        tokio::time::sleep(TOPICS_INTERVAL).await;
    }
}

/// Where a thread tells that its work ended by a panic.
type Panics = watch::Sender<Option<String>>;

/// One thread with its own runtime, for the tasks that `begin` adds. It ends, with all tasks on it, when the server stops, or when one of
/// these panics: a shard without its dispatcher would hold its clients' connections and send them nothing.
fn spawn<B>(
    name: String,
    core: Option<usize>,
    stopped: watch::Receiver<bool>,
    panics: Panics,
    begin: B,
) -> Result<JoinHandle<()>, AppError>
where
    B: FnOnce(&LocalSet, &mut JoinSet<()>) + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Thread)?;
    let work = move |name: &str| {
        cores::pin(name, core);
        let (local, mut tasks) = (LocalSet::new(), JoinSet::new());
        {
            let _entered = runtime.enter();
            begin(&local, &mut tasks);
        }
        let end = async {
            tokio::select! {
                () = wait_for(stopped) => {}
                () = wait_for_panic(tasks) => {
                    tracing::error!("a task of thread '{name}' has panicked; the thread ends, and with it its connections");
                    panics.send_if_modified(|first| first.is_none() && first.replace(name.to_owned()).is_none());
                }
            }
        };
        local.block_on(&runtime, end);
    };
    std::thread::Builder::new().name(name.clone()).spawn(move || work(&name)).map_err(AppError::Thread)
}

/// Returns when one of the tasks has panicked; that others end is in order.
async fn wait_for_panic(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if ended.is_err() {
            return;
        }
    }
    std::future::pending().await
}

async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_thread_and_is_told() {
        let (_stop, stopped) = watch::channel(false);
        let (panics, mut panicked) = watch::channel(None);
        let thread = spawn("shard-7".to_owned(), None, stopped, panics, |local, tasks| {
            tasks.spawn_local_on(async {}, local);
            tasks.spawn_local_on(std::future::pending(), local);
            tasks.spawn_local_on(async { panic!("a bug in a shard") }, local);
        });
        let thread = thread.unwrap();
        let told = tokio::time::timeout(Duration::from_secs(10), panicked.wait_for(Option::is_some)).await;
        assert_eq!(told.unwrap().unwrap().as_deref(), Some("shard-7"));
        tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stop_is_no_panic() {
        let (stop, stopped) = watch::channel(false);
        let (panics, panicked) = watch::channel(None);
        let thread = spawn("shard-7".to_owned(), None, stopped, panics, |local, tasks| {
            tasks.spawn_local_on(async {}, local);
        });
        stop.send_replace(true);
        tokio::task::spawn_blocking(|| thread.unwrap().join()).await.unwrap().unwrap();
        assert_eq!(*panicked.borrow(), None);
    }
}
