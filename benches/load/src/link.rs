//! One TLS connection without buffers of its own. In: a socket, scratch space that all connections of a thread share. Out: plaintext
//! in pieces, as the records hold it. Bounded: what stays between two reads is at most one incomplete TLS record.

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};

/// Bytes taken from a socket at once: several TLS records, and not so many that a client that has fallen behind keeps the others waiting.
pub const SCRATCH_BYTES: usize = 64 << 10;
/// A larger remainder gives its memory back once it was used up.
const KEPT_BYTES: usize = 4 << 10;
/// Room for one encrypted request or a flight of the handshake; grows where that is not enough.
const OUT_BYTES: usize = 2 << 10;

pub struct Link {
    tcp: TcpStream,
    tls: UnbufferedClientConnection,
    /// The beginning of a record whose end has not come.
    rest: Vec<u8>,
    /// Encrypted, not yet taken by the socket.
    out: Vec<u8>,
    closed: bool,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes from the socket.
    Bytes(usize),
    /// Nothing was there.
    Nothing,
    Closed,
}

impl Link {
    /// Connects and shakes hands. Its last part goes with the first flush: nobody speaks before the client does.
    pub async fn connect(
        target: SocketAddr,
        source: Option<IpAddr>,
        receive_buffer_bytes: u32,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
        scratch: &RefCell<Vec<u8>>,
    ) -> io::Result<Self> {
        let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if receive_buffer_bytes > 0 {
            socket.set_recv_buffer_size(receive_buffer_bytes)?;
        }
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let tcp = socket.connect(target).await?;
        tcp.set_nodelay(true)?;
        let tls = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut link = Self { tcp, tls, rest: Vec::new(), out: Vec::new(), closed: false };
        let mut early = false;
        link.process(&mut [], &mut |_| early = true)?;
        while link.tls.is_handshaking() {
            link.flush().await?;
            link.readable().await?;
            if link.read(&mut scratch.borrow_mut(), usize::MAX, &mut |_| early = true)? == Read::Closed {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        if early {
            return Err(io::Error::other("the server spoke first"));
        }
        Ok(link)
    }

    pub async fn readable(&self) -> io::Result<()> {
        self.tcp.readable().await
    }

    /// Takes at most `limit` bytes from the socket, without waiting, and hands out what they hold.
    pub fn read(&mut self, scratch: &mut [u8], limit: usize, each: &mut dyn FnMut(&[u8])) -> io::Result<Read> {
        let held = self.rest.len();
        let scratch = if scratch.len() < held + KEPT_BYTES { &mut vec![0; held + SCRATCH_BYTES][..] } else { scratch };
        scratch[..held].copy_from_slice(&self.rest);
        let end = scratch.len().min(held.saturating_add(limit));
        let got = match self.tcp.try_read(&mut scratch[held..end]) {
            Ok(0) => return Ok(Read::Closed),
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Read::Nothing),
            Err(error) => return Err(error),
        };
        let filled = &mut scratch[..held + got];
        let used = self.process(filled, each)?;
        let filled = &scratch[used..held + got];
        self.rest.clear();
        if filled.is_empty() && self.rest.capacity() > KEPT_BYTES {
            self.rest = Vec::new();
        }
        self.rest.extend_from_slice(filled);
        Ok(if self.closed { Read::Closed } else { Read::Bytes(got) })
    }

    /// Encrypts; `flush` sends.
    pub fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        let mut rest = std::mem::take(&mut self.rest);
        let result = self.encrypt(&mut rest, plain);
        self.rest = rest;
        result
    }

    /// Sends what there is to send, waiting for the socket.
    pub async fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.tcp.try_write(&self.out[sent..]) {
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.tcp.writable().await?,
                Err(error) => return Err(error),
            }
        }
        self.out = Vec::new();
        Ok(())
    }

    pub fn has_to_flush(&self) -> bool {
        !self.out.is_empty()
    }

    /// Works through complete records and returns how many bytes they had.
    fn process(&mut self, incoming: &mut [u8], each: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut incoming[used..]);
            let mut more = 0;
            let done = match state.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        more += record.discard;
                        each(record.payload);
                    }
                    false
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    put(&mut self.out, |space| match data.encode(space) {
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
                        other => other.map_err(|_| None),
                    })?;
                    false
                }
                ConnectionState::TransmitTlsData(data) => {
                    // What is in `out` goes with the next flush.
                    data.done();
                    false
                }
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.closed = true;
                    true
                }
                _ => true,
            };
            used += discard + more;
            if done {
                return Ok(used);
            }
        }
    }

    fn encrypt(&mut self, rest: &mut [u8], plain: &[u8]) -> io::Result<()> {
        // The incomplete record cannot yield anything; it is there because the library wants to see the same bytes again.
        match self.tls.process_tls_records(rest).state.map_err(io::Error::other)? {
            ConnectionState::WriteTraffic(mut traffic) => put(&mut self.out, |space| match traffic.encrypt(plain, space) {
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
                other => other.map_err(|_| None),
            }),
            other => Err(io::Error::other(format!("cannot write now: {other:?}"))),
        }
    }
}

/// Appends what `fill` makes, in as much space as it asks for.
fn put(out: &mut Vec<u8>, mut fill: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) -> io::Result<()> {
    let (start, mut size) = (out.len(), OUT_BYTES);
    loop {
        out.resize(start + size, 0);
        match fill(&mut out[start..]) {
            Ok(filled) => {
                out.truncate(start + filled);
                return Ok(());
            }
            Err(Some(needed)) if needed > size => size = needed,
            Err(_) => return Err(io::Error::other("TLS could not encode")),
        }
    }
}
