//! The commands: arguments in, exit code out. One file a command. Exit codes: 0 done, 1 failed, 2 asked wrongly.

pub(crate) mod audit;
mod audit_files;
mod bench;
mod check;
mod demo;
mod emulate;
pub mod error;
mod generate;
mod record;
mod replay;
mod serve;
mod shared;
mod watch;

pub use error::CliError;

use clap::{Parser, Subcommand};

/// Self-hosted market-data push server: venue feeds in, exact binary deltas over TLS WebSockets out.
#[derive(Debug, Parser)]
#[command(name = "tickwire", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything embedded: simulated market, self-signed TLS, web page, metrics
    Demo(demo::Args),
    /// Run the server
    Serve(shared::ConfigFile),
    /// Validate a configuration; errors point at file, line and key
    Check(shared::ConfigFile),
    /// Subscribe and show what arrives
    Watch(watch::Args),
    /// Capture a venue's streams to disk
    Record(record::Args),
    /// Serve a recording again, at any speed
    Replay(replay::Args),
    /// Speak a venue's own protocol from a recording, for tests and demos
    Emulate(emulate::Args),
    /// Run a recording through the real adapter and print what its books and trades come to
    Audit(audit::Args),
    /// Make a venue's data from a seed, for tests and demos
    Generate(generate::Args),
    /// Load a server with many clients, verify what they get, measure how long it takes
    Bench(Box<bench::Args>),
}

impl Cli {
    pub fn run(self) -> Result<(), CliError> {
        match self.command {
            Command::Demo(args) => demo::run(args),
            Command::Serve(args) => serve::run(args),
            Command::Check(args) => check::run(args),
            Command::Watch(args) => watch::run(args),
            Command::Record(args) => record::run(args),
            Command::Replay(args) => replay::run(args),
            Command::Emulate(args) => emulate::run(args),
            Command::Audit(args) => audit::run(args),
            Command::Generate(args) => generate::run(args),
            Command::Bench(args) => bench::run(*args),
        }
    }
}
