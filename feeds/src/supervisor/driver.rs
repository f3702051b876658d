//! The loop of a feed, written as a future. In: sockets, answers, ticks, the stop signal. Out: calls of the adapter, its actions done,
//! its events published. Bounded: `MESSAGES_A_TURN` messages of a line before others get their turn.

use super::line::{Connection, LineEvent};
use super::pacing::Bucket;
use super::requests::Requests;
use super::{Options, Tap, Timing};
use crate::adapter::{Action, Adapter, Line, Now, Output, Sink};
use crate::transport::Transport;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use wire::event::{Cause, Nanos};

/// Messages taken from one line before the others and the timers get their turn.
const MESSAGES_A_TURN: usize = 512;
/// Pauses, time-outs and send limits are looked at this often; the adapter's own every fifth time.
const TICK: Duration = Duration::from_millis(20);
const ADAPTER_TICKS: u32 = 5;
/// Scratch for one message; grows to the largest one and stays.
const SCRATCH_BYTES: usize = 64 * 1024;

pub struct Driver {
    adapter: Box<dyn Adapter>,
    sink: Box<dyn Sink>,
    tap: Option<Box<dyn Tap>>,
    timing: Timing,
    transport: Arc<Transport>,
    connections: Vec<Connection>,
    connects: Bucket,
    requests: Requests,
    out: Output,
    scratch: Vec<u8>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    clock: Clock,
    /// Made with the first poll, because it needs the runtime.
    ticks: Option<Interval>,
    tick: u32,
    known: bool,
    /// Actions were done that must be polled before the future may sleep.
    again: bool,
}

#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn now(self) -> Now {
        let nanos = |duration: Duration| Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX);
        // A clock before 1970 is told as 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos);
        Now { wall, mono: nanos(self.start.elapsed()) }
    }
}

impl Driver {
    pub fn new(
        adapter: Box<dyn Adapter>,
        transport: Arc<Transport>,
        sink: Box<dyn Sink>,
        mut stop: watch::Receiver<bool>,
        options: Options,
    ) -> Self {
        let caps = adapter.caps();
        Self {
            connects: Bucket::new(caps.connects_per_five_minutes, Duration::from_secs(300)),
            requests: Requests::new(Arc::clone(&transport), caps.weight_per_minute),
            adapter,
            sink,
            tap: options.tap,
            timing: options.timing,
            transport,
            connections: Vec::new(),
            out: Output::default(),
            scratch: Vec::with_capacity(SCRATCH_BYTES),
            stop: Box::pin(async move {
                // An error means that nobody is left to say stop.
                let _ = stop.wait_for(|stop| *stop).await;
            }),
            clock: Clock { start: Instant::now() },
            ticks: None,
            tick: 0,
            known: false,
            again: false,
        }
    }

    /// Publishes and does what the adapter put out.
    fn settle(&mut self, now: Now, cx: &mut Context<'_>) {
        if !self.out.batch.is_empty() {
            self.sink.publish(&self.out.batch);
        }
        if !self.out.faults.is_empty() {
            self.sink.faults(&self.out.faults);
        }
        if !self.out.races.is_empty() {
            self.sink.races(&self.out.races);
        }
        if !self.known && self.adapter.instruments_known() {
            self.known = true;
            self.sink.instruments_known();
        }
        // Taken out, because a `Reconnect` calls the adapter again.
        let mut actions = std::mem::take(&mut self.out.actions);
        self.out.clear();
        for action in actions.drain(..) {
            self.act(now, action, cx);
        }
        if self.out.actions.capacity() == 0 {
            self.out.actions = actions;
        }
    }

    fn act(&mut self, now: Now, action: Action, cx: &mut Context<'_>) {
        self.again = true;
        match action {
            Action::Open { line, url } => {
                self.connections.push(Connection::new(line, url, self.adapter.caps(), self.timing));
            }
            Action::Send { line, text } => {
                let Some(connection) = self.connections.iter_mut().find(|connection| connection.line == line) else { return };
                if let Some(tap) = &mut self.tap {
                    tap.sent(now, line, &text);
                }
                // Not open: it will hear of `on_open` and send again. Full: the missing answer will end it.
                connection.send(text);
            }
            Action::Fetch { fetch, url, weight, post } => self.requests.ask(fetch, url, weight, post),
            Action::Close { line } => {
                if let Some(connection) = self.connections.iter_mut().find(|connection| connection.line == line) {
                    connection.close(cx);
                    tracing::info!(venue = self.adapter.venue(), line = line.0, "line closed");
                }
            }
            Action::Reconnect { line, cause } => {
                let found = self.connections.iter_mut().find(|connection| connection.line == line);
                if found.is_some_and(Connection::drop_connection) {
                    self.closed(now, line, cause, "asked for by the adapter", cx);
                }
            }
        }
    }

    fn closed(&mut self, now: Now, line: Line, cause: Cause, reason: &str, cx: &mut Context<'_>) {
        tracing::warn!(venue = self.adapter.venue(), line = line.0, cause = cause.name(), reason, "line lost");
        if let Some(tap) = &mut self.tap {
            tap.closed(now, line, cause, reason);
        }
        self.sink.line_lost(cause);
        self.adapter.on_close(now, line, cause, &mut self.out);
        self.settle(now, cx);
    }

    fn on_line_event(&mut self, line: Line, event: LineEvent, cx: &mut Context<'_>) {
        let now = self.clock.now();
        match event {
            LineEvent::Message => {
                self.sink.message(self.scratch.len());
                if let Some(tap) = &mut self.tap {
                    tap.received(now, line, &self.scratch);
                }
                self.adapter.on_message(now, line, &mut self.scratch, &mut self.out);
                self.settle(now, cx);
            }
            LineEvent::Opened => {
                tracing::info!(venue = self.adapter.venue(), line = line.0, "line open");
                if let Some(tap) = &mut self.tap {
                    let connection = self.connections.iter().find(|connection| connection.line == line);
                    tap.opened(now, line, connection.map_or("", |connection| &connection.url));
                }
                self.adapter.on_open(now, line, &mut self.out);
                self.settle(now, cx);
            }
            LineEvent::Closed { cause, reason } => self.closed(now, line, cause, &reason, cx),
        }
    }

    fn poll_lines(&mut self, cx: &mut Context<'_>) {
        // By index: what is done for one line may open another. None goes before the loop ends.
        let mut index = 0;
        while index < self.connections.len() {
            for turn in 0..MESSAGES_A_TURN {
                let connection = &mut self.connections[index];
                let line = connection.line;
                match connection.poll(cx, &self.transport, &self.connects, &mut self.scratch) {
                    Poll::Ready(event) => self.on_line_event(line, event, cx),
                    Poll::Pending => break,
                }
                self.again |= turn + 1 == MESSAGES_A_TURN;
            }
            index += 1;
        }
        self.connections.retain(|connection| !connection.is_gone());
    }

    fn poll_requests(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(response) = self.requests.poll(cx) {
            let now = self.clock.now();
            if let Some(tap) = &mut self.tap {
                tap.response(now, &response.url, &response.result);
            }
            self.adapter.on_response(now, response.fetch, response.result, &mut self.out);
            self.settle(now, cx);
        }
    }

    fn poll_ticks(&mut self, cx: &mut Context<'_>) {
        let mut ticks = self.ticks.take().unwrap_or_else(|| {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let now = self.clock.now();
            self.adapter.start(now, &mut self.out);
            self.settle(now, cx);
            ticks
        });
        while ticks.poll_tick(cx).is_ready() {
            for index in 0..self.connections.len() {
                let line = self.connections[index].line;
                if let Some(event) = self.connections[index].tick(cx) {
                    self.on_line_event(line, event, cx);
                }
            }
            self.tick = self.tick.wrapping_add(1);
            if self.tick.is_multiple_of(ADAPTER_TICKS) {
                let now = self.clock.now();
                self.adapter.on_tick(now, &mut self.out);
                self.settle(now, cx);
            }
        }
        self.ticks = Some(ticks);
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.stop.as_mut().poll(cx).is_ready() {
            this.connections.iter_mut().for_each(|connection| connection.close(cx));
            return Poll::Ready(());
        }
        this.again = false;
        this.poll_ticks(cx);
        this.poll_lines(cx);
        this.poll_requests(cx);
        if this.again {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
