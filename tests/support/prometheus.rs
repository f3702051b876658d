//! A real Prometheus that scrapes one admin port once a second, and the queries of the dashboard. In: an admin address. Out: answers.
//! Bounded: one child process on a free loopback port, its data in a temporary folder; both end with the value.

use serde_json::Value;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Panels that may be empty on a healthy server under load, by the start of their title, and why.
pub const MAY_BE_EMPTY: &[(&str, &str)] = &[
    ("Closes by code", "no session has ended"),
    ("Requests and refusals", "no request was refused"),
    ("Faults", "no feed had a fault"),
    ("HTTP answers", "all clients came before the first scrape"),
    ("event -> received", "the venue gives no event times"),
    ("Lines: lead", "the feed has one line"),
];

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// True if the tool is there. Where it is missing the caller is told on stdout; CI must have it.
pub fn has_tool(name: &str) -> bool {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed (Debian package prometheus)");
        println!("SKIPPED: {name} is not installed (Debian package prometheus)");
    }
    found
}

pub struct Prometheus {
    address: SocketAddr,
    child: RefCell<Child>,
    folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one with the project's alert rules and waits until it has scraped `admin` for the first time.
    pub fn start(admin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = repository().join("grafana/prometheus/rules.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s }}\n\
             rule_files: [{rules:?}]\n\
             scrape_configs: [{{ job_name: tickwire, static_configs: [{{ targets: [\"{admin}\"] }}] }}]\n"
        );
        let config_file = folder.path().join("prometheus.yml");
        std::fs::write(&config_file, config).unwrap();
        let address = free_address();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let started = Self { address, child: RefCell::new(child), folder };
        started.wait_until("the first scrape", || started.query("up").is_ok_and(|found| found.iter().any(|value| value == "1")));
        started
    }

    /// Polls until `done`, for at most 30 s.
    pub fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done() {
            let ended = self.child.borrow_mut().try_wait().unwrap().is_some();
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(!ended && Instant::now() < deadline, "no {what} within 30 s; log of prometheus:\n{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The values of an instant query that are numbers, or what Prometheus says against the query.
    pub fn query(&self, expression: &str) -> Result<Vec<String>, String> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let answer = self.get(&format!("/api/v1/query?{query}"))?;
        if answer["status"] != "success" {
            return Err(format!("{}: {}", answer["errorType"], answer["error"]));
        }
        let found = answer["data"]["result"].as_array().ok_or("no result")?;
        let values = found.iter().filter_map(|series| series["value"][1].as_str());
        Ok(values.filter(|value| *value != "NaN").map(str::to_owned).collect())
    }

    /// Name and complaint of each alert rule that cannot be evaluated.
    pub fn bad_rules(&self) -> Result<Vec<String>, String> {
        let answer = self.get("/api/v1/rules")?;
        let groups = answer["data"]["groups"].as_array().ok_or("no groups")?;
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let rules: Vec<_> = rules.collect();
        if rules.is_empty() || rules.iter().any(|rule| rule["health"] == "unknown") {
            return Err("not evaluated yet".to_owned());
        }
        Ok(rules.iter().filter(|rule| rule["health"] != "ok").map(|rule| rule.to_string()).collect())
    }

    /// HTTP/1.0, so that the answer is neither chunked nor kept alive.
    fn get(&self, path: &str) -> Result<Value, String> {
        let io = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(self.address).map_err(io)?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").map_err(io)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(io)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        serde_json::from_str(body).map_err(|error| format!("{error} in {body}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One query of the dashboard.
#[derive(Debug)]
pub struct PanelQuery {
    pub panel: String,
    /// As it stands in the dashboard, with Grafana's variables.
    pub written: String,
    /// As Grafana would send it with "All" chosen.
    pub expression: String,
}

pub fn dashboards() -> Vec<PathBuf> {
    let folder = repository().join("grafana/dashboards");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect()
}

pub fn dashboard_queries(path: &Path) -> Vec<PanelQuery> {
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let written = target["expr"].as_str().unwrap();
            let expression = written.replace("$__rate_interval", "5s").replace("$venue", ".*").replace("$job", ".*");
            assert!(!expression.contains('$'), "unknown variable in {expression}");
            queries.push(PanelQuery {
                panel: panel["title"].as_str().unwrap().to_owned(),
                written: written.to_owned(),
                expression,
            });
        }
    }
    queries
}

/// Runs every query. Returns what is wrong: errors, and empty answers of panels that are not in `may_be_empty`.
pub fn run_dashboard(prometheus: &Prometheus, may_be_empty: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for query in dashboards().iter().flat_map(|path| dashboard_queries(path)) {
        let answer = prometheus.query(&query.expression);
        // For people: `cargo test … -- --nocapture` shows what the panels would.
        println!("{:<32} {:<60} {:?}", query.panel, query.written.chars().take(60).collect::<String>(), answer);
        match answer {
            Err(error) => wrong.push(format!("{}: {}: {error}", query.panel, query.expression)),
            Ok(values) if values.is_empty() && !may_be_empty.iter().any(|(title, _)| query.panel.starts_with(title)) => {
                wrong.push(format!("{}: {}: no value", query.panel, query.expression));
            }
            Ok(_) => {}
        }
    }
    wrong
}
