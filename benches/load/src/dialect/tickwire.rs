//! The protocol `tickwire.v1`, see `docs/protocol.md`. In: control messages and data frames. Out: subscriptions, resumed on later
//! connections; every record verified. Bounded: one `Held` a topic, requests no larger than the server takes.

use super::{Dialect, Mark, Session, Turn};
use crate::verify::{Held, Rules};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::codec::Decoder;
use wire::event::Nanos;
use wire::record::RecordBody;
use wire::request::{Encoding, Reply, Request, Sub, TopicResult};

/// What a request has around its topics, generously.
const REQUEST_OVERHEAD: u64 = 256;

pub struct Tickwire {
    dialect: Arc<Dialect>,
    rules: Rules,
    decoder: Decoder,
    next_frame: u64,
    /// When the newest frame was sent.
    sent: Nanos,
    /// Sorted by the plan's index, as far as they were asked for by name.
    held: Vec<Held>,
    /// Of the topics of this connection, in the order in which they were announced: where in `held` they are.
    places: Vec<u32>,
    /// Requests that wait for the answer to the one before.
    waiting: Vec<String>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Subscribing,
    Ready,
}

impl Tickwire {
    pub fn new(dialect: Arc<Dialect>, mut topics: Vec<u32>) -> Self {
        topics.sort_unstable();
        let plan = &dialect.plan;
        Self {
            rules: Rules { verify: plan.verify, consecutive_ids: plan.consecutive_ids },
            decoder: Decoder::new(plan.encoding),
            next_frame: 1,
            sent: 0,
            held: topics.into_iter().map(|topic| Held::new(Some(topic))).collect(),
            places: Vec::new(),
            waiting: Vec::new(),
            stage: Stage::Greeting,
            dialect,
        }
    }

    /// In as many requests as the server's limit of bytes makes necessary, last one first.
    fn subscriptions(&self, request_bytes: u64) -> Vec<String> {
        let plan = &self.dialect.plan;
        let room = request_bytes.saturating_sub(REQUEST_OVERHEAD);
        let (mut requests, mut bytes) = (Vec::new(), 0);
        let (mut topics, mut resume) = (Vec::new(), BTreeMap::new());
        let close = |topics: &mut Vec<String>, resume: &mut BTreeMap<_, _>, id: u64| {
            let (topics, resume) = (std::mem::take(topics), std::mem::take(resume));
            let (pace, trades) = (plan.pace, plan.trades);
            let request = Request::Sub(Sub { id: Some(id), topics, pace, trades, resume, ..Sub::default() });
            serde_json::to_string(&request).expect("requests are plain data")
        };
        for held in &self.held {
            let Some(name) = held.topic.map(|topic| &plan.topics[topic as usize]) else { continue };
            let place = held.sequence.map(|sequence| (held.epoch, sequence));
            // Twice the name and two numbers, where it is resumed.
            let more = name.len() as u64 + 3 + place.map_or(0, |_| name.len() as u64 + 48);
            if bytes + more > room && !topics.is_empty() {
                requests.push(close(&mut topics, &mut resume, requests.len() as u64 + 1));
                bytes = 0;
            }
            bytes += more;
            topics.push(name.clone());
            resume.extend(place.map(|place| (name.clone(), place)));
        }
        if !topics.is_empty() {
            requests.push(close(&mut topics, &mut resume, requests.len() as u64 + 1));
        }
        requests.reverse();
        requests
    }

    fn on_reply(&mut self, text: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        // A later server may send control messages we do not know.
        let Ok(reply) = serde_json::from_slice::<Reply>(text) else { return Ok(()) };
        let answered = match reply {
            Reply::Hello(hello) => {
                self.stage = Stage::Subscribing;
                self.waiting = self.subscriptions(hello.limits.request_bytes);
                true
            }
            Reply::Ack { id, results, more } => {
                for result in &results {
                    if let TopicResult::Refused { topic, code, message } = result {
                        *turn.faults.refused.entry(code.clone()).or_default() += 1;
                        turn.faults.note(|| format!("{topic}: {message}"));
                    }
                }
                id.is_some() && !more
            }
            Reply::Error { code, message, .. } => {
                *turn.faults.refused.entry(code).or_default() += 1;
                turn.faults.note(|| message);
                true
            }
            _ => false,
        };
        if answered && self.stage == Stage::Subscribing {
            match self.waiting.pop() {
                Some(request) => turn.ask.push(request),
                None => self.stage = Stage::Ready,
            }
        }
        Ok(())
    }

    fn on_frame(&mut self, bytes: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        let Self { dialect, rules, decoder, held, places, .. } = self;
        let (rules, now) = (*rules, turn.now);
        let (tally, faults, heads) = (&mut *turn.tally, &mut *turn.faults, &mut turn.heads);
        tally.frames += 1;
        tally.bytes += bytes.len() as u64;
        let decoded = decoder.decode(bytes, &mut |_, meta, record| {
            if meta.place() == places.len() {
                places.push(place(dialect, held, &meta.name));
            }
            let held = &mut held[places[meta.place()] as usize];
            if let RecordBody::Meta(_) = record.body {
                return held.announce(meta, record, rules);
            }
            held.apply(meta, record, rules, now, tally, faults);
            if let (Some(heads), Some(topic), Some(sequence)) = (heads.as_deref_mut(), held.topic, held.sequence) {
                let head = &mut heads[topic as usize];
                *head = sequence.max(*head);
            }
        });
        let header = decoded.map_err(|error| {
            faults.decode_errors += 1;
            error.to_string()
        })?;
        tally.sent.record(header.sent, now);
        self.sent = header.sent;
        if header.number != self.next_frame {
            faults.order_errors += 1;
            faults.note(|| format!("frame {} instead of {}", header.number, self.next_frame));
        }
        self.next_frame = header.number + 1;
        Ok(())
    }
}

/// Where a topic is held. What was not asked for by this name (a pattern, a venue's own spelling) gets a place at the end.
fn place(dialect: &Dialect, held: &mut Vec<Held>, name: &str) -> u32 {
    let topic = dialect.names.get(name).copied();
    let known = topic.and_then(|topic| held.iter().position(|held| held.topic == Some(topic)));
    known.unwrap_or_else(|| {
        held.push(Held::new(None));
        held.len() - 1
    }) as u32
}

impl Session for Tickwire {
    fn headers(&self) -> Vec<String> {
        let plan = &self.dialect.plan;
        let mut headers = vec![format!("Sec-WebSocket-Protocol: {}", plan.encoding.subprotocol())];
        headers.extend(plan.token.iter().map(|token| format!("Authorization: Bearer {token}")));
        headers
    }

    fn connected(&mut self, _: &mut Vec<String>) {
        // The server greets first. Ids, frame numbers and previous trade ids belong to one connection.
        self.decoder = Decoder::new(self.decoder.encoding());
        self.next_frame = 1;
        self.held.retain(|held| held.topic.is_some());
        self.places.clear();
        self.stage = Stage::Greeting;
    }

    fn on_message(&mut self, text: bool, payload: &[u8], turn: &mut Turn<'_>) -> Result<(), String> {
        let is_data = match self.decoder.encoding() {
            Encoding::Binary => !text,
            // Data frames are recognized by their first key, without reading them.
            Encoding::Json => payload.starts_with(b"{\"frame\":"),
        };
        if is_data { self.on_frame(payload, turn) } else { self.on_reply(payload, turn) }
    }

    fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    fn has_reached(&self, mark: &Mark) -> bool {
        let is_there = |held: &Held| match held.topic.map_or(0, |topic| mark.heads[topic as usize]) {
            0 => self.sent >= mark.time,
            head => held.sequence.is_some_and(|sequence| sequence >= head),
        };
        self.held.iter().all(is_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::{Faults, Tally};

    #[test]
    fn subscriptions_fit_the_servers_limit() {
        let topics: Vec<_> = (0..100).map(|at| format!("quote/sim:S{at:03}-USD")).collect();
        let plan = Arc::new(crate::Plan { topics: topics.clone(), ..crate::test_plan() });
        let dialect = Arc::new(Dialect::new(&plan));
        let mut session = Tickwire::new(dialect, (0..100).collect());
        for resumed in [false, true] {
            session.held.iter_mut().for_each(|held| held.sequence = resumed.then_some(u64::MAX >> 11));
            session.connected(&mut Vec::new());
            let mut asked = session.subscriptions(1_000);
            assert!(asked.len() > 2 && asked.iter().all(|request| request.len() <= 1_000), "{asked:?}");
            asked.reverse();
            let mut named = Vec::new();
            for (request, number) in asked.iter().zip(1..) {
                let Request::Sub(Sub { id, topics, resume, .. }) = serde_json::from_str(request).unwrap() else {
                    panic!("{request}")
                };
                assert_eq!(id, Some(number));
                assert_eq!(resume.len(), if resumed { topics.len() } else { 0 });
                named.extend(topics);
            }
            assert_eq!(named, topics);
        }
    }

    #[test]
    fn one_request_at_a_time_until_all_are_answered() {
        let topics: Vec<_> = (0..100).map(|at| format!("quote/sim:S{at:03}-USD")).collect();
        let plan = Arc::new(crate::Plan { topics, ..crate::test_plan() });
        let mut session = Tickwire::new(Arc::new(Dialect::new(&plan)), (0..100).collect());
        let (mut tally, mut faults, mut ask) = (Tally::default(), Faults::default(), Vec::new());
        let mut put = |session: &mut Tickwire, text: &str| {
            ask.clear();
            let mut turn = Turn { now: 0, tally: &mut tally, faults: &mut faults, heads: None, ask: &mut ask };
            session.on_message(true, text.as_bytes(), &mut turn).unwrap();
            ask.len()
        };
        let limits = r#"{"subscriptions":1000,"commands_per_second":20,"grants_per_second":20,"updates_per_second":0,"bytes_per_second":0,"request_bytes":1500,"write_timeout_ms":1}"#;
        let hello = format!(
            r#"{{"type":"hello","protocol":"tickwire.v1","version":"1","node":"n","session":"s","time":"1","encoding":"e","heartbeat_ms":1,"paces":[],"limits":{limits}}}"#
        );
        assert_eq!(put(&mut session, &hello), 1);
        let part = r#"{"type":"ack","id":1,"results":[],"more":true}"#;
        assert_eq!(put(&mut session, part), 0);
        let rest = r#"{"type":"ack","id":1,"results":[{"status":"refused","topic":"x","code":"bad_topic","message":"m"}]}"#;
        let mut answers = 0;
        while !session.is_ready() {
            answers += 1;
            put(&mut session, rest);
        }
        assert!(answers > 1 && faults.refused["bad_topic"] == answers);
    }
}
