//! The emulator's port. In: options. Out: a listening server; WebSocket upgrades go to sessions, everything else to the REST answers.
//! Bounded by one task a connection.

use super::options::{EmulateError, Options};
use super::session;
use super::stage::Stage;
use bytes::Bytes;
use feeds::emulation::{ClientId, Exchange, Told};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::JoinHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

type Answer = Response<Full<Bytes>>;

/// An emulator that listens, and plays once it is run.
pub struct Emulator {
    options: Options,
    exchange: Exchange,
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// An emulator on a thread of its own, for tests. Ends when dropped.
pub struct Handle {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), EmulateError>>>,
}

impl Emulator {
    /// Reads the recording once and binds the port; says all that is wrong with either.
    pub fn bind(options: Options) -> Result<Self, EmulateError> {
        let exchange = Exchange::open(&options.venue, &options.files, options.faults.clone())?;
        let listen = |source| EmulateError::Listen { address: options.listen, source };
        let listener = std::net::TcpListener::bind(options.listen).map_err(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { options, exchange, listener, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The venue that will be played.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Serves until `stop`, or to the end of the recording if so asked.
    pub fn run(self, stop: impl Future<Output = ()>) -> Result<(), EmulateError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let exit_at_end = self.options.exit_at_end;
        let stage = Stage::new(self.options, self.exchange);
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, async {
            let listener = TcpListener::from_std(self.listener)?;
            tokio::task::spawn_local(accept(listener, Rc::clone(&stage)));
            let play = async {
                Rc::clone(&stage).play().await?;
                if exit_at_end {
                    stage.end().await;
                } else {
                    // The recording is over: open, and silent.
                    std::future::pending::<()>().await;
                }
                Ok(())
            };
            tokio::select! {
                played = play => played,
                () = stop => Ok(()),
            }
        })
    }

    /// Runs on a thread of its own.
    pub fn spawn(self) -> Result<Handle, EmulateError> {
        let address = self.address;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("emulator".into()).spawn(move || {
            self.run(async {
                stopped.await.ok();
            })
        })?;
        Ok(Handle { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn accept(listener: TcpListener, stage: Rc<Stage>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(serve(stream, Rc::clone(&stage)));
            }
            // Out of file descriptors, most likely: try again when some may be free.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, stage: Rc<Stage>) {
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| {
        let stage = Rc::clone(&stage);
        async move { Ok::<_, Infallible>(answer(request, stage)) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    connection.with_upgrades().await.ok();
}

fn answer(request: Request<Incoming>, stage: Rc<Stage>) -> Answer {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).cloned() {
        return match stage.join(&path, &query) {
            Some((client, greeting)) => upgrade(request, key.as_bytes(), client, greeting, stage),
            None => json(404, String::new()),
        };
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned();
    let answer = stage.answer(&host, &path, &query);
    json(answer.status, answer.body)
}

fn upgrade(mut request: Request<Incoming>, key: &[u8], client: ClientId, greeting: Vec<Told>, stage: Rc<Stage>) -> Answer {
    let accept = derive_accept_key(key);
    tokio::task::spawn_local(async move {
        match hyper::upgrade::on(&mut request).await {
            Ok(upgraded) => {
                let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
                session::run(socket, client, greeting, stage).await;
            }
            Err(_) => stage.leave(client),
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("websocket"));
    if let Ok(accept) = accept.parse() {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

fn json(status: u16, body: String) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}
