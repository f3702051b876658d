//! The load client against a real server: what it counts adds up, stalled clients become exact again, and a fault is seen.

use crate::harness::{TestServer, soon};
use load::plan::{Part, Plan, Shape, Speech, Stall, Storm, Verify};
use load::{Audience, report};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tickwire::config::Config;
use wire::request::{Encoding, Pace, TradeMode};

struct Nobody;

impl Audience for Nobody {}

async fn steady_server(certificate: &Path) -> TestServer {
    let server = TestServer::start_with(|config| {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bench.toml")).unwrap();
        let bench = Config::parse(&text, "config/bench.toml").unwrap();
        (config.session, config.topics, config.feeds) = (bench.session, bench.topics, bench.feeds);
        config.session.check_interval_ms = 50;
        let sim = config.feeds[0].sim.as_mut().unwrap();
        (sim.symbols, sim.events_per_second) = (10, 400);
    })
    .await;
    std::fs::write(certificate, server.server.certificate_pem().as_bytes()).unwrap();
    server
}

fn plan(server: &TestServer, certificate: &Path) -> Plan {
    Plan {
        dialect: Speech::Tickwire,
        url: server.url("").replace("127.0.0.1", "localhost"),
        trust: client::Trust::CaFile(certificate.to_owned()),
        token: None,
        clients: 20,
        connect_rate: 200,
        topics: Vec::new(),
        topics_per_client: 4,
        shape: Shape::Uniform,
        seed: 1,
        pace: Pace::Realtime,
        trades: TradeMode::Every,
        encoding: Encoding::Binary,
        verify: Verify::Full,
        consecutive_ids: true,
        warmup: Duration::from_millis(200),
        time: Duration::from_millis(2_500),
        stall: None,
        storm: None,
        sources: Vec::new(),
        threads: 1,
        part: Part::WHOLE,
    }
}

/// Runs beside the server, which lives on the test's runtime.
async fn run(mut plan: Plan, pattern: &str) -> Value {
    let pattern = pattern.to_owned();
    let run = move || {
        plan.topics = load::expand(&plan, &pattern).unwrap();
        let outcome = load::run(plan.clone(), &mut None, &mut Nobody).unwrap();
        report::json(&plan, 1, &outcome, None)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn assert_clean(report: &Value) {
    assert_eq!(report["ok"], true, "{report}");
    for key in ["lost", "order_errors", "check_mismatches", "decode_errors"] {
        assert_eq!(report[key], 0, "{key}: {report}");
    }
    assert!(report["deliveries"].as_u64() > Some(0) && report["checks_ok"].as_u64() > Some(0), "{report}");
}

#[tokio::test]
async fn stalled_clients_are_exact_again_and_nobody_loses_anything() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let server = steady_server(&certificate).await;
    let second = Duration::from_secs(1);
    let stall =
        Stall { share: "10%".parse().unwrap(), after: second / 2, time: second, slow_read: 0, receive_buffer_bytes: 8_192 };
    let report = run(Plan { stall: Some(stall), ..plan(&server, &certificate) }, "trade/sim:*").await;
    assert_clean(&report);
    assert_eq!(
        (report["connections"]["connected"].as_u64(), report["stall"]["clients"].as_u64()),
        (Some(20), Some(2)),
        "{report}"
    );
    assert_eq!(
        (report["stall"]["exact_again"].as_u64(), report["stall"]["never_exact"].as_u64()),
        (Some(2), Some(0)),
        "{report}"
    );
    // 200 trades a second, each to 8 of the clients, for 2.5 s; the machine may be busy.
    assert!((1_000..6_000).contains(&report["deliveries"].as_u64().unwrap()), "{report}");
    let p99 = |group: &str| report["latency_us"][group]["event_to_client"]["p99"].as_u64().unwrap();
    assert!(p99("stalled") > 500_000 && p99("stalled") > 2 * p99("healthy"), "who waits counts the waiting: {report}");
}

#[tokio::test]
async fn reconnecting_clients_go_on_from_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let server = steady_server(&certificate).await;
    let storm = Storm { share: "50%".parse().unwrap(), at: Duration::from_millis(500) };
    // Long enough for a busy machine to have everybody back.
    let time = Duration::from_secs(6);
    let plan = Plan { storm: Some(storm), threads: 2, encoding: Encoding::Json, time, ..plan(&server, &certificate) };
    let (trades, quotes) = tokio::join!(
        run(plan.clone(), "trade/sim:*"),
        run(Plan { pace: Pace::EveryMs(100), shape: Shape::Zipf, ..plan }, "quote/sim:*")
    );
    for report in [&trades, &quotes] {
        assert_clean(report);
        assert_eq!((report["storm"]["clients"].as_u64(), report["storm"]["back_us"]["count"].as_u64()), (Some(10), Some(10)));
    }
    assert_eq!(trades["gaps"], 0, "{trades}");
}

#[tokio::test]
async fn what_the_server_refuses_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let server = steady_server(&certificate).await;
    let plan = Plan {
        topics: vec!["trade/sim:NO-SUCH".to_owned()],
        clients: 2,
        time: Duration::from_millis(100),
        ..plan(&server, &certificate)
    };
    let outcome = tokio::task::spawn_blocking(move || load::run(plan, &mut None, &mut Nobody).unwrap()).await.unwrap();
    assert_eq!(outcome.faults.refused.get("unknown_symbol"), Some(&2), "{:?}", outcome.faults);
    assert!(!report::is_ok(&outcome));
}

/// The command as a script uses it, its clients in two processes.
#[tokio::test]
async fn the_command_prints_one_line_and_tells_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let server = steady_server(&certificate).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tickwire"));
    command.args(["bench", "--url", &server.url("").replace("127.0.0.1", "localhost"), "--clients", "10", "--processes", "2"]);
    command.args(["--topics-from", "quote/sim:*", "--topics-from", "trade/sim:*", "--topics-per-client", "3"]);
    command.args(["--for", "1s", "--warmup", "200ms", "--consecutive-ids", "--sources", "127.0.0.1-127.0.0.3"]);
    command.arg("--server-pid").arg(std::process::id().to_string()).arg("--ca").arg(&certificate);
    let output = soon("the report", command.output()).await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_clean(&report);
    assert_eq!((report["connections"]["connected"].as_u64(), report["parameters"]["topics"].as_u64()), (Some(10), Some(20)));
    assert!(report["server"]["cpu_seconds"].as_f64() > Some(0.0) && stderr.contains("lost 0"), "{report}{stderr}");

    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tickwire"));
    command.args(["bench", "--quiet", "--url", &server.url("").replace("127.0.0.1", "localhost"), "--topic", "quote/sim:NONE"]);
    command.args(["--clients", "1", "--for", "100ms", "--warmup", "100ms"]).arg("--ca").arg(&certificate);
    let output = soon("the report", command.output()).await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["ok"].as_bool()), (Some(1), Some(false)), "{report}");
    assert_eq!(report["refused"]["unknown_symbol"], 1);
}
