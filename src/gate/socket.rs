//! One TLS connection of a client. In: a socket; plaintext to send. Out: ciphertext in the socket; plaintext as it comes. Bounded:
//! one incomplete record that was received, one write's ciphertext until the socket has taken it; nothing at all while it is idle.
//!
//! The library's unbuffered interface works in memory that all connections of a thread share: an idle connection keeps its keys and
//! nothing else, and what is flushed goes into the socket with one plain `send`.

use super::transport::Transport;
use crate::fetch::{self, Fetch};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Taken from the socket at once, behind what is held of an incomplete record (16 KiB and its overhead at most).
const READ_BYTES: usize = 16 << 10;
/// Encrypted at once, one record. What is encrypted can no longer be conflated: for a peer that does not read, this much is too late.
const WRITE_BYTES: usize = 16 << 10;
/// Memory for records on their way, kept for the next ones. Few connections have one at a time: those of one round of writes.
const SPARE_BUFFERS: usize = 16;
/// Room for a record's header, tag and padding, or for a short message of the handshake; the library asks for more where that is not enough.
const RECORD_OVERHEAD: usize = 256;

/// What all connections of a thread work in.
#[derive(Default)]
struct Scratch {
    incoming: Vec<u8>,
    /// For what is encrypted and leaves in a moment.
    spare: Vec<Vec<u8>>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

pub struct TlsSocket<T = TcpStream> {
    tcp: T,
    tls: UnbufferedServerConnection,
    /// The beginning of a record whose end has not come.
    incoming: Vec<u8>,
    /// Received and decrypted, for the next read.
    plain: Kept,
    /// Encrypted, not taken by the socket yet.
    outgoing: Kept,
    /// The socket was not asked yet whether it takes it.
    is_fresh: bool,
    /// The peer said that nothing more will come.
    has_ended: bool,
    has_said_goodbye: bool,
}

/// Bytes that wait, and no memory once they are gone.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    at: usize,
}

impl Kept {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn advance(&mut self, count: usize) {
        self.at += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

impl<T> Fetch for TlsSocket<T> {
    fn fetch(&self) {
        fetch::whole(self);
    }
}

impl<T: Transport> TlsSocket<T> {
    /// Shakes hands. An error is about the peer or its connection; where the protocol has an alert for it, the peer was sent it.
    pub async fn accept(tcp: T, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut socket = Self {
            tcp,
            tls,
            incoming: Vec::new(),
            plain: Kept::default(),
            outgoing: Kept::default(),
            is_fresh: false,
            has_ended: false,
            has_said_goodbye: false,
        };
        while socket.tls.is_handshaking() {
            poll_fn(|cx| socket.tcp.poll_read_ready(cx)).await?;
            // A client may send its request right behind its part of the handshake: that waits for the first read.
            socket.receive(&mut ReadBuf::new(&mut []))?;
            poll_fn(|cx| socket.poll_send(cx)).await?;
        }
        Ok(socket)
    }

    /// Takes what is there from the socket. Plaintext goes into `buffer`; what finds no room there waits for the next read.
    fn receive(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let held = self.incoming.len();
            scratch.incoming.resize(scratch.incoming.len().max(held + READ_BYTES), 0);
            scratch.incoming[..held].copy_from_slice(&self.incoming);
            let got = match self.tcp.try_read(&mut scratch.incoming[held..held + READ_BYTES]) {
                // An end that nobody announced may be somebody else's doing.
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let received = &mut scratch.incoming[..held + got];
            let used = self.process(received, &mut |plain| {
                let now = plain.len().min(buffer.remaining());
                buffer.put_slice(&plain[..now]);
                now
            });
            let used = match used {
                Ok(used) => used,
                Err(error) => {
                    self.send_alert();
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            };
            // Exactly as large as it has to be, and gone when the record is complete.
            self.incoming = received[used..].to_vec();
            Ok(())
        })
    }

    /// Works through complete records; how many bytes they had. `take` says how much of a piece of plaintext it took.
    fn process(&mut self, received: &mut [u8], take: &mut dyn FnMut(&[u8]) -> usize) -> Result<usize, rustls::Error> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut received[used..]);
            let mut more = 0;
            let mut is_done = false;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        more += record.discard;
                        let taken = if self.plain.is_empty() { take(record.payload) } else { 0 };
                        self.plain.push(&record.payload[taken..]);
                    }
                }
                ConnectionState::EncodeTlsData(data) => put_answer(&mut self.outgoing.bytes, data)?,
                // It is in `outgoing`, which goes before anything else.
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.has_ended = true,
                _ => is_done = true,
            }
            used += discard + more;
            if is_done {
                return Ok(used);
            }
        }
    }

    /// Tells the peer, if it listens, why this is the end.
    fn send_alert(&mut self) {
        // The error comes again; what there is to send comes before it.
        let _ = self.process(&mut [], &mut |_| 0);
        let _ = self.tcp.try_write(self.outgoing.rest());
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.is_fresh) {
            match self.tcp.send_unasked(self.outgoing.rest()) {
                Ok(sent) => self.outgoing.at += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            // What has to wait takes no more memory than it needs.
            let rest = Kept { bytes: self.outgoing.rest().to_vec(), at: 0 };
            give_buffer(std::mem::replace(&mut self.outgoing, rest).bytes);
        }
        while !self.outgoing.is_empty() {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.tcp.try_write(self.outgoing.rest()) {
                Ok(sent) => self.outgoing.advance(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts, for `poll_send`. Nothing may be left of what was encrypted before.
    fn encrypt(&mut self, message: Outgoing<'_>) -> io::Result<()> {
        self.outgoing = Kept { bytes: take_buffer(), at: 0 };
        loop {
            // An incomplete record cannot yield anything; the library wants to see it again.
            match self.tls.process_tls_records(&mut self.incoming).state.map_err(io::Error::other)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let encrypted = put(&mut self.outgoing.bytes, message.len() + RECORD_OVERHEAD, |space| {
                        let encrypted = match message {
                            Outgoing::Data(plain) => traffic.encrypt(plain, space),
                            Outgoing::Goodbye => traffic.queue_close_notify(space),
                        };
                        match encrypted {
                            Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
                            other => other.map_err(|_| None),
                        }
                    });
                    self.is_fresh = true;
                    return encrypted.map_err(io::Error::other);
                }
                ConnectionState::EncodeTlsData(data) => put_answer(&mut self.outgoing.bytes, data).map_err(io::Error::other)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.has_ended = true,
                _ => return Err(ErrorKind::BrokenPipe.into()),
            }
        }
    }
}

fn take_buffer() -> Vec<u8> {
    SCRATCH.with_borrow_mut(|scratch| scratch.spare.pop().unwrap_or_default())
}

fn give_buffer(mut buffer: Vec<u8>) {
    buffer.clear();
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.spare.len() < SPARE_BUFFERS {
            scratch.spare.push(buffer);
        }
    });
}

#[derive(Clone, Copy)]
enum Outgoing<'a> {
    Data(&'a [u8]),
    Goodbye,
}

/// What the library has to say by itself.
fn put_answer<Data>(out: &mut Vec<u8>, mut data: EncodeTlsData<'_, Data>) -> Result<(), rustls::Error> {
    put(out, RECORD_OVERHEAD, |space| match data.encode(space) {
        Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
        other => other.map_err(|_| None),
    })
}

impl Outgoing<'_> {
    fn len(self) -> usize {
        match self {
            Self::Data(plain) => plain.len(),
            Self::Goodbye => 0,
        }
    }
}

/// Appends what `fill` makes, in `size` bytes or as many as it asks for.
fn put(
    out: &mut Vec<u8>,
    mut size: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), rustls::Error> {
    let start = out.len();
    loop {
        out.resize(start + size, 0);
        match fill(&mut out[start..]) {
            Ok(filled) => {
                out.truncate(start + filled);
                return Ok(());
            }
            Err(Some(needed)) if needed > size => size = needed,
            Err(_) => {
                out.truncate(start);
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

impl<T: Transport> AsyncRead for TlsSocket<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.outgoing.is_empty() {
            // The library may have had to answer; whoever only reads must send that too.
            let _ = this.poll_send(cx)?;
        }
        loop {
            if !this.plain.is_empty() {
                let count = this.plain.rest().len().min(buffer.remaining());
                buffer.put_slice(&this.plain.rest()[..count]);
                this.plain.advance(count);
                return Poll::Ready(Ok(()));
            }
            if this.has_ended || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(this.tcp.poll_read_ready(cx))?;
            this.receive(buffer)?;
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// What is written leaves with the next flush, or with the next record.
impl<T: Transport> AsyncWrite for TlsSocket<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let piece = &bytes[..bytes.len().min(WRITE_BYTES)];
        this.encrypt(Outgoing::Data(piece))?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        if !std::mem::replace(&mut this.has_said_goodbye, true) {
            this.encrypt(Outgoing::Goodbye)?;
            ready!(this.poll_send(cx))?;
        }
        this.tcp.poll_shutdown(cx)
    }
}
