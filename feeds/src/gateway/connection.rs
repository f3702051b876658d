//! One connection to the gateway. In: an address, a key, a request. Out: a socket on which records flow, or why not.
//! Bounded by `Timing`, and by `MAX_LINE_BYTES` a line.

use super::{Key, Timing};
use crate::venue::databento::{MAX_LINE_BYTES, Refusal, Reply, Request, greeting};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

/// Connects, proves who we are, subscribes. What comes next on the socket is DBN.
pub(super) async fn open(
    address: &str,
    key: &Key,
    request: &Request,
    start: Option<u64>,
    timing: &Timing,
) -> Result<TcpStream, ConnectError> {
    let connected = timeout(timing.connect, TcpStream::connect(address)).await;
    let mut socket = connected.map_err(|_| ConnectError::Timeout)??;
    socket.set_nodelay(true)?;
    let session = timeout(timing.authentication, authenticate(&mut socket, key, request)).await;
    let session = session.map_err(|_| ConnectError::Timeout)??;
    tracing::info!(venue = "databento", dataset = request.dataset, session, ?start, "the gateway accepts");
    let text = request.subscriptions(start);
    timeout(timing.authentication, socket.write_all(text.as_bytes())).await.map_err(|_| ConnectError::Timeout)??;
    Ok(socket)
}

async fn authenticate(socket: &mut TcpStream, key: &Key, request: &Request) -> Result<String, ConnectError> {
    loop {
        match greeting(&line(socket).await?)? {
            Reply::Version(version) => tracing::debug!(venue = "databento", version, "connected"),
            Reply::Challenge(challenge) => {
                let answer = request.authentication(&challenge, &key.0);
                socket.write_all(answer.as_bytes()).await?;
            }
            Reply::Accepted { session } => return Ok(session),
        }
    }
}

/// One line without its end. Byte by byte, because what follows the last line is not ours to read here.
async fn line(socket: &mut TcpStream) -> Result<String, ConnectError> {
    let mut line = Vec::with_capacity(256);
    loop {
        match socket.read_u8().await? {
            b'\n' => break,
            byte => line.push(byte),
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(Refusal::Unexpected("a line without an end".to_owned()).into());
        }
    }
    String::from_utf8(line).map_err(|_| Refusal::Unexpected("a line that is no text".to_owned()).into())
}
