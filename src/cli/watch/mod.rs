//! `tickwire watch`: a live view in the terminal. In: topics. Out: a line a record, for people or as JSON, and counts at the end.
//! Bounded: one view a topic; output is written as it comes.

mod grants;
mod human;
mod json;
mod notes;
mod report;
#[cfg(test)]
mod tests;
mod totals;

use crate::cli::CliError;
use crate::cli::shared::{self, ServerArgs};
use client::wire::answer::Aged;
use client::wire::request::{Encoding, Focus, MaxAge, Missing, Pace, Reply, Since, TopicResult, TradeMode};
use client::{Client, Options, Reconnect, Step, Subscription, Update};
use grants::Grants;
use notes::OldTopics;
use report::Report;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Stdout, Write};
use std::time::Duration;
use tokio::time::Instant;

/// Behind `--help`: what scripts may rely on.
const FOR_SCRIPTS: &str = "\
--json lines: topic, kind (quote, trade, summary, book, status, instrument, state, gap, check, meta, tape), seq (of the view after \
the record), time (ns), state (of the feed), merged (updates merged into this one), snapshot, stale, error (a failed check, trades \
missing without a gap). Prices and sizes are decimals as text. quote: bid, bid_size, ask, ask_size. book: bids and asks (the best 5 \
as [price, size]), levels. trade: price, size, aggressor, trade_id, aggregated. summary: last, high, low, count, volume, notional. \
Besides: kind qos (floor, cause, deep_snapshots_deferred, stalled_ms) and kind aged (old: topic, topic_id, age_ms, cause; young: topics).

--stats, the last line of stdout, kind \"stats\": seconds, connections, messages, frames, bytes, records, by_kind, book_levels, \
snapshots, merged, gaps and missing (told by the server), unexplained_gaps, checks_ok, check_mismatches, heals (topics asked for \
again), healed, withheld (records between), decode_errors, totals (of each trade topic, all trades after the first snapshot, exact \
decimals: count, volume, notional, high, low, missing), latency_us \
(count, p50, p99, max from the venue's event, from the server's receipt, from its write), states (of each topic, in order), books \
(seq, state, best 5 bids and asks, levels).

Exit code: 0 done, 1 failed, 2 asked wrongly; if every topic was refused, 2. Refusals, notices and lost connections are told on stderr.";

#[derive(Debug, clap::Args)]
#[command(after_long_help = FOR_SCRIPTS)]
pub struct Args {
    /// Topics and patterns, such as quote/binance:BTC-USDT, book/binance:BTC-USDT/10, 'trade/binance:*-USDT'
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// 'realtime', at most one update of a topic in this time, such as 250ms, or 'credit': as many frames as --fps grants
    #[arg(long, value_name = "PACE", default_value = "realtime", value_parser = parse_pace)]
    pace: Pace,
    /// With --pace credit: grant so many frames a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    fps: Option<u32>,
    /// Each trade, or one summary of each window
    #[arg(long, value_name = "every|summary", default_value = "every", value_parser = shared::parse_trades)]
    trades: TradeMode,
    /// Begin trade topics with their last N trades
    #[arg(long, value_name = "N", value_parser = parse_since)]
    since: Option<Since>,
    /// Begin trade topics without their newest trade
    #[arg(long, conflicts_with = "since")]
    no_snapshot: bool,
    /// A quote goes before a trade of its instrument, also between two intervals of its pace
    #[arg(long)]
    trade_safe: bool,
    /// Which share these topics get when the bytes of a session do not suffice
    #[arg(long, value_name = "focused|visible|background", default_value = "visible", value_parser = parse_focus)]
    focus: Focus,
    /// Tell when data is older than this, such as 2s, and why
    #[arg(long, value_name = "TIME", default_value = "off", value_parser = parse_max_age)]
    max_age: MaxAge,
    #[arg(long, value_name = "binary|json", default_value = "binary", value_parser = parse_encoding)]
    encoding: Encoding,
    /// One JSON object a record on stdout; quotes and books show the whole view after it (books: the best 5 levels)
    #[arg(long)]
    json: bool,
    /// Stop after N updates
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop after this time, such as 10s
    #[arg(long = "for", value_name = "TIME", value_parser = shared::parse_time)]
    time: Option<Duration>,
    /// Stop when there was no update for this time, such as 3s; waits for the first one without an end
    #[arg(long, value_name = "TIME", value_parser = shared::parse_time)]
    until_quiet: Option<Duration>,
    /// At the end one JSON object on stdout: counts, losses, checks, latencies, totals of trades, states and final books
    #[arg(long)]
    stats: bool,
}

pub fn run(args: Args) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::failed)?;
    runtime.block_on(watch(&args))
}

async fn watch(args: &Args) -> Result<(), CliError> {
    let mut client = Client::new(&options(args)).map_err(|error| shared::explain(&error))?;
    client.subscribe(subscription(args)?);
    let mut watch = Watch {
        json: args.json,
        left: args.count.unwrap_or(u64::MAX),
        grants: args.fps.map(Grants::new),
        next_grant: Instant::now(),
        until_quiet: args.until_quiet,
        last_update: None,
        old: OldTopics::default(),
        out: BufWriter::new(io::stdout()),
        broken: None,
        report: Report::default(),
        granted: BTreeMap::new(),
        text: String::new(),
    };
    let mut outcome = watch.follow(&mut client, args.time.map(|time| Instant::now() + time)).await;
    client.close().await;
    if args.stats && (outcome.is_ok() || matches!(outcome, Err(CliError::Failed(_)))) {
        watch.text.clear();
        watch.report.write(&mut watch.text, &client);
        watch.print();
    }
    watch.flush();
    if let Some(error) = watch.broken
        && error.kind() != io::ErrorKind::BrokenPipe
        && outcome.is_ok()
    {
        outcome = Err(CliError::failed(format!("cannot write: {error}")));
    }
    outcome
}

/// What is asked of the server. Refuses what would wait for ever.
fn subscription(args: &Args) -> Result<Subscription, CliError> {
    match (args.pace, args.fps) {
        (Pace::Credit, None) => {
            return Err(CliError::usage(
                "at --pace credit the server waits for grants: say how many frames a second with --fps, e.g. --fps 10",
            ));
        }
        (Pace::Credit, Some(_)) | (_, None) => {}
        _ => return Err(CliError::usage("--fps goes with --pace credit")),
    }
    Ok(Subscription {
        pace: args.pace,
        trades: args.trades,
        snapshot: !args.no_snapshot,
        since: args.since,
        trade_safe: args.trade_safe,
        focus: args.focus,
        max_age: args.max_age,
        ..Subscription::new(args.topics.iter().cloned())
    })
}

fn options(args: &Args) -> Options {
    Options {
        trust: args.server.trust(),
        token: args.server.token(),
        encoding: args.encoding,
        // Somebody is looking: try often.
        reconnect: Some(Reconnect { longest: Duration::from_secs(5), ..Reconnect::default() }),
        ..Options::new(&args.server.url)
    }
}

struct Watch {
    json: bool,
    /// Updates still to be shown.
    left: u64,
    /// At the pace `credit`.
    grants: Option<Grants>,
    next_grant: Instant,
    until_quiet: Option<Duration>,
    last_update: Option<Instant>,
    old: OldTopics,
    out: BufWriter<Stdout>,
    /// Why stdout takes no more: whoever read it has gone, or the disk is full.
    broken: Option<io::Error>,
    report: Report,
    /// Whether each topic's answer was anything but a refusal.
    granted: BTreeMap<String, bool>,
    text: String,
}

impl Watch {
    async fn follow(&mut self, client: &mut Client, deadline: Option<Instant>) -> Result<(), CliError> {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(CliError::failed)?;
        let time_is_up = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(time_is_up);
        while self.left > 0 && self.broken.is_none() {
            let pause = self.pause(client.is_connected());
            let step = tokio::select! {
                step = client.next(|update| self.show(update)) => step,
                () = pause => match self.on_pause(client) {
                    true => return Ok(()),
                    false => continue,
                },
                () = &mut time_is_up => return Ok(()),
                _ = tokio::signal::ctrl_c() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            };
            match step.map_err(|error| shared::explain(&error))? {
                Step::Connected(hello) => {
                    self.note(&format!("connected to {} ({})", hello.node, hello.encoding));
                    if let Some(grants) = &mut self.grants {
                        grants.connected(hello.limits.grants_per_second);
                        self.next_grant = Instant::now();
                    }
                }
                Step::Qos(qos) if self.json => self.print_line(notes::qos_line(&qos)),
                Step::Qos(qos) => self.note(&notes::qos(&qos)),
                Step::Aged(aged) => self.on_aged(&aged),
                Step::Reply(reply) => self.on_reply(&reply)?,
                Step::Frame(_) => {
                    if let Some(grants) = &mut self.grants {
                        grants.used();
                    }
                    self.flush();
                }
                // Who was never there is not worth waiting for.
                Step::Disconnected { why, .. } if client.stats().connections == 0 => return Err(shared::explain(&why)),
                Step::Disconnected { why, retry_in } => {
                    eprintln!("tickwire: {why}; trying again in {} ms", retry_in.as_millis());
                }
            }
        }
        Ok(())
    }

    /// Until the next grant, or until it has been quiet for long enough.
    fn pause(&self, is_connected: bool) -> impl Future<Output = ()> + use<> {
        let grant = self.grants.as_ref().filter(|_| is_connected).map(|_| self.next_grant);
        let quiet = self.last_update.zip(self.until_quiet).map(|(last, quiet)| last + quiet);
        let next = grant.into_iter().chain(quiet).min();
        async move {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        }
    }

    /// True if it has been quiet for long enough.
    fn on_pause(&mut self, client: &mut Client) -> bool {
        let now = Instant::now();
        if let Some(grants) = &mut self.grants
            && now >= self.next_grant
        {
            // What was missed while the terminal held us up is not made up for.
            self.next_grant = now + grants.step();
            match grants.due() {
                0 => {}
                frames => client.grant(frames),
            }
        }
        self.last_update.zip(self.until_quiet).is_some_and(|(last, quiet)| now >= last + quiet)
    }

    fn on_aged(&mut self, aged: &Aged) {
        let young = self.old.young(aged);
        if self.json {
            self.print_line(notes::aged_line(aged, &young));
        } else {
            notes::aged(aged, &young).iter().for_each(|text| self.note(text));
        }
    }

    fn show(&mut self, update: &Update<'_>) {
        if self.left == 0 {
            return;
        }
        self.report.update(update);
        self.text.clear();
        if self.json {
            json::line(&mut self.text, update);
        } else {
            human::line(&mut self.text, update);
        }
        if report::is_update(update) {
            self.left -= 1;
            self.last_update = Some(Instant::now());
        }
        self.print();
    }

    fn on_reply(&mut self, reply: &Reply) -> Result<(), CliError> {
        match reply {
            Reply::Ack { results, .. } => {
                for result in results {
                    self.on_result(result);
                }
                if !self.granted.is_empty() && self.granted.values().all(|granted| !granted) {
                    return Err(CliError::usage("every topic was refused"));
                }
            }
            Reply::Error { code, message, .. } => eprintln!("tickwire: refused: {message} ({code})"),
            Reply::Notice { code, message, .. } => eprintln!("tickwire: notice: {message} ({code})"),
            Reply::Qos(_)
            | Reply::Aged(_)
            | Reply::Hello(_)
            | Reply::Pong { .. }
            | Reply::Instruments { .. }
            | Reply::Explained(_)
            | Reply::Granted { .. }
            | Reply::Budget { .. }
            | Reply::Ticket { .. } => {}
        }
        Ok(())
    }

    fn on_result(&mut self, result: &TopicResult) {
        let refused = matches!(result, TopicResult::Refused { .. });
        self.granted.insert(result.topic().to_owned(), !refused);
        match result {
            TopicResult::Refused { topic, code, message } => eprintln!("tickwire: {topic}: refused: {message} ({code})"),
            TopicResult::Pending { topic } => self.note(&format!("{topic}: waiting for the venue to list its instruments")),
            TopicResult::Pattern { topic, matched } => self.note(&format!("{topic}: {matched} topics")),
            TopicResult::Live { topic, pace, missing, .. } => {
                self.note(&format!("{topic}: live, pace {pace}"));
                match missing {
                    None => {}
                    Some(Missing::Count(count)) => self.note(&format!("{topic}: {count} trades are missing for good")),
                    Some(Missing::Unknown(_)) => self.note(&format!("{topic}: nobody knows how many trades are missing")),
                }
            }
            TopicResult::Paused { topic, pace, .. } => self.note(&format!("{topic}: paused, pace {pace}")),
            TopicResult::Once { topic, .. } => self.note(&format!("{topic}: once")),
            TopicResult::Ended { topic } => self.note(&format!("{topic}: ended")),
        }
    }

    /// For people only: scripts read the records.
    fn note(&self, text: &str) {
        if !self.json {
            eprintln!("tickwire: {text}");
        }
    }

    /// A line that is no record.
    fn print_line(&mut self, line: String) {
        self.text = line;
        self.print();
        self.flush();
    }

    /// Writes the line in `text`.
    fn print(&mut self) {
        if self.text.is_empty() {
            return;
        }
        self.text.push('\n');
        if let Err(error) = self.out.write_all(self.text.as_bytes()) {
            self.broken.get_or_insert(error);
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.out.flush() {
            self.broken.get_or_insert(error);
        }
    }
}

fn parse_pace(text: &str) -> Result<Pace, String> {
    Pace::parse(text).ok_or_else(|| "give 'realtime', an interval such as 250ms or 1s, or 'credit' with --fps".to_owned())
}

fn parse_since(text: &str) -> Result<Since, String> {
    text.parse().map(Since).map_err(|_| "give a number of trades, such as 50".to_owned())
}

fn parse_focus(text: &str) -> Result<Focus, String> {
    match text {
        "focused" => Ok(Focus::Focused),
        "visible" => Ok(Focus::Visible),
        "background" => Ok(Focus::Background),
        _ => Err("give 'focused', 'visible' or 'background'".to_owned()),
    }
}

fn parse_max_age(text: &str) -> Result<MaxAge, String> {
    MaxAge::parse(text).ok_or_else(|| "give 'off', or a time such as 500ms or 2s".to_owned())
}

fn parse_encoding(text: &str) -> Result<Encoding, String> {
    match text {
        "binary" => Ok(Encoding::Binary),
        "json" => Ok(Encoding::Json),
        _ => Err("give 'binary' or 'json'".to_owned()),
    }
}
