//! An emulated venue and its clients. In: connections, what clients say, recorded entries in their order. Out: what each client is told.
//! Bounded by the books of the recording and by one message held back a client.

use super::faults::{Fate, Faults};
use super::script::{EmulationError, Script};
use super::truth::{BookRules, Truth, Whole};
use super::voice::{Asked, BookSaid, No, Restart, Session, Voice, Wish};
use crate::adapter::Line;
use crate::engine::{BookUpdate, Decoded, Item, Listed, Number, Protocol, QuoteIds, RawLevel, Scope, Stream};
use crate::recording::Body;
use crate::registry;
use flate2::{Compression, write::GzEncoder};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use wire::event::{Channel, Nanos};

pub type ClientId = usize;

/// What a client is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Text(String),
    Packed(Vec<u8>),
}

impl Told {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Packed(bytes) => bytes,
        }
    }
}

/// What follows from something that a client said.
#[derive(Debug, Default)]
pub struct Heard {
    pub answers: Vec<Told>,
    /// Books that were asked for, whole.
    pub data: Vec<Told>,
}

/// The recorded message that something stands in.
#[derive(Clone, Copy)]
struct Recorded<'a> {
    bytes: &'a [u8],
    /// It is the first thing in it.
    first: bool,
}

struct Client {
    session: Session,
    /// Messages that go out after the next one of their instrument.
    held: Vec<(usize, Told)>,
}

pub struct Exchange {
    pub(super) protocol: Box<dyn Protocol>,
    pub(super) voice: Box<dyn Voice>,
    pub(super) script: Script,
    pub(super) faults: Faults,
    pub(super) truths: Vec<Truth>,
    pub(super) time: Nanos,
    pub(super) snapshots_asked: u64,
    rules: BookRules,
    decoded: Decoded,
    clients: BTreeMap<ClientId, Client>,
    next_client: ClientId,
    /// Book updates of all symbols.
    updates: u64,
    restarted: bool,
    /// The numbers began anew and the venue has no word for it: everybody is to be cut.
    cut: bool,
    scratch: Vec<u8>,
}

impl Exchange {
    /// Reads the recording once; says what is wrong with it.
    pub fn open(venue: &str, files: &[PathBuf], faults: Faults) -> Result<Self, EmulationError> {
        let script = Script::read(venue, files)?;
        let protocol = (registry::venue(venue)?.protocol)(&script.settings);
        let voice = protocol.voice().ok_or_else(|| EmulationError::NoVoice(script.venue.to_owned()))?;
        let facts = protocol.facts();
        let by_rest = facts.by_rest();
        let rules = BookRules { by_rest, numbering: facts.numbering(), depth: protocol.depth() };
        let mut exchange = Self {
            voice,
            truths: Vec::new(),
            time: script.first,
            snapshots_asked: 0,
            rules,
            decoded: Decoded::surveying(),
            clients: BTreeMap::new(),
            next_client: 0,
            updates: 0,
            restarted: false,
            cut: false,
            scratch: Vec::new(),
            protocol,
            script,
            faults,
        };
        exchange.rewind()?;
        Ok(exchange)
    }

    /// Back to the recording's start. Its numbers start over too, so no client can go on.
    pub fn rewind(&mut self) -> Result<(), EmulationError> {
        self.protocol = (registry::venue(self.script.venue)?.protocol)(&self.script.settings);
        self.decoded = Decoded::surveying();
        self.truths.clear();
        for recorded in &self.script.listed {
            self.decoded.know(&recorded.native, self.truths.len() as u32);
            let today = Listed { native: self.voice.today(&recorded.native), ..recorded.clone() };
            self.truths.push(Truth::new(today, &recorded.native, self.faults.far_levels));
        }
        for (native, whole) in &self.script.snapshots {
            if let Some(truth) = self.truths.iter_mut().find(|truth| truth.recorded == *native) {
                truth.add_recorded(whole.clone());
            }
        }
        (self.time, self.updates, self.restarted, self.cut) = (self.script.first, 0, false, false);
        Ok(())
    }

    pub fn venue(&self) -> &'static str {
        self.script.venue
    }

    /// The instruments, as the venue calls them.
    pub fn natives(&self) -> impl Iterator<Item = &str> {
        self.truths.iter().map(|truth| truth.native.as_str())
    }

    pub fn entries(&self) -> u64 {
        self.script.entries
    }

    /// Price and size of the best levels of both sides at this moment; `None` before anything is known.
    pub fn best(&self, native: &str, depth: usize) -> Option<[Vec<(Number, Number)>; 2]> {
        let whole = self.truths[self.index_of(native)?].whole(depth)?;
        Some([whole.bids, whole.asks].map(|side| side.iter().map(|raw| (raw.price, raw.size)).collect()))
    }

    pub fn remarks(&self) -> &[String] {
        &self.script.remarks
    }

    pub fn voice(&self) -> &dyn Voice {
        self.voice.as_ref()
    }

    /// The recorded moment that is being played.
    pub fn time(&self) -> Nanos {
        self.time
    }

    // Clients

    /// A client connects. `None`: the venue has no such address.
    pub fn join(&mut self, path: &str, query: &str) -> Option<(ClientId, Vec<Told>)> {
        let session = self.voice.address(path, query).or_else(|| {
            let path = path.trim_end_matches('/');
            let own = |url: &String| url.strip_prefix("ws://x").is_some_and(|own| own.trim_end_matches('/') == path);
            let endpoint = self.protocol.urls("ws://x").iter().position(own)?;
            Some(Session { endpoint, ..Session::default() })
        })?;
        let client = self.next_client;
        self.next_client += 1;
        self.clients.insert(client, Client { session, held: Vec::new() });
        let greeting = self.voice.greeting();
        let said = greeting.into_iter().map(|text| self.tell(client, text)).collect();
        Some((client, said))
    }

    pub fn leave(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Did anybody subscribe to anything?
    pub fn is_heard(&self) -> bool {
        self.clients.values().any(|client| !client.session.wishes.is_empty())
    }

    /// A client says something.
    pub fn hear(&mut self, client: ClientId, text: &str) -> Heard {
        let mut heard = Heard::default();
        let Some(known) = self.clients.get_mut(&client) else { return heard };
        if let Some(answer) = self.voice.answer(&mut known.session, text) {
            heard.answers.push(self.tell(client, answer));
            return heard;
        }
        let request = serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
        let mut answers = Vec::new();
        let mut fresh = Vec::new();
        match self.voice.asked(&known.session, &request) {
            Asked::Subscribe(wishes) => fresh = self.subscribe(client, text, &request, wishes, &mut answers),
            Asked::Unsubscribe(wishes) => {
                known.session.wishes.retain(|known| !wishes.iter().any(|wish| wish.is_same(known)));
                answers = self.protocol.grants(text);
            }
            Asked::Listing => {
                answers = self.protocol.grants(text);
                let listed: Vec<Listed> = self.truths.iter().map(|truth| truth.listed.clone()).collect();
                answers.push(self.voice.listing(&listed));
            }
            Asked::Heartbeats => {
                known.session.heartbeats = true;
                answers = self.protocol.grants(text);
            }
            Asked::Else => answers = self.protocol.grants(text),
            Asked::Nonsense => answers.extend(self.voice.nonsense(&request)),
        }
        heard.answers = answers.into_iter().map(|answer| self.tell(client, answer)).collect();
        heard.data = fresh.iter().filter_map(|index| self.whole_book(client, *index)).collect();
        heard
    }

    /// Returns the instruments whose book was asked for.
    fn subscribe(
        &mut self,
        client: ClientId,
        text: &str,
        request: &serde_json::Value,
        wishes: Vec<Wish>,
        answers: &mut Vec<String>,
    ) -> Vec<usize> {
        let Some(endpoint) = self.clients.get(&client).map(|client| client.session.endpoint) else { return Vec::new() };
        let grants = self.protocol.grants(text);
        let each = grants.len() == wishes.len();
        let refusals: Vec<Option<String>> =
            wishes.iter().map(|wish| self.voice.refusal(request, wish, self.why_not(endpoint, wish)?)).collect();
        let good = wishes.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none()).map(|(wish, _)| wish.clone());
        let mut good: Vec<Wish> = good.collect();
        match refusals.iter().flatten().next().cloned() {
            None => answers.extend(grants),
            Some(_) if each => {
                answers.extend(grants.into_iter().zip(refusals).map(|(grant, refusal)| refusal.unwrap_or(grant)));
            }
            Some(refusal) => match self.voice.some_granted(request, &good) {
                Some(answer) => answers.push(answer),
                None => {
                    good.clear();
                    answers.push(refusal);
                }
            },
        }
        let Some(client) = self.clients.get_mut(&client) else { return Vec::new() };
        client.session.wishes.retain(|known| !good.iter().any(|wish| wish.is_same(known)));
        client.session.wishes.extend(good.iter().cloned());
        let books = good.iter().filter(|wish| self.carries(endpoint, wish, Channel::Book));
        books.filter_map(|wish| self.index_of(&wish.native)).collect()
    }

    fn index_of(&self, native: &str) -> Option<usize> {
        self.truths.iter().position(|truth| truth.native == native)
    }

    /// `None`: it can be had.
    fn why_not(&self, endpoint: usize, wish: &Wish) -> Option<No> {
        let is = |stream: &Stream| stream.name == wish.stream && stream.endpoint == endpoint;
        if !self.protocol.streams().iter().any(is) {
            return Some(No::Stream);
        }
        if self.index_of(&wish.native).is_none() || !self.protocol.serves(endpoint, &wish.native) {
            return Some(No::Instrument);
        }
        // The recording has one depth only.
        match (wish.depth, self.script.depth) {
            (Some(wanted), Some(recorded)) if wanted != recorded => Some(No::Depth),
            _ => None,
        }
    }

    fn carries(&self, endpoint: usize, wish: &Wish, channel: Channel) -> bool {
        let is = |stream: &&Stream| stream.name == wish.stream && stream.endpoint == endpoint;
        self.protocol.streams().iter().find(is).is_some_and(|stream| stream.carries.contains(&channel))
    }

    /// In band: the book of the moment, if there is one already.
    fn whole_book(&mut self, client: ClientId, index: usize) -> Option<Told> {
        if self.rules.by_rest {
            return None;
        }
        let text = self.whole_text(index)?;
        Some(self.tell(client, text))
    }

    fn whole_text(&mut self, index: usize) -> Option<String> {
        let truth = &self.truths[index];
        let Whole { mut update, bids, asks } = truth.whole(usize::MAX)?;
        if update.checksum.is_some() {
            self.scratch.clear();
            update.checksum = Some(self.protocol.checksum(truth.ladder(), &mut self.scratch));
        }
        update = shifted(update, truth.shift);
        Some(self.voice.book(&BookSaid { native: &truth.native, update: &update, bids: &bids, asks: &asks }))
    }

    /// A message on its way to one client.
    fn tell(&mut self, client: ClientId, mut text: String) -> Told {
        if self.protocol.facts().scope == Scope::Connection
            && let Some(client) = self.clients.get_mut(&client)
        {
            let numbered = self.voice.numbered(text.clone(), client.session.numbered);
            client.session.numbered += u64::from(numbered != text);
            text = numbered;
        }
        if self.voice.packed() { packed(text.as_bytes()) } else { Told::Text(text) }
    }

    /// Signs of life that are due now.
    pub fn heartbeats(&mut self, client: ClientId) -> Vec<Told> {
        let Some(known) = self.clients.get(&client) else { return Vec::new() };
        let texts = self.voice.heartbeats(&known.session, self.time);
        texts.into_iter().map(|text| self.tell(client, text)).collect()
    }

    /// The venue says that it is about to close this connection, if it ever says so.
    pub fn shutdown_notice(&mut self, client: ClientId) -> Option<Told> {
        let text = self.voice.shutdown(self.time)?;
        let text = self.voice.wrap(&self.clients.get(&client)?.session, "!serverShutdown", text);
        Some(self.tell(client, text))
    }

    // Playback

    /// True once after the numbers began anew at a venue that cuts its connections then.
    pub fn take_cut(&mut self) -> bool {
        std::mem::take(&mut self.cut)
    }

    /// Plays one recorded entry. `out`: who is sent what.
    pub fn play(&mut self, time: Nanos, body: &Body, out: &mut Vec<(ClientId, Told)>) {
        self.time = self.time.max(time);
        match body {
            Body::Connect { line, url } => self.protocol.connected(Line(*line), url),
            Body::Received { line, bytes } => self.play_message(Line(*line), bytes, out),
            _ => {}
        }
    }

    fn play_message(&mut self, line: Line, bytes: &[u8], out: &mut Vec<(ClientId, Told)>) {
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        if self.protocol.decode(line, &mut bytes.to_vec(), &mut decoded).is_ok() {
            let items = std::mem::take(&mut decoded.items);
            let topics: Vec<_> = items.iter().filter_map(topic).collect();
            // Where a message is about one topic it may go out as it was recorded.
            let whole = topics.windows(2).all(|pair| pair[0] == pair[1]);
            let mut recorded = whole.then_some(Recorded { bytes, first: true });
            for item in items.iter().filter(|item| topic(item).is_some()) {
                self.play_item(item, &decoded, recorded, out);
                recorded = recorded.map(|recorded| Recorded { first: false, ..recorded });
            }
            decoded.items = items;
        }
        self.decoded = decoded;
    }

    /// `recorded`: the message it stands in, if that is about nothing else.
    fn play_item(&mut self, item: &Item, decoded: &Decoded, recorded: Option<Recorded<'_>>, out: &mut Vec<(ClientId, Told)>) {
        let Some((channel, index)) = topic(item) else { return };
        let Some(truth) = self.truths.get_mut(index) else { return };
        let numbered_alike = truth.shift == 0;
        match item {
            Item::Quote { quote, .. } => {
                let mut quote = truth.merge(quote);
                if self.protocol.facts().quote_ids != QuoteIds::None {
                    quote.id = quote.id.saturating_sub(truth.shift);
                }
                let text = self.voice.quote(&truth.native, &quote);
                self.send(channel, index, Fate::Send, recorded.filter(|_| numbered_alike), text, out);
            }
            Item::Trade { trade, .. } if !trade.past => {
                let text = self.voice.trade(&truth.native, trade);
                self.send(channel, index, Fate::Send, recorded, Some(text), out);
            }
            Item::Book { book, bids, asks, .. } => {
                let (bids, asks) = (&decoded.bids[bids.clone()], &decoded.asks[asks.clone()]);
                self.play_book(index, book, bids, asks, recorded, out);
            }
            _ => {}
        }
    }

    fn play_book(
        &mut self,
        index: usize,
        book: &BookUpdate,
        bids: &[RawLevel],
        asks: &[RawLevel],
        recorded: Option<Recorded<'_>>,
        out: &mut Vec<(ClientId, Told)>,
    ) {
        let truth = &mut self.truths[index];
        if !self.rules.by_rest && truth.ahead {
            // Everybody who wants it has it; what was recorded before it belongs to no book.
            truth.ahead = !book.snapshot;
            return;
        }
        let was_known = truth.is_known();
        let anchored = std::mem::take(&mut truth.anchored);
        truth.take(book, bids, asks, &self.rules);
        if !(was_known || truth.is_known() || self.rules.by_rest) {
            return;
        }
        if book.snapshot && self.faults.far_levels > 0 {
            let Some(text) = self.whole_text(index) else { return };
            return self.send(Channel::Book, index, Fate::Send, None, Some(text), out);
        }
        let mut fate = Fate::Send;
        // HTX's books are whole each time: they count as updates.
        if !book.snapshot || (was_known && self.rules.numbering.is_none()) {
            truth.updates += 1;
            fate = self.faults.fate(truth.updates);
            self.updates += 1;
        }
        let (shift, mut restart) = (self.truths[index].shift, None);
        if fate != Fate::Drop && self.faults.restart_at.is_some_and(|at| self.updates >= at && !self.restarted) {
            self.restarted = true;
            restart = Some(self.restart(index, out));
        }
        if restart == Some(Restart::Whole) {
            return;
        }
        let truth = &self.truths[index];
        let mut update = shifted(*book, truth.shift);
        if restart.is_some() {
            // Told by the number it had.
            update.previous = book.previous.map(|previous| previous.saturating_sub(shift));
        }
        let mut recorded = recorded.filter(|_| truth.shift == 0 && fate != Fate::WrongChecksum);
        if anchored && let Some(previous) = update.previous.filter(|previous| *previous < update.first) {
            // At the venue numbers between two updates are the symbol's too, and a snapshot has one of those.
            (update.first, recorded) = (previous, None);
        }
        if fate == Fate::WrongChecksum {
            update.checksum = update.checksum.map(|sum| sum ^ 1);
        }
        let text = self.voice.book(&BookSaid { native: &truth.native, update: &update, bids, asks });
        self.send(Channel::Book, index, fate, recorded, Some(text), out);
    }

    /// All numbers begin anew, at 1 with the last update of each book; the one of `index` is yet to be told.
    fn restart(&mut self, index: usize, out: &mut Vec<(ClientId, Told)>) -> Restart {
        let how = self.voice.restart();
        self.cut = how == Restart::Cut;
        for at in 0..self.truths.len() {
            let truth = &mut self.truths[at];
            let (Some(last), true) = (truth.last, self.rules.numbering.is_some()) else { continue };
            let before = last.last.saturating_sub(truth.shift);
            truth.shift = last.last.saturating_sub(1);
            let text = match how {
                Restart::Whole => self.whole_text(at),
                Restart::Chained if at != index => {
                    let update = BookUpdate { snapshot: false, first: 1, last: 1, previous: Some(before), ..last };
                    Some(self.voice.book(&BookSaid { native: &truth.native, update: &update, bids: &[], asks: &[] }))
                }
                Restart::Chained | Restart::Cut => None,
            };
            if text.is_some() {
                self.send(Channel::Book, at, Fate::Send, None, text, out);
            }
        }
        how
    }

    /// To everybody who wants it. `recorded` is preferred to `text`.
    fn send(
        &mut self,
        channel: Channel,
        index: usize,
        fate: Fate,
        recorded: Option<Recorded<'_>>,
        text: Option<String>,
        out: &mut Vec<(ClientId, Told)>,
    ) {
        let native = &self.truths[index].native;
        let wants = |client: &Client| {
            let session = &client.session;
            let is = |wish: &&Wish| wish.native == *native && self.carries(session.endpoint, wish, channel);
            session.wishes.iter().find(is).map(|wish| wish.stream.clone())
        };
        let targets: Vec<(ClientId, String)> =
            self.clients.iter().filter_map(|(id, client)| Some((*id, wants(client)?))).collect();
        // Neither renumbered nor renamed.
        let truth = &self.truths[index];
        let as_recorded = self.protocol.facts().scope == Scope::Symbol && truth.native == truth.recorded;
        for (client, stream) in targets {
            let Some(Client { session, .. }) = self.clients.get(&client) else { continue };
            let verbatim = recorded.filter(|_| as_recorded);
            let told = match (verbatim.and_then(|recorded| self.voice.recorded(session, recorded.bytes, &stream)), &text) {
                // All of it has gone out.
                (Some(_), _) if verbatim.is_some_and(|recorded| !recorded.first) => continue,
                (Some(bytes), _) => match String::from_utf8(bytes.into_owned()) {
                    Ok(text) => Told::Text(text),
                    Err(error) => Told::Packed(error.into_bytes()),
                },
                (None, Some(text)) => {
                    let name = self.voice.stream_name(&stream, &self.truths[index].native);
                    let text = self.voice.wrap(session, &name, text.clone());
                    self.tell(client, text)
                }
                (None, None) => continue,
            };
            let Some(Client { held, .. }) = self.clients.get_mut(&client) else { continue };
            let late: Vec<Told> = match held.iter().position(|(of, _)| channel == Channel::Book && *of == index) {
                Some(at) if fate != Fate::Later => vec![held.swap_remove(at).1],
                _ => Vec::new(),
            };
            match fate {
                Fate::Drop => {}
                Fate::Later => held.push((index, told)),
                Fate::Twice => out.extend([(client, told.clone()), (client, told)]),
                Fate::Send | Fate::WrongChecksum => out.push((client, told)),
            }
            out.extend(late.into_iter().map(|told| (client, told)));
        }
    }
}

fn topic(item: &Item) -> Option<(Channel, usize)> {
    match item {
        Item::Quote { instrument, .. } => Some((Channel::Quote, *instrument as usize)),
        Item::Trade { instrument, .. } => Some((Channel::Trade, *instrument as usize)),
        Item::Book { instrument, .. } => Some((Channel::Book, *instrument as usize)),
        _ => None,
    }
}

fn shifted(update: BookUpdate, shift: u64) -> BookUpdate {
    let lower = |id: u64| id.saturating_sub(shift);
    BookUpdate { first: lower(update.first), last: lower(update.last), previous: update.previous.map(lower), ..update }
}

fn packed(text: &[u8]) -> Told {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let _ = packer.write_all(text);
    Told::Packed(packer.finish().unwrap_or_default())
}
