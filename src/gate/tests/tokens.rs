//! Tokens: every forged, old or misplaced one is refused with 401 before the upgrade.

use super::*;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::path::Path;

const SECRET: &str = "a secret of more than thirty-two bytes";

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

struct Keys {
    /// Keeps the key files.
    directory: tempfile::TempDir,
    private: EncodingKey,
    public_pem: String,
}

impl Keys {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let public_pem = pair.public_key_pem();
        std::fs::write(directory.path().join("public.pem"), &public_pem).unwrap();
        std::fs::write(directory.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let private = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { directory, private, public_pem }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A server that knows both keys and insists on a token.
    fn config(&self) -> Config {
        let mut config = config();
        config.auth.required = true;
        config.auth.hs256_secret_file = Some(self.path().join("secret"));
        config.auth.eddsa_public_key_file = Some(self.path().join("public.pem"));
        config
    }

    fn eddsa(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &self.private).unwrap()
    }
}

fn hs256(claims: &Value, secret: &[u8]) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn good() -> Value {
    json!({"sub": "alice", "exp": now() + 60, "topics": ["quote/*:*", "book/sim:A/10"]})
}

/// A token with another header and the good one's claims and signature.
fn with_header(token: &str, header: &str) -> String {
    let pem_free = |bytes: &[u8]| {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            (0..=chunk.len()).for_each(|at| text.push(char::from(ALPHABET[(word >> (18 - 6 * at) & 63) as usize])));
        }
        text
    };
    let rest = token.split_once('.').unwrap().1;
    format!("{}.{rest}", pem_free(header.as_bytes()))
}

#[test]
fn a_good_token_opens_by_header_and_by_subprotocol() {
    let keys = Keys::new();
    run(keys.config(), async |server| {
        for token in [keys.eddsa(&good()), hs256(&good(), SECRET.as_bytes())] {
            let answer = server.upgrade("", &format!("Authorization: Bearer {token}\r\n")).await;
            assert_answer(&answer, 101, "");
            let answer = server.upgrade("", &format!("Sec-WebSocket-Protocol: tickwire.v1.bin, bearer.{token}\r\n")).await;
            assert_answer(&answer, 101, "sec-websocket-protocol: tickwire.v1.bin");
            assert!(!answer.contains("bearer"), "{answer}");
            let answer = server.get("/v1/sse?sub=quote/sim:A", &format!("authorization: bearer {token}\r\n")).await;
            assert_answer(&answer, 200, "subject=alice");
        }
        // The page and the probes need none.
        assert_answer(&server.get("/healthz", "").await, 200, "ok");
    });
}

#[test]
fn bad_tokens_are_refused_with_one_line() {
    let keys = Keys::new();
    run(keys.config(), async |server| {
        let token = keys.eddsa(&good());
        let unsigned = token.rsplit_once('.').unwrap().0.to_owned() + ".";
        let other = Keys::new();
        for (token, part) in [
            ("".to_owned(), "not valid"),
            ("junk".to_owned(), "not valid"),
            ("a.b.c".to_owned(), "not valid"),
            ("x".repeat(5000), "not valid"),
            (other.eddsa(&good()), "not valid"),
            (hs256(&good(), b"another secret of thirty-two bytes"), "not valid"),
            // The public key as HMAC secret, in both of the ways it is usually tried.
            (hs256(&good(), keys.public_pem.as_bytes()), "not valid"),
            (hs256(&good(), keys.public_pem.trim().as_bytes()), "not valid"),
            (with_header(&unsigned, r#"{"alg":"none"}"#), "not valid"),
            (with_header(&unsigned, r#"{"alg":"None","typ":"JWT"}"#), "not valid"),
            (with_header(&token, r#"{"alg":"HS256"}"#), "not valid"),
            (with_header(&token, r#"{"alg":"RS256"}"#), "not valid"),
            (with_header(&token, r#"{"alg":"EdDSA","crit":["exp"]}"#), "not valid"),
            (keys.eddsa(&json!({"sub": "alice", "exp": now() - 60})), "expired"),
            (keys.eddsa(&json!({"sub": "alice", "exp": now() + 60, "nbf": now() + 60})), "not valid yet"),
            (keys.eddsa(&json!({"sub": "alice"})), "'exp'"),
            (keys.eddsa(&json!({"exp": now() + 60})), "'sub'"),
            (keys.eddsa(&json!({"sub": "alice", "exp": "9999999999"})), "'exp'"),
            (keys.eddsa(&json!({"sub": "alice", "exp": now() + 60, "nbf": "x"})), "malformed"),
            (keys.eddsa(&json!({"sub": "alice", "exp": now() + 60, "topics": []})), "'topics'"),
            (keys.eddsa(&json!({"sub": "alice", "exp": now() + 60, "topics": ["everything"]})), "'topics'"),
        ] {
            let answer = server.upgrade("", &format!("Authorization: Bearer {token}\r\n")).await;
            assert_answer(&answer, 401, part);
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
            assert!(token.len() < 8 || !answer.contains(&token), "the token came back: {answer}");
        }
        assert_answer(&server.upgrade("", "").await, 401, "a token is needed");
        assert_answer(&server.upgrade("", "Authorization: Basic YTpi\r\n").await, 401, "not valid");
        let twice = format!("Authorization: Bearer {token}\r\nSec-WebSocket-Protocol: bearer.{token}\r\n");
        assert_answer(&server.upgrade("", &twice).await, 401, "more than one");
        assert_answer(&server.upgrade(&format!("?token={token}"), "").await, 401, "auth.token_in_query");
    });
}

#[test]
fn audience_issuer_and_query_as_configured() {
    let keys = Keys::new();
    let mut config = keys.config();
    config.auth.audience = Some("desk".to_owned());
    config.auth.issuer = Some("us".to_owned());
    config.auth.token_in_query = true;
    run(config, async |server| {
        let claims = |aud: Value, iss: Value| keys.eddsa(&json!({"sub": "alice", "exp": now() + 60, "aud": aud, "iss": iss}));
        for (token, expected, part) in [
            (claims(json!("desk"), json!("us")), 101, ""),
            (claims(json!(["x", "desk"]), json!("us")), 101, ""),
            (claims(json!("other"), json!("us")), 401, "another audience"),
            (claims(json!("desk"), json!("them")), 401, "another issuer"),
            (keys.eddsa(&good()), 401, "another"),
        ] {
            assert_answer(&server.upgrade(&format!("?token={token}"), "").await, expected, part);
        }
    });
}

#[test]
fn where_no_token_is_required_one_that_is_sent_must_be_good() {
    let keys = Keys::new();
    let mut config = keys.config();
    config.auth.required = false;
    run(config, async |server| {
        assert_answer(&server.upgrade("", "").await, 101, "");
        assert_answer(&server.upgrade("", "Authorization: Bearer junk\r\n").await, 401, "not valid");
    });
}

#[test]
fn key_files_that_cannot_work_are_named() {
    let keys = Keys::new();
    let at = keys.path();
    std::fs::write(at.join("short"), "too short\n").unwrap();
    type Mistake = fn(&mut crate::config::Auth, &Path);
    let mistakes: [(Mistake, &str); 5] = [
        (|auth, at| auth.hs256_secret_file = Some(at.join("short")), "short: an HS256 secret has at least 32 bytes, this one 9"),
        (|auth, at| auth.hs256_secret_file = Some(at.join("public.pem")), "public.pem: a PEM file is no HS256 secret"),
        (|auth, at| auth.hs256_secret_file = Some(at.join("none")), "none: No such file"),
        (|auth, at| auth.eddsa_public_key_file = Some(at.join("secret")), "secret: not an Ed25519 public key"),
        (|auth, _| auth.required = true, "required = true needs"),
    ];
    for (make, part) in mistakes {
        let mut config = config();
        make(&mut config.auth, at);
        let text = Gate::new(&config, Arc::default(), Arc::new(|| Ok(())), Pressure::new(&config.pressure))
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(text.contains(part), "{text}");
    }
}
