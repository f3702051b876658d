//! In: TCP connections of strangers. Out: sessions with a known peer, encoding and identity, or one clear refusal, counted by its reason.
//! Bounded by the connection caps, one deadline from accept to the end of the request head, and 16 KiB of head and TLS buffer.
//!
//! The way of a connection: `accept` (caps, hand-over to a shard) -> `serve` (TLS, HTTP) -> `routes` (which answer) ->
//! `upgrade` (WebSocket checks) with `origin`, `auth` and `query` -> `Sessions`, which is all the gate knows of what comes after.

mod accept;
mod admission;
mod answer;
mod auth;
mod handover;
mod keys;
mod origin;
mod page;
mod query;
mod routes;
mod serve;
mod socket;
mod tls;
mod transport;
mod upgrade;

#[cfg(test)]
mod tests;

pub use accept::{accept, bind};
pub use admission::Arrival;
pub use serve::{Sessions, Socket, serve, serve_over};
pub use socket::TlsSocket;
pub use transport::Transport;

use crate::config::{self, Config};
use crate::metrics::GateMetrics;
use crate::pressure::Pressure;
use admission::Admission;
use auth::Authenticator;
use origin::Origins;
use std::path::PathBuf;
use std::sync::Arc;
use tls::Tls;
use tokio::sync::watch;

/// `Err` says in one line why the server must not be sent clients yet.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What all connections share. One per server; every method may be called from any thread.
pub struct Gate {
    listen: config::Listen,
    session: config::Session,
    tls: Tls,
    authenticator: Authenticator,
    origins: Origins,
    admission: Arc<Admission>,
    metrics: Arc<GateMetrics>,
    ready: Ready,
    pressure: Arc<Pressure>,
    draining: watch::Sender<bool>,
}

/// The operator can mend each of these; the text names the setting or the file.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error("listen.address {address}: {error}")]
    Bind { address: std::net::SocketAddr, error: std::io::Error },
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{}: {what}", path.display())]
    Pem { path: PathBuf, what: String },
    #[error("{} does not belong to the certificate in {}", key.display(), certificate.display())]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
    #[error("listen: give 'certificate' and 'key', or 'self_signed = true', and not both")]
    Certificate,
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    #[error("listen.origins: '{origin}' is not an origin: {what}")]
    Origin { origin: String, what: &'static str },
    #[error("auth: {0}")]
    Auth(String),
}

impl Gate {
    pub fn new(
        config: &Config,
        metrics: Arc<GateMetrics>,
        ready: Ready,
        pressure: Arc<Pressure>,
    ) -> Result<Arc<Self>, GateError> {
        Ok(Arc::new(Self {
            tls: Tls::new(&config.listen)?,
            authenticator: Authenticator::new(&config.auth)?,
            origins: Origins::parse(&config.listen.origins)?,
            admission: Admission::new(&config.listen, metrics.clone()),
            metrics,
            ready,
            pressure,
            draining: watch::Sender::new(false),
            listen: config.listen.clone(),
            session: config.session.clone(),
        }))
    }

    /// Refuses new connections and streams, ends idle HTTP connections, turns `/readyz` to 503 and stops `accept`.
    /// Running sessions are not the gate's: whoever calls this drains them too.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Connections that are open now, in whatever state.
    pub fn connections(&self) -> usize {
        self.admission.total()
    }

    /// Reads the certificate again; on an error the old one stays in force.
    pub fn reload_certificate(&self) -> Result<(), GateError> {
        self.tls.reload(&self.listen)
    }

    /// What the next connection begins with.
    pub fn tls_config(&self) -> Arc<rustls::ServerConfig> {
        self.tls.config()
    }

    /// The certificate chain in PEM, for clients that must trust a self-signed one.
    pub fn certificate_pem(&self) -> Arc<String> {
        self.tls.certificate_pem()
    }
}
