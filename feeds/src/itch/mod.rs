//! ITCH over the network, as a feed. In: MoldUDP64 datagrams or a SoupBinTCP connection. Out: the events of `venue::itch::Market` into a sink,
//! and how far they can be trusted. Bounded by one read at a time and by what the receiver of a line keeps.
//!
//! (Files go another way: `crate::files`.)

mod mold;
mod outlet;
pub mod settings;
mod soup;
#[cfg(test)]
mod tests;

use crate::adapter::Sink;
use crate::error::FeedError;
use crate::run::Running;
use crate::settings::FeedSettings;
use crate::venue::itch::{Market, SessionDate};
use outlet::Outlet;
use settings::{ItchSettings, Source};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use wire::event::{FeedState, Nanos};

/// Makes the feed; it runs until `stop` becomes true.
pub fn start(settings: &FeedSettings, sink: Box<dyn Sink>, mut stop: watch::Receiver<bool>) -> Result<Running, FeedError> {
    let itch = settings.itch.clone().unwrap_or_default();
    let date = check(settings, &itch)?;
    let options = settings::options(settings, &itch, date.unwrap_or_else(|| SessionDate::at(wall())))?;
    let outlet = Outlet::new(Market::new(options, FeedState::Resyncing), date, sink);
    let silence = settings.silence_ms.map(Duration::from_millis);
    let feed: Running = match itch.source().map_err(complaint)? {
        Source::Files => return Err(complaint("files are played by `files::start`")),
        Source::Mold => {
            let mold = mold::Mold::bind(&itch, outlet, silence).map_err(complaint)?;
            Box::pin(mold.run())
        }
        Source::Soup => {
            let soup = soup::Soup::new(&itch, outlet, silence).map_err(complaint)?;
            Box::pin(soup.run())
        }
    };
    Ok(Box::pin(async move {
        tokio::select! {
            () = feed => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }))
}

/// Everything that can be known to be wrong without opening anything. Out: the day of the first session, where it is configured.
pub fn check(settings: &FeedSettings, itch: &ItchSettings) -> Result<Option<SessionDate>, FeedError> {
    itch.source().map_err(complaint)?;
    let date = itch.session_date().map_err(complaint)?;
    settings::options(settings, itch, date.unwrap_or_else(|| SessionDate::at(0)))?;
    if let Some(server) = &itch.server {
        let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            return Err(complaint(format!("'{server}' is no server; write HOST:PORT")));
        }
        let fields = [("user", itch.user.as_str(), 6), ("session", itch.session.as_str(), 10)];
        for (name, text, longest) in fields {
            if text.len() > longest || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(complaint(format!("{name} '{text}' has more than {longest} letters and digits, or others")));
            }
        }
    }
    Ok(date)
}

fn complaint(reason: impl Into<String>) -> FeedError {
    FeedError::Settings { venue: "itch".to_owned(), reason: reason.into() }
}

fn wall() -> Nanos {
    // A clock before 1970 is told as 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX))
}
