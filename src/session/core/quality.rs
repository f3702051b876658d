//! What slows this session, and what the client has to be told of it. In: times that frames waited, the node's pressure, the client's
//! grants and budget. Out: floors for the manager, `qos` messages. Bounded: a few words; one message at a time.

use super::SessionCore;
use crate::subs::Floor;
use wire::answer::{Limiting, Qos};
use wire::request::{Pace, Reply};

/// Under a byte budget a frame holds about so much of a second's bytes, so that shares are made often.
const FRAMES_A_SECOND: u32 = 20;
/// Smaller frames would be mostly framing.
const SMALLEST_FRAME_BYTES: usize = 512;

impl SessionCore {
    /// What a token allows.
    pub(super) fn entitled(&self) -> Floor {
        match self.client.identity.as_ref().map(|identity| identity.fastest) {
            Some(Pace::EveryMs(ms)) => Floor { ms, cause: Some(Limiting::Entitlement) },
            _ => Floor::default(),
        }
    }

    /// What slows this session whatever the node does: its token and its link.
    fn own_floor(&self) -> Floor {
        self.entitled().or_slower(self.throttle.link_floor())
    }

    /// Looks at what slowed the session lately, and lets the manager know.
    pub(super) fn look(&mut self, now: i64) {
        let before = self.throttle.link_floor();
        self.throttle.look(now);
        if self.throttle.link_floor() != before {
            self.shard.manager.borrow_mut().set_floor(self.key, self.own_floor());
        }
    }

    fn qos(&self) -> Qos {
        let (node, deep_snapshots_deferred) = self.shard.manager.borrow().pressure();
        let floor = self.own_floor().or_slower(self.throttle.bucket_floor()).or_slower(node);
        let is_link = floor.cause == Some(Limiting::OwnLink);
        Qos {
            floor: floor.pace(),
            cause: floor.cause.or(deep_snapshots_deferred.then_some(Limiting::NodePressure)),
            deep_snapshots_deferred,
            stalled_ms: is_link.then(|| self.throttle.stalled_ms()),
        }
    }

    /// True if the client knows less than it should about what slows it.
    pub fn has_slowed(&self) -> bool {
        let (qos, told) = (self.qos(), &self.told);
        (qos.floor, qos.cause, qos.deep_snapshots_deferred) != (told.floor, told.cause, told.deep_snapshots_deferred)
    }

    /// What the client has to be told unasked, before any data; call it until there is no more.
    pub fn news(&mut self) -> Option<Reply> {
        if self.has_slowed() {
            self.told = self.qos();
            self.shard.context.metrics.qos_changes.add(1);
            return Some(Reply::Qos(self.told.clone()));
        }
        let aged = self.look_at_ages()?;
        self.shard.context.metrics.aged_topics.add(aged.old.len() as u64);
        Some(Reply::Aged(aged))
    }

    pub(super) fn grant(&mut self, frames: u32) -> u32 {
        self.shard.manager.borrow_mut().grant(self.key, frames, self.shard.context.clock.mono_ns())
    }

    /// A client may only ask for less than it may have.
    pub(super) fn budget(&mut self, id: Option<u64>, bytes_per_second: u32) -> Reply {
        let most = self.shard.context.session.bytes_per_second;
        let granted = match (bytes_per_second, most) {
            (0, _) => most,
            (asked, 0) => asked,
            (asked, most) => asked.min(most),
        };
        self.bytes_per_second = granted;
        self.outbound.set_budget(if granted == most { 0 } else { granted });
        // The former budget's wait is over.
        self.held_back_until = 0;
        self.wake.notify_one();
        Reply::Budget { id, bytes_per_second: granted }
    }

    /// Bytes that one frame may hold.
    pub(super) fn frame_bytes(&self) -> usize {
        let most = self.shard.context.session.frame_bytes;
        match self.bytes_per_second {
            0 => most,
            budget => ((budget / FRAMES_A_SECOND) as usize).max(SMALLEST_FRAME_BYTES).min(most),
        }
    }
}
