//! `tickwire demo`: nothing in, a whole server with a simulated market out, and a page of what to try next on stdout.

use crate::app::{self, Server};
use crate::cli::CliError;
use crate::cli::shared::Ports;
use crate::config::Config;

/// The same file that the source documents as config/demo.toml.
const DEMO: &str = include_str!("../../config/demo.toml");

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Same seed, same market
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated symbols
    #[arg(long, default_value_t = 50)]
    symbols: u32,
    /// Events per second of all symbols together
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    #[command(flatten)]
    ports: Ports,
}

pub fn run(args: Args) -> Result<(), CliError> {
    let mut config = Config::parse(DEMO, "config/demo.toml").map_err(CliError::usage)?;
    args.ports.set(&mut config);
    for sim in config.feeds.iter_mut().filter_map(|feed| feed.sim.as_mut()) {
        sim.seed = args.seed;
        sim.symbols = args.symbols;
        sim.events_per_second = args.rate;
    }
    app::run(config, |server| {
        args.ports.write_certificate(server);
        print_page(server);
    })
    .map_err(CliError::from)
}

fn print_page(server: &Server) {
    let (public, admin) = (server.public_address(), server.admin_address());
    // As it was started: whoever used `cargo run` has no `tickwire` on the path.
    let program = std::env::args().next().unwrap_or_else(|| "tickwire".to_owned());
    println!(
        "\nTickwire demo: a simulated market over TLS, on this machine only.\n\n\
         \x20 page       https://{public}/   (the certificate is self-signed: let the browser go on)\n\
         \x20 watch      {program} watch --insecure --url wss://{public} 'quote/sim:BTC-USD' 'trade/sim:BTC-USD'\n\
         \x20 slower     {program} watch --insecure --url wss://{public} --pace 1s 'quote/sim:*'\n\
         \x20 book       {program} watch --insecure --url wss://{public} --json 'book/sim:BTC-USD/10'\n\
         \x20 SSE        curl -kN 'https://{public}/v1/sse?sub=quote/sim:BTC-USD&pace=1s'\n\
         \x20 metrics    curl http://{admin}/metrics\n\n\
         Ctrl-C drains and stops.\n"
    );
}
