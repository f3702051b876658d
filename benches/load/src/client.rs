//! One client. In: the worker it runs on and its topics. Out: a connection kept until the run ends, its messages handed to its
//! session; stalls and reconnects as the plan wants them. Bounded: memory of its session, its link and one incomplete message.

use crate::dialect::{Mark, Session, Turn};
use crate::link::{Link, Read};
use crate::websocket::{self, Messages, Opcode};
use crate::worker::Worker;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// For TCP, TLS, upgrade, greeting and subscriptions together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A slow reader reads this often.
const SLOW_STEP: Duration = Duration::from_millis(100);
/// Larger answers to the upgrade are no WebSocket server's.
const MAX_HEAD: usize = 16 << 10;

pub struct Client {
    worker: Rc<Worker>,
    index: usize,
    stalls: bool,
    storms: bool,
    session: Box<dyn Session>,
    messages: Messages,
    ask: Vec<String>,
    /// Since when it reads again, and what it has to reach.
    recovery: Option<(Instant, Mark)>,
    /// It has had its stall.
    stalled: bool,
    /// Stalled, and not at the head again yet.
    is_behind: bool,
    close_code: Option<u16>,
}

/// Why a connection is over.
enum End {
    /// It was time to drop it.
    Storm,
    Lost(String),
}

impl<E: std::fmt::Display> From<E> for End {
    fn from(error: E) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Client {
    pub fn new(worker: &Rc<Worker>, index: usize) -> Self {
        let setup = &worker.setup;
        Self {
            index,
            stalls: setup.stalling.get(index).copied().unwrap_or(false),
            storms: setup.storming.get(index).copied().unwrap_or(false),
            session: setup.dialect.session(setup.spread.of(index)),
            messages: Messages::default(),
            ask: Vec::new(),
            recovery: None,
            stalled: false,
            is_behind: false,
            close_code: None,
            worker: worker.clone(),
        }
    }

    /// Until the connection ends for good, or the run does.
    pub async fn run(mut self) {
        let mut dropped = None;
        loop {
            let link = self.connect().await;
            self.worker.connect_over(link.as_ref().err(), dropped.take());
            let Ok(mut link) = link else { return };
            match self.live(&mut link).await {
                Err(End::Storm) => (self.storms, dropped) = (false, Some(Instant::now())),
                Err(End::Lost(why)) => return self.worker.closed(self.index, self.is_behind, self.close_code, &why),
                Ok(()) => return,
            }
        }
    }

    async fn connect(&mut self) -> Result<Link, String> {
        let worker = self.worker.clone();
        let _place = worker.connecting.acquire().await.map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let link = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let link = link.map_err(|_| "no answer in time".to_owned())??;
        worker.connected(begun.elapsed());
        Ok(link)
    }

    /// Up to the point at which all topics are subscribed.
    async fn open(&mut self) -> Result<Link, String> {
        let worker = self.worker.clone();
        let setup = &worker.setup;
        let plan = &setup.plan;
        let source = plan.sources.get(self.index % plan.sources.len().max(1)).copied();
        let receive_buffer_bytes = plan.stall.filter(|_| self.stalls).map_or(0, |stall| stall.receive_buffer_bytes);
        let (name, tls) = (setup.name.clone(), setup.tls.clone());
        let link = Link::connect(setup.address, source, receive_buffer_bytes, name, tls, &worker.scratch).await;
        let mut link = link.map_err(|error| format!("connect: {error}"))?;
        let request = websocket::upgrade(&setup.host, &setup.path, &self.session.headers());
        link.write(&request).map_err(|error| error.to_string())?;
        link.flush().await.map_err(|error| error.to_string())?;
        let lost = |end: End| match end {
            End::Lost(why) => why,
            End::Storm => "dropped".to_owned(),
        };
        let after = self.upgraded(&mut link).await.map_err(lost)?;
        self.messages = Messages::default();
        self.ask.clear();
        self.session.connected(&mut self.ask);
        self.take_in(&after).map_err(lost)?;
        self.answer(&mut link).await.map_err(lost)?;
        while !self.session.is_ready() {
            link.readable().await.map_err(|error| error.to_string())?;
            self.read(&mut link, usize::MAX).await.map_err(lost)?;
        }
        Ok(link)
    }

    /// Reads the answer to the upgrade and returns what came behind it.
    async fn upgraded(&self, link: &mut Link) -> Result<Vec<u8>, End> {
        let mut head = Vec::new();
        loop {
            link.readable().await?;
            let read =
                link.read(&mut self.worker.scratch.borrow_mut(), usize::MAX, &mut |plain| head.extend_from_slice(plain))?;
            if let Some(end) = websocket::upgraded(&head) {
                let end = end.map_err(End::Lost)?;
                return Ok(head.split_off(end));
            }
            if read == Read::Closed || head.len() > MAX_HEAD {
                return Err(End::Lost("no answer to the upgrade".to_owned()));
            }
        }
    }

    /// Until the connection ends.
    async fn live(&mut self, link: &mut Link) -> Result<(), End> {
        loop {
            if self.stalls
                && !self.stalled
                && let Some(until) = self.worker.stall_until()
            {
                (self.stalled, self.is_behind) = (true, true);
                self.worker.stalled();
                self.stall(link, until).await?;
            }
            if self.storms {
                if self.worker.storm_begun.get() {
                    return Err(End::Storm);
                }
                let worker = self.worker.clone();
                tokio::select! {
                    biased;
                    () = worker.storm.notified() => continue,
                    ready = link.readable() => ready?,
                }
            } else {
                link.readable().await?;
            }
            // Looked at again: it may have waited for long.
            if self.stalls && !self.stalled && self.worker.stall_until().is_some() {
                continue;
            }
            self.read(link, usize::MAX).await?;
            self.look_at_recovery();
            // A socket that is never empty is not the only one.
            tokio::task::yield_now().await;
        }
    }

    /// Reads nothing, or little.
    async fn stall(&mut self, link: &mut Link, until: Instant) -> Result<(), End> {
        let slow = self.worker.setup.plan.stall.map_or(0, |stall| stall.slow_read);
        while slow > 0 && Instant::now() + SLOW_STEP < until {
            tokio::time::sleep(SLOW_STEP).await;
            self.read(link, slow as usize / 10 + 1).await?;
        }
        tokio::time::sleep_until(until).await;
        self.recovery = Some((Instant::now(), self.worker.mark()));
        self.look_at_recovery();
        Ok(())
    }

    fn look_at_recovery(&mut self) {
        if let Some((since, mark)) = &self.recovery
            && self.session.has_reached(mark)
        {
            self.worker.exact_again(since.elapsed());
            (self.recovery, self.is_behind) = (None, false);
        }
    }

    /// Takes in what the socket has, and sends what is to be answered.
    async fn read(&mut self, link: &mut Link, limit: usize) -> Result<(), End> {
        let worker = self.worker.clone();
        let (mut now, mut outcome, mut pongs) = (0, Ok(()), Vec::new());
        let read = {
            let mut scratch = worker.scratch.borrow_mut();
            let mut counts = worker.counts.borrow_mut();
            let Self { session, messages, ask, stalls, close_code, .. } = self;
            link.read(&mut scratch, limit, &mut |plain| {
                if outcome.is_ok() {
                    // Once a read: what came together has waited together.
                    if now == 0 {
                        now = crate::wall_ns();
                    }
                    let mut turn = counts.turn(*stalls, now, ask);
                    outcome = feed(messages, plain, session.as_mut(), &mut turn, &mut pongs, close_code);
                }
            })
        };
        outcome?;
        match read? {
            Read::Bytes(bytes) => worker.counts.borrow_mut().socket(self.stalls, bytes),
            Read::Nothing => {}
            Read::Closed => return Err(End::Lost("the server ended it".to_owned())),
        }
        for payload in pongs {
            put(link, Opcode::Pong, &payload)?;
        }
        self.answer(link).await
    }

    /// What came behind the answer to the upgrade.
    fn take_in(&mut self, plain: &[u8]) -> Result<(), End> {
        let Self { session, messages, ask, stalls, close_code, worker, .. } = self;
        let mut counts = worker.counts.borrow_mut();
        let mut turn = counts.turn(*stalls, crate::wall_ns(), ask);
        // No server pings before its greeting was answered.
        feed(messages, plain, session.as_mut(), &mut turn, &mut Vec::new(), close_code)
    }

    async fn answer(&mut self, link: &mut Link) -> Result<(), End> {
        for request in self.ask.drain(..) {
            put(link, Opcode::Text, request.as_bytes())?;
        }
        if link.has_to_flush() {
            link.flush().await?;
        }
        Ok(())
    }
}

fn put(link: &mut Link, opcode: Opcode, payload: &[u8]) -> Result<(), End> {
    let mut frame = Vec::with_capacity(payload.len() + 16);
    websocket::put_frame(&mut frame, opcode, payload);
    Ok(link.write(&frame)?)
}

fn feed(
    messages: &mut Messages,
    plain: &[u8],
    session: &mut dyn Session,
    turn: &mut Turn<'_>,
    pongs: &mut Vec<Vec<u8>>,
    close_code: &mut Option<u16>,
) -> Result<(), End> {
    let mut outcome = Ok(());
    messages.feed(plain, &mut |opcode, payload| match opcode {
        Opcode::Text | Opcode::Binary if outcome.is_ok() => {
            outcome = session.on_message(opcode == Opcode::Text, payload, turn);
        }
        Opcode::Ping => pongs.push(payload.to_vec()),
        Opcode::Close => *close_code = Some(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))),
        _ => {}
    })?;
    outcome.map_err(End::Lost)?;
    match close_code {
        Some(code) => Err(End::Lost(format!("closed with {code}"))),
        None => Ok(()),
    }
}
