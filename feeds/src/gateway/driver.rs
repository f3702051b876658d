//! The life of the feed. In: bytes of the gateway, the clock. Out: events into the sink; connections that are opened again.
//! Bounded: one buffer, one batch of at most a buffer's records.

use super::connection::{ConnectError, open};
use super::{Key, Timing};
use crate::adapter::{Fault, FaultKind, Output, Sink};
use crate::supervisor::BackOff;
use crate::venue::databento::{Found, Market, Refusal, Request, Resume, Stream};
use dbn::{ErrorCode, ErrorMsg, RecordRef, SystemCode, SystemMsg, rtype};
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::event::{Cause, Event, EventBody, FeedState, Flags, Nanos};

/// The one connection of the feed.
const LINK: u32 = 0;

pub(super) struct Driver {
    request: Request,
    address: String,
    key: Key,
    timing: Timing,
    sink: Box<dyn Sink>,
    market: Market,
    resume: Resume,
    out: Output,
    back_off: BackOff,
    /// A connection was lost, and why.
    lost: Option<Cause>,
    known: bool,
}

/// Why a session is over.
enum End {
    /// The connection broke, or is silent: go on where it broke.
    Broken(Cause),
    /// Something is lost for good: begin anew.
    Anew,
    /// The gateway does not want us.
    Refused,
}

/// How far a session has caught up with what was missed.
struct CatchUp {
    /// Subscriptions whose replay is not over; 0: all that comes is new.
    waiting: usize,
    /// What happens from then on is new, whatever the gateway says of its replay.
    until: Nanos,
}

impl Driver {
    pub(super) fn new(request: Request, address: String, key: Key, timing: Timing, market: Market, sink: Box<dyn Sink>) -> Self {
        Self {
            request,
            address,
            key,
            timing,
            sink,
            market: market.listing_what_is_mapped(),
            resume: Resume::default(),
            out: Output::default(),
            back_off: BackOff::new(timing.first_pause, timing.longest_pause),
            lost: None,
            known: false,
        }
    }

    pub(super) async fn run(mut self) -> Infallible {
        loop {
            let start = self.resume.start();
            let pause = match open(&self.address, &self.key, &self.request, start, &self.timing).await {
                Ok(socket) => {
                    let end = self.session(socket, start).await;
                    self.over(end)
                }
                Err(error) => self.not_open(&error, start),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads until the connection is over.
    async fn session(&mut self, mut socket: TcpStream, start: Option<u64>) -> End {
        let now = wall();
        let mut catch_up = self.begin(now, start);
        let mut stream = Stream::default();
        let silence = Duration::from_secs(u64::from(self.request.heartbeat_s)) + self.timing.silence;
        loop {
            let bytes = match timeout(silence, socket.read(stream.space())).await {
                Ok(Ok(0)) => return End::Broken(Cause::Disconnected),
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => {
                    tracing::warn!(venue = "databento", %error, "the connection broke");
                    return End::Broken(Cause::Disconnected);
                }
                Err(_) => return End::Broken(Cause::Silence),
            };
            stream.fill(bytes);
            let end = self.read(&mut stream, &mut catch_up);
            self.publish();
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// The gateway has accepted: what was lost may come again.
    fn begin(&mut self, now: Nanos, start: Option<u64>) -> CatchUp {
        self.resume.resumed();
        let mut catch_up = CatchUp { waiting: 0, until: now };
        if let Some(cause) = self.lost.take() {
            self.link(now, FeedState::Resyncing, cause);
            match start {
                Some(_) => catch_up.waiting = self.request.schemas.len(),
                None => self.market.caught_up(now, false, &mut self.out),
            }
            self.publish();
        }
        catch_up
    }

    /// All whole records so far.
    fn read(&mut self, stream: &mut Stream, catch_up: &mut CatchUp) -> Option<End> {
        let now = wall();
        loop {
            match stream.advance() {
                Ok(Found::More) => return None,
                Ok(Found::Metadata(metadata)) => {
                    self.market.on_metadata(&metadata);
                }
                Ok(Found::Record) => {
                    let Some(record) = stream.record() else { continue };
                    self.back_off.reset();
                    self.sink.message(record.header().record_size());
                    if let Some(end) = self.record(record, now, catch_up) {
                        return Some(end);
                    }
                }
                Err(what) => {
                    self.fault(FaultKind::BadMessage, format!("the gateway's stream is damaged: {what}"));
                    return Some(End::Broken(Cause::BadData));
                }
            }
        }
    }

    fn record(&mut self, record: RecordRef<'_>, now: Nanos, catch_up: &mut CatchUp) -> Option<End> {
        match record.header().rtype {
            rtype::SYSTEM => {
                self.system(record.try_get().ok()?, now, catch_up);
                return None;
            }
            rtype::ERROR => return self.error(record.try_get().ok()?),
            rtype::SYMBOL_MAPPING => {}
            _ => {
                if !std::mem::replace(&mut self.known, true) {
                    // Mappings come before data: all that was asked for is listed.
                    self.publish();
                    self.sink.instruments_known();
                }
                if !self.resume.take(record) {
                    return None;
                }
                if catch_up.waiting > 0 && Nanos::try_from(record.header().ts_event).is_ok_and(|time| time >= catch_up.until) {
                    self.caught_up(now, catch_up);
                }
            }
        }
        self.market.on_record(record, Some(now), &mut self.out);
        None
    }

    fn system(&mut self, message: &SystemMsg, now: Nanos, catch_up: &mut CatchUp) {
        match message.code() {
            Ok(SystemCode::Heartbeat | SystemCode::SubscriptionAck | SystemCode::EndOfInterval) => {}
            Ok(SystemCode::ReplayCompleted) if catch_up.waiting > 1 => catch_up.waiting -= 1,
            Ok(SystemCode::ReplayCompleted) if catch_up.waiting == 1 => self.caught_up(now, catch_up),
            _ => tracing::warn!(venue = "databento", message = message.msg().unwrap_or_default(), "the gateway says"),
        }
    }

    fn error(&mut self, message: &ErrorMsg) -> Option<End> {
        let text = message.err().unwrap_or_default();
        tracing::warn!(venue = "databento", error = text, code = message.code, "the gateway complains");
        self.fault(FaultKind::Refused, text.to_owned());
        match message.code() {
            Ok(ErrorCode::AuthFailed | ErrorCode::ApiKeyDeactivated | ErrorCode::ConnectionLimitExceeded) => Some(End::Refused),
            Ok(ErrorCode::SkippedRecordsAfterSlowReading | ErrorCode::ReplayDataAgedOut) => Some(End::Anew),
            // One bad symbol does not end what the others bring.
            Ok(ErrorCode::SymbolResolutionFailed | ErrorCode::InvalidSubscription) => None,
            _ => Some(End::Broken(Cause::VenueShutdown)),
        }
    }

    fn caught_up(&mut self, now: Nanos, catch_up: &mut CatchUp) {
        catch_up.waiting = 0;
        self.market.caught_up(now, true, &mut self.out);
    }

    /// How long to wait before the next attempt.
    fn over(&mut self, end: End) -> Duration {
        let (cause, pause) = match end {
            End::Broken(cause) => (cause, self.back_off.next()),
            End::Anew => {
                self.resume.forget();
                (Cause::SequenceGap, self.back_off.next())
            }
            End::Refused => (Cause::Disconnected, self.timing.refused_pause),
        };
        self.lost(cause);
        pause
    }

    fn not_open(&mut self, error: &ConnectError, start: Option<u64>) -> Duration {
        let address = &self.address;
        match error {
            ConnectError::Refusal(Refusal::Refused(reason)) => {
                tracing::error!(venue = "databento", address, reason, "the gateway refuses");
                let reason = reason.clone();
                self.fault(FaultKind::Refused, reason);
                self.publish();
                self.lost(Cause::Disconnected);
                return self.timing.refused_pause;
            }
            error => tracing::warn!(venue = "databento", address, %error, resume = start.is_some(), "not connected"),
        }
        self.lost(Cause::Disconnected);
        self.back_off.next()
    }

    /// Tells the loss once, until there is a connection again.
    fn lost(&mut self, cause: Cause) {
        if self.lost.replace(cause).is_some() {
            return;
        }
        self.market.line_lost();
        let state = if cause == Cause::Silence { FeedState::Stale } else { FeedState::Down };
        self.link(wall(), state, cause);
        self.publish();
        self.sink.line_lost(cause);
    }

    fn link(&mut self, received: Nanos, state: FeedState, cause: Cause) {
        let body = EventBody::Link { link: LINK, state, cause };
        self.out.batch.events.push(Event { instrument: 0, event_time: 0, received, flags: Flags::default(), body });
    }

    fn fault(&mut self, kind: FaultKind, detail: String) {
        self.out.faults.push(Fault { kind, detail });
    }

    fn publish(&mut self) {
        if !self.out.faults.is_empty() {
            self.sink.faults(&self.out.faults);
        }
        if !self.out.batch.is_empty() {
            self.sink.publish(&self.out.batch);
        }
        self.out.clear();
    }
}

fn wall() -> Nanos {
    // A clock before 1970 gives 0.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as Nanos)
}
