//! The dialect of the rivals in `benches/rivals`: quotes of 48 bytes at fixed places, several in one message where a server batches. In: one
//! text message that grants what was asked for, then binary ones. Out: no update of a topic lacks. Bounded: one number a topic.

use super::{Dialect, Mark, Session, Turn};
use std::sync::Arc;

/// `topic u32, bid size u32, sequence u64, made at u64 (ns since 1970), bid i64, ask i64, ask size u32, 0 u32`, little-endian.
pub const QUOTE_BYTES: usize = 48;

/// What all dialects with such quotes keep: the newest sequence of each topic, 0 = none came yet.
pub struct Quotes {
    newest: Vec<u64>,
}

impl Quotes {
    pub fn new(topics: usize) -> Self {
        Self { newest: vec![0; topics] }
    }

    /// Nothing is resumed: a later connection starts anew.
    pub fn forget(&mut self) {
        self.newest.fill(0);
    }

    /// Takes in whole quotes, one or more.
    pub fn take(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        turn.tally.bytes += bytes.len() as u64;
        let (quotes, rest) = bytes.as_chunks::<QUOTE_BYTES>();
        if !rest.is_empty() || quotes.is_empty() {
            turn.faults.decode_errors += 1;
            return Err(format!("{} bytes are no quotes", bytes.len()));
        }
        for quote in quotes {
            self.take_one(quote, turn)?;
        }
        Ok(())
    }

    fn take_one(&mut self, quote: &[u8; QUOTE_BYTES], turn: &mut Turn<'_>) -> Result<(), String> {
        let number = |at: usize| u64::from_le_bytes(*quote[at..].first_chunk().expect("it lies within the quote"));
        let topic = u32::from_le_bytes(*quote.first_chunk().expect("it lies within the quote")) as usize;
        let (sequence, made_ns) = (number(8), number(16));
        let Some(newest) = self.newest.get_mut(topic) else {
            turn.faults.decode_errors += 1;
            return Err(format!("there is no topic {topic}"));
        };
        match (*newest, sequence) {
            (newest, _) if sequence <= newest => {
                turn.faults.order_errors += 1;
                turn.faults.note(|| format!("topic {topic}: {sequence} after {newest}"));
                return Ok(());
            }
            (newest, _) if newest > 0 && sequence - newest > 1 => {
                turn.faults.lost += sequence - newest - 1;
                turn.faults.note(|| format!("topic {topic}: {sequence} after {newest}"));
            }
            _ => {}
        }
        *newest = sequence;
        turn.tally.records += 1;
        turn.tally.updates += 1;
        turn.tally.event.record(i64::try_from(made_ns).unwrap_or(i64::MAX), turn.now);
        if let Some(heads) = turn.heads.as_deref_mut() {
            heads[topic] = heads[topic].max(sequence);
        }
        Ok(())
    }

    /// Of these topics; one that nobody has heard of is no reason to wait.
    pub fn have_reached(&self, topics: &[u32], mark: &Mark) -> bool {
        topics.iter().all(|topic| self.newest[*topic as usize] >= mark.heads[*topic as usize])
    }
}

pub struct Fixed48 {
    topics: Vec<u32>,
    quotes: Quotes,
    is_granted: bool,
}

impl Fixed48 {
    /// `topics`: their numbers are their indexes in the plan.
    pub fn new(dialect: &Arc<Dialect>, topics: Vec<u32>) -> Self {
        Self { topics, quotes: Quotes::new(dialect.plan.topics.len()), is_granted: false }
    }
}

impl Session for Fixed48 {
    fn headers(&self) -> Vec<String> {
        Vec::new()
    }

    fn connected(&mut self, ask: &mut Vec<String>) {
        self.is_granted = false;
        self.quotes.forget();
        let numbers: Vec<_> = self.topics.iter().map(u32::to_string).collect();
        ask.push(numbers.join(","));
    }

    fn on_message(&mut self, text: bool, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        if text {
            self.is_granted = payload == b"ok";
            return if self.is_granted { Ok(()) } else { Err(String::from_utf8_lossy(payload).into_owned()) };
        }
        turn.tally.frames += 1;
        self.quotes.take(payload, turn)
    }

    fn is_ready(&self) -> bool {
        self.is_granted
    }

    fn has_reached(&self, mark: &Mark) -> bool {
        self.quotes.have_reached(&self.topics, mark)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::tally::{Faults, Tally};

    pub fn quote(topic: u32, sequence: u64, made_ns: u64) -> Vec<u8> {
        let mut bytes = vec![0; QUOTE_BYTES];
        bytes[..4].copy_from_slice(&topic.to_le_bytes());
        bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&made_ns.to_le_bytes());
        bytes
    }

    pub fn plan(topics: u32) -> Arc<Dialect> {
        let topics = (0..topics).map(|topic| topic.to_string()).collect();
        Arc::new(Dialect::new(&Arc::new(crate::Plan { topics, ..crate::test_plan() })))
    }

    /// What a session makes of one message.
    pub fn on(session: &mut dyn Session, text: bool, payload: &[u8]) -> (Result<(), String>, Tally, Faults, Vec<String>) {
        let (mut tally, mut faults, mut ask) = (Tally::default(), Faults::default(), Vec::new());
        let mut turn = Turn { now: 5_000_000, tally: &mut tally, faults: &mut faults, heads: None, ask: &mut ask };
        let result = session.on_message(text, payload, &mut turn);
        (result, tally, faults, ask)
    }

    #[test]
    fn it_asks_once_and_waits_for_the_grant() {
        let mut session = Fixed48::new(&plan(9), vec![3, 7]);
        let mut ask = Vec::new();
        session.connected(&mut ask);
        assert_eq!(ask, ["3,7"]);
        assert!(!session.is_ready() && on(&mut session, true, b"ok").0.is_ok() && session.is_ready());
        assert_eq!(on(&mut session, true, b"too many").0, Err("too many".to_owned()));
    }

    #[test]
    fn several_quotes_in_a_message_are_as_many_deliveries() {
        let mut session = Fixed48::new(&plan(9), vec![3, 7]);
        let message = [quote(3, 100, 3_500_000), quote(7, 5, 4_000_000), quote(3, 101, 4_500_000)].concat();
        let (result, tally, faults, _) = on(&mut session, false, &message);
        assert!(result.is_ok() && faults.is_none(), "{result:?} {faults:?}");
        assert_eq!((tally.frames, tally.records, tally.bytes, tally.event.max_us()), (1, 3, 144, 1_500));
        assert!(session.has_reached(&Mark { time: 0, heads: vec![0, 0, 0, 101, 0, 0, 0, 5, 9] }));
        assert!(!session.has_reached(&Mark { time: 0, heads: vec![0, 0, 0, 102, 0, 0, 0, 5, 9] }));
    }

    #[test]
    fn what_lacks_or_comes_twice_is_counted() {
        let mut session = Fixed48::new(&plan(9), vec![1]);
        for (sequence, lost, order_errors) in [(10, 0, 0), (11, 0, 0), (14, 2, 0), (14, 0, 1), (15, 0, 0)] {
            let (_, _, faults, _) = on(&mut session, false, &quote(1, sequence, 0));
            assert_eq!((faults.lost, faults.order_errors), (lost, order_errors), "{sequence}");
        }
        for wrong in [vec![0; 47], vec![], quote(9, 1, 0)] {
            assert_eq!(on(&mut session, false, &wrong).2.decode_errors, 1);
        }
    }
}
