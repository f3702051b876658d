//! What a TLS connection runs over. In: ciphertext. Out: ciphertext. Bounded by the implementor: of TCP, by the kernel's buffers.

use socket2::SockRef;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// A socket as the gate needs it. `try_…` never wait; after `WouldBlock` the matching `poll_…_ready` wakes who asked last.
pub trait Transport: Send + Unpin + 'static {
    /// 0: the peer has closed.
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// The same for who did not ask whether there is room, as there is, but for slow peers.
    fn send_unasked(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Transport for TcpStream {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        Self::try_read(self, into)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    /// Past what the runtime knows about the socket, which lies cold elsewhere in memory. A full socket it finds out with the next `try_write`.
    /// (A peer that is gone is an error here, as Rust's programs ignore the signal for it.)
    fn send_unasked(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self).send(bytes)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_write_ready(self, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }
}
