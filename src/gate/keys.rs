//! AES-GCM for the records of TLS 1.3. In: the keys of a connection, plaintext or ciphertext. Out: the other one. Bounded: 72 bytes a direction.
//!
//! A cipher's context is some 640 bytes of tables, made from a key of 16 or 32. To who has thousands of connections, each of which writes now
//! and then, these tables are cold: reading them from memory takes about as long as making them anew, and they are most of what an idle
//! connection would hold. So a connection has its keys, and the tables last for one record. The protocol stays the library's: sequence
//! numbers, limits of a key, key updates.

use aws_lc_rs::aead::{self, Aad, Algorithm, TlsProtocolId, TlsRecordOpeningKey, TlsRecordSealingKey};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce, OutboundOpaqueMessage,
    OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm, UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::{CipherSuiteCommon, aws_lc_rs as provider};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite};
use std::sync::LazyLock;

/// The type of what is in a record, behind it.
const TYPE_BYTES: usize = 1;

static AES_128: LazyLock<Tls13CipherSuite> =
    LazyLock::new(|| suite(provider::cipher_suite::TLS13_AES_128_GCM_SHA256, &Gcm(&aead::AES_128_GCM)));
static AES_256: LazyLock<Tls13CipherSuite> =
    LazyLock::new(|| suite(provider::cipher_suite::TLS13_AES_256_GCM_SHA384, &Gcm(&aead::AES_256_GCM)));

/// The same suite, with no more than keys for each connection. Others than AES-GCM of TLS 1.3 stay as they are.
pub fn without_tables(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite.suite() {
        rustls::CipherSuite::TLS13_AES_128_GCM_SHA256 => SupportedCipherSuite::Tls13(&AES_128),
        rustls::CipherSuite::TLS13_AES_256_GCM_SHA384 => SupportedCipherSuite::Tls13(&AES_256),
        _ => suite,
    }
}

fn suite(of: SupportedCipherSuite, aead_alg: &'static Gcm) -> Tls13CipherSuite {
    let of = of.tls13().expect("a suite of TLS 1.3");
    let CipherSuiteCommon { suite, hash_provider, confidentiality_limit, .. } = of.common;
    let common = CipherSuiteCommon { suite, hash_provider, confidentiality_limit };
    Tls13CipherSuite { common, hkdf_provider: of.hkdf_provider, aead_alg, quic: None }
}

struct Gcm(&'static Algorithm);

impl Tls13AeadAlgorithm for Gcm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Keys { algorithm: self.0, key, iv })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Keys { algorithm: self.0, key, iv })
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    /// Nobody takes them out.
    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// Of one direction.
struct Keys {
    algorithm: &'static Algorithm,
    key: AeadKey,
    iv: Iv,
}

impl Keys {
    fn nonce(&self, sequence: u64) -> aead::Nonce {
        aead::Nonce::assume_unique_for_key(Nonce::new(&self.iv, sequence).0)
    }
}

impl MessageEncrypter for Keys {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, sequence: u64) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut record = PrefixedPayload::with_capacity(length);
        record.extend_from_chunks(&message.payload);
        record.extend_from_slice(&message.typ.to_array());
        TlsRecordSealingKey::new(self.algorithm, TlsProtocolId::TLS13, self.key.as_ref())
            .and_then(|mut tables| {
                tables.seal_in_place_append_tag(self.nonce(sequence), Aad::from(make_tls13_aad(length)), &mut record)
            })
            .map_err(|_| Error::EncryptError)?;
        // All records of TLS 1.3 say that they are application data of TLS 1.2: RFC 8446, 5.2.
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, record))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + TYPE_BYTES + self.algorithm.tag_len()
    }
}

impl MessageDecrypter for Keys {
    fn decrypt<'a>(&mut self, mut message: InboundOpaqueMessage<'a>, sequence: u64) -> Result<InboundPlainMessage<'a>, Error> {
        let record = &mut message.payload;
        if record.len() < self.algorithm.tag_len() {
            return Err(Error::DecryptError);
        }
        let aad = Aad::from(make_tls13_aad(record.len()));
        let plain = TlsRecordOpeningKey::new(self.algorithm, TlsProtocolId::TLS13, self.key.as_ref())
            .and_then(|tables| Ok(tables.open_in_place(self.nonce(sequence), aad, record)?.len()))
            .map_err(|_| Error::DecryptError)?;
        record.truncate(plain);
        message.into_tls13_unpadded_message()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listen;
    use rustls::client::WebPkiServerVerifier;
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use std::io::{Cursor, Read, Write};
    use std::sync::Arc;

    /// A client of the library with its own ciphers, and a server with ours, after their handshake.
    fn ends(suite: SupportedCipherSuite) -> (ClientConnection, ServerConnection) {
        let tls = super::super::tls::Tls::new(&Listen { self_signed: true, ..Listen::default() }).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(tls.certificate_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::CryptoProvider { cipher_suites: vec![suite], ..provider::default_provider() });
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_webpki_verifier(verifier)
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(tls.config()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            carry(&mut client, &mut server).unwrap();
            carry(&mut server, &mut client).unwrap();
        }
        (client, server)
    }

    /// All that one end has to say reaches the other.
    fn carry<A, B>(from: &mut rustls::ConnectionCommon<A>, to: &mut rustls::ConnectionCommon<B>) -> Result<(), Error> {
        hear(to, &said(from))
    }

    fn said<A>(from: &mut rustls::ConnectionCommon<A>) -> Vec<u8> {
        let mut records = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut records).unwrap();
        }
        records
    }

    fn hear<B>(to: &mut rustls::ConnectionCommon<B>, records: &[u8]) -> Result<(), Error> {
        let mut records = Cursor::new(records);
        while records.position() < records.get_ref().len() as u64 {
            to.read_tls(&mut records).unwrap();
            to.process_new_packets()?;
        }
        Ok(())
    }

    /// Says so many bytes, which arrive as they are.
    fn tell<A, B>(from: &mut rustls::ConnectionCommon<A>, to: &mut rustls::ConnectionCommon<B>, bytes: usize) {
        let text: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        from.writer().write_all(&text).unwrap();
        carry(from, to).unwrap();
        let mut heard = vec![0; bytes];
        to.reader().read_exact(&mut heard).unwrap();
        assert_eq!(heard, text);
    }

    const OURS: [SupportedCipherSuite; 2] =
        [provider::cipher_suite::TLS13_AES_128_GCM_SHA256, provider::cipher_suite::TLS13_AES_256_GCM_SHA384];

    #[test]
    fn who_has_the_librarys_ciphers_understands() {
        for suite in OURS {
            let (mut client, mut server) = ends(suite);
            assert_eq!(server.negotiated_cipher_suite().map(|suite| suite.suite()), Some(suite.suite()));
            for bytes in [1, 74, 16_384, 2] {
                tell(&mut server, &mut client, bytes);
                tell(&mut client, &mut server, bytes);
            }
            // New keys, for both directions.
            server.refresh_traffic_keys().unwrap();
            tell(&mut server, &mut client, 5);
            tell(&mut client, &mut server, 5);
            client.refresh_traffic_keys().unwrap();
            tell(&mut client, &mut server, 6);
            tell(&mut server, &mut client, 6);
        }
    }

    #[test]
    fn what_was_changed_on_the_way_is_refused() {
        for suite in OURS {
            let heard = |change: fn(&mut Vec<u8>)| {
                let (mut client, mut server) = ends(suite);
                tell(&mut client, &mut server, 3);
                client.writer().write_all(b"a request").unwrap();
                let mut record = said(&mut client);
                change(&mut record);
                hear(&mut server, &record)
            };
            assert_eq!(heard(|_| ()), Ok(()));
            let changes: [fn(&mut Vec<u8>); 4] = [
                |record| record[5] ^= 1,
                |record| *record.last_mut().unwrap() ^= 0x80,
                // The length is authentic, too: less than a tag, and one byte less.
                |record| {
                    record.truncate(5 + 15);
                    record[4] = 15;
                },
                |record| {
                    record.pop();
                    record[4] -= 1;
                },
            ];
            for change in changes {
                assert_eq!(heard(change), Err(Error::DecryptError));
            }
        }
    }

    #[test]
    fn a_record_cannot_be_heard_twice() {
        let (mut client, mut server) = ends(OURS[0]);
        client.writer().write_all(b"a request").unwrap();
        let record = said(&mut client);
        assert_eq!(hear(&mut server, &record), Ok(()));
        assert_eq!(hear(&mut server, &record), Err(Error::DecryptError));
    }

    #[test]
    fn a_direction_holds_its_key_and_no_more() {
        assert!(size_of::<Keys>() <= 72, "{}", size_of::<Keys>());
    }

    #[test]
    fn other_suites_stay() {
        for suite in provider::ALL_CIPHER_SUITES {
            let is_ours = OURS.contains(suite);
            assert_eq!(without_tables(*suite).suite(), suite.suite());
            let is_the_same = match (suite, without_tables(*suite)) {
                (SupportedCipherSuite::Tls13(one), SupportedCipherSuite::Tls13(other)) => std::ptr::eq(*one, other),
                (SupportedCipherSuite::Tls12(one), SupportedCipherSuite::Tls12(other)) => std::ptr::eq(*one, other),
                _ => false,
            };
            assert_eq!(is_the_same, !is_ours);
        }
    }
}
