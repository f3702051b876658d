//! In: options and subscriptions. Out: one step at a time: connected, a reply, a frame with its records, disconnected.
//! Bounded: one message in hand; requests wait in a list no longer than the subscriptions made.

use crate::backoff::Backoff;
use crate::connection::{Socket, Target};
use crate::error::{Again, ClientError};
use crate::options::{Options, Reconnect, Subscription};
use crate::stats::Stats;
use crate::tracker::{Tracker, Update};
use futures_util::{SinkExt, StreamExt};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use wire::answer::{Aged, Old, Qos};
use wire::code::Code;
use wire::codec::FrameHeader;
use wire::event::Nanos;
use wire::request::{Change, Encoding, Hello, Mod, Reply, Request, Sub, TopicResult};
use wire::view::View;

/// A connection without any byte for so many heartbeats is dead, whatever TCP thinks.
const HEARTBEATS_TO_SILENCE: u32 = 3;

/// Before `hello` has told the heartbeat.
const FIRST_SILENCE: Duration = Duration::from_secs(15);

/// How long a farewell may take.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// A connection that is lost sooner was no success: the pauses go on growing.
const STEADY: Duration = Duration::from_secs(5);

/// A client of one server.
pub struct Client {
    target: Target,
    reconnect: Option<Reconnect>,
    resumes: bool,
    encoding: Encoding,
    /// With the ids of their requests, the same on every connection.
    subscriptions: Vec<(u64, Subscription)>,
    /// Names and patterns that are paused, also on later connections.
    paused: BTreeSet<String>,
    /// The budget; 0 = none.
    bytes_per_second: u32,
    /// A ticket that was taken up, to be given back on each connection, and the id of that request.
    ticket: Option<(u64, String)>,
    tracker: Tracker,
    state: State,
    /// When the server greeted on the connection that is there.
    greeted: Option<Instant>,
    backoff: Backoff,
    /// Requests that the socket has not taken yet.
    outbox: VecDeque<String>,
    next_id: u64,
    silence: Duration,
    /// The slot a draining server gave us.
    reconnect_in: Option<Duration>,
}

enum State {
    /// Connect, but not before this.
    Waiting(Instant),
    Open(Box<Socket>),
    Ended,
}

/// What one call of `Client::next` saw.
#[derive(Debug)]
pub enum Step {
    /// The server greeted; subscriptions are on their way.
    Connected(Hello),
    Reply(Reply),
    /// What slows this session changed; it holds until the next one, also as `Client::qos`.
    Qos(Qos),
    /// Data became older than its `max_age`, or is not any more; also as `Client::aged`.
    Aged(Aged),
    /// Its records were handed out.
    Frame(FrameHeader),
    /// The connection is gone; the client tries again by itself after `retry_in`. Views are old until then.
    Disconnected {
        why: ClientError,
        retry_in: Duration,
    },
}

impl Client {
    /// Checks the options; connects in the first `next`.
    pub fn new(options: &Options) -> Result<Self, ClientError> {
        Ok(Self {
            target: Target::new(options)?,
            reconnect: options.reconnect,
            resumes: options.resumes,
            encoding: options.encoding,
            subscriptions: Vec::new(),
            paused: BTreeSet::new(),
            bytes_per_second: 0,
            ticket: None,
            tracker: Tracker::new(options.encoding),
            state: State::Waiting(Instant::now()),
            greeted: None,
            backoff: Backoff::default(),
            outbox: VecDeque::new(),
            next_id: 1,
            silence: FIRST_SILENCE,
            reconnect_in: None,
        })
    }

    /// Subscribes, now and on every later connection. Returns the id that its acks carry.
    pub fn subscribe(&mut self, subscription: Subscription) -> u64 {
        let id = self.take_id();
        self.ask_for(id, &subscription);
        self.subscriptions.push((id, subscription));
        id
    }

    /// Ends subscriptions; their views go with the ack. Give names and patterns as they were subscribed.
    pub fn unsubscribe(&mut self, topics: &[&str]) -> u64 {
        for (_, subscription) in &mut self.subscriptions {
            subscription.topics.retain(|topic| !topics.contains(&topic.as_str()));
        }
        self.subscriptions.retain(|(_, subscription)| !subscription.topics.is_empty());
        self.paused.retain(|topic| !topics.contains(&topic.as_str()));
        if !self.is_connected() {
            topics.iter().for_each(|topic| self.tracker.forget(topic));
        }
        let id = self.take_id();
        self.send(&Request::Unsub { id: Some(id), topics: owned(topics) });
        id
    }

    /// Changes subscriptions in place, now and for later connections. Give names and patterns as they were subscribed.
    pub fn modify(&mut self, topics: &[&str], change: Change) -> u64 {
        let mut changed = Vec::new();
        for (_, subscription) in &mut self.subscriptions {
            let (moved, left): (Vec<_>, _) =
                std::mem::take(&mut subscription.topics).into_iter().partition(|topic| topics.contains(&topic.as_str()));
            subscription.topics = left;
            if !moved.is_empty() {
                changed.push(subscription.changed(moved, &change));
            }
        }
        for subscription in changed {
            let id = self.take_id();
            self.subscriptions.push((id, subscription));
        }
        self.subscriptions.retain(|(_, subscription)| !subscription.topics.is_empty());
        let id = self.take_id();
        self.send(&Request::Mod(Mod::new(Some(id), owned(topics), change)));
        id
    }

    /// Lets the server send so many more frames of what is subscribed at the pace `credit`. Without a connection nothing is granted;
    /// each new connection begins without any.
    pub fn grant(&mut self, frames: u32) {
        self.send(&Request::Grant { id: None, frames });
    }

    /// Limits what the server sends, in bytes a second, now and on later connections; 0 = no limit but the server's own.
    pub fn budget(&mut self, bytes_per_second: u32) -> u64 {
        self.bytes_per_second = bytes_per_second;
        let id = self.take_id();
        self.send(&Request::Budget { id: Some(id), bytes_per_second });
        id
    }

    /// No updates of these subscriptions until `resume_topics`, also on later connections.
    pub fn pause(&mut self, topics: &[&str]) -> u64 {
        self.paused.extend(owned(topics));
        let id = self.take_id();
        self.send(&Request::Pause { id: Some(id), topics: Some(owned(topics)) });
        id
    }

    /// Ends a pause: one update brings each view up to date.
    pub fn resume_topics(&mut self, topics: &[&str]) -> u64 {
        self.paused.retain(|topic| !topics.contains(&topic.as_str()));
        let id = self.take_id();
        self.send(&Request::Continue { id: Some(id), topics: Some(owned(topics)) });
        id
    }

    /// Asks for one snapshot of each topic; it comes in a frame after the ack. Without a connection nothing is asked.
    pub fn get(&mut self, topics: &[&str]) -> u64 {
        let id = self.take_id();
        self.send(&Request::Get { id: Some(id), topics: owned(topics), heal: false });
        id
    }

    /// Asks for a page of instruments, behind `after`, the `next` of the page before.
    pub fn list(&mut self, pattern: &str, limit: Option<u32>, after: Option<u32>) -> u64 {
        let id = self.take_id();
        self.send(&Request::List { id: Some(id), pattern: pattern.to_owned(), limit, after });
        id
    }

    /// Asks how a subscription stands.
    pub fn explain(&mut self, topic: &str) -> u64 {
        let id = self.take_id();
        self.send(&Request::Explain { id: Some(id), topic: topic.to_owned() });
        id
    }

    /// Asks for a ticket: a sealed account of all subscriptions and where they stand, `Reply::Ticket`. Without a connection nothing is asked.
    pub fn ticket(&mut self) -> u64 {
        let id = self.take_id();
        self.send(&Request::Ticket { id: Some(id) });
        id
    }

    /// Takes up all subscriptions of a ticket, now and on every later connection, there with the newest ticket that came meanwhile: ask for
    /// one after each change. Trade topics go on from the places of their views, or else from those of the ticket; any other topic without
    /// a view is asked for a snapshot. Returns the id that its acks carry, or the error if it is not accepted, which ends it.
    pub fn resume(&mut self, ticket: impl Into<String>) -> u64 {
        let id = self.take_id();
        self.ticket = Some((id, ticket.into()));
        self.give_ticket();
        id
    }

    /// Asks for a `pong`. Without a connection nothing is asked.
    pub fn ping(&mut self) -> u64 {
        let id = self.take_id();
        self.send(&Request::Ping { id: Some(id) });
        id
    }

    /// Waits for the next thing to happen and hands the records of a frame to `each`. May be dropped and called again.
    ///
    /// An error is final: without `Options::reconnect` any loss, with it only what trying again cannot mend.
    pub async fn next(&mut self, mut each: impl FnMut(&Update<'_>)) -> Result<Step, ClientError> {
        let outcome = match &self.state {
            State::Ended => return Err(ClientError::Ended),
            State::Waiting(until) => {
                tokio::time::sleep_until(*until).await;
                self.connect().await.map(Step::Connected)
            }
            State::Open(_) => self.step(&mut each).await,
        };
        outcome.or_else(|why| self.lost(why))
    }

    async fn connect(&mut self) -> Result<Hello, ClientError> {
        let mut socket = Box::new(self.target.connect().await?);
        let greeting = tokio::time::timeout(FIRST_SILENCE, next_message(&mut socket)).await;
        let greeting = greeting.map_err(|_| ClientError::Silent { after: FIRST_SILENCE })??;
        let Message::Text(text) = &greeting else {
            return Err(ClientError::Unreadable("its first message is not 'hello'".to_owned()));
        };
        let hello = match serde_json::from_str(text) {
            Ok(Reply::Hello(hello)) => hello,
            Ok(_) => return Err(ClientError::Unreadable("its first message is not 'hello'".to_owned())),
            Err(error) => return Err(ClientError::Unreadable(error.to_string())),
        };
        self.state = State::Open(socket);
        self.silence = Duration::from_millis(hello.heartbeat_ms).saturating_mul(HEARTBEATS_TO_SILENCE).max(FIRST_SILENCE);
        self.greeted = Some(Instant::now());
        self.reconnect_in = None;
        self.tracker.connected();
        self.tracker.stats.replies += 1;
        self.outbox.clear();
        if self.bytes_per_second > 0 {
            self.budget(self.bytes_per_second);
        }
        self.give_ticket();
        let subscriptions = std::mem::take(&mut self.subscriptions);
        subscriptions.iter().for_each(|(id, subscription)| self.ask_for(*id, subscription));
        self.subscriptions = subscriptions;
        if !self.paused.is_empty() {
            let id = self.take_id();
            let topics = self.paused.iter().cloned().collect();
            self.send(&Request::Pause { id: Some(id), topics: Some(topics) });
        }
        Ok(hello)
    }

    async fn step(&mut self, each: &mut impl FnMut(&Update<'_>)) -> Result<Step, ClientError> {
        let State::Open(socket) = &mut self.state else { return Err(ClientError::Ended) };
        loop {
            while let Some(text) = self.outbox.front() {
                // Once `feed` returns the socket has it, so being dropped in between neither loses nor doubles it.
                socket.feed(Message::text(text.as_str())).await.map_err(lost)?;
                self.outbox.pop_front();
            }
            socket.flush().await.map_err(lost)?;
            let message = tokio::time::timeout(self.silence, next_message(socket)).await;
            let message = message.map_err(|_| ClientError::Silent { after: self.silence })??;
            let frame: &[u8] = match &message {
                Message::Binary(bytes) if self.encoding == Encoding::Binary => bytes,
                Message::Binary(_) => return Err(ClientError::Unreadable("binary data on a JSON connection".to_owned())),
                Message::Text(text) if is_data(text) => text.as_bytes(),
                Message::Text(text) => {
                    // A later server may send control messages we do not know.
                    let Ok(reply) = serde_json::from_str::<Reply>(text) else { continue };
                    if let Reply::Notice { reconnect_in_ms: Some(ms), .. } = &reply {
                        self.reconnect_in = Some(Duration::from_millis(*ms));
                    }
                    self.tracker.on_reply(&reply);
                    self.note_ticket(&reply);
                    self.fill_blank();
                    return Ok(match reply {
                        Reply::Qos(qos) => Step::Qos(qos),
                        Reply::Aged(aged) => Step::Aged(aged),
                        reply => {
                            self.note_depths(&reply);
                            Step::Reply(reply)
                        }
                    });
                }
                Message::Close(frame) => return Err(closed(frame.as_ref())),
                _ => continue,
            };
            let header = self.tracker.on_frame(frame, wall_ns(), each);
            let header = header.map_err(|problem| ClientError::Unreadable(problem.to_string()))?;
            self.heal();
            return Ok(Step::Frame(header));
        }
    }

    /// Asks at once for what disagreed with a check. It leaves with the next `next`.
    fn heal(&mut self) {
        let topics = self.tracker.heals_wanted();
        if !topics.is_empty() {
            let id = self.take_id();
            self.send(&Request::Get { id: Some(id), topics, heal: true });
            self.tracker.heal_asked(id);
        }
    }

    fn give_ticket(&mut self) {
        if let Some((id, ticket)) = self.ticket.clone() {
            self.send(&Request::Resume { id: Some(id), ticket, resume: self.tracker.trade_places() });
        }
    }

    /// A newer ticket takes the place of the one that was taken up; one that was not accepted is given back no more.
    fn note_ticket(&mut self, reply: &Reply) {
        let Some((id, held)) = &mut self.ticket else { return };
        match reply {
            Reply::Ticket { ticket, .. } | Reply::Notice { ticket: Some(ticket), .. } => held.clone_from(ticket),
            Reply::Error { id: Some(of), code, .. } if of == id && Code::from_name(code).is_some_and(is_final) => {
                self.ticket = None
            }
            _ => {}
        }
    }

    fn fill_blank(&mut self) {
        let topics = self.tracker.take_blank();
        if !topics.is_empty() {
            let id = self.take_id();
            self.send(&Request::Get { id: Some(id), topics: topics.clone(), heal: false });
            self.tracker.snapshots_asked(topics, id);
        }
    }

    /// A book of another depth goes by another name, also on later connections.
    fn note_depths(&mut self, reply: &Reply) {
        let Reply::Ack { results, .. } = reply else { return };
        for result in results {
            let (TopicResult::Live { topic, replaces: Some(former), .. }
            | TopicResult::Paused { topic, replaces: Some(former), .. }) = result
            else {
                continue;
            };
            let names = self.subscriptions.iter_mut().flat_map(|(_, subscription)| &mut subscription.topics);
            names.filter(|name| *name == former).for_each(|name| name.clone_from(topic));
            if self.paused.remove(former) {
                self.paused.insert(topic.clone());
            }
        }
    }

    fn lost(&mut self, why: ClientError) -> Result<Step, ClientError> {
        self.state = State::Ended;
        if self.greeted.take().is_some_and(|greeted| greeted.elapsed() >= STEADY) {
            self.backoff.reset();
        }
        let Some(reconnect) = &self.reconnect else { return Err(why) };
        let pause = match (why.again(), self.reconnect_in.take()) {
            (Again::Soon, Some(slot)) => Some(slot),
            (again, _) => self.backoff.pause(reconnect, again),
        };
        let Some(retry_in) = pause else { return Err(why) };
        self.state = State::Waiting(Instant::now() + retry_in);
        Ok(Step::Disconnected { why, retry_in })
    }

    fn ask_for(&mut self, id: u64, subscription: &Subscription) {
        let Subscription { topics, pace, trades, snapshot, since, trade_safe, focus, max_age } = subscription.clone();
        let resume = if self.resumes { self.tracker.places(&topics) } else { BTreeMap::new() };
        let (id, strict) = (Some(id), false);
        let sub = Sub { id, topics, pace, trades, snapshot, resume, strict, since, trade_safe, focus, max_age };
        self.send(&Request::Sub(sub));
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn send(&mut self, request: &Request) {
        if matches!(self.state, State::Open(_)) {
            self.outbox.push_back(serde_json::to_string(request).expect("requests are plain data"));
        }
    }

    /// Says goodbye. Dropping the client does too, only less politely.
    pub async fn close(&mut self) {
        if let State::Open(mut socket) = std::mem::replace(&mut self.state, State::Ended) {
            let farewell = async {
                let socket: &mut Socket = &mut socket;
                let _ = socket.close(None).await;
                while let Some(Ok(_)) = socket.next().await {}
            };
            let _ = tokio::time::timeout(CLOSE_GRACE, farewell).await;
        }
    }

    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub fn stats(&self) -> &Stats {
        &self.tracker.stats
    }

    /// What slows this session; none as long as nothing did on this connection.
    pub fn qos(&self) -> Option<&Qos> {
        self.tracker.qos()
    }

    /// Topics whose data is older than their `max_age` just now.
    pub fn aged(&self) -> impl Iterator<Item = &Old> {
        self.tracker.aged()
    }

    /// The view of a topic, by its canonical name.
    pub fn view(&self, topic: &str) -> Option<&View> {
        self.tracker.view(topic)
    }

    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }
}

fn owned(topics: &[&str]) -> Vec<String> {
    topics.iter().map(|topic| (*topic).to_owned()).collect()
}

/// No other try of the same ticket would do better.
fn is_final(refusal: Code) -> bool {
    matches!(refusal, Code::BadTicket | Code::TicketExpired)
}

/// Data frames are recognized by their first key, without reading them.
fn is_data(text: &str) -> bool {
    text.starts_with("{\"frame\":")
}

async fn next_message(socket: &mut Socket) -> Result<Message, ClientError> {
    match socket.next().await {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(lost(error)),
        None => Err(ClientError::Lost("the server ended it without a word".to_owned())),
    }
}

fn lost(error: tungstenite::Error) -> ClientError {
    ClientError::Lost(error.to_string())
}

fn closed(frame: Option<&CloseFrame>) -> ClientError {
    let (number, reason) = frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
    let name = wire::code::Close::from_number(number).map(|close| close.row().name);
    let reason = match (name, reason.is_empty()) {
        (Some(name), false) => format!("{name}: {reason}"),
        (Some(name), true) => name.to_owned(),
        (None, false) => reason,
        (None, true) => "no reason given".to_owned(),
    };
    ClientError::Closed { number, reason }
}

fn wall_ns() -> Nanos {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)
}
