//! TLS as cheap as it gets, with any server: it is the servers that are measured. In: whose certificates to believe. Out: one configuration
//! for all clients. Bounded by what `client` reads, and one key pair for each client.

use client::{ClientError, Trust, tls_config_by};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::kx_group::X25519;
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, Error, NamedGroup, SignatureScheme};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// One key exchange (browsers add an ML-KEM key, which costs a server a few per cent more), and who is not asked for a certificate to be
/// believed needs no signature either.
pub fn config(trust: &Trust) -> Result<Arc<ClientConfig>, ClientError> {
    let mut provider = CryptoProvider { kx_groups: vec![&PREPARED], ..aws_lc_rs::default_provider() };
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let mut config = tls_config_by(Arc::new(provider), trust)?;
    // Many clients, not one that comes back: each shakes hands in full.
    Arc::make_mut(&mut config).resumption = Resumption::disabled();
    if *trust == Trust::AnyCertificate {
        let anyone = Arc::new(Anyone { schemes });
        Arc::make_mut(&mut config).dangerous().set_certificate_verifier(anyone);
    }
    Ok(config)
}

/// Key pairs for so many handshakes, made before anybody connects: elsewhere each client has a core for that, here all share one.
pub fn prepare(handshakes: usize) {
    // If one cannot be made, then the handshake itself will say why.
    let keys = (0..handshakes).map_while(|_| X25519.start().ok());
    PREPARED.keys.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
}

static PREPARED: Prepared = Prepared { keys: Mutex::new(Vec::new()) };

/// X25519 with key pairs that are there already, as long as there are any. Each is used once.
struct Prepared {
    keys: Mutex<Vec<Box<dyn ActiveKeyExchange>>>,
}

impl SupportedKxGroup for Prepared {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let ready = self.keys.lock().unwrap_or_else(PoisonError::into_inner).pop();
        ready.map_or_else(|| X25519.start(), Ok)
    }

    fn name(&self) -> NamedGroup {
        X25519.name()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared")
    }
}

#[derive(Debug)]
struct Anyone {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
