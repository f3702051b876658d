//! A session over WebSocket. In: text frames of requests. Out: replies through the library, data frames written ready-made.
//! Bounded: one message in flight, under the write timeout; the library's buffers are sized by the gate.
//!
//! Data is written by the shard's rounds, which walk the sessions that have something due and write without waiting; no task wakes for
//! that. The session's task reads, answers, and takes over whatever a round could not finish.

use crate::encode::FrameBuilder;
use crate::fetch::{self, Fetch};
use crate::session::{Client, SessionCore, draining_notice, read};
use crate::shard::{Round, Shard};
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use wire::code::Close;
use wire::request::{Encoding, Reply};

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
///
/// What lasts as long as the session is put in its place here and now: a future keeps room for its arguments beside what it makes of them.
pub fn run<S>(stream: Box<WebSocketStream<S>>, client: Client, shard: Rc<Shard>) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Fetch + Unpin + 'static,
{
    let link = Rc::new(Link::new(stream, SessionCore::open(client, &shard)));
    async move {
        let seat = shard.join_rounds(link.core.borrow().key(), link.clone());
        let end = Driver::new(&link, &shard).serve().await.unwrap_or_else(|end| end);
        drop(seat);
        // The library does not flush its answer to a client's goodbye.
        let _ = link.poll_out(&mut Context::from_waker(Waker::noop()));
        let metrics = &shard.context.metrics;
        match end {
            End::Left => metrics.closed_by_client.add(1),
            End::Lost => metrics.connection_lost.add(1),
            End::Abandoned => metrics.closed(Close::SlowConsumer),
            End::Close(close) => {
                metrics.closed(close);
                link.close(close).await;
            }
        }
    }
}

/// What the session's task and the shard's rounds share. Both run on the shard's thread and borrow for one step at a time.
struct Link<S> {
    stream: RefCell<Box<WebSocketStream<S>>>,
    core: RefCell<SessionCore>,
    /// The task waits and nothing is half written: a round may write.
    is_idle: Cell<bool>,
    /// What a round began and the task has to finish. Few sessions have it at a time, and they only have the memory.
    rest: RefCell<Option<Box<Rest>>>,
}

/// A frame on its way.
struct Rest {
    frame: FrameBuilder,
    written: usize,
}

impl<S: AsyncRead + AsyncWrite + Fetch + Unpin> Round for Link<S> {
    fn prepare(&self) -> Option<FrameBuilder> {
        if !self.is_idle.get() {
            // Its task looks for itself before it waits again.
            return None;
        }
        let mut core = self.core.borrow_mut();
        if core.has_slowed() {
            // That goes before the data.
            core.wake();
            return None;
        }
        let Some(frame) = fill(&mut core) else {
            if core.due_in().is_some() {
                core.wake();
            }
            return None;
        };
        let mut rest = Rest { frame, written: 0 };
        // Without a waker: if the socket is full, the task waits for it.
        match self.poll_put(&mut rest, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {
                // Nobody begins another frame before this one is finished.
                self.is_idle.set(false);
                Some(rest.frame)
            }
            Poll::Ready(Err(_)) | Poll::Pending => {
                self.leave(rest, &core);
                None
            }
        }
    }

    fn send(&self) {
        // What came of it is seen when it is finished.
        let _ = self.poll_out(&mut Context::from_waker(Waker::noop()));
    }

    fn finish(&self, mut frame: FrameBuilder) {
        let mut core = self.core.borrow_mut();
        let written = frame.websocket().len();
        match self.poll_out(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {
                self.is_idle.set(true);
                core.wrote_at_once(&frame, written);
                core.shard().give_frame(frame);
                if core.is_ready() {
                    // More than one frame of it: not now, others have their turn first.
                    core.wake();
                }
            }
            Poll::Ready(Err(_)) | Poll::Pending => self.leave(Rest { frame, written }, &core),
        }
    }

    fn fetch(&self) {
        fetch::whole(self);
    }

    fn fetch_connection(&self) {
        self.stream.borrow().get_ref().fetch();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    fn new(stream: Box<WebSocketStream<S>>, core: SessionCore) -> Self {
        Self { stream: stream.into(), core: core.into(), is_idle: Cell::new(false), rest: RefCell::new(None) }
    }

    /// Writes a frame past the library, between whose flushes the stream is ours.
    fn poll_frame(&self, rest: &mut Rest, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        ready!(self.poll_put(rest, cx))?;
        self.poll_out(cx)
    }

    /// Puts a frame into the stream, which may hold it back.
    fn poll_put(&self, rest: &mut Rest, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut stream = self.stream.borrow_mut();
        let mut stream = Pin::new(stream.get_mut());
        let bytes = rest.frame.websocket();
        while rest.written < bytes.len() {
            match ready!(stream.as_mut().poll_write(cx, &bytes[rest.written..])) {
                Ok(0) | Err(_) => return Poll::Ready(Err(End::Lost)),
                Ok(count) => rest.written += count,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what the stream holds back.
    fn poll_out(&self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        Pin::new(self.stream.borrow_mut().get_mut()).poll_flush(cx).map_err(|_| End::Lost)
    }

    /// To the session's task.
    fn leave(&self, rest: Rest, core: &SessionCore) {
        self.is_idle.set(false);
        let before = self.rest.replace(Some(Box::new(rest)));
        debug_assert!(before.is_none(), "one frame at a time");
        core.wake();
    }

    /// Reads nothing while a frame is half written: the library may answer a ping in the middle of any read, and its bytes must not land
    /// inside that frame. Whoever left it there wakes the task.
    async fn next(&self) -> Option<Result<Message, Error>> {
        poll_fn(|cx| if self.rest.borrow().is_some() { Poll::Pending } else { self.stream.borrow_mut().poll_next_unpin(cx) })
            .await
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        poll_fn(|cx| self.stream.borrow_mut().poll_ready_unpin(cx)).await?;
        self.stream.borrow_mut().start_send_unpin(message)?;
        self.flush().await
    }

    async fn flush(&self) -> Result<(), Error> {
        poll_fn(|cx| self.stream.borrow_mut().poll_flush_unpin(cx)).await
    }

    async fn close(&self, close: Close) {
        let row = close.row();
        let frame = CloseFrame { code: row.number.into(), reason: Cow::Borrowed(row.reason).as_ref().into() };
        let farewell = async {
            self.send(Message::Close(Some(frame))).await?;
            // Until the client answers: dropping the socket earlier may lose the close frame.
            while let Some(Ok(_)) = self.next().await {}
            Ok::<(), Error>(())
        };
        let _ = timeout(CLOSE_GRACE, farewell).await;
    }
}

/// The session's task.
struct Driver<'a, S> {
    link: &'a Link<S>,
    shard: &'a Rc<Shard>,
    last_heard: Instant,
    next_ping: Instant,
    /// One timer entry for ping, idleness and token expiry together.
    alarm: Pin<Box<Sleep>>,
    /// A request that came while another was in hand. Nothing more is read then.
    waiting: Option<Utf8Bytes>,
}

impl<'a, S> Driver<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(link: &'a Link<S>, shard: &'a Rc<Shard>) -> Self {
        let now = Instant::now();
        Self {
            link,
            shard,
            last_heard: now,
            next_ping: now + Duration::from_millis(shard.context.session.ping_interval_ms),
            // Its first look sets it: a token may expire long before the first ping is due.
            alarm: Box::pin(tokio::time::sleep_until(now)),
            waiting: None,
        }
    }

    /// What happens now and then is boxed, so that a session that waits keeps no room for it.
    async fn serve(&mut self) -> Result<End, End> {
        let link = self.link;
        Box::pin(self.greet()).await?;
        let mut draining = self.shard.context.draining.clone();
        loop {
            // What a round began goes before anything else.
            if let Some(rest) = link.rest.take() {
                Box::pin(self.finish(*rest)).await?;
            }
            if *draining.borrow() {
                return Box::pin(self.drain()).await;
            }
            // Asked for in every round, not only in a quiet one: a busy session must not outlive its token, forget to ping, or
            // leave its client waiting for a topic.
            if Instant::now() >= self.alarm.deadline() {
                Box::pin(self.on_alarm()).await?;
            }
            self.look_at_listings();
            // Read what is there, so that a busy session still hears its client, then write what is due.
            for _ in 0..READS_A_ROUND {
                if self.waiting.is_some() {
                    break;
                }
                let Some(message) = link.next().now_or_never() else { break };
                Box::pin(self.on_message(message)).await?;
            }
            let works = self.waiting.is_some() || link.core.borrow().is_working();
            let worked = works && Box::pin(self.work()).await?;
            // What holds from now on, before data under it.
            while let Some(told) = self.tell_news() {
                told.await?;
            }
            // Also between two parts of an answer: the topics of each part follow it.
            if self.write_due().await? || worked || self.is_ready() {
                tokio::task::yield_now().await;
                continue;
            }
            let waits = link.core.borrow().waits();
            link.is_idle.set(true);
            let message = tokio::select! {
                message = link.next() => Some(message),
                () = waits.something(|| link.due_in()) => None,
                () = &mut self.alarm => None,
                _ = draining.changed() => None,
            };
            link.is_idle.set(false);
            // A round may have begun a frame meanwhile; an answer may not break into it.
            if let Some(rest) = link.rest.take() {
                Box::pin(self.finish(*rest)).await?;
            }
            if let Some(message) = message {
                Box::pin(self.on_message(message)).await?;
            }
        }
    }

    async fn greet(&mut self) -> Result<(), End> {
        let hello = self.link.core.borrow_mut().greet();
        self.reply(&hello).await
    }

    fn look_at_listings(&self) {
        let mut core = self.link.core.borrow_mut();
        if !core.is_working() && core.has_listings() {
            core.on_listing();
        }
    }

    fn tell_news(&mut self) -> Option<Pin<Box<impl Future<Output = Result<(), End>>>>> {
        let news = self.link.core.borrow_mut().news()?;
        Some(Box::pin(async move { self.reply(&news).await }))
    }

    fn is_ready(&self) -> bool {
        self.link.core.borrow().is_ready()
    }

    async fn on_message(&mut self, message: Option<Result<Message, Error>>) -> Result<(), End> {
        self.last_heard = Instant::now();
        match message {
            // One request at a time, in order; pings in between are heard.
            Some(Ok(Message::Text(text))) if self.link.core.borrow().is_working() => {
                self.waiting = Some(text);
                Ok(())
            }
            Some(Ok(Message::Text(text))) => self.on_text(text).await,
            Some(Ok(Message::Binary(_))) => Err(End::Close(Close::BadFrame)),
            // The library has queued the pong; it leaves with this flush, before any data.
            Some(Ok(Message::Ping(_))) => {
                self.link.core.borrow_mut().on_ping().map_err(End::Close)?;
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
            let opener = self.link.core.borrow().opener();
            tokio::task::spawn_blocking(move || read(&text).opened(&opener)).await.map_err(|_| End::Lost)?
        };
        let answer = self.link.core.borrow_mut().on_request(parsed).map_err(End::Close)?;
        match answer {
            Some(reply) => self.reply(&reply).await,
            None => Ok(()),
        }
    }

    /// One part of the request in hand, or the request that waited for its end. False if there is neither.
    async fn work(&mut self) -> Result<bool, End> {
        if self.link.core.borrow().is_working() {
            let reply = self.link.core.borrow_mut().work();
            if let Some(reply) = reply {
                self.reply(&reply).await?;
            }
            return Ok(true);
        }
        let Some(text) = self.waiting.take() else { return Ok(false) };
        self.on_text(text).await.map(|()| true)
    }

    async fn on_alarm(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let expires_in = self.link.core.borrow().expires_in();
        if expires_in.is_some_and(|left| left.is_zero()) {
            return Err(End::Close(Close::TokenExpired));
        }
        let limits = &self.shard.context.session;
        let idle_timeout = Duration::from_millis(limits.idle_timeout_ms);
        if now >= self.last_heard + idle_timeout {
            return Err(End::Close(Close::IdleTimeout));
        }
        if now >= self.next_ping {
            self.next_ping = now + Duration::from_millis(limits.ping_interval_ms);
            self.send(Message::Ping(Default::default())).await?;
        }
        let next = self.next_ping.min(self.last_heard + idle_timeout);
        let expiry = expires_in.map(|left| now + left);
        self.alarm.as_mut().reset(expiry.map_or(next, |expiry| next.min(expiry)));
        Ok(())
    }

    /// Tells the client, hands it what is due, and ends.
    async fn drain(&mut self) -> Result<End, End> {
        let notice = {
            let core = self.link.core.borrow();
            draining_notice(core.reconnect_slot_ms(), core.parting_ticket())
        };
        self.reply(&notice).await?;
        self.write_due().await?;
        Ok(End::Close(Close::Draining))
    }

    /// Writes one frame of whatever is due. False if nothing was.
    async fn write_due(&mut self) -> Result<bool, End> {
        let Some(frame) = fill(&mut self.link.core.borrow_mut()) else { return Ok(false) };
        Box::pin(self.finish(Rest { frame, written: 0 })).await.map(|()| true)
    }

    /// Writes the rest of a frame of data.
    async fn finish(&mut self, mut rest: Rest) -> Result<(), End> {
        let finished = self.write(&mut rest).await;
        if finished.is_ok() {
            let bytes = rest.frame.websocket().len();
            self.link.core.borrow_mut().wrote(&rest.frame, bytes);
        }
        self.shard.give_frame(rest.frame);
        finished
    }

    async fn write(&mut self, rest: &mut Rest) -> Result<(), End> {
        if rest.written == 0 {
            // The library's own bytes (a pong) leave first.
            self.flush().await?;
        }
        let link = self.link;
        match timeout(self.write_timeout(), poll_fn(|cx| link.poll_frame(rest, cx))).await {
            Ok(result) => result,
            // A close frame may only follow a whole frame: one last chance to finish this one.
            Err(_) => match timeout(CLOSE_GRACE, poll_fn(|cx| link.poll_frame(rest, cx))).await {
                Ok(Ok(())) => Err(End::Close(Close::SlowConsumer)),
                _ => Err(End::Abandoned),
            },
        }
    }

    /// Past the library too, whose buffer would stay as large as the largest reply.
    async fn reply(&mut self, reply: &Reply) -> Result<(), End> {
        let mut rest = Rest { frame: self.shard.take_frame(Encoding::Json), written: 0 };
        rest.frame.put_reply(reply);
        let finished = self.write(&mut rest).await;
        self.shard.give_frame(rest.frame);
        finished
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.shard.context.session.write_timeout_ms)
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        timed(self.write_timeout(), self.link.send(message)).await
    }

    async fn flush(&mut self) -> Result<(), End> {
        timed(self.write_timeout(), self.link.flush()).await
    }
}

impl<S> Link<S> {
    fn due_in(&self) -> Option<Duration> {
        if self.rest.borrow().is_some() { Some(Duration::ZERO) } else { self.core.borrow().due_in() }
    }
}

/// A frame of whatever is due.
fn fill(core: &mut SessionCore) -> Option<FrameBuilder> {
    let shard = core.shard().clone();
    let mut frame = shard.take_frame(core.client().encoding);
    if core.fill(&mut frame) {
        return Some(frame);
    }
    shard.give_frame(frame);
    None
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
