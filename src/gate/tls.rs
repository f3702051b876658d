//! In: certificate and key files, or nothing (self-signed). Out: the TLS configuration of each new connection.
//! Bounded: one configuration in force, replaced whole; no server-side session state.

use super::{GateError, keys};
use crate::config::Listen;
use arc_swap::ArcSwap;
use rustls::CipherSuite;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Suites that we choose if a client has them, whatever it likes best. AES-GCM is five times cheaper than ChaCha20 where the CPU has AES
/// instructions, as servers do; a handshake hashes some forty times, and CPUs have instructions for SHA-256 but not for SHA-384.
const CHEAPEST: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// Names a self-signed certificate is good for.
const SELF_SIGNED_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Some platforms refuse certificates that live longer than 825 days.
const SELF_SIGNED_DAYS: u64 = 365;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The configuration in force. Running connections keep the one they began with.
pub struct Tls(ArcSwap<InForce>);

struct InForce {
    config: Arc<ServerConfig>,
    certificate_pem: Arc<String>,
}

impl Tls {
    pub fn new(listen: &Listen) -> Result<Self, GateError> {
        Ok(Self(ArcSwap::from_pointee(InForce::load(listen)?)))
    }

    /// On an error the old configuration stays.
    pub fn reload(&self, listen: &Listen) -> Result<(), GateError> {
        self.0.store(Arc::new(InForce::load(listen)?));
        Ok(())
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.load().config.clone()
    }

    pub fn certificate_pem(&self) -> Arc<String> {
        self.0.load().certificate_pem.clone()
    }
}

impl InForce {
    fn load(listen: &Listen) -> Result<Self, GateError> {
        match (&listen.certificate, &listen.key, listen.self_signed) {
            (Some(certificate), Some(key), false) => Self::from_files(certificate, key),
            (None, None, true) => Self::self_signed(),
            _ => Err(GateError::Certificate),
        }
    }

    fn from_files(certificate: &Path, key: &Path) -> Result<Self, GateError> {
        let certificate_pem = read(certificate)?;
        let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad_pem(certificate, "certificate", &error))?;
        if chain.is_empty() {
            return Err(bad_pem(certificate, "certificate", &pem::Error::NoItemsFound));
        }
        let secret = PrivateKeyDer::from_pem_slice(read(key)?.as_bytes()).map_err(|error| bad_pem(key, "private key", &error))?;
        let config = server_config(chain, secret).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                GateError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() }
            }
            rustls::Error::InvalidCertificate(error) => {
                GateError::Pem { path: certificate.to_owned(), what: format!("not a usable certificate: {error:?}") }
            }
            rustls::Error::General(what) => {
                GateError::Pem { path: key.to_owned(), what: format!("not a usable private key: {what}") }
            }
            error => GateError::Tls(error),
        })?;
        Ok(Self { config, certificate_pem: Arc::new(certificate_pem) })
    }

    fn self_signed() -> Result<Self, GateError> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(SELF_SIGNED_NAMES.map(str::to_owned))?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "tickwire self-signed");
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        // From yesterday on: clocks of clients may be behind ours.
        params.not_before = epoch + now.saturating_sub(DAY);
        params.not_after = epoch + now + DAY * SELF_SIGNED_DAYS as u32;
        let certificate = params.self_signed(&key)?;
        let certificate_pem = Arc::new(certificate.pem());
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = server_config(vec![certificate.der().clone()], secret)?;
        Ok(Self { config, certificate_pem })
    }
}

fn server_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<ServerConfig>, rustls::Error> {
    // The provider is given by hand: if a dependency ever switches on a second one, rustls would have to guess, and panics.
    let mut provider = provider::default_provider();
    // Their order is kept otherwise: AES-256, and ChaCha20 last, for who has nothing else.
    provider.cipher_suites.sort_by_key(|suite| !CHEAPEST.contains(&suite.suite()));
    for suite in &mut provider.cipher_suites {
        *suite = keys::without_tables(*suite);
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    // Resumption saves an RSA handshake three quarters of its cost. The ticket holds the state, so it costs no memory here;
    // rustls' default would keep sessions behind one lock. One ticket: each connection is used once.
    config.ticketer = provider::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    // Early data can be replayed by whoever saw it.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<String, GateError> {
    std::fs::read_to_string(path).map_err(|error| GateError::File { path: path.to_owned(), error })
}

fn bad_pem(path: &Path, item: &str, error: &pem::Error) -> GateError {
    let what = match error {
        pem::Error::NoItemsFound => format!("no {item} in PEM form in it"),
        error => format!("bad PEM: {error}"),
    };
    GateError::Pem { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn files(certificate: &Path, key: &Path) -> Listen {
        Listen { certificate: Some(certificate.to_owned()), key: Some(key.to_owned()), ..Listen::default() }
    }

    #[test]
    fn files_are_read_and_mistakes_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::KeyPair::generate().unwrap();
        let certificate = write(at, "cert.pem", &one.cert.pem());
        let key = write(at, "key.pem", &one.signing_key.serialize_pem());
        let foreign = write(at, "foreign.pem", &other.serialize_pem());
        let broken = write(at, "broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
        let junk = write(at, "junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let tls = Tls::new(&files(&certificate, &key)).unwrap();
        assert!(tls.certificate_pem().contains("BEGIN CERTIFICATE"));

        for (certificate, key, part) in [
            (&at.join("none.pem"), &key, "none.pem: No such file"),
            (&certificate, &at.join("none.key"), "none.key: No such file"),
            (&key, &key, "key.pem: no certificate in PEM form"),
            (&certificate, &certificate, "cert.pem: no private key in PEM form"),
            (&broken, &key, "broken.pem: bad PEM"),
            (&junk, &key, "junk.pem: not a usable certificate"),
            (&certificate, &foreign, "foreign.pem does not belong to the certificate in"),
        ] {
            let text = Tls::new(&files(certificate, key)).map(drop).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }

        let before = Arc::as_ptr(&tls.config());
        assert!(tls.reload(&files(&certificate, &foreign)).is_err());
        assert_eq!(Arc::as_ptr(&tls.config()), before, "a bad pair leaves the old one in force");
    }

    #[test]
    fn the_cheapest_suite_goes_first() {
        let tls = Tls::new(&Listen { self_signed: true, ..Listen::default() }).unwrap();
        let suites: Vec<_> = tls.config().crypto_provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(suites[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert!(
            suites.contains(&CipherSuite::TLS13_AES_256_GCM_SHA384)
                && suites.contains(&CipherSuite::TLS13_CHACHA20_POLY1305_SHA256)
        );
        assert!(tls.config().ignore_client_order);
    }

    #[test]
    fn exactly_one_source_of_the_certificate() {
        let tls = Tls::new(&Listen { self_signed: true, ..Listen::default() }).unwrap();
        assert!(tls.certificate_pem().contains("BEGIN CERTIFICATE"));
        let both = Listen { self_signed: true, ..files(Path::new("a"), Path::new("b")) };
        let half = Listen { certificate: Some("a".into()), ..Listen::default() };
        for listen in [Listen::default(), both, half] {
            assert!(matches!(Tls::new(&listen), Err(GateError::Certificate)));
        }
    }
}
