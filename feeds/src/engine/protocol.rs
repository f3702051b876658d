//! What a venue's author writes: facts, addresses, requests, a decoder. In: the venue's bytes. Out: `Decoded`.
//! Pure: no clock, no I/O, no state but what the bytes of a connection themselves establish (channel numbers and the like).

use super::decoded::Decoded;
use super::facts::{Facts, Stream};
use super::ladder::Ladder;
use super::listing::Listed;
use crate::adapter::Line;
use crate::settings::FeedSettings;
use wire::event::{Channel, Nanos};

/// What a message lacks or has wrong, for the log. The whole message is then ignored.
pub type Complaint = &'static str;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Subscribe,
    Unsubscribe,
}

/// One stream of one instrument.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    pub stream: &'a Stream,
    /// The venue's own spelling.
    pub native: &'a str,
}

/// One request to (un)subscribe; `topics` are grouped as `Facts` say.
pub struct Request<'a> {
    pub id: u64,
    /// The connection it goes out on.
    pub line: Line,
    /// The time now, for venues that want it in the request.
    pub time: Nanos,
    pub operation: Operation,
    pub topics: &'a [Topic<'a>],
}

pub trait Protocol: Send {
    fn facts(&self) -> &Facts;

    /// The streams for what the settings ask for. Those of one endpoint share lines.
    fn streams(&self) -> &[Stream];

    /// WebSocket addresses by endpoint. `base` is the venue's own or the operator's, without a slash at the end.
    fn urls(&self, base: &str) -> Vec<String>;

    fn request(&self, request: &Request<'_>) -> String;

    /// Reads one message. An error drops all of it. `payload` may be altered in place.
    fn decode(&mut self, line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint>;

    /// Is this instrument to be had at this endpoint? (Where categories have addresses of their own.)
    fn serves(&self, _endpoint: usize, _native: &str) -> bool {
        true
    }

    /// A connection to an endpoint begins: what was known of an earlier one of this number is void. Returned messages are sent before
    /// anything else (`first`: this line also has to bring the list of instruments, where that comes in band).
    fn greeting(&mut self, _line: Line, _endpoint: usize, _first: bool) -> Vec<String> {
        Vec::new()
    }

    /// Levels a side that are subscribed, if the venue leaves out the deletes of those that fall out beyond.
    fn depth(&self) -> Option<u32> {
        None
    }

    /// The application's sign of life, if `Facts::keepalive` asks for one.
    fn ping(&self, _id: u64, _time: Nanos) -> String {
        String::new()
    }

    // REST

    /// Addresses of the instrument lists that hold these symbols (as in the settings: `BTC-USDT` or `!NATIVE`).
    fn listings(&self, _base: &str, _wanted: &[String]) -> Vec<String> {
        Vec::new()
    }

    /// Reads one instrument list. All entries, or only those that could be wanted.
    fn listing(&self, _json: &[u8]) -> Result<Vec<Listed>, String> {
        Ok(Vec::new())
    }

    /// Where the list that was found at `url` goes on, if this was only a page of it.
    fn next_listing(&self, _url: &str, _json: &[u8]) -> Option<String> {
        None
    }

    fn snapshot_url(&self, _base: &str, _native: &str) -> String {
        String::new()
    }

    /// Reads a snapshot of `native`: exactly one `Decoded::book` with `snapshot: true`.
    fn snapshot(&mut self, _native: &str, _body: &mut Vec<u8>, _out: &mut Decoded) -> Result<(), Complaint> {
        Err("this venue has no snapshots to ask for")
    }

    /// Address to POST to for a connection's address, if `Facts::token`.
    fn token_request(&self, _base: &str) -> String {
        String::new()
    }

    /// The WebSocket address in the answer to `token_request`.
    fn token_url(&self, _json: &[u8]) -> Option<String> {
        None
    }

    /// The checksum of the book as it stands (only where `Proof::Crc`). `scratch` is empty and reused.
    fn checksum(&self, _book: &Ladder, _scratch: &mut Vec<u8>) -> u32 {
        0
    }

    // Recordings and the emulator

    /// An instrument as it can be guessed from its name alone, where no list was recorded or the venue has none.
    fn guess(&self, native: &str) -> Listed;

    /// Is this message an answer to a request? (Cheap: every recorded message is looked at.) Recorded answers are left out of a replay
    /// where they carry the numbers of another's requests.
    fn is_answer(&self, message: &[u8]) -> bool;

    /// What the venue says when it grants this request.
    fn grants(&self, request: &str) -> Vec<String>;

    /// What decides which recorded answer belongs to a REST request. Others record under other addresses and parameters.
    fn address_key(&self, url: &str) -> String {
        address_key(url, &[])
    }

    /// How the keys of instrument lists begin.
    fn listing_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whose snapshot has this key.
    fn snapshot_native(&self, _key: &str) -> Option<String> {
        None
    }
}

/// Builds the protocol for an operator's settings.
pub type MakeProtocol = fn(&FeedSettings) -> Box<dyn Protocol>;

/// Those of `all` that carry something the settings ask for.
pub fn chosen(all: &[Stream], settings: &FeedSettings) -> Vec<Stream> {
    let wanted = |channel: &Channel| settings.channels.iter().any(|name| name.channel() == *channel);
    all.iter().filter(|stream| stream.carries.iter().any(wanted)).copied().collect()
}

/// The last part of an address and its parameters in order, but for those in `ignored`.
pub fn address_key(url: &str, ignored: &[&str]) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let name = |pair: &str| ignored.contains(&pair.split('=').next().unwrap_or_default());
    let mut parameters: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !name(pair)).collect();
    parameters.sort_unstable();
    let endpoint = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    format!("{endpoint}?{}", parameters.join("&"))
}
