//! TLS as cheap as it gets, with any server: it is the servers that are measured. In: whose certificates to believe. Out: one configuration
//! for all clients. Bounded by what `client` reads.

use client::{ClientError, Trust, tls_config_by};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// One key exchange (browsers add an ML-KEM key, which costs a server a few per cent more), and who is not asked for a certificate to be
/// believed needs no signature either.
pub fn config(trust: &Trust) -> Result<Arc<ClientConfig>, ClientError> {
    let mut provider = CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let mut config = tls_config_by(Arc::new(provider), trust)?;
    if *trust == Trust::AnyCertificate {
        let anyone = Arc::new(Anyone { schemes });
        Arc::make_mut(&mut config).dangerous().set_certificate_verifier(anyone);
    }
    Ok(config)
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
