//! Connections without sockets. In: bytes of either end. Out: the same at the other. Bounded by what is in flight: each end takes what is
//! there when it looks, and an end that is gone takes everything at once, as a client that always reads.

use parking_lot::Mutex;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tickwire::gate::Transport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The server's end of one connection.
pub struct ServerEnd(Arc<Mutex<Wire>>);

/// The client's end. Once it is dropped the connection stays, and what the server sends is thrown away.
pub struct ClientEnd(Arc<Mutex<Wire>>);

#[derive(Default)]
struct Wire {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    server: Option<Waker>,
    client: Option<Waker>,
    client_is_gone: bool,
}

pub fn connection() -> (ServerEnd, ClientEnd) {
    let wire = Arc::<Mutex<Wire>>::default();
    (ServerEnd(wire.clone()), ClientEnd(wire))
}

/// Moves as much as fits, and gives the memory back with the last byte, so that what waits holds none.
fn take(from: &mut Vec<u8>, into: &mut [u8]) -> usize {
    let count = from.len().min(into.len());
    into[..count].copy_from_slice(&from[..count]);
    from.drain(..count);
    if from.is_empty() {
        *from = Vec::new();
    }
    count
}

impl Transport for ServerEnd {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match take(&mut self.0.lock().to_server, into) {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.lock();
        if !wire.client_is_gone {
            wire.to_client.extend_from_slice(bytes);
            if let Some(client) = wire.client.take() {
                client.wake();
            }
        }
        Ok(bytes.len())
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.lock();
        if wire.to_server.is_empty() {
            wire.server = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ClientEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.lock();
        if wire.to_client.is_empty() {
            wire.client = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = take(&mut wire.to_client, buffer.initialize_unfilled());
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.lock();
        wire.to_server.extend_from_slice(bytes);
        if let Some(server) = wire.server.take() {
            server.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        let mut wire = self.0.lock();
        wire.client_is_gone = true;
        wire.to_client = Vec::new();
        wire.client = None;
    }
}
