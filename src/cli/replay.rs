//! `tickwire replay`: a whole server whose market is a recording. In: files and a speed. Out: the recorded topics on a TLS port,
//! marked `replay`, until Ctrl-C.

use crate::app::{self, Server};
use crate::cli::CliError;
use crate::cli::shared::Ports;
use crate::config::Config;
use feeds::settings::{FeedSettings, ReplaySettings};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The venue protocol the recording speaks, for example binance
    #[arg(long)]
    venue: String,
    /// Recordings, played one after the other
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// 1 = as recorded, N = N times as fast, 0 = as fast as possible
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    speed: f64,
    /// Start over at the end
    #[arg(long)]
    repeat: bool,
    /// Only these symbols, for example BTC-USDT; all of the recording if left out
    #[arg(long, value_name = "SYMBOL", value_delimiter = ',')]
    symbols: Vec<String>,
    #[command(flatten)]
    ports: Ports,
}

/// Everything else is as the configuration's defaults are, with a certificate made at start.
const CONFIG: &str = "[listen]\nself_signed = true\n[[feeds]]\nvenue = \"sim\"\n";

pub fn run(args: Args) -> Result<(), CliError> {
    let mut config = Config::parse(CONFIG, "built in").map_err(CliError::failed)?;
    args.ports.set(&mut config);
    config.feeds = vec![FeedSettings {
        symbols: args.symbols,
        replay: Some(ReplaySettings { venue: args.venue, files: args.files, speed: args.speed, repeat: args.repeat }),
        ..FeedSettings::of_venue("replay")
    }];
    app::run(config, |server| {
        args.ports.write_certificate(server);
        print_addresses(server);
    })
    .map_err(CliError::from)
}

fn print_addresses(server: &Server) {
    println!(
        "replaying at wss://{} (page https://{0}/, metrics http://{}/metrics)",
        server.public_address(),
        server.admin_address()
    );
}
