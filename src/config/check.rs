//! In: a configuration whose names and types are right. Out: nothing, or the first value that cannot work, with its key and remedy.
//! Bounded by the configuration; reads the files it names, opens no socket.

use super::feed_check;
use super::pressure_check;
use super::secret::{KEY_REMEDY, read_key};
use super::types::{Auth, Config, Listen, MAX_SHARDS, Node, Session, Topics};
use crate::cores;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;
use std::path::Path;

/// What is wrong with the value of one key.
#[derive(Debug)]
pub(super) struct Fault {
    pub key: String,
    pub what: String,
    pub remedy: String,
}

impl Fault {
    pub fn new(key: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), remedy: remedy.into() }
    }
}

pub(super) fn check(config: &Config) -> Result<(), Fault> {
    node(config)?;
    listen(&config.listen)?;
    auth(&config.auth)?;
    admin(config)?;
    session(&config.session)?;
    topics(&config.topics)?;
    pressure_check::check(&config.pressure)?;
    log(config)?;
    feed_check::check(&config.feeds, &config.topics)
}

/// How to mend a value of the wrong type or form, by the name of its key.
pub(super) fn hint(key: &str, message: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    let unit = last.rsplit('_').next().unwrap_or(last);
    match (last, unit) {
        _ if message.starts_with("unknown") || message.starts_with("missing") => "config/default.toml documents every key",
        ("address", _) => "write IP:PORT, for example \"127.0.0.1:8443\"",
        (_, "ms") => "write a whole number of milliseconds",
        (_, "s") => "write a whole number of seconds",
        (_, "bytes") => "write a whole number of bytes",
        ("symbols" | "origins" | "channels" | "files", _) => "write a list of texts, for example [\"a\", \"b\"]",
        _ if message.contains("expected u") || message.contains("expected usize") => "write a whole number, 0 or more",
        _ => "",
    }
    .to_owned()
}

fn node(config: &Config) -> Result<(), Fault> {
    let name = &config.node.name;
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(Fault::new("node.name", format!("{name:?} is not a name"), "use 1 to 64 printable characters"));
    }
    if config.node.shards > MAX_SHARDS {
        let what = format!("{} is too many", config.node.shards);
        return Err(Fault::new("node.shards", what, format!("use 1 to {MAX_SHARDS}, or 0 for one a core")));
    }
    cores(&config.node)
}

fn cores(node: &Node) -> Result<(), Fault> {
    let usable = cores::usable();
    let of_shards = node.shard_cores.iter().enumerate().map(|(at, core)| (format!("node.shard_cores[{at}]"), *core));
    let of_others = [("node.feeds_core", node.feeds_core), ("node.main_core", node.main_core)];
    let of_others = of_others.into_iter().filter_map(|(key, core)| Some((key.to_owned(), core?)));
    for (key, core) in of_shards.chain(of_others) {
        if !usable.contains(&core) {
            let remedy = match usable.is_empty() {
                true => "threads cannot be pinned on this system; leave it out".to_owned(),
                false => format!("use some of {usable:?}"),
            };
            return Err(Fault::new(key, format!("{core} is not a core that this process may use"), remedy));
        }
    }
    Ok(())
}

fn listen(listen: &Listen) -> Result<(), Fault> {
    match (&listen.certificate, &listen.key, listen.self_signed) {
        (None, None, true) => {}
        (None, None, false) => {
            let remedy = "set listen.certificate and listen.key, or listen.self_signed = true for tests";
            return Err(Fault::new("listen.certificate", "there is no certificate", remedy));
        }
        (Some(_), _, true) | (_, Some(_), true) => {
            let what = "stands beside a certificate file or key file";
            return Err(Fault::new("listen.self_signed", what, "remove the one or the other"));
        }
        (Some(certificate), Some(key), false) => check_certificate(certificate, key)?,
        (Some(_), None, false) => {
            return Err(Fault::new("listen.key", "is missing beside listen.certificate", "name the PEM file of its private key"));
        }
        (None, Some(_), false) => {
            let remedy = "name the PEM file of the certificate chain";
            return Err(Fault::new("listen.certificate", "is missing beside listen.key", remedy));
        }
    }
    at_least("listen.handshake_timeout_ms", listen.handshake_timeout_ms, 1)?;
    at_least("listen.max_connections", listen.max_connections as u64, 1)?;
    for (at, origin) in listen.origins.iter().enumerate() {
        if !is_origin(origin) {
            let what = format!("'{origin}' is not an origin");
            return Err(Fault::new(
                format!("listen.origins[{at}]"),
                what,
                "write https://HOST or https://HOST:PORT, without a path",
            ));
        }
    }
    Ok(())
}

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

fn check_certificate(certificate: &Path, key: &Path) -> Result<(), Fault> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(|all| all.collect::<Result<Vec<_>, _>>())
        .map_err(|error| unusable("listen.certificate", certificate, pem_text(&error)))?;
    if chain.is_empty() {
        return Err(unusable("listen.certificate", certificate, "holds no certificate"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("listen.key", key, pem_text(&error)))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, secret, &provider).map(drop).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let what = format!("{} does not belong to the certificate in {}", key.display(), certificate.display());
            Fault::new("listen.key", what, "name the key the certificate was made for")
        }
        rustls::Error::InvalidCertificate(error) => {
            unusable("listen.certificate", certificate, format!("is not a usable certificate: {error:?}"))
        }
        error => unusable("listen.key", key, format!("is not a usable key: {error}")),
    })
}

fn unusable(key: &str, path: &Path, what: impl std::fmt::Display) -> Fault {
    let what = format!("{}: {what}", path.display());
    Fault::new(key, what, "name an existing PEM file; relative paths start at the configuration's folder")
}

fn pem_text(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => "holds nothing of this kind in PEM form".to_owned(),
        other => format!("is not PEM: {other}"),
    }
}

/// A shorter HS256 secret than the hash is long can be found by guessing (RFC 7518, 3.2).
const MIN_SECRET_BYTES: usize = 32;

fn auth(auth: &Auth) -> Result<(), Fault> {
    if auth.required && auth.hs256_secret_file.is_none() && auth.eddsa_public_key_file.is_none() {
        let remedy = "set auth.hs256_secret_file or auth.eddsa_public_key_file";
        return Err(Fault::new("auth.required", "there is no key to check tokens with", remedy));
    }
    if let Some(path) = &auth.hs256_secret_file {
        let key = "auth.hs256_secret_file";
        let remedy = "name a readable file; relative paths start at the configuration's folder";
        let secret = std::fs::read(path)
            .map_err(|error| Fault::new(key, format!("{}: cannot be read: {error}", path.display()), remedy))?;
        let bytes = secret.trim_ascii_end().len();
        if bytes < MIN_SECRET_BYTES {
            let what = format!("{}: a secret of {bytes} bytes can be guessed", path.display());
            return Err(Fault::new(key, what, format!("use at least {MIN_SECRET_BYTES} random bytes")));
        }
    }
    if let Some(path) = &auth.eddsa_public_key_file {
        SubjectPublicKeyInfoDer::from_pem_file(path)
            .map_err(|error| unusable("auth.eddsa_public_key_file", path, pem_text(&error)))?;
    }
    Ok(())
}

fn admin(config: &Config) -> Result<(), Fault> {
    let address = config.admin.address;
    if !address.ip().is_loopback() && !config.admin.allow_remote {
        let what = format!("{address} can be reached from other machines, and this port has no login");
        let remedy = "use a loopback address such as \"127.0.0.1:9464\", or set admin.allow_remote = true and guard the port";
        return Err(Fault::new("admin.address", what, remedy));
    }
    if address.port() != 0 && address == config.listen.address {
        return Err(Fault::new("admin.address", format!("{address} is listen.address too"), "give each its own port"));
    }
    Ok(())
}

/// Room for the header and one record of any kind but a deep book, which gets a frame of its own, however large.
const MIN_FRAME_BYTES: u64 = 1_024;
/// Room for a request with one topic of the longest name.
const MIN_REQUEST_BYTES: u64 = 256;

fn session(session: &Session) -> Result<(), Fault> {
    for (key, value, least) in [
        ("session.max_subscriptions", session.max_subscriptions as u64, 1),
        ("session.commands_per_second", u64::from(session.commands_per_second), 1),
        ("session.commands_burst", u64::from(session.commands_burst), 1),
        ("session.request_bytes", session.request_bytes as u64, MIN_REQUEST_BYTES),
        ("session.frame_bytes", session.frame_bytes as u64, MIN_FRAME_BYTES),
        ("session.write_timeout_ms", session.write_timeout_ms, 1),
        ("session.ping_interval_ms", session.ping_interval_ms, 1),
        ("session.idle_timeout_ms", session.idle_timeout_ms, 1),
    ] {
        at_least(key, value, least)?;
    }
    if session.bytes_per_second != 0 {
        at_least("session.bytes_per_second", u64::from(session.bytes_per_second), MIN_FRAME_BYTES)?;
    }
    if session.idle_timeout_ms <= session.ping_interval_ms {
        let what = format!(
            "{} ms is not longer than session.ping_interval_ms ({} ms): quiet clients would be cut before they can answer",
            session.idle_timeout_ms, session.ping_interval_ms
        );
        return Err(Fault::new("session.idle_timeout_ms", what, "make it at least one and a half times as long"));
    }
    ticket(session)
}

/// Tokens end; what goes on without one should not outlive them by far.
const MAX_TICKET_LIFETIME_S: u64 = 30 * 86_400;

fn ticket(session: &Session) -> Result<(), Fault> {
    let (current, former) = ("session.ticket_key_file", "session.ticket_former_key_file");
    for (key, path) in [(current, &session.ticket_key_file), (former, &session.ticket_former_key_file)] {
        if let Some(path) = path {
            read_key(path).map_err(|what| Fault::new(key, what, KEY_REMEDY))?;
        }
    }
    if session.ticket_key_file.is_none() && session.ticket_former_key_file.is_some() {
        return Err(Fault::new(former, format!("stands without {current}"), "name the key that came after it as well"));
    }
    let lifetime_s = session.ticket_lifetime_s;
    at_least("session.ticket_lifetime_s", lifetime_s, 1)?;
    if lifetime_s > MAX_TICKET_LIFETIME_S {
        let what = format!("{lifetime_s} is too large");
        return Err(Fault::new("session.ticket_lifetime_s", what, format!("use {MAX_TICKET_LIFETIME_S} (30 days) or less")));
    }
    Ok(())
}

/// The deepest book view that has a fixed depth.
const MIN_BOOK_LEVELS: u64 = 50;

fn topics(topics: &Topics) -> Result<(), Fault> {
    at_least("topics.max_topics", u64::from(topics.max_topics), feed_check::TOPICS_PER_INSTRUMENT)?;
    at_least("topics.trade_ring", topics.trade_ring as u64, 1)?;
    at_least("topics.book_log", topics.book_log as u64, 1)?;
    at_least("topics.book_levels", topics.book_levels as u64, MIN_BOOK_LEVELS)
}

fn log(config: &Config) -> Result<(), Fault> {
    let filter = &config.log.filter;
    tracing_subscriber::EnvFilter::try_new(filter).map(drop).map_err(|error| {
        Fault::new(
            "log.filter",
            format!("'{filter}' is not a filter: {error}"),
            "write for example \"info\" or \"warn,tickwire=debug\"",
        )
    })
}

pub(super) fn at_least(key: impl Into<String>, value: u64, least: u64) -> Result<(), Fault> {
    match value < least {
        true => Err(Fault::new(key, format!("{value} is too small"), format!("use {least} or more"))),
        false => Ok(()),
    }
}
