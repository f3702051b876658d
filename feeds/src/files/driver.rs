//! Binary files as a feed. In: settings and a sink. Out: the recorded market, marked as `replay`, at the pace that was asked for.
//! Bounded: one datagram or record at a time, and what the venue's own market keeps.

use super::settings::FileSettings;
use super::{FileError, Tape};
use crate::adapter::{Output, Sink};
use crate::error::FeedError;
use crate::replay::{Pace, Publisher, Waits};
use crate::run::Running;
use crate::settings::FeedSettings;
use tokio::sync::watch;

struct FileFeed {
    venue: String,
    settings: FeedSettings,
    files: FileSettings,
    pace: Pace,
    tape: Option<Box<dyn Tape>>,
    out: Publisher,
}

/// Opens the files and makes the feed; says everything that is wrong with either.
pub fn start(
    venue: &str,
    files: &FileSettings,
    settings: &FeedSettings,
    sink: Box<dyn Sink>,
    stop: watch::Receiver<bool>,
) -> Result<Running, FeedError> {
    let complaint = |reason: String| FeedError::Settings { venue: venue.to_owned(), reason };
    if files.files.is_empty() {
        return Err(complaint("names no files".to_owned()));
    }
    let pace = Pace::new(files.speed)
        .ok_or_else(|| complaint(format!("speed {} is neither 0 nor between 0.001 and 1000000", files.speed)))?;
    let tape = super::tape(venue, &files.files, settings)?.map_err(|error| complaint(error.to_string()))?;
    let feed = FileFeed {
        venue: venue.to_owned(),
        settings: settings.clone(),
        files: files.clone(),
        pace,
        tape: Some(tape),
        out: Publisher::new(sink),
    };
    let mut stopped = stop;
    Ok(Box::pin(async move {
        tokio::select! {
            () = feed.run() => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }))
}

impl FileFeed {
    async fn run(mut self) {
        loop {
            if let Err(error) = self.play().await {
                tracing::error!(venue = self.venue, %error, "the replay ends here");
                break;
            }
            if !self.files.repeat {
                tracing::info!(venue = self.venue, "the recording is over");
                break;
            }
        }
        self.out.down();
        std::future::pending::<()>().await;
    }

    async fn play(&mut self) -> Result<(), FileError> {
        let mut tape = match self.tape.take() {
            Some(tape) => tape,
            None => {
                self.out.restart();
                match super::tape(&self.venue, &self.files.files, &self.settings) {
                    Ok(tape) => tape?,
                    // They were good when the feed started.
                    Err(_) => return Ok(()),
                }
            }
        };
        let mut waits = Waits::new(self.pace);
        let mut out = Output::default();
        let mut now = 0;
        while let Some(step) = tape.next(&mut out)? {
            // Times of a capture may run back; ours do not.
            now = step.time.max(now);
            waits.until(now).await;
            self.out.now = now;
            self.out.publish(&out);
            self.out.sink.message(step.bytes);
            out.clear();
            if tape.instruments_known() {
                self.known();
            }
        }
        for remark in tape.remarks() {
            tracing::warn!(venue = self.venue, "{remark}");
        }
        // What has not turned up will not.
        self.known();
        Ok(())
    }

    fn known(&mut self) {
        if !std::mem::replace(&mut self.out.known, true) {
            self.out.sink.instruments_known();
        }
    }
}
