//! One connection of a feed. In: socket readiness, ticks, messages to send. Out: opened, a message, closed. It reconnects for ever.
//! Bounded: `MAX_OUTBOX` messages to send, one message read at a time; the socket's buffers are `transport`'s.

use super::Timing;
use super::pacing::{BackOff, Bucket};
use crate::adapter::{Line, VenueCaps};
use crate::transport::{Socket, Transport, TransportError};
use futures_util::{Sink as _, StreamExt};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::event::Cause;

/// Subscriptions of a full line are eleven messages; more means that nothing is being sent.
const MAX_OUTBOX: usize = 256;
/// A line is silent when nothing came for this many times its usual pause between messages …
const SILENT_FACTOR: u32 = 50;
/// … but no longer than this.
const SILENT_LIMIT: Duration = Duration::from_secs(300);

pub enum LineEvent {
    Opened,
    /// Into the caller's scratch.
    Message,
    Closed {
        cause: Cause,
        reason: String,
    },
}

type Connecting = Pin<Box<dyn Future<Output = Result<Socket, TransportError>> + Send>>;

enum Phase {
    Waiting {
        until: Instant,
    },
    Connecting(Connecting),
    Open {
        socket: Box<Socket>,
        since: Instant,
    },
    /// The adapter closed it.
    Gone,
}

pub struct Connection {
    pub line: Line,
    pub url: String,
    phase: Phase,
    timing: Timing,
    back_off: BackOff,
    messages: Bucket,
    outbox: VecDeque<String>,
    unflushed: bool,
    silence: Silence,
    max_message_bytes: usize,
}

impl Connection {
    pub fn new(line: Line, url: String, caps: &VenueCaps, timing: Timing) -> Self {
        Self {
            line,
            url,
            phase: Phase::Waiting { until: Instant::now() },
            timing,
            back_off: BackOff::new(timing.back_off_first, timing.back_off_last),
            messages: Bucket::new(caps.messages_per_second, Duration::from_secs(1)),
            outbox: VecDeque::new(),
            unflushed: false,
            silence: Silence::new(Duration::from_millis(caps.silence_ms)),
            max_message_bytes: caps.max_message_bytes,
        }
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// True: the connection is open and the message will go out (or the line breaks).
    pub fn send(&mut self, text: String) -> bool {
        let open = matches!(self.phase, Phase::Open { .. }) && self.outbox.len() < MAX_OUTBOX;
        if open {
            self.outbox.push_back(text);
        }
        open
    }

    /// Drops the line for good, with a word to the venue if that does not take waiting.
    pub fn close(&mut self, cx: &mut Context<'_>) {
        if let Phase::Open { socket, .. } = &mut self.phase {
            let mut socket = Pin::new(socket.as_mut());
            if socket.as_mut().poll_ready(cx).is_ready() && socket.as_mut().start_send(Message::Close(None)).is_ok() {
                let _ = socket.poll_flush(cx);
            }
        }
        self.phase = Phase::Gone;
    }

    /// Drops the connection; the next one follows after the back-off. False: there was none.
    pub fn drop_connection(&mut self) -> bool {
        let open = match &self.phase {
            Phase::Gone | Phase::Waiting { .. } => return false,
            Phase::Connecting(_) => false,
            Phase::Open { since, .. } => {
                if since.elapsed() >= self.timing.settled_after {
                    self.back_off.reset();
                }
                true
            }
        };
        self.outbox.clear();
        self.unflushed = false;
        self.phase = Phase::Waiting { until: Instant::now() + self.back_off.next() };
        open
    }

    /// `connects`: the venue's limit of attempts, shared by all lines. Call on every tick too: the pauses have no timers of their own.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        transport: &Arc<Transport>,
        connects: &Bucket,
        scratch: &mut Vec<u8>,
    ) -> Poll<LineEvent> {
        if let Phase::Waiting { until } = self.phase {
            if Instant::now() < until || !connects.take() {
                return Poll::Pending;
            }
            let transport = Arc::clone(transport);
            self.phase = Phase::Connecting(Box::pin(transport.websocket(self.url.clone(), self.max_message_bytes)));
        }
        if let Phase::Connecting(connecting) = &mut self.phase {
            return Poll::Ready(match ready!(connecting.as_mut().poll(cx)) {
                Ok(socket) => {
                    let now = Instant::now();
                    self.silence.opened(now);
                    self.phase = Phase::Open { socket: Box::new(socket), since: now };
                    LineEvent::Opened
                }
                Err(error) => self.broken(Cause::Disconnected, error.to_string()),
            });
        }
        if let Err(error) = self.write(cx) {
            return Poll::Ready(self.broken(Cause::Disconnected, error.to_string()));
        }
        self.read(cx, scratch)
    }

    fn broken(&mut self, cause: Cause, reason: String) -> LineEvent {
        self.drop_connection();
        LineEvent::Closed { cause, reason }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Phase::Open { socket, .. } = &mut self.phase else { return Ok(()) };
        let mut socket = Pin::new(socket.as_mut());
        while !self.outbox.is_empty() {
            match socket.as_mut().poll_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => break,
            }
            if !self.messages.take() {
                break;
            }
            let Some(text) = self.outbox.pop_front() else { break };
            socket.as_mut().start_send(Message::text(text))?;
            self.unflushed = true;
        }
        if self.unflushed
            && let Poll::Ready(flushed) = socket.poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>, scratch: &mut Vec<u8>) -> Poll<LineEvent> {
        let Phase::Open { socket, .. } = &mut self.phase else { return Poll::Pending };
        loop {
            let message = match ready!(socket.poll_next_unpin(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(self.broken(Cause::Disconnected, error.to_string())),
                None => return Poll::Ready(self.broken(Cause::Disconnected, "closed by the venue".to_owned())),
            };
            let payload = match &message {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(bytes) => bytes,
                Message::Close(frame) => {
                    let reason = frame
                        .as_ref()
                        .map_or_else(|| "closed by the venue".to_owned(), |frame| format!("closed by the venue: {frame}"));
                    return Poll::Ready(self.broken(Cause::Disconnected, reason));
                }
                // The library answers pings by itself, with the next read.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                    self.silence.frame(Instant::now());
                    continue;
                }
            };
            self.silence.data(Instant::now());
            scratch.clear();
            scratch.extend_from_slice(payload);
            return Poll::Ready(LineEvent::Message);
        }
    }

    /// On every tick: is the line silent?
    pub fn tick(&mut self, cx: &mut Context<'_>) -> Option<LineEvent> {
        let Phase::Open { socket, .. } = &mut self.phase else { return None };
        match self.silence.check(Instant::now()) {
            Heard::Enough => None,
            Heard::Probe => {
                let mut socket = Pin::new(socket.as_mut());
                if self.messages.take() && matches!(socket.as_mut().poll_ready(cx), Poll::Ready(Ok(()))) {
                    self.unflushed |= socket.start_send(Message::Ping(Default::default())).is_ok();
                    self.silence.probed = true;
                }
                None
            }
            Heard::Nothing(pause) => Some(self.broken(Cause::Silence, format!("silent for {:.1} s", pause.as_secs_f64()))),
        }
    }
}

enum Heard {
    Enough,
    /// Nothing for half the limit: ping, so that the venue's pong tells a quiet line from a dead one.
    Probe,
    Nothing(Duration),
}

/// Two ways to be silent. A *dead* line brings no frame at all, not even the pong to a ping. A *stuck* one answers, but brings no
/// data for much longer than it used to: a line of busy symbols is stuck after the limit, one of quiet symbols later.
struct Silence {
    limit: Duration,
    last_frame: Instant,
    last_data: Option<Instant>,
    /// Usual pause between data messages, a moving average. Kept over reconnects, so that a line of quiet symbols is mistaken for a
    /// stuck one once, not for ever.
    usual: Duration,
    probed: bool,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        Self { limit, last_frame: Instant::now(), last_data: None, usual: Duration::ZERO, probed: false }
    }

    fn opened(&mut self, now: Instant) {
        self.last_frame = now;
        self.last_data = None;
        self.probed = false;
    }

    fn frame(&mut self, now: Instant) {
        self.last_frame = now;
        self.probed = false;
    }

    fn data(&mut self, now: Instant) {
        self.frame(now);
        if let Some(last) = self.last_data {
            self.usual = (self.usual * 7 + (now - last)) / 8;
        }
        self.last_data = Some(now);
    }

    fn check(&mut self, now: Instant) -> Heard {
        let frame_pause = now - self.last_frame;
        if frame_pause >= self.limit {
            return Heard::Nothing(frame_pause);
        }
        if let Some(last) = self.last_data {
            let pause = now - last;
            if pause >= self.limit.max((self.usual * SILENT_FACTOR).min(SILENT_LIMIT)) {
                self.usual = (self.usual * 7 + pause) / 8;
                return Heard::Nothing(pause);
            }
        }
        if frame_pause >= self.limit / 2 && !self.probed { Heard::Probe } else { Heard::Enough }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_lines_are_stuck_soon_and_quiet_ones_are_not() {
        let mut now = Instant::now();
        let mut silence = Silence::new(Duration::from_secs(5));
        silence.opened(now);
        for _ in 0..50 {
            now += Duration::from_millis(100);
            silence.data(now);
        }
        for _ in 0..4 {
            now += Duration::from_secs(1);
            silence.frame(now);
            assert!(matches!(silence.check(now), Heard::Enough));
        }
        now += Duration::from_secs(2);
        silence.frame(now);
        assert!(matches!(silence.check(now), Heard::Nothing(_)), "pongs are no data");
        // After one false alarm the limit fits a symbol that speaks every six seconds.
        silence.opened(now);
        silence.data(now);
        for _ in 0..20 {
            now += Duration::from_secs(6);
            silence.frame(now);
            assert!(matches!(silence.check(now), Heard::Enough));
            silence.data(now);
        }
    }

    #[test]
    fn a_dead_line_is_probed_and_then_given_up() {
        let mut now = Instant::now();
        let mut silence = Silence::new(Duration::from_secs(4));
        silence.opened(now);
        now += Duration::from_millis(2_100);
        assert!(matches!(silence.check(now), Heard::Probe));
        silence.probed = true;
        assert!(matches!(silence.check(now), Heard::Enough));
        now += Duration::from_secs(2);
        assert!(matches!(silence.check(now), Heard::Nothing(_)));
    }
}
