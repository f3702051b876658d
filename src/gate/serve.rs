//! In: one connection on its shard. Out: HTTP answers, and after an upgrade the WebSocket, handed over whole.
//! Bounded by one deadline for TLS and the first request head, 16 KiB of head, one TLS record each way.

use super::answer::Answer;
use super::routes::Context;
use super::socket::TlsSocket;
use super::transport::Transport;
use super::{Arrival, Gate};
use crate::config;
use crate::metrics::{HandshakeFailure, Refusal};
use crate::session::Client;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// An upgraded connection: the WebSocket directly over TLS, without hyper in between.
pub type Socket<T = TcpStream> = Box<WebSocketStream<TlsSocket<T>>>;

/// What comes after the gate. The shard implements it; the gate knows no more of sessions than this.
pub trait Sessions: 'static {
    type Events: Body<Data = Bytes, Error = Infallible> + 'static;

    /// Runs one WebSocket session to its end.
    fn stream<T: Transport>(self: Rc<Self>, socket: Socket<T>, client: Client) -> impl Future<Output = ()>;

    /// Begins one session of server-sent events. It notifies `cut` to have the connection dropped.
    fn events(self: Rc<Self>, client: Client, cut: Rc<Notify>) -> Self::Events;
}

/// Request head: a token of 4 KiB and a hundred topics fit.
const HEAD_BYTES: usize = 16 * 1024;
/// Most requests are shorter, and it is kept for as long as the session lives.
const READ_BUFFER: usize = 128;
const CONTROL_BYTES: usize = 4 * 1024;
const PLAIN_HTTP: &str = "this port speaks TLS only: use an https:// or wss:// address\n";

/// A client admitted by `/v1/stream`, waiting for its 101 to be written.
pub(super) struct Pending {
    pub upgrade: OnUpgrade,
    pub client: Client,
}

/// Serves one connection until it ends, on the shard's thread. Its permit is held as long.
pub async fn serve<S: Sessions>(arrival: Arrival, gate: Arc<Gate>, sessions: Rc<S>) {
    let Arrival { stream, peer, turn_away, _permit } = arrival;
    let deadline = handshake_deadline(&gate);
    // Boxed, and so is what comes of it: some 10 KiB of state must not stay in the task of a session that lives for hours.
    let way_in = Box::pin(async {
        let tls = handshake(stream, peer, &gate, deadline).await;
        let_in(tls, peer, turn_away, deadline, &gate, &sessions).await
    });
    if let Some(session) = way_in.await {
        session.await;
    }
}

/// The same over any transport, for measurements: everything but what is about TCP and about who may come in.
pub async fn serve_over<T: Transport, S: Sessions>(transport: T, peer: SocketAddr, gate: Arc<Gate>, sessions: Rc<S>) {
    let deadline = handshake_deadline(&gate);
    let way_in = Box::pin(async {
        let accepted = timeout_at(deadline, TlsSocket::accept(transport, gate.tls.config())).await;
        let tls = accepted.map_or(Err(HandshakeFailure::Timeout), |accepted| accepted.map_err(|_| HandshakeFailure::Tls));
        let_in(tls, peer, None, deadline, &gate, &sessions).await
    });
    if let Some(session) = way_in.await {
        session.await;
    }
}

fn handshake_deadline(gate: &Gate) -> Instant {
    Instant::now() + Duration::from_millis(gate.listen.handshake_timeout_ms)
}

/// From the end of the handshake to the session, if it comes to one. Whoever runs that has nothing left of this.
async fn let_in<T: Transport, S: Sessions>(
    tls: Result<TlsSocket<T>, HandshakeFailure>,
    peer: SocketAddr,
    turn_away: Option<Refusal>,
    deadline: Instant,
    gate: &Arc<Gate>,
    sessions: &Rc<S>,
) -> Option<Pin<Box<impl Future<Output = ()>>>> {
    let answered = match tls {
        Ok(tls) => {
            gate.metrics.handshakes.add(1);
            let (gate, sessions) = (gate.clone(), sessions.clone());
            let context = Context { gate, sessions, peer, turn_away, pending: RefCell::default(), cut: Rc::default() };
            http(tls, Rc::new(context), deadline).await
        }
        Err(failure) => Err(failure),
    };
    match answered {
        Ok(upgraded) => upgraded.map(|upgraded| {
            let (socket, client) = *upgraded;
            Box::pin(sessions.clone().stream(socket, client))
        }),
        Err(failure) => {
            gate.metrics.handshake_failed(failure);
            None
        }
    }
}

async fn handshake(
    stream: std::net::TcpStream,
    peer: SocketAddr,
    gate: &Gate,
    deadline: Instant,
) -> Result<TlsSocket, HandshakeFailure> {
    let mut stream = TcpStream::from_std(stream).map_err(|_| HandshakeFailure::Io)?;
    let negotiate = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0].is_ascii_uppercase() => {
                answer_plain_http(&mut stream).await;
                return Err(HandshakeFailure::PlainHttp);
            }
            Ok(1) => {}
            _ => return Err(HandshakeFailure::Io),
        }
        TlsSocket::accept(stream, gate.tls.config()).await.map_err(|error| {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            HandshakeFailure::Tls
        })
    };
    timeout_at(deadline, negotiate).await.unwrap_or(Err(HandshakeFailure::Timeout))
}

/// The commonest mistake with a TLS port deserves a sentence. No TLS record begins with a capital letter.
async fn answer_plain_http(stream: &mut TcpStream) {
    // Read what came first: closing with unread bytes resets the connection, and the answer with it.
    let mut scratch = [0; 4096];
    let _ = stream.read(&mut scratch).await;
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{PLAIN_HTTP}", PLAIN_HTTP.len());
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Answers requests until the connection ends or becomes a WebSocket.
async fn http<T: Transport, S: Sessions>(
    tls: TlsSocket<T>,
    context: Rc<Context<S>>,
    deadline: Instant,
) -> Result<Option<Box<(Socket<T>, Client)>>, HandshakeFailure> {
    let gate = &context.gate;
    let mut draining = gate.draining.subscribe();
    let routes = Routes { context: context.clone(), heard: Rc::default() };
    let heard = routes.heard.clone();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also ends connections that idle between two requests of the page.
        .header_read_timeout(Duration::from_millis(gate.listen.handshake_timeout_ms))
        .max_buf_size(HEAD_BYTES)
        .keep_alive(context.turn_away.is_none())
        .serve_connection(TokioIo::new(tls), routes)
        .with_upgrades();
    tokio::pin!(connection);
    let (mut is_late, mut is_draining) = (false, false);
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = sleep_until(deadline), if !is_late => {
                // Absolute, from accept on: a peer cannot buy time with a byte now and then.
                is_late = true;
                if !heard.get() {
                    return Err(HandshakeFailure::Timeout);
                }
            }
            _ = draining.wait_for(|draining| *draining), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            // Its session has counted the reason.
            () = context.cut.notified() => return Ok(None),
        }
    };
    if let Err(error) = ended {
        return if error.is_timeout() && !heard.get() {
            Err(HandshakeFailure::Timeout)
        } else if error.is_parse() {
            Err(HandshakeFailure::Head)
        } else {
            // The peer went away in the middle: nothing was refused.
            Ok(None)
        };
    }
    let Some(Pending { upgrade, client }) = context.pending.take() else { return Ok(None) };
    Ok(take_back(upgrade, &gate.session).await.map(|socket| Box::new((socket, client))))
}

/// The TLS stream comes back whole, with the bytes the client sent right after its request.
async fn take_back<T: Transport>(upgrade: OnUpgrade, limits: &config::Session) -> Option<Socket<T>> {
    let upgraded = upgrade.await.ok()?;
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<TlsSocket<T>>>().ok()?;
    // Copied, because hyper's buffer of 8 KiB would live as long as a slice of it.
    let leftover = read_buf.to_vec();
    drop(read_buf);
    let config = websocket_config(limits);
    let socket = io.into_inner();
    Some(Box::new(WebSocketStream::from_partially_read(socket, leftover, Role::Server, Some(config)).await))
}

fn websocket_config(limits: &config::Session) -> WebSocketConfig {
    WebSocketConfig::default()
        // Clients send little and rarely; the library clears this many bytes before each read.
        .read_buffer_size(READ_BUFFER)
        // Each control frame is written at once; everything else is written past the library.
        .write_buffer_size(0)
        // Pongs waiting for a peer that does not read. The default is no bound at all.
        .max_write_buffer_size(CONTROL_BYTES)
        .max_message_size(Some(limits.request_bytes))
        .max_frame_size(Some(limits.request_bytes))
        .accept_unmasked_frames(false)
}

/// The routing table as hyper wants it.
struct Routes<S> {
    context: Rc<Context<S>>,
    /// Set by the first request head.
    heard: Rc<Cell<bool>>,
}

impl<S: Sessions> Service<Request<Incoming>> for Routes<S> {
    type Response = Response<Answer<S::Events>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.heard.set(true);
        ready(Ok(self.context.answer(request)))
    }
}
