//! The dashboard, the scrape configuration and the alert rules against a real Prometheus that scrapes a real admin port.

#[path = "support/prometheus.rs"]
mod prometheus;

use feeds::adapter::Race;
use prometheus::{MAY_BE_EMPTY, Prometheus, dashboard_queries, dashboards, has_tool, repository, run_dashboard};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tickwire::config::Admin;
use tickwire::metrics::{HandshakeFailure, Metrics, PressureCause, Refusal, Route, catalogue};
use wire::code::{Close, Code};
use wire::event::FeedState;

/// An admin port over metrics that move as under load, on a thread of its own.
struct Loaded {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Loaded {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let seen = over.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let metrics = Metrics::new(2);
                let (_stop, stopped) = tokio::sync::watch::channel(false);
                let admin = Admin { address: "127.0.0.1:0".parse().unwrap(), allow_remote: false };
                let address = tickwire::admin::start(&admin, metrics.clone(), Arc::new(|| Ok(())), stopped).await.unwrap();
                tell.send(address).unwrap();
                while !seen.load(Ordering::Relaxed) {
                    make_load(&metrics);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        Self { address: told.recv().unwrap(), over, thread: Some(thread) }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Some of everything.
fn make_load(metrics: &Metrics) {
    let feed = metrics.feed("sim");
    feed.set_channels(FeedState::Live, 1);
    feed.messages.add(10);
    feed.bytes.add(1_000);
    feed.events.add(12);
    feed.reconnects.add(1);
    feed.instruments.set(5);
    feed.fault(feeds::adapter::FaultKind::Duplicate);
    feed.races(&[
        Race::Won { line: 0 },
        Race::Lead { line: 0, over: 1, lead_ns: 3_000_000 },
        Race::Health { line: 1, behind_ns: 3_000_000, open: 1, lost: 0 },
    ]);
    feed.received(1_000_000, 3_000_000);
    feed.received_to_published.record_ns(20_000);
    for shard in metrics.shards() {
        shard.sessions.set(3);
        shard.subscriptions.set(30);
        shard.frames.add(5);
        shard.records.add(50);
        shard.bytes_out.add(5_000);
        shard.merged_updates.add(7);
        shard.gaps.add(1);
        shard.snapshots.add(1);
        shard.checks_sent.add(1);
        shard.chunk_hits.add(9);
        shard.chunk_misses.add(1);
        shard.frame_bytes.record(900);
        shard.published_to_written.record_ns(300_000);
        shard.commands.add(1);
        shard.rate_limited_bytes.add(1);
        shard.refused(Code::BadTopic);
        shard.closed(Close::SlowConsumer);
        shard.lag_ns.set(40_000_000);
    }
    metrics.topics.topics.set(45);
    metrics.topics.capacity.set(90);
    metrics.pressure.level.set(1);
    metrics.pressure.stepped(true, PressureCause::Lag);
    metrics.gate.connections.set(6);
    metrics.gate.accepted.add(1);
    metrics.gate.handshakes.add(1);
    metrics.gate.handshake_failed(HandshakeFailure::Tls);
    metrics.gate.refused(Refusal::RateLimited);
    metrics.gate.request(Route::Stream, 101);
}

#[test]
fn every_query_of_the_dashboard_and_every_rule_has_an_answer() {
    if !has_tool("prometheus") {
        return;
    }
    let server = Loaded::start();
    let prometheus = Prometheus::start(server.address);
    // Everything moves here, so nothing may be empty.
    prometheus
        .wait_until("two scrapes", || prometheus.query("rate(tickwire_frames_total[5s])").is_ok_and(|found| !found.is_empty()));
    prometheus.wait_until("the rules", || prometheus.bad_rules().is_ok());
    let wrong = run_dashboard(&prometheus, &[]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(prometheus.bad_rules().unwrap(), Vec::<String>::new());
    // And the numbers are those that were counted.
    let p50 =
        prometheus.query("histogram_quantile(0.5, sum by (le) (rate(tickwire_latency_published_to_written_seconds_bucket[5s])))");
    let p50: f64 = p50.unwrap()[0].parse().unwrap();
    assert!((0.000_25..=0.000_5).contains(&p50), "{p50}");
}

#[test]
fn promtool_accepts_the_configuration_the_rules_and_their_tests() {
    if !has_tool("promtool") {
        return;
    }
    for arguments in [["check", "config", "prometheus.yml"], ["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]]
    {
        let output =
            Command::new("promtool").args(arguments).current_dir(repository().join("grafana/prometheus")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn promtool_finds_nothing_odd_in_the_exported_text() {
    use std::io::Write;
    if !has_tool("promtool") {
        return;
    }
    let metrics = Metrics::new(2);
    make_load(&metrics);
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(metrics.render().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Needs no Prometheus: a metric that was renamed or forgotten shows here at once.
#[test]
fn the_dashboard_and_the_rules_name_only_metrics_of_the_catalogue_and_the_dashboard_shows_all() {
    let known: BTreeSet<_> = catalogue::ALL.iter().map(|row| row.name).collect();
    let mut shown = BTreeSet::new();
    for path in dashboards() {
        let mut used = String::new();
        dashboard_queries(&path).iter().for_each(|query| used.push_str(&format!("{} ", query.written)));
        shown.extend(names(&used, &known));
    }
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(missing.is_empty(), "the dashboard does not show {missing:?}");
    let rules = std::fs::read_to_string(repository().join("grafana/prometheus/rules.yml")).unwrap();
    assert!(!names(&rules, &known).is_empty());
    assert!(MAY_BE_EMPTY.iter().all(|(title, _)| {
        dashboards().iter().flat_map(|path| dashboard_queries(path)).any(|query| query.panel.starts_with(title))
    }));
}

/// Words that are names of metrics; each must be known.
fn names<'k>(text: &str, known: &BTreeSet<&'k str>) -> BTreeSet<&'k str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let named = words.filter(|word| ["tickwire_", "process_"].iter().any(|start| word.starts_with(start)));
    let bare = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let short = ends.iter().find_map(|end| word.strip_suffix(end)).filter(|short| known.contains(short));
        known.get(short.unwrap_or(word)).copied()
    };
    named.map(|word| bare(word).unwrap_or_else(|| panic!("{word} is not in the catalogue"))).collect()
}
