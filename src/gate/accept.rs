//! In: connections from the kernel's backlog. Out: `Arrival`s to the least loaded shard, through its bounded channel.
//! Bounded by the connection caps; out of descriptors it backs off up to a second and never spins.

use super::admission::{Admission, Arrival};
use super::{Gate, GateError};
use crate::metrics::Refusal;
use futures_util::FutureExt;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Connections the kernel may hold until we accept them: a reconnect storm of a few thousand must fit (the kernel
/// cuts it to `somaxconn`).
const BACKLOG: i32 = 4096;
/// `errno` of "too many open files" of the process and of the system, the same on all Unix systems we build for.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Opens the port. The error names the address: a used port is the commonest mistake of all.
pub fn bind(address: SocketAddr) -> Result<TcpListener, GateError> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted server must get its port back while old connections are still in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|error| GateError::Bind { address, error })
}

/// Accepts until the gate drains. Each target is the inbox of one shard.
pub async fn accept(listener: TcpListener, targets: Vec<mpsc::Sender<Arrival>>, gate: Arc<Gate>) -> io::Result<()> {
    let mut draining = gate.draining.subscribe();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut doorman = Doorman::new(targets, gate);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => doorman.let_in(stream, peer),
            Err(error) => doorman.pause_after(&error, &listener).await,
        }
    }
}

struct Doorman {
    gate: Arc<Gate>,
    admission: Arc<Admission>,
    shards: Vec<Target>,
    /// Where the search for the least loaded shard begins, so that equals take turns.
    turn: usize,
    /// Given up for a moment when the process is out of descriptors, to accept and close the newest connection.
    reserve: Option<File>,
    pause: Duration,
}

struct Target {
    inbox: mpsc::Sender<Arrival>,
    load: Arc<AtomicUsize>,
}

impl Doorman {
    fn new(targets: Vec<mpsc::Sender<Arrival>>, gate: Arc<Gate>) -> Self {
        let shards = targets.into_iter().map(|inbox| Target { inbox, load: Arc::default() }).collect();
        Self { admission: gate.admission.clone(), gate, shards, turn: 0, reserve: open_reserve(), pause: FIRST_PAUSE }
    }

    fn let_in(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.pause = FIRST_PAUSE;
        self.gate.metrics.accepted.add(1);
        if let Err(refusal) = self.try_let_in(stream, peer) {
            self.gate.metrics.refused(refusal);
            tracing::debug!(%peer, reason = ?refusal, "connection refused");
        }
    }

    fn try_let_in(&mut self, stream: TcpStream, peer: SocketAddr) -> Result<(), Refusal> {
        let shard = self.least_loaded().ok_or(Refusal::Busy)?;
        let target = &self.shards[shard];
        let (permit, turn_away) = self.admission.enter(peer.ip(), &target.load)?;
        if let Some(refusal) = turn_away {
            self.gate.metrics.refused(refusal);
        }
        // Off this thread's reactor: the shard's own takes it over.
        let prepared = self.prepare(&stream).and_then(|()| stream.into_std());
        let Ok(stream) = prepared else { return Ok(()) };
        let arrival = Arrival { stream, peer, turn_away, _permit: permit };
        target.inbox.try_send(arrival).map_err(|_| Refusal::Busy)
    }

    /// Among the shards whose inbox has room, the one with the fewest connections.
    fn least_loaded(&mut self) -> Option<usize> {
        let count = self.shards.len();
        self.turn = (self.turn + 1) % count.max(1);
        (0..count)
            .map(|step| (self.turn + step) % count)
            .filter(|at| self.shards[*at].inbox.capacity() > 0)
            .min_by_key(|at| self.shards[*at].load.load(Ordering::Relaxed))
    }

    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        // A frame is one write; waiting to join it with the next one is our own decision (pace), not Nagle's.
        socket.set_tcp_nodelay(true)?;
        if self.gate.listen.send_buffer_bytes > 0 {
            // What the kernel holds can no longer be conflated: a slow client would read old prices out of it. The kernel
            // doubles the number for its own bookkeeping.
            socket.set_send_buffer_size(self.gate.listen.send_buffer_bytes)?;
        }
        // For event streams, which have no ping of ours: a peer that vanished is found within a minute.
        socket.set_tcp_keepalive(
            &TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3),
        )?;
        // The end of peers that neither take bytes nor close, also with a closed window. Later than the session's own write
        // timeout, which closes with a reason.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(
            Duration::from_millis(self.gate.session.write_timeout_ms * 2) + Duration::from_secs(10),
        ))?;
        Ok(())
    }

    /// Errors of `accept` are either about one connection (go on) or about us (wait, or the loop would eat a core).
    async fn pause_after(&mut self, error: &io::Error, listener: &tokio::net::TcpListener) {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
        {
            return;
        }
        if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
            self.gate.metrics.refused(Refusal::TooManyFiles);
            // With the reserve given up there is room to accept one connection and close it: its client learns at once,
            // instead of hanging in the backlog.
            self.reserve = None;
            drop(listener.accept().now_or_never());
            self.reserve = open_reserve();
        }
        if self.pause == FIRST_PAUSE {
            tracing::warn!(%error, "cannot accept connections; backing off");
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }
}

fn open_reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use tokio::io::AsyncReadExt;

    #[test]
    fn out_of_files_the_newest_is_closed_and_the_loop_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut config = Config::default();
            config.listen.self_signed = true;
            let pressure = crate::pressure::Pressure::new(&config.pressure);
            let gate = Gate::new(&config, Arc::default(), Arc::new(|| Ok(())), pressure).unwrap();
            let listener = tokio::net::TcpListener::from_std(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
            let mut doorman = Doorman::new(Vec::new(), gate.clone());
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            // Until the connection is in the backlog.
            tokio::time::sleep(FIRST_PAUSE).await;
            let began = std::time::Instant::now();
            for _ in 0..3 {
                doorman.pause_after(&io::Error::from_raw_os_error(EMFILE), &listener).await;
            }
            assert!(began.elapsed() >= FIRST_PAUSE * (1 + 2 + 4), "{:?}", began.elapsed());
            assert!(client.read_u8().await.is_err(), "closed instead of left hanging");
            assert!(doorman.reserve.is_some());
            assert_eq!(gate.metrics.refusals(Refusal::TooManyFiles), 3);
            doorman.pause_after(&io::ErrorKind::ConnectionAborted.into(), &listener).await;
            assert_eq!(doorman.pause, FIRST_PAUSE * 8, "the peer's fault does not slow us");
        });
    }
}
