//! `tickwire emulate`: a venue on this machine, from a recording. In: files, a speed, faults. Out: a port that speaks the venue's
//! own protocol, until Ctrl-C or the end of the recording.

use super::CliError;
use crate::emulate::{Emulator, Faults, Options};
use clap::builder::PossibleValue;
use feeds::registry;
use feeds::replay::Pace;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Venues whose protocol can be spoken.
fn venues() -> Vec<PossibleValue> {
    registry::VENUES.iter().map(|venue| PossibleValue::new(venue.name).aliases(venue.aliases)).collect()
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The venue to be
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(venues()))]
    venue: String,
    /// Recordings, played one after the other
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    from: Vec<PathBuf>,
    /// 1 = as recorded, N = N times as fast, 0 = as fast as clients take it
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
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
    /// Leave out the Nth book update of each symbol
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    drop_diff: Option<u64>,
    /// Leave out every Nth book update of each symbol
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    drop_diff_every: Option<u64>,
    /// Send the Nth book update of each symbol twice
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    duplicate_diff: Option<u64>,
    /// Send the Nth book update of each symbol after the one that follows it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    swap_diff: Option<u64>,
    /// Send the Nth book update of each symbol with a wrong checksum, where the venue has one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    bad_checksum: Option<u64>,
    /// After N book updates in all begin the numbering anew, as after a restart of the venue's service
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    restart_at: Option<u64>,
    /// Add N levels a side to each book, far from the market, for large snapshots
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    far_levels: u32,
    /// Cut all connections without a word after N messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cut_at: Option<u64>,
    /// Answer the first N snapshot requests with 503
    #[arg(long, value_name = "N", default_value_t = 0)]
    snapshot_503: u64,
    /// Announce a shutdown after N messages, where the venue does, and close those connections 3 s later
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    shutdown_notice_at: Option<u64>,
    /// Go silent after N messages without closing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    mute_at: Option<u64>,
    /// Take every request in so late
    #[arg(long, value_name = "MS", default_value_t = 0)]
    slow_ack: u64,
}

impl Args {
    fn options(self) -> Result<Options, CliError> {
        let pace = Pace::new(self.speed)
            .ok_or_else(|| CliError::usage(format!("--speed {} is neither 0 nor between 0.001 and 1000000", self.speed)))?;
        let faults = Faults {
            drop_diff: self.faults.drop_diff,
            drop_diff_every: self.faults.drop_diff_every,
            duplicate_diff: self.faults.duplicate_diff,
            swap_diff: self.faults.swap_diff,
            bad_checksum: self.faults.bad_checksum,
            restart_at: self.faults.restart_at,
            far_levels: self.faults.far_levels,
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
            ..Options::new(&self.venue, self.from, pace, self.listen)
        })
    }
}

pub fn run(args: Args) -> Result<(), CliError> {
    let emulator = Emulator::bind(args.options()?).map_err(CliError::usage)?;
    let (address, exchange) = (emulator.address(), emulator.exchange());
    for remark in exchange.remarks() {
        eprintln!("tickwire: {remark}");
    }
    let (venue, entries) = (exchange.venue(), exchange.entries());
    let natives: Vec<&str> = exchange.natives().collect();
    println!("emulating {venue} at ws://{address} and http://{address}: {entries} entries of {}", natives.join(", "));
    emulator
        .run(async {
            tokio::signal::ctrl_c().await.ok();
        })
        .map_err(CliError::failed)
}
