//! SoupBinTCP on a socket. In: one connection after the other. Out: the session's messages in order into the market, none twice.
//! Bounded by one packet and `READ_BYTES` at a time.

use super::outlet::Outlet;
use super::settings::ItchSettings;
use super::wall;
use crate::adapter::FaultKind;
use crate::supervisor::BackOff;
use crate::venue::itch::soup::{
    ANY_SESSION, CLIENT_HEARTBEAT, Client, DEAD_AFTER, HEARTBEAT_EVERY, Heard, LOGOUT, Packet, Refused, right,
};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use wire::event::{Cause, FeedState};

/// At least twice the longest packet, so that a whole one always fits behind a half one.
const READ_BYTES: usize = 256 << 10;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A connection that stayed this long was a good one: the next attempt comes soon again.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

pub(super) struct Soup {
    server: String,
    client: Client,
    outlet: Outlet,
    dead_after: Duration,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no connection within {} s", CONNECT_WITHIN.as_secs())]
    Timeout,
    #[error("closed by the server")]
    Closed,
    #[error("nothing was heard for {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("login refused: {0}")]
    Refused(&'static str),
    #[error("the answer to the login makes no sense")]
    Malformed,
    #[error("end of session")]
    SessionOver,
}

impl End {
    fn cause(&self) -> Cause {
        match self {
            Self::Silent(_) => Cause::Silence,
            Self::SessionOver => Cause::VenueShutdown,
            Self::Malformed => Cause::BadData,
            Self::Io(_) | Self::Timeout | Self::Closed | Self::Refused(_) => Cause::Disconnected,
        }
    }
}

impl Soup {
    pub(super) fn new(itch: &ItchSettings, outlet: Outlet, silence: Option<Duration>) -> Result<Self, String> {
        let password = match &itch.password_file {
            Some(file) => {
                std::fs::read_to_string(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))?
            }
            None => String::new(),
        };
        let session = if itch.session.is_empty() { ANY_SESSION } else { right(itch.session.as_bytes()) };
        let client = Client::new(&itch.user, password.trim_end_matches(['\r', '\n']), session);
        let dead_after = silence.unwrap_or(Duration::from_nanos(DEAD_AFTER.unsigned_abs()));
        Ok(Self { server: itch.server.clone().unwrap_or_default(), client, outlet, dead_after })
    }

    pub(super) async fn run(mut self) {
        let mut back_off = BackOff::new(BACK_OFF.0, BACK_OFF.1);
        loop {
            let begun = Instant::now();
            let Err(end) = self.connection().await;
            if begun.elapsed() > SETTLED_AFTER {
                back_off.reset();
            }
            tracing::warn!(server = self.server, reason = %end, next = self.client.next(), "connection lost");
            self.outlet.now = wall();
            if matches!(end, End::Refused(_)) {
                self.outlet.fault(FaultKind::Refused, &end.to_string());
            }
            self.outlet.link(FeedState::Down, end.cause());
            self.outlet.publish();
            tokio::time::sleep(back_off.next()).await;
        }
    }

    async fn connection(&mut self) -> Result<std::convert::Infallible, End> {
        let connecting = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(&self.server));
        let stream = connecting.await.map_err(|_| End::Timeout)??;
        stream.set_nodelay(true)?;
        let (reader, mut writer) = stream.into_split();
        writer.write_all(&self.client.login()).await?;
        let end = self.listen(reader, &mut writer).await;
        // As good manners want it; the server sees the end anyway.
        let _ = writer.try_write(&LOGOUT);
        end
    }

    async fn listen(&mut self, mut reader: OwnedReadHalf, writer: &mut OwnedWriteHalf) -> Result<std::convert::Infallible, End> {
        let mut buffer = vec![0; READ_BYTES];
        let mut held = 0;
        let mut last = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_nanos(HEARTBEAT_EVERY.unsigned_abs()).min(self.dead_after / 2));
        loop {
            tokio::select! {
                read = reader.read(&mut buffer[held..]) => {
                    let read = read?;
                    if read == 0 {
                        return Err(End::Closed);
                    }
                    last = Instant::now();
                    self.outlet.read(wall(), read);
                    held += read;
                    let taken = self.take(&buffer[..held])?;
                    buffer.copy_within(taken..held, 0);
                    held -= taken;
                }
                _ = ticks.tick() => {
                    if last.elapsed() > self.dead_after {
                        return Err(End::Silent(self.dead_after));
                    }
                    writer.write_all(&CLIENT_HEARTBEAT).await?;
                }
            }
        }
    }

    /// Takes the whole packets. Out: how many bytes they have.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, End> {
        let mut taken = 0;
        let mut end = Ok(());
        while end.is_ok()
            && let Some((packet, length)) = Packet::split(&bytes[taken..])
        {
            taken += length;
            end = self.packet(&packet);
        }
        self.outlet.publish();
        end.map(|()| taken)
    }

    fn packet(&mut self, packet: &Packet<'_>) -> Result<(), End> {
        match self.client.on_packet(packet) {
            Heard::Message(message) => {
                if self.outlet.message(message) && !self.outlet.is_live() {
                    self.outlet.state(FeedState::Live, Cause::None);
                }
            }
            // A server with nothing to say has said everything.
            Heard::Heartbeat => {
                if !self.outlet.is_live() {
                    self.outlet.state(FeedState::Live, Cause::None);
                }
            }
            Heard::Accepted { fresh, unheard } => {
                tracing::info!(server = self.server, next = self.client.next(), fresh, "logged in");
                self.outlet.back();
                match (fresh, unheard) {
                    (true, unheard) => self.outlet.session(unheard),
                    (false, 0) => {}
                    (false, missing) => self.outlet.lost(missing),
                }
            }
            Heard::Refused(refused) => {
                return Err(End::Refused(match refused {
                    Refused::NotAuthorized => "wrong user or password",
                    Refused::NoSession => "no such session",
                    Refused::Other(_) => "without a reason that the protocol knows",
                }));
            }
            Heard::EndOfSession => return Err(End::SessionOver),
            Heard::Malformed => return Err(End::Malformed),
            Heard::Nothing => {}
        }
        Ok(())
    }
}
