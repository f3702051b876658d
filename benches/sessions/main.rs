//! Very many sessions in one process, without sockets: `just bench-sessions COUNT`. In: how many. Out: the time to open them, resident
//! memory and heap of one, processor time of one delivery, on stdout. Bounded: one shard, 100 topics, ten seconds of updates.
//!
//! Everything of the product is in the path but TCP and admission: handshake, HTTP upgrade, subscription, rounds, records encrypted. A
//! client is real until it holds its snapshot; then all but a few go, and what they would be sent is thrown away once it is encrypted.
//! So what is counted belongs to the server, apart from a connection's two empty buffers.

mod client;
#[allow(dead_code, reason = "shared with the stages, which need more of it")]
#[path = "../stages/market.rs"]
mod market;
mod memory;
mod server;

use cap::Cap;
use client::Opener;
use market::Market;
use mimalloc::MiMalloc;
use server::Server;
use std::time::{Duration, Instant};

/// What the program serves with, counted.
#[global_allocator]
static ALLOCATOR: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

const SESSIONS: usize = 100_000;
const TOPICS: usize = 100;
/// The first ones fill pools that do not grow with sessions.
const WARM_UP: usize = 1_000;
/// Clients that stay and read, of each thousand.
const READERS: usize = 1;
const UPDATES_PER_SECOND: u32 = 100;
const MEASURED: Duration = Duration::from_secs(10);
/// Time for marks of the last updates to become frames.
const SETTLED: Duration = Duration::from_secs(2);

fn main() {
    // `cargo test --benches` runs this too.
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return println!("sessions: only with cargo bench");
    }
    let count = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(SESSIONS);
    assert!(count > WARM_UP, "more than {WARM_UP}, which only warm up");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(count));
}

async fn measure(count: usize) {
    let mut market = Market::new(TOPICS);
    (0..TOPICS).for_each(|of| market.trade(of));
    let server = Server::start(market.map.clone());
    let opener = Opener::new(&server);
    let mut readers = opener.open(WARM_UP).await;
    tokio::time::sleep(SETTLED).await;
    let before = Memory::now();
    let (began, shard_before) = (Instant::now(), server.shard_cpu());
    readers.extend(opener.open(count - WARM_UP).await);
    let opened = began.elapsed();
    let shard_opened = server.shard_cpu() - shard_before;
    tokio::time::sleep(SETTLED).await;
    assert_eq!(server.metrics.sessions.get(), count as i64, "sessions that are open");

    let counted = (count - WARM_UP) as f64;
    println!("{count} sessions over TLS 1.3, each on one of {TOPICS} trade topics:");
    println!("opened in {:.1} s beside their clients: {:.0} a second", opened.as_secs_f64(), counted / opened.as_secs_f64());
    println!("the shard's part of that: {:.0} us of CPU a session", shard_opened.as_secs_f64() * 1e6 / counted);
    Memory::now().print_since(&before, counted, "idle");
    deliver(&server, &mut market, count).await;
    Memory::now().print_since(&before, counted, "after the updates");
    for reader in &mut readers {
        reader.verify().await;
    }
    println!("{} clients that had stayed have verified what they got", readers.len());
}

/// Updates in turn over the topics, in even steps.
async fn deliver(server: &Server, market: &mut Market, count: usize) {
    let (records, frames, cpu) = (server.metrics.records.get(), server.metrics.frames.get(), server.shard_cpu());
    let updates = UPDATES_PER_SECOND * MEASURED.as_secs() as u32;
    let began = tokio::time::Instant::now();
    for update in 0..updates {
        tokio::time::sleep_until(began + Duration::from_secs(1) * update / UPDATES_PER_SECOND).await;
        market.trade(update as usize % TOPICS);
    }
    tokio::time::sleep(SETTLED).await;
    let (records, frames) = (server.metrics.records.get() - records, server.metrics.frames.get() - frames);
    let cpu = server.shard_cpu() - cpu;
    let wanted = u64::from(updates) * count as u64 / TOPICS as u64;
    assert!(records >= wanted * 99 / 100, "{records} deliveries instead of {wanted}");
    println!(
        "{records} deliveries in {frames} frames, {UPDATES_PER_SECOND} updates a second for {} s: {:.2} us of the shard's CPU a \
         delivery, {:.2} a frame",
        MEASURED.as_secs(),
        cpu.as_secs_f64() * 1e6 / records as f64,
        cpu.as_secs_f64() * 1e6 / frames as f64
    );
}

struct Memory {
    rss: usize,
    heap: usize,
}

impl Memory {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        let rss: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        Self { rss: rss * 1024, heap: ALLOCATOR.allocated() }
    }

    fn print_since(&self, before: &Self, sessions: f64, when: &str) {
        let each = |now: usize, before: usize| (now as f64 - before as f64) / sessions;
        println!(
            "{when}: {:.0} bytes of resident memory a session, {:.0} of them in use on the heap; {} MiB resident in all",
            each(self.rss, before.rss),
            each(self.heap, before.heap),
            self.rss >> 20
        );
    }
}
