//! One shard: one OS thread, one current-thread runtime, and all that its sessions share. In: marks of the topic map and accepted
//! sockets. Out: woken sessions. Bounded by the sessions' own limits; nothing here is shared with other shards but the topic map.

use crate::clock::Clock;
use crate::config;
use crate::encode::FrameBuilder;
use crate::metrics::ShardMetrics;
use crate::subs::Manager;
use crate::topic::TopicMap;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use wire::request::Encoding;

/// Frames kept for the next flush. A session holds one only while it is on its way.
const POOLED_FRAMES: usize = 32;
/// A frame that a deep snapshot has blown up is not kept.
const POOLED_FRAME_BYTES: usize = 256 * 1024;

const DAY_MS: u64 = 86_400_000;

/// What the shards of one server share.
#[derive(Clone)]
pub struct ShardContext {
    pub map: Arc<TopicMap>,
    pub clock: Clock,
    pub session: Arc<config::Session>,
    pub metrics: Arc<ShardMetrics>,
    pub node: Arc<str>,
    /// Turns true when the server drains.
    pub draining: watch::Receiver<bool>,
}

pub struct Shard {
    pub index: usize,
    pub context: ShardContext,
    pub manager: RefCell<Manager>,
    /// How often topics were listed; sessions with patterns or pending topics look again when it has moved.
    listings: Cell<u64>,
    listed: Notify,
    next_session: Cell<u64>,
    pool: RefCell<Vec<FrameBuilder>>,
}

impl Shard {
    pub fn new(index: usize, context: ShardContext) -> Rc<Self> {
        // A day is never, and cannot overflow.
        let check_interval_ns = (context.session.check_interval_ms.min(DAY_MS) * 1_000_000) as i64;
        Rc::new(Self {
            index,
            manager: RefCell::new(Manager::new(index, check_interval_ns)),
            context,
            listings: Cell::new(0),
            listed: Notify::new(),
            next_session: Cell::new(0),
            pool: RefCell::new(Vec::new()),
        })
    }

    /// Dispatches marks to due sessions for as long as the shard lives.
    pub async fn run(self: Rc<Self>) {
        let marks = self.context.map.marks(self.index);
        loop {
            let window = self.manager.borrow().next_window();
            tokio::select! {
                () = marks.wait() => {}
                () = sleep_until(&self.context.clock, window) => {}
            }
            self.dispatch();
            // The sessions just woken run before the next look at the marks: a burst becomes one flush each.
            tokio::task::yield_now().await;
        }
    }

    fn dispatch(&self) {
        let marks = self.context.map.marks(self.index);
        let now = self.context.clock.mono_ns();
        let mut manager = self.manager.borrow_mut();
        marks.drain(|topic| manager.mark(topic, now));
        let links = marks.take_links();
        if !links.is_empty() {
            manager.mark_links(&self.context.map, &links, now);
        }
        manager.tick(now);
        if marks.listing_changed() {
            self.listings.set(self.listings.get() + 1);
            self.listed.notify_waiters();
        }
    }

    /// A number that moves with every listing. A session that was busy meanwhile sees by it that it missed one.
    pub fn listings(&self) -> u64 {
        self.listings.get()
    }

    /// Returns once `listings` is another number than `seen`.
    pub async fn listed_since(&self, seen: u64) {
        while self.listings.get() == seen {
            self.listed.notified().await;
        }
    }

    pub fn session_name(&self) -> String {
        let number = self.next_session.get() + 1;
        self.next_session.set(number);
        format!("{}-{}-{number}", self.context.node, self.index)
    }

    pub fn take_frame(&self, encoding: Encoding) -> FrameBuilder {
        let pooled = self.pool.borrow_mut().pop();
        let mut frame = pooled.unwrap_or_else(|| FrameBuilder::new(encoding, self.context.session.frame_bytes));
        frame.set_encoding(encoding);
        frame
    }

    pub fn give_frame(&self, frame: FrameBuilder) {
        let mut pool = self.pool.borrow_mut();
        if pool.len() < POOLED_FRAMES && frame.capacity() <= POOLED_FRAME_BYTES {
            pool.push(frame);
        }
    }
}

/// Sleeps until `at` (monotonic ns of `clock`); for ever if there is no such time.
async fn sleep_until(clock: &Clock, at: Option<i64>) {
    match at {
        Some(at) => tokio::time::sleep(Duration::from_nanos(u64::try_from(at - clock.mono_ns()).unwrap_or(0))).await,
        None => std::future::pending().await,
    }
}
