//! In: key files, and texts of tickets. Out: sealed bytes, and what was in them for who may know. Bounded by `request_bytes`.
//!
//! ```text
//! base64url( u8 version · [4] key id · [4] mark of the subject · [12] nonce · sealed( i64 LE expiry, ns · zstd(entries) ) · [16] tag )
//! ```
//! The head is authenticated with the sealed part, and so is the subject itself. Key id and mark are there to tell mistakes apart.

use super::{Sealed, Ticket, TicketError, TicketWriter, TooLarge, entries};
use crate::config::{self, KEY_BYTES, KEY_REMEDY, MAX_PATTERNS, read_key};
use aws_lc_rs::aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use std::path::Path;
use wire::event::Nanos;

const VERSION: u8 = 1;
/// Bytes of a key's id, and of the mark of a subject. Enough to tell mistakes apart; what is secret does not depend on them.
const ID_BYTES: usize = 4;
const AAD_BYTES: usize = 1 + 2 * ID_BYTES;
/// Everything before the sealed part.
pub(super) const HEAD_BYTES: usize = AAD_BYTES + NONCE_LEN;
/// Of the sealed part.
pub(super) const EXPIRY_BYTES: usize = 8;
/// Room in a request for what stands around a ticket.
const ROOM_BYTES: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum TicketKeyError {
    #[error("{key}: {what}; {KEY_REMEDY}")]
    File { key: &'static str, what: String },
    #[error("session.ticket_key_file: the system gives no random key")]
    Random,
}

/// Makes and opens tickets. One per server; any thread may use it.
pub struct Tickets {
    current: Key,
    /// Opens tickets that were made before the last change of keys.
    former: Option<Key>,
    are_shared: bool,
    lifetime_ns: i64,
    /// Of a text.
    limit_bytes: usize,
    max_entries: usize,
}

struct Key {
    id: [u8; ID_BYTES],
    key: RandomizedNonceKey,
}

impl Tickets {
    /// Without key files the key is random: tickets then end with the process.
    pub fn new(session: &config::Session) -> Result<Self, TicketKeyError> {
        let current = match &session.ticket_key_file {
            Some(path) => Key::from_file("session.ticket_key_file", path)?,
            None => Key::random()?,
        };
        let former = session.ticket_former_key_file.as_deref();
        let former = former.map(|path| Key::from_file("session.ticket_former_key_file", path)).transpose()?;
        Ok(Self {
            current,
            former,
            are_shared: session.ticket_key_file.is_some(),
            lifetime_ns: i64::try_from(session.ticket_lifetime_s.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX),
            limit_bytes: session.request_bytes.saturating_sub(ROOM_BYTES),
            max_entries: session.max_subscriptions.saturating_add(MAX_PATTERNS),
        })
    }

    /// Other nodes, and this one after a restart, can open them: the key is a configured one.
    pub fn are_shared(&self) -> bool {
        self.are_shared
    }

    /// A ticket to be filled entry by entry.
    pub fn writer(&self) -> TicketWriter {
        // Of each 4 bytes of text 3 are left; what is sealed is as long as what was written, and a tag.
        TicketWriter::new((self.limit_bytes / 4 * 3).saturating_sub(MAX_TAG_LEN))
    }

    /// Closes a ticket for the client who is `subject` (empty: nobody in particular). `now` is the wall clock.
    pub fn seal(&self, writer: TicketWriter, subject: &str, now: Nanos) -> Result<Sealed, TooLarge> {
        let too_large = TooLarge { limit_bytes: self.limit_bytes };
        let (mut bytes, entries) = writer.finish().ok_or(too_large)?;
        let expires = now.saturating_add(self.lifetime_ns);
        let head = self.current.head(subject);
        bytes[HEAD_BYTES..HEAD_BYTES + EXPIRY_BYTES].copy_from_slice(&expires.to_le_bytes());
        let sealed = self.current.key.seal_in_place_separate_tag(aad(&head, subject), &mut bytes[HEAD_BYTES..]);
        let (nonce, tag) = sealed.expect("AES-GCM seals whatever fits into a request");
        bytes[..AAD_BYTES].copy_from_slice(&head);
        bytes[AAD_BYTES..HEAD_BYTES].copy_from_slice(nonce.as_ref());
        bytes.extend_from_slice(tag.as_ref());
        Ok(Sealed { text: BASE64.encode(&bytes), expires, entries })
    }

    /// What the ticket of the client who is `subject` says. A long one takes some ms: not for a shard's thread.
    pub fn open(&self, text: &str, subject: &str, now: Nanos) -> Result<Ticket, TicketError> {
        if text.len() > self.limit_bytes {
            return Err(TicketError::TooLarge);
        }
        let mut bytes = BASE64.decode(text).map_err(|_| TicketError::Malformed)?;
        if bytes.len() < HEAD_BYTES + EXPIRY_BYTES + MAX_TAG_LEN || bytes[0] != VERSION {
            return Err(TicketError::Malformed);
        }
        let (head, sealed) = bytes.split_at_mut(HEAD_BYTES);
        let (head, nonce) = head.split_at(AAD_BYTES);
        let keys = [Some(&self.current), self.former.as_ref()];
        let key = keys.into_iter().flatten().find(|key| head[1..].starts_with(&key.id)).ok_or(TicketError::WrongKey)?;
        if head != key.head(subject) {
            return Err(TicketError::OtherSubject);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| TicketError::Malformed)?;
        let opened = key.key.open_in_place(nonce, aad(head, subject), sealed).map_err(|_| TicketError::Malformed)?;
        let (expires, entries) = opened.split_first_chunk::<EXPIRY_BYTES>().ok_or(TicketError::Malformed)?;
        let expires = Nanos::from_le_bytes(*expires);
        if expires <= now {
            return Err(TicketError::Expired);
        }
        let mut ticket = entries::read(entries, self.max_entries)?;
        ticket.expires = expires;
        Ok(ticket)
    }
}

impl Key {
    fn from_file(key: &'static str, path: &Path) -> Result<Self, TicketKeyError> {
        let bytes = read_key(path).map_err(|what| TicketKeyError::File { key, what })?;
        Ok(Self::new(&bytes))
    }

    fn random() -> Result<Self, TicketKeyError> {
        let mut bytes = [0; KEY_BYTES];
        rand::fill(&mut bytes).map_err(|_| TicketKeyError::Random)?;
        Ok(Self::new(&bytes))
    }

    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("the key has the length of the algorithm");
        Self { id: digest(&[b"tickwire ticket key", bytes]), key }
    }

    fn head(&self, subject: &str) -> [u8; AAD_BYTES] {
        let mut head = [VERSION; AAD_BYTES];
        head[1..=ID_BYTES].copy_from_slice(&self.id);
        head[1 + ID_BYTES..].copy_from_slice(&digest(&[b"tickwire ticket subject", &self.id, subject.as_bytes()]));
        head
    }
}

fn aad(head: &[u8], subject: &str) -> Aad<Vec<u8>> {
    Aad::from([head, subject.as_bytes()].concat())
}

fn digest(parts: &[&[u8]]) -> [u8; ID_BYTES] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let digest = context.finish();
    std::array::from_fn(|at| digest.as_ref()[at])
}
