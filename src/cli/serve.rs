//! `tickwire serve`: a configuration in, a running server out, until SIGTERM or Ctrl-C drains it.

use crate::app;
use crate::cli::CliError;
use crate::cli::shared::ConfigFile;

pub fn run(file: ConfigFile) -> Result<(), CliError> {
    let config = file.load()?;
    app::run(config, |_| ()).map_err(CliError::from)
}
