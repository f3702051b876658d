//! `tickwire emulate`: a venue on this machine, from a recording. In: files, a speed, faults. Out: a port that speaks the venue's
//! own protocol, until Ctrl-C or the end of the recording.

use super::CliError;
use crate::emulate::{Emulator, Faults, Options};
use clap::ValueEnum;
use feeds::replay::Pace;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Venues whose protocol can be spoken.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Venue {
    #[value(alias = "binance-spot", alias = "binance-us")]
    Binance,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The venue to be
    venue: Venue,
    /// Recordings, played one after the other
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    from: Vec<PathBuf>,
    /// 1 = as recorded, N = N times as fast, 0 = as fast as clients take it
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9301")]
    listen: SocketAddr,
    /// Play from the start on instead of waiting for the first subscription
    #[arg(long)]
    start_now: bool,
    /// Wait this long after the first subscription
    #[arg(long, value_name = "MS", default_value_t = 300)]
    start_delay_ms: u64,
    /// At the end cut all connections and start over
    #[arg(long, conflicts_with = "exit_at_end")]
    repeat: bool,
    /// End with the recording instead of staying open and silent
    #[arg(long)]
    exit_at_end: bool,
    /// Time between two pings
    #[arg(long, value_name = "MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    ping_interval_ms: u64,
    #[command(flatten)]
    faults: FaultArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Faults (message counts are of market data sent, from the start)")]
struct FaultArgs {
    /// Leave out the Nth depth diff of each symbol
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    drop_diff: Option<u64>,
    /// Leave out every Nth depth diff of each symbol
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    drop_diff_every: Option<u64>,
    /// Send the Nth depth diff of each symbol twice
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    duplicate_diff: Option<u64>,
    /// Cut all connections without a word after N messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cut_at: Option<u64>,
    /// Answer the first N snapshot requests with 503
    #[arg(long, value_name = "N", default_value_t = 0)]
    snapshot_503: u64,
    /// Announce a shutdown after N messages, and close those connections 3 s later
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    shutdown_notice_at: Option<u64>,
    /// Go silent after N messages without closing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    mute_at: Option<u64>,
    /// Hold back every acknowledgement
    #[arg(long, value_name = "MS", default_value_t = 0)]
    slow_ack: u64,
}

impl Args {
    fn options(self) -> Result<Options, CliError> {
        let Venue::Binance = self.venue;
        let pace = Pace::new(self.speed)
            .ok_or_else(|| CliError::usage(format!("--speed {} is neither 0 nor between 0.001 and 1000000", self.speed)))?;
        let faults = Faults {
            drop_diff: self.faults.drop_diff,
            drop_diff_every: self.faults.drop_diff_every,
            duplicate_diff: self.faults.duplicate_diff,
            cut_at: self.faults.cut_at,
            snapshot_503: self.faults.snapshot_503,
            shutdown_notice_at: self.faults.shutdown_notice_at,
            mute_at: self.faults.mute_at,
            slow_ack: Duration::from_millis(self.faults.slow_ack),
        };
        Ok(Options {
            start_now: self.start_now,
            start_delay: Duration::from_millis(self.start_delay_ms),
            repeat: self.repeat,
            exit_at_end: self.exit_at_end,
            ping_interval: Duration::from_millis(self.ping_interval_ms),
            faults,
            ..Options::new(self.from, pace, self.listen)
        })
    }
}

pub fn run(args: Args) -> Result<(), CliError> {
    let emulator = Emulator::bind(args.options()?).map_err(CliError::usage)?;
    let (address, script) = (emulator.address(), emulator.script());
    for remark in &script.remarks {
        eprintln!("tickwire: {remark}");
    }
    if script.synthesized {
        eprintln!("tickwire: no exchangeInfo in the recording; this one is made from its data");
    }
    let symbols: Vec<&str> = script.books.keys().map(String::as_str).collect();
    println!("emulating binance at ws://{address} and http://{address}: {} entries of {}", script.entries, symbols.join(", "));
    emulator
        .run(async {
            tokio::signal::ctrl_c().await.ok();
        })
        .map_err(CliError::failed)
}
