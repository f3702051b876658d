//! One WebSocket connection. In: orders of the stage, messages of the client. Out: frames. Bounded by the queue of the stage and
//! the venue's limit of incoming messages.

use super::requests::Subscriptions;
use super::stage::{Order, QUEUE, Stage};
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The venue allows five incoming messages a second, pongs included; counted over two seconds, since the network bunches them.
const MAX_INCOMING: usize = 10;
const INCOMING_WINDOW: Duration = Duration::from_secs(2);
/// Without a pong for this long the venue hangs up.
const PONG_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one client until either side ends it.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(socket: WebSocketStream<S>, subscriptions: Subscriptions, stage: Rc<Stage>) {
    let (queue, orders) = mpsc::channel(QUEUE);
    let client = stage.join(subscriptions, queue.clone());
    let ping_interval = stage.options().ping_interval;
    let now = Instant::now();
    let session = Session {
        socket,
        stage: Rc::clone(&stage),
        client,
        // Weak, so that the stage can end this connection by dropping its sender.
        queue: queue.downgrade(),
        incoming: VecDeque::new(),
        muted: false,
        next_ping: now + ping_interval,
        last_pong: now,
    };
    drop(queue);
    // The venue says nothing about why it hangs up either.
    session.run(orders).await.ok();
    stage.leave(client);
}

struct Session<S> {
    socket: WebSocketStream<S>,
    stage: Rc<Stage>,
    client: usize,
    queue: mpsc::WeakSender<Order>,
    incoming: VecDeque<Instant>,
    muted: bool,
    next_ping: Instant,
    last_pong: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Result<(), Error> {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => {
                        if !self.obey(order).await? {
                            return Ok(());
                        }
                        // Everything that is queued goes out in one write.
                        while let Ok(order) = orders.try_recv() {
                            if !self.obey(order).await? {
                                return self.socket.flush().await;
                            }
                        }
                        self.socket.flush().await?;
                    }
                    None => return Ok(()),
                },
                message = self.socket.next() => match message {
                    Some(message) => {
                        if !self.hear(message?).await? {
                            return Ok(());
                        }
                    }
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(self.next_ping) => self.ping().await?,
            }
        }
    }

    /// False: the connection ends.
    async fn obey(&mut self, order: Order) -> Result<bool, Error> {
        match order {
            Order::Send(text) if !self.muted => self.socket.feed(Message::Text(text)).await?,
            Order::Send(_) => {}
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
        if self.incoming.len() > MAX_INCOMING {
            return Ok(false);
        }
        match message {
            Message::Text(text) => {
                if let Some(answer) = self.stage.request(self.client, &text) {
                    self.answer(answer).await?;
                }
            }
            Message::Pong(_) => self.last_pong = now,
            Message::Close(_) => return Ok(false),
            _ => {}
        }
        Ok(true)
    }

    async fn answer(&mut self, answer: String) -> Result<(), Error> {
        let slow = self.stage.options().faults.slow_ack;
        if slow.is_zero() {
            return self.socket.send(Message::text(answer)).await;
        }
        let queue = self.queue.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(slow).await;
            if let Some(queue) = queue.upgrade() {
                queue.send(Order::Send(answer.into())).await.ok();
            }
        });
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.next_ping = now + self.stage.options().ping_interval;
        if self.muted {
            return Ok(());
        }
        if now - self.last_pong > PONG_TIMEOUT.max(2 * self.stage.options().ping_interval) {
            return Err(Error::ConnectionClosed);
        }
        let payload = (self.stage.time() / 1_000_000).to_string();
        self.socket.send(Message::Ping(payload.into())).await
    }
}
