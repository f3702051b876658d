//! MoldUDP64 on sockets. In: datagrams of one or two lines, answers of the request server. Out: their messages in order into the market.
//! Bounded: `AT_ONCE` datagrams before others of the thread get their turn; the receiver's own limits.

use super::outlet::Outlet;
use super::settings::ItchSettings;
use super::wall;
use crate::adapter::FaultKind;
use crate::venue::itch::mold::{HEADER_BYTES, Listener, Notice, Options, Receiver};
use socket2::{Domain, Protocol, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use wire::event::{Cause, FeedState, Nanos};

const AT_ONCE: usize = 512;
/// What the kernel may hold for us while we are busy: some 100 ms of the busiest feed. (It may give less: `net.core.rmem_max`.)
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
const MAX_DATAGRAM_BYTES: usize = 65_536;
/// How often the clock is looked at: while something is missing, and otherwise.
const TICK: Duration = Duration::from_millis(2);
const IDLE_TICK: Duration = Duration::from_millis(50);
/// A server says something every second, if only that it is there.
const SILENCE: Duration = Duration::from_secs(5);
/// The other line, or a datagram out of order, may still bring what is missing.
const PATIENCE_OF_TWO_LINES: Nanos = 5_000_000;
/// Nobody can be asked: all hope is in what was overtaken on its way.
const PATIENCE_WITHOUT_SERVER: Nanos = 50_000_000;
/// A hole that is filled within this time is nobody's business but the counters'.
const HOLE_UNTOLD: Nanos = 1_000_000_000;

pub(super) struct Mold {
    sockets: Vec<std::net::UdpSocket>,
    /// In `sockets`, behind the lines: asks, and hears the answers.
    asks: bool,
    receiver: Receiver,
    heard: Heard,
    silence: Duration,
}

/// What the receiver says, on its way into the market.
struct Heard {
    outlet: Outlet,
    requests: Vec<[u8; HEADER_BYTES]>,
}

impl Listener for Heard {
    fn message(&mut self, message: &[u8]) {
        self.outlet.message(message);
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Session { session, unheard } => {
                tracing::info!(session = %session.escape_ascii(), "session");
                self.outlet.session(unheard);
            }
            Notice::Gap { missing } => self.outlet.fault(FaultKind::SequenceGap, &format!("{missing} messages are missing")),
            Notice::Healed => {}
            Notice::Lost { missing } => self.outlet.lost(missing),
            Notice::Malformed => self.outlet.fault(FaultKind::BadMessage, "a datagram is shorter than it says"),
            Notice::EndOfSession => tracing::info!("end of session"),
        }
    }

    fn request(&mut self, request: [u8; HEADER_BYTES]) {
        self.requests.push(request);
    }
}

impl Mold {
    pub(super) fn bind(itch: &ItchSettings, outlet: Outlet, silence: Option<Duration>) -> Result<Self, String> {
        let interface = itch.interface.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let line =
            |address: &SocketAddr| listen(*address, interface).map_err(|error| format!("cannot listen at {address}: {error}"));
        let mut sockets = itch.listen.iter().map(line).collect::<Result<Vec<_>, _>>()?;
        if let Some(server) = itch.request {
            sockets.push(ask(server).map_err(|error| format!("cannot ask {server}: {error}"))?);
        }
        let can_request = itch.request.is_some();
        let patience = match (can_request, itch.listen.len()) {
            (false, _) => PATIENCE_WITHOUT_SERVER,
            (true, 1) => 0,
            (true, _) => PATIENCE_OF_TWO_LINES,
        };
        Ok(Self {
            sockets,
            asks: can_request,
            receiver: Receiver::new(Options { can_request, patience }),
            heard: Heard { outlet, requests: Vec::new() },
            silence: silence.unwrap_or(SILENCE),
        })
    }

    pub(super) async fn run(mut self) {
        let sockets: Result<Vec<_>, _> = std::mem::take(&mut self.sockets).into_iter().map(UdpSocket::from_std).collect();
        let sockets = match sockets {
            Ok(sockets) => sockets,
            Err(error) => return tracing::error!(%error, "the feed cannot run"),
        };
        let started = Instant::now();
        let mono = || Nanos::try_from(started.elapsed().as_nanos()).unwrap_or(Nanos::MAX);
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        let mut last = Instant::now();
        loop {
            let tick = if self.receiver.is_waiting() { TICK } else { IDLE_TICK };
            let ready = tokio::select! {
                biased;
                () = readable(&sockets) => true,
                () = tokio::time::sleep(tick) => false,
            };
            if ready && self.drain(&sockets, &mut buffer, &mono) {
                last = Instant::now();
            }
            self.heard.outlet.now = wall();
            self.receiver.on_tick(mono(), &mut self.heard);
            self.judge(mono(), last.elapsed() > self.silence);
            self.heard.outlet.publish();
            self.send_requests(&sockets).await;
            if ready {
                // Datagrams may come faster than the others of this thread get their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads what is there. Out: whether something was.
    fn drain(&mut self, sockets: &[UdpSocket], buffer: &mut [u8], mono: &impl Fn() -> Nanos) -> bool {
        let mut read = false;
        for socket in sockets {
            for _ in 0..AT_ONCE {
                match socket.try_recv(buffer) {
                    Ok(length) => {
                        read = true;
                        self.heard.outlet.read(wall(), length);
                        self.receiver.on_datagram(mono(), &buffer[..length], &mut self.heard);
                        self.heard.outlet.publish();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The request server is not there (ICMP): its silence is dealt with elsewhere.
                    Err(_) => {}
                }
            }
        }
        read
    }

    /// Tells what the state of the line makes of the state of the data.
    fn judge(&mut self, now: Nanos, is_silent: bool) {
        let Heard { outlet, .. } = &mut self.heard;
        if is_silent {
            return outlet.link(FeedState::Stale, Cause::Silence);
        }
        outlet.back();
        if self.receiver.is_complete() {
            if !outlet.is_live() {
                outlet.state(FeedState::Live, Cause::None);
            }
        } else if self.receiver.waiting_since().is_some_and(|since| now - since > HOLE_UNTOLD) && outlet.is_live() {
            outlet.state(FeedState::Resyncing, Cause::SequenceGap);
        }
    }

    async fn send_requests(&mut self, sockets: &[UdpSocket]) {
        for request in self.heard.requests.drain(..) {
            if let Some(server) = sockets.last().filter(|_| self.asks)
                && let Err(error) = server.send(&request).await
            {
                // It is asked again in a second.
                tracing::warn!(%error, "the request server cannot be asked");
            }
        }
    }
}

async fn readable(sockets: &[UdpSocket]) {
    poll_fn(|context| {
        let ready = sockets.iter().any(|socket| socket.poll_recv_ready(context).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A socket that hears a group, or what is sent to this machine.
fn listen(address: SocketAddr, interface: Ipv4Addr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // Several programs of one machine may listen to a group.
    socket.set_reuse_address(address.ip().is_multicast())?;
    // As much as the system allows.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.bind(&address.into())?;
    match address.ip() {
        IpAddr::V4(group) if group.is_multicast() => socket.join_multicast_v4(&group, &interface)?,
        IpAddr::V6(group) if group.is_multicast() => socket.join_multicast_v6(&group, 0)?,
        _ => {}
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn ask(server: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.bind(&SocketAddr::new(any, 0).into())?;
    // Only this server is heard.
    socket.connect(&server.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
