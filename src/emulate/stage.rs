//! What all connections share: the playback, the books of the moment, who listens to what, and the faults. In: recording entries at
//! their time. Out: messages in the clients' queues. Bounded by `QUEUE` messages a client: a full queue holds the playback up, so
//! that a fast replay loses nothing, and a client that takes nothing for `STUCK` is cut.

use super::book::VenueBook;
use super::options::{EmulateError, Options};
use super::requests::Subscriptions;
use super::script::Script;
use feeds::recording::{Body, Recording};
use feeds::replay::ReplayError;
use feeds::replay::binance::{StreamKind, StreamMessage};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use wire::event::Nanos;

pub const QUEUE: usize = 1024;
const STUCK: Duration = Duration::from_secs(10);
/// Between the shutdown notice and the end of the connections that got it.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Pauses of the recording longer than this (files of different days) are not waited through.
const MAX_PAUSE_NS: Nanos = 60_000_000_000;

/// What a connection's task is told to do.
#[derive(Clone, Debug)]
pub enum Order {
    Send(Utf8Bytes),
    /// Say nothing any more, not even a ping, and stay connected.
    Mute,
    /// End the connection without a word.
    Cut,
}

struct Client {
    subscriptions: Subscriptions,
    queue: mpsc::Sender<Order>,
    muted: bool,
}

pub struct Stage {
    options: Options,
    script: Script,
    clients: RefCell<Slab<Client>>,
    books: RefCell<BTreeMap<String, VenueBook>>,
    diffs: RefCell<HashMap<String, u64>>,
    subscribed: Notify,
    sent: Cell<u64>,
    snapshots_asked: Cell<u64>,
    time: Cell<Nanos>,
}

impl Stage {
    pub fn new(options: Options, script: Script) -> Rc<Self> {
        Rc::new(Self {
            clients: RefCell::default(),
            books: RefCell::new(script.books.clone()),
            diffs: RefCell::default(),
            subscribed: Notify::new(),
            sent: Cell::new(0),
            snapshots_asked: Cell::new(0),
            time: Cell::new(script.first),
            options,
            script,
        })
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The recorded moment that is being played.
    pub fn time(&self) -> Nanos {
        self.time.get()
    }

    pub fn join(&self, subscriptions: Subscriptions, queue: mpsc::Sender<Order>) -> usize {
        let listens = !subscriptions.streams.is_empty();
        let key = self.clients.borrow_mut().insert(Client { subscriptions, queue, muted: false });
        if listens {
            self.subscribed.notify_one();
        }
        key
    }

    pub fn leave(&self, client: usize) {
        self.clients.borrow_mut().try_remove(client);
    }

    /// Carries out a client's request; `None` if it is to get no answer.
    pub fn request(&self, client: usize, text: &str) -> Option<String> {
        let mut clients = self.clients.borrow_mut();
        let client = clients.get_mut(client)?;
        let answer = client.subscriptions.request(text);
        if !client.subscriptions.streams.is_empty() {
            self.subscribed.notify_one();
        }
        (!client.muted).then_some(answer)
    }

    /// One of the snapshot requests that are to fail?
    pub fn refuses_snapshot(&self) -> bool {
        self.snapshots_asked.set(self.snapshots_asked.get() + 1);
        self.snapshots_asked.get() <= self.options.faults.snapshot_503
    }

    pub fn snapshot(&self, symbol: &str, limit: usize) -> Option<String> {
        Some(self.books.borrow().get(symbol)?.snapshot(limit))
    }

    /// Plays the recording to its end (`repeat`: for ever).
    pub async fn play(self: Rc<Self>) -> Result<(), EmulateError> {
        loop {
            if !self.options.start_now {
                while self.clients.borrow().iter().all(|(_, client)| client.subscriptions.streams.is_empty()) {
                    self.subscribed.notified().await;
                }
                tokio::time::sleep(self.options.start_delay).await;
            }
            self.play_once().await?;
            if !self.options.repeat {
                return Ok(());
            }
            // Update ids start over, so nobody can go on: everybody has to come back.
            self.order_all(&Order::Cut);
            self.books.replace(self.script.books.clone());
            self.diffs.borrow_mut().clear();
        }
    }

    async fn play_once(self: &Rc<Self>) -> Result<(), EmulateError> {
        let pace = self.options.pace;
        let (mut first, mut start) = (self.script.first, Instant::now());
        self.time.set(first);
        for entry in Recording::open(&self.options.files).map_err(ReplayError::from)? {
            let entry = entry.map_err(ReplayError::from)?;
            if entry.time - self.time.get() > MAX_PAUSE_NS {
                (first, start) = (entry.time, Instant::now());
            }
            self.time.set(self.time.get().max(entry.time));
            let due = start + pace.delay(first, entry.time);
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            if let Body::Received { bytes, .. } = &entry.body
                && let Some(message) = StreamMessage::parse(bytes)
            {
                self.play_message(&message).await;
            }
        }
        Ok(())
    }

    async fn play_message(self: &Rc<Self>, message: &StreamMessage<'_>) {
        let mut copies = 1;
        if let StreamKind::Depth { first, last, bids, asks } = &message.kind {
            // The venue's own book takes every diff, also those that its clients never see.
            if let Some(book) = self.books.borrow_mut().get_mut(message.symbol.as_ref()) {
                book.on_diff(*first, *last, bids, asks);
            }
            copies = self.copies(&message.symbol);
        }
        let Some(stream) = message.stream_name() else { return };
        for _ in 0..copies {
            self.broadcast(&stream, message.payload).await;
        }
    }

    /// How often this depth diff of `symbol` is sent: once, but for the faults.
    fn copies(&self, symbol: &str) -> u32 {
        let mut diffs = self.diffs.borrow_mut();
        let count = diffs.entry(symbol.to_owned()).or_default();
        *count += 1;
        let faults = &self.options.faults;
        if faults.drop_diff == Some(*count) || faults.drop_diff_every.is_some_and(|every| count.is_multiple_of(every.max(1))) {
            return 0;
        }
        1 + u32::from(faults.duplicate_diff == Some(*count))
    }

    async fn broadcast(self: &Rc<Self>, stream: &str, payload: &str) {
        let targets: Vec<(mpsc::Sender<Order>, bool)> = self
            .clients
            .borrow()
            .iter()
            .filter(|(_, client)| !client.muted && client.subscriptions.streams.contains(stream))
            .map(|(_, client)| (client.queue.clone(), client.subscriptions.combined))
            .collect();
        if targets.is_empty() {
            return;
        }
        let combined = Utf8Bytes::from(format!(r#"{{"stream":"{stream}","data":{payload}}}"#));
        let raw = Utf8Bytes::from(payload.to_owned());
        for (queue, wrapped) in targets {
            let text = if wrapped { combined.clone() } else { raw.clone() };
            // A queue whose task has ended takes nothing; one that is stuck would hold up everybody.
            if tokio::time::timeout(STUCK, queue.send(Order::Send(text))).await.is_err() {
                self.drop_client(&queue);
            }
        }
        self.sent.set(self.sent.get() + 1);
        self.fault();
    }

    /// Dropping the last sender ends the connection's task.
    fn drop_client(&self, queue: &mpsc::Sender<Order>) {
        self.clients.borrow_mut().retain(|_, client| !client.queue.same_channel(queue));
    }

    fn fault(self: &Rc<Self>) {
        let (faults, sent) = (&self.options.faults, Some(self.sent.get()));
        if faults.cut_at == sent {
            self.order_all(&Order::Cut);
        }
        if faults.mute_at == sent {
            self.order_all(&Order::Mute);
            self.clients.borrow_mut().iter_mut().for_each(|(_, client)| client.muted = true);
        }
        if faults.shutdown_notice_at == sent {
            self.announce_shutdown();
        }
    }

    fn announce_shutdown(self: &Rc<Self>) {
        let notice = format!(r#"{{"e":"serverShutdown","E":{}}}"#, self.time.get() / 1_000_000);
        let wrapped = Utf8Bytes::from(format!(r#"{{"stream":"!serverShutdown","data":{notice}}}"#));
        let raw = Utf8Bytes::from(notice);
        let queues: Vec<mpsc::Sender<Order>> = self
            .clients
            .borrow()
            .iter()
            .map(|(_, client)| {
                let text = if client.subscriptions.combined { wrapped.clone() } else { raw.clone() };
                order(&client.queue, Order::Send(text));
                client.queue.clone()
            })
            .collect();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(SHUTDOWN_GRACE).await;
            queues.iter().for_each(|queue| order(queue, Order::Cut));
        });
    }

    fn order_all(&self, what: &Order) {
        self.clients.borrow().iter().for_each(|(_, client)| order(&client.queue, what.clone()));
    }
}

/// Puts an order behind what is queued already. If there is no room it waits in a task of its own.
fn order(queue: &mpsc::Sender<Order>, what: Order) {
    if let Err(mpsc::error::TrySendError::Full(what)) = queue.try_send(what) {
        let queue = queue.clone();
        tokio::task::spawn_local(async move { queue.send(what).await.ok() });
    }
}
