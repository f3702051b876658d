//! In: entries from a feed's thread, which must never wait. Out: a `Writer` on a thread of its own, flushed every second.
//! Bounded by `QUEUE_ENTRIES` and `QUEUE_BYTES`; what does not fit is counted, and marked in the recording.

use super::writer::{Rotation, Writer};
use super::{Body, Entry};
use crate::adapter::{FetchError, Line, Now};
use crate::supervisor::Tap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wire::event::Cause;

/// Some two seconds of the busiest feed.
const QUEUE_ENTRIES: usize = 65_536;
/// A disk that hangs must not take the feed's memory with it.
const QUEUE_BYTES: usize = 64 << 20;
/// How much a crash may cost.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// The status that is recorded where no HTTP answer came at all.
const NO_ANSWER: u16 = 0;

/// Hands entries to the recorder without ever waiting. Cheap to clone.
#[derive(Clone)]
pub struct RecordingTap {
    queue: SyncSender<Entry>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    recorded: AtomicU64,
    dropped: AtomicU64,
}

/// The recording thread. Ends when every `RecordingTap` is gone.
pub struct Recorder {
    thread: JoinHandle<io::Result<Vec<PathBuf>>>,
    shared: Arc<Shared>,
}

impl Recorder {
    /// Starts recording `venue` into `folder`.
    pub fn start(folder: &Path, venue: &str, rotation: Rotation) -> io::Result<(RecordingTap, Self)> {
        let writer = Writer::create(folder, venue, rotation)?;
        let (queue, entries) = sync_channel(QUEUE_ENTRIES);
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("recorder".into()).spawn({
            let shared = Arc::clone(&shared);
            move || run(writer, &entries, &shared)
        })?;
        Ok((RecordingTap { queue, shared: Arc::clone(&shared) }, Self { thread, shared }))
    }

    pub fn recorded(&self) -> u64 {
        self.shared.recorded.load(Ordering::Relaxed)
    }

    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// True once nothing more is written, because the taps are gone or the disk refused.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the rest to be written. The taps must be gone by then. Gives the files.
    pub fn finish(self) -> io::Result<Vec<PathBuf>> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the recorder panicked")))
    }
}

impl RecordingTap {
    /// Queues `entry`, or counts it as dropped.
    pub fn record(&self, entry: Entry) {
        let bytes = size(&entry);
        let queued = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = if queued + bytes > QUEUE_BYTES { Err(()) } else { self.queue.try_send(entry).map_err(discard) };
        if sent.is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the supervisor of a feed sees, to the byte.
impl Tap for RecordingTap {
    fn opened(&mut self, now: Now, line: Line, url: &str) {
        self.record(Entry { time: now.wall, body: Body::Connect { line: line.0, url: url.to_owned() } });
    }

    fn received(&mut self, now: Now, line: Line, bytes: &[u8]) {
        self.record(Entry { time: now.wall, body: Body::Received { line: line.0, bytes: bytes.to_vec() } });
    }

    fn sent(&mut self, now: Now, line: Line, text: &str) {
        self.record(Entry { time: now.wall, body: Body::Sent { line: line.0, bytes: text.as_bytes().to_vec() } });
    }

    fn response(&mut self, now: Now, url: &str, result: &Result<Vec<u8>, FetchError>) {
        let (status, bytes) = match result {
            Ok(bytes) => (200, bytes.clone()),
            Err(FetchError::Status { status, .. }) => (*status, Vec::new()),
            Err(_) => (NO_ANSWER, Vec::new()),
        };
        self.record(Entry { time: now.wall, body: Body::Response { url: url.to_owned(), status, bytes } });
    }

    fn closed(&mut self, now: Now, line: Line, cause: Cause, reason: &str) {
        let reason = if reason.is_empty() { cause.to_string() } else { format!("{cause}: {reason}") };
        self.record(Entry { time: now.wall, body: Body::Closed { line: line.0, reason } });
    }
}

fn discard(_: TrySendError<Entry>) {}

fn run(mut writer: Writer, entries: &Receiver<Entry>, shared: &Shared) -> io::Result<Vec<PathBuf>> {
    let (mut marked, mut last) = (0, 0);
    let mut flushed = Instant::now();
    loop {
        match entries.recv_timeout(FLUSH_INTERVAL) {
            Ok(entry) => {
                shared.queued_bytes.fetch_sub(size(&entry), Ordering::Relaxed);
                let dropped = shared.dropped.load(Ordering::Relaxed);
                if dropped > marked {
                    // Not the exact place, but before anything that was queued after the loss was seen.
                    writer.write(&Entry { time: entry.time, body: Body::Dropped { entries: dropped - marked } })?;
                    marked = dropped;
                }
                last = entry.time;
                writer.write(&entry)?;
                shared.recorded.fetch_add(1, Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if flushed.elapsed() >= FLUSH_INTERVAL {
            writer.flush()?;
            flushed = Instant::now();
        }
    }
    let dropped = shared.dropped.load(Ordering::Relaxed);
    if dropped > marked {
        writer.write(&Entry { time: last, body: Body::Dropped { entries: dropped - marked } })?;
    }
    writer.finish()?;
    Ok(writer.files().to_vec())
}

fn size(entry: &Entry) -> usize {
    let payload = match &entry.body {
        Body::Received { bytes, .. } | Body::Sent { bytes, .. } => bytes.capacity(),
        Body::Response { url, bytes, .. } => url.capacity() + bytes.capacity(),
        Body::Connect { url: text, .. } | Body::Closed { reason: text, .. } => text.capacity(),
        Body::Dropped { .. } => 0,
    };
    payload + size_of::<Entry>()
}
