//! What an idle session costs the server in memory: `just bench-idle`. In: the `tickwire` program as it was built. Out: its resident
//! memory per session, on stdout; fails above `WANTED_BYTES`. Bounded: a thousand sessions, some seconds.

use client::{Client, Options, Step, Trust};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The first ones fill the allocator's and the runtime's own pools, which do not grow with sessions.
const WARM_UP: usize = 100;
/// With the first ones, as many as a demo takes.
const COUNTED: usize = 900;
const WANTED_BYTES: u64 = 32 * 1024;

fn main() {
    // `cargo test --benches` runs this too, with a program that nobody would serve with.
    if !std::env::args().any(|argument| argument == "--bench") {
        return println!("idle: only with cargo bench");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let certificate = folder.path().join("certificate.pem");
    let (server, mut stdout) = start(&certificate);
    let url = address(&mut stdout);
    let options = Options { trust: Trust::CaFile(certificate), reconnect: None, ..Options::new(url) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let per_session = runtime.block_on(async {
        let mut clients = connect(WARM_UP, &options).await;
        let before = settled_rss(&server).await;
        clients.extend(connect(COUNTED, &options).await);
        (settled_rss(&server).await - before) / COUNTED as u64
    });
    println!("{per_session} bytes of resident memory per idle TLS WebSocket session (wanted: at most {WANTED_BYTES})");
    assert!(per_session <= WANTED_BYTES, "too much");
}

/// Ends the server, whatever happens here.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(certificate: &Path) -> (Server, BufReader<ChildStdout>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
    command.args(["demo", "--symbols", "1", "--rate", "1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.arg("--certificate-out").arg(certificate).env("RUST_LOG", "warn").stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let stdout = child.stdout.take().expect("it is piped");
    (Server(child), BufReader::new(stdout))
}

/// The demo's page names its address.
fn address(stdout: &mut impl BufRead) -> String {
    let lines = stdout.lines().map_while(Result::ok);
    let port = lines.filter_map(|line| Some(line.split_once("https://127.0.0.1:")?.1.split_once('/')?.0.to_owned())).next();
    format!("wss://localhost:{}", port.expect("the demo says where it listens"))
}

async fn connect(count: usize, options: &Options) -> Vec<Client> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = Client::new(options).expect("the options are good");
        loop {
            match client.next(|_| {}).await.expect("the server takes one more") {
                Step::Connected(_) => break,
                _ => continue,
            }
        }
        clients.push(client);
    }
    clients
}

/// Once handshakes are over and their memory is given back.
async fn settled_rss(server: &Server) -> u64 {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.0.id())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
