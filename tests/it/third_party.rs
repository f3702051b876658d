//! Clients that share no code with the server: Python `websockets`, the Python client of `clients/python` (written from docs/protocol.md
//! alone) and `curl`. Skipped, aloud, where they are not installed; in CI they must be.

use crate::harness::{Market, TestServer, soon};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

async fn installed(program: &str, probe: &[&str]) -> bool {
    let found = Command::new(program).args(probe).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{program} {probe:?} must work in CI");
    println!("SKIPPED: {program} {probe:?} does not work here");
    false
}

/// The program in the README that starts with `import asyncio`, with this server's address in it.
fn readme_program(url: &str) -> String {
    let readme = include_str!("../../README.md");
    let start = readme.find("import asyncio").expect("the README shows a Python client");
    let end = start + readme[start..].find("```").expect("the block ends");
    let program = &readme[start..end];
    assert_eq!(program.trim_end().lines().count(), 5, "the README promises five lines");
    assert!(program.contains("wss://127.0.0.1:8443/v1/stream?sub=quote/sim:BTC-USD"));
    program.replace("wss://127.0.0.1:8443/v1/stream?sub=quote/sim:BTC-USD", url)
}

async fn lines_until(mut command: Command, wanted: &[&str]) -> Vec<String> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("the client starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seen = Vec::new();
    soon("the client's lines", async {
        while !wanted.iter().all(|part| seen.iter().any(|line: &String| line.contains(part))) {
            match lines.next_line().await.expect("text") {
                Some(line) => seen.push(line),
                None => panic!("the client ended after {seen:#?}"),
            }
        }
    })
    .await;
    seen
}

#[tokio::test]
async fn five_lines_of_python_print_quotes() {
    if !installed("python3", &["-c", "import websockets"]).await {
        return;
    }
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (9_999, 1_500), (10_001, 2_000));
    let mut python = Command::new("python3");
    python.args(["-u", "-c", &readme_program(&server.url("/v1/stream?sub=quote/test:BTC-USD"))]);
    let wanted = [r#""type":"hello""#, r#""status":"live""#, r#""kind":"quote""#, r#""bid":"99.99","bid_size":"1.5""#];
    let lines = lines_until(python, &wanted).await;
    assert!(lines[0].contains("hello") && lines[1].contains("ack"), "control before data: {lines:#?}");
}

#[tokio::test]
async fn curl_reads_server_sent_events() {
    if !installed("curl", &["--version"]).await {
        return;
    }
    let server = TestServer::start().await;
    let mut market = server.market();
    market.quote(0, (9_999, 1_500), (10_001, 2_000));
    let url = format!("https://{}/v1/sse?sub=quote/test:BTC-USD,trade/test:BTC-USD&pace=100ms", server.server.public_address());
    let mut curl = Command::new("curl");
    curl.args(["-skN", &url]);
    let publisher = tokio::spawn(async move {
        for number in 0.. {
            market.trade(0, 10_000 + number, 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let wanted = ["event: control", r#""type":"ack""#, r#""bid":"99.99""#, r#""price":"100.05""#];
    let lines = lines_until(curl, &wanted).await;
    publisher.abort();
    assert!(lines.iter().all(|line| line.is_empty() || line.starts_with("data: ") || line.starts_with("event: ")), "{lines:#?}");
}

fn python_client() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/python")
}

/// Runs a Python program to its end and returns its stdout; anything but success fails the test.
async fn python(args: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.args(args).current_dir(python_client()).env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    let output = soon("the Python program", command.output()).await.expect("python3 starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[tokio::test]
async fn the_python_client_reads_the_golden_vectors() {
    if installed("python3", &["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).await {
        python(&["-m", "unittest", "discover"]).await;
    }
}

/// Quotes, trades with a gap, and a book of 30 levels a side whose top moves in and out of every depth.
fn one_step(market: &mut Market, step: i64) {
    market.quote(0, (9_999 - step % 7, 1_500 + step), (10_001 + step % 5, 2_000));
    market.trade(0, 10_000 + step % 11, 1 + step);
    let rank = step * 7 % 30;
    let (bid, ask) = (10_000 - rank, 10_001 + rank);
    market.book(
        0,
        false,
        &[(bid, if step % 3 == 0 { 0 } else { 50 + step })],
        &[(ask, if step % 4 == 0 { 0 } else { 70 + step })],
    );
    if step % 40 == 39 {
        market.trade_gap(0, 3);
    }
}

#[tokio::test]
async fn the_python_client_keeps_exact_views() {
    if !installed("python3", &["-c", "import sys, websockets.asyncio.client; sys.exit(sys.version_info < (3, 11))"]).await {
        return;
    }
    let server = TestServer::start().await;
    let mut market = server.market();
    let side = |from: i64, step: i64| (0..30).map(move |rank| (from + step * rank, 100 + rank)).collect::<Vec<_>>();
    market.book(0, true, &side(10_000, -1), &side(10_001, 1));
    let publisher = tokio::spawn(async move {
        for step in 0.. {
            one_step(&mut market, step);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let url = server.url("");
    let all = ["quote/test:*", "trade/test:*", "book/test:*/5", "book/test:*/full", "status/test:*", "instrument/test:*"];
    for encoding in ["binary", "json"] {
        for more in [&["--resume"][..], &["--ticket"], &["--pace", "100ms", "--trades", "summary"]] {
            let mut args = vec!["-m", "tickwire", &url, "--insecure", "--for", "3", "--encoding", encoding];
            args.extend(more.iter().chain(&all));
            let out = python(&args).await;
            let counts: serde_json::Value = serde_json::from_str(out.lines().last().expect("counts")).expect("JSON");
            let count = |name: &str| counts[name].as_u64().unwrap_or_default();
            assert!(count("check") > 20 && count("book") > 20 && count("quote") > 10, "{encoding} {more:?}: {counts}");
            assert!(count("trade") + count("summary") > 10, "{encoding} {more:?}: {counts}");
        }
    }
    publisher.abort();
}
