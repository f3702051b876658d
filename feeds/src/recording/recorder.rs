//! In: entries from a feed's thread, which must never wait. Out: a `Writer` on a thread of its own, flushed every second.
//! Bounded by `QUEUE_ENTRIES` and `QUEUE_BYTES`; what does not fit, and what a disk refuses, is counted, and marked in the recording.

use super::writer::{Rotation, Writer};
use super::{Body, Entry};
use crate::adapter::{FetchError, Line, Now};
use crate::supervisor::Tap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wire::event::{Cause, Nanos};

/// Some two seconds of the busiest feed.
const QUEUE_ENTRIES: usize = 65_536;
/// A disk that hangs must not take the feed's memory with it.
const QUEUE_BYTES: usize = 64 << 20;
/// How much a crash may cost.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// A disk that refused is tried again after this long; what comes meanwhile is left out.
const RETRY: Duration = Duration::from_secs(5);

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
    failures: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// How a recording goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub recorded: u64,
    /// Entries left out because the disk was too slow or refused; after a refusal, those of the last second may be readable all the same.
    pub dropped: u64,
    /// How often the disk refused.
    pub failures: u64,
    /// What it said, while nothing can be written.
    pub trouble: Option<String>,
}

/// The recording thread. Ends when every `RecordingTap` is gone.
pub struct Recorder {
    thread: JoinHandle<Vec<PathBuf>>,
    shared: Arc<Shared>,
}

impl Recorder {
    /// Starts recording `venue` into `folder`.
    pub fn start(folder: &Path, venue: &str, rotation: Rotation) -> io::Result<(RecordingTap, Self)> {
        Self::with(Writer::create(folder, venue, rotation)?, RETRY)
    }

    pub(super) fn with(writer: Writer, retry: Duration) -> io::Result<(RecordingTap, Self)> {
        let (queue, entries) = sync_channel(QUEUE_ENTRIES);
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("recorder".into()).spawn({
            let shared = Arc::clone(&shared);
            move || Work::new(writer, shared, retry).run(&entries)
        })?;
        Ok((RecordingTap { queue, shared: Arc::clone(&shared) }, Self { thread, shared }))
    }

    pub fn tally(&self) -> Tally {
        self.shared.tally()
    }

    /// True once nothing more is written, because the taps are gone.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the rest to be written. The taps must be gone by then. Gives the files and how it went.
    pub fn finish(self) -> io::Result<(Vec<PathBuf>, Tally)> {
        let Self { thread, shared } = self;
        let files = thread.join().map_err(|_| io::Error::other("the recorder panicked"))?;
        Ok((files, shared.tally()))
    }
}

impl Shared {
    fn tally(&self) -> Tally {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Tally { recorded: count(&self.recorded), dropped: count(&self.dropped), failures: count(&self.failures), trouble }
    }

    fn say(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
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

/// The recorder's thread.
struct Work {
    writer: Writer,
    shared: Arc<Shared>,
    retry: Duration,
    last: Nanos,
    /// Entries that would be lost with the compressor's buffer.
    unflushed: u64,
    /// Of those left out: told in the recording, and told in what is flushed.
    marked: u64,
    marked_flushed: u64,
    /// When the disk refused.
    refused: Option<Instant>,
}

impl Work {
    fn new(writer: Writer, shared: Arc<Shared>, retry: Duration) -> Self {
        Self { writer, shared, retry, last: 0, unflushed: 0, marked: 0, marked_flushed: 0, refused: None }
    }

    fn run(mut self, entries: &Receiver<Entry>) -> Vec<PathBuf> {
        let mut flushed = Instant::now();
        loop {
            match entries.recv_timeout(FLUSH_INTERVAL) {
                Ok(entry) => {
                    self.shared.queued_bytes.fetch_sub(size(&entry), Ordering::Relaxed);
                    self.take(&entry);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if flushed.elapsed() >= FLUSH_INTERVAL {
                self.flush(Writer::flush);
                flushed = Instant::now();
            }
        }
        if let Err(error) = self.mark(self.last) {
            self.refuse(&error);
        }
        self.flush(Writer::finish);
        self.writer.files().to_vec()
    }

    fn take(&mut self, entry: &Entry) {
        if self.refused.is_some_and(|since| since.elapsed() < self.retry) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.last = entry.time;
        // Not the exact place, but before anything that was queued after the loss was seen.
        match self.mark(entry.time).and_then(|()| self.writer.write(entry)) {
            Ok(()) => {
                self.unflushed += 1;
                self.shared.recorded.fetch_add(1, Ordering::Relaxed);
                if self.refused.take().is_some() {
                    tracing::info!("the recording goes on");
                    self.shared.say(None);
                }
            }
            Err(error) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                self.refuse(&error);
            }
        }
    }

    /// Tells in the recording what was left out.
    fn mark(&mut self, time: Nanos) -> io::Result<()> {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped > self.marked {
            self.writer.write(&Entry { time, body: Body::Dropped { entries: dropped - self.marked } })?;
            self.marked = dropped;
        }
        Ok(())
    }

    fn flush(&mut self, how: fn(&mut Writer) -> io::Result<()>) {
        match how(&mut self.writer) {
            Ok(()) => (self.unflushed, self.marked_flushed) = (0, self.marked),
            Err(error) => self.refuse(&error),
        }
    }

    /// A disk that refuses ends no feed and no recording: it is told once, and tried again later.
    fn refuse(&mut self, error: &io::Error) {
        let lost = std::mem::take(&mut self.unflushed);
        self.marked = self.marked_flushed;
        self.shared.recorded.fetch_sub(lost, Ordering::Relaxed);
        self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        if self.refused.replace(Instant::now()).is_none() {
            tracing::error!(%error, "nothing can be recorded");
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
            self.shared.say(Some(error.to_string()));
        }
    }
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
