//! What every integration test stands on: a server on free ports with a market that the test itself makes, and clients for it.
//! Bounded: everything waits at most `PATIENCE`.

pub mod client;
pub mod cut;
pub mod market;

pub use client::TestClient;
pub use market::Market;

use std::time::Duration;
use tickwire::app::Server;
use tickwire::config::Config;

/// Longer than anything takes on a loaded two-core machine; reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Name of the venue whose events the tests make.
pub const VENUE: &str = "test";

pub struct TestServer {
    pub server: Server,
}

impl TestServer {
    /// A server without feeds, on free ports, with a self-signed certificate.
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// `change` alters the configuration first.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.node.shards = 2;
        config.listen.address = ([127, 0, 0, 1], 0).into();
        config.listen.self_signed = true;
        config.admin.address = ([127, 0, 0, 1], 0).into();
        // Checks with every update: a wrong view is found at once.
        config.session.check_interval_ms = 1;
        // A machine that runs tests is late now and then; tests of the pressure make their own.
        config.pressure.enabled = false;
        change(&mut config);
        Self { server: Server::start(config).await.expect("the test server starts") }
    }

    /// One whose kernel keeps little for a client that does not read: its link is full soon.
    pub async fn start_with_small_buffers(write_timeout_ms: u64, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(|config| {
            config.session.write_timeout_ms = write_timeout_ms;
            config.listen.send_buffer_bytes = 16_384;
            change(config);
        })
        .await
    }

    /// The test's own venue on this server, with one instrument.
    pub fn market(&self) -> Market {
        Market::open(self.server.ingest(VENUE))
    }

    pub fn url(&self, path: &str) -> String {
        format!("wss://{}{path}", self.server.public_address())
    }
}

/// Runs a step of a test, which may not hang.
pub async fn soon<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(value) => value,
        Err(_) => panic!("nothing within {PATIENCE:?}: {what}"),
    }
}
