//! In: the `listen`, `auth` and `session` sections of the configuration. Out: what the gate needs of them, in its own terms.
//! Bounded: plain values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct GateSettings {
    pub address: SocketAddr,
    pub certificate: CertificateSource,
    /// From accept to the last byte of the request head, TLS included.
    pub handshake_timeout: Duration,
    pub max_connections: usize,
    pub max_connections_per_ip: usize,
    /// Origins of web pages that may connect, besides the server's own.
    pub origins: Vec<String>,
    /// `SO_SNDBUF`; 0 leaves it to the kernel.
    pub send_buffer_bytes: usize,
    /// Largest message a client may send.
    pub request_bytes: usize,
    /// Largest data frame the server makes.
    pub frame_bytes: usize,
    /// How long one frame may wait for the client to take it.
    pub write_timeout: Duration,
    pub auth: AuthSettings,
}

#[derive(Clone, Debug)]
pub enum CertificateSource {
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    /// Made at start, kept in memory; `write_to` gets the certificate (not the key), for clients that shall trust it.
    SelfSigned {
        write_to: Option<PathBuf>,
    },
}

/// Without keys, everybody may connect.
#[derive(Clone, Debug, Default)]
pub struct AuthSettings {
    pub keys: Vec<KeySettings>,
    /// `aud` a token must name.
    pub audience: Option<String>,
    /// `iss` a token must name.
    pub issuer: Option<String>,
    /// Clock difference forgiven when `exp` and `nbf` are judged.
    pub leeway: Duration,
}

#[derive(Clone, Debug)]
pub struct KeySettings {
    /// Compared with `kid` where a token has one; a key without id fits every token.
    pub id: Option<String>,
    pub algorithm: KeyAlgorithm,
    /// HS256: the file's bytes without a newline at the end are the secret. EdDSA: a public key in PEM.
    pub file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    Hs256,
    EdDsa,
}
