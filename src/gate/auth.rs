//! In: a bearer token (JWT) from a header, the query or a WebSocket subprotocol. Out: an identity, or a reason that gives nothing away.
//! Bounded by `MAX_TOKEN` bytes and the configured keys. Tokens are never logged and never sent back.

use super::GateError;
use crate::config::Auth;
use crate::session::Identity;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::path::Path;
use wire::request::Pace;
use wire::topic::Pattern;

/// Longest token looked at: far above any we would issue, far below the request head's limit.
const MAX_TOKEN: usize = 4096;
/// A shorter HS256 secret than the hash is long can be found by guessing (RFC 7518, 3.2).
const MIN_SECRET: usize = 32;
/// How browsers, which cannot set headers on a WebSocket, send a token: as one more offered subprotocol.
pub(super) const BEARER_PROTOCOL: &str = "bearer.";

/// Why a token does not open the door. The text goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    Missing,
    /// Shape, algorithm, key or signature: one text for all, so that a forger learns nothing.
    Invalid,
    Expired,
    NotYet,
    Audience,
    Issuer,
    Claims,
    TwoTokens,
    InQuery,
}

impl TokenError {
    pub fn message(self) -> &'static str {
        match self {
            Self::Missing => {
                "a token is needed: send 'Authorization: Bearer TOKEN', or from a browser offer the subprotocol 'bearer.TOKEN'"
            }
            Self::Invalid => "the token is not valid",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Audience => "the token is for another audience",
            Self::Issuer => "the token is from another issuer",
            Self::Claims => "the token's claims 'exp', 'sub', 'topics' or 'pace' are missing or malformed",
            Self::TwoTokens => "more than one token was given",
            Self::InQuery => {
                "tokens in the address are not taken here, they end up in logs; see the server's auth.token_in_query"
            }
        }
    }
}

pub struct Authenticator {
    /// None where everybody may connect.
    keys: Vec<Key>,
    required: bool,
    token_in_query: bool,
}

struct Key {
    key: DecodingKey,
    /// Holds the one algorithm this key is for: the token's header never chooses.
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    /// Names and patterns of the topics its holder may see; without the claim, all.
    topics: Option<Vec<String>>,
    /// The fastest pace its holder may have; without the claim, any.
    #[serde(default)]
    pace: Pace,
}

impl Authenticator {
    pub fn new(auth: &Auth) -> Result<Self, GateError> {
        let mut keys = Vec::new();
        if let Some(path) = &auth.hs256_secret_file {
            keys.push(Key { key: hs256_key(path)?, validation: validation(Algorithm::HS256, auth) });
        }
        if let Some(path) = &auth.eddsa_public_key_file {
            keys.push(Key { key: eddsa_key(path)?, validation: validation(Algorithm::EdDSA, auth) });
        }
        if auth.required && keys.is_empty() {
            return Err(GateError::Auth("required = true needs hs256_secret_file or eddsa_public_key_file".to_owned()));
        }
        Ok(Self { keys, required: auth.required, token_in_query: auth.token_in_query })
    }

    /// Judges the one token a request carries. `Ok(None)`: there is none and none is needed.
    pub fn identify(&self, headers: &HeaderMap, query_token: Option<&str>) -> Result<Option<Identity>, TokenError> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        if query_token.is_some() && !self.token_in_query {
            return Err(TokenError::InQuery);
        }
        let mut tokens: Vec<&str> = query_token.into_iter().collect();
        for value in headers.get_all(AUTHORIZATION) {
            let value = value.to_str().map_err(|_| TokenError::Invalid)?;
            match value.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => tokens.push(token.trim()),
                _ => return Err(TokenError::Invalid),
            }
        }
        let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        let offered = offered.flat_map(|value| value.split(','));
        tokens.extend(offered.filter_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL)));
        match tokens[..] {
            [] if self.required => Err(TokenError::Missing),
            [] => Ok(None),
            [token] => self.judge(token).map(Some),
            _ => Err(TokenError::TwoTokens),
        }
    }

    fn judge(&self, token: &str) -> Result<Identity, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        // Extensions we do not know must not be skipped (RFC 7515, 4.1.11), and we know none.
        if header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let mut outcome = Err(TokenError::Invalid);
        for key in &self.keys {
            outcome = key.judge(token);
            // A signature that held ends the search, whatever the claims said.
            if outcome != Err(TokenError::Invalid) {
                break;
            }
        }
        outcome
    }
}

impl Key {
    fn judge(&self, token: &str) -> Result<Identity, TokenError> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            ErrorKind::ImmatureSignature => TokenError::NotYet,
            ErrorKind::InvalidAudience => TokenError::Audience,
            ErrorKind::InvalidIssuer => TokenError::Issuer,
            ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenError::Audience,
            ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => TokenError::Issuer,
            // The signature is checked before the claims are read, so whoever sees these has a real token.
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => TokenError::Claims,
            _ => TokenError::Invalid,
        })?;
        let topics = match &data.claims.topics {
            None => Vec::new(),
            // "Nothing" must not be read as "everything".
            Some(topics) if topics.is_empty() => return Err(TokenError::Claims),
            Some(topics) => {
                topics.iter().map(|topic| Pattern::parse(topic)).collect::<Result<_, _>>().map_err(|_| TokenError::Claims)?
            }
        };
        let expires_at = i64::try_from(data.claims.exp).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        Ok(Identity { subject: data.claims.sub, expires_at, topics, fastest: data.claims.pace })
    }
}

fn hs256_key(path: &Path) -> Result<DecodingKey, GateError> {
    let bytes = read(path)?;
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    let secret = &bytes[..end];
    if secret.len() < MIN_SECRET {
        let what = format!("an HS256 secret has at least {MIN_SECRET} bytes, this one {}", secret.len());
        return Err(GateError::Auth(format!("{}: {what}", path.display())));
    }
    if secret.starts_with(b"-----BEGIN") {
        // With a public key as the shared secret, anybody who has it could make tokens.
        return Err(GateError::Auth(format!("{}: a PEM file is no HS256 secret", path.display())));
    }
    Ok(DecodingKey::from_secret(secret))
}

fn eddsa_key(path: &Path) -> Result<DecodingKey, GateError> {
    DecodingKey::from_ed_pem(&read(path)?)
        .map_err(|_| GateError::Auth(format!("{}: not an Ed25519 public key in PEM form", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, GateError> {
    std::fs::read(path).map_err(|error| GateError::File { path: path.to_owned(), error })
}

fn validation(algorithm: Algorithm, auth: &Auth) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = auth.leeway_s;
    validation.validate_exp = true;
    validation.validate_nbf = true;
    let mut required = vec!["exp", "sub"];
    match &auth.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        // The operator did not say who we are, so it is not ours to judge.
        None => validation.validate_aud = false,
    }
    if let Some(issuer) = &auth.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}
