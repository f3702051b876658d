//! `tickwire record`: a venue's streams to disk. In: venue, symbols, folder. Out: recordings with the venue's exact bytes and our
//! receive times, until Ctrl-C, SIGTERM or `--for`. Bounded by the recorder's queue and by what is kept; what a slow or full disk costs
//! is told, counted and marked, and the connection to the venue never waits for it.

use crate::admin;
use crate::cli::CliError;
use crate::cli::shared::parse_time;
use crate::config::{Admin, Log};
use crate::logging;
use crate::metrics::{FeedMetrics, Metrics};
use feeds::adapter::{Fault, Sink};
use feeds::recording::{Recorder, Rotation, Tally};
use feeds::registry;
use feeds::settings::FeedSettings;
use feeds::supervisor;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use wire::event::{Batch, Cause};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The venue, for example binance
    #[arg(long)]
    venue: String,
    /// Symbols, for example BTC-USDT,ETH-USDT; with a leading ! the venue's own spelling
    #[arg(long, value_name = "SYMBOL", required = true, value_delimiter = ',', num_args = 1..)]
    symbols: Vec<String>,
    /// Folder for the recordings; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Stop after this time, such as 10m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    time: Option<Duration>,
    /// Begin a new file after so many MiB, before compression
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    rotate_mib: u64,
    /// Begin a new file after so many minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rotate_minutes: u64,
    /// Remove the oldest of this venue's recordings in the folder while there are more than so many, the open one counted
    #[arg(long, value_name = "FILES", value_parser = clap::value_parser!(u32).range(2..))]
    keep_files: Option<u32>,
    /// Remove the oldest while they take more than so many MiB on the disk
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_073_741_824))]
    keep_mib: Option<u64>,
    /// Serve metrics and health here, for example at 127.0.0.1:9464; loopback only
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Take the venue's merged trades instead of single ones
    #[arg(long)]
    aggregated_trades: bool,
    /// File with the API key, for venues that ask for one
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// WebSocket base address, if not the venue's own
    #[arg(long, value_name = "URL")]
    ws_url: Option<String>,
    /// REST base address, if not the venue's own
    #[arg(long, value_name = "URL")]
    rest_url: Option<String>,
}

pub fn run(args: Args) -> Result<(), CliError> {
    let venue = registry::venue(&args.venue).map_err(CliError::usage)?.name;
    let settings = FeedSettings {
        symbols: args.symbols,
        aggregated_trades: args.aggregated_trades,
        api_key_file: args.api_key_file,
        ws_url: args.ws_url,
        rest_url: args.rest_url,
        ..FeedSettings::of_venue(venue)
    };
    let adapter = registry::adapter(venue, &settings).map_err(CliError::usage)?;
    let rotation = Rotation {
        file_bytes: args.rotate_mib << 20,
        file_age_s: args.rotate_minutes * 60,
        keep_files: args.keep_files,
        keep_bytes: args.keep_mib.map(|mib| mib << 20),
    };
    // Another program may have set up the log: then it is told there.
    let _ = logging::start(&Log::default());
    let (tap, recorder) = Recorder::start(&args.out, venue, rotation)
        .map_err(|error| CliError::usage(format!("{}: {error}", args.out.display())))?;
    let metrics = Metrics::new(0);
    let counted = metrics.feed(venue);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::failed)?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        if let Some(address) = args.admin {
            let admin = Admin { address, allow_remote: false };
            let started = admin::start(&admin, Arc::clone(&metrics), Arc::new(|| Ok(())), stopped.clone()).await;
            started.map_err(|error| CliError::usage(format!("{address}: {error}")))?;
        }
        let options = supervisor::Options { tap: Some(Box::new(tap)), ..supervisor::Options::default() };
        let sink = Counted(Arc::clone(&counted));
        let feed = supervisor::start(adapter, &settings, Box::new(sink), stopped, options).map_err(CliError::usage)?;
        let mut feed = std::pin::pin!(feed);
        let ended = tokio::select! {
            () = &mut feed => true,
            () = end(args.time) => false,
            () = watch_over(&recorder, &counted) => false,
        };
        if !ended {
            stop.send_replace(true);
            feed.await;
        }
        Ok::<(), CliError>(())
    })?;
    let (files, tally) = recorder.finish().map_err(|error| CliError::failed(format!("{}: {error}", args.out.display())))?;
    for file in files {
        println!("{}", file.display());
    }
    outcome(&tally)
}

fn outcome(tally: &Tally) -> Result<(), CliError> {
    let Tally { recorded, dropped, failures, trouble } = tally;
    if let Some(trouble) = trouble {
        return Err(CliError::failed(format!("{dropped} of {} entries were left out: {trouble}", recorded + dropped)));
    }
    match (dropped, failures) {
        (0, 0) => Ok(()),
        (_, 0) => {
            Err(CliError::failed(format!("{dropped} of {} entries were left out: the disk is too slow", recorded + dropped)))
        }
        _ => Err(CliError::failed(format!("{dropped} of {} entries were left out: the disk refused", recorded + dropped))),
    }
}

/// The recording keeps everything; here it is only counted, and told what went wrong.
struct Counted(Arc<FeedMetrics>);

impl Sink for Counted {
    fn publish(&mut self, batch: &Batch) {
        self.0.events.add(batch.events.len() as u64);
    }

    fn faults(&mut self, faults: &[Fault]) {
        self.0.faults(faults);
        for fault in faults {
            eprintln!("tickwire: {}: {}", fault.kind.name(), fault.detail);
        }
    }

    fn message(&mut self, bytes: usize) {
        self.0.messages.add(1);
        self.0.bytes.add(bytes as u64);
    }

    fn line_lost(&mut self, _cause: Cause) {
        self.0.reconnects.add(1);
    }
}

async fn end(time: Option<Duration>) {
    use tokio::signal::unix::{SignalKind, signal};
    let time = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => {}
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Counts, and says now and then how far it is; returns when nothing more can be written.
async fn watch_over(recorder: &Recorder, counted: &FeedMetrics) {
    let mut next = tokio::time::interval(LOOK_INTERVAL);
    let (mut before, mut said) = (Tally::default(), Instant::now());
    while !recorder.is_finished() {
        next.tick().await;
        let tally = recorder.tally();
        // What a disk refused was counted as recorded for up to a second: such a count goes on when it is reached again.
        counted.recorded.add(tally.recorded.saturating_sub(counted.recorded.get()));
        counted.left_out.add(tally.dropped - before.dropped);
        counted.recording_failures.add(tally.failures - before.failures);
        if tally.trouble.is_some() != before.trouble.is_some() || said.elapsed() >= REPORT_INTERVAL {
            said = Instant::now();
            eprintln!("tickwire: {} entries recorded, {} left out", tally.recorded, tally.dropped);
        }
        before = tally;
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
