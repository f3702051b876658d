//! The course of a run. In: a plan. Out: what all its threads, or all its processes, counted. They connect, wait for each other,
//! begin at the same time. Bounded: one channel of progress and results.

use crate::LoadError;
use crate::dialect::Dialect;
use crate::plan::{Part, Plan};
use crate::procfs::{Phase, Watch};
use crate::shape::Spread;
use crate::tally::{Outcome, Progress};
use crate::tls;
use crate::worker::{self, Setup};
use rustls::pki_types::ServerName;
use std::io::{BufRead, BufReader, Write};
use std::net::ToSocketAddrs;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Progress that nobody has read yet; more of it is left out.
const EVENTS: usize = 1_024;
const POLL: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

/// What a thread or process tells.
pub enum Event {
    /// All its clients are subscribed, or failed to.
    Connected,
    Progress(Progress),
    Outcome(Box<Outcome>),
    Failed(LoadError),
}

/// What the caller wants to do meanwhile.
pub trait Audience {
    /// All are connected; the run begins when this returns.
    fn connected(&mut self, _: &Progress) {}

    fn second(&mut self, _: &Progress) {}
}

/// Runs the plan in this process.
pub fn run(plan: Plan, server: &mut Option<Watch>, audience: &mut dyn Audience) -> Result<Outcome, LoadError> {
    let plan = Arc::new(plan);
    let setup = Arc::new(setup(&plan)?);
    tls::prepare(plan.clients.div_ceil(plan.part.of));
    let (events, told) = mpsc::sync_channel(EVENTS);
    let (go, going) = watch::channel(None);
    let mut threads = Vec::with_capacity(plan.threads);
    for number in 0..plan.threads {
        let (setup, events, going) = (setup.clone(), events.clone(), going.clone());
        let run = move || {
            let event = match worker::run(setup, number, &events, going) {
                Ok(outcome) => Event::Outcome(Box::new(outcome)),
                Err(error) => Event::Failed(error),
            };
            // An error means that whoever listens has given up.
            let _ = events.send((number, event));
        };
        let thread = std::thread::Builder::new().name(format!("load-{number}")).spawn(run);
        threads.push(thread.map_err(LoadError::Runtime)?);
    }
    drop(events);
    let begin = || {
        go.send_replace(Some(tokio::time::Instant::now()));
        Ok(())
    };
    let outcome = conduct(&plan, plan.threads, &told, begin, server, audience);
    // Threads of a run that failed wait for a begin that will not come; without a sender they end.
    drop(go);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    outcome
}

/// Runs the plan in several processes, each begun by a command of `command`, which calls `run_part`.
pub fn run_processes(
    plan: &Plan,
    processes: usize,
    command: impl Fn(Part) -> Command,
    server: &mut Option<Watch>,
    audience: &mut dyn Audience,
) -> Result<Outcome, LoadError> {
    let (events, told) = mpsc::sync_channel(EVENTS);
    let mut children = Children(Vec::new());
    let mut inputs = Vec::new();
    for number in 0..processes {
        let mut command = command(Part { number, of: processes });
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(LoadError::Process)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        children.0.push(child);
        let (Some(input), Some(output)) = (input, output) else { continue };
        inputs.push(input);
        let events = events.clone();
        std::thread::spawn(move || listen(number, BufReader::new(output), &events));
    }
    drop(events);
    let begin = || {
        let begin = |mut input: ChildStdin| input.write_all(b"go\n");
        inputs.into_iter().try_for_each(begin).map_err(LoadError::Process)
    };
    conduct(plan, processes, &told, begin, server, audience)
}

/// Ends what is left of them.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a process writes: `connected`, `progress JSON`, `outcome JSON`.
fn listen(number: usize, lines: impl BufRead, events: &SyncSender<(usize, Event)>) {
    let failed = |why: String| Event::Failed(LoadError::Part(why));
    for line in lines.lines().map_while(Result::ok) {
        let event = match line.split_once(' ') {
            None if line == "connected" => Event::Connected,
            Some(("progress", json)) => {
                serde_json::from_str(json).map_or_else(|error| failed(error.to_string()), Event::Progress)
            }
            Some(("outcome", json)) => serde_json::from_str(json).map_or_else(|error| failed(error.to_string()), Event::Outcome),
            _ => failed(line),
        };
        let is_last = matches!(event, Event::Outcome(_));
        if events.send((number, event)).is_err() || is_last {
            return;
        }
    }
    let _ = events.send((number, failed(format!("process {number} ended"))));
}

/// The other side of `listen`: runs one part, speaking to the process that began it.
pub fn run_part(plan: Plan) -> Result<(), LoadError> {
    struct Parent;
    impl Audience for Parent {
        fn connected(&mut self, _: &Progress) {
            println!("connected");
            let mut line = String::new();
            // If the parent has gone, the run begins for nobody and ends by itself.
            let _ = std::io::stdin().read_line(&mut line);
        }

        fn second(&mut self, progress: &Progress) {
            println!("progress {}", serde_json::to_string(progress).expect("plain data"));
        }
    }
    let outcome = run(plan, &mut None, &mut Parent)?;
    println!("outcome {}", serde_json::to_string(&outcome).expect("plain data"));
    Ok(())
}

fn conduct(
    plan: &Plan,
    parts: usize,
    told: &Receiver<(usize, Event)>,
    begin: impl FnOnce() -> Result<(), LoadError>,
    server: &mut Option<Watch>,
    audience: &mut dyn Audience,
) -> Result<Outcome, LoadError> {
    let mut progress = vec![Progress::default(); parts];
    let (mut connected, mut outcomes) = (0, Vec::new());
    let mut begin = Some(begin);
    let mut begun = None;
    let mut spoke = Instant::now();
    let sum = |progress: &[Progress]| {
        let mut sum = Progress::default();
        progress.iter().for_each(|part| sum.add(part));
        sum
    };
    while outcomes.len() < parts {
        match told.recv_timeout(POLL) {
            Ok((_, Event::Connected)) => connected += 1,
            Ok((number, Event::Progress(part))) => progress[number] = part,
            Ok((_, Event::Outcome(outcome))) => outcomes.push(*outcome),
            Ok((_, Event::Failed(error))) => return Err(error),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(LoadError::Part("a part ended without a word".to_owned())),
        }
        if let Some(watch) = server {
            watch.look(phase(plan, begun));
        }
        if connected == parts
            && let Some(begin) = begin.take()
        {
            audience.connected(&sum(&progress));
            begin()?;
            begun = Some(Instant::now());
        }
        if spoke.elapsed() >= SECOND {
            spoke += SECOND;
            audience.second(&sum(&progress));
        }
    }
    let mut all = Outcome::default();
    outcomes.iter().for_each(|outcome| all.add(outcome));
    all.exact_again_us.sort_unstable();
    Ok(all)
}

fn phase(plan: &Plan, begun: Option<Instant>) -> Phase {
    let Some(begun) = begun else { return Phase::Connecting };
    let Some(measuring) = begun.elapsed().checked_sub(plan.warmup) else { return Phase::WarmingUp };
    let stalled = plan.stall.is_some_and(|stall| (stall.after..stall.after + stall.time).contains(&measuring));
    if measuring < plan.time { Phase::Measuring { stalled } } else { Phase::Over }
}

fn setup(plan: &Arc<Plan>) -> Result<Setup, LoadError> {
    let bad = |why: &str| LoadError::Url { url: plan.url.clone(), why: why.to_owned() };
    let rest = plan.url.strip_prefix("wss://").ok_or_else(|| bad("the scheme must be wss"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path =
        if path.starts_with('/') && path != "/" { path.to_owned() } else { format!("/v1/stream{}", path.trim_matches('/')) };
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, port.parse().map_err(|_| bad("the port is not a number"))?),
        None => (authority, 443),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|error| bad(&error.to_string()))?;
    let address = (host, port).to_socket_addrs().map_err(|error| bad(&error.to_string()))?.next();
    Ok(Setup {
        dialect: Arc::new(Dialect::new(plan)),
        spread: Spread::new(plan),
        stalling: plan.stall.map_or(Vec::new(), |stall| stall.share.members(plan.clients, plan.seed)),
        storming: plan.storm.map_or(Vec::new(), |storm| storm.share.members(plan.clients, plan.seed + 1)),
        address: address.ok_or_else(|| bad("the name has no address"))?,
        host: authority.to_owned(),
        path,
        name,
        tls: tls::config(&plan.trust)?,
        plan: plan.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let setup = |url: &str| setup(&Arc::new(Plan { url: url.to_owned(), ..crate::test_plan() }));
        for (url, address, path) in [
            ("wss://127.0.0.1:8443", "127.0.0.1:8443", "/v1/stream"),
            ("wss://127.0.0.1", "127.0.0.1:443", "/v1/stream"),
            ("wss://[::1]:9/", "[::1]:9", "/v1/stream"),
            ("wss://127.0.0.1:1/x?y=z", "127.0.0.1:1", "/x?y=z"),
            ("wss://127.0.0.1:1?sub=a", "127.0.0.1:1", "/v1/stream?sub=a"),
        ] {
            let setup = setup(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((setup.address.to_string().as_str(), setup.path.as_str()), (address, path), "{url}");
        }
        for url in ["ws://127.0.0.1", "127.0.0.1:8443", "wss://127.0.0.1:x", "wss://"] {
            assert!(setup(url).is_err(), "{url}");
        }
    }

    #[test]
    fn parts_that_fail_end_the_run() {
        let (events, told) = mpsc::sync_channel(9);
        listen(0, "connected\nprogress {}\n".as_bytes(), &events);
        assert!(matches!(told.recv().unwrap().1, Event::Connected));
        assert!(matches!(told.recv().unwrap().1, Event::Failed(_)), "progress without its keys");
        assert!(matches!(told.recv().unwrap().1, Event::Failed(LoadError::Part(why)) if why == "process 0 ended"));
    }
}
