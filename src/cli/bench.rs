//! `tickwire bench`: many clients on a server. In: arguments. Out: a line a second on stderr, one JSON line on stdout, and exit code 1
//! if anything was lost or wrong. Bounded by the clients asked for; the work is done in the crate `load`.

use crate::cli::CliError;
use crate::cli::shared::{self, ServerArgs};
use load::plan::{Part, Plan, Shape, Share, Speech, Stall, Storm, Verify, parse_sources};
use load::{Audience, LoadError, Progress, Watch, report};
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;
use wire::request::{Encoding, Pace, TradeMode};

/// Behind `--help`: what scripts may rely on.
const FOR_SCRIPTS: &str = "\
stdout, one JSON line: ok, parameters, deliveries (records that moved a sequence), frames, bytes, merged, gaps and missing (told by \
the server), lost, order_errors, check_mismatches, decode_errors, latency_us (healthy and stalled; event_to_client from the time of \
the event, sent_to_client from the server's write of the frame; p50, p90, p99, p999, max), connections (failures, per_second, \
closes), stall (exact_again_us), storm (back_us), server (resident memory, CPU), load_client (how busy it was: near 1 the \
latencies include its own queue). Counts and latencies are of the measured time, faults of the whole run.

exact again: a stalled client reads on; the time until it has, of every topic, what healthy clients of its thread had at that moment.

Exit code: 0 done, 1 something was lost, wrong or refused, or nobody could connect, 2 asked wrongly.";

#[derive(Debug, clap::Args)]
#[command(after_long_help = FOR_SCRIPTS)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = positive)]
    clients: usize,
    /// Connections begun a second; 0 = as fast as they succeed
    #[arg(long, value_name = "N", default_value_t = 0)]
    connect_rate: u32,
    /// Topics to spread over the clients: all that the server lists for this pattern; may be given more than once
    #[arg(long, value_name = "PATTERN", default_value = "trade/sim:*")]
    topics_from: Vec<String>,
    /// A topic to spread over the clients; may be given more than once, instead of --topics-from
    #[arg(long = "topic", value_name = "TOPIC", conflicts_with = "topics_from")]
    topics: Vec<String>,
    /// What the server speaks: 'fixed48', 'centrifuge' and 'nats' are for the servers in benches/rivals
    #[arg(long, value_name = "tickwire|fixed48|centrifuge|nats", default_value = "tickwire", value_parser = parse_dialect)]
    dialect: Speech,
    /// How many topics there are in a dialect that names them by number, instead of --topics-from
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = positive)]
    topic_count: usize,
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = positive)]
    topics_per_client: usize,
    /// all-on-one: the first topics for all; uniform: each topic has as many clients; zipf: a few that many want; many: all for all
    #[arg(long, value_name = "all-on-one|uniform|zipf|many", default_value = "uniform", value_parser = parse_shape)]
    shape: Shape,
    /// Same seed, same topics for each client
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// 'realtime', or at most one update of a topic in this time, such as 100ms
    #[arg(long, value_name = "PACE", default_value = "realtime", value_parser = shared::parse_pace)]
    pace: Pace,
    /// Each trade, or one summary of each window
    #[arg(long, value_name = "every|summary", default_value = "every", value_parser = shared::parse_trades)]
    trades: TradeMode,
    #[arg(long, value_name = "bin|json", default_value = "bin", value_parser = parse_encoding)]
    encoding: Encoding,
    /// off: decode and count; sequence: no trade lacks, checks of trades; full: keep views, compare all checks
    #[arg(long, value_name = "off|sequence|full", default_value = "full", value_parser = parse_verify)]
    verify: Verify,
    /// The venue numbers trades without holes (the simulator does): a missing id is a loss, whatever the server says
    #[arg(long)]
    consecutive_ids: bool,
    /// How long to measure
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = shared::parse_time)]
    time: Duration,
    /// Time between the last connection and the first measurement
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = shared::parse_time)]
    warmup: Duration,
    /// This share of the clients stops reading for a while
    #[arg(long, value_name = "SHARE")]
    stall: Option<Share>,
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = shared::parse_time, requires = "stall")]
    stall_after: Duration,
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = shared::parse_time, requires = "stall")]
    stall_for: Duration,
    /// They still read so many bytes a second
    #[arg(long, value_name = "BYTES", default_value_t = 0, requires = "stall")]
    slow_read: u32,
    /// Size of their receive buffers in the kernel, so that these are full soon; 0 = the system's choice
    #[arg(long, value_name = "BYTES", default_value_t = 0, requires = "stall")]
    stall_buffer: u32,
    /// A share of the clients drops its connection and comes back with what it holds, such as at=5s,share=100%
    #[arg(long, value_name = "at=TIME,share=SHARE", value_parser = parse_storm)]
    reconnect_storm: Option<Storm>,
    /// Addresses to connect from, in turn, to go beyond the ports of one: 127.0.0.1-127.0.0.20
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_range)]
    sources: Option<Sources>,
    /// Threads with a runtime of their own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    threads: usize,
    /// Processes that share the clients
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    processes: usize,
    /// Process of the server on this machine: its memory and CPU are reported too
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Nothing on stderr while it runs
    #[arg(long)]
    quiet: bool,
    /// One of the processes, begun by another one
    #[arg(long, hide = true)]
    part: Option<Part>,
}

/// So that clap takes a range as one value.
#[derive(Clone, Debug)]
struct Sources(Vec<IpAddr>);

pub fn run(args: Args) -> Result<(), CliError> {
    let plan = plan(&args)?;
    if args.part.is_some() {
        return load::run_part(plan).map_err(explain);
    }
    let mut server = match args.server_pid {
        Some(pid) => Some(Watch::new(pid).ok_or_else(|| CliError::usage(format!("--server-pid {pid}: no such process")))?),
        None => None,
    };
    let mut audience = Stderr { quiet: args.quiet, clients: args.clients, before: Progress::default() };
    let outcome = match args.processes {
        1 => load::run(plan.clone(), &mut server, &mut audience),
        many => {
            let program = std::env::current_exe().map_err(CliError::failed)?;
            let command = |part: Part| {
                let mut command = Command::new(&program);
                command.args(std::env::args_os().skip(1)).arg("--part").arg(format!("{}/{}", part.number, part.of));
                command
            };
            load::run_processes(&plan, many, command, &mut server, &mut audience)
        }
    };
    let outcome = outcome.map_err(explain)?;
    let report = report::json(&plan, args.processes, &outcome, server.as_ref());
    if !args.quiet {
        report::summary(&report).iter().for_each(|line| eprintln!("{line}"));
    }
    println!("{report}");
    match report::is_ok(&outcome) {
        true => Ok(()),
        false => Err(CliError::failed("something was lost, wrong or refused; see the report")),
    }
}

fn plan(args: &Args) -> Result<Plan, CliError> {
    let stall = args.stall.map(|share| Stall {
        share,
        after: args.stall_after,
        time: args.stall_for,
        slow_read: args.slow_read,
        receive_buffer_bytes: args.stall_buffer,
    });
    if stall.is_some_and(|stall| stall.after + stall.time > args.time) {
        return Err(CliError::usage("--for must be longer than --stall-after and --stall-for together"));
    }
    if args.reconnect_storm.is_some_and(|storm| storm.at >= args.time) {
        return Err(CliError::usage("--reconnect-storm must be within --for"));
    }
    let mut plan = Plan {
        dialect: args.dialect,
        url: args.server.url.clone(),
        trust: args.server.trust(),
        token: args.server.token(),
        clients: args.clients,
        connect_rate: args.connect_rate,
        topics: args.topics.clone(),
        topics_per_client: args.topics_per_client,
        shape: args.shape,
        seed: args.seed,
        pace: args.pace,
        trades: args.trades,
        encoding: args.encoding,
        verify: args.verify,
        consecutive_ids: args.consecutive_ids,
        warmup: args.warmup,
        time: args.time,
        stall,
        storm: args.reconnect_storm,
        sources: args.sources.as_ref().map(|sources| sources.0.clone()).unwrap_or_default(),
        threads: args.threads,
        part: args.part.unwrap_or(Part::WHOLE),
    };
    if plan.dialect != Speech::Tickwire {
        // Their sessions take the place of a topic for its number.
        plan.topics = (0..args.topic_count).map(|number| number.to_string()).collect();
    } else if plan.topics.is_empty() {
        let lists = args.topics_from.iter().map(|pattern| load::expand(&plan, pattern));
        plan.topics = lists.collect::<Result<Vec<_>, _>>().map_err(explain)?.concat();
    }
    Ok(plan)
}

/// Tells a person how it goes.
struct Stderr {
    quiet: bool,
    clients: usize,
    before: Progress,
}

impl Audience for Stderr {
    fn second(&mut self, now: &Progress) {
        if !self.quiet {
            eprintln!("{}", report::progress_line(now, &self.before, self.clients));
        }
        self.before = *now;
    }
}

fn explain(error: LoadError) -> CliError {
    match &error {
        LoadError::Url { .. } | LoadError::List(_) => CliError::usage(error),
        LoadError::Client(error) => shared::explain(error),
        _ => CliError::failed(error),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "give a whole number above 0".to_owned())
}

fn parse_shape(text: &str) -> Result<Shape, String> {
    match text {
        "all-on-one" => Ok(Shape::AllOnOne),
        "uniform" => Ok(Shape::Uniform),
        "zipf" => Ok(Shape::Zipf),
        "many" => Ok(Shape::Many),
        _ => Err("give 'all-on-one', 'uniform', 'zipf' or 'many'".to_owned()),
    }
}

fn parse_dialect(text: &str) -> Result<Speech, String> {
    match text {
        "tickwire" => Ok(Speech::Tickwire),
        "fixed48" => Ok(Speech::Fixed48),
        "centrifuge" => Ok(Speech::Centrifuge),
        "nats" => Ok(Speech::Nats),
        _ => Err("give 'tickwire', 'fixed48', 'centrifuge' or 'nats'".to_owned()),
    }
}

fn parse_verify(text: &str) -> Result<Verify, String> {
    match text {
        "off" => Ok(Verify::Off),
        "sequence" => Ok(Verify::Sequence),
        "full" => Ok(Verify::Full),
        _ => Err("give 'off', 'sequence' or 'full'".to_owned()),
    }
}

fn parse_encoding(text: &str) -> Result<Encoding, String> {
    match text {
        "bin" | "binary" => Ok(Encoding::Binary),
        "json" => Ok(Encoding::Json),
        _ => Err("give 'bin' or 'json'".to_owned()),
    }
}

fn parse_range(text: &str) -> Result<Sources, String> {
    parse_sources(text).map(Sources)
}

fn parse_storm(text: &str) -> Result<Storm, String> {
    let (mut at, mut share) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("at", value)) => at = Some(shared::parse_time(value)?),
            Some(("share", value)) => share = Some(value.parse()?),
            _ => return Err("give at=TIME,share=SHARE".to_owned()),
        }
    }
    let whole = || "100%".parse::<Share>();
    Ok(Storm { at: at.ok_or("give at=TIME")?, share: share.map_or_else(whole, Ok)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storms_have_a_time_and_a_share() {
        let storm = parse_storm("at=5s,share=50%").unwrap();
        assert_eq!((storm.at, storm.share.percent()), (Duration::from_secs(5), 50.0));
        assert_eq!(parse_storm("at=1s").unwrap().share.percent(), 100.0);
        for text in ["", "5s", "share=10%", "at=x", "at=1s,share=2"] {
            assert!(parse_storm(text).is_err(), "{text}");
        }
    }
}
