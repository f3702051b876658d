//! The few facts about a topic that are read without its lock. In: that it changed, and when. Out: a version, times. Bounded: three words.

use super::publish::Stamp;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use wire::event::Nanos;

#[derive(Debug)]
pub(super) struct News {
    version: AtomicU64,
    published: AtomicI64,
    received: AtomicI64,
}

impl News {
    pub fn new(version: u64) -> Self {
        Self { version: AtomicU64::new(version), published: AtomicI64::new(0), received: AtomicI64::new(0) }
    }

    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub fn published(&self) -> Nanos {
        self.published.load(Ordering::Relaxed)
    }

    pub fn received(&self) -> Nanos {
        self.received.load(Ordering::Relaxed)
    }

    pub fn note_received(&self, received: Nanos) {
        if received != 0 {
            self.received.store(received, Ordering::Relaxed);
        }
    }

    /// There is something new to say that was not published now.
    pub fn note_change(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// After a change: who reads the new version finds the new state.
    pub fn note_published(&self, stamp: &Stamp) {
        self.published.store(stamp.published, Ordering::Relaxed);
        self.note_change();
    }

    /// The same for what is only ever changed under one lock, which the caller holds: no two threads count at once, so no atomic
    /// addition is needed.
    pub fn note_published_locked(&self, stamp: &Stamp) {
        self.published.store(stamp.published, Ordering::Relaxed);
        self.version.store(self.version.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}
