//! In: a bearer token (JWT) from a header, the query or a WebSocket subprotocol. Out: an identity, or a reason that gives nothing away.
//! Bounded by `MAX_TOKEN` bytes and the configured keys. Tokens are never logged and never sent back.

use super::settings::{AuthSettings, KeyAlgorithm, KeySettings};
use super::{GateError, Refusal};
use crate::session::Identity;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
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
}

impl TokenError {
    pub fn message(self) -> &'static str {
        match self {
            Self::Missing => {
                "a token is needed: 'Authorization: Bearer TOKEN', '?token=TOKEN', or the subprotocol 'bearer.TOKEN' from a browser"
            }
            Self::Invalid => "the token is not valid",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Audience => "the token is for another audience",
            Self::Issuer => "the token is from another issuer",
            Self::Claims => "the token's claims 'exp', 'sub' or 'topics' are missing or malformed",
            Self::TwoTokens => "more than one token was given",
        }
    }

    pub fn refusal(self) -> Refusal {
        match self {
            Self::Missing => Refusal::NoToken,
            Self::Expired => Refusal::ExpiredToken,
            _ => Refusal::BadToken,
        }
    }
}

pub struct Authenticator {
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    key: DecodingKey,
    /// Holds the one algorithm this key is for: the token's header never chooses.
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default)]
    topics: Vec<String>,
}

impl Authenticator {
    /// `None` where no keys are configured: the server is open.
    pub fn new(settings: &AuthSettings) -> Result<Option<Self>, GateError> {
        let keys = settings.keys.iter().map(|key| Key::load(key, settings)).collect::<Result<Vec<_>, _>>()?;
        Ok(if keys.is_empty() { None } else { Some(Self { keys }) })
    }

    /// Judges the one token a request carries.
    pub fn identify(&self, headers: &HeaderMap, query_token: Option<&str>) -> Result<Identity, TokenError> {
        let mut tokens = Vec::new();
        for value in headers.get_all(AUTHORIZATION) {
            let value = value.to_str().map_err(|_| TokenError::Invalid)?;
            let (scheme, token) = value.split_once(' ').ok_or(TokenError::Invalid)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(TokenError::Invalid);
            }
            tokens.push(token.trim());
        }
        tokens.extend(query_token);
        tokens.extend(
            headers
                .get_all(SEC_WEBSOCKET_PROTOCOL)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .filter_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL)),
        );
        match tokens[..] {
            [] => Err(TokenError::Missing),
            [token] => self.judge(token),
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
        let fits = |key: &&Key| match (&key.id, &header.kid) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        };
        let mut outcome = Err(TokenError::Invalid);
        for key in self.keys.iter().filter(fits) {
            outcome = key.judge(token);
            // Keys without id are tried in turn; a signature that held ends the search, whatever the claims said.
            if outcome != Err(TokenError::Invalid) {
                break;
            }
        }
        outcome
    }
}

impl Key {
    fn load(settings: &KeySettings, auth: &AuthSettings) -> Result<Self, GateError> {
        let path = &settings.file;
        let mut bytes = std::fs::read(path).map_err(|error| GateError::File { path: path.clone(), error })?;
        let (key, algorithm) = match settings.algorithm {
            KeyAlgorithm::Hs256 => {
                while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                    bytes.pop();
                }
                if bytes.len() < MIN_SECRET {
                    let what = format!("an HS256 secret has at least {MIN_SECRET} bytes, this one {}", bytes.len());
                    return Err(GateError::Auth(format!("{}: {what}", path.display())));
                }
                if bytes.starts_with(b"-----BEGIN") {
                    // A public key as shared secret: anybody who has it could make tokens.
                    return Err(GateError::Auth(format!("{}: a PEM file is no HS256 secret", path.display())));
                }
                (DecodingKey::from_secret(&bytes), Algorithm::HS256)
            }
            KeyAlgorithm::EdDsa => {
                let key = DecodingKey::from_ed_pem(&bytes)
                    .map_err(|_| GateError::Auth(format!("{}: not an Ed25519 public key in PEM form", path.display())))?;
                (key, Algorithm::EdDSA)
            }
        };
        Ok(Self { id: settings.id.clone(), key, validation: validation(algorithm, auth) })
    }

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
        let topics = data.claims.topics.iter().map(|topic| Pattern::parse(topic)).collect::<Result<Vec<_>, _>>();
        let topics = topics.map_err(|_| TokenError::Claims)?;
        let expires_at = i64::try_from(data.claims.exp).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        Ok(Identity { subject: data.claims.sub, expires_at, topics })
    }
}

fn validation(algorithm: Algorithm, auth: &AuthSettings) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = auth.leeway.as_secs();
    validation.validate_exp = true;
    validation.validate_nbf = true;
    let mut required = vec!["exp", "sub"];
    match &auth.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        // Not ours to judge: the operator did not say who we are.
        None => validation.validate_aud = false,
    }
    if let Some(issuer) = &auth.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    validation.set_required_spec_claims(&required);
    validation
}
