//! In: the `[log]` section and `RUST_LOG`. Out: one subscriber for the process, writing to stderr. Bounded: a line an event, no buffer.
//! stdout belongs to what commands print.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("'{filter}' is not a log filter: {error}")]
    Filter { filter: String, error: tracing_subscriber::filter::ParseError },
    #[error("logging was set up twice")]
    Twice,
}

/// Called once, by the program; libraries and tests that need no log leave it out.
pub fn start(log: &Log) -> Result<(), LogError> {
    let filter = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| log.filter.clone());
    let parsed = EnvFilter::try_new(&filter).map_err(|error| LogError::Filter { filter, error })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| LogError::Twice)
}
