//! Arguments that more than one command takes. In: the command line. Out: a loaded configuration, ports set in one, values, a client's
//! failure in words.

use crate::app::Server;
use crate::cli::CliError;
use crate::config::Config;
use client::{ClientError, Trust};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use wire::request::{Pace, TradeMode};

/// For commands that run what a file says.
#[derive(Debug, clap::Args)]
pub struct ConfigFile {
    /// Configuration file; config/default.toml in the source documents every key
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

impl ConfigFile {
    pub fn load(&self) -> Result<Config, CliError> {
        Config::load(&self.config).map_err(CliError::usage)
    }
}

/// For commands that run a server without a file.
#[derive(Debug, clap::Args)]
pub struct Ports {
    /// Public port: page, WebSocket and SSE
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Metrics and health
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    admin: SocketAddr,
    /// Write the certificate here, so that clients can check it
    #[arg(long, value_name = "FILE")]
    certificate_out: Option<PathBuf>,
}

impl Ports {
    pub fn set(&self, config: &mut Config) {
        config.listen.address = self.listen;
        config.admin.address = self.admin;
    }

    /// The demo goes on without the file; whoever wanted it reads why it is not there.
    pub fn write_certificate(&self, server: &Server) {
        if let Some(path) = &self.certificate_out
            && let Err(error) = std::fs::write(path, server.certificate_pem().as_bytes())
        {
            eprintln!("tickwire: {}: {error}", path.display());
        }
    }
}

/// For commands that are clients: the server, and how to get in.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    #[arg(long, value_name = "URL", default_value = "wss://127.0.0.1:8443")]
    pub url: String,
    /// Believe any certificate: for the self-signed ones of a demo or a bench
    #[arg(long)]
    insecure: bool,
    /// PEM file with the authority of the server's certificate, or with that certificate itself
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Bearer token; better in the environment variable TICKWIRE_TOKEN, where other users of the machine do not see it
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

impl ServerArgs {
    pub fn trust(&self) -> Trust {
        match &self.ca {
            Some(path) => Trust::CaFile(path.clone()),
            None if self.insecure => Trust::AnyCertificate,
            None => Trust::SystemRoots,
        }
    }

    pub fn token(&self) -> Option<String> {
        self.token.clone().or_else(|| std::env::var("TICKWIRE_TOKEN").ok())
    }
}

/// A length of time as `--for` takes it: `500ms`, `10s`, `5m`, `1h`; a bare number is seconds.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("", 1000)];
    let number = |(unit, ms): &(&str, u64)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*ms);
    let ms = units.iter().find_map(number).filter(|ms| *ms > 0);
    ms.map(Duration::from_millis).ok_or_else(|| "give a time such as 500ms, 10s or 5m".to_owned())
}

pub fn parse_pace(text: &str) -> Result<Pace, String> {
    Pace::parse(text).ok_or_else(|| "give 'realtime', or an interval such as 250ms or 1s".to_owned())
}

pub fn parse_trades(text: &str) -> Result<TradeMode, String> {
    match text {
        "every" => Ok(TradeMode::Every),
        "summary" => Ok(TradeMode::Summary),
        _ => Err("give 'every' or 'summary'".to_owned()),
    }
}

/// For commands that are clients.
pub fn explain(error: &ClientError) -> CliError {
    match error {
        ClientError::Url { .. } | ClientError::CaFile { .. } | ClientError::Token => CliError::usage(error),
        ClientError::Refused { status: 400..500, .. } => CliError::usage(error),
        ClientError::Tls { .. } | ClientError::NoRoots(_) => {
            CliError::failed(format!("{error}; for a self-signed certificate give --ca FILE, or --insecure in a demo"))
        }
        _ => CliError::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_or_are_seconds() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("10", 10_000)] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "0s", "0", "-1s", "1.5s", "99999999999999999999h", "9999999999999999h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
