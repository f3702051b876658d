//! In: cryptofeed's JSON lines `{t: header|http|connect|send|recv, conn, ts, url/addr, data|b64}`. Out: entries in time order.
//! Bounded by `MAX_CONNECTIONS` open readers, each holding one line.
//!
//! The file is written connection after connection (REST answers first), each in time order. So every connection gets its own
//! streaming reader over the file, and the readers are merged by time: memory stays one line a connection, whatever the size.

use super::error::{ErrorKind, RecordingError, Tear};
use super::lines::Lines;
use super::{Body, Entry};
use crate::time::seconds;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::path::Path;

/// Captures seen so far hold at most five.
const MAX_CONNECTIONS: usize = 64;

pub(super) struct CryptofeedReader {
    connections: Vec<Connection>,
    tear: Option<Tear>,
}

struct Connection {
    name: String,
    /// Index among the WebSocket connections; REST connections have none and never need it.
    line: u32,
    lines: Lines,
    head: Option<(u64, Entry)>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
    #[serde(borrow, default)]
    conn: Cow<'a, str>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    addr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    b64: Option<Cow<'a, str>>,
    status: Option<u16>,
}

#[derive(Deserialize)]
struct ConnectionOnly<'a> {
    #[serde(borrow, default)]
    conn: Cow<'a, str>,
    #[serde(borrow)]
    t: Cow<'a, str>,
}

/// True if `line` is one of this format.
pub(super) fn recognises(line: &[u8]) -> bool {
    serde_json::from_slice::<ConnectionOnly<'_>>(line).is_ok()
}

impl CryptofeedReader {
    pub(super) fn open(file: &Path) -> Result<Self, RecordingError> {
        let (mut connections, tear) = find_connections(file)?;
        for connection in &mut connections {
            connection.advance()?;
        }
        Ok(Self { connections, tear })
    }

    pub(super) fn take_tear(&mut self) -> Option<Tear> {
        self.tear.take()
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, RecordingError> {
        // At equal times the earlier line goes first, so the order is the file's where the clock cannot tell.
        let earliest = self
            .connections
            .iter_mut()
            .filter(|connection| connection.head.is_some())
            .min_by_key(|connection| connection.head.as_ref().map(|(number, entry)| (entry.time, *number)));
        let Some(connection) = earliest else { return Ok(None) };
        let entry = connection.head.take().map(|(_, entry)| entry);
        connection.advance()?;
        Ok(entry)
    }
}

/// One pass over the file: which connections it holds.
fn find_connections(file: &Path) -> Result<(Vec<Connection>, Option<Tear>), RecordingError> {
    let mut lines = Lines::open(file)?;
    let mut connections: Vec<Connection> = Vec::new();
    let mut sockets = 0;
    loop {
        let number = lines.number() + 1;
        let Some(line) = lines.next()? else { break };
        let line: ConnectionOnly<'_> =
            serde_json::from_slice(line).map_err(|error| RecordingError::malformed(file, number, error.to_string()))?;
        if line.t == "header" || connections.iter().any(|known| known.name == line.conn) {
            continue;
        }
        if connections.len() == MAX_CONNECTIONS {
            return Err(RecordingError::new(file, number, ErrorKind::TooManyConnections(MAX_CONNECTIONS)));
        }
        connections.push(Connection { name: line.conn.into_owned(), line: sockets, lines: Lines::open(file)?, head: None });
        sockets += u32::from(line.t != "http");
    }
    Ok((connections, lines.take_tear()))
}

impl Connection {
    /// Reads on to this connection's next line.
    fn advance(&mut self) -> Result<(), RecordingError> {
        loop {
            let number = self.lines.number() + 1;
            let file = self.lines.file().to_owned();
            let Some(text) = self.lines.next()? else { return Ok(()) };
            let line: Line<'_> =
                serde_json::from_slice(text).map_err(|error| RecordingError::malformed(&file, number, error.to_string()))?;
            if line.t == "header" || line.conn != self.name {
                continue;
            }
            let entry = entry(line, self.line).map_err(|text| RecordingError::malformed(&file, number, text))?;
            self.head = Some((number, entry));
            return Ok(());
        }
    }
}

fn entry(line: Line<'_>, number: u32) -> Result<Entry, String> {
    let time = line.ts.ok_or("no 'ts'").and_then(|ts| seconds(ts.get()).ok_or("'ts' is not a time in seconds"))?;
    let bytes = match (line.data, line.b64) {
        (Some(data), _) => data.into_owned().into_bytes(),
        (None, Some(text)) => BASE64.decode(text.as_bytes()).map_err(|error| format!("'b64' is not base64: {error}"))?,
        (None, None) => Vec::new(),
    };
    let body = match line.t.as_ref() {
        "http" => Body::Response { url: line.url.unwrap_or_default().into_owned(), status: line.status.unwrap_or(200), bytes },
        "connect" => Body::Connect { line: number, url: line.addr.unwrap_or_default().into_owned() },
        "send" => Body::Sent { line: number, bytes },
        "recv" => Body::Received { line: number, bytes },
        other => return Err(format!("unknown line type '{other}'")),
    };
    Ok(Entry { time, body })
}
