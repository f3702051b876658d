//! A session over WebSocket. In: text frames of requests. Out: replies through the library, data frames written ready-made.
//! Bounded: one message in flight, under the write timeout; the library's buffers are sized by the gate.

use crate::encode::FrameBuilder;
use crate::session::{Client, SessionCore, draining_notice, read};
use crate::shard::Shard;
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use wire::code::Close;
use wire::request::Reply;

/// How long a close may take before the socket is just dropped.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Messages read before data gets its turn again.
const READS_A_ROUND: usize = 8;

/// Longer requests are read on another thread: a list of 50,000 topics takes longer than other sessions should wait.
const LONG_REQUEST_BYTES: usize = 32 * 1024;

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// The client said goodbye.
    Left,
    /// The connection broke without a goodbye.
    Lost,
    /// Too slow even for a close frame.
    Abandoned,
    Close(Close),
}

/// Serves one client until it leaves, breaks a rule, falls behind for too long, or the server drains.
pub async fn run<S>(stream: WebSocketStream<S>, client: Client, shard: Rc<Shard>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let core = SessionCore::open(client, &shard);
    let mut driver = Driver::new(stream, core);
    let end = driver.serve().await.unwrap_or_else(|end| end);
    let metrics = &shard.context.metrics;
    match end {
        End::Left => metrics.closed_by_client.add(1),
        End::Lost => metrics.connection_lost.add(1),
        End::Abandoned => metrics.closed(Close::SlowConsumer),
        End::Close(close) => {
            metrics.closed(close);
            driver.close(close).await;
        }
    }
}

struct Driver<S> {
    stream: WebSocketStream<S>,
    core: SessionCore,
    write_timeout: Duration,
    ping_interval: Duration,
    idle_timeout: Duration,
    last_heard: Instant,
    next_ping: Instant,
    /// One timer entry for ping, idleness and token expiry together.
    alarm: Pin<Box<Sleep>>,
    /// A request that came while another was in hand. Nothing more is read then.
    waiting: Option<Utf8Bytes>,
}

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(stream: WebSocketStream<S>, core: SessionCore) -> Self {
        let limits = &core.shard().context.session;
        let now = Instant::now();
        let ping_interval = Duration::from_millis(limits.ping_interval_ms);
        Self {
            stream,
            write_timeout: Duration::from_millis(limits.write_timeout_ms),
            ping_interval,
            idle_timeout: Duration::from_millis(limits.idle_timeout_ms),
            last_heard: now,
            next_ping: now + ping_interval,
            // Its first look sets it: a token may expire long before the first ping is due.
            alarm: Box::pin(tokio::time::sleep_until(now)),
            waiting: None,
            core,
        }
    }

    async fn serve(&mut self) -> Result<End, End> {
        let hello = self.core.greet();
        self.reply(&hello).await?;
        let mut draining = self.core.shard().context.draining.clone();
        loop {
            if *draining.borrow() {
                return self.drain().await;
            }
            // Asked for in every round, not only in a quiet one: a busy session must not outlive its token, forget to ping, or
            // leave its client waiting for a topic.
            if Instant::now() >= self.alarm.deadline() {
                self.on_alarm().await?;
            }
            if !self.core.is_working() && self.core.has_listings() {
                self.core.on_listing();
            }
            // Read what is there, so that a busy session still hears its client, then write what is due.
            for _ in 0..READS_A_ROUND {
                if self.waiting.is_some() {
                    break;
                }
                let Some(message) = self.stream.next().now_or_never() else { break };
                self.on_message(message).await?;
            }
            let worked = self.work().await?;
            // What holds from now on, before data under it.
            while let Some(news) = self.core.news() {
                self.reply(&news).await?;
            }
            // Also between two parts of an answer: the topics of each part follow it.
            if self.write_due().await? || worked || self.core.is_ready() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                message = self.stream.next() => self.on_message(message).await?,
                () = self.core.ready() => {}
                () = self.core.listed() => {}
                () = self.core.ages() => {}
                () = &mut self.alarm => {}
                _ = draining.changed() => {}
            }
        }
    }

    async fn on_message(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.last_heard = Instant::now();
        match message {
            // One request at a time, in order; pings in between are heard.
            Some(Ok(Message::Text(text))) if self.core.is_working() => {
                self.waiting = Some(text);
                Ok(())
            }
            Some(Ok(Message::Text(text))) => self.on_text(text).await,
            Some(Ok(Message::Binary(_))) => Err(End::Close(Close::BadFrame)),
            // The library has queued the pong; it leaves with this flush, before any data.
            Some(Ok(Message::Ping(_))) => {
                self.core.on_ping().map_err(End::Close)?;
                self.flush().await
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(Error::Capacity(_))) => Err(End::Close(Close::FrameTooLarge)),
            Some(Err(error)) => Err(ended(&error)),
            None => Err(End::Left),
        }
    }

    async fn on_text(&mut self, text: Utf8Bytes) -> Result<(), End> {
        let parsed = if text.len() <= LONG_REQUEST_BYTES {
            read(&text)
        } else {
            let opener = self.core.opener();
            tokio::task::spawn_blocking(move || read(&text).opened(&opener)).await.map_err(|_| End::Lost)?
        };
        match self.core.on_request(parsed).map_err(End::Close)? {
            Some(reply) => self.reply(&reply).await,
            None => Ok(()),
        }
    }

    /// One part of the request in hand, or the request that waited for its end. False if there is neither.
    async fn work(&mut self) -> Result<bool, End> {
        if self.core.is_working() {
            if let Some(reply) = self.core.work() {
                self.reply(&reply).await?;
            }
            return Ok(true);
        }
        let Some(text) = self.waiting.take() else { return Ok(false) };
        self.on_text(text).await.map(|()| true)
    }

    async fn on_alarm(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.core.expires_in().is_some_and(|left| left.is_zero()) {
            return Err(End::Close(Close::TokenExpired));
        }
        if now >= self.last_heard + self.idle_timeout {
            return Err(End::Close(Close::IdleTimeout));
        }
        if now >= self.next_ping {
            self.next_ping = now + self.ping_interval;
            self.send(Message::Ping(Default::default())).await?;
        }
        let next = self.next_ping.min(self.last_heard + self.idle_timeout);
        let expiry = self.core.expires_in().map(|left| now + left);
        self.alarm.as_mut().reset(expiry.map_or(next, |expiry| next.min(expiry)));
        Ok(())
    }

    /// Tells the client, hands it what is due, and ends.
    async fn drain(&mut self) -> Result<End, End> {
        let slot_ms = self.core.reconnect_slot_ms();
        let notice = draining_notice(slot_ms, self.core.parting_ticket());
        self.reply(&notice).await?;
        self.write_due().await?;
        Ok(End::Close(Close::Draining))
    }

    /// Writes one frame of whatever is due. False if nothing was.
    async fn write_due(&mut self) -> Result<bool, End> {
        let shard = self.core.shard().clone();
        let mut frame = shard.take_frame(self.core.client().encoding);
        let filled = self.core.fill(&mut frame);
        let result = if filled { self.write_frame(&mut frame).await } else { Ok(()) };
        shard.give_frame(frame);
        result.map(|()| filled)
    }

    async fn write_frame(&mut self, frame: &mut FrameBuilder) -> Result<(), End> {
        // The library's own bytes (a pong, a reply) leave first: between its flushes the stream is ours.
        self.flush().await?;
        let bytes = frame.websocket();
        let size = bytes.len();
        let stream = self.stream.get_mut();
        let mut written = 0;
        let write = async {
            while written < size {
                match stream.write(&bytes[written..]).await {
                    Ok(0) | Err(_) => return Err(End::Lost),
                    Ok(count) => written += count,
                }
            }
            stream.flush().await.map_err(|_| End::Lost)
        };
        match timeout(self.write_timeout, write).await {
            Ok(result) => result?,
            Err(_) => {
                // A close frame may only follow a whole frame: one last chance to finish this one.
                let rest = async {
                    stream.write_all(&bytes[written..]).await?;
                    stream.flush().await
                };
                return match timeout(CLOSE_GRACE, rest).await {
                    Ok(Ok(())) => Err(End::Close(Close::SlowConsumer)),
                    _ => Err(End::Abandoned),
                };
            }
        }
        self.core.wrote(frame, size);
        Ok(())
    }

    async fn reply(&mut self, reply: &Reply) -> Result<(), End> {
        let text = serde_json::to_string(reply).expect("replies are plain data");
        self.send(Message::text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        timed(self.write_timeout, self.stream.send(message)).await
    }

    async fn flush(&mut self) -> Result<(), End> {
        timed(self.write_timeout, self.stream.flush()).await
    }

    async fn close(&mut self, close: Close) {
        let row = close.row();
        let frame = CloseFrame { code: row.number.into(), reason: Cow::Borrowed(row.reason).as_ref().into() };
        let farewell = async {
            self.stream.close(Some(frame)).await?;
            // Until the client answers: dropping the socket earlier may lose the close frame.
            while let Some(Ok(_)) = self.stream.next().await {}
            Ok::<(), Error>(())
        };
        let _ = timeout(CLOSE_GRACE, farewell).await;
    }
}

/// After the client's close frame the library answers it, and then everything with this error.
fn ended(error: &Error) -> End {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => End::Left,
        _ => End::Lost,
    }
}

/// A write of the library under the write timeout. Past it the client counts as too slow.
async fn timed(limit: Duration, write: impl Future<Output = Result<(), Error>>) -> Result<(), End> {
    match timeout(limit, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ended(&error)),
        Err(_) => Err(End::Close(Close::SlowConsumer)),
    }
}
