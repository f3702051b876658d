//! In: TOML values. Out: one struct a section, with defaults. Bounded: unknown keys are refused by name; ranges are checked in `check.rs`.
//! Each key's unit is the end of its name; its reason stands here and, for operators, in `config/default.toml`.

use feeds::settings::FeedSettings;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub node: Node,
    pub listen: Listen,
    pub auth: Auth,
    pub admin: Admin,
    pub session: Session,
    pub topics: Topics,
    pub pressure: Pressure,
    pub log: Log,
    /// One `[[feeds]]` block a venue.
    pub feeds: Vec<FeedSettings>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Told to clients in `hello`.
    pub name: String,
    /// Threads that serve clients; 0 = one a core (of `shard_cores`, if there are any), at most 64.
    pub shards: usize,
    /// Cores that shards are pinned to, in turn; empty: none.
    pub shard_cores: Vec<usize>,
    /// Cores that the thread of the feeds, and that of accepting and of the admin port, are pinned to.
    pub feeds_core: Option<usize>,
    pub main_core: Option<usize>,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: "tickwire".to_owned(), shards: 0, shard_cores: Vec::new(), feeds_core: None, main_core: None }
    }
}

impl Node {
    /// Number of shards to start: the configured one, or one a core.
    pub fn shard_count(&self) -> usize {
        match self.shards {
            0 if !self.shard_cores.is_empty() => self.shard_cores.len().min(MAX_SHARDS),
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(MAX_SHARDS),
            configured => configured,
        }
    }

    /// The core that a shard is pinned to.
    pub fn shard_core(&self, shard: usize) -> Option<usize> {
        self.shard_cores.get(shard % self.shard_cores.len().max(1)).copied()
    }
}

/// Interest of shards in a topic is one 64-bit word.
pub const MAX_SHARDS: usize = 64;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    pub address: SocketAddr,
    /// PEM file of the certificate chain, leaf first.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
    /// Make a certificate for localhost at start instead of reading one.
    pub self_signed: bool,
    /// Absolute time from accept to the end of TLS and of the request's head.
    pub handshake_timeout_ms: u64,
    pub max_connections: usize,
    /// From one IPv4 address or one IPv6 /64 network; 0 = as many as `max_connections`.
    pub max_connections_per_address: usize,
    /// Web origins that browsers may connect from, as `https://host[:port]`; a page served by this server is always allowed.
    /// Clients that send no Origin (anything but a browser) are not checked.
    pub origins: Vec<String>,
    /// Kernel send buffer a connection; what lies there can no longer be conflated. 0 = leave it to the system.
    pub send_buffer_bytes: usize,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            certificate: None,
            key: None,
            self_signed: false,
            handshake_timeout_ms: 5_000,
            max_connections: 10_000,
            max_connections_per_address: 0,
            origins: Vec::new(),
            send_buffer_bytes: 65_536,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Refuse connections without a valid token. A token that is sent is checked in any case.
    pub required: bool,
    /// File with the shared secret of HS256 tokens (at least 32 bytes; trailing line ends are ignored).
    pub hs256_secret_file: Option<PathBuf>,
    /// PEM file with the Ed25519 public key of EdDSA tokens.
    pub eddsa_public_key_file: Option<PathBuf>,
    /// Tokens must have this `iss`, if set.
    pub issuer: Option<String>,
    /// Tokens must have this `aud`, if set.
    pub audience: Option<String>,
    /// Clock difference that is forgiven at `exp` and `nbf`.
    pub leeway_s: u64,
    /// Also accept `?token=` in the address. Off: addresses end up in logs of proxies and browsers.
    pub token_in_query: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            required: false,
            hs256_secret_file: None,
            eddsa_public_key_file: None,
            issuer: None,
            audience: None,
            leeway_s: 5,
            token_in_query: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Plain HTTP: /metrics, /healthz, /readyz, /version, /status.
    pub address: SocketAddr,
    /// Allow an address that other machines can reach. The port has no login: guard it by other means.
    pub allow_remote: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)), allow_remote: false }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// Subscriptions a session, patterns counted after expansion.
    pub max_subscriptions: usize,
    /// Requests a client may send, steady rate.
    pub commands_per_second: u32,
    /// Requests a client may send at once after a pause.
    pub commands_burst: u32,
    /// Records a second to one client; 0 = unlimited. An empty bucket delays, so it conflates; nothing is dropped.
    pub updates_per_second: u32,
    /// Bytes a second to one client; 0 = unlimited.
    pub bytes_per_second: u32,
    /// Largest request.
    pub request_bytes: usize,
    /// Largest data frame; what does not fit goes into the next one. A larger answer of one topic (a deep book) gets its own.
    pub frame_bytes: usize,
    /// Time in which the client must take one frame; else it is closed as a slow consumer.
    pub write_timeout_ms: u64,
    pub ping_interval_ms: u64,
    /// Silence (no pong either) after which a client counts as gone.
    pub idle_timeout_ms: u64,
    /// How often the hash of a view goes out with its data; 0 = never.
    pub check_interval_ms: u64,
    /// Longest pause between two rounds of a busy shard, which gathers more into each frame; 0 = none.
    pub gather_ms: u64,
    /// Time clients have to leave when the server stops.
    pub drain_timeout_ms: u64,
    /// File with the 256-bit key of resume tickets; without one a random key, which ends with the process.
    pub ticket_key_file: Option<PathBuf>,
    /// The key before it: opens tickets, makes none.
    pub ticket_former_key_file: Option<PathBuf>,
    /// How long a ticket is good.
    pub ticket_lifetime_s: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            max_subscriptions: 1_024,
            commands_per_second: 5,
            commands_burst: 20,
            updates_per_second: 0,
            bytes_per_second: 0,
            request_bytes: 16_384,
            frame_bytes: 65_536,
            write_timeout_ms: 15_000,
            ping_interval_ms: 20_000,
            idle_timeout_ms: 30_000,
            check_interval_ms: 1_000,
            gather_ms: 5,
            drain_timeout_ms: 10_000,
            ticket_key_file: None,
            ticket_former_key_file: None,
            ticket_lifetime_s: 3_600,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Topics of all feeds together; an instrument has 14 (quote, trade, five books, four bars, stats, status, instrument).
    pub max_topics: u32,
    /// Trades kept an instrument; a cursor further back gets a gap.
    pub trade_ring: usize,
    /// Changes kept a book view; a cursor further back gets a snapshot.
    pub book_log: usize,
    /// Price levels kept a side of a full book; the worst ones beyond are dropped and counted.
    pub book_levels: usize,
    /// How long a book view is kept up to date after its last watcher left: who comes back meanwhile gets a delta.
    pub view_linger_ms: u64,
}

impl Default for Topics {
    fn default() -> Self {
        Self { max_topics: 14_000, trade_ring: 1_024, book_log: 4_096, book_levels: 10_000, view_linger_ms: 10_000 }
    }
}

/// When the node withdraws, level by level: slower paces, no new snapshots of deep books, no new clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pressure {
    pub enabled: bool,
    pub sample_interval_ms: u64,
    /// Lag of the worst shard from which each level is entered, and below which it is left.
    pub lag_ms: [u64; 3],
    pub lag_lower_ms: [u64; 3],
    /// None: the container's (cgroup's) limit, if it has one. 0: memory does not count.
    pub memory_limit_bytes: Option<u64>,
    /// Resident memory in percent of the limit, as with the lag.
    pub memory_percent: [u64; 3],
    pub memory_lower_percent: [u64; 3],
    /// How long it must be above before one level more, and below before one level less.
    pub raise_after_ms: u64,
    pub lower_after_ms: u64,
    /// The fastest interval of a pace at each level; steps of the ladder of paces.
    pub floors_ms: [u32; 3],
    /// Told to refused clients.
    pub retry_after_s: u64,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            enabled: true,
            sample_interval_ms: 250,
            lag_ms: [50, 200, 1_000],
            lag_lower_ms: [25, 100, 500],
            memory_limit_bytes: None,
            memory_percent: [80, 90, 95],
            memory_lower_percent: [75, 85, 90],
            raise_after_ms: 1_000,
            lower_after_ms: 5_000,
            floors_ms: [100, 250, 500],
            retry_after_s: 5,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What to log, in the syntax of `RUST_LOG`: `info`, `warn,tickwire=debug`. The variable `RUST_LOG` wins if set.
    pub filter: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people, with colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}
