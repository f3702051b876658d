//! In: connections on the admin port. Out: one HTTP/1.1 exchange after another, until a deadline or the stop signal.
//! Bounded: `MAX_CONNECTIONS` at a time (more wait in the kernel's queue), `HEAD_TIMEOUT` a request, `CONNECTION_AGE` a connection.

use super::routes;
use crate::config::Admin;
use crate::metrics::Metrics;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Why the server should not be sent clients now; `Ok` if it should.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Two or three scrapers, a load balancer's probes and some people.
const MAX_CONNECTIONS: usize = 32;
/// Idle time between requests counts too; longer than usual scrape intervals are served by a new connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// However slowly it reads, no connection keeps its place longer.
const CONNECTION_AGE: Duration = Duration::from_secs(300);
/// Out of descriptors: the error would come back at once, so wait for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the port and serves it in the background of the current runtime until `stop` is true or its sender is gone.
/// Tells the bound address (the configured port may be 0).
pub async fn start(admin: &Admin, metrics: Arc<Metrics>, ready: Ready, stop: watch::Receiver<bool>) -> io::Result<SocketAddr> {
    if !admin.address.ip().is_loopback() && !admin.allow_remote {
        let what = "can be reached from other machines and has no login; set admin.allow_remote = true if it is guarded";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let listener = TcpListener::bind(admin.address).await?;
    let address = listener.local_addr()?;
    let context = Arc::new(routes::Context { metrics, ready });
    tokio::spawn(accept(listener, context, stop));
    Ok(address)
}

async fn accept(listener: TcpListener, context: Arc<routes::Context>, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut stopped = stop.clone();
    loop {
        let next = async {
            let permit = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, permit, Arc::clone(&context), stop.clone()))),
            Err(error) => {
                tracing::warn!(%error, "admin port: accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, permit: OwnedSemaphorePermit, context: Arc<routes::Context>, mut stop: watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let context = Arc::clone(&context);
        async move { Ok::<_, Infallible>(routes::answer(context, &request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(16 * 1024);
    // A peer that breaks off or trickles is its own problem: nothing to log.
    tokio::select! {
        _ = http.serve_connection(TokioIo::new(stream), service) => {}
        () = tokio::time::sleep(CONNECTION_AGE) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    drop(permit);
}
