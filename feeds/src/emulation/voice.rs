//! What a venue's author writes so that it can be emulated: its words. In: what the venue has to say. Out: messages and answers.
//! Pure, and no more exact than the venue: what the decoder reads from these words is what was to be said (a test holds both together).

use crate::engine::{BookUpdate, Listed, QuoteUpdate, RawLevel, TradeUpdate};
use serde_json::Value;
use std::borrow::Cow;
use wire::event::Nanos;

/// One stream of one instrument, as a client asked for it. Neither need exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// As in `Stream::name`, where there is such a stream.
    pub stream: String,
    /// As in the venue's data, where there is such an instrument.
    pub native: String,
    /// Levels a side, where the request says so.
    pub depth: Option<u32>,
}

impl Wish {
    pub fn new(stream: &str, native: &str) -> Self {
        Self { stream: stream.to_owned(), native: native.to_owned(), depth: None }
    }

    pub fn depth(self, depth: Option<u64>) -> Self {
        Self { depth: depth.and_then(|depth| u32::try_from(depth).ok()), ..self }
    }

    pub fn is_same(&self, other: &Self) -> bool {
        self.stream == other.stream && self.native == other.native
    }
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Subscribe(Vec<Wish>),
    Unsubscribe(Vec<Wish>),
    /// The list of instruments, where it comes in band.
    Listing,
    /// Signs of life, where they come to those who ask for them.
    Heartbeats,
    /// A ping, or a setting: `Protocol::grants` has the answer.
    Else,
    /// Nothing that the venue knows.
    Nonsense,
}

/// Why something cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    /// There is no such stream at this address.
    Stream,
    Instrument,
    /// The recording has other depths than this.
    Depth,
}

/// What one connection asked for.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Which of `Protocol::urls` it came to.
    pub endpoint: usize,
    pub wishes: Vec<Wish>,
    /// How many messages were numbered, where the venue numbers those of a connection together.
    pub numbered: u64,
    /// It asked for signs of life, where the venue sends them to those who do.
    pub heartbeats: bool,
    /// Messages name their stream around them (Binance).
    pub wrapped: bool,
}

/// A book, or what changed in it.
#[derive(Clone, Copy, Debug)]
pub struct BookSaid<'a> {
    pub native: &'a str,
    pub update: &'a BookUpdate,
    /// Best first in a snapshot.
    pub bids: &'a [RawLevel],
    pub asks: &'a [RawLevel],
}

/// How a venue whose numbers begin anew says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It does not: its connections end.
    Cut,
    /// It sends every book whole, as number 1.
    Whole,
    /// An update without levels leads from the old number to the new one.
    Chained,
}

pub trait Voice: Send {
    /// What a client asks for.
    fn asked(&self, session: &Session, request: &Value) -> Asked;

    /// No to one wish; where a request gets one answer, to all of it. `None`: the venue says yes and then nothing.
    fn refusal(&self, request: &Value, wish: &Wish, why: No) -> Option<String>;

    /// The answer to a request of which only these can be had, for venues that name them in one answer.
    fn some_granted(&self, _request: &Value, _granted: &[Wish]) -> Option<String> {
        None
    }

    /// No to something that is no request.
    fn nonsense(&self, _request: &Value) -> Option<String> {
        None
    }

    /// What the venue calls an instrument today that an older recording calls otherwise.
    fn today(&self, recorded: &str) -> String {
        recorded.to_owned()
    }

    /// A message of the book's stream: the whole book, or what changed.
    fn book(&self, said: &BookSaid<'_>) -> String;

    fn trade(&self, native: &str, trade: &TradeUpdate) -> String;

    /// `None`: the venue has no such stream. Both sides are given.
    fn quote(&self, _native: &str, _quote: &QuoteUpdate) -> Option<String> {
        None
    }

    /// The recorded message as it goes out to this session; `None`: it has to be said anew. (A recording may hold another stream, or
    /// an older form.)
    fn recorded<'m>(&self, _session: &Session, message: &'m [u8], stream: &str) -> Option<Cow<'m, [u8]>> {
        memchr::memmem::find(message, stream.as_bytes()).map(|_| Cow::Borrowed(message))
    }

    /// How a stream of an instrument is named where messages are wrapped in its name.
    fn stream_name(&self, stream: &str, _native: &str) -> String {
        stream.to_owned()
    }

    /// A message as this session has it.
    fn wrap(&self, _session: &Session, _name: &str, text: String) -> String {
        text
    }

    // Connections

    /// A session as its address alone has it, for venues that take wishes there.
    fn address(&self, _path: &str, _query: &str) -> Option<Session> {
        None
    }

    /// The whole answer to a request, for venues with requests of their own kind.
    fn answer(&self, _session: &mut Session, _text: &str) -> Option<String> {
        None
    }

    /// What is said first.
    fn greeting(&self) -> Vec<String> {
        Vec::new()
    }

    /// Puts the number of this connection's message in, where the venue numbers those.
    fn numbered(&self, text: String, _number: u64) -> String {
        text
    }

    /// Signs of life come so often.
    fn heartbeat_ms(&self) -> Option<u64> {
        None
    }

    fn heartbeats(&self, _session: &Session, _time: Nanos) -> Vec<String> {
        Vec::new()
    }

    /// WebSocket pings, and the end of a connection that answers none.
    fn pings(&self) -> bool {
        false
    }

    /// Messages of a client that are taken in two seconds, pongs included.
    fn incoming_in_two_seconds(&self) -> Option<usize> {
        None
    }

    /// Every message is packed with gzip.
    fn packed(&self) -> bool {
        false
    }

    fn shutdown(&self, _time: Nanos) -> Option<String> {
        None
    }

    fn restart(&self) -> Restart {
        Restart::Cut
    }

    // REST, and lists of instruments

    /// The answer to a request for a book.
    fn snapshot(&self, _said: &BookSaid<'_>) -> String {
        String::new()
    }

    /// Levels a side that this address asks for.
    fn levels_asked(&self, path: &str, query: &str) -> usize {
        let _ = path;
        let limit = query.split('&').find_map(|pair| pair.strip_prefix("limit="));
        limit.and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX)
    }

    /// What a request for a list of instruments wants of it: another body, or a refusal.
    fn list_asked(&self, _query: &str, _list: &str) -> Option<(u16, String)> {
        None
    }

    /// A list of instruments, by REST or in band.
    fn listing(&self, listed: &[Listed]) -> String;

    /// Where to connect, for venues that are asked. `host`: ours.
    fn token(&self, _host: &str) -> String {
        String::new()
    }

    /// Answers of the venue's own: other addresses, and what is wrong with a request. `is_known`: is there such an instrument?
    fn rest(&self, _path: &str, _query: &str, _time: Nanos, _is_known: &dyn Fn(&str) -> bool) -> Option<(u16, String)> {
        None
    }

    /// The body of a 503.
    fn overloaded(&self) -> String {
        r#"{"code":503,"message":"Service Unavailable"}"#.to_owned()
    }
}
