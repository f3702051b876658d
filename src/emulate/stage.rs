//! What all connections share: the emulated venue, the playback, who is connected, and the faults of connections. In: recording entries at
//! their time. Out: messages in the clients' queues. Bounded by `QUEUE` messages a client: a queue without room holds the playback up, so
//! that a fast replay loses nothing, and a client that takes nothing for `STUCK` is cut.

use super::options::{EmulateError, Options};
use feeds::emulation::{Answer, ClientId, EmulationError, Exchange, Heard, Told};
use feeds::recording::{Body, Recording};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use wire::event::Nanos;

pub const QUEUE: usize = 1024;
/// One entry of a recording may lead to so many messages; with less room in a queue it is not played yet.
const ROOM: usize = 256;
const STUCK: Duration = Duration::from_secs(10);
/// Between the shutdown notice and the end of the connections that got it.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Pauses of the recording longer than this (files of different days) are not waited through.
const MAX_PAUSE_NS: Nanos = 60_000_000_000;
/// After so many entries without a pause the connections get their turn.
const ENTRIES_AT_ONCE: u32 = 64;

/// What a connection's task is told to do.
#[derive(Clone, Debug)]
pub enum Order {
    Send(Told),
    /// Take this in, which the client said a while ago.
    Hear(String),
    /// Say nothing any more, not even a ping, and stay connected.
    Mute,
    /// End the connection without a word.
    Cut,
}

/// How the venue treats its connections.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    pub ping: Option<Duration>,
    pub heartbeat: Option<Duration>,
    /// Messages of a client in two seconds.
    pub incoming: Option<usize>,
}

struct Connected {
    queue: mpsc::Sender<Order>,
    muted: bool,
    /// Ends the connection's task when it is dropped.
    _alive: oneshot::Sender<()>,
}

pub struct Stage {
    options: Options,
    manners: Manners,
    exchange: RefCell<Exchange>,
    connected: RefCell<BTreeMap<ClientId, Connected>>,
    subscribed: Notify,
    drained: Notify,
    sent: Cell<u64>,
}

impl Stage {
    pub fn new(options: Options, exchange: Exchange) -> Rc<Self> {
        let voice = exchange.voice();
        let manners = Manners {
            ping: voice.pings().then_some(options.ping_interval),
            heartbeat: voice.heartbeat_ms().map(Duration::from_millis),
            incoming: voice.incoming_in_two_seconds(),
        };
        Rc::new(Self {
            options,
            manners,
            exchange: RefCell::new(exchange),
            connected: RefCell::default(),
            subscribed: Notify::new(),
            drained: Notify::new(),
            sent: Cell::new(0),
        })
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn manners(&self) -> Manners {
        self.manners
    }

    /// The recorded moment that is being played.
    pub fn time(&self) -> Nanos {
        self.exchange.borrow().time()
    }

    pub fn join(&self, path: &str, query: &str) -> Option<(ClientId, Vec<Told>)> {
        self.exchange.borrow_mut().join(path, query)
    }

    /// Its WebSocket is there.
    pub fn connect(&self, client: ClientId, queue: mpsc::Sender<Order>, alive: oneshot::Sender<()>) {
        self.connected.borrow_mut().insert(client, Connected { queue, muted: false, _alive: alive });
        self.look_for_listeners();
    }

    pub fn leave(&self, client: ClientId) {
        self.connected.borrow_mut().remove(&client);
        self.exchange.borrow_mut().leave(client);
        self.drained.notify_one();
    }

    fn look_for_listeners(&self) {
        if self.exchange.borrow().is_heard() {
            self.subscribed.notify_one();
        }
    }

    /// There is room in a queue again.
    pub fn drained(&self) {
        self.drained.notify_one();
    }

    /// A client said something; `None` where it is taken in later.
    pub fn heard(self: &Rc<Self>, client: ClientId, text: &str) -> Option<Vec<Told>> {
        let slow = self.options.faults.slow_ack;
        if slow.is_zero() {
            return Some(self.hear(client, text));
        }
        let (queue, text) = (self.connected.borrow().get(&client)?.queue.downgrade(), text.to_owned());
        tokio::task::spawn_local(async move {
            tokio::time::sleep(slow).await;
            if let Some(queue) = queue.upgrade() {
                queue.send(Order::Hear(text)).await.ok();
            }
        });
        None
    }

    pub fn hear(&self, client: ClientId, text: &str) -> Vec<Told> {
        let Heard { mut answers, mut data } = self.exchange.borrow_mut().hear(client, text);
        self.look_for_listeners();
        answers.append(&mut data);
        answers
    }

    pub fn heartbeats(&self, client: ClientId) -> Vec<Told> {
        self.exchange.borrow_mut().heartbeats(client)
    }

    pub fn answer(&self, host: &str, path: &str, query: &str) -> Answer {
        self.exchange.borrow_mut().answer(host, path, query)
    }

    /// Plays the recording to its end (`repeat`: for ever).
    pub async fn play(self: Rc<Self>) -> Result<(), EmulateError> {
        loop {
            if !self.options.start_now {
                while !self.exchange.borrow().is_heard() {
                    self.subscribed.notified().await;
                }
                tokio::time::sleep(self.options.start_delay).await;
            }
            self.play_once().await?;
            if !self.options.repeat {
                return Ok(());
            }
            // Update ids start over, so nobody can go on: everybody has to come back.
            self.end().await;
            self.exchange.borrow_mut().rewind()?;
        }
    }

    /// Lets everybody take what is queued, then cuts the connections. Who came meanwhile stays.
    pub async fn end(&self) {
        self.order_all(&Order::Cut);
        let ending: Vec<ClientId> = self.connected.borrow().keys().copied().collect();
        let started = Instant::now();
        while ending.iter().any(|client| self.connected.borrow().contains_key(client)) {
            if started.elapsed() >= STUCK {
                return ending.iter().for_each(|client| self.drop_client(*client));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn play_once(self: &Rc<Self>) -> Result<(), EmulateError> {
        let pace = self.options.pace;
        let (mut anchor, mut last, mut at_once) = (None, 0, 0);
        for entry in Recording::open(&self.options.files).map_err(EmulationError::from)? {
            let entry = entry.map_err(EmulationError::from)?;
            let mut due = Instant::now();
            // Nobody waits for what the recorder asked for before its first message.
            if matches!(entry.body, Body::Received { .. }) {
                let (first, start) = match anchor {
                    Some(anchor) if entry.time - last <= MAX_PAUSE_NS => anchor,
                    _ => *anchor.insert((entry.time, due)),
                };
                last = entry.time.max(last);
                due = start + pace.delay(first, entry.time);
            }
            at_once += 1;
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
                at_once = 0;
            } else if at_once > ENTRIES_AT_ONCE {
                tokio::task::yield_now().await;
                at_once = 0;
            }
            self.wait_for_room().await;
            let mut told = Vec::new();
            let cut = {
                let mut exchange = self.exchange.borrow_mut();
                exchange.play(entry.time, &entry.body, &mut told);
                exchange.take_cut()
            };
            self.deliver(told);
            if cut {
                self.order_all(&Order::Cut);
            }
        }
        Ok(())
    }

    /// A client that takes nothing would hold up everybody: it is cut.
    async fn wait_for_room(&self) {
        let stuck = || {
            let connected = self.connected.borrow();
            let full = connected.iter().find(|(_, one)| one.queue.capacity() < ROOM && !one.queue.is_closed());
            full.map(|(client, _)| *client)
        };
        let (mut since, mut last) = (Instant::now(), None);
        while let Some(client) = stuck() {
            // Others that take theirs give it no more time.
            if last.replace(client) != Some(client) {
                since = Instant::now();
            }
            if tokio::time::timeout_at(since + STUCK, self.drained.notified()).await.is_err() {
                self.drop_client(client);
            }
        }
    }

    /// Ends the connection's task at once, wherever it is.
    fn drop_client(&self, client: ClientId) {
        self.connected.borrow_mut().remove(&client);
    }

    fn deliver(self: &Rc<Self>, told: Vec<(ClientId, Told)>) {
        if told.is_empty() {
            return;
        }
        for (client, told) in told {
            let full = {
                let connected = self.connected.borrow();
                let one = connected.get(&client).filter(|one| !one.muted);
                one.is_some_and(|one| matches!(one.queue.try_send(Order::Send(told)), Err(mpsc::error::TrySendError::Full(_))))
            };
            if full {
                self.drop_client(client);
            }
        }
        self.sent.set(self.sent.get() + 1);
        self.fault();
    }

    fn fault(self: &Rc<Self>) {
        let (faults, sent) = (&self.options.faults, Some(self.sent.get()));
        if faults.cut_at == sent {
            self.order_all(&Order::Cut);
        }
        if faults.mute_at == sent {
            self.order_all(&Order::Mute);
            self.connected.borrow_mut().values_mut().for_each(|one| one.muted = true);
        }
        if faults.shutdown_notice_at == sent {
            self.announce_shutdown();
        }
    }

    fn announce_shutdown(self: &Rc<Self>) {
        let connected = self.connected.borrow();
        let queues: Vec<mpsc::Sender<Order>> = connected
            .iter()
            .map(|(client, one)| {
                if let Some(told) = self.exchange.borrow_mut().shutdown_notice(*client) {
                    order(&one.queue, Order::Send(told));
                }
                one.queue.clone()
            })
            .collect();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(SHUTDOWN_GRACE).await;
            queues.iter().for_each(|queue| order(queue, Order::Cut));
        });
    }

    fn order_all(&self, what: &Order) {
        self.connected.borrow().values().for_each(|one| order(&one.queue, what.clone()));
    }
}

/// Puts an order behind what is queued already. If there is no room it waits in a task of its own.
fn order(queue: &mpsc::Sender<Order>, what: Order) {
    if let Err(mpsc::error::TrySendError::Full(what)) = queue.try_send(what) {
        let queue = queue.clone();
        tokio::task::spawn_local(async move { queue.send(what).await.ok() });
    }
}
