//! The server of the simulated sessions. In: ends of connections. Out: sessions on one shard, a thread of its own as in the product.
//! Bounded: connections on their way by a channel.

use crate::memory::ServerEnd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tickwire::clock::Clock;
use tickwire::config::Config;
use tickwire::gate::{Gate, serve_over};
use tickwire::metrics::{Metrics, ShardMetrics};
use tickwire::pressure::Pressure;
use tickwire::session::ticket::Tickets;
use tickwire::shard::{Shard, ShardContext};
use tickwire::topic::TopicMap;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

const INBOX: usize = 1_024;
/// Clients that are gone answer no ping; they are still pinged at the product's interval.
const IDLE_TIMEOUT_MS: u64 = 24 * 3_600 * 1_000;

pub struct Server {
    pub inbox: mpsc::Sender<ServerEnd>,
    pub metrics: Arc<ShardMetrics>,
    /// Where the system tells the shard's processor time.
    schedstat: String,
    _draining: watch::Sender<bool>,
}

impl Server {
    pub fn start(map: Arc<TopicMap>) -> Self {
        let mut config = Config::default();
        config.listen.self_signed = true;
        config.session.idle_timeout_ms = IDLE_TIMEOUT_MS;
        let metrics = Metrics::new(1);
        let pressure = Pressure::new(&config.pressure);
        let gate = Gate::new(&config, metrics.gate.clone(), Arc::new(|| Ok(())), pressure.clone()).expect("a good configuration");
        let (draining, seen) = watch::channel(false);
        let context = ShardContext {
            map,
            clock: Clock::new(),
            metrics: metrics.shard(0),
            pressure,
            tickets: Arc::new(Tickets::new(&config.session).expect("no key file to read")),
            session: Arc::new(config.session),
            node: "bench".into(),
            draining: seen,
        };
        let (inbox, arrivals) = mpsc::channel(INBOX);
        let (told, schedstat) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let own = std::fs::read_link("/proc/thread-self").expect("Linux tells it");
            told.send(format!("/proc/{}/schedstat", own.display())).expect("somebody waits");
            run(context, gate, arrivals);
        });
        let schedstat = schedstat.recv().expect("the thread begins with this");
        Self { inbox, metrics: metrics.shard(0), schedstat, _draining: draining }
    }

    pub fn shard_cpu(&self) -> Duration {
        let text = std::fs::read_to_string(&self.schedstat).expect("the shard runs");
        let ns = text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number");
        Duration::from_nanos(ns)
    }
}

fn run(context: ShardContext, gate: Arc<Gate>, mut arrivals: mpsc::Receiver<ServerEnd>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = LocalSet::new();
    let peer = ([127, 0, 0, 1], 0).into();
    local.block_on(&runtime, async {
        let shard = Shard::new(0, context);
        tokio::task::spawn_local(shard.clone().run());
        while let Some(end) = arrivals.recv().await {
            tokio::task::spawn_local(serve_over(end, peer, gate.clone(), Rc::clone(&shard)));
        }
    });
}
