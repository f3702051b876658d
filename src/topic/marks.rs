//! Dirty marks of one shard. In: topic ids and links, from any feed thread. Out: each marked one at least once after its last mark, to
//! the shard's own thread. Bounded: one bit per possible topic and link; a mark on a marked topic costs one atomic operation and no wake-up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

const BITS: usize = u64::BITS as usize;

pub struct Marks {
    /// One bit per topic.
    words: Box<[AtomicU64]>,
    /// One bit per word of `words` that may be non-zero.
    index: Box<[AtomicU64]>,
    /// Something was marked since the last drain began; whoever makes it true also wakes.
    pending: AtomicBool,
    listing: AtomicBool,
    /// One bit per link that was lost or came back.
    links: Box<[AtomicU64]>,
    notify: Notify,
}

impl Marks {
    pub(super) fn new(max_topics: u32, max_links: u32) -> Self {
        let words = (max_topics as usize).div_ceil(BITS).max(1);
        let zeros = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect();
        Self {
            words: zeros(words),
            index: zeros(words.div_ceil(BITS)),
            pending: AtomicBool::new(false),
            listing: AtomicBool::new(false),
            links: zeros((max_links as usize).div_ceil(BITS)),
            notify: Notify::new(),
        }
    }

    /// The word first, then the index, then `pending`: `drain` takes them in the opposite order. Whoever finds the word
    /// non-zero may stop there, because the one who made it so goes on to the index and to `pending` after it.
    pub(super) fn mark(&self, id: u32) {
        let word = id as usize / BITS;
        if self.words[word].fetch_or(1 << (id as usize % BITS), Ordering::AcqRel) == 0 {
            self.index[word / BITS].fetch_or(1 << (word % BITS), Ordering::AcqRel);
            self.wake();
        }
    }

    pub(super) fn mark_listing(&self) {
        self.listing.store(true, Ordering::Release);
        self.wake();
    }

    /// One mark for all the topics of the link: the shard knows which of them it watches.
    pub(super) fn mark_link(&self, link: u32) {
        self.links[link as usize / BITS].fetch_or(1 << (link as usize % BITS), Ordering::AcqRel);
        self.wake();
    }

    fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    /// Takes all marks. A topic marked meanwhile is visited now or by the next drain, for which `wait` returns at once.
    pub fn drain(&self, mut each: impl FnMut(u32)) {
        self.pending.swap(false, Ordering::AcqRel);
        for (high, index) in self.index.iter().enumerate() {
            // Cheap look first: most of the index is empty, and a plain load does not take the cache line from the writers.
            if index.load(Ordering::Acquire) == 0 {
                continue;
            }
            for low in bits(index.swap(0, Ordering::AcqRel)) {
                let word = high * BITS + low;
                for bit in bits(self.words[word].swap(0, Ordering::AcqRel)) {
                    each((word * BITS + bit) as u32);
                }
            }
        }
    }

    /// Takes the marks of links, in ascending order. Mostly there are none. Call it after `drain`.
    pub fn take_links(&self) -> Vec<u32> {
        let mut links = Vec::new();
        for (high, word) in self.links.iter().enumerate() {
            if word.load(Ordering::Acquire) != 0 {
                links.extend(bits(word.swap(0, Ordering::AcqRel)).map(|bit| (high * BITS + bit) as u32));
            }
        }
        links
    }

    /// True once after new topics were listed, or a venue became fully known.
    pub fn listing_changed(&self) -> bool {
        self.listing.swap(false, Ordering::AcqRel)
    }

    /// Returns when there is something to drain (marks or listings) since the last `drain` began. For one waiter; may be
    /// dropped at any point.
    pub async fn wait(&self) {
        while !self.has_news() {
            self.notify.notified().await;
        }
    }

    /// Would `wait` return at once?
    pub fn has_news(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }
}

fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_mark_is_seen_once() {
        let marks = Marks::new(10_000, 100);
        for id in [0, 63, 64, 4_095, 4_096, 9_999, 63] {
            marks.mark(id);
        }
        let mut seen = Vec::new();
        marks.drain(|id| seen.push(id));
        assert_eq!(seen, [0, 63, 64, 4_095, 4_096, 9_999]);
        marks.drain(|id| panic!("{id} was marked once"));
        marks.mark_listing();
        assert!(marks.listing_changed() && !marks.listing_changed());
        for link in [99, 0, 63, 64, 0] {
            marks.mark_link(link);
        }
        assert_eq!((marks.take_links(), marks.take_links()), (vec![0, 63, 64, 99], vec![]));
    }

    /// Writers store a value and then mark; whatever the interleaving, the reader ends up with every newest value.
    #[test]
    fn no_mark_is_lost() {
        const TOPICS: u32 = 200;
        const ROUNDS: u32 = 20_000;
        let marks = Arc::new(Marks::new(TOPICS, 1));
        let values: Arc<Vec<AtomicU32>> = Arc::new((0..TOPICS).map(|_| AtomicU32::new(0)).collect());
        let writers: Vec<_> = (0..2u32)
            .map(|writer| {
                let (marks, values) = (marks.clone(), values.clone());
                std::thread::spawn(move || {
                    let mut random = fastrand::Rng::with_seed(u64::from(writer));
                    for round in 1..=ROUNDS {
                        // Each writer owns the ids of its parity, so a value only grows; they share the words.
                        let id = random.u32(0..TOPICS / 2) * 2 + writer;
                        values[id as usize].store(round, Ordering::Relaxed);
                        marks.mark(id);
                    }
                })
            })
            .collect();
        let mut seen = vec![0; TOPICS as usize];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            loop {
                let done = writers.iter().all(|writer| writer.is_finished());
                let waited = tokio::time::timeout(std::time::Duration::from_millis(20), marks.wait()).await;
                marks.drain(|id| seen[id as usize] = values[id as usize].load(Ordering::Relaxed));
                if done && waited.is_err() {
                    break;
                }
            }
        });
        for (id, value) in values.iter().enumerate() {
            assert_eq!(seen[id], value.load(Ordering::Relaxed), "topic {id}");
        }
    }
}
