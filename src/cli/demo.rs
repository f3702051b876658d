//! `tickwire demo`: nothing in, a whole server with a simulated market out, and a page of what to try next on stdout.

use crate::app::{self, Server};
use crate::cli::CliError;
use crate::config::Config;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The same file that the source documents as config/demo.toml.
const DEMO: &str = include_str!("../../config/demo.toml");

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Public port: page, WebSocket and SSE
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Metrics and health
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    admin: SocketAddr,
    /// Same seed, same market
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated symbols
    #[arg(long, default_value_t = 50)]
    symbols: u32,
    /// Events per second of all symbols together
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// Write the certificate here, so that clients can check it
    #[arg(long, value_name = "FILE")]
    certificate_out: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), CliError> {
    let mut config = Config::parse(DEMO, "config/demo.toml").map_err(CliError::usage)?;
    config.listen.address = args.listen;
    config.admin.address = args.admin;
    for sim in config.feeds.iter_mut().filter_map(|feed| feed.sim.as_mut()) {
        sim.seed = args.seed;
        sim.symbols = args.symbols;
        sim.events_per_second = args.rate;
    }
    app::run(config, |server| {
        if let Some(path) = &args.certificate_out
            && let Err(error) = std::fs::write(path, server.certificate_pem().as_bytes())
        {
            eprintln!("tickwire: {}: {error}", path.display());
        }
        print_page(server);
    })
    .map_err(CliError::from)
}

fn print_page(server: &Server) {
    let (public, admin) = (server.public_address(), server.admin_address());
    println!(
        "\nTickwire demo: a simulated market over TLS, on this machine only.\n\n\
         \x20 page       https://{public}/   (the certificate is self-signed: let the browser go on)\n\
         \x20 watch      tickwire watch --insecure --url wss://{public} 'quote/sim:BTC-USD' 'trade/sim:BTC-USD'\n\
         \x20 slower     tickwire watch --insecure --url wss://{public} --pace 1s 'quote/sim:*'\n\
         \x20 book       tickwire watch --insecure --url wss://{public} --json 'book/sim:BTC-USD/10'\n\
         \x20 SSE        curl -kN 'https://{public}/v1/sse?sub=quote/sim:BTC-USD&pace=1s'\n\
         \x20 metrics    curl http://{admin}/metrics\n\n\
         Ctrl-C drains and stops.\n"
    );
}
