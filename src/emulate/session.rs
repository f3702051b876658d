//! One WebSocket connection. In: orders of the stage, messages of the client. Out: frames. Bounded by the queue of the stage and
//! the venue's limit of incoming messages.

use super::stage::{Order, QUEUE, Stage};
use feeds::emulation::{ClientId, Told};
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

const INCOMING_WINDOW: Duration = Duration::from_secs(2);
/// Without a pong for this long a venue that pings hangs up.
const PONG_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one client until either side ends it.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    client: ClientId,
    greeting: Vec<Told>,
    stage: Rc<Stage>,
) {
    let (queue, orders) = mpsc::channel(QUEUE);
    let (alive, dropped) = oneshot::channel();
    stage.connect(client, queue, alive);
    let now = Instant::now();
    let manners = stage.manners();
    let session = Session {
        socket,
        orders,
        stage: Rc::clone(&stage),
        client,
        incoming: VecDeque::new(),
        muted: false,
        next_ping: manners.ping.map(|every| now + every),
        next_heartbeat: manners.heartbeat.map(|every| now + every),
        last_pong: now,
    };
    // The venue says nothing about why it hangs up either.
    tokio::select! {
        _ = session.run(greeting) => {}
        // It takes nothing: it may be in the middle of a write.
        _ = dropped => {}
    }
    stage.leave(client);
}

struct Session<S> {
    socket: WebSocketStream<S>,
    orders: mpsc::Receiver<Order>,
    stage: Rc<Stage>,
    client: ClientId,
    incoming: VecDeque<Instant>,
    muted: bool,
    next_ping: Option<Instant>,
    next_heartbeat: Option<Instant>,
    last_pong: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(mut self, greeting: Vec<Told>) -> Result<(), Error> {
        self.say(greeting).await?;
        loop {
            let timer = self.next_ping.into_iter().chain(self.next_heartbeat).min();
            let due = timer.unwrap_or_else(|| Instant::now() + PONG_TIMEOUT);
            tokio::select! {
                order = self.orders.recv() => {
                    let Some(order) = order else { return Ok(()) };
                    if !self.obey(order).await? || !self.catch_up().await? {
                        return self.socket.flush().await;
                    }
                    self.socket.flush().await?;
                    self.stage.drained();
                }
                message = self.socket.next() => {
                    let Some(message) = message else { return Ok(()) };
                    if !self.hear(message?).await? {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(due) => {
                    if !self.tick().await? {
                        return self.socket.flush().await;
                    }
                }
            }
        }
    }

    /// Everything that is queued. False: the connection ends.
    async fn catch_up(&mut self) -> Result<bool, Error> {
        while let Ok(order) = self.orders.try_recv() {
            if !self.obey(order).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn obey(&mut self, order: Order) -> Result<bool, Error> {
        match order {
            Order::Send(told) if !self.muted => self.socket.feed(message(told)).await?,
            Order::Send(_) => {}
            Order::Hear(text) => {
                let told = self.stage.hear(self.client, &text);
                return self.say_behind(told).await;
            }
            Order::Mute => self.muted = true,
            Order::Cut => return Ok(false),
        }
        Ok(true)
    }

    async fn hear(&mut self, message: Message) -> Result<bool, Error> {
        let now = Instant::now();
        self.incoming.push_back(now);
        while self.incoming.front().is_some_and(|first| now - *first > INCOMING_WINDOW) {
            self.incoming.pop_front();
        }
        if self.stage.manners().incoming.is_some_and(|most| self.incoming.len() > most) {
            return Ok(false);
        }
        match message {
            Message::Text(text) => {
                if let Some(told) = self.stage.heard(self.client, &text) {
                    return self.say_behind(told).await;
                }
            }
            Message::Pong(_) => self.last_pong = now,
            Message::Close(_) => return Ok(false),
            _ => {}
        }
        Ok(true)
    }

    /// Says what follows on what is queued already, in the order in which it was made.
    async fn say_behind(&mut self, mut told: Vec<Told>) -> Result<bool, Error> {
        let mut said = VecDeque::new();
        loop {
            // Without waiting, so that nothing newer is among it.
            let queued: Vec<Order> = std::iter::from_fn(|| self.orders.try_recv().ok()).collect();
            for order in queued {
                match order {
                    Order::Send(told) if !self.muted => self.socket.feed(message(told)).await?,
                    Order::Send(_) => {}
                    Order::Hear(text) => said.push_back(text),
                    Order::Mute => self.muted = true,
                    Order::Cut => return Ok(false),
                }
            }
            self.say(told).await?;
            self.stage.drained();
            let Some(text) = said.pop_front() else { return Ok(true) };
            told = self.stage.hear(self.client, &text);
        }
    }

    async fn say(&mut self, told: Vec<Told>) -> Result<(), Error> {
        for told in told {
            if !self.muted {
                self.socket.feed(message(told)).await?;
            }
        }
        self.socket.flush().await
    }

    /// False: the connection ends.
    async fn tick(&mut self) -> Result<bool, Error> {
        let (now, manners) = (Instant::now(), self.stage.manners());
        if self.next_heartbeat.is_some_and(|next| next <= now) {
            self.next_heartbeat = manners.heartbeat.map(|every| now + every);
            let told = self.stage.heartbeats(self.client);
            if !self.say_behind(told).await? {
                return Ok(false);
            }
        }
        if self.next_ping.is_some_and(|next| next <= now) {
            self.next_ping = manners.ping.map(|every| now + every);
            if self.muted {
                return Ok(true);
            }
            if now - self.last_pong > PONG_TIMEOUT.max(2 * self.stage.options().ping_interval) {
                return Err(Error::ConnectionClosed);
            }
            let payload = (self.stage.time() / 1_000_000).to_string();
            self.socket.send(Message::Ping(payload.into())).await?;
        }
        Ok(true)
    }
}

fn message(told: Told) -> Message {
    match told {
        Told::Text(text) => Message::text(text),
        Told::Packed(bytes) => Message::binary(bytes),
    }
}
