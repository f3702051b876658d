//! The feed against servers on loopback: one whose datagrams get lost, one that cuts its connections. What arrives must be what was sent.

use super::settings::ItchSettings;
use crate::adapter::{Fault, FaultKind, Sink};
use crate::settings::FeedSettings;
use crate::venue::itch::generate::{Day, Settings, Tally};
use crate::venue::itch::message::MAX_BYTES;
use crate::venue::itch::{mold, put, soup};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use wire::event::{Batch, Cause, Channel, EventBody, FeedState, Flags, Level, Side};

const DATE: &str = "2023-08-22";
const SESSION: mold::Session = *b"        S1";

/// All that a consumer knows, by stock.
#[derive(Default)]
struct Known {
    stocks: Vec<Stock>,
    faults: BTreeMap<&'static str, u64>,
    links: Vec<(FeedState, Cause)>,
    messages: usize,
    lines_lost: usize,
    instruments_known: bool,
}

#[derive(Default)]
struct Stock {
    book: [BTreeMap<i64, i64>; 2],
    tally: Tally,
    gaps: u64,
    flags: Flags,
    states: Vec<(FeedState, Cause)>,
}

struct Follower(Arc<Mutex<Known>>);

impl Sink for Follower {
    fn publish(&mut self, batch: &Batch) {
        let mut known = self.0.lock().unwrap();
        for event in &batch.events {
            match &event.body {
                EventBody::Instrument(_) => known.stocks.push(Stock::default()),
                EventBody::Link { state, cause, .. } => known.links.push((*state, *cause)),
                body => {
                    let stock = &mut known.stocks[event.instrument as usize];
                    stock.flags = stock.flags.with(event.flags);
                    stock.take(batch, body);
                }
            }
        }
    }

    fn faults(&mut self, faults: &[Fault]) {
        let mut known = self.0.lock().unwrap();
        faults.iter().for_each(|fault| *known.faults.entry(FaultKind::name(fault.kind)).or_default() += 1);
    }

    fn message(&mut self, _bytes: usize) {
        self.0.lock().unwrap().messages += 1;
    }

    fn line_lost(&mut self, _cause: Cause) {
        self.0.lock().unwrap().lines_lost += 1;
    }

    fn instruments_known(&mut self) {
        self.0.lock().unwrap().instruments_known = true;
    }
}

impl Stock {
    fn take(&mut self, batch: &Batch, body: &EventBody) {
        match body {
            EventBody::Book { bids, asks, snapshot } => {
                for (side, range) in self.book.iter_mut().zip([bids, asks]) {
                    if *snapshot {
                        side.clear();
                    }
                    side.extend(batch.levels(range).iter().map(|level| (level.price, level.size)));
                    side.retain(|_, size| *size != 0);
                }
            }
            EventBody::Trade(trade) => {
                self.tally.trades += 1;
                self.tally.shares += trade.size.unsigned_abs();
            }
            EventBody::Gap { channel: Channel::Trade, missing: Some(0), .. } => self.tally.broken += 1,
            EventBody::Gap { .. } => self.gaps += 1,
            EventBody::State { state, cause, .. } => self.states.push((*state, *cause)),
            _ => {}
        }
    }
}

/// A made day as messages, and what it must come to.
struct Made {
    day: Day,
    messages: Vec<Vec<u8>>,
}

fn made(seed: u64) -> Made {
    let mut day = Day::new(Settings { seed, stocks: 5, messages: 3_000 });
    let messages = day.by_ref().map(|message| message.encode(&mut [0; MAX_BYTES]).to_vec()).collect();
    Made { day, messages }
}

impl Made {
    /// Messages with these numbers, as a datagram.
    fn datagram(&self, from: u64, count: u64) -> Vec<u8> {
        let start = (from - 1) as usize;
        let messages = &self.messages[start..(start + count as usize).min(self.messages.len())];
        let mut datagram = mold::put_header(&SESSION, from, messages.len() as u16).to_vec();
        messages.iter().for_each(|message| put(message, &mut datagram));
        datagram
    }

    fn next_number(&self) -> u64 {
        self.messages.len() as u64 + 1
    }

    fn is_rebuilt_in(&self, known: &Known) -> bool {
        known.stocks.len() == self.day.stocks() as usize
            && (0..).zip(&known.stocks).all(|(at, stock)| {
                let side = |side: Side| -> BTreeMap<i64, i64> {
                    self.day.levels(at, side).into_iter().map(|Level { price, size }| (price, size)).collect()
                };
                stock.tally == self.day.tally(at) && stock.book == [side(Side::Bid), side(Side::Ask)]
            })
    }
}

/// A feed at work.
struct Running {
    known: Arc<Mutex<Known>>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn run(itch: ItchSettings, silence_ms: Option<u64>) -> Running {
    let known = Arc::new(Mutex::new(Known::default()));
    let itch = ItchSettings { date: Some(DATE.to_owned()), ..itch };
    let settings = FeedSettings { itch: Some(itch), silence_ms, ..FeedSettings::of_venue("itch") };
    let (stop, stopped) = watch::channel(false);
    let feed = crate::start(&settings, Box::new(Follower(known.clone())), stopped).unwrap();
    Running { known, stop, task: tokio::spawn(feed) }
}

impl Running {
    async fn until(&self, what: &str, done: impl Fn(&Known) -> bool) {
        for _ in 0..2_000 {
            if done(&self.known.lock().unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let known = self.known.lock().unwrap();
        panic!("not within ten seconds: {what}; {} stocks, {:?} {:?}", known.stocks.len(), known.faults, known.links);
    }

    async fn end(self) -> Known {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
        std::mem::take(&mut *self.known.lock().unwrap())
    }
}

/// An address at which nobody listens (yet).
async fn free_udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Answers requests, with at most `at_once` messages each; `deaf_to`: every so many requests are not heard.
async fn answer(server: UdpSocket, made: Arc<Made>, at_once: u64, deaf_to: usize) {
    let mut buffer = [0; 64];
    for heard in 1.. {
        let (length, client) = server.recv_from(&mut buffer).await.unwrap();
        let request = mold::Packet::parse(&buffer[..length]).unwrap();
        assert_eq!((length, request.session), (20, SESSION));
        if heard % deaf_to != 0 {
            let datagram = made.datagram(request.sequence, u64::from(request.count).min(at_once));
            server.send_to(&datagram, client).await.unwrap();
        }
    }
}

/// Sends the whole session but for what `lost` says, then heartbeats.
async fn multicast(to: &[SocketAddr], made: Arc<Made>, from: u64, lost: impl Fn(u64, usize) -> bool) {
    let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut number = from;
    while number < made.next_number() {
        let count = 10.min(made.next_number() - number);
        for (line, to) in to.iter().enumerate().filter(|(line, _)| !lost(number, *line)) {
            assert!(line < 2);
            sender.send_to(&made.datagram(number, count), to).await.unwrap();
        }
        number += count;
        // No faster than a small socket buffer takes it.
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    loop {
        for to in to {
            sender.send_to(&mold::put_header(&SESSION, number, 0), to).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A line that loses every third datagram, heard from this message on, and a server that does not hear every request.
async fn with_requests(seed: u64, first: impl Fn(&Made) -> u64, deaf_to: usize) -> Known {
    let made = Arc::new(made(seed));
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (line, request) = (free_udp().await, server.local_addr().unwrap());
    let feed = run(ItchSettings { listen: vec![line], request: Some(request), ..ItchSettings::default() }, None);
    let server = tokio::spawn(answer(server, made.clone(), 50, deaf_to));
    let (from, of) = (first(&made), made.clone());
    let sender = tokio::spawn(async move { multicast(&[line], of, from, |number, _| number / 10 % 3 == 1).await });
    feed.until("all of it", |known| made.is_rebuilt_in(known)).await;
    feed.until("live", |known| known.stocks.iter().all(|stock| stock.states.last() == Some(&(FeedState::Live, Cause::None))))
        .await;
    let known = feed.end().await;
    server.abort();
    sender.abort();
    assert!(known.instruments_known && known.messages > 100);
    assert_eq!(known.faults.len(), 1, "{:?}", known.faults);
    assert!(known.stocks.iter().all(|stock| stock.gaps == 0 && stock.flags == Flags::default()));
    known
}

#[tokio::test]
async fn lost_datagrams_are_asked_for() {
    let known = with_requests(1, |_| 1, usize::MAX).await;
    assert!(known.faults["sequence_gap"] > 30, "each hole is told: {:?}", known.faults);
}

#[tokio::test]
async fn a_session_that_began_earlier_is_asked_for_from_its_start() {
    let known = with_requests(1, |made| made.next_number() * 2 / 5, 31).await;
    assert!(known.stocks.iter().all(|stock| stock.states[0] == (FeedState::Resyncing, Cause::Startup)));
}

#[tokio::test]
async fn two_lines_need_no_server() {
    let made = Arc::new(made(2));
    let lines = [free_udp().await, free_udp().await];
    let feed = run(ItchSettings { listen: lines.to_vec(), ..ItchSettings::default() }, None);
    let of = made.clone();
    let lost = |number: u64, line: usize| (number / 10) % 2 == line as u64;
    let sender = tokio::spawn(async move { multicast(&lines, of, 1, lost).await });
    feed.until("all of it", |known| made.is_rebuilt_in(known)).await;
    let known = feed.end().await;
    sender.abort();
    assert!(known.stocks.iter().all(|stock| stock.gaps == 0 && stock.flags == Flags::default()));
}

#[tokio::test]
async fn what_nobody_repeats_is_told_as_lost() {
    let made = Arc::new(made(3));
    let line = free_udp().await;
    let feed = run(ItchSettings { listen: vec![line], ..ItchSettings::default() }, Some(300));
    let of = made.clone();
    let half = made.next_number() / 2 / 10 * 10 + 1;
    let sender = tokio::spawn(async move { multicast(&[line], of, 1, |number, _| number == half).await });
    feed.until("the loss", |known| known.stocks.iter().any(|stock| stock.gaps > 0)).await;
    feed.until("live again", |known| {
        known.stocks.iter().all(|stock| stock.states.last() == Some(&(FeedState::Live, Cause::SequenceGap)))
    })
    .await;
    // The sender falls silent, and comes back.
    sender.abort();
    feed.until("stale", |known| known.links.last() == Some(&(FeedState::Stale, Cause::Silence))).await;
    let of = made.clone();
    let sender = tokio::spawn(async move { multicast(&[line], of, made.next_number(), |_, _| false).await });
    feed.until("back", |known| known.links.last() == Some(&(FeedState::Resyncing, Cause::None))).await;
    feed.until("good again", |known| {
        known.stocks.iter().all(|stock| stock.states.last().is_some_and(|state| state.0 == FeedState::Live))
    })
    .await;
    let known = feed.end().await;
    sender.abort();
    assert!(known.stocks.iter().all(|stock| stock.gaps == 1));
    assert!(known.stocks.iter().any(|stock| stock.flags == Flags::MAYBE_BAD_BOOK));
}

/// Serves the session to one client after the other, and cuts each off after so many messages, in the middle of a packet.
async fn serve(listener: TcpListener, made: Arc<Made>, cuts: Vec<usize>) -> Vec<Vec<u8>> {
    let mut logins = Vec::new();
    for cut in cuts.into_iter().map(Some).chain([None]) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut login = vec![0; 49];
        stream.read_exact(&mut login).await.unwrap();
        let next: u64 = std::str::from_utf8(&login[29..]).unwrap().trim().parse().unwrap();
        logins.push(login);
        let mut bytes = Vec::new();
        soup::put(b'+', b"hello", &mut bytes);
        soup::put(b'A', &[&SESSION[..], &soup::right_number(next)].concat(), &mut bytes);
        let left = &made.messages[next as usize - 1..];
        left.iter().take(cut.unwrap_or(usize::MAX)).for_each(|message| soup::put(b'S', message, &mut bytes));
        if cut.is_some() {
            bytes.extend([0, 30, b'S', 1, 2, 3]);
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
            continue;
        }
        soup::put(b'H', b"", &mut bytes);
        stream.write_all(&bytes).await.unwrap();
        // Until the client goes.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.chunks(3).any(|packet| packet == soup::CLIENT_HEARTBEAT), "the client says that it is there");
    }
    logins
}

#[tokio::test]
async fn a_cut_connection_goes_on_where_it_was() {
    let made = Arc::new(made(4));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let server = tokio::spawn(serve(listener, made.clone(), vec![700, 1, 0, 900]));
    let itch =
        ItchSettings { server: Some(address), user: "user".to_owned(), password_file: Some(password), ..ItchSettings::default() };
    let feed = run(itch, None);
    feed.until("all of it", |known| made.is_rebuilt_in(known)).await;
    feed.until("live", |known| known.stocks.iter().all(|stock| stock.states.last() == Some(&(FeedState::Live, Cause::None))))
        .await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let known = feed.end().await;
    let logins = server.await.unwrap();
    let expected = |session: &str, next: u64| format!("user  secret    {session:>10}{next:>20}");
    for (login, (session, next)) in logins.iter().zip([("", 1), ("S1", 701), ("S1", 702), ("S1", 702), ("S1", 1_602)]) {
        assert_eq!(std::str::from_utf8(&login[3..]).unwrap(), expected(session, next));
    }
    assert_eq!((logins.len(), known.lines_lost), (5, 4));
    let ends: Vec<_> = known.links.iter().map(|(state, _)| *state).collect();
    assert_eq!(ends, [FeedState::Down, FeedState::Resyncing].repeat(4));
    assert!(known.faults.is_empty() && known.stocks.iter().all(|stock| stock.gaps == 0 && stock.flags == Flags::default()));
}

#[tokio::test]
async fn a_login_that_is_refused_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        soup::put(b'J', b"A", &mut bytes);
        stream.write_all(&bytes).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let feed = run(ItchSettings { server: Some(address), ..ItchSettings::default() }, None);
    feed.until("refused", |known| known.faults.contains_key("refused")).await;
    assert_eq!(feed.end().await.links, [(FeedState::Down, Cause::Disconnected)]);
    server.abort();
}

#[test]
fn what_cannot_work_is_said_before_it_runs() {
    let listen = || vec!["127.0.0.1:1".parse().unwrap()];
    for (itch, part) in [
        (ItchSettings::default(), "names no source: set files, listen (MoldUDP64) or server (SoupBinTCP)"),
        (ItchSettings { listen: listen(), market: "N".to_owned(), ..ItchSettings::default() }, "market must be"),
        (ItchSettings { listen: listen(), max_orders: 0, ..ItchSettings::default() }, "max_orders must be 1 or more"),
        (ItchSettings { listen: listen(), date: Some("x".to_owned()), ..ItchSettings::default() }, "date 'x' is no day"),
        (ItchSettings { server: Some("here".to_owned()), ..ItchSettings::default() }, "'here' is no server; write HOST:PORT"),
        (
            ItchSettings { server: Some("a:1".to_owned()), user: "longname".to_owned(), ..ItchSettings::default() },
            "user 'longname' has",
        ),
        (
            ItchSettings { server: Some("a:1".to_owned()), password_file: Some("none".into()), ..ItchSettings::default() },
            "none: cannot be",
        ),
        (
            ItchSettings { listen: vec!["203.0.113.1:9".parse().unwrap()], ..ItchSettings::default() },
            "cannot listen at 203.0.113.1:9",
        ),
    ] {
        let settings = FeedSettings { itch: Some(itch), ..FeedSettings::of_venue("itch") };
        let known = Arc::new(Mutex::new(Known::default()));
        let error = crate::start(&settings, Box::new(Follower(known)), watch::channel(false).1).err().unwrap().to_string();
        assert!(error.starts_with("feed 'itch': ") && error.contains(part), "{error}");
    }
}
