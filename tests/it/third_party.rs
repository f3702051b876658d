//! Clients that are not ours: Python `websockets` and `curl`. Skipped, aloud, where they are not installed; in CI they must be.

use crate::harness::{TestServer, soon};
use std::process::Stdio;
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
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let wanted = ["event: control", r#""type":"ack""#, r#""bid":"99.99""#, r#""price":"100.05""#];
    let lines = lines_until(curl, &wanted).await;
    publisher.abort();
    assert!(lines.iter().all(|line| line.is_empty() || line.starts_with("data: ") || line.starts_with("event: ")), "{lines:#?}");
}
