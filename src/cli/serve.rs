//! `tickwire serve`: a configuration in, a running server out, until SIGTERM or Ctrl-C drains it.

use crate::app;
use crate::cli::CliError;
use crate::config::Config;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file; config/default.toml in the source documents every key
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(args: Args) -> Result<(), CliError> {
    let config = Config::load(&args.config).map_err(CliError::usage)?;
    app::run(config, |_| ()).map_err(CliError::from)
}
