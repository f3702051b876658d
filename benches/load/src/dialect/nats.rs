//! The client protocol of NATS over a WebSocket. In: `INFO`, `PING`, `PONG` and `MSG` lines, cut into messages anywhere. Out: one
//! subscription a topic, its quotes as in `fixed48`. Bounded: one incomplete line with its payload.

use super::fixed48::Quotes;
use super::{Dialect, Mark, Session, Turn};
use std::sync::Arc;

/// What quotes are published under, before the number of the topic.
const SUBJECT: &str = "quote.";
/// Greetings are the longest lines.
const MAX_REST: usize = 1 << 20;

pub struct Nats {
    topics: Vec<u32>,
    quotes: Quotes,
    /// What the last message ended in the middle of.
    rest: Vec<u8>,
    is_ready: bool,
}

impl Nats {
    /// `topics`: their numbers are their indexes in the plan.
    pub fn new(dialect: &Arc<Dialect>, topics: Vec<u32>) -> Self {
        Self { topics, quotes: Quotes::new(dialect.plan.topics.len()), rest: Vec::new(), is_ready: false }
    }

    /// Works through what is complete and returns how long it is.
    fn process(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> Result<usize, String> {
        let mut used = 0;
        while let Some(length) = bytes[used..].iter().position(|byte| *byte == b'\n') {
            let line = bytes[used..used + length].trim_ascii_end();
            let mut next = used + length + 1;
            if let Some(rest) = line.strip_prefix(b"MSG ") {
                let size = payload_bytes(rest).ok_or_else(|| format!("unreadable: {}", String::from_utf8_lossy(line)))?;
                // Behind the payload stands a line end.
                let Some(payload) = bytes[next..].get(..size + 2) else { break };
                self.quotes.take(&payload[..size], turn)?;
                next += size + 2;
            } else if line == b"PING" {
                turn.ask.push("PONG\r\n".to_owned());
            } else if line == b"PONG" {
                self.is_ready = true;
            } else if line.starts_with(b"-ERR") {
                return Err(String::from_utf8_lossy(line).into_owned());
            }
            used = next;
        }
        Ok(used)
    }
}

/// `quote.7 8 48` or, with a subject for answers, `quote.7 8 x 48`.
fn payload_bytes(arguments: &[u8]) -> Option<usize> {
    let last = arguments.rsplit(|byte| *byte == b' ').next()?;
    std::str::from_utf8(last).ok()?.parse().ok().filter(|size| *size <= MAX_REST)
}

impl Session for Nats {
    fn headers(&self) -> Vec<String> {
        Vec::new()
    }

    fn connected(&mut self, ask: &mut Vec<String>) {
        self.is_ready = false;
        self.rest.clear();
        self.quotes.forget();
        // The answer to the ping means that everything before it was taken.
        let mut text = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false}\r\n".to_owned();
        self.topics.iter().for_each(|topic| text.push_str(&format!("SUB {SUBJECT}{topic} {}\r\n", topic + 1)));
        text.push_str("PING\r\n");
        ask.push(text);
    }

    fn on_message(&mut self, _: bool, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        turn.tally.frames += 1;
        if self.rest.is_empty() {
            let used = self.process(payload, turn)?;
            self.rest.extend_from_slice(&payload[used..]);
        } else {
            let mut bytes = std::mem::take(&mut self.rest);
            bytes.extend_from_slice(payload);
            let used = self.process(&bytes, turn)?;
            bytes.drain(..used);
            self.rest = bytes;
        }
        if self.rest.len() > MAX_REST { Err("a line without end".to_owned()) } else { Ok(()) }
    }

    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn has_reached(&self, mark: &Mark) -> bool {
        self.quotes.have_reached(&self.topics, mark)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed48::tests::{on, plan, quote};
    use super::*;

    #[test]
    fn it_subscribes_in_one_message_and_answers_pings() {
        let mut session = Nats::new(&plan(9), vec![3, 7]);
        let mut ask = Vec::new();
        session.connected(&mut ask);
        assert_eq!(ask.len(), 1);
        assert!(ask[0].ends_with("\r\nSUB quote.3 4\r\nSUB quote.7 8\r\nPING\r\n"), "{ask:?}");
        let (result, _, _, ask) = on(&mut session, true, b"INFO {\"a\":1}\r\nPING\r\n");
        assert!(result.is_ok() && !session.is_ready());
        assert_eq!(ask, ["PONG\r\n"]);
        assert!(on(&mut session, true, b"PONG\r\n").0.is_ok() && session.is_ready());
        assert!(on(&mut session, true, b"-ERR 'Authorization Violation'\r\n").0.is_err());
    }

    #[test]
    fn quotes_come_out_whole_however_they_are_cut() {
        let mut stream = Vec::new();
        // Line ends within a payload are not lines.
        for sequence in [10, 11, 13] {
            stream.extend_from_slice(b"MSG quote.3 4 48\r\n");
            stream.extend_from_slice(&quote(3, sequence, 0x0a0d_0a0d));
            stream.extend_from_slice(b"\r\n");
        }
        for piece in [1, 7, 20, 64, stream.len()] {
            let mut session = Nats::new(&plan(9), vec![3]);
            let (mut records, mut lost) = (0, 0);
            for bytes in stream.chunks(piece) {
                let (result, tally, faults, _) = on(&mut session, false, bytes);
                assert!(result.is_ok(), "{result:?}");
                (records, lost) = (records + tally.records, lost + faults.lost);
            }
            assert_eq!((records, lost, session.rest.len()), (3, 1, 0), "pieces of {piece}");
        }
    }
}
