//! The first protocol of centrifuge, in protobuf. In: replies, each behind its length, several in one message. Out: commands to connect and to
//! subscribe, the quotes in publications as in `fixed48`. Bounded: one number a topic.

use super::fixed48::Quotes;
use super::{Dialect, Mark, Session, Turn};
use std::sync::Arc;

// Fields of `client.proto`.
const COMMAND_ID: u64 = 1;
const COMMAND_METHOD: u64 = 2;
const COMMAND_PARAMS: u64 = 3;
const METHOD_SUBSCRIBE: u8 = 1;
const SUBSCRIBE_CHANNEL: u64 = 1;
const REPLY_ID: u64 = 1;
const REPLY_ERROR: u64 = 2;
const REPLY_RESULT: u64 = 3;
const PUSH_TYPE: u64 = 1;
const PUSH_DATA: u64 = 3;
const PUBLICATION_DATA: u64 = 4;

pub struct Centrifuge {
    topics: Vec<u32>,
    quotes: Quotes,
    /// Answers that are still to come.
    waits_for: usize,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Centrifuge {
    /// `topics`: their numbers are their indexes in the plan.
    pub fn new(dialect: &Arc<Dialect>, topics: Vec<u32>) -> Self {
        Self { waits_for: topics.len() + 1, topics, quotes: Quotes::new(dialect.plan.topics.len()) }
    }

    fn on_reply(&mut self, reply: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        let (mut id, mut result) = (0, &[][..]);
        each_field(reply, |field, value| match (field, value) {
            (REPLY_ID, Value::Number(number)) => id = number,
            (REPLY_ERROR, _) => *turn.faults.refused.entry("error".to_owned()).or_default() += 1,
            (REPLY_RESULT, Value::Bytes(bytes)) => result = bytes,
            _ => {}
        })?;
        if id > 0 {
            self.waits_for = self.waits_for.saturating_sub(1);
            return Ok(());
        }
        // A push; those of type 0, which is left out, are publications.
        let (mut kind, mut publication, mut quotes) = (0, &[][..], None);
        each_field(result, |field, value| match (field, value) {
            (PUSH_TYPE, Value::Number(number)) => kind = number,
            (PUSH_DATA, Value::Bytes(bytes)) => publication = bytes,
            _ => {}
        })?;
        if kind == 0 {
            each_field(publication, |field, value| {
                if let (PUBLICATION_DATA, Value::Bytes(bytes)) = (field, value) {
                    quotes = Some(bytes);
                }
            })?;
        }
        quotes.map_or(Ok(()), |quotes| self.quotes.take(quotes, turn))
    }
}

/// A number of seven bits a byte, and what stands behind it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// Bytes behind their length, and what stands behind them.
fn delimited(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

fn each_field<'a>(mut bytes: &'a [u8], mut each: impl FnMut(u64, Value<'a>)) -> Result<(), String> {
    while !bytes.is_empty() {
        let (field, value, rest) = field(bytes).ok_or("an unreadable field")?;
        each(field, value);
        bytes = rest;
    }
    Ok(())
}

fn field(bytes: &[u8]) -> Option<(u64, Value<'_>, &[u8])> {
    let (key, rest) = varint(bytes)?;
    let (value, rest) = match key & 7 {
        0 => varint(rest).map(|(number, rest)| (Value::Number(number), rest))?,
        2 => delimited(rest).map(|(inner, rest)| (Value::Bytes(inner), rest))?,
        _ => return None,
    };
    Some((key >> 3, value, rest))
}

/// A short field: keys and lengths are one byte, and everything is ASCII.
fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    out.extend([(field << 3 | 2) as u8, bytes.len() as u8]);
    out.extend_from_slice(bytes);
}

/// Behind its length.
fn put_command(out: &mut Vec<u8>, method: u8, params: &[u8]) {
    // The server repeats the number; we only count the answers.
    let mut command = vec![(COMMAND_ID << 3) as u8, 1];
    if method > 0 {
        command.extend([(COMMAND_METHOD << 3) as u8, method]);
    }
    if !params.is_empty() {
        put_bytes(&mut command, COMMAND_PARAMS, params);
    }
    out.push(command.len() as u8);
    out.extend(command);
}

impl Session for Centrifuge {
    fn headers(&self) -> Vec<String> {
        Vec::new()
    }

    fn connected(&mut self, ask: &mut Vec<String>) {
        self.waits_for = self.topics.len() + 1;
        self.quotes.forget();
        let mut commands = Vec::new();
        put_command(&mut commands, 0, &[]);
        for topic in &self.topics {
            let mut params = Vec::new();
            put_bytes(&mut params, SUBSCRIBE_CHANNEL, topic.to_string().as_bytes());
            put_command(&mut commands, METHOD_SUBSCRIBE, &params);
        }
        ask.push(String::from_utf8(commands).expect("short commands are ASCII"));
    }

    fn on_message(&mut self, _: bool, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        turn.tally.frames += 1;
        let mut rest = payload;
        while !rest.is_empty() {
            let (reply, behind) = delimited(rest).ok_or("a reply without its end")?;
            self.on_reply(reply, turn)?;
            rest = behind;
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.waits_for == 0
    }

    fn has_reached(&self, mark: &Mark) -> bool {
        self.quotes.have_reached(&self.topics, mark)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed48::tests::{on, plan, quote};
    use super::*;

    fn reply(id: u8, result: &[u8]) -> Vec<u8> {
        let mut inner = if id > 0 { vec![8, id] } else { Vec::new() };
        put_bytes(&mut inner, REPLY_RESULT, result);
        [vec![inner.len() as u8], inner].concat()
    }

    #[test]
    fn it_connects_and_subscribes_in_one_message() {
        let mut session = Centrifuge::new(&plan(9), vec![3, 7]);
        let mut ask = Vec::new();
        session.connected(&mut ask);
        assert_eq!(ask, ["\x02\x08\x01\x09\x08\x01\x10\x01\x1a\x03\x0a\x013\x09\x08\x01\x10\x01\x1a\x03\x0a\x017"]);
        for answers in [reply(1, b""), [reply(1, b""), reply(1, b"")].concat()] {
            assert!(!session.is_ready() && on(&mut session, false, &answers).0.is_ok());
        }
        assert!(session.is_ready());
    }

    #[test]
    fn publications_hold_quotes() {
        let mut session = Centrifuge::new(&plan(9), vec![3]);
        let push = |sequence| {
            let (mut publication, mut push) = (Vec::new(), Vec::new());
            put_bytes(&mut publication, PUBLICATION_DATA, &quote(3, sequence, 1));
            put_bytes(&mut push, 2, b"3");
            put_bytes(&mut push, PUSH_DATA, &publication);
            reply(0, &push)
        };
        let (result, tally, faults, _) = on(&mut session, false, &[push(4), push(5), push(7)].concat());
        assert!(result.is_ok(), "{result:?}");
        assert_eq!((tally.records, faults.lost), (3, 1));
        assert!(on(&mut session, false, &push(8)[..20]).0.is_err());
    }
}
