//! In: reasons why a connection or request was turned away. Out: one counter per reason, and the table of their names.
//! Bounded by the table.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why the gate let somebody not in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    ConnectionLimit,
    AddressLimit,
    ShardFull,
    FileLimit,
    SocketError,
    HandshakeTimeout,
    PlainHttp,
    TlsFailed,
    BadHttp,
    BadRequest,
    NotFound,
    Method,
    Origin,
    NoToken,
    BadToken,
    ExpiredToken,
    Draining,
}

pub struct RefusalRow {
    pub refusal: Refusal,
    /// Value of the metric's `reason` label.
    pub name: &'static str,
    pub meaning: &'static str,
}

const fn row(refusal: Refusal, name: &'static str, meaning: &'static str) -> RefusalRow {
    RefusalRow { refusal, name, meaning }
}

pub const REFUSALS: [RefusalRow; 17] = [
    row(Refusal::ConnectionLimit, "connection_limit", "the server has as many connections as it may have"),
    row(Refusal::AddressLimit, "address_limit", "the peer's address has as many connections as one may have"),
    row(Refusal::ShardFull, "shard_full", "no shard took the connection: all are behind"),
    row(Refusal::FileLimit, "file_limit", "the process is out of file descriptors"),
    row(Refusal::SocketError, "socket_error", "the connection broke before anything was said"),
    row(Refusal::HandshakeTimeout, "handshake_timeout", "TLS handshake and request head took too long"),
    row(Refusal::PlainHttp, "plain_http", "plain HTTP on the TLS port"),
    row(Refusal::TlsFailed, "tls_failed", "the TLS handshake failed"),
    row(Refusal::BadHttp, "bad_http", "the request head could not be read or is too large"),
    row(Refusal::BadRequest, "bad_request", "a bad upgrade, query or header"),
    row(Refusal::NotFound, "not_found", "there is nothing at this path"),
    row(Refusal::Method, "method", "a method other than GET"),
    row(Refusal::Origin, "origin", "a web page of a foreign origin"),
    row(Refusal::NoToken, "no_token", "a token is needed and none was given"),
    row(Refusal::BadToken, "bad_token", "the token is not valid"),
    row(Refusal::ExpiredToken, "expired_token", "the token has expired"),
    row(Refusal::Draining, "draining", "the server is shutting down"),
];

/// One counter per reason. Written a few times per refused connection at most, so shared atomics are good enough.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; REFUSALS.len()]);

impl Refusals {
    pub fn count(&self, refusal: Refusal) {
        self.0[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self, refusal: Refusal) -> u64 {
        self.0[refusal as usize].load(Ordering::Relaxed)
    }

    /// Name and count of each reason, for the metrics page.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REFUSALS.iter().map(|row| (row.name, self.get(row.refusal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, row) in REFUSALS.iter().enumerate() {
            assert_eq!(row.refusal as usize, at, "{}", row.name);
        }
    }
}
