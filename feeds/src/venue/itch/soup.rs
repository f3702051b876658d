//! SoupBinTCP 3.00: numbered messages over TCP. In: the bytes of a connection, whose session and place are asked for at login. Out: every
//! message once and in order over any number of connections. Bounded by one packet of 64 KiB.
//!
//! A packet is `length u16, type u8, payload` (the length counts the type). The server says at login which message comes first; from there on
//! each sequenced packet is the next one.

use wire::event::Nanos;

/// A side that has nothing to say says so after this long.
pub const HEARTBEAT_EVERY: Nanos = 1_000_000_000;
/// A server that says nothing for this long is dead.
pub const DEAD_AFTER: Nanos = 15_000_000_000;
pub const CLIENT_HEARTBEAT: [u8; 3] = [0, 1, b'R'];
pub const LOGOUT: [u8; 3] = [0, 1, b'O'];

/// Blank: whichever session is running.
pub type Session = [u8; 10];
pub const ANY_SESSION: Session = [b' '; 10];

/// One packet: its type and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub kind: u8,
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The first packet of these bytes and its length; `None` if it is not all there yet.
    pub fn split(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let body = rest.get(..length)?;
        // A packet without a type is passed over like one of an unknown type.
        let (kind, payload) = body.split_first().map_or((0, body), |(kind, payload)| (*kind, payload));
        Some((Self { kind, payload }, 2 + length))
    }
}

pub fn put(kind: u8, payload: &[u8], stream: &mut Vec<u8>) {
    let length = u16::try_from(payload.len() + 1).unwrap_or(u16::MAX);
    stream.extend_from_slice(&length.to_be_bytes());
    stream.push(kind);
    stream.extend_from_slice(&payload[..usize::from(length) - 1]);
}

/// What a packet means to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    Message(&'a [u8]),
    /// Let in. `fresh`: it is a session we have not heard of; `unheard` messages of it came before the first one we get. Otherwise we go
    /// on where we were, and `unheard` messages are missing in between.
    Accepted {
        fresh: bool,
        unheard: u64,
    },
    Refused(Refused),
    /// The server is there, and has nothing more to say: all was heard.
    Heartbeat,
    EndOfSession,
    /// Said again, or not meant for us.
    Nothing,
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Wrong user or password.
    NotAuthorized,
    /// There is no such session.
    NoSession,
    Other(u8),
}

/// Who we are and how far we have heard.
pub struct Client {
    user: [u8; 6],
    password: [u8; 10],
    wanted: Session,
    /// The session we are in the middle of.
    session: Option<Session>,
    /// The message we have not heard.
    next: u64,
    /// The one that comes next on this connection.
    coming: u64,
}

impl Client {
    /// `session` `ANY_SESSION`: the one that is running. Names that are too long are cut.
    pub fn new(user: &str, password: &str, session: Session) -> Self {
        Self { user: left(user), password: left(password), wanted: session, session: None, next: 1, coming: 1 }
    }

    /// The packet to begin a connection with: asks for what we have not heard.
    pub fn login(&self) -> Vec<u8> {
        let mut payload = [b' '; 46];
        payload[..6].copy_from_slice(&self.user);
        payload[6..16].copy_from_slice(&self.password);
        payload[16..26].copy_from_slice(&self.session.unwrap_or(self.wanted));
        payload[26..].copy_from_slice(&right_number(self.next));
        let mut packet = Vec::with_capacity(49);
        put(b'L', &payload, &mut packet);
        packet
    }

    /// Number of the message that is to come.
    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn on_packet<'a>(&mut self, packet: &Packet<'a>) -> Heard<'a> {
        match packet.kind {
            b'S' => self.sequenced(packet.payload),
            b'H' => Heard::Heartbeat,
            b'Z' => Heard::EndOfSession,
            b'A' => self.accepted(packet.payload),
            b'J' => self.refused(packet.payload),
            // Debug text, unsequenced data, what a later version may bring.
            _ => Heard::Nothing,
        }
    }

    #[inline]
    fn sequenced<'a>(&mut self, message: &'a [u8]) -> Heard<'a> {
        let number = self.coming;
        self.coming += 1;
        if number < self.next {
            return Heard::Nothing;
        }
        self.next = self.coming;
        Heard::Message(message)
    }

    fn accepted(&mut self, payload: &[u8]) -> Heard<'static> {
        let Some((session, number)) = payload.split_first_chunk::<10>() else { return Heard::Malformed };
        let Some(first) = parse_number(number).filter(|first| *first > 0) else { return Heard::Malformed };
        let fresh = self.session != Some(*session);
        if fresh {
            (self.session, self.next) = (Some(*session), 1);
        }
        let unheard = first.saturating_sub(self.next);
        self.coming = first;
        self.next = self.next.max(first);
        Heard::Accepted { fresh, unheard }
    }

    fn refused(&mut self, payload: &[u8]) -> Heard<'static> {
        match payload.first() {
            Some(b'A') => Heard::Refused(Refused::NotAuthorized),
            Some(b'S') => {
                // The session is over; the next login asks for the one that runs now.
                (self.session, self.next) = (None, 1);
                Heard::Refused(Refused::NoSession)
            }
            Some(other) => Heard::Refused(Refused::Other(*other)),
            None => Heard::Malformed,
        }
    }
}

fn left<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    let length = text.len().min(N);
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
    field
}

/// A session's name as it stands in packets: at the right end of its field.
pub fn right<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [b' '; N];
    let length = text.len().min(N);
    field[N - length..].copy_from_slice(&text[text.len() - length..]);
    field
}

pub fn right_number(number: u64) -> [u8; 20] {
    right(number.to_string().as_bytes())
}

fn parse_number(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(' ');
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accept(session: &[u8], first: u64) -> Vec<u8> {
        [&right::<10>(session)[..], &right_number(first)].concat()
    }

    fn hear<'a>(client: &mut Client, kind: u8, payload: &'a [u8]) -> Heard<'a> {
        client.on_packet(&Packet { kind, payload })
    }

    #[test]
    fn logs_in_for_what_was_not_heard() {
        let mut client = Client::new("user", "secret", ANY_SESSION);
        let expected = b"\x00\x2fLuser  secret                        1";
        let login = client.login();
        assert_eq!(login.len(), 49);
        assert_eq!(&login[..3], &expected[..3]);
        assert_eq!(&login[3..19], b"user  secret    ");
        assert_eq!(&login[19..], b"                             1");
        assert_eq!(hear(&mut client, b'A', &accept(b"S1", 1)), Heard::Accepted { fresh: true, unheard: 0 });
        assert_eq!(hear(&mut client, b'S', b"one"), Heard::Message(b"one"));
        assert_eq!(hear(&mut client, b'U', b"x"), Heard::Nothing);
        assert_eq!(hear(&mut client, b'H', b""), Heard::Heartbeat);
        // Cut off: it goes on in the same session, behind what was heard.
        assert_eq!(&client.login()[19..], b"        S1                   2");
        assert_eq!(hear(&mut client, b'A', &accept(b"S1", 1)), Heard::Accepted { fresh: false, unheard: 0 });
        assert_eq!(hear(&mut client, b'S', b"one"), Heard::Nothing);
        assert_eq!(hear(&mut client, b'S', b"two"), Heard::Message(b"two"));
        // A server that has lost some itself says so by its number.
        assert_eq!(hear(&mut client, b'A', &accept(b"S1", 7)), Heard::Accepted { fresh: false, unheard: 4 });
        assert_eq!(hear(&mut client, b'A', &accept(b"S2", 5)), Heard::Accepted { fresh: true, unheard: 4 });
        assert_eq!(client.next(), 5);
        assert_eq!(hear(&mut client, b'Z', b""), Heard::EndOfSession);
        assert_eq!(hear(&mut client, b'J', b"S"), Heard::Refused(Refused::NoSession));
        assert_eq!(&client.login()[19..], b"                             1");
        assert_eq!(hear(&mut client, b'J', b"A"), Heard::Refused(Refused::NotAuthorized));
        for bad in [&b""[..], b"S1", b"         S                   x", &accept(b"S", 0)] {
            assert_eq!(hear(&mut client, b'A', bad), Heard::Malformed);
        }
    }

    #[test]
    fn packets_are_split() {
        let mut stream = Vec::new();
        put(b'S', b"abc", &mut stream);
        put(b'H', b"", &mut stream);
        assert_eq!(Packet::split(&stream), Some((Packet { kind: b'S', payload: b"abc" }, 6)));
        assert_eq!(Packet::split(&stream[6..]), Some((Packet { kind: b'H', payload: b"" }, 3)));
        assert_eq!(Packet::split(&stream[..5]), None);
        assert_eq!(Packet::split(&[0]), None);
        assert_eq!(Packet::split(&[0, 0, 9]), Some((Packet { kind: 0, payload: b"" }, 2)));
    }

    proptest! {
        #[test]
        fn any_stream_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), kinds in prop::collection::vec(0..7usize, 0..40)) {
            let mut client = Client::new("u", "p", ANY_SESSION);
            let mut rest = &bytes[..];
            while let Some((packet, length)) = Packet::split(rest) {
                client.on_packet(&packet);
                rest = &rest[length..];
            }
            for (at, kind) in kinds.into_iter().enumerate() {
                let payload = &bytes[bytes.len().min(at)..bytes.len().min(at + 30)];
                client.on_packet(&Packet { kind: b"SHAJZU+"[kind], payload });
            }
            prop_assert!(client.login().len() == 49);
        }
    }
}
