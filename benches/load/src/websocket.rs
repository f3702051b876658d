//! The client's half of RFC 6455, as far as a load client needs it. In: plaintext in pieces. Out: messages, in place where they are
//! whole; requests as masked frames. Bounded: one incomplete message of at most `MAX_MESSAGE` bytes.

use base64::Engine;

/// Full books come in one message.
const MAX_MESSAGE: usize = 64 << 20;
/// A larger buffer gives its memory back once its message is complete.
const KEPT_BYTES: usize = 4 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a message in several frames")]
    Fragmented,
    #[error("unknown frame type {0}")]
    Opcode(u8),
    #[error("a masked frame from the server, or one with reserved bits")]
    Bits,
    #[error("a message of {0} bytes")]
    TooLarge(u64),
}

/// Puts messages together.
#[derive(Debug, Default)]
pub struct Messages {
    /// An incomplete frame, header included.
    part: Vec<u8>,
}

impl Messages {
    /// Takes in the next bytes and hands out each message that is complete with them.
    pub fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Opcode, &[u8])) -> Result<(), FrameError> {
        if self.part.is_empty() {
            let used = split(bytes, each)?;
            self.part.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        self.part.extend_from_slice(bytes);
        let used = split(&self.part, each)?;
        if used == self.part.len() && self.part.capacity() > KEPT_BYTES {
            self.part = Vec::new();
        } else {
            self.part.drain(..used);
        }
        Ok(())
    }
}

/// Hands out the complete frames at the beginning of `bytes` and returns how long they are.
fn split(bytes: &[u8], each: &mut dyn FnMut(Opcode, &[u8])) -> Result<usize, FrameError> {
    let mut used = 0;
    while let Some((opcode, header, length)) = header(&bytes[used..])? {
        let start = used + header;
        let Some(payload) = bytes.get(start..start + length) else { break };
        each(opcode, payload);
        used = start + length;
    }
    Ok(used)
}

/// Type, length of the header, length of the payload; `None` if the header is not complete.
fn header(bytes: &[u8]) -> Result<Option<(Opcode, usize, usize)>, FrameError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(FrameError::Bits);
    }
    let opcode = Opcode::from_bits(first & 0x0f);
    if first & 0x80 == 0 || first & 0x0f == 0 {
        return Err(FrameError::Fragmented);
    }
    let opcode = opcode.ok_or(FrameError::Opcode(first & 0x0f))?;
    let (length, header) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    match usize::try_from(length) {
        Ok(length) if length <= MAX_MESSAGE => Ok(Some((opcode, header, length))),
        _ => Err(FrameError::TooLarge(length)),
    }
}

/// Appends one frame. Clients must mask; the key need not be secret here.
pub fn put_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode.bits());
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let key = fastrand::u32(..).to_be_bytes();
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// The request that asks for the upgrade. `headers` are complete lines, without line ends.
pub fn upgrade(host: &str, path: &str, headers: &[String]) -> Vec<u8> {
    let key = base64::engine::general_purpose::STANDARD.encode(fastrand::u128(..).to_be_bytes());
    let mut text = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    );
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The answer to the upgrade, once it is complete: its length, or why it is a refusal.
pub fn upgraded(bytes: &[u8]) -> Option<Result<usize, String>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..end]);
    let status = text.split(' ').nth(1).unwrap_or_default();
    Some(if status == "101" { Ok(end) } else { Err(format!("HTTP {status}")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server writes it.
    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x80 | opcode];
        match payload.len() {
            short @ 0..126 => out.push(short as u8),
            medium @ 126..=0xffff => {
                out.push(126);
                out.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                out.push(127);
                out.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let payloads = [vec![], vec![1; 125], vec![2; 126], vec![3; 70_000], vec![4]];
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(2, payload)).collect();
        for piece in [1, 2, 3, 100, 16_384, stream.len()] {
            let mut messages = Messages::default();
            let mut seen = Vec::new();
            for bytes in stream.chunks(piece) {
                messages.feed(bytes, &mut |opcode, payload| seen.push((opcode, payload.to_vec()))).unwrap();
            }
            assert!(seen.iter().map(|(_, payload)| payload).eq(&payloads), "pieces of {piece}");
            assert!(messages.part.is_empty());
        }
    }

    #[test]
    fn what_no_server_may_send_is_an_error() {
        let feed = |bytes: &[u8]| Messages::default().feed(bytes, &mut |_, _| ());
        assert_eq!(feed(&[0x02, 0x00]), Err(FrameError::Fragmented));
        assert_eq!(feed(&[0x80, 0x00]), Err(FrameError::Fragmented));
        assert_eq!(feed(&[0x83, 0x00]), Err(FrameError::Opcode(3)));
        assert_eq!(feed(&[0xc2, 0x00]), Err(FrameError::Bits));
        assert_eq!(feed(&[0x82, 0x80]), Err(FrameError::Bits));
        assert_eq!(feed(&[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::TooLarge(1 << 56)));
    }

    #[test]
    fn our_frames_are_masked() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|at: u32| at as u8).collect();
            let mut out = Vec::new();
            put_frame(&mut out, Opcode::Text, &payload);
            assert_eq!((out[0], out[1] & 0x80), (0x81, 0x80));
            let start = out.len() - payload.len();
            let key: [u8; 4] = out[start - 4..start].try_into().unwrap();
            let unmasked: Vec<u8> = out[start..].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            assert_eq!(unmasked, payload);
        }
    }

    #[test]
    fn upgrades_are_answered() {
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching"), None);
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching\r\nA: b\r\n\r\n\x82"), Some(Ok(32)));
        assert_eq!(upgraded(b"HTTP/1.1 503 No\r\n\r\n"), Some(Err("HTTP 503".to_owned())));
        let request = String::from_utf8(upgrade("h:1", "/v1/stream", &["A: b".to_owned()])).unwrap();
        assert!(request.starts_with("GET /v1/stream HTTP/1.1\r\nHost: h:1\r\n") && request.ends_with("\r\nA: b\r\n\r\n"));
    }
}
