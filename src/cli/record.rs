//! `tickwire record`: a venue's streams to disk. In: venue, symbols, folder. Out: recordings with the venue's exact bytes and our
//! receive times, until Ctrl-C, SIGTERM or `--for`. Bounded by the recorder's queue; what a slow disk costs is counted and marked.

use crate::cli::CliError;
use crate::cli::shared::parse_time;
use feeds::adapter::{Fault, Sink};
use feeds::recording::{Recorder, Rotation};
use feeds::registry;
use feeds::settings::FeedSettings;
use feeds::supervisor;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use wire::event::Batch;

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
    let rotation = Rotation { file_bytes: args.rotate_mib << 20, file_age_s: args.rotate_minutes * 60 };
    let (tap, recorder) = Recorder::start(&args.out, venue, rotation)
        .map_err(|error| CliError::usage(format!("{}: {error}", args.out.display())))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::failed)?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let options = supervisor::Options { tap: Some(Box::new(tap)), ..supervisor::Options::default() };
        let feed = supervisor::start(adapter, &settings, Box::new(Complaints), stopped, options).map_err(CliError::usage)?;
        let mut feed = std::pin::pin!(feed);
        let ended = tokio::select! {
            () = &mut feed => true,
            () = end(args.time) => false,
            () = report(&recorder) => false,
        };
        if !ended {
            stop.send_replace(true);
            feed.await;
        }
        Ok::<(), CliError>(())
    })?;
    let (recorded, dropped) = (recorder.recorded(), recorder.dropped());
    let files = recorder.finish().map_err(|error| CliError::failed(format!("{}: {error}", args.out.display())))?;
    for file in files {
        println!("{}", file.display());
    }
    if dropped > 0 {
        return Err(CliError::failed(format!("{dropped} of {} entries were left out: the disk is too slow", recorded + dropped)));
    }
    Ok(())
}

/// The recording keeps everything; only what went wrong is told.
struct Complaints;

impl Sink for Complaints {
    fn publish(&mut self, _: &Batch) {}

    fn faults(&mut self, faults: &[Fault]) {
        for fault in faults {
            eprintln!("tickwire: {}: {}", fault.kind.name(), fault.detail);
        }
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

/// Says now and then how far it is; returns when nothing more can be written.
async fn report(recorder: &Recorder) {
    let mut next = tokio::time::interval(REPORT_INTERVAL);
    next.tick().await;
    while !recorder.is_finished() {
        next.tick().await;
        eprintln!("tickwire: {} entries recorded, {} left out", recorder.recorded(), recorder.dropped());
    }
}
